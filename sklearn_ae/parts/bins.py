"""Regression as classification: each number is one of a few bins of its feature."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_ae.parts.averages import mean, mean_row

__all__ = ["Bins"]


class Bins(nn.Module):
    r"""−log softmax(a)_{b(x)} of the bin that x is in; x̂ is the mean of the bins.

    .. math:: \hat x_j = \sum_b c_{jb}\, \mathrm{softmax}(a_j)_b

    where :math:`c_{jb}` is the mean of the rows in a feature's bin b. It answers what
    `sklearn_ae.parts.reconstruction.Reconstruction` does.

    Parameters
    ----------
    n_features, n_bins : int
    dtype : torch.dtype
    """

    edges: Tensor
    centres: Tensor
    #: No nonlinearity of each number by itself.
    name, output_activation = "bins", "expectation"
    looks, has_scale, scale_power = False, True, None

    def __init__(self, n_features: int, n_bins: int, dtype: torch.dtype) -> None:
        super().__init__()
        blank = torch.zeros(n_features, n_bins, dtype=dtype, device="cpu")
        self.register_buffer("edges", blank[:, 1:].clone())
        self.register_buffer("centres", blank)

    def learn(self, x: Tensor, weight: Tensor | None = None) -> None:
        """Take edges and centres from rows (n_rows, n_features).

        Each bin holds as many of a feature's rows as any other, where these differ. A
        row counts as much as its `weight`, of shape (n_rows,), says.
        """
        n_bins = self.centres.shape[1]
        ordered, order = x.T.sort(1)
        numbers = torch.arange(1, n_bins, device=x.device)
        if weight is None:
            places = (numbers * len(x) / n_bins).long().expand(len(ordered), -1)
            weight = torch.ones_like(ordered[0])
        else:  # the first whose weight, with those before it, exceeds the share
            below = weight.double()[order].cumsum(1)
            sought = below[:, -1:] * (numbers.double() / n_bins)
            places = torch.searchsorted(below, sought * (1 + 1e-6), right=True)
            places = places.clamp_max(len(x) - 1)
        self.edges.copy_(ordered.gather(1, places))
        bins, blank = (
            self.assign(x).T,
            torch.zeros_like(self.centres, dtype=torch.float64),
        )
        each = weight.double().expand(len(ordered), -1)
        counts = blank.scatter_add(1, bins, each)
        sums = blank.scatter_add(1, bins, x.T.double() * each)
        empty = mean_row(x, weight)[:, None]
        self.centres.copy_(torch.where(counts > 0, sums / counts, empty))

    def best_constant(self, centre: Tensor) -> Tensor:
        """Return logits for which all bins are as likely."""
        return torch.zeros_like(centre)

    def assign(self, x: Tensor) -> Tensor:
        """Return the bins (batch, n_features) that rows are in, as whole numbers."""
        # contiguous, without which torch warns and makes a copy itself
        return torch.searchsorted(self.edges, x.T.contiguous(), right=True).T

    def output(self, a: Tensor) -> Tensor:
        """Return x̂ (batch, n_features) of logits (batch, n_features, n_bins)."""
        return (a.softmax(-1) * self.centres).sum(-1)

    def restored(self, a: Tensor, x: Tensor) -> Tensor:
        """Return x̂, whatever the rows `x` are."""
        return self.output(a)

    def mean_nats(
        self,
        a: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        row_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the cross-entropy, summed over features, of the mean row."""
        which = self.assign(target).flatten()  # with the bins last in memory: faster so
        nats = F.cross_entropy(a.flatten(0, 1), which, reduction="none")
        nats = nats.unflatten(0, target.shape)
        nats = (nats if weight is None else nats * weight).sum(1)
        return mean(nats, row_weight)

    def error(self, a: Tensor, target: Tensor, units: float = 1.0) -> Tensor:
        """Return (x − x̂)² of each entry, of shape (batch, n_features)."""
        return ((self.output(a) - target) * units).square()

    lost = error
