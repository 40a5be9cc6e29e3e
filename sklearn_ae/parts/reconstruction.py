r"""Distances of reconstructions from their targets, in nats and in the data's units.

Each objective is a negative log-likelihood per sample, summed over features and
averaged over samples. Weights of penalties then mean the same as in the papers.

============== ==================================== ==========================
name           −log p(x | a), up to a constant       x̂ from the pre-activation
============== ==================================== ==========================
squared_error  ½ (x − x̂)²      (Gaussian, σ = 1)     any, identity by default
absolute_error |x − x̂|         (Laplace, scale 1)    any, identity by default
log_loss       −x log x̂ − (1 − x) log(1 − x̂)        sigmoid
poisson        x̂ − x log x̂                          exp
multinomial    −x log x̂                             softmax
============== ==================================== ==========================

Log loss, Poisson and multinomial are computed from the pre-activation (the logit, the
log-rate). No probability is then rounded to zero before its logarithm is taken.

Log loss is defined on [0, 1], Poisson and multinomial on [0, ∞). New rows may be
outside this domain. There −log p(x) is continued as −log p(x′) + `BEYOND` · Σ |x − x′|,
where x′ is the nearest row in the domain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sklearn_ae.parts.activations import get_activation, inverse
from sklearn_ae.parts.averages import mean
from sklearn_ae.parts.sparse import (
    row_sums,
    sparse_multinomial_error,
    sparse_squared_error,
    with_values,
)

__all__ = [
    "BEYOND",
    "RECONSTRUCTIONS",
    "Reconstruction",
]


#: A value outside the domain of a likelihood costs so many nats per unit of distance.
#: torch's binary_cross_entropy has the same number for −log 0. All models share it, so
#: that it changes no comparison of them.
BEYOND = 100.0


class Reconstruction:
    """An objective −log p(x | a) with the activation of its output.

    Parameters
    ----------
    output_activation : str
        Activation from a to x̂; "auto" takes the objective's own.

    Raises
    ------
    ValueError
        If the output activation is not supported with the objective.
    """

    name: ClassVar[str]
    natural_output: ClassVar[str]
    only_natural: ClassVar[bool] = False
    lowest: ClassVar[float | None] = None
    highest: ClassVar[float | None] = None
    #: −log p is this number times `error` in the network's units.
    nats_per_error: ClassVar[float] = 1.0
    #: If p has a scale, the error is divided by this power of it. p is divided by the
    #: scale times a constant, whose logarithm is `log_constant`.
    scale_power: ClassVar[float | None] = None
    log_constant: ClassVar[float] = 0.0
    #: Whether x̂ is a share of the row's total. Rows are then restored as a whole, so
    #: missing values and parts of rows are not supported.
    shares: ClassVar[bool] = False
    #: Whether the encoder sees something else than the row, by `look`.
    looks: ClassVar[bool] = False
    #: Whether rows and reconstructions can be divided by a scale.
    has_scale: ClassVar[bool] = False

    def __init__(self, output_activation: str = "auto") -> None:
        if output_activation == "auto":
            output_activation = self.natural_output
        if output_activation == "logistic":
            output_activation = "sigmoid"
        if self.only_natural and output_activation != self.natural_output:
            raise ValueError(
                f"output_activation={output_activation!r} is not supported with "
                f"loss={self.name!r}. Use {self.natural_output!r} or 'auto'."
            )
        self.output_activation = output_activation
        self.output: Callable[[Tensor], Tensor] = get_activation(output_activation)

    def look(self, x: Tensor) -> Tensor:
        """Return rows (batch, n_features) in the form that the encoder sees."""
        return x

    def best_constant(self, centre: Tensor) -> Tensor:
        """Return the pre-activation of x̂ = `centre`, of shape (n_features,).

        If `centre` has the means of the features, or the medians for some losses, no
        other constant row restores all rows better.
        """
        return inverse(self.output_activation, centre)

    @classmethod
    def continued(cls, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return rows clipped to the domain of p, and the cost of clipping.

        Parameters
        ----------
        x : Tensor of shape (batch, n_features)
            Rows in their units, dense or CSR; NaN stays NaN.

        Returns
        -------
        inside : Tensor of shape (batch, n_features)
            Clipped rows.
        beyond : Tensor of shape (batch, n_features) or None
            Nats for each entry: `BEYOND` times its distance from the domain; None if
            all entries are inside.
        """
        is_sparse = x.layout == torch.sparse_csr
        values = x.values() if is_sparse else x
        if cls.lowest is None or values.numel() == 0:
            return x, None
        low, high = values.aminmax()
        if low >= cls.lowest and (cls.highest is None or high <= cls.highest):
            return x, None
        inside = values.clamp(cls.lowest, cls.highest)
        beyond = BEYOND * (values - inside).abs()
        if is_sparse:
            return with_values(x, inside), with_values(x, beyond)
        return inside, beyond

    @property
    def exact_sparse(self) -> bool:
        """Whether `sparse_error` is supported."""
        return False

    def sparse_error(
        self, target: Tensor, h: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        """Return the sum of errors of each sparse row, without a dense target.

        Parameters
        ----------
        target : CSR Tensor of shape (batch, n_features)
            Rows.
        h : Tensor of shape (batch, width)
            Input of the linear layer that gives the pre-activation.
        weight : Tensor of shape (n_features, width)
            Weight of that layer.
        bias : Tensor of shape (n_features,)
            Bias of that layer.

        Returns
        -------
        Tensor of shape (batch,)
        """
        raise NotImplementedError

    def restored(self, a: Tensor, x: Tensor) -> Tensor:
        """Return x̂ of rows (batch, n_features) in their units.

        Parameters
        ----------
        a : Tensor of shape (batch, n_features)
            Pre-activation.
        x : Tensor of shape (batch, n_features)
            Rows, CSR or dense.
        """
        return self.output(a)

    def nats(self, a: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return −log p(target | a) per row, up to a constant, of shape (..., batch).

        Parameters
        ----------
        a, target : Tensor of shape (..., batch, n_features)
            Pre-activation and rows.
        weight : Tensor of shape (batch, n_features) or None
            Weight of each entry.
        """
        error = self.error(a, target)
        error = error if weight is None else error * weight
        return self.nats_per_error * error.sum(-1)

    def log_likelihood(
        self, a: Tensor, target: Tensor, log_scale: Tensor | None = None
    ) -> Tensor:
        """Return log p(target | a) with its constant, of shape (n_draws, batch).

        Parameters
        ----------
        a : Tensor of shape (n_draws, batch, n_features)
            Several pre-activations for each row.
        target : Tensor of shape (batch, n_features)
            Rows.
        log_scale : Tensor of shape () or None
            Logarithm of the scale of p, if it has one; None is a scale of 1.
        """
        nats = self.nats(a, target.expand_as(a))
        if self.scale_power is None:
            return -nats
        log_scale = a.new_zeros(()) if log_scale is None else log_scale
        nats = nats * (-self.scale_power * log_scale).exp()
        return -nats - target.shape[1] * (log_scale + self.log_constant)

    def mean_nats(
        self,
        a: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        row_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the mean of `nats` over the rows, a scalar.

        `row_weight`, of shape (batch,), is the weight of each row.
        """
        return mean(self.nats(a, target, weight), row_weight)

    def error(self, a: Tensor, target: Tensor, units: float = 1.0) -> Tensor:
        """Return each entry's error, of shape (batch, n_features).

        Parameters
        ----------
        a, target : Tensor of shape (batch, n_features)
            Pre-activation and rows.
        units : float
            Size of the network's unit in the units of the data.
        """
        raise NotImplementedError

    def lost(self, a: Tensor, target: Tensor, units: float = 1.0) -> Tensor:
        """Return each entry's error in the form that users see, of the same shape.

        It differs from `error` at most by a term that depends on the target alone.
        """
        return self.error(a, target, units)


class SquaredError(Reconstruction):
    """½‖x − x̂‖² in nats; an entry's error is (x − x̂)²."""

    name, natural_output, nats_per_error = "squared_error", "identity", 0.5
    scale_power, log_constant = 2.0, 0.5 * math.log(2.0 * math.pi)
    has_scale = True

    @property
    def exact_sparse(self) -> bool:
        return self.output_activation == "identity"

    def sparse_error(
        self, target: Tensor, h: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        return sparse_squared_error(target, h, weight, bias)

    def mean_nats(
        self,
        a: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        row_weight: Tensor | None = None,
    ) -> Tensor:
        weighted = weight is not None or row_weight is not None
        if weighted or target.numel() > 2**15:
            # Above this size torch splits one sum among its threads, and the loss
            # would depend on their number in the last bits. Sums by row are not split.
            return super().mean_nats(a, target, weight, row_weight)
        total = F.mse_loss(self.output(a), target, reduction="sum")
        return total * (0.5 / target.shape[0])

    def error(self, a: Tensor, target: Tensor, units: float = 1.0) -> Tensor:
        if units != 1.0:
            return ((self.output(a) - target) * units).square()
        return F.mse_loss(self.output(a), target, reduction="none")


class AbsoluteError(Reconstruction):
    """Σ|x − x̂|, in nats and as an entry's error."""

    name, natural_output = "absolute_error", "identity"
    scale_power, log_constant = 1.0, math.log(2.0)
    has_scale = True

    def error(self, a: Tensor, target: Tensor, units: float = 1.0) -> Tensor:
        error = (self.output(a) - target).abs()
        return error if units == 1.0 else error * units


class LogLoss(Reconstruction):
    """Binary cross-entropy, for data in [0, 1]."""

    name, natural_output, only_natural = "log_loss", "sigmoid", True
    lowest, highest = 0.0, 1.0

    def error(self, a: Tensor, target: Tensor, units: float = 1.0) -> Tensor:
        return F.binary_cross_entropy_with_logits(a, target, reduction="none")


class Poisson(Reconstruction):
    """x̂ − x log x̂ with x̂ = exp(a), for counts; log x! is left out.

    The encoder sees log(1 + x), because rates differ by factors.
    """

    name, natural_output, only_natural = "poisson", "exp", True
    lowest, looks = 0.0, True

    def look(self, x: Tensor) -> Tensor:
        if x.layout == torch.sparse_csr:
            return with_values(x, x.values().clamp_min(0.0).log1p())
        return x.clamp_min(0.0).log1p()

    def error(self, a: Tensor, target: Tensor, units: float = 1.0) -> Tensor:
        return F.poisson_nll_loss(a, target, log_input=True, reduction="none")

    def lost(self, a: Tensor, target: Tensor, units: float = 1.0) -> Tensor:
        """Return x log(x / x̂) − x + x̂, half the deviance: 0 where x̂ is x.

        Without the first terms, larger counts would have lower errors.
        """
        counts = target.clamp_min(0.0)  # round-off may make zeros negative
        return self.error(a, target) + torch.xlogy(counts, counts) - counts

    def log_likelihood(
        self, a: Tensor, target: Tensor, log_scale: Tensor | None = None
    ) -> Tensor:
        constant = torch.lgamma(target + 1.0).sum(1)
        return super().log_likelihood(a, target) - constant


class Multinomial(Reconstruction):
    """−Σ x log x̂ with x̂ = softmax(a): a row's counts are draws from one distribution.

    For rows that are not whole numbers it is the cross-entropy times the row's total,
    so rows that sum to 1 count equally. A row of zeros has no error.

    The encoder sees each count divided by the row's total.
    """

    name, natural_output, only_natural = "multinomial", "softmax", True
    lowest, shares, exact_sparse, looks = 0.0, True, True, True

    def look(self, x: Tensor) -> Tensor:
        total = row_sums(x)
        per_count = torch.where(total > 0.0, 1.0 / total, 0.0)
        if x.layout == torch.sparse_csr:
            counts = x.crow_indices().diff().to(torch.int64)
            return with_values(x, x.values() * per_count.repeat_interleave(counts))
        return x * per_count[:, None]

    def sparse_error(
        self, target: Tensor, h: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        return sparse_multinomial_error(target, h, weight, bias)

    def restored(self, a: Tensor, x: Tensor) -> Tensor:
        """Return the expected counts, whose total is the row's total."""
        return self.output(a) * row_sums(x)[..., None]

    def error(self, a: Tensor, target: Tensor, units: float = 1.0) -> Tensor:
        return -target * F.log_softmax(a, -1)

    def log_likelihood(
        self, a: Tensor, target: Tensor, log_scale: Tensor | None = None
    ) -> Tensor:
        orders = torch.lgamma(target.sum(1) + 1.0) - torch.lgamma(target + 1.0).sum(1)
        return super().log_likelihood(a, target) + orders


RECONSTRUCTIONS: dict[str, type[Reconstruction]] = {
    kind.name: kind
    for kind in (SquaredError, AbsoluteError, LogLoss, Poisson, Multinomial)
}
