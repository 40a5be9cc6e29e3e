"""Denoising autoencoders: closed forms, missing values, and the score."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import (
    Autoencoder,
    DenoisingAutoencoder,
    GaussianNoise,
    KSparseAutoencoder,
    Masking,
)
from sklearn_ae.engine.rows import Rows
from sklearn_ae.parts.corruptions import Corruption


def correlated(n, d=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    return X - X.mean(axis=0)


def linear_map(X, **params):
    """Return W of the linear denoiser x̂ = W x̃ that is fitted to X."""
    model = DenoisingAutoencoder(
        X.shape[1],
        hidden_layer_sizes=(),
        linear_path=False,
        standardize=False,
        max_iter=400,
        learning_rate_init=0.05,
        batch_size=len(X),
        dtype="float64",
        random_state=0,
        **params,
    ).fit(X)
    encoder = model.module_.encoder.weights()[0].detach().numpy()
    return model.components_.T @ encoder


# -- closed forms ----------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_linear_gaussian(sigma):
    """★ W = Σ(Σ + σ²I)⁻¹, to the 2 % that 400 draws of the noise leave."""
    X = correlated(2000)
    S = X.T @ X / len(X)
    W = S @ np.linalg.inv(S + sigma**2 * np.eye(3))
    found = linear_map(X, noise_level=sigma)
    assert np.linalg.norm(found - W) < 0.02 * np.linalg.norm(W)


@pytest.mark.parametrize("nu", [0.2, 0.5])
def test_linear_masking(nu):
    """★ W = P Q⁻¹ (Vincent et al.): P = q S, Q = q² S off and q S on the diagonal."""
    X = correlated(2000)
    S, q = X.T @ X / len(X), 1 - nu
    Q = q**2 * S
    np.fill_diagonal(Q, q * S.diagonal())
    W = q * S @ np.linalg.inv(Q)
    found = linear_map(X, noise="masking", noise_level=nu)
    assert np.linalg.norm(found - W) < 0.02 * np.linalg.norm(W)


def test_linear_masking_with_full_emphasis():
    """Only masked entries count: for entry i, the regression of x_i on the others."""
    X = correlated(2000)
    S, q = X.T @ X / len(X), 0.7
    Q = q**2 * S
    np.fill_diagonal(Q, q * S.diagonal())
    found = linear_map(X, noise="masking", noise_level=0.3, emphasis=1.0)
    for i in range(3):
        others = [j for j in range(3) if j != i]
        w = np.linalg.solve(Q[np.ix_(others, others)], q * S[others, i])
        np.testing.assert_allclose(found[i, others], w, atol=0.03 * np.abs(w).max())


def test_emphasis_weighs_entries():
    X = correlated(300)
    plain, zero, part, full = (
        DenoisingAutoencoder(
            3, noise="masking", max_iter=3, random_state=0, **params
        ).fit(X)
        for params in ({}, {"emphasis": 0.0}, {"emphasis": 0.5}, {"emphasis": 1.0})
    )
    assert plain.loss_curve_ == zero.loss_curve_
    first = [m.history_["train_reconstruction"][0] for m in (plain, part, full)]
    assert first[0] > first[1] > first[2] > 0


def untrained(X, **params):
    """Return a denoiser whose weights are those that training begins with."""
    still = {"solver": "sgd", "learning_rate_init": 1e-300, "max_iter": 1}
    settings = {"dtype": "float64", "random_state": 0, **still, **params}
    return DenoisingAutoencoder(2, **settings).fit(X)


@pytest.mark.parametrize("emphasis", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("noise", ["masking", "salt_and_pepper", "gaussian"])
@pytest.mark.parametrize("gaps", [False, True])
def test_emphasis_counts_observed_entries_alone(gaps, noise, emphasis, X):
    """Σ over what was observed of ½ (x − x̂)², times 1 − emphasis where x̃ is x."""
    given = with_gaps(X)[0] if gaps else X
    model = untrained(given, noise=noise, emphasis=emphasis)
    module = model.module_
    rows = Rows(given, model._fit.units, torch.float64, has_missing=gaps)
    batch = rows.everything()
    x, seen = batch.x, ~torch.isnan(torch.tensor(given))
    found = module.loss(batch, torch.Generator().manual_seed(3))["reconstruction"]
    noisy = module.corrupted(x, torch.Generator().manual_seed(3)) * seen
    restored = module.decode(module.encode(noisy))
    weight = seen * torch.where(noisy == x, 1.0 - emphasis, 1.0)
    nats = (0.5 * weight * (restored - x) ** 2).sum(1).mean()
    torch.testing.assert_close(found, nats)
    # held-out rows are judged by the same, with one draw of the noise
    judged = module.as_learned(batch, torch.Generator().manual_seed(3))
    torch.testing.assert_close(module.loss(judged)["reconstruction"], nats)


# -- noise -----------------------------------------------------------------------


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize(
    "params", [{}, {"hidden_layer_sizes": ()}, {"linear_path": False}]
)
def test_gaussian_noise_is_in_units_of_the_spread(params, standardize):
    """With `standardize` a multiple of the root of the features' mean variance, else
    in the units of X: of what is learned from, and of held-out rows."""
    X = correlated(2000) * [10.0, 1.0, 0.1] + 5.0
    model = untrained(X, noise_level=0.4, standardize=standardize, **params)
    rows = Rows(X, model._fit.units, torch.float64).everything()
    drawn = torch.Generator().manual_seed(0)
    expected = 0.4 * (np.sqrt(X.var(axis=0).mean()) if standardize else 1.0)
    for noisy in (
        model.module_.corrupted(rows.x, drawn),
        model.module_.as_learned(rows, drawn).x,
    ):
        added = (noisy - rows.x) * model._fit.units.scale
        # of 2000 draws a deviation is within 6 % with four of its own
        np.testing.assert_allclose(added.std(0), expected, rtol=0.06)
    assert model.module_.as_learned(rows, drawn).target is rows.target


@pytest.mark.parametrize("params", [{}, {"noise": "masking"}])
def test_noise_is_the_random_states(params, X):
    """Nothing else is drawn at PCA in the order of the rows: yet fits differ."""
    model = DenoisingAutoencoder(2, hidden_layer_sizes=(), shuffle=False, **params)
    model.set_params(linear_path=not params, max_iter=3)
    runs = []
    for seed in (0, 0, 1):
        first = clone(model).set_params(random_state=seed).fit(X)
        runs.append(first.history_["train_reconstruction"].tolist())
    assert runs[0] == runs[1] != runs[2]


def test_noise_by_name_and_by_object(X):
    named = DenoisingAutoencoder(
        noise="masking", noise_level=0.2, max_iter=3, random_state=0
    )
    given = DenoisingAutoencoder(
        noise=Masking(noise_level=0.2), max_iter=3, random_state=0
    )
    composed = Autoencoder(
        corruption=Masking(noise_level=0.2),
        linear_path=named._has_linear_path and "auto",
        max_iter=3,
        random_state=0,
    )
    expected = named.fit(X).transform(X)
    np.testing.assert_array_equal(given.fit(X).transform(X), expected)
    np.testing.assert_array_equal(composed.fit(X).transform(X), expected)
    assert given.get_params()["noise__noise_level"] == 0.2


def test_no_noise_is_the_plain_autoencoder(X):
    denoising = DenoisingAutoencoder(noise_level=0.0, max_iter=5, random_state=0)
    plain = Autoencoder(
        linear_path=denoising._has_linear_path and "auto", max_iter=5, random_state=0
    )
    expected = plain.fit(X).transform(X)
    np.testing.assert_array_equal(denoising.fit(X).transform(X), expected)


@pytest.mark.parametrize("noise", ["masking", "salt_and_pepper"])
def test_level_out_of_the_range_of_its_noise(noise, X):
    model = DenoisingAutoencoder(noise=noise, noise_level=1.5)
    wording = (
        rf"^The 'noise_level' parameter of DenoisingAutoencoder must be a float in the "
        rf"range \[0, 1\] for noise='{noise}'\. Got 1\.5 instead\."
    )
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=wording):
            method(X)
    assert DenoisingAutoencoder(noise_level=1.5, max_iter=2).fit(X).n_iter_ == 2


def test_level_of_a_corruption_is_validated(X):
    model = DenoisingAutoencoder(noise=Masking(noise_level=1.5), noise_level=0.3)
    with pytest.raises(ValueError, match="'noise_level' parameter of Masking"):
        model.fit(X)


class Doubling(Corruption):
    """A corruption of one's own, without any parameter."""

    @staticmethod
    def corrupt(x, generator, unit=1.0):
        return 2.0 * x


def test_noise_of_ones_own(X):
    model = DenoisingAutoencoder(noise=Doubling(), max_iter=3, random_state=0).fit(X)
    assert np.isfinite(model.transform(X)).all()
    assert model.sample(2, random_state=0).shape == (2, X.shape[1])


def test_grid_search_over_noise_without_scoring(X):
    grid = {"noise": ["gaussian", "masking"], "noise_level": [0.1, 0.5]}
    model = DenoisingAutoencoder(max_iter=3, random_state=0)
    search = GridSearchCV(model, grid, cv=2).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_denoises():
    """What comes out is nearer to the clean rows than what went in."""
    X = load_digits().data / 16
    rng = np.random.default_rng(0)
    noisy = X[1200:] + 0.3 * rng.normal(size=X[1200:].shape)
    model = DenoisingAutoencoder(32, noise_level=1.0, max_iter=60, random_state=0).fit(
        X[:1200]
    )
    left = np.square(model.reconstruct(noisy) - X[1200:]).mean()
    assert left < 0.5 * 0.3**2


@pytest.mark.parametrize("make", [Autoencoder, DenoisingAutoencoder])
def test_denoises_where_pca_leaves_nothing(make):
    """As many components as features: copying loses nothing of clean rows."""
    X = correlated(1000, 4, seed=1)
    noise = {"corruption": GaussianNoise(noise_level=1.0)}
    noise = noise if make is Autoencoder else {"noise_level": 1.0}
    model = make(4, linear_path=True, max_iter=40, random_state=0, **noise).fit(X)
    scale = np.sqrt(X.var(axis=0).mean())
    noisy = X + scale * np.random.default_rng(0).normal(size=X.shape)
    left = np.square(model.reconstruct(noisy) - X).mean()
    assert left < 0.8 * np.square(noisy - X).mean()


# -- missing values --------------------------------------------------------------


def with_gaps(X, share=0.2, seed=0):
    rng = np.random.default_rng(seed)
    gaps = rng.random(X.shape) < share
    gaps[gaps.all(axis=1)] = False
    gaps[:, gaps.all(axis=0)] = False
    return np.where(gaps, np.nan, X), gaps


@pytest.fixture(scope="module")
def cancer():
    return StandardScaler().fit_transform(load_breast_cancer().data)


@pytest.mark.slow
def test_imputes_better_than_the_mean(cancer):
    X, gaps = with_gaps(cancer)
    model = DenoisingAutoencoder(10, noise="masking", random_state=0).fit(X)
    mean = SimpleImputer().fit_transform(X)

    def error(filled):
        return np.square(filled - cancer)[gaps].mean()

    filled = model.impute(X)
    assert error(filled) < 0.5 * error(mean)
    np.testing.assert_array_equal(filled[~gaps], X[~gaps])
    assert np.isfinite(model.transform(X)).all()
    assert np.isfinite(model.reconstruct(X)).all()


def test_gaps_carry_nothing_of_what_was_there(X):
    """The network is shown zero there, in training too: no noise is put on it."""
    gappy, gaps = with_gaps(X)
    model = DenoisingAutoencoder(max_iter=1, random_state=0).fit(gappy)
    rows = Rows(gappy, model._fit.units, torch.float32, has_missing=True)
    shown = []
    module = model.module_
    module.encoder.register_forward_pre_hook(lambda _, args: shown.append(args[0]))
    module.loss(rows.everything(), torch.Generator().manual_seed(0))
    module.loss(rows.everything())
    module.encode(torch.tensor(gappy, dtype=torch.float32))
    assert len(shown) == 3
    for x in shown:
        assert not x[torch.tensor(gaps)].any() and x[torch.tensor(~gaps)].any()
    assert not torch.equal(shown[0], shown[1])


@pytest.mark.parametrize("noise", ["gaussian", "masking", "salt_and_pepper"])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_loss_counts_observed_entries_alone(noise, loss, X):
    """Doubled columns of gaps add nothing to the loss, nor to its gradient."""
    gappy, _ = with_gaps(X)
    model = DenoisingAutoencoder(noise=noise, loss=loss, noise_level=0.0, max_iter=1)
    model.set_params(standardize=False, learning_rate_init=1e-9, batch_size=24)
    model.set_params(dtype="float64", random_state=0).fit(gappy)
    error = model.reconstruction_error(gappy, per_feature=True)
    assert (np.isnan(error) == np.isnan(gappy)).all()
    factor = 0.5 if loss == "squared_error" else 1.0
    expected = factor * np.nansum(error, axis=1).mean()
    assert model.history_["train_reconstruction"][-1] == pytest.approx(expected)
    np.testing.assert_allclose(
        model.reconstruction_error(gappy), np.nanmean(error, axis=1)
    )


def test_units_are_those_of_observed_entries(X):
    gappy, _ = with_gaps(X)
    model = DenoisingAutoencoder(max_iter=1, random_state=0).fit(gappy)
    np.testing.assert_allclose(model._fit.units.shift, np.nanmean(gappy, axis=0))


def test_a_row_without_any_value(X):
    gappy, _ = with_gaps(X)
    gappy[3] = np.nan
    model = DenoisingAutoencoder(max_iter=3, random_state=0).fit(gappy)
    assert np.isfinite(model.transform(gappy)).all()
    scores = model.score_samples(gappy)
    assert np.isnan(scores[3]) and np.isfinite(np.delete(scores, 3)).all()
    assert model.score(gappy) == pytest.approx(np.nanmean(scores))
    assert np.isnan(model.score(gappy[[3]]))
    assert np.isfinite(model.jacobian_norm(gappy)).all()
    assert np.isfinite(model.impute(gappy)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_chunk_in_which_all_is_missing_is_taken(dtype):
    model = DenoisingAutoencoder(2, dtype=dtype, random_state=0)
    model.partial_fit(np.random.default_rng(0).normal(size=(20, 6)))
    model.partial_fit(np.full((5, 6), np.nan))
    assert np.isfinite(model.transform(np.zeros((1, 6)))).all()


@pytest.mark.parametrize("standardize", [True, False])
def test_a_column_without_any_value(standardize, X):
    gappy = X.copy()
    gappy[:, [1, 4]] = np.nan
    model = DenoisingAutoencoder(max_iter=3, standardize=standardize, random_state=0)
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=r"only NaN in features 1, 4: .* learn"):
            getattr(model, method)(gappy)
        assert not hasattr(model, "n_features_in_")
    model.fit(X)  # but some rows of it may come without
    assert np.isfinite(model.impute(gappy)).all()
    assert np.isfinite(model.partial_fit(gappy).transform(gappy)).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("linear_path", [False, True])
def test_gaps_in_every_way_of_training(solver, linear_path, X):
    gappy, _ = with_gaps(X)
    model = DenoisingAutoencoder(
        solver=solver, linear_path=linear_path, max_iter=20, early_stopping=True
    ).set_params(random_state=0, dtype="float64")
    with np.errstate(all="raise"):
        model.fit(gappy)
    assert np.isfinite(model.impute(gappy)).all()
    assert np.isfinite(model.sample(3, random_state=0)).all()


def test_gaps_in_frames(X):
    frame = pd.DataFrame(X).convert_dtypes()
    frame.iloc[2, 1] = pd.NA
    gappy = X.copy()
    gappy[2, 1] = np.nan
    model = DenoisingAutoencoder(max_iter=2, random_state=0)
    frame.columns = frame.columns.astype(str)
    expected = clone(model).fit(gappy).transform(gappy)
    np.testing.assert_array_equal(model.fit(frame).transform(frame), expected)


def test_pipeline_and_search_with_gaps(cancer):
    X, _ = with_gaps(cancer)
    pipeline = make_pipeline(
        StandardScaler(), DenoisingAutoencoder(5, noise="masking", random_state=0)
    ).set_params(denoisingautoencoder__max_iter=3)
    grid = {"denoisingautoencoder__noise_level": [0.1, 0.3]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert np.isfinite(search.transform(X)).all()


def test_log_loss_with_gaps(X):
    gappy, _ = with_gaps(X / 30)
    model = DenoisingAutoencoder(loss="log_loss", max_iter=3, random_state=0).fit(gappy)
    assert np.isfinite(model.loss_)
    gappy[0, 0] = 7.0
    with pytest.raises(ValueError, match=r"needs values in \[0.*7\]"):
        model.fit(gappy)


def test_gaps_in_sparse_rows_are_refused(X):
    bad = sp.csr_array(X)
    bad.data[3] = np.nan
    with pytest.raises(ValueError, match=r"Input X contains NaN\. .* in dense X only"):
        DenoisingAutoencoder(max_iter=2).fit(bad)


def test_sparse_rows(X):
    sparse = sp.csr_array(X * (X > 8))
    model = DenoisingAutoencoder(emphasis=0.5, max_iter=3, random_state=0).fit(sparse)
    np.testing.assert_array_equal(model.impute(sparse), sparse.toarray())
    field = model.score_field(sparse)
    np.testing.assert_allclose(field, model.score_field(sparse.toarray()), rtol=1e-3)


@pytest.mark.parametrize("model", [Autoencoder(), KSparseAutoencoder()])
def test_no_other_method_takes_gaps(model, X):
    assert not model.__sklearn_tags__().input_tags.allow_nan
    assert DenoisingAutoencoder().__sklearn_tags__().input_tags.allow_nan
    gappy, _ = with_gaps(X)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.fit(gappy)


# -- the score, and a walk along it ----------------------------------------------

CENTRES, WIDTH = np.array([[-2.0, 0.0], [2.0, 1.0], [0.0, 3.0]]), 0.4


def mixture(n, seed=0):
    rng = np.random.default_rng(seed)
    return CENTRES[rng.integers(3, size=n)] + WIDTH * rng.normal(size=(n, 2))


def analytic_score(X, sigma):
    """∇ log of the mixture with noise of width σ on it."""
    variance = WIDTH**2 + sigma**2
    apart = CENTRES - X[:, None]
    logits = -0.5 * np.square(apart).sum(axis=2) / variance
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return (share[:, :, None] * apart).sum(axis=1) / variance


@pytest.fixture(scope="module")
def walker():
    return DenoisingAutoencoder(
        8, noise_level=0.4, max_iter=60, learning_rate_init=0.01, random_state=0
    ).fit(mixture(4000))


@pytest.mark.slow
def test_score_field(walker):
    """★ Correlation with the analytic score above 0.95, where the noisy data is."""
    sigma = 0.4 * walker._fit.units.scale * float(walker.module_.spread)
    X = mixture(1000, seed=1)
    X = X + sigma * np.random.default_rng(2).normal(size=X.shape)
    field, expected = walker.score_field(X), analytic_score(X, sigma)
    assert np.corrcoef(field.ravel(), expected.ravel())[0, 1] > 0.95
    slope = (field * expected).sum() / np.square(expected).sum()
    assert slope == pytest.approx(1.0, abs=0.15)  # its size too, in units of 1 / X


@pytest.mark.slow
@pytest.mark.parametrize("linear_path", [False, True])
def test_score_and_walk_of_a_gaussian(linear_path):
    """Both are known in closed form, in the units of the data: S(S + σ²I)⁻¹S is the
    covariance of denoised rows, where S is that of clean ones."""
    X = 3.0 + 5.0 * correlated(3000, 2)
    model = DenoisingAutoencoder(
        2, noise_level=0.7, linear_path=linear_path, max_iter=60, random_state=0
    ).fit(X)
    S, mean = np.cov(X.T), X.mean(axis=0)
    noisy = S + 0.49 * np.trace(S) / 2 * np.eye(2)
    expected = -np.linalg.solve(noisy, (X - mean).T).T
    field = model.score_field(X)
    assert np.linalg.norm(field - expected) < 0.2 * np.linalg.norm(expected)
    found = np.cov(model.sample(3000, random_state=0).T)
    left = S @ np.linalg.solve(noisy, S)
    assert np.linalg.norm(found - left) < 0.25 * np.linalg.norm(left)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("linear_path", [False, True])
def test_score_is_the_step_to_what_is_restored(linear_path, standardize, X):
    """(r(x) − x) / σ², with the σ of the noise in the units of X."""
    X = 10.0 * X + 100.0
    linear_path &= standardize  # which it needs
    model = DenoisingAutoencoder(2, noise_level=0.4, max_iter=3, random_state=0)
    model.set_params(linear_path=linear_path, standardize=standardize).fit(X)
    sigma = 0.4 * (np.sqrt(X.var(axis=0).mean()) if standardize else 1.0)
    step = (model.reconstruct(X) - X) / sigma**2
    np.testing.assert_allclose(model.score_field(X), step, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("linear_path", [False, True])
def test_walk_ends_where_its_score_says(linear_path):
    """With the denoiser of N(0, s²), r(x) = x s² / (s² + σ²), noisy rows are those of
    N(0, s² + σ²), and denoised ones those of N(0, s⁴ / (s² + σ²)): up to O(η)."""
    X = correlated(500)
    model = DenoisingAutoencoder(
        2, noise_level=0.8, max_iter=1, random_state=0, linear_path=linear_path
    ).fit(X)
    module = model.module_
    sigma = 0.8 * np.sqrt(X.var(axis=0).mean()) / model._fit.units.scale
    for s in (0.5 * sigma, sigma, 2 * sigma):
        share = s**2 / (s**2 + sigma**2)
        module.reconstruct = lambda x, share=share: x * share
        drawn = torch.Generator().manual_seed(0)
        walked = module.walk(s * torch.randn(4000, 3, generator=drawn), drawn)
        # of 12000 draws; η is a tenth
        assert float(walked.var()) == pytest.approx(s**2 * share, rel=0.1)


def test_score_field_is_of_gaussian_noise_alone(X):
    model = DenoisingAutoencoder(noise="masking", max_iter=2).fit(X)
    assert not hasattr(model, "score_field")
    with pytest.raises(AttributeError, match="score_field"):
        model.score_field(X)
    given = DenoisingAutoencoder(noise=GaussianNoise(), max_iter=2).fit(X)
    assert given.set_params(noise="masking").score_field(X).shape == X.shape
    assert not hasattr(model.set_params(noise="gaussian"), "score_field")
    silent = DenoisingAutoencoder(noise_level=0.0, max_iter=2).fit(X)
    with pytest.raises(ValueError, match="noise_level above 0"):
        silent.score_field(X)


@pytest.mark.slow
def test_samples_walk_to_the_data(walker):
    """They lie at the mixture's centres, at all three, as no single Gaussian does."""
    draws = walker.sample(500, random_state=0)
    distance = np.linalg.norm(draws[:, None] - CENTRES, axis=2)
    near = distance.min(axis=1) < 3 * WIDTH
    assert near.mean() > 0.95
    shares = np.bincount(distance.argmin(axis=1), minlength=3) / 500
    assert shares.min() > 0.1
    np.testing.assert_array_equal(draws, walker.sample(500, random_state=0))
