"""Whole batches of rows, for training and for judging."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from skorch.dataset import Dataset

from sklearn_ae.engine.rows import CACHE_BYTES, Batch, Rows
from sklearn_ae.engine.tensors import from_tensor, make_generator

__all__ = ["BatchIterator", "HeldOutIterator", "Served"]


class BatchIterator:
    """Whole batches of rows, in an order drawn again for every pass.

    Parameters
    ----------
    rows : Rows
    batch_size : int
        Number of rows of a batch. The last one may be smaller; none is dropped.
    generator : torch.Generator or None
        Generator that draws the order; None keeps the rows as they are.
    """

    def __init__(
        self, rows: Rows, batch_size: int, generator: torch.Generator | None
    ) -> None:
        self.rows, self.batch_size, self.generator = rows, batch_size, generator

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        n_rows = len(self.rows)
        if self.generator is None:
            if self.batch_size >= n_rows:
                yield self.rows.everything()
                return
            order = torch.arange(n_rows, device="cpu")
        else:
            order = torch.randperm(n_rows, generator=self.generator, device="cpu")
        for index in order.split(self.batch_size):
            yield self.rows.batch(index)


class HeldOutIterator(BatchIterator):
    """Batches of held-out rows as the module learns them, the same in every pass.

    Where the module learns from noisy rows, these are noisy too, by one draw. On clean
    rows the best denoiser would be one that does nothing.

    Parameters
    ----------
    rows, batch_size
        Rows and size of a batch, as in `BatchIterator`.
    as_learned : callable
        Function that returns a batch with noise from a generator.
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        as_learned: Callable[[Batch, torch.Generator], Batch],
    ) -> None:
        super().__init__(rows, batch_size, None)
        self.as_learned = as_learned

    def __iter__(self) -> Iterator[Batch]:
        generator = make_generator(0, self.rows.device)
        for batch in super().__iter__():
            yield self.as_learned(batch, generator)


class Served(Dataset):
    """Rows, as skorch's scoring callbacks want them: X and y in the units of the user.

    Parameters
    ----------
    rows : Rows
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def X(self) -> Any:
        """The rows that were given to fit, and are trained on or held out."""
        rows = self.rows
        return rows.X if rows.subset is None else rows.X[rows.subset]

    @property
    def y(self) -> NDArray[Any] | None:
        """Number of each row's class; without classes, the rows to be restored.

        None where these are sparse, and too large to be made dense.
        """
        if self.rows.labels is not None:
            return from_tensor(self.rows.labels)
        X = self.X
        if not self.rows.is_sparse:
            return X[:]
        size = X.shape[0] * X.shape[1] * X.dtype.itemsize
        return X.toarray() if size <= CACHE_BYTES else None
