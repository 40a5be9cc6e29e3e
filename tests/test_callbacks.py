"""skorch's own callbacks: each works, or the fit says before training why it cannot."""

import io
import json
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import skorch.callbacks as skorchs
import torch
from estimators import SINGLE, fit, labels, table
from sklearn.base import clone
from sklearn.metrics import accuracy_score
from torch.optim.lr_scheduler import OneCycleLR, StepLR

from sklearn_ae import (
    AdversarialAutoencoder,
    Autoencoder,
    DenoisingAutoencoder,
    StackedAutoencoderClassifier,
    StackedAutoencoderPretrainer,
)
from sklearn_ae.engine.callbacks import check_callbacks

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
EPOCHS = 3


def model(*callbacks, **params):
    fixed = {"random_state": 0, "max_iter": EPOCHS}
    return Autoencoder(2, callbacks=list(callbacks), **{**fixed, **params})


def size(net, X=None, y=None):
    """Return a number that needs nothing but the net."""
    parameters = net.module_.parameters()
    return float(sum(p.detach().double().square().sum() for p in parameters))


def error(net, X, y):
    """Return the mean squared error of what is restored, in the units of X."""
    return float(np.square(net.predict(X) - y).mean())


class Log:
    """Stands for what loggers write to: it takes every call and keeps its name."""

    def __init__(self):
        self.calls = []
        self.info = SimpleNamespace(run_id="run")

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))

    def named(self, name):
        return [call for call in self.calls if call[0] == name]


class Tree(dict):
    """Stands for neptune's run: namespaces in each other, with series in them."""

    def __init__(self):
        super().__init__()
        self.series = []

    def __missing__(self, key):
        self[key] = Tree()
        return self[key]

    def __getitem__(self, key):
        first, _, rest = key.partition("/")
        return super().__getitem__(first)[rest] if rest else super().__getitem__(first)

    append = property(lambda self: self.series.append)


# -- every name that skorch has --------------------------------------------------------


def scored(callback, **params):
    curve = model(callback, **params).fit(table()).history_["mine"]
    assert len(curve) == EPOCHS and np.isfinite(curve).all()


def differs(callback, **params):
    """Tell whether training is another with the callback than without."""
    plain = model(**params).fit(table())
    assert model(callback, **params).fit(table()).loss_curve_ != plain.loss_curve_


def saves(callback, *names):
    model(callback).fit(table())
    written = {path.name for path in callback.dirname_.iterdir()}
    assert written == set(names)


def check_epoch_scoring(tmp_path):
    scored(skorchs.EpochScoring(size, name="mine", on_train=True))
    scored(skorchs.EpochScoring(size, name="mine", on_train=True, use_caching=False))
    held_out = {"early_stopping": True, "validation_fraction": 0.3}
    scored(skorchs.EpochScoring("r2", name="mine", lower_is_better=False), **held_out)


def check_batch_scoring(tmp_path):
    scored(skorchs.BatchScoring(size, name="mine", on_train=True))
    scored(skorchs.BatchScoring("r2", name="mine", on_train=True), batch_size=7)


def check_passthrough_scoring(tmp_path):
    fitted = model(skorchs.PassthroughScoring("train_loss", on_train=True))
    fitted.set_params(batch_size=7).fit(table())
    assert fitted.loss_curve_ == pytest.approx(
        model(batch_size=7).fit(table()).loss_curve_
    )
    assert all(
        isinstance(best, bool) for best in fitted.net_.history[:, "train_loss_best"]
    )


def check_checkpoint(tmp_path):
    kept = skorchs.Checkpoint(monitor="train_loss_best", dirname=str(tmp_path))
    fitted = model(kept).fit(table())
    state = torch.load(tmp_path / "params.pt", weights_only=True)
    assert set(state) == set(fitted.module_.state_dict())
    assert len(json.loads((tmp_path / "history.json").read_text())) == EPOCHS
    buffer = io.BytesIO()  # the caller's own, and not a copy
    model(
        skorchs.Checkpoint(
            monitor=None,
            f_params=buffer,
            f_optimizer=None,
            f_criterion=None,
            f_history=None,
        )
    ).fit(table())
    assert buffer.tell() > 0
    best = skorchs.Checkpoint(
        monitor="train_loss_best", dirname=str(tmp_path), load_best=True
    )
    model(best).fit(table())


def check_train_end_checkpoint(tmp_path):
    """What is written is what the model is, the best weights where it keeps them."""
    end = skorchs.TrainEndCheckpoint(dirname=str(tmp_path))
    harm = {"early_stopping": True, "learning_rate_init": 0.5}
    fitted = model(end, **harm).fit(table())
    state = torch.load(tmp_path / "train_end_params.pt", weights_only=True)
    for name, weight in fitted.module_.state_dict().items():
        torch.testing.assert_close(state[name], weight)


def check_early_stopping(tmp_path):
    stops = skorchs.EarlyStopping(monitor="train_loss", patience=1, threshold=0.999)
    assert model(stops, max_iter=20).fit(table()).n_iter_ == 2


def check_epoch_timer(tmp_path):
    history = model(skorchs.EpochTimer()).fit(table()).net_.history
    assert all(duration > 0 for duration in history[:, "dur"])


def check_freezer(tmp_path):
    differs(skorchs.Freezer("encoder*"))
    frozen = model(skorchs.Freezer("encoder*")).fit(table())
    plain = model().fit(table())  # frozen for the training alone
    flags = [[p.requires_grad for p in m.module_.parameters()] for m in (frozen, plain)]
    assert flags[0] == flags[1] and any(flags[0])


def check_unfreezer(tmp_path):
    frozen = [skorchs.Freezer("encoder*"), skorchs.Unfreezer("encoder*", at=2)]
    curves = [model(*frozen[:n]).fit(table()).loss_curve_ for n in (0, 1, 2)]
    assert curves[0] != curves[1] != curves[2] != curves[0]

    free = model(skorchs.Unfreezer("*")).fit(table())
    plain = model().fit(table())
    assert free.loss_curve_ == plain.loss_curve_  # PCA's own maps stay what they are
    for ours, theirs in zip(
        free.module_.parameters(), plain.module_.parameters(), strict=True
    ):
        assert ours.requires_grad == theirs.requires_grad


def check_initializer(tmp_path):
    differs(skorchs.Initializer("decoder*", fn=torch.nn.init.zeros_))


def check_param_mapper(tmp_path):
    fill = partial(torch.nn.init.constant_, val=0.1)
    differs(skorchs.ParamMapper("encoder*", at=2, fn=fill))


def check_gradient_norm_clipping(tmp_path):
    differs(skorchs.GradientNormClipping(1e-9))


def check_lr_scheduler(tmp_path):
    differs(skorchs.LRScheduler(StepLR, step_size=1, gamma=1e-6))
    differs(skorchs.LRScheduler("ReduceLROnPlateau", patience=0, threshold=1.0))
    differs(
        skorchs.LRScheduler(OneCycleLR, max_lr=0.1, total_steps=50, step_every="batch"),
        batch_size=7,
    )


def check_warm_restart(tmp_path):
    differs(skorchs.LRScheduler(skorchs.WarmRestartLR))
    with pytest.raises(ValueError, match="'callbacks' parameter"):
        model(skorchs.WarmRestartLR).fit(table())


def check_print_log(tmp_path):
    lines = []
    model(skorchs.PrintLog(sink=lines.append)).fit(table())
    assert len(lines) == EPOCHS + 2 and "train_loss" in lines[0]


def check_progress_bar(tmp_path):
    model(skorchs.ProgressBar(), batch_size=7).fit(table())


def check_tensor_board(tmp_path):
    writer = Log()
    model(skorchs.TensorBoard(writer)).fit(table())
    tags = [kwargs["tag"] for _, _, kwargs in writer.named("add_scalar")]
    assert tags.count("Loss/train_loss") == EPOCHS and writer.named("close")


def check_sacred(tmp_path):
    run = Log()
    model(skorchs.SacredLogger(run, log_on_batch_end=True)).fit(table())
    logged = [args[0] for _, args, _ in run.named("log_scalar")]
    assert logged.count("train_loss_epoch") == EPOCHS
    assert logged.count("train_loss_batch") == EPOCHS


def check_mlflow(tmp_path):
    run, client = Log(), Log()
    model(skorchs.MlflowLogger(run, client)).fit(table())
    logged = [args[1] for _, args, _ in client.named("log_metric")]
    assert logged.count("train_loss") == EPOCHS
    assert len(client.named("log_artifact")) == 4


def check_wandb(tmp_path):
    run = Log()
    run.dir = str(tmp_path)
    model(skorchs.WandbLogger(run), early_stopping=True).fit(table())
    assert len(run.named("log")) == EPOCHS
    assert (tmp_path / "best_model.pth").exists()


def check_neptune(tmp_path):
    """neptune itself is not there: what asks for it is left out."""
    run = Tree()
    logger = skorchs.NeptuneLogger(run, close_after_train=False)
    logger._model_summary_file = str
    model(logger).fit(table())
    assert len(run["training/train/epoch/loss"].series) == EPOCHS


def check_input_shape_setter(tmp_path):
    with pytest.raises(ValueError, match="has the size of X already"):
        model(skorchs.InputShapeSetter()).fit(table())


def check_load_init_state(tmp_path):
    kept = skorchs.Checkpoint(monitor=None, dirname=str(tmp_path))
    with pytest.raises(ValueError, match="warm_start=True"):
        model(kept, skorchs.LoadInitState(kept)).fit(table())


def check_callback(tmp_path):
    model(skorchs.Callback()).fit(table())


EVERY = {
    "BatchScoring": check_batch_scoring,
    "Callback": check_callback,
    "Checkpoint": check_checkpoint,
    "EarlyStopping": check_early_stopping,
    "EpochScoring": check_epoch_scoring,
    "EpochTimer": check_epoch_timer,
    "Freezer": check_freezer,
    "GradientNormClipping": check_gradient_norm_clipping,
    "Initializer": check_initializer,
    "InputShapeSetter": check_input_shape_setter,
    "LRScheduler": check_lr_scheduler,
    "LoadInitState": check_load_init_state,
    "MlflowLogger": check_mlflow,
    "NeptuneLogger": check_neptune,
    "ParamMapper": check_param_mapper,
    "PassthroughScoring": check_passthrough_scoring,
    "PrintLog": check_print_log,
    "ProgressBar": check_progress_bar,
    "SacredLogger": check_sacred,
    "TensorBoard": check_tensor_board,
    "TrainEndCheckpoint": check_train_end_checkpoint,
    "Unfreezer": check_unfreezer,
    "WandbLogger": check_wandb,
    "WarmRestartLR": check_warm_restart,
}


@pytest.mark.parametrize("name", skorchs.__all__)
def test_skorchs_callback(name, tmp_path):
    EVERY[name](tmp_path)


# -- every estimator -------------------------------------------------------------------


@pytest.mark.parametrize("name", SINGLE)
def test_every_autoencoder_takes_them(name, tmp_path):
    estimator = clone(SINGLE[name])
    callbacks = [
        skorchs.EpochScoring(size, name="mine", on_train=True),
        skorchs.BatchScoring(error, name="theirs", on_train=True),
        skorchs.TrainEndCheckpoint(dirname=str(tmp_path)),
    ]
    if estimator.solver != "lbfgs":
        callbacks.append(skorchs.LRScheduler(StepLR, step_size=1, gamma=0.5))
    fitted = fit(estimator.set_params(callbacks=callbacks, random_state=0), table())
    for score in ("mine", "theirs"):
        curve = fitted.history_[score]
        assert len(curve) == fitted.n_iter_ and np.isfinite(curve).all()
    assert (tmp_path / "train_end_params.pt").exists()


def test_scores_are_in_the_units_of_the_rows():
    """What the last epoch records is what the fitted estimator does."""
    X = table()
    for estimator in (Autoencoder(2, early_stopping=True), DenoisingAutoencoder(2)):
        callback = skorchs.EpochScoring(error, name="mine", on_train=True)
        estimator.set_params(max_iter=2, random_state=0, callbacks=[callback])
        estimator.set_params(early_stopping=False).fit(X)
        expected = np.square(estimator.reconstruct(X) - X).mean()
        assert estimator.history_["mine"][-1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["a_best", "a_count", "count"])
def test_scores_are_kept_under_any_other_name(name):
    callback = skorchs.EpochScoring(size, name=name, on_train=True)
    history = model(callback, max_iter=2).fit(table()).history_
    assert len(history[name]) == 2
    assert f"{name}_best" not in history


def test_layers_and_fine_tuning_have_their_own():
    X, y = table(40), np.arange(40) % 2
    mine = skorchs.EpochScoring(size, name="mine", on_train=True)
    layer = DenoisingAutoencoder(hidden_layer_sizes=(), max_iter=2, callbacks=[mine])
    stack = StackedAutoencoderPretrainer(layer, layer_sizes=(4, 3))
    fitted = clone(stack).fit(X)
    assert all(len(one.history_["mine"]) == 2 for one in fitted.estimators_)
    with pytest.raises(ValueError, match="estimator__callbacks"):
        clone(stack).set_params(callbacks=[mine]).fit(X)
    right = skorchs.EpochScoring("accuracy", name="right", lower_is_better=False)
    odds = skorchs.EpochScoring("neg_log_loss", name="odds", lower_is_better=False)
    model = StackedAutoencoderClassifier(
        stack, max_iter=4, early_stopping=True, validation_fraction=0.3, random_state=0
    ).set_params(callbacks=[right, odds])
    history = model.fit(X, y).history_
    assert (history["odds"] < 0).all() and len(history["right"]) == model.n_iter_
    # of twelve held-out rows
    np.testing.assert_allclose(12 * history["right"] % 1 % 1, 0, atol=1e-9)


def test_a_policy_reaches_all_steps_of_an_adversary():
    rates = []

    class Rates(skorchs.Callback):
        def on_epoch_end(self, net, **kwargs):
            rates.append([o.param_groups[0]["lr"] for o in net.optimizers().values()])

    halved = skorchs.LRScheduler(StepLR, step_size=1, gamma=0.5)
    AdversarialAutoencoder(
        2, max_iter=3, learning_rate_init=0.01, callbacks=[Rates(), halved]
    ).fit(table())
    np.testing.assert_allclose(rates, np.outer([0.01, 0.005, 0.0025], np.ones(3)))


def test_clipping_reaches_all_steps_of_an_adversary():
    told = []

    class Names(skorchs.Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            told.append({name.split(".")[0] for name, _ in named_parameters})

    AdversarialAutoencoder(2, max_iter=1, callbacks=[Names()]).fit(table())
    assert told == [{"encoder", "decoder"}, {"discriminator"}, {"encoder"}]
    frozen = AdversarialAutoencoder(
        2, max_iter=2, callbacks=[skorchs.Freezer("encoder*")], random_state=0
    ).fit(table())
    plain = AdversarialAutoencoder(2, max_iter=2, random_state=0).fit(table())
    assert frozen.loss_curve_ != plain.loss_curve_


def test_predictions_are_there_for_who_asks():
    seen = []

    class Predicted(skorchs.Callback):
        def on_batch_end(self, net, batch, training, y_pred, **kwargs):
            x, y = batch
            seen.append((x.shape, y.shape, y_pred.shape))

    model(Predicted(), max_iter=1).fit(table())
    assert seen == [((24, 5),) * 3]


# -- what is refused, before training --------------------------------------------------


def untrained(text, *callbacks, **params):
    """Check that a fit is refused before its first epoch."""
    begun = []

    class Begun(skorchs.EpochTimer):
        def on_epoch_begin(self, net, **kwargs):
            begun.append(net)

    with pytest.raises(ValueError, match=text):
        model(*callbacks, Begun(), **params).fit(table())
    assert not begun


@pytest.mark.parametrize(
    ("callback", "text"),
    [
        (skorchs.EpochScoring(size), "scores held-out rows"),
        (skorchs.BatchScoring(size), "scores held-out rows"),
        (skorchs.PassthroughScoring("valid_loss"), "scores held-out rows"),
        (skorchs.EarlyStopping(), "monitor='train_loss'"),
        (skorchs.Checkpoint(), "monitor='train_loss_best'"),
        (skorchs.LRScheduler("ReduceLROnPlateau", monitor="valid_loss"), "held-out"),
        (skorchs.WandbLogger(Log()), "save_model=False"),
    ],
)
def test_needs_held_out_rows(callback, text):
    untrained(f"{type(callback).__name__}.*{text}", callback)


@pytest.mark.parametrize(
    ("callback", "text"),
    [
        (skorchs.EpochScoring(None, on_train=True), "scorer's name"),
        (skorchs.EpochScoring("acuracy", on_train=True), "acuracy"),
        (skorchs.EpochScoring(size, name="train_loss", on_train=True), "another name="),
        (skorchs.BatchScoring(size, name="valid_loss", on_train=True), "another name="),
        (skorchs.EpochScoring(attrgetter("lr"), on_train=True), "a name="),
        (skorchs.EpochScoring(size, name="dur", on_train=True), "another name="),
        (skorchs.PassthroughScoring("mine", on_train=True), "BatchScoring before it"),
        (skorchs.EarlyStopping(monitor="mine"), "recorded by no callback before it"),
        (skorchs.Checkpoint(monitor="size_best"), "recorded by no callback before it"),
        (skorchs.Checkpoint(monitor=None, f_pickle="net.pkl"), "f_params"),
        (skorchs.LRScheduler("Nonsense"), "knows no policy 'Nonsense'"),
        (skorchs.Freezer("encodr*"), "The names are encoder"),
        (skorchs.Freezer(lambda name: False), "The names are encoder"),
    ],
)
def test_has_nothing_to_do(callback, text):
    untrained(f"{type(callback).__name__}.*{text}", callback)


def test_order_counts():
    mine = skorchs.EpochScoring(size, name="mine", on_train=True)
    stops = skorchs.EarlyStopping(monitor="mine", patience=1, threshold=1e9)
    untrained("before it", stops, mine)
    assert model(mine, stops, max_iter=20).fit(table()).n_iter_ < 20


def test_solver_that_searches_for_its_steps():
    policy = skorchs.LRScheduler(StepLR, step_size=1)
    untrained("lbfgs", policy, solver="lbfgs")


@pytest.mark.parametrize(
    "callback",
    [
        skorchs.LRScheduler(StepLR, step_size=1),
        skorchs.EarlyStopping(monitor="train_loss"),
        skorchs.Freezer("encoder*", at=2),
    ],
)
def test_one_pass_is_no_course(callback):
    with pytest.raises(ValueError, match="partial_fit makes one pass"):
        model(callback).partial_fit(table())


def test_refusals_come_before_pretraining():
    stack = StackedAutoencoderPretrainer(Autoencoder(max_iter=1), layer_sizes=(3, 2))
    late = Autoencoder(2, callbacks=[skorchs.EarlyStopping()])
    begun = []

    class Begun(skorchs.EpochTimer):
        def on_epoch_begin(self, net, **kwargs):
            begun.append(net)

    first = Autoencoder(3, callbacks=[Begun()], max_iter=1)
    for params in ({}, {"fine_tune": "reconstruction"}):
        refused = clone(stack).set_params(**params)
        if params:
            refused.set_params(estimators=[first], callbacks=[skorchs.EarlyStopping()])
        else:
            refused.set_params(estimators=[first, late])
        with pytest.raises(ValueError, match="EarlyStopping"):
            refused.fit(table())
    classifier = StackedAutoencoderClassifier(
        StackedAutoencoderPretrainer(estimators=[first]),
        callbacks=[skorchs.EpochScoring(accuracy_score)],
    )
    with pytest.raises(ValueError, match="EpochScoring"):
        classifier.fit(table(), labels())
    assert not begun


def test_failed_checkpoints_are_told_of(tmp_path):
    folder = tmp_path / "there"
    kept = skorchs.Checkpoint(monitor=None, dirname=str(folder))

    class Removes(skorchs.Callback):
        def on_train_begin(self, net, **kwargs):
            folder.rmdir()

    with pytest.warns(UserWarning, match="could not be written"):
        model(kept, Removes(), max_iter=1).fit(table())


def test_nobody_listens_nothing_is_told():
    """Without callbacks no batch is recorded, and with most of them neither."""
    quiet = [skorchs.GradientNormClipping(1.0), skorchs.Freezer("encoder*")]
    quiet.append(skorchs.LRScheduler(StepLR, step_size=1))
    for callbacks in ([], quiet):
        history = model(*callbacks).fit(table()).net_.history
        assert all(not epoch["batches"] for epoch in history)


def test_check_takes_classes_and_pairs():
    check_callbacks(
        [skorchs.EpochTimer, ("mine", skorchs.PrintLog())],
        held_out=False,
        streaming=False,
        solver="adam",
    )


def test_guide_lists_every_callback():
    guide = Path(__file__).parents[1] / "docs" / "user_guide" / "training.rst"
    if not guide.exists():
        pytest.skip("the documentation is not here")
    text = guide.read_text()
    assert [name for name in skorchs.__all__ if f"``{name}``" not in text] == [
        "Callback"  # which does nothing
    ]
