"""Weights and optimizer moments as numpy arrays, and back; a checksum of anything."""

from __future__ import annotations

import copyreg
import hashlib
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from sklearn_ae.engine.tensors import from_tensor, to_tensor
from sklearn_ae.engine.trees import Rebuilt, is_tree

__all__ = [
    "UNCHECKED",
    "checksum",
    "load_optimizer_state",
    "load_weights",
    "optimizer_state",
    "weights",
]


def weights(module: torch.nn.Module) -> dict[str, NDArray[Any]]:
    """Return the module's parameters and buffers as arrays."""
    return {name: from_tensor(value) for name, value in module.state_dict().items()}


def load_weights(
    module: torch.nn.Module,
    arrays: Mapping[str, NDArray[Any]],
    keep: str | None = None,
) -> None:
    """Put arrays made by `weights` into a module of the same architecture.

    Parameters
    ----------
    module : torch.nn.Module
    arrays : mapping of str to ndarray
    keep : str, default=None
        Prefix of the names of entries that keep the value they have in `module`.

    Raises
    ------
    RuntimeError
        If names or shapes differ.
    """
    own = module.state_dict() if keep else {}
    kept = {name: value for name, value in own.items() if name.startswith(keep or "")}
    new = {
        name: to_tensor(array)
        for name, array in arrays.items()
        if not (keep and name.startswith(keep))
    }
    module.load_state_dict({**new, **kept})


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    """Return an Adam or SGD optimizer's moments as arrays, named ``index.moment``."""
    arrays = {}
    for index, moments in optimizer.state_dict()["state"].items():
        for name, value in moments.items():
            if isinstance(value, torch.Tensor):
                arrays[f"{index}.{name}"] = from_tensor(value)
    return arrays


def load_optimizer_state(
    optimizer: torch.optim.Optimizer, arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Put moments made by `optimizer_state` into a new optimizer."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for path, array in arrays.items():
        index, name = path.split(".")
        state.setdefault(int(index), {})[name] = to_tensor(array)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


# -- a checksum -------------------------------------------------------------------

#: Attributes of objects that are not part of what was learned.
UNCHECKED = ("_checksum", "_sklearn_version", "_skl_callbacks", "callbacks", "device_")
_PLAIN = (bool, bytes, complex, float, int, str, type(None))
_NAMED = (BuiltinFunctionType, FunctionType, type)


def checksum(value: Any) -> str:
    """Return a digest of nested containers, arrays, plain values and objects.

    Different values have different digests. An object with a checksum of its own, such
    as a fitted autoencoder in a stack, is left to that.

    Raises
    ------
    TypeError
        For an object that does not say what it is made of.
    """
    digest = hashlib.sha256()
    _feed(digest, value, set())
    return digest.hexdigest()


def _feed(digest: Any, value: Any, above: set[int]) -> None:
    if is_tree(value):  # as it is rebuilt, without its count of queries
        value = Rebuilt.of(value)
    if isinstance(value, _PLAIN):
        _put(digest, type(value).__name__, repr(value).encode())
    elif isinstance(value, _NAMED):
        name = f"{value.__module__}.{value.__qualname__}"
        _put(digest, "name", name.encode())
    elif isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        mask = np.ma.getmaskarray(value) if np.ma.isMaskedArray(value) else None
        about = f"{value.dtype}{value.shape}{None if mask is None else mask.tolist()}"
        content = np.ascontiguousarray(np.ma.getdata(value)).tobytes()
        _put(digest, about, content)
    elif id(value) in above:  # an object that holds itself
        _put(digest, "above", b"")
    else:
        parts = _parts(value)
        _put(digest, type(value).__qualname__, b"")
        digest.update(f"{len(parts)} parts:".encode())
        for part in parts:
            _feed(digest, part, above | {id(value)})


def _put(digest: Any, kind: str, content: bytes) -> None:
    """Feed content, with marks of what it is and where it ends."""
    digest.update(f"{len(kind)}:{kind}:{len(content)}:".encode())
    digest.update(content)


def _parts(value: Any) -> list[Any]:
    """Return what a value is made of."""
    if getattr(value, "_keeps_checksum", False):
        return []
    if isinstance(value, torch.Tensor):
        return [from_tensor(value)]
    if isinstance(value, np.ndarray | np.generic):  # of objects
        return [value.shape, *value.ravel().tolist()]
    if isinstance(value, Mapping):
        return [part for key in sorted(value, key=repr) for part in (key, value[key])]
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, set | frozenset):
        return sorted(map(checksum, value))
    if sp.issparse(value):
        if value.format in ("csr", "csc", "bsr"):
            return [value.shape, value.data, value.indices, value.indptr]
        whole = value.tocoo()
        return [whole.shape, whole.data, *whole.coords]
    if isinstance(value, np.random.RandomState):
        return [value.get_state(legacy=False)]
    if isinstance(value, np.random.Generator):
        return [value.bit_generator.state]
    reduce = copyreg.dispatch_table.get(type(value))
    reduced: Any = reduce(value) if reduce else value.__reduce_ex__(4)
    if isinstance(reduced, str):
        return [reduced]
    parts = [list(part) if isinstance(part, Iterator) else part for part in reduced]
    if len(parts) > 2 and isinstance(parts[2], dict):  # its attributes
        parts[2] = {n: part for n, part in parts[2].items() if n not in UNCHECKED}
    return parts
