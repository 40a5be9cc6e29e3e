"""The public face for authors, and what users may add to any composed method."""

import inspect
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from estimators import FAST, public_classes, table
from sklearn.base import clone

import sklearn_ae
from sklearn_ae import (
    L1,
    L2,
    AdversarialAutoencoder,
    Autoencoder,
    DenoisingAutoencoder,
    EmbeddingAutoencoder,
    GaussianNoise,
    extend,
)
from sklearn_ae.extend import (
    Bool,
    ComposedAutoencoder,
    Corruption,
    CorruptionParameters,
    Encoding,
    Instance,
    Interval,
    Nothing,
    OneOf,
    Penalty,
    SequenceOf,
)

PAGE = Path(__file__).parents[1] / "docs" / "add_penalty.rst"
COMPOSED = public_classes(ComposedAutoencoder)
composed = pytest.mark.parametrize("kind", COMPOSED, ids=lambda kind: kind.__name__)
#: Terms that steps of their own minimise, and not the loss.
OF_OTHER_STEPS = {AdversarialAutoencoder: {"train_deception", "train_discrimination"}}

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fast(kind, **params):
    """Return a fast one of a class, that computes in float64."""
    model = clone(FAST[kind.__name__])
    return model.set_params(dtype="float64", random_state=0, **params)


@cache
def plain(kind):
    """Return one that was fitted as it is."""
    return fast(kind).fit(table())


# -- the page and what it imports --------------------------------------------------


def test_all_names_resolve():
    """All that is imported for authors is listed, and nothing else."""
    given = {name for name in vars(extend) if not name.startswith("_")}
    assert given - {"annotations"} == set(extend.__all__)
    assert len(extend.__all__) == len(set(extend.__all__))


def imported_by_the_page():
    code = "".join(re.findall(r"^(?:>>>|\.\.\.) ?(.*\n)", PAGE.read_text(), re.M))
    lists = re.findall(
        r"from sklearn_ae\.extend import (?:\(([^)]*)\)|([^(\n]*))", code
    )
    return {name for one in lists for name in re.findall(r"\w+", "".join(one))}


def test_page_imports_what_is_there():
    names = imported_by_the_page()
    assert {"Penalty", "AutoencoderModule", "ComposedAutoencoder"} <= names
    assert names <= set(extend.__all__)


def test_page_speaks_of_what_is_there():
    """Hooks, classes and what an encoder knows: all exist under their names."""
    text = PAGE.read_text()
    hooks = set(re.findall(r"``(_\w+)``", text))
    assert {"_penalties", "_module", "_net_class", "_prior_codes"} <= hooks
    owners = (ComposedAutoencoder, Penalty)
    assert [n for n in hooks if not any(hasattr(o, n) for o in owners)] == []
    classes = re.findall(r"~sklearn_ae\.extend\.(\w+)`", text)
    assert "Corruption" in classes
    assert set(classes) <= set(extend.__all__)
    known = set(re.findall(r"\bencoder\.(\w+)", text))
    assert {"mean", "mean_row", "unit", "generator"} <= known
    assert [name for name in known if not hasattr(Encoding, name)] == []


def test_page_shows_code_that_is_there():
    shown = re.search(
        r"literalinclude:: \.\./(\S+)\n\s+:pyobject: (\w+)", PAGE.read_text()
    )
    path, name = shown.groups()
    assert f"class {name}(Penalty):" in (PAGE.parents[1] / path).read_text()


# -- penalties= of every composed method --------------------------------------------


@composed
def test_penalties_are_terms(kind):
    """Each is recorded under its name, and the loss is the sum of the terms."""
    pair = [("mine", L2(weight=3.0)), L1(weight=0.5)]
    history = fast(kind, penalties=pair).fit(table()).history_
    assert {*plain(kind).history_, "train_mine", "train_l1"} == set(history)
    apart = {"train_loss", *OF_OTHER_STEPS.get(kind, ())}
    total = sum(curve for name, curve in history.items() if name not in apart)
    np.testing.assert_allclose(history["train_loss"], total, rtol=1e-10)
    assert (history["train_mine"] > 0).all()
    assert (history["train_l1"] > 0).all()


@composed
def test_weight_of_a_penalty(kind):
    """By its name it is set: at 0 nothing changes, and twice of it is twice the term.

    Of the first epoch, which is one step, terms are those of the initial weights.
    """
    model = fast(kind, penalties=L2(weight=0.0)).fit(table())
    np.testing.assert_allclose(
        model.transform(table()), plain(kind).transform(table()), rtol=1e-6, atol=1e-8
    )
    first = {}
    for weight in (1.0, 2.0):
        model = fast(kind, penalties=[L2()]).set_params(penalties__l2__weight=weight)
        assert model.get_params()["penalties__l2__weight"] == weight
        first[weight] = model.fit(table()).history_["train_l2"][0]
    assert first[2.0] == pytest.approx(2.0 * first[1.0], rel=1e-12)
    assert first[1.0] > 0


@composed
def test_penalties_may_not_take_the_place_of_a_term(kind, request):
    """The method's own terms are not to be overwritten."""
    terms = {name.removeprefix("train_") for name in plain(kind).history_}
    assert {"loss"} < terms
    request.getfixturevalue("no_steps")  # from here on
    for name in sorted(terms):
        model = fast(kind, penalties=[(name, L2())])
        with pytest.raises(ValueError, match=f"has the name {name!r}"):
            model.fit(table())


# -- corruption= of every composed method --------------------------------------------


class Shrinking(Corruption):
    """Rows become smaller, by nothing that is drawn."""

    level: float = 0.0

    _valid = {"level": [Interval(float, 0, 1, "both")]}

    @staticmethod
    def corrupt(x, generator, unit=1.0, *, level):
        assert isinstance(generator, torch.Generator)
        return x * (1.0 - level)


def test_all_methods_have_a_corruption():
    """Only one has noise of its own, which may be any corruption."""
    without = {kind for kind in COMPOSED if not issubclass(kind, CorruptionParameters)}
    assert without == {DenoisingAutoencoder}


@composed
def test_corruption(kind):
    """At level 0 it changes nothing, at 0.5 the fit, and never what is encoded."""
    name = "noise" if kind is DenoisingAutoencoder else "corruption"
    clean = plain(kind)
    if kind is DenoisingAutoencoder:
        clean = fast(kind, noise_level=0.0, linear_path=False).fit(table())
    codes, path = {}, {"linear_path": False} if kind is DenoisingAutoencoder else {}
    for level in (0.0, 0.5):
        model = fast(kind, **{name: Shrinking()}, **path)
        model.set_params(**{f"{name}__level": level}).fit(table())
        codes[level] = model.transform(table())
        np.testing.assert_array_equal(codes[level], model.transform(table()))
    np.testing.assert_allclose(
        codes[0.0], clean.transform(table()), rtol=1e-9, atol=1e-12
    )
    assert abs(codes[0.5] - codes[0.0]).max() > 1e-4


def test_noise_is_on_held_out_rows():
    """Once, by a generator: they are judged as what is learned from looks.

    Weights hardly move, so that what differs is the noise.
    """
    judged = {}
    for level in (0.0, 0.5):
        model = fast(Autoencoder, corruption=Shrinking(level=level), max_iter=2)
        model.set_params(early_stopping=True, learning_rate_init=1e-30)
        judged[level] = model.fit(table()).history_["valid_reconstruction"]
    assert judged[0.5][0] == pytest.approx(judged[0.5][1], rel=1e-12)
    assert judged[0.5][0] > 1.1 * judged[0.0][0]


# -- a penalty of one's own ------------------------------------------------------------


#: What the formula of `Told` was given, each time.
GIVEN: list[dict[str, Any]] = []


class Told(Penalty):
    """A penalty that tells what its formula was given."""

    weight: float = 1.0
    power: int = 2
    how: str = "sum"
    levels: tuple[float, ...] = (0.0, 1.0)
    top: Any = None
    signed: bool = False

    _valid = {
        "weight": [Interval(float, 0, None)],
        "power": [Interval(int, 1, None)],
        "how": [OneOf("sum", "max")],
        "levels": [SequenceOf(Interval(float, None, None), "a tuple of floats", 1)],
        "top": [Interval(float, 0, None), Nothing(), Instance(str, "a str")],
        "signed": [Bool()],
    }
    weighs_rows = True

    @staticmethod
    def term(x, z, encoder, **given):
        GIVEN.append(given)
        return given["weight"] * encoder.mean(z.abs().pow(given["power"]).sum(1))


@pytest.fixture
def given():
    GIVEN.clear()
    return GIVEN


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_reach_the_formula(dtype, given):
    """Numbers come as tensors of the network's dtype, all else as it is."""
    told = Told(weight=0.25, levels=(0.5, -1.5), how="max", signed=True)
    Autoencoder(2, penalties=told, max_iter=1, dtype=dtype).fit(table())
    for name, value in {"weight": 0.25, "power": 2.0}.items():
        tensor = given[0].pop(name)
        assert isinstance(tensor, torch.Tensor)
        assert (tensor.shape, tensor.dtype) == ((), getattr(torch, dtype))
        assert float(tensor) == value
    assert given[0] == {
        "how": "max",
        "levels": (0.5, -1.5),
        "top": None,
        "signed": True,
    }
    assert given[0]["signed"] is True
    assert type(given[0]["levels"]) is tuple


def test_a_parameter_may_be_a_number_or_none(given):
    """What comes is by its value, and not by its name."""
    for top in (0.5, None, "auto"):
        Autoencoder(2, penalties=Told(top=top), max_iter=1).fit(table())
    assert isinstance(given[0]["top"], torch.Tensor)
    assert given[-1]["top"] == "auto"
    assert any(one["top"] is None for one in given)


def test_fields_are_parameters(given):
    told = Told(levels=(3.0,))
    assert [*inspect.signature(Told).parameters] == [
        "weight",
        "power",
        "how",
        "levels",
        "top",
        "signed",
    ]
    model = Autoencoder(2, penalties=[told], max_iter=1)
    twin = clone(model).set_params(penalties__told__levels=(4.0, 5.0))
    assert (told.levels, twin.penalties[0].levels) == ((3.0,), (4.0, 5.0))
    twin.fit(table())
    assert given[0]["levels"] == (4.0, 5.0)
    twin.set_params(penalties__told__levels=())
    with pytest.raises(ValueError, match="'levels' parameter of Told must be a tuple"):
        twin.fit(table())


def test_a_penalty_is_kept(given, tmp_path):
    """In a file whose reader trusts it by its name, and not otherwise."""
    model = Autoencoder(2, penalties=Told(levels=(3.0,)), max_iter=1).fit(table())
    name = f"{Told.__module__}.Told"
    with pytest.raises(ValueError, match=re.escape(name)):
        sklearn_ae.save(model, tmp_path / "one.skops")
    sklearn_ae.save(model, tmp_path / "one.skops", trusted=(name,))
    with pytest.raises(ValueError, match=re.escape(name)):
        sklearn_ae.load(tmp_path / "one.skops")
    again = sklearn_ae.load(tmp_path / "one.skops", trusted=(name,))
    assert again.penalties.levels == (3.0,)
    np.testing.assert_array_equal(again.transform(table()), model.transform(table()))


@pytest.mark.parametrize("name", ["loss_best", "word_count", "batch_size"])
def test_names_of_what_the_loop_records_are_refused(name):
    with pytest.raises(ValueError, match="not end with '_best', '_count' or '_size'"):
        Autoencoder(2, penalties=[(name, L2())]).fit(np.eye(5))


def test_penalties_see_the_noisy_rows_of_pairs():
    """What a penalty is given as rows is what its codes are of."""
    apart = []

    class Watching(Penalty):
        @staticmethod
        def term(x, z, encoder):
            apart.append(float((encoder(x) - z).detach().abs().max()))
            return 0.0 * z.sum()

    X = np.random.default_rng(0).normal(size=(60, 4))
    EmbeddingAutoencoder(
        2, penalties=Watching(), corruption=GaussianNoise(noise_level=2.0), max_iter=2
    ).fit(X)
    assert apart and max(apart) < 1e-5
