"""Densities of codes, draws, interpolation, and penalties on codes."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from estimators import near
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity

from sklearn_ae import (
    L1,
    L2,
    AdversarialAutoencoder,
    Autoencoder,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    StackedAutoencoderPretrainer,
    VariationalAutoencoder,
    load,
    save,
)

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DENSITIES = {
    "mixture": GaussianMixture(2),
    "kernels": KernelDensity(bandwidth=0.1),
    "bayesian": BayesianGaussianMixture(n_components=3),
}
densities = pytest.mark.parametrize("density", DENSITIES.values(), ids=DENSITIES)


def rows(n=60, d=6, seed=0):
    """Return rows in two clusters, far from each other."""
    rng = np.random.default_rng(seed)
    side = np.where(np.arange(n) % 2, 1.0, -1.0)
    return 10 + 5 * side[:, None] * np.linspace(0.5, 1, d) + rng.normal(size=(n, d))


def small(kind=Autoencoder, n_components=2, **params):
    given = {"hidden_layer_sizes": (6,), "max_iter": 5, "dtype": "float64"}
    return kind(n_components, **{**given, "random_state": 0, **params})


def linear(n_components=2, **params):
    return small(n_components=n_components, hidden_layer_sizes=(), **params)


def through_pickle(model, path):
    return pickle.loads(pickle.dumps(model))


def through_skops(model, path):
    save(model, path)
    return load(path)


# -- a density of one's choice ---------------------------------------------------


@densities
def test_density_is_that_of_the_codes(density):
    X = rows()
    model = small(density=density).fit(X)
    assert type(model.density_) is type(density)
    expected = clone(model.density_).fit(model.transform(X))
    Z = np.random.default_rng(0).normal(size=(10, 2))
    ours, theirs = (d.score_samples(Z) for d in (model.density_, expected))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@densities
def test_density_of_the_user_stays_as_it_is(density):
    before = vars(density).copy()
    model = small(density=density).fit(rows())
    assert model.density is density and vars(density) == before
    assert model.density_ is not density


@densities
def test_draws_are_seeded_and_change_nothing(density, untouched_global_state):
    X = rows()
    model = small(density=density).fit(X)
    kept = pickle.dumps(model.density_)
    drawn = model.sample(20, random_state=0)
    assert drawn.shape == (20, 6) and np.isfinite(drawn).all()
    near(model.sample(20, random_state=0), drawn)
    assert not np.array_equal(model.sample(20, random_state=1), drawn)
    assert not np.array_equal(model.sample(20), model.sample(20))
    state = np.random.RandomState(0)
    first, second = (model.sample(20, random_state=state) for _ in range(2))
    assert not np.array_equal(first, second)
    assert pickle.dumps(model.density_) == kept
    again = clone(model).fit(X)
    near(again.sample(20, random_state=0), drawn)


def test_density_is_seeded_by_the_model_where_it_is_not_itself():
    X = rows()
    seeds = {
        small(density=GaussianMixture(2), random_state=s).fit(X).density_.random_state
        for s in (0, 1)
    }
    assert len(seeds) == 2 and None not in seeds
    own = small(density=GaussianMixture(2, random_state=7)).fit(X)
    assert own.density_.random_state == 7


@pytest.mark.parametrize("way", [through_pickle, through_skops])
@densities
def test_density_is_kept(density, way, tmp_path):
    model = small(density=density).fit(rows())
    back = way(model, tmp_path / "model")
    Z = model.transform(rows())
    np.testing.assert_array_equal(
        back.density_.score_samples(Z), model.density_.score_samples(Z)
    )
    drawn = model.sample(9, random_state=0)
    near(back.sample(9, random_state=0), drawn)


@pytest.mark.parametrize("kind", [VariationalAutoencoder, AdversarialAutoencoder])
def test_density_in_place_of_a_prior(kind):
    """Draws are where the codes are, and not between the clusters."""
    X = rows(200)
    plain = small(kind, hidden_layer_sizes=(), max_iter=60).fit(X)
    model = clone(plain).set_params(density=GaussianMixture(2, random_state=0)).fit(X)
    Z = model.density_.sample(500)[0]
    for fitted in (plain, model):
        drawn = fitted.sample(500, random_state=0)
        z = (drawn - fitted.mean_) @ np.linalg.pinv(fitted.components_)
        alike = model.density_.score_samples(z).mean()
        near = model.density_.score_samples(Z).mean()
        assert (abs(alike - near) < 0.5) == (fitted is model)
    # without one `density_` is there all the same, and `sample` does not use it
    np.testing.assert_allclose(
        plain.density_.means_[0], plain.transform(X).mean(axis=0), atol=1e-9
    )


def test_mixture_leaves_out_what_is_between_clusters():
    X = rows(200)
    settings = {"max_iter": 50, "hidden_layer_sizes": (32,)}
    plain = small(**settings).fit(X)
    mixed = small(density=GaussianMixture(2), **settings).fit(X)
    between = [
        (np.abs(model.sample(500, random_state=0).mean(axis=1) - 10) < 1.5).mean()
        for model in (plain, mixed)
    ]
    assert between[0] > 0.1 and between[1] < 0.01


def test_density_is_searched_as_other_parameters_are():
    grid = {"density__n_components": [1, 3], "n_components": [1, 2]}
    search = GridSearchCV(small(density=GaussianMixture()), grid, cv=2).fit(rows())
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_params_["density__n_components"]
    assert search.best_estimator_.density_.n_components == best


def test_density_of_a_stack_is_the_last_layers():
    X, mixture = rows(), GaussianMixture(2, random_state=0)
    layer = small(hidden_layer_sizes=(), code_activation="tanh", density=mixture)
    for settings in ({}, {"fine_tune": "reconstruction", "max_iter": 3}):
        stack = StackedAutoencoderPretrainer(
            layer, layer_sizes=(4, 2), random_state=0, **settings
        ).fit(X)
        assert stack.density_ is stack.estimators_[-1].density_
        assert stack.density_.means_.shape == (2, 2)
        expected = clone(mixture).fit(stack.transform(X))
        np.testing.assert_allclose(
            np.sort(stack.density_.means_, axis=0),
            np.sort(expected.means_, axis=0),
            rtol=1e-6,
        )
        assert stack.sample(3, random_state=0).shape == (3, 6)
    assert stack.set_params(estimator__density__n_components=3).fit(X)
    assert stack.density_.means_.shape == (3, 2)
    assert mixture.n_components == 3  # the user's own, which was set


def test_prior_of_the_last_layer_is_a_stacks_own():
    X = rows()
    top = small(VariationalAutoencoder, hidden_layer_sizes=())
    stack = StackedAutoencoderPretrainer(estimators=[small(n_components=4), top])
    stack.fit(X)
    below, above = stack.estimators_
    expected = below.inverse_transform(above.sample(5, random_state=0))
    np.testing.assert_allclose(stack.sample(5, random_state=0), expected, rtol=1e-9)


def test_density_that_cannot_be_fitted():
    """The earlier fit stays whole."""
    X = rows()
    model = small(density=GaussianMixture(2)).fit(X)
    before, drawn = model.transform(X), model.sample(5, random_state=0)
    model.set_params(density__n_components=100, random_state=1)
    for train in (model.fit, clone(model).partial_fit):
        with pytest.raises(
            ValueError, match=r"density .* fitted to 60 codes: .* = 100"
        ):
            train(X)
    np.testing.assert_array_equal(model.transform(X), before)
    near(model.sample(5, random_state=0), drawn)


class Unclonable:
    """It can fit and sample, but scikit-learn's `clone` cannot make another."""

    def fit(self, X):
        return self

    def sample(self, n):
        return np.zeros((n, 2))


class Zeros(BaseEstimator):
    """The least that a density can be."""

    def fit(self, X, y=None):
        self.width_ = X.shape[1]
        return self

    def sample(self, n_samples=1, random_state=None):
        return np.zeros((n_samples, self.width_))


def test_density_of_ones_own():
    model = small(density=Zeros()).fit(rows())
    expected = model.inverse_transform(np.zeros((4, 2)))
    near(model.sample(4, random_state=0), expected)


def test_density_that_cannot_be_copied_is_refused_before_training(untrained):
    untrained()
    for train in (
        small(density=Unclonable()).fit,
        small(density=Unclonable()).partial_fit,
    ):
        with pytest.raises(ValueError, match="The 'density' parameter of Autoencoder"):
            train(rows())


@densities
def test_density_of_a_stream(density):
    """It stays as it was made, of rows that may be many more than those that follow."""
    X = rows(120)
    for begin in (small(density=density).fit, small(density=density).partial_fit):
        model = begin(X)
        first = model.density_
        assert model.partial_fit(X[:1]).density_ is first
        assert model.sample(3, random_state=0).shape == (3, 6)
        assert model.fit(X).density_ is not first


@pytest.mark.parametrize(
    "model",
    [
        small(),
        small(density=KernelDensity()),
        small(VariationalAutoencoder),
        small(AdversarialAutoencoder),
        small(DenoisingAutoencoder),
        StackedAutoencoderPretrainer(small(hidden_layer_sizes=()), layer_sizes=(3, 2)),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("n_samples", [0, -1, 2.0, "a", True, None])
def test_bad_number_of_samples(model, n_samples):
    model = clone(model).fit(rows())
    message = r"'n_samples' parameter of sample must be an int in .* Got .* instead"
    with pytest.raises(ValueError, match=message):
        model.sample(n_samples, random_state=0)
    assert model.sample(np.int64(1)).shape == (1, 6)


# -- on the way from one row to another ------------------------------------------

KINDS = {
    "plain": small(),
    "variational": small(VariationalAutoencoder),
    "adversarial": small(AdversarialAutoencoder),
    "convolutional": small(ConvolutionalAutoencoder, image_shape=(2, 3)),
    "stack": StackedAutoencoderPretrainer(
        small(hidden_layer_sizes=()), layer_sizes=(3, 2), random_state=0
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_interpolation(name):
    X = rows()
    model = clone(KINDS[name]).fit(X)
    many = model.interpolate(X[:3], X[3:6], n=7)
    assert many.shape == (3, 7, 6)
    np.testing.assert_allclose(many[:, 0], model.reconstruct(X[:3]), rtol=1e-9)
    np.testing.assert_allclose(many[:, -1], model.reconstruct(X[3:6]), rtol=1e-9)
    ends = model.transform(X[[1, 4]])
    share = np.arange(7)[:, None] / 6
    codes = (1 - share) * ends[0] + share * ends[1]
    np.testing.assert_allclose(many[1], model.inverse_transform(codes), rtol=1e-9)
    one = model.interpolate(X[1], X[4], n=7)
    assert one.shape == (7, 6)
    np.testing.assert_allclose(one, many[1], rtol=1e-9)
    assert model.interpolate(X[0], X[1]).shape == (10, 6)
    assert model.interpolate(X[0], X[1], 2).shape == (2, 6)


def test_a_linear_way_is_straight():
    X = rows()
    model = linear(max_iter=50).fit(X)
    way = model.interpolate(X[0], X[1], n=5)
    steps = np.diff(way, axis=0)
    np.testing.assert_allclose(steps, np.tile(steps[0], (4, 1)), rtol=1e-6)
    assert (np.diff(way @ steps[0]) > 0).all()


def test_rows_of_all_kinds_can_be_gone_between():
    X = rows()
    model = small().fit(X)
    expected = model.interpolate(X[:2], X[2:4])
    frame = pd.DataFrame(X, columns=list("abcdef"))
    named = small().fit(frame)
    way = named.interpolate(frame[:2], frame[2:4])
    np.testing.assert_allclose(way[:, 0], named.reconstruct(frame[:2]), rtol=1e-9)
    for a, b in (
        (X[:2].tolist(), X[2:4].tolist()),
        (sp.csr_array(X[:2]), sp.csr_array(X[2:4])),
    ):
        np.testing.assert_allclose(model.interpolate(a, b), expected, rtol=1e-9)
    for a, b in (
        (X[0].tolist(), X[2].tolist()),
        (pd.Series(X[0]), pd.Series(X[2])),
        (tuple(X[0]), X[2]),
    ):
        np.testing.assert_allclose(model.interpolate(a, b), expected[0], rtol=1e-9)
    for dtype in (np.float32, np.float64):
        ends = X[:2].astype(dtype)
        single = small(dtype="float32").fit(X.astype(dtype)).interpolate(*ends)
        assert single.dtype == dtype


@pytest.mark.parametrize("n", [1, 0, -1, 2.0, "a", True, None])
def test_bad_number_of_steps(n):
    X = rows()
    message = r"'n' parameter of interpolate must be an int in .*2.* Got .* instead"
    with pytest.raises(ValueError, match=message):
        small().fit(X).interpolate(X[0], X[1], n)


def test_ways_that_cannot_be_gone():
    X = rows()
    model = small().fit(X)
    width, shape = "X has 4 features, but Autoencoder is expecting 6", "the same shape"
    for a, b, message in (
        (X[:3], X[:2], shape),
        (X[0, :4], X[1], shape),
        (X[0], X[:2], shape),
        (X[0, :4], X[1, :4], width),
        (X[:2, :4], X[:2, :4], width),
        (X[:0], X[:0], r"0 sample\(s\)"),
        (np.full(6, np.nan), X[0], "Input X contains NaN"),
        (X[None], X[None], "dim"),
    ):
        with pytest.raises(ValueError, match=message):
            model.interpolate(a, b)
    with pytest.raises(NotFittedError):
        small().interpolate(X[0], X[1])


# -- penalties on codes ----------------------------------------------------------

PENALTIES = {
    "l1": (L1, lambda z: np.abs(z).sum(axis=1)),
    "l2": (L2, lambda z: 0.5 * np.square(z).sum(axis=1)),
}
penalties = pytest.mark.parametrize("name", PENALTIES)


@penalties
@pytest.mark.parametrize(
    "kind", [Autoencoder, AdversarialAutoencoder, ConvolutionalAutoencoder]
)
def test_penalty_is_a_term_of_the_objective(name, kind):
    """Of each code, summed over components, in the mean over rows."""
    X, (penalty, of_codes) = rows(), PENALTIES[name]
    model = small(kind, penalties=penalty(weight=0.3), warm_start=True)
    model.fit(X).set_params(max_iter=1, learning_rate_init=1e-15).fit(X)
    term = model.history_[f"train_{name}"][-1]
    expected = 0.3 * of_codes(model.transform(X)).mean()
    expected *= float(model.module_.price)  # for features that vary by ¼
    assert term == pytest.approx(expected, rel=1e-9)
    terms = {n: h[-1] for n, h in model.history_.items()}
    total = terms["train_reconstruction"] + term
    assert terms["train_loss"] == pytest.approx(total, rel=1e-9)


@penalties
def test_penalty_shrinks_codes(name):
    X, (penalty, of_codes) = rows(200), PENALTIES[name]
    sizes = [
        of_codes(
            linear(max_iter=60, learning_rate_init=0.02)
            .set_params(penalties=penalty(weight=weight))
            .fit(X)
            .transform(X)
        ).mean()
        for weight in (0.0, 0.1, 1.0)
    ]
    assert sizes[0] > 1.2 * sizes[1] and sizes[1] > 1.2 * sizes[2]


@penalties
def test_penalty_of_weight_zero_is_none(name):
    X, zero = rows(), PENALTIES[name][0](weight=0.0)
    plain, idle = (small(penalties=it).fit(X) for it in (None, zero))
    np.testing.assert_array_equal(plain.transform(X), idle.transform(X))
    assert f"train_{name}" not in plain.history_


def test_penalty_weight_may_change_in_a_warm_start():
    X = rows()
    model = small(penalties=[L2()], warm_start=True, max_iter=1).fit(X)
    model.set_params(penalties__l2__weight=7.0, learning_rate_init=1e-15).fit(X)
    expected = 7.0 * PENALTIES["l2"][1](model.transform(X)).mean()
    expected *= float(model.module_.price)
    assert model.history_["train_l2"][-1] == pytest.approx(expected)


def test_score_is_without_the_penalty():
    X = rows()
    model = small(penalties=L2(weight=100.0)).fit(X)
    expected = -np.square(X - model.reconstruct(X)).mean()
    assert model.score(X) == pytest.approx(expected, rel=1e-9)
