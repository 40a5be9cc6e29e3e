"""What units look for: their weights, or the inputs that excite them most."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sklearn_ae.engine.generation import Generates
from sklearn_ae.engine.surroundings import plain_torch
from sklearn_ae.engine.tensors import from_tensor, make_generator, to_tensor
from sklearn_ae.engine.units import moments
from sklearn_ae.inspection import _drawing
from sklearn_ae.inspection._drawing import Fitted, Where
from sklearn_ae.params.domains import Interval, InvalidParameterError, SequenceOf
from sklearn_ae.parts.convolution import ConvolutionalEncoder
from sklearn_ae.parts.split import SplitEncoder

__all__ = ["FeatureDisplay"]

#: The search for an input starts from so many rows, the mean row among them, and takes
#: so many steps from each.
N_STARTS, N_STEPS = 8, 50
#: What is drawn, by kind.
TITLES = {
    "weights": "Weights of the units of the first layer",
    "inputs": "Inputs that excite each unit of the code most",
}


class FeatureDisplay:
    r"""Weights of each unit, or the input that excites it most.

    Make it by `from_estimator`, or from your own features; `plot` draws it again. Each
    unit has an image, or a column in a table of features by units if rows are no
    images. Each unit has its own scale, from blue (negative) to red (positive).

    Parameters
    ----------
    features : ndarray of shape (n_units, n_inputs)
        Weights or inputs of each unit.
    units : array-like of int of shape (n_units,) or None, default=None
        Number of each unit; None counts them from 0.
    image_shape : (int, int) or (int, int, int) or None, default=None
        Height, width (and channels) of each unit's features; None draws a table.
    feature_names : sequence of str or None, default=None
        Names of the features.
    title : str or None, default=None
        Title of the picture.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure
    image_ : matplotlib.image.AxesImage
    colorbar_ : matplotlib.colorbar.Colorbar

    Notes
    -----
    The inputs are those of activation maximisation (Erhan et al. 2009),

    .. math:: u_j = \operatorname*{arg\,max}_{\|u\| \le \sqrt{d}}\ z_j(\mu + \sigma u)

    for the code z as `transform` gives it and d features: rows as far from μ as an
    average one is. μ is where the network has its zero, the mean of the training rows
    where the estimator standardises. σ is the standard deviation of each feature of
    `X`; without `X` it is one number for all, and features are σu. They are sought by
    50 steps of Frank and Wolfe from each of 8 places, u = 0 and others drawn at random
    but always the same, of which the best is kept. For one layer and without `X` they
    are its weights, :math:`\sigma \sqrt{d}\, w_j / \|w_j\|`. A unit that nothing
    moves, at any of these places, is left blank.

    References
    ----------
    Erhan, D., Bengio, Y., Courville, A. & Vincent, P. Visualizing higher-layer features
    of a deep network. Technical report 1341, Université de Montréal, 2009.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import FeatureDisplay, SparseAutoencoder
    >>> X = load_digits().data
    >>> model = SparseAutoencoder(30, max_iter=5, random_state=0).fit(X)
    >>> display = FeatureDisplay.from_estimator(model, units=16, image_shape=(8, 8))
    >>> display.features.shape
    (16, 64)
    """

    def __init__(
        self,
        *,
        features: NDArray[Any],
        units: ArrayLike | None = None,
        image_shape: tuple[int, ...] | None = None,
        feature_names: Sequence[str] | None = None,
        title: str | None = None,
    ) -> None:
        self.features, self.units, self.title = features, units, title
        self.image_shape, self.feature_names = image_shape, feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: object,
        X: Any = None,
        *,
        kind: str = "auto",
        units: int | ArrayLike = 32,
        image_shape: tuple[int, ...] | None = None,
        n_columns: int = 8,
        ax: Where = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the units' weights, or search for the inputs that excite them.

        Parameters
        ----------
        estimator : fitted autoencoder, or Pipeline that ends in one
            Estimator whose units are drawn.
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or None
            Rows for kind="inputs": their standard deviations say how far each feature
            may move. None lets all features move equally far, even constant ones.
        kind : {"auto", "weights", "inputs"}, default="auto"
            Kind of picture. "auto" draws the units of the code: their weights where the
            network is one layer, else their inputs. "weights" shows the weights of each
            unit of the first layer, or its kernels if it is convolutional. Along a
            linear path they are the weights of features divided by their standard
            deviations. "inputs" shows the input that excites each unit of the code
            most, however deep it is. It is the difference from the mean row, in
            standard deviations, or in the units of the data without `X`.
        units : int or array-like of int, default=32
            Number of units to draw, those with the largest weights, or the first for
            kind="inputs". An array gives the numbers of the units to draw.
        image_shape : tuple of int or None, default=None
            Height and width of a row, or height, width and channels. None takes that of
            the estimator, and a table if it has none.
        n_columns : int, default=8
            Number of images side by side.
        ax : matplotlib Axes or None, default=None
            Axes to draw on; None makes a new figure.
        **kwargs
            Arguments of ``Axes.imshow``.

        Returns
        -------
        FeatureDisplay

        Raises
        ------
        TypeError
            If the estimator is no autoencoder.
        ValueError
            If the units do not exist, rows are no images of that shape, or the first
            layer has no weights that can be drawn.
        """
        _drawing.pyplot()
        fitted = Fitted.codec(estimator, cls)
        codec = fitted.last
        _drawing.one_of("kind", kind, *("auto", "weights", "inputs"))
        if kind == "auto":
            kind = "weights" if _is_one_layer(codec) else "inputs"
        shape = _drawing.image_shape_of(image_shape, codec.n_features_in_, codec)
        names = fitted.names()
        if kind == "inputs":
            chosen = _chosen(units, np.arange(codec.n_components_))
            rows = None if X is None else fitted.rows(X)
            # in inference mode nothing has a gradient
            with plain_torch(), torch.inference_mode(False):
                features = _inputs(codec, chosen, rows)
        else:
            with plain_torch():
                weights, kernel_shape = _weights(codec)
            if kernel_shape is not None:
                shape, names = kernel_shape, None
            norms = np.linalg.norm(weights, axis=1)
            chosen = _chosen(units, np.argsort(-norms, kind="stable"))
            features = weights[chosen]
        display = cls(
            features=features,
            units=chosen,
            image_shape=shape,
            feature_names=names,
            title=TITLES[kind],
        )
        return display.plot(ax=ax, n_columns=n_columns, **kwargs)

    def plot(self, ax: Where = None, *, n_columns: int = 8, **kwargs: Any) -> Self:
        """Draw an image for each unit, or a table of features by units.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on; None makes a new figure.
        n_columns : int, default=8
            Number of images side by side.
        **kwargs
            Arguments of ``Axes.imshow``.

        Returns
        -------
        FeatureDisplay
        """
        if not Interval(int, 1, None).allows(n_columns):
            raise InvalidParameterError(
                "The 'n_columns' parameter must be an int in the range [1, inf). Got "
                f"{n_columns!r} instead."
            )
        largest = np.abs(self.features).max(axis=1, keepdims=True)
        shares = self.features / np.where(largest > 0.0, largest, 1.0)
        style = {"cmap": "RdBu_r", "vmin": -1.0, "vmax": 1.0}
        style = _drawing.styled(style, kwargs)
        if self.image_shape is None:
            self._draw_table(ax, shares, style)
        else:
            n_across = min(int(n_columns), len(shares))
            self._draw_images(ax, shares, self.image_shape, n_across, style)
        self.figure_ = self.ax_.figure
        self.colorbar_ = self.figure_.colorbar(
            self.image_, ax=self.ax_, label="share of the unit's largest"
        )
        if self.title is not None:
            self.ax_.set_title(self.title)
        return self

    def _draw_images(
        self,
        ax: Where,
        shares: NDArray[Any],
        image_shape: tuple[int, ...],
        n_across: int,
        style: dict[str, Any],
    ) -> None:
        n_down = math.ceil(len(shares) / n_across)
        blank = np.full((n_down * n_across - len(shares), shares.shape[1]), np.nan)
        rows = np.concatenate([shares, blank]).reshape(n_down, n_across, -1)
        if len(image_shape) == 3:  # grey is a weight of zero
            rows = 0.5 + 0.5 * rows
        height, width, *_ = image_shape
        size = (0.7 * n_across, 0.7 * n_down * height / width)
        (self.ax_,) = _drawing.axes_for(ax, figsize=np.maximum(size, 1.0))
        self.image_ = self.ax_.imshow(_drawing.tiled(rows, image_shape), **style)
        self.ax_.set_axis_off()

    def _draw_table(
        self, ax: Where, shares: NDArray[Any], style: dict[str, Any]
    ) -> None:
        n_units, n_inputs = shares.shape
        units = np.arange(n_units) if self.units is None else np.asarray(self.units)
        names = _drawing.names_of(self.feature_names, n_inputs)
        size = (2.5 + 0.25 * min(n_units, 40), 1.0 + 0.25 * min(n_inputs, 40))
        (self.ax_,) = _drawing.axes_for(ax, figsize=size)
        self.image_ = self.ax_.imshow(shares.T, **{"aspect": "auto", **style})
        some, few = _ticks(n_units), _ticks(n_inputs)
        turned = 90 if max(units) > 99 else 0  # long numbers would overlap
        self.ax_.set_xticks(some, [str(units[i]) for i in some], rotation=turned)
        self.ax_.set_yticks(few, [names[i] for i in few])
        self.ax_.set(xlabel="unit", ylabel="feature")


def _ticks(n: int) -> NDArray[np.intp]:
    """Return the numbers 0 to n − 1, or about 40 of them if they are more."""
    return np.arange(0, n, math.ceil(n / 40))


def _chosen(units: Any, order: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the numbers of the units to draw. Raise for units that do not exist."""
    if Interval(int, 1, None).allows(units):
        return order[: int(units)]
    units = list(units) if isinstance(units, range) else units
    if SequenceOf(Interval(int, 0, len(order)), "", 1).allows(units):
        return np.asarray(units, dtype=np.intp)
    raise InvalidParameterError(
        "The 'units' parameter must be an int in the range [1, inf) or an array of "
        f"ints in the range [0, {len(order)}). Got {units!r} instead."
    )


def _is_one_layer(codec: Generates) -> bool:
    """Tell whether the units of the first layer are those of the code."""
    if hasattr(codec, "estimators_"):  # a stack's encoder is that of its layers
        return False
    encoder = codec.module_.encoder
    split = isinstance(encoder, SplitEncoder)
    networks: list[Any] = list(encoder.networks) if split else [encoder]
    return not any(
        isinstance(network, ConvolutionalEncoder) or len(network.weights()) > 1
        for network in networks
    )


def _weights(codec: Generates) -> tuple[NDArray[Any], tuple[int, ...] | None]:
    """Return the first layer's weights (n_units, n_inputs), and a kernel's shape."""
    first = getattr(codec, "estimators_", [codec])[0]
    encoder = first.module_.encoder
    if isinstance(encoder, ConvolutionalEncoder):
        kernels = from_tensor(encoder.weights()[0])
        n_out, n_in, height, width = kernels.shape
        shape = _drawing.image_shape_of((height, width, n_in), height * width * n_in)
        return kernels.transpose(0, 2, 3, 1).reshape(n_out, -1), shape
    if not isinstance(encoder, SplitEncoder):
        return from_tensor(encoder.weights()[0]), None
    blocks = []
    for network, part in encoder.split():
        if isinstance(network, ConvolutionalEncoder):
            raise ValueError(
                "kind='weights' is not supported with split='channels' of images: "
                "kernels of lightness and of colour are no pictures."
            )
        seen = from_tensor(network.weights()[0])
        block = np.zeros((len(seen), first.n_features_in_), seen.dtype)
        block[:, from_tensor(part)] = seen
        blocks.append(block)
    return np.concatenate(blocks), None


def _inputs(codec: Generates, units: NDArray[np.intp], X: Any) -> NDArray[Any]:
    """Return the inputs (n_units, n_features) that excite units of the code most.

    They are in standard deviations of the rows X, or in the units of the data if X is
    None.
    """
    if not codec._fit.units.is_affine:
        raise ValueError(
            "kind='inputs' is not supported with split='channels': its networks see "
            "lightness and colour, and an input is a difference from the mean row."
        )
    like, scale = next(codec.module_.parameters()), codec._fit.units.scale
    encode, n_features = codec.module_.encode, codec.n_features_in_
    spread = np.full(n_features, 1.0)
    if X is not None:
        spread, scale = np.sqrt(moments(X)[1]) / scale, 1.0
    steps = to_tensor(spread).to(like.device, like.dtype)

    def excite(u: Tensor) -> Tensor:
        return encode(u * steps)

    # not all at once, because each image holds many maps
    parts = np.array_split(units, math.ceil(len(units) / 32))
    return scale * np.concatenate(
        [most_exciting(excite, part, n_features, like) for part in parts]
    )


def most_exciting(
    encode: Callable[[Tensor], Tensor],
    units: NDArray[np.intp],
    n_features: int,
    like: Tensor,
) -> NDArray[Any]:
    """Return the row that excites each unit most, NaN if no row does.

    Parameters
    ----------
    encode : callable
        Function from rows (batch, n_features) to codes (batch, n_components).
    units : ndarray of int of shape (n_units,)
        Numbers of the units.
    n_features : int
        Number of features of a row.
    like : Tensor
        Tensor with the dtype and the device that rows need.

    Returns
    -------
    ndarray of shape (n_units, n_features)
    """
    norm = math.sqrt(n_features)
    generator = make_generator(0, torch.device("cpu"))
    shape = (N_STARTS, n_features)
    starts = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
    starts *= norm / starts.norm(dim=1, keepdim=True)
    starts[0] = 0.0
    x = starts.to(like.device, like.dtype).repeat(len(units), 1)
    unit = to_tensor(units).to(like.device).repeat_interleave(N_STARTS)[:, None]
    moved = torch.zeros_like(unit, dtype=torch.bool)
    with torch.enable_grad():
        for step in range(N_STEPS):
            x = x.clone().requires_grad_()
            (slope,) = torch.autograd.grad(encode(x).gather(1, unit).sum(), x)
            size = slope.norm(dim=1, keepdim=True)
            moves = size > 0.0
            # a unit with slope zero shows no way to go
            ahead = torch.where(moves, slope * (norm / size), x)
            x = (x + 2.0 / (step + 2.0) * (ahead - x)).detach()
            moved |= moves
        excited = encode(x).gather(1, unit).masked_fill(~moved, -math.inf)
    best = excited.view(len(units), N_STARTS).argmax(dim=1)
    x = x.view(len(units), N_STARTS, -1)[
        torch.arange(len(units), device=x.device), best
    ]
    alive = moved.view(len(units), N_STARTS).any(dim=1, keepdim=True)
    return from_tensor(x.masked_fill(~alive, math.nan))
