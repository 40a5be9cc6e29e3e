r"""Encoders and decoders.

Every decoder ends in a linear layer, and can say what that layer reads and what it
weighs: ``decoder(z) = features(z) @ weight.T + bias`` with ``weight, bias =
decoder.readout()``. Objectives that need not form the output use this (see
`sklearn_ae.parts.reconstruction.sparse_squared_error`). The output nonlinearity is the
objective's.

Networks are pure functions of their weights, their input and a generator: with one
they draw dropout from it, without they are deterministic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_ae.parts.activations import dropout, get_activation

__all__ = [
    "Encoder",
    "LinearPathDecoder",
    "LinearPathEncoder",
    "MLPDecoder",
    "MLPEncoder",
    "TiedDecoder",
    "dense_layer",
    "linear",
]


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x Wᵀ + b for dense or sparse CSR rows, of shape (batch, n_out)."""
    if x.layout == torch.sparse_csr:
        return torch.sparse.mm(x, weight.T) + bias
    return F.linear(x, weight, bias)


def dense_layer(
    n_in: int,
    n_out: int,
    generator: torch.Generator,
    dtype: torch.dtype,
    gain: float = 1.0,
) -> nn.Linear:
    """Return a linear layer with Glorot-uniform weights drawn from `generator`."""
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out, dtype=dtype)
    nn.init.xavier_uniform_(layer.weight, gain=gain, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def _gain(activation: str) -> float:
    return math.sqrt(2.0) if activation in ("relu", "gelu") else 1.0


def _layers(
    sizes: Sequence[int],
    activation: str,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> nn.ModuleList:
    n_layers = len(sizes) - 1
    gains = [_gain(activation)] * (n_layers - 1) + [1.0]
    return nn.ModuleList(
        dense_layer(n_in, n_out, generator, dtype, gain)
        for n_in, n_out, gain in zip(sizes, sizes[1:], gains, strict=False)
    )


class Encoder(nn.Module):
    """Maps rows (batch, n_features) to pre-activations of codes (batch, n_components)."""

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        raise NotImplementedError


class MLPEncoder(Encoder):
    r"""h₀ = x, h_l = φ(W_l h_{l−1} + b_l); the last layer stays linear.

    Parameters
    ----------
    sizes : sequence of int
        Widths from input to code.
    activation : str
        φ.
    p_dropout : float
        Share of hidden units left out at each training step.
    generator : torch.Generator
        Draws the initial weights.
    dtype : torch.dtype
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str,
        p_dropout: float,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.layers = _layers(sizes, activation, generator, dtype)
        self.activation = get_activation(activation)
        self.p_dropout = p_dropout

    def features(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return what the last layer reads, of shape (batch, last hidden width)."""
        for layer in self.layers[:-1]:
            x = self.activation(linear(x, layer.weight, layer.bias))
            if self.p_dropout:
                x = dropout(x, self.p_dropout, generator)
        return x

    def readout(self) -> tuple[Tensor, Tensor]:
        """Return the last layer's weight (n_out, width) and bias (n_out,)."""
        last = self.layers[-1]
        return last.weight, last.bias

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return linear(self.features(x, generator), *self.readout())

    def weights(self) -> list[Tensor]:
        """Return the weight matrices, without biases."""
        return [layer.weight for layer in self.layers]


class MLPDecoder(MLPEncoder):
    """The same network the other way round, from code to input."""


class TiedDecoder(nn.Module):
    r"""A decoder whose weights ARE the encoder's, transposed: x̂ = φ(…φ(z W_L)…) W₁ + c.

    Only the biases are its own, so a gradient reaches each weight from both sides.

    Parameters
    ----------
    encoder : MLPEncoder
    """

    def __init__(self, encoder: MLPEncoder) -> None:
        super().__init__()
        # In a list, so as not to be registered: the parameters stay the encoder's.
        self._encoder = [encoder]
        self.biases = nn.ParameterList(
            torch.zeros(weight.shape[1], dtype=weight.dtype)
            for weight in reversed(encoder.weights())
        )

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
        return self._encoder[0].weights()[0].T, self.biases[-1]

    def forward(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return F.linear(self.features(z, generator), *self.readout())

    def weights(self) -> list[Tensor]:
        """Return no weights: they are counted where they live."""
        return []


class LinearPathEncoder(Encoder):
    r"""PCA's whitened code plus a network's correction.

    .. math:: z = A x + c \circ (f(x/\sigma) + B\,(x/\sigma))

    with A = s⁻¹V fixed. f's last layer and B start at zero, so training starts at PCA.
    A has to be given by `begin_at`. Sparse rows are not divided by σ.

    Parameters
    ----------
    network : MLPEncoder
        f; its last layer is set to zero.
    """

    precision: Tensor
    code_trust: Tensor

    def __init__(self, network: MLPEncoder) -> None:
        super().__init__()
        first, last = network.weights()[0], network.weights()[-1]
        nn.init.zeros_(last)
        self.network = network
        blank = last.new_zeros(last.shape[0], first.shape[1]).detach()
        self.components = nn.Parameter(blank, requires_grad=False)
        self.correction = nn.Parameter(blank.clone())
        self.register_buffer("precision", blank.new_ones(first.shape[1]))
        self.register_buffer("code_trust", blank.new_ones(last.shape[0]))

    def begin_at(
        self, components: Tensor, feature_scale: Tensor, code_trust: Tensor
    ) -> None:
        """Take over PCA's solution, in the network's units.

        Parameters
        ----------
        components : Tensor of shape (n_components, n_features)
            A.
        feature_scale : Tensor of shape (n_features,)
            σ.
        code_trust : Tensor of shape (n_components,)
            c: how far a correction of size one moves each code.
        """
        self.components.data.copy_(components)
        self.precision.copy_(1.0 / feature_scale)
        self.code_trust.copy_(code_trust)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        sparse = x.layout == torch.sparse_csr
        scaled = x if sparse else x * self.precision
        skip = self.code_trust[:, None] * self.correction * self.precision
        straight = linear(x, self.components + skip, torch.zeros_like(self.code_trust))
        return straight + self.code_trust * self.network(scaled, generator)

    def weights(self) -> list[Tensor]:
        """Return the network's weight matrices, without biases."""
        return self.network.weights()


class LinearPathDecoder(nn.Module):
    r"""PCA's reconstruction plus a network's correction.

    .. math:: \hat x = U z + r \circ (g(z) + C z)

    with U = Vᵀs fixed. g's last layer and C start at zero. U and r have to be given by
    `begin_at`.

    Parameters
    ----------
    network : MLPDecoder
        g; its last layer is set to zero.
    """

    residual_scale: Tensor

    def __init__(self, network: MLPDecoder) -> None:
        super().__init__()
        first, last = network.weights()[0], network.weights()[-1]
        nn.init.zeros_(last)
        self.network = network
        blank = last.new_zeros(last.shape[0], first.shape[1]).detach()
        self.components = nn.Parameter(blank, requires_grad=False)
        self.correction = nn.Parameter(blank.clone())
        self.register_buffer("residual_scale", blank.new_ones(last.shape[0]))

    def begin_at(self, components: Tensor, residual_scale: Tensor) -> None:
        """Take over PCA's solution, in the network's units.

        Parameters
        ----------
        components : Tensor of shape (n_features, n_components)
            U.
        residual_scale : Tensor of shape (n_features,)
            r: what PCA leaves unexplained of each feature (root mean square).
        """
        self.components.data.copy_(components)
        self.residual_scale.copy_(residual_scale)

    def features(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return what the output layer reads: g's last hidden layer, and z."""
        return torch.cat([self.network.features(z, generator), z], dim=1)

    def readout(self) -> tuple[Tensor, Tensor]:
        """Return the output layer's weight (n_features, width) and bias."""
        weight, bias = self.network.readout()
        scale = self.residual_scale[:, None]
        skip = self.components + scale * self.correction
        return torch.cat([scale * weight, skip], dim=1), self.residual_scale * bias

    def forward(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        correction = self.network(z, generator) + F.linear(z, self.correction)
        return F.linear(z, self.components) + self.residual_scale * correction

    def weights(self) -> list[Tensor]:
        """Return the network's weight matrices, without biases."""
        return self.network.weights()
