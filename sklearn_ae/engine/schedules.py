"""The course of the learning rate."""

from __future__ import annotations

import math

__all__ = ["schedule_factor"]


def schedule_factor(name: str, progress: float) -> float:
    """Return the share of the peak learning rate to use at `progress` in [0, 1].

    "one_cycle" (Smith & Topin 2018) rises linearly over the first tenth of the steps
    and falls to zero along a cosine; "constant" is 1. It is written out because a
    scheduler object costs as much per step as a small network's backward pass.
    """
    if name == "constant":
        return 1.0
    rise = 0.1
    if progress < rise:
        return progress / rise
    return 0.5 * (1.0 + math.cos(math.pi * (progress - rise) / (1.0 - rise)))
