"""Generalized autoencoders: the sum over pairs, by hand, for each relation."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from estimators import BAD_Y, Largest
from scipy.sparse.csgraph import shortest_path
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.manifold._locally_linear import barycenter_kneighbors_graph
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, kneighbors_graph
from skorch.callbacks import Callback

from sklearn_ae import L2, Autoencoder, GeneralizedAutoencoder, load, save
from sklearn_ae.autoencoders import generalized, graphs
from sklearn_ae.engine import rows as engine_rows
from sklearn_ae.engine.neighbours import Relation, Targets
from sklearn_ae.engine.rows import Rows
from sklearn_ae.engine.units import Units
from sklearn_ae.parts.sparse import dense

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RELATIONS = ("identity", "class", "laplacian", "lle", "isomap", "mfa")


def rows(n=48, d=5, seed=0):
    """Return rows in [0, 1] of three classes that overlap, and these."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    X = rng.normal(size=(3, d))[y] + rng.normal(size=(n, d))
    return (X - X.min()) / np.ptp(X), y


def small(relation="laplacian", **params):
    given = {"hidden_layer_sizes": (6,), "max_iter": 2, "dtype": "float64"}
    given["n_landmarks"] = 1000
    params = {**given, "random_state": 0, **params}
    return GeneralizedAutoencoder(2, relation=relation, **params)


# -- s_ij, as the paper has it ---------------------------------------------------


def of_identity(X, y):
    return np.eye(len(X))


def of_class(X, y):
    same = (y[:, None] == y) & (y >= 0)[:, None]
    same |= np.eye(len(X), dtype=bool)
    return same / same.sum(axis=1)


def of_laplacian(X, y, k=5, t=None):
    squares = np.square(kneighbors_graph(X, k, mode="distance").toarray())
    near = squares > 0
    return near * np.exp(-squares / (squares[near].mean() if t is None else t))


def of_lle(X, y, k=5):
    M = barycenter_kneighbors_graph(X, k).toarray()
    s = M + M.T - M.T @ M
    np.fill_diagonal(s, 0.0)
    return s


def of_isomap(X, y, k=5):
    graph = kneighbors_graph(X, k, mode="distance")
    squares = shortest_path(graph, directed=False) ** 2
    H = np.eye(len(X)) - 1.0 / len(X)
    return -0.5 * H @ squares @ H


def of_mfa(X, y, k_same=5, k_other=2):
    s, far = np.zeros((len(X), len(X))), cdist(X, X)
    np.fill_diagonal(far, np.inf)
    for row, label in enumerate(y):
        same = np.where(y == label, far[row], np.inf)
        other = np.where(y != label, far[row], np.inf)
        s[row, same.argsort()[:k_same]] = 1.0
        s[row, other.argsort()[:k_other]] = -1.0
    return s


def of_mfa_repelled(X, y):
    return of_mfa(X, y, 2, 3)


def normalised(s, own=0.0):
    """Return weights of sum 1 without their signs, on average; a row's own added."""
    return s / np.abs(s).sum(axis=1).mean() + own * np.eye(len(s))


SIGMOID = {"output_activation": "sigmoid", "self_weight": 0.0}
REPELLED = {"n_neighbors": 2, "n_impostors": 3}

#: For each: the parameters, the weights, and what is added for the row itself.
CASES = {
    "identity": ({}, of_identity, 0.0),
    "class": ({}, of_class, 0.0),
    "class-own": ({"self_weight": 0.5}, of_class, 0.5),
    "class-affine": ({"hidden_layer_sizes": ()}, of_class, 0.0),
    "laplacian": ({}, of_laplacian, 0.0),
    "laplacian-own": ({"self_weight": 0.5}, of_laplacian, 0.5),
    "laplacian-sigmoid": (SIGMOID, of_laplacian, 0.0),
    "laplacian-narrow": (
        {"bandwidth": 0.05, "n_neighbors": 3},
        lambda X, y: of_laplacian(X, y, 3, 0.05),
        0.0,
    ),
    "lle": ({}, of_lle, 0.0),
    "lle-many": ({"n_neighbors": 9}, lambda X, y: of_lle(X, y, 9), 0.0),
    "lle-own": ({"self_weight": 0.5}, of_lle, 0.5),
    "isomap-sigmoid": (SIGMOID, of_isomap, 0.0),
    "isomap-shifted": ({}, of_isomap, 0.1),
    "isomap-own": ({"self_weight": 0.3}, of_isomap, 0.3),
    "isomap-own-sigmoid": ({**SIGMOID, "self_weight": 0.3}, of_isomap, 0.3),
    "mfa": ({}, of_mfa, 0.0),
    "mfa-own": ({"self_weight": 0.5}, of_mfa, 0.5),
    "mfa-shifted": (REPELLED, of_mfa_repelled, 3 / 5),
    "mfa-even": (
        {"n_neighbors": 2},
        lambda X, y: of_mfa(X, y, 2, 2),
        1 / 2,
    ),
    "mfa-sigmoid": ({**REPELLED, **SIGMOID}, of_mfa_repelled, 0.0),
    "mfa-own-too-little": (
        {**REPELLED, **SIGMOID, "self_weight": 0.1},
        of_mfa_repelled,
        0.1,
    ),
}


def nats(restored, X, loss="squared_error"):
    """Return −log p(x_j | x̂_i) as (rows, rows), up to what hangs on x_j alone."""
    restored, X = restored[:, None], torch.tensor(X)
    if loss == "squared_error":
        return 0.5 * (X - restored).square().sum(2)
    if loss == "log_loss":
        return -(X * restored.log() + (1 - X) * (1 - restored).log()).sum(2)
    return (restored - X * restored.log()).sum(2)


def moved(module):
    """Return the module with other weights."""
    module, generator = copy.deepcopy(module), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn(
                parameter.shape, generator=generator, dtype=parameter.dtype
            )
    return module


def check_identity(model, fitted_with_rows, X, y, s):
    """Compare the loss with the sum over all pairs, in two places, and its slopes."""
    seen, _ = fitted_with_rows(model, X, y)
    batch, units = seen.everything(), model._fit.units
    shift = 0.0 if units.shift is None else units.shift
    inside = (X - shift) / units.scale
    found, slopes = [], []
    for module in (model.module_, moved(model.module_)):
        losses = module.loss(batch)
        assert list(losses) == ["reconstruction"]
        pairs = nats(module.reconstruct(torch.tensor(inside)), inside, model.loss)
        direct = (torch.tensor(s) * pairs).sum() / len(X)
        found.append((losses["reconstruction"].item(), direct.item()))
        parameters = [p for p in module.parameters() if p.requires_grad]
        slopes.append(
            [
                torch.autograd.grad(loss, parameters, allow_unused=True)
                for loss in (losses["reconstruction"], direct)
            ]
        )
    (ours, direct), (ours_moved, direct_moved) = found
    assert abs(direct_moved - direct) > 1e-3  # there is something to compare
    assert ours_moved - ours == pytest.approx(direct_moved - direct, rel=1e-6)
    for ours, theirs in slopes:
        # at PCA's solution some slopes are zero, that is round-off of the others
        steepest = max(float(s.abs().max()) for s in theirs if s is not None)
        for one, other in zip(ours, theirs, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                least = max(1e-9 * float(other.abs().max()), 1e-14 * steepest)
                torch.testing.assert_close(one, other, rtol=1e-6, atol=least)


@pytest.mark.parametrize("linear_path", ["auto", False])
@pytest.mark.parametrize("case", CASES)
def test_objective_is_the_sum_over_all_pairs(case, linear_path, fitted_with_rows):
    """★ Up to a constant: its differences, and its gradients, are those of the sum."""
    params, weights, own = CASES[case]
    X, y = rows()
    s = weights(X, y)
    model = small(case.split("-")[0], linear_path=linear_path, **params)
    check_identity(model, fitted_with_rows, X, y, normalised(s, own))


@pytest.mark.parametrize("loss", ["log_loss", "poisson"])
@pytest.mark.parametrize(
    "case", ["identity", "class", "class-own", "laplacian", "laplacian-own"]
)
def test_other_likelihoods_are_affine_in_their_target_too(case, loss, fitted_with_rows):
    """★ −log p is affine in x but for a constant: x̄ does for the relatives."""
    params, weights, own = CASES[case]
    X, y = rows()
    model = small(case.split("-")[0], loss=loss, **params)
    s = normalised(weights(X, y), own)
    check_identity(model, fitted_with_rows, X, y, s)


@pytest.mark.parametrize("case", ["class", "laplacian", "lle", "isomap-own", "mfa"])
def test_objective_of_sparse_rows(case, fitted_with_rows):
    """★ Without any dense row, or target; in units that are scaled alone."""
    params, weights, own = CASES[case]
    X, y = rows()
    X = np.where(X > 0.4, X, 0.0)
    s = weights(X, y)
    model = small(case.split("-")[0], **params)
    seen, _ = fitted_with_rows(model, sp.csr_array(X), y)
    assert seen.everything().target.layout == torch.sparse_csr
    assert model._fit.units.shift is None and model._fit.units.scale != 1.0
    check_identity(
        model,
        lambda *given: (seen, None),
        X,
        y,
        normalised(s, own),
    )


def test_target_is_the_mean_of_the_class(fitted_with_rows):
    X, y = rows()
    model = small("class")
    seen, _ = fitted_with_rows(model, X, y)
    batch = seen.batch(torch.tensor([4, 0, 11]))
    target = model._fit.units.to_data(batch.target).numpy()
    for place, row in enumerate([4, 0, 11]):
        np.testing.assert_allclose(target[place], X[y == y[row]].mean(axis=0))
    np.testing.assert_array_equal(batch.total, 1.0)


@pytest.mark.parametrize("relation", ["class", "mfa"])
def test_unlabelled_rows_are_related_to_themselves(relation, fitted_with_rows):
    X, y = rows()
    y = np.where(np.arange(48) % 4 == 0, -1, y)
    model = small(relation, n_neighbors=3, unlabeled=-1)
    seen, _ = fitted_with_rows(model, X, y)
    batch = seen.everything()
    own = y == -1
    torch.testing.assert_close(batch.target[own], batch.x[own])
    assert not torch.isclose(batch.target[~own], batch.x[~own]).any(1).all()
    # and count as much as others do on average, whose weights have a sum of 1 there
    torch.testing.assert_close(batch.total[own], torch.ones(12, dtype=torch.float64))
    expected = 1.0 if relation == "class" else 1 / 5  # (3 − 2) / (3 + 2)
    torch.testing.assert_close(
        batch.total[~own], torch.full((36,), expected, dtype=torch.float64)
    )
    others = small(relation, n_neighbors=3)
    fitted_with_rows(others, X[~own], y[~own])  # nor to any row with a label
    seen_alone, _ = fitted_with_rows(others, X[~own], y[~own])
    alone = others._fit.units.to_data(seen_alone.everything().target)
    torch.testing.assert_close(model._fit.units.to_data(batch.target[~own]), alone)


@pytest.mark.parametrize("own", ["auto", 0.05, 0.4, 1.0])
@pytest.mark.parametrize("share", [2, 5])
def test_mfa_with_few_labels_has_a_least_value(own, share):
    """How much a row counts is not to hang on how many others have no label."""
    X, y = rows(90)
    y = np.where(np.arange(90) % share, -1, np.arange(90) // share % 3)
    model = small("mfa", n_neighbors=2, n_impostors=4, self_weight=own)
    model.set_params(solver="lbfgs", max_iter=25, unlabeled=-1)
    if own == "auto" or own > 1 / 3:
        curve = model.fit(X, y).loss_curve_
        assert curve[-1] >= 0.0 and curve[-1] <= curve[0]
    else:
        with pytest.raises(ValueError, match="no least value"):
            model.fit(X, y)


# -- relation="identity" ---------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared_error", "log_loss", "poisson"])
@pytest.mark.parametrize("linear_path", ["auto", False])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_identity_is_the_plain_autoencoder(loss, linear_path, kind):
    """★ Bit for bit, batches, dropout, penalties and held-out rows included."""
    given = {
        "loss": loss,
        "linear_path": linear_path,
        "batch_size": 7,
        "max_iter": 3,
        "hidden_layer_sizes": (6,),
        "dropout": 0.1,
        "alpha": 1e-3,
        "penalties": L2(),
        "early_stopping": True,
        "random_state": 0,
    }
    X = kind(np.where(rows()[0] > 0.4, rows()[0], 0.0))
    ours = GeneralizedAutoencoder(2, relation="identity", n_rounds=3, **given).fit(X)
    plain = Autoencoder(2, **given).fit(X)
    np.testing.assert_array_equal(ours.transform(X), plain.transform(X))
    np.testing.assert_array_equal(ours.reconstruct(X), plain.reconstruct(X))
    assert ours.loss_curve_ == plain.loss_curve_
    assert ours.validation_loss_curve_ == plain.validation_loss_curve_


def test_identity_of_defaults_is_the_plain_autoencoder():
    X, y = rows()
    ours = GeneralizedAutoencoder(relation="identity", random_state=3).fit(X, y)
    plain = Autoencoder(random_state=3).fit(X)
    np.testing.assert_array_equal(ours.transform(X), plain.transform(X))


# -- what is given in which form -------------------------------------------------

ALL = {
    "class": {},
    "laplacian": {},
    "lle": {},
    "isomap": {"n_landmarks": 10},
    "isomap-sigmoid": {**SIGMOID, "n_landmarks": 10},
    "mfa": {"n_neighbors": 3},
    "class-own": {"self_weight": 0.2},
    "mfa-sigmoid": {**REPELLED, **SIGMOID},
}


def one_of(case, **params):
    return small(case.split("-")[0], **{**ALL[case], **params})


@pytest.mark.parametrize("case", ALL)
def test_rows_read_by_the_batch(case, monkeypatch):
    X, y = rows()
    params = {"batch_size": 7, "early_stopping": True, "linear_path": False}
    held = one_of(case, **params).fit(X, y)
    monkeypatch.setattr(engine_rows, "CACHE_BYTES", 0)
    read = one_of(case, **params).fit(X, y)
    np.testing.assert_allclose(read.transform(X), held.transform(X), rtol=1e-12)
    assert read.loss_curve_ == pytest.approx(held.loss_curve_, rel=1e-12)


@pytest.mark.parametrize("case", ALL)
@pytest.mark.parametrize("kind", ["csr", "float32", "memmap", "uint8"])
def test_kinds_of_rows(case, kind, tmp_path):
    """★ As the same numbers in an array of float64; sparse X where none is centred."""
    X, y = rows()
    if kind == "uint8":
        X = np.round(255 * X) / 255 if "sigmoid" in case else np.round(255 * X)
    X = (X * (X / X.max() > 0.4)).astype(np.float32).astype(np.float64)
    if kind == "memmap":
        np.save(tmp_path / "X.npy", X.astype(np.float32))
    given = {
        "csr": lambda: sp.csr_array(X),
        "float32": lambda: X.astype(np.float32),
        "memmap": lambda: np.load(tmp_path / "X.npy", mmap_mode="r"),
        "uint8": lambda: X if "sigmoid" in case else X.astype(np.uint8),
    }[kind]()
    params = {"standardize": False, "batch_size": 9}
    dense = one_of(case, **params).fit(X, y)
    model = one_of(case, **params).fit(given, y)
    codes = dense.transform(X)
    # relations of float32 rows may be found in float32
    rounding = 1e-4 if kind in ("float32", "memmap") else 1e-6
    scale = np.abs(codes).max()
    np.testing.assert_allclose(model.transform(X), codes, atol=rounding * scale)


@pytest.mark.parametrize("case", ALL)
def test_rows_are_left_as_they_are(case):
    X, y = rows()
    before = X.copy()
    X.flags.writeable = False
    one_of(case).fit(X, y)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("case", ALL)
def test_held_out_rows_have_their_own_targets(case, fitted_with_rows):
    """Those they would have if all rows were there; others know nothing of them."""
    X, y = rows()
    given = {"linear_path": False, "standardize": False}
    every, _ = fitted_with_rows(one_of(case, **given), X, y)
    whole = every.everything()
    model = one_of(case, early_stopping=True, validation_fraction=0.25, **given)
    seen, held = fitted_with_rows(model, X, y)
    assert len(seen) == 36 and len(held) == 12
    few, _ = fitted_with_rows(one_of(case, **given), X[seen.subset], y[seen.subset])
    wanted = few.everything()
    for part, x, target, total in (
        (seen, wanted.x, wanted.target, wanted.total),
        (held, *(whole[i][torch.tensor(held.subset)] for i in (0, 1, 6))),
    ):
        batch = part.everything()
        torch.testing.assert_close(batch.x, x)
        torch.testing.assert_close(batch.target, target)
        torch.testing.assert_close(batch.total, total)
    assert len(model.validation_loss_curve_) == model.n_iter_


@pytest.mark.parametrize("batch_size", [1, 5, 48])
@pytest.mark.parametrize("case", ["class", "lle", "isomap-sigmoid"])
def test_any_batch_has_the_targets_of_its_rows(case, batch_size, fitted_with_rows):
    X, y = rows()
    seen, _ = fitted_with_rows(one_of(case, batch_size=batch_size), X, y)
    index = torch.randperm(48, generator=torch.Generator().manual_seed(0))
    whole = seen.everything()
    for some in index.split(batch_size):
        batch = seen.batch(some)
        torch.testing.assert_close(batch.target, whole.target[some])
        torch.testing.assert_close(batch.total, whole.total[some])


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("held", [True, False])
def test_targets_are_weights_times_sources(held, kind, monkeypatch):
    """And each row's own share of itself."""
    X, _ = rows(20)
    rng = np.random.default_rng(1)
    weights, sources = rng.normal(size=(20, 6)), rng.normal(size=(6, 5))
    weights[3] = 0.0  # a row without relatives
    own = np.where(np.arange(20) < 10, 0.5, 0.0)
    if not held:
        monkeypatch.setattr(engine_rows, "CACHE_BYTES", 0)
    shift = np.arange(5.0) if kind is np.asarray else None
    units, subset = Units(shift, 2.0), np.array([3, 9, 1, 12])
    served = Rows(kind(X), units, torch.float64, subset=subset)
    relation = Relation(sp.csr_array(weights), kind(sources), own, np.arange(20.0))
    served.relations = Targets(served, relation)
    assert (served.relations.cached is None) == (kind is sp.csr_array or not held)
    batch = served.batch(torch.tensor([2, 0, 3]))
    chosen = [1, 3, 12]
    shift = 0.0 if shift is None else shift
    expected = weights[chosen] @ sources + own[chosen, None] * X[chosen]
    np.testing.assert_allclose(dense(batch.target), (expected - shift) / 2.0)
    np.testing.assert_array_equal(batch.total, chosen)
    np.testing.assert_allclose(dense(batch.x), (X[chosen] - shift) / 2.0)


# -- rounds ----------------------------------------------------------------------


@pytest.fixture
def seen_by_nearest(monkeypatch):
    seen, original = [], graphs.nearest

    def nearest(F, k, among=None):
        seen.append(np.array(F))
        return original(F, k, among)

    monkeypatch.setattr(graphs, "nearest", nearest)
    return seen


@pytest.mark.parametrize("case", ["laplacian", "lle", "isomap", "isomap-sigmoid"])
def test_later_rounds_relate_the_codes(case, seen_by_nearest):
    X, y = rows()
    params = {"learning_rate": "constant", "n_neighbors": 12}
    first = one_of(case, max_iter=2, **params).fit(X, y)
    seen_by_nearest.clear()
    one_of(case, max_iter=6, n_rounds=3, **params).fit(X, y)
    assert [F.shape for F in seen_by_nearest] == [(48, 5), (48, 2), (48, 2)]
    np.testing.assert_array_equal(seen_by_nearest[0], X)
    np.testing.assert_array_equal(seen_by_nearest[1], first.transform(X))


def test_rounds_of_mfa_and_of_class(seen_by_nearest):
    X, y = rows()
    one_of("mfa", n_rounds=2).fit(X, y)  # nearest of each class, and of the others
    assert [F.shape for F in seen_by_nearest] == [(16, 5)] * 6 + [(16, 2)] * 6
    seen_by_nearest.clear()
    one_of("class", n_rounds=2).fit(X, y)
    assert seen_by_nearest == []
    alike = [one_of("class", n_rounds=n).fit(X, y).transform(X) for n in (1, 2)]
    np.testing.assert_array_equal(*alike)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize(("max_iter", "n_rounds"), [(1, 2), (3, 2), (3, 7), (5, 5)])
def test_any_number_of_rounds(max_iter, n_rounds, solver, seen_by_nearest):
    X, _ = rows()
    params = {"solver": solver, "early_stopping": True, "batch_size": 13}
    model = small(max_iter=max_iter, n_rounds=n_rounds, **params).fit(X)
    # in each round for those that are held out, and for the others
    assert len(seen_by_nearest) <= 2 * min(max_iter, n_rounds)
    assert model.n_iter_ == max_iter and np.isfinite(model.loss_curve_).all()


def test_rounds_are_deterministic():
    X, _ = rows()
    codes = [small(max_iter=4, n_rounds=2).fit_transform(X) for _ in range(2)]
    np.testing.assert_array_equal(*codes)
    other = small(max_iter=4, n_rounds=1).fit_transform(X)
    assert not np.array_equal(codes[0], other)


def flat(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


class Weights(Callback):
    """Keep the weights at the end of each epoch; a copy would not keep them here."""

    seen = []

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(flat(net.module_))


def test_best_weights_are_those_of_the_last_round(monkeypatch):
    """In the second the loss is ten times what it was: the first would win."""
    calls = []

    def targets(rows, relation):
        calls.append(None)  # for the rows to learn from, and those held out
        factor = 1.0 if len(calls) <= 2 else 10.0
        return Targets(rows, relation._replace(total=factor * relation.total))

    monkeypatch.setattr(generalized, "Targets", targets)
    Weights.seen = []
    X, _ = rows()
    model = small(
        max_iter=8,
        n_rounds=2,
        early_stopping=True,
        validation_fraction=0.3,
        linear_path=False,
        callbacks=[Weights()],
        n_iter_no_change=100,
        learning_rate="constant",
        learning_rate_init=0.02,
    ).fit(X)
    curve = np.array(model.validation_loss_curve_)
    assert len(calls) == 4 and curve[4:].min() > curve[:4].min()
    left = flat(model.module_)
    places = [i for i, kept in enumerate(Weights.seen) if torch.equal(kept, left)]
    assert places == [4 + int(curve[4:].argmin())]


def test_training_is_not_stopped_before_the_last_round():
    """However little the loss falls."""
    X, _ = rows()
    params = {"early_stopping": True, "tol": 10.0, "n_iter_no_change": 1}
    model = small(max_iter=9, n_rounds=3, **params).fit(X)
    assert 7 <= model.n_iter_ < 9
    assert small(max_iter=9, **params).fit(X).n_iter_ < 3


# -- going on --------------------------------------------------------------------


@pytest.mark.parametrize("case", ALL)
def test_partial_fit_relates_the_rows_it_is_given(case):
    X, y = rows(96)
    model = one_of(case)
    assert model.partial_fit(X[:48], y[:48]) is model
    before = model.transform(X)
    model.partial_fit(X[48:], y[48:])
    after = model.transform(X)
    assert np.isfinite(after).all() and not np.array_equal(before, after)
    assert model.n_iter_ == 2


def test_partial_fit_needs_as_many_rows_too():
    X, _ = rows()
    model = small(n_neighbors=10).partial_fit(X)
    before = model.transform(X)
    with pytest.raises(ValueError, match=r"n_neighbors=10 .* n_samples = 10"):
        model.partial_fit(X[:10])
    np.testing.assert_array_equal(model.transform(X), before)


@pytest.mark.parametrize("relation", ["lle", "class", "mfa"])
def test_warm_start_goes_on_with_another_relation(relation):
    X, y = rows()
    model = small(warm_start=True).fit(X, y)
    model.set_params(relation=relation).fit(X, y)
    assert model.n_iter_ == 4 and np.isfinite(model.loss_curve_).all()


def test_warm_start_does_not_go_on_with_another_kind_of_objective():
    X, y = rows()
    given = {"output_activation": "sigmoid", "warm_start": True, "standardize": False}
    model = small(**given).fit(X, y)
    before = model.transform(X)
    model.set_params(relation="isomap", self_weight=0.0)
    with pytest.raises(ValueError, match="cannot go on with another"):
        model.fit(X, y)
    np.testing.assert_array_equal(model.transform(X), before)


def through_pickle(model, path):
    return pickle.loads(pickle.dumps(model))


def through_skops(model, path):
    save(model, path)
    return load(path)


@pytest.mark.parametrize("way", [through_pickle, through_skops])
@pytest.mark.parametrize("case", ["class", "isomap", "isomap-sigmoid"])
def test_kept_model_goes_on(case, way, tmp_path):
    X, y = rows()
    model = one_of(case).partial_fit(X, y)
    loaded = way(model, tmp_path / "model.skops")
    assert loaded.get_params() == model.get_params()
    for one in (model, loaded):
        one.partial_fit(X, y)
    np.testing.assert_array_equal(loaded.transform(X), model.transform(X))
    assert loaded.module_.traits == model.module_.traits


# -- what it is good for ---------------------------------------------------------


def error_of_nearest(model, data):
    X, X_test, y, y_test = data
    model = clone(model).fit(X, y)
    nearest = KNeighborsClassifier(1).fit(model.transform(X), y)
    return 1 - nearest.score(model.transform(X_test), y_test)


def test_class_codes_tell_classes_apart():
    """Of held-out digits: in a half of the errors, at most, of the plain one's."""
    data = train_test_split(*load_digits(return_X_y=True), random_state=0)
    params = {"max_iter": 15, "random_state": 0, "batch_size": 128}
    plain = error_of_nearest(Autoencoder(3, **params), data)
    related = GeneralizedAutoencoder(3, relation="class", **params)
    assert error_of_nearest(related, data) < plain / 2


@pytest.mark.parametrize("noise", [1.0, 1e-4])
def test_classes_are_learned_where_pca_leaves_little(noise):
    """What is to be restored is as far from a row as rows are from each other."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(200, 2))
    X = codes @ rng.normal(size=(2, 6)) + noise * rng.normal(size=(200, 6))
    y = codes[:, 0] * codes[:, 1] > 0  # whose means are nearly one
    curve = small("class", max_iter=80, dtype="float32").fit(X, y).loss_curve_
    assert curve[-1] < 0.1 * curve[0]


@pytest.mark.parametrize("case", ["class", "laplacian", "lle", "isomap", "mfa"])
def test_loss_has_a_least_value_and_falls_to_it(case):
    X, y = rows()
    curve = one_of(case, solver="lbfgs", max_iter=40).fit(X, y).loss_curve_
    assert curve[-1] < curve[0] and curve[-1] > 0.0


def test_isomap_with_a_sigmoid_has_a_least_value_below_zero():
    """A sum of −x̂·t over rows: where rows lie in the cube's corners."""
    X, y = rows()
    model = one_of("isomap-sigmoid", solver="lbfgs", max_iter=40).fit(X, y)
    assert model.loss_curve_[-1] < min(model.loss_curve_[0], 0.0)
    assert model.reconstruct(X).min() >= 0.0 and model.reconstruct(X).max() <= 1.0


@pytest.mark.parametrize("relation", RELATIONS)
def test_nothing_has_the_size_of_all_pairs(relation):
    n = 6000
    X, y = rows(n, 3)
    model = small(relation, max_iter=1, n_landmarks=10)
    with Largest() as largest:
        tracemalloc.start()
        model.fit(X, y)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 * n**2 / 10 and largest.numbers < n**2 / 100


# -- rows that are hard to relate ------------------------------------------------

HARD = {
    "constant": lambda: np.ones((48, 5)),
    "repeated": lambda: np.repeat(rows(8)[0], 6, axis=0),
    "on a line": lambda: np.arange(48.0)[:, None] * np.ones(5),
    "two rows": lambda: np.repeat(rows(2)[0], 24, axis=0),
    "far offset": lambda: rows()[0] + 1e6,
    "one feature": lambda: rows()[0][:, :1],
    "outlier": lambda: np.concatenate([rows(1199)[0], np.full((1, 5), 1e4)]),
}


@pytest.mark.filterwarnings("ignore:The graph of neighbours has:UserWarning")
@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("kind", HARD)
def test_hard_rows(kind, relation):
    X = HARD[kind]()
    y = np.arange(len(X)) % 3
    model = small(relation, n_landmarks=20).fit(X, y)
    assert np.isfinite(model.transform(X)).all()
    if kind != "outlier":  # far beyond what PCA leaves, which is the network's unit
        assert np.abs(model.loss_curve_).max() < 1e4


@pytest.mark.parametrize("n_landmarks", [1, 2, 3])
def test_few_landmarks(n_landmarks):
    X, _ = rows()
    model = small("isomap", n_landmarks=n_landmarks)
    if n_landmarks == 1:  # the only geodesic that is known is that to itself
        with pytest.raises(ValueError, match="'n_landmarks'"):
            model.fit(X)
    else:
        assert np.abs(model.fit(X).loss_curve_).max() < 1e4


def test_complete_graph_is_classical_scaling():
    """Its matrix has no negative eigenvalue: a least value is needed all the same."""
    X, _ = rows()
    model = small("isomap", n_neighbors=47, max_iter=20).fit(X)
    assert 0 <= model.loss_curve_[-1] < model.loss_curve_[0] < 1e4


def test_narrow_bandwidth_is_the_nearest_neighbour():
    """Of weights that all are as good as 0 their ratio counts."""
    X, _ = rows()
    model = small(bandwidth=1e-5).fit(X)
    assert np.isfinite(model.loss_curve_).all()


def test_graph_in_parts_is_joined_with_a_warning(no_steps):
    X = np.concatenate([rows()[0], rows()[0] + 100.0])
    with (
        pytest.warns(UserWarning, match="graph of neighbours has 2 parts"),
        pytest.raises(AssertionError, match="came to training"),
    ):
        small("isomap").fit(X)
    with (
        pytest.warns(UserWarning, match="graph of neighbours has 2 parts"),
        pytest.raises(AssertionError, match="came to training"),
    ):
        small("isomap", **SIGMOID).fit(X / X.max())


# -- bad input -------------------------------------------------------------------


@pytest.mark.parametrize("case", BAD_Y)
@pytest.mark.parametrize("relation", ["class", "mfa"])
def test_bad_labels(case, relation, no_steps):
    y, wording = BAD_Y[case]
    X, _ = rows(60)
    for train in (small(relation).fit, small(relation).partial_fit):
        with pytest.raises(ValueError, match=wording):
            train(X, y)


@pytest.mark.parametrize("relation", RELATIONS)
def test_y_is_required_of_those_that_read_it(relation):
    needed = relation in ("class", "mfa")
    model = small(relation)
    assert model.__sklearn_tags__().target_tags.required == needed
    if not needed:  # and others do not look at it
        X, _ = rows()
        alone = clone(model).fit(X).transform(X)
        np.testing.assert_array_equal(model.fit(X, "nonsense").transform(X), alone)


@pytest.mark.parametrize("names", [["a", "b", "c"], [0, 1, 2], [5.0, 7.0, -2.0]])
@pytest.mark.parametrize("relation", ["class", "mfa"])
def test_classes_have_any_names(relation, names):
    X, y = rows()
    expected = small(relation).fit(X, y).transform(X)
    named = small(relation).fit(X, np.array(names)[y])
    # sums are taken in the order of the names
    np.testing.assert_allclose(named.transform(X), expected, atol=1e-9)


@pytest.mark.parametrize("relation", ["laplacian", "lle", "isomap"])
def test_fewer_rows_than_neighbours(relation, no_steps):
    X, _ = rows(6)
    with pytest.raises(ValueError, match=r"n_neighbors=6 needs more .* n_samples = 6"):
        small(relation, n_neighbors=6).fit(X)
    with pytest.raises(AssertionError, match="came to training"):
        small(relation, n_neighbors=5).fit(X)


@pytest.mark.parametrize("names", [[0, 1, 2], ["a", "b", "c"]])
def test_fewer_rows_of_a_class_than_neighbours(names, no_steps):
    X, y = rows()
    y = np.array(names)[np.where(np.arange(48) < 5, 0, 1 + y % 2)]
    wording = r"n_neighbors=5 .* rows of the smallest class = 5"
    with pytest.raises(ValueError, match=wording):
        small("mfa").fit(X, y)
    with pytest.raises(AssertionError, match="came to training"):
        small("mfa", n_neighbors=4).fit(X, y)


@pytest.mark.parametrize("names", [[0, 1, 2], ["a", "b", "c"]])
def test_fewer_rows_of_other_classes_than_impostors(names, no_steps):
    X, y = rows()
    y = np.array(names)[np.where(np.arange(48) < 12, 0, 1)]
    wording = r"n_impostors=13 .*Besides the largest class there are 12"
    given = {"n_neighbors": 3, "self_weight": "auto"}
    with pytest.raises(ValueError, match=wording):
        small("mfa", n_impostors=13, **given).fit(X, y)
    with pytest.raises(AssertionError, match="came to training"):
        small("mfa", n_impostors=12, **given).fit(X, y)


UNBOUNDED = [
    ("isomap", {"output_activation": "identity"}),
    ("isomap", {"output_activation": "relu"}),
    ("isomap", {"self_weight": 0.0}),
    ("isomap", {"self_weight": 0}),
    ("mfa", {**REPELLED, "output_activation": "identity"}),
    ("mfa", {**REPELLED, "self_weight": 0.0}),
    ("mfa", {**REPELLED, "self_weight": 0.2}),
    ("mfa", {"n_neighbors": 2, "self_weight": 0.0}),
    ("mfa", {"n_neighbors": 2, "output_activation": "identity"}),
]


@pytest.mark.parametrize(("relation", "params"), UNBOUNDED)
def test_objective_without_a_least_value(relation, params, untrained):
    X, y = rows()
    untrained()
    model = small(relation, **params)
    for train in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=rf"relation='{relation}'.*no least value"):
            train(X, y)


@pytest.mark.parametrize("loss", ["log_loss", "poisson"])
@pytest.mark.parametrize(
    ("relation", "params"),
    [
        ("lle", {}),
        ("lle", {"self_weight": 1.0}),
        ("isomap", {}),
        ("isomap", SIGMOID),
        ("isomap", {"self_weight": 2.0}),
        ("mfa", {}),
        ("mfa", REPELLED),
    ],
)
def test_other_likelihoods_cannot_repel(relation, params, loss, untrained):
    """Where a weight is negative, x̄ may be no number that p can be the mean of."""
    X, y = rows()
    if params is SIGMOID and loss == "poisson":
        params = {"self_weight": 0.0}
    untrained()
    with pytest.raises(ValueError, match=rf"loss='{loss}'"):
        small(relation, loss=loss, **params).fit((X > 0.5).astype(float), y)


@pytest.mark.parametrize("relation", ["isomap", "mfa"])
@pytest.mark.parametrize("factor", [-1.0, 1.5])
def test_sigmoid_restores_values_from_0_to_1(relation, factor, no_steps):
    X, y = rows()
    model = small(relation, **{**REPELLED, **SIGMOID})
    with pytest.raises(ValueError, match=r"values in \[0, 1\].*Got X with values in"):
        model.fit(X * factor, y)
    with pytest.raises(AssertionError, match="came to training"):
        model.fit(X, y)


def test_absolute_error_has_no_mean_to_restore(untrained):
    X, _ = rows()
    untrained()
    with pytest.raises(ValueError, match="The 'loss' parameter"):
        small(loss="absolute_error").fit(X)


def test_stream_goes_on_with_few_labels():
    """The first call needs classes; after it one is enough, or none."""
    X, y = rows()
    model = small("class", unlabeled=-1).partial_fit(X, y)
    for few in (np.zeros(10), np.full(10, -1)):
        assert np.isfinite(model.partial_fit(X[:10], few).loss_)
    with pytest.raises(ValueError, match="requires y"):
        model.partial_fit(X[:10])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.partial_fit(X[:10], np.zeros(9))


def test_rows_without_labels_restore_themselves_alone():
    X, y = rows()
    model, plain = small("class").partial_fit(X, y), small("identity").partial_fit(X)
    plain.module_.load_state_dict(model.module_.state_dict())
    batch = engine_rows.Batch(torch.tensor(X), torch.tensor(X))
    assert torch.equal(
        model.module_.loss(batch)["reconstruction"],
        plain.module_.loss(batch)["reconstruction"],
    )


@pytest.mark.parametrize("self_weight", [1e-300, 1e-9])
def test_self_weight_next_to_nothing_is_none(self_weight, no_steps):
    X, _ = rows()
    with pytest.raises(ValueError, match="has no least value with self_weight"):
        small("isomap", self_weight=self_weight).fit(X)


def test_bandwidth_is_of_rows_not_of_codes(monkeypatch):
    X, _ = rows()
    given, heat = [], graphs.heat
    monkeypatch.setattr(graphs, "heat", lambda d, t: (given.append(t), heat(d, t))[1])
    small(bandwidth=0.1, n_rounds=2).fit(X)
    assert given == [0.1, "auto"]
