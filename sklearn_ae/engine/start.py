r"""Where training starts: at PCA's solution, in the units that make it easy.

PCA is scikit-learn's; for sparse data, which cannot be centred, it is TruncatedSVD.
What comes out are the arrays that `sklearn_ae.parts.networks.LinearPathEncoder` and its
decoder are made of, in the network's units, and those units themselves: x is divided by
the root mean square of what PCA leaves unexplained, so that the loss starts at half a
nat per feature on any data, and learning rate and penalties mean the same everywhere.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.decomposition import PCA, TruncatedSVD
from threadpoolctl import threadpool_limits

from sklearn_ae.engine.bridge import CACHE_BYTES, Units, moments

__all__ = ["LinearStart", "linear_start"]

# A BLAS splits its sums among its threads, so their number shows in the last bits. One
# thread gives the same bits in a worker process as at home; the lock is there because
# the limit holds for the whole process.
_one_thread = threading.Lock()


@dataclass(frozen=True)
class LinearStart:
    """PCA's solution in the network's units.

    Attributes
    ----------
    units : Units
    encoder : ndarray of shape (n_components, n_features)
        From centred rows to whitened codes.
    decoder : ndarray of shape (n_features, n_components)
        And back.
    feature_scale : ndarray of shape (n_features,)
        Standard deviations; ones where the data is sparse.
    residual_scale : ndarray of shape (n_features,)
        Root mean square of what PCA leaves unexplained, likewise.
    code_trust : ndarray of shape (n_components,)
        How far a correction of size one should move each code.
    """

    units: Units
    encoder: NDArray[np.float64]
    decoder: NDArray[np.float64]
    feature_scale: NDArray[np.float64]
    residual_scale: NDArray[np.float64]
    code_trust: NDArray[np.float64]


def linear_start(
    X: Any, n_components: int, seed: int, subset: NDArray[np.intp] | None = None
) -> LinearStart:
    """Fit PCA (or TruncatedSVD) to the rows of X.

    Parameters
    ----------
    X : ndarray or CSR array of shape (n_samples, n_features)
        Of data that exceeds `CACHE_BYTES` a random subset of rows is used: this is only
        where training starts.
    n_components : int
        May exceed what the data has; the components beyond start at zero.
    seed : int
    subset : ndarray of int, default=None
        The rows to use, all of them by default.
    """
    mean, second_moment = moments(X, subset)
    components, code_variance = _principal(X, n_components, seed, subset)
    explained = (components**2 * code_variance[:, None]).sum(axis=0)
    residual = np.clip(second_moment - explained, 0.0, None)
    total = float(np.sqrt(second_moment.mean())) or 1.0
    unit = max(float(np.sqrt(residual.mean())), 1e-3 * total)
    n_features = components.shape[1]
    norm = total * np.sqrt(n_features)
    s = np.sqrt(code_variance)
    s = np.where(s > 1e-6 * norm, s, norm)
    sigma = np.sqrt(second_moment)
    sigma = np.where(sigma > 1e-7 * norm, sigma, norm)
    if sp.issparse(X):  # neither centred nor scaled by the feature
        sigma, residual = np.full(n_features, unit), np.full(n_features, unit**2)
    return LinearStart(
        units=Units(mean, unit),
        encoder=components * (unit / s)[:, None],
        decoder=components.T * (s / unit),
        feature_scale=sigma / unit,
        residual_scale=np.sqrt(residual) / unit,
        code_trust=np.minimum(1.0, unit * np.sqrt(n_features) / s),
    )


def _principal(
    X: Any, n_components: int, seed: int, subset: NDArray[np.intp] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return components (n_components, n_features) and the variances of their codes."""
    n_features = X.shape[1]
    if not sp.issparse(X):
        n_samples = X.shape[0] if subset is None else len(subset)
        most = max(CACHE_BYTES // (8 * n_features), 2 * n_components)
        if n_samples > most:
            chosen = np.sort(np.random.default_rng(seed).choice(n_samples, most, False))
            subset = chosen if subset is None else subset[chosen]
    X = X if subset is None else X[subset]
    n_samples = X.shape[0]
    components = np.zeros((n_components, n_features))
    variance = np.zeros(n_components)
    with _one_thread, threadpool_limits(1, user_api="blas"):
        if sp.issparse(X):
            rank = min(n_components, n_features - 1, n_samples)
            if rank < 1:
                return components, variance
            fitted = TruncatedSVD(rank, random_state=seed).fit(X)
        else:
            rank = min(n_components, n_samples, n_features)
            precise = np.float64 if X.size <= 2**22 else np.float32
            fitted = PCA(rank, random_state=seed).fit(X.astype(precise))
    components[:rank] = fitted.components_
    variance[:rank] = np.square(fitted.singular_values_, dtype=np.float64) / n_samples
    return components, variance
