r"""How usual rows are: the density of what an autoencoder restores and what it leaves.

With x̂ the reconstruction of a row x and r = x − x̂ what is left of it, φ(x) holds the
leading principal components of x̂ and of r, and the length of whatever those leave out.
A mixture of Gaussians p_σ is fitted to the φ of the training rows, once for each of a
few noise levels σ (σ² is added to its variances), and

.. math:: u(x) = \frac{1}{|\Sigma|} \sum_{\sigma \in \Sigma}
          \frac{\log p_\sigma(\varphi(x)) - m_\sigma}{s_\sigma}

with mean m_σ and standard deviation s_σ of log p_σ over the training rows. A likelihood
has both halves: how odd the code is, and how badly the row follows from it.

References
----------
Zong, B. et al. Deep autoencoding Gaussian mixture model for unsupervised anomaly
detection. ICLR 2018.

Mahmood, A., Oliva, J. & Styner, M. Multiscale score matching for out-of-distribution
detection. ICLR 2021.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from torch import Tensor

from sklearn_ae.engine import inputs
from sklearn_ae.engine.consistency import is_finite, need
from sklearn_ae.engine.density import fitted
from sklearn_ae.engine.notices import diverged
from sklearn_ae.engine.threads import one_blas_thread
from sklearn_ae.engine.transforms import Transforms
from sklearn_ae.engine.weights import copies
from sklearn_ae.params.fields import Params

__all__ = ["RowDensity"]

#: The density is fitted to at most so many rows. Wide rows are fewer: as many as hold
#: so many numbers, but at least 1000.
MOST_ROWS, MOST_NUMBERS = 20000, 2**24
#: Each half has at most this many principal components.
MOST_COMPONENTS = 32
#: The mixture has this many Gaussians, or fewer where rows do not tell as many
#: covariances.
N_GAUSSIANS = 3
#: The noise has these variances, in units of the mean variance of a feature: one view
#: is sharp, one blurred.
NOISE_VARIANCES = (0.01, 1.0)
#: Numbers in a view are clipped here, so that their squares are finite.
FAR = 1e100


class RowDensity(Params):
    """u(x) of the rows that one autoencoder restores.

    For sparse rows, which are never made dense, φ(x) holds the code in place of x̂, and
    the root of the row's reconstruction error in place of r.
    """

    def fit(
        self,
        model: Transforms,
        X: Any,
        seed: int,
        n_gaussians: int | None = None,
        weight: NDArray[np.float64] | None = None,
    ) -> Self:
        """Learn what is usual from rows of X.

        Parameters
        ----------
        model : fitted autoencoder
        X : ndarray or CSR array of shape (n_samples, n_features)
        seed : int
        n_gaussians : int or None
            Number of Gaussians in the mixture; None takes as many as there are rows
            for.
        weight : ndarray of shape (n_samples,) or None
            Weight of each row: it is taken as often.

        Returns
        -------
        self
        """
        rng = np.random.RandomState(seed % 2**32)
        self._sparse = inputs.is_sparse(X)
        width = 1 if self._sparse else X.shape[1]
        most = min(MOST_ROWS, max(1000, MOST_NUMBERS // width))
        if weight is not None:
            X = X[copies(weight, most)]
        elif X.shape[0] > most:
            X = X[np.sort(rng.permutation(X.shape[0])[:most])]
        first, second, known = map(
            np.concatenate, zip(*self._halves(model, X), strict=True)
        )
        halves = (first[known], second[known]) if known.any() else (first, second)
        if not all(np.isfinite(half).all() for half in halves):
            raise diverged()
        with one_blas_thread(), config_context(array_api_dispatch=False):
            # Dense halves add up to the rows, and have their unit.
            one = None if self._sparse else _spread(halves[0] + halves[1])
            self._scales = [one or _spread(half) for half in halves]
            self._axes = [
                _axes(half / scale, rng)
                for half, scale in zip(halves, self._scales, strict=True)
            ]
            views = self._views(halves)
        if len(views) == 1:  # a mixture needs two rows
            views = np.repeat(views, 2, axis=0)
        enough = min(N_GAUSSIANS, len(views) // (2 * views.shape[1]))
        n_apart = len(np.unique(views[:, 0]))
        self.n_gaussians = max(1, min(n_gaussians or enough, n_apart))
        self._levels = []
        for noise in NOISE_VARIANCES:
            mixture = GaussianMixture(self.n_gaussians, reg_covar=noise, max_iter=300)
            try:
                mixture = fitted(mixture, views, seed)
            except ValueError as error:
                # With noise on them it fails only where views are of wild sizes.
                raise diverged() from error
            del mixture.covariances_, mixture.precisions_  # a score needs their factors
            with one_blas_thread(), config_context(array_api_dispatch=False):
                likelihoods = mixture.score_samples(views)
            mean, deviation = float(likelihoods.mean()), float(likelihoods.std())
            # The deviation of rows that are all alike is round-off.
            alike = deviation <= 1e-9 * max(1.0, abs(mean))
            self._levels.append((mixture, mean, 1.0 if alike else deviation))
        return self

    def score_samples(self, model: Transforms, X: Any) -> NDArray[np.float64]:
        """Return u(x) of each row of X, (n_samples,); NaN where all is missing."""
        scores = []
        for first, second, known in self._halves(model, X):
            with one_blas_thread(), config_context(array_api_dispatch=False):
                views = self._views((first, second))
                levels = [
                    (mixture.score_samples(views) - mean) / deviation
                    for mixture, mean, deviation in self._levels
                ]
            scores.append(np.where(known, np.mean(levels, axis=0), np.nan))
        return np.concatenate(scores)

    def check(self, model: Transforms) -> None:
        """Raise ValueError if this cannot be the density of a fitted autoencoder's."""
        sizes = (model.n_features_in_,) * 2
        if self._sparse:
            sizes = (model.n_components_, 1)
        fits = (
            len(self._axes) == len(self._scales) == 2
            and all(0.0 < scale < np.inf for scale in self._scales)
            and all(
                is_finite(axes.mean_, (size,))
                and is_finite(axes.components_, (len(axes.components_), size))
                for axes, size in zip(self._axes, sizes, strict=True)
            )
        )
        need(fits, "one of its densities is of other rows")
        n_views = sum(len(axes.components_) for axes in self._axes)
        n_views += any(
            len(axes.components_) < size
            for axes, size in zip(self._axes, sizes, strict=True)
        )
        for mixture, mean, deviation in self._levels:
            means, factors = mixture.means_, mixture.precisions_cholesky_
            n = len(mixture.weights_)
            need(
                is_finite(mixture.weights_, (n,))
                and is_finite(means, (n, n_views))
                and is_finite(factors, (n, n_views, n_views))
                and np.isfinite(mean)
                and 0.0 < deviation < np.inf,
                "one of its densities has numbers that are missing or do not fit",
            )
        need(
            len(self._levels) == len(NOISE_VARIANCES),
            "one of its densities has a part too many or too few",
        )

    def _halves(self, model: Transforms, X: Any) -> Iterator[tuple[NDArray[Any], ...]]:
        """Yield what is restored of rows, what is left, and whether any is observed.

        These come by chunks. Rows may be sparse where those of the fit were not, and
        the other way round.
        """
        for start, stop in inputs.row_chunks(*X.shape):
            rows = X[start:stop]
            known = np.ones(rows.shape[0], dtype=bool)
            if self._sparse:
                rows = rows if inputs.is_sparse(rows) else sp.csr_array(rows)
                first = model._encoded(rows)
                second = model.reconstruction_error(rows)[:, None]
                second = np.sqrt(second.clip(min=0.0))
            else:
                rows = rows.toarray() if inputs.is_sparse(rows) else rows
                first, second = _dense_halves(model, rows)
                missing = np.isnan(rows)
                known = ~missing.all(axis=1)
                second = np.where(missing, 0.0, second)  # Nothing is left of these.
            yield first.astype(np.float64), second.astype(np.float64), known

    def _views(self, halves: Any) -> NDArray[np.float64]:
        """Return φ(x) of rows from their two halves."""
        views, left_out = [], 0.0
        for half, scale, axes in zip(halves, self._scales, self._axes, strict=True):
            with np.errstate(over="ignore", invalid="ignore"):
                centred = half / scale - axes.mean_
            # What overflowed is far out, and its square is still to be a number.
            centred = np.nan_to_num(centred, nan=FAR).clip(-FAR, FAR)
            along = centred @ axes.components_.T
            views.append(along)
            rest = np.square(centred).sum(axis=1) - np.square(along).sum(axis=1)
            left_out = left_out + rest.clip(min=0.0)
        if any(len(axes.components_) < axes.n_features_in_ for axes in self._axes):
            views.append(np.sqrt(left_out)[:, None])
        return np.hstack(views)


def _dense_halves(
    model: Transforms, rows: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what is restored of dense rows, and what is left of them.

    Both are counted from the network's zero, wherever that can be: far from it, single
    precision has no digits for what is left.
    """
    units, module = model._fit.units, model._fit.module
    if not units.is_affine:
        restored = model._restored(rows)
        return restored, rows - restored

    def halves(x: Tensor) -> Tensor:
        restored = module.reconstruct(x)
        return torch.cat([restored, x - restored], dim=1)

    n_features = rows.shape[1]
    width = max(module.widest_layer, 2 * n_features)
    both = model._fit.apply(halves, rows, width=width)
    with np.errstate(over="ignore"):
        both = both.astype(np.float64) * units.scale
    return both[:, :n_features], both[:, n_features:]


def _spread(half: NDArray[np.float64]) -> float:
    """Return the root of the features' mean variance, 1 where that is round-off."""
    spread = float(np.sqrt(half.var(axis=0).mean()))
    return spread if spread > 1e-12 * float(np.abs(half).max()) else 1.0


def _axes(half: NDArray[np.float64], rng: np.random.RandomState) -> PCA:
    n_components = min(MOST_COMPONENTS, *half.shape)
    with np.errstate(invalid="ignore"):  # There may be no variance to have shares of.
        return PCA(n_components, random_state=rng).fit(half)
