"""Sparse rows: their products, and exact objectives without a dense row."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = [
    "column_sums",
    "dense",
    "full_precision",
    "row_means",
    "row_sums",
    "sparse_multinomial_error",
    "sparse_product",
    "sparse_squared_error",
    "squared_row_norms",
    "transposed",
    "with_values",
]


def dense(x: Tensor) -> Tensor:
    """Return `x` as a dense tensor."""
    return x.to_dense() if x.layout == torch.sparse_csr else x


def full_precision(device: str) -> AbstractContextManager[object]:
    """Return a context without autocast, which lowers precision."""
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


def transposed(x: Tensor) -> Tensor:
    """Return xᵀ as CSR for gradients. It is made once for each batch."""
    known: Tensor | None = getattr(x, "_transposed", None)
    if known is None:
        known = x.t().to_sparse_csr()
        x._transposed = known  # type: ignore[attr-defined]
    return known


def with_values(x: Tensor, values: Tensor) -> Tensor:
    """Return CSR rows with the entries of `x` and other values."""
    return torch.sparse_csr_tensor(
        x.crow_indices(),
        x.col_indices(),
        values,
        x.shape,
        device=x.device,
        check_invariants=False,
    )


def sparse_product(x: Tensor, weight: Tensor) -> Tensor:
    """Return x W for CSR rows, in their own precision even under autocast.

    Parameters
    ----------
    x : CSR Tensor of shape (batch, n_features)
        Rows.
    weight : Tensor of shape (n_features, n_out)
        Matrix W.

    Returns
    -------
    Tensor of shape (batch, n_out)
    """
    with full_precision(x.device.type):
        return _SparseProduct.apply(x, weight.to(x.dtype))


class _Context(Protocol):
    """What torch hands from a forward pass to its backward pass."""

    x: Tensor
    saved_tensors: tuple[Tensor, ...]

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, x: Tensor, weight: Tensor) -> Tensor:
        ctx.x = x
        return torch.sparse.mm(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, torch.sparse.mm(transposed(ctx.x), grad)


def squared_row_norms(x: Tensor) -> Tensor:
    """Return ‖x_i‖² for each row of a CSR tensor, of shape (batch,)."""
    return _row_sums(x, x.values().square())


def row_sums(x: Tensor) -> Tensor:
    """Return Σ_v x_iv for each row of a dense or CSR tensor, of shape (batch,)."""
    return _row_sums(x, x.values()) if x.layout == torch.sparse_csr else x.sum(-1)


def row_means(x: Tensor) -> Tensor:
    """Return the mean of each row without its NaN, dense or CSR, of shape (batch,)."""
    return row_sums(x) / x.shape[1] if x.layout == torch.sparse_csr else x.nanmean(1)


def column_sums(x: Tensor) -> Tensor:
    """Return Σ_i x_iv of dense or CSR rows in float64, of shape (n_features,)."""
    if x.layout != torch.sparse_csr:
        return x.sum(0, dtype=torch.float64)
    sums = torch.zeros(x.shape[1], dtype=torch.float64, device=x.device)
    return sums.index_add_(0, x.col_indices(), x.values().double())


def _row_sums(x: Tensor, values: Tensor) -> Tensor:
    """Return the sum of `values` in each row; CSR rows have one for each entry."""
    counts = x.crow_indices().diff().to(torch.int64)
    row = torch.repeat_interleave(torch.arange(len(counts), device=x.device), counts)
    return values.new_zeros(len(counts)).index_add_(0, row, values)


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
        Rows.
    h : Tensor of shape (batch, d)
        Input of the linear output layer.
    weight : Tensor of shape (n_features, d)
        Weight W of that layer.
    bias : Tensor of shape (n_features,)
        Its bias b.

    Returns
    -------
    Tensor of shape (batch,)
    """
    with full_precision(x.device.type):
        return _SparseSquaredError.apply(x, *(t.to(x.dtype) for t in (h, weight, bias)))


class _SparseSquaredError(torch.autograd.Function):
    """The expansion above and its gradients, with few passes over W."""

    @staticmethod
    def forward(
        ctx: _Context, x: Tensor, h: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
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
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        h, weight, bias, readings, gram, offset = ctx.saved_tensors
        g = 2.0 * grad[:, None]
        gh, x_t = g * h, transposed(ctx.x)
        into_h = g * (h @ gram + offset - readings)
        into_weight = torch.outer(bias, gh.sum(0)).addmm_(weight, h.T @ gh)
        into_weight = torch.addmm(into_weight, x_t, gh, alpha=-1.0)
        into_bias = weight @ gh.sum(0) + bias * g.sum()
        into_bias -= torch.sparse.mm(x_t, g).squeeze(1)
        return None, into_h, into_weight, into_bias


def sparse_multinomial_error(
    x: Tensor, h: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    r"""Return −Σ_v x_iv log p_iv, p_i = softmax(W h_i + b), for sparse rows.

    Written as

    .. math:: -\sum_v x_v \log p_v = \Big(\sum_v x_v\Big) \log \sum_v e^{a_v}
                                    - x^\top (W h + b),\qquad a = W h + b,

    it has one dense term of size batch·V, the softmax; the target stays sparse.

    Parameters
    ----------
    x : CSR Tensor of shape (batch, n_features)
        Rows of numbers of at least 0. A row of zeros has no error.
    h : Tensor of shape (batch, d)
        Input of the linear output layer.
    weight : Tensor of shape (n_features, d)
        Weight W of that layer.
    bias : Tensor of shape (n_features,)
        Its bias b.

    Returns
    -------
    Tensor of shape (batch,)
    """
    with full_precision(x.device.type):
        tensors = (t.to(x.dtype) for t in (h, weight, bias))
        return _SparseMultinomialError.apply(x, *tensors)


class _SparseMultinomialError(torch.autograd.Function):
    """The expression above and its gradients; it keeps one tensor of size batch·V."""

    @staticmethod
    def forward(
        ctx: _Context, x: Tensor, h: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        readings = torch.sparse.mm(x, weight)
        a = torch.addmm(bias, h, weight.T)
        highest = a.amax(1, keepdim=True)
        odds = a.sub_(highest).exp_()  # p, up to a factor for each row
        norm = odds.sum(1)
        total = row_sums(x)
        ctx.x = x
        ctx.save_for_backward(h, weight, readings, odds, total / norm)
        along_bias = torch.sparse.mm(x, bias[:, None]).squeeze(1)
        cross = (readings * h).sum(1) + along_bias
        return total * (norm.log() + highest.squeeze(1)) - cross

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        h, weight, readings, odds, per_odds = ctx.saved_tensors
        g, g_odds, x_t = grad[:, None], (grad * per_odds)[:, None], transposed(ctx.x)
        into_h = g_odds * (odds @ weight) - g * readings
        into_weight = torch.addmm(odds.T @ (g_odds * h), x_t, g * h, alpha=-1.0)
        into_bias = (odds.T @ g_odds - torch.sparse.mm(x_t, g)).squeeze(1)
        return None, into_h, into_weight, into_bias
