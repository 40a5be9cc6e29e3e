r"""Encoders and decoders.

Every decoder ends in a linear layer, and gives the input and the weights of that layer:
``decoder(z) = features(z) @ weight.T + bias`` with ``weight, bias =
decoder.readout()``. Objectives that do not form the output use this (see
`sklearn_ae.parts.sparse.sparse_squared_error`). The output's activation belongs to the
objective.

Networks are pure functions of their weights, their input and a generator. They draw
dropout from the generator; without one they are deterministic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_ae.parts.activations import dropout, get_activation
from sklearn_ae.parts.layers import (
    DataDense,
    Dense,
    Layer,
)

__all__ = ["Decoder", "Encoder", "MLPDecoder", "MLPEncoder", "TiedDecoder"]

#: The initial weights of a decoder's last layer are smaller than others by this factor,
#: so that training starts near the best constant. At zero the encoder would have no
#: gradient, and the gradient of biases would be round-off, which "adam" follows in
#: whole steps.
FIRST_SHARE = 0.01


class Encoder(nn.Module):
    """Maps rows (batch, n_features) to codes (batch, n_components), pre-activation."""

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        raise NotImplementedError

    def features(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return what the last layer reads, of shape (batch, last hidden width)."""
        raise NotImplementedError

    def readout(self) -> tuple[Tensor, Tensor]:
        """Return the last layer's weight (n_out, width) and bias (n_out,)."""
        raise NotImplementedError

    def see(self, scale: Tensor, reach: float = math.inf) -> None:
        """See each feature in its own scale, and no farther than `reach`.

        By default rows are seen as they are.
        """

    def weights(self) -> list[Tensor]:
        """Return the weight matrices, without biases."""
        raise NotImplementedError

    @property
    def widest_layer(self) -> int:
        """Number of values in the widest layer, for one row."""
        return max(n for weight in self.weights() for n in weight.shape)

    @property
    def n_multiplications(self) -> int:
        """Approximate number of multiplications that encode a row."""
        return sum(parameter.numel() for parameter in self.parameters())


class Decoder(Protocol):
    """Maps codes (batch, n_components) to rows (batch, n_features), pre-activation."""

    def __call__(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return pre-activations (batch, n_features)."""

    def speak(self, scale: Tensor, constant: Tensor) -> None:
        """Set each feature's scale, and the constant that is restored at first."""

    def features(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return what the last layer reads, of shape (batch, last hidden width)."""

    def readout(self) -> tuple[Tensor, Tensor]:
        """Return the last layer's weight (n_features, width) and bias."""

    def weights(self) -> list[Tensor]:
        """Return the weight matrices, without biases."""


class MLPEncoder(Encoder):
    r"""h₀ = x, h_l = φ(W_l h_{l−1} + b_l); the last layer stays linear.

    Parameters
    ----------
    sizes : sequence of int
        Widths from input to code.
    activation : str
        Name of φ.
    p_dropout : float
        Share of hidden units left out at each training step.
    generator : torch.Generator
        Source of the initial weights.
    dtype : torch.dtype
        Dtype of the weights.
    """

    encodes: ClassVar[bool] = True

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str,
        p_dropout: float,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        hidden = math.sqrt(2.0) if activation == "relu" else 1.0
        gains = [hidden] * (len(sizes) - 2) + [1.0]
        kinds = [Dense] * len(gains)
        kinds[0 if self.encodes else -1] = DataDense
        self.layers = nn.ModuleList(
            kind(n_in, n_out, generator, dtype, gain, self.encodes)
            for kind, n_in, n_out, gain in zip(
                kinds, sizes, sizes[1:], gains, strict=False
            )
        )
        self.activation_name = activation
        self.activation = get_activation(activation)
        self.p_dropout = p_dropout

    def features(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        for layer in self._dense()[:-1]:
            x = self.activation(layer(x, generator is None))
            if self.p_dropout:
                x = dropout(x, self.p_dropout, generator)
        return x

    def readout(self) -> tuple[Tensor, Tensor]:
        return self._dense()[-1].affine()

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        h: Tensor = self._dense()[-1](self.features(x, generator), generator is None)
        return h

    @property
    def facing(self) -> DataDense:
        """The layer that faces the data."""
        layer = self._dense()[0 if self.encodes else -1]
        assert isinstance(layer, DataDense)
        return layer

    def see(self, scale: Tensor, reach: float = math.inf) -> None:
        """Set each feature's scale, and the value at which rows are clipped."""
        self.facing.each.set(scale, torch.zeros_like(scale), reach)

    def weights(self) -> list[Tensor]:
        return [layer.weight for layer in self._dense()]

    def chain(self) -> list[Layer]:
        """Return the layers, the last one linear."""
        *hidden, last = self._dense()
        layers = [(*layer.affine(), self.activation_name) for layer in hidden]
        return [*layers, (*last.affine(), "identity")]

    def _dense(self) -> list[Dense]:
        return list(self.layers._modules.values())  # type: ignore[arg-type]


class MLPDecoder(MLPEncoder):
    """The same network in the other direction, from code to row."""

    encodes: ClassVar[bool] = False

    def speak(self, scale: Tensor, constant: Tensor) -> None:
        """Set each feature's scale, and the constant that is restored at first."""
        self.facing.each.set(scale, constant)
        with torch.no_grad():
            self.facing.kernel.mul_(FIRST_SHARE)


class TiedDecoder(nn.Module):
    r"""A decoder that shares the encoder's weights: x̂ = φ(…φ(z W_L)…) W₁ + c.

    It has its own biases alone, so a gradient reaches each weight from both sides.

    Parameters
    ----------
    encoder : MLPEncoder
        Encoder that it mirrors.
    """

    constant: Tensor

    def __init__(self, encoder: MLPEncoder) -> None:
        super().__init__()
        with torch.no_grad():  # WᵀW of many units would multiply rows by a large factor
            n_in, n_out = encoder.facing.kernel.shape
            encoder.facing.kernel.mul_(min(1.0, math.sqrt(n_in / n_out)))
        # The list keeps torch from registering the encoder's parameters here, too.
        self._encoder = [encoder]
        self.biases = nn.ParameterList(
            torch.zeros(weight.shape[1], dtype=weight.dtype, device="cpu")
            for weight in reversed(encoder.weights())
        )
        self.register_buffer("constant", torch.zeros_like(self.biases[-1].detach()))

    def speak(self, scale: Tensor, constant: Tensor) -> None:
        """Set the constant that zeros decode to; the scales are the encoder's."""
        self.constant.copy_(constant)

    def features(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return what the last layer reads, of shape (batch, first hidden width)."""
        encoder = self._encoder[0]
        pairs = zip(encoder.weights()[:0:-1], self.biases, strict=False)
        for weight, bias in pairs:
            z = encoder.activation(F.linear(z, weight.T, bias))
            if encoder.p_dropout:
                z = dropout(z, encoder.p_dropout, generator)
        return z

    def readout(self) -> tuple[Tensor, Tensor]:
        """Return the last layer's weight (n_features, width) and bias."""
        facing = self._encoder[0].facing
        bias = torch.addcmul(self.constant, self.biases[-1], facing.each.scale)
        return facing.weight.T, bias

    def forward(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return F.linear(self.features(z, generator), *self.readout())

    def weights(self) -> list[Tensor]:
        """Return no weights, because the encoder's are counted there."""
        return []
