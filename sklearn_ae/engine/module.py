"""The interface between training and a network: abstract classes, with defaults."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from sklearn_ae.engine.pca_start import LinearStart
from sklearn_ae.engine.rows import Batch, Rows
from sklearn_ae.engine.surroundings import plain_torch
from sklearn_ae.engine.tensors import make_generator

__all__ = ["Blank", "CodingModule", "TrainableModule", "compute_dtype"]

M = TypeVar("M", bound="CodingModule")


def compute_dtype(dtype: str) -> torch.dtype:
    """Return what weights are held in for the `dtype` parameter."""
    return torch.float64 if dtype == "float64" else torch.float32


@dataclass(frozen=True)
class Blank:
    """The properties of a module that the rows and the computation decide.

    Parameters
    ----------
    n_features : int
    dtype : torch.dtype
        Dtype of the weights.
    generator : torch.Generator
        Generator of the initial weights, on the CPU.
    n_classes : int, default=0
        Number of classes in y, for a method that learns from labels.
    """

    n_features: int
    dtype: torch.dtype
    generator: torch.Generator
    n_classes: int = 0

    @classmethod
    def seeded(
        cls, n_features: int, dtype: str, seed: int = 0, n_classes: int = 0
    ) -> Blank:
        """Return a blank that draws weights from `seed`, for a `dtype` parameter."""
        generator = make_generator(seed, torch.device("cpu"))
        return cls(int(n_features), compute_dtype(dtype), generator, n_classes)

    def build(self, make: Callable[[Blank], M]) -> M:
        """Return ``make(self)``, a module, whatever defaults of torch's are set."""
        with plain_torch():
            return make(self)


class TrainableModule(nn.Module):
    """The interface between the training loop and a module.

    Everything is a function of weights, a batch, hyperparameter tensors and a
    generator, without which nothing is drawn. The units are those of
    `sklearn_ae.engine.units.Units`.
    """

    #: Whether the objective stays what it is until the end of training.
    schedule_done: bool = True
    #: Names of parameters that have far to go, and therefore learn faster.
    fast_parameters: tuple[str, ...] = ()
    #: Whether there is a layer between rows and code.
    has_hidden_units: bool = False

    @property
    @abstractmethod
    def n_multiplications(self) -> int:
        """Approximate number of multiplications in a row's forward pass."""

    @abstractmethod
    def loss(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the terms of the objective by name, as scalars, in nats per row."""

    @property
    def leaves_pca(self) -> bool:
        """Whether linear layers have another optimum than PCA's."""
        return False

    @property
    def noise_variance(self) -> Callable[[float], float] | None:
        """Variance of the noise on rows, as a function of their root mean square.

        None where training puts no noise on the rows that are encoded.
        """
        return None

    def on_epoch(self, progress: float) -> None:
        """Set what changes with the `progress` of training, in [0, 1]."""

    def as_learned(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return held-out rows with what is drawn for each batch while training."""
        return batch


class CodingModule(TrainableModule):
    """A module that encodes rows and decodes codes."""

    #: Size of the code.
    n_components: int
    #: Number of units of the widest layer, by which chunks of rows are sized.
    widest_layer: int

    @abstractmethod
    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return codes (batch, n_components) of rows (batch, n_features)."""

    @abstractmethod
    def decode(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return rows (batch, n_features) of codes (batch, n_components)."""

    @abstractmethod
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return reconstructions (batch, n_features) of rows (batch, n_features)."""

    @abstractmethod
    def errors(
        self,
        batch: Batch,
        units: float,
        per_feature: bool,
        z: Tensor | None = None,
    ) -> Tensor:
        """Return reconstruction errors in the units of the data.

        Parameters
        ----------
        batch : Batch
        units : float
            Size of the network's unit in the units of the data.
        per_feature : bool
            Whether to return each entry's error (batch, n_features), or each row's mean
            (batch,).
        z : Tensor of shape (batch, n_components) or None
            Codes to decode, those of the batch by default.
        """

    @property
    def traits(self) -> Mapping[str, object]:
        """Values that fix the objective: training does not go on with other ones."""
        return {}

    def start_at_pca(self, start: LinearStart) -> None:
        """Take over PCA's solution, where there is a linear path."""
        raise NotImplementedError

    def start_from_rows(self, rows: Rows) -> None:
        """Look at the rows to learn from, before the first step."""
