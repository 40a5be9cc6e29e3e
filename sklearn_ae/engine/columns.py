"""What is known of each column of the rows before training.

Networks are conditioned by it: see `AutoencoderModule.start_from_rows`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sklearn_ae.engine.inputs import row_chunks
from sklearn_ae.engine.rows import Rows
from sklearn_ae.parts.sparse import column_sums

__all__ = ["Columns", "medians"]

#: Medians are computed from at most this many rows.
MEDIAN_ROWS = 10000
#: Weighted medians make sparse rows dense, about this many numbers at a time.
MEDIAN_NUMBERS = 2**22


@dataclass(frozen=True)
class Columns:
    """Location and scale of each column; all tensors of float64 of shape (n_features,).

    Missing values are left out. For sparse rows, which are never centred, `spread` and
    `farthest` are about zero.

    Attributes
    ----------
    mean : Tensor
    centre : Tensor
        Point that distances are measured from: the mean, or zero.
    spread : Tensor
        Root mean square distance from the centre; 0 where it is round-off.
    farthest : Tensor
        Largest distance from the centre.
    lowest, highest : Tensor
    """

    mean: Tensor
    centre: Tensor
    spread: Tensor
    farthest: Tensor
    lowest: Tensor
    highest: Tensor

    @classmethod
    def of(cls, rows: Rows, look: Callable[[Tensor], Tensor] | None = None) -> Columns:
        """Go through the rows once, or through what `look` makes of them."""
        width = rows.X.shape[1]
        n = torch.zeros(width, dtype=torch.float64, device="cpu")
        mean, squares, lowest, highest = n.clone(), n.clone(), n + torch.inf, n.clone()
        highest -= torch.inf
        sparse = False
        for start, stop in row_chunks(len(rows), width):
            x = rows.tensor(torch.arange(start, stop, device="cpu")).to("cpu")
            x = x if look is None else look(x)
            sparse = x.layout == torch.sparse_csr
            weight = None if rows.weight is None else rows.weight[start:stop].to("cpu")
            if sparse:
                part = _of_csr(x, weight)
            else:
                part = _of_dense(x, rows.has_missing, weight)
            n_part, mean_part, squares_part, low, high = part
            total = torch.where(n + n_part > 0.0, n + n_part, 1.0)
            apart = mean_part - mean
            mean = mean + apart * (n_part / total)
            squares = squares + squares_part
            if not sparse:
                squares = squares + apart.square() * (n * n_part / total)
            n = n + n_part
            lowest, highest = torch.minimum(lowest, low), torch.maximum(highest, high)
        spread = (squares / torch.where(n > 0.0, n, 1.0)).sqrt()
        # the spread of a constant is round-off
        noise = 8.0 * torch.finfo(rows.dtype).eps * torch.maximum(-lowest, highest)
        spread = torch.where(spread > noise, spread, 0.0)
        centre = torch.zeros_like(mean) if sparse else mean
        farthest = torch.maximum(highest - centre, centre - lowest)
        return cls(mean, centre, spread, farthest, lowest, highest)


def _of_dense(
    x: Tensor, has_missing: bool, weight: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Return numbers, means, sums of squares about them, lowest and highest values."""
    if not has_missing and weight is None:
        variance, mean = torch.var_mean(x.double(), dim=0, correction=0)
        low, high = x.aminmax(dim=0)
        n = torch.full_like(mean, len(x))
        return n, mean, variance * len(x), low.double(), high.double()
    missing = x.isnan()
    each = x.new_ones(len(x)).double() if weight is None else weight.double()
    n = each @ (~missing).double()
    filled = x.double().masked_fill(missing, 0.0)
    mean = each @ filled / torch.where(n > 0.0, n, 1.0)
    squares = each @ (filled - mean).masked_fill(missing, 0.0).square()
    low = x.masked_fill(missing, torch.inf).amin(0).double()
    high = x.masked_fill(missing, -torch.inf).amax(0).double()
    return n, mean, squares, low, high


def _of_csr(x: Tensor, weight: Tensor | None = None) -> tuple[Tensor, ...]:
    """Return the same for CSR rows, with sums of squares about zero."""
    index, values = x.col_indices().long(), x.values().double()
    zeros = torch.zeros(x.shape[1], dtype=torch.float64, device="cpu")
    sums, squares, n = column_sums(x), values.square(), float(x.shape[0])
    if weight is not None:
        each = weight.double().repeat_interleave(x.crow_indices().diff().long())
        sums = zeros.index_add(0, index, each * values)
        squares, n = each * squares, float(weight.double().sum())
    mean = sums / n
    squares = zeros.index_add(0, index, squares)
    low = zeros.scatter_reduce(0, index, values, "amin")
    high = zeros.scatter_reduce(0, index, values, "amax")
    return torch.full_like(mean, n), mean, squares, low, high


def medians(rows: Rows) -> Tensor:
    """Return the median of each column, missing values left out."""
    some = torch.linspace(
        0, len(rows) - 1, min(len(rows), MEDIAN_ROWS), dtype=torch.float64, device="cpu"
    ).long()
    x = rows.tensor(some).to("cpu")
    if rows.weight is not None:
        return _weighted_medians(x, rows.weight.to("cpu")[some].double())
    if x.layout != torch.sparse_csr:
        return x.nanmedian(0).values.double()
    # in each column, sorted, the zeros are between the negative values and the rest
    index, values = x.col_indices().long(), x.values().double()
    order = values.argsort(stable=True)
    order = order[index[order].argsort(stable=True)]
    ends = torch.bincount(index, minlength=x.shape[1]).cumsum(0)
    n_stored = torch.bincount(index, minlength=x.shape[1])
    n_negative = torch.bincount(index[values < 0.0], minlength=x.shape[1])
    middle, n_zeros = (len(some) - 1) // 2, len(some) - n_stored
    place = torch.where(middle < n_negative, middle, middle - n_zeros)
    is_zero = (middle >= n_negative) & (middle < n_negative + n_zeros)
    place = (ends - n_stored + place).clamp(0, max(len(values) - 1, 0))
    stored = values[order][place] if len(values) else torch.zeros_like(n_zeros).double()
    return torch.where(is_zero, 0.0, stored)


def _weighted_medians(x: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted median of each column.

    Sparse rows are made dense some columns at a time.
    """
    found = []
    size = max(1, MEDIAN_NUMBERS // x.shape[0])
    dense = x.layout != torch.sparse_csr
    table = x if dense else x.to_sparse_csc()
    for start in range(0, x.shape[1], size):
        stop = min(start + size, x.shape[1])
        part = table[:, start:stop] if dense else _columns(table, start, stop)
        ordered, order = part.double().sort(dim=0)
        each = weight[order].masked_fill(ordered.isnan(), 0.0)
        below = each.cumsum(0)
        # a little less, so that rounding does not skip a value at exactly one half
        half = 0.5 * below[-1:] * (1.0 - 1e-6)
        place = (below < half).sum(0, keepdim=True).clamp_max(len(x) - 1)
        found.append(ordered.gather(0, place)[0])
    return torch.cat(found)


def _columns(x: Tensor, start: int, stop: int) -> Tensor:
    """Return some columns of a CSC tensor as a dense one."""
    ends = x.ccol_indices()[start : stop + 1]
    first, last = int(ends[0]), int(ends[-1])
    rows, values = x.row_indices()[first:last], x.values()[first:last]
    columns = torch.arange(stop - start, device="cpu").repeat_interleave(ends.diff())
    out = torch.zeros(x.shape[0], stop - start, dtype=x.dtype, device="cpu")
    out[rows.long(), columns] = values
    return out
