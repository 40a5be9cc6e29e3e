"""What an autoencoder is composed of, before it is built."""

from __future__ import annotations

from dataclasses import dataclass

from sklearn_ae.engine.module import Blank
from sklearn_ae.parts.corruptions import Corruption
from sklearn_ae.parts.penalties import Penalty

__all__ = ["Images", "Network"]


@dataclass(frozen=True)
class Images:
    """The shape of convolutional networks.

    Parameters
    ----------
    shape : (int, int, int)
        Height, width and channels of a row.
    channels : tuple of int
        Number of maps of each block.
    kernel_size : int
    unpooling : str
    """

    shape: tuple[int, int, int]
    channels: tuple[int, ...]
    kernel_size: int
    unpooling: str


@dataclass(frozen=True)
class Network:
    """The parts and settings that an autoencoder is composed of.

    Parameters
    ----------
    blank : Blank
    n_components : int
    hidden_layer_sizes : tuple of int
    activation, code_activation, output_activation, loss : str
    tied_weights, linear_path : bool
    dropout, alpha : float
    penalties : tuple of (str, Penalty)
    corruption : Corruption or None
    images : Images or None
        Shapes of convolutional networks; None for others.
    """

    blank: Blank
    n_components: int
    hidden_layer_sizes: tuple[int, ...]
    activation: str
    code_activation: str
    output_activation: str
    loss: str
    tied_weights: bool
    linear_path: bool
    dropout: float
    alpha: float
    penalties: tuple[tuple[str, Penalty], ...]
    corruption: Corruption | None
    images: Images | None
