"""The linear path starts at PCA, whatever the data is."""

import numpy as np
import pytest
import scipy.sparse as sp
from estimators import counts, table
from sklearn.decomposition import PCA, TruncatedSVD

from sklearn_ae import Autoencoder, GaussianNoise, Masking, SaltAndPepper
from sklearn_ae.engine import pca_start
from sklearn_ae.engine import train as engine_train
from sklearn_ae.engine.pca_start import linear_start


def at_the_start(k, **params):
    """Return an estimator that makes one step of no length."""
    still = {"solver": "sgd", "learning_rate_init": 1e-30, "max_iter": 1}
    still |= {"weight_decay": 0.0, "dtype": "float64", "random_state": 0}
    return Autoencoder(k, **{**still, **params})


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_starts_at_pca(k, offset):
    X = table(40) * [1, 10, 1e3, 1e-3, 1] + offset
    model, pca = at_the_start(k).fit(X), PCA(k).fit(X)
    # within rounding: of the decomposition, and of subtracting an offset
    atol = 1e-9 * np.abs(X).max()
    restored = pca.inverse_transform(pca.transform(X))
    np.testing.assert_allclose(model.reconstruct(X), restored, atol=atol)
    whitened = PCA(k, whiten=True).fit(X).transform(X)
    ours = model.transform(X)
    signs = np.sign((ours * whitened).sum(axis=0))
    # sklearn whitens with n − 1
    whitened *= np.sqrt(len(X) / (len(X) - 1))
    np.testing.assert_allclose(ours * signs, whitened, rtol=1e-4, atol=1e-4)


def test_starts_at_truncated_svd_of_sparse_rows():
    X = counts(60)
    model = at_the_start(3).fit(X)
    svd = TruncatedSVD(3, algorithm="arpack").fit(X)
    restored = svd.inverse_transform(svd.transform(X))
    best = ((X.toarray() - restored) ** 2).mean()
    # the randomised solver is not exact
    assert -model.score(X) == pytest.approx(best, rel=0.01)
    assert -model.score(X) >= best * (1 - 1e-9)


def test_codes_of_sparse_rows_start_as_those_of_truncated_svd():
    """But for one factor: by whitened codes a search by cosine is another."""
    X = counts(60, 40)
    ours = at_the_start(3).fit(X).transform(X)
    theirs = TruncatedSVD(3, algorithm="arpack").fit_transform(X)
    theirs *= np.sign((ours * theirs).sum(axis=0))
    factor = np.linalg.norm(ours) / np.linalg.norm(theirs)
    # the randomised solver is not exact
    np.testing.assert_allclose(ours, factor * theirs, atol=0.02 * np.abs(ours).max())


def test_loss_starts_at_half_a_nat_per_feature():
    X = table(40)
    assert at_the_start(2).fit(X).loss_ == pytest.approx(0.5 * X.shape[1], rel=1e-6)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("level", [None, 0.5])
def test_a_correction_of_size_one_moves_a_row_by_the_unit_at_most(k, level):
    """And by a component's own deviation where that is less, as noisy codes show it."""
    X = table(60) * [1, 10, 1e2, 1e-2, 1]
    noise = None if level is None else GaussianNoise(noise_level=level).variance
    begin = linear_start(X, k, 0, noise=noise, clean=noise is None)
    spread, unit = np.sqrt(X.var(axis=0).mean()), begin.units.scale
    variance = PCA(k).fit(X).explained_variance_ * (1 - 1 / len(X))
    seen = np.sqrt(variance + (level or 0.0) ** 2 * spread**2)
    np.testing.assert_allclose(
        begin.code_trust * seen, np.minimum(seen, unit), rtol=1e-9
    )
    assert (begin.code_trust < 1.0).any()
    assert (begin.trust <= 1.0).all()  # a feature by the unit at most, too
    moved = np.minimum(np.sqrt(X.var(axis=0)), unit)
    np.testing.assert_allclose(begin.trust * unit, moved, rtol=1e-9)
    foreign = linear_start(X, k, 0, own=False, noise=noise)
    np.testing.assert_array_equal(foreign.code_trust, 1.0)


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((10, 3)),
        np.full((10, 3), 1e6),
        np.eye(3),
        np.ones((1, 3)),
        np.outer(np.arange(10.0), [1, 2, 3]),
        np.c_[np.arange(10.0), np.zeros((10, 2))],
        np.c_[np.arange(10.0) * 1e-8, np.ones(10) * 1e8, np.arange(10.0) ** 2],
        np.random.default_rng(0).normal(size=(3, 20)),
    ],
    ids=[
        "zeros",
        "constant",
        "eye",
        "one row",
        "rank 1",
        "one column",
        "scales",
        "wide",
    ],
)
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_start_of_degenerate_data_is_finite(X, k, sparse):
    """More components than the data has start at zero."""
    begin = linear_start(sp.csr_array(X) if sparse else X, k, 0)
    assert begin.encoder.shape == (X.shape[1], k)
    assert begin.decoder.shape == (X.shape[1], k)
    for name, array in vars(begin).items():
        if name not in ("units", "feature_scale") and array is not None:
            assert np.isfinite(array).all(), name
    assert begin.units.scale > 0 and np.isfinite(begin.units.scale)
    assert (begin.code_scale > 0).all()
    if begin.feature_scale is not None:
        assert (begin.feature_scale > 0).all()  # infinite: nothing to see


@pytest.mark.parametrize("k", [3, 5, 9])
def test_nothing_is_lost_where_pca_is_exact(k):
    """All there is to learn is learned: training must not unlearn it."""
    X = np.random.default_rng(0).normal(size=(40, 3)) @ np.ones((3, 5)) + [[1e3] * 5]
    X += np.random.default_rng(1).normal(size=(40, 1)) * [1, 2, 3, 4, 5]
    model = Autoencoder(k, random_state=0, dtype="float64", max_iter=20).fit(X)
    # a millionth of the spread
    assert -model.score(X) < 1e-6 * X.var(axis=0).mean()


@pytest.mark.parametrize("noise", [GaussianNoise(), Masking(), SaltAndPepper(), None])
def test_noise_leaves_something_to_learn_where_pca_is_exact(noise):
    """Of clean rows nothing is left, and nothing can be unlearned."""
    X = table(60)
    model = at_the_start(5, corruption=noise, linear_path=True).fit(X)
    ends = model.module_.encoder.trust, model.module_.decoder.trust
    for trust in ends:
        assert bool((trust > 0.0).all()) == bool((trust != 0.0).any())
        assert bool((trust > 0.0).all()) == (noise is not None)


def test_subset_alone_is_seen():
    X = table(40)
    rows = np.arange(0, 40, 2)
    changed = X.copy()
    changed[1::2] = 1e6
    for name, array in vars(linear_start(X, 2, 0, rows)).items():
        other = getattr(linear_start(changed, 2, 0, rows), name)
        if name == "units":
            assert array.scale == other.scale
            array, other = array.shift, other.shift
        np.testing.assert_array_equal(array, other)


def test_large_data_is_sampled(monkeypatch):
    """Near enough to start from, and only that."""
    X = table(2000)
    whole = linear_start(X, 2, 0)
    monkeypatch.setattr(pca_start, "CACHE_BYTES", 0)
    monkeypatch.setattr(pca_start, "SAMPLE_BYTES", 500 * 8 * 5)
    sampled = linear_start(X, 2, 0)
    assert not np.array_equal(whole.encoder, sampled.encoder)

    def lost(begin):
        rows = (X - begin.units.shift) / begin.units.scale
        rest = rows - rows @ begin.encoder @ begin.decoder.T
        return (rest**2).mean() * begin.units.scale**2

    assert lost(sampled) == pytest.approx(lost(whole), rel=0.1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", "absolute_error"),
        ("code_activation", "relu"),
        ("output_activation", "sigmoid"),
        ("tied_weights", True),
        ("standardize", False),
    ],
)
def test_linear_path_that_cannot_be_had(name, value):
    with pytest.raises(ValueError, match=f"linear_path=True.*{name}="):
        Autoencoder(linear_path=True, **{name: value}).fit(table())
    Autoencoder(linear_path="auto", max_iter=1, **{name: value}).fit(table())


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_early_stopping_never_ends_above_pca(k, seed):
    """On the held-out rows themselves, and however bad the learning rate is."""
    X = table(60, seed=seed)
    model = at_the_start(k, early_stopping=True).fit(X)
    pca = model.validation_loss_curve_[0]
    wild = at_the_start(
        k, early_stopping=True, solver="adam", learning_rate_init=0.3, max_iter=20
    ).fit(X)
    valid = engine_train.split(wild, len(X), wild._fit.seed, False)[1]
    error = wild.reconstruction_error(X[valid], per_feature=True).sum(axis=1).mean()
    assert 0.5 * error / wild._fit.units.scale**2 <= pca * (1 + 1e-6)
