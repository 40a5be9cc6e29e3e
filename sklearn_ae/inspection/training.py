"""The course of a training: each term of the objective by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sklearn_ae.inspection import _drawing
from sklearn_ae.inspection._drawing import COLORS, Fitted, Where
from sklearn_ae.params.domains import did_you_mean

__all__ = ["TrainingDisplay"]

Histories = Mapping[str, Mapping[str, NDArray[Any]]]


class TrainingDisplay:
    """Terms of the objective by epoch, on training and on held-out rows.

    Make it by `from_estimator`; `plot` draws it again. Each training has a panel. An
    autoencoder has one; a stack has one for each layer, and one for fine-tuning if
    there was any; a detector has one for each of its networks.

    Parameters
    ----------
    histories : dict of dict of ndarray of shape (n_epochs,)
        Entries of `history_`, such as "train_loss", for each training by its name.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_trainings,)
    figure_ : matplotlib.figure.Figure
    lines_ : dict of dict of matplotlib.lines.Line2D
        Lines by the keys of `histories`.
    legend_ : matplotlib.legend.Legend

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import SparseAutoencoder, TrainingDisplay
    >>> X = load_digits().data
    >>> model = SparseAutoencoder(30, max_iter=5, random_state=0).fit(X)
    >>> display = TrainingDisplay.from_estimator(model)
    >>> [line.get_label() for line in display.axes_[0].lines]
    ['loss', 'reconstruction', 'sparsity', 'weight decay']
    """

    def __init__(self, *, histories: Histories) -> None:
        self.histories = histories

    @classmethod
    def from_estimator(
        cls,
        estimator: object,
        *,
        terms: Sequence[str] | None = None,
        ax: Where = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the `history_` of an estimator and of its layers.

        Parameters
        ----------
        estimator : fitted autoencoder, stack or detector, or Pipeline that ends in one
            Estimator that keeps its history.
        terms : sequence of str or None, default=None
            Terms to draw, such as "loss" and "reconstruction". None draws all; if the
            loss has a single term, it draws the loss alone.
        ax : matplotlib Axes, array of them or None, default=None
            Axes to draw on, one for each panel; None makes a new figure.
        **kwargs
            Arguments of ``Axes.plot``.

        Returns
        -------
        TrainingDisplay

        Raises
        ------
        TypeError
            If the estimator keeps no history.
        ValueError
            If no epoch was trained, or a term does not exist.
        """
        _drawing.pyplot()
        last = Fitted.of(estimator).last
        histories = _histories(last)
        if not histories:
            raise TypeError(
                f"{cls.__name__} draws an estimator of this package that keeps "
                "'history_', or a Pipeline that ends in one. Got "
                f"{type(last).__name__}."
            )
        trained = {n: h for n, h in histories.items() if any(map(len, h.values()))}
        return cls(histories=trained).plot(ax=ax, terms=terms, **kwargs)

    def plot(
        self, ax: Where = None, *, terms: Sequence[str] | None = None, **kwargs: Any
    ) -> Self:
        """Draw a line for each term; the lines of held-out rows are dashed.

        Parameters
        ----------
        ax : matplotlib Axes, array of them or None, default=None
            Axes to draw on, one for each panel; None makes a new figure.
        terms : sequence of str or None, default=None
            Terms to draw, as in `from_estimator`.
        **kwargs
            Arguments of ``Axes.plot``.

        Returns
        -------
        TrainingDisplay
        """
        if not self.histories:
            raise ValueError("There is nothing to draw: no epoch was trained.")
        chosen = {
            name: _chosen(history, terms) for name, history in self.histories.items()
        }
        known = sorted({term for h in self.histories.values() for term in _terms(h)})
        for term in terms or ():
            if term not in known:
                raise ValueError(
                    f"There is no term {term!r}. The terms are {known}."
                    + did_you_mean(term, known)
                )
        n = len(self.histories)
        axes = _drawing.axes_for(ax, n, figsize=(1.2 + 4.4 * min(n, 3), 3.4))
        # a term has one colour in all panels
        drawn = dict.fromkeys(term for part in chosen.values() for term in part)
        colors = {
            term: COLORS[i % len(COLORS)]
            for i, term in enumerate(term for term in drawn if term != "loss")
        }
        colors["loss"] = "black"
        self.lines_: dict[str, dict[str, Any]] = {}
        for panel, (name, history) in zip(axes, self.histories.items(), strict=True):
            lines = self.lines_[name] = {}
            for key, curve in history.items():
                part, _, term = key.partition("_")
                if term not in chosen[name]:
                    continue
                style = {
                    "color": colors[term],
                    "linestyle": "--" if part == "valid" else "-",
                    "label": term.replace("_", " ") + ", held out" * (part == "valid"),
                    # a line through few epochs shows little without points
                    "marker": "." if len(curve) < 10 else None,
                }
                epochs = np.arange(1, len(curve) + 1)
                (lines[key],) = panel.plot(
                    epochs, curve, **_drawing.styled(style, kwargs)
                )
            panel.set_xlabel("epoch")
            panel.xaxis.get_major_locator().set_params(integer=True)
            panel.set_ylabel("nats per row")
            if n > 1:
                panel.set_title(name)
            panel.spines[["top", "right"]].set_visible(False)
        shown = {
            line.get_label(): line
            for lines in self.lines_.values()
            for line in lines.values()
        }
        self.legend_ = _drawing.outside_legend(axes[-1], list(shown.values()))
        self.axes_, self.figure_ = axes, axes[0].figure
        return self


def _histories(estimator: Any) -> dict[str, Any]:
    """Return the history of each training of an estimator, by its name."""
    if hasattr(estimator, "history_"):
        stack = getattr(estimator, "pretrainer_", estimator)
        layers = getattr(stack, "named_estimators_", {})
        histories = {name: layer.history_ for name, layer in layers.items()}
        last = "fine-tuning" if layers else type(estimator).__name__
        return {**histories, last: estimator.history_}
    histories = {}
    for number, network in enumerate(getattr(estimator, "estimators_", ()), start=1):
        for name, history in _histories(network).items():
            histories[f"{name} {number}"] = history
    return histories


def _terms(history: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(key.partition("_")[2] for key in history))


def _chosen(history: Mapping[str, Any], terms: Sequence[str] | None) -> list[str]:
    """Return the terms of a history to draw."""
    there = _terms(history)
    if terms is not None:
        return [term for term in there if term in terms]
    # the score is on another scale, and the loss of a single term is that term
    parts = [term for term in there if term not in ("loss", "score")]
    return ["loss", *(parts if len(parts) > 1 else [])]
