"""What y says: classes, and which rows have none."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import assert_all_finite, check_consistent_length, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples

from sklearn_ae.engine.params import Interval

__all__ = ["UNLABELLED", "Labels", "labelled_rows", "plain"]

#: What scikit-learn's semi-supervised estimators take for "no label".
UNLABELLED = -1


@dataclass(frozen=True)
class Labels:
    """Which rows have a label, and which.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted.
    rows : ndarray of int of shape (n_labelled,)
        The numbers of the rows with a label.
    places : ndarray of int of shape (n_labelled,)
        Each one's class, as its place in `classes`.
    weight : ndarray of shape (n_labelled,) or None
        How much each counts, up to a factor.
    """

    classes: NDArray[Any]
    rows: NDArray[np.intp]
    places: NDArray[np.intp]
    weight: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        y: Any,
        X: Any,
        estimator: Any,
        sample_weight: NDArray[np.float64] | None = None,
        class_weight: Any = None,
    ) -> Labels:
        """Read y, in which −1 is no label.

        Where y holds −1 and 1 alone, these are two classes, as some write them: with
        one class there would be nothing to learn. Rows of weight 0 have no part in it.

        Raises
        ------
        ValueError
            If y is None, not one-dimensional, continuous, or names less than two
            classes; if weights are of other classes, or none.
        """
        name = type(estimator).__name__
        if y is None:
            raise ValueError(
                f"This {name} estimator requires y to be passed, but the target y is "
                "None."
            )
        known, rows = labelled_rows(y)
        check_consistent_length(X, y)
        n_rows, without = _num_samples(y), _num_samples(y) - len(rows)
        if without and len(rows) and (known == 1).all():
            known, rows, without = plain(y), np.arange(n_rows), 0
            warnings.warn(
                "y holds -1 and 1 alone: they are taken for two classes. Beside other "
                "labels -1 would mean that a row has none. Classes written as 0 and 1 "
                "leave no doubt.",
                UserWarning,
                stacklevel=4,
            )
        if sample_weight is not None:
            counts = sample_weight[rows] > 0
            known, rows = known[counts], rows[counts]
        if len(known):
            check_classification_targets(known)
        classes, places = np.unique(known, return_inverse=True)
        if len(classes) < 2:
            found = f"one class: {classes.tolist()[0]!r}" if len(classes) else "none"
            raise ValueError(
                f"{name} needs samples of at least 2 classes in y, but there is "
                f"{found}; {without} of {n_rows} labels are -1, which means unlabelled."
            )
        weight = None  # up to a factor, that float32 can hold it
        if sample_weight is not None:
            weight = sample_weight[rows] / sample_weight[rows].max()
        if class_weight is not None:
            of_class = _class_weights(class_weight, classes, known, weight)
            weight = of_class[places] * (1.0 if weight is None else weight)
            weight /= weight.max()
        return cls(classes, rows, places, weight)

    def within(self, kept: NDArray[np.intp]) -> Labels:
        """Return the same labels, for the rows `kept` of X alone."""
        return replace(self, rows=np.searchsorted(kept, self.rows))

    def of_rows(self, chosen: Any = slice(None)) -> dict[str, Any]:
        """Return what `sklearn_ae.engine.bridge.Rows` is given, of some rows."""
        return {
            "subset": self.rows[chosen],
            "labels": self.places[chosen],
            "weight": None if self.weight is None else self.weight[chosen],
        }

    def check_split(self, estimator: Any) -> None:
        """Raise ValueError where rows cannot be held out of each class."""
        if estimator.early_stopping:
            self.split(estimator.validation_fraction, seed=0)

    def split(self, share: float, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return `of_rows` to train and to judge by, with each class in both.

        Raises
        ------
        ValueError
            If a class has one row alone.
        """
        rng, held = np.random.default_rng(seed), []
        for place, label in enumerate(self.classes.tolist()):
            rows = rng.permutation(np.flatnonzero(self.places == place))
            if len(rows) < 2:
                raise ValueError(
                    "early_stopping=True holds out rows of each class, which takes two "
                    f"rows of each at least. Class {label!r} has one."
                )
            n_held = np.clip(round(share * len(rows)), 1, len(rows) - 1)
            held.append(rows[:n_held])
        valid = np.sort(np.concatenate(held))
        train = np.setdiff1d(np.arange(len(self.rows)), valid)
        return self.of_rows(train), self.of_rows(valid)


def labelled_rows(y: Any) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the labels that y has, and the numbers of their rows.

    Raises
    ------
    ValueError
        If y is not one-dimensional, or has something else than numbers or strings.
    """
    y = column_or_1d(y, warn=True)
    if y.dtype.kind == "O":
        for label in y:
            if not isinstance(label, str | Number | np.generic) or label != label:
                raise ValueError(
                    f"y has {label!r}, which is no label. Labels are numbers or "
                    "strings; a row without one has the number -1."
                )
        strings = np.array([isinstance(label, str) for label in y])
        labelled = np.array([label != UNLABELLED for label in y])
        if strings.any() and not strings[labelled].all():
            raise ValueError("y mixes strings and numbers: use one kind of label.")
    else:
        if y.dtype.kind not in "biufUS":
            raise ValueError(f"y has dtype {y.dtype}. Labels are numbers or strings.")
        assert_all_finite(y, input_name="y")
        strings = np.full(len(y), y.dtype.kind in "US")
        labelled = strings | (y != UNLABELLED)
    if strings.any() and str(UNLABELLED) in y[strings].astype(str):
        raise ValueError(
            "y has strings, and '-1' is one of them. For unlabelled rows among strings "
            "use dtype=object and the number -1."
        )
    rows = np.flatnonzero(labelled)
    return plain(y[rows]), rows


def plain(y: Any) -> NDArray[Any]:
    """Return labels as a 1-D array, numbers among objects as numbers."""
    y = column_or_1d(y)
    if y.dtype.kind != "O" or any(isinstance(label, str) for label in y):
        return y
    return np.asarray(y.tolist())


def _class_weights(
    given: Any,
    classes: NDArray[Any],
    known: NDArray[Any],
    sample_weight: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Return the weight of each class; raise ValueError for what cannot be one."""
    if isinstance(given, dict):
        unseen = [label for label in given if label not in classes.tolist()]
        if unseen:
            raise ValueError(
                f"class_weight names labels that are not in y: {unseen}. The classes "
                f"are {classes.tolist()}."
            )
        weight = Interval(float, 0, None)
        bad = [one for one in given.values() if not weight.allows(one) or one == np.inf]
        if bad or not any(given.get(label, 1) for label in classes.tolist()):
            raise ValueError(
                "The weights in class_weight must be finite numbers, 0 or more, and "
                f"one of them more. Got {given}."
            )
    return compute_class_weight(
        given, classes=classes, y=known, sample_weight=sample_weight
    )
