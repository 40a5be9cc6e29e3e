r"""Contractive autoencoders: the code moves little with the input (Rifai et al. 2011).

.. math:: \min_{f, g}\ \mathbb{E}\,[-\log p(x \mid g(z))]
          + \lambda\, \mathbb{E} \left\| \frac{\partial z}{\partial x} \right\|_F^2,
          \qquad z = f(x)

For one layer z = φ(Wx + b) the second term is λ Σ_j φ′(a_j)² ‖W_j‖², which is
λ Σ_j (z_j (1 − z_j))² ‖W_j‖² for the sigmoid. `sklearn_ae.parts.jacobian` has it for
any number of layers.
"""

from __future__ import annotations

from typing import ClassVar

from sklearn_ae.autoencoders.composed import ComposedAutoencoder, CorruptionParameters
from sklearn_ae.engine.shared_parameters import FreeParameters
from sklearn_ae.params.domains import Interval, OneOf
from sklearn_ae.parts.penalties import Contraction, Penalty

__all__ = ["ContractiveAutoencoder"]


class ContractiveAutoencoder(CorruptionParameters, FreeParameters, ComposedAutoencoder):
    r"""Autoencoder whose code moves little with the row.

    Minimises

    .. math:: \mathbb{E}\,[-\log p(x \mid g(z))]
              + \lambda\, \mathbb{E} \|\partial z / \partial x\|_F^2

    in nats per sample, with x in units in which the root of the features' mean variance
    is ¼ (see `standardize`). The objective has no noise in it: with ``solver="lbfgs"``
    training is deterministic.

    Parameters
    ----------
    contraction : float, default=0.02
        λ, in nats of features whose root mean variance is ¼: see `standardize`. It
        weighs a sum over units: what is much for many components may be little for few.
        The paper's 0.1 goes with cross-entropy, whose nats are those of X in [0, 1].
    jacobian : {"exact", "hutchinson"}, default="exact"
        Computation of the penalty: "exact" is the closed form, for any number of
        layers. "hutchinson" is an
        unbiased estimate by one backward pass, for codes and layers so wide that the
        closed form is slow; outside training the value is exact all the same.
    hidden_layer_sizes : tuple of int, default=()
        Widths between input and code, mirrored in the decoder. The paper has none.
    code_activation : str, default="sigmoid"
        Activation of the code.
    tied_weights : bool, default=True
        Whether the decoder's weights are the encoder's, transposed (and shared). Free
        ones may undo a contraction: W is made small, and the decoder large.

    See Also
    --------
    DenoisingAutoencoder : With a little Gaussian noise, nearly the same objective.

    References
    ----------
    Rifai, S. et al. Contractive auto-encoders: explicit invariance during feature
    extraction. ICML 2011.

    Examples
    --------
    >>> from sklearn.base import clone
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import ContractiveAutoencoder
    >>> X = load_digits().data
    >>> model = ContractiveAutoencoder(32, max_iter=30, random_state=0)
    >>> free = clone(model).set_params(contraction=0.0).fit(X)
    >>> contracted = clone(model).set_params(contraction=0.03).fit(X)
    >>> bool(contracted.jacobian_norm(X).mean() < 0.7 * free.jacobian_norm(X).mean())
    True
    """

    contraction: float = 0.02
    jacobian: str = "exact"
    hidden_layer_sizes: tuple[int, ...] = ()
    code_activation: str = "sigmoid"
    tied_weights: bool = True

    _valid: ClassVar = {
        "contraction": [Interval(float, 0, None)],
        "jacobian": [OneOf("exact", "hutchinson")],
    }

    _peak_learning_rate: ClassVar[float] = 1e-2

    def _penalties(self) -> list[tuple[str, Penalty]]:
        penalty = Contraction(weight=self.contraction, jacobian=self.jacobian)
        return [("contraction", penalty)]
