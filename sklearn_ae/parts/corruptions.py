r"""Corruptions of the input in training: x̃ ~ q(x̃ | x). The target stays clean.

Like penalties, corruptions declare hyperparameters as fields and their mathematics as a
pure function of tensors, here ``corrupt``. Each batch draws new noise from the fit's
own generator. There is no noise at test time.

Corruptions act on rows in the network's units. With ``standardize=True`` (the default)
these are (X − mean) / scale, with one scale for all features. Gaussian noise then has
the same size on each feature, in roots of the features' mean variance, and a masked
entry becomes the mean of its feature. With ``standardize=False`` corruptions act on X.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from sklearn_ae.params.domains import Interval
from sklearn_ae.parts.part import Part
from sklearn_ae.parts.sparse import dense, with_values

__all__ = ["Corruption", "GaussianNoise", "Masking", "SaltAndPepper"]


class Corruption(Part):
    """A random map from clean rows to the rows that the encoder sees."""

    #: Whether zeros stay zeros. Sparse rows can then stay sparse.
    keeps_zeros: ClassVar[bool] = False

    def apply(
        self,
        x: Tensor,
        generator: torch.Generator,
        unit: Tensor | float,
        numbers: Mapping[str, Tensor],
    ) -> Tensor:
        """Return a corrupted copy of dense or sparse CSR rows.

        Parameters
        ----------
        x : Tensor of shape (batch, n_features)
            Clean rows.
        generator : torch.Generator
            Source of the noise.
        unit : Tensor of shape () or float
            Unit of the noise.
        numbers : mapping of str to Tensor
            Hyperparameters by name.
        """
        rows = x if self.keeps_zeros else dense(x)
        return self.corrupt(rows, generator, unit, **numbers, **self.settings())

    def variance(self, unit: float) -> float:
        """Return about how much it adds to the variance of each feature."""
        return 0.0

    @staticmethod
    def corrupt(
        x: Tensor, generator: torch.Generator, unit: Tensor | float = 1.0
    ) -> Tensor:
        """Return a corrupted copy of `x`, of shape (batch, n_features).

        Parameters
        ----------
        x : Tensor of shape (batch, n_features)
            Clean rows.
        generator : torch.Generator
            Source of the noise.
        unit : Tensor of shape () or float
            Unit of the noise: the root mean square of the rows.
        """
        raise NotImplementedError


def _uniform(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)


class GaussianNoise(Corruption):
    """x̃ = x + σε, ε ~ N(0, I).

    Parameters
    ----------
    noise_level : float, default=0.3
        Standard deviation σ of the noise, the same for all features. With `standardize`
        it is in roots of the features' mean variance, otherwise in the units of X.

    References
    ----------
    Vincent, P. et al. Stacked denoising autoencoders. JMLR 11, 2010.

    Examples
    --------
    >>> from sklearn_ae import Autoencoder, GaussianNoise
    >>> Autoencoder(8, corruption=GaussianNoise(noise_level=0.1))
    Autoencoder(corruption=GaussianNoise(noise_level=0.1), n_components=8)
    """

    noise_level: float = 0.3

    _valid = {"noise_level": [Interval(float, 0, None)]}

    def variance(self, unit: float) -> float:
        return float(self.noise_level * unit) ** 2

    @staticmethod
    def corrupt(  # type: ignore[override]
        x: Tensor,
        generator: torch.Generator,
        unit: Tensor | float = 1.0,
        *,
        noise_level: Tensor,
    ) -> Tensor:
        noise = torch.randn(
            x.shape, generator=generator, dtype=x.dtype, device=x.device
        )
        return x + noise_level * unit * noise


class Masking(Corruption):
    """Each entry is set to zero with probability ν; the others are not rescaled.

    Parameters
    ----------
    noise_level : float, default=0.3
        Probability ν, in [0, 1].

    References
    ----------
    Vincent, P. et al. Extracting and composing robust features with denoising
    autoencoders. ICML 2008.

    Examples
    --------
    >>> from sklearn_ae import Autoencoder, Masking
    >>> Autoencoder(8, corruption=Masking()).set_params(corruption__noise_level=0.5)
    Autoencoder(corruption=Masking(noise_level=0.5), n_components=8)
    """

    noise_level: float = 0.3

    _valid = {"noise_level": [Interval(float, 0, 1, "both")]}
    keeps_zeros: ClassVar[bool] = True

    @staticmethod
    def corrupt(  # type: ignore[override]
        x: Tensor,
        generator: torch.Generator,
        unit: Tensor | float = 1.0,
        *,
        noise_level: Tensor,
    ) -> Tensor:
        if x.layout == torch.sparse_csr:
            values = x.values()
            kept = values * (_uniform(values, generator) >= noise_level)
            return with_values(x, kept)
        return x * (_uniform(x, generator) >= noise_level)


class SaltAndPepper(Corruption):
    """Each entry is set, with probability ν, to its feature's lowest or highest value.

    Parameters
    ----------
    noise_level : float, default=0.3
        Probability ν, in [0, 1]. Salt and pepper are equally likely. The lowest and
        highest values are those of the batch.

    References
    ----------
    Vincent, P. et al. Stacked denoising autoencoders. JMLR 11, 2010.

    Examples
    --------
    >>> from sklearn_ae import DenoisingAutoencoder, SaltAndPepper
    >>> DenoisingAutoencoder(8, noise=SaltAndPepper(noise_level=0.1))
    DenoisingAutoencoder(n_components=8, noise=SaltAndPepper(noise_level=0.1))
    """

    noise_level: float = 0.3

    _valid = {"noise_level": [Interval(float, 0, 1, "both")]}

    @staticmethod
    def corrupt(  # type: ignore[override]
        x: Tensor,
        generator: torch.Generator,
        unit: Tensor | float = 1.0,
        *,
        noise_level: Tensor,
    ) -> Tensor:
        draw = _uniform(x, generator)
        noisy = torch.where(draw < noise_level / 2, x.amin(0), x)
        return torch.where(
            (draw >= noise_level / 2) & (draw < noise_level), x.amax(0), noisy
        )
