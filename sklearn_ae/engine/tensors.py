"""Devices, random generators, and single tensors from numpy and back."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "available_devices",
    "from_tensor",
    "make_generator",
    "resolve_device",
    "to_tensor",
]


def available_devices() -> list[str]:
    """Return the names that `resolve_device` takes on this machine."""
    names = ["auto", "cpu"]
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def resolve_device(name: str) -> torch.device:
    """Return the device called `name`; "auto" is CUDA where there is one.

    Raises
    ------
    ValueError
        If there is no such device here; the message lists those that are available.
    """
    names = available_devices()
    if name not in names:
        raise ValueError(
            f"The 'device' parameter names {name!r}, which is not available here. "
            f"Available: {', '.join(names)}."
        )
    if name == "auto":
        name = "cuda" if "cuda" in names else "cpu"
    return torch.device(name)


def make_generator(seed: int, device: torch.device) -> torch.Generator:
    """Return a private random generator: the global state is never read or set."""
    return torch.Generator(device).manual_seed(seed)


def to_tensor(array: NDArray[Any] | float, dtype: torch.dtype | None = None) -> Tensor:
    """Return a tensor that shares no memory with `array`, on the CPU."""
    return torch.tensor(array, dtype=dtype, device="cpu")


def from_tensor(tensor: Tensor) -> NDArray[Any]:
    """Return an array that shares no memory with `tensor`."""
    return tensor.detach().cpu().numpy().copy()
