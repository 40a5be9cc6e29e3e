"""Objectives: each against its formula, another's implementation, and its gradient."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import xlogy
from scipy.stats import bernoulli, laplace, multinomial, norm, poisson
from sklearn.metrics import log_loss, mean_poisson_deviance

from sklearn_ae.parts.reconstruction import RECONSTRUCTIONS
from sklearn_ae.parts.sparse import (
    column_sums,
    row_sums,
    sparse_multinomial_error,
    sparse_squared_error,
    squared_row_norms,
)

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")

OUTPUTS = [
    ("squared_error", "identity"),
    ("squared_error", "sigmoid"),
    ("squared_error", "tanh"),
    ("absolute_error", "identity"),
    ("absolute_error", "softplus"),
    ("log_loss", "auto"),
    ("poisson", "auto"),
    ("multinomial", "auto"),
]
outputs = pytest.mark.parametrize(("loss", "output"), OUTPUTS)


def draw(loss, shape=(6, 4), seed=0):
    """Return pre-activations and targets that the objective is defined on."""
    rng = np.random.default_rng(seed)
    target = {
        "squared_error": rng.normal(size=shape),
        "absolute_error": rng.normal(size=shape),
        "log_loss": rng.uniform(size=shape),
        "poisson": rng.poisson(3.0, size=shape).astype(float),
        "multinomial": rng.poisson(3.0, size=shape).astype(float),
    }[loss]
    return torch.tensor(rng.normal(size=shape)), torch.tensor(target)


@outputs
def test_formula(loss, output):
    kind = RECONSTRUCTIONS[loss](output)
    a, x = draw(loss)
    restored = kind.output(a).numpy()
    x_ = x.numpy()
    entries = {
        "squared_error": lambda: 0.5 * (x_ - restored) ** 2,
        "absolute_error": lambda: abs(x_ - restored),
        "log_loss": lambda: -x_ * np.log(restored) - (1 - x_) * np.log1p(-restored),
        "poisson": lambda: restored - x_ * np.log(restored),
        "multinomial": lambda: -x_ * np.log(restored),
    }[loss]()
    nats = kind.nats(a, x)
    assert nats.shape == (6,)
    np.testing.assert_allclose(nats, entries.sum(axis=1), rtol=1e-12)
    mean = kind.mean_nats(a, x)
    assert mean.shape == ()
    assert float(mean) == pytest.approx(entries.sum(axis=1).mean(), rel=1e-12)
    double = 2 if loss == "squared_error" else 1
    np.testing.assert_allclose(kind.error(a, x), double * entries, rtol=1e-12)


@outputs
def test_what_users_are_told_is_lost(loss, output):
    """An entry's error; of counts half the deviance, x log(x / x̂) − x + x̂."""
    kind = RECONSTRUCTIONS[loss](output)
    a, x = draw(loss)
    found, restored = kind.lost(a, x).numpy(), kind.output(a).numpy()
    if loss != "poisson":
        np.testing.assert_allclose(found, kind.error(a, x), rtol=1e-12)
        return
    counts = x.numpy()
    ratio = counts / restored
    expected = xlogy(counts, ratio) - counts + restored
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    deviance = mean_poisson_deviance(counts.ravel(), restored.ravel())
    assert found.mean() == pytest.approx(deviance / 2)
    exact = kind.lost(x.clamp_min(1.0).log(), x.clamp_min(1.0))
    np.testing.assert_allclose(exact, 0.0, atol=1e-12)


def of_counts(x, p):
    """Return log p of each row of counts, in its first entry."""
    log_p = multinomial.logpmf(x, x.sum(axis=-1), p)
    return np.pad(log_p[..., None], [(0, 0)] * log_p.ndim + [(0, x.shape[-1] - 1)])


def test_densities():
    """The objective is −log p up to a constant: differences are those of log p."""
    densities = {
        "squared_error": lambda x, m: norm.logpdf(x, m),
        "absolute_error": lambda x, m: laplace.logpdf(x, m),
        "poisson": lambda x, m: poisson.logpmf(x, m),
        "multinomial": of_counts,
    }
    for loss, logpdf in densities.items():
        kind = RECONSTRUCTIONS[loss]()
        (a, x), (b, _) = draw(loss), draw(loss, seed=1)
        x_ = x.numpy()
        ours = kind.nats(a, x) - kind.nats(b, x)
        theirs = -logpdf(x_, kind.output(a).numpy()) + logpdf(
            x_, kind.output(b).numpy()
        )
        by_row = theirs.sum(axis=1)
        np.testing.assert_allclose(ours, by_row, rtol=1e-9, err_msg=loss)


@pytest.mark.parametrize("scale", [None, 0.3])
def test_log_likelihood_has_its_constant(scale):
    """log p itself, of several pre-activations for each target."""
    log_scale = None if scale is None else torch.tensor(scale).double().log()
    log_p = {
        "squared_error": lambda x, m: norm.logpdf(x, m, scale or 1.0),
        "absolute_error": lambda x, m: laplace.logpdf(x, m, scale or 1.0),
        "log_loss": lambda x, m: bernoulli.logpmf(x, m),
        "poisson": lambda x, m: poisson.logpmf(x, m),
        "multinomial": lambda x, p: of_counts(np.broadcast_to(x, p.shape), p),
    }
    assert log_p.keys() == RECONSTRUCTIONS.keys()
    for loss, of_entries in log_p.items():
        kind = RECONSTRUCTIONS[loss]()
        _, x = draw(loss)
        x = x.round() if loss == "log_loss" else x
        a = torch.stack([draw(loss, seed=seed)[0] for seed in range(3)])
        found = kind.log_likelihood(a, x, log_scale)
        expected = of_entries(x.numpy(), kind.output(a).numpy()).sum(axis=2)
        assert found.shape == (3, 6)
        np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=loss)


def test_log_likelihood_of_shares_is_a_cross_entropy():
    """Of x between 0 and 1, as of its binary draws in the mean."""
    kind = RECONSTRUCTIONS["log_loss"]()
    a, x = draw("log_loss")
    expected = -kind.nats(a, x)
    torch.testing.assert_close(kind.log_likelihood(a[None], x)[0], expected)


def test_log_likelihood_of_extreme_logits():
    a = torch.tensor([[[1000.0, -1000.0]]], requires_grad=True)
    log_p = RECONSTRUCTIONS["log_loss"]().log_likelihood(a, torch.tensor([[0.0, 1.0]]))
    log_p.sum().backward()
    assert log_p.tolist() == [[-2000.0]]
    assert a.grad.tolist() == [[[-1.0, 1.0]]]


@outputs
@pytest.mark.parametrize("n_draws", [1, 3])
def test_gradient_of_the_log_likelihood(loss, output, n_draws):
    kind = RECONSTRUCTIONS[loss](output)
    a, x = draw(loss)
    a = torch.stack([a] * n_draws).requires_grad_()
    scale = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda a, s: kind.log_likelihood(a, x, s), (a, scale)
    )


def test_log_loss_is_scikit_learns():
    kind = RECONSTRUCTIONS["log_loss"]()
    a, x = draw("log_loss")
    x = (x > 0.5).double()
    ours = kind.nats(a, x)
    for row, logits, labels in zip(ours, a, x, strict=True):
        p = torch.sigmoid(logits).numpy()
        expected = log_loss(labels.numpy(), p, normalize=False, labels=[0, 1])
        assert float(row) == pytest.approx(expected, rel=1e-10)


def test_extreme_logits_stay_finite():
    """No probability is rounded to zero before its logarithm is taken."""
    a = torch.tensor([[1000.0, -1000.0]], requires_grad=True)
    nats = RECONSTRUCTIONS["log_loss"]().nats(a, torch.tensor([[0.0, 1.0]]))
    nats.sum().backward()
    assert float(nats.detach()) == 2000.0
    assert a.grad.tolist() == [[1.0, -1.0]]


@outputs
def test_gradient(loss, output):
    kind = RECONSTRUCTIONS[loss](output)
    a, x = draw(loss)
    a.requires_grad_()
    assert torch.autograd.gradcheck(lambda a: kind.nats(a, x), a)
    assert torch.autograd.gradcheck(lambda a: kind.mean_nats(a, x), a)


@outputs
@pytest.mark.parametrize("units", [1.0, 7.0])
def test_units(loss, output, units):
    """Errors scale as their units do; likelihoods have none."""
    kind = RECONSTRUCTIONS[loss](output)
    a, x = draw(loss)
    power = {"squared_error": 2, "absolute_error": 1}.get(loss, 0)
    torch.testing.assert_close(
        kind.error(a, x, units), kind.error(a, x) * units**power, rtol=1e-12, atol=0
    )


@pytest.mark.parametrize(
    ("loss", "output"),
    [
        ("log_loss", "identity"),
        ("log_loss", "relu"),
        ("poisson", "softplus"),
        ("multinomial", "sigmoid"),
    ],
)
def test_impossible_outputs(loss, output):
    """No sigmoid followed by a with-logits loss, for one."""
    with pytest.raises(ValueError, match=f"={output!r} is not .*loss={loss!r}"):
        RECONSTRUCTIONS[loss](output)


@pytest.mark.parametrize("name", ["sigmoid", "logistic", "auto"])
def test_names_of_the_sigmoid(name):
    assert RECONSTRUCTIONS["log_loss"](name).output_activation == "sigmoid"


SHAPES = given(
    n=st.integers(1, 6),
    n_features=st.integers(1, 8),
    width=st.integers(1, 5),
    density=st.floats(0, 1),
    seed=st.integers(0, 1000),
)


@SHAPES
def test_exact_sparse_squared_error(n, n_features, width, density, seed):
    """It is the dense one, to the rounding of a difference of sums."""
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(n, n_features)) * (rng.random((n, n_features)) < density)
    x = torch.tensor(dense)
    arguments = [
        torch.tensor(rng.normal(size=shape), requires_grad=True)
        for shape in [(n, width), (n_features, width), (n_features,)]
    ]

    def direct(h, weight, bias):
        return (x - h @ weight.T - bias).square().sum(1)

    exact = sparse_squared_error(x.to_sparse_csr(), *arguments)
    expected = direct(*arguments)
    # relative to the largest of the terms that are summed, not to what is left of them
    terms = x.square().sum(1) + (arguments[0] @ arguments[1].T).square().sum(1)
    terms = terms + arguments[2].square().sum()
    assert bool(((exact - expected).abs() <= 1e-10 * terms).all())
    for ours, theirs in zip(
        torch.autograd.grad(exact.sum(), arguments),
        torch.autograd.grad(expected.sum(), arguments),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


@SHAPES
def test_exact_sparse_multinomial(n, n_features, width, density, seed):
    """It is torch's own cross-entropy with shares as its target, times their sum."""
    rng = np.random.default_rng(seed)
    x = rng.exponential(size=(n, n_features)) * (rng.random((n, n_features)) < density)
    x = torch.tensor(x)
    arguments = [
        torch.tensor(rng.normal(size=shape), requires_grad=True)
        for shape in [(n, width), (n_features, width), (n_features,)]
    ]
    total = x.sum(1)
    shares = torch.where(total > 0, x.T / total, 0.0).T

    def direct(h, weight, bias):
        logits = h @ weight.T + bias
        nats = torch.nn.functional.cross_entropy(logits, shares, reduction="none")
        return total * nats

    exact, expected = (
        sparse_multinomial_error(x.to_sparse_csr(), *arguments),
        direct(*arguments),
    )
    assert bool((exact[total == 0] == 0).all())
    # to rounding: both are differences of logits, whose size is of a few units
    torch.testing.assert_close(exact, expected, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(
        torch.autograd.grad(exact.sum(), arguments),
        torch.autograd.grad(expected.sum(), arguments),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_sparse_multinomial_of_extreme_logits():
    """Nothing overflows, nor is rounded to zero before its logarithm is taken."""
    x = torch.tensor([[2.0, 1.0, 0.0]]).to_sparse_csr()
    h = torch.ones(1, 1, requires_grad=True)
    weight = torch.tensor([[1e4], [-1e4], [1e4]])
    error = sparse_multinomial_error(x, h, weight, torch.zeros(3))
    (slope,) = torch.autograd.grad(error.sum(), h)
    # x is 2 and 1 where p is ½ and 0: −Σ x log p, and Σ (3 p − x) w
    assert error.item() == pytest.approx(2e4 + 3 * np.log(2), rel=1e-6)
    assert slope.item() == pytest.approx(1.5e4 + 1.5e4 - 2e4 + 1e4)


@pytest.mark.parametrize("exact", [sparse_squared_error, sparse_multinomial_error])
def test_exact_sparse_gradient_is_numerically_right(exact):
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.exponential(size=(3, 5)) * (rng.random((3, 5)) < 0.5))
    x = x.to_sparse_csr()
    arguments = tuple(
        torch.tensor(rng.normal(size=shape), requires_grad=True)
        for shape in [(3, 2), (5, 2), (5,)]
    )
    assert torch.autograd.gradcheck(
        lambda *a: exact(x, *a), arguments, check_batched_grad=False
    )


@given(seed=st.integers(0, 1000), density=st.floats(0, 1))
def test_sums_of_sparse_rows(seed, density):
    rng = np.random.default_rng(seed)
    dense = torch.tensor(rng.normal(size=(5, 7)) * (rng.random((5, 7)) < density))
    rows = dense.to_sparse_csr()
    torch.testing.assert_close(squared_row_norms(rows), dense.square().sum(1))
    for ours, axis in ((row_sums, 1), (column_sums, 0)):
        torch.testing.assert_close(ours(rows), dense.sum(axis))
        torch.testing.assert_close(ours(dense), dense.sum(axis))
