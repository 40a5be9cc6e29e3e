"""Bad input and faults: an error in scikit-learn's words, and nothing lost.

Tests are named after the rows of the list of faults that they are about. "Works" means
that fit and transform agree with those of the plain array.
"""

import os
import pathlib
import signal
import threading
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from estimators import (
    CODECS,
    CORE,
    FAST,
    READING,
    SINGLE,
    answer,
    counts,
    dtype_of,
    fit,
    is_codec,
    kept,
    labels,
    layers,
    public_estimators,
    quality,
    table,
    trainers,
)
from sklearn.base import clone, is_classifier
from sklearn.ensemble import BaggingRegressor
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EarlyStopping

from sklearn_ae import (
    Autoencoder,
    GaussianNoise,
    Masking,
    SaltAndPepper,
    SparseAutoencoder,
)
from sklearn_ae.engine import density, eager
from sklearn_ae.engine.estimator import BaseAutoencoder

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

every = pytest.mark.parametrize("name", FAST)
core = pytest.mark.parametrize("name", CORE)
#: What all read by the same code is asked once for each way of reading.
reading = pytest.mark.parametrize("name", READING)


def having(names, **tags):
    """Return the names of the configurations whose input tags are these."""
    return [
        name
        for name in names
        if all(
            getattr(FAST[name].__sklearn_tags__().input_tags, tag) == value
            for tag, value in tags.items()
        )
    ]


def reading_and(first, *others):
    """Return the parameters `name` and `kind`: the first for all, others for one."""
    cases = [(name, first) for name in READING]
    cases += [("Autoencoder", other) for other in others]
    return pytest.mark.parametrize(("name", "kind"), cases)


reading_sparse = pytest.mark.parametrize("name", having(READING, sparse=True))
#: Dense rows and, for those that take them, sparse ones.
reading_containers = pytest.mark.parametrize(
    ("name", "container"),
    [(n, np.array) for n in READING]
    + [(n, sp.csr_array) for n in having(READING, sparse=True)],
)
reading_codecs = pytest.mark.parametrize("name", [n for n in READING if n in CODECS])
reading_without_nan = pytest.mark.parametrize("name", having(READING, allow_nan=False))


TRAINING = ["fit", "partial_fit", "fit_transform"]
USING = ["transform", "reconstruct", "reconstruction_error", "score_samples"]
USING += ["predict", "predict_proba", "predict_log_proba"]
USING += ["decision_function", "explain"]


def make(name, **params):
    return clone(FAST[name]).set_params(random_state=0, **params)


def has_neighbours(model):
    """Tell whether rows are related to their nearest: of few there are too few."""
    kind = getattr(model, "relation", getattr(model, "embedding", None))
    return kind not in (None, "class", "mds")


def methods(model, names):
    """Return those of the methods that the estimator has, by name."""
    return {name: getattr(model, name) for name in names if hasattr(model, name)}


def refuses(model, X, error, match, using=None):
    """Expect `error` from every way to fit, and from a fitted model's answers."""
    y = labels()
    for name in methods(model, TRAINING):
        fresh = clone(model)
        with pytest.raises(error, match=match):
            getattr(fresh, name)(X, y)
        assert not hasattr(fresh, "n_features_in_")
    if using is not None:
        model = kept(model, using)
        before = answer(model, using)
        for method in methods(model, [*USING, "partial_fit"]).values():
            with pytest.raises(error, match=match):
                method(X)
        with pytest.raises(error, match=match):
            quality(model, X, y)
        np.testing.assert_array_equal(answer(model, using), before)


def agrees(model, X, plain, using=None):
    """Expect of X what the plain data gives, from fit and from transform."""
    reference = kept(model, plain)
    expected = answer(reference, plain)
    # Where a gradient starts at zero, as it does at PCA's optimum, float32 rounding
    # decides on the sign of Adam's first steps; in float64 its epsilon does not let it.
    error = 1e-6 if dtype_of(model) == "float64" else 0.03
    close = {"rtol": error, "atol": error * np.abs(expected).max()}
    np.testing.assert_allclose(answer(fit(clone(model), X), X), expected, **close)
    np.testing.assert_allclose(answer(reference, X), expected, **close)
    y = labels(len(expected))
    scored = quality(reference, X, y)
    assert scored == pytest.approx(quality(reference, plain, y), rel=0.03, abs=1e-6)
    if hasattr(model, "fit_transform"):
        codes = clone(model).fit_transform(X, y)
        np.testing.assert_allclose(codes, expected, **close)
    if hasattr(model, "partial_fit"):
        streamed = clone(model).partial_fit(plain, y).transform(plain)
        np.testing.assert_allclose(
            clone(model).partial_fit(X, y).transform(X), streamed, **close
        )


@pytest.mark.parametrize("cls", public_estimators())
def test_rows_are_read_in_these_ways(cls):
    """All classes read rows by methods that those of `READING` are asked about."""
    asked = {type(model) for model in READING.values()}
    shared = ["_validate", "_validate_codes", "inverse_transform", "score"]
    for name in [*shared, *TRAINING, *USING]:
        if hasattr(cls, name):
            ways = {getattr(one, name) for one in asked if hasattr(one, name)}
            assert getattr(cls, name) in ways, f"{cls.__name__} has its own {name}"


# -- values ----------------------------------------------------------------------


@reading_without_nan
def test_01_nan(name, X):
    bad = X.copy()
    bad[2, 1] = np.nan
    what_to_do = r"^Input X contains NaN.\n.* DenoisingAutoencoder does: .* impute"
    refuses(make(name), bad, ValueError, what_to_do, using=X)


@reading
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_02_inf(name, value, X):
    bad = X.copy()
    bad[2, 1] = value
    refuses(make(name), bad, ValueError, "contains infinity or a value too", using=X)


@pytest.mark.parametrize(
    "name", [n for n in READING if dtype_of(READING[n]) != "float64"]
)
@pytest.mark.parametrize("value", [1e300, -1e39])
@pytest.mark.parametrize("container", [np.array, pd.DataFrame])
def test_03_beyond_float32(name, value, container, X):
    bad = X.copy()
    bad[2, 1] = value
    message = r"value too large for dtype\('float32'\)"
    refuses(make(name), container(bad), ValueError, message, using=container(X))


@reading_sparse
def test_03_beyond_float32_in_sparse_rows(name, X):
    if dtype_of(FAST[name]) != "float64":
        bad = X.copy()
        bad[2, 1] = 1e300
        message = r"value too large for dtype\('float32'\)"
        refuses(make(name), sp.csr_array(bad), ValueError, message)


@pytest.mark.parametrize(
    "name",
    [n for n in READING if n in CODECS and dtype_of(READING[n]) != "float64"],
)
@pytest.mark.parametrize("value", [1e300, -1e39])
@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_03_codes_beyond_float32(name, value, container, X):
    model = fit(make(name), X)
    codes = np.zeros((3, model.n_components_))
    codes[2, 0] = value
    before = model.inverse_transform(np.zeros_like(codes))
    message = r"value too large for dtype\('float32'\)"
    with pytest.raises(ValueError, match=message):
        model.inverse_transform(container(codes))
    codes[2, 0] = 0.0
    after = model.inverse_transform(container(codes))
    np.testing.assert_allclose(after, before, rtol=1e-5)


def test_03_large_values_of_float64_work(X):
    model = make("Autoencoder-float64")
    expected = model.fit(X).reconstruct(X)
    large = model.fit(X * 2.0**300).reconstruct(X * 2.0**300)
    np.testing.assert_allclose(large, expected * 2.0**300, rtol=1e-6)
    assert np.isfinite(model.inverse_transform(np.full((1, 2), 1e200))).all()


DIVERGING = {
    "adam": {},
    "sgd": {"solver": "sgd"},
    "one_step": {"max_iter": 1},
    "linear": {"hidden_layer_sizes": ()},
    "plain": {"linear_path": False},
    "constant": {"learning_rate": "constant"},
    "stopping": {"early_stopping": True},
}


@pytest.mark.parametrize("how", DIVERGING)
def test_04_divergence_is_named(how, X):
    model = Autoencoder(max_iter=3, random_state=0).set_params(**DIVERGING[how])
    codes = model.fit(X).transform(X)
    model.set_params(learning_rate_init=1e30)
    for attempt in (model.fit, clone(model).fit):
        with pytest.raises(ValueError, match=r"non-finite(.|\n)*learning_rate_init"):
            attempt(X)
    np.testing.assert_array_equal(model.transform(X), codes)


def test_04_divergence_in_partial_fit(X):
    model = Autoencoder(random_state=0).partial_fit(X)
    codes = model.transform(X)
    model.set_params(learning_rate_init=1e30)
    with pytest.raises(ValueError, match=r"non-finite(.|\n)*learning_rate_init"):
        for _ in range(3):
            model.partial_fit(X)
    assert np.isfinite(model.transform(X)).all()
    assert model.transform(X).shape == codes.shape


def test_04_divergence_is_one_failed_candidate_of_a_search(X):
    grid = {"learning_rate_init": [1e-3, 1e30]}
    search = GridSearchCV(Autoencoder(max_iter=3, random_state=0), grid, cv=2)
    message = pytest.warns(FitFailedWarning, match="non-finite")
    with message, pytest.warns(UserWarning, match="test scores are non-finite"):
        search.fit(X)
    assert search.best_params_ == {"learning_rate_init": 1e-3}


@every
@pytest.mark.parametrize("value", [0.0, -1e6])
def test_05_constant_data(name, value):
    X = np.full((24, 5), value)
    model = fit(make(name), X)
    assert np.isfinite(answer(model, X)).all()
    if not is_codec(model):
        return
    assert np.isfinite(model.sample(3, random_state=0)).all()
    if layers(model)[0].standardize:  # centred, it is zero: the units are those of X
        # what a few epochs on zeros leave of initial weights, in the units of X
        np.testing.assert_allclose(model.reconstruct(X), X, atol=2.0)


@core
@pytest.mark.parametrize("value", [0.0, 7.0])
def test_06_one_constant_column(name, value, X):
    X[:, 2] = value
    model = fit(make(name), X)
    for method in methods(model, USING).values():
        assert np.isfinite(method(X)).all()


@pytest.mark.parametrize("name", ["Autoencoder", "Autoencoder-float64"])
@pytest.mark.parametrize(
    "dtype",
    [
        "float16",
        "float32",
        ">f8",
        ">f4",
        ">i4",
        "longdouble",
        object,
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
    ],
)
def test_07_08_09_10_dtypes(name, dtype, X):
    agrees(make(name), X.astype(dtype), X)


@reading
def test_09_bool(name, X):
    agrees(make(name), X > 10, (X > 10).astype(float))


@reading
@pytest.mark.parametrize("container", [np.array, pd.DataFrame])
def test_11_strings(name, container, X):
    bad = X.astype(object)
    bad[1, 1] = "petal"
    message = "could not convert string to float"
    refuses(make(name), container(bad), ValueError, message)
    refuses(make(name), bad.astype(str), ValueError, message)


@reading_and(str, object)
def test_12_numeric_strings(name, kind, X):
    agrees(make(name), X.astype(str).astype(kind), X)


@reading
def test_13_dict_in_an_object_array(name, X):
    bad = X.astype(object)
    bad[0, 0] = {"foo": "bar"}
    refuses(make(name), bad, TypeError, "argument must be .* string.* number", using=X)


@reading
def test_14_complex(name, X):
    refuses(make(name), X + 1j, ValueError, "Complex data not supported", using=X)
    refuses(make(name), sp.csr_array(X + 1j), ValueError, "Complex data not supported")


@reading
@pytest.mark.parametrize("dtype", ["datetime64[s]", "timedelta64[s]"])
@pytest.mark.parametrize("container", [np.array, pd.DataFrame])
def test_15_datetime(name, dtype, container, X):
    bad = container(X.astype(np.int64).astype(dtype))
    refuses(make(name), bad, TypeError, None, using=X)


@reading
def test_15_one_column_of_datetime(name, X):
    frame = pd.DataFrame(X)
    frame[0] = pd.to_datetime(frame[0], unit="s")
    refuses(make(name), frame, TypeError, None)


@reading
@pytest.mark.parametrize("mask", [False, True])
def test_16_masked_array(name, mask, X):
    bad = np.ma.MaskedArray(X, mask=np.full(X.shape, False))
    bad[0, 0] = np.ma.masked if mask else 1.0
    refuses(make(name), bad, ValueError, "[Mm]ask", using=X)


@reading_codecs
def test_16_masked_array_of_codes(name, X):
    model = fit(make(name), X)
    with pytest.raises(ValueError, match=r"[Mm]ask"):
        model.inverse_transform(np.ma.MaskedArray(model.transform(X)))


@pytest.mark.parametrize("name", SINGLE)
def test_04_a_loss_that_ends_far_above_its_beginning(name, X):
    """It need not overflow to be of no use: 3.6e31 is a number, but no fit."""
    model = make(name).set_params(learning_rate_init=1e10, max_iter=8)
    if model.solver == "lbfgs":  # which has no learning rate
        pytest.skip("it looks for the length of each step")
    with pytest.raises(ValueError, match=r"diverged\. Lower the learning rate"):
        fit(model, X)
    assert not hasattr(model, "n_features_in_")


def test_04_a_finite_loss_that_is_of_no_use(X):
    model = SparseAutoencoder(max_iter=3, random_state=0).fit(X)
    before = model.transform(X)
    model.set_params(learning_rate_init=1e6, max_iter=20)
    told = r"loss ended at .*e\+.*, and is .* where nothing is learned: .* diverged"
    with pytest.raises(ValueError, match=told):
        model.fit(X)
    np.testing.assert_array_equal(model.transform(X), before)
    # the best weights were those before the first step, and they are kept
    held = SparseAutoencoder(early_stopping=True, learning_rate_init=1e6, max_iter=5)
    assert np.isfinite(held.fit(X).reconstruct(X)).all()


# -- shape -----------------------------------------------------------------------


@reading_containers
def test_17_no_rows(name, container):
    refuses(make(name), container(np.empty((0, 5))), ValueError, r"0 sample\(s\)")


@reading_containers
def test_18_no_columns(name, container):
    refuses(make(name), container(np.empty((5, 0))), ValueError, r"0 feature\(s\)")


@pytest.mark.filterwarnings("ignore:contamination='auto' sets the threshold")
@every
@pytest.mark.parametrize("n_samples", [1, 2, 3])
def test_19_20_few_rows(name, n_samples, X):
    model = make(name)
    for part in trainers(model):
        part.set_params(batch_size=8)
    few = X[:n_samples]
    learns_classes = is_classifier(model) or getattr(model, "fine_tune", "") == "class"
    learns_classes |= getattr(model, "relation", "") in ("class", "mfa")
    stops_early = getattr(model, "early_stopping", False)
    takes_two = stops_early or getattr(model, "density", None) is not None
    if n_samples == 1 and (takes_two or learns_classes):
        with pytest.raises(ValueError, match=r"1 sample|one class"):
            fit(model, few)
        return
    if learns_classes and stops_early:
        with pytest.raises(ValueError, match="two rows of each"):
            fit(model, few)
        return
    if has_neighbours(model):
        with pytest.raises(ValueError, match=r"needs more than [0-9]+ rows"):
            fit(model, few)
        return
    fit(model, few)
    assert answer(model, few).shape[0] == n_samples
    for method in methods(model, USING).values():
        assert np.isfinite(method(few)).all()
    if is_codec(model):
        assert np.isfinite(model.sample(5, random_state=0)).all()


@pytest.mark.parametrize("batch_size", ["auto", 8, 100])
@pytest.mark.parametrize("n_samples", [1, 3, 9, 17])
def test_19_20_21_few_rows_train(batch_size, n_samples):
    """No batch is dropped: training on so few rows fits them ever better."""
    X = table(n_samples)
    model = Autoencoder(1, linear_path=False, batch_size=batch_size, random_state=0)
    short, long = (clone(model).set_params(max_iter=k).fit(X) for k in (1, 60))
    assert long.loss_ < 0.5 * short.loss_ or long.loss_ < 1e-6


@reading
@pytest.mark.parametrize("container", [np.array, list, pd.Series])
def test_22_47_one_dimension(name, container, X):
    message = "Reshape your data|Expected a 2-dimensional container"
    refuses(make(name), container(X[0]), ValueError, message, using=X)


@reading_codecs
@pytest.mark.parametrize("container", [np.array, list, pd.Series])
def test_22_47_one_dimension_of_codes(name, container, X):
    message = "Reshape your data|Expected a 2-dimensional container"
    model = fit(make(name), X)
    with pytest.raises(ValueError, match=message):
        model.inverse_transform(container(model.transform(X)[0]))


@reading
@pytest.mark.parametrize(
    "bad", [np.zeros((4, 3, 2)), np.float64(3), 3.0, None, [[1.0, 2.0], [3.0]]]
)
def test_23_no_table(name, bad, X):
    refuses(make(name), bad, ValueError, None, using=X)


@reading
@pytest.mark.parametrize(
    "bad", [{"a": [1.0, 2.0], "b": [3.0, 4.0]}, lambda: None, object()]
)
def test_24_other_objects(name, bad, X):
    refuses(make(name), bad, TypeError, None, using=X)


@reading
def test_24_generator(name, X):
    for method in methods(make(name), TRAINING).values():
        with pytest.raises(TypeError):
            method((row for row in X), labels())


@pytest.mark.parametrize("width", [3, 7])
@reading_containers
def test_25_27_wrong_width(name, width, container, X):
    wrong = container(np.ones((4, width)))
    model = fit(make(name), X)
    before = answer(model, X)
    message = (
        f"X has {width} features, but {type(model).__name__} is expecting 5 features "
        "as input"
    )
    for method in methods(model, [*USING, "partial_fit"]).values():
        with pytest.raises(ValueError, match=message):
            method(wrong)
    assert model.n_features_in_ == 5
    np.testing.assert_array_equal(answer(model, X), before)


@pytest.mark.parametrize("name", [n for n in READING if n in SINGLE])
def test_25_wrong_width_in_a_warm_start(name, X):
    model = fit(make(name, warm_start=True), X)
    with pytest.raises(ValueError, match="X has 3 features, but"):
        fit(model, X[:, :3])
    assert model.transform(X).shape == (len(X), 2)


@reading_codecs
@pytest.mark.parametrize("width", [1, 5])
def test_26_wrong_width_of_codes(name, width, X):
    model = fit(make(name), X)
    k = model.n_components_
    message = f"X has {width} features, but .* is expecting {k} features as input"
    with pytest.raises(ValueError, match=message):
        model.inverse_transform(np.zeros((4, width)))


@reading_codecs
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([[np.nan]], "NaN"),
        ([[np.inf]], "infinity"),
        ([["a"]], "could not convert string"),
        (np.empty((0, 1)), r"0 sample\(s\)"),
        ([[1j]], "Complex data not supported"),
    ],
)
def test_26_bad_codes(name, bad, message, X):
    model = fit(make(name), X)
    with pytest.raises(ValueError, match=message):
        model.inverse_transform(np.repeat(bad, model.n_components_, axis=1))


@reading
def test_28_transform_of_no_rows(name, X):
    model = fit(make(name), X)
    for method in methods(model, USING).values():
        with pytest.raises(ValueError, match=r"0 sample\(s\)"):
            method(X[:0])


@pytest.mark.parametrize("name", SINGLE)
def test_29_overcomplete(name, X):
    model = fit(make(name, n_components=9), X)
    assert model.transform(X).shape == (len(X), 9)
    assert np.isfinite(model.reconstruct(X)).all()
    assert np.isfinite(model.sample(2, random_state=0)).all()


# -- sparse ----------------------------------------------------------------------


FORMATS = [
    getattr(sp, f"{name}_{kind}")
    for name in ("csr", "csc", "coo", "dia", "lil", "dok", "bsr")
    for kind in ("array", "matrix")
]


@pytest.mark.parametrize("name", ["Autoencoder", "Autoencoder-float64"])
@pytest.mark.parametrize("make_sparse", FORMATS, ids=lambda cls: cls.__name__)
def test_30_31_formats(name, make_sparse):
    plain = counts()
    agrees(make(name), make_sparse(plain), plain)


@pytest.mark.parametrize(
    "name",
    [n for n in having(SINGLE, sparse=True) if n != "Autoencoder-stopping"],
)
def test_30_sparse_rows_are_the_dense_rows(name):
    """Without centring (the one thing that sparse data is spared) all is the same."""
    X = counts()
    X.data += np.random.default_rng(0).random(X.nnz)  # no two rows are equally near
    model = make(name, standardize=False)
    plain = {"corruption": None, "noise_level": 0.0, "linear_path": False}
    known = model.get_params(deep=False)
    model.set_params(**{k: v for k, v in plain.items() if k in known})
    codes = fit(model, X).transform(X)
    dense = fit(clone(model), X.toarray())
    # two orders of summation, in float32 or in bfloat16's 8 bits, through few steps
    error = 0.02 if model.dtype == "bfloat16" else 1e-3
    atol = error * np.abs(codes).max()
    np.testing.assert_allclose(dense.transform(X.toarray()), codes, atol=atol)
    np.testing.assert_allclose(dense.transform(X), codes, atol=atol)
    assert dense.score(X) == pytest.approx(model.score(X), rel=error)
    assert dense.score(X.toarray()) == pytest.approx(dense.score(X), rel=1e-4)


@reading_sparse
def test_32_index_widths(name):
    wide = counts()
    wide.indices, wide.indptr = (
        a.astype(np.int64) for a in (wide.indices, wide.indptr)
    )
    assert wide.indices.dtype == np.int64
    agrees(make(name), wide, counts())


@reading_sparse
def test_33_explicit_zeros_and_duplicates(name):
    plain = counts()
    coo = plain.tocoo()
    row, col = np.r_[coo.row, coo.row, 0], np.r_[coo.col, coo.col, 5]
    data = np.r_[coo.data - 1, np.ones_like(coo.data), 0]
    order = np.argsort(row, kind="stable")
    starts = np.searchsorted(row[order], np.arange(plain.shape[0] + 1))
    twice = sp.csr_array((data[order], col[order], starts), shape=plain.shape)
    assert twice.nnz == 2 * plain.nnz + 1
    before = twice.data.copy()
    agrees(make(name), twice, plain)
    assert twice.nnz == 2 * plain.nnz + 1  # the user's own is left alone
    np.testing.assert_array_equal(twice.data, before)


@reading_sparse
def test_33_unsorted_indices(name):
    plain = counts()
    mixed = plain.copy()
    for a, b in zip(mixed.indptr[:-1], mixed.indptr[1:], strict=True):
        mixed.indices[a:b] = mixed.indices[a:b][::-1]
        mixed.data[a:b] = mixed.data[a:b][::-1]
    mixed.has_sorted_indices = False
    agrees(make(name), mixed, plain)


@reading_sparse
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_34_nan_inside(name, value):
    bad = counts()
    bad.data[3] = value
    refuses(make(name), bad, ValueError, "NaN|infinity", using=counts())


@reading_sparse
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32])
def test_35_whole_numbers(name, dtype):
    # a start at the decomposition of float32 differs by more than float64's rounding
    model = make(name)
    for part in trainers(model) if dtype is np.float32 else ():
        if "linear_path" in part.get_params(deep=False):
            part.set_params(linear_path=False)
    agrees(model, counts().astype(dtype), counts())


@reading_sparse
def test_35_bool(name):
    agrees(make(name), counts().astype(bool), counts().astype(bool).astype(float))


@reading_sparse
def test_36_one_dimension_of_sparse(name):
    bad = sp.coo_array(np.array([1.0, 0.0, 2.0]))
    refuses(make(name), bad, ValueError, None, using=table(n_features=3))


def test_sparse_where_it_cannot_be_had():
    """A method that takes no sparse rows says so before training."""

    class DenseOnly(Autoencoder):
        _accept_sparse = False

    with pytest.raises(TypeError, match=r"[Ss]parse"):
        DenseOnly().fit(counts())


@pytest.mark.parametrize("corruption", [GaussianNoise(), SaltAndPepper(), Masking()])
def test_sparse_with_each_corruption(corruption):
    """It works, or says before training what it would take; nothing in between."""
    seen = []

    class Watch(Callback):
        def on_train_begin(self, net, **kwargs):
            seen.append("training")

    model = Autoencoder(max_iter=2, corruption=corruption, callbacks=[Watch()])
    try:
        model.fit(counts())
    except ValueError as raised:
        refusal = str(raised)
    else:
        assert np.isfinite(model.transform(counts())).all()
        return
    assert "sparse" in refusal and not seen and not type(corruption).keeps_zeros


@pytest.mark.parametrize("name", having(FAST, sparse=False))
def test_sparse_rows_are_refused_before_training(name, X):
    message = "Sparse data was passed .* dense data is required"
    refuses(make(name), sp.csr_array(X), TypeError, message, using=X)


# -- frames ----------------------------------------------------------------------

FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}


def frame(library="pandas", names="abcde", **columns):
    data = dict(zip(names, table().T, strict=True))
    return FRAMES[library](data | columns)


@reading
@pytest.mark.parametrize("library", FRAMES)
def test_frames_work(name, library, X):
    agrees(make(name), frame(library), frame(library))
    reference = answer(fit(make(name), X), X)
    # the same numbers, column by column in memory: sums in another order; see agrees
    close = {"atol": 0.03 * np.abs(reference).max()}
    fitted = fit(make(name), frame(library))
    np.testing.assert_allclose(answer(fitted, frame(library)), reference, **close)
    assert list(fitted.feature_names_in_) == list("abcde")


@reading
@pytest.mark.parametrize("names", ["edcba", "abcdz", "abcd", "abcdef"])
def test_37_38_other_columns(name, names):
    model = fit(make(name), frame())
    other = pd.DataFrame(table(n_features=len(names)), columns=list(names))
    message = "names should match those that were passed during fit|expecting 5 feat"
    for method in methods(model, [*USING, "partial_fit"]).values():
        with pytest.raises(ValueError, match=message):
            method(other)


@reading
def test_39_array_after_a_frame(name, X):
    model = fit(make(name), frame())
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        answered = answer(model, X)
    # of memory that is laid out otherwise, products may be summed in another order
    expected = answer(model, frame())
    np.testing.assert_allclose(answered, expected, rtol=1e-5, atol=1e-6)


@reading
def test_40_mixed_types_of_names(name, X):
    bad = pd.DataFrame(X, columns=["a", "b", 1, 2, 3])
    refuses(make(name), bad, TypeError, "only supported if all input features have")


@reading
def test_41_duplicate_names(name, X):
    bad = pd.DataFrame(X, columns=list("aabcd"))
    refuses(make(name), bad, ValueError, "(?i)duplicate|unique")


@reading_and("Int64", "Float64", "boolean")
def test_42_nullable(name, kind):
    numbers = bool if kind == "boolean" else float
    plain = frame().astype({"a": numbers, "b": numbers})
    agrees(make(name), plain.astype({"a": kind, "b": kind}), plain.astype(float))


@reading_without_nan
@pytest.mark.parametrize("dtype", ["Int64", "Float64"])
def test_43_nullable_with_na(name, dtype):
    bad = frame().astype({"a": dtype})
    bad.loc[2, "a"] = pd.NA
    refuses(make(name), bad, ValueError, "contains NaN", using=frame())


@reading
def test_44_categories_of_strings(name):
    bad = frame(a=pd.Categorical(["x", "y"] * 12))
    refuses(make(name), bad, ValueError, "could not convert string")


@reading
def test_45_mixed_dtypes(name):
    plain = frame()
    mixed = plain.astype({"a": "int8", "b": "float32", "c": "uint16", "d": "int64"})
    agrees(make(name), mixed, plain)


@reading_without_nan
def test_46_polars_null(name):
    bad = frame("polars", a=pl.Series([None] + [1.0] * 23, strict=False))
    refuses(make(name), bad, ValueError, "contains NaN")


@reading
def test_46_polars_strings(name):
    bad = frame("polars", a=pl.Series(["x"] * 24))
    refuses(make(name), bad, ValueError, "could not convert string")


# -- memory ----------------------------------------------------------------------


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


LAYOUTS = {
    "48 read-only": read_only,
    "49 negative strides": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "50 Fortran": np.asfortranarray,
    "50 strided": lambda X: np.repeat(np.repeat(X, 2, 0), 3, 1)[::2, ::3],
    "50 float32 read-only": lambda X: read_only(X.astype(np.float32)),
    "52 tensor": torch.tensor,
    "52 float32 tensor": lambda X: torch.tensor(X, dtype=torch.float32),
    "52 tensor with gradients": lambda X: torch.tensor(X, requires_grad=True),
    "list": lambda X: X.tolist(),
    "tuple of rows": lambda X: tuple(map(tuple, X)),
}


@pytest.mark.parametrize("name", ["Autoencoder", "Autoencoder-float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_48_49_50_52_layouts(name, layout, X):
    laid_out = LAYOUTS[layout](X)
    agrees(make(name), laid_out, X)
    if isinstance(laid_out, torch.Tensor):
        laid_out = laid_out.detach().numpy()
    np.testing.assert_array_equal(laid_out, X)  # input unchanged


@reading
def test_50_broadcast(name):
    broadcast = np.broadcast_to(np.arange(5.0), (24, 5))
    agrees(make(name), broadcast, broadcast.copy())


@reading_and(np.float32, np.float64, np.uint8)
def test_48_memmap(name, kind, X, tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, X.astype(kind))
    content = path.read_bytes()
    agrees(make(name), np.load(path, mmap_mode="r"), X)
    assert path.read_bytes() == content


@reading_sparse
def test_48_read_only_sparse(name):
    X = counts()
    for part in (X.data, X.indices, X.indptr):
        part.setflags(write=False)
    agrees(make(name), X, counts())


@reading
def test_48_input_unchanged(name, X):
    before = X.copy()
    model = fit(make(name), X)
    answered = answer(model, X)
    kept = answered.copy()
    quality(model, X, labels())
    if is_codec(model):
        model.inverse_transform(answered)
    if hasattr(model, "partial_fit"):
        model.partial_fit(X, labels())
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(answered, kept)


def test_48_results_share_no_memory(X):
    model = make("Autoencoder-linear").fit(X)
    model.components_[:] = 0
    model.mean_[:] = 0
    model.transform(X)[:] = 0
    assert np.abs(model.components_).max() > 0
    assert np.abs(model.mean_).max() > 0


@reading
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_51_matrix(name, X):
    refuses(make(name), np.matrix(X), TypeError, "np.matrix is not supported", using=X)


@reading
def test_52_bfloat16_tensor(name, X):
    """numpy has no such dtype: it works, or is refused in words."""
    half = torch.tensor(X, dtype=torch.bfloat16)
    try:
        answered = answer(fit(make(name), X), half)
    except TypeError:
        return
    np.testing.assert_allclose(answered, answer(fit(make(name), X), X), atol=1e-3)


# -- parameters (rows 53 to 58 are in test_common.py) ----------------------------


@reading
def test_59_typo_in_set_params(name):
    with pytest.raises(ValueError, match=r"(?s)'max_iters' .*Valid parameters are"):
        make(name).set_params(max_iters=3)
    with pytest.raises(TypeError, match="max_iters"):
        type(FAST[name])(max_iters=3)


@reading
@pytest.mark.parametrize("device", ["tpu", "cuda:99", "cpu:3", ""])
def test_60_61_device(name, device, X):
    model = make(name)
    for part in trainers(model):
        if hasattr(part, "device"):
            part.set_params(device=device)
    for method in methods(model, TRAINING).values():
        with pytest.raises(ValueError, match=r"'device'.*[Aa]vailable: .*cpu"):
            method(X, labels())


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_60_absent_cuda(X):
    with pytest.raises(ValueError, match=r"'device'.*not available"):
        Autoencoder(device="cuda").fit(X)


# -- training --------------------------------------------------------------------


class At(Callback):
    """Do something at the beginning of the n-th epoch."""

    def __init__(self, epoch, action):
        self.epoch, self.action = epoch, action

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == self.epoch:
            self.action()


def raise_interrupt():
    raise KeyboardInterrupt


def real_interrupt():
    """Send a real SIGINT, as Ctrl-C does, and wait for it to arrive."""
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(5)


def fail():
    raise RuntimeError("out of luck")


ENDINGS = {
    "callback": (raise_interrupt, KeyboardInterrupt),
    "signal": (real_interrupt, KeyboardInterrupt),
    "error": (fail, RuntimeError),
}


def call_back(model, callbacks):
    """Give skorch's callbacks to all trainings that an estimator makes."""
    for part in trainers(model):
        if getattr(part, "fine_tune", True) is not None:  # else its layers alone train
            part.set_params(callbacks=callbacks)


@pytest.mark.parametrize(
    ("name", "ending"),
    [(name, "callback") for name in CORE]
    + [(name, ending) for name in READING for ending in ("signal", "error")],
)
def test_69_70_interrupted_refit(name, ending, X):
    action, error = ENDINGS[ending]
    model = fit(make(name), X)
    state = dict(vars(model))
    before, score = answer(model, X), quality(model, X, labels())
    # skorch's own EarlyStopping must not swallow it either
    stopping = EarlyStopping(monitor="train_loss", patience=50)
    call_back(model, [At(2, action), stopping])
    model.set_params(random_state=1)
    other = X[::-1, :3] * 2.0
    with pytest.raises(error):
        fit(model, other)
    assert model.n_features_in_ == 5
    np.testing.assert_array_equal(answer(model, X), before)
    assert quality(model, X, labels()) == score
    changed = {k for k, v in vars(model).items() if state.get(k) is not v}
    assert changed <= {"callbacks", "random_state"}
    assert vars(model).keys() == state.keys()
    call_back(model, None)
    assert fit(model, other).n_features_in_ == 3


@reading
def test_69_interrupted_first_fit(name, X):
    model = make(name)
    call_back(model, [At(1, raise_interrupt)])
    for method in methods(model, ["fit", "partial_fit"]).values():
        with pytest.raises(KeyboardInterrupt):
            method(X, labels())
        assert not hasattr(model, "n_features_in_")
        with pytest.raises(NotFittedError):
            answer(model, X)


@core
def test_69_first_fit_interrupted_after_an_epoch_is_kept(name, X):
    """As MLPRegressor's is, where one network is trained; of more, nothing is."""
    model = make(name)
    call_back(model, [At(3, raise_interrupt)])
    for part in trainers(model):
        part.set_params(max_iter=10)
    if not isinstance(model, BaseAutoencoder):
        with pytest.raises(KeyboardInterrupt):
            fit(model, X)
        assert not hasattr(model, "n_features_in_")
        return
    with pytest.warns(UserWarning, match=r"^Training interrupted by user\.$") as told:
        fit(model, X)
    assert told[0].filename.startswith(str(pathlib.Path(__file__).parent))
    assert model.n_iter_ == 2 and len(model.loss_curve_) == 2
    assert {len(curve) for curve in model.history_.values()} == {2}
    before = answer(model, X)
    assert np.isfinite(before).all()
    with pytest.raises(KeyboardInterrupt):  # now there is an earlier fit
        fit(model, X * 2)
    np.testing.assert_array_equal(answer(model, X), before)


def test_69_best_weights_of_an_interrupted_first_fit(X):
    """What ends a training in order is done, where an epoch is cut in the middle."""
    model = Autoencoder(early_stopping=True, max_iter=10, callbacks=[InStep(8)])
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(np.tile(X, (30, 1)))
    assert model.n_iter_ == 2 == len(model.validation_loss_curve_)
    assert model.net_.history[-1, "train_batch_count"] == 3


class InStep(Callback):
    """Interrupt the n-th step."""

    def __init__(self, n):
        self.n, self.done = n, 0

    def on_grad_computed(self, net, **kwargs):
        self.done += 1
        if self.done == self.n:
            raise_interrupt()


def test_69_an_interrupted_search_ends(X):
    model = Autoencoder(max_iter=10, callbacks=[At(3, raise_interrupt)])
    search = GridSearchCV(model, {"n_components": [1, 2]}, cv=2)
    ensemble = BaggingRegressor(make_pipeline(model, LinearRegression()), 2)
    steps = make_pipeline(clone(model), StandardScaler())
    for one in (search, ensemble, steps):
        with pytest.raises(KeyboardInterrupt):
            one.fit(X, X[:, 0])
    last = make_pipeline(StandardScaler(), model)
    with pytest.warns(UserWarning, match="interrupted"):
        last.fit(X)
    assert last.transform(X).shape == (len(X), 2)
    with pytest.warns(UserWarning, match="interrupted"):
        codes = clone(model).fit_transform(X)
    assert np.isfinite(codes).all()


@reading
def test_69_interrupt_between_the_steps(name, X, monkeypatch):
    """Not only at a callback's turn: in the middle of an optimiser's step."""
    model = fit(make(name), X)
    before = answer(model, X)
    steps = []
    original = eager.AdamW.step

    def step(self, closure=None):
        steps.append(1)
        if len(steps) == 2:
            raise KeyboardInterrupt
        return original(self, closure)

    monkeypatch.setattr(eager.AdamW, "step", step)
    for method in methods(model, ["fit", "partial_fit"]).values():
        steps[:] = [1]
        with pytest.raises(KeyboardInterrupt):
            method(X, labels())
        np.testing.assert_array_equal(answer(model, X), before)


@reading
def test_70_failure_after_training(name, X, monkeypatch):
    """Even the last thing that fit does may fail."""
    model = fit(make(name), X)
    before, n_epochs = answer(model, X), getattr(model, "n_iter_", 0)
    with monkeypatch.context() as patch:
        patch.setattr(density, "code_moments", lambda *given, **named: fail())
        for method, train in methods(model, ["fit", "partial_fit"]).items():
            with pytest.raises(RuntimeError, match="out of luck"):
                train(X[:, :3] if method == "fit" else X, labels())
    np.testing.assert_array_equal(answer(model, X), before)
    assert getattr(model, "n_iter_", 0) == n_epochs and model.n_features_in_ == 5


def train_all(model, X):
    """Train in all ways that there are, one after the other."""
    for method in methods(model, ["fit", "partial_fit"]).values():
        method(X, labels())
    return model


@pytest.mark.parametrize(
    ("name", "context"),
    [(name, torch.inference_mode) for name in READING]
    + [("Autoencoder", torch.no_grad)],
)
def test_71_inside_inference_mode(name, context, X):
    expected = answer(train_all(make(name), X), X)
    with context():
        model = train_all(make(name), X)
        answered = answer(model, X)
    np.testing.assert_array_equal(answered, expected)
    train_all(model, X)  # what was made in there can be trained out here
    with torch.inference_mode():
        assert len(answer(model, X)) == len(X)
        if is_codec(model):
            assert model.sample(2).shape == (2, 5)


@reading
def test_72_default_dtype_of_the_user(name, X):
    expected = answer(train_all(make(name), X), X)
    torch.set_default_dtype(torch.float64)
    try:
        answered = answer(train_all(make(name), X), X)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert answered.dtype == expected.dtype
    np.testing.assert_array_equal(answered, expected)


@reading
def test_settings_of_torch_are_left_alone(name, X):
    def settings():
        return (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_default_dtype(),
            torch.is_autocast_enabled("cpu"),
        )

    before = settings()
    answer(fit(make(name), X), X)
    assert settings() == before


@pytest.mark.parametrize(
    ("name", "container"),
    [(n, np.array) for n in CORE]
    + [(n, sp.csr_array) for n in having(CORE, sparse=True)],
)
def test_no_warnings(name, container, X):
    """On good data there is nothing to warn of, with and without sparse rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for data in (container(X), frame()):
            model = fit(make(name), data)
            answered = answer(model, data)
            if is_codec(model):
                model.inverse_transform(answered)
                model.sample(2)
