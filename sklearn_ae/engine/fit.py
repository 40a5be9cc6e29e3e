"""The result of a training: one object, which computes and is saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_ae.engine.density import Moments
from sklearn_ae.engine.rows import compute_rows, stream_rows
from sklearn_ae.engine.streams import Stream
from sklearn_ae.engine.units import Units

__all__ = ["Fit", "FittedNetwork"]


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """A trained network, with the units of its rows.

    Parameters
    ----------
    module : CodingModule
    units : Units
        Units of the rows.
    dtype : str
        Value of the `dtype` parameter of the fit.
    loss : str
        Value of the `loss` parameter of the fit.
    """

    module: Any  # of the method's own kind
    units: Units
    dtype: str
    loss: str

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self._weight.device

    @property
    def precision(self) -> torch.dtype:
        """Dtype that the network computes in."""
        return self._weight.dtype

    @property
    def _weight(self) -> Tensor:
        weight: Tensor = next(self.module.parameters())
        return weight

    def apply(
        self,
        function: Callable[[Tensor], Tensor],
        X: Any,
        units: Units | None = None,
        width: int | None = None,
        in_float64: bool = False,
    ) -> NDArray[Any]:
        """Return `function` of the rows of X by chunks, see `compute_rows`.

        `units` are those of the fit by default, and `width` that of the widest layer.
        """
        where = self._where(units, width)
        return compute_rows(function, X, *where, in_float64)

    def iterate(
        self, function: Callable[[Tensor], Tensor], X: Any
    ) -> Iterator[NDArray[Any]]:
        """Yield `function` of the rows of X by chunks."""
        return stream_rows(function, X, *self._where(None, None))

    def encode(self, X: Any) -> NDArray[Any]:
        """Return the codes of the rows of X."""
        return self.apply(self.module.encode, X)

    def _where(
        self, units: Units | None, width: int | None
    ) -> tuple[Units, torch.dtype, torch.device, int]:
        weight, units = self._weight, self.units if units is None else units
        width = self.module.widest_layer if width is None else width
        return units, weight.dtype, weight.device, width


@dataclass(frozen=True, eq=False)
class Fit(FittedNetwork):
    """The result of one training, or of several that went on from each other.

    Parameters
    ----------
    asked : dict
        Parameters that the network was built from, with their values then.
    history : dict of ndarray
        Terms of the objective by epoch.
    code_moments : tuple
        Number, mean and covariance (or variances) of training codes.
    density : estimator or None
        Density that codes are drawn from, in place of a prior or a Gaussian.
    stream : Stream or None
        State of the stream: what is known of the rows of the fit.
    seed, n_trainings : int
        Seed, and number of trainings that went on from it before.
    optimizer_moments : dict of ndarray or None
        Moments of the optimizer, where training may go on.
    """

    asked: dict[str, Any]
    history: dict[str, NDArray[np.float64]]
    code_moments: Moments
    density: Any
    stream: Stream | None
    seed: int
    n_trainings: int
    optimizer_moments: Mapping[str, NDArray[Any]] | None
