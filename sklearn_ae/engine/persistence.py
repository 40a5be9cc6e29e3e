"""What is kept of a fitted estimator, in memory, in a pickle and in a file.

Numpy arrays, a plain configuration and a checksum; no tensor, no training data but the
rows of a young stream, and no optimizer unless training is to go on. A file is about
the size of its parameters, loads where the device it was trained on is missing, and
passes through pickle, joblib and skops.
"""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from sklearn_ae.engine import bridge, state, streams, training
from sklearn_ae.engine.params import Params
from sklearn_ae.engine.surroundings import plain_torch

__all__ = ["load", "pack", "restore", "save", "seal", "unpack", "unseal", "write"]

#: What scikit-learn's KernelDensity, which may be a `density`, is made of.
_OF_KERNELS = {
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
}
#: What no result depends on.
_UNCHECKED = ("_checksum", "_skl_callbacks", "callbacks", "device_")
_DAMAGED = (
    "This {} was damaged on its way: what was learned does not match its checksum."
)


def pack(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return an estimator's state with its module as arrays."""
    kept = dict(kept)
    module = kept.pop("module_", None)
    kept.pop("_net", None)
    if module is not None:
        kept["_weights"] = state.weights(module)
        kept["_checksum"] = _checksum(kept)
    return kept


def unpack(
    kept: Mapping[str, Any], name: str
) -> tuple[dict[str, Any], dict[str, NDArray[Any]] | None]:
    """Return the state without its module's arrays, and these, if it is a fitted one.

    Raises
    ------
    ValueError
        If the state is not what `pack` made.
    """
    kept = dict(kept)
    checksum = kept.pop("_checksum", None)
    if checksum is None:
        return kept, None
    if _checksum(kept) != checksum:
        raise ValueError(_DAMAGED.format(name))
    arrays = kept.pop("_weights")
    if kept["device_"] not in bridge.available_devices():
        warnings.warn(
            f"This {name} was fitted on {kept['device_']!r}, which is not available "
            "here; it will compute on the CPU.",
            stacklevel=3,
        )
        kept["device_"] = "cpu"
    return kept, arrays


def seal(kept: Mapping[str, Any], learned: tuple[str, ...]) -> dict[str, Any]:
    """Return an estimator's state with a checksum of some of it, if it is fitted.

    For estimators made of others, whose modules these keep.
    """
    kept = dict(kept)
    if learned[0] in kept:
        kept["_checksum"] = state.checksum([kept[name] for name in learned])
    return kept


def unseal(
    kept: Mapping[str, Any], learned: tuple[str, ...], name: str
) -> dict[str, Any]:
    """Return the state that `seal` was given; raise ValueError if it is another."""
    kept = dict(kept)
    checksum = kept.pop("_checksum", None)
    if learned[0] in kept and checksum != state.checksum([kept[n] for n in learned]):
        raise ValueError(_DAMAGED.format(name))
    return kept


def restore(estimator: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return the module of an unpacked estimator."""
    dtype = training.compute_dtype(estimator._fitted_dtype)
    with plain_torch(), torch.inference_mode(False):
        module = training.build_module(
            estimator._module_class, estimator._config, dtype, seed=0
        )
        state.load_weights(module, arrays)
        return module.to(torch.device(estimator.device_))


def _checksum(kept: Mapping[str, Any]) -> str:
    return state.checksum({k: v for k, v in kept.items() if k not in _UNCHECKED})


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
    write(path, _skops().dumps(estimator))


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file beside its place and move it there: all of it, or nothing."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.chmod(temporary, path.stat().st_mode & 0o777)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
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
    ImportError
        If skops is not installed (``pip install "sklearn_ae[safe]"``).

    See Also
    --------
    save : Write such a file.

    Examples
    --------
    >>> import tempfile, os
    >>> from sklearn_ae import Autoencoder, load, save
    >>> path = os.path.join(tempfile.mkdtemp(), "unfitted.skops")
    >>> save(Autoencoder(3), path)
    >>> load(path)
    Autoencoder(n_components=3)
    """
    skops = _skops()
    data = Path(path).read_bytes()
    try:
        unknown = skops.get_untrusted_types(data=data)
        ours = _own_types() & set(unknown)
        return skops.loads(data, trusted=[*ours, *trusted])
    except Exception as error:
        raise ValueError(f"Cannot load {os.fspath(path)!r}: {error}") from error


def _own_types() -> set[str]:
    """Return the full names of the classes that a file of ours may hold."""
    kinds: list[type] = [bridge.Units, streams.Reach, streams.Stream, Params]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    ours = (kind for kind in kinds if kind.__module__.startswith("sklearn_ae."))
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in ours} | _OF_KERNELS


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise ImportError(
            "save and load need skops: pip install 'sklearn_ae[safe]'."
        ) from error
    return skops.io
