"""The layers of a stack: what they are, whether they fit, and their codes.

A layer has a name, and learns from the codes of the one below. What cannot be trained
is said before anything is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from sklearn_ae.autoencoders.denoising import DenoisingAutoencoder
from sklearn_ae.engine import inputs
from sklearn_ae.engine.callbacks import check_callbacks, check_patterns
from sklearn_ae.engine.estimator import BaseAutoencoder
from sklearn_ae.engine.given import split
from sklearn_ae.engine.labels import LabelParameters
from sklearn_ae.engine.module import Blank, CodingModule
from sklearn_ae.engine.notices import diverged
from sklearn_ae.engine.rows import CACHE_BYTES
from sklearn_ae.engine.validation import ValidatesRows
from sklearn_ae.params.domains import Instance, SequenceOf, named_items
from sklearn_ae.params.fields import Params
from sklearn_ae.parts.activations import CODOMAINS
from sklearn_ae.parts.reconstruction import RECONSTRUCTIONS

__all__ = [
    "AUTOENCODER",
    "AUTOENCODERS",
    "Layers",
    "ValidatesRowsOfFirstLayer",
    "check_layers",
    "check_names",
    "codes_of",
    "declared",
    "default_layer",
    "held_codes",
    "kinds",
    "lazy_codes",
    "pass_names",
]

#: Names and autoencoders, from the lowest on.
Layers = list[tuple[str, BaseAutoencoder]]

AUTOENCODER = Instance(BaseAutoencoder, "an autoencoder")
AUTOENCODERS = SequenceOf(AUTOENCODER, "a list of one or more autoencoders", shortest=1)


class ValidatesRowsOfFirstLayer(ValidatesRows):
    """Takes the rows that the lowest of its layers takes.

    Who derives from it has, once it is fitted, ``estimators_``, or says in
    ``_first_layer`` what it has instead.
    """

    def _first_layer(self) -> BaseAutoencoder:
        """Return the layer that meets X."""
        fitted: list[Any] = vars(self).get("estimators_", [])
        if not fitted:
            return self._first_to_fit()
        first: BaseAutoencoder | ValidatesRowsOfFirstLayer = fitted[0]
        return first if isinstance(first, BaseAutoencoder) else first._first_layer()

    def _first_to_fit(self) -> BaseAutoencoder:
        """Return one like the layer that will meet X, by the parameters."""
        raise NotImplementedError

    @property
    def _accept_sparse(self) -> bool:
        return self._first_layer()._accept_sparse

    @property
    def _accept_nan(self) -> bool:
        return self._first_layer()._accept_nan


# -- which there are --------------------------------------------------------------


def default_layer() -> DenoisingAutoencoder:
    """Return the autoencoder of each layer where none is given: one tied layer."""
    return DenoisingAutoencoder(
        hidden_layer_sizes=(),
        code_activation="relu",
        tied_weights=True,
        noise="masking",
    )


#: What tells how the default layers validate rows; it is never fitted.
_DEFAULT = default_layer()


def declared(
    estimator: BaseAutoencoder | None, layer_sizes: Sequence[int], estimators: Any
) -> Layers:
    """Return the layers that a stack's parameters ask for: copies, not fitted."""
    if estimators is not None:
        layers = [(name, clone(one)) for name, one in named_items(estimators)]
    else:
        each = default_layer() if estimator is None else estimator
        layers = [
            (f"layer{number}", clone(each).set_params(n_components=int(size)))
            for number, size in enumerate(layer_sizes, start=1)
        ]
    for _, layer in layers[:-1]:  # A linear path would whiten its codes.
        if layer._has_linear_path and isinstance(layer.linear_path, str):
            layer.set_params(linear_path=False)
    return layers


def kinds(estimator: Any, estimators: Any) -> list[BaseAutoencoder]:
    """Return what the layers are like, from the lowest on, without making any.

    Parameters that are not what they should be count as not given: `fit` refuses them.
    """
    if estimators is not None and AUTOENCODERS.allows(estimators):
        return [layer for _, layer in named_items(estimators)]
    return [estimator if isinstance(estimator, BaseAutoencoder) else _DEFAULT]


def pass_names(known: dict[str, Any], *whom: ValidatesRows) -> None:
    """Let those know the names of features who were given rows without."""
    for one in whom:
        if "feature_names_in_" in known:
            one.feature_names_in_ = known["feature_names_in_"]


# -- whether they fit -------------------------------------------------------------


def check_names(estimators: Any, stack: type[Params]) -> None:
    """Raise ValueError for names by which `set_params` cannot tell layers apart."""
    held = [] if estimators is None else estimators
    names = [name for name, _ in named_items(held)]
    taken = stack._get_param_names()
    for name in names:
        if names.count(name) > 1 or name in taken or "__" in name:
            raise ValueError(
                f"The 'estimators' parameter of {stack.__name__} names one {name!r}. "
                "It needs names without '__' that differ from each other and from the "
                "parameters."
            )


def check_layers(
    layers: Layers,
    X: Any,
    y: Any = None,
    *,
    trains: bool = True,
    unlabeled: int | str | None = "auto",
    weight: NDArray[np.float64] | None = None,
    held_out: bool = False,
) -> None:
    """Raise ValueError where a layer cannot stand on the one below, or learn.

    Parameters
    ----------
    layers : list of (str, BaseAutoencoder)
        Names and layers that are not fitted yet, from the lowest on.
    X : ndarray or CSR of shape (n_samples, n_features)
        Validated rows.
    y : object
        Labels, for layers that learn from them.
    trains : bool, default=True
        Whether the layers are to be trained, or only to be built.
    unlabeled : int, str or None, default="auto"
        Mark of rows without a label, for layers that are not told another. Where it is
        "auto", the first of them finds it in y and the others are told, so that one of
        them warns of it.
    weight : ndarray of shape (n_samples,) or None
        Weight of each row.
    held_out : bool, default=False
        Whether there are other rows to judge by.
    """
    n_features, below = X.shape[1], None
    for name, layer in layers:
        _check_same(layers[0][1], name, layer)
        try:
            module = Blank.seeded(n_features, layer.dtype).build(layer._module)
            _check_training(layer, module, X.shape[0], weight, held_out)
            if trains:
                unlabeled = _check_labels(layer, X, y, unlabeled)
        except ValueError as error:
            raise ValueError(f"Layer {name!r} does not fit: {error}") from error
        if below is not None:
            _check_codes(name, layer, below)
        n_features = int(layer.n_components)
        below = getattr(module, "code_activation", None)


def _check_same(first: BaseAutoencoder, name: str, layer: BaseAutoencoder) -> None:
    """Raise ValueError for a layer that computes elsewhere than the first."""
    for shared in ("device", "dtype"):
        ours, theirs = getattr(layer, shared), getattr(first, shared)
        if ours != theirs:
            raise ValueError(
                f"All layers need the same {shared}. Got {theirs!r} and, for {name!r}, "
                f"{ours!r}. Set one {shared} in all of them."
            )


def _check_training(
    layer: BaseAutoencoder,
    module: CodingModule,
    n_rows: int,
    weight: NDArray[np.float64] | None,
    held_out: bool,
) -> None:
    """Raise ValueError for what a training of the layer refuses."""
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


def _check_labels(
    layer: BaseAutoencoder, X: Any, y: Any, unlabeled: int | str | None
) -> int | str | None:
    """Raise ValueError for labels that the layer refuses.

    Returns
    -------
    int, str or None
        What `unlabeled` is for the layers above.
    """
    if not isinstance(layer, LabelParameters):
        layer._labels(X, y, resume=False)
        return unlabeled
    told = layer.unlabeled != "auto"
    layer._read_like(unlabeled)
    found = layer._labels(X, y, resume=False).attributes
    layer._read_like(found["_unlabeled"])
    return unlabeled if told else layer.unlabeled


def _check_codes(name: str, layer: BaseAutoencoder, activation: str) -> None:
    """Raise ValueError for a loss that is not defined on all codes of a layer below."""
    loss, (low, high) = RECONSTRUCTIONS[layer.loss], CODOMAINS[activation]
    if loss.lowest is None:
        return
    highest = np.inf if loss.highest is None else loss.highest
    if low < loss.lowest or high > highest:
        raise ValueError(
            f"Layer {name!r} does not fit: loss={loss.name!r} needs values in "
            f"[{loss.lowest:g}, {highest:g}], and codes of the layer below "
            f"(code_activation={activation!r}) may be in [{low:g}, {high:g}]. Use "
            "another loss, or another code_activation below."
        )


# -- their codes ------------------------------------------------------------------


def codes_of(layer: BaseAutoencoder, X: Any) -> NDArray[Any] | inputs.LazyRows:
    """Return the codes of the rows of X, as rows to train the next layer on.

    Codes that would outgrow `CACHE_BYTES` are not held, but computed whenever they are
    read.
    """
    size = X.shape[0] * layer._fit.module.n_components * _dtype(layer).itemsize
    return held_codes(layer, X) if size <= CACHE_BYTES else lazy_codes(layer, X)


def lazy_codes(layer: BaseAutoencoder, X: Any) -> inputs.LazyRows:
    """Return the codes of the rows of X as rows that are computed when read."""

    def encoded(rows: Any) -> NDArray[Any]:
        return held_codes(layer, rows)

    return inputs.LazyRows(encoded, X, layer._fit.module.n_components, _dtype(layer))


def held_codes(layer: BaseAutoencoder, X: Any) -> NDArray[Any]:
    """Return the codes of the rows of X as an array.

    Raises
    ------
    ValueError
        If they are not finite.
    """
    fit = layer._fit
    codes = fit.apply(fit.module.encode, X, in_float64=True)
    if not np.isfinite(codes).all():
        raise diverged(layer.learning_rate_init)
    return codes


def _dtype(layer: BaseAutoencoder) -> np.dtype[Any]:
    """Return the dtype of a layer's codes."""
    return np.dtype("float64" if layer._fit.dtype == "float64" else "float32")
