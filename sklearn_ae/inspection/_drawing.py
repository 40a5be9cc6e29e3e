"""Tools that the displays share: axes, fitted estimators, images, classes, colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import assert_all_finite, check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted

from sklearn_ae.engine.generation import Generates
from sklearn_ae.params.domains import Interval, InvalidParameterError, SequenceOf

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend

__all__ = [
    "COLORS",
    "GREY",
    "Classes",
    "Fitted",
    "Where",
    "axes_for",
    "check_components",
    "check_image_shape",
    "image_shape_of",
    "middles",
    "names_of",
    "one_of",
    "outside_legend",
    "pyplot",
    "styled",
    "tiled",
]

#: Ten colours that colour-blind readers can tell apart (Petroff, M. A. Accessible color
#: sequences for data visualization. arXiv:2107.02270, 2021).
COLORS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
GREY = "#717581"

#: The parameter `ax` is Axes, several of them, or None for a new figure.
Where: TypeAlias = "Axes | Sequence[Axes] | NDArray[np.object_] | None"

#: A y of numbers is a scale, not classes, if it has more different values than this.
MOST_CLASSES = 20


def pyplot() -> Any:
    """Import matplotlib.pyplot, which only pictures need, and return it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib. Install it with: pip install 'sklearn_ae[plot]'."
        ) from error
    return plt


def axes_for(ax: Where, n: int = 1, **figure: Any) -> NDArray[np.object_]:
    """Return the Axes of n panels, side by side in a new figure if `ax` is None.

    Parameters
    ----------
    ax : matplotlib Axes, array of them, or None
        Axes to draw on.
    n : int
        Number of panels.
    **figure
        Arguments of ``plt.subplots`` for a new figure.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    TypeError, ValueError
        If `ax` is neither Axes nor None, or has not n of them.
    """
    plt = pyplot()
    if ax is None:
        figure = {"layout": "constrained", **figure}
        made: NDArray[np.object_] = plt.subplots(1, n, squeeze=False, **figure)[1]
        return made.ravel()
    axes: NDArray[np.object_] = np.ravel(np.asarray(ax, dtype=object))
    wrong = [one for one in axes if not hasattr(one, "get_subplotspec")]
    if wrong:
        raise TypeError(
            "The 'ax' parameter must be a matplotlib Axes, an array of them, or None. "
            f"Got {wrong[0]!r} instead."
        )
    if len(axes) != n:
        raise ValueError(
            f"This picture has {n} panel{'s' * (n != 1)} and needs as many Axes in the "
            f"'ax' parameter. Got {len(axes)}."
        )
    return axes


def outside_legend(ax: Axes, handles: Sequence[Artist]) -> Legend:
    """Put a legend to the right of the Axes, or inside where there is no room."""
    figure = ax.get_figure()
    if figure is None or figure.get_layout_engine() is None:
        return ax.legend(handles=handles, loc="upper right")
    return ax.legend(
        handles=handles,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        ncols=1 + (len(handles) - 1) // 20,
    )


#: matplotlib's short names of properties that our style sets by their full names.
_ALIASES = {
    "c": "color",
    "lw": "linewidth",
    "linewidths": "linewidth",
    "ls": "linestyle",
}


def styled(style: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return our style, overridden by `given`; matplotlib's short names count too."""
    theirs = {_ALIASES.get(name, name) for name in given}
    if not isinstance(given.get("norm"), str | None):
        theirs |= {"vmin", "vmax"}  # a norm has its own
    ours = {n: v for n, v in style.items() if _ALIASES.get(n, n) not in theirs}
    return {**ours, **given}


def one_of(name: str, value: object, *options: str) -> None:
    """Raise InvalidParameterError unless `value` is one of the strings `options`."""
    if not isinstance(value, str) or value not in options:
        raise InvalidParameterError(
            f"The {name!r} parameter must be a str among "
            f"{{{', '.join(map(repr, options))}}}. Got {value!r} instead."
        )


# -- estimators -------------------------------------------------------------------


Last = TypeVar("Last")


class Fitted(NamedTuple, Generic[Last]):
    """A fitted estimator, and the steps of a Pipeline that come before it.

    Attributes
    ----------
    last : estimator
        The last step, or the estimator itself.
    head : Pipeline or None
        The steps before it, if there are any.
    """

    last: Last
    head: Any

    @classmethod
    def of(cls, estimator: Any) -> Fitted[Any]:
        """Split a Pipeline into its last step and the others.

        A search stands for its best estimator.

        Raises
        ------
        NotFittedError
        """
        heads = []
        check_is_fitted(estimator)
        while True:  # one may be within the other
            if hasattr(estimator, "best_estimator_"):
                estimator = estimator.best_estimator_
            elif isinstance(estimator, Pipeline):
                heads += [estimator[:-1]] if len(estimator) > 1 else []
                estimator = estimator[-1]
            else:
                break
            check_is_fitted(estimator)
        head = make_pipeline(*heads) if len(heads) > 1 else next(iter(heads), None)
        return Fitted(estimator, head)

    @classmethod
    def codec(cls, estimator: object, display: type) -> Fitted[Generates]:
        """Return the same for an autoencoder. Raise TypeError for anything else."""
        fitted = cls.of(estimator)
        if not isinstance(fitted.last, Generates):
            raise TypeError(
                f"{display.__name__} draws an autoencoder of this package, or a "
                f"Pipeline that ends in one. Got {type(fitted.last).__name__}."
            )
        return fitted

    def seen(self, X: Any) -> Any:
        """Return X as the last step sees it."""
        return X if self.head is None else self.head.transform(X)

    def rows(self, X: Any) -> Any:
        """Return X as the last step sees it, validated: an ndarray or CSR."""
        assert isinstance(self.last, Generates)
        return self.last._validate(self.seen(X), reset=False)

    def names(self) -> list[str] | None:
        """Return the names of the features that the last step sees, if it has any."""
        names = getattr(self.last, "feature_names_in_", None)
        if names is not None or self.head is None:
            return None if names is None else list(names)
        try:
            return list(self.head.get_feature_names_out())
        except (AttributeError, ValueError):  # there is a step that has no names
            return None


def names_of(names: Sequence[str] | None, n_features: int) -> list[str]:
    """Return the names of the features, or their numbers if they have no names."""
    return [str(i) for i in range(n_features)] if names is None else list(names)


def check_components(components: Sequence[int], n_codes: int) -> tuple[int, int]:
    """Return the numbers of two components. Raise ValueError unless they exist."""
    if n_codes < 2:
        raise ValueError(
            "A plane needs a code of two components or more. This code has 1. Fit an "
            "autoencoder with n_components=2."
        )
    pair = SequenceOf(Interval(int, 0, n_codes), "", 2, 2)
    if not pair.allows(components) or components[0] == components[1]:
        raise ValueError(
            "The 'components' parameter must be two different ints, from 0 to "
            f"{n_codes - 1}. Got {components!r}."
        )
    return int(components[0]), int(components[1])


# -- images -----------------------------------------------------------------------


def image_shape_of(
    given: Sequence[int] | None, n_features: int, estimator: object = None
) -> tuple[int, ...] | None:
    """Return height and width of a row, and its channels if it has several.

    Parameters
    ----------
    given : sequence of int or None
        Shape that the user gave. None takes that of the estimator, or of a stack's
        first layer.
    n_features : int
        Number of features of a row.
    estimator : autoencoder or None
        Estimator whose `image_shape` is the default.

    Returns
    -------
    tuple of int or None
        None if neither the user nor the estimator says that rows are images.

    Raises
    ------
    ValueError
        If rows of `n_features` are no images of that shape, or cannot be drawn.
    """
    if given is None and estimator is not None:
        first = getattr(estimator, "estimators_", [estimator])[0]
        given = getattr(first, "image_shape", None)
    return None if given is None else check_image_shape(given, n_features)


def check_image_shape(given: Sequence[int], n_features: int) -> tuple[int, ...]:
    """Return the same for a given shape. Raise ValueError unless it fits the rows."""
    sizes = SequenceOf(Interval(int, 1, None), "", 2, 3)
    if not sizes.allows(given) or math.prod(given) != n_features:
        raise ValueError(
            f"Rows of {n_features} features are no images of shape {given}. Pass "
            f"image_shape=(height, width) with height × width = {n_features}."
        )
    if len(given) == 3 and given[2] not in (1, 3, 4):
        raise ValueError(
            f"Images with {given[2]} channels cannot be drawn: image_shape={given}. An "
            "image has 1, 3 (red, green, blue) or 4 channels."
        )
    return tuple(given[:2] if tuple(given[2:]) == (1,) else given)


def tiled(
    rows: NDArray[Any], image_shape: Sequence[int], fill: float = math.nan
) -> NDArray[Any]:
    """Return one picture of images in rows, with a line of one pixel between them.

    Parameters
    ----------
    rows : ndarray of shape (n_down, n_across, n_features)
        Images, flat. Colours are clipped to [0, 1].
    image_shape : (int, int) or (int, int, int)
        Height and width of an image, and its channels if it has several.
    fill : float
        Value of the line. NaN leaves it empty, or white between colour images.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, channels)
    """
    height, width, *channels = image_shape
    if channels:
        rows = np.nan_to_num(rows, nan=1.0).clip(0.0, 1.0)
        fill = 1.0 if math.isnan(fill) else min(max(fill, 0.0), 1.0)
    tiles = rows.reshape(*rows.shape[:2], height, width, *channels)
    frame = [(0, 0), (0, 0), (0, 1), (0, 1), *[(0, 0)] * len(channels)]
    tiles = np.pad(tiles, frame, constant_values=fill)
    picture = np.concatenate(np.concatenate(tiles, axis=1), axis=1)
    return picture[:-1, :-1]


def middles(n: int, size: int) -> NDArray[Any]:
    """Return the positions of the middles of n tiles along an axis of `tiled`."""
    return (np.arange(n) + 0.5) * (size + 1) - 1


# -- classes ----------------------------------------------------------------------


class Classes(NamedTuple):
    """The class of each row, or its number on a scale, as y has it.

    Attributes
    ----------
    names : list of str
        Names of the classes; empty where y is a scale.
    values : ndarray of shape (n_samples,)
        Number of each row's class, or its place on the scale.
    """

    names: list[str]
    values: NDArray[Any]

    @classmethod
    def of(cls, y: ArrayLike, X: Any, may_be_scale: bool = False) -> Classes:
        """Read y, one label or number for each row of X.

        Numbers are a scale where they are not whole, or have more than 20 values.

        Raises
        ------
        ValueError
            If y has not as many entries as X has rows, or has NaN.
        """
        labels: NDArray[Any] = column_or_1d(y)
        check_consistent_length(X, labels)
        numeric = labels.dtype.kind in "fiub"
        if numeric:
            assert_all_finite(labels, input_name="y")
        else:
            labels = labels.astype(str)
        kinds, values = np.unique(labels, return_inverse=True)
        whole = numeric and bool((kinds == np.floor(kinds)).all())
        if may_be_scale and numeric and not (whole and len(kinds) <= MOST_CLASSES):
            return cls([], labels)
        if numeric and set(kinds.tolist()) == {-1, 1}:
            return cls(["normal (1)", "outliers (−1)"], 1 - values)
        if numeric and labels.dtype.kind != "b":
            return cls([f"{kind:g}" for kind in kinds], values)
        return cls([str(kind) for kind in kinds], values)

    def colors(self) -> list[Any]:
        """Return a colour for each class."""
        n = len(self.names)
        if n <= len(COLORS):
            return list(COLORS[:n])
        return list(pyplot().get_cmap("turbo")(np.linspace(0.05, 0.95, n)))
