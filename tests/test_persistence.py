"""What is saved comes back as it was, or with an error; an earlier file is not lost.

Tests are named after the rows of the list of faults that they are about.
"""

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import weakref

import joblib
import numpy as np
import pytest
import skops.io
import torch
from estimators import (
    CORE,
    FAST,
    SINGLE,
    counts,
    fit,
    kept,
    labels,
    table,
    trainers,
)
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_ae
from sklearn_ae import L1, Autoencoder, Masking, load, save
from sklearn_ae.engine import packing
from sklearn_ae.engine.state import checksum

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fitted(name="Autoencoder", **params):
    return fit(clone(FAST[name]).set_params(random_state=0, **params), table())


def alone(name):
    """Return a fitted model that others are asked about too: to be left as it is."""
    return kept(clone(FAST[name]).set_params(random_state=0), table())


def through_pickle(model, path):
    path.write_bytes(pickle.dumps(model))
    return pickle.loads(path.read_bytes())


def through_joblib(model, path):
    joblib.dump(model, path)
    return joblib.load(path)


def through_skops(model, path):
    save(model, path)
    return load(path)


WAYS = {"pickle": through_pickle, "joblib": through_joblib, "skops": through_skops}
ways = pytest.mark.parametrize("way", WAYS)
#: Those that keep different things are kept in all ways, of the others one of each
#: kind in a file, where types are looked at.
FIVE = [
    "Autoencoder",
    "AutoencoderOutlierDetector-score",
    "GeneralizedAutoencoder-class",
    "StackedAutoencoderClassifier-stopping",
    "VariationalAutoencoder-density",
]


def each(names, in_file=()):
    """Return the ways in which these configurations are kept, as test parameters."""
    cases = [(name, way) for name in FIVE if name in names for way in WAYS]
    cases += [
        (name, "skops" if name in in_file else "pickle")
        for name in names
        if name not in FIVE
    ]
    return pytest.mark.parametrize(("name", "way"), cases)


#: What fitted models are asked, those of them that can answer.
METHODS = ("transform", "reconstruct", "score_samples", "predict", "predict_proba")
ATTRIBUTES = ("loss_curve_", "validation_loss_curve_", "validation_scores_", "n_iter_")


def answers(model, X=None):
    """Return everything that a fitted model says, as comparable values."""
    X = table() if X is None else X
    arrays = [getattr(model, name)(X) for name in METHODS if hasattr(model, name)]
    values = [getattr(model, n) for n in ATTRIBUTES if hasattr(model, n)]
    history = getattr(model, "history_", {})
    values += [{k: v.tolist() for k, v in history.items()}, model.n_features_in_]
    if hasattr(model, "inverse_transform"):
        arrays += [model.inverse_transform(model.transform(X))]
        arrays += [model.sample(3, random_state=0)]
        values += [list(model.get_feature_names_out())]
    return [*values, *((a.tobytes(), str(a.dtype)) for a in arrays)]


@each(FAST, in_file=CORE)
def test_round_trip(name, way, tmp_path):
    """What comes back answers alike, and once it is trained again too."""
    model = alone(name)
    back = WAYS[way](model, tmp_path / "model")
    assert answers(back) == answers(model)
    assert repr(back) == repr(model)
    if name == "Autoencoder-linear":
        np.testing.assert_array_equal(back.components_, model.components_)
        np.testing.assert_array_equal(back.mean_, model.mean_)
    assert answers(fit(back, table())) == answers(model)


@pytest.mark.parametrize("name", CORE)
def test_skops_alone_asks_to_trust_our_types_and_no_others(name):
    model = alone(name)
    data = skops.io.dumps(model)
    types = skops.io.get_untrusted_types(data=data)
    assert {kind.split(".")[0] for kind in types} == {"sklearn_ae"}
    assert answers(skops.io.loads(data, trusted=types)) == answers(model)


@ways
def test_round_trip_of_sparse(way, tmp_path):
    model = Autoencoder(max_iter=3, random_state=0).fit(counts())
    back = WAYS[way](model, tmp_path / "model")
    np.testing.assert_array_equal(back.transform(counts()), model.transform(counts()))


@each(SINGLE)
def test_what_comes_back_can_be_trained_on(name, way, tmp_path):
    """Both go on from where they were, with the optimiser's moments."""
    X, y = table(), labels()
    model = fitted(name).partial_fit(X, y)
    back = WAYS[way](model, tmp_path / "model")
    assert answers(back.partial_fit(X, y)) == answers(model.partial_fit(X, y))


@ways
def test_not_fitted(way, tmp_path):
    model = Autoencoder(3, penalties=L1(weight=0.5), corruption=Masking())
    back = WAYS[way](model, tmp_path / "model")
    assert repr(back) == repr(model)


@pytest.mark.parametrize(
    "params", [{"verbose": "a"}, {"solver": "nonsense"}, {"max_iter": None}]
)
def test_params_set_after_fit(params):
    """They are for the next fit: what was learned does not depend on them."""
    model = fitted()
    expected = answers(model)
    model.set_params(**params)
    assert answers(model) == expected
    assert answers(pickle.loads(pickle.dumps(model))) == expected


@ways
def test_pipeline(way, tmp_path):
    y = np.arange(24) % 2
    steps = [StandardScaler(), Autoencoder(max_iter=3, random_state=0)]
    steps += [LogisticRegression()]
    model = make_pipeline(*steps).fit(table(), y)
    back = WAYS[way](model, tmp_path / "model")
    np.testing.assert_array_equal(
        back.predict_proba(table()), model.predict_proba(table())
    )


@pytest.mark.parametrize("name", CORE)
def test_pickle_is_about_the_size_of_the_parameters(name):
    """And holds no training data: 1000 rows of float64 are 320 kB, beyond any slack."""
    X = table(1000, 40)
    model = clone(FAST[name]).set_params(random_state=0)
    for part in trainers(model):
        part.set_params(max_iter=1)
    modules = [part.module_ for part in learners(fit(model, X))]
    size = sum(p.numel() * p.element_size() for m in modules for p in m.parameters())
    for usual in getattr(model, "_densities", ()):
        size += sum(axes.components_.nbytes for axes in usual._axes)
        size += sum(level[0].precisions_cholesky_.nbytes for level in usual._levels)
    assert len(pickle.dumps(model)) <= 1.1 * size + 20_000 * len(modules)


def learners(model):
    """Return the fitted autoencoders in a fitted estimator."""
    return getattr(getattr(model, "pretrainer_", model), "estimators_", [model])


def test_fitted_model_keeps_no_training_data():
    X = np.asarray(table(), order="C")
    reference = weakref.ref(X)
    model = Autoencoder(max_iter=2, early_stopping=True).fit(X)
    del X
    gc.collect()
    assert reference() is None
    assert model.n_iter_ <= 2


# -- damage ----------------------------------------------------------------------


@ways
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_74_truncated_file(way, share, tmp_path):
    path = tmp_path / "model"
    WAYS[way](fitted(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    read = {"pickle": read_pickle, "joblib": joblib.load, "skops": load}[way]
    with pytest.raises(Exception):  # noqa: B017  (each format has its own)
        read(path)


def test_74_truncated_skops_file_names_the_file(tmp_path):
    path = tmp_path / "model.skops"
    save(fitted(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.skops"):
        load(path)


def read_pickle(path):
    return pickle.loads(path.read_bytes())


def small():
    return Autoencoder(
        1, hidden_layer_sizes=(3,), max_iter=2, random_state=0, penalties=L1(weight=0.5)
    ).fit(table())


@pytest.mark.filterwarnings("ignore")  # a damaged file may warn before it is refused
@ways
def test_75_flipped_byte(way, tmp_path):
    """At whatever place: an error, or a model that says and holds the same."""
    path = tmp_path / "model"
    model = small()
    WAYS[way](model, path)
    content = path.read_bytes()
    read = {"pickle": read_pickle, "joblib": joblib.load, "skops": load}[way]
    expected = [*answers(model), model.get_params(deep=False)["tol"], repr(model)]
    silently, refused = [], 0
    stride = 23 if way != "skops" else 307  # prime to the 8-byte words of an array
    for place in range(0, len(content), stride):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(bytes(damaged))
        try:
            back = read(path)
            now = [*answers(back), back.get_params(deep=False)["tol"], repr(back)]
        except Exception:
            refused += 1
            continue
        if now != expected:
            silently.append((place, content[max(place - 24, 0) : place + 8]))
    assert not silently, f"{len(silently)} silently wrong: {silently[:6]}"
    assert refused > 0.5 * len(content) / stride


@pytest.mark.parametrize("value", ["weights", "units", "code_moments", "history"])
def test_75_changed_state_is_refused(value):
    """The checksum covers all that was learned."""
    model = fitted()
    state = model.__getstate__()
    fit = state["_fit"] = dict(state["_fit"])
    if value == "weights":
        name = next(iter(fit["weights"]))
        fit["weights"] = {**fit["weights"], name: fit["weights"][name] + 1}
    elif value == "units":
        fit["units"] = type(fit["units"])(fit["units"].shift, fit["units"].scale * 2)
    elif value == "code_moments":
        n_rows, mean, covariance = fit["code_moments"]
        fit["code_moments"] = (n_rows, mean, covariance * 2)
    else:
        fit["history"] = {k: v + 1 for k, v in fit["history"].items()}
    with pytest.raises(ValueError, match=r"damaged.*checksum"):
        Autoencoder.__new__(Autoencoder).__setstate__(state)


def test_checksum_tells_values_apart():
    values = [
        None,
        0,
        1,
        1.0,
        "1",
        True,
        [],
        [1],
        [1, 2],
        [[1], 2],
        [1, [2]],
        ["12"],
        ["1", "2"],
        {},
        {"a": 1},
        {"a": 2},
        {"b": 1},
        {"a": {"b": 1}},
        np.zeros(2),
        np.zeros(3),
        np.zeros((1, 2)),
        np.zeros(2, np.float32),
        np.zeros(4, np.float32),
        np.array([0.0, -0.0]),
        L1(weight=1.0),
        L1(weight=2.0),
        Masking(noise_level=1.0),
    ]
    sums = [checksum(value) for value in values]
    same = {i for i, s in enumerate(sums) if sums.count(s) > 1}
    assert not same, [values[i] for i in same]
    assert checksum({"a": 1, "b": [2]}) == checksum({"b": [2], "a": 1})
    assert checksum(np.arange(6).reshape(2, 3).T) == checksum(
        np.ascontiguousarray(np.arange(6).reshape(2, 3).T)
    )


# -- killed while saving ---------------------------------------------------------


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_77_failure_while_saving(call, error, tmp_path, monkeypatch):
    path = tmp_path / "model.skops"
    earlier = fitted()
    save(earlier, path)

    def broken(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, call, broken)
        with pytest.raises(type(error)):
            save(small(), path)
    assert answers(load(path)) == answers(earlier)
    assert os.listdir(tmp_path) == ["model.skops"]  # nothing is left lying about


def test_77_object_that_cannot_be_saved(tmp_path):
    path = tmp_path / "model.skops"
    save(fitted(), path)
    before = path.read_bytes()
    with pytest.raises(Exception):  # noqa: B017  (skops has its own)
        save(Autoencoder(random_state=(i for i in range(3))), path)
    assert path.read_bytes() == before


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_77_killed_while_saving(tmp_path):
    path = tmp_path / "model.skops"
    earlier = fitted()
    save(earlier, path)
    code = """
        import os, signal, sys
        from sklearn_ae import Autoencoder, load, save
        model = load(sys.argv[1]).set_params(tol=0.5)
        os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
        save(model, sys.argv[1])
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], timeout=120
    )
    assert ended.returncode == -signal.SIGKILL
    assert answers(load(path)) == answers(earlier)


def test_save_keeps_the_name_and_the_permissions(tmp_path):
    path = tmp_path / "model.skops"
    save(fitted(), str(path))
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert path.stat().st_mode == plain.stat().st_mode


# -- a safe format ---------------------------------------------------------------


class Unknown:
    """A type that no one has vouched for."""


def test_79_unknown_types_are_refused(tmp_path):
    path = tmp_path / "model.skops"
    name = f"{Unknown.__module__}.Unknown"
    save(fitted().set_params(tol=Unknown()), path, trusted=[name])
    with pytest.raises(ValueError, match="Unknown"):
        load(path)
    assert isinstance(load(path, trusted=(name,)).tol, Unknown)


def test_79_malicious_file_runs_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "owned"),))

    path = tmp_path / "model.skops"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match=r"model\.skops"):
        load(path)
    assert not (tmp_path / "owned").exists()


def test_79_the_danger_of_pickles_is_documented():
    assert "pickle" in sklearn_ae.save.__doc__


# -- devices ---------------------------------------------------------------------


@ways
def test_81_saved_on_an_accelerator_that_is_absent(way, tmp_path, monkeypatch):
    model = fitted()
    expected = model.transform(table())
    packed = packing.pack

    def elsewhere(estimator, kept):
        return {**packed(estimator, kept), "device_": "cuda:99"}

    monkeypatch.setattr(packing, "pack", elsewhere)
    with pytest.warns(UserWarning, match=r"'cuda:99'.*not available.*CPU"):
        back = WAYS[way](model, tmp_path / "model")
    np.testing.assert_array_equal(back.transform(table()), expected)
    assert back.partial_fit(table()).transform(table()).shape == expected.shape


def test_loading_leaves_the_global_random_state(untouched_global_state):
    pickle.loads(pickle.dumps(fitted())).sample(2)


def test_copy_is_independent():
    model = fitted()
    expected = answers(model)
    copied = copy.deepcopy(model)
    assert answers(copied) == expected
    copied.partial_fit(table())
    assert answers(model) == expected
    assert answers(copied) != expected
    with torch.no_grad():
        next(copied.module_.parameters()).zero_()
    assert answers(model) == expected
