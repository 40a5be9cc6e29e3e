"""What y says: classes, and which rows have none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils import assert_all_finite, check_consistent_length, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

__all__ = ["UNLABELLED", "Labels"]

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
        one class there would be nothing to learn.

        Raises
        ------
        ValueError
            If y is None, not one-dimensional, continuous, or names less than two
            classes; if class weights name other classes than y.
        """
        name = type(estimator).__name__
        if y is None:
            raise ValueError(
                f"This {name} estimator requires y to be passed, but the target y is "
                "None."
            )
        y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        check_consistent_length(X, y)
        labelled = _has_label(y)
        known = _of_one_kind(y[labelled])
        if len(known):
            check_classification_targets(known)
        classes, places = np.unique(known, return_inverse=True)
        if len(classes) < 2:
            found = f"one class: {classes.tolist()[0]!r}" if len(classes) else "none"
            without = np.count_nonzero(~labelled)
            raise ValueError(
                f"{name} needs samples of at least 2 classes in y, but there is "
                f"{found}; {without} of {len(y)} labels are -1, which means unlabelled."
            )
        rows = np.flatnonzero(labelled)
        weight = None if sample_weight is None else sample_weight[rows]
        if class_weight is not None:
            _check_names(class_weight, classes)
            of_class = compute_class_weight(
                class_weight, classes=classes, y=known, sample_weight=weight
            )
            weight = of_class[places] * (1.0 if weight is None else weight)
        return cls(classes, rows, places, weight)

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
        """Return `of_rows` to train and to judge by, with each class in both."""
        train, valid = train_test_split(
            np.arange(len(self.rows)),
            test_size=share,
            stratify=self.places,
            random_state=seed,
        )
        return self.of_rows(np.sort(train)), self.of_rows(np.sort(valid))


def _has_label(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Return for each row whether y is something else than −1."""
    if y.dtype.kind in "US":
        if str(UNLABELLED) in y.astype(str):
            raise ValueError(
                "y has strings, and '-1' is one of them. For unlabelled rows among "
                "strings use dtype=object and the number -1."
            )
        return np.ones(len(y), dtype=bool)
    if y.dtype.kind == "O":  # where strings are not compared with numbers
        labelled = np.array([isinstance(one, str) or one != UNLABELLED for one in y])
    else:
        labelled = y != UNLABELLED
    if not labelled.all() and (y[labelled] == 1).all() and labelled.any():
        return np.ones(len(y), dtype=bool)  # two classes, written as -1 and 1
    return labelled


def _of_one_kind(y: NDArray[Any]) -> NDArray[Any]:
    """Return labels that can be sorted; raise ValueError for a mixture."""
    if y.dtype.kind != "O":
        return y
    strings = [isinstance(label, str) for label in y]
    if all(strings):
        return y
    if any(strings):
        raise ValueError("y mixes strings with other labels: use one kind of label.")
    return np.asarray(y.tolist())


def _check_names(class_weight: Any, classes: NDArray[Any]) -> None:
    """Raise ValueError where weights are given for classes that are not there."""
    if not isinstance(class_weight, dict):
        return
    unseen = [label for label in class_weight if label not in classes.tolist()]
    if unseen:
        raise ValueError(
            f"class_weight names labels that are not in y: {unseen}. The classes are "
            f"{classes.tolist()}."
        )
