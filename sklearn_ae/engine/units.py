"""Units of the network: the map between the units of X and what the network sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_ae.engine.inputs import is_sparse, row_chunks
from sklearn_ae.engine.tensors import to_tensor

__all__ = ["Units", "far_from_zero", "moments"]

#: A column is far from zero where float32 numbers there are farther apart than this
#: share of the column's standard deviation.
FAR_SPACING = 1e-4


@dataclass(frozen=True)
class Units:
    """The affine map between the units of X and those of the network.

    The network sees (x − shift) / scale: the feature means are taken away (from dense
    data) and ONE global scale divided out, so the optimum is the one on raw data up to
    that factor, as PCA's is. The subtraction happens in the precision of X, before the
    cast, so that a large offset costs no digits.

    Parameters
    ----------
    shift : ndarray of shape (n_features,), float64, or None
        Value taken away from each feature; None leaves the data where it is.
    scale : float
    rows_dtype : {"float32", "float64"}
        Dtype of rows that are given back; float64 if that is what was computed in.
    is_far : bool
        Whether a column is so far from zero that rows need float64.
    """

    shift: NDArray[np.float64] | None = None
    scale: float = 1.0
    rows_dtype: str = "float32"
    is_far: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the network is given rows as they are."""
        return self.shift is None and self.scale == 1.0

    #: Whether errors in the network's units are those of X, up to `scale`.
    is_affine: ClassVar[bool] = True

    @classmethod
    def of(
        cls,
        X: Any,
        subset: NDArray[np.intp] | None = None,
        weight: NDArray[np.float64] | None = None,
    ) -> Units:
        """Centre dense `X`, and scale to an average variance of one per feature.

        `weight`, of shape (n_samples,), says how much each row counts.
        """
        mean, second_moment = moments(X, subset, weight)
        scale = float(np.sqrt(second_moment.mean()))
        scale = scale if np.isfinite(scale) and scale > 1e-150 else 1.0
        return cls(mean, scale, is_far=far_from_zero(mean, second_moment))

    @property
    def needs_float64(self) -> bool:
        """Whether float32 cannot hold what the rows of the fit did."""
        return self.is_far and self.rows_dtype == "float64"

    def giving(self, dtype: Any) -> Self:
        """Return the same units, with a `rows_dtype` that holds numbers of `dtype`.

        That is float32 for numbers of 16 bits and for float32, and float64 for others.
        """
        return replace(self, rows_dtype=str(np.promote_types(self.rows_dtype, dtype)))

    def check_rows(self, X: Any) -> None:
        """Raise ValueError for rows that training in these units cannot go on with."""

    def view(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return what is shifted and scaled of dense rows of X: all that they are."""
        return rows

    def to_network(self, rows: Tensor) -> Tensor:
        """Map dense rows (batch, n_features) of X, or what `view` returned of them."""
        if self.shift is None:
            return rows if self.scale == 1.0 else rows * (1.0 / self.scale)
        origin = to_tensor(-self.shift / self.scale, rows.dtype).to(rows.device)
        return torch.add(origin, rows, alpha=1.0 / self.scale)

    def to_data(self, rows: Tensor) -> Tensor:
        """Map dense rows (batch, n_features) back to the units of X.

        They are in float64 where the rows of the fit were, so that a large offset costs
        no digits; on a device without float64 they then come to the CPU.
        """
        if self.rows_dtype == "float64":
            rows = (rows.cpu() if rows.device.type == "mps" else rows).double()
        if self.scale != 1.0:
            rows = rows * self.scale
        if self.shift is not None:
            shift = torch.tensor(self.shift, dtype=rows.dtype, device=rows.device)
            rows = rows + shift
        return rows


def far_from_zero(
    mean: NDArray[np.float64] | None, variance: NDArray[np.float64]
) -> bool:
    """Tell whether float32 has too few digits for a column of such rows."""
    if mean is None:
        return False
    spread, size = np.sqrt(variance), np.abs(mean)
    varies = spread > 10 * np.finfo(np.float64).eps * (size + spread)
    apart = np.finfo(np.float32).eps * size
    return bool((apart > FAR_SPACING * spread)[varies].any())


def moments(
    X: Any,
    subset: NDArray[np.intp] | None = None,
    weight: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Return the mean and the second moment about it of each feature, in float64.

    Sparse X is not centred: its mean is None, and its second moment is about zero. A
    row of X counts as much as its `weight`, of shape (n_samples,), says.
    """
    n_rows = X.shape[0] if subset is None else len(subset)
    if weight is not None:
        weight = weight if subset is None else weight[subset]
        weight = weight / weight.mean()
    if is_sparse(X):
        X = X if subset is None else X[subset]
        squares = np.square(X.data, dtype=np.float64)
        if weight is not None:
            squares *= np.repeat(weight, np.diff(X.indptr))
        return None, np.bincount(X.indices, squares, minlength=X.shape[1]) / n_rows

    def chunks() -> Iterator[NDArray[Any]]:
        for start, stop in row_chunks(n_rows, X.shape[1]):
            yield X[start:stop] if subset is None else X[subset[start:stop]]

    if weight is not None:
        return _weighted_moments(chunks, weight)
    total, squares = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    for rows in chunks():
        total += rows.sum(axis=0, dtype=np.float64)
    if np.isnan(total).any():
        return _observed_moments(chunks)
    mean = total / n_rows
    for rows in chunks():
        squares += np.square(rows - mean).sum(axis=0)
    return mean, squares / n_rows


def _observed_moments(
    chunks: Callable[[], Iterator[NDArray[Any]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    counts = sum((~np.isnan(rows)).sum(axis=0) for rows in chunks())
    counts = np.maximum(counts, 1)
    mean = sum(np.nansum(rows, axis=0, dtype=np.float64) for rows in chunks()) / counts
    squares = sum(np.nansum(np.square(rows - mean), axis=0) for rows in chunks())
    return mean, squares / counts


def _weighted_moments(
    chunks: Callable[[], Iterator[NDArray[Any]]], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the same for rows that have weights, missing values left out."""

    def mean(power: int, centre: NDArray[np.float64] | float) -> NDArray[np.float64]:
        count: Any = 0.0
        total: Any = 0.0
        done = 0
        for rows in chunks():
            each, done = weight[done : done + len(rows)], done + len(rows)
            away = np.power(rows.astype(np.float64) - centre, power)
            missing = np.isnan(away)
            total = total + each @ np.where(missing, 0.0, away)
            count = count + each @ ~missing
        return total / np.where(count > 0.0, count, 1.0)

    centre = mean(1, 0.0)
    return centre, mean(2, centre)
