"""Stacks: greedy layer-wise pretraining, fine-tuning of the whole, and their scope."""

import pickle

import numpy as np
import pandas as pd
import pytest
import rich
import scipy.sparse as sp
import torch
from estimators import BAD_Y, CALM, NOISY, counts, labels, near, table
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC
from skorch.callbacks import Callback

from sklearn_ae import (
    Autoencoder,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    GaussianNoise,
    GeneralizedAutoencoder,
    KSparseAutoencoder,
    StackedAutoencoderClassifier,
    StackedAutoencoderPretrainer,
    load,
    save,
)
from sklearn_ae.engine import inputs, pca_start, streams, trial
from sklearn_ae.engine import rows as engine_rows
from sklearn_ae.engine import train as engine_train
from sklearn_ae.engine.rows import Batch
from sklearn_ae.engine.tensors import from_tensor
from sklearn_ae.meta import layers as stack_layers
from sklearn_ae.meta.layers import codes_of
from sklearn_ae.meta.stack_module import StackModule
from sklearn_ae.parts.activations import dropout

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

equal = np.testing.assert_array_equal
#: Two rows in three have a label.
Y = labels(60)


@pytest.fixture
def X():
    return table(60, 6)


def stack(*sizes, layer=NOISY, **params):
    """Return a stack of layers of these sizes, not fitted."""
    params = {"max_iter": 3, "random_state": 0, "unlabeled": -1, **params}
    return StackedAutoencoderPretrainer(layer, layer_sizes=sizes, **params)


def weights(layer):
    return {n: from_tensor(w) for n, w in layer.module_.named_parameters()}


def same_weights(one, other):
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    return all(np.array_equal(mine[name], theirs[name]) for name in mine)


MIXED = {
    "noisy": NOISY,
    "calm": CALM,
    "deep": Autoencoder(max_iter=3, hidden_layer_sizes=(5,), linear_path=True),
    "raw": Autoencoder(max_iter=3, hidden_layer_sizes=(), standardize=False),
    "k_sparse": KSparseAutoencoder(max_iter=3),
    "convolutional": ConvolutionalAutoencoder(max_iter=3, channels=(4,)),
}
mixed = pytest.mark.parametrize("kind", MIXED)
FINE_TUNE = [None, "reconstruction", "class"]
fine_tuned = pytest.mark.parametrize("fine_tune", FINE_TUNE)


# -- what a stack is -------------------------------------------------------------


@mixed
@fine_tuned
def test_codes_are_the_composition_of_the_layers(kind, fine_tune, X):
    model = stack(5, 4, 3, layer=MIXED[kind], fine_tune=fine_tune).fit(X, Y)
    codes = X
    for depth, layer in enumerate(model.estimators_, start=1):
        codes = layer.transform(codes)
        near(model.transform(X, depth=depth), codes)
        rows = codes
        for below in reversed(model.estimators_[:depth]):
            rows = below.inverse_transform(rows)
        near(model.inverse_transform(codes, depth=depth), rows)
    near(model.transform(X), codes)
    near(model.inverse_transform(codes), rows)


@mixed
def test_lower_layers_are_unchanged_by_upper_ones(kind, X):
    whole = stack(5, 4, 3, layer=MIXED[kind]).fit(X)
    for depth in (1, 2):
        part = stack(*(5, 4, 3)[:depth], layer=MIXED[kind]).fit(X)
        for lower, alone in zip(whole.estimators_, part.estimators_, strict=False):
            assert same_weights(lower, alone)
        near(whole.transform(X, depth=depth), part.transform(X))


@mixed
def test_each_layer_is_as_if_fitted_alone_to_clean_codes(kind, X):
    model = stack(5, 4, 3, layer=MIXED[kind]).fit(X)
    codes, seeds = X, set()
    for layer in model.estimators_:
        alone = clone(layer).fit(codes)
        assert same_weights(alone, layer)
        assert alone.loss_curve_ == layer.loss_curve_
        near(codes_of(alone, codes), alone.transform(codes))
        codes = codes_of(alone, codes)  # which takes units off in float64
        seeds.add(layer.random_state)
    assert len(seeds) == 3


def test_layers_get_their_sizes_and_the_original_is_left_alone(X):
    layer = clone(NOISY)
    model = stack(5, 4, layer=layer).fit(X)
    assert [one.n_components_ for one in model.estimators_] == [5, 4]
    assert [one.n_features_in_ for one in model.estimators_] == [6, 5]
    assert model.estimator is layer and not hasattr(layer, "module_")
    assert layer.get_params() == NOISY.get_params()
    assert model.n_components_ == 4 and model.n_iter_ == 6


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@fine_tuned
def test_codes_between_layers_of_bfloat16_are_float32(fine_tune, solver, X):
    """So a layer that begins at PCA, and computes with it in float32, can be below."""
    below = Autoencoder(5, hidden_layer_sizes=(8,), dtype="bfloat16", max_iter=3)
    top = clone(NOISY).set_params(n_components=4, dtype="bfloat16")
    model = StackedAutoencoderPretrainer(
        estimators=[below, top], solver=solver, fine_tune=fine_tune, max_iter=3
    ).set_params(unlabeled=-1)
    codes = model.set_params(random_state=0).fit(X, Y).transform(X)
    first, last = model.estimators_
    near(codes, last.transform(first.transform(X)))
    near(model.reconstruct(X), first.inverse_transform(last.inverse_transform(codes)))


def test_score_is_that_of_the_whole(X):
    model = stack(5, 4, layer=CALM).fit(X)
    direct = np.square(X - model.inverse_transform(model.transform(X))).mean()
    assert -model.score(X) == pytest.approx(direct, rel=1e-12)
    alone = stack(5, layer=CALM).fit(X)
    assert alone.score(X) == alone.estimators_[0].score(X)


def test_draws_are_decoded_from_the_last_codes(X):
    model = stack(5, 4, layer=CALM).fit(X)
    codes = model.transform(X)
    np.testing.assert_allclose(model.density_.means_[0], codes.mean(axis=0))
    drawn, _ = model[-1].density_.set_params(random_state=3).sample(7)
    # in another order: those of a mixture come component by component
    rows, expected = model.sample(7, random_state=3), model.inverse_transform(drawn)
    # a matrix product of rows in another order may be summed in another
    rows, expected = (r[r[:, 0].argsort()] for r in (rows, expected))
    np.testing.assert_allclose(rows, expected, rtol=1e-12, atol=1e-12)


# -- fine-tuning -----------------------------------------------------------------


@pytest.mark.parametrize("fine_tune", ["reconstruction", "class"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_fine_tuning_reaches_every_encoder_and_lowers_the_loss(fine_tune, solver, X):
    settings = {"layer": CALM, "solver": solver, "max_iter": 20}
    before = stack(5, 4, 3, **settings).fit(X)
    after = stack(5, 4, 3, **settings, fine_tune=fine_tune).fit(X, Y)
    for old, new in zip(before.estimators_, after.estimators_, strict=True):
        old, new = weights(old), weights(new)
        changed = {name for name in old if not np.array_equal(old[name], new[name])}
        assert any(name.startswith("encoder") for name in changed)
        decodes = any(name.startswith("decoder") for name in changed)
        assert decodes == (fine_tune == "reconstruction")
    loss = after.history_["train_loss"]
    assert len(loss) <= 20 and loss[-1] < loss[0]
    assert after.n_iter_ == before.n_iter_ + len(loss)
    if fine_tune == "reconstruction":
        assert after.score(X) > before.score(X)


def test_fine_tuning_by_class_leaves_decoders_alone(X):
    """Of tied layers it changes both ends: they are one."""
    kinds = (CALM, clone(CALM).set_params(tied_weights=True))
    for layer in kinds:
        before = stack(5, 4, layer=layer).fit(X)
        after = stack(5, 4, layer=layer, fine_tune="class").fit(X, Y)
        codes = before.transform(X)
        same = np.array_equal(
            before.inverse_transform(codes), after.inverse_transform(codes)
        )
        assert same == (not layer.tied_weights)


def test_features_of_a_class_are_told_apart():
    """What was fine-tuned by class makes the linear probe's work easy."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)  # no linear function of X
    layer = clone(CALM).set_params(max_iter=40)
    settings = {"layer": layer, "max_iter": 200, "learning_rate_init": 0.03}
    scores = [
        make_pipeline(stack(20, 10, fine_tune=how, **settings), LogisticRegression())
        .fit(X, y)
        .score(X, y)
        for how in (None, "class")
    ]
    assert scores[1] > 0.95 > 0.9 > scores[0]


@pytest.mark.parametrize("sizes", [(3, 2), (2, 3), (4, 2, 4)])
def test_linear_stack_reaches_pca_of_its_smallest_width(sizes):
    X = table(60, 6)
    layer = Autoencoder(
        hidden_layer_sizes=(), dtype="float64", solver="lbfgs", max_iter=1
    )
    model = stack(*sizes, layer=layer, solver="lbfgs", max_iter=150, tol=1e-12)
    model.set_params(fine_tune="reconstruction").fit(X)
    pca = PCA(2).fit(X)
    best = np.square(X - pca.inverse_transform(pca.transform(X))).mean()
    assert -model.score(X) == pytest.approx(best, rel=1e-4)


def test_depth_one_fine_tuned_goes_on_with_its_own_objective(X):
    """The unrolled network of one layer is that layer: its loss begins where it was."""
    layer = clone(CALM).set_params(solver="lbfgs")
    settings = {"layer": layer, "solver": "lbfgs", "fine_tune": "reconstruction"}
    model = stack(3, **settings, max_iter=1).fit(X)
    before = clone(model.estimators_[0]).fit(X)
    error = before.reconstruction_error(X, per_feature=True).sum(axis=1).mean()
    # an iteration of L-BFGS reports the loss that it began with
    assert model.history_["train_loss"][0] == pytest.approx(0.5 * error, rel=1e-10)


def unrolled(X, **params):
    model = stack(5, 3, layer=CALM).fit(X)
    rows = torch.tensor(X)
    return StackModule(model.estimators_, **params), Batch(rows, rows)


def test_gradient_of_the_unrolled_network(X):
    module, batch = unrolled(X[:7], alpha=0.1)
    parameters = list(module.parameters())
    total = sum(module.loss(batch).values())
    slopes = torch.autograd.grad(total, parameters)
    generator = torch.Generator().manual_seed(0)
    for parameter, slope in zip(parameters, slopes, strict=True):
        way = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        step, values = 1e-6, []
        with torch.no_grad():
            for sign in (1, -2):
                parameter.add_(way, alpha=sign * step)
                values.append(float(sum(module.loss(batch).values())))
            parameter.add_(way, alpha=step)
        numeric = (values[0] - values[1]) / (2 * step)
        # of values of about 500, that are rounded at 1e-13, differences of 1e-6
        assert float((slope * way).sum()) == pytest.approx(numeric, rel=1e-5, abs=1e-6)


def test_decay_is_half_alpha_times_the_squares_of_all_weights(X):
    module, batch = unrolled(X, alpha=0.3)
    kernels = [p for n, p in module.named_parameters() if n.endswith("kernel")]
    assert len(kernels) == 4  # an encoder and a decoder of each layer
    squares = sum(float(kernel.detach().square().sum()) for kernel in kernels)
    decay = module.loss(batch)["weight_decay"].detach()
    assert float(decay) == pytest.approx(0.15 * squares)
    assert "weight_decay" not in unrolled(X)[0].loss(batch)


def test_dropout_is_for_training_alone(X):
    module, batch = unrolled(X, p_dropout=0.5)
    plain, _ = unrolled(X)
    quiet = module.loss(batch)["reconstruction"]
    noisy = module.loss(batch, torch.Generator().manual_seed(0))["reconstruction"]
    assert quiet == plain.loss(batch)["reconstruction"] != noisy


@pytest.mark.parametrize("layer", ["deep", "raw", "noisy", "calm"])
@pytest.mark.parametrize("gaps", [False, True])
def test_noise_of_fine_tuning_is_in_units_of_the_spread(layer, gaps):
    """Of the rows, where the first layer standardizes them, and else of X itself: in
    each step, and once in held-out rows. What is missing stays so, and the target is
    clean."""
    X = 7.0 + 4.0 * table(400, 6)
    model = stack(5, 4, layer=MIXED[layer], max_iter=1).fit(X)
    module = StackModule(model.estimators_, corruption=GaussianNoise(noise_level=0.5))
    first, units = module.layers[0], module.units[0]
    x = units.to_network(torch.tensor(X)).to(module.dtype)
    observed = torch.ones_like(x)
    if gaps:
        observed[::3, 1::2] = 0.0
    x = x * observed
    batch = Batch(x, x, observed if gaps else None)
    seen, encode = [], first.encode

    def watched(x, generator=None):
        seen.append(x)
        return encode(x, generator)

    first.encode = watched
    found = module.loss(batch, torch.Generator().manual_seed(3))["reconstruction"]
    module.loss(batch)
    assert torch.equal(seen[1], x)
    judged = module.as_learned(batch, torch.Generator().manual_seed(3))
    assert judged.target is x and torch.equal(judged.x, seen[0])
    restored = module.reconstruct(seen[0])
    nats = 0.5 * (observed * (restored - x) ** 2).sum(1).mean()
    torch.testing.assert_close(found, nats)
    assert not seen[0][observed == 0.0].any()
    added = (seen[0] - x)[observed == 1.0]
    unit = np.sqrt(X.var(axis=0).mean()) if MIXED[layer].standardize else 1.0
    # of 2000 draws, four of a deviation's own deviations are 6 %
    assert float(added.std()) * units.scale == pytest.approx(0.5 * unit, rel=0.06)


@pytest.mark.parametrize("own", [0.0, 0.4])
@pytest.mark.parametrize("between", [0.0, 0.4])
def test_dropout_of_layers_and_between_them(own, between, X):
    """Each layer leaves out hidden units, at both ends, as it does when it is alone;
    and the stack leaves out some of each code."""
    layer = Autoencoder(max_iter=2, hidden_layer_sizes=(8,), dropout=own)
    layer.set_params(dtype="float64", linear_path=False)
    model = stack(5, 4, layer=layer).fit(X)
    module = StackModule(model.estimators_, p_dropout=between)
    (first, second), units = module.layers, module.units[1]
    x = module.units[0].to_network(torch.tensor(X))
    batch = Batch(x, x)

    def some(z, generator):  # where nothing is left out, nothing is drawn
        return dropout(z, between, generator) if between else z

    def nats(generator):
        z = some(first.encode(x, generator), generator)
        z = some(second.encode(units.to_network(z), generator), generator)
        z = units.to_data(second.decode(z, generator))
        return 0.5 * (first.decode(z, generator) - x).square().sum(1).mean()

    drawn = torch.Generator().manual_seed(3)
    found = module.loss(batch, drawn)["reconstruction"]
    torch.testing.assert_close(found, nats(drawn.manual_seed(3)))
    torch.testing.assert_close(module.loss(batch)["reconstruction"], nats(None))
    assert bool(own or between) != torch.isclose(found, nats(None))


def test_held_out_rows_choose_the_weights(X):
    model = stack(5, 3, fine_tune="reconstruction", layer=CALM, early_stopping=True)
    model.set_params(max_iter=30, n_iter_no_change=2, learning_rate_init=0.3).fit(X)
    curve = model.history_["valid_loss"]
    assert curve.argmin() < len(curve) - 1  # it stopped behind the best
    assert len(curve) == len(model.history_["train_loss"])


def test_last_step_that_diverges_is_noticed(X):
    """Of which no loss tells: the only one was of the weights before."""
    settings = {"batch_size": 60, "max_iter": 1, "learning_rate": "constant"}
    model = stack(5, 4, fine_tune="reconstruction", **settings)
    codes = model.fit(X).transform(X)
    message = r"last step made codes or reconstructions non-finite(.|\n)*=1e\+15"
    with pytest.raises(ValueError, match=message):
        model.set_params(learning_rate_init=1e15).fit(X)
    equal(model.transform(X), codes)


@pytest.mark.parametrize("fine_tune", ["reconstruction", "class"])
def test_dead_units_are_those_of_all_rows(fine_tune, X, monkeypatch):
    """Of the layers as they were fine-tuned; more units are dead in some rows."""
    monkeypatch.setattr(engine_train, "DENSITY_ROWS", 5)
    sparse = KSparseAutoencoder(30, k=2, max_iter=3)
    model = StackedAutoencoderPretrainer(
        estimators=[sparse, sparse], fine_tune=fine_tune, max_iter=3, random_state=0
    )
    model.set_params(unlabeled=-1).fit(X, Y)
    codes = X
    for layer in model.estimators_:
        codes = layer.transform(codes)
        dead = np.flatnonzero((codes == 0).all(axis=0))
        equal(layer.dead_units_, dead)
        assert len(dead) < 20  # 5 rows with 2 units each leave 20 dead


# -- access to the layers --------------------------------------------------------

NAMED = [
    ("first", clone(NOISY).set_params(n_components=5)),
    ("second", clone(NOISY).set_params(n_components=4)),
    ("third", clone(NOISY).set_params(n_components=3)),
]


def named(**params):
    params = {"max_iter": 3, "random_state": 0, "unlabeled": -1, **params}
    return StackedAutoencoderPretrainer(
        estimators=clone(Pipeline(NAMED)).steps, **params
    )


def test_slices(X):
    model = named().fit(X)
    first, second, third = model.estimators_
    assert len(model) == 3
    assert model[0] is first and model[-1] is third and model["second"] is second
    assert model.named_estimators_.third is third
    upper = model[1:]
    assert isinstance(upper, StackedAutoencoderPretrainer) and len(upper) == 2
    assert upper[0] is second and upper["third"] is third
    assert upper.n_features_in_ == 5 and upper.n_components_ == 3
    near(upper.transform(model[:1].transform(X)), model.transform(X))
    near(model[:2].transform(X), model.transform(X, depth=2))
    near(model[:2].inverse_transform(model[:2].transform(X)), model[:2].reconstruct(X))
    assert upper.get_params()["second__n_components"] == 4
    for wrong, error in ((3, IndexError), ("fourth", KeyError)):
        with pytest.raises(error):
            model[wrong]
    with pytest.raises(ValueError, match=r"a step of 1 .* Got slice\(None, None, 2\)"):
        model[::2]
    with pytest.raises(ValueError, match=r"a layer in it.* Got slice\(2, 2, None\)"):
        model[2:2]


def test_slices_of_what_is_not_fitted():
    model = stack(5, 4, 3)
    assert len(model) == 3 and [one.n_components for one in model[:2]] == [5, 4]
    assert model["layer3"].n_components == 3
    assert not hasattr(model[:2], "estimators_")
    with pytest.raises(NotFittedError):
        model[:2].transform(np.zeros((2, 6)))


@pytest.mark.parametrize("depth", [0, 4, -1, 1.0, "a", True])
def test_bad_depth(depth, X):
    model = named().fit(X)
    for method, given in ((model.transform, X), (model.inverse_transform, X[:, :3])):
        with pytest.raises(ValueError, match=r"'depth' parameter must be an int in"):
            method(given, depth=depth)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_output_is_named_by_depth(library, X):
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = named().set_output(transform=library).fit(frame)
    name = type(model).__name__.lower()
    for depth, width in ((1, 5), (2, 4), (3, 3), (None, 3)):
        codes = model.transform(frame, depth=depth)
        assert list(codes.columns) == [f"{name}{i}" for i in range(width)]
        plain = model[:depth].set_output(transform="default")
        equal(np.asarray(codes), plain.transform(frame))
    assert list(model.feature_names_in_) == list("abcdef")


# -- parameters ------------------------------------------------------------------


def test_nested_parameters_reach_a_search(X):
    grid = {"estimator__noise_level": [0.1, 0.9], "layer_sizes": [(4, 2), (3,)]}
    search = GridSearchCV(stack(2), grid, cv=2).fit(X)
    assert len(set(search.cv_results_["mean_test_score"])) == 4
    best = search.best_estimator_
    assert len(best) == len(search.best_params_["layer_sizes"])
    noise = search.best_params_["estimator__noise_level"]
    assert all(layer.noise_level == noise for layer in best.estimators_)
    assert NOISY.noise_level not in grid["estimator__noise_level"]


def test_default_layer_can_be_set_up_in_place(X):
    model = StackedAutoencoderPretrainer(layer_sizes=(4, 2))
    assert model.estimator is None
    model.set_params(estimator__noise_level=0.7, estimator__max_iter=2)
    assert model.estimator.noise_level == 0.7
    first, second = model.fit(X).estimators_
    assert (first.n_iter_, second.noise_level) == (2, 0.7)
    default = clone(StackedAutoencoderPretrainer()[0])
    assert default.hidden_layer_sizes == () and default.tied_weights
    assert (default.code_activation, default.noise) == ("relu", "masking")


def test_layers_are_reached_by_name():
    model = named()
    params = model.get_params()
    assert params["second"] is model.estimators[1][1]
    assert params["second__n_components"] == 4
    assert "estimators__second" not in params
    model.set_params(second__n_components=7, third=CALM)
    assert model.estimators[1][1].n_components == 7
    assert model.estimators[2] == ("third", CALM)
    copied = clone(model)
    assert copied["second"].n_components == 7
    copied.set_params(second__n_components=8)
    assert model["second"].n_components == 7
    model.set_params(estimators=[("only", clone(NOISY))], only__n_components=6)
    assert len(model) == 1 and model["only"].n_components == 6
    assert model.get_params(deep=False).keys() == stack(2).get_params(False).keys()
    with pytest.raises(ValueError, match=r"Invalid parameter 'fourth'"):
        model.set_params(fourth__n_components=3)


def test_layers_without_names_are_called_by_their_class(X):
    parts = [clone(NOISY).set_params(n_components=4), clone(NOISY), clone(CALM)]
    parts[2].set_params(dtype="float32")
    model = StackedAutoencoderPretrainer(estimators=parts, max_iter=3).fit(X)
    names = ["denoisingautoencoder-1", "denoisingautoencoder-2", "autoencoder"]
    assert list(model.named_estimators_) == names
    model.set_params(**{"denoisingautoencoder-1__n_components": 5})
    assert parts[0].n_components == 5


def test_layers_in_an_array(X):
    layers = np.array([clone(one) for _, one in NAMED[:2]], dtype=object)
    model = StackedAutoencoderPretrainer(estimators=layers, random_state=0).fit(X)
    alike = StackedAutoencoderPretrainer(estimators=list(layers), random_state=0)
    equal(model.transform(X), alike.fit(X).transform(X))


def test_search_over_whole_layers(X):
    calm = clone(CALM).set_params(dtype="float32", n_components=5)
    grid = {"first": [NAMED[0][1], calm], "third__n_components": [1, 2]}
    search = GridSearchCV(named(), grid, cv=2).fit(X)
    assert len(set(search.cv_results_["mean_test_score"])) == 4
    assert type(search.best_estimator_["first"]) is type(search.best_params_["first"])


# -- randomness ------------------------------------------------------------------


@fine_tuned
def test_random_state_drives_all_layers(fine_tune, X):
    def run(seed):
        model = stack(5, 4, fine_tune=fine_tune, random_state=seed)
        return model.fit(X, Y).transform(X)

    equal(run(0), run(0))
    assert not np.array_equal(run(0), run(1))
    shared = np.random.RandomState(5)
    assert not np.array_equal(run(shared), run(shared))
    assert not np.array_equal(run(None), run(None))
    equal(run(np.random.RandomState(5)), run(np.random.RandomState(5)))


def test_without_one_layers_keep_their_own(X):
    layer = clone(NOISY).set_params(random_state=3)
    one, other = (stack(5, 4, layer=layer, random_state=None).fit(X) for _ in "ab")
    equal(one.transform(X), other.transform(X))
    assert [part.random_state for part in one.estimators_] == [3, 3]


# -- codes are streamed ----------------------------------------------------------

STREAMED = {
    "calm": CALM,
    "noisy": clone(NOISY).set_params(dtype="float64"),
    "linear path": Autoencoder(
        max_iter=3, hidden_layer_sizes=(5,), linear_path=True, dtype="float64"
    ),
    "lbfgs": clone(CALM).set_params(solver="lbfgs"),
    "standardized": clone(CALM).set_params(standardize=True),
}


@pytest.mark.parametrize("kind", STREAMED)
@fine_tuned
def test_streamed_codes_are_the_codes(kind, fine_tune, monkeypatch):
    X, y = table(300, 6), labels(300)
    model = stack(5, 4, 3, layer=STREAMED[kind], fine_tune=fine_tune)
    held = clone(model).fit(X, y)
    for module in (engine_rows, pca_start, stack_layers):
        monkeypatch.setattr(module, "CACHE_BYTES", 0)
    streamed = model.fit(X, y)
    np.testing.assert_allclose(streamed.transform(X), held.transform(X), rtol=1e-9)
    np.testing.assert_allclose(streamed.reconstruct(X), held.reconstruct(X), rtol=1e-9)


@pytest.mark.parametrize("kind", [kind for kind in STREAMED if kind != "lbfgs"])
@fine_tuned
def test_codes_are_never_all_held(kind, fine_tune, monkeypatch, tmp_path):
    """L-BFGS alone takes all rows at once, and says so."""
    np.save(tmp_path / "rows.npy", table(300, 6))
    X = np.load(tmp_path / "rows.npy", mmap_mode="r")
    handed = []
    original = inputs.LazyRows.__getitem__

    def recorded(self, rows):
        handed.append(original(self, rows))
        return handed[-1]

    monkeypatch.setattr(inputs.LazyRows, "__getitem__", recorded)
    monkeypatch.setattr(inputs, "CHUNK_NUMBERS", 64)
    monkeypatch.setattr(engine_train, "DENSITY_ROWS", 50)
    monkeypatch.setattr(trial, "PROBE_ROWS", 50)
    monkeypatch.setattr(streams, "SOME_ROWS", 50)
    monkeypatch.setattr(streams, "LEAST_ROWS", 50)
    for module in (engine_rows, pca_start, stack_layers):
        monkeypatch.setattr(module, "CACHE_BYTES", 0)
    monkeypatch.setattr(pca_start, "SAMPLE_BYTES", 50 * 4 * 8)
    layer = clone(STREAMED[kind]).set_params(batch_size=50)
    model = stack(5, 4, 3, layer=layer, fine_tune=fine_tune, batch_size=50)
    model.fit(X, labels(300))
    assert {codes.shape[1] for codes in handed} == {5, 4}
    assert max(map(len, handed)) <= 50


def test_rows_that_are_computed_behave_as_rows():
    X = table(200, 3)
    lazy = inputs.LazyRows(lambda rows: rows[:, :2] * 2, X, 2, np.float64)
    whole = X[:, :2] * 2
    assert len(lazy) == 200 and lazy.shape == (200, 2) and lazy.ndim == 2
    equal(lazy[5:9], whole[5:9])
    equal(lazy[np.array([7, 3])], whole[[7, 3]])
    assert lazy.min() == whole.min() and lazy.max() == whole.max()
    assert lazy.min(initial=-99.0) == -99.0 and lazy.max(initial=99.0) == 99.0


# -- progress --------------------------------------------------------------------


class Watch:
    """A callback of scikit-learn's that notes, in stacks and in their layers."""

    max_propagation_depth = None

    def __init__(self, stop_at=None):
        self.stop_at, self.began, self.ended = stop_at, [], []
        self.set_up = self.torn_down = 0

    def setup(self, estimator, context):
        self.set_up += 1

    def teardown(self, estimator, context):
        self.torn_down += 1

    def on_fit_task_begin(self, estimator, context, **kwargs):
        self.began.append(told(estimator, context))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None, **kwargs):
        who, task, _ = told(estimator, context)
        self.ended.append(told(estimator, context))
        if (who, task) == ("StackedAutoencoderPretrainer", "epoch"):
            assert fitted_estimator.transform(table(3, 6)).shape == (3, 4)
        return (who, task) == self.stop_at


def told(estimator, context):
    """Return whose task it is, its name, and the stage of a stack that it is in.

    The fit of a layer and the stage of the stack are one task with two names.
    """
    within = context.parent if context.task_name == "epoch" else context
    stage = within.source_task_name or within.task_name
    return type(estimator).__name__, context.task_name, stage


@fine_tuned
def test_callbacks_hear_of_layers_and_epochs(fine_tune, X):
    watch = Watch()
    model = named(fine_tune=fine_tune)
    model.set_params(estimators=model.estimators[:2])
    expected = clone(model).fit(X, Y).transform(X)
    equal(model.set_callbacks(watch).fit(X, Y).transform(X), expected)
    name, layer = type(model).__name__, "DenoisingAutoencoder"
    fits, epochs = (
        [(who, stage) for who, task, stage in watch.began if task == kind]
        for kind in ("fit", "epoch")
    )
    stages = [(layer, f"layer {n}") for n in ("1 of 2: first", "2 of 2: second")]
    assert fits == [(name, "fit"), *stages]
    stages += [(name, "fine-tuning")] * (fine_tune is not None)
    assert epochs == [stage for stage in stages for _ in range(3)]
    assert sorted(watch.ended) == sorted(watch.began)
    assert watch.set_up == watch.torn_down == 1


@pytest.mark.parametrize(
    ("who", "n_iter"),
    [("DenoisingAutoencoder", 5), ("StackedAutoencoderPretrainer", 7)],
)
def test_callbacks_can_stop_a_layer_or_fine_tuning(who, n_iter, X):
    model = stack(4, 4, fine_tune="reconstruction")
    model.set_callbacks(Watch(stop_at=(who, "epoch"))).fit(X)
    assert model.n_iter_ == n_iter


@pytest.fixture
def wide_console():
    """Make rich's console wide, whatever terminal the tests run in."""
    rich.reconfigure(width=200, height=50)
    yield
    rich.reconfigure()


@fine_tuned
def test_progress_bar(fine_tune, X, capsys, wide_console):
    model = named(fine_tune=fine_tune).set_callbacks(ProgressBar())
    model.fit(X, Y)
    printed = capsys.readouterr().out
    assert "layer 3 of 3: third" in printed and "100%" in printed
    assert ("fine-tuning" in printed) == (fine_tune is not None)


def test_verbose_says_which_layer(X, capsys):
    stack(5, 4, verbose=1).fit(X)
    printed = capsys.readouterr().out
    assert "layer 1 of 2: layer1, 5 units" in printed
    assert "layer 2 of 2: layer2, 4 units" in printed


# -- kinds of rows ---------------------------------------------------------------


@fine_tuned
def test_sparse_rows(fine_tune):
    X, y = counts(60), labels(60)
    model = stack(5, 3, layer=CALM, fine_tune=fine_tune)
    codes = clone(model).fit(X, y).transform(X)
    dense = clone(model).fit(X.toarray(), y)
    np.testing.assert_allclose(dense.transform(X.toarray()), codes, rtol=1e-9)
    np.testing.assert_allclose(dense.transform(X), codes, rtol=1e-9)


@fine_tuned
@pytest.mark.parametrize("cache", [engine_rows.CACHE_BYTES, 0])
def test_missing_values(fine_tune, cache, X, monkeypatch):
    for module in (engine_rows, stack_layers):
        monkeypatch.setattr(module, "CACHE_BYTES", cache)
    X[::5, 2] = X[7, :3] = np.nan
    model = stack(4, 3, layer=clone(NOISY).set_params(noise="masking"))
    model.set_params(fine_tune=fine_tune).fit(X, Y)
    for answered in (model.transform(X), model.reconstruct(X), model.score_samples(X)):
        assert np.isfinite(answered).all()
    assert model.__sklearn_tags__().input_tags.allow_nan


@fine_tuned
def test_score_leaves_out_rows_of_which_nothing_is_known(fine_tune, X):
    X[3] = np.nan
    some = np.delete(X, 3, axis=0)
    layer = clone(NOISY).set_params(noise="masking")
    model = stack(5, 3, layer=layer, fine_tune=fine_tune).fit(X, Y)
    assert np.isnan(model.score_samples(X)[3])
    assert model.score(X) == pytest.approx(model.score(some), rel=1e-6)
    assert np.isnan(model.score(X[3:4]))
    alone = stack(5, layer=layer).fit(X)
    assert np.isfinite(alone.score(X)) and alone.score(X) == alone[0].score(X)


def test_missing_values_need_a_first_layer_that_takes_them(X):
    X[3, 2] = np.nan
    top_takes_them = [
        ("below", clone(CALM).set_params(dtype="float32")),
        ("top", clone(NOISY)),
    ]
    with pytest.raises(ValueError, match=r"Input X contains NaN"):
        StackedAutoencoderPretrainer(estimators=top_takes_them).fit(X)


def test_sparse_codes_at_the_top(X):
    top = KSparseAutoencoder(8, k=2, max_iter=3, sparse_output=True)
    below = clone(NOISY).set_params(n_components=4)
    model = StackedAutoencoderPretrainer(estimators=[below, top], random_state=0)
    codes = model.fit(X).transform(X)
    assert sp.issparse(codes) and codes.nnz <= 2 * len(X)
    assert not sp.issparse(model.transform(X, depth=1))
    near(model.inverse_transform(codes), model.inverse_transform(codes.toarray()))


def test_sparse_codes_below(X):
    """Between layers they are codes as any others."""
    below = KSparseAutoencoder(8, k=2, max_iter=3, sparse_output=True)
    top = clone(NOISY).set_params(n_components=3)
    model = StackedAutoencoderPretrainer(estimators=[below, top], random_state=0)
    codes = model.fit(X).transform(X)
    first = model.transform(X, depth=1)
    assert sp.issparse(first) and codes.shape == (60, 3)
    near(model[1].transform(first.toarray()), codes)


def test_convolutional_first_and_k_sparse_last():
    X = load_digits().data[:200]
    model = StackedAutoencoderPretrainer(
        estimators=[
            ("conv", ConvolutionalAutoencoder(16, image_shape=(8, 8), max_iter=3)),
            ("middle", clone(NOISY).set_params(n_components=9)),
            ("top", KSparseAutoencoder(20, k=3, max_iter=3)),
        ],
        fine_tune="reconstruction",
        max_iter=3,
        random_state=0,
    )
    codes = model.fit_transform(X)
    assert codes.shape == (200, 20) and ((codes != 0).sum(axis=1) <= 3).all()
    assert model.reconstruct(X).shape == X.shape
    assert model.named_estimators_.conv.n_features_in_ == 64


def test_frames(X):
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = stack(5, 4).fit(frame)
    # the same numbers, column by column in memory: float32 sums in another order
    np.testing.assert_allclose(
        model.transform(frame), stack(5, 4).fit(X).transform(X), rtol=1e-3, atol=1e-3
    )
    with pytest.raises(ValueError, match=r"feature names should match"):
        model.transform(frame[list("fedcba")])


@fine_tuned
def test_first_layer_knows_the_names_of_features(fine_tune, X):
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = stack(5, 4, fine_tune=fine_tune).fit(frame, Y)
    first = model[0].transform(frame)  # without a warning
    near(first, model[:1].transform(frame))
    near(model[1].transform(first), model.transform(frame))
    assert list(model[0].feature_names_in_) == list("abcdef")
    assert not hasattr(model[1], "feature_names_in_")
    assert not hasattr(model.fit(X, Y)[0], "feature_names_in_")


# -- nothing is lost -------------------------------------------------------------


class FailIn(Callback):
    """Raise in the first epoch of whatever it is given to."""

    def on_epoch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def fails_in(where, how):
    """Return parameters by which a fit fails in a layer or in fine-tuning."""
    if how == "diverges":
        return {f"{where}learning_rate_init": 1e30}, ValueError
    return {f"{where}callbacks": [FailIn()]}, KeyboardInterrupt


@pytest.mark.parametrize("where", ["second__", "third__", ""])
@pytest.mark.parametrize("how", ["diverges", "is interrupted"])
@pytest.mark.parametrize("fine_tune", ["reconstruction", "class"])
def test_failed_refit_leaves_the_earlier_fit_whole(where, how, fine_tune, X):
    model = named(fine_tune=fine_tune).fit(X, Y)
    attributes, codes = dict(vars(model)), model.transform(X)
    before = [weights(layer) for layer in model.estimators_]
    params, error = fails_in(where, how)
    model.set_params(**params)
    with pytest.raises(error):
        model.fit(X[:, :3] * 2, Y)
    now = {k: v for k, v in vars(model).items() if k in attributes}
    assert vars(model).keys() == attributes.keys()
    assert all(now[k] is attributes[k] for k in now if k.endswith("_"))
    for layer, old in zip(model.estimators_, before, strict=True):
        assert all(np.array_equal(old[k], w) for k, w in weights(layer).items())
    equal(model.transform(X), codes)


@fine_tuned
@pytest.mark.parametrize("way", ["pickle", "skops"])
def test_round_trip_of_layers_and_slices(fine_tune, way, X, tmp_path):
    model = named(fine_tune=fine_tune).fit(X, Y)
    if way == "pickle":
        back = pickle.loads(pickle.dumps(model))
    else:
        save(model, tmp_path / "stack.skops")
        back = load(tmp_path / "stack.skops")
    for depth in (1, 2, 3):
        codes = model.transform(X, depth=depth)
        equal(back.transform(X, depth=depth), codes)
        equal(
            back.inverse_transform(codes, depth=depth),
            model.inverse_transform(codes, depth=depth),
        )
    first = model.transform(X, depth=1)
    equal(back["second"].score_samples(first), model["second"].score_samples(first))
    assert back.get_params().keys() == model.get_params().keys()
    assert back.fit(X, Y).transform(X).tobytes() == model.transform(X).tobytes()


# -- with scikit-learn -----------------------------------------------------------


@pytest.mark.parametrize("fine_tune", [None, "class"])
def test_search_over_the_classifier_and_the_stack(fine_tune):
    X, y = load_digits(return_X_y=True)
    X, y = X[:300], y[:300]
    layer = DenoisingAutoencoder(
        hidden_layer_sizes=(), code_activation="relu", max_iter=20
    )
    features = stack(30, 20, layer=layer, fine_tune=fine_tune, max_iter=10)
    pipeline = Pipeline([("features", features), ("classifier", LinearSVC())])
    classifiers = [
        LogisticRegression(),
        KNeighborsClassifier(),
        RandomForestClassifier(20, random_state=0),
    ]
    grid = {"classifier": classifiers, "features__layer_sizes": [(30,), (30, 20)]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert len(scores) == 6 and (scores > 0.5).all()  # by chance it is a tenth
    best = search.best_estimator_.named_steps
    assert type(best.classifier) is type(search.best_params_["classifier"])
    assert len(best.features) == len(search.best_params_["features__layer_sizes"])


def test_y_comes_from_the_pipeline(X):
    y = np.arange(60) % 3
    pipeline = make_pipeline(stack(4, fine_tune="class"), LogisticRegression())
    pipeline.fit(X, y)
    equal(pipeline[0].classes_, [0, 1, 2])
    equal(pipeline[0].transform(X), stack(4, fine_tune="class").fit(X, y).transform(X))
    assert not hasattr(stack(4).fit(X, y), "classes_")


def test_refit_without_classes_forgets_them(X):
    model = stack(4, fine_tune="class").fit(X, Y)
    assert hasattr(model, "classes_")
    assert not hasattr(model.set_params(fine_tune=None).fit(X), "classes_")


# -- bad input: refused before any training --------------------------------------


CONV = ConvolutionalAutoencoder(6, image_shape=(2, 3), max_iter=3)
F32 = clone(CALM).set_params(dtype="float32", max_iter=3)
MISFITS = {
    "sizes": ([F32, CONV], r"image_shape=\(2, 3\) holds 6 numbers, but X has 2"),
    "first size": (
        [clone(CONV).set_params(image_shape=(3, 3)), F32],
        r"image_shape=\(3, 3\) holds 9 numbers, but X has 6 features",
    ),
    "values": (
        [
            clone(F32).set_params(code_activation="identity"),
            ("log", clone(F32).set_params(loss="log_loss")),
        ],
        r"'log' does not fit: loss='log_loss' needs values in \[0, 1\].*identity",
    ),
    "counts": (
        [F32, clone(F32).set_params(loss="poisson")],
        r"loss='poisson' needs values in \[0, inf\].*\[-1, 1\]",
    ),
    "dtypes": ([F32, CALM], r"same dtype. Got 'float32' and, .*'float64'"),
    "devices": (
        [F32, clone(F32).set_params(device="cpu")],
        r"same device. Got 'auto' and, .*'cpu'",
    ),
    "names": ([("a", F32), ("a", F32)], r"names one 'a'. It needs names"),
    "names of parameters": ([("solver", F32)], r"names one 'solver'"),
    "names with underscores": ([("a__b", F32)], r"names one 'a__b'"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_layers_that_do_not_fit(misfit, X, untrained):
    estimators, message = MISFITS[misfit]
    model = stack(4, layer=F32).fit(X)
    codes = model.transform(X)
    untrained()
    model.set_params(estimators=estimators)
    for attempt in (model, clone(model)):
        with pytest.raises(ValueError, match=message):
            attempt.fit(X)
    equal(model.transform(X), codes)


def test_codes_that_do_fit(X):
    """Between 0 and 1 after a sigmoid: log loss is defined on them."""
    below = clone(F32).set_params(code_activation="sigmoid", n_components=4)
    top = clone(F32).set_params(loss="log_loss")
    model = StackedAutoencoderPretrainer(estimators=[below, top], max_iter=3)
    assert np.isfinite(model.fit(X).transform(X)).all()


@pytest.mark.parametrize("bad", BAD_Y)
def test_bad_y(bad, X, untrained):
    y, message = BAD_Y[bad]
    model = stack(4, fine_tune="class").fit(X, Y)
    codes = model.transform(X)
    untrained()
    for attempt in (model, clone(model)):
        with pytest.raises(ValueError, match=message):
            attempt.fit(X, y)
    equal(model.transform(X), codes)
    equal(model.classes_, [0, 1])


@pytest.mark.parametrize("fine_tune", [None, "reconstruction"])
def test_y_is_ignored_where_none_is_needed(fine_tune, X):
    model = stack(4, fine_tune=fine_tune)
    expected = clone(model).fit(X).transform(X)
    for y, _ in BAD_Y.values():
        equal(clone(model).fit(X, y).transform(X), expected)


@fine_tuned
def test_bad_rows_are_refused_before_training(fine_tune, X, untrained):
    model = stack(4, fine_tune=fine_tune)
    untrained()
    bad = X.astype(object)
    bad[0, 0] = "petal"
    with pytest.raises(ValueError, match=r"could not convert string to float"):
        model.fit(bad, Y)
    below = clone(NOISY).set_params(loss="log_loss")
    with pytest.raises(ValueError, match=r"log_loss|\[0, 1\]"):
        model.set_params(estimator=below).fit(X, Y)


def test_minus_one_and_one_alone_are_two_classes(X):
    signs = np.where(np.arange(60) % 2, 1, -1)
    model = stack(4, fine_tune="class", unlabeled="auto")
    with pytest.warns(UserWarning, match="taken for two classes") as caught:
        model.fit(X, signs)
    equal(model.classes_, [-1, 1])
    assert {one.filename for one in caught if "two classes" in str(one.message)} == {
        __file__
    }


STOPPING = {"early_stopping": True, "validation_fraction": 0.9}
FEW = {
    "fine-tuning": {"fine_tune": "reconstruction", **STOPPING},
    "first layer": {"first__early_stopping": True, "first__validation_fraction": 0.9},
    "last layer": {"third__early_stopping": True, "third__validation_fraction": 0.9},
}


@pytest.mark.parametrize("few", FEW)
def test_too_few_rows_to_hold_any_out(few, X, untrained):
    model = named().fit(X)
    codes = model.transform(X)
    model.set_params(**FEW[few])
    untrained()
    for attempt in (model, clone(model)):
        with pytest.raises(
            ValueError, match=r"0\.9 leaves nothing to train on: X has 4"
        ):
            attempt.fit(X[:4])
    equal(model.transform(X), codes)


def test_class_of_one_row_cannot_be_held_out(X, untrained):
    y = np.where(np.arange(60) == 0, 2, Y)
    model = stack(4, fine_tune="class", early_stopping=True)
    untrained()
    with pytest.raises(ValueError, match="two rows of each"):
        model.fit(X, y)


def of_classes():
    """Return a stack whose second layer learns from labels."""
    top = GeneralizedAutoencoder(
        2, relation="class", max_iter=3, dtype="float64", random_state=0
    )
    return StackedAutoencoderPretrainer(
        estimators=[clone(CALM), top], unlabeled=-1, random_state=0
    )


def test_layer_that_learns_from_labels(X):
    """They come to it, and are asked for before the layers below are trained."""
    model = of_classes().fit(X, Y)
    below, top = model.estimators_
    alone = clone(top).fit(below.transform(X), Y)
    near(model.transform(X), alone.transform(below.transform(X)))
    assert model.__sklearn_tags__().target_tags.required
    assert not stack(2).__sklearn_tags__().target_tags.required


@pytest.mark.parametrize("pretrain", [True, False])
def test_layer_that_learns_from_labels_below_a_classifier(pretrain, X):
    model = StackedAutoencoderClassifier(
        of_classes(), pretrain=pretrain, unlabeled=-1, max_iter=3, random_state=0
    )
    assert set(model.fit(X, Y).predict(X)) <= {0, 1}


def test_layer_without_its_labels(X, untrained):
    untrained()
    with pytest.raises(ValueError, match=r"Layer 'gen.*' does not fit: .*requires y"):
        of_classes().fit(X)


@pytest.mark.parametrize("relation", ["laplacian", "lle", "isomap", "class", "mfa"])
def test_relations_of_codes_that_are_computed_when_read(relation, X, monkeypatch):
    top = GeneralizedAutoencoder(
        2,
        relation=relation,
        max_iter=3,
        n_rounds=2,
        n_landmarks=60,
        dtype="float64",
        random_state=0,
    )
    layers = [clone(CALM).set_params(random_state=0), top]
    model = StackedAutoencoderPretrainer(estimators=layers, unlabeled=-1)
    held = clone(model).fit(X, Y).transform(X)
    for module in (engine_rows, pca_start, stack_layers):
        monkeypatch.setattr(module, "CACHE_BYTES", 1000)
    np.testing.assert_allclose(model.fit(X, Y).transform(X), held, atol=1e-4)
