r"""Greedy layer-wise pretraining (Bengio et al. 2007; Vincent et al. 2010).

Layer l is trained on the clean codes of the layers below, which stay as they are,

.. math:: h_0 = x,\qquad h_l = f_l(h_{l-1}),\qquad
          \min_{f_l, g_l}\ \mathbb{E}\,[\ell_l(h_{l-1}, g_l, f_l)],

with whatever objective ℓ the layer has (a denoising one corrupts h_{l−1} afresh). Then
all of them may be trained together: see `sklearn_ae.meta.fine_tuning`.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import Bunch, Tags, get_tags
from sklearn.utils.validation import check_is_fitted

from sklearn_ae.autoencoders.denoising import DenoisingAutoencoder
from sklearn_ae.engine.callbacks import check_callbacks, check_patterns
from sklearn_ae.engine.consistency import (
    check_classes,
    check_feature_names,
    check_history,
    need,
)
from sklearn_ae.engine.estimator import BaseAutoencoder
from sklearn_ae.engine.fit import FittedNetwork
from sklearn_ae.engine.generation import Generates
from sklearn_ae.engine.given import split
from sklearn_ae.engine.labels import LabelParameters, Labels
from sklearn_ae.engine.module import Blank
from sklearn_ae.engine.persistence import Persistent
from sklearn_ae.engine.resuming import next_seed
from sklearn_ae.engine.sklearn_types import (
    BaseEstimator,
    CallbackSupportMixin,
    with_callbacks,
)
from sklearn_ae.engine.validation import ValidatesRows
from sklearn_ae.engine.weights import (
    HeldOut,
    check_val,
    check_weight,
    handed_on,
    without_weightless,
)
from sklearn_ae.meta.fine_tuning import (
    FineTuningParameters,
    codes_of,
    fine_tune,
    unrolled,
)
from sklearn_ae.params.domains import (
    Instance,
    Interval,
    Nothing,
    OneOf,
    SequenceOf,
    named_items,
)
from sklearn_ae.parts.activations import CODOMAINS
from sklearn_ae.parts.reconstruction import RECONSTRUCTIONS

__all__ = ["StackedAutoencoderPretrainer", "ValidatesRowsOfFirstLayer", "pass_names"]

_AUTOENCODER = Instance(BaseAutoencoder, "an autoencoder")
_AUTOENCODERS = SequenceOf(
    _AUTOENCODER, "a list of one or more autoencoders", shortest=1
)


def default_layer() -> DenoisingAutoencoder:
    """Return the autoencoder of each layer where none is given: one tied layer."""
    return DenoisingAutoencoder(
        hidden_layer_sizes=(),
        code_activation="relu",
        tied_weights=True,
        noise="masking",
    )


class ValidatesRowsOfFirstLayer(ValidatesRows):
    """Takes the rows that the lowest of its layers takes."""

    def _first_layer(self) -> Any:
        """Return the layer that meets X."""
        raise NotImplementedError

    @property
    def _accept_sparse(self) -> bool:
        return self._first_layer()._accept_sparse

    @property
    def _accept_nan(self) -> bool:
        return self._first_layer()._accept_nan


class StackedAutoencoderPretrainer(
    Persistent,
    ValidatesRowsOfFirstLayer,
    Generates,
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

    `dropout` and all parameters after it are those of fine-tuning, and have no effect
    without it: a layer's own are its estimator's. Those of `estimator` are reached as
    ``estimator__noise_level``, those of `estimators` by their names, as a Pipeline's
    steps. ``stack[0]`` and ``stack["name"]`` are fitted layers, ``stack[:2]`` is a
    stack of the first two. A layer that learns from labels reads them as the stack
    does, unless it has an `unlabeled` other than "auto".

    ``linear_path="auto"`` means none in a layer below another, which would see whitened
    codes: a direction of much variance would count no more than one of little. Rows are
    decoded from codes alone, without a convolutional layer's switches.

    Parameters
    ----------
    estimator : autoencoder or None, default=None
        What each layer is, of the sizes in `layer_sizes`. None is one layer of
        rectified units that restores rows from masked ones: ``DenoisingAutoencoder(
        hidden_layer_sizes=(), code_activation="relu", tied_weights=True,
        noise="masking")``.
    layer_sizes : tuple of int, default=(500, 500)
        Size of each layer's code, from the lowest on.
    estimators : list of autoencoders or of (str, autoencoder), or None, default=None
        The layers, each with its own size, from the lowest on; in place of `estimator`
        and `layer_sizes`. Their devices and dtypes must agree.
    fine_tune : {"reconstruction", "class"} or None, default=None
        By what all layers are trained together in the end. "class" needs y and trains
        the encoders alone: what decodes (`inverse_transform`, `reconstruct`, `score`,
        `sample`) then no longer fits them.
    random_state : int, RandomState or None, default=None
        Where it is not None it also sets the `random_state` of every layer. Global
        random states are neither read nor changed.

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
        Only if X has string column names.
    classes_ : ndarray of shape (n_classes,)
        Only after ``fine_tune="class"``.
    n_iter_ : int
        Epochs trained, of all layers and of fine-tuning.
    history_ : dict of ndarray
        Each term of the objective of fine-tuning by epoch; empty without. A layer's
        own is ``estimators_[0].history_``.
    density_ : GaussianMixture
        Of the last layer's training codes, for `sample`.
    device_ : str
        Where the network is.
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

    estimator: Any = field(default=None, kw_only=False)
    layer_sizes: tuple[int, ...] = (500, 500)
    estimators: Any = None
    fine_tune: str | None = None
    estimators_: list[Any] = field(init=False)
    classes_: NDArray[Any] = field(init=False)
    history_: dict[str, NDArray[np.float64]] = field(init=False)

    _valid: ClassVar = {
        "estimator": [_AUTOENCODER, Nothing()],
        "layer_sizes": [
            SequenceOf(
                Interval(int, 1, None),
                "a tuple or list of one or more ints in the range [1, inf)",
                shortest=1,
            )
        ],
        "estimators": [_AUTOENCODERS, Nothing()],
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
        held = [] if self.estimators is None else self.estimators
        names = [name for name, _ in named_items(held)]
        taken = set(inspect.signature(type(self)).parameters)
        for name in names:
            if names.count(name) > 1 or name in taken or "__" in name:
                raise ValueError(
                    f"The 'estimators' parameter of {type(self).__name__} names one "
                    f"{name!r}. Names must differ from each other and from the "
                    "parameters, without '__'."
                )

    def _declared(self) -> list[tuple[str, Any]]:
        """Return the layers as they are asked for, not fitted, all of them copies."""
        if self.estimators is not None:
            layers = [(name, clone(one)) for name, one in named_items(self.estimators)]
        else:
            each = default_layer() if self.estimator is None else self.estimator
            layers = [
                (f"layer{number}", clone(each).set_params(n_components=int(size)))
                for number, size in enumerate(self.layer_sizes, start=1)
            ]
        for _, layer in layers[:-1]:  # its codes are whitened: all count as much
            if layer._has_linear_path and isinstance(layer.linear_path, str):
                layer.set_params(linear_path=False)
        return layers

    def _first_layer(self) -> Any:
        fitted = vars(self).get("estimators_")
        return fitted[0] if fitted else self._kinds_of_layers()[0]

    def _kinds_of_layers(self) -> list[Any]:
        if _AUTOENCODERS.allows(self.estimators):
            return [layer for _, layer in named_items(self.estimators)]
        if _AUTOENCODER.allows(self.estimator):
            return [self.estimator]
        return [default_layer()]  # where another is wrong, fit will say so

    def _check_values(self, X: Any, loss: str) -> None:
        self._first_layer()._check_values(X, loss)

    def _check_missing(self, X: Any, loss: str) -> None:
        self._first_layer()._check_missing(X, loss)

    def _check_layers(
        self,
        layers: list[tuple[str, Any]],
        X: Any,
        y: Any = None,
        trains: bool = True,
        unlabeled: int | str | None = "auto",
        weight: NDArray[np.float64] | None = None,
        held_out: bool = False,
    ) -> None:
        """Raise ValueError where a layer cannot stand on the one below, or learn.

        `weight` says how much each row counts, and `held_out` whether there are
        others to judge by. Layers that are not told what marks rows without a label are
        told by `unlabeled`, or where it is "auto" by what the first of them found in y,
        so that one of them warns of it.
        """
        n_rows, n_features = X.shape
        below: str | None = None
        first = layers[0][1]
        for name, layer in layers:
            for shared in ("device", "dtype"):
                ours, theirs = getattr(layer, shared), getattr(first, shared)
                if ours != theirs:
                    raise ValueError(
                        f"All layers must have the same {shared}. Got {theirs!r} and, "
                        f"for {name!r}, {ours!r}."
                    )
            try:
                blank = Blank.seeded(n_features, layer.dtype)
                module = blank.build(layer._module)
                split(layer, n_rows, seed=0, streaming=held_out)
                if weight is not None:
                    layer._check_weights(weight)
                check_callbacks(
                    layer.callbacks,
                    held_out=bool(layer.early_stopping),
                    streaming=False,
                    solver=layer.solver,
                )
                check_patterns(layer.callbacks, layer._net_class.names_in(module))
                if trains and isinstance(layer, LabelParameters):
                    told = layer.unlabeled != "auto"
                    layer._read_like(unlabeled)
                    found = layer._labels(X, y, resume=False).attributes
                    layer._read_like(found["_unlabeled"])
                    unlabeled = unlabeled if told else layer.unlabeled
                elif trains:
                    layer._labels(X, y, resume=False)
            except ValueError as error:
                raise ValueError(f"Layer {name!r} does not fit: {error}") from error
            code, kind = below, RECONSTRUCTIONS[layer.loss]
            if code is not None and kind.lowest is not None:
                low, high = CODOMAINS[code]
                most = np.inf if kind.highest is None else kind.highest
                if low < kind.lowest or high > most:
                    raise ValueError(
                        f"Layer {name!r} does not fit: loss={kind.name!r} needs values "
                        f"in [{kind.lowest:g}, {most:g}], and codes of the layer below "
                        f"(code_activation={code!r}) may be in [{low:g}, {high:g}]."
                    )
            n_features = int(layer.n_components)
            below = getattr(module, "code_activation", None)

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
            How much each row counts: one of weight 2 is two rows, one of weight 0 none.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Rows that `early_stopping` judges by, of the layers that have it set and of
            fine-tuning, in place of some that are drawn from X.
        y_val : array-like of shape (n_val,), default=None
            Their labels, where these are learned from.
        sample_weight_val : array-like of shape (n_val,), default=None
            How much each row of X_val counts.

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
        if self.fine_tune == "class":
            labels = Labels.of(y, X, self, weight)
            if held_out is None:
                labels.check_split(self)
            elif self.early_stopping:
                labels.held_out(held_out.y, held_out.X, held_out.weight)
            unlabeled = labels.unlabeled
        elif self.fine_tune is not None:
            judged = held_out is not None
            split(self, X.shape[0], seed=0, streaming=judged)
        self._check_callbacks(fine_tunes=self.fine_tune is not None)
        self._check_layers(
            layers,
            X,
            y,
            unlabeled=unlabeled,
            weight=weight,
            held_out=held_out is not None,
        )
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

    #: What to set so that they are.
    _judging_hint: ClassVar[str] = (
        "Set early_stopping=True on its layers, as estimator__early_stopping, or on "
        "the stack itself, with fine_tune."
    )

    def _fit_layers(
        self,
        layers: list[tuple[str, Any]],
        X: Any,
        y: Any,
        labels: Labels | None,
        known: dict[str, Any],
        weight: NDArray[np.float64] | None = None,
        held_out: HeldOut | None = None,
    ) -> dict[str, Any]:
        """Return the fitted attributes; `known` are those of the features of X."""
        seed, n_layers = self._seed(layers), len(layers)
        n_stages = n_layers + (self.fine_tune is not None)
        context = self._init_callback_context(max_subtasks=n_stages)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        codes, judges = X, held_out
        for number, (name, layer) in enumerate(layers):
            labels_of_layer = y
            if number and getattr(y, "ndim", 1) > 1:
                labels_of_layer = None  # rows, which are not to be taken for codes
            stage = f"layer {number + 1} of {n_layers}: {name}"
            task = context.subcontext(task_name=stage)
            with task.propagate_callback_context(layer):
                task.call_on_fit_task_begin(estimator=self, X=codes)
                given = handed_on(layer, weight, judges)
                layer.fit(codes, labels_of_layer, **given)
                task.call_on_fit_task_end(estimator=self, X=codes)
            if number + 1 < n_layers:
                codes = codes_of(layer, codes)
                if judges is not None:
                    judges = judges.with_rows(codes_of(layer, judges.X))
            if self.verbose:
                print(  # noqa: T201
                    f"[{type(self).__name__}] {stage}, {layer.n_components_} units: "
                    f"{layer.n_iter_} epochs, loss {layer.loss_:.6g}"
                )
        pass_names(known, layers[0][1])
        fitted = {**known, **_made_of(layers)}
        if self.fine_tune is not None:
            _, fitted["history_"] = fine_tune(
                self,
                fitted["estimators_"],
                X,
                y,
                seed=seed,
                context=context,
                fitted=lambda module: fitted,
                labels=labels,
                weight=weight,
                held_out=held_out,
            )
            fitted["_unrolled"] = _unrolled(fitted["estimators_"])
        if labels is not None:
            fitted["classes_"] = labels.classes
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return fitted

    def _seed(self, layers: list[tuple[str, Any]]) -> int:
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
        self._check_layers(layers, X, trains=False)
        self._seed(layers)
        codes = X
        for _, layer in layers:
            layer._begin(codes, sample_weight)
            if layer is not layers[-1][1]:
                codes = codes_of(layer, codes)
        self.__dict__.update(_made_of(layers))
        return self

    # -- using the fit ------------------------------------------------------------

    def transform(self, X: Any, depth: int | None = None) -> Any:
        """Encode the rows of X, without noise.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        depth : int or None, default=None
            The number of layers to go through, all by default.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            The codes of layer `depth`; CSR where that layer gives it.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features; if there is no such
            `depth`.
        """
        check_is_fitted(self, "estimators_")
        return super().transform(X) if depth is None else self._to(depth).transform(X)

    def inverse_transform(self, X: Any, depth: int | None = None) -> NDArray[Any]:
        """Decode codes to rows in the units of the training data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_components)
            Codes, as `transform` returns them.
        depth : int or None, default=None
            The layer that they are of, the last by default.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            In float64 where the rows of the fit were, or integers of 32 or more bits;
            else in the dtype of the computation.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not finite, numeric and as wide as the codes; if there is no such
            `depth`.
        """
        check_is_fitted(self, "estimators_")
        if depth is None:
            return super().inverse_transform(X)
        return self._to(depth).inverse_transform(X)

    def _to(self, depth: int) -> StackedAutoencoderPretrainer:
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

    def __getitem__(self, which: int | str | slice) -> Any:
        """Return a layer by its number or name, or a stack of some of them.

        They are those in the stack: the fitted ones, where it is fitted. Of `estimator`
        alone there is nothing to share before, and they are copies.
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
        if which.step not in (1, None):
            raise ValueError("A stack is sliced in steps of 1.")
        start, stop, _ = which.indices(len(layers))
        if start >= stop:
            raise ValueError("A slice of a stack must have a layer in it.")
        part = type(self)(
            **{**self.get_params(deep=False), "estimators": layers[which]}
        )
        if fitted:
            part.__dict__.update(_made_of(layers[which]))
            if start == 0:
                part.history_ = dict(self.history_)
            part.n_features_in_ = part.estimators_[0].n_features_in_
            if start == 0 and hasattr(self, "feature_names_in_"):
                part.feature_names_in_ = self.feature_names_in_
        if hasattr(self, "_sklearn_output_config"):
            part._sklearn_output_config = dict(self._sklearn_output_config)
        return part

    def _gives_sparse_codes(self) -> bool:
        return self.estimators_[-1]._gives_sparse_codes()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.fine_tune == "class" or any(
            get_tags(layer).target_tags.required for layer in self._kinds_of_layers()
        )
        return tags

    # -- fitted attributes --------------------------------------------------------

    def _fitted_layers(self) -> list[Any]:
        check_is_fitted(self, "estimators_")
        return self.estimators_

    def __sklearn_is_fitted__(self) -> bool:
        return "estimators_" in vars(self)

    @property
    def _fit(self) -> FittedNetwork:  # type: ignore[override]
        """The layers as one network, made once for what they are now."""
        fits = [layer._fit for layer in self.estimators_]
        held = vars(self).get("_unrolled")
        if held is None or any(map(operator.is_not, held[0], fits)):
            held = self._unrolled = _unrolled(self.estimators_)
        return held[1]

    @property
    def named_estimators_(self) -> Bunch:
        """The fitted layers by their names."""
        return Bunch(**dict(zip(self._names, self._fitted_layers(), strict=True)))

    @property
    def n_iter_(self) -> int:
        """Epochs trained, of all layers and of fine-tuning."""
        layers = sum(layer.n_iter_ for layer in self._fitted_layers())
        return layers + len(self.history_.get("train_loss", ()))

    @property
    def density_(self) -> Any:
        """The last layer's density of codes."""
        return self._fitted_layers()[-1].density_

    def _draw_codes(self, n: int, rng: np.random.RandomState) -> NDArray[Any]:
        return self._fitted_layers()[-1]._draw_codes(n, rng)

    # -- persistence --------------------------------------------------------------

    _learned: ClassVar[tuple[str, ...]] = (
        "estimators_",
        "_names",
        "history_",
        "n_features_in_",
    )

    def _packed(self, kept: dict[str, Any]) -> dict[str, Any]:
        return {name: it for name, it in kept.items() if name != "_unrolled"}

    def _unpacked(self, kept: dict[str, Any]) -> dict[str, Any]:
        if "estimators_" not in kept:
            return kept
        return {**kept, "_unrolled": _unrolled(kept["estimators_"])}

    def _check_learned(self, kept: Mapping[str, Any]) -> None:
        layers, names, width = (
            kept[name] for name in ("estimators_", "_names", "n_features_in_")
        )
        check_feature_names(kept)
        check_history(kept["history_"], may_be_empty=True)
        need(isinstance(layers, list) and layers, "it has no layers")
        need(
            isinstance(names, list)
            and len(names) == len(layers)
            and all(isinstance(name, str) for name in names),
            "its layers have no names",
        )
        for layer in layers:
            need(
                isinstance(layer, BaseAutoencoder),
                "one of its layers is not an autoencoder",
            )
            check_is_fitted(layer)
            need(
                layer.n_features_in_ == width
                and layer._fit.dtype == layers[0]._fit.dtype,
                "one of its layers does not stand on the one below",
            )
            width = layer.n_components_
        if "classes_" in kept:
            check_classes(kept["classes_"])


def pass_names(known: dict[str, Any], *whom: Any) -> None:
    """Let those know the names of features who were given rows without."""
    for one in whom:
        if "feature_names_in_" in known:
            one.feature_names_in_ = known["feature_names_in_"]


def _made_of(layers: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fitted attributes of a stack of layers, not fine-tuned."""
    fitted = [layer for _, layer in layers]
    return {
        "estimators_": fitted,
        "_unrolled": _unrolled(fitted),
        "_names": [name for name, _ in layers],
        "history_": {},
    }


def _unrolled(layers: list[Any]) -> tuple[list[Any], FittedNetwork]:
    """Return what the fitted layers are, and the network that they are together."""
    return [layer._fit for layer in layers], unrolled(layers)


# scikit-learn has wrapped it to name the last layer's codes, which those of another
# depth are not: the transforms that it calls are wrapped, and name their own.
StackedAutoencoderPretrainer.transform = (  # type: ignore[method-assign]
    StackedAutoencoderPretrainer.transform.__wrapped__
)
