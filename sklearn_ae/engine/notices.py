"""Warnings that point at the user's code, past the libraries that called this one."""

from __future__ import annotations

import os
import sys
import warnings

import sklearn

__all__ = ["diverged", "warn_user"]

_LIBRARIES = tuple(
    os.path.join(os.path.dirname(file), "")
    for file in (os.path.dirname(__file__), sklearn.__file__)
)


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Give a warning at the user's line."""
    warnings.warn(message, category, stacklevel=_level_of_user())


def _level_of_user() -> int:
    """Return the `stacklevel` of that line for the caller."""
    frame, level = sys._getframe(1), 1
    while frame.f_code.co_filename.startswith(_LIBRARIES):
        if frame.f_back is None:
            return 1
        frame, level = frame.f_back, level + 1
    return level


def diverged(rate: float | str | None = None) -> ValueError:
    """Return the error for weights whose codes or reconstructions are not finite."""
    number = f"{rate:g}" if isinstance(rate, float) else rate
    return ValueError(
        "The last step made codes or reconstructions non-finite: training diverged. "
        "Lower the learning rate (learning_rate_init"
        + (")." if number is None else f"={number}).")
    )
