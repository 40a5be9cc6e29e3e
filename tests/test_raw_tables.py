"""Tables and counts as they come: no column is learned badly for its scale."""

import functools

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from estimators import public_classes
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.decomposition import TruncatedSVD

from sklearn_ae import (
    AdversarialAutoencoder,
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    EmbeddingAutoencoder,
    GaussianNoise,
    GeneralizedAutoencoder,
    ImportanceWeightedAutoencoder,
    KSparseAutoencoder,
    Masking,
    SparseAutoencoder,
    SplitBrainAutoencoder,
    StackedAutoencoderPretrainer,
    VariationalAutoencoder,
)
from sklearn_ae.engine.density import code_moments
from sklearn_ae.engine.estimator import BaseAutoencoder
from sklearn_ae.parts.activations import ACTIVATIONS, inverse

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TABLES = {
    "wine": load_wine().data,
    "breast_cancer": load_breast_cancer().data,
    "diabetes": load_diabetes().data * 1e4,
    "digits": load_digits().data[:500],
}
LINEAR = {"hidden_layer_sizes": ()}
TIED = {**LINEAR, "tied_weights": True}
TWO = [VariationalAutoencoder(8), Autoencoder(4)]

#: Every method with its defaults, but for epochs where they take many seconds, and what
#: takes another path through the conditioning.
MODELS = {
    "Autoencoder": Autoencoder(4),
    "Autoencoder-linear": Autoencoder(4, **LINEAR),
    "Autoencoder-linear-tied": Autoencoder(4, **TIED),
    "Autoencoder-linear-masked": Autoencoder(4, corruption=Masking(), **LINEAR),
    "Autoencoder-linear-noisy": Autoencoder(4, corruption=GaussianNoise(), **TIED),
    "Autoencoder-random": Autoencoder(4, linear_path=False),
    "Autoencoder-tied": Autoencoder(4, tied_weights=True),
    "Autoencoder-absolute": Autoencoder(4, loss="absolute_error"),
    "Autoencoder-sigmoid": Autoencoder(4, output_activation="sigmoid"),
    "AdversarialAutoencoder": AdversarialAutoencoder(4, max_iter=100),
    "ContractiveAutoencoder": ContractiveAutoencoder(8),
    "ConvolutionalAutoencoder": ConvolutionalAutoencoder(4, max_iter=100),
    "DenoisingAutoencoder": DenoisingAutoencoder(4),
    "EmbeddingAutoencoder": EmbeddingAutoencoder(4),
    "GeneralizedAutoencoder": GeneralizedAutoencoder(4),
    "ImportanceWeightedAutoencoder": ImportanceWeightedAutoencoder(
        4, n_importance_samples=5, max_iter=60
    ),
    "KSparseAutoencoder": KSparseAutoencoder(30),
    "SparseAutoencoder": SparseAutoencoder(16),
    "SplitBrainAutoencoder": SplitBrainAutoencoder(4),
    "StackedAutoencoderPretrainer": StackedAutoencoderPretrainer(layer_sizes=(20, 4)),
    "StackedAutoencoderPretrainer-tuned": StackedAutoencoderPretrainer(
        estimators=TWO, fine_tune="reconstruction", max_iter=60
    ),
    "VariationalAutoencoder": VariationalAutoencoder(4),
}
KINDS = [*public_classes(BaseAutoencoder), StackedAutoencoderPretrainer]

#: All of them on the table with the widest range of scales by the number of columns.
PAIRS = [("wine", name) for name in MODELS]
PAIRS += [
    ("breast_cancer", "Autoencoder-linear-noisy"),
    ("breast_cancer", "Autoencoder-linear-masked"),
    ("breast_cancer", "Autoencoder-linear-tied"),
    ("breast_cancer", "KSparseAutoencoder"),
    pytest.param(
        *("breast_cancer", "StackedAutoencoderPretrainer"), marks=pytest.mark.slow
    ),
    ("diabetes", "Autoencoder-random"),
    ("diabetes", "KSparseAutoencoder"),
    ("digits", "Autoencoder-linear"),
    ("digits", "ContractiveAutoencoder"),
    ("digits", "ConvolutionalAutoencoder"),
    ("digits", "EmbeddingAutoencoder"),
]
raw = pytest.mark.parametrize(("table", "name"), PAIRS)


def made(name, max_iter=None):
    model = clone(MODELS[name]).set_params(random_state=0)
    params = [p for p in model.get_params() if p.split("__")[-1] == "max_iter"]
    if max_iter is not None:
        if name == "StackedAutoencoderPretrainer":
            params.append("estimator__max_iter")
        model.set_params(**dict.fromkeys(params, max_iter))
    return model


#: What needs as many epochs as are the default: rivals, and the second of two layers.
LONG = {"AdversarialAutoencoder", "StackedAutoencoderPretrainer"}


def made_fast(name, max_iter=60):
    """Return a model that is trained for fewer epochs, where these suffice."""
    return made(name, None if name in LONG else max_iter)


@functools.cache
def fitted(table, name):
    return made_fast(name, 30).fit(TABLES[table])


def lost(model, X):
    """Return squared error / variance of each column that varies."""
    variance = X.var(axis=0)
    error = np.square(model.reconstruct(X) - X).mean(axis=0, dtype=float)
    return error[variance > 0] / variance[variance > 0]


def drawn(model, X):
    """Return the spread of draws / of the data, of each column that varies."""
    spread = X.std(axis=0)
    draws = model.sample(500, random_state=0).std(axis=0, dtype=float)
    return draws[spread > 0] / spread[spread > 0]


def test_every_method_is_among_the_models():
    assert {type(model) for model in MODELS.values()} == set(KINDS)


@raw
def test_no_column_is_restored_worse_than_by_its_mean(table, name):
    assert lost(fitted(table, name), TABLES[table]).max() <= 1.05


@raw
def test_no_column_is_drawn_wider_than_twice_its_spread(table, name):
    assert drawn(fitted(table, name), TABLES[table]).max() <= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in MODELS if "-" not in name and name not in LONG]
)
def test_no_column_is_lost_in_as_many_epochs_as_are_the_default(name):
    model = made(name).fit(TABLES["wine"])
    assert lost(model, TABLES["wine"]).max() <= 1.05
    assert drawn(model, TABLES["wine"]).max() <= 2


@pytest.mark.parametrize("scale", [1e-4, 1e6])
@pytest.mark.parametrize("name", MODELS)
def test_scale_and_offsets_change_nothing(name, scale):
    X = TABLES["wine"]
    offset = X.std(axis=0) * np.random.default_rng(0).uniform(-1e3, 1e3, X.shape[1])
    near, far = (made(name, 3).fit(rows) for rows in (X, (X + offset) * scale))
    again = far.reconstruct((X + offset) * scale) / scale - offset
    apart = np.abs(again - near.reconstruct(X)) / X.std(axis=0)
    assert apart.max() < 1e-3


@pytest.mark.parametrize(
    "name",
    [
        "Autoencoder",
        "Autoencoder-linear-tied",
        "Autoencoder-random",
        "EmbeddingAutoencoder",
        "KSparseAutoencoder",
    ],
)
def test_columns_may_differ_by_ten_orders_of_magnitude(name):
    rng = np.random.default_rng(0)
    X = TABLES["wine"]
    offset = X.std(axis=0) * rng.uniform(-1e3, 1e3, X.shape[1])
    X = (X + offset) * 10 ** rng.uniform(-4, 6, X.shape[1])
    model = made(name, 60).fit(X)
    assert lost(model, X).max() <= 1.05
    assert drawn(model, X).max() <= 2


def test_codes_that_vary_little_beside_others_are_drawn_so():
    codes = np.random.default_rng(0).normal(size=(400, 3)) * [1.0, 1e-5, 0.0]
    for full in (True, False):
        _, _, spread = code_moments(400, codes, full)
        spread = np.sqrt(np.diag(spread) if full else spread)
        np.testing.assert_allclose(spread[:2], codes.std(axis=0)[:2], rtol=0.01)
        assert 0 < spread[2] <= 1e-5


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_outputs_can_begin_at_any_constant(name):
    means = torch.tensor([-1.0, -1e-17, 0.0, 0.5, 3.0], dtype=torch.float64)
    assert inverse(name, means).isfinite().all()


# -- gaps -------------------------------------------------------------------------


ADVISED = {"noise": "masking", "noise_level": 0.1, "emphasis": 1.0, "dropout": 0.1}


@pytest.mark.parametrize(
    ("table", "params"),
    [("wine", {}), ("wine", ADVISED), ("breast_cancer", {"noise": "masking"})],
)
def test_gaps_are_not_filled_worse_than_by_means(table, params):
    X = TABLES[table]
    gaps = np.random.default_rng(0).random(X.shape) < 0.1
    holed = np.where(gaps, np.nan, X)
    model = DenoisingAutoencoder(4, max_iter=60, random_state=0, **params)
    filled = model.fit(holed).impute(holed)
    errors = [
        np.where(gaps, np.square(guess - X), 0.0).sum(axis=0)
        for guess in (filled, np.nanmean(holed, axis=0))
    ]
    ratio = errors[0] / errors[1]
    assert ratio.mean() < 0.9
    assert ratio.max() < 1.1  # of so few gaps, in columns that are not to be predicted


# -- counts -----------------------------------------------------------------------


def counts(least, most, n_rows=200, n_columns=15):
    """Return rows of three distributions, each row with its own number of counts."""
    rng = np.random.default_rng(0)
    shares = np.exp(rng.normal(size=(3, n_columns)))[rng.integers(3, size=n_rows)]
    shares *= np.exp(0.2 * rng.normal(size=shares.shape))
    shares /= shares.sum(axis=1, keepdims=True)
    totals = 10 ** rng.uniform(np.log10(least), np.log10(most), n_rows)
    pairs = zip(totals.astype(int), shares, strict=True)
    return np.stack([rng.multinomial(*pair) for pair in pairs]).astype(float)


def deviance(X, rates):
    rates = np.maximum(rates, 1e-9)
    logs = np.log(np.maximum(X, 1) / rates)
    return 2 * (X * logs - X + rates).sum(dtype=float)


SHARED = (
    "DenoisingAutoencoder",
    "KSparseAutoencoder",
    "StackedAutoencoderPretrainer",
    "VariationalAutoencoder",
)
#: Methods that take the loss; GeneralizedAutoencoder and SplitBrainAutoencoder do not
#: take shares. What they are given is from 20 to a million counts a row.
COUNTED = [
    pytest.param(
        *(name, "poisson", 20, 1e6, np.array),
        marks=[pytest.mark.slow] * (name in LONG or name == "ContractiveAutoencoder"),
    )
    for name in MODELS
    if "-" not in name
]
COUNTED += [
    *((name, "multinomial", 20, 1e6, np.array) for name in ("Autoencoder", *SHARED)),
    ("Autoencoder-linear", "poisson", 20, 1e6, np.array),
    ("Autoencoder", "poisson", 20, 21, np.array),
    ("Autoencoder", "multinomial", 1e6, 1.1e6, np.array),
    ("KSparseAutoencoder", "poisson", 20, 1e6, sp.csr_array),
    ("KSparseAutoencoder", "multinomial", 20, 1e6, sp.csr_array),
]


@pytest.mark.parametrize(("name", "loss", "least", "most", "container"), COUNTED)
def test_counts_are_restored_better_than_by_means(name, loss, least, most, container):
    X = counts(least, most)
    if name == "StackedAutoencoderPretrainer":
        layer = DenoisingAutoencoder(8, code_activation="relu", **LINEAR)
        layers = [clone(layer).set_params(loss=loss), layer]
        model = StackedAutoencoderPretrainer(estimators=layers, random_state=0)
    else:
        long = name == "ContractiveAutoencoder"
        model = made(name) if long else made_fast(name)
        has = "loss" if "loss" in model.get_params() else "likelihood"
        model.set_params(**{has: loss})
    restored = model.fit(container(X)).reconstruct(container(X))
    alike = np.broadcast_to(X.mean(axis=0), X.shape)
    if loss == "multinomial":
        alike = X.sum(axis=1, keepdims=True) * X.sum(axis=0) / X.sum()
    assert deviance(X, restored) < 0.95 * deviance(X, alike)


# -- columns that hardly vary -----------------------------------------------------


@functools.cache
def borders():
    """Return a table with columns that are constant, or nearly so, among others."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6))
    X = 10 * (X + 0.3 * rng.normal(size=X.shape)) + 100
    one = np.zeros(300)
    one[7] = 5.0
    rare = np.where(rng.random(300) < 0.01, 255.0, 0.0)
    return np.c_[X, np.full(300, 3.0), np.full(300, 1e8), one, 1e6 + one / 1e3, rare]


@pytest.mark.parametrize(
    "name",
    [
        "Autoencoder",
        "Autoencoder-linear",
        "Autoencoder-linear-tied",
        "DenoisingAutoencoder",
        "KSparseAutoencoder",
        "StackedAutoencoderPretrainer",
    ],
)
def test_columns_that_hardly_vary_disturb_nothing(name):
    X = borders()
    model = made_fast(name).fit(X)
    assert lost(model, X).max() <= 1.05
    assert drawn(model, X).max() <= 2
    constant = X.std(axis=0) == 0
    off = np.abs(model.reconstruct(X) - X)[:, constant].max(axis=0)
    assert (off <= 1e-6 * np.abs(X[0, constant])).all()
    beyond = X[:20].copy()
    beyond[:, [6, 8]] += [10.0, 500.0]
    codes, moved = model.transform(X), model.transform(beyond)
    assert np.isfinite(model.reconstruct(beyond)).all()
    # a hundred times as far out as any row before
    assert np.abs(moved - codes[:20]).max() <= 10 * np.abs(codes).max()


# -- rectified units --------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        KSparseAutoencoder(60),
        Autoencoder(16, loss="absolute_error", code_activation="relu", max_iter=60),
        DenoisingAutoencoder(
            30, code_activation="relu", noise="masking", max_iter=60, **TIED
        ),
    ],
    ids=["k-sparse", "absolute error", "denoising"],
)
@pytest.mark.parametrize(("table", "scale"), [("wine", 1), ("digits", 16)])
def test_units_of_large_values_live(model, table, scale):
    X = TABLES[table] * scale
    model = clone(model).set_params(random_state=0)
    codes = model.fit_transform(X)
    assert (codes != 0).any(axis=0).mean() >= 0.8


# -- sparse rows, which are not centred -------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "Autoencoder",
        "KSparseAutoencoder",
        pytest.param("StackedAutoencoderPretrainer", marks=pytest.mark.slow),
    ],
)
def test_sparse_rows_are_restored_better_than_by_the_best_row(name):
    X = TABLES["wine"]
    model = made_fast(name).fit(sp.csr_array(X))
    restored = model.reconstruct(sp.csr_array(X))
    error = np.square(restored - X).sum(dtype=float)
    assert error < 0.8 * np.square(X - X.mean(axis=0)).sum()


@pytest.mark.parametrize("tied", [False, True])
def test_linear_layers_stay_at_truncated_svd_of_raw_sparse_rows(tied):
    X = sp.csr_array(TABLES["breast_cancer"])
    svd = TruncatedSVD(4, algorithm="arpack").fit(X)
    best = np.square(svd.inverse_transform(svd.transform(X)) - X.toarray()).mean()
    model = Autoencoder(4, tied_weights=tied, random_state=0, **LINEAR).fit(X)
    assert -model.score(X) == pytest.approx(best, rel=0.05)
