"""Regression as classification: each number falls into one of its feature's bins."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_ae.parts.averages import mean, mean_row

__all__ = ["Bins"]


class Bins(nn.Module):
    r"""−log softmax(a)_{b(x)} of the bin that x is in; x̂ is the mean of the bins.

    .. math:: \hat x_j = \sum_b c_{jb}\, \mathrm{softmax}(a_j)_b

    where :math:`c_{jb}` is the mean of the rows in bin b of feature j. It has the
    methods of `sklearn_ae.parts.reconstruction.Reconstruction`.

    Parameters
    ----------
    n_features : int
        Number of features.
    n_bins : int
        Number of bins of each feature.
    dtype : torch.dtype
        Dtype of edges and centres.
    """

    edges: Tensor
    centres: Tensor
    #: The output's name is not that of an activation: x̂ is an expectation over bins.
    name, output_activation = "bins", "expectation"
    looks, has_scale, scale_power = False, True, None

    def __init__(self, n_features: int, n_bins: int, dtype: torch.dtype) -> None:
        super().__init__()
        blank = torch.zeros(n_features, n_bins, dtype=dtype, device="cpu")
        self.register_buffer("edges", blank[:, 1:].clone())
        self.register_buffer("centres", blank)

    def learn(self, x: Tensor, weight: Tensor | None = None) -> None:
        """Take edges and centres from rows (n_rows, n_features).

        All bins of a feature hold the same number of rows, or the same weight, as far
        as equal values allow. `weight`, of shape (n_rows,), is the weight of each row.
        """
        n_bins = self.centres.shape[1]
        ordered, order = x.T.sort(1)
        numbers = torch.arange(1, n_bins, device=x.device)
        if weight is None:
            places = (numbers * len(x) / n_bins).long().expand(len(ordered), -1)
            weight = torch.ones_like(ordered[0])
        else:  # an edge is where the weights so far exceed the bins' share
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
        """Return logits that make all bins equally likely."""
        return torch.zeros_like(centre)

    def assign(self, x: Tensor) -> Tensor:
        """Return the number of the bin of each entry, (batch, n_features)."""
        # torch warns and makes a copy itself if this is not contiguous
        return torch.searchsorted(self.edges, x.T.contiguous(), right=True).T

    def output(self, a: Tensor) -> Tensor:
        """Return x̂ (batch, n_features) of logits (batch, n_features, n_bins)."""
        return (a.softmax(-1) * self.centres).sum(-1)

    def restored(self, a: Tensor, x: Tensor) -> Tensor:
        """Return x̂, which does not depend on the rows `x`."""
        return self.output(a)

    def mean_nats(
        self,
        a: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        row_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the cross-entropy, summed over features, of the mean row."""
        which = self.assign(target).flatten()  # bins last in memory are faster
        nats = F.cross_entropy(a.flatten(0, 1), which, reduction="none")
        nats = nats.unflatten(0, target.shape)
        nats = (nats if weight is None else nats * weight).sum(1)
        return mean(nats, row_weight)

    def error(self, a: Tensor, target: Tensor, units: float = 1.0) -> Tensor:
        """Return (x − x̂)² of each entry, of shape (batch, n_features)."""
        return ((self.output(a) - target) * units).square()

    lost = error
