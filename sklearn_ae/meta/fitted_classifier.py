"""What a fitted classifier answers, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score
from sklearn.utils import _safe_indexing, check_consistent_length
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklearn_ae.engine.consistency import (
    check_classes,
    check_feature_names,
    check_history,
    is_finite,
    need,
)
from sklearn_ae.engine.labels import read
from sklearn_ae.engine.module import CodingModule, compute_dtype
from sklearn_ae.engine.persistence import Persistent
from sklearn_ae.engine.sklearn_types import ClassifierMixin
from sklearn_ae.engine.tensors import to_tensor
from sklearn_ae.engine.transforms import RowFunction
from sklearn_ae.meta.layers import ValidatesRowsOfFirstLayer
from sklearn_ae.meta.stacked import StackedAutoencoderPretrainer

__all__ = ["FittedClassifier"]


class FittedClassifier(Persistent, ValidatesRowsOfFirstLayer, ClassifierMixin):
    r"""Answers by :math:`\mathrm{softmax}(W f(x) + b)`, with a fitted stack f."""

    classes_: NDArray[Any]
    coef_: NDArray[Any]
    intercept_: NDArray[Any]
    pretrainer_: StackedAutoencoderPretrainer
    history_: dict[str, NDArray[np.float64]]
    #: What marked rows without a label in the fit.
    _unlabeled: ClassVar[int | str | None]

    @property
    def _fitted_dtype(self) -> str:
        return self.pretrainer_._fitted_dtype

    # -- using the fit ------------------------------------------------------------

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most likely class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        check_is_fitted(self, "pretrainer_")
        X = self._validate(X, reset=False)
        logits = self._logits(self._answering_module)
        return self.classes_[self.pretrainer_._apply(logits, X).argmax(axis=1)]

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probability of each class for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            The classes are in the order of `classes_`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        check_is_fitted(self, "pretrainer_")
        X = self._validate(X, reset=False)
        answer = self._answers(self._answering_module)["predict_proba"]
        return self.pretrainer_._apply(answer.function, X)

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the logarithm of the probability of each class for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            −inf where `predict_proba` is 0.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of rows with a label whose class is predicted.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            True labels. Rows without one are left out: those with the label that marked
            them in `fit`.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weight of each row.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If no row has a label.
        """
        predicted = self.predict(X)
        check_consistent_length(predicted, y, sample_weight)
        reading = read(y, self._unlabeled, self.classes_)
        if not len(reading.rows):
            raise ValueError(
                f"No row of y has a label: all are {reading.unlabeled}. Give rows that "
                "have one."
            )
        reading.warn()
        if sample_weight is not None:
            sample_weight = _safe_indexing(sample_weight, reading.rows)
        true, predicted = reading.labels, predicted[reading.rows]
        return float(accuracy_score(true, predicted, sample_weight=sample_weight))

    @property
    def _answering_module(self) -> CodingModule:
        """The module that answers, but for the softmax on top."""
        return self.pretrainer_._fit.module

    def _logits(self, module: CodingModule) -> Callable[[Tensor], Tensor]:
        """Return W f(x) + b as a function of x, with the stack's module for f."""
        device = next(module.parameters()).device
        weight = to_tensor(self.coef_).to(device)
        bias = to_tensor(self.intercept_).to(device)
        return lambda x: F.linear(module.encode(x), weight, bias)

    def _answers(self, module: CodingModule) -> dict[str, RowFunction]:
        """Return what our methods compute by the stack's module or a copy of it."""
        logits = self._logits(module)

        def probabilities(x: Tensor) -> Tensor:
            return F.softmax(logits(x), dim=1)

        units, n_in = self.pretrainer_._fit.units, self.n_features_in_
        names = ("X", "probabilities")
        return {"predict_proba": RowFunction(probabilities, units, n_in, names)}

    # -- fitted attributes --------------------------------------------------------

    @property
    def n_iter_(self) -> int:
        """Number of epochs of fine-tuning."""
        return len(self.loss_curve_)

    @property
    def loss_curve_(self) -> list[float]:
        """Objective of fine-tuning by epoch, in nats per sample."""
        check_is_fitted(self, "pretrainer_")
        return self.history_["train_loss"].tolist()

    @property
    def validation_scores_(self) -> list[float] | None:
        """Scores of held-out rows by `scoring`, by epoch."""
        check_is_fitted(self, "pretrainer_")
        scores, losses = map(self.history_.get, ("valid_score", "valid_loss"))
        if losses is None:
            return None
        return (-losses if scores is None else scores).tolist()

    # -- persistence --------------------------------------------------------------

    _learned: ClassVar[tuple[str, ...]] = (
        "pretrainer_",
        "_unlabeled",
        "classes_",
        "coef_",
        "history_",
        "intercept_",
        "n_features_in_",
    )

    def _check_learned(self, kept: Mapping[str, Any]) -> None:
        stack, classes = kept["pretrainer_"], kept["classes_"]
        check_feature_names(kept)
        check_history(kept["history_"])
        need(
            isinstance(stack, StackedAutoencoderPretrainer),
            "its stack is missing, or not a StackedAutoencoderPretrainer",
        )
        check_is_fitted(stack, "estimators_")
        need(
            stack.n_features_in_ == kept["n_features_in_"],
            "its stack is of other features",
        )
        check_classes(classes)
        dtype = str(compute_dtype(stack._fitted_dtype)).removeprefix("torch.")
        for name, shape in (
            ("coef_", (len(classes), stack.n_components_)),
            ("intercept_", (len(classes),)),
        ):
            array = kept[name]
            need(
                is_finite(array, shape) and array.dtype == dtype,
                f"its {name} is not of {shape} finite numbers",
            )
