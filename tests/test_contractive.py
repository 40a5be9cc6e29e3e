"""Contractive autoencoders: the Jacobian in closed form, and what the penalty does."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from estimators import SINGLE, counts, differences, fit, near
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from sklearn_ae import Autoencoder, Contraction, ContractiveAutoencoder
from sklearn_ae.engine.rows import Batch
from sklearn_ae.parts.activations import ACTIVATIONS, slope, slope_at_output
from sklearn_ae.parts.jacobian import (
    Encoding,
    chain_norm,
    estimated_norm,
    exact_norm,
    squared_jacobian_norm,
)
from sklearn_ae.parts.layers import linear
from sklearn_ae.parts.networks import MLPEncoder

unfinished = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
# but for another name of one, and for outputs
OTHERS = ("logistic", "exp", "softmax")
ELEMENTWISE = [name for name in ACTIVATIONS if name not in OTHERS]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(n=6, d=5, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=(n, d)))


def encoder(sizes, hidden, code, seed=1):
    """Return the function and the layers of a network with biases that are not zero."""
    network = MLPEncoder(sizes, hidden, 0.0, generator(seed), torch.float64)
    for layer in network.layers:
        layer.bias.data.normal_(generator=generator(seed + 1))
    *inner, (weight, bias, _) = network.chain()
    layers = [*inner, (weight, bias, code)]
    return lambda x: ACTIVATIONS[code](network(x)), layers


def autograd_norm(encode, x):
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: encode(row[None])[0]))(x)
    return jacobian.square().sum((1, 2))


# -- the Jacobian ----------------------------------------------------------------


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_slopes(name):
    a = torch.linspace(-3, 3, 31, dtype=torch.float64, requires_grad=True) + 0.01
    h = ACTIVATIONS[name](a)
    (expected,) = torch.autograd.grad(h.sum(), a)
    torch.testing.assert_close(slope(name, a), expected, rtol=1e-12, atol=1e-14)
    at_output = slope_at_output(name, h)
    if name != "gelu":  # which is not monotone
        torch.testing.assert_close(at_output, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("code", ELEMENTWISE)
@pytest.mark.parametrize("hidden", [(), (7,), (7, 4), (9, 6, 4)])
@pytest.mark.parametrize("activation", ["sigmoid", "gelu"])
def test_closed_form_is_the_jacobian_of_autograd(code, hidden, activation):
    """★ To 1e-10, for any depth; and so is the general way by backward passes."""
    encode, layers = encoder([5, *hidden, 3], activation, code)
    x = rows()
    expected = autograd_norm(encode, x)
    torch.testing.assert_close(
        chain_norm(x, encode(x), layers), expected, rtol=1e-10, atol=1e-12
    )
    torch.testing.assert_close(exact_norm(x, encode), expected, rtol=1e-10, atol=1e-12)


def test_the_papers_formula():
    """★ Σ_j [h_j (1 − h_j)]² Σ_i W_ji² for one sigmoid layer."""
    encode, layers = encoder([5, 3], "identity", "sigmoid")
    x = rows()
    h, weight = encode(x), layers[0][0]
    by_hand = (h * (1 - h)).square() @ weight.square().sum(1)
    torch.testing.assert_close(chain_norm(x, h, layers), by_hand, rtol=1e-12, atol=0)


def test_linear_encoder_has_the_norm_of_its_weights():
    """★ ‖W‖²_F, at every row."""
    encode, layers = encoder([5, 3], "identity", "identity")
    norms = chain_norm(rows(), encode(rows()), layers)
    expected = layers[0][0].square().sum().expand(len(norms))
    torch.testing.assert_close(norms, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("hidden", [(), (4,)])
def test_gradcheck(hidden):
    _, layers = encoder([4, *hidden, 2], "tanh", "sigmoid")
    x = rows(3, 4)
    values = [t.detach().requires_grad_() for layer in layers for t in layer[:2]]
    names = [name for _, _, name in layers]

    def total(*values):
        chain = list(zip(values[::2], values[1::2], names, strict=True))
        h = x
        for weight, bias, name in chain:
            h = ACTIVATIONS[name](linear(h, weight, bias))
        return chain_norm(x, h, chain).sum()

    assert torch.autograd.gradcheck(total, values)


def test_sparse_rows():
    encode, layers = encoder([5, 4, 3], "tanh", "sigmoid")
    x = rows() * (rows(seed=3) > 0)
    csr = x.to_sparse_csr()
    expected = chain_norm(x, encode(x), layers)
    torch.testing.assert_close(chain_norm(csr, encode(csr), layers), expected)
    torch.testing.assert_close(exact_norm(csr, encode), expected)


def test_hutchinson_is_unbiased():
    """Within four standard errors of the exact norm, row by row."""
    encode, layers = encoder([5, 6, 4], "tanh", "sigmoid")
    x = rows()
    g = generator()
    draws = torch.stack([estimated_norm(x, encode, g) for _ in range(2000)]).detach()
    error = draws.std(0) / len(draws) ** 0.5
    apart = (draws.mean(0) - chain_norm(x, encode(x), layers)).abs()
    assert bool((apart < 4 * error).all())


def test_available_where_gradients_are_off():
    """As in a validation pass, and in inference."""
    encode, _ = encoder([5, 3], "identity", "sigmoid")
    expected = exact_norm(rows(), encode).detach()
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            norm = squared_jacobian_norm(
                rows(), encode(rows()), Encoding(encode, lambda: None, None)
            )
        torch.testing.assert_close(norm.detach(), expected)


def module_and_batch(X, jacobian="exact", **params):
    """Return a module with a contraction of 1, untrained, and all rows as a batch."""
    still = {"solver": "sgd", "learning_rate_init": 1e-300, "max_iter": 1}
    penalty = Contraction(weight=1.0, jacobian=jacobian)
    model = Autoencoder(3, penalties=penalty, random_state=0, **still, **params)
    model.set_params(dtype="float64").fit(X)
    x = torch.tensor((X - model._fit.units.shift) / model._fit.units.scale)
    return model.module_, Batch(x, x)


@pytest.mark.parametrize("hidden", [(8,), (8, 5)])
@pytest.mark.parametrize("code", ["sigmoid", "tanh"])
def test_dropout_leaves_the_jacobian_alone(hidden, code, X):
    """It is that of the encoder that rows are encoded with; and the restored rows, and
    other penalties, are of the code that was left."""
    settings = {"hidden_layer_sizes": hidden, "code_activation": code}
    settings |= {"linear_path": False, "dropout": 0.5}
    module, batch = module_and_batch(X, **settings)
    whole = module.loss(batch)
    for seed in range(3):
        dropped = module.loss(batch, generator(seed))
        torch.testing.assert_close(dropped["contraction"], whole["contraction"])
        assert dropped["reconstruction"] != whole["reconstruction"]
        assert (
            dropped["reconstruction"]
            != module.loss(batch, generator(9))["reconstruction"]
        )


@pytest.mark.parametrize("hidden", [(), (8,)])
def test_hutchinsons_estimate_is_for_training_alone(hidden, X):
    """A step draws it, from its own generator; what is judged is exact."""
    settings = {"linear_path": False, "hidden_layer_sizes": hidden}
    estimated, batch = module_and_batch(X, jacobian="hutchinson", **settings)
    exact, _ = module_and_batch(X, **settings)
    expected = exact.loss(batch)["contraction"]
    torch.testing.assert_close(estimated.loss(batch)["contraction"], expected)
    torch.testing.assert_close(exact.loss(batch, generator())["contraction"], expected)
    factor = float(estimated.unit) ** 4  # nats of rows that vary by ¼, and their units
    terms = []
    for seed in range(200):
        term = estimated.loss(batch, generator(seed))["contraction"].detach()
        if seed < 3:
            direct = estimated_norm(batch.x, estimated.encode, generator(seed)).mean()
            torch.testing.assert_close(term, factor * direct.detach())
        terms.append(float(term))
    assert len(set(terms)) > 100  # of three signs there are few
    error = np.std(terms) / np.sqrt(200)
    assert abs(np.mean(terms) - float(expected.detach())) < 4 * error


# -- the estimator ---------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    return load_digits().data[:600]


def test_jacobian_norm_is_that_of_transform(X):
    """In the units of X: against finite differences of `transform`."""
    model = ContractiveAutoencoder(3, max_iter=20, dtype="float64", random_state=0)
    model.fit(X)
    np.testing.assert_allclose(
        model.jacobian_norm(X), differences(model, X, 1e-5), rtol=1e-6
    )


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"linear_path": False},
        {"hidden_layer_sizes": (), "code_activation": "tanh"},
        {"linear_path": False, "tied_weights": True},
    ],
)
def test_jacobian_norm_of_any_autoencoder(params, X):
    model = Autoencoder(2, max_iter=3, dtype="float64", random_state=0, **params)
    model.fit(X)

    def encode(x):
        return model.module_.encode(x)

    z = torch.tensor((X - model._fit.units.shift) / model._fit.units.scale)
    expected = exact_norm(z, encode).detach().sqrt().numpy() / model._fit.units.scale
    np.testing.assert_allclose(model.jacobian_norm(X), expected, rtol=1e-8)
    sparse = sp.csr_array(X)
    np.testing.assert_allclose(model.jacobian_norm(sparse), expected, rtol=1e-8)


WITH_JACOBIAN = {
    name: model
    for name, model in SINGLE.items()
    if hasattr(model, "jacobian_norm") and model._accept_sparse
}


@unfinished
@pytest.mark.parametrize("name", WITH_JACOBIAN)
def test_jacobian_norm_of_sparse_rows_is_that_of_dense_ones(name):
    X = counts(24, 5)
    model = fit(clone(WITH_JACOBIAN[name]).set_params(random_state=0), X)
    near(model.jacobian_norm(X), model.jacobian_norm(X.toarray()))


@unfinished
def test_objective_is_the_sum_that_the_paper_writes(X):
    """The recorded term is λ times the mean squared norm, for rows that vary by ¼.

    Those of the network vary by 1: its nats are 16 of these, and so are its squares.
    """
    model = ContractiveAutoencoder(
        3,
        contraction=0.002,
        max_iter=5,
        solver="lbfgs",
        dtype="float64",
        random_state=0,
    ).fit(X)
    model.set_params(warm_start=True, max_iter=1).fit(X)
    before = model.history_["train_contraction"][-1]  # at the start of the last step
    assert before > 0
    norms = model.jacobian_norm(X) * model._fit.units.scale
    by_hand = 16 * 0.002 * 16 * np.square(norms).mean()
    assert by_hand == pytest.approx(before, rel=0.2)


@unfinished
def test_deterministic_with_lbfgs(digits):
    """★ And the more contraction, the smaller the Jacobian."""

    def fit(contraction):
        return ContractiveAutoencoder(
            16,
            contraction=contraction,
            solver="lbfgs",
            max_iter=60,
            dtype="float64",
            random_state=0,
        ).fit(digits)

    first, second = fit(0.004), fit(0.004)
    np.testing.assert_array_equal(first.transform(digits), second.transform(digits))
    assert np.all(np.diff(first.loss_curve_) <= 1e-9)
    norms = [fit(c).jacobian_norm(digits).mean() for c in (0.0, 0.004, 0.04)]
    assert norms[0] > 1.05 * norms[1] > 1.2 * norms[2]


def test_weight_zero_is_the_plain_autoencoder(X):
    contractive = ContractiveAutoencoder(
        3, contraction=0.0, max_iter=5, learning_rate_init=3e-3, random_state=0
    ).fit(X)
    plain = Autoencoder(
        3,
        hidden_layer_sizes=(),
        code_activation="sigmoid",
        tied_weights=True,
        max_iter=5,
        random_state=0,
    ).fit(X)
    np.testing.assert_allclose(contractive.transform(X), plain.transform(X), rtol=1e-6)


def test_hutchinson_trains_to_the_same_contraction(digits):
    norms = {}
    for jacobian in ("exact", "hutchinson"):
        model = ContractiveAutoencoder(
            16,
            contraction=10.0,
            jacobian=jacobian,
            hidden_layer_sizes=(32,),
            activation="tanh",
            tied_weights=False,
            max_iter=60,
            random_state=0,
        ).fit(digits)
        norms[jacobian] = model.jacobian_norm(digits).mean()
    assert norms["hutchinson"] == pytest.approx(norms["exact"], rel=0.1)


@pytest.mark.parametrize("jacobian", ["exact", "hutchinson"])
def test_early_stopping(jacobian, X):
    """A validation pass, without gradients, has the term as well."""
    model = ContractiveAutoencoder(
        2, jacobian=jacobian, early_stopping=True, max_iter=4, random_state=0
    ).fit(X)
    assert (model.history_["valid_contraction"] > 0).all()


def test_contraction_along_the_linear_path(X):
    """Which is no chain of layers: by backward passes."""
    free, contracted = (
        Autoencoder(2, penalties=Contraction(weight=w), max_iter=30, random_state=0)
        .fit(X)
        .jacobian_norm(X)
        .mean()
        for w in (0.0, 100.0)
    )
    assert contracted < 0.9 * free


def test_grid_search_over_contraction_without_scoring(digits):
    grid = {"contraction": [0.0, 1.0]}
    model = ContractiveAutoencoder(8, max_iter=5, random_state=0)
    search = GridSearchCV(model, grid, cv=2).fit(digits)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
