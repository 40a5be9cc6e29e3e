"""Which of skorch's callbacks are supported, and what is refused before training.

`sklearn_ae.engine.net` notifies callbacks. Those that could have no effect are refused
here: nothing that a user asks for is without effect, and nothing fails after an
epoch.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from typing import Any

from sklearn.metrics import get_scorer
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    GradientNormClipping,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
    TrainEndCheckpoint,
    WandbLogger,
)
from skorch.callbacks.training import ParamMapper
from torch.optim.lr_scheduler import ReduceLROnPlateau

__all__ = [
    "check_callbacks",
    "check_patterns",
    "has_policy",
    "has_printer",
    "is_callback",
    "own_copies",
    "reads_batches",
    "records",
]

#: Callbacks that compute a number of their own in each epoch.
SCORING = (EpochScoring, BatchScoring)
#: Callbacks that read nothing that is recorded of single batches.
_BY_EPOCH = (EarlyStopping, EpochTimer, GradientNormClipping, ParamMapper, PrintLog)
#: What the net itself records of an epoch, besides losses and their terms.
_RECORDED = ("epoch", "dur", "train_loss_best", "valid_loss_best")
#: Names that begin with these are reserved for losses and their terms.
_OF_FIT = ("train_", "valid_")


def is_callback(value: object) -> bool:
    """Tell whether skorch would take `value` as a callback."""
    value = _bare(value)
    return isinstance(value, Callback) or (
        isinstance(value, type) and issubclass(value, Callback)
    )


def has_policy(callbacks: Iterable[Any] | None) -> bool:
    """Tell whether a callback sets the course of the learning rate."""
    return _has_kind(callbacks, LRScheduler)


def has_printer(callbacks: Iterable[Any] | None) -> bool:
    """Tell whether a callback prints a line per epoch."""
    return _has_kind(callbacks, PrintLog)


def _has_kind(callbacks: Iterable[Any] | None, kind: type[Callback]) -> bool:
    given = [_bare(callback) for callback in callbacks or ()]
    return any(
        issubclass(one if isinstance(one, type) else type(one), kind) for one in given
    )


def own_copies(callbacks: Iterable[Any] | None) -> list[Any]:
    """Return callbacks whose state is their own.

    Their arguments are not copied: a file or a writer that they write to, or a function
    that they call, has to be the caller's.
    """

    def own(given: Any) -> Any:
        if isinstance(given, tuple):
            return (given[0], own(given[1]))
        return given if isinstance(given, type) else copy.copy(given)

    return [own(given) for given in callbacks or ()]


def reads_batches(callback: Callback) -> bool:
    """Tell whether a callback may read what is recorded of single batches."""
    if isinstance(callback, LRScheduler):
        return callback.step_every == "batch" or callable(callback.monitor)
    return not isinstance(callback, _BY_EPOCH)


def records(callback: Callback) -> str | None:
    """Return the name of the number that a callback computes in each epoch, if any."""
    if not isinstance(callback, (*SCORING, PassthroughScoring)):
        return None
    return getattr(callback, "name_", callback.name)


def check_callbacks(
    callbacks: Sequence[Any] | None, *, held_out: bool, streaming: bool, solver: str
) -> None:
    """Raise ValueError for a callback that would have no effect, or a wrong one.

    Parameters
    ----------
    callbacks : sequence or None
        Value of the parameter: skorch's callbacks, their classes, or pairs with a name.
    held_out : bool
        Whether there are held-out rows.
    streaming : bool
        Whether the training is one pass over rows of a stream.
    solver : str
    """
    seen: list[Any] = []
    for given in callbacks or ():
        callback = _bare(given)
        if isinstance(callback, type):
            callback = callback()
        problem = (
            _of_kind(callback)
            or _of_course(callback, streaming, solver)
            or (None if held_out else _of_held_out(callback, seen))
            or _of_scoring(callback)
            or _of_passing_on(callback, seen)
            or _of_monitor(callback, seen)
        )
        if problem is not None:
            raise ValueError(
                f"{type(callback).__name__} in callbacks= is not supported here: "
                f"{problem}"
            )
        seen.append(callback)


def check_patterns(callbacks: Sequence[Any] | None, names: Iterable[str]) -> None:
    """Raise ValueError where a callback is for parameters that are not there."""
    names = list(names)
    for given in callbacks or ():
        callback = _bare(given)
        if not isinstance(callback, ParamMapper):
            continue
        patterns = callback.patterns
        if not isinstance(patterns, list | tuple):
            patterns = [patterns]
        for pattern in patterns:
            matches = pattern if callable(pattern) else _globbed(pattern)
            if not any(matches(name) for name in names):
                raise ValueError(
                    f"{type(callback).__name__} in callbacks= is for parameters "
                    f"{pattern!r}, but no parameter has such a name. The names are "
                    f"{', '.join(names)}."
                )


def _globbed(pattern: str) -> Any:
    return lambda name: fnmatch(name, pattern)


def _bare(given: Any) -> Any:
    """Return the callback of a pair with a name."""
    return given[1] if isinstance(given, tuple) and len(given) == 2 else given


def _of_kind(callback: Callback) -> str | None:
    """Return why a callback is not supported at all, or None."""
    if isinstance(callback, InputShapeSetter):
        return "the network has the size of X already. Leave it out."
    if isinstance(callback, LoadInitState):
        return (
            "a checkpoint has the weights, but not the units of the rows. "
            "Use warm_start=True, or sklearn_ae.load and partial_fit."
        )
    if not isinstance(callback, Checkpoint | TrainEndCheckpoint):
        return None
    if callback.f_pickle:
        return (
            "the net of a training holds its rows and cannot be pickled. Use "
            "f_params, or sklearn_ae.save on the fitted estimator."
        )
    if callback.use_safetensors and importlib.util.find_spec("safetensors") is None:
        return "use_safetensors=True needs the package safetensors. Install it."
    return None


def _of_course(callback: Callback, streaming: bool, solver: str) -> str | None:
    """Return why a callback does not work in such a training, or None."""
    once = "partial_fit makes one pass over the rows of each call. Use fit."
    if isinstance(callback, LRScheduler):
        try:
            callback._get_policy_cls()
        except AttributeError:
            return f"it knows no policy {callback.policy!r}. Give the policy's class."
        if solver == "lbfgs":
            return "solver='lbfgs' searches for the length of each step. Use 'adam'."
        return once if streaming else None
    if streaming and isinstance(callback, EarlyStopping):
        return once
    late = isinstance(callback, ParamMapper) and isinstance(callback.at, int)
    if streaming and late and callback.at > 1:
        return once
    return None


def _of_held_out(callback: Callback, before: Sequence[Callback]) -> str | None:
    """Return why a callback does not work without held-out rows, or None."""
    hint = "Set early_stopping=True, with X_val in fit or without"
    if isinstance(callback, (*SCORING, PassthroughScoring)) and not callback.on_train:
        return f"it scores held-out rows, and there are none. {hint}, or on_train=True."
    if isinstance(callback, WandbLogger) and callback.save_model:
        return (
            "save_model=True keeps the best network by held-out rows, and there are "
            f"none. {hint}, or save_model=False."
        )
    monitor = _monitor(callback)
    if monitor is None or not monitor.startswith("valid_"):
        return None
    if monitor in _names_of(before) or any(map(_is_foreign, before)):
        return None
    instead = monitor.replace("valid_", "train_", 1)
    return (
        f"monitor={monitor!r} needs held-out rows, and there are none. {hint}, or "
        f"monitor={instead!r}."
    )


def _of_scoring(callback: Callback) -> str | None:
    """Return why a callback has nothing to score by, or no place for the score."""
    if not isinstance(callback, SCORING):
        return None
    if callback.scoring is None:
        return "the net has no score of its own. Give a function or a scorer's name."
    if isinstance(callback.scoring, str):
        try:
            get_scorer(callback.scoring)
        except ValueError as error:
            return str(error)
    try:
        name = records(copy.copy(callback).initialize())
    except AttributeError:  # an object that can be called
        return "its function has no name. Give the callback a name=."
    if isinstance(name, str) and (name in _RECORDED or name.startswith(_OF_FIT)):
        return (
            f"its name {name!r} is reserved for losses and their terms, as are all "
            f"that begin with {' or '.join(map(repr, _OF_FIT))}. Give it another name=."
        )
    return None


def _of_passing_on(callback: Callback, before: Sequence[Callback]) -> str | None:
    """Return why there is nothing to pass on."""
    if not isinstance(callback, PassthroughScoring) or any(map(_is_foreign, before)):
        return None
    ours, name = "train_" if callback.on_train else "valid_", callback.name
    scored = [one for one in before if isinstance(one, BatchScoring)]
    own = [records(copy.copy(one).initialize()) for one in scored]
    if name in own or name.startswith(ours):
        return None
    return (
        f"no callback before it records {name!r} of batches. With on_train="
        f"{callback.on_train} there are '{ours}loss' and the other terms of the "
        "objective, and the name of any BatchScoring before it."
    )


def _of_monitor(callback: Callback, before: Sequence[Callback]) -> str | None:
    """Return why the number that a callback monitors is not recorded."""
    monitor = _monitor(callback)
    if monitor is None or any(map(_is_foreign, before)):
        return None
    known = [*_RECORDED, *_names_of(before)]
    of_objective = monitor.startswith(("train_", "valid_"))
    if monitor in known or (of_objective and not monitor.endswith("_best")):
        return None
    return (
        f"monitor={monitor!r} is recorded by no callback before it. There are "
        f"'train_loss', 'valid_loss', {', '.join(map(repr, known[2:]))}, and the "
        "name of any EpochScoring before it."
    )


def _monitor(callback: Callback) -> str | None:
    """Return the name of the number that a callback monitors, if it monitors one."""
    if isinstance(callback, LRScheduler):
        policy = callback._get_policy_cls()
        plateau = isinstance(policy, type) and issubclass(policy, ReduceLROnPlateau)
        monitor = callback.monitor if plateau else None
    elif isinstance(callback, Checkpoint | EarlyStopping):
        monitor = callback.monitor
    else:
        return None
    return monitor if isinstance(monitor, str) else None


def _names_of(callbacks: Iterable[Callback]) -> list[str]:
    """Return the names under which callbacks record what they compute."""
    names: list[str] = []
    for callback in callbacks:
        if isinstance(callback, SCORING) and callback.scoring is not None:
            name = copy.copy(callback).initialize().name_
        elif isinstance(callback, PassthroughScoring):
            name = callback.name
        else:
            event = getattr(callback, "event_name", None)
            names += [event] if event else []
            continue
        names.append(name)
        if callback.lower_is_better is not None:
            names.append(f"{name}_best")
    return names


def _is_foreign(callback: Callback) -> bool:
    """Tell whether a callback is not skorch's own: it may then record anything."""
    return not type(callback).__module__.startswith("skorch.")
