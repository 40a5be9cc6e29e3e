"""Annotated fields become an explicit keyword ``__init__``, validated in ``fit``.

A class that derives from `Params` declares its hyperparameters as annotated fields
with defaults, and what each may be in an (unannotated) table::

    class L1(Params):
        weight: float = 1e-3

        _valid = {"weight": [Interval(float, 0, None)]}

Nothing but assignment happens in the generated ``__init__``, as scikit-learn asks.
What a base class documents of its fields and fitted attributes, a class that derives
from it need not repeat: its docstring is completed, with its own defaults.
"""

from __future__ import annotations

import difflib
import inspect
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, ClassVar, dataclass_transform

__all__ = [
    "Bool",
    "Implements",
    "Instance",
    "Interval",
    "InvalidParameterError",
    "Nothing",
    "OneOf",
    "Params",
    "RandomState",
    "SequenceOf",
    "did_you_mean",
    "named_items",
    "positional",
]


class InvalidParameterError(ValueError, TypeError):
    """A hyperparameter has a value outside its domain, or one of a wrong type."""


def positional(default: Any) -> Any:
    """Declare a field that may also be given by position, as in ``PCA(3)``."""
    return field(default=default, kw_only=False)


def did_you_mean(name: object, valid: list[str]) -> str:
    """Return " Did you mean 'x'?" for the valid name nearest to `name`, or ""."""
    near = difflib.get_close_matches(str(name), valid, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


# -- what a parameter may be ------------------------------------------------------


class Constraint:
    """A set of allowed values that can name itself."""

    def allows(self, value: Any) -> bool:
        raise NotImplementedError

    def hint(self, value: Any) -> str:
        """Return a helpful sentence about a rejected value, or nothing."""
        return ""


class Interval(Constraint):
    """Numbers between `low` and `high` (None is unbounded); no booleans, no nan.

    Parameters
    ----------
    kind : type
        ``int`` takes integers alone, ``float`` integers and reals.
    low, high : float or None
        The bounds.
    closed : {"left", "right", "both", "neither"}
        Which bounds belong to the interval.
    """

    def __init__(
        self,
        kind: type,
        low: float | None,
        high: float | None,
        closed: str = "left",
    ) -> None:
        self.kind, self.low, self.high, self.closed = kind, low, high, closed

    def allows(self, value: Any) -> bool:
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
    """One of a few strings."""

    def __init__(self, *options: str) -> None:
        self.options = sorted(options)

    def allows(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.options

    def hint(self, value: Any) -> str:
        return did_you_mean(value, self.options) if isinstance(value, str) else ""

    def __str__(self) -> str:
        return "a str among {" + ", ".join(map(repr, self.options)) + "}"


class Bool(Constraint):
    """True or False, numpy's too."""

    def allows(self, value: Any) -> bool:
        return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")

    def __str__(self) -> str:
        return "a bool"


class Nothing(Constraint):
    """The value None."""

    def allows(self, value: Any) -> bool:
        return value is None

    def __str__(self) -> str:
        return "None"


class Instance(Constraint):
    """Instances of a class, which may be named to spare the reader its path."""

    def __init__(self, kind: type, name: str | None = None) -> None:
        self.kind, self.name = kind, name or f"an instance of {kind.__name__!r}"

    def allows(self, value: Any) -> bool:
        return isinstance(value, self.kind)

    def __str__(self) -> str:
        return self.name


class Implements(Constraint):
    """Instances, not classes, that have some methods."""

    def __init__(self, *methods: str) -> None:
        self.methods = methods

    def allows(self, value: Any) -> bool:
        found = (callable(getattr(value, name, None)) for name in self.methods)
        return not isinstance(value, type) and all(found)

    def __str__(self) -> str:
        return f"an object implementing {' and '.join(map(repr, self.methods))}"


class SequenceOf(Constraint):
    """A list, tuple or 1-D array of some length whose items all pass, named or not."""

    def __init__(
        self,
        item: Constraint,
        name: str,
        shortest: int = 0,
        longest: float = math.inf,
    ) -> None:
        self.item, self.name = item, name
        self.shortest, self.longest = shortest, longest

    def allows(self, value: Any) -> bool:
        is_array = getattr(value, "ndim", None) == 1 and hasattr(value, "tolist")
        if not isinstance(value, list | tuple) and not is_array:
            return False
        if not self.shortest <= len(value) <= self.longest:
            return False
        if not isinstance(self.item, Interval):  # numbers have no names
            value = [item for _, item in named_items(value)]
        return all(self.item.allows(item) for item in value)

    def __str__(self) -> str:
        return self.name


class RandomState(Constraint):
    """What ``sklearn.utils.check_random_state`` takes."""

    def allows(self, value: Any) -> bool:
        if value is None or type(value).__name__ == "RandomState":
            return True
        return Interval(int, 0, 2**32).allows(value)

    def __str__(self) -> str:
        return "an int in the range [0, 4294967295], a RandomState instance or None"


# -- constructors from fields -----------------------------------------------------


@dataclass_transform(kw_only_default=True, field_specifiers=(positional, field))
class Params:
    """Hyperparameters as fields, with ``get_params`` and ``set_params`` of their own.

    A parameter that holds a list of other `Params` objects (or pairs of a name and
    one) is reached from a grid by the item's name: ``penalties__l1__weight``. An
    item without a name is called by its class, in lower case, as in
    ``sklearn.pipeline.make_pipeline``.
    """

    _valid: ClassVar[dict[str, list[Constraint]]] = {}
    #: Fitted attributes that a base class documents, and that this one has not.
    _absent: ClassVar[tuple[str, ...]] = ()
    #: Parameters whose items are reached by their names alone, as a Pipeline's steps.
    _flat: ClassVar[tuple[str, ...]] = ()
    _param_names: ClassVar[list[str]] = []
    #: Fitted attributes that have a value before a fit, too: the class's.
    _preset: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclass(kw_only=True, eq=False, repr=False)(cls)
        # once: a signature takes as long as a step of a small network
        _, *names = inspect.signature(cls.__init__).parameters
        cls._param_names = sorted(names)
        _complete_docstring(cls)

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return list(cls._param_names)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, and with `deep` those of the objects in them."""
        out: dict[str, Any] = {}
        for name in self._get_param_names():
            value = getattr(self, name)
            if deep:
                for path, part in _parts(name, value):
                    if name in self._flat:
                        path = path.removeprefix(f"{name}__")
                    if path != name:
                        out[path] = part
                    nested = part.get_params(deep=True)
                    out.update((f"{path}__{k}", v) for k, v in nested.items())
            out[name] = value
        return out

    def set_params(self, **params: Any) -> Params:
        """Set parameters; ``a__b`` sets parameter b of the object in parameter a."""
        valid = self._get_param_names()
        nested: dict[str, dict[str, Any]] = {}
        for key, value in params.items():
            name, _, rest = key.partition("__")
            holder = None if name in valid else self._holder(name, params)
            if holder is not None:
                name, rest = holder, key
            if name not in valid:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self!r}. "
                    f"Valid parameters are: {valid!r}.{did_you_mean(name, valid)}"
                )
            if rest:
                nested.setdefault(name, {})[rest] = value
            else:
                setattr(self, name, value)
        for name, rests in nested.items():
            self._set_nested(name, rests)
        return self

    def _holder(self, item: str, params: dict[str, Any]) -> str | None:
        """Return the parameter that holds an item of that name, reached by it alone."""
        for name in self._flat:
            held = dict(_parts(name, params.get(name, getattr(self, name))))
            if f"{name}__{item}" in held:
                return name
        return None

    def _set_nested(self, name: str, params: dict[str, Any]) -> None:
        if hasattr(getattr(self, name), "set_params"):
            getattr(self, name).set_params(**params)
            return
        for key in sorted(params, key=lambda key: "__" in key):  # whole items first
            value, held = params[key], getattr(self, name)
            items = dict(_parts(name, held))
            item, _, rest = key.partition("__")
            part = items.get(f"{name}__{item}")
            if part is None:
                known = [path.removeprefix(f"{name}__") for path in items]
                raise ValueError(
                    f"Invalid parameter {item!r} for parameter {name!r} of estimator "
                    f"{type(self).__name__}. Valid parameters are: {known!r}."
                )
            if rest:
                part.set_params(**{rest: value})
            else:
                swapped = [_swap(entry, part, value) for entry in held]
                setattr(self, name, swapped)

    def __repr__(self) -> str:
        signature = inspect.signature(type(self).__init__).parameters
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name in self._get_param_names()
            if repr(getattr(self, name)) != repr(signature[name].default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __setstate__(self, kept: Mapping[str, Any]) -> None:
        """Take on attributes, if no parameter is missing and they hide no method."""
        names, name = self._get_param_names(), type(self).__name__
        missing = [n for n in names if n not in kept]
        presets = (vars(kind).get("_preset", ()) for kind in type(self).__mro__)
        known = {*names, *itertools.chain.from_iterable(presets)}
        hidden = [n for n in kept if n not in known and hasattr(type(self), n)]
        if missing or hidden:
            raise ValueError(
                f"This is no {name}: "
                + (f"it lacks {', '.join(missing)}." if missing else "")
                + (f"it has another {', '.join(hidden)}." if hidden else "")
            )
        above = getattr(super(), "__setstate__", self.__dict__.update)
        above(kept)

    def _check_params(self) -> None:
        """Raise `InvalidParameterError` for the first parameter out of its domain."""
        names = self._get_param_names()  # what a class fixes is none of them
        for name, constraints in type(self)._all_valid().items():
            if name not in names:
                continue
            value = getattr(self, name)
            if any(constraint.allows(value) for constraint in constraints):
                continue
            *most, last = map(str, constraints)
            domain = f"{', '.join(most)} or {last}" if most else last
            hints = "".join(constraint.hint(value) for constraint in constraints)
            raise InvalidParameterError(
                f"The {name!r} parameter of {type(self).__name__} must be {domain}. "
                f"Got {value!r} instead.{hints}"
            )
        for name in names:
            for _, part in _parts(name, getattr(self, name)):
                check: Callable[[], None] | None = getattr(part, "_check_params", None)
                if check is not None:
                    check()

    @classmethod
    def _all_valid(cls) -> dict[str, list[Constraint]]:
        table: dict[str, list[Constraint]] = {}
        for base in reversed(cls.__mro__):
            table.update(vars(base).get("_valid", {}))
        return table


# -- docstrings -------------------------------------------------------------------


def _section(name: str) -> re.Pattern[str]:
    """Return what finds a numpydoc section and, as its first group, its entries."""
    return re.compile(rf"^{name}\n-+\n(.*?)(?=\n*^\S[^\n]*\n--|\s*\Z)", re.M | re.S)


def _entries(cls: type, section: str) -> dict[str, str]:
    """Return what a class documents in a numpydoc section, by name."""
    found = _section(section).search(inspect.cleandoc(cls.__doc__ or ""))
    if found is None:
        return {}
    entries = re.split(r"\n(?=\S)", found.group(1))
    return {entry.split(" :")[0]: entry for entry in entries}


def _complete_docstring(cls: type[Params]) -> None:
    """Add to a class's docstring what its bases say of what it inherits.

    Parameters follow those that it documents itself, the positional ones first.
    """
    if not cls.__doc__ or cls.__doc__.startswith(f"{cls.__name__}("):
        return  # stripped, or made by dataclass
    inherited: dict[str, dict[str, str]] = {"Parameters": {}, "Attributes": {}}
    for base in cls.__mro__[1:]:  # the nearest says it best, and in its order
        if issubclass(base, Params):
            for section, entries in inherited.items():
                for name, entry in _entries(base, section).items():
                    entries.setdefault(name, entry)
    fields = inspect.signature(cls.__init__).parameters
    own = _entries(cls, "Parameters")
    known = {
        name: _with_default(entry, fields[name].default)
        for name, entry in inherited["Parameters"].items()
        if name in fields
    }
    if not own or not known:
        return
    documented = {**known, **own}
    first = [n for n, f in fields.items() if f.kind is f.POSITIONAL_OR_KEYWORD]
    order = dict.fromkeys([*(n for n in first if n in documented), *own, *known])
    parameters = "\n".join(documented[name] for name in order)
    attributes = {**_entries(cls, "Attributes"), **inherited["Attributes"]}
    attributes |= _entries(cls, "Attributes")
    attributes = {n: a for n, a in attributes.items() if n not in cls._absent}
    text = parameters + "\n\nAttributes\n----------\n" * bool(attributes)
    text += "\n".join(attributes.values())
    doc = _section("Attributes").sub("", inspect.cleandoc(cls.__doc__))
    doc = re.sub(r"\n{3,}", "\n\n", doc)
    found = _section("Parameters").search(doc)
    assert found is not None
    cls.__doc__ = doc[: found.start(1)] + text + doc[found.end(1) :]


def _with_default(entry: str, default: Any) -> str:
    """Return a parameter's documentation with another default."""
    stated = f'"{default}"' if isinstance(default, str) else repr(default)
    return re.sub(r"default=[^\n]*", lambda _: f"default={stated}", entry, count=1)


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the objects with parameters in `value`, each with the path that sets it."""
    if hasattr(value, "get_params") and not isinstance(value, type):
        yield name, value
    elif isinstance(value, list | tuple):
        for label, part in named_items(value):
            if hasattr(part, "get_params") and not isinstance(part, type):
                yield f"{name}__{label}", part


def named_items(value: Any) -> list[tuple[str, Any]]:
    """Return a list's objects, each with its name.

    Objects without one are called by their class, and numbered where that is not
    enough: ``l1-1``, ``l1-2``.
    """
    items = [_named(entry) for entry in value]
    given = [isinstance(entry, tuple) for entry in value]
    names = [name for name, _ in items]
    return [
        (name, part)
        if is_given or names.count(name) == 1
        else (f"{name}-{names[: i + 1].count(name)}", part)
        for i, ((name, part), is_given) in enumerate(zip(items, given, strict=True))
    ]


def _named(entry: Any) -> tuple[str, Any]:
    """Return a list entry's name and object: ``("l1", L1())`` or ``L1()``."""
    if isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str):
        return entry
    return type(entry).__name__.lower(), entry


def _swap(entry: Any, old: Any, new: Any) -> Any:
    name, part = _named(entry)
    if part is not old:
        return entry
    return (name, new) if isinstance(entry, tuple) else new
