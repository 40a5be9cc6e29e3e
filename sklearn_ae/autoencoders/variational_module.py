r"""Variational autoencoders: a code is drawn, not computed (Kingma & Welling 2014).

With q(z|x) = N(μ(x), σ²(x)), the prior p(z) = N(0, 1) and a likelihood p(x|z),

.. math:: \log p(x) \ge \mathrm{ELBO} = \mathbb{E}_q \log p(x|z)
          - \tfrac12 \sum_j (\mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2)

A tighter bound is that of `sklearn_ae.autoencoders.importance_weighted`, which any such
model may be scored by (``n_samples`` of `score_samples`).

Sums are over features and components, means over rows, and no constant is left out: at
β = 1, what is minimised is the bound itself, on rows in the network's units.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sklearn_ae.autoencoders.module import AutoencoderModule
from sklearn_ae.autoencoders.network import Network
from sklearn_ae.engine.columns import Columns
from sklearn_ae.engine.pca_start import principal
from sklearn_ae.engine.rows import Batch, Rows
from sklearn_ae.engine.tensors import from_tensor, make_generator, to_tensor
from sklearn_ae.parts import averages
from sklearn_ae.parts.layers import DataDense, Dense, linear
from sklearn_ae.parts.networks import TiedDecoder
from sklearn_ae.parts.sparse import dense, row_sums

__all__ = ["VariationalModule", "kl_divergence"]

#: The ELBO of a held-out row is estimated by this many draws of z while training.
VALIDATION_DRAWS = 4
#: σ of a code is at least this.
LEAST_SPREAD = 1e-6
#: The variance of p(x|z) starts at no less than this, in units of the data's.
LEAST_NOISE = 1e-8


class VariationalModule(AutoencoderModule):
    """q(z|x), p(x|z), and minus the ELBO of one draw as the loss.

    Parameters
    ----------
    network : Network
    beta : float
    kl_warmup : float
        Share of the epochs over which the weight of the KL rises to `beta`.
    noise_scale : float or "learn"
        Standard deviation of a Gaussian p(x|z).
    dynamic_binarization : bool
        Whether training draws rows of 0 and 1 from those that it is given.
    n_importance_samples : int
        k of L_k.
    """

    warmth: Tensor
    fast_parameters: tuple[str, ...] = ("learned_log_noise",)

    def __init__(
        self,
        network: Network,
        *,
        beta: float,
        kl_warmup: float,
        noise_scale: float | str,
        dynamic_binarization: bool,
        n_importance_samples: int,
    ) -> None:
        super().__init__(network)
        n_in, blank = self.encoder.readout()[0].shape[1], network.blank
        inside = self.has_hidden_units or network.images is not None
        kind = Dense if inside else DataDense
        drawn_by = blank.generator, blank.dtype
        self.spread_head = kind(n_in, self.n_components, *drawn_by)
        number = self.spread.new_tensor
        self.learned_log_noise = None
        if isinstance(noise_scale, str) and self.likelihood.name == "squared_error":
            self.learned_log_noise = torch.nn.Parameter(number(0.0))
        fixed = 1.0 if isinstance(noise_scale, str) else noise_scale
        self.hyper.register_buffer("log_noise", number(math.log(fixed)))
        self.hyper.register_buffer("beta", number(beta))
        self.register_buffer("warmth", number(1.0))
        self.kl_warmup, self.schedule_done = kl_warmup, True
        self.dynamic_binarization = dynamic_binarization
        self.n_importance_samples = n_importance_samples

    def on_epoch(self, progress: float) -> None:
        """Raise the weight of the KL with the progress of training."""
        self.schedule_done = progress >= self.kl_warmup
        self.warmth.fill_(1.0 if self.schedule_done else progress / self.kl_warmup)

    def _see(self, columns: Columns, scaled: bool) -> None:
        super()._see(columns, scaled)
        if isinstance(self.spread_head, DataDense):
            each = self.encoder.facing.each
            self.spread_head.each.set(each.scale, each.constant, float(each.reach))

    def start_from_rows(self, rows: Rows) -> None:
        super().start_from_rows(rows)
        natural = self.likelihood.name == "squared_error" and not self.has_hidden_units
        free = isinstance(self.spread_head, DataDense)
        free = free and not isinstance(self.decoder, TiedDecoder)
        if natural and free and rows.units.shift is not None:
            self._begin_at_closed_form(rows)

    def _begin_at_closed_form(self, rows: Rows) -> None:
        r"""Start a linear network at its optimum: probabilistic PCA.

        With λ the variances of PCA's axes u and n = β σ², the decoder's weights are
        w u with w² = λ − n, μ = w uᵀx / λ, and the variance of q(z|x) is n / λ
        (Tipping & Bishop 1999).
        """
        units, k = rows.units, self.n_components
        weight = None
        if rows.weight is not None:
            weight = np.ones(rows.X.shape[0])
            served = slice(None) if rows.subset is None else rows.subset
            weight[served] = from_tensor(rows.weight)
        axes, variance, left = principal(rows.X, units.shift, k, 0, rows.subset, weight)
        variance = variance / units.scale**2
        n_features = axes.shape[1]
        if self.learned_log_noise is not None:
            noise = left * n_features / max(n_features - k, 1)  # the mean variance is 1
            with torch.no_grad():
                self.learned_log_noise.fill_(0.5 * math.log(max(noise, LEAST_NOISE)))
        n = float(self.hyper.beta) * math.exp(2.0 * float(self.log_noise.detach()))
        # components that are no more than noise keep a little, to learn from
        share = np.maximum(variance - n, 1e-4 * variance)
        there = variance > 0.0
        total = np.where(there, share + n, 1.0)
        spread = np.where(there, np.sqrt(n / total), 1.0)
        encode, decode = np.sqrt(share) / total, np.sqrt(share)
        before = np.log(np.expm1(np.maximum(spread - LEAST_SPREAD, LEAST_SPREAD)))
        facing, speaking = self.encoder.facing, self.decoder.facing
        with torch.no_grad():
            for layer, weights in ((facing, encode), (speaking, decode)):
                kernel = to_tensor(axes.T * weights, layer.kernel.dtype)
                scale = layer.each.scale[:, None]
                layer.kernel.copy_(torch.where(scale > 0.0, kernel / scale, 0.0))
            self.spread_head.kernel.zero_()
            self.spread_head.bias.copy_(to_tensor(before))

    @property
    def log_noise(self) -> Tensor:
        """Logarithm of the standard deviation of a Gaussian p(x|z), of shape ()."""
        learned = self.learned_log_noise
        return self.hyper.log_noise if learned is None else learned

    def posterior(
        self, x: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return μ and σ of q(z|x), each of shape (batch, n_components)."""
        h = self.encoder.features(self.look(x), generator)
        mean = linear(h, *self.encoder.readout())
        # not exp, with which rows far from the others would overflow
        spread = F.softplus(self.spread_head(h)) + LEAST_SPREAD
        return mean.to(self.spread.dtype), spread.to(self.spread.dtype)

    def weights(self) -> list[Tensor]:
        return [*super().weights(), self.spread_head.weight]

    def log_likelihood(
        self, z: Tensor, target: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return log p(x|z) of shape (n_draws, batch).

        Parameters
        ----------
        z : Tensor of shape (n_draws, batch, n_components)
        target : Tensor of shape (batch, n_features)
        generator : torch.Generator or None
            Generator of dropout.
        """
        a = self.decoder(z.flatten(0, 1), generator).to(target.dtype)
        a = a.unflatten(0, z.shape[:2])
        return self.likelihood.log_likelihood(a, target, self.log_noise)

    def draw(self, n: int, mean: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return ε of shape (n, batch, n_components), always the same without one."""
        if generator is None:
            generator = make_generator(0, torch.device("cpu"))
        noise = torch.randn(
            (n, *mean.shape),
            generator=generator,
            dtype=mean.dtype,
            device=generator.device,
        )
        return noise.to(mean.device)

    def drawn(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the rows that training sees for those that it is given."""
        if not self.dynamic_binarization or generator is None:
            return x
        shares = dense(x).clamp(0.0, 1.0)  # rounding may have left it
        return torch.bernoulli(shares, generator=generator)

    def rows(
        self, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Return what is encoded, and what is to be reconstructed."""
        x = self.drawn(batch.x, generator)
        target = batch.target if x is batch.x else x
        return self.corrupted(x, generator), dense(target)

    def as_learned(self, batch: Batch, generator: torch.Generator) -> Batch:
        x, target = self.rows(batch, generator)
        return batch._replace(x=x, target=target)

    def loss(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return minus the ELBO as "reconstruction" and "kl", and the weights' decay.

        Without a generator it is estimated by few draws that are always the same, and
        the KL counts in full.
        """
        x, target = self.rows(batch, generator)
        mean, spread = self.posterior(x, generator)
        noise = self.draw(1 if generator else VALIDATION_DRAWS, mean, generator)
        log_p = self.log_likelihood(mean + spread * noise, target, generator)
        beta = self.hyper.beta * self.warmth if generator else self.hyper.beta
        weight = batch.weight
        return {
            "reconstruction": -averages.mean(log_p, weight),
            "kl": beta * averages.mean(kl_divergence(mean, spread), weight),
            **self.regularisers(x, mean, generator, None, weight),
        }

    def elbo(self, x: Tensor, noise: Iterable[Tensor]) -> Tensor:
        """Return the ELBO of each row, of shape (batch,).

        p(x|z) is continued beyond its domain (`Reconstruction.continued`). The draws ε
        come in parts of shape (n_draws, batch, n_components).
        """
        x, beyond = self.continued(x)
        mean, spread = self.posterior(x)
        k, total, target = 0, torch.zeros_like(mean[:, 0]), dense(x)
        for part in noise:
            log_p = self.log_likelihood(mean + spread * part, target)
            k, total = k + len(part), total + log_p.sum(0)
        return total / k - kl_divergence(mean, spread) - beyond

    def bound(self, x: Tensor, noise: Iterable[Tensor]) -> Tensor:
        """Return L_k of each row, of shape (batch,), by draws as in `elbo`."""
        x, beyond = self.continued(x)
        mean, spread = self.posterior(x)
        k, total, target = 0, torch.full_like(mean[:, 0], -torch.inf), dense(x)
        for part in noise:
            log_w = self.log_weights(mean, spread, part, target)
            k, total = k + len(part), torch.logaddexp(total, log_w.logsumexp(0))
        return total - math.log(k) - beyond

    def continued(self, x: Tensor) -> tuple[Tensor, Tensor | float]:
        """Return rows clipped to the domain of p(x|z), and the cost of that in nats."""
        x, beyond = self.likelihood.continued(x)
        return x, 0.0 if beyond is None else row_sums(beyond)

    def log_weights(
        self,
        mean: Tensor,
        spread: Tensor,
        noise: Tensor,
        target: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return log w = log p(x|z) + [log p(z) − log q(z|x)] for z = μ + σ ε.

        While the KL is being warmed up, the brackets count for less.
        """
        z = mean + spread * noise
        ratio = (spread.log() + 0.5 * (noise.square() - z.square())).sum(-1)
        if generator is not None:
            ratio = self.warmth * ratio
        return self.log_likelihood(z, target, generator) + ratio


def kl_divergence(mean: Tensor, spread: Tensor) -> Tensor:
    """Return KL(N(μ, σ²) ‖ N(0, 1)) of each row, of shape (batch,)."""
    squares = mean.square() + spread.square()
    return (0.5 * (squares - 1.0) - spread.log()).sum(-1)
