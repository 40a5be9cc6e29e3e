"""What a fitted stack answers, and what is kept of it."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_ae.engine.consistency import (
    check_classes,
    check_feature_names,
    check_history,
    need,
)
from sklearn_ae.engine.estimator import BaseAutoencoder
from sklearn_ae.engine.fit import Fit, FittedNetwork
from sklearn_ae.engine.generation import Generates
from sklearn_ae.engine.persistence import Persistent
from sklearn_ae.meta.layers import Layers, ValidatesRowsOfFirstLayer
from sklearn_ae.meta.stack_module import unrolled

__all__ = ["FittedStack", "made_of", "one_network"]


class FittedStack(
    Persistent, ValidatesRowsOfFirstLayer, Generates, auto_wrap_output_keys=None
):
    """Answers of layers on top of each other, which are one network together.

    scikit-learn does not wrap `transform` here: it would name the last layer's codes,
    which those of another depth are not. The methods that it calls are wrapped.
    """

    estimators_: list[BaseAutoencoder]
    history_: dict[str, NDArray[np.float64]]
    _names: list[str]
    _sklearn_output_config: dict[str, Any]
    #: The layers' fits, and the network that they are together.
    _unrolled: tuple[list[Fit], FittedNetwork]

    def transform(self, X: Any, depth: int | None = None) -> Any:
        """Encode the rows of X, without noise.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        depth : int or None, default=None
            Number of layers to go through, all by default.

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
        return super().transform(X) if depth is None else self._to(depth).transform(X)

    def inverse_transform(self, X: Any, depth: int | None = None) -> NDArray[Any]:
        """Decode codes to rows in the units of the training data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_components)
            Codes, as `transform` returns them.
        depth : int or None, default=None
            Number of the layer that they are of, the last by default.

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
        if depth is None:
            return super().inverse_transform(X)
        return self._to(depth).inverse_transform(X)

    def _to(self, depth: int) -> FittedStack:
        """Return the stack of the layers below and at a depth."""
        raise NotImplementedError

    def _share(self, whole: Self, layers: Layers, from_below: bool) -> None:
        """Take on fitted layers of a whole stack, if there are any, and its output."""
        if layers:
            vars(self).update(made_of(layers))
            self.n_features_in_ = self.estimators_[0].n_features_in_
        if layers and from_below:
            self.history_ = dict(whole.history_)
            if hasattr(whole, "feature_names_in_"):
                self.feature_names_in_ = whole.feature_names_in_
        if hasattr(whole, "_sklearn_output_config"):
            self._sklearn_output_config = dict(whole._sklearn_output_config)

    def _gives_sparse_codes(self) -> bool:
        return self.estimators_[-1]._gives_sparse_codes()

    # -- fitted attributes --------------------------------------------------------

    def _fitted_layers(self) -> list[BaseAutoencoder]:
        check_is_fitted(self)
        return self.estimators_

    def __sklearn_is_fitted__(self) -> bool:
        return "estimators_" in vars(self)

    @property
    def _fit(self) -> FittedNetwork:  # type: ignore[override]
        """The layers as one network, made once for what they are now."""
        fits = [layer._fit for layer in self.estimators_]
        held = vars(self).get("_unrolled")
        if held is None or any(map(operator.is_not, held[0], fits)):
            held = self._unrolled = fits, unrolled(self.estimators_)
        network: FittedNetwork = held[1]
        return network

    @property
    def named_estimators_(self) -> Bunch:
        """The fitted layers by their names."""
        return Bunch(**dict(zip(self._names, self._fitted_layers(), strict=True)))

    @property
    def n_iter_(self) -> int:
        """Number of epochs trained, of all layers and of fine-tuning."""
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
        return {**kept, "_unrolled": one_network(kept["estimators_"])}

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


def made_of(layers: Layers) -> dict[str, Any]:
    """Return the fitted attributes of a stack of fitted layers, not fine-tuned."""
    fitted = [layer for _, layer in layers]
    return {
        "estimators_": fitted,
        "_unrolled": one_network(fitted),
        "_names": [name for name, _ in layers],
        "history_": {},
    }


def one_network(
    layers: list[BaseAutoencoder],
) -> tuple[list[Fit], FittedNetwork]:
    """Return the fits of the layers, and the network that they are together."""
    return [layer._fit for layer in layers], unrolled(layers)
