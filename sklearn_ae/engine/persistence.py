"""What is kept of a fitted estimator, in memory, in a pickle and in a file.

Numpy arrays, a plain configuration and a checksum; no tensor, no training data but the
rows of a young stream, and no optimizer unless training is to go on. A file is about
the size of its parameters, loads where the device it was trained on is missing, and
passes through pickle, joblib and skops. What a file promises, and what is checked when
it is read, is said in ``docs/persistence.rst``.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import os
import sys
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator

from sklearn_ae.engine import archive, consistency, files, state, streams
from sklearn_ae.engine.fit import Fit
from sklearn_ae.engine.foreign import described
from sklearn_ae.engine.trees import Rebuilt, is_tree
from sklearn_ae.engine.units import Units
from sklearn_ae.params.fields import Params

__all__ = [
    "LAYOUT",
    "Persistent",
    "load",
    "save",
]

#: Number of the layout of a state. 1 is the layout before there were numbers.
LAYOUT = 3
#: Attributes that scikit-learn sets while a fit calls callbacks, and removes after it.
_OF_A_FIT = ("_callback_fit_ctx", "_parent_callback_ctx", "_skl_callbacks_to_teardown")


class Persistent:
    """An estimator that is kept as plain values with a checksum, and checks its state.

    A class that derives from it names in ``_learned`` what its state has after a fit.
    """

    _learned: ClassVar[tuple[str, ...]] = ()

    @property
    def _keeps_checksum(self) -> bool:
        """Whether there was a fit, whose results have a checksum of their own."""
        return self._learned[0] in vars(self)

    def _packed(self, kept: dict[str, Any]) -> dict[str, Any]:
        """Return attributes as they are kept."""
        return kept

    def _unpacked(self, kept: dict[str, Any]) -> dict[str, Any]:
        """Return what `_packed` was given."""
        return kept

    def _check_learned(self, kept: Mapping[str, Any]) -> None:
        """Raise ValueError where what was learned does not fit together."""

    def __getstate__(self) -> dict[str, Any]:
        kept: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        kept = {name: kept[name] for name in kept if name not in _OF_A_FIT}
        return _sealed(self._packed(kept), self._learned[0])

    def __setstate__(self, kept: Mapping[str, Any]) -> None:
        kept = self._unpacked(_opened(self, kept))
        super().__setstate__(kept)  # type: ignore[misc]

    def __copy__(self) -> Self:
        """Return an estimator with the same attributes: it shares the network."""
        copied, held = type(self).__new__(type(self)), dict(vars(self))
        vars(copied).update((n, held[n]) for n in held if n not in _OF_A_FIT)
        return copied


def _sealed(kept: Mapping[str, Any], first: str) -> dict[str, Any]:
    """Return a state with its layout and, after a fit, its checksum."""
    kept = {**kept, "_layout": LAYOUT}
    if first in kept:
        kept["_checksum"] = _checksum(kept)
    return kept


def _opened(estimator: Persistent, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `_sealed` was given.

    Raises
    ------
    ValueError
        If the state is of another layout, was damaged, or does not fit together.
    """
    name, learned = type(estimator).__name__, estimator._learned
    layout = kept.get("_layout", 1)
    if layout != LAYOUT:
        raise ValueError(
            f"This {name} was kept in layout {layout!r}, and this version of "
            f"sklearn_ae reads layout {LAYOUT}. Read it with the version that wrote "
            "it, or fit it again."
        )
    # a fit that is going on may have set the number of features, and nothing else
    fitted = any(part in kept for part in learned if part != "n_features_in_")
    if fitted or "_checksum" in kept:
        if kept.get("_checksum") != _checksum(kept):
            raise ValueError(
                f"This {name} was damaged on its way: what was learned does not match "
                "its checksum."
            )
        try:
            missing = [part for part in learned if part not in kept]
            consistency.need(not missing, f"it lacks {', '.join(missing)}")
            estimator._check_learned(kept)
        except Exception as error:
            raise ValueError(f"This {name} does not fit together: {error}.") from error
    return {n: kept[n] for n in kept if n not in ("_checksum", "_layout")}


def _checksum(kept: Mapping[str, Any]) -> str:
    return state.checksum({k: v for k, v in kept.items() if k not in state.UNCHECKED})


# -- a safe file -------------------------------------------------------------------

#: Class that takes the place of the tree in scikit-learn's KernelDensity, which may be
#: a `density`.
_OF_KERNELS = {f"{Rebuilt.__module__}.{Rebuilt.__qualname__}"}
#: Modules of scikit-learn whose classes a file may hold, besides its estimators.
_OF_SKLEARN = {
    "sklearn.calibration",
    "sklearn.cluster._bisect_k_means",
    "sklearn.compose._column_transformer",
    "sklearn.gaussian_process._gpc",
    "sklearn.gaussian_process.kernels",
    "sklearn.metrics._scorer",
    "sklearn.model_selection._split",
    "sklearn.multiclass",
    "sklearn.neural_network._stochastic_optimizers",
    "sklearn.utils._bunch",
    "sklearn.utils._metadata_requests",
}
#: Callbacks of skorch's that a file may hold: they write no file and read none.
_OF_SKORCH = {
    "skorch.callbacks.logging.ProgressBar",
    "skorch.callbacks.lr_scheduler.LRScheduler",
    "skorch.callbacks.regularization.GradientNormClipping",
    "skorch.callbacks.scoring.PassthroughScoring",
    "skorch.callbacks.training.EarlyStopping",
}
#: Functions of scikit-learn that scorers and selectors refer to.
_FUNCTIONS = ("sklearn.feature_selection", "sklearn.metrics")
#: Nodes that make instances of classes without a call that the file chooses.
_BY_STATE = {"DictNode", "ListNode", "ObjectNode", "TypeNode"}


def save(
    estimator: Any, path: str | os.PathLike[str], trusted: Iterable[str] = ()
) -> None:
    """Write an estimator (or a Pipeline or a search with one in it), all or nothing.

    The format is skops': unlike a pickle it can be inspected, and loading it runs no
    code that it brings. The file is written next to its place and then moved there, so
    that a crash while writing leaves an earlier file as it was; and it is written only
    if `load` takes it.

    Callbacks that `set_callbacks` set are left out.

    Parameters
    ----------
    estimator : estimator
    path : str or path-like
        File to write; a link is followed.
    trusted : iterable of str, default=()
        Full names of further types and functions that are in the estimator, and that
        `load` will be told to trust.

    Raises
    ------
    ValueError
        If it holds what `load` would refuse; the message names it.
    OSError
        If the file cannot be written. An earlier one then stays.
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
    trusted = list(trusted)
    try:
        data = archive.compact(_skops().dumps(_portable(estimator, {})))
        ours, unknown = _names(data, trusted)
        if unknown:
            raise ValueError(_not_trusted(unknown))
        _skops().loads(data, trusted=[*ours, *trusted])  # this checks what is in it
    except Exception as error:
        raise ValueError(
            f"Cannot save {type(estimator).__name__} to {os.fspath(path)!r}: "
            f"{str(error).rstrip('.')}."
        ) from error
    files.write(path, data)


def load(path: str | os.PathLike[str], trusted: Iterable[str] = ()) -> Any:
    """Read an estimator that `save` wrote, refusing types it does not know.

    Parameters
    ----------
    path : str or path-like
    trusted : iterable of str, default=()
        Full names of further types and functions that the file may hold.

    Returns
    -------
    estimator

    Raises
    ------
    ValueError
        If the file is damaged, of another layout, does not fit together, or holds a
        type that is neither scikit-learn's, nor this package's, nor in `trusted`.
    OSError
        If it cannot be read.
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
    skops, trusted = _skops(), list(trusted)
    data = files.read(path)
    other = described(data)
    if other is not None:
        raise ValueError(f"Cannot load {os.fspath(path)!r}: {other}.")
    try:
        ours, unknown = _names(data, trusted)
        if unknown:
            raise ValueError(
                f"it holds {', '.join(unknown)}. If you know what these are and trust "
                f"the author of the file, give trusted={unknown!r}"
            )
        return skops.loads(data, trusted=[*ours, *trusted])
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(
            f"Cannot load {os.fspath(path)!r}: {_why(error).rstrip('.')}."
        ) from error


def _not_trusted(unknown: list[str]) -> str:
    """Return the message for an estimator that `load` would not trust."""
    local = [name for name in unknown if _is_local(name)]
    named = [n for n in unknown if n not in local]
    told = f"it holds {', '.join(unknown)}, which load would not trust."
    if named:
        told += f" To save it, give trusted={named!r} to save and to load."
    if local:
        told += (
            f" {', '.join(local)} cannot be saved: a lambda, or what is defined in a "
            "function, has to be defined in a module."
        )
    return told


def _is_local(name: str) -> bool:
    """Tell whether a name is one that its module does not have, such as a lambda's."""
    module, _, last = name.rpartition(".")
    return module in sys.modules and not hasattr(sys.modules[module], last)


def _why(error: Exception) -> str:
    """Return why a file cannot be loaded.

    Errors of this package say it, and so do those of a missing import. Any other error
    comes from bytes that were not checked before.
    """
    told = not isinstance(error, archive.Damaged) and _is_ours(error)
    if told or isinstance(error, ImportError | Warning):
        return str(error)
    plain = isinstance(error, archive.Damaged | zipfile.BadZipFile)
    found = str(error).rstrip(".") if plain else type(error).__name__
    return (
        f"The file is damaged, or save did not write it ({found}). Restore it from a "
        "copy"
    )


def _is_ours(error: Exception) -> bool:
    """Tell whether an error was raised in this package."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "" if place is None else str(place.tb_frame.f_globals.get("__name__"))
    return isinstance(error, ValueError) and where.startswith("sklearn_ae.")


def _names(data: bytes, trusted: list[str]) -> tuple[list[str], list[str]]:
    """Return the names in a file that are trusted here, and those that are unknown.

    There may also be names that skops trusts, and those in `trusted`.
    """
    schema, own = archive.check(data), _own_types()
    made_by = archive.loaders(schema)
    ours: list[str] = []
    unknown: list[str] = []
    for name in _skops().get_untrusted_types(data=data):
        if name not in trusted:
            known = _is_known(name, made_by.get(name, set()), own)
            (ours if known else unknown).append(name)
    empty = own & archive.stateless(schema)
    if empty and not unknown:
        raise archive.Damaged(f"it has {', '.join(sorted(empty))} without its state")
    return ours, unknown


def _is_known(name: str, made_by: set[str], ours: set[str]) -> bool:
    """Tell whether a name may be in a file, if it is made there by these nodes."""
    if name in _OF_KERNELS:
        return made_by == {"ConstructorFromReduceNode"}
    if name in ours or name in _OF_SKORCH:
        return made_by <= _BY_STATE
    if name == "builtins.print":  # skorch's callbacks print with it
        return made_by == {"TypeNode"}
    if name == "numpy.dtype":
        return made_by == {"DTypeNode"}
    module, _, last = name.rpartition(".")
    if module.startswith("scipy.sparse."):
        kind = getattr(sp, last, None)
        same = isinstance(kind, type) and kind.__module__ == module
        return same and made_by == {"SparseMatrixNode"}
    if module in _OF_SKLEARN:
        return made_by <= _BY_STATE and inspect.isclass(_found(module, last))
    return made_by == {"FunctionNode"} and name in _functions()


def _found(module: str, name: str) -> Any:
    """Return what a module of scikit-learn's defines under a name, or None."""
    found = getattr(importlib.import_module(module), name, None)
    return found if getattr(found, "__module__", None) == module else None


def _functions() -> set[str]:
    """Return the full names of scikit-learn's functions that a file may refer to."""
    public = (
        getattr(importlib.import_module(module), name)
        for module in _FUNCTIONS
        for name in importlib.import_module(module).__all__
    )
    functions = filter(inspect.isfunction, public)
    return {f"{function.__module__}.{function.__qualname__}" for function in functions}


def _own_types() -> set[str]:
    """Return the full names of this package's classes that a file may hold."""
    kinds: list[type] = [Units, streams.Reach, streams.Stream, Params]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    ours = (kind for kind in kinds if kind.__module__.startswith("sklearn_ae."))
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in ours} | _OF_KERNELS


def _portable(value: Any, known: dict[int, Any]) -> Any:
    """Return a value as a file may hold it; the value itself, if a file may hold that.

    All estimators in it are without callbacks and without what belongs to a fit that is
    going on; trees are replaced by the rows that they are built from.
    """
    if id(value) in known:
        return known[id(value)][1]
    kept = value
    if is_tree(value):
        kept = Rebuilt.of(value)
    elif isinstance(value, list | set | tuple) or _is_of_objects(value):
        items = [_portable(item, known) for item in value]
        if any(new is not old for new, old in zip(items, value, strict=True)):
            kept = _like(value, items)
    elif isinstance(value, dict):
        changed = {name: _portable(item, known) for name, item in value.items()}
        if any(changed[name] is not value[name] for name in value):
            kept = copy.copy(value)
            kept.update(changed)
    elif isinstance(value, Fit):
        parts = {n: _portable(getattr(value, n), known) for n in ("asked", "density")}
        if any(parts[name] is not getattr(value, name) for name in parts):
            kept = dataclasses.replace(value, **parts)
    elif isinstance(value, BaseEstimator) and not isinstance(value, type):
        held = dict(vars(value))
        left_out = {"_skl_callbacks", *_OF_A_FIT} & set(held)
        parts = {n: _portable(held[n], known) for n in held if n not in left_out}
        if left_out or any(parts[name] is not held[name] for name in parts):
            kept = object.__new__(type(value))
            vars(kept).update(parts)
    known[id(value)] = value, kept  # held, so that no other object gets its id
    return kept


def _is_of_objects(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 1


def _like(value: Any, items: list[Any]) -> Any:
    """Return a list, set, tuple or array of items, of the kind that another is."""
    if isinstance(value, np.ndarray):
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array
    named = hasattr(value, "_fields")
    return type(value)(*items) if named else type(value)(items)


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise ImportError(
            "save and load need skops: pip install 'sklearn_ae[safe]'."
        ) from error
    return skops.io
