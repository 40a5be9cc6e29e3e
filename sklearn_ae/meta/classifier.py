r"""A pretrained stack with a softmax on top, trained by class (Bengio et al. 2007).

.. math:: p(y \mid x) = \mathrm{softmax}(W f(x) + b)_y

The stack f has learned from all rows; W, b and f then learn from those with a label.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_ae.engine.estimator import BaseAutoencoder
from sklearn_ae.engine.labels import LabelParameters, Labels
from sklearn_ae.engine.resuming import next_seed
from sklearn_ae.engine.sklearn_types import (
    BaseEstimator,
    CallbackSupportMixin,
    with_callbacks,
)
from sklearn_ae.engine.weights import (
    HeldOut,
    check_val,
    check_weight,
    handed_on,
    without_weightless,
)
from sklearn_ae.meta.fine_tuning import FineTuning, FineTuningParameters, divided
from sklearn_ae.meta.fitted_classifier import FittedClassifier
from sklearn_ae.meta.layers import pass_names
from sklearn_ae.meta.scoring import Scoring, check_scoring
from sklearn_ae.meta.stack_module import SoftmaxModule
from sklearn_ae.meta.stacked import StackedAutoencoderPretrainer
from sklearn_ae.params.domains import Bool, Constraint, Instance, Nothing, OneOf

__all__ = ["StackedAutoencoderClassifier"]


class _Pretrainer(Constraint):
    """A stack to be fitted, or a fitted one that is frozen."""

    def allows(self, value: Any) -> bool:
        if isinstance(value, FrozenEstimator):
            value = value.estimator
        return isinstance(value, StackedAutoencoderPretrainer)

    def __str__(self) -> str:
        return "a StackedAutoencoderPretrainer (or a fitted one in a FrozenEstimator)"


class StackedAutoencoderClassifier(
    FittedClassifier,
    CallbackSupportMixin,
    LabelParameters,
    FineTuningParameters,
    BaseEstimator,
):
    r"""Classifier that learns its features from all rows, labelled or not.

    A stack of autoencoders f is fitted to all rows of X; then f and a softmax on top
    are trained together on the rows with a label, to minimise

    .. math:: \frac{\sum_i w_i\, [-\log \mathrm{softmax}(W f(x_i) + b)_{y_i}]}
              {\sum_i w_i} + \frac{\alpha}{2} \sum \|W\|^2

    in nats per sample. `unlabeled` says which rows have no label; the stack reads y in
    the same way, unless it has an `unlabeled` of its own.

    `corruption` and all parameters after it are those of this training; the layers' own
    are reached as ``pretrainer__estimator__max_iter``.

    Parameters
    ----------
    pretrainer : StackedAutoencoderPretrainer, FrozenEstimator or None, default=None
        Stack to begin with, None for one with its defaults. A fitted one in a
        FrozenEstimator is not fitted again: a copy of it is fine-tuned.
    pretrain : bool, default=True
        Whether to fit the stack, or to begin with the same network at its initial
        weights: random ones, but PCA's along a linear path.
    class_weight : dict, "balanced" or None, default=None
        Weight of the rows of each class, besides their sample weights.
    scoring : str or callable, default="loss"
        Measure by which `early_stopping` judges held-out rows: "loss", the objective;
        the name of a scorer, such as "accuracy", "balanced_accuracy" or "roc_auc"; or a
        function that is called as ``scoring(classifier, X, y)``: with a fitted
        classifier, the held-out rows that have a label as an array or CSR, as `fit` has
        read them, and their labels. `sample_weight` is given to a function or metric
        that takes one; any other counts all rows alike. It is tried once before
        anything is trained, on predictions for which all classes are as likely. Where
        one class is rare, a network that never predicts it may have the best accuracy.
    early_stopping : bool, default=False
        Whether to hold out rows with a label (some of each class), or to take `X_val`
        for that; stop when they are no longer served better, by `scoring`; and keep the
        weights that served them best.
    random_state : int, RandomState or None, default=None
        Seed of the training. Where it is not None it also sets the `random_state` of
        the stack. Global random states are neither read nor changed.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    pretrainer_ : StackedAutoencoderPretrainer
        The stack, fine-tuned: its `transform` gives the features.
    coef_ : ndarray of shape (n_classes, n_components)
        Weights W of the softmax.
    intercept_ : ndarray of shape (n_classes,)
        Biases b of the softmax.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, only if X has string column names.
    n_iter_ : int
        Number of epochs of fine-tuning.
    loss_curve_ : list of float
        Objective of fine-tuning by epoch, in nats per sample.
    validation_scores_ : list of float or None
        Scores of held-out rows by `scoring`, by epoch: the higher the better, and
        minus the loss for "loss". None without `early_stopping`.
    history_ : dict of ndarray
        Each term of the objective by epoch: "train_cross_entropy" and so on.

    See Also
    --------
    StackedAutoencoderPretrainer : The stack alone, ahead of any other classifier.
    sklearn.neural_network.MLPClassifier : Learns from labelled rows alone.

    References
    ----------
    Bengio, Y. et al. Greedy layer-wise training of deep networks. NIPS 2007.

    Erhan, D. et al. Why does unsupervised pre-training help deep learning? JMLR 11,
    2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import (
    ...     StackedAutoencoderClassifier, StackedAutoencoderPretrainer
    ... )
    >>> X, y = load_digits(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) % 18 == 0, y, -1)  # the others have no label
    >>> stack = StackedAutoencoderPretrainer(layer_sizes=(200, 100))
    >>> model = StackedAutoencoderClassifier(
    ...     stack, unlabeled=-1, dropout=0.3, random_state=0)
    >>> model.set_params(pretrainer__estimator__max_iter=20, max_iter=100)
    StackedAutoencoderClassifier(...)
    >>> bool(model.fit(X, few).score(X[few < 0], y[few < 0]) > 0.85)
    True
    """

    pretrainer: StackedAutoencoderPretrainer | FrozenEstimator | None = field(
        default=None, kw_only=False
    )
    pretrain: bool = True
    class_weight: Mapping[Any, float] | str | None = None
    scoring: str | Callable[..., float] = "loss"

    _valid: ClassVar = {
        "pretrainer": [_Pretrainer(), Nothing()],
        "pretrain": [Bool()],
        "class_weight": [Instance(dict, "a dict"), OneOf("balanced"), Nothing()],
        "scoring": [Scoring()],
    }

    __repr__ = BaseEstimator.__repr__

    # -- the stack ----------------------------------------------------------------

    def _set_nested(self, name: str, params: dict[str, Any]) -> None:
        if name == "pretrainer" and self.pretrainer is None:
            self.pretrainer = StackedAutoencoderPretrainer()
        super()._set_nested(name, params)

    def _check_params(self) -> None:
        super()._check_params()
        if isinstance(self.pretrainer, FrozenEstimator):
            check_is_fitted(self.pretrainer.estimator)
            if not self.pretrain:
                raise ValueError(
                    "pretrain=False is not supported with a 'pretrainer' in a "
                    "FrozenEstimator: it begins at random weights, and a fitted stack "
                    "has others. Give it without FrozenEstimator."
                )
        elif self.pretrainer is not None and self.pretrainer.fine_tune == "class":
            raise ValueError(
                "The 'pretrainer' parameter needs fine_tune=None or 'reconstruction': "
                "the classifier fine-tunes by class itself."
            )

    def _stack(self) -> StackedAutoencoderPretrainer:
        """Return a stack of our own: to be fitted, or the copy of a fitted one."""
        if isinstance(self.pretrainer, FrozenEstimator):
            stack = copy.deepcopy(self.pretrainer.estimator)
            vars(stack).pop("classes_", None)  # They are of labels not ours.
            return stack
        if self.pretrainer is None:
            return StackedAutoencoderPretrainer()
        return clone(self.pretrainer)

    def _first_layer(self) -> BaseAutoencoder:
        if "pretrainer_" in vars(self):
            return self.pretrainer_._first_layer()
        stack = self.pretrainer
        if isinstance(stack, FrozenEstimator):
            stack = stack.estimator
        if not isinstance(stack, StackedAutoencoderPretrainer):
            stack = StackedAutoencoderPretrainer()  # What is no stack, fit refuses.
        return stack._first_layer()

    # -- fitting ------------------------------------------------------------------

    @with_callbacks
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Fit the stack to all rows of X, and train all of it on those with a label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels; `unlabeled` says which rows have none. Strings among which some are
            missing come as dtype object, with the number −1.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weight of each row, in pretraining too: one of weight 2 is two rows, one of
            weight 0 none.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Rows that `early_stopping` judges by, of this training and of the layers
            that have it set, in place of some that are drawn from X.
        y_val : array-like of shape (n_val,), default=None
            Their labels, for `early_stopping` and for layers that judge by labels. This
            training judges by the rows that have one.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weight of each row of X_val.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X or y is not what it should be, a parameter is out of its domain,
            layers do not fit on each other, weights are negative, all zero or not
            supported, nothing judges by X_val, or training diverges. An earlier fit
            then stays as it was.
        """
        self._check_params()
        self._check_callbacks(fine_tunes=True)
        val = check_val(self, X_val, y_val, sample_weight_val)
        stack = self._stack()
        given = X
        first = stack._first_layer()
        X, known = self._taken_in(X, like=first)
        if isinstance(self.pretrainer, FrozenEstimator):  # names, and their number
            validate_data(stack, given, reset=False, skip_check_array=True)
            first._check_size(X)
        weight = check_weight(sample_weight, X)
        labels = Labels.of(y, X, self, weight, self.class_weight)
        if weight is not None and not weight.all():
            labels = labels.within(np.flatnonzero(weight))
            X, y, weight = without_weightless(X, y, weight)
        held_out = None if val is None else val.read(self, known, like=first)
        _, judged = divided(self, labels, 0, held_out)
        if judged is not None and self.scoring != "loss":
            judges = X if held_out is None else held_out.X
            check_scoring(self.scoring, judges, judged)
        self._become(self._train(stack, X, y, labels, known, weight, held_out))
        return self

    @property
    def _stops_early(self) -> bool:
        """Whether rows are held out to judge by, in this training or a layer's."""
        below = self._to_pretrain
        return bool(self.early_stopping) or (below is not None and below._stops_early)

    @property
    def _judges_by_labels(self) -> bool:
        """Whether their labels are needed, in this training or a layer's."""
        own, below = bool(self.early_stopping), self._to_pretrain
        return own or (below is not None and below._judges_by_labels)

    @property
    def _to_pretrain(self) -> StackedAutoencoderPretrainer | None:
        """The stack whose parameters say how it is pretrained, if it is."""
        frozen = isinstance(self.pretrainer, FrozenEstimator)
        return self.pretrainer if self.pretrain and not frozen else None

    #: What to set so that rows are held out.
    _judging_hint: ClassVar[str] = (
        "Set early_stopping=True, or on the layers of its stack, as "
        "pretrainer__estimator__early_stopping."
    )

    def _train(
        self,
        stack: StackedAutoencoderPretrainer,
        X: Any,
        y: Any,
        labels: Labels,
        known: dict[str, Any],
        weight: NDArray[np.float64] | None = None,
        held_out: HeldOut | None = None,
    ) -> dict[str, Any]:
        """Return the fitted attributes; `known` are those of the features of X."""
        frozen = isinstance(self.pretrainer, FrozenEstimator)
        pretrains = bool(self.pretrain) and not frozen
        seed, _ = next_seed(self.random_state)
        draw, seed = map(int, np.random.SeedSequence(seed).generate_state(2))
        if self.random_state is not None:
            stack.set_params(random_state=draw)
        context = self._init_callback_context(max_subtasks=1 + pretrains)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        if pretrains:
            task = context.subcontext(task_name="pretraining")
            with task.propagate_callback_context(stack):
                task.call_on_fit_task_begin(estimator=self, X=X)
                stack._read_like(labels.unlabeled)
                stack.fit(X, y, **handed_on(stack, weight, held_out))
                task.call_on_fit_task_end(estimator=self, X=X)
        elif not frozen:
            stack._begin(X, weight)
        pass_names(known, stack, stack.estimators_[0])
        tuning = FineTuning(
            self, stack.estimators_, X, y, seed, context, weight, held_out
        )

        def fitted(module: SoftmaxModule) -> dict[str, Any]:
            return {**known, **_attributes(stack, module, labels)}

        module, history = tuning.by_class(labels, self.scoring, fitted)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return {**fitted(module), "history_": history}


def _attributes(
    stack: StackedAutoencoderPretrainer, module: SoftmaxModule, labels: Labels
) -> dict[str, Any]:
    """Return the fitted attributes that predictions are made of."""
    weight, bias = module.affine()
    return {
        "pretrainer_": stack,
        "classes_": labels.classes,
        "_unlabeled": labels.unlabeled,
        "coef_": weight,
        "intercept_": bias,
        "history_": {"train_loss": np.zeros(0)},
    }
