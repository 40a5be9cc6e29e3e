r"""Greedy layer-wise pretraining (Bengio et al. 2007; Vincent et al. 2010).

Layer l is trained on the clean codes of the layers below, which stay as they are,

.. math:: h_0 = x,\qquad h_l = f_l(h_{l-1}),\qquad
          \min_{f_l, g_l}\ \mathbb{E}\,[\ell_l(h_{l-1}, g_l, f_l)],

with whatever objective ℓ the layer has (a denoising one corrupts h_{l−1} afresh). Then
all of them may be trained together: see `sklearn_ae.meta.fine_tuning`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any, ClassVar, Self, overload

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Tags, get_tags
from sklearn.utils.validation import check_is_fitted

from sklearn_ae.engine.estimator import BaseAutoencoder
from sklearn_ae.engine.given import split
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
from sklearn_ae.meta.fine_tuning import FineTuning, FineTuningParameters
from sklearn_ae.meta.fitted_stack import FittedStack, made_of, one_network
from sklearn_ae.meta.layers import (
    AUTOENCODER,
    AUTOENCODERS,
    Layers,
    check_layers,
    check_names,
    codes_of,
    declared,
    default_layer,
    kinds,
    pass_names,
)
from sklearn_ae.params.domains import Interval, Nothing, OneOf, SequenceOf, named_items

__all__ = ["StackedAutoencoderPretrainer"]


class StackedAutoencoderPretrainer(
    FittedStack,
    CallbackSupportMixin,
    LabelParameters,
    FineTuningParameters,
    BaseEstimator,
):
    r"""Stack of autoencoders, each trained on the codes of the one below.

    As a step of a Pipeline it hands deep features to whatever follows; all rows of X
    are learned from, labelled or not. Each layer minimises its own objective on the
    clean codes of those below, which stay as they are; `fine_tune` then trains all
    of them together, by

    .. math:: \mathbb{E}\,[-\log p(x \mid g(f(x)))] + \frac{\alpha}{2} \sum \|W\|^2,
              \qquad f = f_L \circ \dots \circ f_1,\ g = g_1 \circ \dots \circ g_L

    ("reconstruction") or by −log softmax(W f(x) + b)_y on the rows with a label, in
    nats per sample.

    `corruption` and all parameters after it belong to fine-tuning alone: a layer's own
    are its estimator's, reached as ``estimator__noise_level``, or by the names in
    `estimators`, as a Pipeline's steps. ``stack[0]`` and ``stack["name"]`` are fitted
    layers, ``stack[:2]`` is a stack of the first two. A layer that learns from labels
    reads them as the stack does, unless it has an `unlabeled` other than "auto".

    ``linear_path="auto"`` means none in a layer below another: the one above would see
    whitened codes, in which directions of little variance count as much as others. Rows
    are decoded from codes alone, without a convolutional layer's switches.

    Parameters
    ----------
    estimator : autoencoder or None, default=None
        Autoencoder of each layer, of the sizes in `layer_sizes`. None is one layer of
        rectified units that restores rows from masked ones: ``DenoisingAutoencoder(
        hidden_layer_sizes=(), code_activation="relu", tied_weights=True,
        noise="masking")``.
    layer_sizes : tuple of int, default=(500, 500)
        Size of each layer's code, from the lowest on.
    estimators : list of autoencoders or of (str, autoencoder), or None, default=None
        Layers with sizes of their own, from the lowest on; in place of `estimator`
        and `layer_sizes`. Their devices and dtypes must agree.
    fine_tune : {"reconstruction", "class"} or None, default=None
        Objective of all layers together, in the end. "class" needs y and trains
        the encoders alone: what decodes (`inverse_transform`, `reconstruct`, `score`,
        `sample`) then no longer fits them.
    random_state : int, RandomState or None, default=None
        Seed of the fit. Where it is not None it also sets the `random_state` of every
        layer. Global random states are neither read nor changed.

    Attributes
    ----------
    estimators_ : list of autoencoders
        The fitted layers, fine-tuned where that was asked for.
    named_estimators_ : Bunch
        The same by their names, "layer1" and so on where none were given.
    n_components_ : int
        Size of the last layer's code.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, only if X has string column names.
    classes_ : ndarray of shape (n_classes,)
        Classes in y, only after ``fine_tune="class"``.
    n_iter_ : int
        Number of epochs trained, of all layers and of fine-tuning.
    history_ : dict of ndarray
        Each term of the objective of fine-tuning by epoch; empty without. A layer's
        own is ``estimators_[0].history_``.
    density_ : GaussianMixture
        Density of the last layer's training codes, for `sample`.
    device_ : str
        Device of the network.
    module_ : torch.nn.Module
        The unrolled network.

    See Also
    --------
    StackedAutoencoderClassifier : The fine-tuned stack as a classifier.

    References
    ----------
    Bengio, Y. et al. Greedy layer-wise training of deep networks. NIPS 2007.

    Vincent, P. et al. Stacked denoising autoencoders. JMLR 11, 2010.

    Erhan, D. et al. Why does unsupervised pre-training help deep learning? JMLR 11,
    2010.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_ae import StackedAutoencoderPretrainer
    >>> X, y = load_digits(return_X_y=True)
    >>> stack = StackedAutoencoderPretrainer(layer_sizes=(100, 50), random_state=0)
    >>> stack.set_params(estimator__max_iter=20).fit(X).transform(X).shape
    (1797, 50)
    >>> stack.transform(X, depth=1).shape
    (1797, 100)
    >>> probe = make_pipeline(stack, LogisticRegression(max_iter=1000)).fit(X, y)
    >>> bool(probe.score(X, y) > 0.95)
    True
    """

    estimator: BaseAutoencoder | None = field(default=None, kw_only=False)
    layer_sizes: tuple[int, ...] = (500, 500)
    estimators: Sequence[BaseAutoencoder | tuple[str, BaseAutoencoder]] | None = None
    fine_tune: str | None = None
    classes_: NDArray[Any] = field(init=False)

    _valid: ClassVar = {
        "estimator": [AUTOENCODER, Nothing()],
        "layer_sizes": [
            SequenceOf(
                Interval(int, 1, None),
                "a tuple or list of one or more ints in the range [1, inf)",
                shortest=1,
            )
        ],
        "estimators": [AUTOENCODERS, Nothing()],
        "fine_tune": [OneOf("reconstruction", "class"), Nothing()],
    }
    _flat: ClassVar[tuple[str, ...]] = ("estimators",)

    __repr__ = BaseEstimator.__repr__

    # -- the layers ---------------------------------------------------------------

    def _set_nested(self, name: str, params: dict[str, Any]) -> None:
        if name == "estimator" and self.estimator is None:
            self.estimator = default_layer()
        super()._set_nested(name, params)

    def _check_params(self) -> None:
        super()._check_params()
        check_names(self.estimators, type(self))

    def _declared(self) -> Layers:
        """Return the layers as they are asked for, not fitted, all of them copies."""
        return declared(self.estimator, self.layer_sizes, self.estimators)

    def _first_to_fit(self) -> BaseAutoencoder:
        return self._kinds_of_layers()[0]

    def _kinds_of_layers(self) -> list[BaseAutoencoder]:
        return kinds(self.estimator, self.estimators)

    def _check_values(self, X: Any, loss: str) -> None:
        self._first_layer()._check_values(X, loss)

    def _check_missing(self, X: Any, loss: str) -> None:
        self._first_layer()._check_missing(X, loss)

    # -- fitting ------------------------------------------------------------------

    @with_callbacks
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Fit one layer after the other, and fine-tune them where that is asked for.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows with a label and without.
        y : array-like of shape (n_samples,) or None
            Labels, for ``fine_tune="class"`` and for layers that learn from them.
            `unlabeled` says which rows have none.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row: one of weight 2 is two rows, one of weight 0 none.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Rows that `early_stopping` judges by, of the layers that have it set and of
            fine-tuning, in place of some that are drawn from X.
        y_val : array-like of shape (n_val,), default=None
            Their labels, where these are learned from.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weight of each row of X_val.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X or y is not what the layers take, a parameter is out of its domain,
            layers do not fit on each other, weights are negative, all zero or not
            supported, nothing judges by X_val, or training diverges. An earlier fit
            then stays as it was.
        """
        self._check_params()
        val = check_val(self, X_val, y_val, sample_weight_val)
        layers = self._declared()
        first = layers[0][1]
        X, known = self._taken_in(X, like=first)
        labels, unlabeled = None, self.unlabeled
        weight = check_weight(sample_weight, X)
        if weight is not None:
            X, y, weight = without_weightless(X, y, weight)
        held_out = None if val is None else val.read(self, known, like=first)
        judged = held_out is not None
        if self.fine_tune == "class":
            labels = Labels.of(y, X, self, weight)
            if held_out is None:
                labels.check_split(self)
            elif self.early_stopping:
                labels.held_out(held_out.y, held_out.X, held_out.weight)
            unlabeled = labels.unlabeled
        elif self.fine_tune is not None:
            split(self, X.shape[0], seed=0, streaming=judged)
        self._check_callbacks(fine_tunes=self.fine_tune is not None)
        check_layers(layers, X, y, unlabeled=unlabeled, weight=weight, held_out=judged)
        first._check_values(X, first.loss)
        fitted = self._fit_layers(layers, X, y, labels, known, weight, held_out)
        self._become(fitted, without=("classes_",))
        return self

    @property
    def _stops_early(self) -> bool:
        """Whether rows are held out to judge by, in a layer or in fine-tuning."""
        own = self.fine_tune is not None and bool(self.early_stopping)
        return own or any(layer._stops_early for layer in self._kinds_of_layers())

    @property
    def _judges_by_labels(self) -> bool:
        """Whether their labels are needed, in a layer or in fine-tuning."""
        own = self.fine_tune == "class" and bool(self.early_stopping)
        return own or any(
            layer._stops_early and layer._judges_by_labels
            for layer in self._kinds_of_layers()
        )

    #: What to set so that rows are held out.
    _judging_hint: ClassVar[str] = (
        "Set early_stopping=True on its layers, as estimator__early_stopping, or on "
        "the stack itself, with fine_tune."
    )

    def _fit_layers(
        self,
        layers: Layers,
        X: Any,
        y: Any,
        labels: Labels | None,
        known: dict[str, Any],
        weight: NDArray[np.float64] | None = None,
        held_out: HeldOut | None = None,
    ) -> dict[str, Any]:
        """Return the fitted attributes; `known` are those of the features of X."""
        seed, by = self._seed(layers), self.fine_tune
        context = self._init_callback_context(
            max_subtasks=len(layers) + (by is not None)
        )
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._pretrain(layers, X, y, context, weight, held_out)
        pass_names(known, layers[0][1])
        fitted = {**known, **made_of(layers)}
        if by is not None:
            own = fitted["estimators_"]
            tuning = FineTuning(self, own, X, y, seed, context, weight, held_out)
            if labels is None:
                fitted["history_"] = tuning.by_reconstruction(fitted)
            else:
                learned = tuning.by_class(labels, "loss", lambda _: fitted)
                fitted["history_"] = learned[1]
            fitted["_unrolled"] = one_network(own)
        if labels is not None:
            fitted["classes_"] = labels.classes
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return fitted

    def _pretrain(
        self,
        layers: Layers,
        X: Any,
        y: Any,
        context: Any,
        weight: NDArray[np.float64] | None,
        held_out: HeldOut | None,
    ) -> None:
        """Fit each layer to the codes of those below."""
        codes, judges, n_layers = X, held_out, len(layers)
        for number, (name, layer) in enumerate(layers, start=1):
            labels_of_layer = y
            if number > 1 and getattr(y, "ndim", 1) > 1:
                labels_of_layer = None  # They are rows, which are not to be codes.
            stage = f"layer {number} of {n_layers}: {name}"
            task = context.subcontext(task_name=stage)
            with task.propagate_callback_context(layer):
                task.call_on_fit_task_begin(estimator=self, X=codes)
                given = handed_on(layer, weight, judges)
                layer.fit(codes, labels_of_layer, **given)
                task.call_on_fit_task_end(estimator=self, X=codes)
            if number < n_layers:
                codes = codes_of(layer, codes)
                if judges is not None:
                    judges = judges.with_rows(codes_of(layer, judges.X))
            if self.verbose:
                print(  # noqa: T201
                    f"[{type(self).__name__}] {stage}, {layer.n_components_} units: "
                    f"{layer.n_iter_} epochs, loss {layer.loss_:.6g}"
                )

    def _seed(self, layers: Layers) -> int:
        """Seed the layers, where we are seeded, and return a seed for fine-tuning."""
        seed, _ = next_seed(self.random_state)
        states = np.random.SeedSequence(seed).generate_state(len(layers) + 1)
        *draws, last = map(int, states)
        if self.random_state is not None:
            for (_, layer), draw in zip(layers, draws, strict=True):
                layer.set_params(random_state=draw)
        return last

    def _begin(self, X: Any, sample_weight: Any = None) -> Self:
        """Take on initial weights in all layers, and leave it at that."""
        layers = self._declared()
        X = self._validate(X, reset=True, like=layers[0][1])
        check_layers(layers, X, trains=False)
        self._seed(layers)
        codes = X
        for _, layer in layers:
            layer._begin(codes, sample_weight)
            if layer is not layers[-1][1]:
                codes = codes_of(layer, codes)
        self.__dict__.update(made_of(layers))
        return self

    # -- using the fit ------------------------------------------------------------

    def _to(self, depth: int) -> Self:
        check_is_fitted(self)
        if not Interval(int, 1, len(self), "both").allows(depth):
            raise ValueError(
                f"The 'depth' parameter must be an int in the range [1, {len(self)}], "
                f"or None. Got {depth!r} instead."
            )
        return self[: int(depth)]

    def __len__(self) -> int:
        """Return the number of layers."""
        if "estimators_" in vars(self):
            return len(self.estimators_)
        return len(self.layer_sizes if self.estimators is None else self.estimators)

    @overload
    def __getitem__(self, which: int | str) -> BaseAutoencoder: ...
    @overload
    def __getitem__(self, which: slice) -> Self: ...
    def __getitem__(self, which: int | str | slice) -> BaseAutoencoder | Self:
        """Return a layer by its number or name, or a stack of some of them.

        They are those in the stack, and the fitted ones where it is fitted. Before, a
        stack of `estimator` has no layers yet, and what is returned are copies.
        """
        fitted = "estimators_" in vars(self)
        if fitted:
            layers = list(zip(self._names, self.estimators_, strict=True))
        elif self.estimators is not None:
            layers = named_items(self.estimators)
        else:
            layers = self._declared()
        if isinstance(which, str):
            return dict(layers)[which]
        if not isinstance(which, slice):
            return layers[which][1]
        start, stop, step = which.indices(len(layers))
        if step != 1 or start >= stop:
            raise ValueError(
                "A slice of a stack needs a step of 1 and a layer in it, as stack[:2]. "
                f"Got {which} of {len(layers)} layers."
            )
        part = type(self)(
            **{**self.get_params(deep=False), "estimators": layers[which]}
        )
        part._share(self, layers[which] if fitted else [], from_below=start == 0)
        return part

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.fine_tune == "class" or any(
            isinstance(layer, LabelParameters) and get_tags(layer).target_tags.required
            for layer in self._kinds_of_layers()
        )
        return tags
