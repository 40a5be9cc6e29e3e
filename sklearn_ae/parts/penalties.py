r"""Additive terms on inputs and codes.

A penalty declares its parameters as fields and its mathematics as ``term``, a pure
function of tensors. It gets the parameters by name, and numbers as tensors. To add a
penalty, derive from `Penalty`; nothing else is needed::

    class Negative(Penalty):
        weight: float = 1.0
        _valid = {"weight": [Interval(float, 0, None)]}

        @staticmethod
        def term(x, z, encoder, *, weight):
            return weight * encoder.mean(torch.relu(-z).sum(1))
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from sklearn_ae.params.domains import Interval, OneOf
from sklearn_ae.parts.jacobian import Encoding, estimated_norm, squared_jacobian_norm
from sklearn_ae.parts.part import Part

__all__ = ["L1", "L2", "Contraction", "KLSparsity", "Penalty"]


class Penalty(Part):
    """A term added to the reconstruction term, in nats per sample.

    With ``standardize=True`` and squared or absolute error these are nats of features
    whose root mean variance is 1/4, whatever the scale of X. Otherwise they are nats of
    X itself.
    """

    #: Whether rows count by their weights. They do if each mean over rows is
    #: ``encoder.mean`` or ``encoder.mean_row``. Otherwise `sample_weight` is refused.
    weighs_rows: ClassVar[bool] = False
    #: The penalty is defined for these activations of the code; None is all.
    code_activations: ClassVar[tuple[str, ...] | None] = None

    def check_code(self, code_activation: str) -> None:
        """Raise ValueError if the penalty does not support this activation."""
        allowed = self.code_activations
        if allowed is not None and code_activation not in allowed:
            raise ValueError(
                f"{type(self).__name__} needs code_activation={allowed[0]!r}: "
                f"{self._why} Got code_activation={code_activation!r}."
            )

    #: A sentence that tells users why other activations are not supported.
    _why: ClassVar[str] = ""

    @staticmethod
    def term(x: Tensor, z: Tensor, encoder: Encoding) -> Tensor:
        """Return the penalty as a scalar tensor.

        The penalty's parameters follow by name: numbers as tensors of shape (), others,
        such as a str, a tuple or None, as they are.

        Parameters
        ----------
        x : Tensor of shape (batch, n_features)
            Rows as the encoder saw them.
        z : Tensor of shape (batch, n_components)
            Codes of the rows.
        encoder : Encoding
            Encoder of the rows, for penalties on its derivatives. It also takes means
            over rows by their weights.
        """
        raise NotImplementedError


class L1(Penalty):
    r"""λ ‖z‖₁ on the code: few units are active for each row.

    Parameters
    ----------
    weight : float, default=1e-3
        Weight λ, in nats of features whose root mean variance is ¼: see `standardize`
        of `Autoencoder`.

    References
    ----------
    Olshausen, B. & Field, D. Emergence of simple-cell receptive field properties by
    learning a sparse code for natural images. Nature 381, 1996.

    Examples
    --------
    >>> from sklearn_ae import Autoencoder, L1
    >>> Autoencoder(8, penalties=L1(weight=0.01))
    Autoencoder(n_components=8, penalties=L1(weight=0.01))
    """

    weight: float = 1e-3

    _valid = {"weight": [Interval(float, 0, None)]}
    weighs_rows: ClassVar = True

    @staticmethod
    def term(  # type: ignore[override]
        x: Tensor, z: Tensor, encoder: Encoding, *, weight: Tensor
    ) -> Tensor:
        return weight * encoder.mean(z.abs().sum(1))


class L2(Penalty):
    r"""(λ/2) ‖z‖² on the code: codes stay close together.

    Parameters
    ----------
    weight : float, default=1e-3
        Weight λ, in nats of features whose root mean variance is ¼: see `standardize`
        of `Autoencoder`.

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
    weighs_rows: ClassVar = True

    @staticmethod
    def term(  # type: ignore[override]
        x: Tensor, z: Tensor, encoder: Encoding, *, weight: Tensor
    ) -> Tensor:
        return 0.5 * weight * encoder.mean(z.square().sum(1))


class KLSparsity(Penalty):
    r"""β Σ_j KL(ρ ‖ ρ̂_j): each unit of the code has a mean activation near ρ.

    ρ̂_j is the mean of unit j over the batch. KL is the divergence between two coins,
    ρ log(ρ/ρ̂) + (1 − ρ) log((1 − ρ)/(1 − ρ̂)). It needs a code in (0, 1). KL is convex,
    so its mean over small batches is above the KL of all rows. With ``solver="lbfgs"``
    the batch is all rows and the penalty is exact.

    Parameters
    ----------
    sparsity : float, default=0.05
        Mean activation ρ of each unit, in (0, 1).
    weight : float, default=3.0
        Weight β, in nats of features whose root mean variance is ¼: see `standardize`
        of `Autoencoder`.

    References
    ----------
    Ng, A. Sparse autoencoder. CS294A lecture notes, Stanford, 2011.

    Examples
    --------
    >>> from sklearn_ae import Autoencoder, KLSparsity
    >>> Autoencoder(8, penalties=KLSparsity(), code_activation="sigmoid")
    Autoencoder(code_activation='sigmoid', n_components=8, penalties=KLSparsity())
    """

    sparsity: float = 0.05
    weight: float = 3.0

    _valid = {
        "sparsity": [Interval(float, 0, 1, "neither")],
        "weight": [Interval(float, 0, None)],
    }
    weighs_rows: ClassVar = True
    code_activations: ClassVar = ("sigmoid", "logistic")
    _why: ClassVar = "a mean activation must be in (0, 1)."

    @staticmethod
    def term(  # type: ignore[override]
        x: Tensor, z: Tensor, encoder: Encoding, *, sparsity: Tensor, weight: Tensor
    ) -> Tensor:
        tiny = torch.finfo(z.dtype).tiny
        active = encoder.mean_row(z).clamp_min(tiny)
        # 1 − z of a saturated unit would be round-off; the sigmoid of −a is exact
        before = encoder.before
        idle = 1.0 - z if before is None else torch.sigmoid(-before)
        idle = encoder.mean_row(idle).clamp_min(tiny)
        # written out, because torch.distributions takes a sixth of a small step
        on = sparsity * (sparsity.log() - active.log())
        off = (1.0 - sparsity) * (torch.log1p(-sparsity) - idle.log())
        return weight * (on + off).sum()


class Contraction(Penalty):
    r"""λ ‖∂z/∂x‖²_F: the code moves little with the input.

    With ``standardize=True`` x is measured in units in which the root of the features'
    mean variance is 1/4, otherwise in the units of X.

    Parameters
    ----------
    weight : float, default=0.02
        Weight λ, in nats of features whose root mean variance is ¼: see `standardize`
        of `Autoencoder`.
    jacobian : {"exact", "hutchinson"}, default="exact"
        Way to compute the norm. "exact" is the closed form for any number of layers,
        or a backward pass per component along the linear path. "hutchinson" is an
        unbiased estimate by one backward pass in training, for many components and
        layers.

    References
    ----------
    Rifai, S. et al. Contractive auto-encoders: explicit invariance during feature
    extraction. ICML 2011.

    Examples
    --------
    >>> from sklearn_ae import Autoencoder, Contraction
    >>> Autoencoder(8, penalties=Contraction(weight=0.1))
    Autoencoder(n_components=8, penalties=Contraction(weight=0.1))
    """

    weight: float = 0.02
    jacobian: str = "exact"

    _valid = {
        "weight": [Interval(float, 0, None)],
        "jacobian": [OneOf("exact", "hutchinson")],
    }
    weighs_rows: ClassVar = True

    @staticmethod
    def term(  # type: ignore[override]
        x: Tensor, z: Tensor, encoder: Encoding, *, weight: Tensor, jacobian: str
    ) -> Tensor:
        if jacobian == "hutchinson" and encoder.generator is not None:
            norms = estimated_norm(x, encoder.encode, encoder.generator)
        else:
            norms = squared_jacobian_norm(x, z, encoder)
        return weight * encoder.mean(norms) * encoder.unit**2
