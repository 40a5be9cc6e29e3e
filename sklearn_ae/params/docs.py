"""Docstrings of classes, completed with what their bases document."""

from __future__ import annotations

import inspect
import re
from collections.abc import Container

__all__ = ["complete_docstring", "documented"]


def _section(name: str) -> re.Pattern[str]:
    """Return a pattern for a numpydoc section; its first group is the entries."""
    return re.compile(rf"^{name}\n-+\n(.*?)(?=\n*^\S[^\n]*\n--|\s*\Z)", re.M | re.S)


def documented(cls: type, section: str) -> dict[str, str]:
    """Return the entries of a numpydoc section of a class's own docstring, by name."""
    found = _section(section).search(inspect.cleandoc(cls.__doc__ or ""))
    if found is None:
        return {}
    entries = re.split(r"\n(?=\S)", found.group(1))
    return {entry.split(" :")[0]: entry for entry in entries}


def complete_docstring(cls: type, root: type, absent: Container[str] = ()) -> None:
    """Add to a class's docstring the parameters and attributes that it inherits.

    Their descriptions are those of its bases that derive from `root`. `absent` names
    attributes that the bases have and the class lacks. Parameters come in the order of
    the signature.
    """
    if not cls.__doc__ or cls.__doc__.startswith(f"{cls.__name__}("):
        return  # stripped, or made by dataclass
    inherited: dict[str, dict[str, str]] = {"Parameters": {}, "Attributes": {}}
    for base in cls.__mro__[1:]:  # the nearest description wins
        if issubclass(base, root):
            for section, entries in inherited.items():
                for name, entry in documented(base, section).items():
                    entries.setdefault(name, entry)
    fields = inspect.signature(cls).parameters
    own = documented(cls, "Parameters")
    known = {
        name: _with_default(entry, fields[name].default)
        for name, entry in inherited["Parameters"].items()
        if name in fields
    }
    if not own or not known:
        return
    entries = {**known, **own}
    order = dict.fromkeys([*fields, *entries])
    parameters = "\n".join(entries[name] for name in order if name in entries)
    attributes = {**documented(cls, "Attributes"), **inherited["Attributes"]}
    attributes |= documented(cls, "Attributes")
    attributes = {n: a for n, a in attributes.items() if n not in absent}
    text = parameters + "\n\nAttributes\n----------\n" * bool(attributes)
    text += "\n".join(attributes.values())
    doc = _section("Attributes").sub("", inspect.cleandoc(cls.__doc__))
    doc = re.sub(r"\n{3,}", "\n\n", doc)
    found = _section("Parameters").search(doc)
    assert found is not None
    cls.__doc__ = doc[: found.start(1)] + text + doc[found.end(1) :]


def _with_default(entry: str, default: object) -> str:
    """Return a parameter's documentation with another default."""
    stated = f'"{default}"' if isinstance(default, str) else repr(default)
    return re.sub(r"default=[^\n]*", lambda _: f"default={stated}", entry, count=1)
