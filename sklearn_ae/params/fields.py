"""Annotated fields become an explicit keyword ``__init__``, validated in ``fit``.

A class that derives from `Params` declares its hyperparameters as annotated fields
with defaults, and their domains in a table without annotation::

    class L1(Params):
        weight: float = 1e-3

        _valid = {"weight": [Interval(float, 0, None)]}

A parameter that may be given by position, as in ``PCA(3)``, is declared in a form that
type checkers understand: ``n_components: int = field(default=2, kw_only=False)``. A
fitted attribute is ``coef_: NDArray[Any] = field(init=False)``.

The generated ``__init__`` only assigns, as scikit-learn asks. A class need not repeat
the documentation of its bases: its docstring is completed with their parameters and
fitted attributes, and with its own defaults. Signature and docstring list parameters in
the order of `sklearn_ae.params.order`.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from inspect import Parameter
from typing import Any, ClassVar, Self, dataclass_transform

from sklearn_ae.params.docs import complete_docstring
from sklearn_ae.params.domains import (
    Constraint,
    check_values,
    did_you_mean,
    named,
    named_items,
)
from sklearn_ae.params.order import in_reading_order

__all__ = ["Params"]


# -- constructors from fields -----------------------------------------------------


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
class Params:
    """Hyperparameters as fields, with ``get_params`` and ``set_params`` of their own.

    A parameter may hold a list of other `Params` objects, or of pairs of a name and an
    object. A grid reaches their parameters by the item's name, as in
    ``penalties__l1__weight``. An item without a name is called by its class, in lower
    case, as in ``sklearn.pipeline.make_pipeline``.
    """

    _valid: ClassVar[dict[str, list[Constraint]]] = {}
    #: Fitted attributes that a base class documents and this class lacks.
    _absent: ClassVar[tuple[str, ...]] = ()
    #: Parameters whose items are reached by their names alone, like a Pipeline's steps.
    _flat: ClassVar[tuple[str, ...]] = ()
    _param_names: ClassVar[list[str]] = []
    #: Fitted attributes for which the class has a value before a fit.
    _preset: ClassVar[tuple[str, ...]] = ()
    #: scikit-learn's HTML links the classes of this package to their pages in the
    #: documentation. The address is relative to its front page; set one that begins
    #: with ``https://`` where the documentation is published.
    _doc_link_module: ClassVar[str] = "sklearn_ae"
    _doc_link_template: ClassVar[str] = "generated/sklearn_ae.{estimator_name}.html"

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        made: Any = dataclass(kw_only=True, eq=False, repr=False)(cls)
        parameters = in_reading_order(
            cls, {one.name: one for one in fields(made) if one.init}
        )
        cls.__init__.__signature__ = _signature(parameters)  # type: ignore[attr-defined]
        # only once, and not from a signature, which takes as long as a training step
        cls._param_names = sorted(parameters)
        complete_docstring(cls, Params, parameters, cls._absent)

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return list(cls._param_names)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, with `deep` also those of objects in them."""
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

    def set_params(self, **params: Any) -> Self:
        """Set parameters. ``a__b`` sets parameter b of the object in parameter a."""
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
        """Return the parameter in `_flat` that holds an item of that name, or None."""
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
        """Restore attributes. Raise ValueError if they are not those of this class."""
        names, name = self._get_param_names(), type(self).__name__
        missing = [n for n in names if n not in kept]
        presets = (vars(kind).get("_preset", ()) for kind in type(self).__mro__)
        known = {*names, *itertools.chain.from_iterable(presets)}
        hidden = [n for n in kept if n not in known and hasattr(type(self), n)]
        if missing or hidden:
            raise ValueError(
                f"The state is not that of {name}: "
                + (f"it lacks {', '.join(missing)}. " if missing else "")
                + (f"it replaces {', '.join(hidden)}. " if hidden else "")
                + "Restore it with the version of sklearn_ae that made it."
            )
        above = getattr(super(), "__setstate__", self.__dict__.update)
        above(kept)

    def _check_params(self) -> None:
        """Raise `InvalidParameterError` for the first parameter out of its domain."""
        self._check_those(self._get_param_names())

    def _check_those(self, names: Iterable[str]) -> None:
        """Raise `InvalidParameterError` for the first of some parameters."""
        values = {name: getattr(self, name) for name in names}
        check_values(type(self).__name__, values, type(self)._all_valid())
        for name, value in values.items():
            for _, part in _parts(name, value):
                check: Callable[[], None] | None = getattr(part, "_check_params", None)
                if check is not None:
                    check()

    @classmethod
    def _all_valid(cls) -> dict[str, list[Constraint]]:
        table: dict[str, list[Constraint]] = {}
        for base in reversed(cls.__mro__):
            table.update(vars(base).get("_valid", {}))
        return table


def _signature(parameters: Mapping[str, Field[Any]]) -> inspect.Signature:
    """Return the signature of a constructor with these parameters."""
    either, keyword = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
    listed = [Parameter("self", either)]
    for name, one in parameters.items():
        kind = keyword if one.kw_only else either
        listed.append(Parameter(name, kind, default=one.default, annotation=one.type))
    return inspect.Signature(listed, return_annotation=None)


def _parts(name: str, value: object) -> Iterator[tuple[str, Any]]:
    """Yield the objects in `value` that have parameters, each with its path."""
    if hasattr(value, "get_params") and not isinstance(value, type):
        yield name, value
    elif isinstance(value, list | tuple):
        for label, part in named_items(value):
            if hasattr(part, "get_params") and not isinstance(part, type):
                yield f"{name}__{label}", part


def _swap(entry: Any, old: object, new: object) -> Any:
    name, part = named(entry)
    if part is not old:
        return entry
    return (name, new) if isinstance(entry, tuple) else new
