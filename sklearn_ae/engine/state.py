"""Weights and optimizer moments as numpy arrays, and back; a checksum of both."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sklearn_ae.engine.bridge import from_tensor, to_tensor

__all__ = [
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
        Entries whose names begin so keep the value they have in `module`.

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


def checksum(value: Any) -> str:
    """Return a digest of nested dicts, sequences, arrays, plain values and objects."""
    digest = hashlib.sha256()
    _feed(digest, value, set())
    return digest.hexdigest()


def _feed(digest: Any, value: Any, above: set[int]) -> None:
    if isinstance(value, str | int | float | bool | type(None) | np.generic | type):
        digest.update(repr(value).encode())
        return
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
        return
    if id(value) in above:  # an object that holds itself
        return
    above = above | {id(value)}
    digest.update(type(value).__qualname__.encode())
    if isinstance(value, Mapping):
        for key in sorted(value, key=repr):
            digest.update(repr(key).encode())
            _feed(digest, value[key], above)
    elif isinstance(value, list | tuple | np.ndarray):
        for item in value:
            _feed(digest, item, above)
    elif hasattr(value, "__dict__"):
        _feed(digest, dict(vars(value)), above)
