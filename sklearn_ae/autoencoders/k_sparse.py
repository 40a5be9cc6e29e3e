r"""k-sparse autoencoders: the k largest units describe a row (Makhzani & Frey 2013).

.. math:: a = Wx + b,\qquad z = a \text{ on } \Gamma = \mathrm{supp}_k(a),
          \ 0 \text{ elsewhere},\qquad \hat x = W^\top z + c

with Γ the k largest of a by signed value, and the gradient through Γ alone. Units that
are never among the k do not learn. They are revived by an auxiliary loss, in which the
k largest of the dead ones, D, reconstruct the row by themselves:

.. math:: -\tfrac{1}{32} \log p(x \mid W_D^\top a_D + c)

Gao et al. (2024) have them reconstruct what the others leave. That did not revive them
here: such a unit fits what is small in every row, and is among the k largest of none.
"""

from __future__ import annotations

import math
from dataclasses import field
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sklearn_ae.autoencoders.composed import ComposedAutoencoder, CorruptionParameters
from sklearn_ae.autoencoders.module import AutoencoderModule
from sklearn_ae.autoencoders.network import Network
from sklearn_ae.engine.module import Blank
from sklearn_ae.engine.rows import Batch
from sklearn_ae.engine.shared_parameters import FreeParameters
from sklearn_ae.engine.train import StreamOf
from sklearn_ae.params.domains import Bool, Interval, Nothing, OneOf
from sklearn_ae.parts.activations import top_k
from sklearn_ae.parts.jacobian import chain_norm
from sklearn_ae.parts.sparse import dense

__all__ = ["KSparseAutoencoder", "KSparseModule"]

#: The weight of the auxiliary loss.
REVIVAL_WEIGHT = 1 / 32
#: k is annealed from this multiple of it, as in the paper (100 to 15).
FIRST_MULTIPLE = 6


class KSparseModule(AutoencoderModule):
    """Top k of a code, annealed; with the auxiliary loss that revives dead units.

    Parameters
    ----------
    network : Network
    k, transform_k, first_k : int
        Number of units to keep for each row: while training, in ``encode``, and at the
        beginning of training; `first_k` becomes `k` over the first half of the epochs.
    revive_dead : bool
    """

    active: Tensor
    dead: Tensor

    def __init__(
        self,
        network: Network,
        *,
        k: int,
        transform_k: int,
        first_k: int,
        revive_dead: bool,
    ) -> None:
        super().__init__(network)
        self.k, self.transform_k, self.first_k = k, transform_k, first_k
        self.annealed_k, self.revive_dead, self.n_dead = k, revive_dead, 0
        everything = torch.ones(self.n_components, dtype=torch.bool, device="cpu")
        self.register_buffer("active", everything)  # in this epoch, so far
        self.register_buffer("dead", ~everything)  # not active in the epoch before

    def on_epoch(self, progress: float) -> None:
        """Anneal k; a unit that was not active in the whole last epoch is dead."""
        left = max(0.0, 1.0 - 2.0 * progress)
        self.annealed_k = round(self.k + left * (self.first_k - self.k))
        self.dead.copy_(~self.active)
        self.n_dead = int(self.dead.sum())
        self.active.zero_()

    @property
    def schedule_done(self) -> bool:  # type: ignore[override]
        return self.annealed_k == self.k

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return codes (batch, n_components) with `transform_k` units kept."""
        return top_k(super().encode(x, generator), self.transform_k)

    def jacobian_norm(self, x: Tensor) -> Tensor:
        """Return ‖∂z/∂x‖_F of each row, of shape (batch,): that of the kept units."""
        layers = self.layers()
        if layers is None or not self.sees_all:
            return super().jacobian_norm(x)
        a = super().encode(x)
        kept = top_k(a, self.transform_k) != 0
        return chain_norm(x, a, layers, kept).sqrt()

    def is_active(self, x: Tensor) -> Tensor:
        """Return which units (n_components,) are among the k largest of any row."""
        return (top_k(super().encode(x), self.k) != 0).any(0)

    def loss(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the terms of the objective; "revival" is the auxiliary loss."""
        training = generator is not None
        x = self.corrupted(batch.x, generator)
        a = super().encode(x, generator)
        z = top_k(a, self.annealed_k if training else self.k)
        target, weight = batch.target, batch.weight
        nats = self.reconstruction(z, target, generator, None, weight)
        terms = {"reconstruction": nats}
        if self.revive_dead and training:
            self.active |= (z.detach() != 0).any(0)
            terms["revival"] = self.revival(a, target, weight)
        return {**terms, **self.regularisers(x, z, generator, None, weight)}

    def revival(
        self, a: Tensor, target: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        """Return the auxiliary loss, whose gradient reaches dead units alone."""
        if self.n_dead == 0:
            return a.new_zeros(())
        dead = a.masked_fill(~self.dead, -torch.inf)
        values, places = dead.topk(min(self.n_dead, self.k), dim=1, sorted=False)
        revived = torch.zeros_like(a).scatter(1, places, values)
        readout, bias = self.decoder.readout()
        restored = F.linear(revived, readout, bias.detach())
        nats = self.likelihood.mean_nats(restored, dense(target), None, weight)
        return REVIVAL_WEIGHT * nats


class KSparseAutoencoder(CorruptionParameters, FreeParameters, ComposedAutoencoder):
    r"""Autoencoder that describes each row by the k largest units of its code.

    Minimises

    .. math:: \mathbb{E}\,[-\log p(x \mid g(\mathrm{top}_k f(x)))]

    in nats per sample. The largest are those by signed value. By default the network is
    the paper's: one linear layer, with tied weights. The code may be much larger than
    the rows.

    Parameters
    ----------
    k : int or None, default=None
        Number of units kept for each row while training, at most `n_components`; None
        is the square root of `n_components`, rounded.
    transform_k : int or None, default=None
        Number of units kept in `transform` (and `reconstruct` and `score`); None is
        `k`. The paper takes up to 3 k for features to classify by.
    k_schedule : {"constant", "linear"}, default="constant"
        Course of k over the training: "linear" begins with 6 k units and comes down to
        k over the first half of the epochs, which is how the paper keeps units from
        dying.
    revive_dead : bool, default=True
        Whether units that were active for no row of an epoch (or of the last call of
        `partial_fit`) are revived by an auxiliary loss, recorded as "revival", in
        networks without hidden layers.
    sparse_output : bool, default=False
        Whether `transform` returns CSR, of shape (n_samples, n_components).
    hidden_layer_sizes : tuple of int, default=()
        Widths between input and code, mirrored in the decoder. The paper has none.
    tied_weights : bool, default=True
        Whether the decoder's weights are the encoder's, transposed (and shared).

    Attributes
    ----------
    dead_units_ : ndarray of int
        Numbers of the units that are among the k largest of none of the rows that were
        fitted last.

    References
    ----------
    Makhzani, A. & Frey, B. k-sparse autoencoders. ICLR 2014.

    Gao, L. et al. Scaling and evaluating sparse autoencoders. 2024.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import KSparseAutoencoder
    >>> X = load_digits().data
    >>> model = KSparseAutoencoder(200, k=10, max_iter=20, random_state=0)
    >>> codes = model.fit_transform(X)
    >>> int((codes[0] != 0).sum())
    10
    """

    k: int | None = None
    transform_k: int | None = None
    k_schedule: str = "constant"
    revive_dead: bool = True
    sparse_output: bool = False
    hidden_layer_sizes: tuple[int, ...] = ()
    tied_weights: bool = True
    dead_units_: NDArray[np.intp] = field(init=False)

    _valid: ClassVar = {
        "k": [Interval(int, 1, None), Nothing()],
        "transform_k": [Interval(int, 1, None), Nothing()],
        "k_schedule": [OneOf("linear", "constant")],
        "revive_dead": [Bool()],
        "sparse_output": [Bool()],
    }
    _peak_learning_rate: ClassVar[float] = 6e-3

    def _module(self, blank: Blank) -> KSparseModule:
        n = int(self.n_components)
        for name in ("k", "transform_k"):
            value = getattr(self, name)
            if value is not None and value > n:
                raise ValueError(
                    f"{name}={value} must not exceed n_components={n}: there are no "
                    "more units to keep."
                )
        k = round(math.sqrt(n)) if self.k is None else int(self.k)
        multiple = FIRST_MULTIPLE if self.k_schedule == "linear" else 1
        return KSparseModule(
            self._network(blank),
            k=k,
            transform_k=k if self.transform_k is None else int(self.transform_k),
            first_k=min(multiple * k, n),
            revive_dead=bool(self.revive_dead) and not self.hidden_layer_sizes,
        )

    def _gives_sparse_codes(self) -> bool:
        return bool(self.sparse_output)

    def _fitted_extras(
        self, module: Any, stream_of: StreamOf, continued: bool
    ) -> dict[str, Any]:
        active = np.zeros(module.n_components, dtype=bool)
        for chunk, _ in stream_of(lambda x: module.is_active(x)[None]):
            active |= chunk[0]
        return {"dead_units_": np.flatnonzero(~active)}
