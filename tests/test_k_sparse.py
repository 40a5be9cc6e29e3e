"""k-sparse autoencoders: which units are kept, what learns, and what is revived."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from estimators import counts, differences
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from sklearn_ae import Autoencoder, KSparseAutoencoder
from sklearn_ae.engine.rows import Batch
from sklearn_ae.parts.activations import top_k


@pytest.fixture(scope="module")
def digits():
    return load_digits().data[:600]


def fitted(X, n=40, **params):
    settings = {"k": 5, "max_iter": 10, "random_state": 0, **params}
    return KSparseAutoencoder(n, **settings).fit(X)


# -- top k -----------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 7])
def test_top_k_keeps_the_largest_by_signed_value(k):
    a = torch.tensor(np.random.default_rng(0).normal(size=(50, 7)))
    z = top_k(a, k)
    kept = z != 0
    assert (kept.sum(1) == k).all() and torch.equal(z[kept], a[kept])
    assert torch.equal(kept, a >= a.sort(1).values[:, [-k]])


def test_top_k_of_equal_numbers_are_k():
    assert ((top_k(torch.ones(4, 9), 3) != 0).sum(1) == 3).all()
    assert torch.equal(top_k(torch.ones(4, 9), 12), torch.ones(4, 9))


def test_gradient_passes_through_the_kept_alone():
    a = torch.tensor(np.random.default_rng(0).normal(size=(5, 6)), requires_grad=True)
    z = top_k(a, 2)
    z.sum().backward()
    torch.testing.assert_close(a.grad, (z != 0).to(a.dtype))
    assert torch.autograd.gradcheck(lambda a: top_k(a, 2), a)


# -- the estimator ---------------------------------------------------------------


@pytest.mark.parametrize("transform_k", [None, 5, 15])
def test_as_many_units_as_asked_for(transform_k, digits):
    """★ k in training, transform_k at transform."""
    model = fitted(digits, transform_k=transform_k)
    assert ((model.transform(digits) != 0).sum(axis=1) == (transform_k or 5)).all()
    seen = []
    module = model.module_
    hook = module.decoder.register_forward_pre_hook(
        lambda _, args: seen.append((args[0] != 0).sum(1))
    )
    module.on_epoch(1.0)
    x = torch.randn(7, 64)
    module.loss(Batch(x, x), torch.Generator().manual_seed(0))
    module.loss(Batch(x, x))  # a validation pass
    hook.remove()
    assert len(seen) >= 2 and all((n == 5).all() for n in seen)


def test_rows_do_not_depend_on_their_batch(digits):
    """★ The k largest are those of the row, not of the batch."""
    model = fitted(digits, dtype="float64")
    alone = np.vstack([model.transform(row[None]) for row in digits[:20]])
    np.testing.assert_allclose(model.transform(digits[:20]), alone, atol=1e-12)


@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_all_units_are_the_linear_autoencoder(schedule, X):
    """★ With k = n_components nothing is left out."""
    model = KSparseAutoencoder(
        3, k=3, k_schedule=schedule, max_iter=5, dtype="float64", random_state=0
    )
    model.set_params(learning_rate_init=3e-3).fit(X)
    linear = Autoencoder(
        3,
        hidden_layer_sizes=(),
        tied_weights=True,
        linear_path=False,
        max_iter=5,
        dtype="float64",
        random_state=0,
    ).fit(X)
    np.testing.assert_array_equal(model.transform(X), linear.transform(X))
    np.testing.assert_array_equal(model.components_, linear.components_)


def test_code_is_not_rectified(digits):
    """Where fewer than k units are positive, negative ones are kept too."""
    model = fitted(digits, n=8, k=7)
    assert (model.transform(digits) < 0).any()


def test_jacobian_is_that_of_the_kept_units(X):
    """Against finite differences of `transform`."""
    model = fitted(X, n=6, k=2, dtype="float64")
    np.testing.assert_allclose(
        model.jacobian_norm(X), differences(model, X, 1e-7), rtol=1e-5
    )


def test_schedule_comes_down_to_k_in_the_first_half():
    X = load_digits().data[:100]
    module = fitted(X, n=40, k=3, k_schedule="linear").module_
    ks = []
    for progress in (0.0, 0.25, 0.5, 0.9, 1.0):
        module.on_epoch(progress)
        ks.append(module.annealed_k)
    assert ks[0] > ks[1] > ks[2] == ks[3] == ks[4] == 3
    module = fitted(X, n=40, k=3, k_schedule="constant").module_
    module.on_epoch(0.0)
    assert module.annealed_k == 3


@pytest.mark.parametrize(("n", "k"), [(40, 3), (200, 5), (10, 3), (6, 6)])
def test_schedule_begins_with_six_times_as_many_units(n, k):
    """Or with all; in equal steps down to k, in the middle of training."""
    X = load_digits().data[:50]
    module = fitted(X, n=n, k=k, k_schedule="linear", max_iter=1).module_
    first = min(6 * k, n)
    for progress in np.linspace(0.0, 1.0, 21):
        module.on_epoch(progress)
        exact = max(k, first + (k - first) * 2 * progress)
        assert abs(module.annealed_k - exact) <= 0.5
    module.on_epoch(0.0)
    assert module.annealed_k == first


def test_what_is_judged_has_k_units_at_any_time(digits):
    """A step has as many as the schedule says; held-out rows, and codes, have k."""
    module = fitted(digits, n=40, k=3, transform_k=7, k_schedule="linear").module_
    counted = []
    module.decoder.register_forward_pre_hook(
        lambda _, args: counted.append((args[0] != 0).sum(1))
    )
    x = torch.tensor(digits[:20], dtype=torch.float32)
    for progress, while_training in ((0.0, 18), (1.0, 3)):
        module.on_epoch(progress)
        module.loss(Batch(x, x), torch.Generator().manual_seed(0))
        module.loss(Batch(x, x))
        module.reconstruct(x)
        for n, found in zip((while_training, 3, 7), counted, strict=True):
            assert (found == n).all()
        counted.clear()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("how", [{"learning_rate": "constant"}, {"solver": "lbfgs"}])
def test_training_does_not_stop_before_k_is_reached(how, digits):
    """Though the loss rises as k falls."""
    model = fitted(
        digits, k_schedule="linear", n_iter_no_change=2, tol=0.5, max_iter=20, **how
    )
    assert model.module_.annealed_k == 5 and 10 <= model.n_iter_ < 20


def test_early_stopping_is_by_the_objective_at_k(digits):
    model = fitted(digits, n=100, k=2, early_stopping=True, k_schedule="linear")
    curves = model.history_
    assert "valid_revival" not in curves
    np.testing.assert_array_equal(curves["valid_loss"], curves["valid_reconstruction"])


def test_defaults_of_k(digits):
    model = KSparseAutoencoder(100, max_iter=2, random_state=0).fit(digits)
    n_active = (model.transform(digits) != 0).sum(axis=1)
    assert (n_active == n_active[0]).all() and 1 <= n_active[0] <= 20
    one = KSparseAutoencoder(1, max_iter=2, random_state=0).fit(digits)
    assert (one.transform(digits) != 0).all()


@pytest.mark.parametrize("name", ["k", "transform_k"])
def test_k_beyond_the_components(name, X):
    model = KSparseAutoencoder(4, **{name: 5})
    with pytest.raises(ValueError, match=rf"{name}=5 must not exceed n_components=4"):
        model.fit(X)
    assert not hasattr(model, "n_features_in_")


def test_reconstruction_is_the_inverse_of_the_code(digits):
    model = fitted(digits, transform_k=10)
    restored = model.inverse_transform(model.transform(digits))
    np.testing.assert_allclose(model.reconstruct(digits), restored, rtol=1e-5)


# -- sparse codes ----------------------------------------------------------------


@pytest.mark.parametrize("interface", ["spmatrix", "sparray"])
def test_sparse_output(interface, digits):
    model = fitted(digits, sparse_output=True)
    dense = fitted(digits).transform(digits)
    with config_context(sparse_interface=interface):
        codes = model.transform(digits)
    assert codes.format == "csr" and codes.nnz == 5 * len(digits)
    assert isinstance(codes, sp.csr_array) == (interface == "sparray")
    assert codes.dtype == np.float32
    np.testing.assert_array_equal(codes.toarray(), dense)
    np.testing.assert_allclose(
        model.inverse_transform(codes), model.reconstruct(digits), rtol=1e-5
    )
    assert model.fit_transform(digits).format == "csr"


def test_sparse_rows(digits):
    X = counts(60, 30)
    settings = {"k": 2, "max_iter": 30, "dtype": "float64", "random_state": 0}
    settings["standardize"] = False
    sparse = KSparseAutoencoder(12, **settings).fit(X)
    dense = KSparseAutoencoder(12, **settings).fit(X.toarray())
    np.testing.assert_allclose(
        sparse.reconstruct(X), dense.reconstruct(X.toarray()), rtol=1e-6, atol=1e-8
    )
    np.testing.assert_array_equal(sparse.dead_units_, dense.dead_units_)


# -- dead units ------------------------------------------------------------------


def test_dead_units_are_among_the_largest_of_no_row(digits):
    model = fitted(digits, n=200, k=2, max_iter=20, revive_dead=False)
    active = (model.transform(digits) != 0).any(axis=0)
    np.testing.assert_array_equal(model.dead_units_, np.flatnonzero(~active))
    assert 0 < len(model.dead_units_) < 200
    wide = fitted(digits, n=200, k=2, transform_k=200, max_iter=20, revive_dead=False)
    np.testing.assert_array_equal(wide.dead_units_, model.dead_units_)


def test_dead_units_are_those_of_all_rows(digits, monkeypatch):
    """In however many chunks they are read."""
    expected = fitted(digits, n=200, k=2, revive_dead=False).dead_units_
    monkeypatch.setattr("sklearn_ae.engine.inputs.CHUNK_NUMBERS", 1)
    found = fitted(digits, n=200, k=2, revive_dead=False).dead_units_
    np.testing.assert_array_equal(found, expected)
    last = fitted(digits, n=200, k=2, revive_dead=False).transform(digits[-24:])
    assert len(expected) < (last == 0).all(axis=0).sum()  # of a chunk there are more


@pytest.mark.parametrize("tied", [True, False])
def test_auxiliary_gradient_reaches_dead_units_alone(tied, digits):
    """★ Their weights and biases, at both ends, and nothing else."""
    module = fitted(digits, n=12, k=2, tied_weights=tied).module_
    dead = torch.zeros(12, dtype=torch.bool)
    dead[[1, 5, 6]] = True
    module.active.copy_(~dead)
    module.on_epoch(1.0)
    x = torch.tensor(digits[:50], dtype=torch.float32)
    a = module.encoder(x)
    module.zero_grad()
    module.revival(a, x).backward()
    reached = []
    for name, parameter in module.named_parameters():
        if parameter.grad is None:
            continue
        by_unit = parameter.grad.reshape(-1, 12) if "kernel" in name else parameter.grad
        assert not by_unit[..., ~dead].any(), name
        reached.append(bool(by_unit[..., dead].any()))
    assert reached and all(reached)


def test_units_are_dead_for_an_epoch(digits):
    """Those that were active for no row of the epoch before, and no others."""
    module = fitted(digits, n=12, k=2).module_
    for active in ([0, 3, 7], [1, 3], range(12), [11]):
        module.active.zero_()
        module.active[list(active)] = True
        module.on_epoch(1.0)
        dead = set(range(12)) - set(active)
        assert set(module.dead.nonzero().flatten().tolist()) == dead
        assert module.n_dead == len(dead) and not module.active.any()


@pytest.mark.parametrize(("n_dead", "kept"), [(3, 2), (1, 1), (8, 2)])
def test_auxiliary_loss_by_its_formula(n_dead, kept, digits):
    """A 32nd of −log p(x | x̂), with x̂ of the k largest of the dead units alone."""
    module = fitted(digits, n=12, k=2, dtype="float64").module_
    module.active[:] = torch.arange(12) >= n_dead
    module.on_epoch(1.0)
    x = torch.tensor(digits[:30])
    a = module.encoder(x).detach()
    largest = a[:, :n_dead].sort(1).values[:, -kept:].min(1, keepdim=True).values
    z = torch.where((a >= largest) & (torch.arange(12) < n_dead), a, 0.0)
    assert ((z != 0.0).sum(1) == kept).all()
    nats = 0.5 * (module.decode(z) - x).square().sum(1).mean()
    torch.testing.assert_close(module.revival(a, x), nats / 32)


@pytest.mark.parametrize("tied", [True, False])
def test_revival_halves_the_dead(tied, digits):
    """★ At most half as many as without."""
    settings = {"n": 300, "k": 3, "max_iter": 120, "tied_weights": tied}
    without, with_it = (
        len(fitted(digits, revive_dead=revive, **settings).dead_units_)
        for revive in (False, True)
    )
    assert without > 30 and with_it <= without / 2


def test_no_revival_where_nothing_is_dead(X):
    model = KSparseAutoencoder(2, k=2, max_iter=5, random_state=0).fit(X)
    assert not model.history_["train_revival"].any() and len(model.dead_units_) == 0
    model = KSparseAutoencoder(2, revive_dead=False, max_iter=5, random_state=0).fit(X)
    assert "train_revival" not in model.history_


def test_grid_search_over_k_without_scoring(digits):
    model = KSparseAutoencoder(20, max_iter=5, random_state=0)
    search = GridSearchCV(model, {"k": [1, 5, 20]}, cv=2).fit(digits)
    assert search.best_params_ == {"k": 20}  # the more units, the less is lost
