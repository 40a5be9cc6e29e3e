"""Weights of rows, and rows to judge by.

A row of weight 2 is two rows, one of weight 0 none. Where nothing is drawn by the row,
in one batch and in float64, this holds up to rounding, and so it is asked for here.
"""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
import torch
from estimators import (
    CALM,
    CORE,
    FAST,
    READING,
    SINGLE,
    answer,
    counts,
    fit,
    labels,
    layers,
    table,
    trainers,
)
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import balanced_accuracy_score, make_scorer
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import (
    L1,
    L2,
    AdversarialAutoencoder,
    Autoencoder,
    AutoencoderOutlierDetector,
    DenoisingAutoencoder,
    EmbeddingAutoencoder,
    GeneralizedAutoencoder,
    ImportanceWeightedAutoencoder,
    KSparseAutoencoder,
    SparseAutoencoder,
    SplitBrainAutoencoder,
    StackedAutoencoderClassifier,
    StackedAutoencoderPretrainer,
    VariationalAutoencoder,
)
from sklearn_ae.autoencoders.variational import BaseVariational
from sklearn_ae.engine.rows import Batch
from sklearn_ae.engine.weights import copies, effective_rows
from sklearn_ae.parts.penalties import Penalty

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:The graph of neighbours has:UserWarning",
    "ignore:contamination='auto' needs at least:UserWarning",
)

N = 24
WEIGHT = np.array([2.0, 1.0, 0.0, 3.0, 1.0, 1.0] * 4)
ROWS = np.repeat(np.arange(N), WEIGHT.astype(int))
#: Methods that draw something for each row that they are given.
NOISY = (AdversarialAutoencoder, BaseVariational, DenoisingAutoencoder)


def calm(estimator):
    """Return a copy whose training draws nothing by the row, and rounds little."""
    estimator = clone(estimator)
    for part in trainers(estimator):
        quiet = {
            "random_state": 0,
            "shuffle": False,
            "batch_size": 1000,
            "early_stopping": False,
            "dropout": 0.0,
            "corruption": None,
            "jacobian": "exact",
            "dtype": "float64",
        }
        part.set_params(**{k: v for k, v in quiet.items() if k in part.get_params()})
    return estimator


def twice(estimator, X, y=None, rtol=1e-6):
    """Check that rows that count are rows that are repeated; return both fits."""
    weighted = clone(estimator).fit(X, y, sample_weight=WEIGHT)
    repeated = clone(estimator).fit(X[ROWS], None if y is None else y[ROWS])
    expected = np.asarray(answer(repeated, X))
    close = {"rtol": rtol, "atol": rtol * np.abs(expected).max()}
    np.testing.assert_allclose(answer(weighted, X), expected, **close)
    return weighted, repeated


# -- a row of weight 2 is two rows -----------------------------------------------------


QUIET = [name for name, one in SINGLE.items() if not isinstance(one, NOISY)]


@pytest.mark.parametrize("name", QUIET)
def test_weight_two_is_the_row_twice(name):
    X, y = table(), labels()
    weighted, repeated = twice(calm(SINGLE[name]), X, y)
    assert weighted.loss_curve_ == pytest.approx(repeated.loss_curve_, rel=1e-6)
    (n, *moments), (n_repeated, *expected) = (
        weighted._fit.code_moments,
        repeated._fit.code_moments,
    )
    assert n == n_repeated == len(ROWS)
    for ours, theirs in zip(moments, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-9)


LOSSES = ("squared_error", "absolute_error", "poisson", "multinomial", "log_loss")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("sparse", [True, False])
def test_with_every_loss(loss, sparse):
    X = counts() / (counts().max() if loss == "log_loss" else 1)
    X = X if sparse else X.toarray()
    twice(calm(Autoencoder(2, loss=loss, max_iter=3)), sp.csr_array(X) if sparse else X)
    flat = Autoencoder(2, loss=loss, max_iter=3, hidden_layer_sizes=())
    twice(calm(flat), X)


@pytest.mark.parametrize(
    "estimator",
    [
        Autoencoder(2, penalties=L1(weight=0.1), hidden_layer_sizes=()),
        Autoencoder(2, solver="lbfgs", penalties=L2(weight=0.1)),
        SparseAutoencoder(4, solver="lbfgs"),
        KSparseAutoencoder(6, k=2),
        SplitBrainAutoencoder(target="classification", n_bins=3),
        Autoencoder(2, linear_path=False, loss="absolute_error"),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_penalties_and_what_is_learned_first(estimator):
    twice(calm(estimator).set_params(max_iter=4), table())


def test_fitted_attributes_count_too():
    X = table()
    weighted, repeated = twice(calm(SparseAutoencoder(4, max_iter=3)), X)
    np.testing.assert_allclose(weighted.mean_activation_, repeated.mean_activation_)
    model = VariationalAutoencoder(2, max_iter=1, dtype="float64", random_state=0)
    weighted = clone(model).fit(X, sample_weight=WEIGHT)
    count, total, squares = weighted._activity
    codes, share = weighted.transform(X), WEIGHT[:, None] / WEIGHT.max()
    np.testing.assert_allclose(total / count, (share * codes).sum(0) / share.sum())
    np.testing.assert_allclose(squares / count, (share * codes**2).sum(0) / share.sum())


def test_missing_values():
    X = table()
    X[::5, 1] = np.nan
    X[3, :4] = np.nan
    model = DenoisingAutoencoder(2, noise_level=0.0, max_iter=3, dtype="float64")
    for params in ({}, {"linear_path": False}, {"loss": "absolute_error"}):
        twice(calm(model).set_params(**params), X)


@pytest.mark.parametrize("name", [n for n in SINGLE if n not in QUIET])
def test_objective_of_weighted_rows(name):
    """That of the rows repeated, with whatever is left out without a generator."""
    model = clone(SINGLE[name]).set_params(dtype="float64", random_state=0).fit(table())
    x = torch.tensor(table())
    weight = torch.tensor(WEIGHT / WEIGHT.mean())
    module = model.module_
    with torch.no_grad():
        weighted = module.loss(Batch(x, x, weight=weight), None)
        rows = x[ROWS]
        repeated = module.loss(Batch(rows, rows), None)
    if isinstance(model, BaseVariational):  # whose draws are by the row
        repeated = {k: v for k, v in repeated.items() if k in ("kl", "weight_decay")}
    for term, value in repeated.items():
        assert float(weighted[term]) == pytest.approx(float(value), rel=1e-9)


@pytest.mark.parametrize(
    "kind", [VariationalAutoencoder, ImportanceWeightedAutoencoder]
)
def test_bound_is_a_mean_by_weights(kind):
    model = kind(
        2, max_iter=1, dtype="float64", random_state=0, hidden_layer_sizes=(8,)
    )
    module, x = model.fit(table()).module_, torch.tensor(table())
    name = "reconstruction" if kind is VariationalAutoencoder else "bound"
    weight = torch.tensor(WEIGHT / WEIGHT.mean())
    parts = []
    for row in range(N):  # all but one count for nothing
        one = torch.zeros(N, dtype=torch.float64)
        one[row] = 1.0
        parts.append(float(module.loss(Batch(x, x, weight=one), None)[name].detach()))
    whole = module.loss(Batch(x, x, weight=weight), None)[name].detach()
    assert float(whole) == pytest.approx(float(weight.numpy() @ parts), rel=1e-9)
    plain = module.loss(Batch(x, x), None)[name].detach()
    assert float(plain) == pytest.approx(sum(parts), rel=1e-9)


def test_rivals_count_rows():
    model = AdversarialAutoencoder(2, max_iter=1, dtype="float64", random_state=0)
    module, x = model.fit(table()).module_, torch.tensor(table())
    parts = []
    for row in [*range(N), None]:
        one = torch.tensor(WEIGHT / WEIGHT.mean())
        if row is not None:
            one = torch.zeros(N, dtype=torch.float64)
            one[row] = WEIGHT[row] / WEIGHT.mean()
        batch = Batch(x, x, weight=one)
        draw = torch.Generator().manual_seed(0)
        terms = module.discrimination(batch, draw), module.deception(batch, draw)
        parts.append([float(term.detach()) for term in terms])
    np.testing.assert_allclose(np.sum(parts[:-1], axis=0), parts[-1], rtol=1e-9)


LAYER = calm(CALM)
STACK = StackedAutoencoderPretrainer(
    LAYER, layer_sizes=(4, 2), max_iter=3, shuffle=False, random_state=0
)
META = {
    "stack": STACK,
    "reconstruction": clone(STACK).set_params(fine_tune="reconstruction"),
    "class": clone(STACK).set_params(fine_tune="class", unlabeled=-1),
    "classifier": StackedAutoencoderClassifier(
        STACK, max_iter=4, shuffle=False, random_state=0, unlabeled=-1
    ),
    "balanced": StackedAutoencoderClassifier(
        STACK, max_iter=4, shuffle=False, random_state=0, unlabeled=-1
    ).set_params(class_weight="balanced"),
    "without pretraining": StackedAutoencoderClassifier(
        STACK, max_iter=4, shuffle=False, random_state=0, unlabeled=-1
    ).set_params(pretrain=False),
    "density": AutoencoderOutlierDetector(LAYER, contamination=0.2, random_state=0),
    "score": AutoencoderOutlierDetector(
        LAYER, contamination=0.13, criterion="score", n_estimators=2, random_state=0
    ),
    "detector of a stack": AutoencoderOutlierDetector(STACK, contamination=0.2),
}


@pytest.mark.parametrize("name", META)
def test_estimators_made_of_others(name):
    weighted, repeated = twice(META[name], table(), labels())
    if hasattr(weighted, "offset_"):
        assert weighted.offset_ == pytest.approx(repeated.offset_, rel=1e-6)
    if name == "reconstruction":
        for ours, theirs in zip(
            weighted.estimators_, repeated.estimators_, strict=True
        ):
            assert ours._fit.code_moments[0] == theirs._fit.code_moments[0] == len(ROWS)


@pytest.mark.parametrize("density", [KernelDensity(), GaussianMixture(2)])
def test_densities(density):
    model = calm(Autoencoder(2, max_iter=2)).set_params(density=density)
    weighted, repeated = twice(model, table())
    codes = weighted.transform(table())
    np.testing.assert_allclose(
        weighted.density_.score_samples(codes),
        repeated.density_.score_samples(codes),
        rtol=1e-5,
    )


def test_streams():
    """While a stream is young its rows are kept, with their weights."""
    X, w = table(), WEIGHT
    model = calm(Autoencoder(2))
    weighted = clone(model).partial_fit(X[:9], sample_weight=w[:9]).partial_fit(X[9:15])
    weighted.partial_fit(X[15:], sample_weight=w[15:])
    w = np.r_[w[:9], np.ones(6), w[15:]].astype(int)
    parts = (np.repeat(X[a:b], w[a:b], axis=0) for a, b in ((0, 9), (9, 15), (15, N)))
    repeated = clone(model)
    for part in parts:
        repeated.partial_fit(part)
    np.testing.assert_allclose(weighted.transform(X), repeated.transform(X), rtol=1e-6)
    assert weighted._fit.code_moments[0] == repeated._fit.code_moments[0]
    long = table(200)
    grown = clone(model).partial_fit(long).partial_fit(long, sample_weight=np.ones(200))
    plain = clone(model).partial_fit(long).partial_fit(long)
    np.testing.assert_array_equal(grown.transform(X), plain.transform(X))


# -- weights that are none -------------------------------------------------------------


@pytest.mark.parametrize("name", CORE)
def test_rows_of_no_weight_are_not_there(name):
    model = clone(CORE[name]).set_params(random_state=0)
    X, y, there = table(), labels(), np.arange(N) % 4 > 0
    left_out = clone(model).fit(X, y, sample_weight=there.astype(float))
    without = clone(model).fit(X[there], y[there], sample_weight=np.ones(there.sum()))
    plain = fit_with(model, X[there], y[there])
    for other in (without, plain):
        np.testing.assert_array_equal(answer(left_out, X), answer(other, X))


def fit_with(model, X, y, **given):
    return clone(model).fit(X, y, **given)


BAD = {
    "negative": (-np.ones(N), "Negative values in data passed to `sample_weight`"),
    "nan": (np.full(N, np.nan), "Input sample_weight contains NaN"),
    "short": (np.ones(N - 1), "sample_weight.shape"),
    "zero": (np.zeros(N), "at least one non-zero"),
    "table": (np.ones((N, 2)), "Sample weights must be 1D"),
    "words": (["much"] * N, "could not convert"),
}


@pytest.mark.parametrize("name", READING)
def test_bad_weights(name):
    model = clone(FAST[name]).set_params(random_state=0)
    X, y = table(), labels()
    before = answer(model.fit(X, y), X)
    for weight, text in BAD.values():
        with pytest.raises(ValueError, match=text):
            model.fit(X, y, sample_weight=weight)
        if hasattr(model, "partial_fit"):
            with pytest.raises(ValueError, match=text):
                clone(model).partial_fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(answer(model, X), before)


RELATED = [
    EmbeddingAutoencoder(embedding="mds"),
    EmbeddingAutoencoder(embedding="laplacian"),
    *(GeneralizedAutoencoder(relation=r) for r in ("laplacian", "lle", "isomap")),
]


@pytest.mark.parametrize("estimator", RELATED, ids=repr)
def test_related_rows_are_repeated(estimator):
    model = clone(estimator).set_params(max_iter=2, random_state=0)
    X = table()
    weighted = clone(model).fit(X, sample_weight=WEIGHT)
    repeated = clone(model).fit(X[ROWS])
    np.testing.assert_array_equal(weighted.transform(X), repeated.transform(X))
    for weight in (WEIGHT / 2, WEIGHT * 1e6):
        with pytest.raises(ValueError, match="whole numbers"):
            clone(model).fit(X, sample_weight=weight)
        stack = StackedAutoencoderPretrainer(estimators=[Autoencoder(3), model])
        with pytest.raises(
            ValueError, match=r"autoencoder' does not fit.*whole numbers"
        ):
            stack.fit(X, sample_weight=weight)


class Unweighted(Penalty):
    weight: float = 1.0

    @staticmethod
    def term(x, z, encoder, *, weight):
        return weight * z.square().mean()


def test_penalties_that_know_no_weights():
    model = Autoencoder(2, max_iter=2, penalties=Unweighted())
    model.fit(table())
    with pytest.raises(ValueError, match="penalty Unweighted"):
        model.fit(table(), sample_weight=WEIGHT)


@pytest.mark.parametrize(
    "model",
    [
        GeneralizedAutoencoder(2, relation="class", max_iter=1),
        StackedAutoencoderPretrainer(LAYER, layer_sizes=(3,)).set_params(
            fine_tune="class"
        ),
    ],
    ids=lambda model: type(model).__name__,
)
def test_labels_of_other_rows(model):
    """Without the rows of weight 0 there are as many rows as labels."""
    weight = np.array([0.0] * 4 + [1.0] * (N - 4))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clone(model).fit(table(), labels()[: N - 4], sample_weight=weight)


def test_copies():
    np.testing.assert_array_equal(copies(WEIGHT), ROWS)
    rng = np.random.default_rng(0)
    weight = rng.random(500)
    found = np.bincount(copies(weight / weight.sum()), minlength=500)
    assert found.sum() == 500
    assert np.abs(found - 500 * weight / weight.sum()).max() <= 1
    assert len(copies(np.full(500, 100.0), most=1000)) == 1000
    assert len(copies(np.full(5, 1e308))) > 0


def test_effective_rows():
    assert effective_rows(WEIGHT[WEIGHT > 0]) == len(ROWS)
    assert effective_rows(np.full(50, 1 / 50)) == 50  # whose scale says nothing
    assert effective_rows(np.full(50, 1e-310)) == 50
    assert effective_rows(np.full(50, 1e308)) == 2**53


# -- rows to judge by ------------------------------------------------------------------


def drawn(n=10, seed=5):
    return table(n, seed=seed)


@pytest.mark.parametrize("name", SINGLE)
def test_validation_rows_are_judged_and_not_learned_from(name):
    model = clone(SINGLE[name]).set_params(
        random_state=0, max_iter=3, early_stopping=True, n_iter_no_change=10
    )
    X, y, judges = table(), labels(), drawn()
    given = {"X_val": judges, "y_val": labels(10)}
    judged = clone(model).fit(X, y, **given)
    plain = clone(model).set_params(early_stopping=False).fit(X, y)
    assert judged.loss_curve_ == pytest.approx(plain.loss_curve_, rel=1e-5)
    assert len(judged.validation_loss_curve_) == judged.n_iter_
    other = clone(model).fit(X, y, X_val=judges + 3, y_val=labels(10))
    assert other.validation_loss_curve_ != judged.validation_loss_curve_


def test_validation_curve_is_of_these_rows():
    X, judges = table(), drawn()
    model = Autoencoder(
        2, max_iter=4, early_stopping=True, random_state=0, dtype="float64"
    )
    weight = np.arange(10.0)
    for sample_weight, w in ((None, np.ones(10)), (weight, weight)):
        fitted = clone(model).set_params(n_iter_no_change=100)
        fitted.fit(X, X_val=judges, sample_weight_val=sample_weight)
        errors = fitted.reconstruction_error(judges, per_feature=True).sum(axis=1)
        expected = 0.5 * np.average(errors, weights=w) / fitted._fit.units.scale**2
        # the best weights are kept, those of one of the epochs or before
        assert min(fitted.validation_loss_curve_) >= expected * (1 - 1e-9)
        worse = clone(fitted).fit(
            X, X_val=judges[::-1], sample_weight_val=sample_weight
        )
        assert worse.n_iter_ == 4


def test_time_series():
    """Stopped by the last rows, which a random split would leak into."""
    rng = np.random.default_rng(0)
    X = np.cumsum(rng.normal(size=(300, 6)), axis=0)
    model = Autoencoder(2, early_stopping=True, random_state=0, max_iter=5)
    by_last = clone(model).fit(X[:200], X_val=X[200:]).validation_loss_curve_
    by_chance = clone(model).fit(X[:200]).validation_loss_curve_
    assert min(by_last) > 2 * min(by_chance)


@pytest.mark.parametrize("name", ["Autoencoder", "DenoisingAutoencoder"])
def test_validation_rows_of_other_kinds(name):
    model = clone(FAST[name]).set_params(early_stopping=True, random_state=0)
    expected = clone(model).fit(table(), X_val=drawn()).validation_loss_curve_
    for kind in (sp.csr_array, np.float32, list):
        judges = kind(drawn()) if kind is not list else drawn().tolist()
        found = clone(model).fit(table(), X_val=judges).validation_loss_curve_
        assert found == pytest.approx(expected, rel=1e-4)


REFUSED = {
    "width": ({"X_val": np.ones((3, 4))}, "X_val: X has 4 features"),
    "nan": ({"X_val": np.full((3, 5), np.inf)}, "X_val: Input X contains inf"),
    "weight": (
        {"X_val": np.ones((3, 5)), "sample_weight_val": [1.0]},
        "sample_weight_val: sample_weight.shape",
    ),
    "negative": (
        {"X_val": np.ones((3, 5)), "sample_weight_val": -np.ones(3)},
        "sample_weight_val: Negative",
    ),
    "masked": (
        {"X_val": np.ones((3, 5)), "sample_weight_val": np.ma.ones(3)},
        "sample_weight_val: Masked arrays",
    ),
    "labels": (
        {"X_val": np.ones((3, 5)), "y_val": [1, 0]},
        "y_val: Found input variables with inconsistent numbers",
    ),
    "alone": ({"sample_weight_val": np.ones(3)}, "X_val was not provided"),
}


@pytest.mark.parametrize("problem", REFUSED)
@pytest.mark.parametrize(
    "name", ["Autoencoder", "StackedAutoencoderPretrainer-float64"]
)
def test_bad_validation_rows(name, problem):
    model = clone(FAST[name])
    for part in trainers(model):
        part.set_params(early_stopping=True)
    given, text = REFUSED[problem]
    with pytest.raises(ValueError, match=text):
        model.fit(table(), labels(), **given)


def test_validation_rows_far_from_the_others():
    X, far = table(), drawn() * 1e25
    model = Autoencoder(2, early_stopping=True, max_iter=2, random_state=0)
    with pytest.raises(ValueError, match=r"X_val.*Check their units.*'float64'"):
        clone(model).fit(X, X_val=far)
    clone(model).set_params(dtype="float64").fit(X, X_val=far)
    model.set_params(linear_path=False, solver="sgd", learning_rate_init=1e30)
    with pytest.raises(ValueError, match="Lower the learning rate"):
        model.fit(X, X_val=drawn())


@pytest.mark.parametrize(
    "kind", [StackedAutoencoderPretrainer, StackedAutoencoderClassifier]
)
def test_validation_rows_too_large_for_a_stack(kind):
    layer = clone(CALM).set_params(standardize=False, dtype="float32")
    stack = StackedAutoencoderPretrainer(layer, layer_sizes=(4, 2))
    if kind is StackedAutoencoderClassifier:
        stack = kind(stack)
    else:
        stack.set_params(fine_tune="class")
    stack.set_params(early_stopping=True, unlabeled=-1)
    with pytest.raises(ValueError, match="X_val: X has values as large as"):
        stack.fit(table(), labels(), X_val=drawn() * 1e25, y_val=labels(10))


def test_rows_too_large_for_a_frozen_stack():
    layer = clone(CALM).set_params(standardize=False, dtype="float32")
    stack = StackedAutoencoderPretrainer(layer, layer_sizes=(2,)).fit(table())
    model = StackedAutoencoderClassifier(FrozenEstimator(stack), unlabeled=-1)
    with pytest.raises(ValueError, match="X has values as large as"):
        model.fit(table() * 1e25, labels())


def test_weights_of_any_container():
    model = Autoencoder(2, max_iter=2, random_state=0)
    plain = clone(model).fit(table(), sample_weight=WEIGHT).transform(table())
    for weight in (torch.tensor(WEIGHT, requires_grad=True), WEIGHT.tolist()):
        fitted = clone(model).fit(table(), sample_weight=weight)
        np.testing.assert_array_equal(fitted.transform(table()), plain)


@pytest.mark.parametrize("name", READING)
def test_weights_that_cannot_be_read(name):
    given = {"X": table(), "y": labels()}
    with pytest.raises(TypeError, match=r"sample_weight: This torch tensor .* meta"):
        fit_with(FAST[name], sample_weight=torch.ones(N, device="meta"), **given)
    with pytest.raises(ValueError, match="sample_weight: Masked arrays"):
        fit_with(FAST[name], sample_weight=np.ma.array(WEIGHT), **given)


def test_wrong_kind_of_validation_rows_is_named():
    model = Autoencoder(2, early_stopping=True)
    with pytest.raises(TypeError, match="X_val: "):
        model.fit(table(), X_val=torch.ones(3, 5, device="meta"))


def test_labels_are_asked_for_where_something_judges_by_them():
    layer = clone(CALM).set_params(early_stopping=True)
    related = GeneralizedAutoencoder(
        2, relation="class", early_stopping=True, max_iter=2, dtype=layer.dtype
    )
    stack = StackedAutoencoderPretrainer(layer, layer_sizes=(4, 2))
    model = StackedAutoencoderClassifier(stack, max_iter=2, unlabeled=-1)
    given = {"X_val": drawn()}
    fitted = clone(model).fit(table(), labels(), **given)
    assert all(one.validation_loss_curve_ for one in fitted.pretrainer_.estimators_)
    of_related = clone(model).set_params(pretrainer__estimators=[layer, related])
    for needs in (
        clone(model).set_params(early_stopping=True),
        of_related,
        of_related.pretrainer,
    ):
        with pytest.raises(ValueError, match="y_val was not provided"):
            needs.fit(table(), labels(), **given)
    model.set_params(pretrainer__estimator__early_stopping=False)
    with pytest.raises(ValueError, match="pretrainer__estimator__early_stopping"):
        model.fit(table(), labels(), **given)


@pytest.mark.parametrize("name", CORE)
def test_validation_rows_without_a_use(name):
    model = clone(CORE[name])
    if isinstance(model, AutoencoderOutlierDetector):
        model.set_params(contamination=0.1)
    with pytest.raises(
        ValueError, match=r"X_val is passed to fit.*early_stopping=True"
    ):
        fit_with(model, table(), labels(), X_val=drawn())


def test_stacks_hand_them_on():
    X, judges = table(), drawn()
    layer = clone(CALM).set_params(early_stopping=True, random_state=0)
    stack = StackedAutoencoderPretrainer(layer, layer_sizes=(4, 2), random_state=0)
    fitted = clone(stack).fit(X, X_val=judges)
    codes, below = X, judges
    for ours in fitted.estimators_:
        alone = clone(ours).fit(codes, X_val=below)
        assert alone.validation_loss_curve_ == ours.validation_loss_curve_
        codes, below = ours.transform(codes), ours.transform(below)
    tuned = clone(stack).set_params(
        estimator__early_stopping=False,
        fine_tune="reconstruction",
        early_stopping=True,
        max_iter=3,
    )
    curve = clone(tuned).fit(X, X_val=judges).history_["valid_loss"]
    assert len(curve) == 3
    assert (curve != clone(tuned).fit(X, X_val=judges + 1).history_["valid_loss"]).all()
    by_class = clone(tuned).set_params(fine_tune="class", unlabeled=-1)
    with pytest.raises(ValueError, match="y_val was not provided"):
        clone(by_class).fit(X, labels(), X_val=judges)
    by_class.fit(X, labels(), X_val=judges, y_val=labels(10))
    assert len(by_class.history_["valid_cross_entropy"]) == 3


@pytest.mark.parametrize("relation", ["class", "mfa"])
def test_labels_to_judge_by(relation):
    model = GeneralizedAutoencoder(
        2, relation=relation, n_neighbors=2, early_stopping=True, max_iter=2
    ).set_params(unlabeled=-1)
    with pytest.raises(ValueError, match="y_val was not provided"):
        clone(model).fit(table(), labels(), X_val=drawn())
    with pytest.raises(ValueError, match="y_val has classes"):
        clone(model).fit(table(), labels(), X_val=drawn(), y_val=np.arange(10))
    clone(model).fit(table(), labels(), X_val=drawn(), y_val=labels(10))


def test_threshold_by_validation_rows():
    X, judges = table(60), drawn(40)
    detector = AutoencoderOutlierDetector(Autoencoder(2, max_iter=3), random_state=0)
    fitted = clone(detector).fit(X, X_val=judges)
    scores = np.sort(fitted.score_samples(judges))
    assert fitted.offset_ == pytest.approx(scores[1:3].mean())  # 5 % of 40
    weight = np.where(np.arange(40) < 20, 2.0, 0.0)
    fitted = clone(detector).fit(X, X_val=judges, sample_weight_val=weight)
    scores = np.sort(np.repeat(fitted.score_samples(judges[:20]), 2))
    assert fitted.offset_ == pytest.approx(scores[1:3].mean())
    stops = clone(detector).set_params(
        contamination=0.1, estimator__early_stopping=True, estimator__random_state=0
    )
    (network,) = stops.fit(X, X_val=judges).estimators_
    assert len(network.validation_loss_curve_) == network.n_iter_


# -- what a classifier is stopped by ---------------------------------------------------


def rare(n=200):
    """Return two classes that overlap, one of them rare."""
    rng = np.random.default_rng(0)
    y = (np.arange(n) % 10 == 0).astype(int)
    return rng.normal(size=(n, 5)) + 1.2 * y[:, None], y


def classifier(**params):
    stack = StackedAutoencoderPretrainer(clone(CALM), layer_sizes=(4,))
    fixed = {"max_iter": 30, "early_stopping": True, "random_state": 0}
    return StackedAutoencoderClassifier(
        stack, n_iter_no_change=30, learning_rate_init=0.1, **{**fixed, **params}
    )


def test_scores_to_stop_by():
    X, y = rare()
    judged = {"X_val": X[:100], "y_val": y[:100]}
    for scoring in ("accuracy", "balanced_accuracy", "roc_auc", "neg_log_loss", "f1"):
        model = classifier(scoring=scoring).fit(X[100:], y[100:], **judged)
        scores = model.validation_scores_
        assert len(scores) == model.n_iter_
        scorer = sklearn.metrics.get_scorer(scoring)
        assert scorer(model, X[:100], y[:100]) >= max(scores) - 1e-9
    own = make_scorer(balanced_accuracy_score)
    named = classifier(scoring="balanced_accuracy").fit(X[100:], y[100:], **judged)
    called = classifier(scoring=own).fit(X[100:], y[100:], **judged)
    np.testing.assert_array_equal(named.predict_proba(X), called.predict_proba(X))
    by_loss = classifier().fit(X[100:], y[100:], **judged)
    assert by_loss.validation_scores_ == (-by_loss.history_["valid_loss"]).tolist()


def test_function_that_scores():
    X, y = rare()
    seen = []

    def of_rare(model, X, y):
        seen.append(X.shape)
        return float((model.predict(X) == y)[y == "rare"].mean())

    names = np.array(["usual", "rare"])[y]
    model = classifier(scoring=of_rare).fit(X, names)
    assert set(model.validation_scores_) <= set(np.round(np.arange(3) / 2, 9))
    assert set(seen) == {(20, 5)}
    with pytest.raises(ValueError, match="gives nan"):
        classifier(scoring=lambda model, X, y: np.nan).fit(X, y)


def test_scores_count_rows_by_their_weights():
    X, y = rare()
    w = 1.0 + 4.0 * y[:100]
    judged = {"X_val": X[:100], "y_val": y[:100], "sample_weight_val": w}
    model = classifier(scoring="accuracy").fit(X[100:], y[100:], **judged)
    best = model.score(X[:100], y[:100], sample_weight=w)
    assert best >= max(model.validation_scores_) - 1e-9


@pytest.mark.parametrize("held", ["sample_weight", "sample_weight_val"])
@pytest.mark.parametrize("takes", [False, True])
def test_functions_that_score_get_weights_if_they_take_them(takes, held):
    X, y = rare()
    seen = []

    def plain(model, X, y):
        return float((model.predict(X) == y).mean())

    def weighted(model, X, y, sample_weight=None):
        seen.append(sample_weight)
        return float(np.average(model.predict(X) == y, weights=sample_weight))

    given = {"X_val": X[:100], "y_val": y[:100]} if held.endswith("val") else {}
    given[held] = np.arange(1.0, 101.0 if given else 201.0)
    model = classifier(scoring=weighted if takes else plain, max_iter=2)
    assert len(model.fit(X, y, **given).validation_scores_) == model.n_iter_
    assert len(seen) == takes * 4  # before all, and before and after each epoch
    assert all(weight.std() > 0 for weight in seen)


@pytest.mark.parametrize("name", ["adjusted_rand_score", "neg_log_loss"])
def test_metrics_get_weights_if_they_take_them(name):
    X, y = rare()
    model = classifier(scoring=name, max_iter=2)
    assert len(model.fit(X, y, np.arange(1.0, 201.0)).validation_scores_) == 2


def test_scored_classifier_has_the_methods_of_a_fitted_one():
    def score(model, X, y):
        logs = model.predict_log_proba(X)
        assert model.predict(X).tolist() == model.classes_[logs.argmax(1)].tolist()
        np.testing.assert_allclose(np.exp(logs), model.predict_proba(X))
        return model.score(X, y)

    X, y = rare()
    assert len(classifier(scoring=score, max_iter=2).fit(X, y).validation_scores_) == 2


@pytest.mark.parametrize(
    ("scoring", "y"),
    [
        ("roc_auc", np.arange(200) % 3),
        ("f1", np.array(["a", "b"])[np.arange(200) % 2]),
        (lambda model, X: 0.0, np.arange(200) % 2),
        (lambda model, X, y: model.predict(X), np.arange(200) % 2),
    ],
)
def test_what_cannot_score_is_refused_before_pretraining(scoring, y, monkeypatch):
    X, _ = rare()
    monkeypatch.setattr(Autoencoder, "fit", None)
    with pytest.raises(ValueError, match=r"cannot score these rows: .* Use 'loss'"):
        classifier(scoring=scoring).fit(X, y)


def test_rare_class_is_not_lost():
    X, y = rare(400)
    plain = classifier().fit(X, y)
    assert set(plain.predict(X)) == {0, 1}


def test_labels_of_validation_rows():
    X, y = rare()
    model = classifier()
    with pytest.raises(ValueError, match="y_val was not provided"):
        clone(model).fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="y_val has classes that y does not have"):
        clone(model).fit(X, y, X_val=X, y_val=y + 1)
    with pytest.raises(ValueError, match="X_val was not provided"):
        clone(model).fit(X, y, y_val=y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clone(model).fit(X, y, X_val=X, y_val=y[1:])
    none = np.where(np.arange(200) < 100, y, -1)
    some = clone(model).set_params(unlabeled=-1, max_iter=3)
    fitted = clone(some).fit(X, y, X_val=X, y_val=none)
    half = clone(some).fit(X, y, X_val=X[:100], y_val=y[:100])
    assert fitted.validation_scores_ == pytest.approx(half.validation_scores_)


# -- scikit-learn's routing ------------------------------------------------------------


def test_pipeline_and_search_hand_weights_on():
    X, judges = table(), drawn()
    with sklearn.config_context(enable_metadata_routing=True):
        model = Autoencoder(2, max_iter=2, random_state=0, early_stopping=True)
        model.set_fit_request(sample_weight=True, X_val=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipe = Pipeline(
            [("scale", scaler), ("model", model)], transform_input=["X_val"]
        )
        pipe.fit(X, sample_weight=WEIGHT, X_val=judges)
        scale = StandardScaler().fit(X)
        alone = clone(model).fit(
            scale.transform(X), sample_weight=WEIGHT, X_val=scale.transform(judges)
        )
        np.testing.assert_array_equal(pipe[-1].transform(X), alone.transform(X))
        plain = Autoencoder(2, max_iter=2, random_state=0)
        plain.set_fit_request(sample_weight=True)
        search = GridSearchCV(plain, {"n_components": [1, 2]}, cv=2)
        search.fit(X, sample_weight=WEIGHT)
        best = clone(search.best_estimator_).fit(X, sample_weight=WEIGHT)
        np.testing.assert_array_equal(search.transform(X), best.transform(X))


def test_without_routing():
    X = table()
    model = Autoencoder(2, max_iter=2, random_state=0)
    pipe = make_pipeline(StandardScaler(), model).fit(
        X, autoencoder__sample_weight=WEIGHT
    )
    scaled = StandardScaler().fit_transform(X)
    codes = clone(model).fit_transform(scaled, sample_weight=WEIGHT)
    np.testing.assert_array_equal(pipe.transform(X), codes)
    detector = AutoencoderOutlierDetector(model, contamination=0.2, random_state=0)
    found = detector.fit_predict(X, sample_weight=WEIGHT)
    np.testing.assert_array_equal(found, detector.predict(X))


# -- pairs of noisy and clean rows -----------------------------------------------------


def test_pairs_are_refused():
    clean, noisy = table(), table() + 1
    for model in (
        DenoisingAutoencoder(2, max_iter=1),
        Autoencoder(2, max_iter=1, corruption=FAST["Autoencoder-denoising"].corruption),
        StackedAutoencoderPretrainer(
            DenoisingAutoencoder(max_iter=1), layer_sizes=(3,)
        ),
    ):
        for y in (clean, sp.csr_array(clean), clean.tolist()):
            with pytest.raises(ValueError, match=r"fit\(X_clean\)"):
                clone(model).fit(noisy, y)
        clone(model).fit(clean, clean.copy())  # the rows themselves say nothing new
        clone(model).fit(noisy, clean[:, :2])  # what a Pipeline hands on
    with pytest.raises(ValueError, match=r"fit\(X_clean\)"):
        DenoisingAutoencoder(2).partial_fit(noisy, clean)


def test_layers_are_not_asked_about_rows_above_them():
    """y of a Pipeline may be as wide as a code, and is no row."""
    layer = DenoisingAutoencoder(max_iter=1, hidden_layer_sizes=())
    stack = StackedAutoencoderPretrainer(layer, layer_sizes=(3, 2))
    stack.fit(table(), table()[:, :3])
    assert len(layers(stack)) == 1
    fit(stack, table())
