"""Sparse rows: their products, and the exact squared error without a dense row."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sparse_product", "sparse_squared_error", "squared_row_norms"]


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
    with torch.autocast(x.device.type, enabled=False):
        return torch.sparse.mm(x, weight.to(x.dtype))


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
    h, weight = h.to(x.dtype), weight.to(x.dtype)
    readings = sparse_product(x, torch.cat([weight, bias[:, None]], dim=1))
    cross = (readings[:, :-1] * h).sum(1) + readings[:, -1]
    quadratic = ((h @ (weight.T @ weight)) * h).sum(1)
    linear = h @ (weight.T @ bias)
    constant = squared_row_norms(x) + bias @ bias
    return constant - 2.0 * cross + quadratic + 2.0 * linear
