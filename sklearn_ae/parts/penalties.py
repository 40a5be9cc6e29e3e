r"""Additive terms on inputs and codes.

A penalty declares its hyperparameters as fields, and its mathematics as ``term``: a
pure function of tensors, to which the hyperparameters come as tensors too. To add one,
derive from `Penalty`; nothing else is needed::

    class Negative(Penalty):
        weight: float = 1.0
        _valid = {"weight": [Interval(float, 0, None)]}

        @staticmethod
        def term(x, z, encode, *, weight):
            return weight * torch.relu(-z).sum(1).mean()
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from sklearn_ae.engine.params import Interval, Params

__all__ = ["L1", "L2", "Penalty"]


class Penalty(Params):
    """What is added to the reconstruction term, in nats per sample."""

    def hyperparameters(self) -> dict[str, float]:
        """Return the numbers that ``term`` takes."""
        return {name: float(value) for name, value in self.get_params().items()}

    @staticmethod
    def term(x: Tensor, z: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the penalty as a scalar tensor.

        Parameters
        ----------
        x : Tensor of shape (batch, n_features)
            The rows as the encoder saw them.
        z : Tensor of shape (batch, n_components)
            Their codes.
        encode : callable
            The encoder, for penalties on its derivatives.
        """
        raise NotImplementedError


class L1(Penalty):
    r"""λ ‖z‖₁ on the code: few units speak for each row.

    Parameters
    ----------
    weight : float, default=1e-3
        λ, in nats.

    Examples
    --------
    >>> from sklearn_ae import Autoencoder, L1
    >>> Autoencoder(8, penalties=L1(weight=0.1))
    Autoencoder(n_components=8, penalties=L1(weight=0.1))
    """

    weight: float = 1e-3

    _valid = {"weight": [Interval(float, 0, None)]}

    @staticmethod
    def term(  # type: ignore[override]
        x: Tensor, z: Tensor, encode: Callable[[Tensor], Tensor], *, weight: Tensor
    ) -> Tensor:
        return weight * z.abs().sum(1).mean()


class L2(Penalty):
    r"""(λ/2) ‖z‖² on the code: codes stay together, as a regularised density's do.

    Parameters
    ----------
    weight : float, default=1e-3
        λ, in nats.

    References
    ----------
    Ghosh, P. et al. From variational to deterministic autoencoders. ICLR 2020.

    Examples
    --------
    >>> from sklearn_ae import Autoencoder, L2
    >>> Autoencoder(8, penalties=[("smooth", L2())]).get_params()[
    ...     "penalties__smooth__weight"]
    0.001
    """

    weight: float = 1e-3

    _valid = {"weight": [Interval(float, 0, None)]}

    @staticmethod
    def term(  # type: ignore[override]
        x: Tensor, z: Tensor, encode: Callable[[Tensor], Tensor], *, weight: Tensor
    ) -> Tensor:
        return 0.5 * weight * z.square().sum(1).mean()
