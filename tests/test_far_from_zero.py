"""Rows far from zero, and very large ones: nothing that was learned is rounded away."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from estimators import (
    CODECS,
    FAST,
    READING,
    SINGLE,
    dtype_of,
    fit,
    is_codec,
    layers,
    table,
)
from sklearn.base import clone

from sklearn_ae import (
    Autoencoder,
    AutoencoderOutlierDetector,
    DenoisingAutoencoder,
    StackedAutoencoderPretrainer,
    VariationalAutoencoder,
    load,
    save,
)
from sklearn_ae.autoencoders.graphs import nearest
from sklearn_ae.engine import pca_start
from sklearn_ae.engine.units import Units, far_from_zero

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

#: Networks that see rows as they are, in float32.
RAW = [n for n, m in CODECS.items() if not layers(m)[0].standardize]
RAW = [n for n in RAW if dtype_of(FAST[n]) != "float64"]
FAR = [name for name in CODECS if name not in RAW and dtype_of(FAST[name]) != "float64"]
far = pytest.mark.parametrize("name", FAR)


def made(name):
    return clone(FAST[name]).set_params(random_state=0)


def spread(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


@far
def test_what_is_restored_agrees_with_the_reported_error(name):
    near = spread(table(60))
    X = near + 1e9
    model = fit(made(name), X)
    restored = model.reconstruct(X)
    assert restored.dtype == np.float64
    power = 1 if layers(model)[0].loss == "absolute_error" else 2
    said = model.reconstruction_error(X, per_feature=True).mean(axis=0, dtype=float)
    np.testing.assert_allclose((np.abs(X - restored) ** power).mean(0), said, rtol=0.02)
    codes = model.transform(X)
    back = model.inverse_transform(codes)
    if hasattr(codes, "dtype"):
        assert codes.dtype == np.float32 and back.dtype == np.float64
    np.testing.assert_allclose(back, restored, rtol=0, atol=2e-4)
    drawn = model.sample(60, random_state=0)
    assert drawn.dtype == np.float64
    assert min(len(np.unique(column)) for column in drawn.T) >= 50
    way = model.interpolate(X[0], X[1], n=9)
    ends = model.reconstruct(X[:2])
    np.testing.assert_allclose(way[[0, -1]], ends, rtol=0, atol=1e-4)
    assert min(len(np.unique(column)) for column in way.T) >= 8
    if hasattr(model, "impute"):
        gaps = X.copy()
        gaps[::2, 1] = np.nan
        whole = model.impute(gaps)
        np.testing.assert_array_equal(whole[~np.isnan(gaps)], gaps[~np.isnan(gaps)])
        assert len(np.unique(whole[::2, 1])) >= 25


NARROW = [np.float32, np.float16, np.int16, np.uint8, bool]
WIDE = [np.float64, np.int32, np.uint32, np.int64]


@pytest.mark.parametrize("dtype", [*NARROW, *WIDE])
@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_rows_are_as_wide_as_those_of_the_fit(dtype, container):
    if container is sp.csr_array and dtype is np.float16:
        pytest.skip("scipy has no sparse rows of it")
    X = table().astype(dtype)
    model = Autoencoder(2, max_iter=2, random_state=0).fit(container(X))
    expected = np.float64 if dtype in WIDE else np.float32
    codes = model.transform(X)
    assert codes.dtype == np.float32
    for rows in (
        model.reconstruct(table()),
        model.inverse_transform(codes),
        model.sample(3),
        model.interpolate(X[0], X[1]),
    ):
        assert rows.dtype == expected


@pytest.mark.parametrize("computed", ["float64", "bfloat16"])
def test_rows_of_other_dtypes_of_the_computation(computed):
    X = table().astype(np.float32)
    model = Autoencoder(2, max_iter=2, dtype=computed).fit(X)
    expected = np.float64 if computed == "float64" else np.float32
    assert model.reconstruct(X).dtype == expected
    assert Autoencoder(2, max_iter=2, dtype=computed).fit(table()).reconstruct(
        X
    ).dtype == (np.float64)


def test_streams_and_files_remember_the_width(tmp_path):
    X = table() + 1e9
    model = Autoencoder(2, random_state=0).partial_fit(X.astype(np.float32))
    assert model.reconstruct(X).dtype == np.float32
    model.partial_fit(X)
    assert model.reconstruct(X).dtype == np.float64
    model.partial_fit(X.astype(np.float32))
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(again.reconstruct(X), model.reconstruct(X))
    assert again.reconstruct(X).dtype == np.float64


def test_stacks_give_rows_as_their_first_layer_does():
    X = table(60) + 1e9
    stack = StackedAutoencoderPretrainer(layer_sizes=(4, 2), random_state=0)
    stack.set_params(estimator__max_iter=2).fit(X)
    assert stack.reconstruct(X).dtype == np.float64
    assert stack.inverse_transform(stack.transform(X, depth=1), depth=1).dtype == float
    assert stack[1:].reconstruct(stack.transform(X, depth=1)).dtype == np.float32


def test_walks_do_not_pass_through_rounded_rows():
    near = spread(table(60)).astype(np.float32)
    X = near.astype(float) + 1e9
    params = {"max_iter": 5, "noise_level": 0.5, "random_state": 0}
    drawn = [
        DenoisingAutoencoder(2, **params).fit(rows).sample(50, random_state=1)
        for rows in (near, X)
    ]
    # offsets of 1e9 leave nine digits of float64 behind the point
    np.testing.assert_allclose(drawn[1] - 1e9, drawn[0], atol=1e-2)


def test_a_device_without_float64_gives_rows_on_the_cpu():
    class OnMps:
        device = torch.device("mps")

        def cpu(self):
            return torch.ones(2, 3)

    units = Units(np.full(3, 1e9), 2.0, rows_dtype="float64")
    rows = units.to_data(OnMps())
    assert rows.dtype == torch.float64 and rows.device.type == "cpu"
    assert (rows == 1e9 + 2).all()


@pytest.mark.parametrize(
    ("mean", "deviation", "expected"),
    [
        (0.0, 1.0, False),
        (500.0, 1.0, False),
        (2000.0, 1.0, True),
        (1.7e9, 5.0, True),
        (-4.5e6, 3.0, True),
        (1e9, 1e9, False),
        (0.1, 0.0, False),
        (1e9, 1e-8, False),
    ],
)
def test_what_is_far(mean, deviation, expected):
    at = np.array([0.0, mean]), np.array([1.0, deviation**2])
    assert far_from_zero(*at) is expected
    assert far_from_zero(None, at[1]) is False


# -- very large and very small rows --------------------------------------------------

USES = ("transform", "reconstruct", "reconstruction_error", "score_samples", "explain")
USES += ("predict_proba", "decision_function")


def answers(model, X):
    for use in USES:
        if hasattr(model, use):
            got = getattr(model, use)(X)
            yield use, got.toarray() if hasattr(got, "toarray") else got


@pytest.mark.parametrize(
    ("name", "dtype", "scale"),
    [(name, np.float32, 1e30) for name in FAST]
    + [(name, np.float64, 1e20) for name in READING],
)
def test_large_rows_work_or_are_refused(name, dtype, scale, monkeypatch, request):
    X = (spread(table(40)) * scale).astype(dtype)
    if name in RAW:
        request.getfixturevalue("no_steps")
        message = "X has values as large as .*standardize=False .*Scale X down or use"
        with pytest.raises(ValueError, match=message):
            fit(made(name), X)
        return
    model = fit(made(name), X)
    for use, got in answers(model, X):
        assert np.isfinite(got).all(), use
    if not is_codec(model):
        return
    assert np.isfinite(model.score(X)) and np.isfinite(model.sample(5)).all()
    power = 1 if layers(model)[0].loss == "absolute_error" else 2
    direct = np.abs(X.astype(float) - model.reconstruct(X)) ** power
    errors = model.reconstruction_error(X, per_feature=True)
    np.testing.assert_allclose(direct.mean(0), errors.mean(0, dtype=float), rtol=0.02)
    small = model.reconstruction_error(X[:7])
    np.testing.assert_allclose(small, model.reconstruction_error(X)[:7], rtol=1e-3)


@pytest.mark.parametrize("name", [n for n in SINGLE if n not in RAW])
def test_tiny_rows_have_errors_too(name):
    X = spread(table(40)) * 1e-25
    model = fit(made(name), X)
    power = 1 if layers(model)[0].loss == "absolute_error" else 2
    direct = (np.abs(X - model.reconstruct(X)) ** power).mean()
    assert direct > 0
    assert model.reconstruction_error(X).mean(dtype=float) == pytest.approx(
        direct, 0.02
    )


@pytest.mark.parametrize("container", [np.array, sp.csr_array])
@pytest.mark.parametrize(
    "model",
    [
        Autoencoder(2, max_iter=2),
        Autoencoder(2, max_iter=2, loss="poisson"),
        Autoencoder(2, max_iter=2, loss="multinomial"),
        DenoisingAutoencoder(2, max_iter=2),
        VariationalAutoencoder(2, max_iter=2),
        VariationalAutoencoder(2, max_iter=2, likelihood="bernoulli"),
        StackedAutoencoderPretrainer(layer_sizes=(2,), fine_tune="reconstruction"),
        AutoencoderOutlierDetector(Autoencoder(2, max_iter=2), criterion="score"),
        AutoencoderOutlierDetector(Autoencoder(2, max_iter=2)),
    ],
    ids=str,
)
def test_new_rows_that_are_very_large(model, container):
    """They are judged to be far away, in float64 where float32 has no such number."""
    X = table(40)
    X = X / 30 if "bernoulli" in str(model) else X
    model = clone(model).set_params(random_state=0).fit(container(X))
    new = X[:6].copy()
    new[0, 1], new[1] = 1e25, 1e30
    scores = model.score_samples(container(new))
    assert np.isfinite(scores).all()
    assert (scores[:2] < model.score_samples(container(X)).min()).all()
    if is_codec(model):
        assert np.isfinite(model.score(container(new)))
        within = model.score_samples(container(new[2:]))
        assert within.dtype == np.float32
        np.testing.assert_allclose(scores[2:], within, rtol=1e-5)


def test_missing_values_do_not_take_float64():
    X = table(40)
    X[::3, 1], X[5] = np.nan, np.nan
    model = DenoisingAutoencoder(2, max_iter=2).fit(X)
    for per_feature in (False, True):
        errors = model.reconstruction_error(X, per_feature)
        assert errors.dtype == np.float32
    X[0, 0] = 1e30
    errors = model.reconstruction_error(X)
    assert errors.dtype == np.float64 and errors[0] > 1e50
    assert np.isnan(errors[5]) and np.isnan(errors).sum() == 1


@pytest.mark.parametrize("scale", [1e-25, 1e25])
@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_start_of_large_rows_in_float32(scale, container, monkeypatch):
    monkeypatch.setattr(pca_start, "PRECISE_NUMBERS", 0)
    X = table(50).astype(np.float32)
    first, other = (
        pca_start.linear_start(container((X * np.float32(c)).astype(np.float32)), 2, 0)
        for c in (1.0, scale)
    )
    np.testing.assert_allclose(np.abs(other.encoder), np.abs(first.encoder), atol=1e-3)
    assert other.units.scale == pytest.approx(scale * first.units.scale, rel=1e-3)


@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_neighbours_of_large_rows(container):
    X = np.random.default_rng(0).normal(size=(40, 20)).astype(np.float32)
    near, far = (nearest(container(X * c), 3)[1] for c in (1, np.float32(1e25)))
    np.testing.assert_array_equal(near, far)


@pytest.mark.parametrize("params", [{}, {"standardize": False}, {"loss": "poisson"}])
def test_too_large_even_for_float64(params, no_steps):
    X = table() * 1e200
    model = Autoencoder(2, dtype="float64", **params)
    with pytest.raises(
        ValueError, match=r"as large as 2\.\de\+201.*overflow\. Scale X"
    ):
        model.fit(X)
