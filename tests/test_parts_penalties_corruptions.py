"""Penalties and corruptions: pure functions of tensors, against their definitions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_ae.parts.corruptions import (
    Corruption,
    GaussianNoise,
    Masking,
    SaltAndPepper,
)
from sklearn_ae.parts.jacobian import Encoding
from sklearn_ae.parts.penalties import L1, L2, Contraction, KLSparsity, Penalty

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")

PENALTIES = {
    L1: lambda z: np.abs(z).sum(axis=1).mean(),
    L2: lambda z: 0.5 * (z**2).sum(axis=1).mean(),
}
#: An encoder, of which only the means over rows that count alike are asked for.
ALIKE = Encoding(None, None, None)
CORRUPTIONS = [GaussianNoise, Masking, SaltAndPepper]
corruptions = pytest.mark.parametrize("kind", CORRUPTIONS)


def numbers(**values):
    return {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(n=400, d=50, seed=0):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.uniform(1.0, 2.0, size=(n, d)))


def test_every_part_is_tested():
    elsewhere = {KLSparsity, Contraction}  # test_sparse.py, test_contractive.py
    known = Penalty.__subclasses__()  # those of other tests too
    assert {*PENALTIES, *elsewhere} == {
        c for c in known if c.__module__ == Penalty.__module__
    }
    ours = {
        c for c in Corruption.__subclasses__() if c.__module__ == Masking.__module__
    }
    assert set(CORRUPTIONS) == ours


@pytest.mark.parametrize("kind", PENALTIES)
@given(weight=st.floats(0, 10), n=st.integers(1, 5), seed=st.integers(0, 99))
def test_penalty(kind, weight, n, seed):
    """Summed over units, averaged over rows, so that published weights hold."""
    z = np.random.default_rng(seed).normal(size=(n, 3))
    x = torch.zeros(n, 2)
    term = kind.term(x, torch.tensor(z), ALIKE, **numbers(weight=weight))
    assert term.shape == ()
    assert float(term) == pytest.approx(weight * PENALTIES[kind](z), rel=1e-12)


@pytest.mark.parametrize("kind", PENALTIES)
def test_gradient_of_penalty(kind):
    z = torch.tensor(np.random.default_rng(0).normal(size=(4, 3)), requires_grad=True)
    weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda z, weight: kind.term(None, z, ALIKE, weight=weight), (z, weight)
    )


@pytest.mark.parametrize("part", [*PENALTIES, *CORRUPTIONS])
def test_hyperparameters_are_the_fields(part):
    assert part().hyperparameters() == {
        name: float(value) for name, value in part().get_params().items()
    }


#: Sparse rows go to those corruptions alone that keep them so.
forms = pytest.mark.parametrize(
    ("kind", "sparse"),
    [(kind, False) for kind in CORRUPTIONS]
    + [(kind, True) for kind in CORRUPTIONS if kind.keeps_zeros],
)


@forms
def test_corruption_draws_from_its_generator_alone(
    kind, sparse, untouched_global_state
):
    x = rows(20, 5).to_sparse_csr() if sparse else rows(20, 5)
    level = numbers(noise_level=0.3)

    def run(seed):
        out = kind.corrupt(x, generator(seed), **level)
        return out.to_dense() if out.layout != torch.strided else out

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))
    twice = generator()
    first = kind.corrupt(x, twice, **level)
    second = kind.corrupt(x, twice, **level)
    first, second = (t.to_dense() if sparse else t for t in (first, second))
    assert not torch.equal(first, second)  # noise is fresh for every batch


@forms
def test_input_is_not_changed(kind, sparse):
    """It is the target, and stays clean."""
    x = rows(20, 5).to_sparse_csr() if sparse else rows(20, 5)
    kind.corrupt(x, generator(), **numbers(noise_level=0.5))
    assert torch.equal(x.to_dense() if sparse else x, rows(20, 5))


@corruptions
def test_no_noise_at_level_zero(kind):
    x = rows(20, 5)
    assert torch.equal(kind.corrupt(x, generator(), **numbers(noise_level=0.0)), x)


@corruptions
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_corruption_keeps_shape_and_dtype(kind, dtype):
    x = rows(20, 5).to(dtype)
    level = {"noise_level": torch.tensor(0.3, dtype=dtype)}
    out = kind.corrupt(x, generator(), **level)
    assert out.shape == x.shape and out.dtype == dtype


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_masking(level, sparse):
    """A share ν of the entries becomes zero; the others are not rescaled."""
    x = rows()
    given_x = x.to_sparse_csr() if sparse else x
    out = Masking.corrupt(given_x, generator(), **numbers(noise_level=level))
    out = out.to_dense() if sparse else out
    masked = out == 0
    assert torch.equal(out[~masked], x[~masked])
    # four standard deviations of a binomial share
    slack = 4 * math.sqrt(level * (1 - level) / x.numel())
    assert abs(float(masked.double().mean()) - level) <= slack
    if level < 1:  # by the entry, not by the row or the feature
        shares = [masked.double().mean(axis) for axis in (0, 1)]
        assert all(float(s.max()) < 1 and float(s.min()) > 0 for s in shares) or (
            level == 0.1
        )


def test_masking_keeps_sparse_rows_sparse():
    x = torch.eye(6, dtype=torch.float64).to_sparse_csr()
    out = Masking.corrupt(x, generator(), **numbers(noise_level=0.5))
    assert out.layout == torch.sparse_csr and Masking.keeps_zeros
    off_diagonal = out.to_dense() - torch.diag(out.to_dense().diagonal())
    assert not off_diagonal.any()


@pytest.mark.parametrize("level", [0.1, 2.0])
def test_gaussian_noise(level):
    """Every entry, a zero too, is moved by σε."""
    x = rows() * (rows(seed=1) > 1.5)
    out = GaussianNoise.corrupt(x, generator(), **numbers(noise_level=level))
    noise = (out - x) / level
    n = x.numel()
    # four standard errors of a mean, a variance and a correlation
    assert abs(float(noise.mean())) < 4 / math.sqrt(n)
    assert abs(float(noise.var()) - 1) < 4 * math.sqrt(2 / n)
    correlation = np.corrcoef(noise.numpy().ravel(), x.numpy().ravel())[0, 1]
    assert abs(correlation) < 4 / math.sqrt(n)


@pytest.mark.parametrize("level", [0.2, 1.0])
def test_salt_and_pepper(level):
    """A share ν goes to the feature's extremes, half to each."""
    x = rows(2000, 20)
    out = SaltAndPepper.corrupt(x, generator(), **numbers(noise_level=level))
    salt, pepper = out == x.amax(0), out == x.amin(0)
    changed = out != x
    assert bool((salt | pepper)[changed].all())
    for mark in (salt, pepper):
        share = float((mark & changed).double().mean())
        slack = 4 * math.sqrt(0.25 / x.numel()) + 2 / len(x)  # extremes stay in place
        assert abs(share - level / 2) <= slack
