"""Where training starts, and what follows from it: epochs, rate, decay.

What "auto" means for these parameters is said here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_ae.engine.module import CodingModule, TrainableModule
from sklearn_ae.engine.pca_start import linear_start
from sklearn_ae.engine.units import Units

__all__ = ["FromPCA", "FromRandom", "StartsSomewhere"]

#: Gradients at an optimum are round-off, of which "adam" would make whole steps.
#: Gradients below this count for less. Linear layers are at the optimum with all their
#: weights.
ROUND_OFF, ROUND_OFF_AT_PCA = 3e-5, 1e-3


class FromRandom:
    """Training starts at weights that are drawn."""

    def begin(
        self,
        estimator: Any,
        module: CodingModule,
        X: Any,
        seed: int,
        subset: NDArray[np.intp] | None,
        weight: NDArray[np.float64] | None,
    ) -> Units:
        """Bring the module to where training starts, and return the units of X.

        Parameters
        ----------
        estimator : BaseAutoencoder
        module : CodingModule
        X : ndarray or CSR array of shape (n_samples, n_features)
        seed : int
        subset : ndarray of int or None
            Numbers of the rows to learn from, all by default.
        weight : ndarray of shape (n_samples,) or None
            Weight of each row.
        """
        units: Units = estimator._units_for(X, subset, weight)
        return units

    def max_iter(self, module: TrainableModule, n_batches: int, n_features: int) -> int:
        """Return the number of epochs: 100, but 2000 to 10000 steps, at most 400."""
        least, most = math.ceil(2000 / n_batches), math.ceil(10000 / n_batches)
        return min(400, max(least, min(100, most)))

    def learning_rate(self, n_features: int, peak: float | None) -> float:
        """Return the rate; `peak` is the method's own, where a cycle has one."""
        return 1e-3 if peak is None else peak

    def weight_decay(
        self, module: TrainableModule, n_rows: int, n_features: int
    ) -> float:
        """Return the decay of the network's weights by "adam"."""
        return 0.0

    def adam_eps(self, module: TrainableModule) -> float | None:
        """Return eps of "adam", or None for its own."""
        return None


class FromPCA(FromRandom):
    """Training starts at PCA's solution, along the linear path."""

    def begin(
        self,
        estimator: Any,
        module: CodingModule,
        X: Any,
        seed: int,
        subset: NDArray[np.intp] | None,
        weight: NDArray[np.float64] | None,
    ) -> Units:
        # linear layers may have to leave PCA: what it leaves says nothing
        own = estimator._restores_rows and module.has_hidden_units
        noise = module.noise_variance
        clean = own and noise is None
        k = module.n_components
        start = linear_start(X, k, seed, subset, clean, own, noise, weight)
        module.start_at_pca(start)
        return start.units

    def max_iter(self, module: TrainableModule, n_batches: int, n_features: int) -> int:
        """Return the number of epochs: up to 64, of bounded work.

        Noisy rows are others in each epoch: they take twice as many, and with few
        features as many as make 2000 steps.
        """
        if module.leaves_pca:
            return super().max_iter(module, n_batches, n_features)
        steps = max(100, min(max(400, 7 * n_features), 2_000_000 // n_features))
        epochs = min(40 if n_batches == 1 else 64, math.ceil(steps / n_batches))
        if module.noise_variance is None:
            return epochs
        least = min(2000, 400_000 // n_features)
        return min(400, max(2 * epochs, math.ceil(least / n_batches)))

    def learning_rate(self, n_features: int, peak: float | None) -> float:
        return min(1e-3 if peak is None else 1e-2, 10.0 / n_features)

    def weight_decay(
        self, module: TrainableModule, n_rows: int, n_features: int
    ) -> float:
        """Shrink the correction to PCA the more, the fewer rows there are for it."""
        if not module.has_hidden_units:
            return 0.0
        return min(10.0, 20.0 * (n_features + 20) / n_rows)

    def adam_eps(self, module: TrainableModule) -> float | None:
        # linear layers are PCA's own maps, which need a nudge at most
        at_pca = not module.leaves_pca and not module.has_hidden_units
        return ROUND_OFF_AT_PCA if at_pca else ROUND_OFF


class StartsSomewhere:
    """An estimator that knows where its training starts."""

    hidden_layer_sizes: tuple[int, ...]
    standardize: bool

    # Values of a method that has no such parameter: see the groups of
    # `sklearn_ae.engine.shared_parameters`.

    @property
    def code_activation(self) -> str:
        return "identity"

    @property
    def loss(self) -> str:
        return "squared_error"

    @property
    def output_activation(self) -> str:
        return "auto"

    @property
    def tied_weights(self) -> bool:
        return False

    @property
    def linear_path(self) -> bool | str:
        return False

    @property
    def _has_linear_path(self) -> bool:
        """Whether ``linear_path="auto"`` may switch the linear path on."""
        return False

    def _start(self) -> FromRandom:
        """Return where training starts."""
        return FromPCA() if self._uses_linear_path() else FromRandom()

    def _uses_linear_path(self) -> bool:
        """Resolve ``linear_path``; raise where it is asked for and not supported."""
        obstacles = self._linear_path_obstacles()
        blocked = [name for name, blocks in obstacles.items() if blocks]
        if isinstance(self.linear_path, str):
            return self._has_linear_path and not blocked
        if self.linear_path and blocked:
            raise ValueError(
                f"linear_path=True is not supported with {blocked[0]}="
                f"{getattr(self, blocked[0])!r}: it needs squared error, identity at "
                "code and output, free weights where there are hidden layers, "
                "standardize=True and no image_shape."
            )
        return bool(self.linear_path)

    def _linear_path_obstacles(self) -> dict[str, bool]:
        """Return which parameters rule the linear path out."""
        return {
            "loss": self.loss != "squared_error",
            "code_activation": self.code_activation != "identity",
            "output_activation": self.output_activation not in ("auto", "identity"),
            "tied_weights": bool(self.tied_weights)
            and len(self.hidden_layer_sizes) > 0,
            "standardize": not self.standardize,
        }
