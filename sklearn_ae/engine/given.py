"""Rows that a training is given, and what is known of each of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sklearn_ae.engine import inputs
from sklearn_ae.engine.rows import Rows
from sklearn_ae.engine.streams import joined, stacked
from sklearn_ae.engine.units import Units
from sklearn_ae.engine.weights import effective_rows

__all__ = ["Given", "n_counted", "of_some", "split", "with_weights"]


class Given(NamedTuple):
    """Rows, and what is known of them.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
    labels, weight : ndarray of shape (n_rows,) or None
    has_missing : bool
    """

    X: Any
    labels: NDArray[np.intp] | None
    weight: NDArray[np.float64] | None
    has_missing: bool

    def with_rows(
        self, others: Given
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], Given]:
        """Return the numbers of these rows and of the others, and all rows together."""
        sizes = n, m = self.X.shape[0], others.X.shape[0]
        together = Given(
            stacked(self.X, others.X),
            joined(self.labels, others.labels, sizes, none=-1),
            joined(self.weight, others.weight, sizes, none=1.0),
            self.has_missing or others.has_missing,
        )
        return np.arange(n), np.arange(n, n + m), together

    def rows(
        self,
        units: Units,
        dtype: torch.dtype,
        device: torch.device,
        subset: NDArray[np.intp] | None,
    ) -> Rows:
        """Return these rows as tensors, or those that `subset` numbers."""
        labels, weight = self.labels, self.weight
        if subset is not None:
            labels = None if labels is None else labels[subset]
            weight = None if weight is None else weight[subset]
        return Rows(
            self.X, units, dtype, device, subset, self.has_missing, labels, weight
        )


def n_counted(
    n_rows: int,
    weight: NDArray[np.float64] | None,
    subset: NDArray[np.intp] | None,
) -> int:
    """Return how many rows of weight 1 the rows (of the subset) count as."""
    if weight is None:
        return n_rows if subset is None else len(subset)
    return effective_rows(weight if subset is None else weight[subset])


def of_some(
    weight: NDArray[np.float64] | None, n_rows: int, seed: int, most: int
) -> NDArray[np.float64] | None:
    """Return the weights of those rows that `some_rows` chooses."""
    if weight is None:
        return None
    return weight[inputs.some_rows(n_rows, seed, most)]


def with_weights(
    parts: Iterator[NDArray[Any]], weight: NDArray[np.float64] | None
) -> Iterator[tuple[NDArray[Any], NDArray[np.float64]]]:
    """Yield each part of rows, or of what belongs to them, and its rows' weights."""
    done = 0
    for part in parts:
        stop = done + len(part)
        yield part, np.ones(len(part)) if weight is None else weight[done:stop]
        done = stop


def split(
    estimator: Any, n_samples: int, seed: int, streaming: bool
) -> tuple[NDArray[np.intp] | None, NDArray[np.intp] | None]:
    """Return the rows to train and to validate on; None is all rows, or no rows."""
    if not estimator.early_stopping or streaming:
        return None, None
    n_valid = max(1, round(estimator.validation_fraction * n_samples))
    if n_valid >= n_samples:
        raise ValueError(
            f"early_stopping=True with validation_fraction="
            f"{estimator.validation_fraction} leaves nothing to train on: "
            f"X has {n_samples} sample{'s' * (n_samples != 1)}."
        )
    order = np.random.default_rng(seed).permutation(n_samples)
    return np.sort(order[n_valid:]), np.sort(order[:n_valid])
