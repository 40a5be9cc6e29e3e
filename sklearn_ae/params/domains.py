"""Domains of parameters, in code and in words for error messages."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

__all__ = [
    "Bool",
    "Constraint",
    "Implements",
    "Instance",
    "Interval",
    "InvalidParameterError",
    "Nothing",
    "OneOf",
    "RandomState",
    "SequenceOf",
    "check_values",
    "did_you_mean",
    "named",
    "named_items",
]


class InvalidParameterError(ValueError, TypeError):
    """A parameter has a value outside its domain, or of a wrong type."""


def did_you_mean(name: object, valid: list[str]) -> str:
    """Return " Did you mean 'x'?" for the valid name nearest to `name`, or ""."""
    near = difflib.get_close_matches(str(name), valid, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


class Constraint:
    """A set of allowed values; ``str`` gives its description for error messages."""

    def allows(self, value: object) -> bool:
        raise NotImplementedError

    def hint(self, value: object) -> str:
        """Return a helpful sentence about a rejected value, or an empty string."""
        return ""


class Interval(Constraint):
    """Numbers from `low` to `high`, without booleans and nan.

    Parameters
    ----------
    kind : type
        Kind of numbers: ``int`` for integers, ``float`` for integers and reals.
    low, high : float or None
        Bounds; None is unbounded.
    closed : {"left", "right", "both", "neither"}
        Bounds that belong to the interval.
    """

    def __init__(
        self,
        kind: type,
        low: float | None,
        high: float | None,
        closed: str = "left",
    ) -> None:
        self.kind, self.low, self.high, self.closed = kind, low, high, closed

    def allows(self, value: object) -> bool:
        number = Integral if self.kind is int else Real
        if not isinstance(value, number) or isinstance(value, bool):
            return False
        value = float(value)
        if math.isnan(value):
            return False
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        above = value >= low if self.closed in ("left", "both") else value > low
        below = value <= high if self.closed in ("right", "both") else value < high
        return bool(above and below)

    def __str__(self) -> str:
        name = "an int" if self.kind is int else "a float"
        low = "-inf" if self.low is None else self.low
        high = "inf" if self.high is None else self.high
        left = "[" if self.closed in ("left", "both") and self.low is not None else "("
        right = (
            "]" if self.closed in ("right", "both") and self.high is not None else ")"
        )
        return f"{name} in the range {left}{low}, {high}{right}"


class OneOf(Constraint):
    """Strings from a list of options."""

    def __init__(self, *options: str) -> None:
        self.options = sorted(options)

    def allows(self, value: object) -> bool:
        return isinstance(value, str) and value in self.options

    def hint(self, value: object) -> str:
        return did_you_mean(value, self.options) if isinstance(value, str) else ""

    def __str__(self) -> str:
        return "a str among {" + ", ".join(map(repr, self.options)) + "}"


class Bool(Constraint):
    """True and False, also as numpy's."""

    def allows(self, value: object) -> bool:
        return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")

    def __str__(self) -> str:
        return "a bool"


class Nothing(Constraint):
    """None."""

    def allows(self, value: object) -> bool:
        return value is None

    def __str__(self) -> str:
        return "None"


class Instance(Constraint):
    """Instances of a class. `name` describes them in messages in place of the class."""

    def __init__(self, kind: type, name: str | None = None) -> None:
        self.kind, self.name = kind, name or f"an instance of {kind.__name__!r}"

    def allows(self, value: object) -> bool:
        return isinstance(value, self.kind)

    def __str__(self) -> str:
        return self.name


class Implements(Constraint):
    """Objects with some methods, but not classes."""

    def __init__(self, *methods: str) -> None:
        self.methods = methods

    def allows(self, value: object) -> bool:
        found = (callable(getattr(value, name, None)) for name in self.methods)
        return not isinstance(value, type) and all(found)

    def __str__(self) -> str:
        return f"an object implementing {' and '.join(map(repr, self.methods))}"


class SequenceOf(Constraint):
    """Lists, tuples and 1-D arrays whose items are all allowed.

    Parameters
    ----------
    item : Constraint
        Domain of each item; an item may be a pair of a name and an object.
    name : str
        Description for error messages.
    shortest, longest : float
        Bounds of the length.
    """

    def __init__(
        self,
        item: Constraint,
        name: str,
        shortest: int = 0,
        longest: float = math.inf,
    ) -> None:
        self.item, self.name = item, name
        self.shortest, self.longest = shortest, longest

    def allows(self, value: object) -> bool:
        is_array = getattr(value, "ndim", None) == 1 and hasattr(value, "tolist")
        if not isinstance(value, Iterable):
            return False
        if not isinstance(value, list | tuple) and not is_array:
            return False
        items = list(value)
        if not self.shortest <= len(items) <= self.longest:
            return False
        if not isinstance(self.item, Interval):  # numbers have no names
            items = [item for _, item in named_items(items)]
        return all(self.item.allows(item) for item in items)

    def __str__(self) -> str:
        return self.name


class RandomState(Constraint):
    """Values that ``sklearn.utils.check_random_state`` takes."""

    def allows(self, value: object) -> bool:
        if value is None or type(value).__name__ == "RandomState":
            return True
        return Interval(int, 0, 2**32).allows(value)

    def __str__(self) -> str:
        return "an int in the range [0, 4294967295], a RandomState instance or None"


def check_values(
    owner: str, values: Mapping[str, object], table: Mapping[str, list[Constraint]]
) -> None:
    """Raise `InvalidParameterError` for the first value outside its domain.

    `owner` is the class that has these parameters; `table` has the domains.
    """
    for name, constraints in table.items():
        if name not in values:
            continue
        value = values[name]
        if any(constraint.allows(value) for constraint in constraints):
            continue
        *most, last = map(str, constraints)
        domain = f"{', '.join(most)} or {last}" if most else last
        hints = "".join(constraint.hint(value) for constraint in constraints)
        raise InvalidParameterError(
            f"The {name!r} parameter of {owner} must be {domain}. Got {value!r} "
            f"instead.{hints}"
        )


def named_items(value: Iterable[Any]) -> list[tuple[str, Any]]:
    """Return the objects of a list with their names.

    An object without a name is called by its class, in lower case. If several would
    have the same name, they are numbered: ``l1-1``, ``l1-2``.
    """
    items = [named(entry) for entry in value]
    given = [isinstance(entry, tuple) for entry in value]
    names = [name for name, _ in items]
    return [
        (name, part)
        if is_given or names.count(name) == 1
        else (f"{name}-{names[: i + 1].count(name)}", part)
        for i, ((name, part), is_given) in enumerate(zip(items, given, strict=True))
    ]


def named(entry: Any) -> tuple[str, Any]:
    """Return name and object of a list entry, ``("l1", L1())`` or ``L1()``."""
    if isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str):
        return entry
    return type(entry).__name__.lower(), entry
