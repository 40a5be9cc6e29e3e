"""Activations by their names; all but softmax act on each number by itself."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "ACTIVATIONS",
    "CODOMAINS",
    "dropout",
    "get_activation",
    "inverse",
    "slope",
    "slope_at_output",
    "top_k",
]


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
    "softmax": functools.partial(torch.softmax, dim=-1),
}


#: The lowest and the highest value that each activation takes.
CODOMAINS: dict[str, tuple[float, float]] = {
    "identity": (-math.inf, math.inf),
    "relu": (0.0, math.inf),
    "sigmoid": (0.0, 1.0),
    "logistic": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softplus": (0.0, math.inf),
    "gelu": (-0.17, math.inf),
    "exp": (0.0, math.inf),
    "softmax": (0.0, 1.0),
}


def get_activation(name: str) -> Callable[[Tensor], Tensor]:
    """Return the function of pre-activations (..., n_units) called `name`."""
    return ACTIVATIONS[name]


#: `inverse` keeps probabilities this far from 0 and 1, and rates this far from 0, so
#: that training starts at finite logarithms.
NEAREST = 1e-3


def inverse(name: str, h: Tensor) -> Tensor:
    """Return a with φ(a) = h, or nearly so where φ does not reach h.

    For softmax, a is the logarithm of the shares, each a little enlarged.
    """
    if name in ("sigmoid", "logistic"):
        return h.clamp(NEAREST, 1.0 - NEAREST).logit()
    if name == "tanh":
        return h.clamp(NEAREST - 1.0, 1.0 - NEAREST).atanh()
    if name == "exp":
        return h.clamp_min(NEAREST * float(h.abs().mean()) or 1.0).log()
    if name == "softmax":
        return (h.clamp_min(0.0) + (0.01 * float(h.abs().mean()) or 1.0)).log()
    if name == "softplus":
        h = h.clamp_min(NEAREST)
        return h + torch.log(-torch.expm1(-h))
    return h


def _gelu_slope(a: Tensor) -> Tensor:
    density = torch.exp(-0.5 * a.square()) / math.sqrt(2.0 * math.pi)
    return 0.5 * (1.0 + torch.erf(a / math.sqrt(2.0))) + a * density


#: Derivatives as functions of the output, for activations whose output determines them.
_SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": torch.ones_like,
    "relu": lambda h: (h > 0).to(h.dtype),
    "sigmoid": lambda h: h * (1.0 - h),
    "logistic": lambda h: h * (1.0 - h),
    "tanh": lambda h: 1.0 - h.square(),
    "softplus": lambda h: -torch.expm1(-h),
    "exp": lambda h: h,
}


def slope_at_output(name: str, h: Tensor) -> Tensor | None:
    """Return φ′(a) where h = φ(a), or None if h does not determine it."""
    return _SLOPES[name](h) if name in _SLOPES else None


def slope(name: str, a: Tensor) -> Tensor:
    """Return φ′(a) of the elementwise function called `name`."""
    return _gelu_slope(a) if name == "gelu" else _SLOPES[name](ACTIVATIONS[name](a))


def top_k(a: Tensor, k: int) -> Tensor:
    """Keep the `k` largest numbers of each row, by signed value, and zero the others.

    It keeps exactly `k`, even if numbers are equal. Only these have a gradient.

    Parameters
    ----------
    a : Tensor of shape (batch, n_units)
        Numbers to choose from.
    k : int
        Number of units to keep in each row.
    """
    if k >= a.shape[1]:
        return a
    values, places = a.topk(k, dim=1, sorted=False)
    return torch.zeros_like(a).scatter(1, places, values)


def dropout(h: Tensor, p: float | Tensor, generator: torch.Generator | None) -> Tensor:
    """Zero each unit with probability `p` and scale the others by 1/(1 − p).

    This is inverted dropout (Srivastava et al. 2014), so the expectation is `h`.
    torch's own dropout draws from the global generator, which belongs to the user.

    Parameters
    ----------
    h : Tensor of shape (batch, n_units)
        Hidden units.
    p : float in [0, 1)
        Probability that a unit is dropped.
    generator : torch.Generator or None
        Source of the draws. None, as at test time, drops nothing.
    """
    if generator is None:
        return h
    keep = torch.rand(h.shape, generator=generator, dtype=h.dtype, device=h.device) >= p
    return h * keep / (1.0 - p)
