"""Weights of rows, and rows to judge by, as they are given to `fit`.

A row of weight 2 is two rows, and one of weight 0 none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing, check_consistent_length
from sklearn.utils.validation import _check_sample_weight

from sklearn_ae.engine.inputs import as_array, rows_of
from sklearn_ae.engine.rows import CACHE_BYTES

__all__ = [
    "HeldOut",
    "check_counts",
    "check_val",
    "check_weight",
    "copies",
    "effective_rows",
    "handed_on",
    "named_rows",
    "repeated",
    "scaled",
    "without_weightless",
]

#: There may be at most this many rows where each is repeated as often as it counts.
MOST_REPEATED = 10**6
#: `copies` makes at most this many copies of rows.
MOST_COPIES = 20000


@dataclass(frozen=True)
class HeldOut:
    """Rows to judge by, in place of some of those to learn from.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
        Validated rows.
    y : object
        Labels that the user gave with them, or None.
    weight : ndarray of shape (n_rows,) or None
        Weight of each row.
    """

    X: Any
    y: Any = None
    weight: NDArray[np.float64] | None = None

    def with_rows(self, X: Any) -> HeldOut:
        """Return the same with other rows in their place, such as their codes."""
        return HeldOut(X, self.y, self.weight)

    @property
    def scaled_weight(self) -> NDArray[np.float64] | None:
        """Weight of each row, up to a factor, so that sums of it are finite."""
        return None if self.weight is None else scaled(self.weight)

    def read(self, estimator: Any, known: Mapping[str, Any], like: Any) -> HeldOut:
        """Return them checked and read as the rows of X are, without those of weight 0.

        Their features are `known` to the estimator that is fitted; `like` is the
        autoencoder that they are for.
        """
        with named_rows("X_val"):
            X = estimator._as_known(known, self.X, like=like)
            like._check_values(X, like.loss)
            like._check_size(X)
        return self.checked(X)

    def checked(self, X: Any) -> HeldOut:
        """Return them with validated rows X and checked weights, without those of 0."""
        if self.y is not None:
            with named_rows("y_val"):
                check_consistent_length(X, self.y)
        weight, y = check_weight(self.weight, X, "sample_weight_val"), self.y
        if weight is not None:
            X, y, weight = without_weightless(X, y, weight)
        return HeldOut(X, y, weight)


def check_val(
    estimator: Any, X_val: Any, y_val: Any, sample_weight_val: Any
) -> HeldOut | None:
    """Return the rows that `fit` was given to judge by; None if there are none.

    Raises
    ------
    ValueError
        If there are labels or weights without `X_val`, if nothing is judged by it, or
        if it is judged by labels and there are none.
    """
    if X_val is None:
        for name, value in (("y_val", y_val), ("sample_weight_val", sample_weight_val)):
            if value is not None:
                raise ValueError(f"{name} is provided, but X_val was not provided.")
        return None
    if not estimator._stops_early:
        raise ValueError(
            f"X_val is passed to fit, but nothing in this {type(estimator).__name__} "
            f"judges by it. {estimator._judging_hint}"
        )
    if y_val is None and estimator._judges_by_labels:
        raise ValueError("X_val is provided, but y_val was not provided.")
    return HeldOut(X_val, y_val, sample_weight_val)


def handed_on(
    estimator: Any, weight: NDArray[np.float64] | None, val: HeldOut | None
) -> dict[str, Any]:
    """Return both as keyword arguments for an estimator that another one fits."""
    given: dict[str, Any] = {}
    if weight is not None:
        given["sample_weight"] = weight
    if val is not None and estimator._stops_early:
        given |= {"X_val": val.X, "y_val": val.y, "sample_weight_val": val.weight}
    return given


@contextmanager
def named_rows(name: str) -> Iterator[None]:
    """Let errors say which rows, or what of them, they are about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        text = str(error)
        raise kind(text if name in text else f"{name}: {text}") from error


def check_weight(
    sample_weight: Any, X: Any, name: str = "sample_weight"
) -> NDArray[np.float64] | None:
    """Return weights of the rows of X as an array; None where none are given.

    Errors call them by `name`.

    Raises
    ------
    ValueError
        If they are not finite, negative, all zero, or not one for each row.
    TypeError
        If they cannot be read as numbers.
    """
    if sample_weight is None:
        return None
    rows = np.empty((X.shape[0], 0))  # only their number is asked of X
    with named_rows(name):
        weight: NDArray[np.float64] = _check_sample_weight(
            as_array(sample_weight), rows, dtype=np.float64, ensure_non_negative=True
        )
    return weight


def scaled(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights up to a factor: their sums are finite, and float32 holds them."""
    return weight / weight.max()


def without_weightless(
    X: Any, y: Any, weight: NDArray[np.float64]
) -> tuple[Any, Any, NDArray[np.float64]]:
    """Return the rows of a weight above 0, with their labels and weights.

    Raises
    ------
    ValueError
        If y has another length than X: it would be that of other rows then.
    """
    if y is not None:
        check_consistent_length(X, y)
    if weight.all():
        return X, y, weight
    kept = np.flatnonzero(weight)
    if y is not None:
        y = _safe_indexing(y, kept)
    return rows_of(X, kept, CACHE_BYTES), y, weight[kept]


def check_counts(weight: NDArray[np.float64], why: str) -> None:
    """Raise ValueError for weights that rows cannot be repeated by."""
    if (weight != np.floor(weight)).any() or weight.sum() > MOST_REPEATED:
        raise ValueError(
            f"sample_weight must be whole numbers that sum to at most {MOST_REPEATED} "
            f"with {why}: rows are related to each other, and each is repeated as "
            "often as its weight says. Round the weights."
        )


def repeated(
    X: Any, y: Any, weight: NDArray[np.float64]
) -> tuple[Any, Any, NDArray[np.float64] | None]:
    """Return each row as often as its weight says, and no weights."""
    if (weight == 1.0).all():
        return X, y, None
    rows = np.repeat(np.arange(len(weight)), weight.astype(np.intp))
    if y is not None:
        y = _safe_indexing(y, rows)
    return rows_of(X, rows, CACHE_BYTES), y, None


def effective_rows(weight: NDArray[np.float64]) -> int:
    """Return how many rows of weight 1 say as much as these.

    That is Σw, so that a row of weight 2 is two rows; but where weights are small, as
    those that sum to one are, not less than (Σw)² / Σw² (Kish), which does not depend
    on their scale.
    """
    largest = float(weight.max())
    shares = scaled(weight)
    total = float(shares.sum())
    least = total**2 / float(np.square(shares).sum())
    return max(1, round(min(max(total * largest, least), 2.0**53)))


def copies(weight: NDArray[np.float64], most: int = MOST_COPIES) -> NDArray[np.intp]:
    """Return the numbers of rows, each as often as it counts.

    Weights that are whole numbers are numbers of copies. Other weights, or those that
    make more than `most` copies, are scaled and rounded to the nearest whole number.
    """
    n_rows = min(max(effective_rows(weight), len(weight)), most)
    below = np.cumsum(scaled(weight))
    ends = np.floor(below / below[-1] * n_rows + 0.5).astype(np.intp)
    return np.repeat(np.arange(len(weight)), np.diff(ends, prepend=0))
