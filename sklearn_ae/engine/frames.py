"""Rows as frames, where `set_output` or scikit-learn's configuration asks for them.

scikit-learn frames what `transform` returns, with the names of the code. What has a
column for each feature of X is framed here, with the names of these features.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._set_output import ADAPTERS_MANAGER, _get_output_config
from sklearn.utils.validation import _check_feature_names_in

__all__ = ["FramesRows", "framing", "in_frame"]

#: Whether one of our own methods is at work, which is to get arrays from the others.
_within: ContextVar[bool] = ContextVar("_within", default=False)


class FramesRows:
    """Frames the answers of the methods in ``_of_features``, wherever they are defined.

    The index is that of the first argument, where it is a frame with as many rows.
    """

    #: Methods that return an array with a column for each feature.
    _of_features: ClassVar[tuple[str, ...]] = (
        "impute",
        "interpolate",
        "inverse_transform",
        "reconstruct",
        "reconstruction_error",
        "sample",
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in cls._of_features:
            method = vars(cls).get(name)
            if callable(method):
                setattr(cls, name, framing(method))


def framing(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method with its answer in a frame, where one is asked for."""

    @functools.wraps(method)
    def framed(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _within.get():
            return method(self, *args, **kwargs)
        token = _within.set(True)
        try:
            answer = method(self, *args, **kwargs)
        finally:
            _within.reset(token)
        given = args[0] if args else kwargs.get("X")
        return in_frame(self, answer, given)

    return framed


def in_frame(estimator: Any, answer: Any, given: Any) -> Any:
    """Return a table of features as a frame, where one is asked for."""
    container = _get_output_config("transform", estimator)["dense"]
    if container == "default" or not isinstance(answer, np.ndarray) or answer.ndim != 2:
        return answer
    shape = np.shape(given)
    if len(shape) != 2 or shape[0] != len(answer):  # no rows that these answer to
        given = None
    names = _check_feature_names_in(estimator)
    adapter = ADAPTERS_MANAGER.adapters[container]
    return adapter.create_container(answer, given, columns=names)
