"""Means over rows, of which some count for more than others."""

from __future__ import annotations

from torch import Tensor

__all__ = ["mean", "mean_row"]


def mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Return the mean of all values, (..., batch), a scalar.

    Parameters
    ----------
    values : Tensor of shape (..., batch)
    weight : Tensor of shape (batch,) or None
        How much each row counts; 1 in the mean over all rows, of which the batch is
        some.
    """
    return values.mean() if weight is None else (values * weight).mean()


def mean_row(values: Tensor, weight: Tensor | None) -> Tensor:
    """Return the mean over the rows of a batch, (batch, n), of shape (n,).

    Parameters
    ----------
    values : Tensor of shape (batch, n)
    weight : Tensor of shape (batch,) or None
        How much each row counts, up to a factor.
    """
    if weight is None:
        return values.mean(0)
    return (weight / weight.sum()) @ values
