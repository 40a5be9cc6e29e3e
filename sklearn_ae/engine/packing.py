"""The fit of an autoencoder as plain values and arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sklearn_ae.engine import consistency, state
from sklearn_ae.engine.fit import Fit
from sklearn_ae.engine.module import Blank, CodingModule
from sklearn_ae.engine.notices import warn_user
from sklearn_ae.engine.shared_parameters import OF_TRAINING
from sklearn_ae.engine.surroundings import plain_torch
from sklearn_ae.engine.tensors import available_devices

__all__ = ["check_autoencoder", "pack", "unpack"]


def pack(estimator: Any, kept: dict[str, Any]) -> dict[str, Any]:
    """Return an autoencoder's attributes with its fit as plain values and arrays."""
    kept = dict(kept)
    fit: Fit | None = kept.pop("_fit", None)
    kept.pop("_net", None)
    if fit is None:
        return kept
    parts = {name: getattr(fit, name) for name in _PARTS}
    now = {name: kept.get(name) for name in fit.asked}
    asked = {n: value for n, value in fit.asked.items() if not _is_same(value, now[n])}
    kept["device_"] = str(fit.device)
    kept["_fit"] = {**parts, "asked": asked, "weights": state.weights(fit.module)}
    return kept


#: Parameters with an item for each layer. A layer has at least one array.
_OF_LAYERS = ("channels", "discriminator_layer_sizes", "hidden_layer_sizes")
#: Parts of a `Fit` that are kept as they are.
_PARTS = (
    "units",
    "dtype",
    "history",
    "code_moments",
    "density",
    "stream",
    "seed",
    "n_trainings",
    "optimizer_moments",
)


def _is_same(one: object, other: object) -> bool:
    """Tell whether two plain values are the same, in kind too."""
    plain = (bool, float, int, str, tuple, type(None))
    return isinstance(one, plain) and type(one) is type(other) and one == other


def unpack(estimator: Any, kept: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes that `pack` was given, but for the skorch net.

    Where the device of the fit is missing the module is on the CPU, and a UserWarning
    says so.
    """
    kept = dict(kept)
    packed = kept.pop("_fit", None)
    if packed is None:
        return kept
    device = kept.pop("device_")
    if device not in available_devices():
        warn_user(
            f"This {type(estimator).__name__} was fitted on {device!r}, which is not "
            "available here. It will compute on the CPU."
        )
        device = "cpu"
    asked_of = _asked(estimator, kept, packed)
    with plain_torch(), torch.inference_mode(False):
        module = _built(asked_of, kept, packed)
        state.load_weights(module, packed["weights"])
        module = module.to(torch.device(device))
    parts = {name: packed[name] for name in _PARTS}
    kept["_fit"] = Fit(module, loss=asked_of.loss, asked=asked_of._asked(), **parts)
    return kept


def check_autoencoder(estimator: Any, kept: Mapping[str, Any]) -> None:
    """Raise ValueError where what an autoencoder learned does not fit together.

    Shapes come first: arrays take no memory before they are known to be there.
    """
    packed, need = kept["_fit"], consistency.need
    need(isinstance(packed, dict), "its fit is missing")
    names = {*_PARTS, "asked", "weights"}
    need(set(packed) == names, "its fit has other parts than a fit has")
    dtypes = ("bfloat16", "float32", "float64")
    need(packed["dtype"] in dtypes, "its dtype is not one that a fit computes in")
    need(isinstance(kept.get("device_"), str), "its device is not a name")
    asked_of = _asked(estimator, kept, packed)
    need(isinstance(packed["weights"], dict), "it has no weights")
    n_layers = sum(len(getattr(asked_of, name, ())) for name in _OF_LAYERS)
    need(n_layers <= len(packed["weights"]), "its weights are too few")
    with plain_torch():
        module = consistency.check_module(
            lambda: _built(asked_of, kept, packed),
            packed["weights"],
            kept["n_features_in_"],
        )
    consistency.check_fit(kept, packed, module, estimator._accept_nan)


def _asked(estimator: Any, kept: Mapping[str, Any], packed: Mapping[str, Any]) -> Any:
    """Return an autoencoder that is not fitted, with the parameters of the fit."""
    known, asked = estimator._get_param_names(), packed["asked"]
    consistency.need(
        isinstance(asked, dict) and set(asked) <= set(known),
        "the parameters of its fit are not those that it has",
    )
    double = object.__new__(type(estimator))
    vars(double).update({name: kept[name] for name in known if name in kept})
    vars(double).update(asked)
    missing = [name for name in known if name not in vars(double)]
    consistency.need(not missing, f"it lacks {', '.join(missing)}")
    double._check_those(name for name in known if name not in OF_TRAINING)
    return double


def _built(
    asked_of: Any, kept: Mapping[str, Any], packed: Mapping[str, Any]
) -> CodingModule:
    classes = kept.get("_seen_classes")
    blank = Blank.seeded(
        kept["n_features_in_"],
        packed["dtype"],
        n_classes=0 if classes is None else len(classes),
    )
    module: CodingModule = blank.build(asked_of._module)
    return module
