"""The only crossing between numpy, scipy, pandas and torch.

Rows become tensors here, a batch at a time, in the network's units, dtype and device;
results become arrays. Nothing of the size of the data is made twice: what fits into
`CACHE_BYTES` is converted once, anything larger a batch at a time.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_ae.engine.inputs import is_sparse, row_chunks
from sklearn_ae.engine.surroundings import plain_torch

__all__ = [
    "CACHE_BYTES",
    "Batch",
    "Pairs",
    "Relations",
    "Rows",
    "Units",
    "apply",
    "available_devices",
    "far_from_zero",
    "from_tensor",
    "make_generator",
    "moments",
    "resolve_device",
    "stream",
    "to_tensor",
]

#: Data up to this size is held once more, as tensors; larger data only by the batch.
CACHE_BYTES = 2**28
#: Of a smaller unit float32 does not hold one over it, nor of a larger one.
LEAST_SCALE = 1e-37
#: A column is far from zero where float32 numbers there are farther apart than this
#: share of the column's standard deviation.
FAR_SPACING = 1e-4

# torch announces once per process that its CSR tensors are in beta. We test what we
# use of them; the announcement must not reach users (or turn into their error).
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1), device="cpu")


class Pairs(NamedTuple):
    """Which rows of a batch are neighbours of each other.

    Attributes
    ----------
    first, second : Tensor of int of shape (n_pairs,)
        Places in the batch.
    weight : Tensor of shape (n_pairs,)
        How much each pair counts; 1 on average over all pairs of the data.
    near : Tensor of bool of shape (batch, batch) or None
        Among the rows that are to be reconstructed: which are the same, or neighbours.
    """

    first: Tensor
    second: Tensor
    weight: Tensor
    near: Tensor | None


class Batch(NamedTuple):
    """What a module's ``loss`` is given.

    Attributes
    ----------
    x : Tensor of shape (batch, n_features)
        Rows in the network's units; sparse CSR where the data is sparse.
    target : Tensor of shape (batch, n_features)
        What is to be reconstructed, `x` itself unless a method says otherwise.
    observed : Tensor of shape (batch, n_features) or None
        Where values are missing: 1 for what was observed and 0 for what was not, which
        is 0 in `x` and `target` too.
    weight : Tensor of shape (batch,) or None
        How much each row counts; the mean over all rows, not over the batch, is 1.
    label : Tensor of int of shape (batch,) or None
        The number of each row's class.
    pairs : Pairs or None
        Where neighbours are trained together: who is one of whom. There may be more
        rows in `x` then than in `target`, at its end.
    total : Tensor of shape (batch,) or None
        Where rows are restored to others: how much each one's target counts.
    """

    x: Tensor
    target: Tensor
    observed: Tensor | None = None
    weight: Tensor | None = None
    label: Tensor | None = None
    pairs: Pairs | None = None
    total: Tensor | None = None


class Relations(Protocol):
    """What completes a batch with what its rows are related to."""

    def complete(self, batch: Batch, index: Tensor) -> Batch:
        """Return the batch, whose rows are numbered by `index`, with more in it."""


# -- device, dtype, randomness ----------------------------------------------------


def available_devices() -> list[str]:
    """Return the names that `resolve_device` takes on this machine."""
    names = ["auto", "cpu"]
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def resolve_device(name: str) -> torch.device:
    """Return the device called `name`; "auto" is CUDA where there is one.

    Raises
    ------
    ValueError
        If there is no such device here; the message lists those that there are.
    """
    names = available_devices()
    if name not in names:
        raise ValueError(
            f"The 'device' parameter names {name!r}, which is not available here. "
            f"Available: {', '.join(names)}."
        )
    if name == "auto":
        name = "cuda" if "cuda" in names else "cpu"
    return torch.device(name)


def make_generator(seed: int, device: torch.device) -> torch.Generator:
    """Return a private random generator: the global state is never read or set."""
    return torch.Generator(device).manual_seed(seed)


def to_tensor(array: NDArray[Any] | float, dtype: torch.dtype | None = None) -> Tensor:
    """Return a tensor that shares no memory with `array`, on the CPU."""
    return torch.tensor(array, dtype=dtype, device="cpu")


def from_tensor(tensor: Tensor) -> NDArray[Any]:
    """Return an array that shares no memory with `tensor`."""
    return tensor.detach().cpu().numpy().copy()


# -- units ------------------------------------------------------------------------


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
        None leaves the data where it is.
    scale : float
    rows_dtype : {"float32", "float64"}
        What rows are given back in, or in float64 if that is what was computed in.
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
        """Return the same units, with rows that hold what numbers of `dtype` are.

        That is float32 for numbers of 16 bits and for float32, and float64 for others.
        """
        return replace(self, rows_dtype=str(np.promote_types(self.rows_dtype, dtype)))

    def check_rows(self, X: Any) -> None:
        """Raise ValueError for rows that training in these units cannot go on with."""

    def view(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return dense rows of X as what is shifted and scaled: as they are."""
        return rows

    def to_network(self, rows: Tensor) -> Tensor:
        """Map dense rows (batch, n_features) of X, or what `view` returned of them."""
        if self.shift is None:
            return rows if self.scale == 1.0 else rows * (1.0 / self.scale)
        origin = to_tensor(-self.shift / self.scale, rows.dtype).to(rows.device)
        return torch.add(origin, rows, alpha=1.0 / self.scale)

    def to_data(self, rows: Tensor) -> Tensor:
        """Map dense rows (batch, n_features) back to the units of X.

        In float64 where the rows of the fit were, so that a large offset costs no
        digits; on a device without it they then come to the CPU.
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
    """Return the same of rows that have weights, missing values left out."""

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


# -- rows as tensors --------------------------------------------------------------


class Rows:
    """The rows of X as network tensors, a batch at a time.

    Parameters
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
        Any real dtype; a memory map may be larger than memory.
    units : Units
    dtype : torch.dtype
    device : torch.device
    subset : ndarray of int, default=None
        The rows to serve, all of them by default.
    has_missing : bool, default=False
        Whether there is NaN among them, which then stands for a missing value.
    labels : ndarray of int of shape (n_rows,), default=None
        The class of each row that is served.
    weight : ndarray of shape (n_rows,), default=None
        How much each row that is served counts, up to a factor.
    """

    def __init__(
        self,
        X: Any,
        units: Units,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        subset: NDArray[np.intp] | None = None,
        has_missing: bool = False,
        labels: NDArray[np.intp] | None = None,
        weight: NDArray[np.float64] | None = None,
    ) -> None:
        self.X, self.units, self.dtype = X, units, dtype
        self.device = torch.device(device)
        self.subset, self.is_sparse = subset, is_sparse(X)
        self.n_rows = X.shape[0] if subset is None else len(subset)
        self.read = _Reader(units, dtype, device)
        self.has_missing = has_missing
        self.labels, self.weight = (
            None if of_rows is None else to_tensor(of_rows, kind).to(self.device)
            for of_rows, kind in ((labels, torch.int64), (weight, dtype))
        )
        if self.weight is not None:
            self.weight /= self.weight.mean()
        self.relations: Relations | None = None
        self.cached: Tensor | None = None
        size = self.n_rows * X.shape[1] * dtype.itemsize
        if not is_sparse(X) and size <= CACHE_BYTES:
            self.cached = torch.empty(
                (self.n_rows, X.shape[1]), dtype=dtype, device=self.device
            )
            # read once: numbers are the same in whatever dtype they come
            self.read.in_float64 = True
            for start, stop in row_chunks(*self.cached.shape):
                self.cached[start:stop] = self._convert(np.arange(start, stop))

    def __len__(self) -> int:
        return self.n_rows

    def batch(self, index: Tensor) -> Batch:
        """Return the rows numbered by `index`, a tensor of int64 on the CPU."""
        return self._as_batch(self.tensor(index), index)

    def tensor(self, index: Tensor) -> Tensor:
        """Return the rows numbered by `index`, in the network's units."""
        if self.cached is not None:
            return self.cached.index_select(0, index.to(self.device))
        return self._convert(index.numpy())

    def everything(self) -> Batch:
        """Return all rows as one batch."""
        order = torch.arange(self.n_rows, device="cpu")
        if self.cached is not None:
            return self._as_batch(self.cached, order)
        return self.batch(order)

    def _as_batch(self, x: Tensor, index: Tensor) -> Batch:
        batch = self._alone(x, index)
        relations = self.relations
        return batch if relations is None else relations.complete(batch, index)

    def _alone(self, x: Tensor, index: Tensor) -> Batch:
        observed = None
        if self.has_missing:
            missing = x.isnan()
            x, observed = x.masked_fill(missing, 0.0), (~missing).to(x.dtype)
        if self.labels is None and self.weight is None:
            return Batch(x, x, observed)
        index = index.to(self.device)
        weight, label = (
            None if of_rows is None else of_rows[index]
            for of_rows in (self.weight, self.labels)
        )
        return Batch(x, x, observed, weight, label)

    def _convert(self, index: NDArray[np.intp]) -> Tensor:
        rows = index if self.subset is None else self.subset[index]
        return self.read(self.X[rows])


class _Reader:
    """Reads rows of X into tensors in the network's units.

    Parameters
    ----------
    units, dtype, device
        Of what is returned.
    reuse : bool
        Whether each result may be overwritten by the next, to save allocations.

    Attributes
    ----------
    in_float64 : bool
        Whether the units are taken off in float64, whatever dtype rows come in.
    """

    def __init__(
        self,
        units: Units,
        dtype: torch.dtype,
        device: torch.device | str,
        reuse: bool = False,
    ) -> None:
        self.units, self.dtype, self.device, self.reuse = units, dtype, device, reuse
        self.in_float64 = dtype == torch.float64
        self.origin: dict[torch.dtype, Tensor] = {}
        self.buffer: Tensor | None = None

    def __call__(self, X: Any) -> Tensor:
        if is_sparse(X):
            if self.units.shift is None:
                return self._read_csr(X).to(self.device)
            X = X.toarray()  # rows of what was fitted dense, a batch of them
        X = np.ascontiguousarray(self.units.view(X))
        if X.dtype not in (np.float32, np.float64):
            X = X.astype(np.float64 if X.dtype.itemsize > 2 else np.float32)
        elif not X.flags.writeable:  # torch warns of memory it must not write to
            X = X.copy()
        rows = torch.from_numpy(X)
        if self.in_float64:
            rows = rows.double()
        return self._to_network(rows).to(device=self.device, dtype=self.dtype)

    def _to_network(self, rows: Tensor) -> Tensor:
        """Return (x − shift) / scale, in the precision of the rows."""
        shift, scale = self.units.shift, self.units.scale
        if shift is None and scale == 1.0:
            return rows
        if self.reuse and (
            self.buffer is None
            or self.buffer.dtype != rows.dtype
            or len(self.buffer) < len(rows)
        ):
            self.buffer = torch.empty_like(rows)
        out = torch.empty_like(rows) if self.buffer is None else self.buffer
        out = out[: len(rows)]
        if shift is None:
            return torch.mul(rows, 1.0 / scale, out=out)
        if rows.dtype not in self.origin:
            self.origin[rows.dtype] = to_tensor(-shift / scale, rows.dtype)
        # one pass over the rows, where a difference and a quotient would be two
        return torch.add(self.origin[rows.dtype], rows, alpha=1.0 / scale, out=out)

    def _read_csr(self, X: Any) -> Tensor:
        index = np.int32 if max(X.nnz, X.shape[1]) < 2**31 else np.int64
        values = torch.from_numpy(X.data.astype(np.float64) / self.units.scale)
        return torch.sparse_csr_tensor(
            torch.from_numpy(X.indptr.astype(index)),
            torch.from_numpy(X.indices.astype(index)),
            values.to(self.dtype),
            X.shape,
            device="cpu",
            check_invariants=False,
        )


def stream(
    function: Callable[[Tensor], Tensor],
    X: Any,
    units: Units,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    width: int = 0,
    in_float64: bool = False,
) -> Iterator[NDArray[Any]]:
    """Yield ``function`` of the rows of X by chunks; see `apply`."""
    read = _Reader(units, dtype, device, reuse=True)
    read.in_float64 |= in_float64 or not LEAST_SCALE < units.scale < 1 / LEAST_SCALE
    width = max(width, 0 if is_sparse(X) else X.shape[1])
    for start, stop in row_chunks(X.shape[0], width):
        # and not while others work on what is yielded
        with plain_torch(), torch.inference_mode():
            part = function(read(X[start:stop])).cpu().numpy()
        yield part


def apply(
    function: Callable[[Tensor], Tensor],
    X: Any,
    units: Units,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    width: int = 0,
    in_float64: bool = False,
) -> NDArray[Any]:
    """Return ``function`` of the rows of X, computed in chunks.

    Parameters
    ----------
    function : callable
        Maps a tensor of rows in the network's units to a tensor with as many rows.
    X : ndarray or CSR array of shape (n_rows, n_features)
    units : Units
        Of the rows; ``Units()`` for codes.
    dtype, device
        What the network computes in and on.
    width : int
        Of the widest intermediate result, by which the chunk is sized.
    in_float64 : bool
        Whether units are taken off in float64, so that numbers are the same in whatever
        dtype they come; it takes longer.

    Returns
    -------
    ndarray of shape (n_rows, ...)
    """
    out: NDArray[Any] | None = None
    done = 0
    for part in stream(function, X, units, dtype, device, width, in_float64):
        if out is None:
            out = np.empty((X.shape[0], *part.shape[1:]), part.dtype)
        out[done : done + len(part)] = part
        done += len(part)
    assert out is not None, "validation lets no empty X through"
    return out
