"""What callers have switched on in torch changes no fit and no answer, to the bit."""

import ast
import copy
import pathlib
import pickle
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from estimators import CORE, READING, fit, layers, public_estimators, table
from sklearn.base import clone

import sklearn_ae
from sklearn_ae import Autoencoder, GaussianNoise, load, save, to_onnx

#: What is to be asked of rows.
OF_ROWS = (
    "transform",
    "reconstruct",
    "reconstruction_error",
    "score_samples",
    "score",
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "explain",
    "jacobian_norm",
    "impute",
    "score_field",
)
ATTRIBUTES = ("components_", "mean_", "noise_scale_", "active_units_", "coef_")


def answers(model, X):
    """Return what a fitted model answers, by name."""
    found = {}
    for name in OF_ROWS:
        if name == "score" and hasattr(model, "predict_proba"):
            continue  # it needs y, and is made of predictions
        if hasattr(model, name):
            found[name] = getattr(model, name)(X)
    if hasattr(model, "inverse_transform"):
        codes = model.transform(X)
        found["inverse_transform"] = model.inverse_transform(codes)
        found["sample"] = model.sample(5, random_state=0)
        found["interpolate"] = model.interpolate(X[0], X[1], 3)
    for name in ATTRIBUTES:
        if hasattr(model, name):
            found[name] = getattr(model, name)
    if hasattr(model, "predict_proba"):
        found["features"] = model.pretrainer_.transform(X)
    if hasattr(model, "net_"):
        assert model.net_.module_ is model.module_
    return {
        name: one.toarray() if sp.issparse(one) else np.asarray(one)
        for name, one in found.items()
    }


def graph(model):
    """Return what a model's ONNX graph holds, if it may have one."""
    return to_onnx(model).SerializeToString(deterministic=True)


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, one in wanted.items():
        np.testing.assert_array_equal(found[name], one, err_msg=name, strict=True)


@contextmanager
def switched():
    """Switch on in torch what callers may, with what is wrong for us."""
    lower = torch.autocast("cpu", torch.bfloat16)
    with torch.device("meta"), lower, torch.inference_mode():
        yield


def test_every_estimator_is_asked():
    assert {type(model) for model in CORE.values()} >= set(public_estimators())


@pytest.mark.parametrize("name", CORE)
def test_fits_and_answers_are_the_same(name):
    X, model = table(), clone(CORE[name])
    if hasattr(model, "random_state"):
        model.set_params(random_state=0)
    for layer in layers(model):
        layer.set_params(random_state=0)
    wanted = fit(model, X)
    expected = answers(wanted, X)
    with switched():
        assert_same(answers(wanted, X), expected)
        found = fit(clone(model), X)
        assert_same(answers(found, X), expected)
        assert_same(answers(pickle.loads(pickle.dumps(wanted)), X), expected)
    assert_same(answers(found, X), expected)
    assert_same(answers(copy.deepcopy(found), X), expected)


def test_lower_precision_of_our_own_is_the_same():
    """Each step sees the weights of the step before, within the caller's autocast."""
    X = table()
    model = Autoencoder(2, dtype="bfloat16", max_iter=20, random_state=0)
    expected = answers(fit(clone(model), X), X)
    with switched():
        assert_same(answers(fit(model, X), X), expected)


@pytest.mark.parametrize(
    "name", [n for n in READING if hasattr(READING[n], "partial_fit")]
)
def test_partial_fit_is_the_same(name):
    X, model = table(), clone(READING[name]).set_params(random_state=0)
    y = np.arange(len(X)) % 2
    wanted, found = clone(model), clone(model)
    for rows in (slice(0, 12), slice(12, 24)):
        wanted.partial_fit(X[rows], y[rows])
        with switched():
            found.partial_fit(X[rows], y[rows])
    assert_same(answers(found, X), answers(wanted, X))


@pytest.mark.slow
def test_files_and_graphs_are_the_same(tmp_path):
    X, model = table(), clone(CORE["Autoencoder-float64"]).set_params(random_state=0)
    fit(model, X)
    save(model, tmp_path / "outside")
    wanted, expected = answers(model, X), graph(model)
    with switched():
        assert_same(answers(load(tmp_path / "outside"), X), wanted)
        save(model, tmp_path / "inside")
        assert graph(model) == expected
    assert_same(answers(load(tmp_path / "inside"), X), wanted)


@pytest.mark.parametrize(
    "name", ["Autoencoder", "KSparseAutoencoder", "VariationalAutoencoder"]
)
def test_sparse_rows_are_the_same(name):
    X = sp.csr_array(np.where(table() > 12, table(), 0.0))
    model = clone(CORE[name]).set_params(random_state=0)
    wanted = fit(clone(model), X)
    with switched():
        found = fit(model, X)
        codes, scores = found.transform(X), found.score_samples(X)
    codes, expected = (
        one.toarray() if sp.issparse(one) else one
        for one in (codes, wanted.transform(X))
    )
    np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(scores, wanted.score_samples(X))


def test_what_is_switched_on_stays_on():
    with torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
        fit(clone(CORE["Autoencoder"]), table())
        square = torch.ones(2, 2, device="cpu")
        assert torch.ones(1).is_meta
        assert (square @ square).dtype == torch.bfloat16


def test_corruptions_of_a_fit_draw_the_same():
    model = clone(CORE["Autoencoder"])
    model.set_params(corruption=GaussianNoise(), random_state=0)
    wanted = fit(clone(model), table()).transform(table())
    with switched():
        found = fit(model, table())
    np.testing.assert_array_equal(found.transform(table()), wanted)


@pytest.mark.slow
def test_the_package_can_be_imported_under_a_default_device():
    code = (
        "import torch; torch.set_default_device('meta'); import numpy as np;"
        "from sklearn_ae import Autoencoder;"
        "X = np.arange(40.0).reshape(10, 4) % 7;"
        "assert np.isfinite(Autoencoder(2, max_iter=1).fit(X).transform(X)).all();"
        "assert torch.ones(1).is_meta"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


MAKERS = {
    *("arange", "as_tensor", "asarray", "empty", "eye", "full", "linspace", "ones"),
    *("rand", "randint", "randn", "randperm", "scalar_tensor", "sparse_csr_tensor"),
    *("tensor", "tril_indices", "triu_indices", "zeros"),
}


def calls(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            value = node.func.value
            if isinstance(value, ast.Name) and value.id == "torch":
                yield node


PACKAGE = pathlib.Path(sklearn_ae.__file__).parent


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_nothing_is_made_without_a_device(path):
    for call in calls(path):
        given = [keyword.arg for keyword in call.keywords]
        if call.func.attr in MAKERS:
            assert "device" in given or None in given, ast.unparse(call)
        if call.func.attr == "Generator":
            assert call.args, ast.unparse(call)
