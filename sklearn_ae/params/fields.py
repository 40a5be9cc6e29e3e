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

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, dataclass_transform

from sklearn_ae.params.docs import complete_docstring
from sklearn_ae.params.domains import (
    Constraint,
    InvalidParameterError,
    did_you_mean,
    named,
    named_items,
)

__all__ = ["Params", "positional"]


def positional(default: Any) -> Any:
    """Declare a field that may also be given by position, as in ``PCA(3)``."""
    return field(default=default, kw_only=False)


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
        made: Any = dataclass(kw_only=True, eq=False, repr=False)(cls)
        # once, and not from a signature, which takes as long as a small network's step
        parameters = {one.name: one for one in fields(made) if one.init}
        cls._param_names = sorted(parameters)
        complete_docstring(cls, Params, parameters)

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


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the objects with parameters in `value`, each with the path that sets it."""
    if hasattr(value, "get_params") and not isinstance(value, type):
        yield name, value
    elif isinstance(value, list | tuple):
        for label, part in named_items(value):
            if hasattr(part, "get_params") and not isinstance(part, type):
                yield f"{name}__{label}", part


def _swap(entry: Any, old: Any, new: Any) -> Any:
    name, part = named(entry)
    if part is not old:
        return entry
    return (name, new) if isinstance(entry, tuple) else new
