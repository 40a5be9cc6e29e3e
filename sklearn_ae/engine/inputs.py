"""What users pass as X: what it is, what is refused, what its numbers are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "LazyRows",
    "as_array",
    "canonical",
    "check_every_feature_observed",
    "check_float32_range",
    "has_missing",
    "is_narrow",
    "is_native",
    "is_sparse",
    "largest_size",
    "observed_features",
    "range_outside",
    "row_chunks",
    "row_generators",
    "rows_of",
    "some_rows",
    "value_range",
]

#: Rows are read, encoded and decoded in chunks of about this many numbers, to stay in
#: cache.
CHUNK_NUMBERS = 2**20
#: Values beyond a range by at most this share of its width (of 1, where it has no upper
#: end) are taken for rounding.
RANGE_ROUNDING = 1e-6


def as_array(X: Any) -> Any:
    """Return torch tensors as arrays; refuse what would silently mean something else.

    Raises
    ------
    ValueError
        For a masked array: its mask would be ignored. For a sparse matrix whose indices
        are out of range: scipy would read and write beyond its arrays.
    TypeError
        For dates and times: they would be counted in some unit. For a tensor that is
        no array of numbers.
    """
    if isinstance(X, Tensor):
        return _of_tensor(X)
    if is_sparse(X):
        _check_indices(X)
    if isinstance(X, np.ma.MaskedArray):
        raise ValueError(
            "Masked arrays are not supported: the mask would be ignored. Use "
            "X.filled(...), or NaN where missing values are accepted."
        )
    dtypes = getattr(X, "dtypes", [getattr(X, "dtype", None)])
    for dtype in dtypes if np.iterable(dtypes) else [dtypes]:
        temporal = getattr(dtype, "is_temporal", None)  # polars
        if getattr(dtype, "kind", "") in ("m", "M") or (temporal and temporal()):
            raise TypeError(
                f"Dates and times ({dtype}) are not supported. Turn them into numbers "
                "first."
            )
    return X


def _of_tensor(X: Tensor) -> NDArray[Any]:
    """Return a tensor's numbers, without its history and lazy signs."""
    X = X.float() if X.dtype == torch.bfloat16 else X
    try:
        return X.numpy(force=True)
    except (RuntimeError, TypeError) as error:  # meta, nested, sparse, quantized
        what = f"{X.dtype} on {X.device}, layout {X.layout}"
        raise TypeError(
            f"This torch tensor ({what}) cannot be read as an array: {error} Give a "
            "dense tensor that holds its numbers."
        ) from error


def _check_indices(X: Any) -> None:
    """Raise ValueError for a sparse matrix with an index that is out of range."""
    if X.format == "coo":
        ranges = zip(X.coords, X.shape)
    elif X.format in ("csr", "csc", "bsr") and X.ndim == 2:
        starts, n_stored = X.indptr, len(X.indices)
        blocks = X.blocksize if X.format == "bsr" else (1, 1)
        rows, columns = (size // block for size, block in zip(X.shape, blocks))
        n_lines, width = (columns, rows) if X.format == "csc" else (rows, columns)
        if (
            len(starts) != n_lines + 1
            or starts[0] != 0
            or starts[-1] > min(n_stored, len(X.data))
            or (starts[1:] < starts[:-1]).any()
        ):
            raise ValueError(
                "Input X is a damaged sparse matrix: indptr must rise from 0 to at "
                f"most the number of entries, {n_stored}, in {n_lines + 1} steps."
            )
        ranges = zip([X.indices[: starts[-1]]], [width])
    else:
        return
    for index, size in ranges:
        if len(index) and not 0 <= index.min() <= index.max() < size:
            raise ValueError(
                "Input X is a damaged sparse matrix: its indices must be in the range "
                f"[0, {size}). Got some in [{index.min()}, {index.max()}]."
            )


def is_sparse(X: Any) -> bool:
    """Tell whether X is one of scipy's sparse arrays or matrices."""
    return bool(sp.issparse(X))


def is_native(X: Any) -> bool:
    """Tell whether `Rows` can read X as it is, without a converted copy."""
    if not isinstance(X, np.ndarray) and not is_sparse(X):
        return False
    dtype = X.dtype
    return dtype.isnative and (
        dtype.kind in "iub" or (dtype.kind == "f" and dtype.itemsize in (4, 8))
    )


def is_narrow(X: Any) -> bool:
    """Tell whether X has floating-point numbers that float32 holds."""
    dtype = getattr(X, "dtype", None)
    return isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize <= 4


def canonical(X: Any) -> Any:
    """Return the canonical CSR of X; the user's array stays as it is.

    It has no duplicates, no explicit zeros and nothing beyond its entries. Its indices
    are sorted and all of one dtype, and each array is in one piece.
    """
    if not is_sparse(X):
        return X
    n_stored, index = int(X.indptr[-1]), np.result_type(X.indptr, X.indices)
    data, indices, indptr = X.data, X.indices, X.indptr
    if not (
        len(data) == len(indices) == n_stored
        and indices.dtype == indptr.dtype
        and all(one.flags.c_contiguous for one in (data, indices, indptr))
    ):
        data = np.ascontiguousarray(data[:n_stored])
        indices, indptr = indices[:n_stored].astype(index), indptr.astype(index)
        X = type(X)((data, indices, indptr), shape=X.shape)
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    if not X.data.all():
        X = X.copy()
        X.eliminate_zeros()
    return X


def value_range(X: Any) -> tuple[float, float]:
    """Return the lowest and highest value in X, NaN left out; zero is in sparse X."""
    if is_sparse(X):
        return float(X.data.min(initial=0.0)), float(X.data.max(initial=0.0))
    low, high = float(X.min()), float(X.max())
    if np.isnan(low):
        low = float(np.fmin.reduce(X, axis=None))
        high = float(np.fmax.reduce(X, axis=None))
    return low, high


def range_outside(X: Any, lowest: float, highest: float | None) -> str | None:
    """Return the range of X as text, or None where it is in [lowest, highest].

    Values beyond by at most `RANGE_ROUNDING` count as in the range. The text has as
    many digits as it takes to see the difference.
    """
    low, high = value_range(X)
    top = np.inf if highest is None else highest
    slack = RANGE_ROUNDING * (1.0 if highest is None else highest - lowest)
    if low >= lowest - slack and high <= top + slack:
        return None
    return f"[{_told_apart(low, lowest)}, {_told_apart(high, top)}]"


def _told_apart(value: float, bound: float) -> str:
    digits = 6
    while digits < 17 and value != bound and float(f"{value:.{digits}g}") == bound:
        digits += 1
    return f"{value:.{digits}g}"


def has_missing(X: Any) -> bool:
    """Tell whether there is a NaN among the rows of X."""
    if is_sparse(X) or X.dtype.kind != "f":
        return False
    return bool(np.isnan(X.min(initial=0.0)))


def observed_features(
    X: NDArray[Any], subset: NDArray[np.intp] | None = None
) -> NDArray[np.bool_]:
    """Return which features have a number in any row (of the subset)."""
    n_rows = X.shape[0] if subset is None else len(subset)
    observed = np.zeros(X.shape[1], dtype=bool)
    for start, stop in row_chunks(n_rows, X.shape[1]):
        rows = X[start:stop] if subset is None else X[subset[start:stop]]
        observed |= ~np.isnan(rows).all(axis=0)
    return observed


def check_every_feature_observed(
    X: NDArray[Any], subset: NDArray[np.intp] | None = None
) -> None:
    """Raise ValueError where a feature is NaN in all rows (of the subset)."""
    empty = np.flatnonzero(~observed_features(X, subset))
    if len(empty):
        few = ", ".join(map(str, empty[:5])) + ", ..." * (len(empty) > 5)
        raise ValueError(
            f"Input X contains only NaN in feature{'s' * (len(empty) > 1)} {few}: "
            "there is nothing to learn from. Drop features without a value."
        )


def check_float32_range(X: Any) -> None:
    """Raise ValueError where a finite number of X is infinite in float32."""
    if X.dtype.kind != "f" or X.dtype.itemsize <= 4:
        return
    low, high = value_range(X)
    limit = float(np.finfo(np.float32).max)
    if high > limit or low < -limit:
        raise ValueError(
            "Input X contains infinity or a value too large for dtype('float32')."
        )


def largest_size(X: Any) -> float:
    """Return the largest absolute value in X, NaN left out."""
    low, high = value_range(X)
    return max(-low, high)


def row_chunks(n_rows: int, width: int) -> list[tuple[int, int]]:
    """Return where chunks of rows of `width` numbers begin and end."""
    size = min(max(CHUNK_NUMBERS // max(width, 1), 32), 8192)
    return [(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def some_rows(n_rows: int, seed: int, most: int) -> NDArray[np.intp]:
    """Return the numbers of at most `most` rows, drawn from `seed`."""
    if n_rows <= most:
        return np.arange(n_rows)
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(n_rows, most, replace=False))


def row_generators(X: Any, seed: int) -> list[np.random.Generator]:
    """Return a random generator for each row, made from its numbers and `seed`.

    A row gets the same draws whatever rows it is among; different rows get different
    draws.
    """
    rows = X.toarray() if is_sparse(X) else X
    rows = np.ascontiguousarray(rows, dtype=np.float64) + 0.0  # -0.0 is 0.0
    salt = int(seed).to_bytes(8, "little")
    keys = (hashlib.blake2b(row.tobytes(), digest_size=16, salt=salt) for row in rows)
    # not Philox, which reads the system's entropy even where it is given a key
    seeds = (int.from_bytes(key.digest(), "little") for key in keys)
    return [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]


class LazyRows:
    """Rows that are a function of the rows of X, computed whenever they are read.

    They take the place of an array, so that training on them never holds more than a
    batch.

    Parameters
    ----------
    function : callable
        Function of rows of X, which returns an array of as many rows.
    X : ndarray or CSR array of shape (n_rows, n_features)
    width : int
        Width of the rows that `function` returns.
    dtype : dtype
        Dtype of these rows.
    """

    ndim = 2

    def __init__(
        self, function: Callable[[Any], NDArray[Any]], X: Any, width: int, dtype: Any
    ) -> None:
        self.function, self.X = function, X
        self.shape, self.dtype = (X.shape[0], width), np.dtype(dtype)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice | NDArray[np.intp]) -> NDArray[Any]:
        return self.function(self.X[rows])

    def min(self, initial: float = np.inf) -> float:
        """Return the lowest value, NaN if there is one, in one pass."""
        chunks = row_chunks(*self.shape)
        return float(np.min([initial, *(self[a:b].min() for a, b in chunks)]))

    def max(self, initial: float = -np.inf) -> float:
        """Return the highest value, NaN if there is one, in one pass."""
        chunks = row_chunks(*self.shape)
        return float(np.max([initial, *(self[a:b].max() for a, b in chunks)]))


def rows_of(X: Any, rows: NDArray[np.intp], most_bytes: int) -> Any:
    """Return some rows of X: a copy of at most `most_bytes`, else `LazyRows`."""
    width = X.shape[1]
    if is_sparse(X) or len(rows) * width * X.dtype.itemsize <= most_bytes:
        return X[rows]
    return LazyRows(X.__getitem__, rows, width, X.dtype)
