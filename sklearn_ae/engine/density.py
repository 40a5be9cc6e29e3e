"""Where `sample` draws codes from: a density of the training rows' codes."""

from __future__ import annotations

import copy
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import clone
from sklearn.mixture import GaussianMixture
from sklearn.utils.validation import has_fit_parameter

from sklearn_ae.engine.threads import one_blas_thread
from sklearn_ae.engine.weights import copies, scaled

__all__ = ["Moments", "code_moments", "draw", "fitted", "gaussian", "merged_moments"]

#: Number of rows, mean of their codes, and covariance of these or its diagonal.
Moments: TypeAlias = tuple[int, NDArray[Any], NDArray[Any]]


def code_moments(
    n_rows: int,
    codes: NDArray[Any],
    full: bool,
    weight: NDArray[np.float64] | None = None,
) -> Moments:
    """Return the moments of `n_rows` rows from the codes of some of them.

    `weight`, of shape (n_codes,), says how much each of the codes counts.
    """
    codes = codes.astype(np.float64)
    if weight is not None:
        each = weight / weight.sum()
        mean = each @ codes
        centred = codes - mean
        variance = each @ np.square(centred)
    else:
        mean = codes.mean(axis=0)
        centred = codes - mean
        variance = np.square(centred).mean(axis=0)
    # each component has its own ridge: one may vary by far less than another
    ridge = 1e-6 * variance + 1e-12 * (float(variance.max()) or 1.0)
    if not full:
        return n_rows, mean, variance + ridge
    if weight is not None:
        covariance = (centred * each[:, None]).T @ centred
    else:
        covariance = centred.T @ centred / len(codes)
    return n_rows, mean, covariance + np.diag(ridge)


def merged_moments(first: Moments, second: Moments) -> Moments:
    """Return the moments of two sets of rows together."""
    total = first[0] + second[0]
    share = second[0] / total
    apart = second[1] - first[1]
    mean = first[1] + share * apart
    covariance = (1.0 - share) * first[2] + share * second[2]
    between = np.outer(apart, apart) if covariance.ndim == 2 else np.square(apart)
    return total, mean, covariance + share * (1.0 - share) * between


def gaussian(moments: Moments) -> GaussianMixture:
    """Return a mixture of one Gaussian that has these moments."""
    _, mean, covariance = moments
    full = covariance.ndim == 2
    density = GaussianMixture(covariance_type="full" if full else "diag")
    density.weights_ = np.ones(1)
    density.means_, density.covariances_ = mean[None], covariance[None]
    if full:
        factor = np.linalg.inv(np.linalg.cholesky(covariance)).T
        density.precisions_ = np.linalg.inv(covariance)[None]
    else:
        factor = 1.0 / np.sqrt(covariance)
        density.precisions_ = 1.0 / covariance[None]
    density.precisions_cholesky_ = factor[None]
    return density


def fitted(
    density: Any,
    codes: NDArray[Any],
    seed: int,
    weight: NDArray[np.float64] | None = None,
) -> Any:
    """Return a copy of an estimator of densities, fitted to codes; None for None.

    An estimator that does not support weights is given copies of the codes, as many as
    their weights say.
    """
    if density is None:
        return None
    given, density = density, clone(density)
    if density.get_params().get("random_state", 0) is None:
        density.set_params(random_state=seed % 2**32)
    # it is given numpy arrays, whatever X was
    weights = {}
    if weight is not None and has_fit_parameter(density, "sample_weight"):
        weights["sample_weight"] = scaled(weight)
    elif weight is not None:
        codes = codes[copies(weight)]
    try:
        with one_blas_thread(), config_context(array_api_dispatch=False):
            return density.fit(codes.astype(np.float64), **weights)
    except ValueError as error:
        raise ValueError(
            f"The density {given!r} cannot be fitted to {len(codes)} codes: {error}"
        ) from error


def draw(density: Any, n: int, rng: np.random.RandomState) -> NDArray[Any]:
    """Return codes (n, n_components) drawn from a fitted density."""
    with config_context(array_api_dispatch=False):
        if "random_state" not in density.get_params():  # as KernelDensity
            return density.sample(n, random_state=rng)
        density = copy.copy(density)
        density.random_state = rng
        drawn = density.sample(n)
    if not isinstance(drawn, tuple):
        return drawn
    codes, _ = drawn  # a mixture's draws are in the order of its components
    return codes[rng.permutation(n)]
