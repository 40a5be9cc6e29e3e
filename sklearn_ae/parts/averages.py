"""Means over rows that may have weights."""

from __future__ import annotations

from torch import Tensor

__all__ = ["mean", "mean_row"]


def mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Return the mean of all values, a scalar.

    Parameters
    ----------
    values : Tensor of shape (..., batch)
        Values of each row.
    weight : Tensor of shape (batch,) or None
        Weight of each row. The mean weight of all rows of the fit is 1, so the weights
        of one batch need not have the mean 1.
    """
    return values.mean() if weight is None else (values * weight).mean()


def mean_row(values: Tensor, weight: Tensor | None) -> Tensor:
    """Return the mean over the rows of a batch, of shape (n,).

    Parameters
    ----------
    values : Tensor of shape (batch, n)
        Values of each row.
    weight : Tensor of shape (batch,) or None
        Weight of each row, up to a common factor.
    """
    if weight is None:
        return values.mean(0)
    return (weight / weight.sum()) @ values
