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
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from sklearn_ae.engine import inputs
from sklearn_ae.engine.density import fitted
from sklearn_ae.engine.params import Params
from sklearn_ae.engine.threads import one_blas_thread

__all__ = ["Usualness"]

#: Rows that the density is fitted to, at most, and of wide ones fewer: but 1000 of so
#: many numbers altogether.
MOST_ROWS, MOST_NUMBERS = 20000, 2**24
#: Principal components of each half.
MOST_COMPONENTS = 32
#: Gaussians in the mixture, if there are rows enough for the covariances of so many.
N_GAUSSIANS = 3
#: Variances of the noise, in the mean variance of a feature: one view is sharp, one
#: blurred.
NOISE_VARIANCES = (0.01, 1.0)


class Usualness(Params):
    """u(x) of the rows that one autoencoder restores.

    Of sparse rows, which are never made dense, φ(x) holds the code in place of x̂, and
    the root of the row's reconstruction error in place of r.
    """

    def fit(self, model: Any, X: Any, seed: int) -> Self:
        """Learn what is usual from rows of X.

        Parameters
        ----------
        model : fitted autoencoder
        X : ndarray or CSR array of shape (n_samples, n_features)
        seed : int

        Returns
        -------
        self
        """
        rng = np.random.RandomState(seed % 2**32)
        width = 1 if inputs.is_sparse(X) else X.shape[1]
        most = min(MOST_ROWS, max(1000, MOST_NUMBERS // width))
        if X.shape[0] > most:
            X = X[np.sort(rng.permutation(X.shape[0])[:most])]
        halves = [np.concatenate(half) for half in zip(*_halves(model, X), strict=True)]
        with one_blas_thread(), config_context(array_api_dispatch=False):
            # dense halves add up to the rows, and their unit is that of these
            one = None if inputs.is_sparse(X) else _spread(halves[0] + halves[1])
            self._scales = [one or _spread(half) for half in halves]
            self._axes = [
                _axes(half / scale, rng)
                for half, scale in zip(halves, self._scales, strict=True)
            ]
            views = self._views(halves)
        if len(views) == 1:  # of which a mixture cannot be had
            views = np.repeat(views, 2, axis=0)
        enough = len(views) // (2 * views.shape[1])
        n_apart = len(np.unique(views[:, 0]))
        n_gaussians = max(1, min(N_GAUSSIANS, enough, n_apart))
        self._levels = []
        for noise in NOISE_VARIANCES:
            mixture = GaussianMixture(n_gaussians, reg_covar=noise, max_iter=300)
            mixture = fitted(mixture, views, seed)
            del mixture.covariances_, mixture.precisions_  # a score needs their factors
            likelihoods = mixture.score_samples(views)
            self._levels.append(
                (mixture, float(likelihoods.mean()), float(likelihoods.std()) or 1.0)
            )
        return self

    def score_samples(self, model: Any, X: Any) -> NDArray[np.float64]:
        """Return u(x) of each row of X, of shape (n_samples,)."""
        scores = []
        for halves in _halves(model, X):
            with one_blas_thread(), config_context(array_api_dispatch=False):
                views = self._views(halves)
                levels = [
                    (mixture.score_samples(views) - mean) / deviation
                    for mixture, mean, deviation in self._levels
                ]
            scores.append(np.mean(levels, axis=0))
        return np.concatenate(scores)

    def _views(self, halves: Any) -> NDArray[np.float64]:
        """Return φ(x) of rows, of which the halves are given."""
        views, left_out = [], 0.0
        for half, scale, axes in zip(halves, self._scales, self._axes, strict=True):
            centred = half / scale - axes.mean_
            along = centred @ axes.components_.T
            views.append(along)
            rest = np.square(centred).sum(axis=1) - np.square(along).sum(axis=1)
            left_out = left_out + rest.clip(min=0.0)
        if any(len(axes.components_) < axes.n_features_in_ for axes in self._axes):
            views.append(np.sqrt(left_out)[:, None])
        return np.hstack(views)


def _halves(model: Any, X: Any) -> Iterator[tuple[NDArray[np.float64], ...]]:
    """Yield what is restored of rows and what is left, by chunks of them."""
    for start, stop in inputs.row_chunks(*X.shape):
        rows = X[start:stop]
        if inputs.is_sparse(rows):
            codes = model.transform(rows)
            codes = codes.toarray() if inputs.is_sparse(codes) else codes
            error = np.sqrt(model.reconstruction_error(rows).clip(min=0.0))
            yield codes.astype(np.float64), error[:, None].astype(np.float64)
        else:
            restored = model.reconstruct(rows).astype(np.float64)
            # of a missing entry nothing is left
            yield restored, np.nan_to_num(rows - restored, nan=0.0)


def _spread(half: NDArray[np.float64]) -> float:
    """Return the root of the features' mean variance, 1 for none."""
    return float(np.sqrt(half.var(axis=0).mean())) or 1.0


def _axes(half: NDArray[np.float64], rng: np.random.RandomState) -> PCA:
    n_components = min(MOST_COMPONENTS, *half.shape)
    with np.errstate(invalid="ignore"):  # shares of no variance
        return PCA(n_components, random_state=rng).fit(half)
