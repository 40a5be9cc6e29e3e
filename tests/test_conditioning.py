"""What networks know of the rows before training; what weights of penalties mean."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from sklearn_ae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    GaussianNoise,
    KLSparsity,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from sklearn_ae.engine.columns import Columns, medians
from sklearn_ae.engine.rows import Rows
from sklearn_ae.engine.units import Units
from sklearn_ae.parts.activations import ACTIVATIONS, inverse
from sklearn_ae.parts.jacobian import Encoding
from sklearn_ae.parts.layers import DataDense, Preconditioner
from sklearn_ae.parts.networks import MLPDecoder, TiedDecoder

STILL = {"learning_rate_init": 1e-12, "max_iter": 1, "dtype": "float64"}


@pytest.fixture(scope="module")
def digits():
    return load_digits().data


def table(n=50, seed=0):
    """Return rows with a gap, a constant column, and columns of many scales."""
    X = np.random.default_rng(seed).normal(size=(n, 5)) * [1, 1e-4, 1e4, 0, 1] + 3.0
    X[4, 0] = np.nan
    return X


# -- columns -----------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 7, 3000])
def test_columns_of_dense_rows(n, monkeypatch):
    X = table(max(n, 5))[:n] if n > 4 else table()[:n]
    monkeypatch.setattr("sklearn_ae.engine.inputs.CHUNK_NUMBERS", 5 * 40)
    rows = Rows(X, Units(), torch.float64, has_missing=True)
    found = Columns.of(rows)
    np.testing.assert_allclose(found.mean, np.nanmean(X, axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.spread, np.nanstd(X, axis=0), rtol=1e-7)
    np.testing.assert_allclose(found.lowest, np.nanmin(X, axis=0))
    far = np.nanmax(np.abs(X - np.nanmean(X, axis=0)), axis=0)
    np.testing.assert_allclose(found.farthest, far, rtol=1e-7, atol=1e-12)
    middle = np.nanquantile(X, 0.5, axis=0, method="lower")
    np.testing.assert_array_equal(medians(rows), middle)


@pytest.mark.parametrize("density", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("n", [40, 41])
def test_columns_of_sparse_rows_are_about_zero(density, n):
    X = sp.random_array((n, 6), density=density, rng=0, format="csr")
    X.data -= 0.4
    rows, dense = Rows(X, Units(), torch.float64), X.toarray()
    found = Columns.of(rows)
    np.testing.assert_allclose(found.mean, dense.mean(axis=0), atol=1e-12)
    root = np.sqrt(np.square(dense).mean(axis=0))
    np.testing.assert_allclose(found.spread, root, atol=1e-12)
    middle = np.quantile(dense, 0.5, axis=0, method="lower")
    np.testing.assert_allclose(medians(rows), middle, atol=1e-15)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"gelu", "softmax"}))
def test_inverse(name):
    a = torch.linspace(0.1, 3.0, 7, dtype=torch.float64)
    torch.testing.assert_close(inverse(name, ACTIVATIONS[name](a)), a)
    beyond = inverse(name, torch.tensor([-9.0, 0.0, 1.0, 9.0]))
    assert bool(beyond.isfinite().all())


# -- preconditioners ----------------------------------------------------------------


def test_preconditioned_layers_are_affine_maps():
    generator = torch.Generator().manual_seed(0)
    scale, constant = torch.rand(2, 5, generator=generator, dtype=torch.float64) + 0.5
    for encodes, sizes in ((True, (5, 3)), (False, (3, 5))):
        layer = DataDense(*sizes, generator, torch.float64, encodes=encodes)
        x = torch.randn(4, sizes[0], generator=generator, dtype=torch.float64)
        torch.testing.assert_close(layer(x), x @ layer.weight.T + layer.bias)
        layer.each.set(scale, torch.zeros(5) if encodes else constant)
        weight, bias = layer.affine()
        torch.testing.assert_close(layer(x), x @ weight.T + bias)
        by_hand = layer.kernel * scale[:, None]
        torch.testing.assert_close(weight, by_hand.T if encodes else by_hand)


def test_preconditioner_reads_what_is_loaded():
    one, other = Preconditioner(3, torch.float64), Preconditioner(3, torch.float64)
    x = torch.full((1, 3), 10.0, dtype=torch.float64)
    assert torch.equal(one(x), x) and torch.equal(other(x), x)
    scale = torch.tensor([1.0, 2.0, 0.1], dtype=torch.float64)
    other.set(scale, torch.zeros(3), reach=15.0)
    one.load_state_dict(other.state_dict())
    assert one(x).tolist() == [[10.0, 15.0, 1.0]]


def test_tied_weights_are_tied_in_the_units_of_the_rows():
    """Whatever the scales, x̂ = Aᵀ A x: no oblique projection."""
    X = np.nan_to_num(table(), nan=3.0)
    model = Autoencoder(2, hidden_layer_sizes=(), tied_weights=True, linear_path=False)
    model.set_params(max_iter=30, random_state=0, dtype="float64").fit(X)
    assert isinstance(model.module_.decoder, TiedDecoder)
    encoder = model.module_.encoder.weights()[0]
    decoder, _ = model.module_.decoder.readout()
    torch.testing.assert_close(decoder, encoder.T)
    assert model.module_.encoder.facing.each.scale.unique().numel() > 1


# -- where training starts ------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "constant"),
    [
        ("squared_error", np.mean),
        ("absolute_error", np.median),
        ("log_loss", np.mean),
        ("poisson", np.mean),
    ],
)
@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_training_starts_at_the_best_constant(loss, constant, container, digits):
    X = digits[:200, 20:30] / (16 if loss == "log_loss" else 1)
    model = Autoencoder(2, loss=loss, linear_path=False, random_state=0, **STILL)
    restored = model.fit(container(X)).reconstruct(X)
    expected = np.tile(constant(X, axis=0), (len(X), 1))
    assert (np.abs(restored - expected) < 0.05 * X.std(axis=0) + 0.02).all()


@pytest.mark.parametrize("output", ["sigmoid", "tanh", "relu", "softplus", "gelu"])
def test_bounded_outputs_reach_the_data(output):
    X = load_wine().data
    settings = {"output_activation": output, "max_iter": 150, "random_state": 0}
    model = Autoencoder(6, linear_path=False, **settings).fit(X)
    error = np.square(X - model.reconstruct(X)).mean(axis=0) / X.var(axis=0)
    assert error.max() < 1.05 and error[12] < 0.1  # proline, of the largest variance


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
@pytest.mark.parametrize("kind", [Autoencoder, SparseAutoencoder])
def test_shares_cannot_be_centred_rows(kind, loss):
    settings = {"output_activation": "softmax", "loss": loss, "max_iter": 2}
    model = kind(4, **settings)
    X = np.random.default_rng(0).dirichlet(np.ones(5), 30)
    with pytest.raises(ValueError, match=r"softmax.*standardize=True.*multinomial"):
        model.fit(X)
    assert model.set_params(standardize=False).fit(X).reconstruct(X).sum() > 0


@pytest.mark.parametrize("params", [{}, {"tied_weights": True}, {"solver": "lbfgs"}])
@pytest.mark.parametrize("scaled", [False, True])
def test_linear_layers_stay_at_pca(params, scaled):
    X, k = load_wine().data, 4
    X = StandardScaler().fit_transform(X) if scaled else X
    pca = PCA(k).fit(X)
    lost = np.square(X - pca.inverse_transform(pca.transform(X))).mean()
    model = Autoencoder(k, hidden_layer_sizes=(), random_state=0, **params).fit(X)
    assert -model.score(X) < 1.05 * lost


def test_linear_gaussian_denoiser_starts_at_its_closed_form():
    """★ W = Σ (Σ + σ²I)⁻¹, before the first step."""
    X = np.random.default_rng(0).normal(size=(300, 4)) @ np.diag([3, 2, 1, 0.5])
    model = DenoisingAutoencoder(4, hidden_layer_sizes=(), noise_level=0.4, **STILL)
    model.set_params(random_state=0).fit(X)
    covariance = np.cov(X.T, bias=True)
    noise = 0.4**2 * X.var(axis=0).mean() * np.eye(4)
    best = covariance @ np.linalg.inv(covariance + noise)
    encoder = model.module_.encoder.weights()[0].detach().numpy()
    decoder = model.module_.decoder.readout()[0].detach().numpy()
    np.testing.assert_allclose(decoder @ encoder, best, atol=1e-5)


# -- held-out rows ----------------------------------------------------------------


def test_held_out_rows_of_a_denoiser_are_noisy(digits):
    """Of clean ones the identity would be best, and be kept."""
    noise = np.random.default_rng(0).normal(size=digits.shape)
    noise *= np.sqrt(digits.var(axis=0).mean())
    model = Autoencoder(64, corruption=GaussianNoise(noise_level=1.0), max_iter=20)
    model.set_params(early_stopping=True, random_state=0).fit(digits)
    left = np.square(model.reconstruct(digits + noise) - digits).mean()
    assert left < 0.5 * np.square(noise).mean()
    again = clone(model).fit(digits)
    assert again.validation_loss_curve_ == model.validation_loss_curve_


# -- penalties --------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1 / 16, 1.0, 1000.0, "standardised"])
def test_sparsity_that_is_asked_for_is_reached(scale, digits):
    X = StandardScaler().fit_transform(digits) if isinstance(scale, str) else digits
    X = X if isinstance(scale, str) else X * scale
    model = SparseAutoencoder(40, max_iter=60, random_state=0).fit(X)
    assert np.abs(model.mean_activation_ - 0.05).max() < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1 / 16, 100.0])
def test_ten_times_the_contraction_at_least_halves_the_jacobian(scale, digits):
    X = digits[::3] * scale
    model = ContractiveAutoencoder(20, max_iter=100, random_state=0)
    norms = [
        clone(model).set_params(contraction=c).fit(X).jacobian_norm(X).mean()
        for c in (0.0, 0.02, 0.2)
    ]
    assert norms[0] > 1.1 * norms[1] and norms[2] < 0.5 * norms[1]


def test_kl_has_a_gradient_where_units_are_saturated():
    before = torch.full((8, 3), 40.0, dtype=torch.float32, requires_grad=True)
    z = torch.sigmoid(before)
    encoder = Encoding(torch.sigmoid, lambda: None, None, before)
    numbers = {"sparsity": torch.tensor(0.05), "weight": torch.tensor(3.0)}
    KLSparsity.term(before, z, encoder, **numbers).backward()
    # β (1 − ρ) / m: d/da of −(1 − ρ) log σ(−a), whatever a is
    torch.testing.assert_close(before.grad, torch.full((8, 3), 3.0 * 0.95 / 8))


def test_linear_vae_is_near_probabilistic_pca():
    X = StandardScaler().fit_transform(load_wine().data)
    model = VariationalAutoencoder(3, hidden_layer_sizes=(), random_state=0).fit(X)
    assert model.score(X) > PCA(3).fit(X).score(X) - 1.0


def test_decoders_start_small():
    generator = torch.Generator().manual_seed(0)
    decoder = MLPDecoder([3, 8, 5], "gelu", 0.0, generator, torch.float64)
    constant = torch.arange(5.0, dtype=torch.float64)
    decoder.speak(torch.ones(5), constant)
    z = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    assert float((decoder(z) - constant).detach().abs().max()) < 0.1
