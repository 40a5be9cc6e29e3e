r"""Which rows are related, and how strongly: graphs for methods that learn from them.

The relations of generalized autoencoders (Wang et al. 2014): for each row i a set Ω_i
of others, and weights s_ij. Neighbours are scikit-learn's, geodesics scipy's. All
graphs are sparse, or of size n × landmarks.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, dijkstra
from sklearn.neighbors import NearestNeighbors

from sklearn_ae.engine.inputs import LazyRows, is_sparse, largest_size, row_chunks

__all__ = [
    "as_graph",
    "check_enough",
    "class_means",
    "heat",
    "landmark_gram",
    "lle_weights",
    "margin_weights",
    "members",
    "nearest",
    "within",
]

#: At most this many pairs of neighbours in balls are supported: a radius can make n².
MAX_PAIRS = 2**26

#: The weight of a row's nearest neighbour is at least this.
_FAINT = 1e-30
#: A link between parts of a graph is looked for among this many neighbours.
_AROUND = 64
#: Length of the way between two equal rows: a sparse graph has no way of length 0.
_NO_WAY = np.finfo(np.float64).tiny
#: Distances that agree to this many digits after the point, where their mean is 1, are
#: ties. They are looked for among twice the neighbours, and this many more.
TIE_DIGITS, MORE_TIES = 5, 5

Graph = tuple[NDArray[np.float64], NDArray[np.intp]]


def check_enough(n_rows: int, n_neighbors: int, of: str = "n_samples") -> None:
    """Raise ValueError unless there are more rows than `n_neighbors`."""
    if n_neighbors >= n_rows:
        raise ValueError(
            f"n_neighbors={n_neighbors} needs more than {n_neighbors} rows: a row is "
            f"not a neighbour of itself. Got {of} = {n_rows}."
        )


def in_memory(F: Any) -> Any:
    """Return rows as an array or CSR of floats, as scikit-learn wants them.

    With whole numbers it would compute all distances at once.
    """
    F = F[:] if isinstance(F, LazyRows) else F
    if F.dtype == np.float32 and largest_size(F) > 1e15:  # or squares overflow
        return F.astype(np.float64)
    if F.dtype.kind == "f":
        return F
    return F.astype(np.float32 if F.dtype.itemsize < 4 else np.float64)


def nearest(F: Any, k: int, among: Any = None) -> Graph:
    """Return distances to and numbers of the `k` nearest, each (n_rows, k).

    They are other rows of `F`, or rows of `among`. Among rows that are equally far, but
    for round-off, the first count as the nearest, so that the result does not depend on
    the dtype of the rows.
    """
    F = in_memory(F)
    source = F if among is None else in_memory(among)
    n_others = source.shape[0] - (among is None)
    index = NearestNeighbors(n_neighbors=min(2 * k + MORE_TIES, n_others)).fit(source)
    distances, indices = index.kneighbors(None if among is None else F)
    typical = float(distances[:, :k].mean()) or 1.0
    order = np.lexsort((indices, np.round(distances / typical, TIE_DIGITS)), axis=1)
    places = order[:, :k]
    return (
        np.take_along_axis(distances, places, axis=1),
        np.take_along_axis(indices, places, axis=1),
    )


def within(F: Any, radius: float) -> sp.csr_array:
    """Return distances to other rows of `F` up to `radius`, the nearest first.

    They are entries of (n_rows, n_rows). A row may have none.

    Raises
    ------
    ValueError
        If there are more than `MAX_PAIRS`.
    """
    F = in_memory(F)
    n_rows, n_pairs = F.shape[0], 0
    index = NearestNeighbors(radius=radius).fit(F)
    sizes, indices, distances = [], [], []
    for start, stop in row_chunks(n_rows, n_rows):
        far, numbers = index.radius_neighbors(F[start:stop], sort_results=True)
        far, found = np.concatenate(far), np.concatenate(numbers)
        row = np.repeat(np.arange(stop - start), list(map(len, numbers)))
        others = found != row + start
        sizes.append(np.bincount(row[others], minlength=stop - start))
        indices.append(found[others].astype(np.int32))
        distances.append(far[others].astype(np.float64))
        n_pairs += len(distances[-1])
        if n_pairs > MAX_PAIRS:
            raise ValueError(
                f"radius={radius:g} makes more than {MAX_PAIRS} pairs of neighbours "
                f"among {n_rows} rows. Lower it, or use neighbors='knn'."
            )
    starts = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    entries = (np.concatenate(distances), np.concatenate(indices), starts)
    return sp.csr_array(entries, shape=(n_rows, n_rows))


def heat(graph: sp.csr_array, bandwidth: float | str) -> sp.csr_array:
    """Return exp(−d²/t) of a graph of distances; "auto" is the mean of d² for t.

    Where all weights of a row are as good as zero, they are small and in proportion.
    """
    squares, sizes = np.square(graph.data), np.diff(graph.indptr)
    if isinstance(bandwidth, str):
        bandwidth = float(squares.mean()) if len(squares) else 0.0
    t = bandwidth
    weights = np.ones_like(squares)
    if len(squares) and t > 0:
        some = sizes > 0
        least = np.minimum.reduceat(squares, graph.indptr[:-1][some])
        most = np.maximum(np.exp(-least / t), _FAINT)
        least, most = (np.repeat(of_row, sizes[some]) for of_row in (least, most))
        weights = np.exp((least - squares) / t) * most
    return sp.csr_array((weights, graph.indices, graph.indptr), graph.shape)


def as_graph(
    indices: NDArray[np.intp], weights: NDArray[np.float64], n_columns: int
) -> sp.csr_array:
    """Return CSR (n_rows, n_columns) with `weights` at `indices`, both (n_rows, k)."""
    n_rows, k = indices.shape
    starts = np.arange(0, n_rows * k + 1, k)
    return sp.csr_array((weights.ravel(), indices.ravel(), starts), (n_rows, n_columns))


def members(labels: NDArray[np.intp]) -> sp.csr_array:
    """Return which class each row is in, (n_rows, n_classes); none where it is −1."""
    rows = np.flatnonzero(labels >= 0)
    _, places = np.unique(labels[rows], return_inverse=True)
    shape = (len(labels), places.max() + 1)
    return sp.csr_array((np.ones(len(rows)), (rows, places)), shape)


def class_means(
    X: Any, member: sp.csr_array, weight: NDArray[np.float64] | None = None
) -> Any:
    """Return the mean row of each class, (n_classes, n_features).

    A row counts as much as its `weight`, of shape (n_rows,), says.
    """
    if weight is not None:
        member = sp.csr_array(member.multiply(weight[:, None]))
    weights = sp.csr_array(member.T / member.sum(axis=0)[:, None])
    if is_sparse(X):
        return weights @ X
    means = np.zeros((weights.shape[0], X.shape[1]))
    for start, stop in row_chunks(*X.shape):  # scipy would make a copy of X
        means += weights[:, start:stop] @ X[start:stop]
    return means


def lle_weights(F: Any, k: int, reg: float = 1e-3) -> sp.csr_array:
    """Return (M + Mᵀ − MᵀM)_ij off the diagonal, (n_rows, n_rows).

    M restores each row from its neighbours: barycentric weights, which sum to one.
    """
    F, n_rows = in_memory(F), F.shape[0]
    _, indices = nearest(F, k)
    weights = np.empty(indices.shape)
    for start, stop in row_chunks(n_rows, max(k * F.shape[1], k * k)):
        chosen = indices[start:stop]
        rows, others = F[start:stop], F[chosen.ravel()]
        if is_sparse(F):
            rows, others = rows.toarray(), others.toarray()
        around = others.reshape(*chosen.shape, -1) - np.asarray(rows, float)[:, None]
        gram = around @ around.transpose(0, 2, 1)
        trace = np.trace(gram, axis1=1, axis2=2)[:, None]
        diagonal = np.arange(k)  # as scikit-learn's LocallyLinearEmbedding has it
        gram[:, diagonal, diagonal] += np.where(trace > 0, reg * trace, reg)
        found = np.linalg.solve(gram, np.ones((len(chosen), k, 1)))[:, :, 0]
        weights[start:stop] = found / found.sum(axis=1, keepdims=True)
    M = as_graph(indices, weights, n_rows)
    related = sp.coo_array(M + M.T - M.T @ M)
    off = related.row != related.col
    entries = (related.data[off], (related.row[off], related.col[off]))
    return sp.csr_array(entries, related.shape)


def landmark_gram(
    F: Any, k: int, n_landmarks: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return −HΛH/2 between rows and landmarks, and which rows these are.

    Λ holds squared geodesic distances; H takes away the mean over the landmarks. With
    as many landmarks as rows it is Isomap's Gram matrix.
    """
    F, n_rows = in_memory(F), F.shape[0]
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(n_rows)[:n_landmarks])
    distances, indices = nearest(F, k)
    ways = as_graph(indices, np.maximum(distances, _NO_WAY), n_rows)
    graph = _connected(F, ways)
    squares = np.square(dijkstra(graph, directed=False, indices=chosen)).T
    squares -= squares[chosen].mean(axis=0)
    squares -= squares.mean(axis=1, keepdims=True)
    return -0.5 * squares, chosen


def _connected(F: Any, graph: sp.csr_array) -> sp.csr_array:
    """Return the graph with each of its parts joined to the nearest other one."""
    n_parts, part = connected_components(graph, directed=False)
    if n_parts > 1:
        warnings.warn(
            f"The graph of neighbours has {n_parts} parts that are not connected: each "
            "is joined to the one nearest to it. Raise n_neighbors to avoid this.",
            UserWarning,
            stacklevel=2,
        )
        around = nearest(F, min(_AROUND, F.shape[0] - 1))
    while n_parts > 1:
        links = _short_links(part, *around)
        if not len(links[0]):  # large parts, of which there are few
            links = _links(F, part, n_parts)
        first, second, lengths = links
        new = (np.maximum(lengths, _NO_WAY), (first, second))
        graph = graph + sp.csr_array(new, graph.shape)
        n_parts, part = connected_components(graph, directed=False)
    return graph


Links = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]


def _short_links(
    part: NDArray[np.intp], distances: NDArray[np.float64], indices: NDArray[np.intp]
) -> Links:
    """Return each part's shortest link to another one, where neighbours are of two."""
    crosses = part[indices] != part[:, None]
    rows = np.flatnonzero(crosses.any(axis=1))
    columns = crosses[rows].argmax(axis=1)
    lengths = distances[rows, columns]
    order = np.lexsort((lengths, part[rows]))
    _, firsts = np.unique(part[rows[order]], return_index=True)
    best = order[firsts]
    return rows[best], indices[rows[best], columns[best]], lengths[best]


def _links(F: Any, part: NDArray[np.intp], n_parts: int) -> Links:
    """Return each part's shortest link to another one."""
    links = []
    for number in range(n_parts):
        inside, outside = (
            np.flatnonzero(part == number),
            np.flatnonzero(part != number),
        )
        distance, place = nearest(F[inside], 1, among=F[outside])
        closest = int(distance[:, 0].argmin())
        row, other = inside[closest], outside[place[closest, 0]]
        links.append((row, other, distance[closest, 0]))
    first, second, lengths = map(np.array, zip(*links))
    return first, second, lengths


def margin_weights(
    F: Any, labels: NDArray[np.intp], k_same: int, k_other: int
) -> sp.csr_array:
    """Return +1 for the nearest of a row's class, −1 for the nearest of the others.

    A row without a label (−1) has none.
    """
    n_rows = len(labels)
    firsts, seconds, signs = [], [], []
    for label in np.unique(labels[labels >= 0]):
        inside = np.flatnonzero(labels == label)
        outside = np.flatnonzero((labels >= 0) & (labels != label))
        _, same = nearest(F[inside], k_same)
        _, other = nearest(F[inside], k_other, among=F[outside])
        for found, sign in ((inside[same], 1.0), (outside[other], -1.0)):
            firsts.append(np.repeat(inside, found.shape[1]))
            seconds.append(found.ravel())
            signs.append(np.full(found.size, sign))
    pairs = (np.concatenate(firsts), np.concatenate(seconds))
    return sp.csr_array((np.concatenate(signs), pairs), (n_rows, n_rows))
