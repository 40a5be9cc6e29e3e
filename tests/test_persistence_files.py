"""What ``docs/persistence.rst`` says that a file promises, line by line."""

import copy
import errno
import io
import json
import os
import pickle
import re
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import skops.io
import torch
from estimators import FAST, READING, SINGLE, answer, counts, fit, kept, labels, table
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neighbors import BallTree, KDTree, KernelDensity, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import (
    EarlyStopping,
    EpochTimer,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
)

from sklearn_ae import (
    L1,
    AdversarialAutoencoder,
    Autoencoder,
    AutoencoderOutlierDetector,
    GeneralizedAutoencoder,
    Masking,
    StackedAutoencoderClassifier,
    StackedAutoencoderPretrainer,
    load,
    save,
    to_onnx,
)
from sklearn_ae.engine import files, persistence
from sklearn_ae.engine.state import checksum
from sklearn_ae.engine.trees import Rebuilt

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PAGE = Path(__file__).parents[1] / "docs" / "persistence.rst"
#: For each line of the page, what the names of its tests begin with.
PROMISES = {
    "All or nothing.": "test_all_or_nothing",
    "Nothing is left behind.": "test_left_behind",
    "Permissions and links.": "test_permissions_and_links",
    "What load refuses is not written.": "test_not_written",
    "During a fit.": "test_during_a_fit",
    "Without callbacks.": "test_without_callbacks",
    f"Layout {persistence.LAYOUT}.": "test_layout",
    "No larger than it is.": "test_no_larger",
    "Shapes before memory.": "test_shapes",
    "Numbers that fit.": "test_numbers",
    "Undamaged.": "test_undamaged",
    "Whole.": "test_whole",
    "Types.": "test_types",
    "Trees are built again.": "test_trees",
}


def test_each_line_has_a_test():
    page = PAGE.read_text(encoding="utf-8")
    section = page.split("What a file promises\n")[1].split("What is not promised")[0]
    assert re.findall(r"^- \*\*(.*?)\*\*", section, re.M) == list(PROMISES)
    for begin in PROMISES.values():
        assert any(name.startswith(begin) for name in globals()), begin


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skops"


def small(**params):
    params = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0, **params}
    return Autoencoder(2, **params).fit(table())


def same(first, second):
    np.testing.assert_array_equal(answer(first, table()), answer(second, table()))


def forged(model, change):
    """Return the bytes of a file of another state, with a checksum of its own."""
    state = copy.deepcopy(model.__getstate__())
    change(state)
    if "_checksum" in state:
        state["_checksum"] = persistence._checksum(state)
    kind = type(model)
    fake = type(kind.__name__, (), {"__getstate__": lambda self: state})
    fake.__module__ = kind.__module__
    return skops.io.dumps(fake())


def refused(path, data, words, state=None):
    """Assert that a file is refused, in words."""
    path.write_bytes(data)
    with pytest.raises(ValueError, match=words):
        load(path)


def refused_both(path, model, change, words):
    """Assert that another state is refused, in a file and in a pickle."""
    refused(path, forged(model, change), words)
    state = copy.deepcopy(model.__getstate__())
    change(state)
    state["_checksum"] = persistence._checksum(state)
    with pytest.raises(ValueError, match=words):
        type(model).__new__(type(model)).__setstate__(state)


# -- when it is written ------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "call"),
    [(save, "write"), (save, "fsync"), (save, "replace"), (to_onnx, "write")],
)
def test_all_or_nothing(write, call, path, monkeypatch):
    model = small()
    path.write_bytes(b"as it was")
    real = os.write

    def full(*args):
        if call == "write" and len(args[1]) > 100:
            return real(args[0], args[1][:100])  # a part of it, and then
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space left"):
            write(model, path)
    assert path.read_bytes() == b"as it was"
    assert os.listdir(path.parent) == [path.name]


def test_all_or_nothing_folder_is_synced(path, monkeypatch):
    synced, real = [], os.fsync

    def fsync(handle):
        synced.append((stat.S_ISDIR(os.fstat(handle).st_mode), path.exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    save(small(), path)
    assert synced[0] == (False, False)
    assert synced[-1][1]  # what is synced last is the folder, and the file is in it
    if os.name == "posix":
        assert synced[-1] == (True, True)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_left_behind_is_taken_away(path):
    code = """
        import importlib.util, os, signal, sys
        spec = importlib.util.spec_from_file_location("files", sys.argv[2])
        files = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(files)
        os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
        files.write(sys.argv[1], b"never there")
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path), files.__file__],
        timeout=120,
    )
    assert ended.returncode == -signal.SIGKILL
    (left,) = os.listdir(path.parent)
    assert re.fullmatch(r"\.sklearn_ae-.*\.part", left)
    save(small(), path)
    assert os.listdir(path.parent) == [path.name]


def test_left_behind_is_not_what_others_still_write(path, monkeypatch):
    """Whoever comes while a file is written leaves the temporary one alone."""
    real, first = os.replace, []

    def replace(temporary, place):
        if not first:
            first.append(temporary)
            files.write(path.with_name("other"), b"other")
            assert os.path.exists(temporary)
        real(temporary, place)

    monkeypatch.setattr(os, "replace", replace)
    files.write(path, b"content")
    assert path.read_bytes() == b"content"
    assert sorted(os.listdir(path.parent)) == ["model.skops", "other"]


def test_left_behind_of_a_file_taken_while_it_is_locked(path, monkeypatch):
    """Another takes the temporary file away before it is locked: it is made again."""
    real, taken = files._lock, []

    def lock(handle):
        (name,) = (n for n in os.listdir(path.parent) if n.endswith(".part"))
        if not taken:
            taken.append(name)
            os.unlink(path.parent / name)
        return real(handle)

    monkeypatch.setattr(files, "_lock", lock)
    files.write(path, b"content")
    assert taken
    assert path.read_bytes() == b"content"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666])
def test_permissions_and_links_first_byte(mode, path, monkeypatch):
    path.write_bytes(b"")
    path.chmod(mode)
    seen, real = [], os.write

    def write(handle, data):
        seen.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return real(handle, data)

    monkeypatch.setattr(os, "write", write)
    files.write(path, b"secret")
    assert set(seen) == {mode}
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("there", [True, False])
def test_permissions_and_links_followed(there, path):
    target, link = path.with_name("target"), path.with_name("link")
    if there:
        target.write_bytes(b"")
    link.symlink_to(target)
    model = small()
    save(model, link)
    assert link.is_symlink()
    same(load(target), model)


def test_permissions_and_links_in_a_circle(path):
    path.symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        save(small(), path)
    assert path.is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_permissions_and_links_of_what_is_no_file(path):
    os.mkfifo(path)
    for call in (lambda: save(small(), path), lambda: load(path)):
        with pytest.raises(OSError, match="Not a regular file"):
            call()
    assert stat.S_ISFIFO(path.stat().st_mode)
    with pytest.raises(IsADirectoryError):
        save(small(), path.parent)


@pytest.mark.parametrize("length", [239, 255])
def test_all_or_nothing_with_long_names(length, path):
    long = path.with_name("x" * length)
    files.write(long, b"content")
    assert long.read_bytes() == b"content"


def ring(n_samples, random_state):
    return random_state.normal(size=(n_samples, 2))


def adversary(prior):
    model = AdversarialAutoencoder(2, hidden_layer_sizes=(3,), prior=prior, max_iter=1)
    return model.fit(table())


NOT_TRUSTED = {
    "function": (lambda: adversary(ring), r"test_persistence_files\.ring"),
    "lambda": (lambda: adversary(lambda n, r: ring(n, r)), r"<lambda>.*module"),
    "skorch": (
        lambda: small(callbacks=[("timer", EpochTimer())]),
        r"skorch\.callbacks\.logging\.EpochTimer",
    ),
    "forest": (
        lambda: make_pipeline(small(), RandomForestClassifier(2, random_state=0)).fit(
            table(), labels() == 0
        ),
        r"sklearn\.tree\._tree\.Tree",
    ),
}


@pytest.mark.parametrize("name", NOT_TRUSTED)
def test_not_written(name, path):
    make, words = NOT_TRUSTED[name]
    path.write_bytes(b"as it was")
    with pytest.raises(ValueError, match=f"(?s)Cannot save.*{words}"):
        save(make(), path)
    assert path.read_bytes() == b"as it was"


def test_not_written_says_of_a_lambda_what_to_do_and_of_others_what_to_trust(path):
    def message(prior):
        with pytest.raises(ValueError) as told:
            save(adversary(prior), path)
        return str(told.value)

    assert "lambda" not in message(ring)
    assert "trusted=" in message(ring)
    assert "trusted=" not in message(lambda n, r: ring(n, r))

    def inner(n_samples, random_state):
        return ring(n_samples, random_state)

    assert "trusted=" not in message(inner)
    assert "inner cannot be saved" in message(inner)


@pytest.mark.parametrize("name", ["function", "skorch", "forest"])
def test_types_that_are_named(name, path):
    model, words = NOT_TRUSTED[name][0](), NOT_TRUSTED[name][1].replace("\\", "")
    save(model, path, trusted=[words])
    with pytest.raises(ValueError, match=f"(?s)Cannot load.*trusted=.*{words}"):
        load(path)
    back = load(path, trusted=[words])
    assert type(back) is type(model)


@pytest.mark.parametrize(
    "callback",
    [
        EarlyStopping(monitor="train_loss"),
        GradientNormClipping(1.0),
        LRScheduler("StepLR", step_size=2),
        PassthroughScoring("train_loss", on_train=True),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_callbacks_that_touch_no_files_are_kept(callback, path):
    model = small(callbacks=[callback])
    back = through_file(model, path)
    (kept,), (given,) = back.callbacks, model.callbacks
    assert type(kept) is type(given) and kept.get_params() == given.get_params()
    assert back.fit(table()).n_iter_


def test_not_written_that_does_not_fit_together(path):
    model = small()
    path.write_bytes(b"as it was")
    model.n_features_in_ = 4
    with pytest.raises(
        ValueError, match=r"Cannot save.*shape .5, 2., where the network"
    ):
        save(model, path)
    assert path.read_bytes() == b"as it was"


class Saves:
    """A callback that saves whatever it is given, and reads it again."""

    max_propagation_depth = None

    def __init__(self, path):
        self.path, self.outer, self.n_fitted = path, None, 0

    def setup(self, estimator, context):
        self.outer = self.outer or estimator

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.take(estimator)

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.take(estimator)
        self.take(self.outer)
        if fitted_estimator is not None:
            self.n_fitted += 1
            self.take(fitted_estimator)

    def take(self, estimator):
        for back in (through_file(estimator, self.path), through_pickle(estimator)):
            assert type(back) is type(estimator)

    def __reduce__(self):
        return Saves, (self.path,)


def through_file(model, path):
    save(model, path)
    return load(path)


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


TINY = Autoencoder(2, hidden_layer_sizes=(3,), max_iter=1, random_state=0)
DURING = {
    "autoencoder": TINY,
    "labels": GeneralizedAutoencoder(
        2, relation="class", unlabeled=-1, hidden_layer_sizes=(3,), max_iter=1
    ),
    "detector": AutoencoderOutlierDetector(TINY, contamination=0.1),
    "classifier": StackedAutoencoderClassifier(
        StackedAutoencoderPretrainer(TINY, layer_sizes=(2,)), max_iter=1, unlabeled=-1
    ),
}


@pytest.mark.parametrize("name", DURING)
def test_during_a_fit(name, path):
    saves = Saves(path)
    model = clone(DURING[name]).set_callbacks(saves)
    fit(model, table())
    fit(model, table(30))
    assert saves.n_fitted


@pytest.mark.parametrize("around", ["pipeline", "search"])
def test_during_a_fit_around_it(around, path):
    outer = make_pipeline(StandardScaler(), clone(TINY))
    if around == "search":
        outer = GridSearchCV(clone(TINY), {"alpha": [0.0]}, cv=2)
    outer.set_callbacks(Outer(path)).fit(table())
    assert through_file(outer, path).get_params().keys() == outer.get_params().keys()


class Outer(Saves):
    """Saves only to a file: scikit-learn's pickles have what belongs to a fit."""

    def take(self, estimator):
        through_file(estimator, self.path)


class Keeps(Saves):
    """Keeps what a fit hands over after each of its steps, read again from a file."""

    def __init__(self, path):
        super().__init__(path)
        self.kept = []

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if fitted_estimator is not None:
            self.kept.append(through_file(fitted_estimator, self.path))


def test_during_a_fit_what_is_kept_can_be_used(path):
    keeps = Keeps(path)
    model = Autoencoder(2, hidden_layer_sizes=(3,), max_iter=3, random_state=0)
    model.set_callbacks(keeps).fit(table())
    kept = keeps.kept
    assert [one.n_iter_ for one in kept] == [1, 2, 3]
    same(kept[-1], model)
    assert kept[0].sample(2, random_state=0).shape == (2, 5)
    assert kept[1].partial_fit(table()).n_iter_ == 3


@pytest.mark.parametrize("name", DURING)
def test_during_a_refit_to_rows_without_names(name, path):
    """What a callback is given is of these rows, though the earlier fit had names."""
    keeps, X = Keeps(path), table()
    names = [f"x{number}" for number in range(X.shape[1])]
    model = fit(clone(DURING[name]), pd.DataFrame(X, columns=names))
    fit(model.set_callbacks(keeps), X)
    assert all(getattr(one, "feature_names_in_", None) is None for one in keeps.kept)


def test_during_a_fit_rows_count_by_their_weights(path):
    keeps, X = Keeps(path), table()
    weight = np.where(np.arange(len(X)) < 3, 1000.0, 1.0)
    model = Autoencoder(2, hidden_layer_sizes=(3,), max_iter=1, random_state=0)
    model.set_callbacks(keeps).fit(X, sample_weight=weight)
    for found, mean in zip(
        keeps.kept[-1]._fit.code_moments[:2], model._fit.code_moments, strict=False
    ):
        np.testing.assert_allclose(found, mean, rtol=1e-4, atol=1e-4)


def test_during_a_fit_in_another_thread(path):
    model = small(max_iter=100)
    expected = model.transform(table())
    thread = threading.Thread(target=model.fit, args=(table(),))
    thread.start()
    while True:
        last = not thread.is_alive()
        save(model, path)
        np.testing.assert_array_equal(load(path).transform(table()), expected)
        if last:
            break
    thread.join()


def test_without_callbacks(path, capsys):
    model = clone(TINY).set_callbacks(ProgressBar()).fit(table())
    for one in (model, make_pipeline(StandardScaler(), model)):
        back = through_file(one, path)
        for part in (back, getattr(back, "steps", [("", back)])[-1][1]):
            assert not hasattr(part, "_skl_callbacks")
    assert model._skl_callbacks  # and it keeps its own
    assert through_pickle(model)._skl_callbacks


def test_without_callbacks_of_a_monitor(path):
    scores = {"score": lambda estimator, X, y: estimator.score(X)}
    model = Autoencoder(2, hidden_layer_sizes=(3,), max_iter=2, random_state=0)
    model.set_callbacks(ScoringMonitor(scoring=scores)).fit(table(), np.zeros(24))
    same(through_file(model, path), model)


# -- when it is read ---------------------------------------------------------------


@pytest.mark.parametrize("name", READING)
def test_layout_of_another_number(name, path):
    model = kept(clone(FAST[name]).set_params(random_state=0), table())
    words = rf"layout 99, and this version .* layout {persistence.LAYOUT}"
    refused_both(path, model, lambda state: state.update(_layout=99), words)
    words = rf"layout 1, and this version .* layout {persistence.LAYOUT}"
    refused_both(path, model, lambda state: state.pop("_layout"), words)


def rewritten(data, change, compression=zipfile.ZIP_STORED):
    """Return an archive with other members."""
    with zipfile.ZipFile(io.BytesIO(data)) as given:
        members = {name: given.read(name) for name in given.namelist()}
    change(members)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_no_larger_by_compression(path):
    save(small(), path)
    data = rewritten(path.read_bytes(), lambda members: None, zipfile.ZIP_DEFLATED)
    refused(path, data, "compressed")


def test_no_larger_by_a_bomb(path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * 10**7)
    refused(path, out.getvalue(), "compressed")


@pytest.mark.parametrize("shape", [(10**15,), (2**40, 2**40), (3, 10**9), (-5,)])
def test_no_larger_than_an_array_says(shape, path):
    save(small(), path)

    def claim(members):
        name = next(name for name in members if name.endswith(".npy"))
        header = io.BytesIO()
        about = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, about)
        members[name] = header.getvalue() + b"\0" * 64

    refused(path, rewritten(path.read_bytes(), claim), "not of the size")


def test_no_larger_by_reading_again(path):
    """Each node that refers to a member reads it: many would read it many times."""
    save(small(), path)

    def again(members):
        schema = json.loads(members["schema.json"])
        fit = schema["content"]["content"]["_fit"]["content"]
        kept = fit["weights"]["content"]
        kept["again"] = {**next(iter(kept.values())), "__id__": 1}
        members["schema.json"] = json.dumps(schema).encode()

    refused(path, rewritten(path.read_bytes(), again), "again and again")


def test_no_larger_by_references(path):
    """Lists of two times the same list, some 40 deep, have 2⁴⁰ entries."""
    save(small(), path)

    def listed(number, content):
        about = {"__class__": "list", "__module__": "builtins", "__id__": number}
        return {**about, "__loader__": "ListNode", "content": content}

    def doubled(members):
        node = listed(1, [])
        for number in range(2, 42):
            node = listed(number, [node, listed(number - 1, [])])
        members["schema.json"] = json.dumps({**node, "protocol": 2}).encode()

    refused(path, rewritten(path.read_bytes(), doubled), "more in it than is written")


def test_no_larger_by_itself(path):
    save(small(), path)
    about = {"__class__": "list", "__module__": "builtins", "__id__": 1}
    about |= {"__loader__": "ListNode", "protocol": 2}

    def circle(members):
        inner = {**about, "content": []}
        middle = {**about, "__id__": 2, "content": [inner]}
        outer = {**about, "content": [middle]}
        members["schema.json"] = json.dumps(outer).encode()

    refused(path, rewritten(path.read_bytes(), circle), "held by itself")


def sparse_stream():
    """Return a model that has sparse rows in it: those of a young stream."""
    model = Autoencoder(2, hidden_layer_sizes=(3,), max_iter=2, random_state=0)
    return model.partial_fit(counts(10))


def test_no_larger_by_sparse_arrays(path):
    model = sparse_stream()
    back = through_file(model, path)
    np.testing.assert_array_equal(back.transform(counts()), model.transform(counts()))

    def other(members, array):
        name = next(name for name in members if name.endswith(".npz"))
        out = io.BytesIO()
        sp.save_npz(out, array)
        members[name] = out.getvalue()

    data = path.read_bytes()
    outside = counts(10)
    outside.indices[0] = 10**6
    refused(path, rewritten(data, lambda m: other(m, outside)), "Cannot load")
    many = sp.csr_array((np.ones(3 * 10**6), np.zeros(3 * 10**6, int), [0, 3 * 10**6]))
    refused(path, rewritten(data, lambda m: other(m, many)), "grows too much")


def test_shapes_of_a_claimed_network(path):
    """It would take 3.6 GB: shapes are known before there is memory for them."""
    sizes = (30000, 30000)

    def claim(state):
        state["_fit"]["asked"] = {"hidden_layer_sizes": sizes}

    words = "weights are those of another|the network has"
    refused_both(path, small(), claim, words)

    def wide(state):
        state["n_features_in_"] = 10**12

    refused_both(path, small(), wide, "weights are too few")


def test_shapes_of_many_layers(path):
    """Each of a million layers would be built, though none of them has weights."""

    def claim(state):
        state["_fit"]["asked"] = {"hidden_layer_sizes": np.ones(10**6, np.int8)}

    refused_both(path, small(), claim, "weights are too few")


@pytest.mark.parametrize("device", [None, "cpu"])
def test_shapes_take_no_memory(device):
    """Wherever tensors are told to be made."""
    from sklearn_ae.engine.consistency import check_module

    def build():
        module = torch.nn.Module()
        big = torch.empty(10**6, 10**6, device=device)
        module.register_buffer("big", big)
        if bool((big != 1.0).any()) or float(big.max()) or big.sum().item():
            raise AssertionError
        return module

    with pytest.raises(
        ValueError, match=r"shape \(2,\), where .* \(1000000, 1000000\)"
    ):
        check_module(build, {"big": np.zeros(2, np.float32)}, 1)


@pytest.mark.parametrize("name", SINGLE)
def test_shapes_are_those_of_every_network(name):
    """Built without memory, a network has the parameters and buffers that it has."""
    model = kept(clone(FAST[name]).set_params(random_state=0), table())
    through_pickle(model)
    state = model.__getstate__()
    weights = dict(state["_fit"]["weights"])
    first = max(weights, key=lambda name: weights[name].size)
    state["_fit"]["weights"] = {**weights, first: weights[first][:-1]}
    state["_checksum"] = persistence._checksum(state)
    with pytest.raises(ValueError, match=re.escape(first)):
        type(model).__new__(type(model)).__setstate__(state)


def weights(change):
    def changed(state):
        kept = state["_fit"]["weights"]
        state["_fit"]["weights"] = {name: change(it) for name, it in kept.items()}

    return changed


def units(**change):
    def changed(state):
        was = state["_fit"]["units"]
        state["_fit"]["units"] = type(was)(**{**vars(was), **change})

    return changed


def put(**values):
    return lambda state: state.update(values)


def put_in_fit(**values):
    return lambda state: state["_fit"].update(values)


def within(name, change):
    def changed(state):
        held = state if name in state else state["_fit"]
        held[name] = copy.deepcopy(held[name])
        new = change(held[name])
        held[name] = held[name] if new is None else new

    return changed


WRONG = {
    "NaN": (weights(lambda a: np.asarray(a * np.nan)), "not finite"),
    "infinite": (weights(lambda a: np.asarray(a + np.inf)), "not finite"),
    "whole": (weights(lambda a: np.ones(a.shape, np.int8)), "int8"),
    "complex": (weights(lambda a: np.asarray(a + 1j)), "complex"),
    "bool": (weights(lambda a: np.asarray(a > 0)), "bool"),
    "one less": (
        lambda s: s["_fit"]["weights"].popitem(),
        "weights are those of another",
    ),
    "one more": (
        lambda s: s["_fit"]["weights"].update(more=np.zeros(1)),
        "weights are those of another",
    ),
    "no weights": (put_in_fit(weights=[1]), "no weights"),
    "shift too long": (units(shift=np.zeros(7)), "shift of its units"),
    "shift of one": (units(shift=np.zeros(1)), "shift of its units"),
    "shift NaN": (units(shift=np.full(5, np.nan)), "shift of its units"),
    "scale 0": (units(scale=0.0), "scale of its units is 0"),
    "scale infinite": (units(scale=np.inf), "scale of its units is inf"),
    "scale a str": (units(scale="1"), "scale of its units is '1'"),
    "rows_dtype": (units(rows_dtype="object"), "not those of float32 or float64 rows"),
    "features": (put(n_features_in_=3), "the network has"),
    "features a str": (put(n_features_in_="3"), "weights are too few"),
    "names": (put(feature_names_in_=np.array(["a"], object)), "feature_names_in_"),
    "dtype": (put_in_fit(dtype="int8"), "dtype"),
    "device": (put(device_=3), "device"),
    "moments": (put_in_fit(code_moments=(3, np.zeros(2), np.eye(3))), "moments"),
    "variance": (
        put_in_fit(code_moments=(3, np.zeros(2), np.zeros(2))),
        "no variance",
    ),
    "history": (put_in_fit(history={"train_loss": [1.0]}), "history_"),
    "no history": (put_in_fit(history={}), "history_ has no train_loss"),
    "a curve too long": (
        within("history", lambda h: h.update(train_l1=np.zeros(9))),
        "9 epochs of train_l1, and 2 of train_loss",
    ),
    "density": (put_in_fit(density=3), "density"),
    "stream": (put_in_fit(stream=3), "stream"),
    "seed": (put_in_fit(seed=-1), "seed"),
    "optimizer": (put_in_fit(optimizer_moments={"0.step": np.zeros(77)}), "optimiser"),
    "asked": (within("asked", lambda a: a.update(evil=1)), "parameters of its fit"),
    "asked too much": (
        within("asked", lambda a: a.update(dropout=3)),
        "'dropout' parameter",
    ),
    "nothing asked": (put_in_fit(asked=3), "parameters of its fit"),
    "no fit": (put(_fit=3), "its fit is missing"),
    "more in the fit": (put_in_fit(evil=1), "other parts"),
}


@pytest.mark.parametrize("name", WRONG)
def test_numbers_that_do_not_fit(name, path):
    change, words = WRONG[name]
    refused_both(path, small(), change, f"This Autoencoder does not fit.*{words}")


def test_numbers_of_a_stream(path):
    model = sparse_stream()

    def rows(change):
        def changed(state):
            seen = copy.deepcopy(state["_fit"]["stream"])
            vars(seen)["rows"] = change(seen.rows)
            state["_fit"]["stream"] = seen

        return changed

    refused_both(path, model, rows(lambda r: r[:, :3]), "rows of its stream")
    refused_both(path, model, rows(lambda r: r.tocsc()), "not in CSR")

    def outside(r):
        r.indices[0] = 10**6
        return r

    refused_both(path, model, rows(outside), "indices|sparse array")


def stream(**change):
    """Return what changes parts of a stream, by what was there."""

    def changed(state):
        seen = copy.deepcopy(state["_fit"]["stream"])
        for name, new in change.items():
            vars(seen)[name] = new(vars(seen)[name])
        state["_fit"]["stream"] = seen

    return changed


def first(value):
    def changed(array):
        array = array.astype(np.float64) if value != value else array
        (array.data if sp.issparse(array) else array.reshape(-1))[0] = value
        return array

    return changed


YOUNG = {
    "Autoencoder": (Autoencoder(2, max_iter=2), table(20)),
    "sparse": (Autoencoder(2, max_iter=2), counts(20)),
    "class": (FAST["GeneralizedAutoencoder-class"], table(20)),
    "mixture": (FAST["AdversarialAutoencoder-mixture"], table(20)),
    "denoising": (FAST["DenoisingAutoencoder"], counts(20)),
}
WRONG_STREAM = {
    "weights too few": (stream(weight=lambda w: w[1:]), "weights of its stream"),
    "weight 0": (stream(weight=first(0.0)), "weights of its stream"),
    "weight NaN": (stream(weight=first(np.nan)), "weights of its stream"),
    "weights a list": (stream(weight=list), "weights of its stream"),
    "weights of no rows": (
        stream(rows=lambda rows: None, labels=lambda y: None),
        "weights of its stream",
    ),
    "NaN": (stream(rows=first(np.nan)), "rows of its stream are not finite"),
    "infinite": (stream(rows=first(np.inf)), "rows of its stream are not finite"),
    "no class": (stream(labels=first(7)), "labels of its stream"),
    "float labels": (stream(labels=lambda y: y * 1.0), "labels of its stream"),
}


@pytest.mark.parametrize("name", YOUNG)
def test_numbers_of_a_young_stream(name, path):
    model, X = YOUNG[name]
    given = {"sample_weight": np.ones(20)}
    model = clone(model).set_params(random_state=0).partial_fit(X, labels(20), **given)
    through_file(model, path)
    for what, (change, words) in WRONG_STREAM.items():
        if "labels" in words and model._fit.stream.labels is None:
            continue
        if "labels" not in words and what.startswith("weight"):
            assert model._fit.stream.weight is not None
        refused_both(path, model, change, words)


def test_numbers_of_a_young_stream_may_be_missing_where_they_are_filled(path):
    X = table(20)
    X[3, 1] = np.nan
    model = clone(FAST["DenoisingAutoencoder"]).partial_fit(X)
    assert np.isnan(through_file(model, path)._fit.stream.rows[3, 1])


def test_numbers_of_what_came_with_a_later_training(path):
    """Its curves are shorter than that of the loss, and the file is as good."""
    model = small(warm_start=True)
    model.set_params(penalties=[L1()], early_stopping=True).fit(table())
    back = through_file(model, path)
    assert {len(curve) for curve in back.history_.values()} == {2, 4}


META = {
    "StackedAutoencoderPretrainer-class": {
        "layers": (put(estimators_=[]), "no layers"),
        "a layer": (within("estimators_", lambda e: [*e, 3]), "layers"),
        "order": (within("estimators_", lambda e: e.reverse()), "the one below"),
        "names": (put(_names=["a"]), "names"),
        "features": (put(n_features_in_=4), "the one below"),
        "classes": (put(classes_=np.zeros(1)), "classes_"),
        "history": (put(history_=3), "history_"),
        "not fitted": (
            within("estimators_", lambda e: [clone(one) for one in e]),
            "not fitted",
        ),
    },
    "StackedAutoencoderClassifier-stopping": {
        "stack": (put(pretrainer_=3), "stack"),
        "coef": (within("coef_", lambda c: c[:, :1]), "coef_"),
        "NaN": (within("coef_", lambda c: c * np.nan), "coef_"),
        "dtype": (within("coef_", lambda c: c.astype(np.float64)), "coef_"),
        "intercept": (within("intercept_", lambda b: b[:-1]), "intercept_"),
        "classes": (within("classes_", lambda c: c[:1]), "classes_"),
        "features": (put(n_features_in_=4), "other features"),
    },
    "AutoencoderOutlierDetector-density": {
        "networks": (put(estimators_=[]), "networks"),
        "features": (put(n_features_in_=4), "other features"),
        "threshold": (put(offset_=float("nan")), "threshold"),
        "a density": (put(_densities=[3]), "densities"),
        "densities": (within("_densities", lambda u: u * 2), "each have a density"),
        "scale": (
            within("_densities", lambda u: vars(u[0]).update(_scales=[0.0, 1.0])),
            "other rows",
        ),
        "axes": (
            within(
                "_densities", lambda u: vars(u[0]._axes[0]).update(mean_=np.zeros(3))
            ),
            "other rows",
        ),
        "mixture": (
            within(
                "_densities",
                lambda u: vars(u[0]._levels[0][0]).update(means_=np.zeros((1, 3))),
            ),
            "densities",
        ),
    },
}


@pytest.fixture(scope="module")
def fitted_meta():
    return {
        name: fit(clone(FAST[name]).set_params(random_state=0), table())
        for name in META
    }


@pytest.mark.parametrize(
    ("name", "what"), [(name, what) for name in META for what in META[name]]
)
def test_numbers_of_what_is_made_of_others(name, what, path, fitted_meta):
    change, words = META[name][what]
    refused_both(path, fitted_meta[name], change, words)


@pytest.mark.parametrize("name", META)
def test_undamaged_parts_of_others(name, fitted_meta):
    """The checksum covers each attribute that was learned, history_ too."""
    model = fitted_meta[name]
    state = model.__getstate__()
    for part in (*model._learned, "classes_"):
        if part in state and not isinstance(state[part], list):
            changed = {**state, part: [state[part]]}
            with pytest.raises(ValueError, match="damaged"):
                type(model).__new__(type(model)).__setstate__(changed)


def test_undamaged_or_told_what_to_do(path):
    """Whatever reads the bytes, what it raises is not what the user is told."""
    save(small(), path)
    whole = path.read_bytes()
    array = whole.index(b"'shape': (3,")

    def with_bytes(place, *values):
        return whole[:place] + bytes(values) + whole[place + len(values) :]

    def without_node(members):
        members["schema.json"] = members["schema.json"].replace(b'"content"', b'"c"')

    broken = {
        "nothing": b"",
        "text": b"no file of ours",
        "cut": whole[:1000],
        "a parenthesis": with_bytes(array + 9, ord("[")),
        "a name": with_bytes(array + 9, ord("x")),
        "the magic string": with_bytes(whole.index(b"\x93NUMPY"), 0),
        "no UTF-8": with_bytes(whole.index(b'"__class__"') + 3, 0xFF),
        "no JSON": with_bytes(whole.index(b'"__class__"'), ord(" ")),
        "no nodes": rewritten(whole, without_node),
    }
    for data in broken.values():
        path.write_bytes(data)
        with pytest.raises(
            ValueError,
            match=r"Cannot load .*: The file is damaged, or save did not write it "
            r"\([^<>]+\). Restore it from a copy\.$",
        ) as told:
            load(path)
        for raw in ("0x", "codec", "EOF", "zip file", "malformed"):
            assert raw not in str(told.value)


def test_undamaged_but_of_what_is_not_installed(path):
    save(adversary(ring), path, trusted=[f"{__name__}.ring"])

    def renamed(members):
        schema = members["schema.json"]
        members["schema.json"] = schema.replace(__name__.encode(), b"not_installed")

    path.write_bytes(rewritten(path.read_bytes(), renamed))
    with pytest.raises(ValueError, match="No module named 'not_installed'"):
        load(path, trusted=["not_installed.ring"])


def test_undamaged_tells_values_apart():
    X = table()

    class Slots:
        __slots__ = ("a",)

        def __init__(self, a):
            self.a = a

    masked = np.ma.array([1.0, 2.0], mask=[True, False])
    groups = [
        [[1, 2], [12], ["1", "2"], ["12"], [[1], 2], [1, [2]], (1, 2), {1, 2}, {1, 3}],
        [KDTree(X), KDTree(X + 1), BallTree(X), KDTree(X, leaf_size=3)],
        [KDTree(X, metric="minkowski", p=3), KDTree(X, metric="minkowski", p=4)],
        [Slots(1), Slots(2)],
        [np.random.RandomState(0), np.random.RandomState(1)],
        [np.random.default_rng(0), np.random.default_rng(1)],
        [sp.csr_array(np.eye(3)), sp.csr_array(2 * np.eye(3)), sp.coo_array(np.eye(3))],
        [b"1", b"2", "1", 1, 1j, 2j, 1.0, True],
        [masked, np.ma.array([1.0, 2.0]), np.array([1.0, 2.0])],
        [torch.ones(2), torch.zeros(2)],
        [ring, adversary, Autoencoder, Masking, len],
        [slice(1), slice(2), range(1), range(2)],
        [re.compile("a"), re.compile("b")],
        [np.array([1, [2]], dtype=object), np.array([[1], 2], dtype=object)],
        [Autoencoder(2), Autoencoder(3), Autoencoder(2, penalties=[Masking()])],
    ]
    for values in groups:
        assert len({checksum(value) for value in values}) == len(values), values
    assert checksum(KDTree(X)) == checksum(KDTree(X))
    asked = KDTree(X)
    asked.query(X)
    assert checksum(asked) == checksum(KDTree(X)) == checksum(Rebuilt.of(asked))


def test_undamaged_or_unknown():
    with pytest.raises(TypeError):
        checksum(i for i in range(3))


def test_undamaged_tree_in_a_pickle():
    model = small(density=KernelDensity())
    data = pickle.dumps(model)
    rows = np.asarray(model._fit.density.tree_.data).tobytes()
    place = data.find(rows[:64])
    assert place > 0
    damaged = bytearray(data)
    damaged[place + 31] ^= 1 << 4
    with pytest.raises(ValueError, match="damaged"):
        pickle.loads(bytes(damaged))


@pytest.mark.parametrize("missing", Autoencoder._learned)
def test_whole(missing, path):
    def change(state):
        del state[missing]

    refused(path, forged(small(), change), f"lacks {missing}")


@pytest.mark.parametrize(
    "hidden", ["transform", "_validate", "_module", "_accept_sparse", "n_iter_"]
)
def test_whole_and_nothing_hidden(hidden, path):
    refused_both(path, small(), put(**{hidden: 3}), f"it replaces {hidden}")


def test_whole_parameters(path):
    refused_both(path, small(), lambda s: s.pop("penalties"), "lacks penalties")
    refused(path, forged(small(), lambda s: s.pop("_checksum")), "damaged")
    model = small(corruption=Masking())
    fake = Masking()
    vars(fake)["apply"] = 3
    words = "not that of Masking: it replaces apply"
    refused(path, forged(model, put(corruption=fake)), words)


# -- what is trusted ---------------------------------------------------------------


SKLEARN = {
    "grid search": lambda ae: GridSearchCV(ae, {"n_components": [1, 2]}, cv=2),
    "random search": lambda ae: RandomizedSearchCV(
        ae, {"n_components": [1, 2]}, n_iter=2, cv=2
    ),
    "scoring": lambda ae: GridSearchCV(
        make_pipeline(ae, LogisticRegression()),
        {"autoencoder__alpha": [0.0, 0.1]},
        cv=2,
        scoring="balanced_accuracy",
    ),
    "imputer": lambda ae: make_pipeline(SimpleImputer(), ae),
    "kernels": lambda ae: make_pipeline(ae, GaussianProcessClassifier()),
    "selector": lambda ae: make_pipeline(SelectKBest(k=3), ae),
    "neighbours": lambda ae: make_pipeline(ae, NearestNeighbors()),
    "requests": lambda ae: (
        ae.set_score_request(sample_weight=True)
        if hasattr(ae, "set_score_request")
        else ae
    ),
}


@pytest.mark.parametrize("name", SKLEARN)
def test_types_of_scikit_learn(name, path):
    ae = Autoencoder(2, hidden_layer_sizes=(3,), max_iter=2, random_state=0)
    model = SKLEARN[name](ae).fit(table(), np.arange(24) % 2)
    back = through_file(model, path)
    assert type(back) is type(model)
    for method in ("predict", "transform"):
        if hasattr(model, method):
            expected = getattr(model, method)(table())
            np.testing.assert_array_equal(getattr(back, method)(table()), expected)


@pytest.mark.parametrize(
    ("module", "name", "loader"),
    [
        ("os", "system", "FunctionNode"),
        ("sklearn_ae.engine.persistence", "os", "TypeNode"),
        ("sklearn.model_selection._split", "np", "TypeNode"),
        ("sklearn.metrics._scorer", "partial", "TypeNode"),
        ("sklearn.metrics", "os", "FunctionNode"),
        ("sklearn_ae.engine.units", "Units", "ConstructorFromReduceNode"),
        ("sklearn.model_selection._split", "KFold", "ConstructorFromReduceNode"),
        ("sklearn_ae.engine.trees", "Rebuilt", "ObjectNode"),
        ("sklearn.metrics._classification", "accuracy_score", "ListNode"),
        ("sklearn.datasets._openml", "fetch_openml", "FunctionNode"),
    ],
)
def test_types_that_only_look_like_ours(module, name, loader, path):
    content = [] if loader == "ListNode" else None
    if loader == "ConstructorFromReduceNode":
        content = {"__class__": "tuple", "__module__": "builtins", "content": []}
        content |= {"__loader__": "TupleNode", "__id__": 2}
    node = {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 1}
    schema = json.dumps({**node, "content": content, "protocol": 2})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("schema.json", schema)
    refused(path, out.getvalue(), f"{module}.{name}")


@pytest.mark.parametrize("kind", [KDTree, BallTree])
@pytest.mark.parametrize("metric", sorted(BallTree.valid_metrics))
@pytest.mark.parametrize("weighted", [False, True])
def test_trees_are_what_they_were(kind, metric, weighted):
    if metric not in kind.valid_metrics:
        return
    X = table(60, 2) / 20
    options = {
        "minkowski": {"p": 3, "w": np.array([1.0, 2.0])},
        "p": {"p": 3},
        "seuclidean": {"V": np.array([1.0, 3.0])},
        "mahalanobis": {"V": np.array([[2.0, 0.5], [0.5, 1.0]])},
        "pyfunc": {"func": np.dot},
    }.get(metric, {})
    weight = np.linspace(1, 2, 60) if weighted else None
    tree = kind(X, leaf_size=7, metric=metric, sample_weight=weight, **options)
    make, given = Rebuilt.of(tree).__reduce__()
    back = make(*given)
    assert type(back) is kind
    for was, now in zip(tree.__getstate__()[:7], back.__getstate__()[:7]):
        np.testing.assert_array_equal(np.asarray(was), np.asarray(now))
    for was, now in zip(tree.query(X, 3), back.query(X, 3)):
        np.testing.assert_array_equal(was, now)


def test_trees_of_a_density(path):
    model = small(density=KernelDensity())
    back = through_file(model, path)
    for one in (back, through_pickle(model)):
        np.testing.assert_array_equal(
            one.sample(5, random_state=0), model.sample(5, random_state=0)
        )
        np.testing.assert_array_equal(
            one.density_.score_samples(np.zeros((2, 2))),
            model.density_.score_samples(np.zeros((2, 2))),
        )
    types = skops.io.get_untrusted_types(file=path)
    assert not [name for name in types if "_tree" in name or "_dist" in name]


def test_trees_with_places_of_their_own(path):
    """skops' own way to keep a tree is refused: its places could be anywhere."""
    model = small(density=KernelDensity())
    path.write_bytes(skops.io.dumps(model))
    with pytest.raises(ValueError, match="KDTree"):
        load(path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("KDTree", np.zeros((3, 2)), 5, "euclidean", {}, np.ones(2)), "weight"),
        (("os", np.zeros((3, 2)), 5, "euclidean", {}, None), "no 'os'"),
        (("KDTree", np.zeros((3, 2)), 5, "nonsense", {}, None), "nonsense"),
        (("KDTree", np.zeros((3, 2)), 5, "euclidean", {"x": 1}, None), "no 'KDTree'"),
        (("KDTree", np.zeros((3, 2)), 0, "euclidean", {}, None), "leaf_size"),
        (("KDTree", np.full((3, 2), np.nan), 5, "euclidean", {}, None), "NaN"),
    ],
)
def test_trees_of_what_is_none(given, words):
    with pytest.raises(ValueError, match=words):
        Rebuilt(*given)


def test_types_in_a_stack_slice(path):
    stack = fit(clone(FAST["StackedAutoencoderPretrainer-class"]), table())
    assert isinstance(stack, StackedAutoencoderPretrainer)
    part = stack[:1]
    same(through_file(part, path), part)
    same(through_pickle(part), part)


def _other_files(path):
    """Yield who else wrote a file of a model, and what is said of it."""
    model = Autoencoder(max_iter=1).fit(table())
    for compress in (0, "gzip", "zlib", "bz2", "xz", "lzma"):
        joblib.dump(model, path, compress=compress)
        yield f"joblib, {compress}", r"joblib.load.*sklearn_ae.save"
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(model, protocol))
        yield f"pickle {protocol}", r"it is a pickle.*joblib.load.*sklearn_ae.save"
    torch.save(model.module_.state_dict(), path)
    yield "torch", r"torch.save wrote it"


def test_files_of_other_libraries_are_named(tmp_path):
    path = tmp_path / "model.joblib"
    for writer, told in _other_files(path):
        with pytest.raises(
            ValueError, match=rf"Cannot load '.*model.joblib': .*{told}"
        ):
            load(path)
            pytest.fail(writer)
