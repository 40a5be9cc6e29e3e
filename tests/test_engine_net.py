"""The training loop: its batches, its schedule, its ends, and its callbacks."""

import functools
import operator

import numpy as np
import pytest
import torch
from estimators import counts, table
from hypothesis import given, settings
from hypothesis import strategies as st
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
)
from torch.optim.lr_scheduler import StepLR

from sklearn_ae import Autoencoder
from sklearn_ae.engine import training
from sklearn_ae.engine.bridge import Rows, Units
from sklearn_ae.engine.callbacks import is_callback
from sklearn_ae.engine.net import BatchIterator, schedule_factor

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")


def model(**params):
    return Autoencoder(1, random_state=0).set_params(**{"max_iter": 4, **params})


# -- batches ---------------------------------------------------------------------


@given(
    n=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    shuffle=st.booleans(),
    seed=st.integers(0, 9),
)
def test_batches_cover_each_row_once(n, batch_size, shuffle, seed):
    X = np.arange(n, dtype=np.float64)[:, None]
    generator = torch.Generator().manual_seed(seed) if shuffle else None
    batches = BatchIterator(Rows(X, Units(), torch.float64), batch_size, generator)
    orders = []
    for _ in range(2):
        parts = [batch.x[:, 0].tolist() for batch in batches]
        assert len(parts) == len(batches)
        assert all(len(part) == batch_size for part in parts[:-1])
        assert 1 <= len(parts[-1]) <= batch_size
        orders.append(functools.reduce(operator.iadd, parts, []))
        assert sorted(orders[-1]) == list(range(n))
    if not shuffle:
        assert orders[0] == list(range(n))
    elif n > 10:
        assert orders[0] != orders[1]  # drawn anew: 11! orders


@given(progress=st.floats(0, 1))
def test_schedule(progress):
    assert schedule_factor("constant", progress) == 1.0
    assert 0 <= schedule_factor("one_cycle", progress) <= 1.0


def test_one_cycle_rises_and_falls():
    factors = [schedule_factor("one_cycle", p) for p in np.linspace(0, 1, 201)]
    top = int(np.argmax(factors))
    assert factors[top] == pytest.approx(1.0, abs=0.01)
    assert 0 < top < 100
    assert (np.diff(factors[: top + 1]) > 0).all() and (
        np.diff(factors[top:]) < 0
    ).all()
    assert factors[-1] < 1e-3
    # continuous: no step is larger than a twentieth of the way up
    assert np.abs(np.diff(factors)).max() < 0.1


class Recorder(Callback):
    """Note what happened to the learning rate and which events came."""

    def __init__(self, log=None):
        self.log = log

    def note(self, event):
        if self.log is not None:
            self.log.append(event)

    def on_train_begin(self, net, **kwargs):
        self.note("train_begin")

    def on_train_end(self, net, **kwargs):
        self.note("train_end")

    def on_epoch_begin(self, net, **kwargs):
        self.note("epoch_begin")

    def on_epoch_end(self, net, **kwargs):
        self.note("epoch_end")

    def on_batch_begin(self, net, batch, training, **kwargs):
        self.note("batch_begin" if training else "valid_begin")

    def on_batch_end(self, net, batch, training, loss, **kwargs):
        self.note("batch_end" if training else "valid_end")
        assert torch.isfinite(loss)

    def on_grad_computed(self, net, named_parameters, **kwargs):
        named = list(named_parameters)
        assert named and any(p.grad is not None for _, p in named)
        self.note("grad")


class Shared(list):
    """A log that deep copies keep: callbacks are copied before use."""

    def __deepcopy__(self, memo):
        return self


def test_callbacks_hear_of_everything():
    log = Shared()
    model(
        max_iter=2,
        batch_size=12,
        callbacks=[Recorder(log)],
        early_stopping=True,
        validation_fraction=0.25,
    ).fit(table())
    step = ["batch_begin", "grad", "batch_end"]
    epoch = ["epoch_begin", *step, *step, "valid_begin", "valid_end", "epoch_end"]
    assert log == ["train_begin", *epoch, *epoch, "train_end"]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_learning_rate_follows_its_schedule(solver):
    rates = Shared()

    class Rates(Callback):
        def __init__(self, log):
            self.log = log

        def on_batch_end(self, net, training, **kwargs):
            self.log.append(net.optimizer_.param_groups[0]["lr"])

    model(
        solver=solver,
        learning_rate_init=0.01,
        max_iter=20,
        batch_size=12,
        callbacks=[Rates(rates)],
    ).fit(table())
    assert len(rates) == 40
    assert max(rates) <= 0.01 and max(rates) == pytest.approx(0.01, rel=0.1)
    assert rates[-1] < 0.02 * 0.01 and rates[0] < 0.9 * 0.01
    assert min(rates) > 0  # no step is idle
    rates.clear()
    model(
        solver=solver,
        learning_rate_init=0.01,
        learning_rate="constant",
        max_iter=2,
        callbacks=[Rates(rates)],
    ).fit(table())
    assert set(rates) == {0.01}


def test_callbacks_are_copied():
    callback = Recorder()
    fitted = model(callbacks=[("mine", callback)]).fit(table())
    used = dict(fitted.net_.callbacks_)["mine"]
    assert used is not callback and isinstance(used, Recorder)
    assert vars(callback) == {"log": None}


def test_callback_classes_and_names():
    assert is_callback(Recorder) and is_callback(Recorder())
    assert is_callback(("name", Recorder())) and not is_callback(("name", 3))
    fitted = model(callbacks=[Recorder, ("named", Recorder())]).fit(table())
    assert {"Recorder", "named"} <= set(dict(fitted.net_.callbacks_))


@pytest.mark.parametrize("patience", [1, 3])
def test_skorchs_early_stopping(patience):
    """It stops, and what was fitted until then stays."""
    stopping = EarlyStopping(
        monitor="train_loss", patience=patience, threshold=0.999, sink=lambda text: None
    )
    fitted = model(max_iter=50, callbacks=[stopping]).fit(table())
    assert fitted.n_iter_ == patience + 1
    assert np.isfinite(fitted.transform(table())).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_skorchs_other_callbacks():
    scheduler = LRScheduler(StepLR, step_size=1, gamma=0.5)
    fitted = model(
        callbacks=[scheduler], learning_rate="constant", learning_rate_init=0.08
    ).fit(table())
    assert fitted.net_.optimizer_.param_groups[0]["lr"] == pytest.approx(0.08 / 16)
    # clipped to nothing, the gradient moves nothing
    clipped = model(
        callbacks=[GradientNormClipping(1e-30)], solver="sgd", weight_decay=0.0
    ).fit(table())
    curve = clipped.loss_curve_
    assert curve[-1] == pytest.approx(curve[0], rel=1e-6)
    scored = model(
        callbacks=[PassthroughScoring("train_reconstruction", on_train=True)]
    )
    assert scored.fit(table()).n_iter_ == 4


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_history(solver):
    """Means over rows, not over batches: the last batch is smaller."""
    X = table(25)
    fitted = model(solver=solver, batch_size=12, linear_path=False).fit(X)
    assert set(fitted.history_) == {"train_loss", "train_reconstruction"}
    assert all(len(curve) == 4 for curve in fitted.history_.values())
    assert (
        "batches" not in fitted.net_.history[-1]
        or not fitted.net_.history[-1, "batches"]
    )
    frozen = model(
        solver="sgd",
        learning_rate_init=1e-30,
        batch_size=12,
        max_iter=1,
        weight_decay=0,
    ).set_params(linear_path=False)
    frozen.fit(X)
    error = frozen.reconstruction_error(X, per_feature=True).sum(axis=1).mean()
    nats = 0.5 * error / frozen._units.scale**2
    assert frozen.loss_ == pytest.approx(nats, rel=1e-5)


# -- ends ------------------------------------------------------------------------


def test_stops_where_the_loss_no_longer_falls():
    X = table(60)
    fitted = model(
        solver="lbfgs", max_iter=500, hidden_layer_sizes=(), dtype="float64"
    ).fit(X)
    assert 5 < fitted.n_iter_ < 400
    patient = model(
        solver="lbfgs",
        max_iter=500,
        hidden_layer_sizes=(),
        dtype="float64",
        n_iter_no_change=20,
    ).fit(X)
    assert patient.n_iter_ == fitted.n_iter_ + 10
    # the rule: no epoch in the last ten improved on those before by the tolerance
    curve = np.array(fitted.loss_curve_)
    assert curve[-10:].min() > curve[:-10].min() * (1 - 10 * fitted.tol)


def test_one_cycle_is_not_cut_short():
    X = np.ones((20, 3))
    assert model(max_iter=30, linear_path=False).fit(X).n_iter_ == 30


@pytest.mark.parametrize("learning_rate", ["constant", "one_cycle"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_best_weights_are_restored(learning_rate):
    """Those before the first step among them: here each step makes it worse."""
    X = table(60)
    harmful = model(
        early_stopping=True,
        learning_rate=learning_rate,
        learning_rate_init=0.5,
        max_iter=30,
        n_iter_no_change=5,
    )
    harmful.fit(X)
    held_out = harmful.validation_loss_curve_
    assert len(held_out) == harmful.n_iter_
    start = model(early_stopping=True, solver="sgd", learning_rate_init=1e-30)
    start.set_params(max_iter=1, weight_decay=0).fit(X)
    best = min([start.validation_loss_curve_[0], *held_out])
    rows = table(60)
    order = held_out_rows(harmful, rows)
    error = harmful.reconstruction_error(order, per_feature=True).sum(axis=1).mean()
    assert 0.5 * error / harmful._units.scale**2 == pytest.approx(best, rel=1e-4)


def held_out_rows(fitted, X):
    """Return the rows that a training of this seed holds out."""
    _, valid = training.split(fitted, len(X), fitted._seed, False)
    return X[valid]


def test_split_is_shuffled_and_complete():
    settings = model(early_stopping=True, validation_fraction=0.3)
    train, valid = training.split(settings, 50, 0, False)
    assert sorted([*train, *valid]) == list(range(50))
    assert len(valid) == 15 and list(valid) != list(range(15))
    other = training.split(settings, 50, 1, False)[1]
    assert list(other) != list(valid)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_held_out_rows_teach_nothing():
    """Neither weights nor units nor PCA see them: other values there, same network."""
    X = table(60)
    settings = {"early_stopping": True, "tol": 0.0, "n_iter_no_change": 100}
    first = model(**settings).fit(X)
    valid = training.split(first, len(X), first._seed, False)[1]
    changed = X.copy()
    changed[valid] *= 1.5
    second = model(**settings).fit(changed)
    assert first.loss_curve_ == second.loss_curve_
    assert first.validation_loss_curve_ != second.validation_loss_curve_


def test_verbose_prints_a_line_per_epoch(capsys):
    model(verbose=1).fit(table())
    assert "train_loss" in capsys.readouterr().out
    model(verbose=0).fit(table()).transform(table())
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""


def test_sparse_rows_are_trained_on_in_batches():
    fitted = model(batch_size=5, n_components=2).fit(counts())
    assert np.isfinite(fitted.loss_curve_).all()
