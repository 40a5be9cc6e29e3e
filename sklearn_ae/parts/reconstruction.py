r"""How far a reconstruction is from its target, in nats and in the units of the data.

Each objective is a negative log-likelihood per sample: summed over features, averaged
over samples, so that published penalty weights mean what they meant in the paper.

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
log-rate), so that no probability is rounded to zero before its logarithm is taken.

Log loss is defined on [0, 1], Poisson and multinomial on [0, ∞). New rows may be beyond
their domain. There −log p(x) is continued as −log p(x′) + `BEYOND` · Σ |x − x′|, with
x′ the nearest row in it.
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


#: Nats for each unit that a value is beyond the domain of a likelihood. So much is
#: −log 0 in torch's binary_cross_entropy. It is the same for all models, so that it
#: changes no comparison of them.
BEYOND = 100.0


class Reconstruction:
    """An objective −log p(x | a) and the output nonlinearity that goes with it.

    Parameters
    ----------
    output_activation : str
        The nonlinearity from pre-activation to x̂; "auto" takes the objective's own.

    Raises
    ------
    ValueError
        If the objective is not supported with that output.
    """

    name: ClassVar[str]
    natural_output: ClassVar[str]
    only_natural: ClassVar[bool] = False
    lowest: ClassVar[float | None] = None
    highest: ClassVar[float | None] = None
    #: −log p is this times `error`, with the network's units.
    nats_per_error: ClassVar[float] = 1.0
    #: Where p has a scale: the power of it that divides the error, and the logarithm of
    #: what, times the scale, p is divided by.
    scale_power: ClassVar[float | None] = None
    log_constant: ClassVar[float] = 0.0
    #: Whether x̂ is a share of what a row sums to: a row is restored as a whole then,
    #: and so are missing values and parts of rows none of its matter.
    shares: ClassVar[bool] = False
    #: Whether what the encoder sees of a row, `look`, is something else than the row.
    looks: ClassVar[bool] = False
    #: Whether rows and reconstructions have a scale that they can be measured in.
    has_scale: ClassVar[bool] = False

    def __init__(self, output_activation: str = "auto") -> None:
        if output_activation == "auto":
            output_activation = self.natural_output
        if output_activation == "logistic":
            output_activation = "sigmoid"
        if self.only_natural and output_activation != self.natural_output:
            raise ValueError(
                f"loss={self.name!r} is computed with output_activation="
                f"{self.natural_output!r} (or 'auto'). Got {output_activation!r}."
            )
        self.output_activation = output_activation
        self.output: Callable[[Tensor], Tensor] = get_activation(output_activation)

    def look(self, x: Tensor) -> Tensor:
        """Return what the encoder is shown of rows (batch, n_features)."""
        return x

    def best_constant(self, centre: Tensor) -> Tensor:
        """Return the pre-activation of x̂ = `centre`, of shape (n_features,).

        At the means of the features, or for some losses their medians, it is the one
        row that restores all rows best.
        """
        return inverse(self.output_activation, centre)

    @classmethod
    def continued(cls, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return rows within the domain of p, and what they are to be charged for it.

        Parameters
        ----------
        x : Tensor of shape (batch, n_features)
            Rows in their units, dense or CSR; NaN stays as it is.

        Returns
        -------
        inside : Tensor of shape (batch, n_features)
            The rows, clipped.
        beyond : Tensor of shape (batch, n_features) or None
            In nats, `BEYOND` times how far each entry is beyond the domain; None where
            none is.
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
        """Whether `sparse_error` can be had."""
        return False

    def sparse_error(
        self, target: Tensor, h: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        """Return the errors' sum for each sparse row, without a dense target.

        Parameters
        ----------
        target : CSR Tensor of shape (batch, n_features)
        h : Tensor of shape (batch, width)
        weight : Tensor of shape (n_features, width)
        bias : Tensor of shape (n_features,)
            Of the linear layer that gives the pre-activation.

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
        x : Tensor of shape (batch, n_features)
            The rows; CSR or dense.
        """
        return self.output(a)

    def nats(self, a: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return −log p(target | a) per row, up to a constant, of shape (..., batch).

        Parameters
        ----------
        a, target : Tensor of shape (..., batch, n_features)
        weight : Tensor of shape (batch, n_features) or None
            How much each entry counts.
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
        log_scale : Tensor of shape () or None
            Logarithm of the scale of p, where it has one; None is a scale of 1.
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

        `row_weight`, of shape (batch,), says how much each row counts.
        """
        return mean(self.nats(a, target, weight), row_weight)

    def error(self, a: Tensor, target: Tensor, units: float = 1.0) -> Tensor:
        """Return each entry's error, of shape (batch, n_features).

        Parameters
        ----------
        a, target : Tensor of shape (batch, n_features)
        units : float
            The size of the network's unit in the units of the data.
        """
        raise NotImplementedError

    def lost(self, a: Tensor, target: Tensor, units: float = 1.0) -> Tensor:
        """Return each entry's error as users are told it, of the same shape.

        It may differ from `error` by what depends on the target alone.
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
            # Above this size torch splits one sum among its threads, whose number
            # would show in the last bits of the loss; sums by the row are not split.
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

    The encoder sees log(1 + x): rates differ by factors.
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

        Without the first terms, the larger a count the lower its error would be.
        """
        counts = target.clamp_min(0.0)  # zeros may come with round-off
        return self.error(a, target) + torch.xlogy(counts, counts) - counts

    def log_likelihood(
        self, a: Tensor, target: Tensor, log_scale: Tensor | None = None
    ) -> Tensor:
        constant = torch.lgamma(target + 1.0).sum(1)
        return super().log_likelihood(a, target) - constant


class Multinomial(Reconstruction):
    """−Σ x log x̂ with x̂ = softmax(a): a row's counts are draws from one distribution.

    Of rows that are no whole numbers it is the cross-entropy, times what the row sums
    to: with rows that sum to 1 each counts the same. A row of zeros has no error.

    The encoder sees the shares that a row's counts are of their sum.
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
        """Return the expected counts, which sum to what those of the row sum to."""
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
