"""Codes of rows on a plane, next to PCA's."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA, TruncatedSVD

from sklearn_ae.engine.inputs import has_missing, is_sparse, some_rows
from sklearn_ae.engine.validation import check_count
from sklearn_ae.inspection import _drawing
from sklearn_ae.inspection._drawing import GREY, Classes, Fitted, Where
from sklearn_ae.params.domains import Bool, InvalidParameterError

__all__ = ["CodeDisplay"]


class CodeDisplay:
    """Two components of the codes of rows, coloured by y, next to PCA's.

    Make it by `from_estimator`; `plot` draws it again.

    Parameters
    ----------
    codes : dict of ndarray of shape (n, 2)
        Positions of the same n rows on one or more planes, by the name of the method.
    y : array-like of shape (n,) or None, default=None
        Classes, or numbers on a scale. Numbers are a scale if some are not whole, or
        if they have more than 20 different values.
    components : (int, int), default=(0, 1)
        Numbers of the components that the first plane shows.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes
        One for each plane.
    figure_ : matplotlib.figure.Figure
    scatter_ : list of matplotlib.collections.PathCollection
        One for each plane, in the order of the rows.
    legend_ : matplotlib.legend.Legend
        Only if y has classes.
    colorbar_ : matplotlib.colorbar.Colorbar
        Only if y is a scale.

    See Also
    --------
    ManifoldDisplay : Rows that the codes on such a plane decode to.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import Autoencoder, CodeDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> model = Autoencoder(2, max_iter=5, random_state=0).fit(X)
    >>> display = CodeDisplay.from_estimator(model, X, y, pca=True)
    >>> {name: plane.shape for name, plane in display.codes.items()}
    {'Autoencoder': (1797, 2), 'PCA': (1797, 2)}
    """

    def __init__(
        self,
        *,
        codes: dict[str, NDArray[Any]],
        y: ArrayLike | None = None,
        components: tuple[int, int] = (0, 1),
    ) -> None:
        self.codes, self.y, self.components = codes, y, components

    @classmethod
    def from_estimator(
        cls,
        estimator: object,
        X: Any,
        y: ArrayLike | None = None,
        *,
        components: tuple[int, int] = (0, 1),
        pca: bool = False,
        subsample: int | None = 5000,
        ax: Where = None,
        **kwargs: Any,
    ) -> Self:
        """Encode rows and draw their codes on a plane.

        Parameters
        ----------
        estimator : fitted autoencoder, or Pipeline that ends in one
            Estimator whose codes have two components or more.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to encode.
        y : array-like of shape (n_samples,) or None, default=None
            Classes, or numbers on a scale, to colour rows by.
        components : (int, int), default=(0, 1)
            Components along the horizontal and the vertical axis.
        pca : bool, default=False
            Whether to draw a second plane: PCA's first two components, or
            TruncatedSVD's for sparse X. PCA is fitted to the rows that are drawn, even
            if the autoencoder was fitted to others.
        subsample : int or None, default=5000
            Largest number of rows to draw. The rows are chosen at random, the same in
            each call; None draws all.
        ax : matplotlib Axes, array of them or None, default=None
            Axes to draw on, two with `pca`; None makes a new figure.
        **kwargs
            Arguments of ``Axes.scatter``.

        Returns
        -------
        CodeDisplay

        Raises
        ------
        TypeError
            If the estimator is no autoencoder.
        ValueError
            If the code has no such components, or X or y is not valid.
        """
        _drawing.pyplot()
        fitted = Fitted.codec(estimator, cls)
        codec = fitted.last
        pair = _drawing.check_components(components, codec.n_components_)
        if subsample is not None:
            check_count("subsample", "from_estimator", subsample, 1)
        if not Bool().allows(pca):
            raise InvalidParameterError(
                f"The 'pca' parameter must be {Bool()}. Got {pca!r} instead."
            )
        rows = fitted.rows(X)
        if y is not None:
            Classes.of(y, rows)
            y = np.asarray(y)
        chosen = some_rows(rows.shape[0], 0, subsample or rows.shape[0])
        rows, y = rows[chosen], None if y is None else y[chosen]
        if pca and (min(rows.shape) < 2 or has_missing(rows)):
            raise ValueError(
                "pca=True needs two rows or more and two features or more, without "
                "missing values. Use pca=False for other rows."
            )
        planes = {type(codec).__name__: codec._encoded(rows)[:, list(pair)]}
        if pca:
            kind = TruncatedSVD if is_sparse(rows) else PCA
            linear = kind(2, random_state=0).set_output(transform="default")
            planes[kind.__name__] = linear.fit_transform(rows)
        display = cls(codes=planes, y=y, components=pair)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Where = None, **kwargs: Any) -> Self:
        """Draw a point for each row, on each plane.

        Parameters
        ----------
        ax : matplotlib Axes, array of them or None, default=None
            Axes to draw on, one for each plane; None makes a new figure.
        **kwargs
            Arguments of ``Axes.scatter``.

        Returns
        -------
        CodeDisplay
        """
        n = len(self.codes)
        classes = None
        # colours that the user gave take the place of those of classes
        if self.y is not None and not {"c", "color"} & kwargs.keys():
            rows = next(iter(self.codes.values()))
            classes = Classes.of(self.y, rows, may_be_scale=True)
        axes = _drawing.axes_for(ax, n, figsize=(5.0 * n + 0.8, 4.8))
        style: dict[str, Any] = {"s": 9, "linewidths": 0}
        if classes is None:
            style["color"] = GREY
        elif classes.names:
            colors = classes.colors()
            style["c"] = [colors[k] for k in classes.values]
        else:
            style |= {"c": classes.values, "cmap": "viridis"}
        self.scatter_ = []
        for i, (panel, (name, codes)) in enumerate(
            zip(axes, self.codes.items(), strict=True)
        ):
            points = panel.scatter(
                codes[:, 0], codes[:, 1], **_drawing.styled(style, kwargs)
            )
            self.scatter_.append(points)
            first, second = self.components if i == 0 else (0, 1)
            panel.set(xlabel=f"component {first}", ylabel=f"component {second}")
            panel.set_title(name)
            # equal distances look equal in all directions
            panel.set_aspect("equal", adjustable="datalim")
            panel.spines[["top", "right"]].set_visible(False)
        self.axes_, self.figure_ = axes, axes[0].figure
        self._explain(classes)
        return self

    def _explain(self, classes: Classes | None) -> None:
        """Explain the colours to the right of the last panel."""
        last = self.axes_[-1]
        if classes is None:
            return
        if not classes.names:
            self.colorbar_ = self.figure_.colorbar(self.scatter_[-1], ax=last)
            return
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], linestyle="", marker="o", color=color, label=name)
            for name, color in zip(classes.names, classes.colors(), strict=True)
        ]
        self.legend_ = _drawing.outside_legend(last, handles)
