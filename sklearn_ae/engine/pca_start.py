r"""Where training starts: at PCA's solution, in the units that make it easy.

PCA is scikit-learn's; for sparse data, which cannot be centred, it is TruncatedSVD.
What comes out are the arrays that `sklearn_ae.parts.networks.LinearPathEncoder` and its
decoder are made of, in the network's units, and those units themselves: x is divided by
the root mean square of what PCA leaves unexplained, so that the loss starts at half a
nat per feature on any data, and learning rate and penalties mean the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA, TruncatedSVD

from sklearn_ae.engine.inputs import has_missing, is_sparse
from sklearn_ae.engine.rows import CACHE_BYTES
from sklearn_ae.engine.threads import one_blas_thread
from sklearn_ae.engine.units import Units, far_from_zero, moments

__all__ = ["LinearStart", "linear_start", "principal"]


#: PCA of data that exceeds `CACHE_BYTES` is that of a random sample of this size.
SAMPLE_BYTES = 2**25
#: Data of at most this many numbers is decomposed in float64.
PRECISE_NUMBERS = 2**22


@dataclass(frozen=True)
class LinearStart:
    """PCA's solution in the network's units.

    Attributes
    ----------
    units : Units
    spread : float
        Root mean square of the (centred) data in these units.
    encoder : ndarray of shape (n_features, n_components)
        Map from centred rows to codes, which are whitened, times `code_scale`.
    code_scale : ndarray of shape (n_components,)
        Scale of each code: 1 for dense rows; for sparse ones the relative scale of
        TruncatedSVD's codes, with which alone their cosines are those of the rows.
    decoder : ndarray of shape (n_features, n_components)
        Map from whitened codes back to rows.
    feature_scale : ndarray of shape (n_features,) or None
        Standard deviations; None where the data is sparse.
    shown : float
        Variance of the noise on each feature that is shown.
    residual : ndarray of shape (n_features,)
        Root mean square of what PCA leaves of each feature.
    code_trust : ndarray of shape (n_components,)
        Distance that a correction of size one should move each code.
    trust : ndarray of shape (n_features,)
        Distance that it should move each feature; zero where PCA leaves nothing to
        learn.
    """

    units: Units
    spread: float
    encoder: NDArray[np.float64]
    code_scale: NDArray[np.float64]
    decoder: NDArray[np.float64]
    feature_scale: NDArray[np.float64] | None
    shown: float
    residual: NDArray[np.float64]
    code_trust: NDArray[np.float64]
    trust: NDArray[np.float64]


def linear_start(
    X: Any,
    n_components: int,
    seed: int,
    subset: NDArray[np.intp] | None = None,
    clean: bool = True,
    own: bool = True,
    noise: Callable[[float], float] | None = None,
    weight: NDArray[np.float64] | None = None,
) -> LinearStart:
    """Fit PCA (or TruncatedSVD) to the rows of X.

    Parameters
    ----------
    X : ndarray or CSR array of shape (n_samples, n_features)
        Rows; if they are dense and exceed `CACHE_BYTES`, a random sample of
        `SAMPLE_BYTES` is used: this is only where training starts.
    n_components : int
        Number of components. It may exceed what the data has: those beyond start at
        zero.
    seed : int
    subset : ndarray of int, default=None
        Rows to use, all of them by default.
    clean : bool, default=True
        Whether rows are to be restored from themselves: then there is nothing to learn
        where PCA leaves nothing.
    own : bool, default=True
        Whether rows are to be restored, and not others in their place, for which what
        PCA leaves is no measure of what there is to learn.
    noise : callable, default=None
        Function that returns the variance of the noise on each feature that is shown,
        given the root mean square of the features. Training then starts at the best
        linear denoiser: it restores the share s² / (s² + noise) of a component of
        variance s².
    weight : ndarray of shape (n_samples,), default=None
        Weight of each row.
    """
    mean, second_moment = moments(X, subset, weight)
    components, code_variance, share_left = principal(
        X, mean, n_components, seed, subset, weight
    )
    total = float(second_moment.sum()) or 1.0
    n_features = X.shape[1]
    shown = 0.0 if noise is None else noise(np.sqrt(total / n_features))
    restored = code_variance  # the variance that is restored
    if shown > 0.0:
        restored = np.square(code_variance) / (code_variance + shown)
    left = share_left * total + float((code_variance - restored).sum())
    exact = share_left <= 1e-10 and shown == 0.0
    unit = np.sqrt((total if exact or not own else left) / n_features) or 1.0
    s = np.sqrt(code_variance)
    there = s > 1e-6 * np.sqrt(total)
    code_scale = np.ones(n_components)
    if mean is None and there.any():  # absent components count least
        code_scale = np.where(there, s, s[there].min())
        code_scale /= np.sqrt(np.square(s[there]).mean())
    largest = np.sqrt(total)
    seen = np.where(there, np.sqrt(code_variance + shown), largest)
    per_variance = seen / np.where(there, code_variance, 1.0)
    said = np.where(there, restored * per_variance, largest)
    explained = restored @ np.square(components)
    # a little is left of features that are explained to the last digit
    least = np.maximum(1e-6 * second_moment, 1e-12 * total / n_features)
    residual = np.sqrt(np.maximum(second_moment - explained, least)) / unit
    # a feature that hardly varies is not moved by more than it varies
    correction = np.minimum(1.0, np.sqrt(second_moment) / unit)
    feature_scale = None
    if mean is not None:
        sigma = np.sqrt(second_moment)
        least = 10 * np.finfo(np.float64).eps * (np.abs(mean) + sigma)
        sigma = np.where(sigma > least, sigma, np.inf)  # constant: nothing to see
        feature_scale = sigma / unit
    return LinearStart(
        units=Units(mean, unit, is_far=far_from_zero(mean, second_moment)),
        spread=float(np.sqrt(total / n_features) / unit),
        encoder=components.T * (unit / seen * code_scale),
        code_scale=code_scale,
        decoder=components.T * (said / unit),
        feature_scale=feature_scale,
        shown=float(shown) / unit**2,
        residual=residual,
        code_trust=code_scale
        * (np.minimum(1.0, unit / seen) if own else np.ones(n_components))
        * (not (exact and clean)),
        trust=correction * float(not (exact and clean)),
    )


def principal(
    X: Any,
    mean: NDArray[np.float64] | None,
    n_components: int,
    seed: int,
    subset: NDArray[np.intp] | None,
    weight: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return components, the variances of their codes, and the share not explained.

    Components (n_components, n_features) are those of PCA, or of TruncatedSVD where
    `mean` is None; those that the data does not have are zero.
    """
    n_features = X.shape[1]
    if not is_sparse(X):
        n_samples = X.shape[0] if subset is None else len(subset)
        if 8 * n_samples * n_features > CACHE_BYTES:
            most = max(SAMPLE_BYTES // (8 * n_features), 2 * n_components)
            rng = np.random.default_rng(seed)
            chosen = np.sort(rng.choice(n_samples, min(most, n_samples), False))
            subset = chosen if subset is None else subset[chosen]
    if weight is not None:
        weight = weight if subset is None else weight[subset]
        weight = np.sqrt(weight / weight.mean())
    X = X if subset is None else X[subset]
    n_samples = X.shape[0]
    components = np.zeros((n_components, n_features))
    variance = np.zeros(n_components)
    # constant data has no variance to share out, which PCA reports as 0 / 0
    with one_blas_thread(), np.errstate(invalid="ignore", divide="ignore"):
        if mean is None:
            rank = min(n_components, n_features - 1, n_samples)
            if weight is not None:
                X = X.astype(np.promote_types(X.dtype, np.float32))
                X.data *= np.repeat(weight, np.diff(X.indptr)).astype(X.dtype)
            total = float(np.square(X.data, dtype=np.float64).sum()) / n_samples
            if rank < 1:
                return components, variance, 1.0
            unit = _held_unit(np.sqrt(total / n_features))
            if X.nnz <= PRECISE_NUMBERS:
                X = X.astype(np.float64)
            X = X if unit == 1.0 else X / unit
            fitted = TruncatedSVD(rank, random_state=seed).fit(X)
        else:
            rank = min(n_components, n_samples, n_features)
            # centred before the cast, so that a large offset costs no digits
            rows = np.empty(
                X.shape, np.float64 if X.size <= PRECISE_NUMBERS else np.float32
            )
            np.subtract(X, mean, out=rows, casting="same_kind")
            if has_missing(rows):
                rows[np.isnan(rows)] = 0.0  # what is missing, at its mean
            if weight is not None:
                rows *= weight[:, None]
            total = float(np.square(rows, dtype=np.float64).sum()) / n_samples
            if weight is None:
                total = float(moments(rows)[1].sum())
            unit = _held_unit(np.sqrt(total / n_features))
            if unit != 1.0:
                rows /= unit
            if weight is not None:  # with their opposites, their mean is zero
                rows = np.concatenate([rows, -rows]) / np.sqrt(2.0).astype(rows.dtype)
            fitted = PCA(rank, random_state=seed).fit(rows)
    components[:rank] = fitted.components_
    values = fitted.singular_values_.astype(np.float64) * unit
    variance[:rank] = np.square(values) / n_samples
    share_left = max(1.0 - float(variance.sum()) / total, 0.0) if total > 0 else 0.0
    return components, variance, share_left


def _held_unit(size: float) -> float:
    """Return a divisor for numbers of this size, so that float32 holds their squares.

    It is a power of two, so that nothing is rounded.
    """
    if 1e-15 < size < 1e15 or size == 0.0:
        return 1.0
    return float(np.exp2(np.round(np.log2(size))))
