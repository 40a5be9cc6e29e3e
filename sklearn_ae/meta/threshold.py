"""Where the threshold between usual rows and outliers is, and which rows set it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_ae.engine import inputs
from sklearn_ae.engine.notices import warn_user
from sklearn_ae.engine.weights import effective_rows, scaled

__all__ = ["FEWEST_HELD_OUT", "N_FOLDS", "divided", "threshold"]

#: "auto" takes this share of rows like those held out for outliers.
FALSE_ALARMS = 0.05
#: Where fewer than 50 rows would be held out, all rows are scored, in 5 folds.
FEWEST_HELD_OUT, N_FOLDS = 50, 5
#: Fewer scores than this have no quantile of `FALSE_ALARMS`.
FEWEST_SCORES = round(1 / FALSE_ALARMS)


def divided(
    X: Any, folds: list[NDArray[np.intp]]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield for each fold the rows to learn from, and those of it to score.

    A row that alone has a feature, where all rows outside of the fold miss it, is
    learned from.
    """
    gaps = inputs.has_missing(X)
    for fold in folds:
        held_out = np.sort(fold)
        learned = np.setdiff1d(np.arange(X.shape[0]), held_out)
        unknown = ~inputs.observed_features(X, learned) if gaps else np.zeros(0, bool)
        if unknown.any():
            alone = ~np.isnan(X[held_out][:, unknown]).all(axis=1)
            learned = np.sort(np.concatenate([learned, held_out[alone]]))
            held_out = held_out[~alone]
        yield learned, held_out


def threshold(
    scores: NDArray[np.float64],
    contamination: float | str,
    weight: NDArray[np.float64] | None = None,
) -> float:
    """Return the score below which a row is an outlier, in the middle of a gap."""
    known = ~np.isnan(scores)
    order = np.argsort(scores[known])
    scores = scores[known][order]
    weight = None if weight is None else weight[known][order]
    if len(scores) == 0:
        raise ValueError(
            "No row has a score to set the threshold by: each row is missing, or has a "
            "feature that no other row has. Fit to rows with more observed values."
        )
    total = len(scores) if weight is None else effective_rows(weight)
    if isinstance(contamination, str):
        if len(scores) < FEWEST_SCORES:
            warn_user(
                f"contamination='auto' needs at least {FEWEST_SCORES} scores, to set "
                f"the threshold at their {FALSE_ALARMS:.0%} quantile. Got "
                f"{len(scores)}: another share of new rows may be taken for outliers. "
                "Fit to more rows, or set contamination to a number."
            )
        n_outliers = min(total - 1, max(1, round(FALSE_ALARMS * total)))
    else:
        n_outliers = round(contamination * total)
    if n_outliers == 0:  # below them all, by more than scores in float32 are rounded
        return float(scores[0] - 1e-4 * (np.abs(scores).max() or 1.0))
    if weight is None:
        return float(np.mean(scores[n_outliers - 1 : n_outliers + 1]))
    # The ends of the gap are the last score of as many rows as are outliers, and the
    # first beyond them.
    below = np.cumsum(scaled(weight))
    below *= total / below[-1]
    last = np.searchsorted(below, n_outliers * (1 - 1e-9))
    first = np.searchsorted(below, n_outliers * (1 + 1e-9), side="right")
    ends = np.minimum([last, first], len(scores) - 1)
    return float(scores[ends].mean())
