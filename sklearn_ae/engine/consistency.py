"""Whether the parts of a fit in a file fit together: first shapes, then values.

A checksum tells damage, but whoever writes a file also writes its checksum. The checks
here are that the parts fit together, so that the estimator answers or is refused. They
do not tell whether it was trained.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch.overrides import TorchFunctionMode

from sklearn_ae.engine import streams
from sklearn_ae.engine.units import Units

__all__ = [
    "check_classes",
    "check_feature_names",
    "check_fit",
    "check_history",
    "check_module",
    "is_count",
    "is_finite",
    "need",
]

#: Values that stand for the numbers of tensors that have a shape alone.
_NOTHING: dict[Any, Any] = {
    torch.Tensor.__bool__: False,
    torch.Tensor.__float__: 0.0,
    torch.Tensor.__int__: 0,
    torch.Tensor.any: False,  # torch would import its compiler for it
    torch.Tensor.item: 0.0,
}
#: For these torch would import its compiler; each gives a tensor of the same shape, and
#: of this dtype where it is another.
_ALIKE: dict[Any, Any] = {
    torch.Tensor.normal_: None,
    torch.Tensor.ne: torch.bool,
    torch.Tensor.__invert__: None,
}


def need(condition: object, what: str) -> None:
    """Raise ValueError unless a condition holds."""
    if not condition:
        raise ValueError(what)


class _WithoutMemory(TorchFunctionMode):
    """Make tensors that have a shape and no numbers, whatever their device."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function in _NOTHING:
            return _NOTHING[function]
        if function in _ALIKE:
            like, kind = args[0], _ALIKE[function]
            return like if kind is None else torch.empty_like(like, dtype=kind)
        kwargs = dict(kwargs or {})
        if kwargs.get("device") is not None:
            kwargs["device"] = torch.device("meta")
        return function(*args, **kwargs)


def check_module(build: Callable[[], Any], arrays: Any, n_features: Any) -> Any:
    """Return the network that a file describes, with shapes and without numbers.

    That takes no memory, however large the network is.

    Parameters
    ----------
    build : callable
        Function that builds the network.
    arrays : dict of ndarray
        Parameters and buffers of the network.
    n_features : int

    Raises
    ------
    ValueError
        If the arrays are those of another network, or not finite.
    """
    need(isinstance(arrays, dict), "it has no weights")
    need(
        all(isinstance(array, np.ndarray) for array in arrays.values()),
        "its weights are not arrays",
    )
    n_numbers = sum(array.size for array in arrays.values())
    need(is_count(n_features) and n_features <= n_numbers, "its weights are too few")
    with torch.device("meta"), _WithoutMemory():
        module = build()
    parameters = {name for name, _ in module.named_parameters()}
    claimed = module.state_dict()
    need(set(claimed) == set(arrays), "its weights are those of another network")
    for name, tensor in claimed.items():
        array = arrays[name]
        need(
            array.shape == tuple(tensor.shape)
            and f"torch.{array.dtype}" == str(tensor.dtype),
            f"its {name} is {array.dtype} of shape {array.shape}, where the network "
            f"has {tensor.dtype} of shape {tuple(tensor.shape)}",
        )
        # a bound that is absent is infinite
        finite = np.isfinite(array) | ((array == math.inf) & (array.ndim == 0))
        need(finite.all(), f"its {name} is not finite")
        need(name not in parameters or is_finite(array), f"its {name} is not finite")
    return module


def check_fit(
    kept: Mapping[str, Any],
    packed: Mapping[str, Any],
    module: Any,
    accept_nan: bool = False,
) -> None:
    """Raise ValueError where what an autoencoder learned does not fit together.

    Parameters
    ----------
    kept : mapping
        State of a fitted autoencoder.
    packed : mapping
        Fit of the autoencoder.
    module : Module
        Module built from it, with or without numbers.
    accept_nan : bool, default=False
        Whether dense rows may have missing values.
    """
    n_features, n_components = kept["n_features_in_"], module.n_components
    check_feature_names(kept)
    _check_units(packed["units"], n_features)
    _check_moments(packed["code_moments"], n_components)
    check_history(packed["history"])
    n_classes = np.size(kept.get("_seen_classes", ()))
    _check_stream(packed["stream"], n_features, n_classes, accept_nan)
    _check_optimizer(packed["optimizer_moments"], module)
    density = packed["density"]
    width = getattr(density, "n_features_in_", n_components)
    need(
        density is None or hasattr(density, "sample"),
        "its density is missing, or cannot be drawn from",
    )
    need(width == n_components, "its density is for codes of another size")
    for name in ("seed", "n_trainings"):
        need(is_count(packed[name], 0), f"its {name} is not a whole number, 0 or more")


def check_feature_names(kept: Mapping[str, Any]) -> None:
    """Raise ValueError for names that are not one for each feature."""
    names = kept.get("feature_names_in_")
    need(
        names is None
        or (
            isinstance(names, np.ndarray)
            and names.shape == (kept["n_features_in_"],)
            and all(isinstance(name, str) for name in names)
        ),
        "its feature_names_in_ are not one for each feature",
    )


def check_classes(classes: Any) -> None:
    """Raise ValueError for what is not an array of two labels or more."""
    need(
        isinstance(classes, np.ndarray) and classes.ndim == 1 and len(classes) > 1,
        "its classes_ are missing, or not two labels or more",
    )


def check_history(history: Any, may_be_empty: bool = False) -> None:
    """Raise ValueError for what is not one number per epoch for each term.

    A term that came with a later training, such as that of a penalty, has fewer numbers
    than the loss.
    """
    need(
        isinstance(history, dict)
        and all(
            isinstance(name, str)
            and isinstance(curve, np.ndarray)
            and curve.dtype == np.float64
            and curve.ndim == 1
            for name, curve in history.items()
        ),
        "its history_ is not one number per epoch for each term",
    )
    if may_be_empty and not history:
        return
    need("train_loss" in history, "its history_ has no train_loss")
    n_epochs = len(history["train_loss"])
    for name, curve in history.items():
        need(
            len(curve) <= n_epochs,
            f"its history_ has {len(curve)} epochs of {name}, and {n_epochs} of "
            "train_loss",
        )


def is_count(value: object, least: int = 1) -> bool:
    """Tell whether `value` is a whole number >= `least`."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return whole and int(value) >= least  # type: ignore[call-overload]


def is_finite(array: object, shape: tuple[int, ...] | None = None) -> bool:
    """Tell whether `array` is one of finite numbers (of `shape`)."""
    return (
        isinstance(array, np.ndarray)
        and array.dtype.kind in "fiu"
        and (shape is None or array.shape == shape)
        and bool(np.isfinite(array).all())
    )


def _is_plain(value: object, *kinds: type) -> bool:
    """Tell whether `value` is a dataclass of one of `kinds`, with its fields alone."""
    if type(value) not in kinds:
        return False
    fields = {field.name for field in dataclasses.fields(value)}  # type: ignore[arg-type]
    return set(vars(value)) == fields


def _check_units(units: Any, n_features: int) -> None:
    kinds: list[type] = [Units, *Units.__subclasses__()]
    need(
        _is_plain(units, *kinds),
        "its units are missing, or not of a kind that a fit makes",
    )
    scale, top = units.scale, getattr(units, "top", 1.0)
    need(
        units.shift is None or is_finite(units.shift, (n_features,)),
        f"the shift of its units is not one number for each of {n_features} features",
    )
    for number in (scale, top):
        need(
            isinstance(number, Real) and 0.0 < float(number) < math.inf,
            f"the scale of its units is {number!r}",
        )
    need(
        units.rows_dtype in ("float32", "float64") and isinstance(units.is_far, bool),
        "its units are not those of float32 or float64 rows",
    )


def _check_moments(moments: Any, n_components: int) -> None:
    need(isinstance(moments, tuple) and len(moments) == 3, "its codes have no moments")
    n_rows, mean, covariance = moments
    k = n_components
    need(
        is_count(n_rows)
        and is_finite(mean, (k,))
        and (is_finite(covariance, (k,)) or is_finite(covariance, (k, k))),
        f"the moments of its codes are not those of {k} components",
    )
    variance = covariance if covariance.ndim == 1 else np.diag(covariance)
    need((variance > 0.0).all(), "its codes have no variance")


def _check_stream(seen: Any, n_features: int, n_classes: int, accept_nan: bool) -> None:
    if seen is None:
        return
    need(
        _is_plain(seen, streams.Stream),
        "its stream is not of the kind that a fit makes",
    )
    reach, rows, labels, weight = seen.reach, seen.rows, seen.labels, seen.weight
    need(
        all(is_count(n, 0) for n in (seen.least, seen.n_within, seen.n_beyond))
        and isinstance(seen.loss, str)
        and isinstance(seen.by_fit, bool),
        "its stream has counts or names that are missing or wrong",
    )
    if reach is not None:
        need(
            _is_plain(reach, streams.Reach),
            "the reach of its stream is not of the kind that a fit makes",
        )
        need(
            (reach.centre is None or is_finite(reach.centre, (n_features,)))
            and is_finite(reach.size, (n_features,))
            and isinstance(reach.usual, Real),
            f"the reach of its stream is not that of {n_features} features",
        )
    if rows is not None:
        need(
            (isinstance(rows, np.ndarray) or sp.issparse(rows))
            and rows.ndim == 2
            and rows.shape[1] == n_features
            and rows.dtype.kind in "fiu",
            f"the rows of its stream are not numbers of {n_features} features",
        )
        if sp.issparse(rows):
            need(rows.format == "csr", "the rows of its stream are not in CSR")
            rows.check_format(full_check=True)
        values = rows.data if sp.issparse(rows) else rows
        if accept_nan and not sp.issparse(rows):
            values = values[~np.isnan(values)]
        need(np.isfinite(values).all(), "the rows of its stream are not finite")
    each = () if rows is None else (rows.shape[0],)
    need(
        labels is None
        or (
            rows is not None
            and is_finite(labels, each)
            and labels.dtype.kind in "iu"
            and ((labels >= -1) & (labels < n_classes)).all()
        ),
        "the labels of its stream are not one for each row, or of no class",
    )
    need(
        weight is None
        or (rows is not None and is_finite(weight, each) and (weight > 0.0).all()),
        "the weights of its stream are not one positive number for each row",
    )


def _check_optimizer(moments: Any, module: Any) -> None:
    if moments is None:
        return
    shapes = {(), *(tuple(weight.shape) for weight in module.parameters())}
    need(
        isinstance(moments, dict)
        and all(
            isinstance(name, str) and is_finite(array) and array.shape in shapes
            for name, array in moments.items()
        ),
        "its optimiser's moments are those of other weights",
    )
