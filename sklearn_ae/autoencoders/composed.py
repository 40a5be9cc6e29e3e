"""Estimators whose network is composed of parts: what methods have in common."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from sklearn_ae.autoencoders.module import AutoencoderModule
from sklearn_ae.autoencoders.network import Images, Network
from sklearn_ae.engine.estimator import BaseAutoencoder
from sklearn_ae.engine.inputs import (
    as_array,
    has_missing,
    is_sparse,
    range_outside,
)
from sklearn_ae.engine.labels import Supervision
from sklearn_ae.engine.module import Blank
from sklearn_ae.engine.surroundings import plain_torch
from sklearn_ae.params.domains import (
    Instance,
    Interval,
    Nothing,
    OneOf,
    SequenceOf,
    named_items,
)
from sklearn_ae.params.fields import Params
from sklearn_ae.parts.corruptions import Corruption
from sklearn_ae.parts.penalties import Penalty
from sklearn_ae.parts.reconstruction import RECONSTRUCTIONS

__all__ = ["ComposedAutoencoder", "CorruptionParameters", "ImageAutoencoder"]

#: Names of other terms of an objective, which no penalty may have.
TERMS = {
    "alpha",
    "beta",
    "bound",
    "corruption",
    "deception",
    "discrimination",
    "embedding",
    "emphasis",
    "kl",
    "log",
    "loss",
    "margin",
    "reconstruction",
    "revival",
    "weight_decay",
}
_COUNT = Interval(int, 1, None)


class CorruptionParameters(Params):
    """Parameters of methods that may put noise on the rows.

    Parameters
    ----------
    corruption : Corruption or None, default=None
        Noise on the rows that are encoded while training, such as `GaussianNoise` and
        `Masking`. What is restored stays clean.
    """

    corruption: Corruption | None = None

    _valid: ClassVar = {
        "corruption": [Instance(Corruption, "a Corruption"), Nothing()],
    }

    def _corruption(self) -> Corruption | None:
        return None if self.corruption is None else clone(self.corruption)


class ComposedAutoencoder(BaseAutoencoder):
    """An estimator whose module is an `AutoencoderModule`, composed of parts.

    A method says which parts in ``_penalties`` and ``_corruption``. Where it has a
    module of its own, ``_module`` builds that on what ``_network`` returns.

    Parameters
    ----------
    penalties : Penalty, list of Penalty or of (str, Penalty), or None, default=None
        Terms Ω on rows and codes that are added to the objective, such as `L1` and
        `L2`, besides the method's own.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Linear map from codes to rows: with `mean_`, the affine decoder. Only without
        hidden layers.
    mean_ : ndarray of shape (n_features,)
        Row that a code of zeros decodes to; only without hidden layers.
    """

    penalties: Any = None

    _valid: ClassVar = {
        "penalties": [
            Instance(Penalty, "a Penalty"),
            SequenceOf(Instance(Penalty), "a list of Penalties"),
            Nothing(),
        ],
    }

    def _penalties(self) -> list[tuple[str, Penalty]]:
        """Return the method's own penalties, each with the name of its term."""
        return []

    def _all_penalties(self) -> list[tuple[str, Penalty]]:
        """Return the method's own penalties and copies of those that are given."""
        given = self.penalties if self.penalties is not None else []
        items = named_items([given] if isinstance(given, Penalty) else given)
        own = self._penalties()
        taken = TERMS | {name for name, _ in own}
        names = [name for name, _ in items]
        for name in names:
            recorded = name.endswith(("_best", "_count", "_size"))  # by the loop
            if (
                names.count(name) > 1
                or name in taken
                or recorded
                or "__" in name
                or "." in name
            ):
                raise ValueError(
                    f"The 'penalties' parameter of {type(self).__name__} has the name "
                    f"{name!r}. Names must differ from each other and from "
                    f"{sorted(taken)}, without '__' or '.', and not end with '_best', "
                    "'_count' or '_size'."
                )
        return [*own, *((name, clone(penalty)) for name, penalty in items)]

    def _corruption(self) -> Corruption | None:
        """Return a copy of the noise on the rows that are encoded while training."""
        return None

    def _check_weights(self, weight: NDArray[np.float64]) -> None:
        super()._check_weights(weight)
        for _, penalty in self._all_penalties():
            if not penalty.weighs_rows:
                name = type(penalty).__name__
                raise ValueError(
                    f"sample_weight is not supported with the penalty {name}. Take its "
                    "mean over the rows by encoder.mean, and set weighs_rows = True."
                )

    def _labels(self, X: Any, y: Any, resume: bool) -> Supervision:
        if self._corruption() is not None:
            _check_no_rows(X, y)
        return super()._labels(X, y, resume)

    def _module(self, blank: Blank) -> AutoencoderModule:
        return AutoencoderModule(self._network(blank))

    def _network(self, blank: Blank) -> Network:
        """Return what the network is composed of."""
        return Network(
            blank,
            n_components=int(self.n_components),
            hidden_layer_sizes=tuple(map(int, self.hidden_layer_sizes)),
            activation=self.activation,
            code_activation=self.code_activation,
            output_activation=self.output_activation,
            loss=self.loss,
            tied_weights=bool(self.tied_weights),
            linear_path=self._uses_linear_path(),
            dropout=float(self.dropout),
            alpha=float(self.alpha),
            penalties=tuple(self._all_penalties()),
            corruption=self._corruption(),
            images=self._images(blank.n_features),
        )

    def _images(self, n_features: int) -> Images | None:
        """Return what makes the networks convolutional, where they are."""
        return None

    def _check_values(self, X: Any, loss: str) -> None:
        kind = RECONSTRUCTIONS[loss]
        found = None
        if kind.lowest is not None:
            found = range_outside(X, kind.lowest, kind.highest)
        if found is not None:
            top = "inf" if kind.highest is None else f"{kind.highest:g}"
            raise ValueError(
                f"{self._objective(loss)} needs values in [{kind.lowest:g}, {top}]. "
                f"Got X with values in {found}."
            )
        self._check_missing(X, loss)

    def _check_missing(self, X: Any, loss: str) -> None:
        if RECONSTRUCTIONS[loss].shares and has_missing(X):
            raise ValueError(
                f"{self._objective(loss)} does not support missing values: counts are "
                "compared with the row's total. Got X with NaN."
            )

    @property
    def components_(self) -> NDArray[Any]:
        """Linear map from codes to rows, of shape (n_components, n_features).

        With `mean_`, ``inverse_transform(Z) == Z @ components_ + mean_``; only where
        the decoder is affine.
        """
        weight, _ = self._affine_decoder("components_")
        return (weight * self._fit.units.scale).T

    @property
    def mean_(self) -> NDArray[Any]:
        """Row that a code of zeros decodes to, of shape (n_features,)."""
        _, bias = self._affine_decoder("mean_")
        units = self._fit.units
        return bias * units.scale + (0.0 if units.shift is None else units.shift)

    def _affine_decoder(self, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
        affine = "_fit" in vars(self) and self._fit.module.decodes_affinely
        if not affine or name in self._absent:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}: only a "
                "fitted one without hidden layers, and with the identity at the "
                "output, is an affine map."
            )
        with plain_torch():
            weight, bias = self._fit.module.decoder.readout()
        return weight.detach().cpu().numpy(), bias.detach().cpu().numpy()

    def jacobian_norm(self, X: Any) -> NDArray[Any]:
        """Return how far the code moves with the row: ‖∂z/∂x‖_F, in the units of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            Frobenius norm of the Jacobian of `transform` at each row.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        check_is_fitted(self)
        module = self._fit.module
        norms = self._apply(
            module.jacobian_norm,
            self._validate(X, reset=False),
            width=module.n_components * module.widest_layer,
        )
        return norms / self._fit.units.scale


def _check_no_rows(X: Any, y: Any) -> None:
    """Raise ValueError where y is rows of the shape of X, but not those of X."""
    shape = getattr(y, "shape", None)
    if shape is None and isinstance(y, list | tuple):
        shape = np.shape(y)
    if shape is None or tuple(shape) != tuple(X.shape) or X.shape[1] == 1:
        return
    if is_sparse(X) or is_sparse(y):
        alike = abs(sp.csr_array(X) - sp.csr_array(y)).max() == 0
    else:
        alike = np.array_equal(X[:], np.asarray(as_array(y)), equal_nan=True)
    if not alike:
        raise ValueError(
            "y has the shape of X, but other rows: pairs of noisy and clean rows are "
            "not supported. Fit to the clean rows alone, fit(X_clean): noise is put on "
            "them, by noise= or corruption=."
        )


class ImageAutoencoder(ComposedAutoencoder):
    """An estimator whose networks may be convolutional.

    Parameters
    ----------
    image_shape : tuple of int or None, default=None
        Shape (height, width) or (height, width, channels) of a row that is a flat image
        with the channels last, ``images.reshape(len(images), -1)``. Encoder and decoder
        then have blocks of a convolution and max-pooling by 2, as in
        `ConvolutionalAutoencoder`, before the layers of `hidden_layer_sizes`; sparse X
        is not supported. None is a network for which the order of features means
        nothing.
    channels : tuple of int, default=(16, 32)
        Number of maps of each convolutional block.
    kernel_size : int, default=3
        Height and width of the filters, along axes that are longer than 1.
    unpooling : {"repeat", "deconv"}, default="deconv"
        Way in which the decoder undoes pooling: "repeat" puts each number everywhere in
        its window, "deconv" is a transposed convolution of stride 2 in place of
        unpooling and convolution.
    """

    image_shape: tuple[int, ...] | None = None
    channels: tuple[int, ...] = (16, 32)
    kernel_size: int = 3
    unpooling: str = "deconv"

    _valid: ClassVar = {
        "image_shape": [
            SequenceOf(_COUNT, "a tuple of two or three positive ints", 2, 3),
            Nothing(),
        ],
        "channels": [
            SequenceOf(_COUNT, "a tuple or list of one or more positive ints", 1)
        ],
        "kernel_size": [_COUNT],
        "unpooling": [OneOf("repeat", "deconv")],
    }

    @property
    def _accept_sparse(self) -> bool:
        return self.image_shape is None

    def _fitted_accepts_sparse(self) -> bool:
        return self._fit.module.network.images is None

    def _images(self, n_features: int) -> Images | None:
        shape = self._resolve_image_shape(n_features)
        if shape is None:
            return None
        if self.unpooling == "deconv" and self.tied_weights:
            raise ValueError(
                "tied_weights=True is not supported with unpooling='deconv', which has "
                "no counterpart in the encoder. Use unpooling='repeat'."
            )
        if self.unpooling == "deconv" and self.kernel_size < 2:
            raise ValueError(
                "unpooling='deconv' needs kernel_size=2 or more: filters of stride 2 "
                f"would leave gaps. Got kernel_size={self.kernel_size}."
            )
        channels = tuple(map(int, self.channels))
        return Images(shape, channels, int(self.kernel_size), self.unpooling)

    def _resolve_image_shape(self, n_features: int) -> tuple[int, int, int] | None:
        """Return height, width and channels of a row, if it is an image."""
        if self.image_shape is None:
            return None
        height, width, *rest = map(int, self.image_shape)
        shape = (height, width, rest[0] if rest else 1)
        if math.prod(shape) != n_features:
            given = tuple(map(int, self.image_shape))
            raise ValueError(
                f"image_shape={given} holds {math.prod(shape)} numbers, but X has "
                f"{n_features} features."
            )
        return shape

    def _linear_path_obstacles(self) -> dict[str, bool]:
        images = self.image_shape is not None
        return {**super()._linear_path_obstacles(), "image_shape": images}
