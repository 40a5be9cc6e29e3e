"""Sparse rows: their products, and the exact squared error without a dense row."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = [
    "dense",
    "full_precision",
    "sparse_product",
    "sparse_squared_error",
    "squared_row_norms",
    "transposed",
]


def dense(x: Tensor) -> Tensor:
    """Return `x` as a dense tensor, itself where it is one."""
    return x.to_dense() if x.layout == torch.sparse_csr else x


def full_precision(device: str) -> AbstractContextManager[Any]:
    """Return a context in which autocast, if it is on, is off."""
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


def transposed(x: Tensor) -> Tensor:
    """Return xᵀ as CSR, which gradients need; it is made once for each batch."""
    known: Tensor | None = getattr(x, "_transposed", None)
    if known is None:
        known = x.t().to_sparse_csr()
        x._transposed = known  # type: ignore[attr-defined]
    return known


def sparse_product(x: Tensor, weight: Tensor) -> Tensor:
    """Return x W for CSR rows, in their own precision also where autocast lowers it.

    Parameters
    ----------
    x : CSR Tensor of shape (batch, n_features)
    weight : Tensor of shape (n_features, n_out)

    Returns
    -------
    Tensor of shape (batch, n_out)
    """
    with full_precision(x.device.type):
        return _SparseProduct.apply(x, weight.to(x.dtype))


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.x = x
        return torch.sparse.mm(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, torch.sparse.mm(transposed(ctx.x), grad)


def squared_row_norms(x: Tensor) -> Tensor:
    """Return ‖x_i‖² for each row of a CSR tensor, of shape (batch,)."""
    squares = torch.zeros(x.shape[0], dtype=x.dtype, device=x.device)
    counts = x.crow_indices().diff().to(torch.int64)
    row = torch.repeat_interleave(torch.arange(len(counts), device=x.device), counts)
    return squares.index_add_(0, row, x.values().square())


def sparse_squared_error(x: Tensor, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    r"""Return ‖x_i − W h_i − b‖² for sparse rows, without forming any dense row.

    Expanding the square,

    .. math::

        \|x - Wh - b\|^2 = \|x\|^2 - 2\,x^\top(Wh + b)
                           + h^\top (W^\top W) h + 2\,b^\top W h + b^\top b,

    so loss and gradients need nnz·d + V·d² work in place of batch·V·d.

    Parameters
    ----------
    x : CSR Tensor of shape (batch, n_features)
    h : Tensor of shape (batch, d)
        What the linear output layer reads.
    weight : Tensor of shape (n_features, d)
    bias : Tensor of shape (n_features,)

    Returns
    -------
    Tensor of shape (batch,)
    """
    with full_precision(x.device.type):
        return _SparseSquaredError.apply(x, *(t.to(x.dtype) for t in (h, weight, bias)))


class _SparseSquaredError(torch.autograd.Function):
    """The expansion above and its gradients, each in the fewest passes over W."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        readings = torch.sparse.mm(x, weight)
        gram = weight.T @ weight
        offset = weight.T @ bias
        ctx.x = x
        ctx.save_for_backward(h, weight, bias, readings, gram, offset)
        along_bias = torch.sparse.mm(x, bias[:, None]).squeeze(1)
        cross = (readings * h).sum(1) + along_bias
        own = ((h @ gram) * h).sum(1) + 2.0 * (h @ offset) + bias @ bias
        return squared_row_norms(x) - 2.0 * cross + own

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        h, weight, bias, readings, gram, offset = ctx.saved_tensors
        g = 2.0 * grad[:, None]
        gh, x_t = g * h, transposed(ctx.x)
        into_h = g * (h @ gram + offset - readings)
        into_weight = torch.outer(bias, gh.sum(0)).addmm_(weight, h.T @ gh)
        into_weight = torch.addmm(into_weight, x_t, gh, alpha=-1.0)
        into_bias = weight @ gh.sum(0) + bias * g.sum()
        into_bias -= torch.sparse.mm(x_t, g).squeeze(1)
        return None, into_h, into_weight, into_bias
