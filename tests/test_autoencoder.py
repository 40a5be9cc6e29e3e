"""The autoencoder against what is known of it in closed form, and in its main job."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from estimators import counts, table
from scipy.linalg import subspace_angles
from scipy.special import xlog1py, xlogy
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import L1, L2, Autoencoder, GaussianNoise, Masking, SaltAndPepper
from sklearn_ae.engine import pca_start
from sklearn_ae.engine import rows as engine_rows
from sklearn_ae.engine import train as engine_train
from sklearn_ae.engine.rows import Batch
from sklearn_ae.parts.corruptions import Corruption
from sklearn_ae.parts.layers import Dense

unfinished = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def linear(k, **params):
    """Return a linear autoencoder in float64."""
    settings = {"hidden_layer_sizes": (), "dtype": "float64", "random_state": 0}
    return Autoencoder(k, **{**settings, **params})


def mean_squared(X, restored):
    return float(((X - restored) ** 2).mean())


def pca_error(k, X, X_test=None):
    X_test = X if X_test is None else X_test
    pca = PCA(k).fit(X)
    return mean_squared(X_test, pca.inverse_transform(pca.transform(X_test)))


# -- linear: PCA -----------------------------------------------------------------


@pytest.mark.parametrize(("load", "k"), [(load_iris, 2), (load_digits, 3)])
@pytest.mark.parametrize("tied", [False, True])
def test_linear_with_lbfgs_is_pca(load, k, tied):
    """The span is PCA's: largest angle below 0.01 rad, excess error below 0.1 %."""
    X = load().data[:600]
    model = linear(k, solver="lbfgs", tied_weights=tied, tol=1e-7, max_iter=1000).fit(X)
    pca = PCA(k).fit(X)
    assert subspace_angles(model.components_.T, pca.components_.T).max() < 1e-2
    excess = -model.score(X) / pca_error(k, X) - 1
    assert -1e-9 < excess < 1e-3
    np.testing.assert_allclose(model.mean_, X.mean(axis=0), atol=0.01 * X.std())


def test_linear_with_adam_is_nearly_pca():
    """Largest angle below 0.05 rad, excess error below 1 %."""
    X, k = load_iris().data, 2
    model = linear(k, max_iter=800, learning_rate_init=0.05, batch_size=150).fit(X)
    pca = PCA(k).fit(X)
    assert subspace_angles(model.components_.T, pca.components_.T).max() < 0.05
    assert -1e-9 < -model.score(X) / pca_error(k, X) - 1 < 0.01


def test_l2_finds_the_components_themselves():
    r"""Kunin et al. 2019: with L2 on both layers W₁ = W₂ᵀ, W₂'s left singular vectors
    are the principal directions, and s² = 1 − λ/σ².

    His objective is ‖X − W₂W₁X‖² + λ Σ‖W‖², summed over the m rows of centred X; ours
    is half its mean over rows of X / c, and has α/2 before the weights. Times 2m they
    are the same for λ = α m, with σ the singular values of X / c.
    """
    X, k, alpha = load_iris().data, 3, 0.01
    model = linear(k, solver="lbfgs", alpha=alpha, tol=1e-12, max_iter=3000).fit(X)
    encoder = model.module_.encoder.weights()[0].detach().numpy()
    decoder = model.module_.decoder.readout()[0].detach().numpy()
    np.testing.assert_allclose(encoder, decoder.T, atol=1e-3)
    _, sigma, directions = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    c = np.sqrt(X.var(axis=0).mean())
    left, s, _ = np.linalg.svd(decoder, full_matrices=False)
    expected = 1 - alpha * len(X) / (sigma[:k] / c) ** 2
    assert (expected > 0.1).all() and expected.min() < 0.95  # λ is felt, and kills none
    np.testing.assert_allclose(s**2, expected, atol=1e-3)
    cosines = np.abs((left.T @ directions[:k].T).diagonal())
    assert (cosines > 0.999).all()


def test_affine_attributes():
    X = load_iris().data
    model = linear(2, max_iter=5).fit(X)
    codes = model.transform(X)
    restored = codes @ model.components_ + model.mean_
    np.testing.assert_allclose(model.inverse_transform(codes), restored, rtol=1e-10)
    assert model.components_.shape == (2, 4) and model.mean_.shape == (4,)
    deep = Autoencoder(2, max_iter=1).fit(X)
    for name in ("components_", "mean_"):
        assert not hasattr(deep, name)
        assert not hasattr(Autoencoder(hidden_layer_sizes=()), name)


def test_global_scale_does_not_change_the_optimum():
    """One scale for all features: unlike StandardScaler's, it keeps PCA's subspace."""
    X = table(60) * [1, 4, 1, 1, 1]
    raw = PCA(1).fit(X).components_
    scaled = PCA(1).fit(StandardScaler().fit_transform(X)).components_
    found = linear(1, solver="lbfgs", tol=1e-8).fit(X).components_
    assert subspace_angles(found.T, raw.T).max() < 1e-2
    assert subspace_angles(found.T, scaled.T).max() > 0.2


def test_tied_weights_are_one_tensor():
    free = Autoencoder(3, hidden_layer_sizes=(7,), max_iter=1, linear_path=False)
    tied = clone(free).set_params(tied_weights=True)
    numbers = [
        sum(p.numel() for p in m.fit(table()).module_.parameters())
        for m in (free, tied)
    ]
    weights, biases = 5 * 7 + 7 * 3, (7 + 3) + (7 + 5)
    assert numbers == [2 * weights + biases, weights + biases]


# -- the objective ---------------------------------------------------------------


def first_loss(X, **params):
    """Return an estimator and its objective at weights that training left alone."""
    still = {"solver": "sgd", "learning_rate_init": 1e-300, "max_iter": 1}
    still |= {"dtype": "float64", "random_state": 0, "weight_decay": 0.0}
    return Autoencoder(2, hidden_layer_sizes=(6,), **{**still, **params}).fit(X)


@pytest.mark.parametrize(
    ("loss", "X"),
    [
        ("squared_error", table()),
        ("absolute_error", table()),
        ("log_loss", table() / 30),
        ("poisson", table()),
        ("squared_error", counts()),
        ("log_loss", counts().astype(bool).astype(float)),
        ("poisson", counts()),
    ],
)
@pytest.mark.parametrize("batch_size", ["auto", 7])
def test_objective_in_nats(loss, X, batch_size):
    """Summed over features, averaged over rows; each term under its name."""
    model = first_loss(
        X,
        loss=loss,
        batch_size=batch_size,
        linear_path=False,
        penalties=[L1(weight=0.3), ("ridge", L2(weight=0.7))],
        alpha=0.1,
    )
    dense = X.toarray() if sp.issparse(X) else X
    codes, restored = model.transform(X), model.reconstruct(X)
    c = model._fit.units.scale
    assert (c == 1.0) == (loss in ("log_loss", "poisson"))
    nats = {
        "squared_error": lambda: 0.5 * ((dense - restored) / c) ** 2,
        "absolute_error": lambda: np.abs(dense - restored) / c,
        "log_loss": lambda: (
            -dense * np.log(restored) - (1 - dense) * np.log1p(-restored)
        ),
        "poisson": lambda: restored - dense * np.log(restored),
    }[loss]()
    weights = [
        w.detach().numpy()
        for part in (model.module_.encoder, model.module_.decoder)
        for w in part.weights()
    ]
    # weights of penalties are meant for a standard deviation of ¼, and here it is 1
    price = {"squared_error": 16.0, "absolute_error": 4.0}.get(loss, 1.0)
    terms = {
        "train_reconstruction": nats.sum(axis=1).mean(),
        "train_l1": price * 0.3 * np.abs(codes).sum(axis=1).mean(),
        "train_ridge": price * 0.35 * (codes**2).sum(axis=1).mean(),
        "train_weight_decay": 0.05 * sum((w**2).sum() for w in weights),
    }
    assert len(weights) == 4  # biases are left out
    for name, value in terms.items():
        assert model.history_[name][0] == pytest.approx(value, rel=1e-9), name
    assert model.loss_ == pytest.approx(sum(terms.values()), rel=1e-9)


def test_score_is_in_the_units_of_x():
    """Minus the mean squared error: PCA's own measure, whatever the penalties."""
    X = load_wine().data
    model = Autoencoder(
        2, max_iter=3, dtype="float64", penalties=L1(weight=5.0), alpha=1.0
    )
    model.set_params(corruption=GaussianNoise(), dropout=0.5).fit(X)
    expected = -mean_squared(X, model.reconstruct(X))
    assert model.score(X) == pytest.approx(expected, rel=1e-9)
    scaled = model.fit(X * 10)
    assert scaled.score(X * 10) == pytest.approx(
        -mean_squared(X * 10, scaled.reconstruct(X * 10)), rel=1e-9
    )


def test_score_of_log_loss_is_scikit_learns():
    X = (table() > 10).astype(float)
    model = Autoencoder(2, loss="log_loss", max_iter=5, dtype="float64").fit(X)
    p = model.reconstruct(X)
    expected = [log_loss(X[:, j], p[:, j], labels=[0, 1]) for j in range(X.shape[1])]
    assert model.score(X) == pytest.approx(-np.mean(expected), rel=1e-9)


@pytest.mark.parametrize(
    ("loss", "bad"),
    [("log_loss", -0.1), ("log_loss", 1.1), ("poisson", -1.0)],
)
@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_data_outside_of_the_likelihood(loss, bad, container):
    X = table() / 30
    model = Autoencoder(2, loss=loss, max_iter=1).fit(container(X))
    X[1, 1] = bad
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=f"loss='{loss}' needs values in"):
            getattr(model, method)(container(X))


@pytest.mark.parametrize("loss", ["absolute_error", "log_loss", "poisson"])
def test_other_likelihoods_learn(loss):
    """They lose a third less than the best constant does, of what can be spared."""
    X = load_digits().data[:200]
    X = X / 16 if loss == "log_loss" else X
    model = Autoencoder(8, loss=loss, random_state=0, max_iter=30, batch_size=20)
    model.fit(X)

    def entries(restored):
        return {
            "absolute_error": lambda: np.abs(X - restored),
            "log_loss": lambda: -xlogy(X, restored) - xlog1py(1 - X, -restored),
            "poisson": lambda: restored - xlogy(X, restored) + xlogy(X, X) - X,
        }[loss]()

    constant = np.median(X, axis=0) if loss == "absolute_error" else X.mean(axis=0)
    baseline, best = entries(constant).mean(), entries(X).mean()
    assert best < -model.score(X) < baseline - (baseline - best) / 3


# -- penalties and corruptions ---------------------------------------------------


@pytest.mark.parametrize("penalty", [L1, L2])
def test_penalties_shrink_the_code(penalty):
    X = load_iris().data[::3]
    sizes = [
        np.abs(
            linear(2, penalties=penalty(weight=weight), max_iter=200)
            .fit(X)
            .transform(X)
        ).mean()
        for weight in (0.0, 0.3)
    ]
    assert sizes[1] < 0.9 * sizes[0]


@pytest.mark.parametrize(
    "params",
    [
        {"penalties": L1(weight=0.0)},
        {"penalties": [L2(weight=0.0), ("a", L1(weight=0.0))]},
        {"corruption": GaussianNoise(noise_level=0.0)},
        {"corruption": Masking(noise_level=0.0)},
        {"corruption": SaltAndPepper(noise_level=0.0)},
        {"alpha": 0.0, "dropout": 0.0},
    ],
    ids=str,
)
def test_weight_zero_is_the_plain_autoencoder(params):
    X = table()
    model = Autoencoder(2, max_iter=5, random_state=0)
    expected = clone(model).fit(X).transform(X)
    found = clone(model).set_params(**params).fit(X).transform(X)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [GaussianNoise, Masking, SaltAndPepper])
def test_target_is_clean_and_noise_is_for_training(kind):
    X = table()
    model = first_loss(X, corruption=kind(noise_level=0.5), linear_path=False)
    plain = first_loss(X, linear_path=False)
    # the same weights: noise enters the training loss and nothing else
    weights = (m.module_.named_parameters() for m in (model, plain))
    for (name, ours), (_, theirs) in zip(*weights, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-290, rtol=0.0, msg=name)
    if kind is not GaussianNoise:  # features are seen in the scale of noisy ones
        assert model.score(X) == plain.score(X)
    assert model.loss_ != plain.loss_
    seen = {}
    original = type(model.module_).loss

    def spy(self, batch, generator=None):
        seen["target"] = batch.target.clone()
        out = original(self, batch, generator)
        assert torch.equal(batch.target, seen["target"])
        return out

    type(model.module_).loss = spy
    try:
        clone(model).fit(X)
    finally:
        type(model.module_).loss = original
    clean = (X - X.mean(axis=0)) / np.sqrt(X.var(axis=0).mean())
    found = np.sort(seen["target"].numpy(), axis=0)
    np.testing.assert_allclose(found, np.sort(clean, axis=0), atol=1e-12)


class Doubled(Corruption):
    """Rows are shown twice as large: what is restored from them is known."""

    keeps_zeros = True

    @staticmethod
    def corrupt(x, generator, unit=1.0):
        return 2.0 * x if x.layout != torch.sparse_csr else 2.0 * x.to_dense()


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson"])
@pytest.mark.parametrize("X", [table(), counts()], ids=["dense", "sparse"])
def test_clean_rows_are_restored_from_noisy_ones(X, loss, early_stopping):
    """−log p(x | x̂(x̃)): by hand, of what is learned from and of held-out rows."""
    model = first_loss(
        X,
        loss=loss,
        corruption=Doubled(),
        penalties=L1(weight=0.3),
        early_stopping=early_stopping,
        linear_path=False,
    )
    shown = model._fit.units.to_network(
        torch.tensor(X.toarray() if sp.issparse(X) else X)
    )
    clean, module = shown.numpy(), model.module_
    codes = module.encode(2.0 * shown).detach().numpy()
    restored = module.decode(module.encode(2.0 * shown)).detach().numpy()
    nats = {
        "squared_error": lambda: 0.5 * (clean - restored) ** 2,
        "absolute_error": lambda: np.abs(clean - restored),
        "poisson": lambda: restored - clean * np.log(restored),
    }[loss]().sum(axis=1)
    train, valid = engine_train.split(model, X.shape[0], model._fit.seed, False)
    parts = {"train": slice(None) if train is None else train, "valid": valid}
    price = {"squared_error": 16.0, "absolute_error": 4.0}.get(loss, 1.0)
    for name, part in list(parts.items())[: 1 + early_stopping]:
        found = model.history_[f"{name}_reconstruction"][0]
        assert found == pytest.approx(nats[part].mean(), rel=1e-9)
        size = price * 0.3 * np.abs(codes[part]).sum(axis=1).mean()
        assert model.history_[f"{name}_l1"][0] == pytest.approx(size, rel=1e-9)


def test_penalties_are_of_the_code_that_is_decoded():
    """With dropout too: some hidden units were left out of it."""
    X = table()
    model = first_loss(
        X, penalties=L1(weight=0.3), dropout=0.5, linear_path=False, alpha=0.0
    )
    module, x = model.module_, model._fit.units.to_network(torch.tensor(X))
    terms = module.loss(Batch(x, x), torch.Generator().manual_seed(3))
    codes = module.encode(x, torch.Generator().manual_seed(3))
    size = 16.0 * 0.3 * codes.abs().sum(1).mean()
    torch.testing.assert_close(terms["l1"], size)
    assert not torch.isclose(module.loss(Batch(x, x))["l1"], size, rtol=1e-3)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("linear_path", [False, True])
def test_decay_is_of_the_networks_weights_alone(tied, linear_path):
    """Not of biases, nor of the linear path's own maps, though these were trained."""
    X, path = table(), linear_path and not tied
    model = Autoencoder(2, hidden_layer_sizes=(6,), alpha=0.1, linear_path=path)
    model.set_params(tied_weights=tied, max_iter=20, random_state=0).fit(X)
    named = dict(model.module_.named_parameters())
    own = [n for n in named if n.endswith("correction")]
    assert len(own) == 2 * path and all(named[n].abs().max() > 1e-4 for n in own)
    model.set_params(warm_start=True, learning_rate_init=1e-30, max_iter=1).fit(X)
    maps = [part for part in model.module_.modules() if isinstance(part, Dense)]
    assert len(maps) == (2 if tied else 4)  # of rows to codes, and back
    squares = sum(float(part.weight.detach().square().sum()) for part in maps)
    decay = model.history_["train_weight_decay"][-1]
    assert decay == pytest.approx(0.05 * squares, rel=1e-5)


# -- sparse rows -----------------------------------------------------------------


@unfinished
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson"])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_sparse_fit_is_the_dense_fit(loss, solver):
    """Of the same network, to rounding; the exact objective forms no dense row."""
    X = counts(60, 30)
    settings = {"standardize": False, "linear_path": False, "dtype": "float64"}
    settings |= {"activation": "tanh", "batch_size": 16, "max_iter": 10}
    settings |= {"hidden_layer_sizes": (8,), "random_state": 0}
    settings |= {"loss": loss, "solver": solver}
    models = [Autoencoder(3, **settings).fit(data) for data in (X, X.toarray())]
    np.testing.assert_allclose(*[m.loss_curve_ for m in models], rtol=1e-5)
    np.testing.assert_allclose(*[m.transform(X) for m in models], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(*[m.score_samples(X) for m in models], rtol=1e-5)


def test_sparse_fit_makes_nothing_dense(monkeypatch):
    """Neither the rows, nor their reconstructions, in fit, transform and score."""
    X = sp.random_array(
        (300, 2000), density=0.01, format="csr", rng=np.random.default_rng(0)
    )

    def refuse(*args, **kwargs):
        raise AssertionError("made dense")

    for owner in (sp.csr_array, sp.csr_matrix):
        for name in ("toarray", "todense"):
            monkeypatch.setattr(owner, name, refuse)
    monkeypatch.setattr(torch.Tensor, "to_dense", refuse)
    model = Autoencoder(2, max_iter=2, penalties=L1(), corruption=Masking()).fit(X)
    model.transform(X), model.score(X), model.partial_fit(X)
    with pytest.raises(AssertionError, match="made dense"):
        model.reconstruction_error(X, per_feature=True)


# -- data that comes in parts ----------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_learns_from_a_stream(solver):
    X = load_digits().data / 16
    model = Autoencoder(8, solver=solver, random_state=0)
    before = None
    for epoch in range(8):
        for first in range(0, 1000, 200):
            model.partial_fit(X[first : first + 200])
        before = model.score(X[:1000]) if epoch == 0 else before
    assert model.score(X[:1000]) > before
    assert model.n_iter_ == 40


def test_partial_fit_counts_on():
    X = table(120)  # with fewer, training begins anew
    model = Autoencoder(random_state=0).partial_fit(X).partial_fit(X)
    assert model.n_iter_ == 2 and len(model.loss_curve_) == 2
    assert model.loss_curve_[1] < model.loss_curve_[0]
    model.set_params(max_iter=3).fit(table())  # a fit begins anew
    assert model.n_iter_ == 3


@unfinished
def test_warm_start():
    X = table(100)
    cold = Autoencoder(max_iter=20, random_state=0, linear_path=False)
    warm = clone(cold).set_params(warm_start=True).fit(X)
    first = warm.loss_
    assert first == cold.fit(X).loss_
    warm.fit(X)
    assert warm.n_iter_ == 40 and warm.loss_ < first
    assert cold.fit(X).n_iter_ == 20 and cold.loss_ == first


@pytest.mark.parametrize("params", [{"n_components": 3}, {"hidden_layer_sizes": (9,)}])
def test_warm_start_with_another_architecture(params):
    model = Autoencoder(max_iter=2, warm_start=True, random_state=0).fit(table())
    codes = model.transform(table())
    with pytest.raises(ValueError, match="another architecture"):
        model.set_params(**params).fit(table())
    np.testing.assert_array_equal(model.transform(table()), codes)


@pytest.mark.parametrize("shuffle", [False, True])
def test_shuffle(shuffle):
    """Without it a fit is the same for the same rows in the same order, else not."""
    X = table(60)
    settings = {"shuffle": shuffle, "batch_size": 7, "max_iter": 2}
    settings |= {"dtype": "float64", "standardize": False, "hidden_layer_sizes": ()}
    model = Autoencoder(2, random_state=0, **settings)
    assert clone(model).fit(X).loss_ == clone(model).fit(X).loss_
    other = clone(model).set_params(shuffle=not shuffle).fit(X)
    assert clone(model).fit(X).loss_ != other.loss_


@unfinished
@pytest.mark.parametrize("hidden", [(), (8,)])
def test_lbfgs_draws_no_order(hidden):
    X = table(60)
    settings = {"hidden_layer_sizes": hidden, "solver": "lbfgs", "dtype": "float64"}
    settings |= {"activation": "tanh", "max_iter": 20, "random_state": 0}
    model = Autoencoder(2, **settings)
    first = clone(model).fit(X)
    np.testing.assert_array_equal(first.transform(X), clone(model).fit_transform(X))
    unshuffled = clone(model).set_params(shuffle=False, batch_size=7).fit(X)
    np.testing.assert_array_equal(first.transform(X), unshuffled.transform(X))
    assert (np.diff(first.loss_curve_) <= 1e-12).all()  # its line search sees to it


def test_bfloat16_trains_near_float32():
    """Weights and results stay float32; the loss is within the 8 bits of the format."""
    X = load_digits().data[:500]
    settings = {"random_state": 0, "max_iter": 10, "hidden_layer_sizes": (64,)}
    full = Autoencoder(8, **settings).fit(X)
    half = Autoencoder(8, dtype="bfloat16", **settings).fit(X)
    assert half.transform(X).dtype == np.float32
    assert {p.dtype for p in half.module_.parameters()} == {torch.float32}
    assert not np.array_equal(half.transform(X), full.transform(X))
    assert half.score(X) == pytest.approx(full.score(X), rel=0.05)


def test_memmap_is_read_by_the_batch(tmp_path, monkeypatch):
    X = load_digits().data
    np.save(tmp_path / "rows.npy", X)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    expected = Autoencoder(4, max_iter=2, random_state=0).fit(X)
    monkeypatch.setattr(engine_rows, "CACHE_BYTES", 0)
    model = Autoencoder(4, max_iter=2, random_state=0).fit(mapped)
    np.testing.assert_array_equal(model.transform(mapped), expected.transform(X))
    monkeypatch.setattr(pca_start, "CACHE_BYTES", 0)
    monkeypatch.setattr(pca_start, "SAMPLE_BYTES", 300 * 8 * 64)
    sampled = Autoencoder(4, max_iter=2, random_state=0).fit(mapped)
    assert sampled.score(X) == pytest.approx(expected.score(X), rel=0.3)


# -- sampling --------------------------------------------------------------------


def test_samples_look_like_the_data():
    X = load_iris().data
    model = Autoencoder(2, random_state=0).fit(X)
    draws = model.sample(2000, random_state=0)
    # three standard errors of the mean, by the smaller of the two sets
    slack = 3 * X.std(axis=0) / np.sqrt(len(X))
    assert (np.abs(draws.mean(axis=0) - X.mean(axis=0)) < slack).all()
    ratio = (
        np.linalg.eigvalsh(np.cov(draws.T))[-1] / np.linalg.eigvalsh(np.cov(X.T))[-1]
    )
    assert 0.7 < ratio < 1.4
    assert not np.array_equal(model.sample(5), model.sample(5))
    with pytest.raises(ValueError, match=r"'n_samples' parameter.*Got 0 instead"):
        model.sample(0)


# -- in scikit-learn -------------------------------------------------------------


TEXTS = [
    f"{subject} {verb} {thing}"
    for subject in ("the cat", "a dog", "one bird")
    for verb in ("sees", "eats", "likes")
    for thing in ("mice", "seeds", "bread", "")
]


@pytest.mark.parametrize("kind", ["array", "frame", "tf-idf"])
def test_takes_the_place_of_pca_in_a_pipeline(kind):
    """With no other change, whatever the rows are."""
    if kind == "tf-idf":
        X = np.array(TEXTS)
        y = np.array([i // 12 for i in range(36)])
        head = [TfidfVectorizer()]
    else:
        X, y = load_iris(return_X_y=True, as_frame=kind == "frame")
        head = [StandardScaler()]
    auto = Autoencoder(2, max_iter=20, random_state=0)
    tail = LogisticRegression()
    model = make_pipeline(*head, auto, tail).fit(X, y)
    assert model.score(X, y) > 0.6
    names = model[:-1].get_feature_names_out()
    assert list(names) == ["autoencoder0", "autoencoder1"]
    if kind == "frame":
        out = model[:-1].set_output(transform="pandas").fit(X, y).transform(X)
        assert list(out.columns) == list(names) and out.index.equals(X.index)
        assert isinstance(out, pd.DataFrame)
    scores = cross_val_score(make_pipeline(*head, clone(auto), tail), X, y, cv=3)
    assert np.isfinite(scores).all()


@pytest.mark.slow
def test_codes_serve_a_classifier_as_well_as_pcas():
    X, y = load_digits(return_X_y=True)
    steps = [
        make_pipeline(r, StandardScaler(), LogisticRegression(max_iter=500))
        for r in (PCA(6), Autoencoder(6, random_state=0))
    ]
    split = train_test_split(X, y, random_state=0)
    X_train, X_test, y_train, y_test = split
    pca, auto = (s.fit(X_train, y_train).score(X_test, y_test) for s in steps)
    assert auto > pca - 0.02


@pytest.mark.parametrize(
    ("load", "k"), [(load_digits, 8), (load_breast_cancer, 3), (load_wine, 2)]
)
def test_held_out_error_is_below_pcas(load, k):
    """The main job, on raw features and with no other argument."""
    X_train, X_test = train_test_split(load().data, random_state=0)
    model = Autoencoder(k, random_state=0).fit(X_train)
    assert -model.score(X_test) < pca_error(k, X_train, X_test)


@unfinished
def test_grid_search_needs_no_scoring():
    """Scores compare across penalties and noise levels: they are of the clean rows."""
    X = load_iris().data
    grid = {
        "penalties__weight": [0.0, 100.0],
        "corruption": [None, GaussianNoise(noise_level=3.0)],
    }
    model = Autoencoder(2, penalties=L2(), max_iter=30, random_state=0)
    model.set_params(linear_path=False)  # so that a penalty can spoil the code
    search = GridSearchCV(model, grid, cv=3).fit(X)
    assert search.best_params_ == {"penalties__weight": 0.0, "corruption": None}
    best = search.best_estimator_
    assert search.score(X) == best.score(X)
    assert search.transform(X).shape == (150, 2)
    assert model.penalties.weight == 1e-3  # the grid changed copies
    listed = Autoencoder(2, penalties=[("a", L1()), L2()], max_iter=3, random_state=0)
    grid = {"penalties__a__weight": [0.0, 1.0], "penalties__l2": [L2(), L1(weight=0.5)]}
    assert len(GridSearchCV(listed, grid, cv=2).fit(X).cv_results_["params"]) == 4


class Watch:
    """A callback of scikit-learn's that notes, and may stop."""

    def __init__(self, stop_after=None):
        self.stop_after, self.events, self.scores = stop_after, [], []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, **kwargs):
        self.events.append(("begin", context.task_name))

    def on_fit_task_end(
        self, estimator, context, *, X=None, fitted_estimator=None, **kwargs
    ):
        self.events.append(("end", context.task_name))
        if context.task_name == "epoch" and fitted_estimator is not None:
            self.scores.append(fitted_estimator.score(X))
            assert fitted_estimator.transform(X).shape == (len(X), 2)
        return self.stop_after is not None and len(self.scores) >= self.stop_after


def test_scikit_learns_callbacks_hear_of_each_epoch():
    X = table(60)
    watch = Watch()
    model = Autoencoder(2, max_iter=4, random_state=0).set_callbacks(watch).fit(X)
    epochs = [e for e in watch.events if e[1] == "epoch"]
    assert epochs == [("begin", "epoch"), ("end", "epoch")] * 4
    assert watch.events[0] == "setup" and watch.events[-1] == "teardown"
    assert len(watch.scores) == 4 and len(set(watch.scores)) == 4
    assert watch.scores[-1] == pytest.approx(model.score(X), rel=1e-6)
    plain = Autoencoder(2, max_iter=4, random_state=0).fit(X)
    np.testing.assert_array_equal(model.transform(X), plain.transform(X))


def test_scikit_learns_callbacks_can_stop():
    model = Autoencoder(2, max_iter=9, random_state=0).set_callbacks(Watch(3))
    assert model.fit(table()).n_iter_ == 3
    assert np.isfinite(model.transform(table())).all()


def test_scikit_learns_callbacks_are_torn_down_after_an_error():
    watch = Watch()
    model = Autoencoder(2, max_iter=3, learning_rate_init=1e30).set_callbacks(watch)
    with pytest.raises(ValueError, match="non-finite"):
        model.fit(table())
    assert watch.events[-1] == "teardown"
    watch.events.clear()
    model.set_params(learning_rate_init=1e-3).fit(table())
    assert watch.events.count("teardown") == 1


@pytest.mark.parametrize("where", ["alone", "pipeline", "search"])
def test_progress_bar(where, capsys):
    model = Autoencoder(2, max_iter=3, random_state=0)
    outer = {
        "alone": lambda: model,
        "pipeline": lambda: make_pipeline(StandardScaler(), model),
        "search": lambda: GridSearchCV(model, {"alpha": [0.0, 0.1]}, cv=2),
    }[where]()
    outer.set_callbacks(ProgressBar())
    outer.fit(table())
    printed = capsys.readouterr().out
    assert "Autoencoder" in printed and "100%" in printed


def test_scoring_monitor():
    X = table()
    scores = {"score": lambda estimator, X, y: estimator.score(X)}
    monitor = ScoringMonitor(scoring=scores)
    model = Autoencoder(2, max_iter=4, random_state=0).set_callbacks(monitor)
    model.fit(X, np.zeros(len(X)))
    rows = [r for r in monitor.get_logs().data if r["task_name"] == "epoch"]
    assert [r["task_id"] for r in rows] == [0, 1, 2, 3]
    assert rows[-1]["score"] == pytest.approx(model.score(X), rel=1e-6)
