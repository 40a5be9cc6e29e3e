"""What happens around each epoch, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_ae.engine.callbacks import records
from sklearn_ae.engine.net import AutoencoderNet
from sklearn_ae.engine.stopping import EpochHook

__all__ = ["epoch_hook", "history", "rounds"]


def epoch_hook(
    estimator: Any, context: Any, X: Any, y: Any, fitted: Any
) -> list[tuple[str, EpochHook]]:
    """Return the hook that tells scikit-learn's callbacks of epochs, if any."""
    if context is None or not getattr(estimator, "_skl_callbacks", []):
        return []
    tasks: list[Any] = []

    def attributes() -> dict[str, Any]:
        found: dict[str, Any] = fitted()
        if "n_features_in_" in found:  # they are set on a copy, which has old ones
            found = {"feature_names_in_": None, **found}
        return found

    def begin(net: AutoencoderNet) -> None:
        tasks.append(context.subcontext(task_name="epoch"))
        tasks[-1].call_on_fit_task_begin(estimator=estimator, X=X, y=y)

    def end(net: AutoencoderNet) -> bool:
        stop = tasks.pop().call_on_fit_task_end(
            estimator=estimator, X=X, y=y, reconstruction_attributes=attributes
        )
        return bool(stop)

    return [("sklearn_callbacks", EpochHook(begin, end))]


def rounds(
    n_rounds: int, relate_anew: Callable[[], None]
) -> list[tuple[str, EpochHook]]:
    """Return the hook that relates the rows again in each round but the first, if any.

    The objective changes with each round: held-out rows choose among the weights of the
    last round.
    """
    if n_rounds == 1:
        return []
    done = 0

    def begin(net: AutoencoderNet) -> None:
        nonlocal done
        epoch = len(net.history) - 1 - net._first_epoch
        due = epoch * n_rounds // net.max_epochs
        net.module_.schedule_done = due == n_rounds - 1
        if due > done:
            done = due
            relate_anew()
            if net.stopping is not None:
                net.stopping.on_train_begin(net)

    return [("rounds", EpochHook(begin, lambda net: False))]


def history(
    net: AutoencoderNet, earlier: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """Return each term of the objective by epoch, after those of earlier trainings.

    The numbers of scoring callbacks are included.
    """
    if not net.history:
        return {"train_loss": np.zeros(0)}
    scores = [records(callback) for _, callback in net.callbacks_]
    names = [
        name
        for name in net.history[-1]
        if name in scores
        or (
            name.startswith(("train_", "valid_"))
            and not name.endswith(("_count", "_best"))
        )
    ]
    curves = {name: np.array(net.history[:, name], dtype=np.float64) for name in names}
    return {
        name: np.concatenate([earlier.get(name, curve[:0]), curve])
        for name, curve in curves.items()
    }
