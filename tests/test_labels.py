"""What −1 and other marks in y mean, the same in every estimator that reads y."""

import pickle
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from estimators import CALM, public_classes, table
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import (
    AdversarialAutoencoder,
    GeneralizedAutoencoder,
    StackedAutoencoderClassifier,
    StackedAutoencoderPretrainer,
)
from sklearn_ae.engine.labels import LabelParameters, read

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

equal = np.testing.assert_array_equal
QUIET = StackedAutoencoderPretrainer(CALM, layer_sizes=(3,), random_state=0)

#: Every estimator that reads y, in each of the ways in which it does.
READERS = {
    "classifier": StackedAutoencoderClassifier(QUIET, max_iter=3, random_state=0),
    "stack": clone(QUIET).set_params(fine_tune="class", max_iter=3),
    "class": GeneralizedAutoencoder(2, relation="class", max_iter=2, random_state=0),
    "mfa": GeneralizedAutoencoder(
        2, relation="mfa", n_neighbors=3, max_iter=2, random_state=0
    ),
    "mixture": AdversarialAutoencoder(2, prior="mixture", max_iter=2, random_state=0),
}
every = pytest.mark.parametrize("name", READERS)
streams = pytest.mark.parametrize("name", ["class", "mfa", "mixture"])

#: Sentiments; and the same classes without a −1, in the same order.
Y = np.array([-1, 0, 1])[np.arange(60) % 3]
PLAIN = Y + 1
SIGNS = np.where(np.arange(60) % 2, 1, -1)

NO_LABEL = (
    r"y has -1 besides other labels: .*unlabeled=-1\. .*class, use unlabeled=None"
)
TWO_CLASSES = r"-1 and 1 alone: .*two classes.*unlabeled=None\. .*use unlabeled=-1"


@pytest.fixture
def X():
    return table(60, 6)


def make(name, **params):
    return clone(READERS[name]).set_params(**params)


def answer(model, X):
    if hasattr(model, "predict_proba"):
        return model.predict_proba(X)
    return model.transform(X)


def warned(train, *given):
    """Return the texts of the warnings of a training, all of which point at us."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(*given)
    caught = [one for one in caught if issubclass(one.category, UserWarning)]
    caught = [one for one in caught if "-1" in str(one.message)]
    assert {one.filename for one in caught} <= {__file__}
    return [str(one.message) for one in caught]


# -- every estimator -------------------------------------------------------------


@every
def test_default_says_how_minus_one_is_read(name, X):
    model, said = make(name), make(name, unlabeled=-1)
    (text,) = warned(model.fit, X, Y)
    assert re.search(NO_LABEL, text)
    equal(answer(model, X), answer(said.fit(X, Y), X))
    if hasattr(model, "classes_"):
        equal(model.classes_, [0, 1])


@every
@pytest.mark.parametrize(
    "y", [Y + 0.0, Y.astype(object), Y.tolist(), np.where(Y < 0, Y, Y + 5)]
)
def test_kinds_of_y_are_warned_of_alike(name, y, X):
    (text,) = warned(make(name).fit, X, y)
    assert re.search(NO_LABEL, text)
    assert not warned(make(name, unlabeled=-1).fit, X, y)


@every
def test_none_makes_every_label_a_class(name, X):
    model = make(name, unlabeled=None).fit(X, Y)
    equal(answer(model, X), answer(make(name).fit(X, PLAIN), X))
    if hasattr(model, "classes_"):
        equal(model.classes_, [-1, 0, 1])


@every
def test_minus_one_and_one_alone_are_two_classes(name, X):
    model, said = make(name), make(name, unlabeled=None)
    (text,) = warned(model.fit, X, SIGNS)
    assert re.search(TWO_CLASSES, text)
    equal(answer(model, X), answer(said.fit(X, SIGNS), X))
    equal(answer(model, X), answer(make(name).fit(X, SIGNS > 0), X))


@every
def test_minus_one_and_one_where_minus_one_is_no_label(name, X):
    model = make(name, unlabeled=-1)
    if name == "mixture":
        assert model.fit(X, SIGNS).classes_.tolist() == [1]
        return
    with pytest.raises(ValueError, match="one class: 1; 30 of 60 labels are -1"):
        model.fit(X, SIGNS)


@every
@pytest.mark.parametrize(
    ("mark", "y"),
    [
        (0, np.where(Y < 0, 0, Y + 1)),
        (99, np.where(Y < 0, 99, Y)),
        (np.int64(99), np.where(Y < 0, 99.0, Y)),
        ("?", np.array(["no", "yes", "?"])[Y]),
        ("?", np.array(["no", "yes", "?"], dtype=object)[Y]),
        ("?", np.array([0, 1, "?"], dtype=object)[Y]),
        ("-1", np.array(["no", "yes", "-1"])[Y]),
        (-1, np.array(["no", "yes", -1], dtype=object)[Y]),
    ],
)
def test_other_marks(name, mark, y, X):
    model = make(name, unlabeled=mark).fit(X, y)
    equal(answer(model, X), answer(make(name, unlabeled=-1).fit(X, Y), X))


@every
def test_another_mark_leaves_minus_one_a_class(name, X):
    y = np.array([-1, 1, 99])[np.arange(60) % 3]
    model = make(name, unlabeled=99).fit(X, y)
    plain = np.array([0, 1, -1])[np.arange(60) % 3]
    equal(answer(model, X), answer(make(name, unlabeled=-1).fit(X, plain), X))


@every
def test_labels_without_minus_one_leave_no_doubt(name, X):
    models = [make(name, unlabeled=mark) for mark in ("auto", -1, None, 99)]
    codes = [answer(model.fit(X, PLAIN), X) for model in models]
    for others in codes[1:]:
        equal(others, codes[0])


@every
def test_strings_of_minus_one_are_a_class_only_if_one_says_so(name, X):
    words = np.array(["no", "yes", "-1"])[Y]
    for mark in ("auto", -1):
        with pytest.raises(ValueError, match=r"'-1' is one of them.*unlabeled=None"):
            make(name, unlabeled=mark).fit(X, words)
    model = make(name, unlabeled=None).fit(X, words)
    same = np.array(["b", "c", "a"])[Y]
    equal(answer(model, X), answer(make(name).fit(X, same), X))


@every
def test_a_mark_of_another_kind_than_the_labels(name, X, no_steps):
    for mark in ("Auto", "-1"):
        with pytest.raises(ValueError, match=f"numbers, but unlabeled='{mark}' is a s"):
            make(name, unlabeled=mark).fit(X, Y)
    with pytest.raises(ValueError, match="has the number -1, but unlabeled='-1' is a"):
        make(name, unlabeled="-1").fit(X, Y.astype(object))


@pytest.mark.parametrize("name", ["classifier", "stack", "class", "mfa"])
def test_one_class_beside_minus_one(name, X, no_steps):
    """An error in place of a warning; it names the way out."""
    y = np.where(Y == 0, 0, -1)
    with pytest.raises(ValueError, match=r"40 of 60 labels are -1.*unlabeled=None\."):
        make(name).fit(X, y)
    with pytest.raises(ValueError, match=r"40 of 60 labels are -1.*unlabelled\.$"):
        make(name, unlabeled=-1).fit(X, y)
    with pytest.raises(ValueError, match=r"there is one class: 0\.$"):
        make(name, unlabeled=None).fit(X, np.zeros(60, int))


def test_one_class_beside_minus_one_in_a_mixture(X):
    (text,) = warned(make("mixture").fit, X, np.where(Y == 0, 0, -1))
    assert re.search(NO_LABEL, text)


@every
def test_warned_once_within_scikit_learn(name, X):
    model = make_pipeline(StandardScaler(), make(name))
    assert len(warned(model.fit, X, Y)) == 1
    if hasattr(model, "fit_transform"):
        assert len(warned(model.fit_transform, X, Y)) == 1


@every
@pytest.mark.parametrize("unlabeled", ["auto", -1, None, 99])
def test_parameter_is_left_as_it_was(name, unlabeled, X):
    model = make(name, unlabeled=unlabeled)
    warned(model.fit, X, Y)
    assert model.unlabeled == unlabeled
    assert clone(model).unlabeled == unlabeled


def test_every_reader_of_labels_is_here():
    readers = public_classes(LabelParameters)
    assert set(readers) == {type(model) for model in READERS.values()}


# -- the accuracy of a classifier ------------------------------------------------


@pytest.mark.parametrize("unlabeled", ["auto", -1, None])
def test_score_is_the_accuracy_of_predict(unlabeled, X):
    """Of the rows with a label, as the fit read them."""
    model = make("classifier", unlabeled=unlabeled, max_iter=50)
    warned(model.fit, X, Y)
    labelled = Y != -1 if unlabeled in ("auto", -1) else slice(None)
    weight = np.linspace(0.1, 1, 60)
    for weights, part in ((None, None), (weight, weight[labelled])):
        predicted = model.predict(X)[labelled]
        expected = accuracy_score(Y[labelled], predicted, sample_weight=part)
        assert model.score(X, Y, weights) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("y", [Y, Y + 0.0, Y.tolist()])
def test_classes_with_minus_one_are_scored_as_by_scikit_learn(y, X):
    model = make("classifier", unlabeled=None, max_iter=50)
    ours = cross_val_score(model, X, y, cv=3)
    equal(ours, cross_val_score(model, X, y, cv=3, scoring="accuracy"))
    search = GridSearchCV(model, {"unlabeled": [None]}, cv=3).fit(X, y)
    assert search.best_score_ == pytest.approx(ours.mean())


def test_score_goes_by_what_was_fitted(X):
    model = make("classifier", unlabeled=None).fit(X, Y)
    score = model.score(X, Y)
    for later in (pickle.loads(pickle.dumps(model)), model):
        for unlabeled in (-1, "auto", 99):
            assert later.set_params(unlabeled=unlabeled).score(X, Y) == score
    signs = make("classifier")
    assert warned(signs.fit, X, SIGNS)
    assert signs.score(X, SIGNS) == np.mean(signs.predict(X) == SIGNS)
    assert signs.score(X, Y) == np.mean(signs.predict(X) == Y)


def test_score_warns_of_a_minus_one_that_the_fit_did_not_see(X):
    some = np.flatnonzero(Y != -1)
    model, said = make("classifier").fit(X[some], Y[some]), make("classifier")
    for y in (Y, SIGNS):  # beside the classes of the fit
        (text,) = warned(model.score, X, y)
        assert re.search(NO_LABEL, text)
    said.set_params(unlabeled=-1).fit(X[some], Y[some])
    assert not warned(said.score, X, Y)
    with pytest.raises(ValueError, match="No row of y has a label: all are -1"):
        said.score(X, np.full(60, -1))
    with pytest.raises(ValueError, match="No row of y has a label: all are 99"):
        make("classifier", unlabeled=99).fit(X, PLAIN).score(X, np.full(60, 99))


def test_state_from_before_there_was_the_parameter(X):
    """What has −1 among its classes has no −1 for "no label"."""
    model = make("classifier", unlabeled=None).fit(X, Y)
    score = model.score(X, Y)
    del model._unlabeled
    assert model.score(X, Y) == score


# -- streams ---------------------------------------------------------------------


@streams
def test_a_stream_is_read_as_it_began(name, X):
    model = make(name)
    (text,) = warned(model.partial_fit, X, Y)
    assert re.search(NO_LABEL, text)
    assert not warned(model.partial_fit, X, Y)
    assert not warned(pickle.loads(pickle.dumps(model)).partial_fit, X, Y)
    said = make(name, unlabeled=-1).partial_fit(X, Y).partial_fit(X, Y)
    equal(answer(model, X), answer(said, X))


@streams
def test_a_stream_that_meets_minus_one_later(name, X):
    """What it saw before are the other labels."""
    two = np.arange(60) % 2
    with_gaps = np.where(np.arange(60) % 5 == 0, -1, two)
    model = make(name).partial_fit(X, two)
    (text,) = warned(model.partial_fit, X, with_gaps)
    assert re.search(NO_LABEL, text)
    assert not warned(model.partial_fit, X, with_gaps)


@pytest.mark.parametrize("name", ["class", "mixture"])
def test_minus_one_and_one_in_a_stream_with_other_classes(name, X):
    model = make(name).partial_fit(X, np.arange(60) % 2)
    (text,) = warned(model.partial_fit, X, SIGNS)
    assert re.search(NO_LABEL, text)
    said = make(name, unlabeled=-1).partial_fit(X, np.arange(60) % 2)
    equal(answer(model, X), answer(said.partial_fit(X, SIGNS), X))


@streams
def test_classes_of_minus_one_and_one_in_a_stream(name, X):
    model, said = make(name), make(name, unlabeled=None)
    (text,) = warned(model.partial_fit, X, SIGNS)
    assert re.search(TWO_CLASSES, text)
    assert not warned(model.partial_fit, X, SIGNS)
    said.partial_fit(X, SIGNS).partial_fit(X, SIGNS)
    equal(answer(model, X), answer(said, X))


@streams
def test_every_label_is_a_class_in_a_stream(name, X):
    model = make(name, unlabeled=None).partial_fit(X, Y).partial_fit(X, Y)
    plain = make(name).partial_fit(X, PLAIN).partial_fit(X, PLAIN)
    equal(answer(model, X), answer(plain, X))


@streams
def test_warm_start_reads_as_before(name, X):
    model = make(name, warm_start=True)
    assert len(warned(model.fit, X, Y)) == 1
    assert not warned(model.fit, X, Y)


@streams
def test_a_fit_from_the_beginning_forgets_how_y_was_read(name, X):
    model = make(name)
    assert len(warned(model.fit, X, SIGNS)) == 1
    assert re.search(NO_LABEL, *warned(model.fit, X, Y))
    assert re.search(NO_LABEL, *warned(model.fit, X, Y))


# -- layers that read y ----------------------------------------------------------


def layered(unlabeled="auto", of_layer="auto", **params):
    top = make("class", unlabeled=of_layer, dtype="float64")
    layers = [clone(CALM).set_params(n_components=4), top]
    return StackedAutoencoderPretrainer(
        estimators=layers, unlabeled=unlabeled, max_iter=2, random_state=0, **params
    )


@pytest.mark.parametrize("fine_tune", [None, "class"])
@pytest.mark.parametrize(("y", "text"), [(Y, NO_LABEL), (SIGNS, TWO_CLASSES)])
def test_one_mistake_is_warned_of_once(fine_tune, y, text, X):
    stack = layered(fine_tune=fine_tune)
    (found,) = warned(stack.fit, X, y)
    assert re.search(text, found)
    model = StackedAutoencoderClassifier(layered(), max_iter=2, random_state=0)
    (found,) = warned(model.fit, X, y)
    assert re.search(text, found)
    assert model.pretrainer.unlabeled == "auto"


@pytest.mark.parametrize("unlabeled", [-1, None])
def test_layers_read_as_the_stack_does(unlabeled, X):
    expected = layered("auto", of_layer=unlabeled).fit(X, Y).transform(X)
    for stack in (layered(unlabeled), layered(unlabeled, of_layer=unlabeled)):
        equal(stack.fit(X, Y).transform(X), expected)
    model = StackedAutoencoderClassifier(layered(), unlabeled=unlabeled, max_iter=2)
    assert len(model.fit(X, Y).classes_) == (2 if unlabeled == -1 else 3)
    assert model.pretrainer_.estimators_[1].unlabeled == unlabeled


def test_layers_that_read_otherwise_than_the_stack(X):
    stack = layered(-1, of_layer=None, fine_tune="class").fit(X, Y)
    equal(stack.classes_, [0, 1])
    assert stack.estimators_[1].unlabeled is None
    stack = layered(-1, of_layer=99, fine_tune="class").fit(X, Y)
    assert stack.estimators_[1].unlabeled == 99


def test_a_layers_own_reading_is_no_other_layers(X):
    first, second = (make("class", unlabeled=u, dtype="float64") for u in (99, "auto"))
    stack = StackedAutoencoderPretrainer(estimators=[first, second], random_state=0)
    y = np.where(np.arange(60) % 10, Y, 99)
    (text,) = warned(stack.fit, X, y)
    assert re.search(NO_LABEL, text)
    assert [one.unlabeled for one in stack.estimators_] == [99, -1]


def test_frozen_stack_is_not_read_again(X):
    stack = layered(-1).fit(X, Y)
    model = StackedAutoencoderClassifier(FrozenEstimator(stack), max_iter=2)
    assert len(warned(model.fit, X, Y)) == 1
    assert model.pretrainer_.unlabeled == -1


# -- the function ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "unlabeled", "seen", "labels", "rows", "meaning", "doubt"),
    [
        ([0, 1, 2], "auto", None, [0, 1, 2], [0, 1, 2], "auto", ""),
        ([0, -1, 1], "auto", None, [0, 1], [0, 2], -1, NO_LABEL),
        ([0, -1, 0], "auto", None, [0, 0], [0, 2], -1, NO_LABEL),
        ([1, -1, 1], "auto", None, [1, -1, 1], [0, 1, 2], None, TWO_CLASSES),
        ([1, -1, 1], "auto", [1, 2], [1, 1], [0, 2], -1, NO_LABEL),
        ([1, -1, 1], "auto", [-1, 1], [1, -1, 1], [0, 1, 2], None, ""),
        ([0, -1, 1], "auto", [-1, 1], [0, -1, 1], [0, 1, 2], None, ""),
        ([-1, -1, -1], "auto", None, [], [], "auto", ""),
        ([-1, -1, -1], "auto", [0, 1], [], [], -1, NO_LABEL),
        ([0, -1, 1], -1, None, [0, 1], [0, 2], -1, ""),
        ([0, -1, 1], None, None, [0, -1, 1], [0, 1, 2], None, ""),
        ([0, -1, 1], 0, None, [-1, 1], [1, 2], 0, ""),
        (["a", "b", "?"], "?", None, ["a", "b"], [0, 1], "?", ""),
        ([b"a", b"b", b"?"], "?", None, [b"a", b"b"], [0, 1], "?", ""),
        ([True, False, True], -1, None, [True, False, True], [0, 1, 2], -1, ""),
    ],
)
def test_read(y, unlabeled, seen, labels, rows, meaning, doubt):
    found = read(y, unlabeled, None if seen is None else np.array(seen))
    equal(found.labels, labels)
    equal(found.rows, rows)
    assert found.unlabeled == meaning
    assert bool(found.doubt) == bool(doubt) and re.search(doubt, found.doubt)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64, np.float32])
@pytest.mark.parametrize("mark", [-1, 2, 10**6, 10**30, np.int64(-1)])
def test_marks_out_of_a_types_range(dtype, mark):
    found = read(np.array([0, 1, 2], dtype), mark)
    equal(found.labels, [0, 1] if mark == 2 else [0, 1, 2])
    assert not replace(found, doubt="").warn()
