"""Split-brain autoencoders: parts that see nothing of each other, Lab, and bins."""

import math
import pickle
import threading

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from estimators import table
from skimage.color import lab2rgb, rgb2lab
from sklearn.base import clone
from sklearn.linear_model import LinearRegression

from sklearn_ae import (
    L2,
    Autoencoder,
    SplitBrainAutoencoder,
    StackedAutoencoderPretrainer,
    load,
    save,
)
from sklearn_ae.engine import colour
from sklearn_ae.engine import rows as engine_rows
from sklearn_ae.engine import train as engine_train
from sklearn_ae.engine.colour import LabUnits
from sklearn_ae.engine.rows import Batch, Rows
from sklearn_ae.engine.units import Units
from sklearn_ae.parts.bins import Bins

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SIZE = (4, 6, 3)


def colours(n=40, seed=0, dtype=np.float64):
    """Return smooth RGB images in [0, 1], of which no channel tells all of another."""
    rng = np.random.default_rng(seed)
    height, width, _ = SIZE
    ramp = np.linspace(0, 1, height)[:, None, None] * np.linspace(0, 1, width)[:, None]
    base, slope = rng.random((2, n, 1, 1, 3))
    images = base * (1 - ramp) + slope * ramp
    noisy = images + 0.05 * rng.normal(size=images.shape)
    return noisy.clip(0, 1).reshape(n, -1).astype(dtype)


def small(n_components=3, **params):
    given = {"hidden_layer_sizes": (6,), "max_iter": 3, "dtype": "float64"}
    return SplitBrainAutoencoder(n_components, **{**given, "random_state": 0, **params})


def of_images(n_components=4, **params):
    given = {"split": "channels", "image_shape": SIZE, "channels": (4, 6)}
    return small(n_components, **{**given, **params})


ODD = ([0, 2, 4], [1, 3])
FITTED = {
    "halves": lambda: small().fit(table()),
    "arrays": lambda: small(split=ODD, activation="tanh").fit(table()),
    "affine": lambda: small(hidden_layer_sizes=()).fit(table()),
    "classification": lambda: small(target="classification", n_bins=4).fit(table()),
    "channels": lambda: of_images().fit(colours()),
    "channels-repeat": lambda: of_images(unpooling="repeat").fit(colours()),
    "channels-classification": lambda: of_images(target="classification", n_bins=4).fit(
        colours()
    ),
}
each = pytest.mark.parametrize("name", FITTED)


def parts_of(model):
    encoder = model.module_.encoder
    return encoder.part_0, encoder.part_1


def seen(model):
    """Return some rows in the network's units."""
    X = colours() if model.split == "channels" else table()
    return Rows(X, model._fit.units, torch.float64).everything().x


# -- nothing crosses -------------------------------------------------------------


@each
def test_no_prediction_looks_at_its_target(name):
    """★ ∂x̂₂/∂x₂ ≡ 0 and ∂z₁/∂x₂ ≡ 0, and the same the other way round."""
    model = FITTED[name]()
    x = seen(model)[:1]
    first, second = parts_of(model)
    half = (model.n_components_ + 1) // 2
    moves = torch.autograd.functional.jacobian
    of_code = moves(model.module_.encode, x)[0, :, 0]
    of_row = moves(model.module_.reconstruct, x)[0, :, 0]
    assert (of_code[:half, second] == 0).all() and (of_code[half:, first] == 0).all()
    assert (of_row[second][:, second] == 0).all()
    assert (of_row[first][:, first] == 0).all()
    # while all else does depend on all else
    assert (of_code[:half, first] != 0).any() and (of_code[half:, second] != 0).any()
    assert (of_row[second][:, first] != 0).any() and (
        of_row[first][:, second] != 0
    ).any()


@each
def test_codes_are_those_of_the_networks(name):
    """Side by side; and what is decoded is each network's, in the features' order."""
    module = FITTED[name]().module_
    model = FITTED[name]()
    x, parts = seen(model), parts_of(model)
    codes = [
        f(x[:, part]) for f, part in zip(module.encoder.networks, parts, strict=True)
    ]
    # by products of memory that is laid out otherwise
    torch.testing.assert_close(module.encode(x), torch.cat(codes, 1))
    assert [z.shape[1] for z in codes] == [
        (model.n_components_ + 1) // 2,
        model.n_components_ // 2,
    ]
    joined = module.decoder(torch.cat(codes, 1))
    for g, z, target in zip(module.decoder.networks, codes, parts[::-1], strict=True):
        given = g(z)
        if model.target == "classification":
            given = given.unflatten(1, (-1, model.n_bins))
        torch.testing.assert_close(joined[:, target], given)


def test_networks_share_nothing():
    model = FITTED["halves"]()
    encoders, decoders = model.module_.encoder.networks, model.module_.decoder.networks
    pairs = list(zip(encoders, decoders, strict=True))
    for g, h in (pairs, pairs[::-1]):
        own = {id(weight) for part in g for weight in part.parameters()}
        assert own.isdisjoint(id(w) for part in h for w in part.parameters())


@pytest.mark.parametrize("name", ["arrays", "channels-classification"])
def test_a_network_learns_what_it_would_alone(name):
    """What its weights are to do does not depend on the other's weights."""
    model = FITTED[name]()
    module, x = model.module_, seen(model)

    def gradients(number):
        loss = module.loss(Batch(x, x))["reconstruction"]
        own = [part.networks[number] for part in (module.encoder, module.decoder)]
        weights = [weight for part in own for weight in part.parameters()]
        return weights, torch.autograd.grad(loss, weights)

    for one, other in ((0, 1), (1, 0)):
        (_, before), (weights, _) = gradients(one), gradients(other)
        with torch.no_grad():
            for weight in weights:
                weight.mul_(0.5)
        after = gradients(one)[1]
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert any((g != 0).any() for g in after)


# -- the split -------------------------------------------------------------------


@pytest.mark.parametrize("n_features", [2, 5, 6])
def test_halves_are_the_first_and_the_last_features(n_features):
    X = table(24, n_features)
    half = math.ceil(n_features / 2)
    arrays = (np.arange(half), np.arange(half, n_features))
    halves = small().fit(X)
    for pair in (arrays, [part.tolist() for part in arrays], tuple(arrays)):
        same = small(split=pair).fit(X)
        np.testing.assert_array_equal(same.transform(X), halves.transform(X))
        np.testing.assert_array_equal(same.reconstruct(X), halves.reconstruct(X))


def test_order_of_features_means_nothing():
    """Neither within a part nor among all: up to what weights a feature drew."""
    X = table(40, 6)
    order = [4, 0, 5, 2, 1, 3]
    first, second = [0, 1, 2], [3, 4, 5]
    places = np.argsort(order)
    moved = (places[first].tolist(), places[second].tolist())
    one = small(split=(first, second)).fit(X)
    two = small(split=moved).fit(X[:, order])
    np.testing.assert_allclose(two.transform(X[:, order]), one.transform(X))
    np.testing.assert_allclose(
        two.reconstruct(X[:, order]), one.reconstruct(X)[:, order]
    )


def test_two_dimensional_array_is_a_pair():
    X = table(24, 6)
    pair = np.arange(6).reshape(2, 3)
    same = small(split=pair).fit(X).transform(X)
    np.testing.assert_array_equal(same, small().fit(X).transform(X))


def test_split_survives_clone_and_repr():
    model = small(split=(np.array([0, 1]), np.array([2, 3, 4])))
    copied = clone(model)
    assert repr(copied) == repr(model)
    np.testing.assert_array_equal(copied.split[1], [2, 3, 4])
    X = table()
    np.testing.assert_array_equal(copied.fit(X).transform(X), model.fit(X).transform(X))


BAD_SPLITS = {
    "overlap": (([0, 1, 2], [2, 3, 4]), "Feature 2 is named more than once"),
    "twice in one": (([0, 0, 1], [2, 3, 4]), "Feature 0 is named more than once"),
    "the same": ((range(5), range(5)), "Features 0, .* are named more than once"),
    "missing": (([0, 1], [4]), "Features 2, 3 are in neither part"),
    "out of any array": (([0, 1, 2], [3, 4, 10**12]), "Feature 1000000000000 is not"),
    "out of range": (([0, 1, 2], [3, 4, 7]), "Feature 7 is not in X"),
}


@pytest.mark.parametrize("case", BAD_SPLITS)
def test_bad_split_is_named_before_training(case, no_steps):
    split, message = BAD_SPLITS[case]
    for dtype in (list, np.array):
        pair = tuple(dtype(part) for part in split)
        model = small(split=pair)
        for train in (model.fit, model.partial_fit):
            with pytest.raises(ValueError, match=f"'split' parameter.*{message}"):
                train(table())
            assert not hasattr(model, "n_features_in_")


def test_many_bad_features_are_listed_in_part(no_steps):
    X = table(24, 40)
    message = "of the 40 features of X.*Features 1, 2, 3, 4, 5, ... are in neither part"
    with pytest.raises(ValueError, match=message):
        small(split=([0], list(range(20, 40)))).fit(X)


NO_PAIRS = [
    ([0, 1], []),
    ([0, 1], [2], [3]),
    ([0.0, 1.0], [2.0]),
    ([True, False], [False, True]),
    ([0, -1], [1, 2]),
    [0, 1, 2],
    np.arange(5),
    np.zeros((2, 2)),
    {0: [1], 1: [2]},
    ("halves", "channels"),
    (("a", [0]), ("b", [1])),
    "half",
]


@pytest.mark.parametrize("split", NO_PAIRS, ids=str)
def test_what_is_no_split(split, untrained):
    untrained()
    message = "'split' parameter of SplitBrainAutoencoder must be a str among .* or a "
    message += "pair of arrays of ints"
    with pytest.raises(ValueError, match=message):
        small(split=split).fit(table())


@pytest.mark.parametrize("split", ["halves", ([0], [1])])
def test_one_feature_is_no_two_parts(split, no_steps):
    with pytest.raises(ValueError, match=r"two features or more.* 1 feature"):
        small(split=split).fit(table(24, 1))


def test_one_component_is_the_first_parts():
    """The second has no code, and predicts the first part's mean."""
    X = table(200, 6) * [1, 1, 1, 3, 3, 3]
    model = small(1, max_iter=200, learning_rate_init=0.02).fit(X)
    assert model.transform(X).shape == (200, 1)
    restored = model.reconstruct(X)
    np.testing.assert_array_equal(restored[:, :3] - restored[0, :3], 0.0)
    np.testing.assert_allclose(restored[0, :3], X[:, :3].mean(axis=0), rtol=0.02)
    assert (restored[:, 3:].std(axis=0) > 0.5).all()
    bits = small(1, target="classification").fit(X)
    assert np.isfinite(bits.reconstruct(X)).all()


def test_sparse_rows_are_refused(no_steps):
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        small().fit(sp.csr_array(table()))


def test_sparse_rows_are_refused_by_a_fit():
    model = FITTED["halves"]()
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        model.transform(sp.csr_array(table()))


# -- the objective ---------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_objective_of_regression(loss):
    """−log p(x₂ | g₁(f₁(x₁))) − log p(x₁ | g₂(f₂(x₂))) + (α/2) Σ‖W‖²."""
    model = small(loss=loss, alpha=0.1, split=ODD).fit(table())
    module, x = model.module_, seen(model)
    z = [f(x[:, list(p)]) for f, p in zip(module.encoder.networks, ODD, strict=True)]
    nats = 0.0
    for g, code, target in zip(module.decoder.networks, z, ODD[::-1], strict=True):
        error = g(code) - x[:, list(target)]
        nats = nats + (0.5 * error**2 if loss == "squared_error" else error.abs()).sum()
    terms = module.loss(Batch(x, x))
    assert terms["reconstruction"].item() == pytest.approx(nats.item() / len(x))
    weights = module.weights()
    assert len(weights) == 8
    decay = 0.05 * sum(w.square().sum() for w in weights)
    assert terms["weight_decay"].item() == pytest.approx(decay.item())


@pytest.mark.parametrize("name", ["classification", "channels-classification"])
def test_objective_of_classification(name):
    """The cross-entropy of bins that are worked out one by one, in nats."""
    model = FITTED[name]()
    module, x = model.module_, seen(model)
    edges, centres = (getattr(module.likelihood, n) for n in ("edges", "centres"))
    a = module.decoder(module.encode(x)).detach()
    assert a.shape == (*x.shape, 4)
    nats, restored = 0.0, torch.zeros_like(x)
    for i in range(len(x)):
        for j in range(x.shape[1]):
            which = int((x[i, j] >= edges[j]).sum())
            p = a[i, j].softmax(0)
            nats -= p[which].log().item()
            restored[i, j] = (p * centres[j]).sum()
    terms = module.loss(Batch(x, x))
    assert terms["reconstruction"].item() == pytest.approx(nats / len(x))
    torch.testing.assert_close(module.reconstruct(x), restored)


def test_linear_networks_are_two_linear_regressions_of_low_rank():
    """With as many components as features: the least squares between the parts."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) + 3
    model = small(
        6, hidden_layer_sizes=(), solver="lbfgs", max_iter=300, tol=1e-12
    ).fit(X)
    first, second = X[:, :3], X[:, 3:]
    expected = np.hstack(
        [
            LinearRegression().fit(second, first).predict(second),
            LinearRegression().fit(first, second).predict(first),
        ]
    )
    np.testing.assert_allclose(model.reconstruct(X), expected, atol=1e-3)


def test_affine_decoder():
    X = table()
    model = FITTED["affine"]()
    Z = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_allclose(
        model.inverse_transform(Z), Z @ model.components_ + model.mean_
    )
    assert (model.components_[:2, :3] == 0).all()  # the first part's code is of the
    assert (model.components_[2:, 3:] == 0).all()  # second, and the other way round
    module, z = model.module_, torch.tensor(Z)
    weight, bias = module.decoder.readout()
    torch.testing.assert_close(
        module.decoder.features(z) @ weight.T + bias, module.decoder(z)
    )
    deep = FITTED["arrays"]()
    weight, bias = deep.module_.decoder.readout()
    torch.testing.assert_close(
        deep.module_.decoder.features(z) @ weight.T + bias, deep.module_.decoder(z)
    )
    for name in ("classification", "channels"):
        with pytest.raises(AttributeError, match="no attribute 'components_'"):
            FITTED[name]().components_  # noqa: B018
    assert model.transform(X).shape == (24, 3)


def test_parts_that_have_nothing_in_common_give_their_means():
    """What a plain autoencoder copies cannot be told from the other part."""
    X = np.random.default_rng(0).normal(size=(2000, 4))
    params = {"max_iter": 30, "hidden_layer_sizes": (16,), "random_state": 0}
    split = SplitBrainAutoencoder(4, **params).fit(X)
    plain = Autoencoder(4, **params).fit(X)
    assert -split.score(X) > 0.95 and -plain.score(X) < 0.05


def test_dropout_and_warm_start_and_penalty():
    X = table()
    model = small(dropout=0.3, penalties=L2(), warm_start=True).fit(X)
    assert model.fit(X).n_iter_ == 6
    terms = {"train_loss", "train_reconstruction", "train_l2"}
    assert model.history_.keys() == terms
    np.testing.assert_array_equal(model.transform(X), model.transform(X))


# -- classification --------------------------------------------------------------


def either_or(n=1000, seed=0):
    """Return rows whose last feature is ±1, and whose first does not say which."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(1, 2, n)
    return np.column_stack([size, size * rng.choice([-1.0, 1.0], n)])


def test_classification_knows_what_regression_averages_away():
    """Of a number that is one of two, the bins between them are left empty."""
    X = either_or()
    params = {"hidden_layer_sizes": (32,), "max_iter": 60, "n_components": 2}
    params |= {"learning_rate_init": 0.01}
    model = small(target="classification", n_bins=8, **params).fit(X)
    mean = small(**params).fit(X)
    x = Rows(X, model._fit.units, torch.float64).everything().x
    p = model.module_.decoder(model.module_.encode(x))[:, 1].softmax(1).detach()
    expected = model.module_.likelihood.centres[1] * model._fit.units.scale
    expected = expected.numpy() + model._fit.units.shift[1]
    near = np.abs(np.abs(expected) - X[:, :1]) < 0.35  # of its size, on either side
    assert (p.numpy() * near).sum(1).mean() > 0.8
    assert 0.4 < (p.numpy() * (expected > 0)).sum(1).mean() < 0.6
    assert np.abs(mean.reconstruct(X)[:, 1]).mean() < 0.3  # neither of both


def test_bins_hold_as_many_rows_each():
    x = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0)).double()
    bins = Bins(3, 8, torch.float64)
    bins.learn(x)
    which = bins.assign(x)
    for j in range(3):
        assert torch.bincount(which[:, j]).tolist() == [125] * 8
        for b in range(8):
            assert bins.centres[j, b] == pytest.approx(x[which[:, j] == b, j].mean())
    assert (bins.edges.diff() > 0).all() and (bins.centres.diff() > 0).all()
    assert bins.assign(torch.full((1, 3), -99.0).double()).tolist() == [[0, 0, 0]]
    assert bins.assign(torch.full((1, 3), 99.0).double()).tolist() == [[7, 7, 7]]


def test_bins_of_few_values_are_these_values():
    """Of constants, of zeros and ones, of fewer rows than bins."""
    x = torch.tensor([[5.0, 0.0, 1.0], [5.0, 1.0, 2.0], [5.0, 1.0, 4.0]]).double()
    bins = Bins(3, 8, torch.float64)
    bins.learn(x)
    which = bins.assign(x)
    torch.testing.assert_close(bins.centres.gather(1, which.T).T, x)
    certain = F.one_hot(which, 8).double().log()
    torch.testing.assert_close(bins.output(certain), x)
    assert bins.mean_nats(certain.clamp_min(-99.0), x).item() == pytest.approx(0.0)
    assert (bins.error(certain, x + 1.0, 2.0) == 4.0).all()


def test_bins_come_from_rows_of_the_whole_training_set(monkeypatch):
    """Even where there are too many to look at all, and they come in order."""
    monkeypatch.setattr("sklearn_ae.autoencoders.split_brain.BIN_NUMBERS", 1)
    X = np.sort(np.random.default_rng(0).normal(size=(5000, 2)), axis=0)
    model = small(target="classification", max_iter=1).fit(X)
    which = model.module_.likelihood.assign(seen_of(model, X))
    counts = np.bincount(which[:, 0], minlength=16)
    np.testing.assert_allclose(counts, 5000 / 16, rtol=0.05)


def seen_of(model, X):
    return Rows(X, model._fit.units, torch.float64).everything().x


def test_bins_stay_where_training_goes_on():
    X = table(60)
    model = small(target="classification", warm_start=True).fit(X)
    edges = model.module_.likelihood.edges.clone()
    for train in (model.fit, model.partial_fit):
        train(X * 1.5)
        assert torch.equal(model.module_.likelihood.edges, edges)
    for params in ({"n_bins": 8}, {"target": "regression"}, {"split": ODD}):
        other = clone(model).fit(X).set_params(**params)
        with pytest.raises(
            ValueError, match=f"go on with another.*{next(iter(params))}"
        ):
            other.fit(X)


def test_held_out_rows_do_not_move_the_bins():
    X = table(100)
    params = {"target": "classification", "early_stopping": True}
    one = small(**params).fit(X)
    _, held_out = engine_train.split(one, 100, 0, False)
    X[held_out] *= 100.0
    two = small(**params).fit(X)
    assert torch.equal(one.module_.likelihood.edges, two.module_.likelihood.edges)


# -- colour ----------------------------------------------------------------------


@pytest.mark.parametrize("top", [1.0, 255.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_network_sees_lab(top, dtype):
    X = (colours() * top).astype(dtype)
    units = LabUnits.of_images(X, None, True)
    assert units.top == top and units.view(X).dtype == dtype
    lab = rgb2lab(X.reshape(40, -1, 3) / dtype(top)).reshape(40, -1)
    np.testing.assert_array_equal(units.view(X), lab)
    np.testing.assert_allclose(units.shift, lab.mean(axis=0), rtol=1e-4, atol=1e-4)
    assert units.scale == pytest.approx(np.sqrt(lab.var(axis=0).mean()), rel=1e-4)
    x = Rows(X, units, torch.float64).everything().x
    np.testing.assert_allclose(x, (lab - units.shift) / units.scale, atol=1e-6)
    np.testing.assert_allclose(units.to_data(x), X, atol=1e-3 * top)


def test_channels_are_lightness_and_colour():
    model = FITTED["channels"]()
    first, second = parts_of(model)
    assert first.tolist() == list(range(0, 72, 3))
    assert second.tolist() == [i for i in range(72) if i % 3]
    X = colours()
    grey = np.repeat(X.reshape(-1, 3)[:, :1], 3, axis=1).reshape(X.shape)
    lab = rgb2lab(grey.reshape(40, -1, 3))
    other = lab.copy()
    other[..., 1:] += 5 * np.random.default_rng(1).normal(size=other[..., 1:].shape)
    tinted = lab2rgb(other.clip([0, -9, -9], [100, 9, 9]))
    back = rgb2lab(tinted)  # where a tint would have changed the lightness too
    same = np.abs(back[..., 0] - lab[..., 0]).max(axis=1) < 1e-6
    assert same.any()
    codes = [model.transform(rows.reshape(40, -1))[same] for rows in (grey, tinted)]
    np.testing.assert_allclose(codes[0][:, :2], codes[1][:, :2], atol=1e-5)
    assert not np.allclose(codes[0][:, 2:], codes[1][:, 2:], atol=1e-2)


def test_uint8_images():
    """Whole numbers up to 255 mean what their shares of 255 mean."""
    X = np.round(colours() * 255)
    as_bytes = of_images().fit(X.astype(np.uint8))
    as_shares = of_images().fit(X / 255)
    np.testing.assert_allclose(
        as_bytes.transform(X), as_shares.transform(X / 255), rtol=1e-6
    )
    np.testing.assert_allclose(
        as_bytes.reconstruct(X), 255 * as_shares.reconstruct(X / 255), rtol=1e-6
    )
    assert as_bytes.score(X) == pytest.approx(255**2 * as_shares.score(X / 255))


@pytest.mark.parametrize("name", [n for n in FITTED if n.startswith("channels")])
def test_answers_are_in_the_units_of_the_images(name):
    X, model = colours(), FITTED[name]()
    codes = model.transform(X)
    restored = model.reconstruct(X)
    np.testing.assert_allclose(model.inverse_transform(codes), restored, rtol=1e-9)
    assert (restored >= 0).all() and (restored <= 1).all()
    lab = model.module_.reconstruct(seen(model)).detach().numpy()
    lab = (lab * model._fit.units.scale + model._fit.units.shift).reshape(40, -1, 3)
    np.testing.assert_allclose(restored.reshape(40, -1, 3), lab2rgb(lab), atol=1e-6)
    errors = model.reconstruction_error(X, per_feature=True)
    np.testing.assert_array_equal(errors, (X - restored) ** 2)
    np.testing.assert_allclose(model.reconstruction_error(X), errors.mean(axis=1))
    np.testing.assert_array_equal(
        model.score_samples(X), -model.reconstruction_error(X)
    )
    drawn = model.sample(5, random_state=0)
    assert drawn.shape == (5, 72) and (drawn >= 0).all() and (drawn <= 1).all()
    assert model.interpolate(X[0], X[1], n=3).shape == (3, 72)


def test_absolute_error_and_float32():
    X = colours(dtype=np.float32)
    model = of_images(loss="absolute_error", dtype="float32").fit(X)
    errors = model.reconstruction_error(X, per_feature=True)
    assert errors.dtype == np.float32 and model.reconstruct(X).dtype == np.float32
    np.testing.assert_array_equal(errors, np.abs(X - model.reconstruct(X)))


def test_raw_lab():
    model = of_images(standardize=False).fit(colours())
    np.testing.assert_array_equal(seen(model), model._fit.units.view(colours()))


def test_errors_do_not_depend_on_the_chunk(monkeypatch):
    X, model = colours(), FITTED["channels"]()
    whole = model.reconstruction_error(X)
    monkeypatch.setattr("sklearn_ae.engine.inputs.CHUNK_NUMBERS", 1)
    np.testing.assert_allclose(model.reconstruction_error(X), whole, rtol=1e-9)


def test_colours_that_cannot_be_shown_are_clipped():
    """And without scikit-image's warning of the bluest, which is an error here."""
    units = LabUnits(top=255.0)
    lab = torch.tensor([[50.0, 0.0, 500.0], [-5.0, 900.0, -900.0], [150.0, 0.0, 0.0]])
    rgb = units.to_data(lab.double())
    assert (rgb >= 0).all() and (rgb <= 255).all()
    assert rgb[2].tolist() == pytest.approx([255.0] * 3, abs=0.1)
    with torch.inference_mode():
        assert torch.equal(units.to_data(lab.double()), rgb)


def test_lightness_tells_colour():
    """Of images whose colour is a function of their lightness, all is predicted."""
    rng = np.random.default_rng(0)
    level = np.clip(rng.random((200, 1, 1)) + 0.1 * rng.random((200, 24, 1)), 0, 1)
    X = (level * [1.0, 0.5, 0.2] + (1 - level) * [0.0, 0.3, 0.6]).reshape(200, -1)
    model = of_images(8, hidden_layer_sizes=(), max_iter=120, batch_size=50).fit(X)
    assert -model.score(X) < 0.1 * X.var(axis=0).mean()


RANGES = {
    "negative": (-0.1, 1.0, r"in \[0, 1\] or in \[0, 255\].*\[-0.1, 1\]"),
    "large": (0.0, 256.0, r"in \[0, 1\] or in \[0, 255\].*\[0, 256\]"),
}


@pytest.mark.parametrize("case", RANGES)
def test_values_that_are_no_colours(case, no_steps):
    low, high, message = RANGES[case]
    X = colours()
    X[0, 0], X[1, 1] = low, high
    for train in (of_images().fit, of_images().partial_fit):
        with pytest.raises(ValueError, match=message):
            train(X)


def test_images_of_another_range_than_those_of_the_fit():
    X, model = colours(), of_images(warm_start=True).fit(colours())
    before = model.transform(X)
    for use in (model.partial_fit, model.fit):  # to go on with
        for bad, seen_as in ((X * 255, r"\[0, 1\].*Got"), (X - 1, r"\[0, 1\].*\[-")):
            with pytest.raises(ValueError, match=f"values in {seen_as}"):
                use(bad)
    np.testing.assert_array_equal(model.transform(X), before)
    for rows in (X * 255, X - 1):  # new ones are seen clipped, and judged as they are
        seen = rows.clip(0.0, 1.0)
        for use in (model.transform, model.reconstruct):
            np.testing.assert_array_equal(use(rows), use(seen))
        errors = model.reconstruction_error(rows, per_feature=True)
        np.testing.assert_array_equal(errors, (rows - model.reconstruct(rows)) ** 2)
        assert model.score(rows) < model.score(seen)
    large = of_images().fit(X * 255)
    assert np.isfinite(large.transform(X)).all()  # dark ones, of 255


SHAPES = {
    "none": ({"image_shape": None}, r"needs image_shape=\(height, width, 3\).*None"),
    "grey": ({"image_shape": (8, 9)}, r"\(height, width, 3\). Got .*\(8, 9\)"),
    "other": ({"image_shape": (6, 6, 2)}, r"\(height, width, 3\). Got .*\(6, 6, 2\)"),
    "size": ({"image_shape": (6, 6, 3)}, "holds 108 numbers, but X has 72 features"),
    "halves": ({"split": "halves"}, "image_shape needs split='channels'"),
    "ranges": ({"split": (range(36), range(36, 72))}, "needs split='channels'"),
    "poisson": ({"loss": "poisson"}, "needs loss='squared_error' or 'absolute_error'"),
    "log loss": ({"loss": "log_loss"}, "split='channels' needs loss=.*Got .*log_loss"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_images_that_cannot_be_split(case, no_steps):
    params, message = SHAPES[case]
    for train in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=message):
            getattr(of_images(**params), train)(colours())


@pytest.mark.parametrize("loss", ["absolute_error", "log_loss", "poisson"])
def test_classification_has_its_own_loss(loss, untrained):
    untrained()
    message = "target='classification' needs loss='squared_error'. Got loss="
    with pytest.raises(ValueError, match=message):
        small(target="classification", loss=loss).fit(table())


def test_output_of_classification_is_its_own(untrained):
    untrained()
    with pytest.raises(ValueError, match="target='classification' needs output_act"):
        small(target="classification", output_activation="relu").fit(table())


def test_scikit_image_is_asked_for_by_name(monkeypatch):
    import builtins

    whole = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("skimage"):
            raise ImportError(name)
        return whole(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for standardize in (True, False):
        with pytest.raises(ImportError, match=r"sklearn_ae\[images\]"):
            of_images(standardize=standardize).fit(colours())
    small().fit(table())  # which needs none of it


def test_conversion_in_threads():
    X, model = colours(200), FITTED["channels"]()
    expected, got = model.reconstruct(X), []
    threads = [
        threading.Thread(target=lambda: got.append(model.reconstruct(X)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 4 and all(np.array_equal(rows, expected) for rows in got)


def test_large_images_are_turned_to_lab_by_the_batch(monkeypatch):
    X = colours()
    expected = of_images().fit(X)
    monkeypatch.setattr(engine_rows, "CACHE_BYTES", 1000)
    most = []
    plain = LabUnits.view

    def watched(self, rows):
        most.append(len(rows))
        return plain(self, rows)

    monkeypatch.setattr(colour.LabUnits, "view", watched)
    monkeypatch.setattr("sklearn_ae.engine.inputs.CHUNK_NUMBERS", 1)
    model = of_images(batch_size=10).fit(X)
    assert max(most) <= 32 < len(X)
    np.testing.assert_allclose(model._fit.units.shift, expected._fit.units.shift)


# -- what comes back -------------------------------------------------------------


@each
@pytest.mark.parametrize("way", ["pickle", "skops"])
def test_round_trip(name, way, tmp_path):
    model = FITTED[name]()
    if way == "pickle":
        back = pickle.loads(pickle.dumps(model))
    else:
        save(model, tmp_path / "model.skops")
        back = load(tmp_path / "model.skops")
    X = colours() if model.split == "channels" else table()
    for ask in ("transform", "reconstruct", "score_samples"):
        np.testing.assert_array_equal(getattr(back, ask)(X), getattr(model, ask)(X))
    np.testing.assert_array_equal(
        back.partial_fit(X).transform(X), model.partial_fit(X).transform(X)
    )


def test_same_seed_same_bits():
    for name in ("classification", "channels"):
        one, two = FITTED[name](), FITTED[name]()
        weights = zip(one.module_.parameters(), two.module_.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in weights)


def test_first_layer_of_a_stack():
    X = colours()
    layers = [
        ("colour", of_images()),
        ("top", Autoencoder(2, max_iter=3, dtype="float64")),
    ]
    stack = StackedAutoencoderPretrainer(estimators=layers, random_state=0).fit(X)
    assert stack.transform(X).shape == (40, 2)
    rows = stack.reconstruct(X)
    assert (rows >= 0).all() and (rows <= 1).all()
    plain = stack.named_estimators_["colour"]
    codes = plain.transform(X)
    top = stack.named_estimators_["top"]
    np.testing.assert_allclose(
        rows, plain.inverse_transform(top.reconstruct(codes)), atol=1e-5
    )
    errors = np.square(X - rows)
    np.testing.assert_allclose(
        stack.reconstruction_error(X, per_feature=True), errors, atol=1e-5
    )
    np.testing.assert_allclose(stack.score_samples(X), -errors.mean(1), atol=1e-5)


def test_units_of_other_splits_are_the_usual_ones():
    assert type(FITTED["halves"]()._fit.units) is Units
