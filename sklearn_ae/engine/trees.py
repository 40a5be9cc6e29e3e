"""Search trees of scikit-learn's, kept as the rows that they are built from.

A tree's own state holds places of rows, which are read without a check that there are
such rows: wrong ones can end the process. Rows alone cannot.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neighbors import BallTree, KDTree

__all__ = ["Rebuilt", "is_tree"]

_KINDS: dict[str, Any] = {"BallTree": BallTree, "KDTree": KDTree}
#: Options of metrics, by which the metric can be built again.
_OPTIONS = {"minkowski": ("p", "w"), "seuclidean": ("V",), "mahalanobis": ("VI",)}


def is_tree(value: object) -> bool:
    """Tell whether a value is a tree that can be built again."""
    return type(value) in _KINDS.values()


class Rebuilt:
    """A stand-in for a tree in a file. Calling the class builds the tree.

    Parameters
    ----------
    kind : {"BallTree", "KDTree"}
    rows : ndarray of shape (n_samples, n_features)
    leaf_size : int
    metric : str
    options : dict
        Options of the metric.
    weights : ndarray of shape (n_samples,) or None

    Raises
    ------
    ValueError
        If there is no such tree.
    """

    _given: tuple[Any, ...]

    def __new__(
        cls,
        kind: str,
        rows: Any,
        leaf_size: int,
        metric: str,
        options: dict[str, Any],
        weights: Any,
    ) -> Any:
        known = kind in _KINDS and metric in BallTree.valid_metrics
        options_known = set(options) <= set(_OPTIONS.get(metric, ()))
        if not known or not (options_known or metric == "pyfunc"):
            raise ValueError(f"There is no {kind!r} of metric {metric!r} to build.")
        if weights is not None and np.shape(weights) != np.shape(rows)[:1]:
            raise ValueError(f"A {kind} needs one weight for each row.")
        return _KINDS[kind](
            rows, leaf_size=leaf_size, metric=metric, sample_weight=weights, **options
        )

    @classmethod
    def of(cls, tree: Any) -> Rebuilt:
        """Return the stand-in for a tree."""
        state = tree.__getstate__()
        rows, leaf_size, distance, weights = state[0], state[4], state[11], state[12]
        exponent, vector, matrix, *function = distance.__getstate__()
        metric = type(distance).__name__.lower().removesuffix("distance64")
        values = {"p": exponent, "w": vector, "V": vector, "VI": matrix}
        options = {name: values[name] for name in _OPTIONS.get(metric, ())}
        if function:  # one of the user
            options = {"func": function[0], **function[1]}
        if not len(options.get("w", (1,))):
            del options["w"]
        weights = None if weights is None else np.asarray(weights)
        stand_in: Rebuilt = object.__new__(cls)
        stand_in._given = (
            type(tree).__name__,
            np.asarray(rows),
            int(leaf_size),
            metric,
            options,
            weights,
        )
        return stand_in

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Rebuilt, self._given
