r"""The distance that a code moves with its row: ‖∂z/∂x‖²_F.

For a chain of layers :math:`h_l = \varphi_l(a_l),\ a_l = W_l h_{l-1} + b_l`,

.. math:: J = D_L W_L \cdots D_1 W_1,\qquad D_l = \mathrm{diag}\,\varphi_l'(a_l),

which for one layer is the closed form of Rifai et al. (2011),
:math:`\|J\|_F^2 = \sum_j \varphi'(a_j)^2 \|W_j\|^2`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction, FunctionCtx

from sklearn_ae.parts.activations import get_activation, slope, slope_at_output
from sklearn_ae.parts.averages import mean, mean_row
from sklearn_ae.parts.layers import Layer, linear
from sklearn_ae.parts.sparse import dense

__all__ = [
    "Encoding",
    "Layer",
    "chain_norm",
    "estimated_norm",
    "exact_norm",
    "squared_jacobian_norm",
]


class Encoding(NamedTuple):
    """The encoder in the form that penalties get; a call encodes without noise.

    Attributes
    ----------
    encode : callable
        Function from rows (batch, n_features) to codes (batch, n_components).
    layers : callable
        Function that returns ``encode`` as a chain of layers, or None if it is not one.
    generator : torch.Generator or None
        Source of random numbers; None outside of training.
    before : Tensor of shape (batch, n_components) or None
        Input of the code's activation, if it is known.
    unit : Tensor of shape () or float
        Unit of rows, for penalties that depend on it.
    weight : Tensor of shape (batch,) or None
        Weight of each row.
    """

    encode: Callable[[Tensor], Tensor]
    layers: Callable[[], list[Layer] | None]
    generator: torch.Generator | None
    before: Tensor | None = None
    unit: Tensor | float = 1.0
    weight: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        return self.encode(x)

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of `values`, which has one number for each row, a scalar."""
        return mean(values, self.weight)

    def mean_row(self, values: Tensor) -> Tensor:
        """Return the mean over the rows of `values`, (batch, n), of shape (n,)."""
        return mean_row(values, self.weight)


def squared_jacobian_norm(x: Tensor, z: Tensor, encoder: Encoding) -> Tensor:
    """Return ‖∂z/∂x‖²_F of each row, exactly, of shape (batch,).

    Parameters
    ----------
    x : Tensor of shape (batch, n_features)
        Rows.
    z : Tensor of shape (batch, n_components)
        Codes of `x`.
    encoder : Encoding
        Encoder of the rows.
    """
    layers = encoder.layers()
    return exact_norm(x, encoder.encode) if layers is None else chain_norm(x, z, layers)


def chain_norm(
    x: Tensor, z: Tensor, layers: list[Layer], kept: Tensor | None = None
) -> Tensor:
    """Return ‖D_L W_L ⋯ D_1 W_1‖²_F of each row, for dense or sparse rows.

    Parameters
    ----------
    x : Tensor of shape (batch, n_features)
        Rows.
    z : Tensor of shape (batch, n_components)
        Codes of `x`, the output of the layers.
    layers : list of (Tensor, Tensor, str)
        Weight, bias and name of the activation of each layer.
    kept : Tensor of bool, of the shape of `z`, or None
        Components that count; None is all.
    """
    *hidden, (weight, bias, activation) = layers
    slopes, h = [], x
    for w, b, name in hidden:
        a = linear(h, w, b)
        slopes.append(slope(name, a))
        h = get_activation(name)(a)
    # z may be from a pass with dropout, but the Jacobian is without
    last = None if hidden else slope_at_output(activation, z)
    if last is None:
        last = slope(activation, linear(h, weight, bias))
    if kept is not None:
        last = last * kept
    if not hidden:
        return last.square() @ _SquaredNorms.apply(weight)
    jacobian = last[:, :, None] * weight  # (batch, n_components, width)
    for (w, _, _), s in zip(hidden[:0:-1], slopes[:0:-1], strict=True):
        jacobian = (jacobian * s[:, None, :]) @ w
    jacobian = jacobian * slopes[0][:, None, :]
    first = hidden[0][0]
    # the last product would be as wide as the data; its norm needs only W₁W₁ᵀ
    return ((jacobian @ (first @ first.T)) * jacobian).sum((1, 2))


class _SquaredNorms(torch.autograd.Function):
    """‖W_j‖² of each row of W, in fewer passes than a square and its sum take."""

    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor) -> Tensor:
        return torch.linalg.vector_norm(weight, dim=1).square()

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: BackwardCFunction, grad: Tensor) -> Tensor:
        (weight,) = ctx.saved_tensors
        return weight * (2.0 * grad)[:, None]


def exact_norm(x: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
    """Return ‖∂z/∂x‖²_F for any encoder, by a backward pass for each component."""
    training = torch.is_grad_enabled()
    x = dense(x)  # before inference mode ends: after it, x cannot be read like this
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        z = encode(x)
        total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
        for component in z.unbind(1):
            (row,) = torch.autograd.grad(
                component.sum(), x, retain_graph=True, create_graph=training
            )
            total = total + row.square().sum(1)
        return total


def estimated_norm(
    x: Tensor, encode: Callable[[Tensor], Tensor], generator: torch.Generator
) -> Tensor:
    """Return Hutchinson's unbiased estimate ‖vᵀJ‖², where v has random signs."""
    x = dense(x)
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        z = encode(x)
        coins = torch.rand(z.shape, generator=generator, dtype=z.dtype, device=z.device)
        signs = torch.where(coins < 0.5, -1.0, 1.0).to(z.dtype)
        (row,) = torch.autograd.grad((z * signs).sum(), x, create_graph=True)
        return row.square().sum(1)
