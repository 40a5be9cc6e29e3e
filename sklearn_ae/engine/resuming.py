"""How a training goes on from an earlier one: its seeds and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sklearn_ae.engine import state
from sklearn_ae.engine.fit import Fit
from sklearn_ae.engine.module import CodingModule

__all__ = ["next_seed", "seeds_of", "take_over"]


def next_seed(random_state: Any, earlier: Fit | None = None) -> tuple[int, int]:
    """Return the seed of a training, and how many went on from it before.

    Every training has its own; numpy's global state stays untouched.
    """
    if earlier is not None:
        return earlier.seed, earlier.n_trainings + 1
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0]), 0
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31)), 0
    return int(random_state), 0


def seeds_of(seed: int, n_trainings: int) -> list[int]:
    """Return the seeds of the weights, of the order of rows, and of the noise."""
    seeds = np.random.SeedSequence((seed, n_trainings)).generate_state(3)
    return list(map(int, seeds))


def take_over(module: CodingModule, asked: Mapping[str, Any], earlier: Fit) -> None:
    """Go on with the weights of an earlier fit and the present hyperparameters.

    Parameters
    ----------
    module : CodingModule
        Module that the present parameters describe.
    asked : dict
        Parameters that it was built from, as in `Fit`.
    earlier : Fit

    Raises
    ------
    ValueError
        If the earlier fit was of another architecture or objective.
    """
    same = module.traits == earlier.module.traits
    same = same and asked["standardize"] == earlier.asked["standardize"]
    try:
        if not same:
            raise RuntimeError("another objective")
        state.load_weights(module, state.weights(earlier.module), keep="hyper.")
    except RuntimeError as error:
        raise ValueError(
            "Training cannot go on with another architecture or objective than it "
            f"began with, and this one has another {_difference(asked, earlier)}. "
            "Use fit with warm_start=False."
        ) from error


def _difference(asked: Mapping[str, Any], earlier: Fit) -> str:
    """Return the names of parameters that an earlier fit had otherwise."""
    others = []
    for name, value in asked.items():
        before = earlier.asked.get(name)
        numbers = isinstance(value, float) and isinstance(before, float)
        free = numbers or name in ("corruption", "noise", "penalties", "solver")
        if not free and value is not before and not _is_same(value, before):
            named = name in ("likelihood", "loss")
            others.append(f"{name}={value!r}" if named else name)
    return ", ".join(others) or "number of features"


def _is_same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(np.asarray(one, object), np.asarray(other, object)))
