"""The parameters that every autoencoder has, and what each may be."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn_ae.engine.net import is_callback
from sklearn_ae.engine.params import (
    Bool,
    Constraint,
    Instance,
    Interval,
    Nothing,
    OneOf,
    Params,
    RandomState,
    SequenceOf,
    positional,
)

__all__ = ["SharedParameters"]


class _Callback(Constraint):
    def allows(self, value: Any) -> bool:
        return is_callback(value)


class SharedParameters(Params):
    """Same names, same meaning, in every method. The docstrings there say what."""

    n_components: int = positional(2)
    hidden_layer_sizes: tuple[int, ...] = (128, 64)
    activation: str = "gelu"
    code_activation: str = "identity"
    output_activation: str = "auto"
    loss: str = "squared_error"
    tied_weights: bool = False
    linear_path: bool | str = "auto"
    dropout: float = 0.0
    alpha: float = 0.0
    weight_decay: float | str = "auto"
    standardize: bool = True
    solver: str = "adam"
    learning_rate_init: float | str = "auto"
    learning_rate: str = "one_cycle"
    batch_size: int | str = "auto"
    max_iter: int | str = "auto"
    tol: float = 1e-4
    n_iter_no_change: int = 10
    early_stopping: bool = False
    validation_fraction: float = 0.1
    shuffle: bool = True
    warm_start: bool = False
    random_state: Any = None
    device: str = "auto"
    dtype: str = "float32"
    callbacks: Any = None
    verbose: int = 0

    _activations = OneOf(
        "identity", "relu", "sigmoid", "logistic", "tanh", "softplus", "gelu"
    )
    _valid: ClassVar = {
        "n_components": [Interval(int, 1, None)],
        "hidden_layer_sizes": [
            SequenceOf(
                Interval(int, 1, None), "a tuple or list of ints in the range [1, inf)"
            )
        ],
        "activation": [_activations],
        "code_activation": [_activations],
        "output_activation": [OneOf("auto", "exp", *_activations.options)],
        "loss": [OneOf("squared_error", "log_loss", "absolute_error", "poisson")],
        "tied_weights": [Bool()],
        "linear_path": [Bool(), OneOf("auto")],
        "dropout": [Interval(float, 0, 1)],
        "alpha": [Interval(float, 0, None)],
        "weight_decay": [Interval(float, 0, None), OneOf("auto")],
        "standardize": [Bool()],
        "solver": [OneOf("adam", "sgd", "lbfgs")],
        "learning_rate_init": [Interval(float, 0, None, "neither"), OneOf("auto")],
        "learning_rate": [OneOf("constant", "one_cycle")],
        "batch_size": [Interval(int, 1, None), OneOf("auto")],
        "max_iter": [Interval(int, 1, None), OneOf("auto")],
        "tol": [Interval(float, 0, None)],
        "n_iter_no_change": [Interval(int, 1, None)],
        "early_stopping": [Bool()],
        "validation_fraction": [Interval(float, 0, 1, "neither")],
        "shuffle": [Bool()],
        "warm_start": [Bool()],
        "random_state": [RandomState()],
        "device": [Instance(str, "a str naming a device")],
        "dtype": [OneOf("float32", "float64", "bfloat16")],
        "callbacks": [
            SequenceOf(_Callback(), "a list of skorch callbacks"),
            Nothing(),
        ],
        "verbose": [Interval(int, 0, None), Bool()],
    }
