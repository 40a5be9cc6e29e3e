"""Where units, kinds of rows and trainings meet; each once went wrong unnoticed."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from estimators import table
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.datasets import load_digits

from sklearn_ae import Autoencoder, GaussianNoise
from sklearn_ae.engine import density, pca_start
from sklearn_ae.engine import train as engine_train
from sklearn_ae.engine.batches import BatchIterator
from sklearn_ae.engine.stopping import EpochHook
from sklearn_ae.parts.corruptions import Corruption

SMALL = {"max_iter": 3, "random_state": 0}


def dominated(n_rows=300):
    """Return rows of which one column carries nearly all of the variance."""
    X = np.random.default_rng(0).normal(size=(n_rows, 6))
    X[:, 1:] += X[:, [0]] ** 2  # something to learn beside it
    X[:, 0] *= 1000
    return X


@pytest.mark.parametrize(
    "params", [{}, {"linear_path": False}, {"hidden_layer_sizes": ()}]
)
@pytest.mark.parametrize("fitted_on", [np.array, sp.csr_array])
def test_sparse_rows_mean_what_dense_ones_do(fitted_on, params):
    """Whichever the model was fitted on; float32 sums differ in the sixth digit."""
    X = load_digits().data[:200]
    model = Autoencoder(3, **SMALL, **params).fit(fitted_on(X))
    codes = model.transform(X)
    scale = np.abs(codes).max()
    np.testing.assert_allclose(
        model.transform(sp.csr_array(X)), codes, atol=1e-5 * scale
    )
    assert model.score(sp.csr_array(X)) == pytest.approx(model.score(X), rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_start_from_a_sample_still_learns(seed, monkeypatch):
    """The unit comes from all rows, the share that PCA leaves from the sample."""
    X = dominated(4000)
    whole = pca_start.linear_start(X, 1, seed)
    monkeypatch.setattr(pca_start, "CACHE_BYTES", 10_000)
    monkeypatch.setattr(pca_start, "SAMPLE_BYTES", 20_000)
    sampled = pca_start.linear_start(X, 1, seed)
    assert (sampled.trust == whole.trust).all() and sampled.trust.max() == 1.0
    # about 400 rows: their share of the residual is within a quarter of that of all
    assert sampled.units.scale == pytest.approx(whole.units.scale, rel=0.25)


@pytest.mark.parametrize("precise", [0, 2**22])
def test_start_far_from_zero(precise, monkeypatch):
    """Rows are centred before they are rounded to float32."""
    monkeypatch.setattr(pca_start, "PRECISE_NUMBERS", precise)
    X = table(50)
    near, far = pca_start.linear_start(X, 2, 0), pca_start.linear_start(X + 1e8, 2, 0)
    np.testing.assert_allclose(far.encoder, near.encoder, atol=1e-4)
    assert far.units.scale == pytest.approx(near.units.scale, rel=1e-4)


def test_bfloat16_keeps_the_part_that_is_pcas():
    """Its 8 bits would leave 0.4 % of a column that is 1000 times the others."""
    X = dominated()
    settings = {**SMALL, "max_iter": 20}
    exact = Autoencoder(1, **settings).fit(X)
    mixed = Autoencoder(1, dtype="bfloat16", **settings).fit(X)
    assert mixed.loss_curve_[0] == pytest.approx(exact.loss_curve_[0], rel=0.02)
    assert mixed.score(X) == pytest.approx(exact.score(X), rel=0.1)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("linear_path", ["auto", False])
def test_noise_is_measured_in_average_standard_deviations(standardize, linear_path):
    """On the linear path too, whose unit is what PCA leaves; else in that of X."""
    X = dominated()
    model = Autoencoder(
        2,
        corruption=GaussianNoise(),
        standardize=standardize,
        linear_path=linear_path,
        **SMALL,
    ).fit(X)
    unit = float(model.module_.spread) * model._fit.units.scale
    spread = np.sqrt(X.var(axis=0).mean())
    assert unit == pytest.approx(spread if standardize else 1.0, rel=1e-5)


@pytest.mark.parametrize("loss", ["log_loss", "poisson"])
def test_affine_attributes_need_an_affine_decoder(loss):
    model = Autoencoder(2, hidden_layer_sizes=(), loss=loss, **SMALL)
    model.fit(np.random.default_rng(0).random((30, 5)))
    assert not hasattr(model, "components_")
    assert not hasattr(model, "mean_")


@pytest.mark.parametrize(
    "change", [{"loss": "log_loss"}, {"standardize": False}, {"activation": "tanh"}]
)
def test_warm_start_with_another_objective(change):
    """The units and the weights would not mean the same: refused, and nothing lost."""
    X = np.random.default_rng(0).random((40, 5))
    model = Autoencoder(2, linear_path=False, warm_start=True, **SMALL).fit(X)
    before = model.transform(X)
    with pytest.raises(ValueError, match="cannot go on with another"):
        model.set_params(**change).fit(X)
    np.testing.assert_array_equal(model.transform(X), before)


def test_warm_start_with_another_solver():
    """One solver's moments mean nothing to the other."""
    X = table(40)
    model = Autoencoder(2, solver="sgd", warm_start=True, **SMALL).fit(X)
    assert model.set_params(solver="adam").fit(X).n_iter_ == 6


def test_warm_start_holds_out_the_same_rows(monkeypatch):

    seen = []
    split = engine_train.split

    def recorded(*given):
        seen.append(split(*given))
        return seen[-1]

    monkeypatch.setattr(engine_train, "split", recorded)
    model = Autoencoder(2, early_stopping=True, warm_start=True, **SMALL)
    model.fit(table(40)).fit(table(40))
    np.testing.assert_array_equal(seen[0][1], seen[1][1])


class Noted(Corruption):
    """Gaussian noise that notes what it drew."""

    drawn = []

    @classmethod
    def corrupt(cls, x, generator, unit=1.0):
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        cls.drawn.append(float(noise[0, 0]))
        return x + 0.3 * noise


@pytest.mark.parametrize("way", ["warm_start", "partial_fit", "young"])
def test_a_training_that_goes_on_draws_anew(way, monkeypatch):
    """Neither the noise nor the order of rows is that of the training before; and both
    are the same again, if all of it is done again."""
    orders, original = [], BatchIterator.__iter__

    def recorded(self):
        for batch in original(self):
            orders.append(batch.x.numpy().tobytes())
            yield batch

    monkeypatch.setattr(BatchIterator, "__iter__", recorded)
    X, runs = table(40 if way == "young" else 120), []
    for _ in range(2):
        model = Autoencoder(2, random_state=0, max_iter=1, linear_path=False)
        model.set_params(corruption=Noted(), warm_start=True, batch_size=300)
        Noted.drawn.clear(), orders.clear()
        for _ in range(4):
            (model.fit if way == "warm_start" else model.partial_fit)(X)
        runs.append((list(Noted.drawn), list(orders)))
        assert all(len(draws) == len(set(draws)) == 4 for draws in runs[-1])
    assert runs[0] == runs[1]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("linear_path", [True, False])
def test_a_training_in_parts_is_the_whole_training(solver, linear_path):
    """The optimizer's moments go on too, where the rate is one and nothing is drawn."""
    X = table(120)
    model = Autoencoder(2, solver=solver, linear_path=linear_path, random_state=0)
    model.set_params(learning_rate="constant", learning_rate_init=3e-3, shuffle=False)
    model.set_params(weight_decay=0.01, batch_size=200, dtype="float64")
    whole = clone(model).set_params(max_iter=6).fit(X)
    parts = clone(model).set_params(max_iter=2, warm_start=True)
    stream = clone(model)
    for _ in range(3):
        parts.fit(X)
        stream.partial_fit(X).partial_fit(X)
    for other in (parts, stream):
        np.testing.assert_allclose(other.loss_curve_, whole.loss_curve_, rtol=1e-6)
        codes = whole.transform(X)
        np.testing.assert_allclose(other.transform(X), codes, rtol=1e-6, atol=1e-8)
    alone = clone(model).set_params(max_iter=2).fit(X)
    again = clone(alone).set_params(warm_start=True).fit(X)
    again._fit = replace(again._fit, optimizer_moments=None)  # as if they were lost
    assert abs(again.fit(X).loss_ - whole.loss_curve_[3]) > 1e-6


def test_moments_of_two_sets_of_rows_are_those_of_all():
    """In the proportion of their numbers, and with what lies between them."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(n, 3)) * n + n for n in (50, 7, 20)]
    X = np.concatenate(parts)
    for full in (False, True):
        merged = density.code_moments(50, parts[0], full)
        for part in parts[1:]:
            more = density.code_moments(len(part), part, full)
            merged = density.merged_moments(merged, more)
        n_rows, mean, covariance = merged
        expected = np.cov(X.T, bias=True)
        assert n_rows == 77
        np.testing.assert_allclose(mean, X.mean(axis=0))
        # each has a millionth of its variance more
        np.testing.assert_allclose(
            covariance, expected if full else expected.diagonal(), rtol=1e-4
        )


def test_moments_of_a_stream_are_those_of_all_its_rows():
    """Of a network that stays as it is: also where later rows come from elsewhere."""
    X = table(300)
    X[200:] += 5.0
    model = Autoencoder(2, random_state=0, learning_rate_init=1e-12)
    for chunk in (X[:200], X[200:220], X[220:]):
        model.partial_fit(chunk)
    codes = model.transform(X)
    drawn_from = model.density_
    np.testing.assert_allclose(drawn_from.means_[0], codes.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(
        drawn_from.covariances_[0], np.cov(codes.T, bias=True), rtol=1e-3, atol=1e-3
    )
    assert np.abs(codes[220:].mean(axis=0) - codes.mean(axis=0)).max() > 0.1


def test_density_is_of_the_whole_stream():
    """Also where the last rows are few: its mean is that of all codes, roughly."""
    X = table(200)
    model = Autoencoder(2, random_state=0, learning_rate_init=1e-6)
    for chunk in (X[:100], X[100:199], X[199:]):
        model.partial_fit(chunk)
    codes = model.transform(X)
    np.testing.assert_allclose(model.density_.means_[0], codes.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(
        model.density_.covariances_[0].diagonal(), codes.var(axis=0), rtol=0.1
    )


def test_fit_keeps_no_data():
    X = table(40)
    model = Autoencoder(2, early_stopping=True, **SMALL).set_callbacks(ProgressBar())
    model.fit(X)
    assert model.net_.rows_valid is None
    assert not any(isinstance(hook, EpochHook) for _, hook in model.net_.callbacks_)


def test_every_callback_hears_the_last_epoch():
    """Also those that come after the one that stops training."""
    model = Autoencoder(
        2, early_stopping=True, n_iter_no_change=1, tol=0.5, max_iter=50, random_state=0
    )

    class Ends:
        def __init__(self):
            self.began = self.ended = 0

        def setup(self, estimator, context):
            pass

        teardown = setup

        def on_fit_task_begin(self, estimator, context):
            self.began += 1

        def on_fit_task_end(self, estimator, context):
            self.ended += 1

    ends = Ends()
    model.set_callbacks(ends).fit(table(60))
    assert model.n_iter_ < 50
    assert ends.began == ends.ended


def test_second_derivatives_of_the_sparse_error_are_refused():
    """A wrong one would be worse than none."""
    from sklearn_ae.parts.sparse import sparse_squared_error

    x = torch.eye(3, dtype=torch.float64).to_sparse_csr()
    h = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
    weight, bias = torch.ones(3, 2, dtype=torch.float64), torch.zeros(3).double()
    error = sparse_squared_error(x, h, weight, bias).sum()
    (slope,) = torch.autograd.grad(error, h, create_graph=True)
    with pytest.raises(RuntimeError, match=r"not require grad|once_differentiable"):
        slope.sum().backward()
