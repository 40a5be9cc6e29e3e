r"""Sparse autoencoders: few units of the code are active at a time (Ng 2011).

.. math:: \min_{f, g}\ \mathbb{E}\,[-\log p(x \mid g(z))]
          + \beta \sum_j \mathrm{KL}(\rho \,\|\, \hat\rho_j)
          + \frac{\alpha}{2} \sum \|W\|^2,
          \qquad z = f(x) \in (0, 1)^k,\ \hat\rho_j = \mathbb{E}\, z_j

with KL(ρ‖ρ̂) = ρ log(ρ/ρ̂) + (1 − ρ) log((1 − ρ)/(1 − ρ̂)), see
`sklearn_ae.parts.penalties.KLSparsity`; or β E‖z‖₁ in its place.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from torch import nn

from sklearn_ae.autoencoders.composed import ComposedAutoencoder, CorruptionParameters
from sklearn_ae.autoencoders.module import AutoencoderModule
from sklearn_ae.autoencoders.network import Network
from sklearn_ae.engine.module import Blank
from sklearn_ae.engine.shared_parameters import ACTIVATION_NAMES, FreeParameters
from sklearn_ae.engine.train import StreamOf
from sklearn_ae.params.domains import Interval, OneOf
from sklearn_ae.parts.penalties import L1, KLSparsity, Penalty

__all__ = ["SparseAutoencoder", "SparseModule"]

#: β of "auto": the paper's for "kl"; for "l1" one with which all 64 units of digits
#: live, and four in ten of them are active (with 0.1 a quarter of them die).
WEIGHTS = {"kl": 3.0, "l1": 0.05}


class SparseModule(AutoencoderModule):
    """A module that starts where each unit's mean activation is about the target.

    Parameters
    ----------
    network : Network
    first_bias : float
        Bias of the code's units.
    """

    def __init__(self, network: Network, *, first_bias: float) -> None:
        super().__init__(network)
        if first_bias:
            _, bias = self.encoder.readout()
            nn.init.constant_(bias, first_bias)


class SparseAutoencoder(CorruptionParameters, FreeParameters, ComposedAutoencoder):
    r"""Autoencoder with a code of which few units are active at a time.

    Minimises

    .. math:: \mathbb{E}\,[-\log p(x \mid g(z))]
              + \beta \sum_j \mathrm{KL}(\rho \,\|\, \hat\rho_j)
              + \frac{\alpha}{2} \sum \|W\|^2

    in nats per sample, where ρ̂_j is the mean of unit j over the rows of a batch. The
    code may be larger than the rows: sparsity keeps it from copying them.

    Parameters
    ----------
    sparsity : float, default=0.05
        ρ, the mean that each unit is to have, in (0, 1). Not used by "l1".
    sparsity_weight : float or "auto", default="auto"
        β, in nats of features whose root mean variance is ¼, as that of pixels in
        [0, 1] is about: see `standardize`. "auto" is 3 for "kl", as in the paper, and
        0.05 for "l1", which falls on each active unit of each row.
    penalty : {"kl", "l1"}, default="kl"
        Kind of penalty: "kl" as above. As KL is convex, its mean over small batches
        exceeds that over all rows; with ``solver="lbfgs"`` it is exact. "l1" is
        β E‖z‖₁.
    hidden_layer_sizes : tuple of int, default=()
        Widths between input and code, mirrored in the decoder. The paper has none.
    code_activation : str, default="auto"
        Activation of the code: "auto" is sigmoid for "kl", which needs a code in
        (0, 1), and relu for "l1".
    alpha : float, default=0.0001
        α, the strength of L2 regularisation of weights, without biases: the paper's λ,
        in the network's nats. It does not follow the scale of X, as β does.

    Attributes
    ----------
    mean_activation_ : ndarray of shape (n_components,)
        ρ̂: each unit's mean over the rows that were fitted last.

    See Also
    --------
    KSparseAutoencoder : Exactly k active units for each row.

    References
    ----------
    Ng, A. Sparse autoencoder. CS294A lecture notes, Stanford, 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import SparseAutoencoder
    >>> X = load_digits().data
    >>> model = SparseAutoencoder(100, sparsity=0.1, max_iter=40, random_state=0)
    >>> model = model.fit(X)
    >>> print(f"{model.mean_activation_.mean():.1f}")
    0.1
    """

    sparsity: float = 0.05
    sparsity_weight: float | str = "auto"
    penalty: str = "kl"
    hidden_layer_sizes: tuple[int, ...] = ()
    code_activation: str = "auto"
    alpha: float = 1e-4
    mean_activation_: NDArray[Any] = field(init=False)

    _valid: ClassVar = {
        "sparsity": [Interval(float, 0, 1, "neither")],
        "sparsity_weight": [Interval(float, 0, None), OneOf("auto")],
        "penalty": [OneOf("kl", "l1")],
        "code_activation": [OneOf("auto", *ACTIVATION_NAMES)],
    }

    _peak_learning_rate: ClassVar[float] = 1e-2

    def _penalties(self) -> list[tuple[str, Penalty]]:
        weight = self.sparsity_weight
        if isinstance(weight, str):
            weight = WEIGHTS[self.penalty]
        if self.penalty == "l1":
            return [("sparsity", L1(weight=weight))]
        return [("sparsity", KLSparsity(sparsity=self.sparsity, weight=weight))]

    def _module(self, blank: Blank) -> SparseModule:
        code, is_kl = self.code_activation, self.penalty == "kl"
        if code == "auto":
            code = "sigmoid" if is_kl else "relu"
        if is_kl and code not in KLSparsity.code_activations:
            raise ValueError(
                "penalty='kl' needs code_activation='sigmoid' (or 'auto'): a share of "
                f"active units is a number in (0, 1). Got code_activation={code!r}, "
                "with which penalty='l1' is supported."
            )
        network = replace(self._network(blank), code_activation=code)
        first_bias = float(logit(self.sparsity)) if is_kl else 0.0
        return SparseModule(network, first_bias=first_bias)

    def _fitted_extras(
        self, module: Any, stream_of: StreamOf, continued: bool
    ) -> dict[str, Any]:
        total, count = np.zeros(module.n_components), 0.0
        for codes, weight in stream_of(module.encode):
            total += weight @ codes.astype(np.float64)
            count += weight.sum()
        return {"mean_activation_": total / count}
