"""Docstrings of classes, completed with what their bases document."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Container, Mapping
from dataclasses import Field
from typing import Any

__all__ = ["complete_docstring", "documented"]


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


def documented(cls: type, section: str) -> dict[str, str]:
    """Return the entries of a numpydoc section of a class's own docstring, by name."""
    return _entries_in(cls.__doc__ or "", section)


def complete_docstring(
    cls: type,
    root: type,
    fields: Mapping[str, Field[Any]],
    absent: Container[str] = (),
) -> None:
    """Add to a class's docstring the parameters and attributes that it inherits.

    Their descriptions are those of its bases that derive from `root`. `fields` are the
    parameters, in the order of the docstring. `absent` names attributes that the bases
    have and the class lacks.
    """
    if not cls.__doc__ or cls.__doc__.startswith(f"{cls.__name__}("):
        return  # stripped, or made by dataclass
    inherited: dict[str, dict[str, str]] = {"Parameters": {}, "Attributes": {}}
    for base in cls.__mro__[1:]:  # the nearest description wins
        if issubclass(base, root):
            for section, entries in inherited.items():
                for name, entry in documented(base, section).items():
                    entries.setdefault(name, entry)
    known = {
        name: _with_default(entry, fields[name].default)
        for name, entry in inherited["Parameters"].items()
        if name in fields
    }
    if not known:
        return
    entries = {**known, **documented(cls, "Parameters")}
    order = dict.fromkeys([*fields, *entries])
    text = "Parameters\n----------\n"
    text += "\n".join(entries[name] for name in order if name in entries)
    attributes = {**documented(cls, "Attributes"), **inherited["Attributes"]}
    attributes |= documented(cls, "Attributes")
    attributes = {n: a for n, a in attributes.items() if n not in absent}
    text += "\n\nAttributes\n----------\n" * bool(attributes)
    text += "\n".join(attributes.values())
    doc = inspect.cleandoc(cls.__doc__)
    span = _span(doc, "Attributes")
    if span is not None:
        doc = doc[: span[0]] + doc[span[2] :]
    span, following = _span(doc, "Parameters"), _HEADING.search(doc)
    start = following.start() if following else len(doc)
    before, after = (
        (doc[:start], doc[start:]) if span is None else (doc[: span[0]], doc[span[2] :])
    )
    parts = [before.strip(), text, after.strip()]
    cls.__doc__ = "\n\n".join(part for part in parts if part)


def _with_default(entry: str, default: object) -> str:
    """Return a parameter's documentation with another default."""
    stated = f'"{default}"' if isinstance(default, str) else repr(default)
    return re.sub(r"default=[^\n]*", lambda _: f"default={stated}", entry, count=1)
