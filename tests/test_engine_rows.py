"""Between arrays and tensors: units, dtypes, batches, and nothing made twice."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_ae.engine import inputs
from sklearn_ae.engine import rows as engine_rows
from sklearn_ae.engine.rows import Rows
from sklearn_ae.engine.tensors import (
    available_devices,
    from_tensor,
    resolve_device,
    to_tensor,
)
from sklearn_ae.engine.units import Units, moments

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")

DTYPES = ["f8", "f4", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]


def data(n=23, d=5, seed=0):
    return np.random.default_rng(seed).integers(0, 9, size=(n, d)).astype(float)


def dense(x):
    return x.to_dense() if x.layout == torch.sparse_csr else x


@pytest.fixture(params=["cached", "lazy"])
def cached(request, monkeypatch):
    """Run with data that fits into the cache, and with data that does not."""
    if request.param == "lazy":
        monkeypatch.setattr(engine_rows, "CACHE_BYTES", 0)
    return request.param == "cached"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target", [torch.float32, torch.float64])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("subset", [None, np.array([1, 4, 5, 20])])
def test_rows(dtype, target, sparse, subset, cached):
    X = data().astype(dtype)
    units = Units(None if sparse else np.arange(5.0), 3.0)
    plain = X.astype(float)
    chosen = plain if subset is None else plain[subset]
    expected = (chosen - (0 if sparse else np.arange(5.0))) / 3.0
    rows = Rows(sp.csr_array(X) if sparse else X, units, target, "cpu", subset)
    assert len(rows) == len(expected)
    assert (rows.cached is not None) == (cached and not sparse)
    index = torch.tensor([2, 0, 3])
    for batch, want in [
        (rows.batch(index), expected[index]),
        (rows.everything(), expected),
    ]:
        assert batch.x is batch.target and batch.x.dtype == target
        assert (batch.x.layout == torch.sparse_csr) == sparse
        # one rounding each of the difference and of the quotient
        error = 4 * torch.finfo(target).eps
        np.testing.assert_allclose(dense(batch.x), want, rtol=error, atol=error)


def test_lazy_rows_are_the_cached_bits(monkeypatch):
    X = np.random.default_rng(0).normal(size=(50, 5)) * 1e3
    units = Units.of(X)
    index = torch.arange(50)
    first = Rows(X, units, torch.float32).batch(index).x
    monkeypatch.setattr(engine_rows, "CACHE_BYTES", 0)
    assert torch.equal(Rows(X, units, torch.float32).batch(index).x, first)


def test_a_large_offset_costs_no_digits(cached):
    """The mean goes before the cast: as float32, 1e9 + x keeps nothing of x."""
    small = np.random.default_rng(0).normal(size=(40, 3))
    X = small + 2.0**30
    units = Units.of(X)
    rows = Rows(X, units, torch.float32).everything().x
    centred = X - X.mean(axis=0)
    np.testing.assert_allclose(rows * units.scale, centred, atol=1e-6)
    back = units.to_data(rows.double()).numpy()
    np.testing.assert_allclose(back, X, rtol=0, atol=1e-6)


@given(
    n=st.integers(1, 30),
    d=st.integers(1, 4),
    scale=st.sampled_from([1e-8, 1.0, 1e8]),
    offset=st.sampled_from([0.0, 1.0, -1e4]),
    seed=st.integers(0, 99),
)
def test_units(n, d, scale, offset, seed):
    """After them the mean is zero and the average variance one; and back again."""
    X = (np.random.default_rng(seed).normal(size=(n, d)) + offset) * scale
    units = Units.of(X)
    rows = Rows(X, units, torch.float64).everything().x.numpy()
    rounding = 1e-14 * np.abs(X).max() / units.scale
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=100 * rounding + 1e-13)
    if n > 1:
        assert rows.var(axis=0).mean() == pytest.approx(1.0, rel=1e-6)
    back = units.to_data(torch.tensor(rows)).numpy()
    np.testing.assert_allclose(back, X, rtol=1e-10, atol=1e-12 * np.abs(X).max())


@pytest.mark.parametrize("X", [np.zeros((4, 3)), np.full((4, 3), 1e6)])
def test_units_of_constant_data(X):
    assert Units.of(X).scale == 1.0


@given(
    subset=st.none() | st.sets(st.integers(0, 22), min_size=1), seed=st.integers(0, 9)
)
def test_moments(subset, seed):
    X = data(seed=seed)
    index = None if subset is None else np.array(sorted(subset))
    chosen = X if index is None else X[index]
    mean, second = moments(X, index)
    np.testing.assert_allclose(mean, chosen.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(second, chosen.var(axis=0), rtol=1e-12, atol=1e-12)
    mean, second = moments(sp.csr_array(X), index)
    assert mean is None
    np.testing.assert_allclose(second, (chosen**2).mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("subset", [None, np.arange(3, 190, 2)])
def test_moments_in_chunks(gaps, subset, monkeypatch):
    """Of all rows, in however many chunks they are read."""
    monkeypatch.setattr(inputs, "CHUNK_NUMBERS", 1)
    X = data(200) + np.arange(200)[:, None]  # no chunk is as another
    X[::7, 1:] = np.nan if gaps else 5.0
    chosen = X if subset is None else X[subset]
    mean, second = moments(X, subset)
    np.testing.assert_allclose(mean, np.nanmean(chosen, axis=0))
    np.testing.assert_allclose(second, np.nanvar(chosen, axis=0))


@pytest.mark.parametrize("dtype", ["u1", "i1", "i8", "?", "f4"])
def test_moments_do_not_overflow(dtype):
    """Sums are in float64, whatever the data is."""
    X = np.full((3000, 2), 120).astype(dtype)
    mean, second = moments(X)
    np.testing.assert_allclose(mean, X[0].astype(float))
    np.testing.assert_allclose(second, 0, atol=1e-20)
    _, second = moments(sp.csr_array(X))
    np.testing.assert_allclose(second, X[0].astype(float) ** 2)


@pytest.mark.parametrize("numbers", [1, 100, 2**19])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_apply_in_chunks(numbers, sparse, monkeypatch):
    monkeypatch.setattr(inputs, "CHUNK_NUMBERS", numbers)
    X = data(200)
    seen = []

    def double(x):
        seen.append(x.shape[0])
        return 2 * dense(x)

    given_x = sp.csr_array(X) if sparse else X
    out = engine_rows.compute_rows(double, given_x, Units(), torch.float32)
    np.testing.assert_array_equal(out, 2 * X)
    assert out.dtype == np.float32 and sum(seen) == 200
    assert len(seen) == 1 if numbers > 1000 else len(seen) > 1
    assert min(seen[:-1], default=32) >= 32  # however wide the rows are


def test_apply_keeps_other_shapes():
    out = engine_rows.compute_rows(lambda x: x.sum(1), data(), Units(), torch.float64)
    np.testing.assert_array_equal(out, data().sum(axis=1))


def test_apply_needs_no_gradient():
    weight = torch.ones(5, requires_grad=True)
    out = engine_rows.compute_rows(lambda x: x * weight, data(), Units(), torch.float32)
    np.testing.assert_array_equal(out, data())


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_csr_of_any_index_width(index):
    X = sp.csr_array(data())
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    rows = Rows(X, Units(), torch.float64).batch(torch.tensor([3, 1, 3]))
    np.testing.assert_array_equal(rows.x.to_dense(), data()[[3, 1, 3]])


def test_tensors_share_no_memory_with_arrays():
    array = np.zeros(3)
    tensor = to_tensor(array, torch.float64)
    tensor += 1
    assert not array.any()
    out = from_tensor(tensor)
    out += 1
    assert tensor.tolist() == [1, 1, 1]


def test_cached_rows_share_no_memory_with_the_data(cached):
    """Float32 that needs no arithmetic is copied all the same."""
    X = data().astype(np.float32)
    rows = Rows(X, Units(), torch.float32)
    rows.batch(torch.arange(5)).x.zero_()
    rows.everything().x.zero_()
    np.testing.assert_array_equal(X, data())


def test_canonical_leaves_the_users_matrix_alone():
    X = sp.csr_array(([1.0, 2.0, 3.0], [1, 1, 0], [0, 3]), shape=(1, 3))
    out = inputs.canonical(X)
    assert X.nnz == 3 and out.nnz == 2
    np.testing.assert_array_equal(out.toarray(), [[3.0, 3.0, 0.0]])
    tidy = sp.csr_array(data())
    assert inputs.canonical(tidy) is tidy


@pytest.mark.parametrize("value", [3e38, -3e38, 0.0])
def test_float32_range(value):
    inputs.check_float32_range(np.array([[value]]))
    with pytest.raises(ValueError, match="too large for dtype"):
        inputs.check_float32_range(np.array([[value, 4e38]]))
    with pytest.raises(ValueError, match="too large for dtype"):
        inputs.check_float32_range(sp.csr_array(np.array([[value, -4e38]])))


def test_devices():
    assert available_devices()[:2] == ["auto", "cpu"]
    assert resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match=r"'device'.*'nope'.*Available: auto, cpu"):
        resolve_device("nope")
