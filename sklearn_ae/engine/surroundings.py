"""What callers have switched on in torch, kept out of what is computed here.

The parameters `dtype` and `device` say what is computed in and on. Whatever enters
torch does so in `plain_torch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

__all__ = ["learning", "plain_torch"]

#: The types of the devices that there may be.
DEVICE_TYPES = ("cpu", "cuda", "mps")


@contextmanager
def plain_torch() -> Iterator[None]:
    """Compute without the caller's autocast and default device.

    Nothing is entered where neither is switched on: a mode in torch would cost
    something in each of its calls.
    """
    with ExitStack() as stack:
        for kind in DEVICE_TYPES:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


@contextmanager
def learning() -> Iterator[None]:
    """Let torch compute gradients, whatever the caller has switched on or off."""
    with plain_torch(), torch.inference_mode(False), torch.enable_grad():
        yield
