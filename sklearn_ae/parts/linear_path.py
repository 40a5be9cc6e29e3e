"""Networks that are PCA plus a correction: the linear path."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_ae.parts.layers import (
    linear,
)
from sklearn_ae.parts.networks import (
    Encoder,
    MLPDecoder,
    MLPEncoder,
)
from sklearn_ae.parts.sparse import full_precision

__all__ = ["REACH", "LinearPathDecoder", "LinearPathEncoder"]

#: A correction stays constant beyond this many standard deviations: the linear path
#: extrapolates, a network does not.
REACH = 5.0


class LinearPathEncoder(Encoder):
    r"""PCA's code plus a network's correction.

    .. math:: z = A x + t \circ (f(u) + B u),\qquad u = x/\sigma

    A = c s⁻¹V is fixed, with c = 1 if codes are whitened. f sees u clipped to ±5, or
    unclipped for sparse rows. f's last layer and B start at zero, so training starts at
    PCA. `start_at_pca` sets A, σ and t.

    Parameters
    ----------
    network : MLPEncoder
        Network f; its last layer is set to zero.
    """

    precision: Tensor
    reach: Tensor
    trust: Tensor

    def __init__(self, network: MLPEncoder) -> None:
        super().__init__()
        first, last = network.weights()[0], network.weights()[-1]
        nn.init.zeros_(last)
        self.network = network
        blank = first.new_zeros(first.shape[1], last.shape[0]).detach()
        self.components = nn.Parameter(blank, requires_grad=False)
        self.correction = nn.Parameter(blank.clone())
        self.register_buffer("precision", blank.new_ones(first.shape[1]))
        self.register_buffer("reach", blank.new_tensor(math.inf))
        self._reach_number: float | None = None  # clamping by a tensor is slow
        self.register_buffer("trust", blank.new_ones(last.shape[0]))

    def start_at_pca(
        self, components: Tensor, feature_scale: Tensor | None, trust: Tensor
    ) -> None:
        """Take over PCA's solution, in the network's units.

        Parameters
        ----------
        components : Tensor of shape (n_features, n_components)
            Matrix Aᵀ.
        feature_scale : Tensor of shape (n_features,) or None
            Scales σ; None for sparse rows, which have no scales.
        trust : Tensor of shape (n_components,)
            Distances t that a correction of size one moves each code.
        """
        self.components.data.copy_(components)
        if feature_scale is not None:
            self.precision.copy_(1.0 / feature_scale)
            self.reach.fill_(REACH)
            self._reach_number = None
        self.trust.copy_(trust)

    def _reach(self) -> float:
        if self._reach_number is None:
            self._reach_number = float(self.reach)
        return self._reach_number

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if x.layout == torch.sparse_csr:
            u, skip = x, self.correction * self.trust
        else:
            u = x * self.precision
            if not math.isinf(self._reach()):
                u = u.clamp_(-self._reach(), self._reach())
            skip = self.correction * self.precision[:, None] * self.trust
        weight, bias = self.network.readout()
        h = self.network.features(u, generator).to(bias.dtype)
        with full_precision(x.device.type):
            straight = linear(x, (self.components + skip).T, self.trust * bias)
            return torch.addmm(straight, h, weight.T * self.trust)

    def weights(self) -> list[Tensor]:
        """Return the network's weight matrices, without biases."""
        return self.network.weights()


class LinearPathDecoder(nn.Module):
    r"""PCA's reconstruction plus a network's correction.

    .. math:: \hat x = U w + r \circ (g(w) + C w),\qquad w = z/c

    U = Vᵀs is fixed. g sees the whitened codes w clipped to ±5. g's last layer and C
    start at zero. `start_at_pca` sets U, c and r.

    Parameters
    ----------
    network : MLPDecoder
        Network g; its last layer is set to zero.
    """

    code_scale: Tensor
    trust: Tensor

    def __init__(self, network: MLPDecoder) -> None:
        super().__init__()
        first, last = network.weights()[0], network.weights()[-1]
        nn.init.zeros_(last)
        self.network = network
        blank = last.new_zeros(last.shape[0], first.shape[1]).detach()
        self.components = nn.Parameter(blank, requires_grad=False)
        self.correction = nn.Parameter(blank.clone())
        self.register_buffer("code_scale", blank.new_ones(first.shape[1]))
        self.register_buffer("trust", blank.new_ones(last.shape[0]))

    def start_at_pca(
        self, components: Tensor, code_scale: Tensor, trust: Tensor
    ) -> None:
        """Take over PCA's solution, in the network's units.

        Parameters
        ----------
        components : Tensor of shape (n_features, n_components)
            Matrix U.
        code_scale : Tensor of shape (n_components,)
            Scales c of the codes: 1 if they are whitened.
        trust : Tensor of shape (n_features,)
            Distances r that a correction of size one moves each feature.
        """
        self.components.data.copy_(components)
        self.code_scale.copy_(code_scale)
        self.trust.copy_(trust)
        self.network.facing.each.set(trust, torch.zeros_like(trust))

    def features(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return what the output layer reads: g's last hidden layer, and w."""
        z = z / self.code_scale
        return torch.cat([self._hidden(z, generator), z], dim=1)

    def readout(self) -> tuple[Tensor, Tensor]:
        """Return the output layer's weight (n_features, width) and bias."""
        weight, bias = self.network.readout()
        return torch.cat([weight, self._skip()], dim=1), bias

    def forward(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        z = z / self.code_scale
        weight, bias = self.network.readout()
        h = self._hidden(z, generator).to(bias.dtype)
        with full_precision(z.device.type):
            straight = F.linear(z, self._skip(), bias)
            return torch.addmm(straight, h, weight.T)

    def _skip(self) -> Tensor:
        return torch.addcmul(self.components, self.correction, self.trust[:, None])

    def _hidden(self, z: Tensor, generator: torch.Generator | None) -> Tensor:
        return self.network.features(z.clamp(-REACH, REACH), generator)

    def weights(self) -> list[Tensor]:
        """Return the network's weight matrices, without biases."""
        return self.network.weights()
