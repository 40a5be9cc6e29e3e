"""Variational autoencoders; their mathematics is in `variational_module`."""

from __future__ import annotations

import math
from dataclasses import field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklearn_ae.autoencoders.composed import CorruptionParameters, ImageAutoencoder
from sklearn_ae.autoencoders.variational_module import VariationalModule
from sklearn_ae.engine.fit import FittedNetwork
from sklearn_ae.engine.inputs import is_sparse, row_generators
from sklearn_ae.engine.module import Blank
from sklearn_ae.engine.shared_parameters import OutputParameters, TyingParameters
from sklearn_ae.engine.tensors import make_generator, to_tensor
from sklearn_ae.engine.train import StreamOf
from sklearn_ae.engine.validation import check_count
from sklearn_ae.params.domains import Bool, Interval, OneOf
from sklearn_ae.parts.reconstruction import RECONSTRUCTIONS

__all__ = ["BaseVariational", "VariationalAutoencoder"]

LOSSES = {
    "gaussian": "squared_error",
    "bernoulli": "log_loss",
    "poisson": "poisson",
    "multinomial": "multinomial",
}
#: The ELBO of a row is estimated by this many draws of z for a score.
SCORE_DRAWS = 32
#: A component is active where its mean varies by more than this (Burda et al.).
ACTIVE_VARIANCE = 0.01
#: This many rows are scored at a time, no more than are read at once; and of their
#: draws about this many numbers at a time.
CHUNK, PART_NUMBERS = 32, 2**20


def balanced(half: NDArray[Any]) -> NDArray[Any]:
    """Return draws of mean 0 and variance 1, and their opposites.

    N(0, 1) has the same, so that means of what is linear or quadratic in each component
    have no error.
    """
    half = half / np.sqrt(np.square(half).mean(axis=0))
    return np.concatenate([half, -half])


class BaseVariational(
    CorruptionParameters, TyingParameters, OutputParameters, ImageAutoencoder
):
    """An autoencoder that is a density, whichever bound on log p(x) it maximises.

    Parameters
    ----------
    likelihood : str, default="gaussian"
        Likelihood p(x|z): "gaussian", around what z decodes to, with one standard
        deviation for all features; "bernoulli", of X in [0, 1], each entry a
        probability; "poisson", of counts; "multinomial", of counts whose sum in each
        row is given.
    noise_scale : float or "learn", default="learn"
        Standard deviation of a Gaussian p(x|z), one for all features: with
        `standardize` a multiple of the root of their mean variance, else in the units
        of X.
    dynamic_binarization : bool, default=False
        Whether each step draws rows of 0 and 1 with X as probabilities. Only for
        "bernoulli". `transform` and `score_samples` take X as it is.
    kl_warmup : float, default=0.0
        Share of the epochs of a `fit`, in [0, 1], over which the weight of the KL rises
        from 0. It has no effect in `partial_fit`.
    hidden_layer_sizes : tuple of int, default=(200, 200)
        Widths between input and code, mirrored in the decoder; ``()`` for none. The
        last of the encoder is read for μ and for σ.
    tied_weights : bool, default=False
        Whether the decoder's weights are those of x → μ, transposed (and shared).

    Attributes
    ----------
    active_units_ : ndarray of int
        Numbers of the components whose mean varies by more than 0.01 over the training
        rows (drawn as in training, with `dynamic_binarization`). The others are the
        prior's: they say nothing of a row.
    noise_scale_ : float
        Standard deviation of a Gaussian p(x|z), in the units of X.
    """

    likelihood: str = "gaussian"
    noise_scale: float | str = "learn"
    dynamic_binarization: bool = False
    kl_warmup: float = 0.0
    hidden_layer_sizes: tuple[int, ...] = (200, 200)
    activation: str = "tanh"
    active_units_: NDArray[np.intp] = field(init=False)

    _valid: ClassVar = {
        "likelihood": [OneOf(*LOSSES)],
        "noise_scale": [Interval(float, 0, None, "neither"), OneOf("learn")],
        "dynamic_binarization": [Bool()],
        "kl_warmup": [Interval(float, 0, 1, "both")],
    }
    _module_kind: ClassVar[type[VariationalModule]] = VariationalModule
    #: What `_fitted_extras` goes on with in a stream.
    _activity: tuple[Any, Any, Any] = field(init=False)

    @property
    def loss(self) -> str:
        return LOSSES[self.likelihood]

    @property
    def beta(self) -> float:
        """β, the weight of the KL."""
        return 1.0

    @property
    def _n_draws(self) -> int:
        """Number of draws of z for each row in the bound that `fit` maximises."""
        return 1

    def _module(self, blank: Blank) -> VariationalModule:
        if self.dynamic_binarization and self.likelihood != "bernoulli":
            raise ValueError(
                "dynamic_binarization=True needs likelihood='bernoulli', for it draws "
                f"zeros and ones. Got likelihood={self.likelihood!r}."
            )
        noise = self.noise_scale
        return self._module_kind(
            self._network(blank),
            beta=float(self.beta),
            kl_warmup=float(self.kl_warmup),
            noise_scale=noise if isinstance(noise, str) else float(noise),
            dynamic_binarization=bool(self.dynamic_binarization),
            n_importance_samples=self._n_draws,
        )

    def _objective(self, loss: str) -> str:
        (likelihood,) = (name for name, its in LOSSES.items() if its == loss)
        return f"likelihood={likelihood!r}"

    def _fitted_extras(
        self, module: Any, stream_of: StreamOf, continued: bool
    ) -> dict[str, Any]:
        count, total, squares = self._activity if continued else (0.0, 0.0, 0.0)
        generator = make_generator(0, module.spread.device)

        def means(x: Tensor) -> Tensor:  # of the rows that the encoder learned from
            return module.encode(module.drawn(x, generator))

        for codes, weight in stream_of(means):
            codes = codes.astype(np.float64)
            count += weight.sum()
            total, squares = total + weight @ codes, squares + weight @ np.square(codes)
        variance = squares / count - np.square(total / count)
        return {
            "active_units_": np.flatnonzero(variance > ACTIVE_VARIANCE),
            "_activity": (count, total, squares),
        }

    @property
    def noise_scale_(self) -> float:
        """Standard deviation of a Gaussian p(x|z), in the units of X."""
        check_is_fitted(self)
        if self._fit.loss != "squared_error":
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute 'noise_scale_': only "
                "one fitted with likelihood='gaussian' has."
            )
        return float(self.module_.log_noise.detach().exp()) * self._fit.units.scale

    def transform(self, X: Any, return_std: bool = False) -> Any:
        """Encode the rows of X, without noise.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        return_std : bool, default=False
            Whether to return σ too.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_components)
            μ, the mean of q(z|x).
        std : ndarray of shape (n_samples, n_components)
            σ, its standard deviation; only with `return_std`, and always an array:
            `set_output` is for the codes.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        if not return_std:
            return super().transform(X)
        check_is_fitted(self)
        posterior = self.module_.posterior
        both = self._apply(
            lambda x: torch.cat(posterior(x), 1), self._validate(X, reset=False)
        )
        return both[:, : self.n_components_], both[:, self.n_components_ :]

    def score_samples(
        self, X: Any, n_samples: int | None = None, random_state: Any = None
    ) -> NDArray[Any]:
        r"""Return a lower bound on log p(x) of each row, in nats.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        n_samples : int or None, default=None
            Number k of draws of z for each row, of which :math:`L_k` is an estimate.
            The more, the closer is the bound to log p(x); thousands are possible. 1 is
            the ELBO, with the KL in closed form and its other term a mean over 32
            draws. None is the bound that `fit` maximises.
        random_state : int, RandomState or None, default=None
            Seed of the draws. Whatever it is, those of a row do not depend on the other
            rows; None is always the same seed.

        Returns
        -------
        ndarray of shape (n_samples,)
            Bounds on the log density of X in its own units. Rows beyond the domain of
            `likelihood` are clipped to it, and their bound is then lower by 100 nats
            for each unit that was cut off.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features; if `n_samples` is not a
            positive int.
        """
        check_is_fitted(self)
        n = self._fit.module.n_importance_samples if n_samples is None else n_samples
        check_count("n_samples", "score_samples", n, 1)
        X = self._validate(X, reset=False)
        seed = 0
        if random_state is not None:
            seed = int(check_random_state(random_state).randint(2**31))

        def compute(fit: FittedNetwork, X: Any) -> NDArray[Any]:
            starts = range(0, X.shape[0], CHUNK)
            chunks = (X[start : start + CHUNK] for start in starts)
            return np.concatenate(
                [self._bounds(fit, rows, int(n), seed) for rows in chunks]
            )

        bounds = self._finite(compute, X)
        if self._fit.loss != "squared_error":
            return bounds
        return bounds - X.shape[1] * math.log(self._fit.units.scale)

    def _bounds(self, fit: FittedNetwork, X: Any, k: int, seed: int) -> NDArray[Any]:
        """Return L_k of few rows, by draws that depend on row and seed alone."""
        kind, module = RECONSTRUCTIONS[fit.loss], fit.module
        rows = X.toarray() if is_sparse(X) else X
        if kind.lowest is not None:  # a row beyond gets the draws of the clipped one
            rows = rows.clip(kind.lowest, kind.highest)
        generators = row_generators(rows, seed)

        def draws(n: int) -> NDArray[Any]:
            shape = (n, self.n_components_)
            return np.stack([g.standard_normal(shape) for g in generators], axis=1)

        size = max(1, PART_NUMBERS // (len(generators) * module.widest_layer))

        def bounds(x: Tensor) -> Tensor:
            if k == 1:
                noise = to_tensor(balanced(draws(SCORE_DRAWS // 2))).to(module.spread)
                return module.elbo(x, noise.split(size))
            sizes = [size] * (k // size) + [k % size] * (k % size > 0)
            return module.bound(
                x, (to_tensor(draws(n)).to(module.spread) for n in sizes)
            )

        return fit.apply(bounds, X)

    def _prior_codes(self, n: int, rng: np.random.RandomState) -> NDArray[Any]:
        return rng.standard_normal((n, self.n_components_))


class VariationalAutoencoder(BaseVariational):
    r"""Autoencoder that is a density: a code is drawn, and a row is drawn from it.

    Maximises the evidence lower bound

    .. math:: \log p(x) \ge \mathbb{E}_{q(z|x)} \log p(x|z)
              - \beta\,\mathrm{KL}(q(z|x) \,\|\, N(0, 1))

    in nats per sample, with q(z|x) = N(μ(x), σ²(x)). `transform` is μ, `sample` decodes
    draws from N(0, 1), `score_samples` is the bound on log p(x).

    Parameters
    ----------
    beta : float, default=1.0
        β, the weight of the KL. Above 1 components are told apart, at the price of
        detail; scores are those at 1.

    See Also
    --------
    ImportanceWeightedAutoencoder : Maximises a tighter bound.
    sklearn.decomposition.PCA : Without hidden layers, the same density.

    References
    ----------
    Kingma, D. & Welling, M. Auto-encoding variational Bayes. ICLR 2014.

    Higgins, I. et al. beta-VAE: learning basic visual concepts with a constrained
    variational framework. ICLR 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_ae import VariationalAutoencoder
    >>> X = load_digits().data
    >>> model = VariationalAutoencoder(8, max_iter=50, random_state=0).fit(X)
    >>> mean, std = model.transform(X, return_std=True)
    >>> std.shape
    (1797, 8)
    >>> model.sample(3, random_state=0).shape
    (3, 64)
    >>> bool(model.score(X) > PCA(8).fit(X).score(X))  # in nats, both
    True
    """

    beta: float = 1.0

    _valid: ClassVar = {"beta": [Interval(float, 0, None)]}
