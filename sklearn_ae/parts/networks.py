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
from sklearn_ae.parts.sparse import full_precision, sparse_product

__all__ = [
    "REACH",
    "DataDense",
    "Decoder",
    "Dense",
    "Encoder",
    "Layer",
    "LinearPathDecoder",
    "LinearPathEncoder",
    "MLPDecoder",
    "MLPEncoder",
    "Preconditioner",
    "TiedDecoder",
    "initial",
    "linear",
    "weight_decay",
]


#: Beyond so many standard deviations a correction stays constant: the linear path
#: extrapolates, a network does not.
REACH = 5.0

#: The initial weights of a decoder's last layer are smaller than others by this factor,
#: so that training starts near the best constant. At zero the encoder would have no
#: gradient, and the gradient of biases would be round-off, which "adam" follows in
#: whole steps.
FIRST_SHARE = 0.01

#: A layer is its weight (n_out, n_in), its bias (n_out,) and its activation's name.
Layer = tuple[Tensor, Tensor, str]


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x Wᵀ + b for dense or sparse CSR rows, of shape (batch, n_out)."""
    if x.layout == torch.sparse_csr:
        return sparse_product(x, weight.T) + bias
    return F.linear(x, weight, bias)


def weight_decay(weights: Sequence[Tensor], alpha: Tensor) -> Tensor:
    """Return (α/2) Σ ‖W‖², a scalar."""
    squares = torch.stack([weight.square().sum() for weight in weights])
    return 0.5 * alpha * squares.sum()


def initial(
    shape: Sequence[int], scale: float, generator: torch.Generator, dtype: torch.dtype
) -> nn.Parameter:
    """Return weights drawn from a normal distribution of standard deviation `scale`."""
    weights = torch.empty(*shape, dtype=dtype, device="cpu")
    return nn.Parameter(weights.normal_(0.0, scale, generator=generator))


class Dense(nn.Module):
    """x Wᵀ + b, with W drawn from `generator` and scaled by the number of inputs.

    ``nn.Linear`` draws from the global generator, which belongs to the user. The kernel
    has the shape (side of the data, side of the code), because products with sparse
    rows need it in this order, and a copy would cost as much as the product.

    Parameters
    ----------
    n_in, n_out : int
        Widths of the layer's input and output.
    generator : torch.Generator
        Source of the initial weights.
    dtype : torch.dtype
        Dtype of the weights.
    gain : float
        Factor of the initial weights.
    encodes : bool
        Whether the data is at the layer's input.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        generator: torch.Generator,
        dtype: torch.dtype,
        gain: float = 1.0,
        encodes: bool = True,
    ) -> None:
        super().__init__()
        shape = (n_in, n_out) if encodes else (n_out, n_in)
        self.kernel = initial(shape, gain / math.sqrt(max(n_in, 1)), generator, dtype)
        self.bias = nn.Parameter(torch.zeros(n_out, dtype=dtype, device="cpu"))
        self.encodes = encodes

    @property
    def weight(self) -> Tensor:
        """Weight W, of shape (n_out, n_in)."""
        return self.kernel.T if self.encodes else self.kernel

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return W (n_out, n_in) and b (n_out,) such that the layer is x Wᵀ + b."""
        return self.weight, self.bias

    def forward(self, x: Tensor, clip: bool = True) -> Tensor:
        """Return x Wᵀ + b; layers that face the data may clip x."""
        return linear(x, self.weight, self.bias)


class Preconditioner(nn.Module):
    r"""m + s ∘ x: each feature in its own scale, at either end of a network.

    s and m are not learned; at first they are ones and zeros. An optimizer that moves
    all weights by similar amounts then moves each feature by a similar share of its own
    scale. The functions that can be learned stay the same.

    Parameters
    ----------
    n_features : int
        Number of features.
    dtype : torch.dtype
        Dtype of s and m.
    """

    scale: Tensor
    constant: Tensor
    reach: Tensor

    def __init__(self, n_features: int, dtype: torch.dtype) -> None:
        super().__init__()
        ones = torch.ones(n_features, dtype=dtype, device="cpu")
        self.register_buffer("scale", ones)
        self.register_buffer("constant", torch.zeros_like(ones))
        self.register_buffer("reach", ones.new_tensor(math.inf))
        self._known: tuple[bool, bool, float] | None = None
        self.register_load_state_dict_post_hook(_forget)

    def set(self, scale: Tensor, constant: Tensor, reach: float = math.inf) -> None:
        """Set s, m and the value at which the result is clipped."""
        self.scale.copy_(scale)
        self.constant.copy_(constant)
        self.reach.fill_(reach)
        self._known = None

    def _properties(self) -> tuple[bool, bool, float]:
        """Return whether s and m do anything, and the reach; plain values are fast."""
        if self._known is None:
            scales, adds = bool((self.scale != 1.0).any()), bool(self.constant.any())
            self._known = scales, adds, float(self.reach)
        return self._known

    @property
    def scales(self) -> bool:
        """Whether s differs from ones."""
        return self._properties()[0]

    def forward(self, x: Tensor, clip: bool = True) -> Tensor:
        """Return m + s ∘ x of (batch, n_features), clipped to the reach."""
        scales, adds, reach = self._properties()
        if scales and adds:
            x = torch.addcmul(self.constant, x.to(self.scale.dtype), self.scale)
        elif scales:
            x = x.to(self.scale.dtype) * self.scale
        elif adds:
            x = x.to(self.scale.dtype) + self.constant
        # training rows are within reach, so that training can skip this pass
        return x.clamp(-reach, reach) if clip and not math.isinf(reach) else x


def _forget(module: Preconditioner, keys: object) -> None:
    """Read the properties again after other values were loaded."""
    module._known = None


class DataDense(Dense):
    r"""A layer that faces the data and works in each feature's own scale.

    .. math:: a = K^\top (s \circ x) + b \quad\text{(encodes)},\qquad
              a = m + s \circ (K h + b) \quad\text{(decodes)}

    K and b are learned; s and m are those of a `Preconditioner`. Outside of training
    rows are clipped to its reach, so that a feature that hardly varied cannot have
    arbitrarily large values. Sparse rows are multiplied by s and not clipped.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        generator: torch.Generator,
        dtype: torch.dtype,
        gain: float = 1.0,
        encodes: bool = True,
    ) -> None:
        super().__init__(n_in, n_out, generator, dtype, gain, encodes)
        self.each = Preconditioner(self.kernel.shape[0], dtype)

    @property
    def weight(self) -> Tensor:
        kernel: Tensor = self.kernel
        kernel = kernel * self.each.scale[:, None] if self.each.scales else kernel
        return kernel.T if self.encodes else kernel

    def affine(self) -> tuple[Tensor, Tensor]:
        if self.encodes:  # rows are centred already
            return self.weight, self.bias
        return self.weight, self.each(self.bias)

    def forward(self, x: Tensor, clip: bool = True) -> Tensor:
        if not self.encodes:
            return self.each(F.linear(x, self.kernel, self.bias), False)
        if x.layout == torch.sparse_csr:
            return linear(x, self.weight, self.bias)
        return F.linear(self.each(x, clip), self.kernel.T, self.bias)


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
        """Set each feature's scale, and the value at which rows are clipped."""
        raise NotImplementedError

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


class LinearPathEncoder(Encoder):
    r"""PCA's code plus a network's correction.

    .. math:: z = A x + t \circ (f(u) + B u),\qquad u = x/\sigma

    A = c s⁻¹V is fixed, with c = 1 if codes are whitened. f sees u clipped to ±5, or
    unclipped for sparse rows. f's last layer and B start at zero, so training starts at
    PCA. `start_at_pca` sets A, σ and t.

    Parameters
    ----------
    network : MLPEncoder
        Network f; its last layer is set to zero.
    """

    precision: Tensor
    reach: Tensor
    trust: Tensor

    def __init__(self, network: MLPEncoder) -> None:
        super().__init__()
        first, last = network.weights()[0], network.weights()[-1]
        nn.init.zeros_(last)
        self.network = network
        blank = first.new_zeros(first.shape[1], last.shape[0]).detach()
        self.components = nn.Parameter(blank, requires_grad=False)
        self.correction = nn.Parameter(blank.clone())
        self.register_buffer("precision", blank.new_ones(first.shape[1]))
        self.register_buffer("reach", blank.new_tensor(math.inf))
        self._reach_number: float | None = None  # clamping by a tensor is slow
        self.register_buffer("trust", blank.new_ones(last.shape[0]))

    def start_at_pca(
        self, components: Tensor, feature_scale: Tensor | None, trust: Tensor
    ) -> None:
        """Take over PCA's solution, in the network's units.

        Parameters
        ----------
        components : Tensor of shape (n_features, n_components)
            Matrix Aᵀ.
        feature_scale : Tensor of shape (n_features,) or None
            Scales σ; None for sparse rows, which have no scales.
        trust : Tensor of shape (n_components,)
            Distances t that a correction of size one moves each code.
        """
        self.components.data.copy_(components)
        if feature_scale is not None:
            self.precision.copy_(1.0 / feature_scale)
            self.reach.fill_(REACH)
            self._reach_number = None
        self.trust.copy_(trust)

    def _reach(self) -> float:
        if self._reach_number is None:
            self._reach_number = float(self.reach)
        return self._reach_number

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if x.layout == torch.sparse_csr:
            u, skip = x, self.correction * self.trust
        else:
            u = x * self.precision
            if not math.isinf(self._reach()):
                u = u.clamp_(-self._reach(), self._reach())
            skip = self.correction * self.precision[:, None] * self.trust
        weight, bias = self.network.readout()
        h = self.network.features(u, generator).to(bias.dtype)
        with full_precision(x.device.type):
            straight = linear(x, (self.components + skip).T, self.trust * bias)
            return torch.addmm(straight, h, weight.T * self.trust)

    def weights(self) -> list[Tensor]:
        """Return the network's weight matrices, without biases."""
        return self.network.weights()


class LinearPathDecoder(nn.Module):
    r"""PCA's reconstruction plus a network's correction.

    .. math:: \hat x = U w + r \circ (g(w) + C w),\qquad w = z/c

    U = Vᵀs is fixed. g sees the whitened codes w clipped to ±5. g's last layer and C
    start at zero. `start_at_pca` sets U, c and r.

    Parameters
    ----------
    network : MLPDecoder
        Network g; its last layer is set to zero.
    """

    code_scale: Tensor
    trust: Tensor

    def __init__(self, network: MLPDecoder) -> None:
        super().__init__()
        first, last = network.weights()[0], network.weights()[-1]
        nn.init.zeros_(last)
        self.network = network
        blank = last.new_zeros(last.shape[0], first.shape[1]).detach()
        self.components = nn.Parameter(blank, requires_grad=False)
        self.correction = nn.Parameter(blank.clone())
        self.register_buffer("code_scale", blank.new_ones(first.shape[1]))
        self.register_buffer("trust", blank.new_ones(last.shape[0]))

    def start_at_pca(
        self, components: Tensor, code_scale: Tensor, trust: Tensor
    ) -> None:
        """Take over PCA's solution, in the network's units.

        Parameters
        ----------
        components : Tensor of shape (n_features, n_components)
            Matrix U.
        code_scale : Tensor of shape (n_components,)
            Scales c of the codes: 1 if they are whitened.
        trust : Tensor of shape (n_features,)
            Distances r that a correction of size one moves each feature.
        """
        self.components.data.copy_(components)
        self.code_scale.copy_(code_scale)
        self.trust.copy_(trust)
        self.network.facing.each.set(trust, torch.zeros_like(trust))

    def features(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return what the output layer reads: g's last hidden layer, and w."""
        z = z / self.code_scale
        return torch.cat([self._hidden(z, generator), z], dim=1)

    def readout(self) -> tuple[Tensor, Tensor]:
        """Return the output layer's weight (n_features, width) and bias."""
        weight, bias = self.network.readout()
        return torch.cat([weight, self._skip()], dim=1), bias

    def forward(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        z = z / self.code_scale
        weight, bias = self.network.readout()
        h = self._hidden(z, generator).to(bias.dtype)
        with full_precision(z.device.type):
            straight = F.linear(z, self._skip(), bias)
            return torch.addmm(straight, h, weight.T)

    def _skip(self) -> Tensor:
        return torch.addcmul(self.components, self.correction, self.trust[:, None])

    def _hidden(self, z: Tensor, generator: torch.Generator | None) -> Tensor:
        return self.network.features(z.clamp(-REACH, REACH), generator)

    def weights(self) -> list[Tensor]:
        """Return the network's weight matrices, without biases."""
        return self.network.weights()
