"""Errors of rows: their sizes, and the features that they come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from sklearn_ae.engine.inputs import is_sparse, row_chunks
from sklearn_ae.engine.transforms import Transforms
from sklearn_ae.engine.validation import check_count
from sklearn_ae.inspection import _drawing
from sklearn_ae.inspection._drawing import COLORS, Classes, Fitted, Where

__all__ = ["ErrorDisplay"]

#: A linear scale reaches at most so many interquartile ranges beyond the quartiles.
FAR = 10.0


Map = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class ErrorDisplay:
    """Histogram of the errors of rows, or bars of the features they come from.

    Make it by `from_estimator`; `plot` draws it again, of either kind.

    Parameters
    ----------
    errors : ndarray of shape (n_samples,)
        Error of each row: minus its score.
    y : array-like of shape (n_samples,) or None, default=None
        Class of each row; −1 and 1 are outliers and normal rows.
    threshold : float or None, default=None
        Error above which a row is an outlier.
    shares : ndarray of shape (n_classes, n_features) or None, default=None
        Share of each feature in the reconstruction error, the mean over the rows of
        each class, or over all rows without `y`. The shares of a class add up to its
        mean error.
    feature_names : sequence of str or None, default=None
        Names of the features.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure
    bars_ : list of matplotlib.container.BarContainer
        Bars of each class.
    threshold_ : matplotlib.lines.Line2D or None
        Only in a histogram.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_ae import Autoencoder, ErrorDisplay
    >>> X = load_wine(as_frame=True).data
    >>> model = Autoencoder(3, max_iter=5, random_state=0).fit(X)
    >>> display = ErrorDisplay.from_estimator(model, X)
    >>> display.errors.shape, display.shares.shape
    ((178,), (1, 13))
    """

    def __init__(
        self,
        *,
        errors: NDArray[Any],
        y: ArrayLike | None = None,
        threshold: float | None = None,
        shares: NDArray[Any] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.errors, self.y, self.threshold = errors, y, threshold
        self.shares, self.feature_names = shares, feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: object,
        X: Any,
        y: ArrayLike | None = None,
        *,
        kind: str = "histogram",
        scale: str = "auto",
        n_features: int = 20,
        ax: Where = None,
        **kwargs: Any,
    ) -> Self:
        """Score the rows of X and draw their errors.

        Parameters
        ----------
        estimator : fitted autoencoder or detector, or Pipeline that ends in one
            Estimator that scores rows. The error of a row is minus its
            `score_samples`, and the threshold is minus `offset_`, if there is one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to score.
        y : array-like of shape (n_samples,) or None, default=None
            Class of each row, to draw each class in its colour; −1 and 1 are outliers
            and normal rows.
        kind : {"histogram", "features"}, default="histogram"
            Kind of picture. "features" draws the mean share of each feature in the
            reconstruction error of a row, by `explain` if the estimator has it.
        scale : {"auto", "linear", "log", "asinh"}, default="auto"
            Scale of the errors in a histogram, on which all bins have the same width.
            "asinh" is a logarithm on both sides of zero. "auto" is "linear" unless some
            errors are farther than 10 interquartile ranges beyond the quartiles. Then
            it is "log", or "asinh" if not all errors are above 0.
        n_features : int, default=20
            Number of features to draw, those with the largest shares.
        ax : matplotlib Axes or None, default=None
            Axes to draw on; None makes a new figure.
        **kwargs
            Arguments of ``Axes.bar`` or ``Axes.barh``.

        Returns
        -------
        ErrorDisplay

        Raises
        ------
        TypeError
            If the estimator does not score rows.
        ValueError
            If X or y is not valid, or kind="features" is not supported with the
            estimator.
        """
        _drawing.pyplot()
        fitted = Fitted.of(estimator)
        last = fitted.last
        if not hasattr(last, "score_samples"):
            raise TypeError(
                f"{cls.__name__} draws an estimator with 'score_samples', or a "
                f"Pipeline that ends in one. Got {type(last).__name__}."
            )
        _drawing.one_of("kind", kind, "histogram", "features")
        _drawing.one_of("scale", scale, "auto", "linear", "log", "asinh")
        check_count("n_features", "from_estimator", n_features, 1)
        rows = fitted.seen(X)
        rows = rows.tocsr() if is_sparse(rows) else rows
        classes = None if y is None else Classes.of(y, rows)
        errors = -np.asarray(last.score_samples(rows), dtype=np.float64)
        offset = getattr(last, "offset_", None)
        display = cls(
            errors=errors,
            y=None if y is None else np.asarray(y),
            threshold=None if offset is None else -float(np.ravel(offset)[0]),
            shares=_shares(last, rows, classes),
            feature_names=fitted.names(),
        )
        return display.plot(
            ax=ax, kind=kind, scale=scale, n_features=n_features, **kwargs
        )

    def plot(
        self,
        ax: Where = None,
        *,
        kind: str = "histogram",
        scale: str = "auto",
        n_features: int = 20,
        **kwargs: Any,
    ) -> Self:
        """Draw a histogram or bars of features.

        The bars of each class in a histogram sum to 1.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on; None makes a new figure.
        kind : {"histogram", "features"}, default="histogram"
            Kind of picture, as in `from_estimator`.
        scale : {"auto", "linear", "log", "asinh"}, default="auto"
            Scale of the errors in a histogram, as in `from_estimator`.
        n_features : int, default=20
            Number of features to draw, those with the largest shares.
        **kwargs
            Arguments of ``Axes.bar`` or ``Axes.barh``.

        Returns
        -------
        ErrorDisplay
        """
        _drawing.one_of("kind", kind, "histogram", "features")
        _drawing.one_of("scale", scale, "auto", "linear", "log", "asinh")
        check_count("n_features", "plot", n_features, 1)
        classes = None if self.y is None else Classes.of(self.y, self.errors)
        names = ["_"] if classes is None else classes.names
        colors = COLORS[:1] if classes is None else classes.colors()
        if kind == "histogram":
            values = (
                np.zeros(len(self.errors), int) if classes is None else classes.values
            )
            self._draw_histogram(ax, scale, names, values, colors, kwargs)
        else:
            self._draw_features(ax, n_features, names, colors, kwargs)
        if self.ax_.get_legend_handles_labels()[0]:
            place = "best" if kind == "histogram" else "lower right"  # short bars
            self.ax_.legend(frameon=False, loc=place)
        self.ax_.spines[["top", "right"]].set_visible(False)
        self.figure_ = self.ax_.figure
        return self

    def _draw_histogram(
        self,
        ax: Where,
        scale: str,
        names: list[str],
        values: NDArray[np.intp],
        colors: Sequence[Any],
        kwargs: dict[str, Any],
    ) -> None:
        known = ~np.isnan(self.errors)  # a row of nothing but NaN has no error
        if not known.any():
            raise ValueError("A histogram needs errors, but all rows have only NaN.")
        errors, values = self.errors[known], values[known]
        if scale == "log" and not (errors > 0.0).all():
            raise ValueError(
                "scale='log' needs errors above 0. The lowest is "
                f"{errors.min(initial=np.inf):g}. Use scale='asinh'."
            )
        there = errors if self.threshold is None else np.append(errors, self.threshold)
        low, median, high = np.quantile(there, [0.25, 0.5, 0.75])
        far = FAR * (high - low)
        if scale == "auto" and low - far <= there.min() and there.max() <= high + far:
            scale = "linear"
        if scale == "auto":
            scale = "log" if (there > 0.0).all() else "asinh"
        # asinh turns from straight to logarithmic here; far errors are above
        width = float(max(median - low, abs(median))) or 1.0
        scales: dict[str, tuple[Map, Map]] = {
            "linear": (np.asarray, np.asarray),
            "log": (np.log, np.exp),
            "asinh": (lambda e: np.arcsinh(e / width), lambda a: width * np.sinh(a)),
        }
        to_axis, back = scales[scale]
        there = to_axis(there[there > 0.0] if scale == "log" else there)
        # twice as many bins as by Rice's rule, which knows the number of rows alone
        edges = back(
            np.histogram_bin_edges(there, math.ceil(4 * len(there) ** (1 / 3)))
        )
        # rounding on the way there and back may have put the outermost rows outside
        edges[0] = min(edges[0], errors.min())
        edges[-1] = max(edges[-1], errors.max())
        (self.ax_,) = _drawing.axes_for(ax, figsize=(6.0, 3.6))
        self.bars_ = []
        for i, name in enumerate(names):
            of_class = errors[values == i]
            counts, _ = np.histogram(of_class, edges)
            style = {"color": colors[i], "alpha": 0.6, "align": "edge", "label": name}
            heights = counts / max(len(of_class), 1)
            style = _drawing.styled(style, kwargs)
            self.bars_.append(
                self.ax_.bar(edges[:-1], heights, np.diff(edges), **style)
            )
        self.threshold_ = None
        if self.threshold is not None:
            self.threshold_ = self.ax_.axvline(
                self.threshold, color="black", linestyle="--", label="threshold"
            )
        if scale == "asinh":
            self.ax_.set_xscale("asinh", linear_width=width)
            first, last = (math.log10(size) for size in (width, np.abs(edges).max()))
            decades = 10.0 ** np.arange(math.ceil(first), math.floor(last) + 1)
            ticks = np.concatenate([-decades[::-1], [0.0], decades])
            ticks = ticks[(edges[0] <= ticks) & (ticks <= edges[-1])]
            self.ax_.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            self.ax_.minorticks_off()
        else:
            self.ax_.set_xscale(scale)
        self.ax_.set_xlim(edges[[0, -1]])
        self.ax_.set_xlabel("error of a row (−score)")
        self.ax_.set_ylabel("share of rows" + " of a class" * (len(names) > 1))

    def _draw_features(
        self,
        ax: Where,
        n_features: int,
        names: list[str],
        colors: Sequence[Any],
        kwargs: dict[str, Any],
    ) -> None:
        if self.shares is None:
            raise ValueError(
                "kind='features' is not supported with this estimator. It needs an "
                "autoencoder, or a detector with an 'explain' method."
            )
        n = min(int(n_features), self.shares.shape[1])
        first = np.argsort(-self.shares.max(axis=0), kind="stable")[:n]
        labels = _drawing.names_of(self.feature_names, self.shares.shape[1])
        (self.ax_,) = _drawing.axes_for(ax, figsize=(6.0, 1.0 + 0.28 * n))
        places, thick = np.arange(n), 0.8 / len(names)
        self.bars_ = []
        for i, name in enumerate(names):
            style = {"color": colors[i], "label": name}
            shift = (i + 0.5) * thick - 0.4
            style = _drawing.styled(style, kwargs)
            self.bars_.append(
                self.ax_.barh(places + shift, self.shares[i, first], thick, **style)
            )
        self.ax_.set_yticks(places, [labels[f] for f in first])
        self.ax_.set_ylim(n - 0.5, -0.5)
        self.ax_.set_xlabel("share of a row's error, in the mean")


def _shares(last: Any, rows: Any, classes: Classes | None) -> NDArray[Any] | None:
    """Return the mean share of each feature, of shape (n_classes, n_features)."""
    if hasattr(last, "explain"):
        explain: Callable[[Any], Any] = last.explain
    elif isinstance(last, Transforms):
        explain = last._error_shares
    else:
        return None
    n_rows = _num_samples(rows)
    values = np.zeros(n_rows, dtype=int) if classes is None else classes.values
    n_classes = 1 if classes is None else len(classes.names)
    total = np.zeros((n_classes, last.n_features_in_))
    # a chunk at a time, because sparse rows have dense errors
    for start, stop in row_chunks(n_rows, last.n_features_in_):
        shares = explain(_safe_indexing(rows, np.arange(start, stop)))
        shares = np.nan_to_num(np.asarray(shares, dtype=np.float64))
        np.add.at(total, values[start:stop], shares)
    return total / np.bincount(values, minlength=n_classes)[:, None]
