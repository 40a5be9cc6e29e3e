"""Layers that know the scale of each feature, and what weights start at."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_ae.parts.sparse import sparse_product

__all__ = [
    "DataDense",
    "Dense",
    "Layer",
    "Preconditioner",
    "initial",
    "linear",
    "weight_decay",
]

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
