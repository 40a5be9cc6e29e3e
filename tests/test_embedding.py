"""Embedding autoencoders: each pair's term by hand, collapse, and stress."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from estimators import Largest
from scipy.spatial.distance import cdist, pdist
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.neighbors import kneighbors_graph
from skorch.callbacks import Callback

from sklearn_ae import (
    Autoencoder,
    EmbeddingAutoencoder,
    StackedAutoencoderPretrainer,
)
from sklearn_ae.autoencoders import embedding as embedding_module
from sklearn_ae.autoencoders import graphs
from sklearn_ae.engine.rows import Batch

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

EMBEDDINGS = ("laplacian", "mds", "margin")


def rows(n=40, d=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, d)) + rng.normal(size=(n, d))


def small(embedding="laplacian", **params):
    given = {"hidden_layer_sizes": (6,), "max_iter": 2, "dtype": "float64"}
    given = {**given, "random_state": 0, "n_neighbors": 4, **params}
    return EmbeddingAutoencoder(2, embedding=embedding, **given)


def moved(module):
    """Return the module with other weights."""
    module, generator = copy.deepcopy(module), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn(
                parameter.shape, generator=generator, dtype=parameter.dtype
            )
    return module


# -- the objective, by hand ------------------------------------------------------


def neighbours(model, X):
    """Return whose neighbours are whose, (n, n), by all distances."""
    k = model.n_neighbors
    if model.neighbors == "knn":
        return kneighbors_graph(X, k).toarray() > 0
    far = cdist(X, X)
    radius = model.radius
    if radius == "auto":
        radius = np.median(np.sort(far, axis=1)[:, k]) * (1 + 1e-9)
    return (far <= radius) & ~np.eye(len(X), dtype=bool)


def heat(model, X):
    """Return φ_ij of neighbours, of mean 1, and 0 elsewhere."""
    near, squares = neighbours(model, X), cdist(X, X, "sqeuclidean")
    auto = model.bandwidth == "auto"
    t = squares[near].mean() if auto else model.bandwidth
    weights = near * np.exp(-squares / t)
    return weights / weights[near].mean()


def near_in(model, X):
    """Return which rows are the same, or one a neighbour of the other."""
    near = neighbours(model, X)
    return near | near.T | np.eye(len(X), dtype=bool)


def of_laplacian(z, x, model, X):
    weights = torch.tensor(heat(model, X))
    squares = (z[:, None] - z).square().sum(2)
    return (weights * squares).sum() / (weights > 0).sum()


def of_mds(z, x, model, X):
    first, second = np.triu_indices(len(z), 1)
    far = [(rows[first] - rows[second]).square().sum(1).sqrt() for rows in (z, x)]
    return (far[0] - far[1]).square().mean()


def of_margin(z, x, model, X):
    squares = (z[:, None] - z).square().sum(2)
    near = torch.tensor(neighbours(model, X))
    apart = torch.relu(model.margin - squares)
    others = ~torch.tensor(near_in(model, X))
    pulled = squares[near].mean() if near.any() else 0.0
    return pulled + apart[others].mean()


#: Balls of 40 `rows`: some hold no other row, some hold many.
BALL = {"neighbors": "ball", "radius": 2.2}

BY_HAND = {"laplacian": of_laplacian, "mds": of_mds, "margin": of_margin}


@pytest.mark.parametrize("linear_path", ["auto", False])
@pytest.mark.parametrize("whole", ["lbfgs", "batch"])
@pytest.mark.parametrize(
    ("embedding", "params"),
    [
        ("laplacian", {}),
        ("laplacian", {"bandwidth": 3.0, "n_neighbors": 7}),
        ("mds", {}),
        ("mds", {"embedding_weight": 0.3, "reconstruction_weight": 2.0}),
        ("margin", {}),
        ("margin", {"margin": 5.0, "n_neighbors": 1, "embedding_weight": 0.3}),
        ("laplacian", BALL),
        ("laplacian", {"neighbors": "ball", "n_neighbors": 7, "bandwidth": 3.0}),
        ("margin", BALL),
        ("margin", {"neighbors": "ball"}),
    ],
)
def test_objective_of_all_rows(embedding, params, whole, linear_path, fitted_with_rows):
    """★ With all pairs of neighbours; and its gradients."""
    X = rows()
    given = {"solver": "lbfgs"} if whole == "lbfgs" else {"batch_size": 40}
    model = small(embedding, linear_path=linear_path, **given, **params)
    seen, _ = fitted_with_rows(model, X)
    batch = seen.everything()
    if whole == "batch":  # in any order
        order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
        batch = seen.batch(order)
    x = torch.tensor((X - model._fit.units.shift) / model._fit.units.scale)
    for module in (model.module_, moved(model.module_)):
        terms, z = module.loss(batch), module.encode(x)
        assert list(terms) == ["reconstruction", "embedding"]
        restored = module.reconstruct(x)
        expected = {
            "reconstruction": model.reconstruction_weight
            * 0.5
            * (x - restored).square().sum(1).mean(),
            "embedding": model.embedding_weight * BY_HAND[embedding](z, x, model, X),
        }
        parameters = [p for p in module.parameters() if p.requires_grad]
        for name, term in terms.items():
            direct = expected[name]
            torch.testing.assert_close(term, direct, rtol=1e-6, atol=0.0)
            found, slopes = (
                torch.autograd.grad(
                    one, parameters, allow_unused=True, retain_graph=True
                )
                for one in (term, direct)
            )
            # of some the slope is 0, as of a code's bias: there it is rounding alone
            scale = max(float(s.abs().max()) for s in slopes if s is not None)
            for one, other in zip(found, slopes, strict=True):
                assert (one is None) == (other is None)
                if one is not None:
                    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9 * scale)


def test_some_balls_are_empty_and_others_are_not():
    sizes = neighbours(small(**BALL), rows()).sum(axis=1)
    assert sizes.min() == 0 and sizes.max() > 4


@pytest.mark.parametrize("batch_size", [1, 2, 7, 39])
@pytest.mark.parametrize(
    ("embedding", "params"),
    [*((name, {}) for name in EMBEDDINGS), ("laplacian", BALL), ("margin", BALL)],
)
def test_objective_of_a_batch(embedding, params, batch_size, fitted_with_rows):
    """Its own rows alone are reconstructed; each has a neighbour of its beside it.

    It stands for all of its row's: a row with more of them counts more, and one without
    any, which has itself, not at all.
    """
    X = rows()
    model = small(embedding, batch_size=batch_size, margin=3.0, **params)
    seen, _ = fitted_with_rows(model, X)
    module = moved(model.module_).requires_grad_(False)
    x = torch.tensor((X - model._fit.units.shift) / model._fit.units.scale)
    weights, near = heat(model, X), near_in(model, X)
    sizes = neighbours(model, X).sum(axis=1)
    counts = torch.tensor(sizes / sizes.mean())
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    drawn_places = set()
    for index in order.split(batch_size)[:10]:
        n, own = len(index), index.numpy()
        batch = seen.batch(index)
        torch.testing.assert_close(batch.target, x[own])
        torch.testing.assert_close(batch.x[:n], x[own])
        z = module.encode(x[own])
        restored = module.reconstruct(x[own])
        nats = 0.5 * (x[own] - restored).square().sum(1).mean()
        if embedding == "mds":
            assert len(batch.x) == n
            expected = of_mds(z, x[own], model, X[own]) if n > 1 else 0.0
        else:
            drawn = torch.cdist(batch.x[n:], x).argmin(1).numpy()
            torch.testing.assert_close(batch.x[n:], x[drawn])
            is_alone = sizes[own] == 0
            assert (weights[own, drawn] > 0)[~is_alone].all()  # each is a neighbour
            np.testing.assert_array_equal(drawn[is_alone], own[is_alone])
            far = cdist(X[own], X)
            ranks = far < far[np.arange(n), drawn][:, None]
            drawn_places |= set(ranks.sum(axis=1))
            squares = (z - module.encode(x[drawn])).square().sum(1) * counts[own]
        if embedding == "laplacian":
            expected = (torch.tensor(weights[own, drawn]) * squares).mean()
        if embedding == "margin":
            far = torch.relu(3.0 - (z[:, None] - z).square().sum(2))
            others = ~torch.tensor(near[np.ix_(own, own)])
            expected = squares.mean() + (far[others].mean() if others.any() else 0.0)
        found = module.loss(batch)
        torch.testing.assert_close(found["reconstruction"], nats, rtol=1e-6, atol=0.0)
        expected = model.embedding_weight * float(expected)
        assert found["embedding"].item() == pytest.approx(expected, rel=1e-6)
    if embedding != "mds" and batch_size > 2 and not params:
        assert drawn_places == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("embedding", "params"),
    [*((name, {}) for name in EMBEDDINGS), ("laplacian", BALL), ("margin", BALL)],
)
def test_batches_mean_what_all_rows_do(embedding, params, fitted_with_rows):
    """★ StreamOf many draws of rows and of neighbours, within four standard errors."""
    X = rows()
    # with so small a margin only what pulls is left of "margin": what pushes is a mean
    # over as many pairs as the batch has, which is unbiased for each number of them
    model = small(embedding, batch_size=9, margin=1e-9, **params)
    seen, _ = fitted_with_rows(model, X)
    module = moved(model.module_)
    generator, found = torch.Generator().manual_seed(0), []
    with torch.no_grad():
        whole = float(module.loss(seen.everything())["embedding"])
        for _ in range(600):
            index = torch.randperm(40, generator=generator)[:9]
            found.append(float(module.loss(seen.batch(index))["embedding"]))
    error = np.std(found) / np.sqrt(len(found))
    assert error < (0.1 if params else 0.05) * whole
    assert abs(np.mean(found) - whole) < 4 * error


def test_near_pairs_are_not_pushed_apart():
    """In whichever direction they are neighbours."""
    X = np.array([[0.0], [1.0], [2.5], [4.5], [20.0]])  # the nearest is to the left
    model = small("margin", n_neighbors=1, margin=1e6, batch_size=5, max_iter=1)
    model.set_params(n_components=1, hidden_layer_sizes=(), standardize=False).fit(X)
    z = torch.tensor(model.transform(X))
    x = torch.tensor(X)
    loss = of_margin(z, x, model, X)
    squares = (z[:, None] - z).square().sum(2)
    chain = [(0, 1), (1, 2), (2, 3), (3, 4)]
    others = [(i, j) for i in range(5) for j in range(5) if abs(i - j) > 1]
    pulled = np.mean([float(squares[i, j]) for i, j in [(0, 1), *chain]])
    pushed = np.mean([1e6 - float(squares[i, j]) for i, j in others])
    assert float(loss) == pytest.approx(pulled + pushed)


def test_equal_rows(fitted_with_rows):
    """At a distance of 0, whose root has no slope."""
    X = np.repeat(rows(10), 4, axis=0)
    for name in EMBEDDINGS:
        for neighbors in ("knn", "ball"):
            model = small(name, n_neighbors=3, max_iter=3, batch_size=10)
            model.set_params(neighbors=neighbors).fit(X)
            assert np.isfinite(model.transform(X)).all()
            model = small(name, neighbors=neighbors).fit(np.ones((12, 3)))
            assert np.isfinite(model.loss_curve_).all()


# -- limits ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_without_embedding_it_is_the_plain_autoencoder(embedding, kind):
    """★ Bit for bit."""
    given = {
        "linear_path": False,
        "batch_size": 7,
        "max_iter": 3,
        "hidden_layer_sizes": (6,),
        "dropout": 0.1,
        "alpha": 1e-3,
        "early_stopping": True,
        "random_state": 0,
    }
    X = kind(np.where(rows() > 0, rows(), 0.0))
    ours = EmbeddingAutoencoder(2, embedding=embedding, embedding_weight=0, **given)
    plain = Autoencoder(2, **given).fit(X)
    np.testing.assert_array_equal(ours.fit(X).transform(X), plain.transform(X))
    np.testing.assert_array_equal(ours.reconstruct(X), plain.reconstruct(X))
    assert ours.loss_curve_ == plain.loss_curve_
    assert ours.validation_loss_curve_ == plain.validation_loss_curve_


def test_without_embedding_few_rows_do():
    X = rows(4)
    model = small(embedding_weight=0.0).fit(X)
    assert model.transform(X).shape == (4, 2)


def spread(model, X):
    return np.var(model.fit_transform(X), axis=0).sum()


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_laplacian_collapses_without_reconstruction(solver):
    """★ All codes at one place is its least value; the decoder keeps them apart."""
    X = rows(120)
    model = small(solver=solver, max_iter=60, linear_path=False, embedding_weight=1.0)
    model.set_params(batch_size=30, learning_rate_init=0.02)
    alone = clone(model).set_params(reconstruction_weight=0.0)
    assert spread(alone, X) < 1e-3 * spread(model, X)
    assert spread(model, X) > 0.05


def test_margin_does_not_collapse_without_reconstruction():
    X = rows(120)
    params = {"solver": "lbfgs", "max_iter": 100, "reconstruction_weight": 0.0}
    assert spread(small("margin", **params), X) > 0.1


def stress(Z, X):
    return np.square(pdist(Z) - pdist(X)).sum()


@pytest.mark.parametrize("load", [load_iris, load_digits])
def test_stress_of_a_linear_map_is_not_above_that_of_pca(load):
    """★ PCA is one of the linear maps, and least in another sense."""
    X = load().data[:200]
    model = small("mds", hidden_layer_sizes=(), reconstruction_weight=0.0)
    model.set_params(solver="lbfgs", max_iter=100).fit(X)
    codes = model.transform(X) * model._fit.units.scale  # distances are in its units
    assert stress(codes, X) < stress(PCA(2).fit_transform(X), X)


@pytest.mark.slow
def test_neighbours_are_nearer_than_in_the_plain_autoencoder():
    """As a share of what rows are apart on average, of digits."""
    X = load_digits().data[:300]
    near = kneighbors_graph(X, 4).toarray() > 0
    shares = []
    for weight in (0.0, 10.0):
        model = small(embedding_weight=weight, max_iter=40, linear_path=False)
        Z = model.set_params(batch_size=60, hidden_layer_sizes=(32,)).fit_transform(X)
        far = cdist(Z, Z, "sqeuclidean")
        shares.append(far[near].mean() / far.mean())
    assert shares[1] < 0.8 * shares[0]


def test_new_rows_are_placed_by_the_encoder():
    X = rows(80)
    model = small("mds").fit(X[:60])
    among, alone = model.transform(X)[60:], model.transform(X[60:])
    # a product of 80 rows may be summed in another order than one of 20
    np.testing.assert_allclose(among, alone, rtol=1e-10, atol=1e-12)


# -- batches, solvers, kinds of rows ---------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 39, 40])
@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("params", [{}, BALL])
def test_any_batch_size(embedding, batch_size, params):
    X = rows()
    model = small(embedding, batch_size=batch_size, **params).fit(X)
    assert np.isfinite(model.transform(X)).all() and np.isfinite(model.loss_)
    before = model.transform(X)
    model.partial_fit(X)
    assert not np.array_equal(before, model.transform(X)) and model.n_iter_ == 3


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_fits_are_deterministic(embedding, solver, untouched_global_state):
    X = rows()
    params = {"solver": solver, "batch_size": 9, "max_iter": 4}
    codes = [small(embedding, **params).fit_transform(X) for _ in range(2)]
    np.testing.assert_array_equal(*codes)
    other = small(embedding, **params, linear_path=False).set_params(random_state=1)
    assert not np.array_equal(other.fit_transform(X), codes[0])


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("kind", ["csr", "float32", "memmap", "uint8"])
@pytest.mark.parametrize("batch_size", [9, 40])
@pytest.mark.parametrize("neighbors", ["knn", "ball"])
def test_kinds_of_rows(embedding, kind, batch_size, neighbors, tmp_path):
    """As the same numbers in an array of float64; sparse X where none is centred."""
    X = np.abs(rows())
    if kind == "uint8":
        X = np.round(50 * X)
    X = np.where(X > 0.4, X, 0.0).astype(np.float32).astype(np.float64)
    if kind == "memmap":
        np.save(tmp_path / "X.npy", X.astype(np.float32))
    given = {
        "csr": lambda: sp.csr_array(X),
        "float32": lambda: X.astype(np.float32),
        "memmap": lambda: np.load(tmp_path / "X.npy", mmap_mode="r"),
        "uint8": lambda: X.astype(np.uint8),
    }[kind]()
    params = {"standardize": False, "batch_size": batch_size, "max_iter": 3}
    if neighbors == "ball":
        params |= {"neighbors": "ball", "radius": 110.25 if kind == "uint8" else 2.2}
    codes = small(embedding, **params).fit_transform(X)
    found = small(embedding, **params).fit(given).transform(X)
    # distances between float32 rows may be found in float32
    rounding = 1e-4 if kind in ("float32", "memmap") else 1e-6
    np.testing.assert_allclose(found, codes, atol=rounding * np.abs(codes).max())


def test_distances_of_rows_far_from_the_origin():
    """In float32 too: they are no differences of squares of large numbers."""
    X = rows() + 20_000.0
    model = small("mds", standardize=False, dtype="float32", embedding_weight=1.0)
    module = model.fit(X).module_
    x = torch.tensor(X, dtype=torch.float32)
    with torch.no_grad():
        loss = module.loss(Batch(x, x))["embedding"].item()
        z = module.encode(x).double().numpy()
    exact = np.square(pdist(z) - pdist(X)).mean()
    assert loss == pytest.approx(exact, rel=1e-2)


# -- held-out rows ---------------------------------------------------------------


@pytest.mark.parametrize("n_held", [1, 2, 3, 8])
@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_held_out_rows_are_fewer_than_neighbours(embedding, n_held, fitted_with_rows):
    X = rows()
    params = {"early_stopping": True, "validation_fraction": n_held / 40}
    model = small(embedding, **params)
    _, held = fitted_with_rows(model, X)
    assert len(held) == n_held
    assert np.isfinite(model.validation_loss_curve_).all()


@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_held_out_rows_are_judged_alike_every_time(embedding, fitted_with_rows):
    """And are neighbours of each other, not of rows to learn from."""
    X = rows()
    params = {"early_stopping": True, "validation_fraction": 0.5, "batch_size": 6}
    seen, held = fitted_with_rows(small(embedding, **params), X)
    assert sorted([*seen.subset, *held.subset]) == list(range(40))
    module = small(embedding, **params).fit(X).module_
    index = torch.arange(6)
    with torch.no_grad():
        losses = [module.loss(held.batch(index)) for _ in range(2)]
    assert losses[0] == losses[1]
    known = held.everything().x
    every = held.batch(index).x
    assert (torch.cdist(every, known).min(1).values < 1e-7).all()


@pytest.mark.parametrize("embedding", ["laplacian", "margin"])
@pytest.mark.parametrize("radius", [2.2, 1e-3, "auto"])
def test_held_out_rows_have_balls_of_their_own(embedding, radius, fitted_with_rows):
    """By all their distances; pairs may be none, and then only others count."""
    X = rows()
    X[5:9] = X[5] + 1e-4 * np.arange(4)[:, None]  # these are learned from
    params = {"early_stopping": True, "validation_fraction": 0.25, "batch_size": 6}
    model = small(embedding, neighbors="ball", radius=radius, **params)
    _, held = fitted_with_rows(model, X)
    own = X[held.subset]
    module = moved(model.module_).requires_grad_(False)
    batch = held.everything()
    z = module.encode(batch.x)
    if neighbours(model, own).any() or embedding == "margin":
        expected = 10.0 * float(BY_HAND[embedding](z, batch.x, model, own))
    else:
        expected = 0.0
    assert module.loss(batch)["embedding"].item() == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(model.validation_loss_curve_).all()


class First(Callback):
    """Keep by how much the weights that training begins with lose."""

    lost = None

    def on_epoch_begin(self, net, **kwargs):
        if First.lost is None:
            First.lost = dict(net.callbacks_)["stopping"].best_


@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_first_weights_are_judged_as_others_are(embedding, fitted_with_rows):
    """By the mean over held-out rows, in however many batches."""
    X = rows()
    First.lost = None
    model = small(
        embedding,
        early_stopping=True,
        validation_fraction=0.5,
        batch_size=4,
        max_iter=1,
        solver="sgd",
        learning_rate_init=1e-12,
        callbacks=[First()],
    )
    model.fit(X)
    assert First.lost == pytest.approx(model.validation_loss_curve_[0], rel=1e-6)


# -- the code's sparsity ---------------------------------------------------------


def test_sparsity_of_the_code_is_a_term(fitted_with_rows):
    X = rows()
    given = {"code_activation": "sigmoid", "sparsity": 0.2, "sparsity_weight": 0.7}
    model = small(batch_size=9, **given)
    seen, _ = fitted_with_rows(model, X)
    batch = seen.batch(torch.arange(9))
    found = model.module_.loss(batch)["sparsity"]
    mean = model.transform(X)[:9].mean(axis=0)  # of the batch's own rows
    kl = 0.2 * np.log(0.2 / mean) + 0.8 * np.log(0.8 / (1 - mean))
    price = float(model.module_.price)  # for features that vary by ¼
    assert found.item() == pytest.approx(price * 0.7 * kl.sum())
    assert "train_sparsity" in model.history_


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh"])
def test_sparsity_needs_a_sigmoid(activation, no_steps):
    model = small(sparsity_weight=0.1, code_activation=activation)
    with pytest.raises(ValueError, match="code_activation"):
        model.fit(rows())


# -- what is too much, or too little ---------------------------------------------


@pytest.mark.parametrize("embedding", ["mds", "margin"])
def test_too_many_rows_at_once(embedding, no_steps, monkeypatch):
    monkeypatch.setattr(embedding_module, "MAX_COMPARED", 20)
    X = rows()
    for params in ({"batch_size": 21}, {"batch_size": 1000}, {"solver": "lbfgs"}):
        with pytest.raises(ValueError, match=r"at most 20.* lower batch_size"):
            small(embedding, **params).fit(X)
    for params, some in (
        ({"batch_size": 20}, X),
        ({"batch_size": 1000}, X[:20]),
        ({"solver": "lbfgs"}, X[:20]),
    ):
        with pytest.raises(AssertionError, match="came to training"):
            small(embedding, **params).fit(some)


@pytest.mark.parametrize(
    ("embedding", "params"),
    [
        ("laplacian", {"solver": "lbfgs"}),
        ("laplacian", {"batch_size": 3000}),
        ("laplacian", {"batch_size": 1500}),
        ("laplacian", {}),
        ("mds", {}),
        ("margin", {}),
    ],
)
def test_nothing_has_the_size_of_all_pairs(embedding, params):
    X = rows(3000, 3)
    with Largest() as largest:
        small(embedding, max_iter=1, **params).fit(X)
        small(embedding, max_iter=1, neighbors="ball", **params).fit(X)
    assert largest.numbers < 300_000


@pytest.mark.parametrize("embedding", ["laplacian", "margin"])
def test_fewer_rows_than_neighbours(embedding, no_steps):
    X = rows(6)
    model = small(embedding, n_neighbors=6)
    for train in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=r"n_neighbors=6 needs more .* = 6"):
            train(X)
    with pytest.raises(AssertionError, match="came to training"):
        small(embedding, n_neighbors=5).fit(X)
    with pytest.raises(AssertionError, match="came to training"):
        small("mds", n_neighbors=50).fit(X)
    held = small(embedding, n_neighbors=5, early_stopping=True)
    with pytest.raises(ValueError, match=r"n_neighbors=5 needs more .* train on = 5"):
        held.fit(X)


@pytest.mark.parametrize("embedding", ["laplacian", "margin"])
def test_balls_without_any_neighbour(embedding, no_steps):
    """Of all rows, or of those that are not held out."""
    X = np.arange(10.0)[:, None]
    model = small(embedding, neighbors="ball", radius=0.9)
    for train in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=r"radius=0.9 leaves none of the 10 rows"):
            train(X)
    model.set_params(early_stopping=True, validation_fraction=0.3)
    with pytest.raises(ValueError, match=r"none of the 7 rows"):
        model.fit(X)
    with pytest.raises(AssertionError, match="came to training"):
        model.set_params(early_stopping=False, radius=1.0).fit(X)
    with pytest.raises(AssertionError, match="came to training"):
        small("mds", neighbors="ball", radius=0.9).fit(X)


def test_number_of_neighbours_has_no_effect_on_balls_but_by_their_radius():
    X = rows(12)
    fits = [small(neighbors="ball", radius=2.5, n_neighbors=k).fit(X) for k in (1, 50)]
    np.testing.assert_array_equal(*(model.transform(X) for model in fits))
    with pytest.raises(ValueError, match="n_neighbors=50 needs more than 50 rows"):
        small(neighbors="ball", n_neighbors=50).fit(X)
    fits = [small(radius=radius).fit(X) for radius in (0.1, "auto")]
    np.testing.assert_array_equal(*(model.transform(X) for model in fits))


def test_balls_in_a_stack():
    """Layers above the first read codes, whose neighbours are looked for anew."""
    layer = small("margin", neighbors="ball")
    stack = StackedAutoencoderPretrainer(layer, layer_sizes=(4, 2))
    assert np.isfinite(stack.fit_transform(rows())).all()


def test_nothing_to_minimise(untrained):
    """Neither weight, no objective."""
    untrained()
    model = small(embedding_weight=0.0, reconstruction_weight=0.0)
    with pytest.raises(ValueError, match=r"embedding_weight.*reconstruction_weight"):
        model.fit(rows())


def test_narrow_bandwidth():
    """Weights so small that all are 0 as floats: their ratio counts."""
    assert np.isfinite(small(bandwidth=1e-5).fit(rows()).loss_curve_).all()
    X = np.concatenate([rows(1199), np.full((1, 5), 1e4)])
    assert np.isfinite(small().fit(X).loss_curve_).all()


def test_mds_knows_no_neighbours(monkeypatch):
    def nearest(*given):
        raise AssertionError("nobody asked")

    monkeypatch.setattr(graphs, "nearest", nearest)
    small("mds").fit(rows())
    small("margin", embedding_weight=0.0).fit(rows())


def test_y_is_not_looked_at():
    X = rows()
    codes = small().fit_transform(X)
    np.testing.assert_array_equal(small().fit(X, "nonsense").transform(X), codes)
    assert not small().__sklearn_tags__().target_tags.required


def test_warm_start_takes_new_weights_but_no_other_embedding():
    X = rows()
    model = small(warm_start=True).fit(X)
    model.set_params(embedding_weight=5.0).fit(X)
    assert model.n_iter_ == 4
    assert float(model.module_.hyper.embedding_weight) == 5.0
    before = model.transform(X)
    with pytest.raises(ValueError, match=r"has another .*embedding\."):
        model.set_params(embedding="mds").fit(X)
    np.testing.assert_array_equal(model.transform(X), before)
