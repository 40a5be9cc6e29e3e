"""Priors: distributions of codes that can be drawn from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["PRIORS", "GaussianPrior", "MixturePrior", "Prior", "UniformPrior"]


class Prior:
    """A distribution of codes.

    Parameters
    ----------
    n_components : int
        Size of the code.
    n_parts : int
        Number of parts of a mixture.
    """

    def __init__(self, n_components: int, n_parts: int) -> None:
        self.n_components, self.n_parts = n_components, n_parts

    def draw(self, n: int, generator: torch.Generator, part: Tensor) -> Tensor:
        """Return draws of shape (n, n_components), in float32.

        Parameters
        ----------
        n : int
            Number of draws.
        generator : torch.Generator
            Source of the draws.
        part : Tensor of int of shape (n,)
            Number of the mixture's part that each code is drawn from; −1 is any part.
        """
        raise NotImplementedError


class GaussianPrior(Prior):
    """N(0, 1)."""

    def draw(self, n: int, generator: torch.Generator, part: Tensor) -> Tensor:
        return _normal((n, self.n_components), generator)


class UniformPrior(Prior):
    """Uniform on the cube from −1 to 1."""

    def draw(self, n: int, generator: torch.Generator, part: Tensor) -> Tensor:
        shape, device = (n, self.n_components), generator.device
        draws = torch.rand(
            shape, generator=generator, dtype=torch.float32, device=device
        )
        return 2.0 * draws - 1.0


class MixturePrior(Prior):
    """Gaussians with means at equal distances on the unit circle.

    The circle lies in the first two components. Each Gaussian is longer outwards than
    along the circle, where neighbours are six standard deviations apart. In all other
    components each Gaussian is N(0, 0.3²); so is a single Gaussian in all components.
    If the code has one component, the means are on a line from −1 to 1.
    """

    outwards = 0.3

    def draw(self, n: int, generator: torch.Generator, part: Tensor) -> Tensor:
        shape, device = (n,), generator.device
        any_part = torch.randint(
            self.n_parts, shape, generator=generator, device=device
        )
        z = self.outwards * _normal((n, self.n_components), generator)
        if self.n_parts == 1:
            return z
        part = torch.where(part < 0, any_part, part).to(z.dtype)
        if self.n_components == 1:
            step = 2.0 / (self.n_parts - 1)
            along = min(1.0, step / 6 / self.outwards)
            return (step * part - 1.0)[:, None] + along * z
        step = 2.0 * math.pi / self.n_parts
        angle, along = step * part, min(1.0, step / 6 / self.outwards)
        outwards, sideways = 1.0 + z[:, 0], along * z[:, 1]
        cos, sin = angle.cos(), angle.sin()
        x, y = outwards * cos - sideways * sin, outwards * sin + sideways * cos
        return torch.cat([torch.stack([x, y], 1), z[:, 2:]], 1)


def _normal(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    return torch.randn(
        shape, generator=generator, dtype=torch.float32, device=generator.device
    )


PRIORS: dict[str, type[Prior]] = {
    "gaussian": GaussianPrior,
    "uniform": UniformPrior,
    "mixture": MixturePrior,
}
