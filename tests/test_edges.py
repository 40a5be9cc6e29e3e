"""Rows at the edge of a likelihood's domain, and beyond it."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from estimators import counts, fit, is_codec, kept, public_estimators, table
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from sklearn_ae import (
    Autoencoder,
    AutoencoderOutlierDetector,
    DenoisingAutoencoder,
    GeneralizedAutoencoder,
    SplitBrainAutoencoder,
    StackedAutoencoderClassifier,
    StackedAutoencoderPretrainer,
    VariationalAutoencoder,
)
from sklearn_ae.engine.inputs import range_outside
from sklearn_ae.parts.reconstruction import BEYOND, RECONSTRUCTIONS

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LIKELIHOODS = {"bernoulli": "log_loss", "poisson": "poisson"}
LIKELIHOODS["multinomial"] = "multinomial"


def with_likelihood(kind, likelihood):
    """Return a public estimator with a likelihood that has a domain, if it has it."""
    loss, model = LIKELIHOODS[likelihood], kind()
    if "likelihood" in model.get_params():
        return model.set_params(likelihood=likelihood, max_iter=3)
    if "loss" in model.get_params():
        has_it = kind._all_valid()["loss"][0].allows(loss)
        return model.set_params(loss=loss, max_iter=3) if has_it else None
    layer = Autoencoder(3, loss=loss, max_iter=3)
    stack = StackedAutoencoderPretrainer(estimators=[layer])
    return {
        StackedAutoencoderPretrainer: stack,
        StackedAutoencoderClassifier: StackedAutoencoderClassifier(
            stack, max_iter=3, unlabeled=-1
        ),
        AutoencoderOutlierDetector: AutoencoderOutlierDetector(layer),
    }[kind]


MODELS = {
    (kind.__name__, likelihood): model.set_params(random_state=0)
    for likelihood in LIKELIHOODS
    for kind in public_estimators()
    if (model := with_likelihood(kind, likelihood)) is not None
}
every = pytest.mark.parametrize("case", MODELS, ids="-".join)


def made(case):
    """Return an estimator, rows in its domain, and the upper end of this, or None."""
    X = MinMaxScaler().fit_transform(table(60, 6)).clip(0.0, 1.0)
    if case[1] == "bernoulli":
        return clone(MODELS[case]), X, 1.0
    return clone(MODELS[case]), np.round(9 * X), None


def test_all_that_have_such_a_loss_are_here():
    assert {name for name, _ in MODELS} == {
        kind.__name__ for kind in public_estimators()
    }


# -- rows to learn from -------------------------------------------------------------


@every
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rounding_is_forgiven(case, dtype):
    model, X, top = made(case)
    X = X.astype(dtype)
    rounded = np.where(X == 0, dtype(-1e-17), X)
    if top is not None:
        rounded[X == 1] = np.nextafter(dtype(1), dtype(2))
    exact, fitted = kept(model, X), fit(model, rounded)
    if not is_codec(model):
        return
    assert fitted.score(X) == pytest.approx(exact.score(X), rel=1e-3)
    if hasattr(model, "partial_fit"):
        model.partial_fit(rounded)


@every
@pytest.mark.parametrize("excess", [2e-6, 1e-4, 0.3])
def test_more_than_rounding_is_refused_and_shown(case, excess, no_steps):
    model, X, top = made(case)
    for value in [-excess] if top is None else [-excess, top + excess]:
        bad = X.copy()
        bad[0, 0] = value
        with pytest.raises(ValueError, match=r"needs values in \[0, .*\]") as caught:
            fit(model, bad)
        needed, got = (part.split("]")[0] for part in str(caught.value).split("[")[1:])
        assert needed != got


@pytest.mark.parametrize(
    ("low", "high", "highest", "found"),
    [
        (0.0, 1.0, 1.0, None),
        (-9e-7, 1.0 + 9e-7, 1.0, None),
        (0.0, 1.0000011, 1.0, "[0, 1.000001]"),
        (-2e-6, 0.5, 1.0, "[-2e-06, 0.5]"),
        (0.0, 255.0002, 255.0, None),
        (0.0, 255.0003, 255.0, "[0, 255.0003]"),
        (0.0, 1e30, None, None),
        (-9e-7, 7.0, None, None),
        (-1.5, 7.0, None, "[-1.5, 7]"),
    ],
)
def test_ranges(low, high, highest, found):
    X = np.array([[low, high], [np.nan, low]])
    assert range_outside(X, 0.0, highest) == found


def test_grid_search_after_scaling():
    X = table(60, 6) / 7.0
    pipe = make_pipeline(MinMaxScaler(), Autoencoder(loss="log_loss", max_iter=3))
    grid = {"autoencoder__n_components": [1, 2]}
    scores = GridSearchCV(pipe, grid, cv=3).fit(X).cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()


def test_sigmoid_of_relations():
    X = MinMaxScaler().fit_transform(table(60, 6))
    X[0, 0] = 1.0 + 4e-16
    model = GeneralizedAutoencoder(
        relation="isomap", output_activation="sigmoid", max_iter=3, random_state=0
    ).fit(X)
    far = X.copy()
    far[1, 2] = 7.0
    assert model.reconstruction_error(far)[1] > model.reconstruction_error(X)[1]
    with pytest.raises(ValueError, match=r"values in \[0, 1\].*Got .* in \[0, 7\]"):
        model.fit(far)


@pytest.mark.parametrize("value", [1.0 + 2.3e-16, 1.0 + 1e-7, -1e-17, -1e-7])
@pytest.mark.parametrize("top", [1.0, 255.0])
def test_range_of_images(value, top):
    images = np.random.default_rng(0).beta(0.5, 0.5, size=(20, 8 * 8 * 3))
    images[0, 0], images[0, 1] = value, 1.0
    images *= top
    model = SplitBrainAutoencoder(
        4, split="channels", image_shape=(8, 8, 3), max_iter=2, random_state=0
    ).fit(images)
    assert model._fit.units.top == top
    model.partial_fit(images)


def test_draws_of_zeros_and_ones():
    X = MinMaxScaler().fit_transform(table(60, 6))
    X[0, 0], X[0, 1] = 1.0 + 5e-7, -5e-7
    VariationalAutoencoder(
        2, likelihood="bernoulli", dynamic_binarization=True, max_iter=2
    ).fit(X)


# -- new rows -----------------------------------------------------------------------


@every
@pytest.mark.parametrize("container", [np.array, sp.csr_array])
@pytest.mark.parametrize("excess", [0.01, 0.4, 1e4])
def test_rows_beyond_the_domain_have_a_finite_larger_error(case, container, excess):
    model, X, top = made(case)
    model, new = kept(model, X), X.copy()
    new[1, 5] = -excess
    if top is not None:
        new[0, 3] = top + excess
    if model.__sklearn_tags__().input_tags.sparse:
        rows = container(new)
    else:
        rows = new
    names = ("transform", "predict_proba", "score_samples", "explain")
    for name in names if top is None else (*names, "reconstruct"):
        if hasattr(model, name):
            assert np.isfinite(getattr(model, name)(rows)).all()
    if not is_codec(model):
        return
    clipped = new.clip(0.0, top)
    beyond = BEYOND * np.abs(new - clipped)
    error, whole = model.reconstruction_error, beyond.sum(axis=1)
    closely = {"rtol": 1e-4, "atol": 1e-4}
    each = error(clipped, per_feature=True) + beyond
    np.testing.assert_allclose(error(rows, per_feature=True), each, **closely)
    np.testing.assert_allclose(error(rows), each.mean(axis=1), **closely)
    assert (error(rows) > error(clipped))[whole > 0].all()
    # a bound is of the whole row
    lost = whole if hasattr(model, "likelihood") else whole / X.shape[1]
    expected = model.score_samples(clipped) - lost
    np.testing.assert_allclose(model.score_samples(rows), expected, **closely)
    assert np.isfinite(model.score(rows))


@pytest.mark.parametrize("criterion", ["density", "score"])
@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize(("loss", "value"), [("log_loss", 1.5), ("poisson", -3.0)])
def test_detectors_flag_rows_beyond_the_domain(criterion, stacked, loss, value):
    X = MinMaxScaler().fit_transform(table(200, 6))
    if loss == "poisson":
        X = np.round(9 * X)
    layer = Autoencoder(2, loss=loss, max_iter=5)
    if stacked:
        layer = StackedAutoencoderPretrainer(estimators=[layer])
    model = AutoencoderOutlierDetector(
        layer, criterion=criterion, contamination=0.05, random_state=0
    ).fit(X)
    new = np.repeat(np.median(X, axis=0)[None], 6, axis=0)
    assert (model.predict(new) == 1).all()
    new[np.arange(6), np.arange(6)] = value
    assert (model.predict(new) == -1).all()
    assert (model.explain(new).argmax(axis=1) == np.arange(6)).all()


def test_missing_values_are_no_part_of_the_error():
    X = MinMaxScaler().fit_transform(table(60, 6))
    model = DenoisingAutoencoder(2, loss="log_loss", max_iter=2, random_state=0).fit(X)
    new = X[:3].copy()
    new[0, :2], new[1] = (np.nan, 1.5), np.nan
    errors = model.reconstruction_error(new, per_feature=True)
    np.testing.assert_array_equal(np.isnan(errors), np.isnan(new))
    rows = model.reconstruction_error(new)
    assert rows[0] == pytest.approx(np.nanmean(errors[0]), rel=1e-6)
    assert np.isnan(rows[1]) and errors[0, 1] > BEYOND / 2
    counted = DenoisingAutoencoder(2, loss="multinomial", max_iter=2).fit(counts(60))
    gap = counts(5).toarray()
    gap[0, 0] = np.nan
    with pytest.raises(ValueError, match="does not support missing values"):
        counted.score(gap)


@pytest.mark.parametrize("loss", RECONSTRUCTIONS)
def test_within_the_domain_nothing_is_added(loss):
    kind = RECONSTRUCTIONS[loss]
    x = torch.tensor([[0.0, 0.5, 1.0]])
    inside, beyond = kind.continued(x)
    assert torch.equal(inside, x) and beyond is None
    inside, beyond = kind.continued(torch.tensor([[-1.0, torch.nan]]))
    if kind.lowest is None:
        assert inside[0, 0] == -1.0 and beyond is None
    else:
        assert inside[0, 0] == 0.0 and beyond[0, 0] == BEYOND and inside[0, 1].isnan()


def test_training_is_what_it_was(monkeypatch):
    """No step computes anything of what is beyond."""

    def never(x):
        raise AssertionError("a likelihood was continued")

    for kind in RECONSTRUCTIONS.values():
        monkeypatch.setattr(kind, "continued", staticmethod(never))
    X = MinMaxScaler().fit_transform(table(60, 6)).clip(0.0, 1.0)
    model = Autoencoder(2, loss="log_loss", max_iter=2, early_stopping=True)
    model.fit(X).partial_fit(X).transform(X)
    VariationalAutoencoder(2, likelihood="bernoulli", max_iter=2).fit(X)
    with pytest.raises(AssertionError, match="continued"):
        model.score(X)
