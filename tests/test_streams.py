"""Rows that come in a stream: first chunks that are small, or unlike the rest."""

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from estimators import CORE, SINGLE, labels, table
from sklearn.base import clone
from sklearn.datasets import load_digits

from sklearn_ae import (
    AdversarialAutoencoder,
    Autoencoder,
    DenoisingAutoencoder,
    EmbeddingAutoencoder,
    GeneralizedAutoencoder,
    SplitBrainAutoencoder,
    load,
    save,
)
from sklearn_ae.engine import streams
from sklearn_ae.engine.streams import Chunk, Stream

#: What is said of rows unlike those that training began with, and of a beginning anew.
UNLIKE, ANEW = "unlike the rows that training began", "training begins again with"
each = pytest.mark.parametrize("name", SINGLE)
#: Those whose streams keep something else, or begin with something else.
SOME = [name for name in CORE if name in SINGLE]
SOME += ["AdversarialAutoencoder-mixture", "Autoencoder-stopping"]
SOME += ["GeneralizedAutoencoder-mfa", "SplitBrainAutoencoder-classification"]
SOME += ["VariationalAutoencoder-density"]
some = pytest.mark.parametrize("name", SOME)


def make(name):
    return clone(SINGLE[name]).set_params(random_state=0)


def state(model):
    """Return a digest of all that is kept of a model."""
    kept = model.__getstate__()
    return kept["_checksum"], kept["n_features_in_"]


def weights(model):
    return {name: w.numpy() for name, w in model.module_.state_dict().items()}


def begun_with(model):
    """Return what training begins with: units, preconditioner, PCA."""
    ends = {"scale", "precision", "constant", "reach", "trust"}
    ends |= {"spread", "low", "span", "components"}
    kept = {n: w for n, w in weights(model).items() if n.split(".")[-1] in ends}
    units = model._fit.units
    return [units.scale, *([] if units.shift is None else units.shift), *kept.values()]


def equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def texts(call, *given):
    """Return the warnings of a call, each of which points at this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*given)
    assert all(one.filename == __file__ for one in caught)
    return [str(one.message) for one in caught]


def curved(n=4000, seed=0):
    """Return rows about a curved surface of three dimensions, in 15 features."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3))
    straight = z @ np.random.default_rng(1).normal(size=(3, 15))
    bent = np.sin(2 * z @ np.random.default_rng(2).normal(size=(3, 15)))
    return straight + 0.3 * bent + 0.1 * rng.normal(size=(n, 15))


def share_left(model, X):
    """Return the error as a share of that of the column means."""
    return np.square(model.reconstruct(X) - X).mean() / X.var(axis=0).mean()


# -- a stream that is young ------------------------------------------------------


FIRSTS = {"few": [1, 1, 2], "many": [30, 40]}


@pytest.mark.parametrize(
    ("name", "first"),
    [*((name, "few") for name in SINGLE), *((name, "many") for name in SOME)],
)
def test_it_begins_with_all_rows(name, first):
    """Whatever the first chunks are: units, preconditioner, and the start at PCA."""
    X, y = table(150), labels(150)
    model, whole, start = make(name), make(name), 0
    if first != "many" and needs_more(name):
        with pytest.raises(ValueError, match=r"n_neighbors|2 classes|density"):
            model.partial_fit(X[:1], y[:1])
        assert not hasattr(model, "n_features_in_")
        return
    if name.endswith("mixture"):  # whose first labels have to name all classes
        y[:5] = -1
        for one in (model, whole):
            one.set_params(n_mixture_components=10)
    for size in FIRSTS[first]:
        model.partial_fit(X[start : start + size], y[start : start + size])
        assert np.isfinite(model.transform(X)).all()
        assert model._fit.stream.is_young
        start += size
    model.partial_fit(X[start:], y[start:])
    assert not model._fit.stream.is_young
    assert model.n_iter_ == len(FIRSTS[first]) + 1
    equal(begun_with(model), begun_with(whole.partial_fit(X, y)))


def needs_more(name):
    """Tell whether it takes several rows at once: for neighbours, classes, a density.

    One row is refused then, as ever.
    """
    related = name.startswith(("EmbeddingAutoencoder", "GeneralizedAutoencoder"))
    return name.endswith("-density") or (related and not name.endswith("-mds"))


@some
def test_equal_rows_first(name):
    X, y = table(150), labels(150)
    same, same_y = np.tile(X[:1], (120, 1)), labels(120)
    model, together = (make(name).set_params(density=None) for _ in range(2))
    model.partial_fit(same, same_y)
    assert model._fit.stream.is_young and model._fit.stream.rows.shape[0] == 1
    model.partial_fit(X, y)
    assert not model._fit.stream.is_young
    together.partial_fit(np.concatenate([same[:1], X]), [*same_y[:1], *y])
    equal(begun_with(model), begun_with(together))


@some
def test_no_rows_are_kept_once_there_are_enough(name):
    X, y = table(150), labels(150)
    model = make(name).partial_fit(X, y)
    assert model._fit.stream.rows is None and model._fit.stream.labels is None
    assert model.partial_fit(X[:20], y[:20])._fit.stream.rows is None
    model = make(name).partial_fit(X[:40], y[:40])
    assert model._fit.stream.rows is not X and len(model._fit.stream.rows) == 40
    assert not np.shares_memory(model._fit.stream.rows, X)
    assert model.partial_fit(X[40:], y[40:])._fit.stream.rows is None
    model = make(name).partial_fit(X[:40], y[:40])
    assert model._begin(X)._fit.stream.rows is None


def test_as_many_rows_as_components():
    X = table(300, 5)
    model = Autoencoder(150, random_state=0).partial_fit(X[:140])
    assert model._fit.stream.is_young
    assert not model.partial_fit(X[140:])._fit.stream.is_young


@some
def test_a_stream_with_a_large_first_chunk_is_what_it_was(name, monkeypatch):
    """To the bit: training goes on, and nothing else."""
    X, y = table(200), labels(200)

    def learned():
        model = make(name)
        for rows in (slice(0, 120), slice(120, 170), slice(170, 200)):
            model.partial_fit(X[rows], y[rows])
        return weights(model)

    found = learned()
    monkeypatch.setattr(
        Stream,
        "take",
        lambda self, X, labels, seed, weight: Chunk(X, labels, weight, False, self),
    )
    expected = learned()
    equal([*found.values()], [*expected.values()])


def through_pickle(model, path):
    return pickle.loads(pickle.dumps(model))


def through_skops(model, path):
    save(model, path)
    return load(path)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        *((name, through_pickle) for name in SOME),
        ("Autoencoder", through_skops),
        ("GeneralizedAutoencoder-mfa", through_skops),
    ],
)
def test_a_kept_young_stream_goes_on(name, way, tmp_path):
    X, y = table(150), labels(150)
    model = make(name).partial_fit(X[:30], y[:30])
    back = way(model, tmp_path / "model.skops")
    assert back._fit.stream.is_young
    for rows in (slice(30, 60), slice(60, 150), slice(0, 30)):
        for one in (model, back):
            one.partial_fit(X[rows], y[rows])
        np.testing.assert_array_equal(back.transform(X), model.transform(X))
    assert back._fit.stream.n_within == model._fit.stream.n_within == 180


@some
def test_what_fails_changes_nothing(name):
    X, y = table(60), labels(60)
    model = make(name).partial_fit(X[:30], y[:30])
    before = state(model)
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :3], y)
    with pytest.raises(ValueError, match="infinity"):
        model.partial_fit(np.where(X > 0, np.inf, X), y)
    assert state(model) == before


def test_divergence_changes_nothing():
    X = table(60)
    model = Autoencoder(random_state=0).partial_fit(X[:30])
    model.set_params(learning_rate_init=1e30)
    before = state(model)
    with pytest.raises(ValueError, match="diverged"):
        model.partial_fit(X[30:])
    assert state(model) == before


def test_an_interrupt_changes_nothing(monkeypatch):
    model = Autoencoder(random_state=0).partial_fit(table(30))
    before = state(model)

    def interrupted(*given, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr("sklearn_ae.engine.train.run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(table(30, seed=1))
    assert state(model) == before


def test_another_architecture_is_refused_at_any_age():
    X = table(60)
    model = Autoencoder(random_state=0).partial_fit(X[:5])
    model.set_params(hidden_layer_sizes=(7,))
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        model.partial_fit(X)


def test_history_goes_on():
    X = table(60)
    model = Autoencoder(random_state=0)
    for i in range(6):
        model.partial_fit(X[10 * i : 10 * i + 10])
    assert model.n_iter_ == len(model.loss_curve_) == 6
    assert model._fit.n_trainings == 5


def test_fit_goes_on_with_a_young_stream():
    """It does so with the weights, as ever, and the rows are forgotten."""
    X = table(60)
    model = Autoencoder(max_iter=2, warm_start=True, random_state=0).partial_fit(X[:9])
    units = model._fit.units
    model.fit(X)
    assert model._fit.units == units or model._fit.units.scale == units.scale
    assert (
        model.n_iter_ == 3
        and not model._fit.stream.is_young
        and model._fit.stream.by_fit
    )


# -- what the rows may be --------------------------------------------------------


def test_sparse_rows():
    X = sp.random_array((150, 30), density=0.2, rng=0, format="csr")
    model = Autoencoder(3, random_state=0)
    for rows in (slice(0, 1), slice(1, 20), slice(20, 150)):
        model.partial_fit(X[rows])
        assert model._fit.stream.rows is None or sp.issparse(model._fit.stream.rows)
    equal(begun_with(model), begun_with(Autoencoder(3, random_state=0).partial_fit(X)))


def test_sparse_and_dense_rows():
    X = sp.random_array((150, 30), density=0.2, rng=0, format="csr")
    model = Autoencoder(3, random_state=0).partial_fit(X[:20])
    model.partial_fit(X[20:40].toarray()).partial_fit(X[40:])
    whole = Autoencoder(3, random_state=0).partial_fit(X.toarray())
    equal(begun_with(model), begun_with(whole))


def test_rows_of_several_kinds():
    X = table(150)
    model = Autoencoder(2, random_state=0).partial_fit(X[:10].astype(np.float32))
    assert model.reconstruct(X).dtype == np.float32
    model.partial_fit(X[10:20].astype(np.uint8)).partial_fit(X[20:30])
    assert model.reconstruct(X).dtype == np.float64
    model.partial_fit(X[30:].astype(np.float32))
    assert model.reconstruct(X).dtype == np.float64
    equal(begun_with(model), begun_with(Autoencoder(2, random_state=0).partial_fit(X)))


def test_missing_values():
    X = table(150)
    X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    X[0] = table(1)
    model, whole = (DenoisingAutoencoder(2, random_state=0) for _ in range(2))
    for rows in (slice(0, 1), slice(1, 3), slice(3, 150)):
        assert np.isfinite(model.partial_fit(X[rows]).transform(X)).all()
    equal(begun_with(model), begun_with(whole.partial_fit(X)))
    same = np.tile(X[1:2], (20, 1))
    same[0] = X[0]
    same[0, ~np.isnan(X[1])] = X[1, ~np.isnan(X[1])]
    assert not streams.varies(same)


@pytest.mark.parametrize("loss", ["poisson", "multinomial", "log_loss"])
def test_likelihoods(loss):
    X = np.random.default_rng(0).poisson(3.0, size=(400, 12)).astype(float)
    X = X / X.max() if loss == "log_loss" else X
    model, whole = (Autoencoder(2, loss=loss, random_state=0) for _ in range(2))
    for rows in (slice(0, 1), slice(1, 3), slice(3, 150)):
        model.partial_fit(X[rows])
    equal(begun_with(model), begun_with(whole.partial_fit(X[:150])))
    for one in (X[150:151], X[151:]):
        assert not texts(model.partial_fit, one)


def test_colours_whose_range_shows_later():
    """The first image is dark; once there are enough rows the range is settled."""
    images = np.random.default_rng(0).integers(0, 256, size=(150, 6 * 6 * 3))
    images[0] = 0
    model = SplitBrainAutoencoder(
        2, split="channels", image_shape=(6, 6, 3), random_state=0
    )
    assert model.partial_fit(images[:1])._fit.units.top == 1.0
    assert model.partial_fit(images[1:3])._fit.units.top == 255.0
    model.partial_fit(images[3:])
    with pytest.raises(ValueError, match="to RGB images with values in"):
        model.partial_fit(images + 1)


def test_classes_keep_their_numbers():
    X, y = table(150), np.array(["a", "b", "c"])[np.arange(150) % 3]
    model = GeneralizedAutoencoder(2, relation="class", random_state=0)
    model.partial_fit(X[:60][y[:60] != "a"], y[:60][y[:60] != "a"])
    model.partial_fit(X[60:90], y[60:90])
    assert model._seen_classes.tolist() == ["b", "c", "a"]
    kept = np.array([*y[:60][y[:60] != "a"], *y[60:90]])
    assert (model._seen_classes[model._fit.stream.labels] == kept).all()
    assert model.partial_fit(X[90:], y[90:]).n_iter_ == 3


def test_rows_without_labels_among_the_kept():
    X, y = table(150), np.arange(150) % 2
    model = AdversarialAutoencoder(
        2, prior="mixture", n_mixture_components=10, random_state=0
    )
    assert model.partial_fit(X[:10])._fit.stream.labels is None
    model.partial_fit(X[10:20], y[10:20]).partial_fit(X[20:30])
    assert (
        model._fit.stream.labels.tolist() == [-1] * 10 + y[10:20].tolist() + [-1] * 10
    )


# -- rows from another place -----------------------------------------------------


@some
def test_a_first_chunk_from_another_place_is_recovered_from(name):
    """With a warning each time, at the user's line."""
    X, y = table(150), labels(150)
    model, one_of = make(name), make(name)
    model.partial_fit(X + 1000.0, y)
    one_of.partial_fit(X, y)
    assert any(UNLIKE in text for text in texts(model.partial_fit, X, y))
    (last,) = (t for t in texts(model.partial_fit, X, y) if UNLIKE in t)
    assert ANEW in last and "300 rows of the stream were unlike them" in last
    equal(begun_with(model), begun_with(one_of))
    assert not texts(model.partial_fit, X, y) and model.n_iter_ == 4


@pytest.mark.slow
@pytest.mark.parametrize("change", [lambda X: X + 30.0, lambda X: X * 100.0])
@pytest.mark.parametrize("kind", [Autoencoder, DenoisingAutoencoder])
def test_recovered_models_are_good(kind, change):
    X = curved()
    model, usual = kind(3, random_state=0), kind(3, random_state=0)
    usual.partial_fit(X[:500])
    texts(model.partial_fit, change(X[:500]))
    for _ in range(3):
        for start in range(500, 4000, 500):
            texts(model.partial_fit, X[start : start + 500])
            usual.partial_fit(X[start : start + 500])
    assert share_left(model, X) < 1.5 * share_left(usual, X) + 0.05


def test_first_rows_from_another_place():
    """They are left out once there are others enough."""
    X = curved(500)
    model = Autoencoder(3, random_state=0).partial_fit(X[:10] + 1000.0)
    for start in range(10, 500, 10):
        assert not texts(model.partial_fit, X[start : start + 10])
    assert share_left(model, X) < 0.05
    labelled = GeneralizedAutoencoder(2, relation="class", random_state=0)
    y = np.arange(500) % 2
    labelled.partial_fit(X[:10] + 1000.0, y[:10]).partial_fit(X[10:], y[10:])
    assert labelled._fit.stream.n_within == 490


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Autoencoder, DenoisingAutoencoder])
def test_one_row_at_a_time(kind):
    X = curved(400)
    model = kind(3, random_state=0)
    for i in range(160):
        model.partial_fit(X[i : i + 1])
    assert share_left(model, X[200:]) < 0.5


def test_young_again():
    """Where training begins again with few rows, those after them count too."""
    X = curved(1000)
    model = Autoencoder(3, random_state=0).partial_fit(X[:100] + 1000.0)
    for start in range(100, 200, 20):
        assert UNLIKE in texts(model.partial_fit, X[start : start + 20])[0]
    assert ANEW in texts(model.partial_fit, X[200:220])[0]
    assert model._fit.stream.is_young
    for start in range(220, 400, 20):
        assert not texts(model.partial_fit, X[start : start + 20])
    assert not model._fit.stream.is_young and share_left(model, X) < 0.05


def test_where_training_began_with_fit():
    """It goes on, and says that the rows are unlike those of the fit."""
    X = table(150)
    model = Autoencoder(2, max_iter=2, random_state=0).fit(X)
    units = model._fit.units
    for _ in range(4):
        (text,) = texts(model.partial_fit, X + 1000.0)
        assert UNLIKE in text and "Call fit" in text and "150 of the 150" in text
    equal(
        [model._fit.units.scale, *model._fit.units.shift], [units.scale, *units.shift]
    )
    assert not texts(model.partial_fit, X)


def test_some_rows_from_another_place():
    X = table(150)
    model = Autoencoder(2, random_state=0).partial_fit(X)
    X[::3] += 1000.0
    assert not texts(model.partial_fit, X)
    assert (model._fit.stream.n_within, model._fit.stream.n_beyond) == (250, 50)


def test_more_rows_within_than_beyond():
    X = table(150)
    model = Autoencoder(2, random_state=0)
    for _ in range(4):
        model.partial_fit(X)
    for _ in range(4):
        (text,) = texts(model.partial_fit, X + 1000.0)
        assert "Shuffle" in text
    assert ANEW in texts(model.partial_fit, X + 1000.0)[0]


def test_equal_rows_do_not_end_a_training():
    """A sensor that is stuck."""
    X = table(150)
    model = Autoencoder(2, random_state=0).partial_fit(X)
    for _ in range(3):
        (text,) = texts(model.partial_fit, np.tile(X[:1] + 1000.0, (150, 1)))
        assert ANEW not in text


@pytest.mark.parametrize("factor", [100, 0.01])
def test_counts_of_another_size(factor):
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(20), size=3)
    rates = 400 * rng.dirichlet(np.ones(3), size=600) @ shares
    first, X = rng.poisson(rates / factor), rng.poisson(rates)
    for make_rows in (np.asarray, sp.csr_array):
        model = Autoencoder(2, loss="poisson", random_state=0)
        model.partial_fit(make_rows(first[:150]))
        assert "factor of about" in texts(model.partial_fit, make_rows(X[:150]))[0]
        assert ANEW in texts(model.partial_fit, make_rows(X[150:300]))[0]
        assert not texts(model.partial_fit, make_rows(X[300:]))


STREAMS = {
    "heavy tails": lambda rng: rng.standard_cauchy(size=(4000, 6)),
    "rare events": lambda rng: (
        rng.exponential(size=(4000, 6)) * (rng.random((4000, 1)) < 0.02)
    ),
    "rare features": lambda rng: (rng.random((4000, 800)) < 0.002) + 0.0,
    "rare sparse features": lambda rng: sp.random_array(
        (4000, 3000), density=0.002, rng=rng, format="csr"
    ),
    "hardly any variation": lambda rng: (
        rng.normal(size=(4000, 8)) * 10.0 ** -np.arange(8) + 5.0
    ),
    "digits": lambda rng: load_digits().data,
    "digits by class": lambda rng: load_digits().data[
        np.argsort(load_digits().target, kind="stable")
    ],
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("size", [pytest.param(120, marks=pytest.mark.slow), 500])
def test_streams_that_are_no_other_place(name, size):
    X = STREAMS[name](np.random.default_rng(0))
    model = Autoencoder(2, hidden_layer_sizes=(4,), random_state=0)
    for start in range(0, X.shape[0] - size + 1, size):
        assert not texts(model.partial_fit, X[start : start + size])


def test_sparse_rows_from_another_place():
    X = sp.random_array((200, 3000), density=0.01, rng=0, format="csr")
    model = EmbeddingAutoencoder(2, random_state=0).partial_fit(X * 100.0)
    assert UNLIKE in texts(model.partial_fit, X)[0]
    dense = Autoencoder(2, random_state=0).partial_fit(X.toarray())
    assert UNLIKE in texts(dense.partial_fit, X * 1000.0)[0]
    assert not texts(dense.partial_fit, X)


def test_reach_leaves_missing_values_out():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5))
    reach = streams.Reach.of(X, "squared_error", 0)
    gappy = X[:50].copy()
    gappy[:, 0] = np.nan
    r = reach.distances(gappy)
    assert 0.5 < np.median(r) < 1.5
    np.testing.assert_array_equal(reach.distances(np.full((1, 5), np.nan)), [0.0])


def test_a_model_of_before_there_was_a_reach():
    X = table(150)
    model = Autoencoder(2, max_iter=2, random_state=0).fit(X)
    model._fit = replace(model._fit, stream=None)
    assert not texts(model.partial_fit, X + 1000.0) and model._fit.stream is None
