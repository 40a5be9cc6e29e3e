r"""Encoders and decoders.

Every decoder ends in a linear layer, and can say what that layer reads and what it
weighs: ``decoder(z) = features(z) @ weight.T + bias`` with ``weight, bias =
decoder.readout()``. Objectives that need not form the output use this (see
`sklearn_ae.parts.sparse.sparse_squared_error`). The output nonlinearity is the
objective's.

Networks are pure functions of their weights, their input and a generator: with one
they draw dropout from it, without they are deterministic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_ae.parts.activations import dropout, get_activation
from sklearn_ae.parts.sparse import full_precision, sparse_product

__all__ = [
    "REACH",
    "DataDense",
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


#: Standard deviations beyond which a correction stays what it is at the border: a
#: network does not extrapolate, the linear path does.
REACH = 5.0

#: A decoder's last weights are first drawn this much smaller than its others: what is
#: restored is then about the best constant. At zero the encoder would have no gradient,
#: and that of the biases would be round-off, of which "adam" makes whole steps.
FIRST_SHARE = 0.01

#: A layer's weight (n_out, n_in), bias (n_out,) and the name of its activation.
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

    ``nn.Linear`` draws from the global generator, which is the user's. The kernel is
    held as (side of the data, side of the code): sparse rows are multiplied by a
    matrix that lies so in memory, at either end, and a copy would cost as much.

    Parameters
    ----------
    n_in, n_out : int
    generator : torch.Generator
    dtype : torch.dtype
    gain : float
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
        """W, of shape (n_out, n_in)."""
        return self.kernel.T if self.encodes else self.kernel

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return W (n_out, n_in) and b (n_out,), where the layer is x Wᵀ + b."""
        return self.weight, self.bias

    def forward(self, x: Tensor, clip: bool = True) -> Tensor:
        """Return x Wᵀ + b; what faces the data may clip it."""
        return linear(x, self.weight, self.bias)


class Preconditioner(nn.Module):
    r"""m + s ∘ x: each feature in its own scale, at either end of a network.

    s and m are fixed, ones and zeros to begin with. An optimizer that moves each weight
    by about as much then moves each feature by about as much of its own scale, whatever
    that is. What can be learned stays the same.

    Parameters
    ----------
    n_features : int
    dtype : torch.dtype
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
        """Set s and m, and beyond what it is clipped."""
        self.scale.copy_(scale)
        self.constant.copy_(constant)
        self.reach.fill_(reach)
        self._known = None

    def _properties(self) -> tuple[bool, bool, float]:
        """Return whether there is any s, any m, and the reach: numbers are quick."""
        if self._known is None:
            scales, adds = bool((self.scale != 1.0).any()), bool(self.constant.any())
            self._known = scales, adds, float(self.reach)
        return self._known

    @property
    def scales(self) -> bool:
        """Whether there is any s."""
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
        # rows that training begins with are within reach: a pass over them is saved
        return x.clamp(-reach, reach) if clip and not math.isinf(reach) else x


def _forget(module: Preconditioner, keys: object) -> None:
    """Read the properties again: other numbers were loaded."""
    module._known = None


class DataDense(Dense):
    r"""A layer that faces the data, and works in each feature's own scale.

    .. math:: a = K^\top (s \circ x) + b \quad\text{(encodes)},\qquad
              a = m + s \circ (K h + b) \quad\text{(decodes)}

    K and b are learned, s and m are a `Preconditioner`'s. Outside of training
    what is seen is clipped beyond its reach: a feature that hardly varied is not seen
    from arbitrarily far. Sparse rows are seen as they are, times s.
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
        if self.encodes:  # all that is seen is centred already
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
        """See each feature in its own scale, and no farther than `reach`.

        By default rows are seen as they are.
        """

    def weights(self) -> list[Tensor]:
        """Return the weight matrices, without biases."""
        raise NotImplementedError

    @property
    def widest_layer(self) -> int:
        """How many numbers the widest layer has, of one row."""
        return max(n for weight in self.weights() for n in weight.shape)

    @property
    def n_multiplications(self) -> int:
        """About how many multiplications it takes to encode a row."""
        return sum(parameter.numel() for parameter in self.parameters())


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
        """See each feature in its own scale, and no farther than `reach`."""
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
    """The same network the other way round, from code to input."""

    encodes: ClassVar[bool] = False

    def speak(self, scale: Tensor, constant: Tensor) -> None:
        """Restore each feature in its own scale, and about the constant at first."""
        self.facing.each.set(scale, constant)
        with torch.no_grad():
            self.facing.kernel.mul_(FIRST_SHARE)


class TiedDecoder(nn.Module):
    r"""A decoder whose weights ARE the encoder's, transposed: x̂ = φ(…φ(z W_L)…) W₁ + c.

    Only the biases are its own, so a gradient reaches each weight from both sides.

    Parameters
    ----------
    encoder : MLPEncoder
    """

    constant: Tensor

    def __init__(self, encoder: MLPEncoder) -> None:
        super().__init__()
        with torch.no_grad():  # Wᵀ W of many units would restore rows many times over
            n_in, n_out = encoder.facing.kernel.shape
            encoder.facing.kernel.mul_(min(1.0, math.sqrt(n_in / n_out)))
        # In a list, so as not to be registered: the parameters stay the encoder's.
        self._encoder = [encoder]
        self.biases = nn.ParameterList(
            torch.zeros(weight.shape[1], dtype=weight.dtype, device="cpu")
            for weight in reversed(encoder.weights())
        )
        self.register_buffer("constant", torch.zeros_like(self.biases[-1].detach()))

    def speak(self, scale: Tensor, constant: Tensor) -> None:
        """Set what zeros are decoded to; the scales are the encoder's."""
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
        """Return no weights: they are counted where they live."""
        return []


class LinearPathEncoder(Encoder):
    r"""PCA's code plus a network's correction.

    .. math:: z = A x + t \circ (f(u) + B u),\qquad u = x/\sigma

    with A = c s⁻¹V fixed (c = 1 where codes are whitened), and f seeing u within ±5
    (sparse rows: unbounded). f's last layer and B start at zero, so training starts at
    PCA. A, σ and t are given by `start_at_pca`.

    Parameters
    ----------
    network : MLPEncoder
        f; its last layer is set to zero.
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
            Aᵀ.
        feature_scale : Tensor of shape (n_features,) or None
            σ; None for sparse rows, which are seen as they are.
        trust : Tensor of shape (n_components,)
            t: how far a correction of size one moves each code.
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

    with U = Vᵀs fixed, and g seeing the whitened codes w within ±5. g's last layer and
    C start at zero. U, c and r are given by `start_at_pca`.

    Parameters
    ----------
    network : MLPDecoder
        g; its last layer is set to zero.
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
            U.
        code_scale : Tensor of shape (n_components,)
            c: 1 where codes are whitened.
        trust : Tensor of shape (n_features,)
            r: how far a correction of size one moves each feature.
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
