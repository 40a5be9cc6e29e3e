"""Two networks side by side, each of which sees one part of the features.

The parts x₁ and x₂ are given by the numbers of their features. The first network
encodes x₁ and its decoder gives x₂; the second encodes x₂ and its decoder gives x₁.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from sklearn_ae.parts.networks import Decoder, Encoder

__all__ = ["CrossDecoder", "SplitEncoder"]

Parts = tuple[Sequence[int], Sequence[int]]


class SplitEncoder(Encoder):
    """z = (f₁(x₁), f₂(x₂)): the codes of both parts, one after the other.

    Parameters
    ----------
    networks : sequence of Encoder
        Encoders f₁ and f₂.
    parts : (sequence of int, sequence of int)
        Numbers of the features of x₁ and x₂.
    """

    part_0: Tensor
    part_1: Tensor

    def __init__(self, networks: Sequence[Encoder], parts: Parts) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        for i, part in enumerate(parts):
            self.register_buffer(f"part_{i}", _numbers(part), persistent=False)

    def split(self) -> list[tuple[Encoder, Tensor]]:
        """Return each network with the numbers of the features that it sees."""
        networks = cast(list[Encoder], list(self.networks))
        return list(zip(networks, (self.part_0, self.part_1), strict=True))

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        codes = [f(x.index_select(1, part), generator) for f, part in self.split()]
        return torch.cat(codes, 1)

    def see(self, scale: Tensor, reach: float = math.inf) -> None:
        """See each feature in its own scale, and no farther than `reach`."""
        for network, part in self.split():
            network.see(scale[part.to(scale.device)], reach)

    def weights(self) -> list[Tensor]:
        return [weight for network, _ in self.split() for weight in network.weights()]

    @property
    def widest_layer(self) -> int:
        return sum(network.widest_layer for network, _ in self.split())

    @property
    def n_multiplications(self) -> int:
        return sum(network.n_multiplications for network, _ in self.split())


class CrossDecoder(nn.Module):
    """x̂₂ = g₁(z₁) and x̂₁ = g₂(z₂), put together in the order of the features.

    Parameters
    ----------
    networks : sequence of Module
        Decoders: g₁, which gives the second part, and g₂, which gives the first.
    sizes : (int, int)
        Sizes of z₁ and z₂.
    parts : (sequence of int, sequence of int)
        Numbers of the features of x₁ and x₂.
    n_values : int
        Number of values for each feature; they lie side by side.
    """

    order: Tensor

    def __init__(
        self,
        networks: Sequence[nn.Module],
        sizes: tuple[int, int],
        parts: Parts,
        n_values: int = 1,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.sizes, self.n_values, self.predicted = list(sizes), n_values, parts
        order = _numbers([*parts[0], *parts[1]]).argsort()
        self.register_buffer("order", order, persistent=False)

    def forward(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return (batch, n_features), or (batch, n_features, n_values)."""
        pairs = zip(self._decoders(), z.split(self.sizes, 1), strict=True)
        given = [network(code, generator) for network, code in pairs]
        if self.n_values > 1:
            given = [a.unflatten(1, (-1, self.n_values)) for a in given]
        return torch.cat(given[::-1], 1).index_select(1, self.order)

    def speak(self, scale: Tensor, constant: Tensor) -> None:
        """Set each feature's scale, and the constant that is restored at first."""
        sizes = [len(network_part) for network_part in self.predicted]
        places = torch.argsort(self.order).split(sizes)
        for network, part in zip(self._decoders()[::-1], places, strict=True):
            network.speak(scale[part], constant[part])

    def features(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return what the output layers read, if both networks are dense."""
        pairs = zip(self._decoders(), z.split(self.sizes, 1), strict=True)
        return torch.cat([g.features(code, generator) for g, code in pairs], 1)

    def readout(self) -> tuple[Tensor, Tensor]:
        """Return weight (n_features, width) and bias of both output layers as one."""
        (first, bias), (second, other) = (g.readout() for g in self._decoders())
        weight = torch.block_diag(first, second).split([len(first), len(second)])
        return (
            torch.cat(weight[::-1]).index_select(0, self.order),
            torch.cat([other, bias]).index_select(0, self.order),
        )

    def weights(self) -> list[Tensor]:
        """Return the weight matrices, without biases."""
        return [weight for g in self._decoders() for weight in g.weights()]

    def _decoders(self) -> list[Decoder]:
        return cast(list[Decoder], list(self.networks))


def _numbers(features: Sequence[int]) -> Tensor:
    return torch.tensor(features, dtype=torch.int64, device="cpu")
