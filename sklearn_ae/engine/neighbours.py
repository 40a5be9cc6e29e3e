"""Rows that are trained together with others of the same data.

A method says how rows are related (`BaseAutoencoder._relate`); the classes here hand
out each batch with what its rows are related to. Nothing of size n × n is made.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_ae.engine.inputs import is_sparse, row_chunks
from sklearn_ae.engine.rows import Batch, Pairs, Rows
from sklearn_ae.engine.tensors import to_tensor

__all__ = ["Neighbours", "Relation", "Targets"]


class Relation(NamedTuple):
    """The target of each row of X: a combination of rows.

    Attributes
    ----------
    weights : CSR array of shape (n_rows, n_sources)
        Targets are ``weights @ sources + own[:, None] * X``.
    sources : ndarray or CSR array of shape (n_sources, n_features)
        Rows, in the units of X.
    own : ndarray of shape (n_rows,)
    total : ndarray of shape (n_rows,)
        Weight of each row's target.
    """

    weights: sp.csr_array
    sources: Any
    own: NDArray[np.float64]
    total: NDArray[np.float64]


class Targets:
    """Hands out rows with the targets and weights of a `Relation`.

    Parameters
    ----------
    rows : Rows
        Rows to hand out. Where their tensors are kept, those of the targets are too.
    relation : Relation
        Relation of these rows, or of all rows of ``rows.X``.
    """

    def __init__(self, rows: Rows, relation: Relation) -> None:
        self.read, self.device, self.X = rows.read, rows.device, rows.X
        every = np.arange(len(rows))
        self.numbers = every if rows.subset is None else rows.subset
        chosen = every if len(relation.own) == len(rows) else self.numbers
        self.own, self.sources = relation.own[chosen], relation.sources
        self.weights, total = relation.weights[chosen], relation.total[chosen]
        self.total = torch.tensor(total, dtype=rows.dtype, device=rows.device)
        self.cached: Tensor | None = None
        if rows.cached is not None:
            cached = torch.empty_like(rows.cached)
            for start, stop in row_chunks(*cached.shape):
                cached[start:stop] = self._targets(np.arange(start, stop))
            self.cached = cached

    def complete(self, batch: Batch, index: Tensor) -> Batch:
        """Return the batch with the targets of its rows, which `index` numbers."""
        on_device = index.to(self.device)
        if self.cached is not None:
            target = self.cached.index_select(0, on_device)
        else:
            target = self._targets(index.numpy())
        return batch._replace(target=target, total=self.total[on_device])

    def _targets(self, index: NDArray[np.intp]) -> Tensor:
        weights = self.weights[index]
        # only the sources that are needed: scipy would convert them all
        needed, places = np.unique(weights.indices, return_inverse=True)
        few = sp.csr_array(
            (weights.data, places, weights.indptr), (len(index), len(needed))
        )
        target, own = few @ self.sources[needed], self.own[index, None]
        if own.any():
            rows = self.X[self.numbers[index]]
            target = target + (rows.multiply(own) if is_sparse(rows) else rows * own)
        return self.read(target)


class Neighbours:
    """Hands out rows together with one neighbour of each, or all rows at once.

    A batch of all rows has all pairs of neighbours. Any other has, besides its rows,
    one neighbour of each, drawn again every time. A row has as many neighbours as the
    graph says. One that has none has itself, with a weight of 0.

    Parameters
    ----------
    rows : Rows
        Rows to hand out.
    graph : CSR array of shape (n_rows, n_rows)
        Weights of pairs of these rows: each row's entries are its neighbours.
    seed : int or None
        Seed of the draws of neighbours; None takes the first of each row.
    tells_near : bool
        Whether a batch says, for all pairs of its rows, if they are neighbours.
    """

    def __init__(
        self, rows: Rows, graph: sp.csr_array, seed: int | None, tells_near: bool
    ) -> None:
        starts, indices, weights = graph.indptr, graph.indices, graph.data
        alone = np.flatnonzero(np.diff(starts) == 0)
        if len(alone):
            indices = np.insert(indices, starts[alone], alone)
            weights = np.insert(weights, starts[alone], 0.0)
            starts = starts + np.searchsorted(alone, np.arange(len(starts)))
        self.rows, self.indices = rows, indices
        self.starts, self.sizes = starts[:-1], np.diff(starts)
        mean = weights.mean() or 1.0
        self.weights = to_tensor(weights / mean, rows.dtype)
        self.stands_for = None
        if np.ptp(self.sizes) > 0:  # one neighbour of a row stands for all of them
            stands_for = self.sizes / self.sizes.mean()
            self.stands_for = to_tensor(stands_for, rows.dtype)
        self.tells_near = tells_near
        self.rng = None if seed is None else np.random.default_rng(seed)

    def complete(self, batch: Batch, index: Tensor) -> Batch:
        """Return the batch with pairs of neighbours; `index` numbers its rows."""
        own, n, n_rows = index.numpy(), len(index), len(self.sizes)
        sizes, starts = self.sizes[own], self.starts[own]
        near = None
        if self.tells_near or n == n_rows:
            place = np.full(n_rows, -1)
            place[own] = np.arange(n)
            first, listed = np.repeat(np.arange(n), sizes), _spans(starts, sizes)
            # the places in the batch of each row's neighbours, if they are in it
            second = place[self.indices[listed]]
        if self.tells_near:
            inside = np.flatnonzero(second >= 0)
            near = torch.eye(n, dtype=torch.bool, device="cpu")
            near[first[inside], second[inside]] = True
            near = (near | near.T).to(self.rows.device)
        x = batch.x
        if n == n_rows:
            weight = self.weights[to_tensor(listed)]
        else:
            listed = starts if self.rng is None else starts + self.rng.integers(sizes)
            first, second = np.arange(n), np.arange(n, 2 * n)
            weight = self.weights[to_tensor(listed)]
            if self.stands_for is not None:
                weight = weight * self.stands_for[index]
            neighbour = to_tensor(self.indices[listed], index.dtype)
            x = self.rows.tensor(torch.cat([index, neighbour]))
        i, j, w = (
            part.to(self.rows.device)
            for part in (to_tensor(first), to_tensor(second), weight)
        )
        return batch._replace(x=x, pairs=Pairs(i, j, w, near))


def _spans(starts: NDArray[np.integer], sizes: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return ``sizes[i]`` successive numbers from each ``starts[i]``, in one array."""
    before = np.cumsum(sizes) - sizes
    return np.repeat(starts - before, sizes) + np.arange(sizes.sum())
