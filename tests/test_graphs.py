"""Graphs of rows: each relation against scikit-learn's and scipy's own parts."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import shortest_path
from scipy.spatial.distance import cdist
from sklearn.manifold import Isomap
from sklearn.manifold._locally_linear import barycenter_kneighbors_graph
from sklearn.neighbors import kneighbors_graph

from sklearn_ae.autoencoders import graphs


def rows(n=40, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def kinds(F):
    """Return the same rows in other containers."""
    return {
        "float64": F,
        "float32": F.astype(np.float32),
        "fortran": np.asfortranarray(F),
        "csr": sp.csr_array(F),
    }


def far_apart(n_parts=3, n=8, d=2):
    """Return clusters on a line, each at twice the distance of the one before it."""
    places = 100.0 * np.power(2.0, np.arange(n_parts))
    F = rows(n * n_parts, d)
    F[:, 0] += np.repeat(places, n)
    return F


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, bool])
def test_whole_numbers_are_compared_as_floats(dtype, monkeypatch):
    """By scikit-learn's way for whole numbers all distances would be held at once."""
    seen, NearestNeighbors = [], graphs.NearestNeighbors

    class Spy(NearestNeighbors):
        def fit(self, F, y=None):
            seen.append(F.dtype.kind)
            return super().fit(F, y)

    monkeypatch.setattr(graphs, "NearestNeighbors", Spy)
    F = np.arange(40).reshape(20, 2).astype(dtype)
    _, indices = graphs.nearest(F, 1)
    graphs.nearest(F[:5], 1, among=F[5:])
    assert seen == ["f", "f"]
    if dtype is not bool:
        np.testing.assert_array_equal(np.abs(indices[:, 0] - np.arange(20)), 1)


# -- neighbours ------------------------------------------------------------------


@pytest.mark.parametrize("kind", kinds(rows()))
def test_nearest_are_those_of_brute_force(kind):
    F = rows()
    distances, indices = graphs.nearest(kinds(F)[kind], 3)
    direct = cdist(F, F)
    np.fill_diagonal(direct, np.inf)
    np.testing.assert_array_equal(indices, direct.argsort(axis=1)[:, :3])
    expected = np.sort(direct, axis=1)[:, :3]
    np.testing.assert_allclose(distances, expected, rtol=1e-5)


def test_nearest_among_others_may_be_at_the_same_place():
    F = rows()
    distances, indices = graphs.nearest(F[:5], 2, among=F)
    np.testing.assert_array_equal(indices[:, 0], np.arange(5))
    assert (distances[:, 0] == 0).all() and (distances[:, 1] > 0).all()


def test_row_is_no_neighbour_of_its_own_even_among_its_likes():
    F = np.repeat(rows(5), 4, axis=0)
    distances, indices = graphs.nearest(F, 3)
    # roots of what rounding leaves of |x|² + |y|² − 2xy, on some processors not 0
    np.testing.assert_allclose(distances, 0.0, atol=1e-7)
    assert (indices != np.arange(len(F))[:, None]).all()
    assert (indices // 4 == np.arange(len(F))[:, None] // 4).all()


@pytest.mark.parametrize(("n", "k"), [(5, 5), (5, 6), (1, 1)])
def test_too_few_rows(n, k):
    with pytest.raises(
        ValueError, match=rf"n_neighbors={k} needs more than {k} rows.* = {n}"
    ):
        graphs.check_enough(n, k)
    graphs.check_enough(k + 1, k)


# -- laplacian -------------------------------------------------------------------


def graph_of(distances):
    """Return all pairs of rows and columns as a graph, of distance 0 too."""
    n_rows, k = np.shape(distances)
    indices = np.broadcast_to(np.arange(k), (n_rows, k))
    return graphs.as_graph(indices, np.asarray(distances), k)


def heat(distances, bandwidth):
    found = graphs.heat(graph_of(distances), bandwidth)
    return found.data.reshape(np.shape(distances))


def test_heat_kernel():
    distances = np.array([[0.0, 1.0], [2.0, 3.0]])
    squares = np.square(distances)
    np.testing.assert_allclose(heat(distances, 2.0), np.exp(-squares / 2))
    np.testing.assert_allclose(heat(distances, "auto"), np.exp(-squares / 3.5))


def test_heat_of_equal_rows_is_one():
    np.testing.assert_array_equal(heat(np.zeros((3, 2)), "auto"), 1.0)


def test_heat_of_a_row_far_from_all_keeps_its_proportions():
    """Its weights are less than any float: it counts as good as nothing, not NaN."""
    distances = np.array([[0.1, 0.2], [1000.0, 1000.0001]])
    weights = heat(distances, 0.5)
    np.testing.assert_allclose(weights[0], np.exp(-2 * distances[0] ** 2))
    assert (weights[1] > 0).all() and weights[1].max() < 1e-20
    squares = np.square(distances[1])
    ratio = np.exp(-2 * (squares[1] - squares[0]))
    assert weights[1, 1] / weights[1, 0] == pytest.approx(ratio)


@pytest.mark.parametrize("bandwidth", [2.0, "auto"])
def test_heat_of_rows_with_few_neighbours_or_none(bandwidth):
    distances = np.array([1.0, 3.0, 2.0])
    starts = np.array([0, 0, 2, 2, 3, 3])
    graph = sp.csr_array((distances, [0, 2, 4], starts), shape=(5, 5))
    t = 14 / 3 if bandwidth == "auto" else bandwidth
    weights = graphs.heat(graph, bandwidth)
    np.testing.assert_allclose(weights.data, np.exp(-np.square(distances) / t))
    np.testing.assert_array_equal(weights.indptr, starts)
    assert graphs.heat(sp.csr_array((4, 4)), bandwidth).nnz == 0


# -- balls -----------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [2**20, 8])
@pytest.mark.parametrize("d", [3, 20])  # a tree, and all distances
@pytest.mark.parametrize("kind", kinds(rows()))
def test_rows_within_a_radius_are_those_of_brute_force(kind, d, chunk, monkeypatch):
    original = graphs.row_chunks
    monkeypatch.setattr(
        graphs, "row_chunks", lambda n, width: original(n, 2**20 // chunk * width)
    )
    F = rows(70, d)
    F[5] += 100.0  # it has no neighbour
    radius = np.sqrt(1.5 * d)
    graph = graphs.within(kinds(F)[kind], radius)
    direct = cdist(F, F)
    near = (direct <= radius) & ~np.eye(70, dtype=bool)
    np.testing.assert_array_equal(np.diff(graph.indptr), near.sum(axis=1))
    assert 0 == near[5].sum() < near.sum(axis=1).max()
    np.testing.assert_allclose(graph.toarray(), np.where(near, direct, 0.0), rtol=1e-5)
    for start, stop in zip(graph.indptr, graph.indptr[1:]):
        assert (np.diff(graph.data[start:stop]) >= 0).all()  # the nearest first


def test_radius_belongs_to_the_ball_and_equal_rows_are_in_it():
    graph = graphs.within(np.array([[0], [3], [3], [5]]), 2)
    np.testing.assert_array_equal(np.diff(graph.indptr), [0, 2, 2, 2])
    np.testing.assert_array_equal(graph.data, [0.0, 2.0, 0.0, 2.0, 2.0, 2.0])


def test_balls_with_too_many_pairs(monkeypatch):
    monkeypatch.setattr(graphs, "MAX_PAIRS", 12)
    F = np.arange(4.0)[:, None]
    assert graphs.within(F, 10.0).nnz == 12
    with pytest.raises(ValueError, match=r"radius=10 makes more than 12 .* 5 rows"):
        graphs.within(np.arange(5.0)[:, None], 10.0)


# -- class -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array, np.uint8])
def test_class_means(kind):
    labels = np.array([2, 0, -1, 2, 0, 2, -1])
    F = np.round(50 * np.abs(rows(7)))
    member = graphs.members(labels)
    means = graphs.class_means(kind(F), member)
    expected = [F[labels == label].mean(axis=0) for label in (0, 2)]
    np.testing.assert_allclose(
        means.toarray() if sp.issparse(means) else means, expected
    )
    places = [[0, 1], [1, 0], [0, 0], [0, 1], [1, 0], [0, 1], [0, 0]]
    np.testing.assert_array_equal(member.toarray(), places)


def test_class_means_by_chunks(monkeypatch):
    F, labels = rows(90), np.arange(90) % 4
    member = graphs.members(labels)
    expected = graphs.class_means(F, member)
    monkeypatch.setattr("sklearn_ae.engine.inputs.CHUNK_NUMBERS", 1)
    np.testing.assert_allclose(graphs.class_means(F, member), expected)
    np.testing.assert_allclose(
        expected, [F[labels == c].mean(axis=0) for c in range(4)]
    )


# -- lle -------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 9])
def test_lle_weights_are_those_of_scikit_learn(k):
    """With more neighbours than features too, where it has to be regularised."""
    F = rows()
    M = barycenter_kneighbors_graph(F, k).toarray()
    np.testing.assert_allclose(M.sum(axis=1), 1.0)
    expected = M + M.T - M.T @ M
    np.fill_diagonal(expected, 0.0)
    found = graphs.lle_weights(F, k)
    assert isinstance(found, sp.csr_array)
    # a regularised system: its condition is about 1e3 / eps
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-9)
    # ★ rows sum to what the diagonal, which is left out, takes from 1
    sums = 1.0 + np.square(M).sum(axis=0)
    np.testing.assert_allclose(found.sum(axis=1), sums, rtol=1e-9)


def test_lle_weights_of_kinds_and_by_chunks(monkeypatch):
    F = rows(90)
    expected = graphs.lle_weights(F, 4).toarray()
    monkeypatch.setattr("sklearn_ae.engine.inputs.CHUNK_NUMBERS", 1)
    for one in kinds(F).values():
        # float32 rows round at 1e-7, and the weights a thousand times as much
        np.testing.assert_allclose(
            graphs.lle_weights(one, 4).toarray(), expected, atol=1e-3
        )
    found = graphs.lle_weights(sp.csr_array(F), 4)
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-9)


def test_lle_weights_of_equal_rows_are_finite():
    F = np.repeat(rows(4), 6, axis=0)
    found = graphs.lle_weights(F, 3)
    assert np.isfinite(found.data).all()
    assert (found.sum(axis=1) >= 1.0).all()


# -- isomap ----------------------------------------------------------------------


def centred(squares):
    H = np.eye(len(squares)) - 1.0 / len(squares)
    return -0.5 * H @ squares @ H


@pytest.mark.parametrize("k", [5, 39])
@pytest.mark.parametrize("kind", ["float64", "csr"])
def test_gram_of_all_rows_is_isomaps(k, kind):
    """★ With all rows as landmarks; a complete graph is classical scaling."""
    F = rows()
    gram, chosen = graphs.landmark_gram(kinds(F)[kind], k, len(F), seed=3)
    np.testing.assert_array_equal(chosen, np.arange(len(F)))
    distances = Isomap(n_neighbors=k).fit(F).dist_matrix_
    np.testing.assert_allclose(gram, centred(distances**2), atol=1e-10)
    if k == 39:
        euclidean = centred(cdist(F, F, "sqeuclidean"))
        np.testing.assert_allclose(gram, euclidean, atol=1e-10)


def test_gram_of_landmarks():
    """At landmarks it is that of these alone; elsewhere that of landmark scaling."""
    F = rows()
    gram, chosen = graphs.landmark_gram(F, 5, 9, seed=3)
    assert gram.shape == (40, 9) and len(set(chosen)) == 9
    assert (np.diff(chosen) > 0).all()
    graph = kneighbors_graph(F, 5, mode="distance")
    squares = shortest_path(graph, directed=False)[:, chosen] ** 2
    np.testing.assert_allclose(gram[chosen], centred(squares[chosen]), atol=1e-10)
    mean = squares[chosen].mean(axis=0)
    expected = squares - mean - squares.mean(axis=1, keepdims=True) + mean.mean()
    np.testing.assert_allclose(gram, -0.5 * expected, atol=1e-10)
    np.testing.assert_allclose(gram.sum(axis=1), 0.0, atol=1e-10)
    _, other = graphs.landmark_gram(F, 5, 9, seed=4)
    assert not np.array_equal(chosen, other)


@pytest.mark.parametrize("n_parts", [2, 3, 5])
def test_parts_are_joined_with_a_warning(n_parts):
    F = far_apart(n_parts)
    with pytest.warns(UserWarning, match=rf"has {n_parts} parts .* not connected"):
        gram, _ = graphs.landmark_gram(F, 3, len(F), seed=0)
    assert np.isfinite(gram).all()
    squares = np.diag(gram)[:, None] + np.diag(gram) - 2 * gram
    # no way is shorter than the straight one, and that between parts is nearly that
    straight = cdist(F, F, "sqeuclidean")
    assert (squares >= straight - 1e-12 * straight.max()).all()
    first, last = np.arange(8), np.arange(8) + 8 * (n_parts - 1)
    far = np.sqrt(squares[np.ix_(first, last)] / straight[np.ix_(first, last)])
    assert far.max() < 1.2


@pytest.mark.filterwarnings("ignore:The graph of neighbours")
def test_many_small_parts_are_joined():
    """Each row six times: more parts than are looked through one by one."""
    places = rows(60)
    F = np.repeat(places, 6, axis=0)
    gram, _ = graphs.landmark_gram(F, 5, len(F), seed=0)
    assert np.isfinite(gram).all()
    np.testing.assert_allclose(gram, gram[::6][np.repeat(np.arange(60), 6)], atol=1e-9)


def test_graph_that_is_connected_gives_no_warning():
    graphs.landmark_gram(rows(), 5, 10, seed=0)


def test_equal_rows_are_at_one_place():
    """A way of length 0 is a way: sparse graphs would lose it."""
    F = np.repeat(rows(12), 3, axis=0)
    gram, _ = graphs.landmark_gram(F, 8, len(F), seed=0)
    once = np.repeat(np.arange(12), 3)
    np.testing.assert_allclose(gram, gram[::3][once], atol=1e-9)
    assert np.isfinite(gram).all() and np.abs(gram).max() > 0.1


def test_equal_rows_that_are_parts_are_joined_too():
    F = np.repeat(rows(6), 4, axis=0)
    with pytest.warns(UserWarning, match="has 6 parts"):
        gram, _ = graphs.landmark_gram(F, 3, len(F), seed=0)
    assert np.isfinite(gram).all()
    np.testing.assert_allclose(gram, gram[np.arange(24) // 4 * 4], atol=1e-9)


# -- mfa -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", kinds(rows()))
def test_margin_weights_are_those_of_brute_force(kind):
    F = rows()
    labels = np.array([0, 1, 2, -1])[np.arange(40) % 4]
    found = graphs.margin_weights(kinds(F)[kind], labels, 3, 2).toarray()
    far = cdist(F, F)
    np.fill_diagonal(far, np.inf)
    expected = np.zeros((40, 40))
    for row, label in enumerate(labels):
        if label < 0:  # neither of a class, nor an impostor
            continue
        same = np.where(labels == label, far[row], np.inf)
        other = np.where((labels >= 0) & (labels != label), far[row], np.inf)
        expected[row, same.argsort()[:3]] = 1.0
        expected[row, other.argsort()[:2]] = -1.0
    np.testing.assert_array_equal(found, expected)
