"""Sparse autoencoders: the penalty's mathematics, and what it does to a code."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split

from sklearn_ae import Autoencoder, KLSparsity, SparseAutoencoder
from sklearn_ae.parts.jacobian import Encoding

RHO = torch.tensor(0.1, dtype=torch.float64)
BETA = torch.tensor(3.0, dtype=torch.float64)


def kl(z, rho=RHO, beta=BETA):
    return KLSparsity.term(
        None, z, Encoding(None, None, None), sparsity=rho, weight=beta
    )


def codes(n=50, k=4, seed=0):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.uniform(0.02, 0.6, size=(n, k)))


# -- the penalty -----------------------------------------------------------------


def test_kl_is_what_the_paper_writes():
    z = codes()
    m = z.mean(0)
    by_hand = RHO * torch.log(RHO / m) + (1 - RHO) * torch.log((1 - RHO) / (1 - m))
    torch.testing.assert_close(kl(z), BETA * by_hand.sum(), rtol=1e-12, atol=0)


def test_kl_is_zero_only_where_the_mean_is_rho():
    """★ KL ≥ 0, and 0 where ρ̂ = ρ."""
    same = torch.full((10, 3), 0.1, dtype=torch.float64)
    assert abs(float(kl(same))) < 1e-14
    uneven = torch.tensor([[0.05], [0.15]], dtype=torch.float64)  # mean ρ all the same
    assert abs(float(kl(uneven))) < 1e-14
    for mean in (0.001, 0.05, 0.0999, 0.1001, 0.2, 0.5, 0.999):
        assert float(kl(torch.full((10, 1), mean, dtype=torch.float64))) > 0


def test_gradient_into_the_pre_activation():
    """★ β (−ρ/ρ̂ + (1 − ρ)/(1 − ρ̂)) f′(a) / m, the paper's."""
    a = torch.logit(codes()).requires_grad_()
    z = torch.sigmoid(a)
    kl(z).backward()
    m = z.detach().mean(0)
    slope = (z * (1 - z)).detach()
    expected = BETA * (-RHO / m + (1 - RHO) / (1 - m)) * slope / len(a)
    torch.testing.assert_close(a.grad, expected, rtol=1e-10, atol=1e-14)


def test_gradcheck():
    a = torch.logit(codes(6, 3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: kl(torch.sigmoid(a), b), (a, RHO))


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_finite_where_units_are_saturated(mean):
    z = torch.full((5, 2), mean, requires_grad=True)
    term = kl(z, RHO.float(), BETA.float())
    term.backward()
    assert torch.isfinite(term) and torch.isfinite(z.grad).all()


def test_small_batches_overestimate_it():
    """KL is convex in ρ̂: the mean over batches is at least that of all rows."""
    z = codes(60)
    parts = torch.stack([kl(part) for part in z.split(5)]).mean()
    assert float(parts) > float(kl(z))


# -- the estimator ---------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.05, 0.2])
def test_units_are_active_as_often_as_asked_for(rho):
    """★ |mean ρ̂ − ρ| < 0.02, for every unit; on a code larger than the rows."""
    X = load_digits().data
    model = SparseAutoencoder(
        100, sparsity=rho, max_iter=60, learning_rate_init=0.01, random_state=0
    ).fit(X)
    assert np.abs(model.mean_activation_ - rho).max() < 0.02
    expected = model.transform(X).mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(model.mean_activation_, expected, rtol=1e-6)


@pytest.mark.parametrize("factor", [1, 16])
def test_units_live_under_the_default_l1_penalty(factor):
    X = load_digits().data[:600] * factor
    model = SparseAutoencoder(32, penalty="l1", max_iter=100, random_state=0).fit(X)
    codes = model.transform(X)
    assert (codes.max(axis=0) > 0).mean() > 0.9 and (codes > 0).mean() < 0.7


def test_mean_activation_is_that_of_all_rows(monkeypatch):
    """In however many chunks they are read, and of the rows of the last call alone."""
    monkeypatch.setattr("sklearn_ae.engine.inputs.CHUNK_NUMBERS", 1)
    X = load_digits().data[:150]
    X = X[np.argsort(X.sum(axis=1))]  # no chunk is as another
    model = SparseAutoencoder(6, max_iter=2, random_state=0).fit(X)
    expected = model.transform(X).mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(model.mean_activation_, expected, rtol=1e-6)
    model.partial_fit(X[:70])
    expected = model.transform(X[:70]).mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(model.mean_activation_, expected, rtol=1e-6)


def test_full_batches_with_lbfgs():
    """Where ρ̂ is that of all rows, training is deterministic."""
    X = load_digits().data[:400]
    settings = {"sparsity_weight": 10.0, "solver": "lbfgs", "max_iter": 60}
    models = []
    for _ in range(2):
        model = SparseAutoencoder(30, dtype="float64", random_state=0, **settings)
        with pytest.warns(ConvergenceWarning, match="max_iter"):
            models.append(model.fit(X))
    assert np.abs(models[0].mean_activation_ - 0.05).max() < 0.02
    np.testing.assert_array_equal(*(model.transform(X) for model in models))


def test_history_holds_the_penalty_of_the_training_rows():
    X = load_digits().data[:300]
    model = SparseAutoencoder(10, batch_size=300, max_iter=3, random_state=0)
    model.set_params(dtype="float64").fit(X)
    model.set_params(warm_start=True, max_iter=1, learning_rate_init=1e-12).fit(X)
    m = model.mean_activation_
    by_hand = 0.05 * np.log(0.05 / m) + 0.95 * np.log(0.95 / (1 - m))
    # standardised rows have 16 times the variance that weights are meant for
    expected = 16.0 * 3.0 * by_hand.sum()
    assert model.history_["train_sparsity"][-1] == pytest.approx(expected)


@pytest.mark.parametrize("code", ["identity", "relu", "tanh", "softplus", "gelu"])
def test_kl_needs_a_code_between_zero_and_one(code, X):
    for model, name in (
        (SparseAutoencoder(code_activation=code), "penalty='kl'"),
        (Autoencoder(code_activation=code, penalties=KLSparsity()), "KLSparsity"),
    ):
        message = rf"{name} needs code_activation='sigmoid'.*'{code}'"
        with pytest.raises(ValueError, match=message):
            model.fit(X)
        assert not hasattr(model, "n_features_in_")
    SparseAutoencoder(code_activation=code, penalty="l1", max_iter=2).fit(X)


def test_l1_along_the_linear_path(X):
    model = SparseAutoencoder(
        penalty="l1",
        code_activation="identity",
        hidden_layer_sizes=(6,),
        linear_path=True,
        max_iter=2,
    )
    assert np.isfinite(model.fit(X).transform(X)).all()


def test_penalties_choose_their_code(X):
    kinds = {"kl": "sigmoid", "l1": "relu"}
    for penalty, code in kinds.items():
        model = SparseAutoencoder(penalty=penalty, max_iter=2).fit(X)
        assert model.module_.code_activation == code


def test_weight_zero_is_the_plain_autoencoder(X):
    sparse = SparseAutoencoder(
        3, sparsity_weight=0.0, sparsity=0.5, max_iter=5, alpha=0.0, random_state=0
    )
    sparse.set_params(learning_rate_init=3e-3).fit(X)
    plain = Autoencoder(
        3,
        hidden_layer_sizes=(),
        code_activation="sigmoid",
        max_iter=5,
        random_state=0,
    ).fit(X)
    np.testing.assert_allclose(sparse.transform(X), plain.transform(X), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("penalty", ["kl", "l1"])
def test_overcomplete_codes_do_not_copy(penalty):
    """★ Without a penalty a large code may learn the identity, and restores noise too;
    with one the code is sparse and noise is restored badly."""
    X = load_digits().data
    rng = np.random.default_rng(0)
    noise = rng.permuted(X, axis=0)  # each pixel's own values, without their relations
    settings = {"max_iter": 60, "random_state": 0, "learning_rate_init": 0.01}

    def error_of_noise(weight):
        model = SparseAutoencoder(128, penalty=penalty, sparsity_weight=weight)
        model.set_params(**settings).fit(X)
        return -model.score(noise), (model.transform(X) < 0.05).mean()

    (error_free, idle_free), (error_sparse, idle_sparse) = map(
        error_of_noise, (0.0, 0.3 if penalty == "kl" else 0.06)
    )
    assert error_free < 0.1 * noise.var() and error_sparse > 1.8 * error_free
    assert idle_sparse > 0.7 > 0.4 > idle_free


def test_grid_search_over_sparsity_without_scoring():
    X, _ = train_test_split(load_digits().data, train_size=300, random_state=0)
    grid = {"sparsity": [0.05, 0.3], "penalty": ["kl", "l1"]}
    search = GridSearchCV(SparseAutoencoder(20, max_iter=5, random_state=0), grid, cv=2)
    search.fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert hasattr(search.best_estimator_, "mean_activation_")
