"""Rows that are trained together with others of the same data.

A method says how rows are related (`BaseAutoencoder._relate`); what is here hands out
each batch with what its rows are related to. Nothing of the size n × n is made.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_ae.engine.bridge import Batch, Pairs, Rows
from sklearn_ae.engine.inputs import is_sparse, row_chunks

__all__ = ["Neighbours", "Relation", "Targets"]


class Relation(NamedTuple):
    """What each row of X is to be restored to: a combination of rows.

    Attributes
    ----------
    weights : CSR array of shape (n_rows, n_sources)
        Targets are ``weights @ sources + own[:, None] * X``.
    sources : ndarray or CSR array of shape (n_sources, n_features)
        Rows, in the units of X.
    own : ndarray of shape (n_rows,)
    total : ndarray of shape (n_rows,)
        How much each row counts.
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
        What is handed out. Where it holds its tensors, the targets are held too.
    relation : Relation
        Of these rows, or of all rows of ``rows.X``.
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
        """Return the batch with its rows' targets; they are numbered by `index`."""
        on_device = index.to(self.device)
        if self.cached is not None:
            target = self.cached.index_select(0, on_device)
        else:
            target = self._targets(index.numpy())
        return batch._replace(target=target, weight=self.total[on_device])

    def _targets(self, index: NDArray[np.intp]) -> Tensor:
        weights = self.weights[index]
        # of the sources only those that are needed: scipy would convert them all
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

    A batch of all rows has all pairs of neighbours. Any other has, beside its rows, one
    neighbour of each, drawn anew every time.

    Parameters
    ----------
    rows : Rows
        What is handed out.
    indices : ndarray of int of shape (n_rows, n_neighbors)
        The neighbours of each row, among the rows that are handed out.
    weights : ndarray of shape (n_rows, n_neighbors)
        How much each pair counts.
    seed : int or None
        Draws the neighbours; None takes the nearest, the first.
    tells_near : bool
        Whether to tell of all pairs of a batch's rows if they are neighbours.
    """

    def __init__(
        self,
        rows: Rows,
        indices: NDArray[np.intp],
        weights: NDArray[np.float64],
        seed: int | None,
        tells_near: bool,
    ) -> None:
        self.rows, self.indices = rows, indices
        self.weights = torch.tensor(weights / weights.mean(), dtype=rows.dtype)
        self.tells_near = tells_near
        self.rng = None if seed is None else np.random.default_rng(seed)

    def complete(self, batch: Batch, index: Tensor) -> Batch:
        """Return the batch with pairs of neighbours; its rows are those of `index`."""
        n_rows, k = self.indices.shape
        own, n = index.numpy(), len(index)
        near = None
        if self.tells_near or n == n_rows:
            place = np.full(n_rows, -1)
            place[own] = np.arange(n)
            # where each one's neighbours are in the batch, if they are
            inside = place[self.indices[own]]
            first, column = np.nonzero(inside >= 0)
        if self.tells_near:
            near = torch.eye(n, dtype=torch.bool)
            near[first, inside[first, column]] = True
            near = (near | near.T).to(self.rows.device)
        x = batch.x
        if n == n_rows:
            second, weight = inside.ravel(), self.weights[index].ravel()
        else:
            drawn = np.zeros(n, np.intp)
            if self.rng is not None:
                drawn = self.rng.integers(k, size=n)
            first, second = np.arange(n), np.arange(n, 2 * n)
            weight = self.weights[index, torch.tensor(drawn)]
            neighbour = torch.tensor(self.indices[own, drawn])
            x = self.rows.tensor(torch.cat([index, neighbour]))
        i, j, w = (
            part.to(self.rows.device)
            for part in (torch.tensor(first), torch.tensor(second), weight)
        )
        return batch._replace(x=x, pairs=Pairs(i, j, w, near))
