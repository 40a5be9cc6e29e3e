"""Graphs that compute what a fitted estimator does, to round-off."""

import logging
import sys
import threading

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from estimators import CORE, FAST, dtype_of, fit, is_codec, layers, table
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

import sklearn_ae
from sklearn_ae import (
    Autoencoder,
    AutoencoderOutlierDetector,
    DenoisingAutoencoder,
    SplitBrainAutoencoder,
    to_onnx,
)
from sklearn_ae.engine.onnx import OPSET, Function

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

#: Sums of some hundred terms, in another order, through some layers: each sum is a few
#: times the unit round-off off.
ROUND_OFFS = 30

METHODS = ("transform", "inverse_transform", "reconstruct", "predict_proba")


def fitted(name, **params):
    return fit(clone(FAST[name]).set_params(random_state=0, **params), table())


def given(model, method, X):
    """Return what the method takes, for rows X, in the dtype that the graph does."""
    rows = X.astype(dtype_of(model) if dtype_of(model) == "float64" else "float32")
    return dense(model.transform(rows)) if method == "inverse_transform" else rows


def dense(codes):
    return codes.toarray() if hasattr(codes, "toarray") else codes


def run(graph, rows):
    """Return what onnxruntime makes of rows, and check the graph's own words."""
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (taken,), (got,) = session.get_inputs(), session.get_outputs()
    assert taken.shape == ["n_samples", rows.shape[1]]
    (answer,) = session.run([got.name], {taken.name: rows})
    (first,) = session.run([got.name], {taken.name: rows[:1]})
    assert_same(first, answer[:1])
    assert got.shape == ["n_samples", answer.shape[1]]
    return answer


def assert_same(answer, expected):
    assert answer.dtype == expected.dtype
    limit = ROUND_OFFS * np.finfo(expected.dtype).eps * np.nanmax(np.abs(expected))
    np.testing.assert_allclose(answer, expected, rtol=0, atol=limit)


def check(model, method, X, graph=None):
    rows = given(model, method, X)
    graph = to_onnx(model, method=method) if graph is None else graph
    assert_same(run(graph, rows), expected(model, method, rows))


def expected(model, method, rows):
    """Return what the method gives, in the dtype that the graph gives it in."""
    return dense(getattr(model, method)(rows)).astype(rows.dtype)


# -- the same numbers --------------------------------------------------------------

WRITABLE = [name for name, model in CORE.items() if hasattr(model, "_answers")]

#: What takes different ways through the exporter; it takes seconds for each.
WAYS = {
    "linear path": ("Autoencoder", "reconstruct", {"hidden_layer_sizes": (8,)}),
    "switches": (
        "ConvolutionalAutoencoder",
        "reconstruct",
        {"image_shape": (5, 7), "unpooling": "switches", "kernel_size": 2},
    ),
    "stack": ("StackedAutoencoderPretrainer-mixed", "transform", {}),
    "float64": (
        "SplitBrainAutoencoder-classification",
        "reconstruct",
        {"hidden_layer_sizes": (8,)},
    ),
}


@pytest.mark.parametrize(
    "way",
    [
        *("linear path", "switches"),
        *(pytest.param(way, marks=pytest.mark.slow) for way in ("stack", "float64")),
    ],
)
def test_graph_is_the_method(way, untouched_global_state, capfd, caplog):
    name, method, params = WAYS[way]
    n_features = np.prod(params.get("image_shape", 5))
    X = table(24, n_features)
    model = fit(clone(FAST[name]).set_params(random_state=0, **params), X)
    check(model, method, table(11, n_features, seed=1))
    assert capfd.readouterr() == ("", "")
    assert [log for log in caplog.records if log.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("name", WRITABLE)
def test_what_is_exported_is_the_method(name):
    """For the exporter it is a module that knows units, and has no other method."""
    model = fitted(name)
    network, X = model._answering_module, table(7, seed=1)
    answers = model._answers(network)
    assert tuple(answers) == (METHODS[:3] if is_codec(model) else METHODS[3:])
    for method, answer in answers.items():
        function, rows = Function(network, answer), given(model, method, X)
        known = expected(model, method, rows)
        with torch.no_grad():
            assert_same(function(torch.tensor(rows)).numpy(), known)
    if name in TRACED:
        free = ({0: torch.export.Dim("n_samples")},)
        given_two = (function.example(),)
        program = torch.export.export(function, given_two, dynamic_shapes=free)
        got = program.module()(torch.tensor(rows)).detach().numpy()
        assert_same(got, known)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("Autoencoder", marks=pytest.mark.slow),
        "StackedAutoencoderClassifier",
    ],
)
def test_far_from_zero(name):
    """Rows are float64 where float32 would lose what was learned, and only there."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(60, 2))
    X = np.c_[1.7e9 + 5 * z[:, 0] * z[:, 1], 4.5e6 + 3 * z[:, 0], z[:, 1]]
    model = fit(clone(FAST[name]).set_params(random_state=0), X)
    new = X[:7] + rng.normal(size=(7, 3))
    if not is_codec(model):
        got = run(to_onnx(model), new)
        assert_same(got, model.predict_proba(new))
        return
    codes = model.transform(new)
    assert_same(run(to_onnx(model), new), codes)
    for method, given in (("reconstruct", new), ("inverse_transform", codes)):
        got = run(to_onnx(model, method=method), given)
        assert got.dtype == np.float64
        known = model.reconstruct(new)
        np.testing.assert_allclose(got - X.mean(0), known - X.mean(0), atol=1e-4)
        single = to_onnx(fit(clone(model), X.astype(np.float32)), method=method)
        assert run(single, given.astype(np.float32)).dtype == np.float32


#: Networks that no test above has written: it is seen that they can be followed.
TRACED = (
    "Autoencoder-tied",
    "AdversarialAutoencoder",
    "KSparseAutoencoder",
    "ImportanceWeightedAutoencoder-small",
    "StackedAutoencoderPretrainer",
)


@pytest.mark.parametrize("activation", ["gelu", "softplus"])
def test_float64_to_its_last_digits(activation):
    """Also where onnxruntime has the nonlinearity in float32 alone."""
    a = torch.linspace(-50, 50, 20001, dtype=torch.float64)[:, None]
    model = Autoencoder(
        1, hidden_layer_sizes=(), code_activation=activation, dtype="float64"
    )
    model.set_params(standardize=False, max_iter=1).fit(a.numpy())
    with torch.no_grad():
        for parameter in model.module_.encoder.parameters():
            parameter.fill_(float(parameter.ndim == 2))  # z = φ(x)
        got = Function(
            model._answering_module,
            model._answers(model._answering_module)["transform"],
        )(a)
    own = torch.tensor(model.transform(a.numpy()))
    for values in (own, got):  # of chunks and of all rows: digits that may differ
        error = (values - PHI[activation](a)).abs() / a.abs().clamp_min(1.0)
        assert error.max() < 10 * torch.finfo(torch.float64).eps


PHI = {"gelu": torch.nn.functional.gelu, "softplus": torch.nn.functional.softplus}


# -- what a graph says of itself, and a file ---------------------------------------


def test_file_and_description(tmp_path):
    X, path = table(), tmp_path / "encoder.onnx"
    X[::3, 1] = np.nan  # missing values
    model = DenoisingAutoencoder(max_iter=3, random_state=0).fit(X)
    graph = to_onnx(model, path)
    assert path.read_bytes() == graph.SerializeToString()
    check(model, "transform", X, onnx.load(path))
    assert {prop.key: prop.value for prop in graph.metadata_props} == {
        "estimator": "DenoisingAutoencoder",
        "method": "transform",
        "sklearn_ae": sklearn_ae.__version__,
    }
    (opset,) = graph.opset_import
    assert (opset.domain, opset.version) == ("", OPSET)
    assert [i.name for i in graph.graph.input] == ["X"]
    assert [o.name for o in graph.graph.output] == ["codes"]
    assert b".py" not in graph.SerializeToString()  # nor where it was made


# -- what else there is stays as it was --------------------------------------------


def test_beside_other_threads_and_modes():
    """Rows are encoded and models fitted by others while a graph is written."""
    model = fitted("StackedAutoencoderClassifier-stopping")
    known = model.predict_proba(table())
    codes = fitted("Autoencoder").transform(table())
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels, graphs, rounds = [log.level for log in logs], [], 0
    modules = [part.training for part in model._answering_module.modules()]

    def write():
        with torch.inference_mode():
            graphs.append(to_onnx(model))

    thread = threading.Thread(target=write)
    thread.start()
    while rounds == 0 or thread.is_alive():
        # to rounding: a matrix product may be split otherwise while others compute
        np.testing.assert_allclose(model.predict_proba(table()), known, rtol=1e-5)
        other = fitted("Autoencoder").transform(table())
        np.testing.assert_allclose(other, codes, rtol=1e-5, atol=1e-6)
        rounds += 1
    thread.join()
    check(model, "predict_proba", table(), *graphs)
    assert [part.training for part in model._answering_module.modules()] == modules
    assert all(p.grad is None for p in model._answering_module.parameters())
    assert [log.level for log in logs] == levels
    assert not torch.is_inference_mode_enabled()


# -- what is refused, before any work ----------------------------------------------


def test_all_but_detectors_are_written():
    kinds = {type(FAST[name]) for name in FAST} - {type(FAST[n]) for n in WRITABLE}
    assert kinds == {AutoencoderOutlierDetector}


@pytest.mark.parametrize("name", ["Autoencoder", "StackedAutoencoderClassifier"])
def test_not_fitted(name):
    with pytest.raises(NotFittedError):
        to_onnx(clone(FAST[name]))


@pytest.mark.parametrize(
    "other",
    [
        3,
        None,
        Autoencoder,
        make_pipeline(Autoencoder()),
        AutoencoderOutlierDetector(),
        np.zeros(3),
    ],
)
def test_not_ours(other):
    with pytest.raises(TypeError, match="to_onnx takes a fitted autoencoder"):
        to_onnx(other)


@pytest.mark.parametrize("method", [3, "encode", "predict_proba", ["transform"]])
def test_no_such_method(method):
    with pytest.raises(ValueError, match=r"'method' parameter of to_onnx must be"):
        to_onnx(fitted("Autoencoder"), method=method)


def test_near_method():
    with pytest.raises(ValueError, match="Did you mean 'inverse_transform'"):
        to_onnx(fitted("Autoencoder"), method="inverse_tranform")


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_not_installed(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn_ae\[onnx\]'"):
        to_onnx(fitted("Autoencoder"))


def test_no_convolutions_in_float64(tmp_path):
    model = fitted("ConvolutionalAutoencoder-tied")
    assert layers(model)[0].dtype == "float64"
    with pytest.raises(ValueError, match="no convolutions in float64"):
        to_onnx(model, tmp_path / "file")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("method", [None, "inverse_transform"])
def test_no_colours(method):
    X = np.random.default_rng(0).random((8, 48))
    model = SplitBrainAutoencoder(
        2, split="channels", image_shape=(4, 4, 3), max_iter=1, random_state=0
    ).fit(X)
    with pytest.raises(ValueError, match="split='channels' is not supported"):
        to_onnx(model, method=method)
