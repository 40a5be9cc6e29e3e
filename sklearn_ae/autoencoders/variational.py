r"""Variational autoencoders: a code is drawn, not computed (Kingma & Welling 2014).

With q(z|x) = N(μ(x), σ²(x)), the prior p(z) = N(0, 1) and a likelihood p(x|z),

.. math:: \log p(x) \ge \mathrm{ELBO} = \mathbb{E}_q \log p(x|z)
          - \tfrac12 \sum_j (\mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2)

Importance weighting (Burda et al. 2016) makes the bound tighter, by k draws of z:

.. math:: \log p(x) \ge L_k = \mathbb{E} \log \frac1k \sum_{i=1}^k w_i,\qquad
          w_i = \frac{p(x|z_i)\,p(z_i)}{q(z_i|x)},\qquad L_1 = \mathrm{ELBO}

Sums are over features and components, means over rows, and no constant is left out: at
β = 1, what is minimised is the bound itself, on rows in the network's units.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklearn_ae.autoencoders.composed import ImageAutoencoder
from sklearn_ae.autoencoders.module import AutoencoderModule
from sklearn_ae.engine.columns import Columns
from sklearn_ae.engine.inputs import is_sparse, row_generators
from sklearn_ae.engine.pca_start import principal
from sklearn_ae.engine.rows import Batch, Rows
from sklearn_ae.engine.tensors import from_tensor, make_generator, to_tensor
from sklearn_ae.engine.train import StreamOf
from sklearn_ae.engine.validation import check_count
from sklearn_ae.params.domains import Bool, Interval, OneOf
from sklearn_ae.parts import averages
from sklearn_ae.parts.networks import DataDense, Dense, TiedDecoder, linear
from sklearn_ae.parts.reconstruction import RECONSTRUCTIONS
from sklearn_ae.parts.sparse import dense, row_sums

__all__ = [
    "ImportanceWeightedAutoencoder",
    "ImportanceWeightedModule",
    "VariationalAutoencoder",
    "VariationalModule",
]

LOSSES = {
    "gaussian": "squared_error",
    "bernoulli": "log_loss",
    "poisson": "poisson",
    "multinomial": "multinomial",
}
#: Draws of z by which the ELBO of a row is estimated: of a score, and while training.
SCORE_DRAWS, VALIDATION_DRAWS = 32, 4
#: σ of a code is at least this.
LEAST_SPREAD = 1e-6
#: The variance of p(x|z) starts at no less than this, in units of the data's.
LEAST_NOISE = 1e-8
#: A component is active where its mean varies by more than this (Burda et al.).
ACTIVE_VARIANCE = 0.01
#: Rows that are scored at a time, no more than the bridge reads at once; and of their
#: draws about so many numbers.
CHUNK, PART_NUMBERS = 32, 2**20


class VariationalModule(AutoencoderModule):
    """q(z|x), p(x|z), and minus the ELBO of one draw as the loss.

    Parameters
    ----------
    beta : float
    kl_warmup : float
        Share of the epochs over which the weight of the KL rises to `beta`.
    noise_scale : float or "learn"
        Standard deviation of a Gaussian p(x|z).
    dynamic_binarization : bool
        Whether training draws rows of 0 and 1 from those that it is given.
    n_importance_samples : int
        k of L_k.
    **rest
        Of `AutoencoderModule`.
    """

    warmth: Tensor
    fast_parameters: tuple[str, ...] = ("learned_log_noise",)

    def __init__(
        self,
        *,
        beta: float,
        kl_warmup: float,
        noise_scale: float | str,
        dynamic_binarization: bool,
        n_importance_samples: int,
        generator: torch.Generator,
        dtype: torch.dtype,
        **rest: Any,
    ) -> None:
        super().__init__(generator=generator, dtype=dtype, **rest)
        n_in = self.encoder.readout()[0].shape[1]
        inside = self.has_hidden_units or rest.get("image_shape") is not None
        kind = Dense if inside else DataDense
        self.spread_head = kind(n_in, self.n_components, generator, dtype)
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
        """Let the KL count for the more, the longer training has gone on."""
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
        # what is no more than noise is left a little, to learn from
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
            Draws dropout.
        """
        a = self.decoder(z.flatten(0, 1), generator).to(target.dtype)
        a = a.unflatten(0, z.shape[:2])
        return self.likelihood.log_likelihood(a, target, self.log_noise)

    def draw(self, n: int, mean: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return ε of shape (n, batch, n_components), always the same without one."""
        if generator is None:
            generator = make_generator(0, torch.device("cpu"))
        like = {"dtype": mean.dtype, "device": generator.device}
        noise = torch.randn((n, *mean.shape), generator=generator, **like)
        return noise.to(mean.device)

    def rows(
        self, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Return what is encoded, and what is to be reconstructed."""
        if self.dynamic_binarization and generator is not None:
            shares = dense(batch.x).clamp(0.0, 1.0)  # rounding may have left it
            x = torch.bernoulli(shares, generator=generator)
            return x, x
        return batch.x, dense(batch.target)

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
        """Return rows within the domain of p(x|z), and the nats that it costs each."""
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

        While the KL is being warmed up, what is in brackets counts for less.
        """
        z = mean + spread * noise
        ratio = (spread.log() + 0.5 * (noise.square() - z.square())).sum(-1)
        if generator is not None:
            ratio = self.warmth * ratio
        return self.log_likelihood(z, target, generator) + ratio


class ImportanceWeightedModule(VariationalModule):
    """The same, with minus L_k as the loss."""

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


def kl_divergence(mean: Tensor, spread: Tensor) -> Tensor:
    """Return KL(N(μ, σ²) ‖ N(0, 1)) of each row, of shape (batch,)."""
    squares = mean.square() + spread.square()
    return (0.5 * (squares - 1.0) - spread.log()).sum(-1)


def balanced(half: NDArray[Any]) -> NDArray[Any]:
    """Return draws of mean 0 and variance 1, and their opposites.

    So has N(0, 1), and what is linear or quadratic in each component has no error.
    """
    half = half / np.sqrt(np.square(half).mean(axis=0))
    return np.concatenate([half, -half])


class VariationalAutoencoder(ImageAutoencoder):
    r"""Autoencoder that is a density: a code is drawn, and a row is drawn from it.

    Maximises the evidence lower bound

    .. math:: \log p(x) \ge \mathbb{E}_{q(z|x)} \log p(x|z)
              - \beta\,\mathrm{KL}(q(z|x) \,\|\, N(0, 1))

    in nats per sample, with q(z|x) = N(μ(x), σ²(x)). `transform` is μ, `sample` decodes
    draws from N(0, 1), `score_samples` is the bound on log p(x).

    Parameters
    ----------
    beta : float, default=1.0
        β. Above 1 components are told apart, at the price of detail; scores are at 1.
    likelihood : str, default="gaussian"
        p(x|z): "gaussian", around what z decodes to, with one standard deviation for
        all features; "bernoulli", of X in [0, 1], each entry a probability; "poisson",
        of counts; "multinomial", of counts whose sum in each row is given.
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
    likelihood: str = "gaussian"
    noise_scale: float | str = "learn"
    dynamic_binarization: bool = False
    kl_warmup: float = 0.0
    hidden_layer_sizes: tuple[int, ...] = (200, 200)
    activation: str = "tanh"

    # what it fixes
    loss: ClassVar[Any] = property(lambda self: LOSSES[self.likelihood])
    code_activation: ClassVar[str] = "identity"
    linear_path: ClassVar[bool] = False
    code_penalty: ClassVar[None] = None
    code_penalty_weight: ClassVar[float] = 0.0

    _valid: ClassVar = {
        "beta": [Interval(float, 0, None)],
        "likelihood": [OneOf(*LOSSES)],
        "noise_scale": [Interval(float, 0, None, "neither"), OneOf("learn")],
        "dynamic_binarization": [Bool()],
        "kl_warmup": [Interval(float, 0, 1, "both")],
    }
    _module_class = VariationalModule

    #: The bound that `fit` maximises: the number of draws of z for each row.
    _n_importance_samples: ClassVar[Any] = 1

    def _module_config(self, n_features: int) -> dict[str, Any]:
        if self.dynamic_binarization and self.likelihood != "bernoulli":
            raise ValueError(
                "dynamic_binarization=True draws zeros and ones, which are for "
                f"likelihood='bernoulli'. Got likelihood={self.likelihood!r}."
            )
        noise = self.noise_scale
        return {
            **super()._module_config(n_features),
            "beta": float(self.beta),
            "kl_warmup": float(self.kl_warmup),
            "noise_scale": noise if isinstance(noise, str) else float(noise),
            "dynamic_binarization": bool(self.dynamic_binarization),
            "n_importance_samples": int(self._n_importance_samples),
        }

    def _objective(self, loss: str) -> str:
        (likelihood,) = (name for name, its in LOSSES.items() if its == loss)
        return f"likelihood={likelihood!r}"

    def _fitted_extras(
        self, module: Any, over: StreamOf, continued: bool
    ) -> dict[str, Any]:
        count, total, squares = self._activity if continued else (0.0, 0.0, 0.0)
        generator = make_generator(0, module.spread.device)

        def means(x: Tensor) -> Tensor:  # of what the encoder learned from
            return module.encode(module.rows(Batch(x, x), generator)[0])

        for codes, weight in over(means):
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
        check_is_fitted(self, "module_")
        if self._fitted_loss != "squared_error":
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute 'noise_scale_': only "
                "with likelihood='gaussian' is there such noise."
            )
        return float(self.module_.log_noise.detach().exp()) * self._units.scale

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
        check_is_fitted(self, "module_")
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
            k: draws of z for each row, of which :math:`L_k` is an estimate. The more,
            the closer is the bound to log p(x); thousands are possible. 1 is the ELBO,
            with the KL in closed form and its other term a mean over 32 draws. None is
            the bound that `fit` maximises.
        random_state : int, RandomState or None, default=None
            Of the draws. Whatever it is, those of a row do not depend on the others;
            None is always the same.

        Returns
        -------
        ndarray of shape (n_samples,)
            Of the density of X in its own units. Rows beyond the domain of `likelihood`
            are clipped to it, and their bound is then lower by 100 nats for each unit
            that was cut off.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features; if `n_samples` is no
            positive int.
        """
        check_is_fitted(self, "module_")
        n = self._config["n_importance_samples"] if n_samples is None else n_samples
        check_count("n_samples", "score_samples", n, 1)
        X = self._validate(X, reset=False)
        seed = 0
        if random_state is not None:
            seed = int(check_random_state(random_state).randint(2**31))

        def compute(module: Any, X: Any) -> NDArray[Any]:
            starts = range(0, X.shape[0], CHUNK)
            chunks = (X[start : start + CHUNK] for start in starts)
            return np.concatenate(
                [self._bounds(module, rows, int(n), seed) for rows in chunks]
            )

        bounds = self._finite(compute, X)
        if self._fitted_loss != "squared_error":
            return bounds
        return bounds - X.shape[1] * math.log(self._units.scale)

    def _bounds(self, module: Any, X: Any, k: int, seed: int) -> NDArray[Any]:
        """Return L_k of few rows, by draws that depend on row and seed alone."""
        kind = RECONSTRUCTIONS[self._fitted_loss]
        rows = X.toarray() if is_sparse(X) else X
        if kind.lowest is not None:  # a row beyond has the draws of the clipped one
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

        return self._apply(bounds, X, module=module, may_overflow=True)

    def _prior_codes(self, n: int, rng: np.random.RandomState) -> NDArray[Any]:
        return rng.standard_normal((n, self.n_components_))


class ImportanceWeightedAutoencoder(VariationalAutoencoder):
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
        k; 1 is the ELBO.

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

    beta: ClassVar[float] = 1.0

    _valid: ClassVar = {"n_importance_samples": [Interval(int, 1, None)]}
    _module_class = ImportanceWeightedModule
    _n_importance_samples: ClassVar[Any] = property(
        lambda self: self.n_importance_samples
    )
