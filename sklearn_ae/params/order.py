"""The order of parameters in signatures and documentation, for a reader.

Parameters that may be given by position, as in ``PCA(3)``, come first. A method's own
follow, those of a derived class before those of its bases. Parameters that methods
share come last, in the order of `GROUPS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import Field
from typing import Any

__all__ = ["GROUPS", "in_reading_order"]

#: Parameters that methods share. A name that is in no group is a method's own.
GROUPS: dict[str, tuple[str, ...]] = {
    "architecture": (
        "hidden_layer_sizes",
        "activation",
        "code_activation",
        "tied_weights",
        "linear_path",
        "image_shape",
        "channels",
        "kernel_size",
        "unpooling",
    ),
    "objective": (
        "loss",
        "output_activation",
        "standardize",
    ),
    "regularisation": (
        "penalties",
        "corruption",
        "dropout",
        "alpha",
        "weight_decay",
    ),
    "training": (
        "solver",
        "learning_rate_init",
        "learning_rate",
        "batch_size",
        "max_iter",
        "shuffle",
        "early_stopping",
        "validation_fraction",
        "n_iter_no_change",
        "tol",
        "warm_start",
        "random_state",
    ),
    "sampling": ("density",),
    "machine": (
        "device",
        "dtype",
        "callbacks",
        "verbose",
    ),
}


def in_reading_order(
    cls: type, fields: Mapping[str, Field[Any]]
) -> dict[str, Field[Any]]:
    """Return the parameters of a class, by name, in this order."""
    first = [name for name, one in fields.items() if not one.kw_only]
    declared = [name for kind in cls.__mro__ for name in inspect.get_annotations(kind)]
    shared = [name for group in GROUPS.values() for name in group]
    own = [name for name in declared if name not in shared]
    order = dict.fromkeys([*first, *own, *shared])
    return {name: fields[name] for name in order if name in fields}
