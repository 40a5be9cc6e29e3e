"""Fields as constructors, their domains, and the parameters of what is in lists."""

import inspect
import math
import pickle

import numpy as np
import pytest
from estimators import public_classes
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from sklearn_ae import (
    L1,
    L2,
    Autoencoder,
    GaussianNoise,
    ImportanceWeightedAutoencoder,
    Masking,
)
from sklearn_ae.params.docs import documented
from sklearn_ae.params.domains import (
    Bool,
    Interval,
    InvalidParameterError,
    OneOf,
    RandomState,
    did_you_mean,
)
from sklearn_ae.params.fields import Params
from sklearn_ae.params.order import GROUPS

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")

CLOSED = ["left", "right", "both", "neither"]
bounds = st.none() | st.integers(-5, 5)
values = st.integers(-7, 7) | st.floats(-7, 7) | st.just(math.inf) | st.just(-math.inf)


@given(low=bounds, high=bounds, closed=st.sampled_from(CLOSED), value=values)
def test_interval(low, high, closed, value):
    above = low is None or value > low or (value == low and closed in ("left", "both"))
    below = (
        high is None or value < high or (value == high and closed in ("right", "both"))
    )
    inside = above and below
    if math.isinf(value):  # an open end does not take infinity in, unless closed there
        inside = Interval(float, low, high, closed).allows(value)
        assert not (inside and (low if value < 0 else high) is not None)
    assert Interval(float, low, high, closed).allows(value) == inside
    whole = isinstance(value, int)
    assert Interval(int, low, high, closed).allows(value) == (inside and whole)
    # numpy's numbers are numbers
    assert Interval(float, low, high, closed).allows(np.float64(value)) == inside
    if whole:
        assert Interval(int, low, high, closed).allows(np.int32(value)) == inside


@given(st.booleans() | st.none() | st.text(max_size=3) | st.just(math.nan))
def test_interval_takes_numbers_alone(value):
    for kind in (int, float):
        assert not Interval(kind, None, None).allows(value)


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(int, 1, None), "an int in the range [1, inf)"),
        (Interval(float, 0, 1), "a float in the range [0, 1)"),
        (Interval(float, 0, 1, "both"), "a float in the range [0, 1]"),
        (Interval(float, 0, 1, "neither"), "a float in the range (0, 1)"),
        (Interval(float, None, 1, "right"), "a float in the range (-inf, 1]"),
        (OneOf("b", "a"), "a str among {'a', 'b'}"),
        (Bool(), "a bool"),
    ],
)
def test_wording(interval, text):
    assert str(interval) == text


@given(st.sets(st.text(min_size=1), min_size=1, max_size=5), st.text() | st.integers())
def test_one_of(options, value):
    assert OneOf(*options).allows(value) == (value in options)
    assert all(OneOf(*options).allows(option) for option in options)


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_])
def test_bool(value):
    assert Bool().allows(value)


@pytest.mark.parametrize("value", [0, 1, "True", None, 1.0, []])
def test_no_bool(value):
    assert not Bool().allows(value)


@pytest.mark.parametrize("value", [None, 0, 2**32 - 1, np.int64(3)])
def test_random_state(value):
    assert RandomState().allows(value)
    assert RandomState().allows(np.random.RandomState(0))
    assert not RandomState().allows(np.random.default_rng(0))


def test_did_you_mean():
    assert did_you_mean("Adam", ["adam", "sgd"]) == " Did you mean 'adam'?"
    assert did_you_mean("xyz", ["adam", "sgd"]) == ""


# -- constructors ----------------------------------------------------------------


class Inner(Params):
    """A part with one parameter."""

    size: float = 1.0

    _valid = {"size": [Interval(float, 0, None)]}


class Outer(Params):
    """A whole with parts."""

    part: object = None
    parts: object = None
    other: str = "a"

    _valid = {"other": [OneOf("a", "b")]}


class Derived(Outer):
    """One more parameter, and another domain for an inherited one."""

    more: int = 3

    _valid = {"other": [OneOf("c")]}


def test_fields_become_parameters():
    assert Outer(other="b").get_params() == {
        "part": None,
        "parts": None,
        "other": "b",
    }
    assert Derived(more=1).get_params()["more"] == 1
    with pytest.raises(TypeError, match="position"):
        Outer("b")


def test_domains_are_inherited_and_replaced():
    Outer(other="a")._check_params()
    Derived(other="c")._check_params()
    with pytest.raises(InvalidParameterError, match=r"'other' parameter of Derived"):
        Derived(other="a")._check_params()


def test_invalid_parameter_error_is_both():
    assert issubclass(InvalidParameterError, ValueError)
    assert issubclass(InvalidParameterError, TypeError)


def test_parts_are_checked_too():
    for whole in (Outer(part=Inner(size=-1)), Outer(parts=[("x", Inner(size=-1))])):
        with pytest.raises(InvalidParameterError, match="'size' parameter of Inner"):
            whole._check_params()


def test_nested_parameters():
    whole = Outer(part=Inner(), parts=[Inner(size=2.0), ("named", Inner(size=3.0))])
    params = whole.get_params()
    assert params["part__size"] == 1.0
    assert params["parts__inner__size"] == 2.0
    assert params["parts__named__size"] == 3.0
    assert set(whole.get_params(deep=False)) == {"part", "parts", "other"}
    whole.set_params(part__size=4.0, parts__inner__size=5.0, parts__named__size=6.0)
    assert [whole.part.size, whole.parts[0].size, whole.parts[1][1].size] == [4, 5, 6]


def test_swapping_leaves_the_old_list_alone():
    old, new = Inner(), Inner(size=9.0)
    parts = [("a", old), ("b", Inner())]
    whole = Outer(parts=parts).set_params(parts__a=new)
    assert whole.parts[0] == ("a", new)
    assert parts[0] == ("a", old)
    assert whole.parts[1] is parts[1]


def test_a_part_is_swapped_before_its_parameters_are_set():
    whole = Outer(part=Inner())
    new = Inner()
    whole.set_params(part__size=7.0, part=new)
    assert whole.part is new and new.size == 7.0
    whole.set_params(parts__a__size=8.0, parts=[("a", Inner())])
    assert whole.parts[0][1].size == 8.0


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"oter": 1}, r"Invalid parameter 'oter'.*'other'.*Did you mean 'other'\?"),
        ({"oter__x": 1}, r"Invalid parameter 'oter'"),
        ({"part__sise": 1}, r"Invalid parameter 'sise'.*'size'"),
        ({"parts__c__size": 1}, r"Invalid parameter 'c'.*'parts'.*\['a', 'b'\]"),
        ({"parts__a__sise": 1}, r"Invalid parameter 'sise'"),
        ({"other__size": 1}, r"Invalid parameter"),
    ],
)
def test_typos(params, message):
    whole = Outer(part=Inner(), parts=[("a", Inner()), ("b", Inner())])
    before = repr(whole)
    with pytest.raises(ValueError, match=message):
        whole.set_params(**params)
    assert repr(whole) == before


@pytest.mark.parametrize("whole", [Outer(part=Inner(size=2)), Derived(more=1)])
def test_copies(whole):
    for copied in (clone(whole), pickle.loads(pickle.dumps(whole))):
        assert copied is not whole and repr(copied) == repr(whole)
        assert hash(copied) != hash(whole) and copied != whole  # by identity


def test_repr_shows_what_was_changed():
    assert repr(Outer(other="b", part=Inner())) == "Outer(other='b', part=Inner())"
    assert repr(Inner(size=1)) == "Inner(size=1)"


# -- the order for a reader ------------------------------------------------------


def test_own_parameters_come_before_shared_ones():
    names = list(inspect.signature(ImportanceWeightedAutoencoder).parameters)
    assert names[:6] == [
        "n_components",
        "n_importance_samples",  # its own, then the variational autoencoder's
        "likelihood",
        "noise_scale",
        "dynamic_binarization",
        "kl_warmup",
    ]
    assert names[6:8] == ["hidden_layer_sizes", "activation"]
    assert names[-2:] == ["callbacks", "verbose"]


@pytest.mark.parametrize("cls", public_classes())
def test_shared_parameters_come_in_groups(cls):
    names = list(inspect.signature(cls).parameters)
    shared = [name for group in GROUPS.values() for name in group if name in names]
    assert names[len(names) - len(shared) :] == shared
    assert list(documented(cls, "Parameters")) == names  # the docstring, too


def test_every_name_in_a_group_is_a_parameter():
    names = {name for cls in public_classes() for name in cls().get_params(deep=False)}
    assert names.issuperset(name for group in GROUPS.values() for name in group)


# -- on the estimator ------------------------------------------------------------


def test_estimators_reach_their_parts():
    model = Autoencoder(
        penalties=[L1(weight=0.1), ("smooth", L2(weight=0.2))], corruption=Masking()
    )
    params = model.get_params()
    assert params["penalties__l1__weight"] == 0.1
    assert params["penalties__smooth__weight"] == 0.2
    assert params["corruption__noise_level"] == 0.3
    model.set_params(penalties__l1=L2(weight=5.0), penalties__smooth__weight=0.5)
    assert [model.penalties[0].weight, model.penalties[1][1].weight] == [5.0, 0.5]
    with pytest.raises(ValueError, match="Invalid parameter 'l2'"):
        Autoencoder(penalties=[L1()]).set_params(penalties__l2__weight=1.0)


def test_clone_copies_the_parts():
    """sklearn's clone goes into lists; a grid must not change another's penalty."""
    model = Autoencoder(penalties=[("a", L1(weight=0.1))], corruption=GaussianNoise())
    copied = clone(model).set_params(
        penalties__a__weight=0.7, corruption__noise_level=0.9
    )
    assert model.penalties[0][1].weight == 0.1
    assert model.corruption.noise_level == 0.3
    assert copied.penalties[0][1].weight == 0.7


def test_fit_changes_no_part():
    X = np.random.default_rng(0).normal(size=(20, 4))
    part = L1(weight=0.1)
    model = Autoencoder(max_iter=2, penalties=[part]).fit(X)
    assert model.penalties[0] is part and part.get_params() == {"weight": 0.1}
    part.weight = 99.0  # what was fitted does not hang on it
    codes = model.transform(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).transform(X), codes)


@pytest.mark.parametrize(
    "penalties",
    [
        [L1(), L1()],
        [("same", L1()), ("same", L2())],
        [("reconstruction", L1())],
        [("weight_decay", L1())],
        [("alpha", L1())],
        [("corruption", L1())],
        [("a__b", L1())],
        [("a.b", L1())],
        [("", L1())],
    ],
    ids=repr,
)
def test_penalties_that_would_overwrite_each_other(penalties):
    """Each counts, or the name is refused: none is lost without a word."""
    X = np.random.default_rng(0).normal(size=(20, 4))
    settings = {"max_iter": 1, "alpha": 0.5, "random_state": 0}
    settings |= {"corruption": Masking(), "linear_path": False}
    model = Autoencoder(penalties=penalties, **settings)
    try:
        model.fit(X)
    except ValueError as raised:
        refusal = str(raised)
    else:
        free = Autoencoder(**settings).fit(X)
        assert len(model.history_) == len(free.history_) + len(penalties)
        return
    assert "penalties" in refusal
