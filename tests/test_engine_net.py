"""The training loop: its batches, its schedule, its ends, and its callbacks."""

import functools
import itertools
import operator
from types import SimpleNamespace

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

from sklearn_ae import Autoencoder, GaussianNoise
from sklearn_ae.engine import train as engine_train
from sklearn_ae.engine.batches import BatchIterator
from sklearn_ae.engine.callbacks import is_callback
from sklearn_ae.engine.rows import Rows
from sklearn_ae.engine.schedules import schedule_factor
from sklearn_ae.engine.stopping import BestWeights, StopTraining
from sklearn_ae.engine.units import Units
from sklearn_ae.parts.corruptions import Corruption

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


def test_one_cycle_by_its_formula():
    """Linear over the first tenth of the steps; then half a cosine, down to zero."""
    for share in (0.1, 0.5, 0.9):  # of the way up, and of the way down
        assert schedule_factor("one_cycle", 0.1 * share) == pytest.approx(share)
        down = np.cos(0.5 * np.pi * share) ** 2
        assert schedule_factor("one_cycle", 0.1 + 0.9 * share) == pytest.approx(down)
    assert schedule_factor("one_cycle", 0.1) == pytest.approx(1.0)


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


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_stream_has_one_rate(solver):
    """A schedule needs an end, and of a stream nobody knows it."""
    rates = Shared()

    class Rates(Callback):
        def __init__(self, log):
            self.log = log

        def on_batch_end(self, net, **kwargs):
            self.log += [group["lr"] for group in net.optimizer_.param_groups]

    stream = model(solver=solver, learning_rate_init=0.01, batch_size=30)
    stream.set_params(callbacks=[Rates(rates)])
    for _ in range(2):
        stream.partial_fit(table(120))
    assert len(rates) >= 8 and set(rates) == {0.01}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sgd_has_nesterovs_momentum():
    """v ← 0.9 v + g, w ← w − η (g + 0.9 v), by hand for three steps."""
    rate, log = 0.01, Shared()

    class Steps(Callback):
        def __init__(self, log):
            self.log = log

        def on_grad_computed(self, net, named_parameters, **kwargs):
            named = [(p.detach().clone(), p.grad.clone()) for _, p in named_parameters]
            self.log.append(named)

    settings = {"learning_rate": "constant", "learning_rate_init": rate}
    settings |= {"solver": "sgd", "max_iter": 4, "linear_path": False}
    model(callbacks=[Steps(log)], dtype="float64", **settings).fit(table())
    assert len(log) == 4
    velocity = [torch.zeros_like(w) for w, _ in log[0]]
    for now, after in itertools.pairwise(log):
        velocity = [0.9 * v + g for v, (_, g) in zip(velocity, now, strict=True)]
        for v, (w, g), (found, _) in zip(velocity, now, after, strict=True):
            torch.testing.assert_close(found, w - rate * (g + 0.9 * v))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_epoch_of_lbfgs_is_one_of_its_iterations():
    fitted = model(solver="lbfgs", max_iter=7, linear_path=False).fit(table())
    optimizer = fitted.net_.optimizer_
    (state,) = optimizer.state.values()
    assert state["n_iter"] == fitted.n_iter_ == 7


class Noted(Corruption):
    """Gaussian noise that notes the bits that it drew."""

    drawn = []

    @classmethod
    def corrupt(cls, x, generator, unit=1.0):
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        cls.drawn.append(noise.numpy().tobytes())
        return x + 0.3 * noise


@pytest.fixture
def drawn():
    """Return the noise of all steps from now on."""
    Noted.drawn.clear()
    return Noted.drawn


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("max_iter", [1, 5])
def test_noise_stays_along_a_line_search(max_iter, drawn):
    """L-BFGS compares losses along a line: it is one function. The next is another."""
    model(solver="lbfgs", corruption=Noted(), max_iter=max_iter, linear_path=False).fit(
        table()
    )
    assert len(drawn) > max_iter  # a line has several points
    changes = sum(one != other for one, other in itertools.pairwise(drawn))
    assert len(set(drawn)) == max_iter == 1 + changes


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_held_out_rows_have_one_noise_in_all_epochs(drawn):
    """Else losses would not compare; what is learned from has another in each."""
    model(
        corruption=Noted(),
        early_stopping=True,
        validation_fraction=0.25,
        max_iter=4,
        n_iter_no_change=10,
        linear_path=False,
        learning_rate_init=1e-300,
        solver="sgd",
    ).fit(table())
    learned = [noise for noise in drawn if len(noise) == 4 * 18 * 5]
    judged = [noise for noise in drawn if len(noise) == 4 * 6 * 5]
    assert len(learned) == len(set(learned)) == 4
    assert len(judged) == 5 and len(set(judged)) == 1  # once before the first epoch


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_noise_is_the_random_states(solver, drawn):
    """The same of the same, other noise of another, and in each epoch."""
    runs = []
    for seed in (0, 0, 1, 2):
        settings = {"solver": solver, "max_iter": 3, "linear_path": False}
        model(corruption=Noted(), random_state=seed, **settings).fit(table())
        runs.append(set(drawn))
        drawn.clear()
    assert runs[0] == runs[1] and all(len(run) == 3 for run in runs)
    assert not runs[0] & runs[2] and not runs[0] & runs[3] and not runs[2] & runs[3]


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
    nats = 0.5 * error / frozen._fit.units.scale**2
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


@pytest.mark.parametrize("patience", [1, 2, 5])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_patience_is_a_number_of_epochs(early_stopping, patience):
    """Of weights that stay as they are no epoch improves on the first, or, of held-out
    rows, on those before any: after so many epochs without improvement it is over."""
    idle = model(
        solver="sgd",
        learning_rate="constant",
        learning_rate_init=1e-300,
        max_iter=50,
        n_iter_no_change=patience,
        early_stopping=early_stopping,
    ).fit(table())
    assert idle.n_iter_ == patience + (not early_stopping)


def test_losses_of_another_objective_are_no_reference():
    """While it changes from epoch to epoch they say nothing of those that come later:
    these may be higher, and still improve."""
    rule = BestWeights("train", tol=1e-4, n_iter_no_change=2, restore=False)
    module = SimpleNamespace(schedule_done=False, watched="loss")
    net = SimpleNamespace(history={}, module_=module, rows_valid=None)
    rule.on_train_begin(net)
    for loss in (1.0, 2.0, 3.0):
        net.history[-1, "train_loss"] = loss
        rule.on_epoch_end(net)
    module.schedule_done = True
    for loss in (10.0, 9.0, 8.0, 7.0, 6.0, 6.0):
        net.history[-1, "train_loss"] = loss
        rule.on_epoch_end(net)
    with pytest.raises(StopTraining):
        rule.on_epoch_end(net)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_improvement_is_relative():
    """By less than `tol` of the loss is none, whatever the loss is measured in."""
    X = table(60)
    for tol in (1e-1, 1e-2, 1e-3):
        settings = {"solver": "lbfgs", "linear_path": False, "standardize": False}
        settings |= {"max_iter": 200, "n_iter_no_change": 2, "tol": tol}
        model_of = Autoencoder(1, random_state=0, dtype="float64", **settings)
        curve = model_of.fit(X).loss_curve_
        best, waited, ends = np.inf, 0, len(curve)
        for epoch, loss in enumerate(curve, start=1):
            better = loss < best * (1 - tol)
            best, waited = (loss, 0) if better else (best, waited + 1)
            if waited == 2:
                ends = epoch
                break
        assert model_of.n_iter_ == ends < 200


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
    assert 0.5 * error / harmful._fit.units.scale**2 == pytest.approx(best, rel=1e-4)


def held_out_rows(fitted, X):
    """Return the rows that a training of this seed holds out."""
    _, valid = engine_train.split(fitted, len(X), fitted._fit.seed, False)
    return X[valid]


def test_split_is_shuffled_and_complete():
    settings = model(early_stopping=True, validation_fraction=0.3)
    train, valid = engine_train.split(settings, 50, 0, False)
    assert sorted([*train, *valid]) == list(range(50))
    assert len(valid) == 15 and list(valid) != list(range(15))
    other = engine_train.split(settings, 50, 1, False)[1]
    assert list(other) != list(valid)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_held_out_rows_teach_nothing():
    """Neither weights nor units nor PCA see them: other values there, same network."""
    X = table(60)
    settings = {"early_stopping": True, "tol": 0.0, "n_iter_no_change": 100}
    first = model(**settings).fit(X)
    valid = engine_train.split(first, len(X), first._fit.seed, False)[1]
    changed = X.copy()
    changed[valid] *= 1.5
    second = model(**settings).fit(changed)
    assert first.loss_curve_ == second.loss_curve_
    assert first.validation_loss_curve_ != second.validation_loss_curve_


@pytest.mark.parametrize("linear_path", [True, False])
def test_units_are_of_the_rows_to_learn_from(linear_path):
    """Their mean, and (but for what PCA leaves) the root of their mean variance."""
    X = table(60) + 100.0 * (np.arange(60) < 20)[:, None]
    fitted = model(early_stopping=True, validation_fraction=0.5)
    fitted.set_params(linear_path=linear_path).fit(X)
    train, _ = engine_train.split(fitted, len(X), fitted._fit.seed, False)
    np.testing.assert_allclose(fitted._fit.units.shift, X[train].mean(axis=0))
    assert np.abs(X[train].mean(axis=0) - X.mean(axis=0)).min() > 0.1
    if not linear_path:
        spread = np.sqrt(X[train].var(axis=0).mean())
        assert fitted._fit.units.scale == pytest.approx(spread)


# -- what "auto" is, as the parameters' documentation says -------------------------


@pytest.fixture
def planned(monkeypatch):
    """Return what makes the net that would train, and does not train it."""

    class Planned(Exception):
        pass

    def run(net, *given, **named):
        raise Planned(net)

    monkeypatch.setattr(engine_train, "run", run)

    def plan(n_rows=300, n_features=5, **params):
        X = np.random.default_rng(0).normal(size=(n_rows, n_features))
        with pytest.raises(Planned) as caught:
            Autoencoder(2, random_state=0, **params).fit(X)
        return caught.value.args[0]

    return plan


@pytest.mark.parametrize("n_rows", [1, 100, 300, 383, 385, 1000, 2000, 7000])
def test_batches_are_of_about_256_rows_and_of_equal_size(n_rows, planned):
    size = planned(n_rows).batch_size
    n_batches = int(np.ceil(n_rows / size))
    assert size == n_rows if n_rows < 384 else 192 <= size <= 320
    assert 0 <= n_batches * size - n_rows < n_batches  # but for the rounding


#: Rows, and the batches that they make.
BATCHES = [(100, 1), (600, 2), (1000, 4), (2600, 10), (9000, 35)]


@pytest.mark.parametrize(
    ("n_rows", "n_batches", "n_features"),
    [(*sizes, 5) for sizes in BATCHES] + [(600, 2, 70), (2600, 10, 70), (600, 2, 300)],
)
def test_epochs_along_the_linear_path(n_rows, n_batches, n_features, planned):
    """64, but 40 of one batch, or as many as make max(400, 7 d) steps; of noisy rows
    twice as many, or as many as make min(2000, 400000 / d), at most 400."""
    n_steps = max(400, 7 * n_features)
    epochs = min(40 if n_batches == 1 else 64, int(np.ceil(n_steps / n_batches)))
    assert planned(n_rows, n_features).max_epochs == epochs
    noisy = planned(n_rows, n_features, corruption=GaussianNoise())
    least = min(2000, 400_000 / n_features) / n_batches
    assert noisy.max_epochs == min(400, max(2 * epochs, int(np.ceil(least))))


@pytest.mark.parametrize(("n_rows", "n_batches"), BATCHES)
@pytest.mark.parametrize(
    "params",
    [
        {"linear_path": False},
        {"linear_path": False, "corruption": GaussianNoise()},
        {"hidden_layer_sizes": (), "alpha": 0.1},
        {"hidden_layer_sizes": (), "corruption": GaussianNoise()},
    ],
    ids=["random", "random, noisy", "decay", "noisy"],
)
def test_epochs_from_elsewhere_than_the_optimum(n_rows, n_batches, params, planned):
    """100, or as many as make 2000 to 10000 steps, at most 400."""
    epochs = planned(n_rows, **params).max_epochs
    if 2000 <= 100 * n_batches <= 10000:
        assert epochs == 100
    elif 400 * n_batches < 2000:
        assert epochs == 400
    else:
        assert epochs == np.ceil(2000 / n_batches)
    assert planned(n_rows, solver="lbfgs", **params).max_epochs == 500
    assert planned(n_rows, max_iter=7, **params).max_epochs == 7


def test_very_many_rows_make_10000_steps_at_most(planned):
    assert planned(40_000, 2, linear_path=False).max_epochs == np.ceil(10000 / 156)


@pytest.mark.parametrize("n_features", [5, 2000])
def test_rates(n_features, planned):
    """min(1e-2, 10 / d) along the linear path, else the method's own; and 1e-3."""

    def rate(**params):
        return planned(20, n_features, **params).lr

    assert rate() == min(1e-2, 10 / n_features)
    assert rate(linear_path=False) == 3e-3
    for params in ({"solver": "sgd"}, {"learning_rate": "constant"}):
        assert rate(**params) == rate(**params, linear_path=False) == 1e-3
    assert rate(learning_rate_init=0.5) == 0.5


@pytest.mark.parametrize("n_rows", [30, 100, 1000])
def test_decay_is_the_stronger_the_fewer_rows_there_are(n_rows):
    """min(10, 20 (d + 20) / n) along the linear path with hidden layers, else none."""

    def strongest(**params):
        fitted = model(max_iter=1, **params).fit(table(n_rows))
        return max(g["weight_decay"] for g in fitted.net_.optimizer_.param_groups)

    assert strongest() == pytest.approx(min(10.0, 20.0 * (5 + 20) / n_rows))
    assert strongest(weight_decay=0.7) == 0.7
    for params in (
        {"linear_path": False},
        {"hidden_layer_sizes": ()},
        {"solver": "sgd"},
    ):
        assert strongest(**params) == 0.0


def test_rows_of_a_stream_are_all_there_are_for_its_decay():
    stream = model()
    for calls in range(1, 5):
        stream.partial_fit(table(120))
        found = max(g["weight_decay"] for g in stream.net_.optimizer_.param_groups)
        assert found == pytest.approx(20.0 * (5 + 20) / (120 * calls))


def test_verbose_prints_a_line_per_epoch(capsys):
    model(verbose=1).fit(table())
    assert "train_loss" in capsys.readouterr().out
    model(verbose=0).fit(table()).transform(table())
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""


def test_sparse_rows_are_trained_on_in_batches():
    fitted = model(batch_size=5, n_components=2).fit(counts())
    assert np.isfinite(fitted.loss_curve_).all()
