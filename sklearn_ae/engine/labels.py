"""What y says: classes, and which rows have none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Number
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import assert_all_finite, check_consistent_length, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples

from sklearn_ae.engine.notices import warn_user
from sklearn_ae.engine.weights import named_rows, scaled
from sklearn_ae.params.domains import Instance, Interval, Nothing
from sklearn_ae.params.fields import Params

__all__ = ["LabelParameters", "Labels", "Reading", "Supervision", "places_of", "read"]

#: What scikit-learn's semi-supervised estimators take for "no label".
UNLABELLED = -1


class Supervision(NamedTuple):
    """The labels that a method reads in y, and the attributes that follow from them.

    Attributes
    ----------
    labels : ndarray of int of shape (n_samples,) or None
        Number of each row's class, −1 for none.
    attributes : dict
        Fitted attributes that follow from y.
    n_classes : int
    """

    labels: NDArray[np.intp] | None = None
    attributes: dict[str, Any] = {}
    n_classes: int = 0


class LabelParameters(Params):
    """Parameters of estimators that learn from labels.

    Parameters
    ----------
    unlabeled : int, str or None, default="auto"
        Label that marks rows without one. "auto" is −1, as in scikit-learn's
        semi-supervised estimators. It warns wherever −1 and other labels are in y,
        since −1 may also be a class; and where −1 and 1 are the only labels, it takes
        them for two classes. A value given here is used without a warning. None means
        that every label is a class, −1 too.
    """

    unlabeled: int | str | None = "auto"

    _valid: ClassVar = {
        "unlabeled": [Interval(int, None, None), Instance(str, "a str"), Nothing()],
    }
    #: What `unlabeled` was in the last fit; "auto" only if y had no −1 to decide on.
    _unlabeled: ClassVar[int | str | None] = "auto"
    #: The classes of the fit that `partial_fit` and `warm_start` continue.
    _seen_classes: ClassVar[Any] = None
    _preset: ClassVar[tuple[str, ...]] = ("_seen_classes", "_unlabeled")

    def _read(self, y: Any, resume: bool = False) -> Reading:
        """Read y; where `resume`, as it was read before."""
        if not resume:
            return read(y, self.unlabeled)
        before = self._unlabeled if self.unlabeled == "auto" else self.unlabeled
        return read(y, before, self._seen_classes)

    def _read_like(self, unlabeled: int | str | None) -> None:
        """Read labels as the estimator that hands them on, unless set otherwise."""
        if self.unlabeled == "auto":
            self.unlabeled = unlabeled


@dataclass(frozen=True)
class Reading:
    """The labels in y, and how they were read.

    Attributes
    ----------
    labels : ndarray of shape (n_labelled,)
    rows : ndarray of int of shape (n_labelled,)
        Number of the row that each label is of.
    unlabeled : int, str or None
        Mark of rows without a label; None if all have one, "auto" if y has no −1 to
        decide on.
    doubt : str
        Warning where nobody has said what −1 means; empty if there is no −1.
    """

    labels: NDArray[Any]
    rows: NDArray[np.intp]
    unlabeled: int | str | None
    doubt: str = ""

    def warn(self) -> None:
        """Tell the user how −1 was read, if that is in doubt."""
        if self.doubt:
            warn_user(self.doubt)


def read(y: Any, unlabeled: int | str | None = "auto", seen: Any = None) -> Reading:
    """Return the labels that y has.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
    unlabeled : int, str or None, default="auto"
        See `LabelParameters`.
    seen : ndarray of shape (n_classes,) or None, default=None
        Classes known from before, which count as other labels besides −1.

    Raises
    ------
    ValueError
        If y is not one-dimensional, or has something else than numbers or strings.
    """
    mark = UNLABELLED if unlabeled == "auto" else unlabeled
    labels, rows = _labelled_rows(y, mark)
    if unlabeled != "auto" or len(rows) == _num_samples(y):
        return Reading(labels, rows, unlabeled)
    classes = [] if seen is None else seen.tolist()
    if UNLABELLED in classes:
        return read(y, None)
    if not classes and len(labels) and (labels == 1).all():
        doubt = (
            "y has the labels -1 and 1 alone: they are taken for two classes. Confirm "
            "this with unlabeled=None. If -1 means that a row has no label, use "
            "unlabeled=-1."
        )
        return replace(read(y, None), doubt=doubt)
    if not classes and not len(labels):
        return Reading(labels, rows, "auto")
    doubt = (
        "y has -1 besides other labels: rows with -1 are taken for rows without a "
        "label. Confirm this with unlabeled=-1. If -1 is a class, use unlabeled=None."
    )
    return Reading(labels, rows, UNLABELLED, doubt)


def places_of(
    y: Any, X: Any, unlabeled: int | str | None, classes: NDArray[Any]
) -> NDArray[np.intp]:
    """Return the place of each label of `y_val` among known classes, −1 for none.

    Raises
    ------
    ValueError
        If y is not what `read` takes, not as long as X, or has other classes.
    """
    with named_rows("y_val"):
        check_consistent_length(X, y)
        reading = read(y, unlabeled, classes)
    unseen = np.setdiff1d(reading.labels, classes)
    if len(unseen):
        raise ValueError(
            f"y_val has classes that y does not have: {unseen.tolist()}. Those of y "
            f"are {classes.tolist()}."
        )
    number = {label: place for place, label in enumerate(classes.tolist())}
    places = np.full(_num_samples(y), -1)
    places[reading.rows] = [number[label] for label in reading.labels.tolist()]
    return places


@dataclass(frozen=True)
class Labels:
    """Which rows have a label, and which.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted.
    rows : ndarray of int of shape (n_labelled,)
        Numbers of the rows with a label.
    places : ndarray of int of shape (n_labelled,)
        Class of each label, as its place in `classes`.
    unlabeled : int, str or None
        Mark of rows without a label, see `Reading`.
    weight : ndarray of shape (n_labelled,) or None
        Weight of each label, up to a factor.
    sample_weight : ndarray of shape (n_labelled,) or None
        Weight of each label without the factor of its class.
    of_class : ndarray of shape (n_classes,) or None
        Weight of the rows of each class.
    """

    classes: NDArray[Any]
    rows: NDArray[np.intp]
    places: NDArray[np.intp]
    unlabeled: int | str | None
    weight: NDArray[np.float64] | None = None
    sample_weight: NDArray[np.float64] | None = None
    of_class: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        y: Any,
        X: Any,
        estimator: Any,
        sample_weight: NDArray[np.float64] | None = None,
        class_weight: Any = None,
        resume: bool = False,
    ) -> Labels:
        """Read y as the estimator's `unlabeled` says, and warn of what is in doubt.

        Rows of weight 0 give no classes. With `resume` y is read as it was before.

        Raises
        ------
        ValueError
            If y is None, not one-dimensional, continuous, or has fewer than two
            classes; if `class_weight` has other classes, or counts none of them.
        """
        name = type(estimator).__name__
        if y is None:
            raise ValueError(
                f"This {name} estimator requires y to be passed, but the target y is "
                "None."
            )
        reading = estimator._read(y, resume)
        known, rows = reading.labels, reading.rows
        check_consistent_length(X, y)
        n_rows, without = _num_samples(y), _num_samples(y) - len(rows)
        if sample_weight is not None:
            counts = sample_weight[rows] > 0
            known, rows = known[counts], rows[counts]
        if len(known):
            check_classification_targets(known)
        classes, places = np.unique(known, return_inverse=True)
        if len(classes) < 2:
            found = f"one class: {classes.tolist()[0]!r}" if len(classes) else "none"
            message = f"{name} needs samples of at least 2 classes in y, but there is "
            message += found
            if reading.unlabeled is not None:
                mark = UNLABELLED if reading.unlabeled == "auto" else reading.unlabeled
                message += f"; {without} of {n_rows} labels are {mark!r}, which means "
                message += "unlabelled"
            if without and estimator.unlabeled == "auto":
                message += ". If -1 is a class, use unlabeled=None"
            raise ValueError(f"{message}.")
        reading.warn()
        own = of_class = None
        if sample_weight is not None:
            own = scaled(sample_weight[rows])
        if class_weight is not None:
            of_class = _class_weights(class_weight, classes, known, own)
        weight = _weights(places, own, of_class, "y")
        return cls(classes, rows, places, reading.unlabeled, weight, own, of_class)

    def held_out(
        self, y: Any, X: Any, sample_weight: NDArray[np.float64] | None = None
    ) -> Labels:
        """Return the labels of rows to judge by, read as these are.

        Raises
        ------
        ValueError
            If y is not like the one that these were read from, has other classes, or
            has no label.
        """
        places = places_of(y, X, self.unlabeled, self.classes)
        rows = np.flatnonzero(places >= 0)
        if not len(rows):
            raise ValueError("No row of y_val has a label.")
        own = None
        if sample_weight is not None:
            own = scaled(sample_weight[rows])
        weight = _weights(places[rows], own, self.of_class, "y_val")
        return replace(
            self, rows=rows, places=places[rows], weight=weight, sample_weight=own
        )

    def some(self, chosen: NDArray[np.intp]) -> Labels:
        """Return some of them."""
        weight, own = (
            None if part is None else part[chosen]
            for part in (self.weight, self.sample_weight)
        )
        return replace(
            self,
            rows=self.rows[chosen],
            places=self.places[chosen],
            weight=weight,
            sample_weight=own,
        )

    def within(self, kept: NDArray[np.intp]) -> Labels:
        """Return the same labels, for the rows `kept` of X alone."""
        return replace(self, rows=np.searchsorted(kept, self.rows))

    def of_rows(self) -> dict[str, Any]:
        """Return arguments of `Rows` for the rows with a label."""
        return {"subset": self.rows, "labels": self.places, "weight": self.weight}

    def check_split(self, estimator: Any) -> None:
        """Raise ValueError where rows cannot be held out of each class."""
        if estimator.early_stopping:
            self.split(estimator.validation_fraction, seed=0)

    def split(self, share: float, seed: int) -> tuple[Labels, Labels]:
        """Return labels to train and to judge by, with each class in both.

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
                    "early_stopping=True holds out rows of each class, which needs at "
                    f"least two rows of each. Class {label!r} has one."
                )
            n_held = np.clip(round(share * len(rows)), 1, len(rows) - 1)
            held.append(rows[:n_held])
        valid = np.sort(np.concatenate(held))
        train = np.setdiff1d(np.arange(len(self.rows)), valid)
        return self.some(train), self.some(valid)


def _weights(
    places: NDArray[np.intp],
    own: NDArray[np.float64] | None,
    of_class: NDArray[np.float64] | None,
    name: str,
) -> NDArray[np.float64] | None:
    """Return how much each label, of y or y_val, counts: for its row and its class."""
    if of_class is None:
        return own
    weight = of_class[places] * (1.0 if own is None else own)
    if not weight.any():  # all classes of weight 0
        raise ValueError(f"No row of {name} is of a class that class_weight counts.")
    return scaled(weight)


def _labelled_rows(
    y: Any, mark: int | str | None
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the labels other than `mark`, and the numbers of their rows."""
    y = column_or_1d(y, warn=True)
    if y.dtype.kind == "O":
        for label in y:
            if not isinstance(label, str | Number | np.generic) or label != label:
                raise ValueError(
                    f"y has {label!r}, which is not a label. Labels are numbers or "
                    "strings; a row without one has the number -1, or what the "
                    "'unlabeled' parameter says."
                )
        strings = np.array([isinstance(label, str) for label in y], dtype=bool)
        labelled = np.array([label != mark for label in y], dtype=bool)
        if strings[labelled].any() and not strings[labelled].all():
            raise ValueError("y mixes strings and numbers: use one kind of label.")
    else:
        if y.dtype.kind not in "biufUS":
            raise ValueError(f"y has dtype {y.dtype}. Labels are numbers or strings.")
        assert_all_finite(y, input_name="y")
        textual = y.dtype.kind in "US"
        if isinstance(mark, str) and not textual:
            raise ValueError(
                f"y has numbers, but unlabeled={mark!r} is a str. Give a number."
            )
        strings = np.full(len(y), textual)
        labelled = np.ones(len(y), dtype=bool)
        if isinstance(mark, str):
            labelled = y.astype(str) != mark
        elif mark is not None and not textual:
            labelled = y != mark
    others = ~strings if isinstance(mark, str) else strings
    if mark is not None and str(mark) in y[others].astype(str):
        if isinstance(mark, str):
            raise ValueError(
                f"y has the number {mark}, but unlabeled={mark!r} is a str. Use "
                f"unlabeled={mark}."
            )
        raise ValueError(
            f"y has strings, and '{mark}' is one of them. For unlabelled rows among "
            f"strings use dtype=object and the number {mark}, or unlabeled='{mark}'. "
            f"If '{mark}' is a class, use unlabeled=None."
        )
    rows = np.flatnonzero(labelled)
    return _plain(y[rows]), rows


def _plain(y: NDArray[Any]) -> NDArray[Any]:
    """Return labels with numbers among objects as numbers."""
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
