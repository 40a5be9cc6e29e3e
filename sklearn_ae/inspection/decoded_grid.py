"""What a decoder makes of a grid of codes: the map that it has of the data."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_ae.engine.codec import Codec, check_count
from sklearn_ae.engine.params import Interval, SequenceOf

__all__ = ["DecodedGridDisplay"]

#: Codes that are drawn to see how far the grid is to reach, and the share of them that
#: is left out at either end.
N_DRAWS, LEFT_OUT = 20000, 0.05


class DecodedGridDisplay:
    """Decoded rows at the nodes of a grid over two components of the code.

    Make it by `from_estimator`; `plot` draws it again.

    Parameters
    ----------
    rows : ndarray of shape (n, n, n_features)
        ``rows[i, j]`` is what the code decodes to at ``second[i]`` and ``first[j]``.
    first, second : ndarray of shape (n,)
        Where the nodes are, along each component.
    image_shape : (int, int) or (int, int, int)
        Height, width (and channels) of a row.
    components : (int, int)
        Which components these are.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure
    image_ : matplotlib.image.AxesImage

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import DecodedGridDisplay, VariationalAutoencoder
    >>> X = load_digits().data
    >>> model = VariationalAutoencoder(2, max_iter=5, random_state=0).fit(X)
    >>> display = DecodedGridDisplay.from_estimator(model, n=4)
    >>> display.rows.shape
    (4, 4, 64)
    """

    def __init__(
        self,
        *,
        rows: NDArray[Any],
        first: NDArray[Any],
        second: NDArray[Any],
        image_shape: tuple[int, ...],
        components: tuple[int, int] = (0, 1),
    ) -> None:
        self.rows, self.first, self.second = rows, first, second
        self.image_shape, self.components = image_shape, components

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        n: int = 15,
        components: tuple[int, int] = (0, 1),
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Decode a grid of codes, and draw it.

        The nodes are quantiles, from 5 to 95 %, of 20000 codes that `sample` would
        decode; other components are at their medians.

        Parameters
        ----------
        estimator : fitted autoencoder
            With two components or more.
        n : int, default=15
            Nodes along each component, at least 2.
        components : (int, int), default=(0, 1)
            Those along the horizontal and along the vertical axis.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) of a row; colours are numbers
            in [0, 1]. None is that of the estimator, or a grey square.
        ax : matplotlib Axes or None, default=None
            Where to draw; None is a new figure.
        **kwargs
            Handed on to ``Axes.imshow``.

        Returns
        -------
        DecodedGridDisplay

        Raises
        ------
        ValueError
            If there are no such components, or rows are no images of that shape.
        """
        if not isinstance(estimator, Codec):
            raise TypeError(
                "A grid of codes is decoded by an autoencoder of this package. Got "
                f"{type(estimator).__name__}."
            )
        check_is_fitted(estimator)
        check_count("n", "from_estimator", n, 2)
        n_codes = estimator.n_components_
        if n_codes < 2:
            raise ValueError("A grid needs a code of two components or more.")
        pair = SequenceOf(Interval(int, 0, n_codes), "", 2, 2)
        if not pair.allows(components) or components[0] == components[1]:
            raise ValueError(
                "The 'components' parameter must name two of the code's components, 0 "
                f"to {n_codes - 1}. Got {components!r}."
            )
        shape = _image_shape(estimator, image_shape)
        drawn = estimator._draw_codes(N_DRAWS, np.random.RandomState(0))
        shares = np.linspace(LEFT_OUT, 1.0 - LEFT_OUT, int(n))
        first, second = (np.quantile(drawn[:, c], shares) for c in components)
        codes = np.tile(np.median(drawn, axis=0), (int(n), int(n), 1))
        codes[:, :, components[0]] = first
        codes[:, :, components[1]] = second[:, None]
        rows = estimator.inverse_transform(codes.reshape(-1, n_codes))
        display = cls(
            rows=rows.reshape(int(n), int(n), -1),
            first=first,
            second=second,
            image_shape=shape,
            components=(int(components[0]), int(components[1])),
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the decoded rows as one picture, the second component upwards.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
        **kwargs
            Handed on to ``Axes.imshow``.

        Returns
        -------
        DecodedGridDisplay
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError(
                "Drawing needs matplotlib: pip install 'sklearn_ae[plot]'."
            ) from error
        if ax is None:
            _, ax = plt.subplots(figsize=(6, 6), layout="constrained")
        n = len(self.rows)
        height, width, *channels = self.image_shape
        tiles = self.rows[::-1].reshape(n, n, height, width, *channels)
        # apart by a line of one pixel
        frame = [(0, 0), (0, 0), (0, 1), (0, 1), *[(0, 0)] * len(channels)]
        tiles = np.pad(tiles, frame, constant_values=self.rows.min())
        picture = np.concatenate(np.concatenate(tiles, axis=1), axis=1)
        picture = picture[:-1, :-1]
        self.image_ = ax.imshow(picture, **{"cmap": "gray", **kwargs})
        few = np.linspace(0, n - 1, min(n, 5)).round().astype(int)
        for axis, places, nodes in (
            (ax.xaxis, (few + 0.5) * (width + 1) - 1, self.first),
            (ax.yaxis, (n - few - 0.5) * (height + 1) - 1, self.second),
        ):
            axis.set_ticks(places, [f"{nodes[i].round(1) + 0.0:.1f}" for i in few])
        ax.set_xlabel(f"component {self.components[0]}")
        ax.set_ylabel(f"component {self.components[1]}")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _image_shape(estimator: Any, given: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the height and width of a row, and its channels if there are several."""
    n_features = estimator.n_features_in_
    shape = getattr(estimator, "image_shape", None) if given is None else given
    if shape is None:
        side = math.isqrt(n_features)
        shape = (side, side)
    sizes = SequenceOf(Interval(int, 1, None), "", 2, 3)
    if not sizes.allows(shape) or math.prod(shape) != n_features:
        raise ValueError(
            f"Rows of {n_features} features are no images of shape {shape}. Say which: "
            "image_shape=(height, width)."
        )
    if len(shape) == 3 and shape[2] not in (1, 3, 4):
        raise ValueError(
            "What can be drawn has 1, 3 (red, green, blue) or 4 channels. Got "
            f"image_shape={shape}."
        )
    return tuple(shape[:2] if len(shape) == 3 and shape[2] == 1 else shape)
