"""torch's optimizers without torch's compiler.

The first call of some of their methods imports ``torch._dynamo``, to tell a compiler to
leave them alone. That takes longer than many a first fit, and nothing is compiled here.
The methods themselves lie under those wrappers. Hooks of a step are called as ever.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["LBFGS", "SGD", "Adam", "AdamW"]


class _Eager(torch.optim.Optimizer):
    """An optimizer whose bookkeeping imports no compiler."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        _add_param_group(self, param_group)

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = _state_dict(self)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        _load_state_dict(self, state_dict)

    def zero_grad(self, set_to_none: bool = True) -> None:
        _zero_grad(self, set_to_none)


class Adam(_Eager, torch.optim.Adam):
    """Adam (Kingma & Ba 2015)."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        return _adam_step(self, closure)


class AdamW(_Eager, torch.optim.AdamW):
    """Adam with weight decay apart from the gradient (Loshchilov & Hutter 2019)."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        return _adam_step(self, closure)


class SGD(_Eager, torch.optim.SGD):
    """Stochastic gradient descent with momentum."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        return _sgd_step(self, closure)


class LBFGS(_Eager, torch.optim.LBFGS):
    """L-BFGS, whose step torch leaves as it is."""


def _unwrapped(method: Callable[..., Any]) -> Callable[..., Any]:
    return inspect.unwrap(method)


_add_param_group = _unwrapped(torch.optim.Optimizer.add_param_group)
_state_dict = _unwrapped(torch.optim.Optimizer.state_dict)
_load_state_dict = _unwrapped(torch.optim.Optimizer.load_state_dict)
_zero_grad = _unwrapped(torch.optim.Optimizer.zero_grad)
_adam_step = _unwrapped(torch.optim.Adam.step)
_sgd_step = _unwrapped(torch.optim.SGD.step)
