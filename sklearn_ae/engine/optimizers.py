"""From an estimator's parameters to the net that trains its module.

What "auto" means for batches, epochs, learning rate and decay is said here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from sklearn_ae.engine import eager
from sklearn_ae.engine.callbacks import has_policy, has_printer, own_copies
from sklearn_ae.engine.net import AutoencoderNet
from sklearn_ae.engine.stopping import BestWeights
from sklearn_ae.engine.tensors import make_generator

__all__ = ["make_net"]

#: Where training starts at an optimum, gradients are round-off, of which "adam" would
#: make whole steps: what is below this counts for the less. Layers that are linear are
#: at the optimum with all that they have.
ROUND_OFF, ROUND_OFF_AT_PCA = 3e-5, 1e-3
#: How many times faster a module's ``fast_parameters`` learn, by "adam".
FAST = 10.0


def make_net(
    estimator: Any,
    module: Any,
    device: torch.device,
    *,
    kind: type[AutoencoderNet] = AutoencoderNet,
    n_rows: int,
    n_seen: int,
    n_features: int,
    linear_path: bool,
    streaming: bool,
    streams: list[int],
    mixed: bool,
    score: Callable[[], float] | None = None,
) -> AutoencoderNet:
    """Return the skorch net that trains `module` as the estimator's parameters say.

    Where there is a `score` of held-out rows, weights are chosen by it.
    """
    full_batch = estimator.solver == "lbfgs"
    one_cycle = not streaming and not full_batch
    one_cycle = one_cycle and estimator.learning_rate == "one_cycle"
    one_cycle = one_cycle and not has_policy(estimator.callbacks)
    shuffle, noise = streams
    optimizer: dict[str, Any] = {
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
    }[estimator.solver]
    # layers that are linear are PCA's own maps, which have to be nudged at most
    nudged = linear_path and not module.leaves_pca
    noisy = getattr(module, "corruption", None) is not None
    if linear_path and estimator.solver == "adam":
        at_pca = nudged and not estimator.hidden_layer_sizes
        optimizer["optimizer__eps"] = ROUND_OFF_AT_PCA if at_pca else ROUND_OFF
    rate = _resolve_learning_rate(estimator, n_features, linear_path, one_cycle)
    if not full_batch:
        decay = _resolve_weight_decay(estimator, n_seen, n_features, linear_path)
        optimizer["optimizer__weight_decay"] = 0.0
        groups, fast = [("*.kernel", {"weight_decay": decay})], module.fast_parameters
        if estimator.solver == "adam":
            groups += [(name, {"lr": FAST * rate}) for name in fast]
        optimizer["optimizer__param_groups"] = groups
    stopping = [] if streaming else _stopping_rule(estimator, score)
    net = kind(
        module,
        **optimizer,
        lr=rate,
        schedule="one_cycle" if one_cycle else "constant",
        max_epochs=(
            1
            if streaming
            else _resolve_max_iter(estimator, n_rows, n_features, nudged, noisy)
        ),
        batch_size=n_rows if full_batch else _resolve_batch_size(estimator, n_rows),
        shuffle_generator=(
            make_generator(shuffle, torch.device("cpu"))
            if estimator.shuffle and not full_batch
            else None
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
    """About 256 rows, in batches of equal size."""
    if estimator.batch_size != "auto":
        return min(int(estimator.batch_size), n_rows)
    n_batches = max(1, round(n_rows / 256))
    return math.ceil(n_rows / n_batches)


def _resolve_max_iter(
    estimator: Any, n_rows: int, n_features: int, nudged: bool, noisy: bool
) -> int:
    """Up to 64 epochs of bounded work along the linear path, else about 100.

    Noisy rows are others in each epoch: along the linear path twice as many, and of few
    features as many as make 2000 steps.
    """
    if estimator.max_iter != "auto":
        return int(estimator.max_iter)
    if estimator.solver == "lbfgs":
        return 500
    n_batches = math.ceil(n_rows / _resolve_batch_size(estimator, n_rows))
    if not nudged:  # from random weights, 2000 to 10000 steps
        least, most = math.ceil(2000 / n_batches), math.ceil(10000 / n_batches)
        return min(400, max(least, min(100, most)))
    most_steps = max(100, min(max(400, 7 * n_features), 2_000_000 // n_features))
    epochs = min(40 if n_batches == 1 else 64, math.ceil(most_steps / n_batches))
    if noisy:
        least = min(2000, 400_000 // n_features)
        return min(400, max(2 * epochs, math.ceil(least / n_batches)))
    return epochs


def _resolve_learning_rate(
    estimator: Any, n_features: int, linear_path: bool, one_cycle: bool
) -> float:
    if estimator.solver == "lbfgs":
        return 1.0
    if estimator.learning_rate_init != "auto":
        return float(estimator.learning_rate_init)
    if estimator.solver == "sgd" or not one_cycle:
        return min(1e-3, 10.0 / n_features) if linear_path else 1e-3
    if linear_path:
        return min(1e-2, 10.0 / n_features)
    return float(estimator._peak_learning_rate)


def _resolve_weight_decay(
    estimator: Any, n_rows: int, n_features: int, linear_path: bool
) -> float:
    """Shrink the correction to PCA the more, the fewer rows there are per feature."""
    if estimator.solver != "adam":
        return 0.0
    if estimator.weight_decay != "auto":
        return float(estimator.weight_decay)
    if not linear_path or not estimator.hidden_layer_sizes:
        return 0.0
    return min(10.0, 20.0 * (n_features + 20) / n_rows)


def _stopping_rule(
    estimator: Any, score: Callable[[], float] | None = None
) -> list[tuple[str, BestWeights]]:
    """Return what ends training before `max_iter`, where anything does.

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
