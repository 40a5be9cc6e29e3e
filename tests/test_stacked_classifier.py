"""The stack as a classifier: labels, weights, held-out rows, and what it promises."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from estimators import BAD_Y, CALM, NOISY, STACK, counts, labels, near, table
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from sklearn_ae import (
    Autoencoder,
    Masking,
    StackedAutoencoderClassifier,
    StackedAutoencoderPretrainer,
    load,
    save,
)
from sklearn_ae.engine import train as engine_train
from sklearn_ae.engine.estimator import BaseAutoencoder
from sklearn_ae.engine.rows import Batch
from sklearn_ae.parts.activations import dropout

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

equal = np.testing.assert_array_equal
QUIET = StackedAutoencoderPretrainer(CALM, layer_sizes=(5, 4))
#: Two rows in three have a label.
Y = labels(60)


@pytest.fixture
def X():
    return table(60, 6)


def make(pretrainer=QUIET, **params):
    params = {"max_iter": 5, "random_state": 0, "unlabeled": -1, **params}
    return StackedAutoencoderClassifier(pretrainer, **params)


def blobs(n_rows=200, n_features=6, seed=0):
    """Return rows around three corners of a cube, and which."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n_rows)
    return rng.normal(size=(n_rows, n_features)) + 4 * np.eye(n_features)[y], y


def frozen(X, **params):
    """Return a fitted stack in a frame that keeps it from being fitted again."""
    stack = clone(QUIET).set_params(random_state=0, **params)
    return FrozenEstimator(stack.fit(X))


# -- what it answers -------------------------------------------------------------


@pytest.mark.parametrize("stack", [QUIET, STACK])
@pytest.mark.parametrize("pretrain", [True, False])
def test_probabilities_are_the_softmax_of_an_affine_map_of_features(stack, pretrain, X):
    y = np.array(["b", "a", "c"])[np.arange(60) % 3]
    model = make(stack, pretrain=pretrain).fit(X, y)
    features = model.pretrainer_.transform(X).astype(np.float64)
    logits = features @ model.coef_.T + model.intercept_
    rounding = 1e-10 if stack is QUIET else 1e-4
    for answered, direct in (
        (model.predict_proba(X), softmax(logits, axis=1)),
        (model.predict_log_proba(X), log_softmax(logits, axis=1)),
    ):
        assert answered.shape == (60, 3)
        np.testing.assert_allclose(answered, direct, rtol=rounding, atol=rounding)
    equal(model.classes_, ["a", "b", "c"])
    equal(model.predict(X), model.classes_[model.predict_proba(X).argmax(axis=1)])
    assert model.coef_.shape == (3, model.pretrainer_.n_components_)
    assert model.score(X, y) == np.mean(model.predict(X) == y)


def test_separable_classes_are_learned():
    X, y = blobs()
    model = make(max_iter=60, learning_rate_init=0.03).fit(X, y)
    fresh, truth = blobs(seed=1)
    # the best that there is: the nearest corner
    best = np.mean(fresh[:, :3].argmax(axis=1) == truth)
    assert model.score(fresh, truth) > best - 0.02


def test_objective_is_the_cross_entropy(X):
    """Of the whole: with L-BFGS the first loss is that of even odds, log 3."""
    y = np.arange(60) % 3
    settings = {"solver": "lbfgs", "max_iter": 30}
    model = make(**settings).fit(X, y)
    assert model.loss_curve_[0] == pytest.approx(np.log(3))
    nats = log_loss(y, model.predict_proba(X))
    shorter = make(**{**settings, "max_iter": 29}).fit(X, y)
    # an iteration reports the loss that it began with
    last = log_loss(y, shorter.predict_proba(X))
    assert model.loss_curve_[-1] == pytest.approx(last, rel=1e-9)
    assert nats < last < np.log(3)
    assert model.history_["train_cross_entropy"].tolist() == model.loss_curve_
    assert model.n_iter_ == 30


def test_weights_and_features_decay(X):
    """α/2 times the squares of W (in the units it is trained in) and all encoders'."""
    y = np.arange(60) % 3
    model = make(solver="lbfgs", alpha=0.1, max_iter=1).fit(X, y)
    decay = model.history_["train_weight_decay"][0]
    before = clone(QUIET).set_params(random_state=model.pretrainer_.random_state).fit(X)
    squares = sum(
        float(weight.detach().square().sum())
        for layer in before.estimators_
        for name, weight in layer.module_.named_parameters()
        if name.startswith("encoder") and name.endswith("kernel")
    )
    assert decay == pytest.approx(0.05 * squares)  # W begins at zero


def test_linear_stack_is_logistic_regression():
    """A square linear layer changes nothing but the units: the optimum is the same."""
    X, y = blobs(100, 3)
    layer = Autoencoder(hidden_layer_sizes=(), dtype="float64", max_iter=5)
    model = make(StackedAutoencoderPretrainer(layer, layer_sizes=(3,)), max_iter=1000)
    X = X + np.random.default_rng(0).normal(scale=3, size=X.shape)  # not separable
    model.set_params(solver="lbfgs", tol=1e-12).fit(X, y)
    convex = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(X, y)
    best = log_loss(y, convex.predict_proba(X))
    assert log_loss(y, model.predict_proba(X)) == pytest.approx(best, rel=1e-4)


# -- labels ----------------------------------------------------------------------


def test_unlabelled_rows_are_pretrained_on(X):
    """The stack learns from them, as the same stack does without y."""
    log = []
    for rows in (slice(None), Y != -1):
        make(callbacks=[Copied(log)]).fit(X[rows], Y[rows])
    assert not np.array_equal(*log)


class Copied(Callback):
    """Note the first encoder's weights as fine-tuning finds them."""

    def __init__(self, log):
        self.log = log

    def __deepcopy__(self, memo):
        return self

    def on_train_begin(self, net, **kwargs):
        weight = next(net.module_.stack.parameters())
        self.log.append(weight.detach().numpy().copy())


def test_unlabelled_rows_teach_no_label(X):
    stack = frozen(X)
    with_them = make(stack).fit(X, Y)
    without = make(stack).fit(X[Y != -1], Y[Y != -1])
    equal(with_them.predict_proba(X), without.predict_proba(X))
    equal(with_them.classes_, [0, 1])


KINDS = {
    "floats": (np.where(Y == -1, -1.0, Y), [0.0, 1.0]),
    "objects": (Y.astype(object), [0, 1]),
    "list": (Y.tolist(), [0, 1]),
    "int8": (Y.astype(np.int8), [0, 1]),
    "column": (Y[:, None], [0, 1]),
    "series": (pd.Series(Y, index=np.arange(60)[::-1]), [0, 1]),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_y(kind, X):
    y, classes = KINDS[kind]
    model = make().fit(X, y)
    equal(model.classes_, classes)
    equal(model.predict_proba(X), make().fit(X, Y).predict_proba(X))


@pytest.mark.parametrize("missing", [-1, np.int64(-1)])
def test_strings_some_of_which_are_missing(missing, X):
    y = np.array(["no", "yes", missing], dtype=object)[np.arange(60) % 3]
    model = make().fit(X, y)
    equal(model.classes_, ["no", "yes"])
    equal(model.predict_proba(X), make().fit(X, Y).predict_proba(X))
    assert set(model.predict(X)) <= {"no", "yes"}


SIGNS = np.where(np.arange(60) % 2, 1, -1)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.parametrize(
    "signs",
    [SIGNS, SIGNS.astype(float), SIGNS.astype(object), SIGNS.tolist(), SIGNS[:, None]],
    ids=["ints", "floats", "objects", "list", "column"],
)
def test_minus_one_and_one_alone_are_two_classes(signs, X):
    with pytest.warns(UserWarning, match="taken for two classes") as caught:
        model = make(unlabeled="auto").fit(X, signs)
    equal(model.classes_, [-1, 1])
    equal(model.predict_proba(X), make().fit(X, SIGNS > 0).predict_proba(X))
    assert set(model.predict(X)) <= {-1, 1}
    assert model.score(X, signs) == np.mean(model.predict(X) == SIGNS)
    assert {one.filename for one in caught if "two classes" in str(one.message)} == {
        __file__
    }


def test_booleans_have_no_unlabelled(X):
    model = make().fit(X, np.arange(60) % 2 == 0)
    equal(model.classes_, [False, True])


# -- weights ---------------------------------------------------------------------


def test_weights_that_together_are_none_are_said_to_be_those_of_y(X):
    """1e-300 times 1e-30 is 0 in float64."""
    w = np.where(Y == 0, 1e-300, 1.0)
    model = make(class_weight={0: 1e-30, 1: 0.0})
    with pytest.raises(ValueError, match=r"No row of y is of a class"):
        model.fit(X, Y, sample_weight=w)


def test_class_weights_are_sample_weights(X):
    """Of rows with a label, that is: for the stack those of all rows count."""
    y = np.where(np.arange(60) % 5 == 0, 1, 0)
    y[::7] = -1
    balanced = {c: np.sum(y != -1) / (2 * np.sum(y == c)) for c in (0, 1)}
    settings = {"max_iter": 30, "learning_rate_init": 0.03, "pretrainer": frozen(X)}
    plain = make(**settings).fit(X, y).predict_proba(X)
    for class_weight, of_class in (({0: 1.0, 1: 3.0}, None), ("balanced", balanced)):
        model = make(class_weight=class_weight, **settings).fit(X, y)
        of_class = of_class or class_weight
        sample_weight = [of_class.get(label, 1.0) for label in y]
        weighted = make(**settings).fit(X, y, sample_weight=sample_weight)
        near(model.predict_proba(X), weighted.predict_proba(X))
        assert model.predict_proba(X)[:, 1].mean() > plain[:, 1].mean() + 0.1


def test_weights_multiply(X):
    y, w = np.arange(60) % 2, np.linspace(1, 2, 60)
    stack = frozen(X)
    both = make(stack, class_weight={0: 1.0, 1: 3.0}).fit(X, y, sample_weight=w)
    product = make(stack).fit(X, y, sample_weight=w * np.where(y == 1, 3.0, 1.0))
    np.testing.assert_allclose(
        both.predict_proba(X), product.predict_proba(X), rtol=1e-9
    )


@pytest.mark.parametrize("stack", [QUIET, STACK])
def test_rows_of_no_weight_are_not_there(stack, X):
    """Neither for the classes nor for the layers, with noise and without."""
    weight = (np.arange(60) % 4 > 0).astype(float)
    some = weight > 0
    model = make(stack).fit(X, Y, sample_weight=weight)
    without = make(stack).fit(X[some], Y[some], sample_weight=weight[some])
    equal(model.predict_proba(X), without.predict_proba(X))


@pytest.mark.parametrize("factor", [1.0, 0.25, 1024.0, 1e-310, 1e-50, 1e39, 1e308])
@pytest.mark.parametrize("stack", [QUIET, STACK])
def test_weights_count_up_to_a_factor(factor, stack, X):
    """Also where float32 could not hold them, or float64 their sum."""
    plain = make(stack).fit(X, Y).predict_proba(X)
    weighted = make(stack).fit(X, Y, sample_weight=np.full(60, factor))
    near(weighted.predict_proba(X), plain)
    of_class = make(stack, class_weight={0: factor, 1: factor}).fit(X, Y)
    near(of_class.predict_proba(X), plain)
    both = make(stack, class_weight="balanced")
    both.fit(X, Y, sample_weight=np.full(60, factor))
    near(both.predict_proba(X), plain)  # of each class there are 20


def test_weights_that_differ_count_up_to_a_factor(X):
    weight = np.linspace(1, 2, 60)
    expected = make(STACK).fit(X, Y, sample_weight=weight).predict_proba(X)
    for factor in (1e-50, 1e39):
        weighted = make(STACK).fit(X, Y, sample_weight=weight * factor)
        np.testing.assert_allclose(weighted.predict_proba(X), expected, rtol=1e-4)


def test_weight_two_is_twice_the_row(X):
    """Where all rows are one batch, and the stack the same."""
    y, twice = np.arange(60) % 2, np.r_[np.arange(60), np.arange(20)]
    weight = np.where(np.arange(60) < 20, 2.0, 1.0)
    settings = {"pretrainer": frozen(X), "solver": "lbfgs"}
    weighted = make(**settings).fit(X, y, sample_weight=weight)
    repeated = make(**settings).fit(X[twice], y[twice])
    np.testing.assert_allclose(
        weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-6
    )


# -- noise -----------------------------------------------------------------------


class Kept(Callback):
    """Keep the module that is trained."""

    def __init__(self, log):
        self.log = log

    def __deepcopy__(self, memo):
        return self

    def on_train_begin(self, net, **kwargs):
        self.log.append(net.module_)


@pytest.mark.parametrize("corruption", [None, Masking(noise_level=0.4)])
def test_dropout_and_corruption_are_in_each_step(corruption, X):
    """−log softmax(W z + b)_y of codes of which some are left out, on every layer; and
    of rows with noise on them. What is judged is whole."""
    y, log = np.arange(60) % 3, []
    make(dropout=0.3, corruption=corruption, callbacks=[Kept(log)]).fit(X, y)
    (module,) = log
    x, label = torch.tensor(X), torch.tensor(y)

    def nats(generator):
        noisy = x
        if corruption is not None and generator is not None:
            level = torch.tensor(0.4)
            noisy = Masking.corrupt(x, generator, noise_level=level)
        z = noisy
        for layer in module.stack.layers:
            z = dropout(layer.encode(z), 0.3, generator)
        logits = module.head((z - module.origin) / module.scale)
        return -logits.log_softmax(1)[np.arange(60), y].mean()

    batch, found = Batch(x, x, label=label), []
    for generator in (lambda: None, *(partial(seeded, seed) for seed in range(3))):
        loss = module.loss(batch, generator())["cross_entropy"]
        torch.testing.assert_close(loss, nats(generator()))
        found.append(float(loss.detach()))
    assert len(set(found)) == 4


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_dropout_changes_what_is_recorded(X):
    """From the second step on; of the first all classes are as likely."""
    curves = [
        make(frozen(X), dropout=share).fit(X, Y).loss_curve_ for share in (0.0, 0.5)
    ]
    assert curves[0][0] == pytest.approx(curves[1][0])
    assert abs(curves[0][-1] - curves[1][-1]) > 1e-4


# -- held-out rows ---------------------------------------------------------------


@pytest.mark.parametrize("weight", [1.0, 3.0, 50.0])
def test_weights_count_in_held_out_rows(weight):
    """Weights that stay as they are say class 0 of each row: right is its share."""
    X, y = np.random.default_rng(0).normal(size=(90, 6)), np.arange(90) % 3
    model = make(early_stopping=True, validation_fraction=0.2, max_iter=1)
    model.set_params(solver="sgd", learning_rate_init=1e-300, scoring="accuracy")
    model.fit(X, y, sample_weight=np.where(y == 0, weight, 1.0))
    assert (model.predict(X) == 0).all()
    assert model.validation_scores_[-1] == pytest.approx(weight / (weight + 2.0))


def test_held_out_rows_are_judged_by_their_own_weights(monkeypatch):
    """Loss and share, as scikit-learn has them of rows with a weight."""
    X, y = blobs(120)
    y[::5] = -1
    weight, parts = np.random.default_rng(0).uniform(0.1, 3.0, size=120), []
    original = engine_train.run

    def recorded(net, rows, rows_valid, **given):
        if rows_valid is not None:
            parts.append(rows_valid.subset)
        original(net, rows, rows_valid, **given)

    monkeypatch.setattr(engine_train, "run", recorded)
    model = make(early_stopping=True, validation_fraction=0.3, max_iter=1)
    model.set_params(scoring="accuracy", learning_rate_init=0.05)
    model.fit(X, y, sample_weight=weight)
    (valid,) = parts
    given = {"sample_weight": weight[valid]}
    nats = log_loss(y[valid], model.predict_proba(X[valid]), **given)
    assert model.history_["valid_cross_entropy"][-1] == pytest.approx(nats)
    share = model.score(X[valid], y[valid], weight[valid])
    assert model.validation_scores_[-1] == pytest.approx(share)
    assert share != pytest.approx(model.score(X[valid], y[valid]))


def test_early_stopping_keeps_the_best_weights(monkeypatch):
    X, y = blobs(120)
    y[::3] = -1
    parts = []
    original = engine_train.run

    def recorded(net, rows, rows_valid, **given):
        if rows_valid is not None:
            parts.append((rows.subset, rows_valid.subset))
        original(net, rows, rows_valid, **given)

    monkeypatch.setattr(engine_train, "run", recorded)
    model = make(early_stopping=True, validation_fraction=0.25, n_iter_no_change=10)
    model.set_params(max_iter=60, learning_rate_init=0.5, scoring="accuracy").fit(X, y)
    ((train, valid),) = parts
    assert not set(train) & set(valid)
    equal(np.sort(np.r_[train, valid]), np.flatnonzero(y != -1))
    assert set(y[valid]) == set(y[train]) == {0, 1, 2}
    scores = model.validation_scores_
    assert len(scores) == model.n_iter_ < 60
    # shares of 20 rows, added up in float64
    assert model.score(X[valid], y[valid]) == pytest.approx(max(scores), abs=1e-12)
    assert scores[0] < max(scores)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_share_of_each_class_is_held_out(share, monkeypatch):
    """Rounded, and of rows with a label; the others of it are learned from."""
    X, y = table(91, 6), np.repeat([0, 1, 2, -1], [40, 17, 4, 30])
    parts, original = [], engine_train.run

    def recorded(net, rows, rows_valid, **given):
        if rows_valid is not None:
            parts.append((rows.subset, rows_valid.subset))
        original(net, rows, rows_valid, **given)

    monkeypatch.setattr(engine_train, "run", recorded)
    make(early_stopping=True, validation_fraction=share, max_iter=1).fit(X, y)
    ((train, valid),) = parts
    for of_class, n_rows in enumerate((40, 17, 4)):
        n_held = max(1, round(share * n_rows))
        assert (y[valid] == of_class).sum() == n_held
        assert (y[train] == of_class).sum() == n_rows - n_held
    equal(np.sort(np.r_[train, valid]), np.arange(61))


def test_fewer_rows_than_the_share_are_held_out_of_no_class(X):
    """A tenth of 30 rows is less than one of each of 10 classes."""
    model = make(early_stopping=True, scoring="accuracy")
    model.fit(X[:30], np.arange(30) % 10)
    shares = np.array(model.validation_scores_) * 10
    np.testing.assert_allclose(shares, np.round(shares), atol=1e-12)


def test_without_early_stopping_there_are_no_scores(X):
    assert make().fit(X, Y).validation_scores_ is None


# -- the stack in it -------------------------------------------------------------


def test_stack_is_the_pretrainers_before_fine_tuning(X):
    log = []
    make(callbacks=[Copied(log)]).fit(X, Y)
    seed = make().fit(X, Y).pretrainer_.random_state
    alone = clone(QUIET).set_params(random_state=seed).fit(X)
    equal(log[0], next(alone.module_.parameters()).detach().numpy())


def test_without_pretraining_the_same_network_begins_at_random(X):
    log = []
    models = [
        make(pretrain=pretrain, callbacks=[Copied(log)]).fit(X, Y)
        for pretrain in (True, False)
    ]
    assert log[0].shape == log[1].shape and not np.array_equal(*log)
    trained, random = (model.pretrainer_ for model in models)
    shapes = [[p.shape for p in m.module_.parameters()] for m in (trained, random)]
    assert shapes[0] == shapes[1]
    assert [layer.n_iter_ for layer in random.estimators_] == [0, 0]
    assert random.transform(X).shape == (60, 4)
    # another seed, other weights; the same seed, the same
    equal(make(pretrain=False).fit(X, Y).predict_proba(X), models[1].predict_proba(X))
    other = make(pretrain=False, random_state=1).fit(X, Y)
    assert not np.array_equal(other.predict_proba(X), models[1].predict_proba(X))


def test_no_layer_is_trained_without_pretraining(X, monkeypatch):
    def fit(self, *given):
        raise AssertionError("a layer was trained")

    monkeypatch.setattr(BaseAutoencoder, "fit", fit)
    assert make(pretrain=False).fit(X, Y).n_iter_ == 5


def test_layers_that_were_not_trained_have_no_loss(X):
    layer = make(pretrain=False).fit(X, Y).pretrainer_[0]
    assert layer.loss_curve_ == [] and np.isnan(layer.loss_)


def test_frozen_stack_is_fine_tuned_in_a_copy(X, monkeypatch):
    stack = frozen(X)
    features = stack.transform(X)

    def fit(self, *given):
        raise AssertionError("the stack was fitted again")

    monkeypatch.setattr(StackedAutoencoderPretrainer, "fit", fit)
    model = make(stack).fit(X, Y)
    equal(stack.transform(X), features)
    assert not np.array_equal(model.pretrainer_.transform(X), features)
    with pytest.raises(ValueError, match=r"X has 3 features, but"):
        model.fit(X[:, :3], Y)


def test_fine_tuning_lowers_the_loss_and_reaches_every_encoder(X):
    stack = frozen(X, layer_sizes=(5, 4, 3))
    model = make(stack, max_iter=30).fit(X, Y)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    layers = zip(
        model.pretrainer_.estimators_, stack.estimator.estimators_, strict=True
    )
    for after, before in layers:
        pairs = zip(
            after.module_.encoder.parameters(),
            before.module_.encoder.parameters(),
            strict=True,
        )
        assert all(not np.array_equal(a.detach(), b.detach()) for a, b in pairs)


def test_default_stack_can_be_set_up_in_place():
    model = StackedAutoencoderClassifier()
    model.set_params(pretrainer__layer_sizes=(3,), pretrainer__estimator__max_iter=2)
    assert model.pretrainer.layer_sizes == (3,)
    assert model.pretrainer.estimator.max_iter == 2


def test_random_state(X):
    def run(seed, stack=STACK):
        return make(stack, random_state=seed).fit(X, Y).predict_proba(X)

    equal(run(0), run(0))
    assert not np.array_equal(run(0), run(1))
    assert not np.array_equal(run(None), run(None))
    equal(run(np.random.RandomState(3)), run(np.random.RandomState(3)))


def test_pretrainer_of_the_user_is_left_alone(X):
    stack = clone(STACK)
    before = repr(stack.get_params())
    make(stack).fit(X, Y)
    assert repr(stack.get_params()) == before and not hasattr(stack, "estimators_")


# -- with scikit-learn -----------------------------------------------------------


def test_search_in_a_pipeline():
    X, y = load_digits(return_X_y=True)
    X, y = X[:400], np.where(np.arange(400) % 2, y[:400], -1)
    layer = clone(NOISY).set_params(max_iter=20)
    model = make(StackedAutoencoderPretrainer(layer, layer_sizes=(30,)), max_iter=20)
    grid = {
        "stackedautoencoderclassifier__dropout": [0.0, 0.5],
        "stackedautoencoderclassifier__pretrainer__layer_sizes": [(30,), (40, 20)],
    }
    labelled = np.flatnonzero(y != -1)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), model),
        grid,
        cv=[(np.setdiff1d(np.arange(400), labelled[::4]), labelled[::4])],
    ).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert len(scores) == 4 and search.best_score_ > 0.8
    assert len(set(search.predict(X))) == 10


def test_scikit_learns_wrappers():
    X, y = blobs(90)
    model = make(max_iter=30, learning_rate_init=0.03)
    assert cross_val_score(model, X, y, cv=3).min() > 0.8
    calibrated = CalibratedClassifierCV(model, cv=2).fit(X, y)
    assert calibrated.score(X, y) > 0.8
    assert cross_val_score(model, X, y, cv=3, scoring="neg_log_loss").min() > -0.7


def test_sparse_rows():
    X, y = counts(60), labels(60)
    expected = make().fit(X, y).predict_proba(X)
    dense = make().fit(X.toarray(), y)
    np.testing.assert_allclose(dense.predict_proba(X.toarray()), expected, rtol=1e-9)
    np.testing.assert_allclose(dense.predict_proba(X), expected, rtol=1e-9)


@pytest.mark.parametrize("how", ["pretrained", "untrained", "frozen"])
def test_stack_in_it_knows_the_names_of_features(how, X):
    frame = pd.DataFrame(X, columns=list("abcdef"))
    pretrainer = frozen(frame) if how == "frozen" else QUIET
    model = make(pretrainer, pretrain=how != "untrained").fit(frame, Y)
    stack = model.pretrainer_
    first = stack[0].transform(frame)  # without a warning
    near(first, stack[:1].transform(frame))
    near(stack[1].transform(first), stack.transform(frame))
    for part in (model, stack, stack[0]):
        assert list(part.feature_names_in_) == list("abcdef")
    with pytest.raises(ValueError, match=r"feature names should match"):
        stack.transform(frame[list("fedcba")])


UNLABELLED = {
    "ints": Y,
    "objects": Y.astype(object),
    "strings": np.array(["no", "yes", -1], dtype=object)[np.arange(60) % 3],
    "list": Y.tolist(),
    "series": pd.Series(Y, index=np.arange(60)[::-1]),
}


@pytest.mark.parametrize("kind", UNLABELLED)
def test_score_leaves_out_rows_without_a_label(kind, X):
    y, some = UNLABELLED[kind], np.flatnonzero(Y != -1)
    model = make().fit(X, y)
    right = (model.predict(X) == np.asarray(y))[some]
    weight = np.linspace(0, 1, 60)
    assert model.score(X, y) == right.mean()
    expected = np.average(right, weights=weight[some])
    for weights in (weight, weight.tolist(), pd.Series(weight, index=range(9, 69))):
        assert model.score(X, y, weights) == pytest.approx(expected)
    assert model.score(X[some], np.asarray(y)[some]) == right.mean()


def test_score_needs_a_label(X):
    model = make().fit(X, Y)
    for y in (np.full(60, -1), np.full(60, -1, dtype=object), [-1.0] * 60):
        with pytest.raises(ValueError, match=r"No row of y has a label: all are -1"):
            model.score(X, y)


@pytest.mark.parametrize("n_labels", [50, 70])
def test_score_needs_a_label_and_a_weight_for_each_row(n_labels, X):
    model, more = make().fit(X, Y), labels(n_labels)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples"):
        model.score(X, more)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples"):
        model.score(X, Y, sample_weight=np.ones(n_labels))


def test_missing_values(X):
    X[::5, 2] = np.nan
    model = make(clone(STACK).set_params(estimator__noise="masking")).fit(X, Y)
    assert np.isfinite(model.predict_proba(X)).all()
    with pytest.raises(ValueError, match=r"Input X contains NaN"):
        make().fit(X, Y)


@pytest.mark.parametrize("way", ["pickle", "skops"])
def test_round_trip(way, X, tmp_path):
    y = np.array(["no", "yes", -1], dtype=object)[np.arange(60) % 3]
    model = make().fit(X, y)
    if way == "pickle":
        back = pickle.loads(pickle.dumps(model))
    else:
        save(model, tmp_path / "model.skops")
        back = load(tmp_path / "model.skops")
    equal(back.predict(X), model.predict(X))
    equal(back.predict_proba(X), model.predict_proba(X))
    equal(back.fit(X, y).predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("value", ["classes_", "coef_", "intercept_"])
def test_changed_state_is_refused(value, X):
    state = make().fit(X, Y).__getstate__()
    state[value] = state[value] + 1
    with pytest.raises(ValueError, match=r"damaged.*checksum"):
        StackedAutoencoderClassifier.__new__(StackedAutoencoderClassifier).__setstate__(
            state
        )


# -- bad input: refused before any training --------------------------------------


def refused(model, X, y, message, fitted, **given):
    """Expect ValueError, of a first fit and of another, and the earlier fit whole."""
    before, classes = fitted.predict_proba(X), fitted.classes_
    again = fitted.set_params(**model.get_params(deep=False))
    for attempt in (model, again):
        with pytest.raises(ValueError, match=message):
            attempt.fit(X, y, **given)
    assert not hasattr(model, "n_features_in_") and not hasattr(model, "classes_")
    equal(again.predict_proba(X), before)
    assert again.classes_ is classes


@pytest.mark.parametrize("bad", BAD_Y)
@pytest.mark.parametrize("pretrain", [True, False])
def test_bad_y(bad, pretrain, X, untrained):
    y, message = BAD_Y[bad]
    fitted = make().fit(X, Y)
    untrained()
    refused(make(pretrain=pretrain), X, y, message, fitted)


BAD_SETTINGS = {
    "unseen labels": (
        {"class_weight": {0: 1.0, 7: 2.0}},
        r"class_weight names labels that are not in y: \[7\].*\[0, 1\]",
    ),
    **{
        f"class weight {weights}": (
            {"class_weight": weights},
            r"weights in class_weight must be finite numbers, 0 or more",
        )
        for weights in (
            {0: -1},
            {0: np.nan},
            {1: np.inf},
            {0: "a"},
            {0: None},
            {0: 0.0, 1: 0.0},
        )
    },
    "too few rows for a layer": (
        {
            "pretrainer": clone(QUIET).set_params(
                estimator__early_stopping=True, estimator__validation_fraction=0.999
            )
        },
        r"0\.999 leaves nothing to train on: X has 60 samples",
    ),
    "fine-tuned by class": (
        {"pretrainer": clone(QUIET).set_params(fine_tune="class")},
        r"'pretrainer' parameter needs fine_tune=None",
    ),
    "not fitted": (
        {"pretrainer": FrozenEstimator(clone(QUIET))},
        r"not fitted",
    ),
    "layers that do not fit": (
        {
            "pretrainer": StackedAutoencoderPretrainer(
                estimators=[CALM, clone(CALM).set_params(dtype="float32")]
            )
        },
        r"All layers need the same dtype",
    ),
    "bad layer": (
        {
            "pretrainer": StackedAutoencoderPretrainer(
                clone(CALM).set_params(max_iter=0), layer_sizes=(3,)
            )
        },
        r"'max_iter' parameter of Autoencoder",
    ),
}


@pytest.mark.parametrize("bad", BAD_SETTINGS)
@pytest.mark.parametrize("pretrain", [True, False])
def test_bad_settings(bad, pretrain, X, untrained):
    params, message = BAD_SETTINGS[bad]
    fitted = make().fit(X, Y)
    untrained()
    refused(make(**params, pretrain=pretrain), X, Y, message, fitted)


def test_random_weights_in_place_of_a_fitted_stacks(X, untrained):
    fitted = make().fit(X, Y)
    model = make(frozen(X), pretrain=False)
    untrained()
    refused(model, X, Y, r"pretrain=False .*without FrozenEstimator", fitted)


def test_classes_of_one_row_cannot_be_held_out(X, untrained):
    fitted = make().fit(X, Y)
    y = np.where(np.arange(60) == 0, 2, Y)
    untrained()
    refused(make(early_stopping=True), X, y, r"two rows of each(?!.*test_size)", fitted)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros(60), r"at least one non-zero number"),
        (-np.ones(60), r"[Nn]egative"),
        (np.ones(59), r"sample_weight.shape"),
        (np.where(Y == 1, 0.0, 1.0), r"at least 2 classes"),
        # -1 is what it was before: no class
        (np.where(Y == 0, 0.0, 1.0), r"one class: 1; 20 of 60 labels are -1"),
        (np.full(60, np.nan), r"NaN"),
    ],
)
def test_bad_weights(weight, message, X, untrained):
    fitted = make().fit(X, Y)
    untrained()
    refused(make(), X, Y, message, fitted, sample_weight=weight)


def test_strings_in_rows(X, untrained):
    fitted = make().fit(X, Y)
    untrained()
    bad = X.astype(object)
    bad[0, 0] = "petal"
    with pytest.raises(ValueError, match=r"could not convert string to float"):
        fitted.fit(bad, Y)
    equal(fitted.classes_, [0, 1])


@pytest.mark.parametrize("where", ["pretrainer__estimator__", ""])
@pytest.mark.parametrize("stack", [QUIET, STACK])
def test_divergence_leaves_the_earlier_fit_whole(where, stack, X):
    model = make(clone(stack)).fit(X, Y)
    before = model.predict_proba(X)
    attributes = dict(vars(model))
    model.set_params(
        **{f"{where}learning_rate_init": 1e300 if stack is QUIET else 1e30}
    )
    with pytest.raises(ValueError, match=r"non-finite(.|\n)*learning_rate_init"):
        model.fit(X[:, :3] * 2, Y)
    assert vars(model).keys() == attributes.keys()
    assert all(vars(model)[k] is v for k, v in attributes.items() if k.endswith("_"))
    equal(model.predict_proba(X), before)
