"""The base of penalties and corruptions, which hands parameters to the formula."""

from __future__ import annotations

from numbers import Real
from typing import Any

from sklearn_ae.params.fields import Params

__all__ = ["Part"]


class Part(Params):
    """A part of an objective whose formula takes the parameters by name."""

    def hyperparameters(self) -> dict[str, float]:
        """Return the parameters that are numbers. The formula gets them as tensors."""
        found = self.get_params(deep=False)
        return {name: float(it) for name, it in found.items() if _is_number(it)}

    def settings(self) -> dict[str, Any]:
        """Return all others, such as a str, a tuple or None. They stay as they are."""
        found = self.get_params(deep=False)
        return {name: it for name, it in found.items() if not _is_number(it)}


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
