"""What units look for: what they weigh, or what excites them most."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_ae.engine.surroundings import plain_torch
from sklearn_ae.engine.tensors import from_tensor, make_generator, to_tensor
from sklearn_ae.engine.units import moments
from sklearn_ae.inspection import _drawing
from sklearn_ae.inspection._drawing import Fitted
from sklearn_ae.params.domains import Interval, InvalidParameterError, SequenceOf
from sklearn_ae.parts.convolution import ConvolutionalEncoder
from sklearn_ae.parts.split import SplitEncoder

__all__ = ["FeatureDisplay"]

#: Places from which an input is sought, the mean row among them, and steps from each.
N_STARTS, N_STEPS = 8, 50
#: What is drawn, by kind.
TITLES = {
    "weights": "Weights of the units of the first layer",
    "inputs": "Inputs that excite each unit of the code most",
}


class FeatureDisplay:
    r"""What each unit weighs the features by, or the input that excites it most.

    Make it by `from_estimator`, or from features of one's own; `plot` draws it again.
    Images are drawn one for each unit, others as a table of features by units. Each
    unit is on its own scale, from blue (negative) to red (positive).

    Parameters
    ----------
    features : ndarray of shape (n_units, n_inputs)
    units : array-like of int of shape (n_units,) or None, default=None
        The number of each unit; None counts them.
    image_shape : (int, int) or (int, int, int) or None, default=None
        Height, width (and channels) of each unit's features; None is no image.
    feature_names : sequence of str or None, default=None
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
        units: Any = None,
        image_shape: tuple[int, ...] | None = None,
        feature_names: Sequence[str] | None = None,
        title: str | None = None,
    ) -> None:
        self.features, self.units, self.title = features, units, title
        self.image_shape, self.feature_names = image_shape, feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        kind: str = "auto",
        units: Any = 32,
        image_shape: tuple[int, ...] | None = None,
        n_columns: int = 8,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Take the units' weights, or seek their inputs, and draw them.

        Parameters
        ----------
        estimator : fitted autoencoder, or Pipeline that ends in one
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or None
            By kind "inputs", rows whose standard deviations say how far features may
            move. None lets all of them move as far, also one that hardly ever does.
        kind : {"auto", "weights", "inputs"}, default="auto"
            "auto" draws the units of the code: their weights where the network is one
            layer, else their inputs. "weights" are those of the first layer, of a stack
            too, for each of its units, or of its kernels where it is convolutional;
            along a linear path they are of features divided by their standard
            deviations. "inputs" are
            those that excite each unit of the code most, however deep it is: what is
            to be added to the mean row, in standard deviations, or without `X` in its
            units.
        units : int or array-like of int, default=32
            How many to draw at most, by kind "weights" those with the largest, by
            "inputs" the first; or the numbers of those to draw, in that order.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) of a row. None is that of the
            estimator, and a table where it has none.
        n_columns : int, default=8
            How many images are beside each other.
        ax : matplotlib Axes or None, default=None
            Where to draw; None is a new figure.
        **kwargs
            Handed on to ``Axes.imshow``.

        Returns
        -------
        FeatureDisplay

        Raises
        ------
        TypeError
            If the estimator is no autoencoder.
        ValueError
            If there are no such units, rows are no images of that shape, or the first
            layer weighs no features that can be drawn.
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

    def plot(self, ax: Any = None, *, n_columns: int = 8, **kwargs: Any) -> Self:
        """Draw an image for each unit, or a table of features by units.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
        n_columns : int, default=8
            How many images are beside each other.
        **kwargs
            Handed on to ``Axes.imshow``.

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
            self._draw_images(ax, shares, min(int(n_columns), len(shares)), style)
        self.figure_ = self.ax_.figure
        self.colorbar_ = self.figure_.colorbar(
            self.image_, ax=self.ax_, label="share of the unit's largest"
        )
        if self.title is not None:
            self.ax_.set_title(self.title)
        return self

    def _draw_images(
        self, ax: Any, shares: NDArray[Any], n_across: int, style: dict[str, Any]
    ) -> None:
        n_down = math.ceil(len(shares) / n_across)
        blank = np.full((n_down * n_across - len(shares), shares.shape[1]), np.nan)
        rows = np.concatenate([shares, blank]).reshape(n_down, n_across, -1)
        if len(self.image_shape) == 3:  # no colour is no weight
            rows = 0.5 + 0.5 * rows
        height, width, *_ = self.image_shape
        size = (0.7 * n_across, 0.7 * n_down * height / width)
        (self.ax_,) = _drawing.axes_for(ax, figsize=np.maximum(size, 1.0))
        self.image_ = self.ax_.imshow(_drawing.tiled(rows, self.image_shape), **style)
        self.ax_.set_axis_off()

    def _draw_table(self, ax: Any, shares: NDArray[Any], style: dict[str, Any]) -> None:
        n_units, n_inputs = shares.shape
        units = np.arange(n_units) if self.units is None else self.units
        names = _drawing.names_of(self.feature_names, n_inputs)
        size = (2.5 + 0.25 * min(n_units, 40), 1.0 + 0.25 * min(n_inputs, 40))
        (self.ax_,) = _drawing.axes_for(ax, figsize=size)
        self.image_ = self.ax_.imshow(shares.T, **{"aspect": "auto", **style})
        some, few = _ticks(n_units), _ticks(n_inputs)
        turned = 90 if max(units) > 99 else 0  # numbers beside each other
        self.ax_.set_xticks(some, [str(units[i]) for i in some], rotation=turned)
        self.ax_.set_yticks(few, [names[i] for i in few])
        self.ax_.set(xlabel="unit", ylabel="feature")


def _ticks(n: int) -> NDArray[np.intp]:
    """Return all of n places, or some of them where they are many."""
    return np.arange(0, n, math.ceil(n / 40))


def _chosen(units: Any, order: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the numbers of the units to draw, or raise ValueError."""
    if Interval(int, 1, None).allows(units):
        return order[: int(units)]
    units = list(units) if isinstance(units, range) else units
    if SequenceOf(Interval(int, 0, len(order)), "", 1).allows(units):
        return np.asarray(units, dtype=np.intp)
    raise InvalidParameterError(
        "The 'units' parameter must be an int in the range [1, inf) or an array of "
        f"ints in the range [0, {len(order)}). Got {units!r} instead."
    )


def _is_one_layer(codec: Any) -> bool:
    """Tell whether the units of the first layer are those of the code."""
    if hasattr(codec, "estimators_"):  # a stack's encoder is that of its layers
        return False
    encoder = codec.module_.encoder
    networks = encoder.networks if isinstance(encoder, SplitEncoder) else [encoder]
    return not any(
        isinstance(network, ConvolutionalEncoder) or len(network.weights()) > 1
        for network in networks
    )


def _weights(codec: Any) -> tuple[NDArray[Any], tuple[int, ...] | None]:
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
    for network, part in zip(
        encoder.networks, (encoder.part_0, encoder.part_1), strict=True
    ):
        if isinstance(network, ConvolutionalEncoder):
            raise ValueError(
                "The two networks of split='channels' have kernels of lightness and of "
                "colour, which make no pictures."
            )
        seen = from_tensor(network.weights()[0])
        block = np.zeros((len(seen), first.n_features_in_), seen.dtype)
        block[:, from_tensor(part)] = seen
        blocks.append(block)
    return np.concatenate(blocks), None


def _inputs(codec: Any, units: NDArray[np.intp], X: Any) -> NDArray[Any]:
    """Return the inputs (n_units, n_features) that excite units of the code most.

    In standard deviations of the rows X, or without them in the units of the data.
    """
    if not codec._units.is_affine:
        raise ValueError(
            "kind='inputs' adds to the mean row, and the network of split='channels' "
            "does not see rows but their lightness and colour."
        )
    like, scale = next(codec.module_.parameters()), codec._units.scale
    encode, n_features = codec.module_.encode, codec.n_features_in_
    spread = np.full(n_features, 1.0)
    if X is not None:
        spread, scale = np.sqrt(moments(X)[1]) / scale, 1.0
    steps = to_tensor(spread).to(like.device, like.dtype)

    def excite(u: Tensor) -> Tensor:
        return encode(u * steps)

    # not all at once: of images each holds many maps
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
    """Return the row that excites each unit most, NaN where none does.

    Parameters
    ----------
    encode : callable
        Maps rows (batch, n_features) to codes (batch, n_components).
    units : ndarray of int of shape (n_units,)
    n_features : int
    like : Tensor
        Of the dtype and on the device that rows are to be.

    Returns
    -------
    ndarray of shape (n_units, n_features)
    """
    norm = math.sqrt(n_features)
    generator = make_generator(0, torch.device("cpu"))
    like_cpu = {"dtype": torch.float32, "device": "cpu"}
    starts = torch.randn(N_STARTS, n_features, generator=generator, **like_cpu)
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
            # where the unit is flat there is no way to go
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
