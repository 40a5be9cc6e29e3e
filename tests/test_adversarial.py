"""Adversarial autoencoders: whose step moves what, priors, labels, and a match."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from estimators import near
from sklearn.base import clone
from sklearn.datasets import load_digits
from skorch.callbacks import Callback

from sklearn_ae import L2, AdversarialAutoencoder, Autoencoder, load, save
from sklearn_ae.engine import eager
from sklearn_ae.engine.rows import Batch
from sklearn_ae.engine.schedules import schedule_factor
from sklearn_ae.parts.priors import PRIORS, MixturePrior

ANY = torch.full((20_000,), -1)


def make(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(n=90, d=6, seed=0):
    """Return rows of three classes, and these."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    centres = 4 * rng.normal(size=(3, d))
    return centres[y] + rng.normal(size=(n, d)), y


def ring(n, random_state):
    angle = random_state.uniform(0, 2 * np.pi, n)
    return 2 * np.c_[np.cos(angle), np.sin(angle)]


def small(**params):
    given = {"hidden_layer_sizes": (6,), "max_iter": 5, "dtype": "float64"}
    given["discriminator_layer_sizes"] = (5,)
    return AdversarialAutoencoder(**{**given, "random_state": 0, **params})


def batch_of(model, X, y=None):
    x = torch.tensor((X - model._fit.units.shift) / model._fit.units.scale)
    return Batch(x, x, label=None if y is None else torch.tensor(y))


# -- whose step moves what -------------------------------------------------------


@pytest.mark.parametrize("prior", PRIORS)
def test_discriminators_loss_reaches_it_alone(prior):
    """★ No gradient leaks into the encoder, or the decoder."""
    X, y = rows()
    model = small(prior=prior).fit(X, y)
    module = model.module_
    module.zero_grad()
    module.discrimination(batch_of(model, X, y), make()).backward()
    for name, parameter in module.named_parameters():
        of_the_rival = name.startswith("discriminator.")
        assert (parameter.grad is not None) == of_the_rival
    assert any(p.grad.abs().max() > 0 for p in module.discriminator.parameters())


def test_objective_does_not_know_the_discriminator():
    X, _ = rows()
    model = small().fit(X)
    module = model.module_
    module.zero_grad()
    terms = module.loss(batch_of(model, X), make())
    assert list(terms) == ["reconstruction"]
    sum(terms.values()).backward()
    assert all(p.grad is None for p in module.discriminator.parameters())
    assert all(p.grad is not None for p in module.encoder.parameters())


class Moves:
    """Keep which parts of the module each optimizer's step changes."""

    def __init__(self, monkeypatch):
        self.seen, self.module = [], None
        for kind in (eager.AdamW, eager.Adam):
            monkeypatch.setattr(kind, "step", self.watched(kind))

    def watched(self, kind):
        original = kind.step

        def step(optimizer, closure=None):
            if self.module is None:  # as of an AdamW that is an Adam
                return original(optimizer, closure)
            module, self.module = self.module, None
            before = {n: p.detach().clone() for n, p in module.named_parameters()}
            made = original(optimizer, closure)
            changed = {
                name.split(".")[0]
                for name, p in module.named_parameters()
                if not torch.equal(p, before[name])
            }
            self.seen.append(changed)
            self.module = module
            return made

        return step


def test_each_step_moves_its_own_part(monkeypatch):
    """★ The autoencoder's; the discriminator's; the encoder's: in turn."""
    moves = Moves(monkeypatch)

    class Begin(Callback):
        def on_train_begin(self, net, **kwargs):
            moves.module = net.module_

    small(max_iter=2, callbacks=[Begin()]).fit(rows()[0])
    steps = [{"encoder", "decoder"}, {"discriminator"}, {"encoder"}]
    assert moves.seen == 2 * steps


def test_losses_are_the_papers():
    """−log D(z) − log(1 − D(f(x))); and for the encoder −log D(f(x)), which does not
    saturate where D is sure that a code is one."""
    X, _ = rows()
    model = small().fit(X)
    module, batch = model.module_, batch_of(model, X)
    with torch.no_grad():
        found = [
            float(module.discrimination(batch, make())),
            float(module.deception(batch, make())),
        ]
        label = torch.full((len(X),), -1)
        drawn = module.prior.draw(len(X), make(), label).double()
        codes = torch.tensor(model.transform(X))
        real, false = (module.discriminator(z).sigmoid() for z in (drawn, codes))
    expected = -real.log().mean() - (1 - false).log().mean()
    assert found[0] == pytest.approx(float(expected))
    assert found[1] == pytest.approx(float(-false.log().mean()))


def test_encoder_learns_even_from_a_sure_discriminator():
    X, _ = rows()
    model = small().fit(X)
    module = model.module_
    with torch.no_grad():
        module.discriminator.readout()[1].fill_(-50.0)
    loss = module.deception(batch_of(model, X), make())
    gradients = torch.autograd.grad(loss, list(module.encoder.parameters()))
    logit = module.logit(module.encode(batch_of(model, X).x), torch.full((90,), -1))
    direct = torch.autograd.grad(-logit.mean(), list(module.encoder.parameters()))
    for ours, theirs in zip(gradients, direct, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_terms_of_each_epoch_are_kept():
    history = small(max_iter=4).fit(rows()[0]).history_
    names = {"loss", "reconstruction", "discrimination", "deception"}
    assert history.keys() == {f"train_{name}" for name in names}
    assert all(curve.shape == (4,) for curve in history.values())
    np.testing.assert_array_equal(
        history["train_loss"], history["train_reconstruction"]
    )


# -- three optimizers ------------------------------------------------------------


class Rates(Callback):
    seen = []

    def on_batch_end(self, net, **kwargs):
        rates = [o.param_groups[0]["lr"] for o in net.optimizers().values()]
        if kwargs["training"]:
            self.seen.append(rates)


def test_one_cycle_moves_all_three_rates():
    Rates.seen = []
    given = {"learning_rate_init": 0.01, "adversarial_rate": 0.3}
    small(max_iter=20, callbacks=[Rates()], **given).fit(rows()[0])
    rates = np.array(Rates.seen)
    assert rates.shape == (20, 3)
    expected = [0.01 * schedule_factor("one_cycle", (i + 0.5) / 20) for i in range(20)]
    np.testing.assert_allclose(rates, np.outer(expected, [1.0, 1.0, 0.3]))


def test_each_optimizer_has_its_own_weights():
    model = small(warm_start=True).fit(rows()[0])
    kept = [
        {id(p) for group in o.param_groups for p in group["params"]}
        for o in model.net_.optimizers().values()
    ]
    encoder, decoder, rival = (
        {id(p) for p in getattr(model.module_, part).parameters()}
        for part in ("encoder", "decoder", "discriminator")
    )
    assert kept == [encoder | decoder, rival, encoder]


def through_pickle(model, path):
    return pickle.loads(pickle.dumps(model))


def through_skops(model, path):
    save(model, path)
    return load(path)


@pytest.mark.parametrize("way", [through_pickle, through_skops])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_moments_of_all_three_are_kept(way, solver, tmp_path):
    """Training goes on with them, by `partial_fit` and by a warm start."""
    X, y = rows()
    model = small(warm_start=True, solver=solver, prior="mixture").fit(X, y)
    kept = model._fit.optimizer_moments
    moment = "momentum_buffer" if solver == "sgd" else "exp_avg"
    for name in (f"0.{moment}", "discriminator0.exp_avg", "encoder0.exp_avg"):
        assert np.abs(kept[name]).max() > 0
    assert kept["discriminator0.step"] == kept["encoder0.step"] == 5
    back = way(model, tmp_path / "model")
    for train in ("partial_fit", "fit"):
        for one in (model, back):
            getattr(one, train)(X, y)
        np.testing.assert_array_equal(back.transform(X), model.transform(X))
    assert back._fit.optimizer_moments["discriminator0.step"] == 11
    forgetful = way(model, tmp_path / "model")
    forgetful._fit = replace(forgetful._fit, optimizer_moments=None)
    forgotten, known = (m.partial_fit(X, y).transform(X) for m in (forgetful, model))
    assert not np.allclose(forgotten, known, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "settings",
    [
        {"solver": "lbfgs"},
        {"solver": "sgd"},
        {"dtype": "bfloat16"},
        {"dropout": 0.2, "alpha": 1e-3},
        {"early_stopping": True},
        {"learning_rate": "constant"},
        {"tied_weights": True},
        {"n_components": 1},
        {"penalties": L2()},
    ],
)
def test_same_seed_same_weights(settings, untouched_global_state):
    X, y = rows()
    for prior in PRIORS:
        model = small(prior=prior, **settings)
        first, second = (clone(model).fit(X, y) for _ in range(2))
        other = clone(model).set_params(random_state=1).fit(X, y)
        np.testing.assert_array_equal(first.transform(X), second.transform(X))
        assert not np.array_equal(first.transform(X), other.transform(X))
        assert np.isfinite(first.transform(X)).all() and np.isfinite(first.score(X))


# -- priors ----------------------------------------------------------------------

#: Mean and variance of each component of the code.
MOMENTS = {"gaussian": (0.0, 1.0), "uniform": (0.0, 1 / 3)}


@pytest.mark.parametrize("prior", MOMENTS)
def test_priors_have_their_moments(prior):
    """To four standard errors; and their components are independent."""
    z = PRIORS[prior](3, 1).draw(20_000, make(), ANY).double()
    mean, variance = MOMENTS[prior]
    assert z.shape == (20_000, 3)
    error = math.sqrt(variance / len(z))
    np.testing.assert_allclose(z.mean(0), mean, atol=4 * error)
    expected = variance * np.eye(3)
    np.testing.assert_allclose(
        np.cov(z.T), expected, atol=4 * variance * math.sqrt(2 / len(z))
    )
    if prior == "uniform":
        assert 0.99 < float(z.abs().max()) <= 1.0
    else:
        assert float((z.abs() > 1.96).double().mean()) == pytest.approx(0.05, abs=0.005)


def polar(z):
    return np.hypot(z[:, 0], z[:, 1]), np.arctan2(z[:, 1], z[:, 0])


@pytest.mark.parametrize("n_parts", [2, 3, 10, 25])
def test_parts_of_the_mixture_are_in_a_circle(n_parts):
    """Each at its angle, told apart from its neighbours."""
    prior, n = MixturePrior(4, n_parts), 4000
    for part in range(n_parts):
        z = prior.draw(n, make(part), torch.full((n,), part)).double().numpy()
        angle = 2 * math.pi * part / n_parts
        mean = [math.cos(angle), math.sin(angle), 0, 0]
        np.testing.assert_allclose(z.mean(axis=0), mean, atol=4 * 0.3 / math.sqrt(n))
        outwards = z[:, :2] @ [math.cos(angle), math.sin(angle)]
        sideways = z[:, :2] @ [-math.sin(angle), math.cos(angle)]
        # four standard errors of a standard deviation are 4.5 % of it
        assert outwards.std() == pytest.approx(0.3, rel=0.045)
        along = 0.3 * min(1.0, 2 * math.pi / n_parts / 6 / 0.3)
        assert sideways.std() == pytest.approx(along, rel=0.045)
        np.testing.assert_allclose(z[:, 2:].std(axis=0), 0.3, rtol=0.045)
        # neighbours are six of these apart, so three reach half way
        assert along <= 2 * math.pi / n_parts / 6 + 1e-9


def test_any_part_of_the_mixture():
    """Rows without a label are drawn from each part as often; others from their own."""
    prior, part = MixturePrior(2, 4), torch.arange(20_000) % 5 - 1
    z = prior.draw(20_000, make(), part).double().numpy()
    nearest = np.round(polar(z)[1] / (math.pi / 2)).astype(int) % 4
    known = part.numpy() >= 0
    right = nearest[known] == part.numpy()[known]
    assert right.mean() > 0.98
    shares = np.bincount(nearest[~known], minlength=4) / (~known).sum()
    np.testing.assert_allclose(shares, 0.25, atol=4 * math.sqrt(0.25 * 0.75 / 4000))


@pytest.mark.parametrize("n_parts", [1, 2, 5])
def test_mixture_on_a_line(n_parts):
    prior, n = MixturePrior(1, n_parts), 4000
    means = np.linspace(-1, 1, n_parts) if n_parts > 1 else [0.0]
    gap = 2 / max(n_parts - 1, 1)
    for part, mean in enumerate(means):
        z = prior.draw(n, make(), torch.full((n,), part)).double().numpy()
        assert z.shape == (n, 1)
        std = min(0.3, gap / 6)
        assert z.mean() == pytest.approx(mean, abs=4 * std / math.sqrt(n))
        assert z.std() == pytest.approx(std, rel=0.045)


@pytest.mark.parametrize("prior", PRIORS)
def test_draws_are_the_generators(prior, untouched_global_state):
    draw = PRIORS[prior](3, 4).draw
    one, same, other = (draw(50, make(seed), ANY[:50]) for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


# -- a match ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:1000], y[:1000]


def matched(prior, X, y=None, **params):
    given = {"max_iter": 60, "learning_rate_init": 3e-3, "dtype": "float32"}
    given |= {"hidden_layer_sizes": (64,), "discriminator_layer_sizes": (64, 32)}
    return small(prior=prior, **{**given, **params}).fit(X, y)


def apart(first, second):
    """Return the sliced Wasserstein distance of as many draws."""
    ways = np.random.default_rng(0).normal(size=(2, 50))
    ways /= np.linalg.norm(ways, axis=0)
    return np.abs(np.sort(first @ ways, 0) - np.sort(second @ ways, 0)).mean()


@pytest.mark.parametrize(
    "prior", ["gaussian", pytest.param("uniform", marks=pytest.mark.slow)]
)
def test_codes_get_near_the_prior(prior, digits):
    """★ To a third of a plain autoencoder's distance; and about as near as draws."""
    X, _ = digits
    z = matched(prior, X).transform(X)
    drawn, others = (
        PRIORS[prior](2, 1).draw(len(X), make(seed), ANY[: len(X)]).numpy()
        for seed in (0, 1)
    )
    plain = Autoencoder(2, max_iter=60, hidden_layer_sizes=(64,), random_state=0)
    assert apart(z, drawn) < apart(plain.fit(X).transform(X), drawn) / 3
    assert apart(z, drawn) < 3 * apart(others, drawn)
    mean, variance = MOMENTS[prior]
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.1)
    np.testing.assert_allclose(z.var(axis=0), variance, rtol=0.2)


@pytest.mark.slow
def test_codes_take_on_the_priors_shape(digits):
    """A ring, with a hole that no autoencoder would leave of itself."""
    settings = {"hidden_layer_sizes": (32,), "learning_rate_init": 0.01}
    settings |= {"batch_size": 50, "max_iter": 120}
    model = matched(ring, digits[0][:300], **settings)
    radius = polar(model.transform(digits[0][:300]))[0]
    assert (np.abs(radius - 2) < 0.5).mean() > 0.7  # of N(0, 1) it would be 0.28


def part_of(z, n_parts):
    return np.round(polar(z)[1] / (2 * math.pi / n_parts)).astype(int) % n_parts


@pytest.mark.slow
def test_labels_steer_the_mixture(digits):
    """Each class is nearest to its own part, in the order of `classes_`."""
    X, y = digits
    names = np.array([f"digit {i}" for i in range(10)])[y]
    model = matched("mixture", X, names, max_iter=80, n_components=2)
    assert model.classes_.tolist() == [f"digit {i}" for i in range(10)]
    assert (part_of(model.transform(X), 10) == y).mean() > 0.8


@pytest.mark.slow
def test_few_labels_steer_the_mixture_too():
    """−1 is no label: such rows find the part of the class that they are like."""
    X, y = rows(300)
    some = np.where(np.arange(300) % 10 < 7, -1, y)
    model = small(prior="mixture", max_iter=200, learning_rate_init=0.01)
    model.set_params(hidden_layer_sizes=(32,), discriminator_layer_sizes=(64, 32))
    model.set_params(unlabeled=-1).fit(X, some)
    assert model.classes_.tolist() == [0, 1, 2]
    unlabelled = some == -1
    assert (part_of(model.transform(X), 3) == y)[unlabelled].mean() > 0.8
    centres = np.array([X[y == i].mean(axis=0) for i in range(3)])
    for i in range(3):
        drawn = model.sample(200, random_state=0, label=i)
        distance = np.linalg.norm(drawn[:, None] - centres, axis=2)
        assert (distance.argmin(axis=1) == i).mean() > 0.8


# -- labels ----------------------------------------------------------------------


def test_same_labels_by_other_names():
    X, y = rows()
    model = small(prior="mixture", unlabeled=-1).fit(X, y)
    words = np.array(["ape", "bee", "cat"])[y]
    marked = np.where(np.arange(90) % 4 == 0, -1, y)
    for named, classes in (
        (words, ["ape", "bee", "cat"]),
        (words.astype(object), ["ape", "bee", "cat"]),
        (y + 0.0, [0.0, 1.0, 2.0]),
        (10 * y + 5, [5, 15, 25]),
        (y.tolist(), [0, 1, 2]),
    ):
        other = clone(model).fit(X, named)
        assert other.classes_.tolist() == classes
        np.testing.assert_array_equal(other.transform(X), model.transform(X))
    objects = np.where(marked == -1, -1, words.astype(object))
    np.testing.assert_array_equal(
        clone(model).fit(X, objects).transform(X),
        clone(model).fit(X, marked).transform(X),
    )


@pytest.mark.parametrize("y", [None, np.full(90, -1)])
def test_mixture_without_labels(y):
    X, _ = rows()
    model = small(prior="mixture").fit(X, y)
    assert model.module_.prior.n_parts == 10
    assert not hasattr(model, "classes_")
    other = small(prior="mixture", n_mixture_components=4).fit(X, y)
    assert other.sample(3, random_state=0).shape == (3, 6)
    with pytest.raises(AttributeError, match="no attribute 'classes_': only one"):
        model.sample(2, label=0)


def test_number_of_parts():
    X, y = rows()
    assert small(prior="mixture").fit(X, y).module_.prior.n_parts == 3
    more = small(prior="mixture", n_mixture_components=7).fit(X, y)
    assert more.module_.prior.n_parts == 7 and len(more.classes_) == 3
    few = small(prior="mixture", n_mixture_components=2)
    message = "y has 3 classes, each of which needs a part .* n_mixture_components=2"
    for train in (few.fit, few.partial_fit):
        with pytest.raises(ValueError, match=message):
            train(X, y)
        assert not hasattr(few, "n_features_in_")


def test_classes_of_a_stream():
    """Those of the first rows are all that there are."""
    X, y = rows()
    model = small(prior="mixture").partial_fit(X, y)
    model.partial_fit(X[:20], np.full(20, 1)).partial_fit(X[:20])
    assert model.classes_.tolist() == [0, 1, 2]
    before = model.transform(X)
    for train in (model.partial_fit, model.set_params(warm_start=True).fit):
        with pytest.raises(ValueError, match=r"did not see: \[7\]. It saw \[0, 1, 2\]"):
            train(X, np.where(y == 1, 7, y))
    np.testing.assert_array_equal(model.transform(X), before)
    assert model.set_params(warm_start=False).fit(X, y + 5).classes_.tolist() == [
        5,
        6,
        7,
    ]


@pytest.mark.parametrize("prior", ["gaussian", "uniform"])
@pytest.mark.parametrize("y", [np.linspace(0, 1, 90), "classes", np.zeros(3)])
def test_y_is_for_the_mixture_alone(prior, y):
    X, classes = rows()
    model = small(prior=prior).fit(X)
    y = classes if isinstance(y, str) else y
    labelled = clone(model).fit(X, y)
    np.testing.assert_array_equal(labelled.transform(X), model.transform(X))
    assert not hasattr(labelled, "classes_")


BAD_Y = {
    "continuous": (np.linspace(0, 1, 90), "Unknown label type: continuous"),
    "short": (np.zeros(89), r"inconsistent numbers of samples: \[90, 89\]"),
    "NaN": (np.full(90, np.nan), "y contains NaN"),
    "two columns": (np.zeros((90, 2)), "y should be a 1d array"),
    "mixed": (np.array(["a", 1] * 45, dtype=object), "y mixes strings"),
}


@pytest.mark.parametrize("case", BAD_Y)
def test_bad_labels(case):
    X, y = rows()
    bad, message = BAD_Y[case]
    model = small(prior="mixture").fit(X, y)
    before = model.transform(X)
    for train in (model.fit, model.partial_fit, clone(model).fit):
        with pytest.raises(ValueError, match=message):
            train(X, bad)
    np.testing.assert_array_equal(model.transform(X), before)


def test_labels_of_the_rows_that_are_trained_on():
    """Held-out rows take theirs with them."""
    X, y = rows()
    seen = []

    class Spy(Callback):
        def on_train_begin(self, net, **kwargs):
            deception = net.module_.deception

            def watched(batch, generator):
                seen.append((batch.x.clone(), batch.label.clone()))
                return deception(batch, generator)

            net.module_.deception = watched

    model = small(prior="mixture", early_stopping=True, batch_size=20)
    model.set_params(callbacks=[Spy()]).fit(X, y)
    where = {row.tobytes(): label for row, label in zip(X, y, strict=True)}
    assert len(seen) >= 4
    for x, label in seen:
        back = x.numpy() * model._fit.units.scale + model._fit.units.shift
        near = np.linalg.norm(back[:, None] - X, axis=2).argmin(axis=1)
        np.testing.assert_array_equal(label.numpy(), y[near])
    assert len(where) == 90


# -- drawing ---------------------------------------------------------------------


def test_sample_of_a_class():
    X, y = rows()
    words = np.array(["ape", "bee", "cat"])[y]
    model = small(prior="mixture").fit(X, words)
    for i, label in enumerate(model.classes_):
        drawn = model.sample(500, random_state=0, label=label)
        same = model.sample(500, random_state=0, label=str(label))
        np.testing.assert_array_equal(same, drawn)
        part = torch.full((500,), i)
        seed = int(np.random.RandomState(0).randint(2**31))
        z = model.module_.prior.draw(500, make(seed), part)
        np.testing.assert_allclose(
            model.inverse_transform(z.double().numpy()), drawn, rtol=1e-5
        )
    message = r"'label' parameter of sample must be one of .*'cat'\]. Got 'dog' instead"
    with pytest.raises(ValueError, match=message):
        model.sample(2, label="dog")
    for bad in (0, -1, ["ape"], model.classes_):
        with pytest.raises(ValueError, match="must be one of the classes"):
            model.sample(2, label=bad)
    with pytest.raises(ValueError, match="'n_samples' parameter of sample"):
        model.sample(0, label="ape")


@pytest.mark.parametrize("label", ["numpy", "python"])
def test_labels_that_are_numbers(label):
    X, y = rows()
    model = small(prior="mixture").fit(X, y)
    one = model.classes_[1] if label == "numpy" else 1
    assert model.sample(2, random_state=0, label=one).shape == (2, 6)
    np.testing.assert_array_equal(
        model.sample(2, random_state=0, label=one),
        model.sample(2, random_state=0, label=1),
    )


def test_sample_draws_from_the_prior():
    """Not from a density of the codes."""
    X, _ = rows()
    model = small(prior="uniform", hidden_layer_sizes=()).fit(X)
    drawn = model.sample(2000, random_state=0)
    z = (drawn - model.mean_) @ np.linalg.pinv(model.components_)
    assert 0.99 < np.abs(z).max() < 1 + 1e-6
    assert not np.allclose(z.std(axis=0), model.transform(X).std(axis=0), rtol=0.1)


# -- a prior of one's own --------------------------------------------------------


def test_prior_of_ones_own(untouched_global_state):
    X, _ = rows()
    model = small(prior=ring, hidden_layer_sizes=()).fit(X)
    drawn = model.sample(50, random_state=0)
    z = (drawn - model.mean_) @ np.linalg.pinv(model.components_)
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 2.0)
    near(model.sample(50, random_state=0), drawn)
    np.testing.assert_array_equal(clone(model).fit(X).transform(X), model.transform(X))
    back = pickle.loads(pickle.dumps(model))
    near(back.sample(50, random_state=0), drawn)
    np.testing.assert_array_equal(
        back.partial_fit(X).transform(X), model.partial_fit(X).transform(X)
    )


def test_whole_numbers_and_lists_are_draws():
    X, _ = rows()
    for prior in (
        lambda n, rng: rng.randint(0, 2, size=(n, 2)),
        lambda n, rng: rng.normal(size=(n, 2)).tolist(),
        lambda n, rng: rng.normal(size=(n, 2)).astype(np.float32),
    ):
        assert np.isfinite(small(prior=prior).fit(X).transform(X)).all()


BAD_PRIORS = {
    "width": (lambda n, rng: np.zeros((n, 3)), r"here \(2, 2\).*of shape \(2, 3\)"),
    "length": (lambda n, rng: np.zeros((5, 2)), r"here \(2, 2\).*of shape \(5, 2\)"),
    "flat": (lambda n, rng: np.zeros(n), r"here \(2, 2\).*of shape \(2,\)"),
    "nothing": (lambda n, rng: None, r"shape \(n_samples, n_components\)"),
    "NaN": (lambda n, rng: np.full((n, 2), np.nan), "must return finite numbers"),
    "infinity": (lambda n, rng: np.full((n, 2), np.inf), "must return finite numbers"),
    "strings": (lambda n, rng: np.full((n, 2), "a"), "must return finite numbers"),
    "complex": (lambda n, rng: np.full((n, 2), 1j), "must return finite numbers"),
}


@pytest.mark.parametrize("case", BAD_PRIORS)
def test_bad_prior_is_named_before_training(case, untrained):
    X, _ = rows()
    bad, message = BAD_PRIORS[case]
    model = small().fit(X)
    before = model.transform(X)
    untrained()
    model.set_params(prior=bad)
    for train in (model.fit, model.partial_fit, clone(model).fit):
        with pytest.raises(ValueError, match=rf"'prior' function.*{message}"):
            train(X)
    np.testing.assert_array_equal(model.transform(X), before)
    assert model.sample(2, random_state=0).shape == (2, 6)


def test_prior_that_fails_later():
    """Its draws are checked whenever they are made."""
    X, _ = rows()

    def tiring(n, rng):
        return np.zeros((n if n == 2 else n - 1, 2))

    model = small(prior=tiring)
    with pytest.raises(ValueError, match="'prior' function must return"):
        model.fit(X)
    assert not hasattr(model, "n_features_in_")


def test_error_in_the_prior_is_the_users_to_see():
    def broken(n, rng):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        small(prior=broken).fit(rows()[0])


def test_training_goes_on_with_the_same_prior():
    X, y = rows()
    model = small(warm_start=True).fit(X)
    for other in ("uniform", "mixture", ring):
        with pytest.raises(ValueError, match=r"go on with another .*prior"):
            clone(model).fit(X).set_params(prior=other).fit(X, y)
