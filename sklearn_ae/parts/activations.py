"""Elementwise nonlinearities, by the names that users give them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ACTIVATIONS", "dropout", "get_activation"]


def _identity(a: Tensor) -> Tensor:
    return a


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": _identity,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "logistic": torch.sigmoid,  # scikit-learn's name for it
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "gelu": F.gelu,
    "exp": torch.exp,
}


def get_activation(name: str) -> Callable[[Tensor], Tensor]:
    """Return the elementwise function called `name`."""
    return ACTIVATIONS[name]


def dropout(h: Tensor, p: float | Tensor, generator: torch.Generator | None) -> Tensor:
    """Zero each unit with probability `p` and scale the others by 1/(1 − p).

    Inverted dropout (Srivastava et al. 2014), so the expectation is `h`. torch's own
    draws from the global generator, which is the user's; this one from `generator`.
    Without one (at test time) nothing is dropped.

    Parameters
    ----------
    h : Tensor of shape (batch, n_units)
    p : float in [0, 1)
    generator : torch.Generator or None
    """
    if generator is None:
        return h
    keep = torch.rand(h.shape, generator=generator, dtype=h.dtype, device=h.device) >= p
    return h * keep / (1.0 - p)
