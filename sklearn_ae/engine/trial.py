"""A trial of a fit: codes and reconstructions of some rows have to be finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sklearn_ae.engine import inputs
from sklearn_ae.engine.fit import FittedNetwork
from sklearn_ae.engine.notices import diverged
from sklearn_ae.engine.rows import Batch

__all__ = ["GAUSSIAN_ROWS", "are_sound", "try_out"]

#: The Gaussian that `sample` draws from is that of the codes of at most this many rows.
GAUSSIAN_ROWS = 2000
#: At most this many rows are restored in the trial of a fit.
PROBE_ROWS = 256


def try_out(
    network: FittedNetwork, X: Any, seed: int, rate: float, decodes: bool = True
) -> NDArray[Any]:
    """Return the codes of up to `GAUSSIAN_ROWS` rows, if the fit passes the trial.

    Raises
    ------
    ValueError
        If codes, or reconstructions where it decodes, are not finite: the loss that is
        known is the one before the last step.
    """
    if X.shape[0] > GAUSSIAN_ROWS:
        X = X[inputs.some_rows(X.shape[0], seed, GAUSSIAN_ROWS)]
    module = network.module

    def errors(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = module.errors(Batch(x, x), 1.0, per_feature=False)
        return found

    probe, codes = X[:PROBE_ROWS], network.encode(X)
    lost = codes[:0]
    if decodes:
        lost = network.apply(errors, probe)
        if inputs.has_missing(probe):  # rows without any value do not count
            lost = lost[~np.isnan(probe).all(axis=1)]
    if are_sound(codes) and np.isfinite(lost).all():
        return codes
    raise diverged(rate)


def are_sound(codes: NDArray[Any]) -> bool:
    """Tell whether codes are numbers that have a covariance."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.square(codes, dtype=np.float64)).all())
