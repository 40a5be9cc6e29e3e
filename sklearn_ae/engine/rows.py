"""The only crossing between numpy, scipy, pandas and torch.

Rows become tensors here, a batch at a time, in the network's units, dtype and device;
results become arrays. Nothing of the size of the data is made twice: what fits into
`CACHE_BYTES` is converted once, anything larger a batch at a time.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_ae.engine.inputs import is_sparse, row_chunks
from sklearn_ae.engine.surroundings import plain_torch
from sklearn_ae.engine.tensors import to_tensor
from sklearn_ae.engine.units import Units

__all__ = [
    "CACHE_BYTES",
    "Batch",
    "Pairs",
    "Relations",
    "Rows",
    "compute_rows",
    "stream_rows",
]

#: Data up to this size is held once more, as tensors; larger data only by the batch.
CACHE_BYTES = 2**28
#: float32 does not hold the inverse of a scale below this, or above one over this.
LEAST_SCALE = 1e-37

# torch announces once per process that its CSR tensors are in beta. What is used of
# them is tested; the announcement must not reach users (or turn into their error).
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1), device="cpu")


class Pairs(NamedTuple):
    """Which rows of a batch are neighbours of each other.

    Attributes
    ----------
    first, second : Tensor of int of shape (n_pairs,)
        Places of the two rows in the batch.
    weight : Tensor of shape (n_pairs,)
        Weight of each pair; 1 on average over all pairs of the data.
    near : Tensor of bool of shape (batch, batch) or None
        Whether two of the rows to be reconstructed are the same, or neighbours.
    """

    first: Tensor
    second: Tensor
    weight: Tensor
    near: Tensor | None


class Batch(NamedTuple):
    """The batch that a module's ``loss`` is given.

    Attributes
    ----------
    x : Tensor of shape (batch, n_features)
        Rows in the network's units; sparse CSR where the data is sparse.
    target : Tensor of shape (batch, n_features)
        Rows to be reconstructed, `x` itself unless a method says otherwise.
    observed : Tensor of shape (batch, n_features) or None
        Mask, where values are missing: 1 for what was observed and 0 for what was not,
        which is 0 in `x` and `target` too.
    weight : Tensor of shape (batch,) or None
        Weight of each row; the mean over all rows, not over the batch, is 1.
    label : Tensor of int of shape (batch,) or None
        Number of each row's class.
    pairs : Pairs or None
        Pairs of neighbours, where these are trained together. `x` may then have more
        rows than `target`, at its end.
    total : Tensor of shape (batch,) or None
        Weight of each row's target, where rows are restored to others.
    """

    x: Tensor
    target: Tensor
    observed: Tensor | None = None
    weight: Tensor | None = None
    label: Tensor | None = None
    pairs: Pairs | None = None
    total: Tensor | None = None


class Relations(Protocol):
    """An object that completes a batch with what its rows are related to."""

    def complete(self, batch: Batch, index: Tensor) -> Batch:
        """Return the batch, whose rows `index` numbers, with their relations."""


# -- rows as tensors --------------------------------------------------------------


class Rows:
    """The rows of X as network tensors, a batch at a time.

    Parameters
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
        Rows of any real dtype; a memory map may be larger than memory.
    units : Units
    dtype : torch.dtype
    device : torch.device
    subset : ndarray of int, default=None
        Rows to serve, all of them by default.
    has_missing : bool, default=False
        Whether there is NaN among them, which then stands for a missing value.
    labels : ndarray of int of shape (n_rows,), default=None
        Class of each row that is served.
    weight : ndarray of shape (n_rows,), default=None
        Weight of each row that is served, up to a factor.
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
        Units that rows are put into, and dtype and device of the tensors.
    reuse : bool
        Whether each result may be overwritten by the next, to save allocations.

    Attributes
    ----------
    in_float64 : bool
        Whether rows are shifted and scaled in float64, whatever dtype they come in.
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


def stream_rows(
    function: Callable[[Tensor], Tensor],
    X: Any,
    units: Units,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    width: int = 0,
    in_float64: bool = False,
) -> Iterator[NDArray[Any]]:
    """Yield ``function`` of the rows of X by chunks; see `compute_rows`."""
    read = _Reader(units, dtype, device, reuse=True)
    read.in_float64 |= in_float64 or not LEAST_SCALE < units.scale < 1 / LEAST_SCALE
    width = max(width, 0 if is_sparse(X) else X.shape[1])
    for start, stop in row_chunks(X.shape[0], width):
        # the modes are not on while the caller works on what is yielded
        with plain_torch(), torch.inference_mode():
            part = function(read(X[start:stop])).cpu().numpy()
        yield part


def compute_rows(
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
        Function of a tensor of rows in the network's units, which returns a tensor with
        as many rows.
    X : ndarray or CSR array of shape (n_rows, n_features)
    units : Units
        Units of the rows; ``Units()`` for codes.
    dtype, device
        Dtype and device that the network computes in and on.
    width : int
        Width of the widest intermediate result, by which the chunk is sized.
    in_float64 : bool
        Whether rows are shifted and scaled in float64, so that the result is the same
        whatever dtype they come in; it takes longer.

    Returns
    -------
    ndarray of shape (n_rows, ...)
    """
    out: NDArray[Any] | None = None
    done = 0
    for part in stream_rows(function, X, units, dtype, device, width, in_float64):
        if out is None:
            out = np.empty((X.shape[0], *part.shape[1:]), part.dtype)
        out[done : done + len(part)] = part
        done += len(part)
    assert out is not None, "validation lets no empty X through"
    return out
