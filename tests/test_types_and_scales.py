"""The same numbers give the same answers in whatever type, or are refused."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from estimators import (
    CORE,
    FAST,
    READING,
    answer,
    counts,
    fit,
    is_codec,
    kept,
    table,
)
from sklearn.base import clone

from sklearn_ae import (
    Autoencoder,
    AutoencoderOutlierDetector,
    GeneralizedAutoencoder,
    StackedAutoencoderPretrainer,
)
from sklearn_ae.engine.inputs import canonical
from sklearn_ae.engine.trial import are_sound

#: Rows are rounded to float32, and a training of several steps makes the difference
#: larger. By how much depends on the processor: 1.3e-5 at most was seen.
ROUND_OFF = {"rtol": 1e-4, "atol": 5e-5}


def seeded(name):
    return clone(FAST[name]).set_params(random_state=0)


def in_memory_map(X, path):
    mapped = np.memmap(path, dtype=np.float32, mode="w+", shape=X.shape)
    mapped[:] = X
    return mapped


@pytest.mark.parametrize("name", READING)
def test_a_fit_does_not_depend_on_the_type_of_the_numbers(name, tmp_path):
    X = table()
    wanted = answer(fit(seeded(name), X), X)
    for same in (
        X.astype(np.uint8),
        in_memory_map(X, tmp_path / "rows"),
        torch.tensor(X, dtype=torch.float32),
    ):
        found = answer(fit(seeded(name), same), X)
        np.testing.assert_allclose(found, wanted, **ROUND_OFF)


def test_flags_are_zeros_and_ones():
    X = table() > 10
    wanted, found = (fit(seeded("Autoencoder"), rows) for rows in (X * 1.0, X))
    np.testing.assert_allclose(found.transform(X), wanted.transform(X), **ROUND_OFF)


def explicit_zeros(X):
    rows, columns = np.indices(X.shape)
    entries = X.toarray().ravel(), (rows.ravel(), columns.ravel())
    same = sp.coo_array(entries, X.shape).tocsr()
    assert same.nnz == X.shape[0] * X.shape[1]
    return same


def mixed_widths(X):
    X = X.copy()
    X.indptr = X.indptr.astype(np.int64)
    return X


def backwards(X):
    X = X.copy()
    X.data = X.data[::-1].copy()[::-1]
    return X


def longer(X):
    X = X.copy()
    X.data, X.indices = np.append(X.data, 7.0), np.append(X.indices, 0)
    return X


SAME = [explicit_zeros, mixed_widths, backwards, longer]


@pytest.mark.parametrize(
    "name",
    [n for n, one in READING.items() if one.__sklearn_tags__().input_tags.sparse],
)
def test_a_fit_does_not_depend_on_how_sparse_rows_are_stored(name):
    X, model = counts(), seeded(name)
    wanted = answer(fit(clone(model), X), X)
    for store in (explicit_zeros, lambda X: X.astype(np.float32)):
        found = answer(fit(clone(model), store(X)), X)
        found, expected = (
            one.toarray() if sp.issparse(one) else one for one in (found, wanted)
        )
        np.testing.assert_allclose(found, expected, **ROUND_OFF)


@pytest.mark.parametrize("store", SAME)
def test_rows_have_one_form(store):
    X, same = counts(), store(counts())
    kept = [part.copy() for part in (same.data, same.indices, same.indptr)]
    found = canonical(same)
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(found, part), getattr(X, part))
    for before, part in zip(kept, ("data", "indices", "indptr")):
        np.testing.assert_array_equal(getattr(same, part), before)


def damaged(form, part, place, value):
    X = counts().asformat(form)
    parts = X.coords[int(part == "col")] if form == "coo" else getattr(X, part)
    parts[place] = value
    return X


DAMAGED = {
    "column too large": ("csr", "indices", 3, 10**6),
    "column one too large": ("csr", "indices", 3, 12),
    "negative column": ("csr", "indices", 3, -1),
    "start too large": ("csr", "indptr", 4, 10**6),
    "starts fall": ("csr", "indptr", 5, 0),
    "first start": ("csr", "indptr", 0, 1),
    "last start": ("csr", "indptr", -1, 10**6),
    "row too large": ("csc", "indices", 3, 10**6),
    "block too large": ("bsr", "indices", 3, 10**6),
    "row of an entry": ("coo", "row", 3, 10**6),
    "column of an entry": ("coo", "col", 3, -1),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_sparse_rows_are_refused(case):
    model = fit(seeded("Autoencoder"), counts())
    kept = model.module_
    for use in (model.fit, model.partial_fit, model.transform, model.score_samples):
        with pytest.raises(ValueError, match="damaged sparse matrix"):
            use(damaged(*DAMAGED[case]))
    assert model.module_ is kept
    codes = sp.csr_array(model.transform(counts()))
    codes.indices[0] = 10**6
    with pytest.raises(ValueError, match="damaged sparse matrix"):
        model.inverse_transform(codes)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.empty(24, 5, device="meta"),
        torch.tensor(table()).to_sparse(),
        torch.tensor(table()).to_sparse_csr(),
    ],
    ids=["meta", "coo", "csr"],
)
def test_tensors_without_an_array_are_refused(tensor):
    with pytest.raises(TypeError, match="cannot be read as an array"):
        Autoencoder(2, max_iter=1).fit(tensor)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_are_refused():
    nested = torch.nested.nested_tensor(list(torch.tensor(table())))
    with pytest.raises(TypeError, match="cannot be read as an array"):
        Autoencoder(2, max_iter=1).fit(nested)


def test_tensors_with_lazy_signs_and_half_precision_are_read():
    model, X = fit(seeded("Autoencoder"), table()), table()
    negative = torch.tensor(-X)._neg_view()
    assert negative.is_neg()
    np.testing.assert_array_equal(model.transform(negative), model.transform(X))
    halves = torch.tensor(X, dtype=torch.bfloat16)  # of up to 30, exactly
    np.testing.assert_allclose(model.transform(halves), model.transform(X), **ROUND_OFF)


# -- what a dtype holds -----------------------------------------------------------


@pytest.mark.parametrize("name", CORE)
@pytest.mark.parametrize("scale", [1e-41, 1e-30])
def test_float32_of_any_spread_is_learned_from(name, scale):
    model, X = seeded(name), (table() * scale).astype(np.float32)
    try:
        fit(model, X)
    except ValueError:  # an error of ours, not torch's
        return
    assert np.isfinite(answer(model, X)).all()
    if is_codec(model):
        assert np.isfinite(model.reconstruct(X)).all()


@pytest.mark.parametrize("name", CORE)
@pytest.mark.parametrize("value", [1e19, 1e25, 3e38])
def test_far_rows_get_finite_answers_or_are_refused(name, value):
    model, X = kept(seeded(name), table()), table()
    X[3] = value
    for use in ("transform", "reconstruct", "score_samples", "score", "predict_proba"):
        if not hasattr(model, use) or (use == "score" and not is_codec(model)):
            continue
        try:
            found = getattr(model, use)(X)
        except ValueError:
            with pytest.raises(ValueError, match="X has values as large as"):
                getattr(model, use)(X)
            continue
        found = found.toarray() if sp.issparse(found) else found
        assert np.isfinite(found).all(), use


# -- divergence -------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        Autoencoder(2, max_iter=1, learning_rate_init=1e30, linear_path=False),
        GeneralizedAutoencoder(
            2, max_iter=2, n_rounds=2, learning_rate_init=1e20, linear_path=False
        ),
        StackedAutoencoderPretrainer(layer_sizes=(4, 2)).set_params(
            estimator__max_iter=1, estimator__learning_rate_init=1e30
        ),
        AutoencoderOutlierDetector(
            Autoencoder(
                2,
                max_iter=2,
                learning_rate_init=1e8,
                linear_path=False,
                dtype="float64",
            )
        ),
    ],
    ids=lambda model: type(model).__name__,
)
def test_divergence_is_called_so(model):
    with pytest.raises(ValueError, match=r"diverged.*learning_rate_init"):
        model.fit(table(300))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_codes_of_no_use_are_a_divergence(value):
    codes = np.zeros((5, 2))
    assert are_sound(codes)
    codes[3, 1] = value
    assert not are_sound(codes)


def test_a_far_row_is_no_divergence():
    """The loss is a mean over all rows, and so is what it is judged by."""
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(2, 500, 5))
    far[499] = 3e4
    model = Autoencoder(2, standardize=False, random_state=1, batch_size=100)
    model.partial_fit(near).partial_fit(far)
    assert np.isfinite(model.score(near))
