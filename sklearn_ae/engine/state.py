"""What is kept of a fitted estimator: numpy arrays, a plain configuration, a checksum.

No tensor, no training data, and no optimizer unless training is to go on: a file is
about the size of its parameters, loads where the device it was trained on is missing,
and passes through pickle, joblib and skops.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sklearn_ae.engine.bridge import from_tensor

__all__ = [
    "checksum",
    "load",
    "load_optimizer_state",
    "load_weights",
    "optimizer_state",
    "save",
    "weights",
]


def weights(module: torch.nn.Module) -> dict[str, NDArray[Any]]:
    """Return the module's parameters and buffers as arrays."""
    return {name: from_tensor(value) for name, value in module.state_dict().items()}


def load_weights(module: torch.nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Put arrays made by `weights` into a module of the same architecture."""
    module.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in arrays.items()})


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
        state.setdefault(int(index), {})[name] = torch.from_numpy(array.copy())
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def checksum(value: Any) -> str:
    """Return a digest of nested dicts, sequences, arrays and plain values."""
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        for key in sorted(value):
            digest.update(repr(key).encode())
            _feed(digest, value[key])
    elif isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, list | tuple | np.ndarray):
        digest.update(f"[{len(value)}".encode())
        for item in value:
            _feed(digest, item)
    elif isinstance(value, str | int | float | bool | type(None) | np.generic):
        digest.update(repr(value).encode())
    else:
        digest.update(type(value).__qualname__.encode())
        _feed(digest, {k: v for k, v in vars(value).items()} if vars(value) else None)


# -- a safe file ------------------------------------------------------------------


def save(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write an estimator (or a Pipeline with one in it) to a file, all or nothing.

    The format is skops': unlike a pickle it can be inspected, and loading it runs no
    code that it brings. The file is written beside its place and then moved there, so
    that a crash while writing leaves an earlier file as it was.

    Parameters
    ----------
    estimator : estimator
    path : str or path-like

    Raises
    ------
    ImportError
        If skops is not installed (``pip install "sklearn_ae[safe]"``).

    See Also
    --------
    load : Read such a file.

    Examples
    --------
    >>> import tempfile, os
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import Autoencoder, load, save
    >>> X = load_iris().data
    >>> model = Autoencoder(2, random_state=0).fit(X)
    >>> path = os.path.join(tempfile.mkdtemp(), "iris.skops")
    >>> save(model, path)
    >>> bool((load(path).transform(X) == model.transform(X)).all())
    True
    """
    data = _skops().dumps(estimator)
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike[str], trusted: tuple[str, ...] = ()) -> Any:
    """Read an estimator that `save` wrote, refusing types it does not know.

    Parameters
    ----------
    path : str or path-like
    trusted : tuple of str, default=()
        Full names of further types that the file may hold.

    Returns
    -------
    estimator

    Raises
    ------
    ValueError
        If the file is damaged, or holds a type that is neither scikit-learn's, nor
        ours, nor in `trusted`.
    """
    skops = _skops()
    data = Path(path).read_bytes()
    try:
        unknown = skops.get_untrusted_types(data=data)
        ours = [name for name in unknown if name.startswith("sklearn_ae.")]
        return skops.loads(data, trusted=[*ours, *trusted])
    except Exception as error:
        raise ValueError(f"Cannot load {os.fspath(path)!r}: {error}") from error


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise ImportError(
            "save and load need skops: pip install 'sklearn_ae[safe]'."
        ) from error
    return skops.io
