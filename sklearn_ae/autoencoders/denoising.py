r"""Denoising autoencoders: restore clean rows from noisy ones (Vincent et al. 2008).

.. math:: \min_{f, g}\ \mathbb{E}\,[-\log p(x \mid g(f(\tilde x)))],
          \qquad \tilde x \sim q(\cdot | x)

Missing values are a corruption that was not asked for: they are shown as zero (which is
the feature's mean where it is taken away), and the loss counts what was observed. For
Gaussian noise of variance σ² the best restoration is r(x) = x + σ² ∇log q_σ(x), with
q_σ the density of noisy rows (Vincent 2011): (r(x) − x) / σ² estimates its score.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklearn_ae.autoencoders.composed import ComposedAutoencoder
from sklearn_ae.autoencoders.module import AutoencoderModule
from sklearn_ae.autoencoders.network import Network
from sklearn_ae.engine.frames import framing
from sklearn_ae.engine.inputs import is_sparse
from sklearn_ae.engine.module import Blank
from sklearn_ae.engine.rows import Batch
from sklearn_ae.engine.shared_parameters import FreeParameters
from sklearn_ae.engine.tensors import make_generator
from sklearn_ae.engine.units import Units
from sklearn_ae.params.domains import Instance, Interval, InvalidParameterError, OneOf
from sklearn_ae.parts.corruptions import (
    Corruption,
    GaussianNoise,
    Masking,
    SaltAndPepper,
)
from sklearn_ae.parts.sparse import dense, with_values

__all__ = ["DenoisingAutoencoder", "DenoisingModule"]

NOISES: dict[str, type[GaussianNoise | Masking | SaltAndPepper]] = {
    "gaussian": GaussianNoise,
    "masking": Masking,
    "salt_and_pepper": SaltAndPepper,
}
#: Steps of the walk that `sample` takes, and the share of the way to r(x) in each.
WALK_STEPS, WALK_SHARE = 100, 0.1


class DenoisingModule(AutoencoderModule):
    """The loss of clean rows restored from noisy ones, with a weight for each entry.

    Parameters
    ----------
    network : Network
    emphasis : float
        Share by which an entry that the noise left as it was counts less.
    """

    def __init__(self, network: Network, *, emphasis: float) -> None:
        super().__init__(network)
        self.hyper.register_buffer("emphasis", self.spread.new_tensor(emphasis))
        self.emphasises = emphasis > 0

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return codes (batch, n_components); NaN in rows is a missing value."""
        return super().encode(_filled(x), generator)

    def loss(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the terms of the objective, as scalars."""
        noisy, weight = self.corrupted(batch.x, generator), batch.observed
        target = batch.target
        if weight is not None:
            noisy = noisy * weight  # missing entries stay so
        if self.emphasises and noisy is not target:
            if self.is_exact(target) and self.likelihood.shares:
                target = self.emphasised(target, noisy)
            else:
                emphasised = self.weight_of(dense(target), dense(noisy))
                weight = emphasised if weight is None else weight * emphasised
        before = self.before_code(noisy, generator)
        z = self.code(before)
        of_row = batch.weight
        return {
            "reconstruction": self.reconstruction(z, target, generator, weight, of_row),
            **self.regularisers(noisy, z, generator, before, of_row),
        }

    def weight_of(self, x: Tensor, noisy: Tensor) -> Tensor:
        """Return how much each entry counts, by whether the noise changed it."""
        return 1.0 - self.hyper.emphasis * (x == noisy)

    def emphasised(self, x: Tensor, noisy: Tensor) -> Tensor:
        """Return sparse rows whose entries are multiplied by how much they count.

        That is the same where an error is proportional to its entry, and keeps the
        rows sparse: a zero has no error, changed or not.
        """
        if noisy.layout != torch.sparse_csr:  # the noise changes zeros too
            rows = torch.repeat_interleave(x.crow_indices().diff())
            seen = noisy[rows, x.col_indices()]
        else:
            seen = noisy.values()
        return with_values(x, x.values() * self.weight_of(x.values(), seen))

    def errors(
        self,
        batch: Batch,
        units: float,
        per_feature: bool,
        z: Tensor | None = None,
    ) -> Tensor:
        """Return reconstruction errors of observed entries; NaN where there is none."""
        if batch.target.layout == torch.sparse_csr:
            return super().errors(batch, units, per_feature, z)
        missing, x = batch.x.isnan(), _filled(batch.x)
        error = super().errors(Batch(x, x), units, True, z)
        error = error.masked_fill(missing, torch.nan)
        return error if per_feature else error.nanmean(1)

    def jacobian_norm(self, x: Tensor) -> Tensor:
        return super().jacobian_norm(_filled(x))

    @property
    def sigma(self) -> Tensor:
        """σ of Gaussian noise, in the network's units."""
        return self._hyperparameters("corruption")["noise_level"] * self.spread

    def walk(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Walk from rows along the score, with noise (Langevin), and denoise.

        Each step is x + (η/2) (r(x) − x) + √η σ ε, whose rows are distributed as the
        noisy data, up to O(η).
        """
        for _ in range(WALK_STEPS):
            noise = torch.randn(
                x.shape, generator=generator, dtype=x.dtype, device=x.device
            )
            x = x + 0.5 * WALK_SHARE * (self.reconstruct(x) - x)
            x = x + WALK_SHARE**0.5 * self.sigma * noise
        return self.reconstruct(x)


def _filled(x: Tensor) -> Tensor:
    return x if x.layout == torch.sparse_csr else x.nan_to_num(nan=0.0)


def _is_gaussian(model: DenoisingAutoencoder) -> bool:
    """Tell whether the noise is Gaussian: that of the fit, if there was one."""
    fitted = "_fit" in vars(model)
    noise = model._fit.module.corruption if fitted else model.noise
    if noise == "gaussian" or isinstance(noise, GaussianNoise):
        return True
    raise AttributeError(
        "score_field needs Gaussian noise: fit with noise='gaussian'. "
        f"Got noise={noise!r}."
    )


class DenoisingAutoencoder(FreeParameters, ComposedAutoencoder):
    r"""Autoencoder that restores clean rows from noisy ones.

    Minimises

    .. math:: \mathbb{E}\,[-\log p(x \mid g(f(\tilde x)))]

    in nats per sample. Noise is drawn afresh for every batch while training, and never
    in `transform`.

    NaN in dense X is a missing value: the network is shown zero in its place, which is
    the feature's mean with `standardize`, the loss counts observed entries alone, and
    `reconstruct` and `impute` say what was missing. Errors and scores are those of
    observed entries.

    Parameters
    ----------
    noise : {"gaussian", "masking", "salt_and_pepper"} or Corruption, default="gaussian"
        Noise on the rows that are encoded: see `GaussianNoise`, `Masking`,
        `SaltAndPepper`. With Gaussian noise training starts at PCA where it can
        (`linear_path`); with the others, which PCA does not restore, at random.
    noise_level : float, default=0.3
        Strength of the noise. For "gaussian" it is the standard deviation, the same for
        all features: with `standardize` a multiple of the root of their mean variance,
        else in the units of X. For the others it is the share of entries, in [0, 1]. A
        Corruption brings its own.
    emphasis : float, default=0.0
        Share, in [0, 1], by which entries that the noise left as they were count less:
        with 1 the loss is that of changed entries alone. Gaussian noise changes every
        entry.

    References
    ----------
    Vincent, P. et al. Extracting and composing robust features with denoising
    autoencoders. ICML 2008.

    Vincent, P. et al. Stacked denoising autoencoders. JMLR 11, 2010.

    Vincent, P. A connection between score matching and denoising autoencoders. Neural
    Computation 23, 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import DenoisingAutoencoder
    >>> X = load_iris().data
    >>> X[3, 2] = np.nan
    >>> model = DenoisingAutoencoder(4, noise="masking", random_state=0).fit(X)
    >>> print(f"{model.impute(X)[3, 2]:.0f}")
    1
    """

    noise: Any = "gaussian"
    noise_level: float = 0.3
    emphasis: float = 0.0

    _valid: ClassVar = {
        "noise": [OneOf(*NOISES), Instance(Corruption, "a Corruption")],
        "noise_level": [Interval(float, 0, None)],
        "emphasis": [Interval(float, 0, 1, "both")],
    }

    @property
    def _accept_nan(self) -> bool:
        return True

    @property
    def _has_linear_path(self) -> bool:
        """Whether PCA is a start: what masking hides, it does not restore."""
        if isinstance(self.noise, str):
            return self.noise == "gaussian"
        return isinstance(self.noise, GaussianNoise)

    def _check_params(self) -> None:
        super()._check_params()
        if not isinstance(self.noise, str):
            return
        (domain,) = NOISES[self.noise]._all_valid()["noise_level"]
        if not domain.allows(self.noise_level):
            raise InvalidParameterError(
                f"The 'noise_level' parameter of {type(self).__name__} must be "
                f"{domain} for noise={self.noise!r}. Got {self.noise_level!r} instead."
            )

    def _corruption(self) -> Corruption:
        if isinstance(self.noise, str):
            return NOISES[self.noise](noise_level=self.noise_level)
        return clone(self.noise)

    def _module(self, blank: Blank) -> DenoisingModule:
        return DenoisingModule(self._network(blank), emphasis=float(self.emphasis))

    def impute(self, X: Any) -> NDArray[Any]:
        """Return X with missing values replaced by their reconstructions.

        Features of one scale, ``noise="masking"`` with a low `noise_level` (0.1),
        ``emphasis=1`` and a little `dropout` (0.1) suit it best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, with NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Rows of X, with observed values as they are.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        restored = self.reconstruct(X)
        X = self._validate(X, reset=False)
        X = X.toarray() if is_sparse(X) else X
        return np.where(np.isnan(X), restored, X)

    @available_if(_is_gaussian)
    @framing
    def score_field(self, X: Any) -> NDArray[Any]:
        """Return (r(x) − x) / σ²: the estimated gradient of the log density at X.

        The density is that of rows with the noise on them: the larger `noise_level`,
        the smoother it is. Only Gaussian noise is supported.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Gradients, in units of 1 / X.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features; if `noise_level` is 0.
        """
        check_is_fitted(self)
        module, scale = self._fit.module, self._fit.units.scale
        if module.sigma == 0:
            raise ValueError("score_field needs a noise_level above 0. Got 0.")

        def field(x: Tensor) -> Tensor:
            return (module.reconstruct(x) - dense(x)) / (module.sigma.square() * scale)

        return self._apply(field, self._validate(X, reset=False))

    def sample(self, n_samples: int = 1, random_state: Any = None) -> NDArray[Any]:
        """Decode draws from a density of codes; with Gaussian noise, walk on from them.

        The walk is Langevin's, along `score_field`; its noise is taken away in the end,
        after which draws lie closer together than the data.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState or None, default=None

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Rows in the units of the training data.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If `n_samples` is not a positive int.
        """
        return super().sample(n_samples, random_state)

    def _rows_from(
        self, codes: NDArray[Any], rng: np.random.RandomState
    ) -> NDArray[Any]:
        module, units = self._fit.module, self._fit.units
        if not isinstance(module.corruption, GaussianNoise):
            return super()._rows_from(codes, rng)
        generator = make_generator(rng.randint(2**31), self._fit.device)

        def walk(z: Tensor) -> Tensor:  # from where codes decode to
            return units.to_data(module.walk(module.decode(dense(z)), generator))

        return self._apply(walk, self._validate_codes(codes), Units())
