"""A check that a saved file takes no more memory than its size when it is read.

skops' format is a zip archive: ``schema.json`` is a tree of nodes, each of which names
a type and how it is made, and the other members are the arrays that some nodes refer
to. `save` compresses nothing, writes each array once, and each node in full wherever it
is held. Any other file could take any memory, or for ever, from a few bytes.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["Damaged", "check", "compact", "loaders", "stateless"]

_SCHEMA = "schema.json"
#: Sparse arrays come compressed. One may grow to at most this multiple of its size, or
#: to this number of bytes.
_EXPANSION, _LEAST = 100, 2**24
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class Damaged(ValueError):
    """Raised for bytes that `save` did not write, or that have changed since."""


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Raise Damaged, with the name of the part, for what a library cannot read."""
    try:
        yield
    except (Damaged, MemoryError):
        raise
    except Exception as error:
        raise Damaged(f"{what} cannot be read") from error


def compact(data: bytes) -> bytes:
    """Return an archive whose schema is written without spaces."""
    out = io.BytesIO()
    contents = _contents(data)
    with zipfile.ZipFile(out, "w") as kept:
        for name, content in contents.items():
            if name != _SCHEMA:
                kept.writestr(name, content)
        schema = json.loads(bytes(contents[_SCHEMA]))
        kept.writestr(_SCHEMA, json.dumps(schema, separators=(",", ":")))
    del kept  # Python loses an interrupt that comes while it takes an archive away
    return out.getvalue()


def check(data: bytes) -> dict[str, Any]:
    """Return the schema of an archive that does not grow when it is read.

    Raises
    ------
    Damaged
        If it grows, or is no archive.
    """
    contents = _contents(data)
    if _SCHEMA not in contents:
        raise Damaged(f"it has no {_SCHEMA}")
    with _reading(f"its {_SCHEMA}"):
        schema = json.loads(bytes(contents[_SCHEMA]))
    if not isinstance(schema, dict) or not isinstance(schema.get("__loader__"), str):
        raise Damaged(f"its {_SCHEMA} is not one that describes an object")
    for name, content in contents.items():
        if name.endswith(".npy"):
            with _reading(f"its array {name!r}"):
                _check_array(name, content)
        elif name.endswith(".npz"):
            with _reading(f"its sparse array {name!r}"):
                _check_sparse(name, content)
    _check_references(schema, set(contents))
    _check_growth(schema)
    return schema


def loaders(schema: dict[str, Any]) -> dict[str, set[str]]:
    """Return, for each type that a schema names, the kinds of nodes that make it."""
    found: dict[str, set[str]] = defaultdict(set)
    for node in _nodes(schema):
        found[f"{node.get('__module__')}.{node.get('__class__')}"].add(
            node["__loader__"]
        )
    return found


def stateless(schema: dict[str, Any]) -> set[str]:
    """Return the types of objects to which a schema gives no state."""
    return {
        f"{node.get('__module__')}.{node.get('__class__')}"
        for node in _nodes(schema)
        if node["__loader__"] == "ObjectNode" and node.get("content") is None
    }


def _contents(data: bytes) -> dict[str, memoryview]:
    """Return the contents of an archive's members, if none is compressed."""
    with _reading("its list of members"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
        del archive
    _check_members(members, len(data))
    contents, whole = {}, memoryview(data)
    for member in members:
        lengths = whole[member.header_offset :][26:30]
        if len(lengths) < 4:
            raise Damaged("one of its members is missing")
        start = member.header_offset + 30 + sum(struct.unpack("<HH", lengths))
        contents[member.filename] = whole[start : start + member.file_size]
    return contents


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise Damaged("two of its members have the same name")
    for member in members:
        stored = member.compress_type == zipfile.ZIP_STORED
        if not stored or member.file_size != member.compress_size:
            raise Damaged(f"its member {member.filename!r} is compressed")
    if sum(member.file_size for member in members) > size:
        raise Damaged("its members are larger than the file")


def _check_array(name: str, content: bytes | memoryview) -> None:
    """Raise Damaged for an array whose header says more than there is."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:  # numpy does not read past the end
        return
    shape, _, dtype = _HEADERS[version](file)
    claimed = dtype.itemsize
    for length in shape:
        claimed *= int(length)
    if claimed != len(content) - file.tell():
        raise Damaged(f"its array {name!r} is not of the size that it says")


def _check_sparse(name: str, content: memoryview) -> None:
    """Raise Damaged for a sparse array that grows, or has entries elsewhere."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        size = sum(member.file_size for member in members)
        if size > max(_EXPANSION * len(content), _LEAST):
            raise Damaged(f"its sparse array {name!r} grows too much when read")
        for member in members:
            if member.filename.endswith(".npy"):
                _check_array(member.filename, archive.read(member))
    whole = sp.load_npz(io.BytesIO(content))
    if hasattr(whole, "check_format"):
        whole.check_format(full_check=True)


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a schema, wherever they are held."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("__loader__"), str):
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _check_references(schema: Any, names: set[str]) -> None:
    """Raise Damaged where a member is read more than once."""
    readers: dict[str, set[Any]] = defaultdict(set)
    for node in _nodes(schema):
        if isinstance(node.get("file"), str):
            readers[node["file"]].add(node.get("__id__"))
    if not set(readers) <= names:
        raise Damaged("it refers to a member that it does not have")
    if any(len(nodes) > 1 or not all(nodes) for nodes in readers.values()):
        raise Damaged("one of its members is read again and again")


def _check_growth(schema: Any) -> None:
    """Raise Damaged where nodes refer to nodes so that there are more than written.

    Nodes with the same number are one node: the first that was read.
    """
    n_written = 0
    sizes: dict[str, int] = {}
    held: dict[str, list[list[str]]] = defaultdict(list)
    for place, node in enumerate(_nodes(schema)):
        n_written += 1
        number = node.get("__id__") or f"of its own: {place}"
        node["__key__"] = str(number)
    for node in _nodes(schema):
        below = [inner["__key__"] for inner in _directly_below(node)]
        held[node["__key__"]].append(below)
    waiting, open_nodes = [schema["__key__"]], set[str]()
    while waiting:
        key = waiting[-1]
        if key in sizes:
            waiting.pop()
            continue
        missing = [k for below in held[key] for k in below if k not in sizes]
        if missing:
            if key in open_nodes:
                raise Damaged("one of its nodes is held by itself")
            open_nodes.add(key)
            waiting.extend(missing)
            continue
        sizes[key] = 1 + max(sum(sizes[k] for k in below) for below in held[key])
        waiting.pop()
    if sizes[schema["__key__"]] > n_written:
        raise Damaged("there is more in it than is written")


def _directly_below(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the nodes that a node holds, but not what these hold."""
    waiting: list[Any] = list(node.values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            if isinstance(value.get("__loader__"), str):
                yield value
            else:
                waiting.extend(value.values())
