"""Variational autoencoders: the bounds against closed forms, numpy and scipy."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from estimators import near
from scipy.special import logsumexp
from scipy.stats import bernoulli, multivariate_normal, norm, poisson
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from sklearn_ae import ImportanceWeightedAutoencoder, VariationalAutoencoder
from sklearn_ae.autoencoders import variational
from sklearn_ae.autoencoders.variational_module import kl_divergence
from sklearn_ae.engine.rows import Batch

both = pytest.mark.parametrize(
    "kind", [VariationalAutoencoder, ImportanceWeightedAutoencoder]
)

#: For each likelihood, log p(x | x̂) of entries with the noise that there is.
LOG_P = {
    "gaussian": lambda x, mean, scale: norm.logpdf(x, mean, scale),
    "bernoulli": lambda x, mean, scale: bernoulli.logpmf(x, mean),
    "poisson": lambda x, mean, scale: poisson.logpmf(x, mean),
}
likelihoods = pytest.mark.parametrize("likelihood", LOG_P)


def rows(likelihood="gaussian", n=40, d=5, seed=0):
    """Return rows of two factors, which the likelihood is defined on."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, 2)) @ rng.normal(size=(2, d))
    if likelihood == "bernoulli":
        return (a + rng.normal(size=a.shape) > 0).astype(float)
    if likelihood == "poisson":
        return rng.poisson(np.exp(0.5 * a + 1)).astype(float)
    return 3.0 + 2.0 * a + rng.normal(size=a.shape)


def small(kind=VariationalAutoencoder, **params):
    given = {"hidden_layer_sizes": (6,), "max_iter": 20, "dtype": "float64"}
    return kind(**{**given, "random_state": 0, **params})


def linear(k, **params):
    given = {"max_iter": 400, "learning_rate_init": 0.1, "hidden_layer_sizes": ()}
    return small(n_components=k, **{**given, **params})


def kl(mean, std):
    """Return KL(N(μ, σ²) ‖ N(0, 1)) of each row."""
    return 0.5 * (mean**2 + std**2 - 1 - np.log(std**2)).sum(axis=1)


def noise_of(model):
    return getattr(model, "noise_scale_", None)


def draws(model, X, n, likelihood, seed=0):
    """Return log p(x|z) and log p(z) − log q(z|x), of n draws for each row."""
    mean, std = model.transform(X, return_std=True)
    noise = np.random.default_rng(seed).normal(size=(n, *mean.shape))
    z = mean + std * noise
    restored = model.inverse_transform(z.reshape(-1, z.shape[2])).reshape(n, *X.shape)
    log_p = LOG_P[likelihood](X, restored, noise_of(model)).sum(axis=2)
    ratio = norm.logpdf(z).sum(axis=2) - norm.logpdf(z, mean, std).sum(axis=2)
    return log_p, ratio


def stay(model, X, epochs, **params):
    """Go on training without a change of weights, and return what it records."""
    model = clone(model).set_params(warm_start=True).fit(X)
    model.set_params(max_iter=epochs, learning_rate_init=1e-15, **params).fit(X)
    return model, {name: h[-epochs:] for name, h in model.history_.items()}


# -- the bounds' parts -----------------------------------------------------------


def test_closed_kl_is_the_mean_of_log_ratios():
    """★ Monte Carlo, to three standard errors."""
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=(4, 3)), rng.uniform(0.2, 2.0, size=(4, 3))
    z = mean + std * rng.normal(size=(100_000, 4, 3))
    ratio = (norm.logpdf(z, mean, std) - norm.logpdf(z)).sum(axis=2)
    closed = kl_divergence(torch.tensor(mean), torch.tensor(std)).numpy()
    error = ratio.std(axis=0) / math.sqrt(len(z))
    assert (np.abs(closed - ratio.mean(axis=0)) < 3 * error).all()
    assert (error < 0.01 * closed).all()


def test_closed_kl_is_zero_for_the_prior_alone():
    zero, one = torch.zeros(1, 3), torch.ones(1, 3)
    assert float(kl_divergence(zero, one)) == 0.0
    for mean, std in ((zero + 0.01, one), (zero, 1.01 * one), (zero, 0.99 * one)):
        assert float(kl_divergence(mean, std)) > 0


@likelihoods
@pytest.mark.parametrize("k", [None, 1, 5])
def test_loss_is_minus_the_bound(k, likelihood):
    """Against numpy, draw by draw: sums over features and components, means over rows,
    and for L_k the logarithm of a mean, not of a sum."""
    X = rows(likelihood)
    model, n = small(likelihood=likelihood), k or 1
    if k:
        model = small(
            ImportanceWeightedAutoencoder,
            likelihood=likelihood,
            n_importance_samples=k,
        )
    model.fit(X)
    module, units = model.module_, model._fit.units
    shift = 0.0 if units.shift is None else units.shift
    x = torch.tensor((X - shift) / units.scale)
    noise = module.draw(n, x[:, :2], make(3)).numpy()
    with torch.no_grad():
        terms = module.loss(Batch(x, x), make(3))

    mean, std = model.transform(X, return_std=True)
    z = mean + std * noise
    restored = model.inverse_transform(z.reshape(-1, 2)).reshape(n, *X.shape)
    log_p = LOG_P[likelihood](X, restored, noise_of(model)).sum(axis=2)
    log_p += X.shape[1] * math.log(units.scale)  # of what the network sees
    log_w = log_p + norm.logpdf(z).sum(axis=2) - norm.logpdf(z, mean, std).sum(axis=2)
    expected = {"reconstruction": -log_p.mean(), "kl": kl(mean, std).mean()}
    if k:
        expected = {"bound": -(logsumexp(log_w, axis=0) - math.log(k)).mean()}
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(
        expected, rel=1e-6
    )


def make(seed):
    return torch.Generator().manual_seed(seed)


@likelihoods
def test_elbo_is_that_of_monte_carlo(likelihood):
    """In the units of X and with every constant; to three standard errors."""
    X = rows(likelihood)
    model = small(likelihood=likelihood).fit(X)
    log_p, _ = draws(model, X, 4000, likelihood)
    elbo = log_p.mean(axis=0) - kl(*model.transform(X, return_std=True))
    error = math.sqrt((log_p.var(axis=0) * (1 / 32 + 1 / 4000)).sum()) / len(X)
    score = model.score_samples(X)
    np.testing.assert_array_equal(score, model.score_samples(X, n_samples=1))
    assert abs(score.mean() - elbo.mean()) < 3 * error < 0.02 * abs(elbo.mean())


@likelihoods
def test_l_k_is_that_of_monte_carlo(likelihood):
    """To three standard errors, over rows."""
    X = rows(likelihood, n=200)
    model = small(likelihood=likelihood).fit(X)
    log_w = np.add(*draws(model, X, 2000, likelihood)).reshape(-1, 5, len(X))
    bounds = logsumexp(log_w, axis=1) - math.log(5)
    error = math.sqrt((bounds.var(axis=0) * (1 + 1 / len(bounds))).sum()) / len(X)
    ours = model.score_samples(X, n_samples=5).mean()
    assert abs(ours - bounds.mean()) < 3 * error < 0.03 * abs(bounds.mean())


def test_l_1_is_the_elbo():
    """★ In expectation: of the losses of both modules, with the same weights."""
    X = np.repeat(rows(), 500, axis=0)
    vae = small(max_iter=2).fit(X)
    iwae = small(ImportanceWeightedAutoencoder, n_importance_samples=1, max_iter=1)
    iwae.fit(X).module_.load_state_dict(vae.module_.state_dict())
    x = torch.tensor((X - vae._fit.units.shift) / vae._fit.units.scale)
    with torch.no_grad():
        elbo = -sum(vae.module_.loss(Batch(x, x), make(0)).values())
        (minus_bound,) = iwae.module_.loss(Batch(x, x), make(1)).values()
        mean, spread = vae.module_.posterior(x)
        noise = vae.module_.draw(1, mean, make(2))
        log_w = vae.module_.log_weights(mean, spread, noise, x)
    # log w has both terms' noise, the ELBO that of log p(x|z) alone
    error = float(log_w.std()) * math.sqrt(2 / len(X))
    assert abs(float(elbo + minus_bound)) < 3 * error < 0.02 * abs(float(elbo))


@both
def test_gradient_of_the_loss(kind):
    """Through the draw into μ and σ, and into the noise of p(x|z)."""
    X = rows(n=6)
    model = small(kind, max_iter=1, hidden_layer_sizes=(3,)).fit(X)
    module, x = model.module_, torch.tensor((X - X.mean(axis=0)) / X.std())
    parameters = dict(module.named_parameters())

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward(self):
            return sum(module.loss(Batch(x, x), make(0)).values())

    def loss(*values):
        names = [f"inner.{name}" for name in parameters]
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(Loss(), given, ())

    assert "learned_log_noise" in parameters
    assert torch.autograd.gradcheck(loss, tuple(parameters.values()))


# -- a linear-Gaussian model, where all is known ---------------------------------


@pytest.fixture(scope="module")
def iris():
    return load_iris().data


@pytest.fixture(scope="module")
def unfinished(iris):
    """A linear model whose q is far from the posterior: too wide."""
    model = linear(2, max_iter=30, learning_rate_init=0.03).fit(iris)
    with torch.no_grad():
        model.module_.spread_head.bias += 0.5
    return model


def exact(model, X):
    """Return log p(x) of a linear model: N(b, W Wᵀ + σ²)."""
    covariance = model.components_.T @ model.components_
    covariance += model.noise_scale_**2 * np.eye(X.shape[1])
    return multivariate_normal(model.mean_, covariance).logpdf(X)


def test_bounds_rise_to_the_exact_density(unfinished, iris):
    """★ L_k ≤ L_{k + 1} ≤ log p(x), to three standard errors over seeds."""
    sizes, seeds = [1, 2, 5, 20, 100], range(10)
    found = np.array(
        [
            [unfinished.score_samples(iris, k, seed).mean() for seed in seeds]
            for k in sizes
        ]
    )
    bound, error = found.mean(axis=1), found.std(axis=1, ddof=1) / math.sqrt(len(seeds))
    truth = exact(unfinished, iris).mean()
    steps = np.diff(bound)
    assert (steps > -3 * np.hypot(error[1:], error[:-1])).all()
    assert (bound < truth + 3 * error).all()
    assert bound[0] < truth - 0.1  # else there would be nothing to see
    assert bound[3] > bound[0] + 0.1


def test_many_draws_come_close_to_the_exact_density(unfinished, iris):
    """To three standard errors: those of a mean of weights, by the delta method."""
    log_w = np.add(*draws(unfinished, iris, 2000, "gaussian"))
    w = np.exp(log_w - logsumexp(log_w, axis=0) + math.log(len(log_w)))
    error = w.std(axis=0) / math.sqrt(5000)
    apart = unfinished.score_samples(iris, 5000) - exact(unfinished, iris)
    assert abs(apart.mean()) < 3 * math.sqrt(np.square(error).sum()) / len(iris) < 0.01


def test_elbo_in_closed_form(unfinished, iris):
    """E‖x − Wz − b‖² is known; with one component there is no error of draws at all."""
    one = linear(1, max_iter=5).fit(iris)
    for model in (one, unfinished):
        mean, std = model.transform(iris, return_std=True)
        W, noise = model.components_, model.noise_scale_
        apart = np.square(iris - mean @ W - model.mean_).sum(axis=1)
        apart += std**2 @ np.square(W).sum(axis=1)
        constant = iris.shape[1] * math.log(noise * math.sqrt(2 * math.pi))
        elbo = -0.5 * apart / noise**2 - constant - kl(mean, std)
        score = model.score_samples(iris)
        if model is one:
            np.testing.assert_allclose(score, elbo, rtol=1e-10)
        else:  # 16 independent draws of ε₁ ε₂
            error = np.abs(std.prod(axis=1) * (W[0] @ W[1])) / noise**2 / 4
            assert (np.abs(score - elbo) < 5 * error).all()
            assert error.mean() < 0.2


@pytest.mark.parametrize(
    ("k", "max_iter"),
    [(1, 400), (2, 400), pytest.param(3, 1000, marks=pytest.mark.slow)],
)
def test_linear_optimum_is_probabilistic_pca(k, max_iter, iris):
    """★ The mean ELBO within 0.5 % of PCA's score, and q the exact posterior."""
    model, pca = linear(k, max_iter=max_iter).fit(iris), PCA(k).fit(iris)
    assert model.score(iris) == pytest.approx(pca.score(iris), rel=0.005)
    # of the noise, ln σ off by δ costs (d − k) δ² nats: 0.5 % is a tenth of σ
    assert model.noise_scale_ == pytest.approx(math.sqrt(pca.noise_variance_), rel=0.1)
    _, std = model.transform(iris, return_std=True)
    lengths = np.square(model.components_).sum(axis=1)
    posterior = np.sqrt(model.noise_scale_**2 / (lengths + model.noise_scale_**2))
    np.testing.assert_allclose(std.mean(axis=0), posterior, rtol=0.1)
    assert exact(model, iris).mean() > model.score(iris)
    assert exact(model, iris).mean() < pca.score(iris) + 0.005  # none is likelier


# -- what is learned -------------------------------------------------------------


def test_objective_is_minus_the_score():
    """What `fit` reports is the bound, of what the network sees."""
    X = rows()
    model, history = stay(small(), X, epochs=300)
    loss = history["train_loss"]
    expected = -model.score(X) - X.shape[1] * math.log(model._fit.units.scale)
    # 300 draws of each row's z here, 32 there
    error = loss.std() * math.sqrt(1 / 300 + 1 / 32)
    assert abs(loss.mean() - expected) < 3 * error < 0.02 * abs(expected)
    np.testing.assert_allclose(
        history["train_kl"], kl(*model.transform(X, return_std=True)).mean(), rtol=1e-9
    )


@pytest.mark.parametrize("beta", [0.0, 0.5, 4.0])
def test_beta_weighs_the_kl_alone(beta):
    X = rows()
    model, history = stay(small(beta=beta), X, epochs=1)
    mean, std = model.transform(X, return_std=True)
    assert history["train_kl"][0] == pytest.approx(beta * kl(mean, std).mean())
    elbo = model.score_samples(X)
    plain = small().fit(X)
    plain.module_.load_state_dict(
        {**model.module_.state_dict(), "hyper.beta": torch.tensor(1.0)}
    )
    np.testing.assert_array_equal(plain.score_samples(X), elbo)


def test_large_beta_makes_codes_the_priors():
    X = rows(n=200)
    found = [
        kl(*small(beta=b, max_iter=60).fit(X).transform(X, return_std=True)).mean()
        for b in (0.1, 1.0, 10.0)
    ]
    assert found[0] > found[1] > found[2]


class Watch(Callback):
    """Keep the weight of the KL in each epoch."""

    seen = []

    def on_epoch_end(self, net, **kwargs):
        self.seen.append((float(net.module_.warmth), net.module_.schedule_done))


@both
def test_kl_is_warmed_up(kind):
    Watch.seen = []
    small(kind, max_iter=10, kl_warmup=0.5, callbacks=[Watch()]).fit(rows())
    warmth, settled = zip(*Watch.seen, strict=True)
    np.testing.assert_allclose(warmth, [0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1])
    assert settled == (False,) * 5 + (True,) * 5


def test_cold_kl_does_not_count():
    """In the first epoch of a warm-up; and in it L_1 is log p(x|z) alone."""
    X = rows()
    vae = small(kl_warmup=0.5).fit(X)
    assert vae.history_["train_kl"][0] == 0 < vae.history_["train_kl"][-1]
    iwae = small(ImportanceWeightedAutoencoder, n_importance_samples=1, kl_warmup=0.5)
    iwae.fit(X).module_.load_state_dict(vae.module_.state_dict())
    x = torch.tensor((X - vae._fit.units.shift) / vae._fit.units.scale)
    losses = []
    for module in (vae.module_, iwae.module_):
        module.on_epoch(0.0)
        with torch.no_grad():
            losses.append(float(sum(module.loss(Batch(x, x), make(0)).values())))
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


@both
def test_warm_up_is_for_training_alone(kind):
    """What is judged, and a row's score, are of the whole KL at any time."""
    X = rows()
    model = small(kind, kl_warmup=0.5, max_iter=2).fit(X)
    module, x = model.module_, torch.tensor((X - X.mean(0)) / model._fit.units.scale)
    losses, scores = [], []
    for progress in (0.0, 0.25, 1.0):
        module.on_epoch(progress)
        with torch.no_grad():
            judged = float(sum(module.loss(Batch(x, x)).values()))
            stepped = float(sum(module.loss(Batch(x, x), make(0)).values()))
        losses.append((judged, stepped))
        scores.append([model.score_samples(X, k).mean() for k in (1, 3)])
    judged, stepped = zip(*losses, strict=True)
    assert judged[0] == judged[1] == judged[2]
    assert stepped[0] < stepped[1] < stepped[2]
    assert scores[0] == scores[1] == scores[2]


@pytest.mark.parametrize("settings", [{"early_stopping": True}, {}])
@both
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_stopping_waits_for_the_warm_up(kind, settings):
    """While the KL's weight rises the loss does too, which says nothing of weights."""
    model = small(kind, kl_warmup=0.6, max_iter=50, n_iter_no_change=3, tol=0.0)
    model.set_params(learning_rate="constant", **settings).fit(rows(n=100))
    assert model.n_iter_ > 30


def test_weights_kept_by_early_stopping_are_good_by_the_whole_objective():
    X = rows(n=200)
    settings = {"max_iter": 40, "early_stopping": True, "learning_rate_init": 0.01}
    straight, warmed = (
        small(kl_warmup=share, **settings).fit(X).score(X) for share in (0.0, 0.8)
    )
    assert warmed > straight - 0.5


def test_noise_is_learned_or_given():
    X = rows(n=200)
    learned = small(max_iter=60, learning_rate_init=0.03).fit(X)
    scale = learned._fit.units.scale
    assert learned.noise_scale_ < 0.9 * scale
    fixed = small(noise_scale=0.3).fit(X)
    assert fixed.noise_scale_ == pytest.approx(0.3 * scale)
    raw = small(noise_scale=0.3, standardize=False).fit(X)
    assert raw.noise_scale_ == pytest.approx(0.3)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_learned_noise_is_quick():
    """It has far to go: a step of Adam's moves it by several times the rate."""
    X, rate = 100.0 + rows(), 1e-3
    settings = {"learning_rate_init": rate, "learning_rate": "constant", "max_iter": 1}
    model = small(**settings).fit(X)  # of one batch, so that it is one step
    moved = abs(float(model.module_.learned_log_noise.detach()))
    assert 5 * rate < moved < 0.05


def test_learned_noise_is_not_decayed():
    """Neither by `weight_decay` nor by `alpha`."""
    model = small(weight_decay=10.0, alpha=1.0).fit(rows())
    of = {id(p): name for name, p in model.module_.named_parameters()}
    decayed = {
        of[id(p)]: group["weight_decay"]
        for group in model.net_.optimizer_.param_groups
        for p in group["params"]
    }
    assert decayed["learned_log_noise"] == 0.0 and decayed["spread_head.kernel"] == 10.0
    weights = model.module_.weights()
    assert len(weights) == sum(name.endswith("kernel") for name in of.values())
    by_hand = sum(float(weight.detach().square().sum()) for weight in weights)
    terms = model.module_.regularisers(torch.zeros(1, 5), torch.zeros(1, 2), None)
    assert float(terms["weight_decay"].detach()) == pytest.approx(0.5 * by_hand)


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson"])
def test_noise_is_of_a_gaussian_alone(likelihood):
    model = small(likelihood=likelihood).fit(rows(likelihood))
    assert not hasattr(model, "noise_scale_")
    assert "learned_log_noise" not in dict(model.module_.named_parameters())


def test_idle_components_are_told():
    """What the rows do not need is left to the prior, and said to be."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 1)) @ rng.normal(size=(1, 6)) * 3
    X += rng.normal(size=X.shape)
    model = linear(3, beta=2.0).fit(X)
    variance = model.transform(X).var(axis=0)
    assert len(model.active_units_) == 1
    assert variance[model.active_units_] > 0.5
    np.testing.assert_array_equal(np.flatnonzero(variance > 0.01), model.active_units_)
    _, std = model.transform(X, return_std=True)
    idle = np.setdiff1d(range(3), model.active_units_)
    np.testing.assert_allclose(std[:, idle], 1.0, atol=0.05)


def test_active_units_are_those_of_all_rows(monkeypatch):
    """Of the whole stream, and in however many chunks rows are read: within each of
    these, one of two factors stays where it is."""
    rng = np.random.default_rng(0)
    z = np.c_[rng.normal(size=160), np.repeat([-1.0, 1.0], 80)]
    X = 3.0 * z @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(160, 6))
    settings = {"learning_rate_init": 0.03, "max_iter": 150, "random_state": 0}
    model = VariationalAutoencoder(2, hidden_layer_sizes=(), **settings).fit(X)

    def varies(*parts):
        codes = np.concatenate([model.transform(part) for part in parts])
        return np.flatnonzero(codes.var(axis=0) > 0.01)

    expected = varies(X)
    assert len(expected) == 2
    np.testing.assert_array_equal(model.active_units_, expected)
    monkeypatch.setattr("sklearn_ae.engine.inputs.CHUNK_NUMBERS", 1)
    model.set_params(warm_start=True, learning_rate_init=1e-12, max_iter=1).fit(X)
    np.testing.assert_array_equal(model.active_units_, expected)
    for _ in range(2):  # of one row nothing varies
        model.partial_fit(X[:1])
        np.testing.assert_array_equal(model.active_units_, expected)
    assert len(varies(X[:1])) == 0
    half = X[z[:, 0] > 0.3]  # whose codes are not about zero
    np.testing.assert_array_equal(model.fit(half).active_units_, varies(half))
    assert len(half) > 50 and len(varies(half)) == 2


def test_tied_weights_are_those_of_the_mean():
    model = small(tied_weights=True, hidden_layer_sizes=()).fit(rows())
    weight = model.module_.encoder.readout()[0].detach().numpy()
    np.testing.assert_allclose(model.components_, weight * model._fit.units.scale)


# -- drawing zeros and ones ------------------------------------------------------


@both
def test_binarization_is_dynamic(kind):
    """Each step draws anew, and what is drawn is what is to be reconstructed."""
    X, seen = np.full((50, 4), 0.5), []
    model = small(kind, likelihood="bernoulli", dynamic_binarization=True, max_iter=1)
    module = model.fit(X).module_
    x = torch.tensor(X)
    for generator in (make(0), make(1)):
        drawn, target = module.rows(Batch(x, x), generator)
        assert drawn is target and set(drawn.unique().tolist()) == {0.0, 1.0}
        # 200 coins: three standard deviations of their mean are 0.11
        assert float(drawn.mean()) == pytest.approx(0.5, abs=0.11)
        seen.append(drawn)
    assert not torch.equal(*seen)
    given, target = module.rows(Batch(x, x), None)
    assert given is x and torch.equal(target, x)


def test_binarization_while_training_alone():
    X, seen = np.full((30, 4), 0.5), []

    class Spy(Callback):
        def on_train_begin(self, net, **kwargs):
            net.module_.encoder.layers[0].register_forward_pre_hook(
                lambda _, given: seen.append(given[0].detach().clone())
            )

    model = small(likelihood="bernoulli", dynamic_binarization=True, max_iter=3)
    model.set_params(callbacks=[Spy()]).fit(X)
    model.transform(X), model.score(X)
    kinds = [set(x.unique().tolist()) for x in seen]
    assert kinds[:3] == [{0.0, 1.0}] * 3 and kinds[-1] == {0.5}
    assert not torch.equal(seen[0], seen[1])


def test_binarization_draws_as_often_as_the_row_says():
    X = np.tile([0.0, 0.1, 0.9, 1.0], (5000, 1))
    model = small(likelihood="bernoulli", dynamic_binarization=True, max_iter=1)
    for rows_ in (torch.tensor(X), torch.tensor(X).to_sparse_csr()):
        drawn, _ = model.fit(X).module_.rows(Batch(rows_, rows_), make(0))
        # three standard errors: 3 √(0.09 / 5000)
        np.testing.assert_allclose(drawn.mean(0), X[0], atol=0.013)


@pytest.mark.parametrize("likelihood", ["gaussian", "poisson"])
def test_binarization_is_of_bernoulli_alone(likelihood):
    model = VariationalAutoencoder(likelihood=likelihood, dynamic_binarization=True)
    message = f"likelihood='bernoulli'.*Got likelihood='{likelihood}'"
    for train in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=message):
            train(rows("poisson"))
        assert not hasattr(model, "n_features_in_")


# -- what is answered ------------------------------------------------------------


@both
def test_transform_is_the_mean(kind):
    X = rows()
    model = small(kind).fit(X)
    mean, std = model.transform(X, return_std=True)
    np.testing.assert_array_equal(mean, model.transform(X))
    x = torch.tensor((X - model._fit.units.shift) / model._fit.units.scale)
    expected = [part.detach().numpy() for part in model.module_.posterior(x)]
    np.testing.assert_allclose(mean, expected[0], rtol=1e-10)
    np.testing.assert_allclose(std, expected[1], rtol=1e-10)
    assert std.shape == (40, 2) and (std > 0).all() and (std < 1).mean() > 0.5


def test_transform_to_a_frame():
    X = rows()
    model = small().set_output(transform="pandas").fit(X)
    mean, std = model.transform(X, return_std=True)
    assert isinstance(mean, pd.DataFrame) and std.shape == mean.shape


def test_decodes_draws_from_the_prior():
    """Codes of the rows that `sample` draws are N(0, 1), to four standard errors."""
    model = linear(2, max_iter=30).fit(rows())
    drawn = model.sample(10_000, random_state=0)
    z = (drawn - model.mean_) @ np.linalg.pinv(model.components_)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=4 / 100)
    np.testing.assert_allclose(np.cov(z.T), np.eye(2), atol=4 * math.sqrt(2) / 100)
    state = np.random.RandomState(0)
    near(model.sample(10_000, random_state=state), drawn)
    assert not np.array_equal(model.sample(10_000, random_state=state), drawn)


@both
@pytest.mark.parametrize("factor", [2.0**-7, 2.0**5])
def test_score_is_in_the_units_of_the_rows(kind, factor):
    """Rows c times as large are c^−d times as dense."""
    X = rows()
    near, far = small(kind).fit(X), small(kind).fit(factor * X)
    # draws hang on the rows: other rows have others, and four standard errors are left
    here, there = (
        np.array([model.score_samples(rows_, 5, seed).mean() for seed in range(10)])
        for model, rows_ in ((near, X), (far, factor * X))
    )
    error = math.sqrt((here.var() + there.var()) / 9)
    expected = here.mean() - X.shape[1] * math.log(factor)
    assert abs(there.mean() - expected) < 4 * error < 0.5
    assert far.noise_scale_ == pytest.approx(factor * near.noise_scale_)
    np.testing.assert_allclose(far.transform(factor * X), near.transform(X))


def test_elbo_is_in_the_units_of_the_rows():
    """Exactly so with one component, of which draws make no difference."""
    X = rows()
    near, far = linear(1, max_iter=5).fit(X), linear(1, max_iter=5).fit(32 * X)
    expected = near.score_samples(X) - 5 * math.log(32)
    np.testing.assert_allclose(far.score_samples(32 * X), expected, rtol=1e-9)


@pytest.fixture(scope="module")
def scorer():
    return small(max_iter=5, hidden_layer_sizes=(16,)).fit(rows(n=100))


@pytest.mark.parametrize("n_samples", [1, 3, 50])
def test_score_of_a_row_is_its_own(n_samples, scorer):
    """Whatever rows it is among, in whatever order and container."""
    X = rows(n=100)
    X[X < 1] = 0.0
    score = scorer.score_samples(X, n_samples)
    order = np.random.default_rng(0).permutation(100)
    signed = np.where(X == 0, -0.0, X)
    for other, expected in (
        (X[order], score[order]),
        (X[33:34], score[33:34]),
        (X[::7], score[::7]),
        (sp.csr_array(X), score),
        (signed, score),
        (np.asfortranarray(X), score),
        (pd.DataFrame(X).to_numpy(), score),
    ):
        np.testing.assert_allclose(
            scorer.score_samples(other, n_samples), expected, rtol=1e-9
        )
    same = np.repeat(X[:1], 3, axis=0)
    np.testing.assert_allclose(scorer.score_samples(same, n_samples), score[0])


def test_draws_of_other_rows_are_others():
    """Else one row's luck would be all rows': the bias of a mean would not shrink."""
    generators = variational.row_generators(np.eye(3), 0)
    drawn = np.array([g.standard_normal(1000) for g in generators])
    correlation = np.corrcoef(drawn) - np.eye(3)
    assert np.abs(correlation).max() < 4 / math.sqrt(1000)


@pytest.mark.parametrize("n_samples", [1, 3])
def test_score_by_other_draws(n_samples, scorer):
    X = rows(n=100)
    first, again, other = (scorer.score_samples(X, n_samples, s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()
    always = [scorer.score_samples(X, n_samples) for _ in range(2)]
    np.testing.assert_array_equal(*always)
    state = np.random.RandomState(0)
    one, two = (scorer.score_samples(X, n_samples, state) for _ in range(2))
    assert (one != two).all()


def test_score_by_thousands_of_draws_in_parts(scorer, monkeypatch):
    """All draws are used, and never held at once."""
    X, held = rows(n=70), []
    original = type(scorer.module_).log_weights

    def watched(self, mean, spread, noise, target):
        held.append(noise.shape)
        return original(self, mean, spread, noise, target)

    monkeypatch.setattr(type(scorer.module_), "log_weights", watched)
    scorer.score_samples(X, 5000)
    assert sum(n * batch for n, batch, _ in held) == 70 * 5000
    width = max(scorer.module_.widest_layer, 5)
    assert max(n * batch * width for n, batch, _ in held) <= variational.PART_NUMBERS


def test_parts_of_the_draws_make_one_bound(scorer, monkeypatch):
    X = rows(n=40)
    whole = scorer.score_samples(X, 100)
    monkeypatch.setattr(variational, "PART_NUMBERS", 32 * 16 * 7)
    np.testing.assert_allclose(scorer.score_samples(X, 100), whole, rtol=1e-10)


@pytest.mark.parametrize("bad", [0, -1, 2.0, "a", True])
def test_bad_number_of_draws(bad, scorer):
    message = r"'n_samples' parameter of score_samples must be an int in .* Got"
    with pytest.raises(ValueError, match=message):
        scorer.score_samples(rows(), bad)


def test_score_is_the_bound_that_is_maximised():
    X = rows()
    model = small(ImportanceWeightedAutoencoder, n_importance_samples=7).fit(X)
    np.testing.assert_array_equal(model.score_samples(X), model.score_samples(X, 7))
    assert not np.array_equal(model.score_samples(X), model.score_samples(X, 1))
    assert model.score(X) == pytest.approx(model.score_samples(X).mean())
    assert model.score(X) > model.score_samples(X, 1).mean()


def test_params_set_after_fit_leave_the_score():
    X = rows()
    for kind in (VariationalAutoencoder, ImportanceWeightedAutoencoder):
        model = small(kind).fit(X)
        before = model.score_samples(X)
        model.set_params(likelihood="bernoulli", noise_scale=3.0)
        if kind is ImportanceWeightedAutoencoder:
            model.set_params(n_importance_samples=3)
        np.testing.assert_array_equal(model.score_samples(X), before)
        assert model.noise_scale_ > 0


# -- going on, and ways to train -------------------------------------------------


def test_training_goes_on_with_other_weights_of_the_terms():
    X = rows()
    model = small(noise_scale=0.5, warm_start=True).fit(X)
    model.set_params(noise_scale=0.2, beta=3.0, max_iter=1).fit(X)
    assert model.noise_scale_ == pytest.approx(0.2 * model._fit.units.scale)
    assert float(model.module_.hyper.beta) == 3.0 and model.n_iter_ == 21
    for other in ({"likelihood": "poisson"}, {"noise_scale": "learn"}):
        with pytest.raises(ValueError, match="cannot go on with another arch"):
            clone(model).fit(X).set_params(**other).fit(np.abs(X).round())


@both
@pytest.mark.parametrize(
    "settings",
    [{"solver": "sgd"}, {"solver": "lbfgs"}, {"dtype": "bfloat16"}, {"dropout": 0.2}],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_ways_to_train(kind, settings):
    X = rows(n=100)
    model = small(kind, **{"max_iter": 30, **settings}).fit(X)
    short = clone(model).set_params(max_iter=1).fit(X)
    assert model.score(X) > short.score(X)
    np.testing.assert_array_equal(clone(model).fit(X).transform(X), model.transform(X))


@likelihoods
def test_sparse_rows_are_scored_as_dense_ones(likelihood):
    X = rows("bernoulli")
    model = small(likelihood=likelihood, standardize=False).fit(sp.csr_array(X))
    score = model.score_samples(sp.csr_array(X))
    np.testing.assert_allclose(model.score_samples(X), score, rtol=1e-9)


@both
@pytest.mark.parametrize(
    ("likelihood", "value", "message"),
    [
        ("bernoulli", 1.5, r"likelihood='bernoulli' needs values in \[0, 1\]\. .*1\.5"),
        ("bernoulli", -0.5, r"likelihood='bernoulli' needs values in \[0, 1\]\. .*-0"),
        ("poisson", -1.0, r"likelihood='poisson' needs values in \[0, inf\]"),
    ],
)
def test_values_that_the_likelihood_is_not_defined_on(kind, likelihood, value, message):
    X = rows(likelihood)
    model = small(kind, likelihood=likelihood).fit(X)
    before, bad = model.score_samples(X), X.copy()
    bad[3, 2] = value
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=message):
            method(bad)
    with pytest.raises(ValueError, match=message):
        clone(model).fit(bad)
    np.testing.assert_array_equal(model.score_samples(X), before)


def test_loss_and_code_are_no_parameters():
    """They follow from the likelihood, and from what a code is."""
    fixed = {"loss", "code_activation", "linear_path"}
    assert not fixed & VariationalAutoencoder().get_params().keys()
    assert "beta" not in ImportanceWeightedAutoencoder().get_params()
    with pytest.raises(TypeError, match="loss"):
        VariationalAutoencoder(loss="log_loss")


@both
@pytest.mark.parametrize("scaled", [False, True])
def test_linear_gaussian_starts_at_probabilistic_pca(kind, scaled):
    """★ A linear posterior is exact: the bound is the log-likelihood of PCA's model."""
    X = load_wine().data
    X = StandardScaler().fit_transform(X) if scaled else X
    model = kind(3, hidden_layer_sizes=(), max_iter=1, learning_rate_init=1e-9)
    model.set_params(random_state=0).fit(X)
    assert abs(model.score(X) - PCA(3).fit(X).score(X)) < 0.05
    left = PCA(3).fit(X).noise_variance_ * (len(X) - 1) / len(X)
    assert model.noise_scale_**2 == pytest.approx(left, rel=1e-3)
