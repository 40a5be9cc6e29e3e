r"""Generalized autoencoders: a row's code restores its relatives (Wang et al. 2014).

.. math:: \min_{f, g}\ \sum_i \sum_{j \in \Omega_i} s_{ij} \|x_j - \hat x_i\|^2,
          \qquad \hat x_i = g(f(x_i))

============= ============================================ ==========================
relation      Ω_i                                          s_ij
============= ============================================ ==========================
identity      i itself                                     1
class         its class                                    1 / size of the class
laplacian     its nearest neighbours                       exp(−‖x_i − x_j‖² / t)
lle           neighbours and co-neighbours                 (M + Mᵀ − MᵀM)_ij
isomap        landmarks                                    (−HΛH / 2)_ij
mfa           nearest of its class, nearest of the others  +1, −1
============= ============================================ ==========================

With S_i = Σ_j s_ij and x̄_i = Σ_j s_ij x_j / S_i, a row's sum is S_i ‖x̂_i − x̄_i‖² and a
constant: the batch hands out x̄_i as the target and S_i as the weight. Where S_i is zero
or less it is S_i ‖x̂_i‖² − 2 x̂_i·Σ_j s_ij x_j, which is bounded only if x̂ is: either the
output is a sigmoid then, or s_ii is raised (the constant shift of Roth et al. 2003).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import Tags, check_consistent_length
from torch import Tensor

from sklearn_ae.autoencoders import graphs
from sklearn_ae.autoencoders.composed import ComposedAutoencoder, CorruptionParameters
from sklearn_ae.autoencoders.module import AutoencoderModule
from sklearn_ae.autoencoders.network import Network
from sklearn_ae.engine.inputs import range_outside, rows_of
from sklearn_ae.engine.labels import LabelParameters, Labels, Reading, Supervision
from sklearn_ae.engine.module import Blank
from sklearn_ae.engine.neighbours import Relation, Targets
from sklearn_ae.engine.rows import CACHE_BYTES, Batch, Relations, Rows
from sklearn_ae.engine.shared_parameters import FreeParameters
from sklearn_ae.engine.units import Units
from sklearn_ae.params.domains import Interval, OneOf
from sklearn_ae.parts.averages import mean
from sklearn_ae.parts.sparse import dense

__all__ = ["GeneralizedAutoencoder", "GeneralizedModule"]

RELATIONS = ("identity", "class", "isomap", "lle", "laplacian", "mfa")
SUPERVISED = ("class", "mfa")
#: Relations with negative weights.
REPELLING = ("isomap", "lle", "mfa")


class GeneralizedModule(AutoencoderModule):
    """A module that restores each row's relatives.

    Parameters
    ----------
    network : Network
    attracts : bool
        Whether all S_i are positive, so that there is an x̄_i to be restored.
    """

    def __init__(self, network: Network, *, attracts: bool) -> None:
        super().__init__(network)
        self.attracts = attracts

    @property
    def traits(self) -> dict[str, object]:
        return {**super().traits, "attracts": self.attracts}

    @property
    def leaves_pca(self) -> bool:
        return not self.has_hidden_units

    def loss(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        if batch.total is None:  # a row is related to itself
            return super().loss(batch, generator)
        x = self.corrupted(batch.x, generator)
        z = self.encode(x, generator)
        relatives = self.relatives(z, batch.target, batch.total, generator)
        rest = self.regularisers(x, z, generator, None, batch.weight)
        return {"reconstruction": mean(relatives, batch.weight), **rest}

    def relatives(
        self,
        z: Tensor,
        target: Tensor,
        total: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return Σ_j s_ij (−log p(x_j | x̂_i)) of each row, up to a constant.

        `total` is S; `target` is x̄, or Σ_j s_ij x_j where rows are also repelled.
        """
        if self.attracts and self.is_exact(target):
            return total * self.exact_nats(z, target, generator)
        a, target = self.decoder(z, generator), dense(target)
        if self.attracts:
            return total * self.likelihood.nats(a, target)
        restored = self.likelihood.output(a)
        return 0.5 * total * restored.square().sum(1) - (restored * target).sum(1)


class GeneralizedAutoencoder(
    LabelParameters, CorruptionParameters, FreeParameters, ComposedAutoencoder
):
    r"""Autoencoder that restores from each row the rows that it is related to.

    Minimises

    .. math:: \mathbb{E}_i \sum_{j \in \Omega_i} s_{ij} [-\log p(x_j \mid g(f(x_i)))]
              \;\big/\; \mathbb{E}_i \sum_{j} |s_{ij}|

    in nats per sample, up to a constant. Codes of related rows come to lie together,
    and new rows are encoded without neighbours or labels.

    - "identity": a row and itself: the plain autoencoder, nonlinear PCA.
    - "class": the rows of its class, as in LDA. Needs y.
    - "laplacian": its nearest neighbours, by a heat kernel, as Laplacian eigenmaps.
    - "lle": neighbours, by the weights that restore rows from them, as in locally
      linear embedding.
    - "isomap": by the Gram matrix of geodesic distances, which attracts and repels.
    - "mfa": attracted by neighbours of its class, repelled by those of others, as in
      marginal Fisher analysis. Needs y.

    In "isomap", and in "mfa" with `n_neighbors` not above `n_impostors`, a row is
    repelled as much as it is attracted: there is no least value unless a row is also
    related to itself (`self_weight`), or the output is bounded, as in the paper. With
    ``output_activation="sigmoid"`` X has to be in [0, 1], and `standardize` has no
    effect. Rows without a label (see `unlabeled`) are related to themselves alone.

    Parameters
    ----------
    relation : str, default="laplacian"
        Relation between rows: "identity", "class", "isomap", "lle", "laplacian" or
        "mfa".
    n_neighbors : int, default=5
        Number of neighbours of a row; with "mfa" of neighbours of its class. It has no
        effect on "identity" and "class".
    n_impostors : int, default=2
        Number of nearest rows of other classes, for "mfa".
    bandwidth : float or "auto", default="auto"
        t of the heat kernel exp(−d²/t), in squared units of X; "auto" is the mean of
        squared distances between neighbours, and what is used between codes.
    n_landmarks : int, default=200
        Number of rows, drawn at random, whose geodesic distances to all rows "isomap"
        knows; with as many as X has it is exact. Memory for about seven numbers is
        taken for each pair of a row and a landmark.
    self_weight : float or "auto", default="auto"
        s_ii, the weight of the row itself; the weights of the others sum to 1, on
        average and without their signs. "auto" is 0 where there is a least value, or
        `output_activation` is chosen. Else it is 0.1 for "isomap" (on images about what
        makes the Gram matrix positive semi-definite), and the share of impostors among
        neighbours for "mfa".
    n_rounds : int, default=1
        Number of rounds that training is divided into. From the second on, neighbours,
        weights and distances are those of the codes. "identity" and "class" have one.
    loss : {"squared_error", "log_loss", "poisson"}, default="squared_error"
        Loss −log p, as elsewhere; squared error with "isomap", "lle" and "mfa", some of
        whose weights are negative.

    See Also
    --------
    EmbeddingAutoencoder : Restores rows, and puts neighbours' codes together.
    sklearn.manifold.Isomap : A row's code is looked up, not computed.

    Notes
    -----
    Relations are those within the rows that one call of `fit` or `partial_fit` is
    given, and the first rows of a stream while they are kept. Rows that
    `early_stopping` holds out have no part in what others restore, but are themselves
    judged by all rows that they are related to. `score` is
    minus the error of restoring a row itself, with any relation: relatives are restored
    in its place, and where they also repel, what sets a row apart is exaggerated (with
    "isomap" several times, the more the lower `self_weight`). It is the codes that are
    learned then.

    References
    ----------
    Wang, W. et al. Generalized autoencoder: a neural network framework for
    dimensionality reduction. CVPR Workshops 2014.

    Roth, V. et al. Optimal cluster preserving embedding of nonmetric proximity data.
    IEEE Transactions on Pattern Analysis and Machine Intelligence 25, 2003.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn_ae import GeneralizedAutoencoder
    >>> X, X_test, y, y_test = train_test_split(
    ...     *load_digits(return_X_y=True), random_state=0)
    >>> model = GeneralizedAutoencoder(
    ...     5, relation="class", max_iter=20, random_state=0).fit(X, y)
    >>> nearest = KNeighborsClassifier(1).fit(model.transform(X), y)
    >>> bool(nearest.score(model.transform(X_test), y_test) > 0.9)
    True
    """

    relation: str = "laplacian"
    n_neighbors: int = 5
    n_impostors: int = 2
    bandwidth: float | str = "auto"
    n_landmarks: int = 200
    self_weight: float | str = "auto"
    n_rounds: int = 1

    _valid: ClassVar = {
        "relation": [OneOf(*RELATIONS)],
        "n_neighbors": [Interval(int, 1, None)],
        "n_impostors": [Interval(int, 1, None)],
        "bandwidth": [Interval(float, 0, None, "neither"), OneOf("auto")],
        "n_landmarks": [Interval(int, 2, None)],
        "self_weight": [Interval(float, 0, None), OneOf("auto")],
        "n_rounds": [Interval(int, 1, None)],
        "loss": [OneOf("squared_error", "log_loss", "poisson")],
    }

    @property
    def _has_linear_path(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.relation in SUPERVISED
        return tags

    @property
    def _attraction(self) -> float:
        """How much more others attract a row than repel it, in all."""
        if self.relation == "mfa":
            k, k_other = self.n_neighbors, self.n_impostors
            return (k - k_other) / (k + k_other)
        return 0.0 if self.relation == "isomap" else 1.0

    @property
    def _own(self) -> float:
        """Value of `self_weight`."""
        if self.self_weight != "auto":
            return float(self.self_weight)
        if self._attraction > 0 or self.output_activation != "auto":
            return 0.0
        k, k_other = self.n_neighbors, self.n_impostors
        return 0.1 if self.relation == "isomap" else k_other / (k + k_other)

    @property
    def _attracts(self) -> bool:
        """Whether all S_i are positive."""
        return self._attraction + self._own > 1e-6

    def _module(self, blank: Blank) -> GeneralizedModule:
        return GeneralizedModule(self._network(blank), attracts=self._attracts)

    def _check_params(self) -> None:
        super()._check_params()
        what = f"relation={self.relation!r}"
        if self.relation in REPELLING and self.loss != "squared_error":
            raise ValueError(
                f"{what} needs loss='squared_error': with its negative weights no "
                f"other loss has a least value. Got loss={self.loss!r}."
            )
        if self._attracts:
            return
        if self.relation == "mfa":
            what += (
                f" with n_neighbors={self.n_neighbors}, which is not above "
                f"n_impostors={self.n_impostors},"
            )
        if self.output_activation not in ("sigmoid", "logistic"):
            raise ValueError(
                f"{what} has no least value with self_weight={self.self_weight!r} and "
                f"output_activation={self.output_activation!r}: a row is repelled as "
                "much as it is attracted. Leave both 'auto', give a self_weight, or "
                "take output_activation='sigmoid'."
            )

    def _check_values(self, X: Any, loss: str) -> None:
        super()._check_values(X, loss)
        found = None if self._attracts else range_outside(X, 0.0, 1.0)
        if found is not None:
            raise ValueError(
                f"relation={self.relation!r} needs values in [0, 1] here, which a "
                "sigmoid restores. Scale X, for example with MinMaxScaler. Got X "
                f"with values in {found}."
            )

    def _units_for(
        self,
        X: Any,
        subset: NDArray[np.intp] | None,
        weight: NDArray[np.float64] | None = None,
    ) -> Units:
        if not self._attracts:
            return Units()
        return super()._units_for(X, subset, weight)

    @property
    def _repeats_rows(self) -> str | None:
        if self.relation in ("identity", "class"):
            return None
        return f"relation={self.relation!r}"

    @property
    def _judges_by_labels(self) -> bool:
        return self.relation in SUPERVISED

    @property
    def _restores_rows(self) -> bool:
        return self.relation == "identity"

    def _labels(self, X: Any, y: Any, resume: bool) -> Supervision:
        labels, seen = None, None
        unlabeled: int | str | None = "auto"
        if self.relation in SUPERVISED:
            labels = np.full(X.shape[0], -1)
            known: Labels | Reading
            if resume and self.relation == "class" and y is not None:
                check_consistent_length(X, y)  # a stream may go on with few labels
                known = self._read(y, resume)
                known.warn()
                classes, places = np.unique(known.labels, return_inverse=True)
            else:
                known = Labels.of(y, X, self, resume=resume)
                classes, places = known.classes, known.places
            before = self._seen_classes if resume else None
            if before is not None:  # earlier classes keep their numbers
                number = {label: i for i, label in enumerate(before.tolist())}
                own = [number.setdefault(c, len(number)) for c in classes.tolist()]
                classes, places = np.array([*number]), np.array(own, np.intp)[places]
            labels[known.rows], unlabeled, seen = places, known.unlabeled, classes
        self._check_enough(X.shape[0], labels)
        return Supervision(labels, {"_unlabeled": unlabeled, "_seen_classes": seen})

    def _check_enough(self, n_rows: int, labels: NDArray[np.intp] | None) -> None:
        """Raise ValueError where rows have fewer neighbours than asked for."""
        if self.relation in ("isomap", "lle", "laplacian"):
            graphs.check_enough(n_rows, self.n_neighbors)
        if self.relation == "mfa" and labels is not None:
            _, sizes = np.unique(labels[labels >= 0], return_counts=True)
            smallest, others = sizes.min(), sizes.sum() - sizes.max()
            of = "rows of the smallest class"
            graphs.check_enough(smallest, self.n_neighbors, of)
            if self.n_impostors > others:
                raise ValueError(
                    f"n_impostors={self.n_impostors} needs as many rows of other "
                    f"classes. Besides the largest class there are {others}."
                )

    @property
    def _n_rounds(self) -> int:
        return 1 if self.relation in ("identity", "class") else int(self.n_rounds)

    def _relate(
        self,
        X: Any,
        labels: NDArray[np.intp] | None,
        codes: NDArray[Any] | None,
        seed: int,
        weight: NDArray[np.float64] | None = None,
    ) -> Callable[[Rows, bool], Relations | None] | None:
        if self.relation == "identity":
            return None

        def targets(rows: Rows, held_out: bool) -> Relations | None:
            if rows.subset is None or held_out:
                relation = self._relation(X, labels, codes, seed, weight)
                return None if relation is None else Targets(rows, relation)
            # held-out rows have no part in what others are to restore
            own = rows_of(X, rows.subset, CACHE_BYTES)
            known = None if labels is None else labels[rows.subset]
            coded = None if codes is None else codes[rows.subset]
            counts = None if weight is None else weight[rows.subset]
            relation = self._relation(own, known, coded, seed, counts)
            return None if relation is None else Targets(rows, relation)

        return targets

    def _relation(
        self,
        X: Any,
        labels: NDArray[np.intp] | None,
        codes: NDArray[Any] | None,
        seed: int,
        weight: NDArray[np.float64] | None = None,
    ) -> Relation | None:
        """Return what the rows of X are to restore; None is each row itself."""
        self._check_enough(X.shape[0], labels)
        alone = np.zeros(X.shape[0], bool) if labels is None else labels < 0
        if alone.all():
            return None
        weights, sources = self._weights(X, labels, codes, seed, weight)
        weights = weights / (abs(weights).sum() / (~alone).sum() or 1.0)
        own: NDArray[Any] = self._own + alone
        total = weights.sum(axis=1) + own
        if self._attracts:
            weights = weights.multiply(1.0 / total[:, None]).tocsr()
            own = own / total
        return Relation(weights, sources, own, total)

    def _weights(
        self,
        X: Any,
        labels: NDArray[np.intp] | None,
        codes: NDArray[Any] | None,
        seed: int,
        weight: NDArray[np.float64] | None,
    ) -> tuple[Any, Any]:
        """Return s, of shape (n_rows, n_sources), and the sources.

        Rows are related as their codes are, if there are any.
        """
        k, n_rows = int(self.n_neighbors), X.shape[0]
        F = X if codes is None else codes
        if self.relation == "class":
            assert labels is not None
            member = graphs.members(labels)
            return member, graphs.class_means(X, member, weight)
        if self.relation == "lle":
            return graphs.lle_weights(F, k), X
        if self.relation == "mfa":
            assert labels is not None
            return graphs.margin_weights(F, labels, k, int(self.n_impostors)), X
        if self.relation == "laplacian":
            distances, indices = graphs.nearest(F, k)
            bandwidth = self.bandwidth if codes is None else "auto"
            graph = graphs.as_graph(indices, distances, n_rows)
            return graphs.heat(graph, bandwidth), X
        n_landmarks = min(int(self.n_landmarks), n_rows)
        gram, landmarks = graphs.landmark_gram(F, k, n_landmarks, seed)
        every = np.broadcast_to(np.arange(n_landmarks), gram.shape)
        return graphs.as_graph(every, gram, n_landmarks), X[landmarks]
