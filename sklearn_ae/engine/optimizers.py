"""From an estimator's parameters to the net that trains its module."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from sklearn_ae.engine import eager
from sklearn_ae.engine.callbacks import has_policy, has_printer, own_copies
from sklearn_ae.engine.module import TrainableModule
from sklearn_ae.engine.net import AutoencoderNet
from sklearn_ae.engine.starts import FromRandom
from sklearn_ae.engine.stopping import BestWeights
from sklearn_ae.engine.tensors import make_generator

__all__ = ["make_net"]

#: How many times faster a module's ``fast_parameters`` learn, by "adam".
FAST = 10.0
#: skorch's names of each solver's class and settings.
SOLVERS: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": eager.AdamW, "optimizer__fused": True},
    "sgd": {
        "optimizer": eager.SGD,
        "optimizer__fused": True,
        "optimizer__momentum": 0.9,
        "optimizer__nesterov": True,
    },
    "lbfgs": {
        "optimizer": eager.LBFGS,
        "optimizer__max_iter": 1,  # an epoch is one of its iterations,
        "optimizer__max_eval": 26,  # with up to 25 steps of its line search
        "optimizer__tolerance_grad": 1e-10,
        "optimizer__tolerance_change": 0.0,
        "optimizer__history_size": 20,
        "optimizer__line_search_fn": "strong_wolfe",
    },
}


def make_net(
    estimator: Any,
    module: TrainableModule,
    device: torch.device,
    *,
    start: FromRandom,
    kind: type[AutoencoderNet] = AutoencoderNet,
    n_rows: int = 1,
    n_seen: int = 1,
    n_features: int,
    streaming: bool,
    streams: list[int],
    mixed: bool,
    score: Callable[[], float] | None = None,
) -> AutoencoderNet:
    """Return the skorch net that trains `module` as the estimator's parameters say.

    Parameters
    ----------
    estimator : estimator with `TrainingParameters`
    module : TrainableModule
    device : torch.device
    start : FromRandom or FromPCA
        Start of the training.
    kind : type
        Class of the net.
    n_rows, n_seen : int
        Number of rows of an epoch, and of all that were learned from.
    n_features : int
    streaming : bool
        Whether one pass is made over the rows, at a constant rate.
    streams : list of int
        Seeds of the order of the rows, and of the noise.
    mixed : bool
        Whether to compute in bfloat16.
    score : callable or None
        Function that returns a score of held-out rows, by which weights are chosen.
    """
    full_batch = estimator.solver == "lbfgs"
    batch_size = n_rows if full_batch else _resolve_batch_size(estimator, n_rows)
    one_cycle = not streaming and not full_batch
    one_cycle = one_cycle and estimator.learning_rate == "one_cycle"
    one_cycle = one_cycle and not has_policy(estimator.callbacks)
    rate = _resolve_learning_rate(estimator, start, n_features, one_cycle)
    optimizer = dict(SOLVERS[estimator.solver])
    if not full_batch:
        optimizer["optimizer__weight_decay"] = 0.0
        groups: list[tuple[str, dict[str, float]]] = []
        decay = _resolve_weight_decay(estimator, start, module, n_seen, n_features)
        groups.append(("*.kernel", {"weight_decay": decay}))
        if estimator.solver == "adam":
            fast = module.fast_parameters
            groups += [(name, {"lr": FAST * rate}) for name in fast]
            eps = start.adam_eps(module)
            if eps is not None:
                optimizer["optimizer__eps"] = eps
        optimizer["optimizer__param_groups"] = groups
    epochs = 1
    if not streaming:
        n_batches = math.ceil(n_rows / batch_size)
        epochs = _resolve_max_iter(estimator, start, module, n_batches, n_features)
    order, noise = streams
    shuffles = estimator.shuffle and not full_batch
    stopping = [] if streaming else _stopping_rule(estimator, score)
    net = kind(
        module,
        **optimizer,
        lr=rate,
        schedule="one_cycle" if one_cycle else "constant",
        max_epochs=epochs,
        batch_size=batch_size,
        shuffle_generator=(
            make_generator(order, torch.device("cpu")) if shuffles else None
        ),
        noise_generator=make_generator(noise, device),
        autocast=torch.bfloat16 if mixed else None,
        callbacks=[*own_copies(estimator.callbacks), *stopping],
        verbose=max(int(estimator.verbose), has_printer(estimator.callbacks)),
        device=str(device),
    )
    # of an interrupted first fit there is no earlier one to go back to
    net.keeps_interrupted = not streaming and not hasattr(estimator, "n_features_in_")
    return net


def _resolve_batch_size(estimator: Any, n_rows: int) -> int:
    """Return the batch size; "auto" is about 256 rows, in batches of equal size."""
    if estimator.batch_size != "auto":
        return min(int(estimator.batch_size), n_rows)
    n_batches = max(1, round(n_rows / 256))
    return math.ceil(n_rows / n_batches)


def _resolve_max_iter(
    estimator: Any,
    start: FromRandom,
    module: TrainableModule,
    n_batches: int,
    n_features: int,
) -> int:
    if estimator.max_iter != "auto":
        return int(estimator.max_iter)
    if estimator.solver == "lbfgs":
        return 500
    return start.max_iter(module, n_batches, n_features)


def _resolve_learning_rate(
    estimator: Any, start: FromRandom, n_features: int, one_cycle: bool
) -> float:
    if estimator.solver == "lbfgs":
        return 1.0
    if estimator.learning_rate_init != "auto":
        return float(estimator.learning_rate_init)
    cycles = one_cycle and estimator.solver != "sgd"
    peak = float(estimator._peak_learning_rate) if cycles else None
    return start.learning_rate(n_features, peak)


def _resolve_weight_decay(
    estimator: Any,
    start: FromRandom,
    module: TrainableModule,
    n_rows: int,
    n_features: int,
) -> float:
    if estimator.solver != "adam":
        return 0.0
    if estimator.weight_decay != "auto":
        return float(estimator.weight_decay)
    return start.weight_decay(module, n_rows, n_features)


def _stopping_rule(
    estimator: Any, score: Callable[[], float] | None = None
) -> list[tuple[str, BestWeights]]:
    """Return the rule that ends training before `max_iter`, if there is one.

    A one-cycle schedule is made for its number of epochs: only held-out rows may cut
    it short.
    """
    if estimator.early_stopping:
        monitor = "valid"
    elif estimator.learning_rate == "constant" or estimator.solver == "lbfgs":
        monitor = "train"
    else:
        return []
    rule = BestWeights(
        monitor,
        estimator.tol,
        estimator.n_iter_no_change,
        restore=bool(estimator.early_stopping),
        score=score,
    )
    return [("stopping", rule)]
