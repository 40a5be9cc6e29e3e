"""Rows that a grid of codes decodes to: the decoder's map of the data."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sklearn_ae.engine.validation import check_count
from sklearn_ae.inspection import _drawing
from sklearn_ae.inspection._drawing import Fitted, Where

__all__ = ["ManifoldDisplay"]

#: The grid reaches as far as so many codes that `sample` would decode. This share of
#: them is left out at either end.
N_DRAWS, LEFT_OUT = 20000, 0.05
#: Rows of fewer features than this squared are taken for those of a table.
LEAST_SIDE = 8


class ManifoldDisplay:
    """Decoded rows at the nodes of a grid over two components of the code.

    Make it by `from_estimator`; `plot` draws it again.

    Parameters
    ----------
    rows : ndarray of shape (n, n, n_features)
        Decoded rows; ``rows[i, j]`` belongs to the code ``second[i], first[j]``.
    first, second : ndarray of shape (n,)
        Positions of the nodes along each component.
    image_shape : (int, int) or (int, int, int)
        Height, width (and channels) of a row.
    components : (int, int), default=(0, 1)
        Numbers of the two components.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure
    image_ : matplotlib.image.AxesImage

    See Also
    --------
    CodeDisplay : Codes of rows on the same plane.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import ManifoldDisplay, VariationalAutoencoder
    >>> X = load_digits().data
    >>> model = VariationalAutoencoder(2, max_iter=5, random_state=0).fit(X)
    >>> display = ManifoldDisplay.from_estimator(model, n=4)
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
        estimator: object,
        *,
        n: int = 15,
        components: tuple[int, int] = (0, 1),
        image_shape: tuple[int, ...] | None = None,
        ax: Where = None,
        **kwargs: Any,
    ) -> Self:
        """Decode a grid of codes and draw the rows.

        The nodes are quantiles, from 5 to 95 %, of 20000 codes that `sample` would
        decode. All other components are at their medians.

        Parameters
        ----------
        estimator : fitted autoencoder, or Pipeline that ends in one
            Estimator whose codes have two components or more. For a Pipeline, the
            rows are those that its last step decodes.
        n : int, default=15
            Number of nodes along each component, at least 2.
        components : (int, int), default=(0, 1)
            Components along the horizontal and the vertical axis.
        image_shape : tuple of int or None, default=None
            Height and width of a row, or height, width and channels; colours are
            numbers in [0, 1]. None takes that of the estimator, or a grey square if 64
            or more features make one. Others have no shape by themselves:
            (1, n_features) draws a row as a strip.
        ax : matplotlib Axes or None, default=None
            Axes to draw on; None makes a new figure.
        **kwargs
            Arguments of ``Axes.imshow``.

        Returns
        -------
        ManifoldDisplay

        Raises
        ------
        TypeError
            If the estimator is no autoencoder.
        ValueError
            If the code has no such components, or rows are no images of that shape.
        """
        _drawing.pyplot()
        estimator = Fitted.codec(estimator, cls).last
        check_count("n", "from_estimator", n, 2)
        n_codes, n_features = estimator.n_components_, estimator.n_features_in_
        pair = _drawing.check_components(components, n_codes)
        shape = _drawing.image_shape_of(image_shape, n_features, estimator)
        if shape is None:
            shape = _square(n_features)
        drawn = estimator._draw_codes(N_DRAWS, np.random.RandomState(0))
        shares = np.linspace(LEFT_OUT, 1.0 - LEFT_OUT, int(n))
        first, second = (np.quantile(drawn[:, c], shares) for c in pair)
        codes = np.tile(np.median(drawn, axis=0), (int(n), int(n), 1))
        codes[:, :, pair[0]] = first
        codes[:, :, pair[1]] = second[:, None]
        rows = np.asarray(estimator.inverse_transform(codes.reshape(-1, n_codes)))
        display = cls(
            rows=rows.reshape(int(n), int(n), -1),
            first=first,
            second=second,
            image_shape=shape,
            components=pair,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Where = None, **kwargs: Any) -> Self:
        """Draw the decoded rows as one picture; the second component points upwards.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on; None makes a new figure.
        **kwargs
            Arguments of ``Axes.imshow``.

        Returns
        -------
        ManifoldDisplay
        """
        (panel,) = _drawing.axes_for(ax, figsize=(6, 6))
        n = len(self.rows)
        height, width, *_ = self.image_shape
        picture = _drawing.tiled(self.rows[::-1], self.image_shape, self.rows.min())
        self.image_ = panel.imshow(picture, **{"cmap": "gray", **kwargs})
        few = np.linspace(0, n - 1, min(n, 5)).round().astype(int)
        for axis, places, nodes in (
            (panel.xaxis, _drawing.middles(n, width)[few], self.first),
            (panel.yaxis, _drawing.middles(n, height)[n - 1 - few], self.second),
        ):
            axis.set_ticks(places, [f"{nodes[i].round(1) + 0.0:.1f}" for i in few])
        panel.set_xlabel(f"component {self.components[0]}")
        panel.set_ylabel(f"component {self.components[1]}")
        self.ax_, self.figure_ = panel, panel.figure
        return self


def _square(n_features: int) -> tuple[int, int]:
    """Return the shape of a grey square, or raise ValueError where there is none."""
    side = math.isqrt(n_features)
    if side < LEAST_SIDE or side * side != n_features:
        raise ValueError(
            "ManifoldDisplay draws each row as a picture, and nothing says what shape "
            f"{n_features} features have. Give image_shape=(height, width); "
            f"image_shape=(1, {n_features}) draws a row as a strip."
        )
    return side, side
