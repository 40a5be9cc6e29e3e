"""What a classifier's held-out rows are judged by, in the middle of its training."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer, get_scorer_names

from sklearn_ae.engine.labels import Labels
from sklearn_ae.params.domains import Constraint

__all__ = ["Predictions", "Scoring", "check_scoring", "score_of"]


class Scoring(Constraint):
    """What held-out rows are judged by."""

    def allows(self, value: Any) -> bool:
        if isinstance(value, str):
            return value == "loss" or value in get_scorer_names()
        return callable(value)

    def __str__(self) -> str:
        return "'loss', the name of one of scikit-learn's scorers or a callable"


class Predictions(ClassifierMixin, BaseEstimator):
    """What is predicted in the middle of a training, as scorers ask for it.

    Parameters
    ----------
    probabilities : callable
        Function that returns the probability of each class for each row it is given.
    classes : ndarray of shape (n_classes,)
    """

    def __init__(
        self, probabilities: Callable[[Any], NDArray[Any]], classes: NDArray[Any]
    ) -> None:
        self.probabilities, self.classes = probabilities, classes
        self.classes_ = classes

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probability of each class for each row."""
        return self.probabilities(X).astype(np.float64)

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the logarithms of the probabilities."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most likely class of each row."""
        return self.classes[self.predict_proba(X).argmax(1)]

    def __sklearn_is_fitted__(self) -> bool:
        return True


def check_scoring(scoring: Any, X: Any, labels: Labels) -> None:
    """Raise ValueError where the rows with labels cannot be scored.

    A network begins with classes that are all as likely, and so does this.
    """
    n_classes = len(labels.classes)

    def uniform(X: Any) -> NDArray[Any]:
        return np.full((X.shape[0], n_classes), 1.0 / n_classes)

    score_of(scoring, uniform, X, labels)()


def score_of(
    scoring: Any,
    probabilities: Callable[[Any], NDArray[Any]],
    X: Any,
    labels: Labels,
) -> Callable[[], float]:
    """Return what scores predictions for the rows of X that have labels.

    Parameters
    ----------
    scoring : str or callable
        Name of a scorer, or a function of a fitted classifier, X and y, and of
        `sample_weight` where it takes one.
    probabilities : callable
        Function that returns the probability of each class for each row it is given.
    X : ndarray or CSR array of shape (n_samples, n_features)
        Validated.
    labels : Labels
    """
    predictions = Predictions(probabilities, labels.classes)
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    rows, true = X[labels.rows], labels.classes[labels.places]
    weights = {}
    if labels.sample_weight is not None and _takes_weights(scorer):
        weights["sample_weight"] = labels.sample_weight

    def score() -> float:
        try:
            value = float(scorer(predictions, rows, true, **weights))
        except Exception as error:  # It may be anybody's function.
            reason = f"{type(error).__name__}: {error}".rstrip(". ")
            raise ValueError(
                f"scoring={scoring!r} cannot score these rows: {reason}. Use 'loss' or "
                "'balanced_accuracy', for more than two classes or strings 'f1_macro' "
                "or 'roc_auc_ovr', or a scorer of your own by "
                "sklearn.metrics.make_scorer."
            ) from error
        if not np.isfinite(value):
            raise ValueError(
                f"scoring={scoring!r} gives {value} for the rows to judge by. Use "
                "'loss', or judge by other rows."
            )
        return value

    return score


def _takes_weights(scorer: Callable[..., Any]) -> bool:
    """Tell whether a scorer's metric, or a function, takes `sample_weight`."""
    try:
        takes = inspect.signature(getattr(scorer, "_score_func", scorer)).parameters
    except (TypeError, ValueError):  # It is not written in Python.
        return False
    kinds = [one.kind for one in takes.values()]
    return "sample_weight" in takes or inspect.Parameter.VAR_KEYWORD in kinds
