r"""Rows that come in a stream: when training begins again, and when it goes on.

Units, preconditioner and the start at PCA are those of the rows that training begins
with. While these are few, they are kept, and training begins again with each chunk. It
also begins again once most rows have come from another place than those it began with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_ae.engine.inputs import is_sparse, row_chunks, some_rows
from sklearn_ae.engine.notices import warn_user
from sklearn_ae.engine.rows import CACHE_BYTES
from sklearn_ae.engine.units import moments
from sklearn_ae.parts.reconstruction import RECONSTRUCTIONS

__all__ = ["Chunk", "Reach", "Stream", "joined", "stacked"]

#: A stream begins with at least this many rows, and at least one for each component.
LEAST_ROWS = 100
#: Standard deviations from the mean (root mean square over the features) beyond which
#: a row is out of reach.
REACH = 5.0
#: No feature counts as farther away than this, so that one that hardly varied does not
#: decide for all.
FARTHEST = 3 * REACH
#: A row of counts is out of reach if its total is this many times the usual one, or the
#: usual one this many times its total.
COUNTS_REACH = 4.0
#: A reach is learned from at most this many rows, and at most this many rows of a chunk
#: are judged; of wide rows only about this many numbers.
SOME_ROWS, SOME_NUMBERS = 500, 2**22


@dataclass(frozen=True)
class Reach:
    r"""How far other rows may be from the rows that training began with.

    .. math:: r^2 = \max\Big(\frac{\sum_j (x_j - m_j)^2}{\sum_j s_j^2},\
              \frac{1}{d} \sum_{j} \min\Big(\frac{(x_j - m_j)^2}{s_j^2}, c^2\Big)\Big)

    with mean m and standard deviation s: the first is about what errors are made of,
    the second about what networks see. The latter leaves constant features out, and
    cuts off at c, so that a few that hardly varied do not decide. For counts, r is how
    many times more or less a row's total is than the median total, with one count added
    to both. Where values have two bounds, or shares are learned, nothing is out of
    reach.

    Parameters
    ----------
    centre : ndarray of shape (n_features,) or None
        m; None is zero, as for sparse rows and counts.
    size : ndarray of shape (n_features,)
        s², or the counts of a usual row.
    of_counts : bool
    usual : float
        Median r of the rows that training began with; rows that are nearer than this by
        a factor of `limit` are out of reach too. 0 for counts.
    """

    centre: NDArray[np.float64] | None
    size: NDArray[np.float64]
    of_counts: bool = False
    usual: float = 0.0

    @classmethod
    def of(cls, X: Any, loss: str, seed: int) -> Reach | None:
        """Return the reach of some rows of X; None where nothing is out of reach."""
        kind, X = RECONSTRUCTIONS[loss], _some(X, seed)
        if kind.has_scale:
            reach = cls(*moments(X))
            return replace(reach, usual=float(np.median(reach.distances(X))))
        if loss != "poisson":
            return None
        if is_sparse(X):
            size = np.asarray(X.mean(axis=0), np.float64).ravel()
        else:
            n_observed = np.maximum((~np.isnan(X)).sum(axis=0), 1)
            size = np.nansum(X, axis=0, dtype=np.float64) / n_observed
        reach = cls(None, size, of_counts=True)
        return replace(reach, size=size * np.median(_ratio(*reach._totals(X))))

    @property
    def limit(self) -> float:
        """The largest r within reach."""
        return COUNTS_REACH if self.of_counts else REACH

    def distances(self, X: Any) -> NDArray[np.float64]:
        """Return r of each row, (n_rows,); missing values are left out."""
        if self.of_counts:
            total, usual = self._totals(X)
            ratio = (total + 1.0) / (usual + 1.0)
            return np.maximum(ratio, 1.0 / ratio)
        if is_sparse(X) and self.centre is None:
            return self._of_csr(X)
        with np.errstate(over="ignore"):
            parts = [self._of_dense(X[a:b]) for a, b in row_chunks(*X.shape)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def beyond(self, X: Any, too_near: bool = True) -> tuple[NDArray[np.bool_], float]:
        """Return which rows are out of reach, and the median r.

        `too_near` says whether rows that are many times nearer than usual are out of it
        too.
        """
        r = self.distances(X)
        beyond = r > self.limit
        if too_near:
            beyond |= r < self.usual / self.limit
        return beyond, float(np.median(r)) if len(r) else 0.0

    def _varies(self) -> NDArray[np.bool_]:
        """Return which features vary by more than round-off."""
        offset = 0.0 if self.centre is None else np.abs(self.centre)
        spread = np.sqrt(self.size)
        return spread > 10 * np.finfo(np.float64).eps * (offset + spread)

    def _of_dense(self, X: Any) -> NDArray[np.float64]:
        X = (X.toarray() if is_sparse(X) else X).astype(np.float64)
        observed, varies = ~np.isnan(X), self._varies()
        X = X if self.centre is None else X - self.centre
        squares = np.square(np.where(observed, X, 0.0))
        together = _ratio(squares.sum(axis=1), observed @ self.size)
        own = np.minimum(squares[:, varies] / self.size[varies], FARTHEST**2)
        number = np.maximum(observed[:, varies].sum(axis=1), 1)
        return np.sqrt(np.maximum(together, own.sum(axis=1) / number))

    def _of_csr(self, X: Any) -> NDArray[np.float64]:
        squares, varies = np.square(X.data, dtype=np.float64), self._varies()
        size = np.where(varies, self.size, np.inf)[X.indices]
        own = _row_sums(X, np.minimum(squares / size, FARTHEST**2))
        whole = np.full(X.shape[0], self.size.sum())
        together = _ratio(_row_sums(X, squares), whole)
        return np.sqrt(np.maximum(together, own / max(varies.sum(), 1)))

    def _totals(self, X: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return each row's total, and the usual total of what is observed of it."""
        if is_sparse(X):
            return _row_sums(X, X.data), np.full(X.shape[0], self.size.sum())
        total = np.asarray(np.nansum(X, axis=1, dtype=np.float64))
        return total, ~np.isnan(X) @ self.size


def _some(X: Any, seed: int) -> Any:
    """Return some of the rows of X."""
    most = max(LEAST_ROWS, min(SOME_ROWS, SOME_NUMBERS // X.shape[1]))
    return X[some_rows(X.shape[0], seed, most)]


def _row_sums(X: Any, values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the sum over each row of values at the nonzeros of CSR."""
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    return np.bincount(rows, values, minlength=X.shape[0]).astype(np.float64)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Return part / whole, where 0 / 0 is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(part > 0.0, part / whole, 0.0)


class Chunk(NamedTuple):
    """The rows that one call of `partial_fit` makes its pass over.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_samples, n_features)
    labels, weight : ndarray of shape (n_samples,) or None
    begins : bool
        Whether training begins with these rows, or goes on.
    stream : Stream
        State of the stream after these rows.
    """

    X: Any
    labels: NDArray[np.intp] | None
    weight: NDArray[np.float64] | None
    begins: bool
    stream: Stream


@dataclass(frozen=True)
class Stream:
    """The state of a stream: what is known of the rows that a network was trained on.

    Attributes
    ----------
    loss : str
    least : int
        Number of rows that it takes to begin with, unless all are equal.
    reach : Reach or None
        Reach of the rows that training began with; None if no row is out of it.
    by_fit : bool
        Whether training began with `fit`: then it does not begin again.
    n_within, n_beyond : int
        Number of rows that were within reach, and of rows that were not.
    rows : ndarray or CSR array of shape (n_kept, n_features) or None
        Rows so far, while the stream is young: all of them, or one if all are equal.
    labels : ndarray of shape (n_kept,) or None
        Class of each of these rows, −1 for none.
    weight : ndarray of shape (n_kept,) or None
        Weight of each of these rows.
    """

    loss: str
    least: int
    reach: Reach | None
    by_fit: bool
    n_within: int = 0
    n_beyond: int = 0
    rows: Any = None
    labels: NDArray[np.intp] | None = None
    weight: NDArray[np.float64] | None = None

    @classmethod
    def begun(
        cls,
        X: Any,
        labels: NDArray[np.intp] | None,
        loss: str,
        n_components: int,
        seed: int,
        by_fit: bool,
        weight: NDArray[np.float64] | None = None,
    ) -> Stream:
        """Return what is known of the first rows."""
        least = max(LEAST_ROWS, n_components)
        stream = cls(loss, least, Reach.of(X, loss, seed), by_fit, X.shape[0])
        if by_fit:
            return stream
        n_kept = X.shape[0] if varies(X) else 1
        if n_kept >= least:
            return stream
        rows = X[:n_kept].copy() if is_sparse(X) else np.array(X[:n_kept])
        of_rows = None if labels is None else labels[:n_kept].copy()
        counts = None if weight is None else weight[:n_kept].copy()
        return replace(stream, rows=rows, labels=of_rows, weight=counts)

    @property
    def is_young(self) -> bool:
        """Whether training begins again with the next rows and those that are kept."""
        return self.rows is not None

    def as_fitted(self) -> Stream:
        """Return what is known when `fit` has gone on with the network."""
        return replace(self, by_fit=True, rows=None, labels=None, weight=None)

    def take(
        self,
        X: Any,
        labels: NDArray[np.intp] | None,
        seed: int,
        weight: NDArray[np.float64] | None = None,
    ) -> Chunk:
        """Return what to learn from after these rows came; warn if they are far off."""
        if self.is_young:
            return self._anew(*self._with_kept(X, labels, weight, seed), seed)
        if self.reach is None:
            return Chunk(X, labels, weight, False, self)
        n_rows = X.shape[0]
        beyond, distance = self.reach.beyond(_some(X, seed))
        n_beyond = round(float(beyond.mean()) * n_rows)
        after = replace(
            self,
            n_within=self.n_within + n_rows - n_beyond,
            n_beyond=self.n_beyond + n_beyond,
        )
        if n_beyond <= n_rows / 2:
            return Chunk(X, labels, weight, False, after)
        anew = not self.by_fit and after.n_beyond > after.n_within
        anew = anew and (n_rows == 1 or varies(X))
        warn_user(after._warning(n_beyond, n_rows, distance, anew))
        if anew:
            return self._anew(X, labels, weight, seed)
        return Chunk(X, labels, weight, False, after)

    def _anew(
        self,
        X: Any,
        labels: NDArray[np.intp] | None,
        weight: NDArray[np.float64] | None,
        seed: int,
    ) -> Chunk:
        of_stream = (self.loss, self.least, seed)
        after = Stream.begun(X, labels, *of_stream, by_fit=False, weight=weight)
        return Chunk(X, labels, weight, True, after)

    def _with_kept(
        self,
        X: Any,
        labels: NDArray[np.intp] | None,
        weight: NDArray[np.float64] | None,
        seed: int,
    ) -> tuple[Any, NDArray[np.intp] | None, NDArray[np.float64] | None]:
        """Return the rows that are kept, and those of X after them.

        Once there are enough, kept rows out of reach of the later half are left out.
        """
        kept, of_kept, n_rows = self.rows, self.labels, X.shape[0]
        counts = self.weight
        size = (X.nnz if is_sparse(X) else X.size) * X.dtype.itemsize
        if size > CACHE_BYTES:  # so large that the others are not worth a copy
            return X, labels, weight
        n_later = (kept.shape[0] + n_rows) // 2
        if kept.shape[0] + n_rows >= self.least:
            later = X if n_later <= n_rows else stacked(kept, X)
            later = later[later.shape[0] - n_later :]
            reach = Reach.of(later, self.loss, seed) if varies(later) else None
            if reach is not None:
                near = ~reach.beyond(kept, too_near=False)[0]
                kept = kept[near]
                of_kept = None if of_kept is None else of_kept[near]
                counts = None if counts is None else counts[near]
        sizes = kept.shape[0], n_rows
        return (
            stacked(kept, X),
            joined(of_kept, labels, sizes, none=-1),
            joined(counts, weight, sizes, none=1.0),
        )

    def _warning(self, n_beyond: int, n_rows: int, distance: float, anew: bool) -> str:
        """Return the warning for a chunk most of which is out of reach."""
        far = f"they are about {distance:.3g} standard deviations from their mean"
        if self.reach is not None and not self.reach.of_counts:
            far += f", where {self.reach.usual:.3g} was usual"
        else:
            far = f"they differ in their totals by a factor of about {distance:.3g}"
        text = (
            f"{n_beyond} of the {n_rows} rows of X are unlike the rows that training "
            f"began with: {far}. "
        )
        seen = f"{self.n_beyond} rows of the stream were unlike them, {self.n_within} "
        if anew:
            return text + (
                f"So far {seen}were not: training begins again with the rows of this "
                "call, and forgets the earlier ones."
            )
        text += "Little can be learned from such rows. "
        if self.by_fit:
            return text + "Call fit with rows of both kinds."
        return text + (
            "Shuffle the stream, so that the first rows are like the others. So far "
            f"{seen}were not; once they are more, training begins again."
        )


def joined(
    first: NDArray[Any] | None,
    second: NDArray[Any] | None,
    sizes: tuple[int, int],
    none: float,
) -> NDArray[Any] | None:
    """Return the values of each row of two arrays of `sizes`, if there are any.

    Rows without a value have `none`.
    """
    if first is None and second is None:
        return None
    both = [
        np.full(size, none) if part is None else part
        for part, size in zip((first, second), sizes, strict=True)
    ]
    return np.concatenate(both)


def stacked(first: Any, second: Any) -> Any:
    """Return all rows of two arrays; dense, where one of them is."""
    if is_sparse(first) and is_sparse(second):
        return sp.vstack([first, second], format="csr")
    both = [X.toarray() if is_sparse(X) else X for X in (first, second)]
    return np.concatenate(both)


def varies(X: Any) -> bool:
    """Tell whether any feature has two values among the rows, beyond round-off."""
    if is_sparse(X):
        low, high = (
            np.asarray(getattr(X, end)(axis=0).todense(), np.float64).ravel()
            for end in ("min", "max")
        )
        return bool(_apart(low, high).any())
    low, high = (np.full(X.shape[1], sign * np.inf) for sign in (1, -1))
    for start, stop in row_chunks(*X.shape):
        rows = X[start:stop]
        low = np.fmin(low, np.fmin.reduce(rows, axis=0))
        high = np.fmax(high, np.fmax.reduce(rows, axis=0))
        if _apart(low, high).any():
            return True
    return False


def _apart(low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.bool_]:
    noise = 10 * np.finfo(np.float64).eps * np.maximum(np.abs(low), np.abs(high))
    return high - low > noise
