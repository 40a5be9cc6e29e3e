"""The docstring of a class, completed with what its bases say of what it inherits."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping
from dataclasses import Field
from typing import Any

__all__ = ["complete_docstring"]


#: The first line of any numpydoc section, and the line under it.
_HEADING = re.compile(r"^\S[^\n]*\n--", re.M)


def _span(doc: str, section: str) -> tuple[int, int, int] | None:
    """Return where a numpydoc section begins, and where its entries begin and end."""
    head = re.search(rf"^{section}\n-+\n", doc, re.M)
    if head is None:
        return None
    following = _HEADING.search(doc, head.end())
    entries = doc[head.end() : following.start() if following else None]
    return head.start(), head.end(), head.end() + len(entries.rstrip())


@functools.cache  # each class reads the docstrings of all its bases
def _entries_in(doc: str, section: str) -> dict[str, str]:
    doc = inspect.cleandoc(doc)
    span = _span(doc, section)
    if span is None:
        return {}
    entries = re.split(r"\n(?=\S)", doc[span[1] : span[2]])
    return {entry.split(" :")[0]: entry for entry in entries}


def _entries(cls: type, section: str) -> dict[str, str]:
    """Return what a class documents in a numpydoc section, by name."""
    return _entries_in(cls.__doc__ or "", section)


def complete_docstring(cls: Any, root: type, fields: Mapping[str, Field[Any]]) -> None:
    """Add to a class's docstring what its bases say of what it inherits.

    `root` is the class that those bases derive from, `fields` are the parameters. What
    is inherited follows what the class documents itself; positional parameters come
    first.
    """
    if not cls.__doc__ or cls.__doc__.startswith(f"{cls.__name__}("):
        return  # stripped, or made by dataclass
    inherited: dict[str, dict[str, str]] = {"Parameters": {}, "Attributes": {}}
    for base in cls.__mro__[1:]:  # the nearest says it best, and in its order
        if issubclass(base, root):
            for section, entries in inherited.items():
                for name, entry in _entries(base, section).items():
                    entries.setdefault(name, entry)
    own = _entries(cls, "Parameters")
    known = {
        name: _with_default(entry, fields[name].default)
        for name, entry in inherited["Parameters"].items()
        if name in fields
    }
    if not own or not known:
        return
    documented = {**known, **own}
    first = [name for name, one in fields.items() if not one.kw_only]
    order = dict.fromkeys([*(n for n in first if n in documented), *own, *known])
    parameters = "\n".join(documented[name] for name in order)
    attributes = {**_entries(cls, "Attributes"), **inherited["Attributes"]}
    attributes |= _entries(cls, "Attributes")
    attributes = {n: a for n, a in attributes.items() if n not in cls._absent}
    text = parameters + "\n\nAttributes\n----------\n" * bool(attributes)
    text += "\n".join(attributes.values())
    doc = inspect.cleandoc(cls.__doc__)
    span = _span(doc, "Attributes")
    if span is not None:
        doc = doc[: span[0]] + doc[span[2] :]
    doc = re.sub(r"\n{3,}", "\n\n", doc)
    span = _span(doc, "Parameters")
    assert span is not None
    cls.__doc__ = doc[: span[1]] + text + doc[span[2] :]


def _with_default(entry: str, default: Any) -> str:
    """Return a parameter's documentation with another default."""
    stated = f'"{default}"' if isinstance(default, str) else repr(default)
    return re.sub(r"default=[^\n]*", lambda _: f"default={stated}", entry, count=1)
