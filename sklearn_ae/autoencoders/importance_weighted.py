r"""Importance-weighted autoencoders: a tighter bound, by several draws (Burda 2016).

.. math:: \log p(x) \ge L_k = \mathbb{E} \log \frac1k \sum_{i=1}^k
          \frac{p(x|z_i)\,p(z_i)}{q(z_i|x)},\qquad z_i \sim q(z|x)

L_1 is the ELBO, L_k grows with k towards log p(x).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from sklearn_ae.autoencoders.variational import BaseVariational
from sklearn_ae.autoencoders.variational_module import VariationalModule
from sklearn_ae.engine.rows import Batch
from sklearn_ae.params.domains import Interval
from sklearn_ae.parts import averages

__all__ = ["ImportanceWeightedAutoencoder", "ImportanceWeightedModule"]


class ImportanceWeightedModule(VariationalModule):
    """A `VariationalModule` with minus L_k as the loss."""

    @property
    def n_multiplications(self) -> int:
        return (1 + self.n_importance_samples) * super().n_multiplications // 2

    def loss(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return minus L_k as "bound", and the weights' decay."""
        x, target = self.rows(batch, generator)
        mean, spread = self.posterior(x, generator)
        noise = self.draw(self.n_importance_samples, mean, generator)
        log_w = self.log_weights(mean, spread, noise, target, generator)
        bound = log_w.logsumexp(0) - math.log(len(log_w))
        return {
            "bound": -averages.mean(bound, batch.weight),
            **self.regularisers(x, mean, generator, None, batch.weight),
        }


class ImportanceWeightedAutoencoder(BaseVariational):
    r"""Variational autoencoder that maximises a tighter bound, by several draws.

    Maximises

    .. math:: \log p(x) \ge L_k = \mathbb{E} \log \frac1k \sum_{i=1}^k
              \frac{p(x|z_i)\,p(z_i)}{q(z_i|x)},\qquad z_i \sim q(z|x)

    in nats per sample. q need not fit the posterior as closely as that of a
    `VariationalAutoencoder`, so codes say more of a row. A step costs k decoded
    batches, in time and in memory.

    Parameters
    ----------
    n_importance_samples : int, default=50
        Number k of draws for each row; 1 is the ELBO.

    See Also
    --------
    VariationalAutoencoder : The same with k = 1, and β.

    References
    ----------
    Burda, Y., Grosse, R. & Salakhutdinov, R. Importance weighted autoencoders. ICLR
    2016.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import ImportanceWeightedAutoencoder
    >>> X = load_digits().data / 16
    >>> model = ImportanceWeightedAutoencoder(
    ...     8, n_importance_samples=5, likelihood="bernoulli", max_iter=20,
    ...     random_state=0,
    ... ).fit(X)
    >>> bool(model.score_samples(X, n_samples=100).mean() > model.score(X))
    True
    """

    n_importance_samples: int = 50

    _valid: ClassVar = {"n_importance_samples": [Interval(int, 1, None)]}
    _module_kind: ClassVar[type[VariationalModule]] = ImportanceWeightedModule

    @property
    def _n_draws(self) -> int:
        return int(self.n_importance_samples)
