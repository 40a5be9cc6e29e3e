"""Rows next to their reconstructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_ae.engine.inputs import is_sparse
from sklearn_ae.engine.units import moments
from sklearn_ae.engine.validation import check_count
from sklearn_ae.inspection import _drawing
from sklearn_ae.inspection._drawing import COLORS, GREY, Fitted, Where

__all__ = ["ReconstructionDisplay"]


class ReconstructionDisplay:
    """Rows and their reconstructions, as images or as bars of features.

    Make it by `from_estimator`, or from your own rows; `plot` draws it again. Images
    form one picture, with a line for each version of the rows. Other rows have a panel
    each, with a bar for each feature in each version.

    Parameters
    ----------
    versions : dict of ndarray of shape (n, n_features)
        Versions of the same n rows by their names, "original" first.
    image_shape : (int, int) or (int, int, int) or None, default=None
        Height, width (and channels) of a row; None if rows are no images.
    feature_names : sequence of str or None, default=None
        Names of the features.
    center, scale : ndarray of shape (n_features,) or None, default=None
        Centre and unit of each feature: bars show (x − center) / scale, or x without
        both.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes
        One for images, or one for each row as bars.
    figure_ : matplotlib.figure.Figure
    image_ : matplotlib.image.AxesImage
        Only if rows are images.
    bars_ : list of dict of matplotlib.container.BarContainer
        Bars of each row by version; only if rows are no images.
    legend_ : matplotlib.legend.Legend
        Only if rows are no images.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_ae import Autoencoder, ReconstructionDisplay
    >>> X = load_wine(as_frame=True).data
    >>> model = Autoencoder(3, max_iter=5, random_state=0).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(model, X, n=2)
    >>> list(display.versions), display.versions["restored"].shape
    (['original', 'restored'], (2, 13))
    """

    def __init__(
        self,
        *,
        versions: Mapping[str, NDArray[Any]],
        image_shape: tuple[int, ...] | None = None,
        feature_names: Sequence[str] | None = None,
        center: NDArray[Any] | None = None,
        scale: NDArray[Any] | None = None,
    ) -> None:
        self.versions, self.image_shape = versions, image_shape
        self.feature_names, self.center, self.scale = feature_names, center, scale

    @classmethod
    def from_estimator(
        cls,
        estimator: object,
        X: Any,
        *,
        X_noisy: ArrayLike | None = None,
        n: int | None = None,
        image_shape: tuple[int, ...] | None = None,
        n_features: int = 20,
        ax: Where = None,
        **kwargs: Any,
    ) -> Self:
        """Restore the first rows of X and draw both.

        Parameters
        ----------
        estimator : fitted autoencoder, or Pipeline that ends in one
            Estimator that restores rows. For a Pipeline, the rows are those that its
            last step sees and restores.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to restore. Bars show the distance from the mean of each feature of X,
            in its standard deviations.
        X_noisy : {array-like, sparse matrix} of shape (n_samples, n_features) or None
            Noisy rows to restore in place of X. They are drawn, too.
        n : int or None, default=None
            Number of rows to draw; None is 10 images, or 3 rows as bars.
        image_shape : tuple of int or None, default=None
            Height and width of a row, or height, width and channels; colours are
            numbers in [0, 1]. None takes that of the estimator, and bars if it has
            none.
        n_features : int, default=20
            Number of features to draw as bars, those restored worst.
        ax : matplotlib Axes, array of them or None, default=None
            Axes to draw on, one for images or one for each row as bars; None makes a
            new figure.
        **kwargs
            Arguments of ``Axes.imshow`` or ``Axes.barh``.

        Returns
        -------
        ReconstructionDisplay

        Raises
        ------
        TypeError
            If the estimator is no autoencoder.
        ValueError
            If rows are no images of that shape, or X is not valid.
        """
        _drawing.pyplot()
        fitted = Fitted.codec(estimator, cls)
        codec = fitted.last
        shape = _drawing.image_shape_of(image_shape, codec.n_features_in_, codec)
        if n is not None:
            check_count("n", "from_estimator", n, 1)
        check_count("n_features", "from_estimator", n_features, 1)
        rows = fitted.rows(X)
        given = rows if X_noisy is None else fitted.rows(X_noisy)
        if given.shape[0] != rows.shape[0]:
            raise ValueError(
                "X_noisy needs a row for each row of X. Got "
                f"{given.shape[0]} and {rows.shape[0]} rows."
            )
        center, second_moment = moments(rows)
        n = min(n or (3 if shape is None else 10), rows.shape[0])
        versions = {"original": _dense(rows[:n])}
        if X_noisy is not None:
            versions["noisy"] = _dense(given[:n])
        versions["restored"] = codec._restored(given[:n])
        spread = np.sqrt(second_moment)
        display = cls(
            versions=versions,
            image_shape=shape,
            feature_names=fitted.names(),
            center=np.zeros(len(spread)) if center is None else center,
            scale=np.where(spread > 0.0, spread, 1.0),
        )
        named = {} if shape is not None else {"n_features": n_features}
        return display.plot(ax=ax, **named, **kwargs)

    def plot(self, ax: Where = None, *, n_features: int = 20, **kwargs: Any) -> Self:
        """Draw the versions of images below each other, or of bars side by side.

        Parameters
        ----------
        ax : matplotlib Axes, array of them or None, default=None
            Axes to draw on, one for images or one for each row as bars; None makes a
            new figure.
        n_features : int, default=20
            Number of features to draw as bars, those in which the last version is
            farthest from the first.
        **kwargs
            Arguments of ``Axes.imshow`` or ``Axes.barh``.

        Returns
        -------
        ReconstructionDisplay
        """
        check_count("n_features", "plot", n_features, 1)
        if self.image_shape is not None:
            self._draw_images(ax, self.image_shape, kwargs)
        else:
            self._draw_bars(ax, n_features, kwargs)
        self.figure_ = self.axes_[0].figure
        return self

    def _draw_images(
        self, ax: Where, image_shape: tuple[int, ...], kwargs: dict[str, Any]
    ) -> None:
        rows = np.stack(list(self.versions.values()))
        n_down, n_across = rows.shape[:2]
        height, width, *_ = image_shape
        wide = min(12.0, 1.0 + 0.8 * n_across)
        tall = (wide - 1.0) * (height * n_down) / (width * n_across) + 0.2
        self.axes_ = _drawing.axes_for(ax, figsize=(wide, max(tall, 0.8)))
        (panel,) = self.axes_
        first = rows[0]
        style = {"cmap": "gray", "vmin": np.nanmin(first), "vmax": np.nanmax(first)}
        self.image_ = panel.imshow(
            _drawing.tiled(rows, image_shape),
            **_drawing.styled(style, kwargs),
        )
        panel.set_xticks([])
        panel.set_yticks(_drawing.middles(n_down, height), list(self.versions))
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)

    def _draw_bars(self, ax: Where, n_features: int, kwargs: dict[str, Any]) -> None:
        scaled = self.center is not None or self.scale is not None
        center = 0.0 if self.center is None else self.center
        scale = 1.0 if self.scale is None else self.scale
        bars = {name: (rows - center) / scale for name, rows in self.versions.items()}
        first, *_, last = bars.values()
        lost = np.nan_to_num(np.square(last - first)).mean(axis=0)
        n = min(int(n_features), len(lost))
        features = np.sort(np.argsort(-lost, kind="stable")[:n])
        names = _drawing.names_of(self.feature_names, len(lost))
        size = (2.6 + 2.2 * len(first), 1.0 + 0.28 * n)
        self.axes_ = _drawing.axes_for(ax, len(first), figsize=size)
        drawn = np.stack(list(bars.values()))[:, :, features]
        low, high = min(np.nanmin(drawn), 0.0), max(np.nanmax(drawn), 0.0)
        places, thick = np.arange(n), 0.8 / len(bars)
        colors = [GREY, *COLORS]
        self.bars_: list[dict[str, Any]] = []
        for i, panel in enumerate(self.axes_):
            of_row = {}
            for j, (name, rows) in enumerate(bars.items()):
                shift = (j + 0.5) * thick - 0.4
                style = {"color": colors[j % len(colors)], "label": name}
                of_row[name] = panel.barh(
                    places + shift,
                    rows[i, features],
                    thick,
                    **_drawing.styled(style, kwargs),
                )
            self.bars_.append(of_row)
            panel.axvline(0.0, color="black", linewidth=0.8)
            first_panel = ax is not None or i == 0
            panel.set_yticks(
                places, [names[f] for f in features] if first_panel else []
            )
            panel.set_ylim(n - 0.5, -0.5)
            panel.set_title(f"row {i}")
            panel.set_xlabel("standard deviations" if scaled else "value")
            panel.spines[["top", "right"]].set_visible(False)
            panel.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
        self.legend_ = _drawing.outside_legend(
            self.axes_[-1], list(self.bars_[-1].values())
        )


def _dense(rows: Any) -> NDArray[Any]:
    return rows.toarray() if is_sparse(rows) else np.array(rows)
