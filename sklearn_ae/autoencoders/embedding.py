r"""Embedding with autoencoder regularisation (Yu et al. 2013).

.. math:: \min_{f, g}\ \lambda \sum_{i, j} \ell(z_i, z_j, \varphi_{ij})
          + \gamma\, \mathbb{E}\,[-\log p(x \mid g(z))] + \beta \sum_j
          \mathrm{KL}(\rho \| \hat\rho_j) + \frac{\alpha}{2} \sum \|W\|^2,
          \qquad z = f(x)

========== ===================================================== ======================
embedding  ℓ(z_i, z_j, φ_ij)                                     φ_ij
========== ===================================================== ======================
laplacian  φ_ij ‖z_i − z_j‖²                                     exp(−‖x_i − x_j‖² / t)
                                                                 of neighbours, else 0
mds        (‖z_i − z_j‖ − φ_ij)²                                 ‖x_i − x_j‖
margin     ‖z_i − z_j‖², or max(0, l − ‖z_i − z_j‖²) for others  whether neighbours
========== ===================================================== ======================

Neighbours of a row are those nearest to it, by their number, or all in a ball,
‖x_i − x_j‖² ≤ ε. Sums over pairs are means here, each kind of pair by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sklearn_ae.autoencoders import graphs
from sklearn_ae.autoencoders.composed import ComposedAutoencoder, CorruptionParameters
from sklearn_ae.autoencoders.module import AutoencoderModule
from sklearn_ae.autoencoders.network import Network
from sklearn_ae.engine.labels import Supervision
from sklearn_ae.engine.module import Blank
from sklearn_ae.engine.neighbours import Neighbours
from sklearn_ae.engine.rows import Batch, Relations, Rows
from sklearn_ae.engine.shared_parameters import FreeParameters
from sklearn_ae.engine.tensors import to_tensor
from sklearn_ae.params.domains import Interval, OneOf
from sklearn_ae.parts.penalties import KLSparsity, Penalty
from sklearn_ae.parts.sparse import dense, full_precision

__all__ = ["EmbeddingAutoencoder", "EmbeddingModule"]

#: At most this many rows are compared with each other at once.
MAX_COMPARED = 4096


class EmbeddingModule(AutoencoderModule):
    """A module that restores rows, and places their codes by what is known of pairs.

    Parameters
    ----------
    network : Network
    embedding : {"laplacian", "mds", "margin"}
    embedding_weight, reconstruction_weight, margin : float
    """

    def __init__(
        self,
        network: Network,
        *,
        embedding: str,
        embedding_weight: float,
        reconstruction_weight: float,
        margin: float,
    ) -> None:
        super().__init__(network)
        self.embedding = embedding
        self.embeds, self.reconstructs = embedding_weight > 0, reconstruction_weight > 0
        for name, number in (
            ("embedding_weight", embedding_weight),
            ("reconstruction_weight", reconstruction_weight),
            ("margin", margin),
        ):
            self.hyper.register_buffer(name, to_tensor(number, network.blank.dtype))

    @property
    def traits(self) -> dict[str, object]:
        return {**super().traits, "embedding": self.embedding}

    @property
    def leaves_pca(self) -> bool:
        return not self.has_hidden_units

    def loss(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        x, n_rows = self.corrupted(batch.x, generator), batch.target.shape[0]
        z = self.encode(x, generator)
        own, terms = z[:n_rows], {}
        if self.reconstructs:
            target, weight = batch.target, batch.weight
            nats = self.reconstruction(own, target, generator, None, weight)
            terms["reconstruction"] = self.hyper.reconstruction_weight * nats
        if self.embeds:
            apart = self.embedding == "mds" or batch.pairs is not None
            pairs = getattr(self, self.embedding)(z, batch) if apart else 0.0 * z.sum()
            terms["embedding"] = self.hyper.embedding_weight * pairs
        seen = batch.target  # as the encoder saw it, without the neighbours at the end
        if x is not batch.x:
            seen = x if batch.pairs is None else dense(x)[:n_rows]
        rest = self.regularisers(seen, own, generator, None, batch.weight)
        return {**terms, **rest}

    def laplacian(self, z: Tensor, batch: Batch) -> Tensor:
        """Return the mean of φ_ij ‖z_i − z_j‖² over pairs of neighbours."""
        assert batch.pairs is not None
        first, second, weight, _ = batch.pairs
        return (weight * (z[first] - z[second]).square().sum(1)).mean()

    def mds(self, z: Tensor, batch: Batch) -> Tensor:
        """Return the mean of (‖z_i − z_j‖ − ‖x_i − x_j‖)² over pairs of rows."""
        if len(z) < 2:
            return 0.0 * z.sum()
        with torch.no_grad():
            wanted = F.pdist(dense(batch.x))
        return (F.pdist(z.to(wanted.dtype)) - wanted).square().mean()

    def margin(self, z: Tensor, batch: Batch) -> Tensor:
        """Return the mean of ‖z_i − z_j‖² over pairs of neighbours, and others' too.

        That is of max(0, l − ‖z_i − z_j‖²) over pairs of rows that are none. Pairs of
        neighbours all count alike.
        """
        assert batch.pairs is not None and batch.pairs.near is not None
        near, drawn = batch.pairs.near, self.laplacian(z, batch)
        own = z[: batch.target.shape[0]].to(self.hyper.margin.dtype)
        with full_precision(z.device.type):  # differences of what may be large
            own = own - own.mean(0)
            squares = own.square().sum(1)
            squares = squares[:, None] + squares - 2.0 * own @ own.T
        apart = torch.relu(self.hyper.margin - squares).masked_fill(near, 0.0)
        return drawn + apart.sum() / (~near).sum().clamp_min(1)


class EmbeddingAutoencoder(CorruptionParameters, FreeParameters, ComposedAutoencoder):
    r"""Autoencoder whose codes are placed by what is known of pairs of rows.

    Minimises

    .. math:: \lambda\, \mathbb{E}_{ij}\, \ell(z_i, z_j, \varphi_{ij})
              + \gamma\, \mathbb{E}\,[-\log p(x \mid g(z))]
              + \beta \sum_j \mathrm{KL}(\rho \| \hat\rho_j)
              + \frac{\alpha}{2} \sum \|W\|^2

    in nats per sample, with distances in the network's units (see `standardize`). It is
    an embedding that the autoencoder regularises: the encoder is a function, so new
    rows are placed by `transform`, and the decoder keeps codes from collapsing.

    - "laplacian": codes of neighbours are near each other, by a heat kernel, as in
      Laplacian eigenmaps: ℓ = φ_ij ‖z_i − z_j‖² with φ_ij = exp(−‖x_i − x_j‖² / t) of
      neighbours and 0 of others, divided by its mean over the neighbours.
    - "mds": codes are as far from each other as rows are, as in metric
      multidimensional scaling: ℓ = (‖z_i − z_j‖ − ‖x_i − x_j‖)².
    - "margin": codes of neighbours are near each other, ℓ = ‖z_i − z_j‖², all others a
      margin l apart, ℓ = max(0, l − ‖z_i − z_j‖²); each a mean of its own.

    Neighbours of a row are the nearest ones, by their number, or all in a ball,
    ‖x_i − x_j‖² ≤ ε (`neighbors`).

    A batch of all rows has all pairs. A smaller one has all pairs of its own rows for
    "mds" and for others than neighbours, and one neighbour of each row, drawn again
    each time; it counts as much as all of its row's do together.

    Parameters
    ----------
    embedding : {"laplacian", "mds", "margin"}, default="laplacian"
        Rule by which the codes of pairs are placed, as above.
    embedding_weight : float, default=10.0
        λ, in the network's nats; 0 is the plain autoencoder. With "laplacian" a large
        one also makes codes small, which the decoder undoes; "margin" keeps them apart.
    reconstruction_weight : float, default=1.0
        γ; with 0 the decoder learns nothing, and "laplacian" draws all codes to one
        place.
    neighbors : {"knn", "ball"}, default="knn"
        Rule for which rows are neighbours; "mds" needs none. With "knn" those of a row
        are the `n_neighbors` nearest to it. With "ball" they are all at a distance of
        at most `radius`, :math:`\|x_i - x_j\|^2 \le \varepsilon = r^2`. A row whose
        ball holds no other is only restored.
    n_neighbors : int, default=5
        Number of neighbours of each row. With "ball" it has an effect only through
        ``radius="auto"``.
    radius : float or "auto", default="auto"
        r, in units of X; it has no effect with "knn". "auto" is the median over the
        rows of the distance to the `n_neighbors`-th nearest one. There may be at most
        2²⁶ pairs of neighbours.
    bandwidth : float or "auto", default="auto"
        t of the heat kernel exp(−d²/t), in squared units of X; "auto" is the mean of
        squared distances between neighbours.
    margin : float, default=1.0
        l, a squared distance between codes.
    sparsity_weight : float, default=0.0
        β, the weight of the KL sparsity of the code, which has to be a sigmoid then: in
        nats of features whose root mean variance is ¼, see `standardize`.
    sparsity : float, default=0.05
        ρ, the mean that each unit is to have.

    See Also
    --------
    GeneralizedAutoencoder : Restores related rows in place of the row itself.
    sklearn.manifold.SpectralEmbedding : Laplacian eigenmaps.
    sklearn.manifold.MDS : Without a map for new rows.

    References
    ----------
    Yu, W. et al. Embedding with autoencoder regularization. ECML PKDD 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.metrics import euclidean_distances
    >>> from sklearn_ae import EmbeddingAutoencoder
    >>> X = load_iris().data
    >>> model = EmbeddingAutoencoder(2, embedding="mds", random_state=0).fit(X)
    >>> apart, wanted = euclidean_distances(model.transform(X)), euclidean_distances(X)
    >>> bool(np.corrcoef(apart.ravel(), wanted.ravel())[0, 1] > 0.99)
    True
    """

    embedding: str = "laplacian"
    embedding_weight: float = 10.0
    reconstruction_weight: float = 1.0
    neighbors: str = "knn"
    n_neighbors: int = 5
    radius: float | str = "auto"
    bandwidth: float | str = "auto"
    margin: float = 1.0
    sparsity_weight: float = 0.0
    sparsity: float = 0.05

    _valid: ClassVar = {
        "embedding": [OneOf("laplacian", "mds", "margin")],
        "embedding_weight": [Interval(float, 0, None)],
        "reconstruction_weight": [Interval(float, 0, None)],
        "neighbors": [OneOf("knn", "ball")],
        "n_neighbors": [Interval(int, 1, None)],
        "radius": [Interval(float, 0, None, "neither"), OneOf("auto")],
        "bandwidth": [Interval(float, 0, None, "neither"), OneOf("auto")],
        "margin": [Interval(float, 0, None, "neither")],
        "sparsity_weight": [Interval(float, 0, None)],
        "sparsity": [Interval(float, 0, 1, "neither")],
    }

    def _check_params(self) -> None:
        super()._check_params()
        if self.embedding_weight == 0 and self.reconstruction_weight == 0:
            raise ValueError(
                "embedding_weight=0 and reconstruction_weight=0 leave nothing to learn."
            )

    @property
    def _has_linear_path(self) -> bool:  # PCA's codes are whitened: not as far apart
        return self.embedding != "mds"

    def _penalties(self) -> list[tuple[str, Penalty]]:
        if self.sparsity_weight == 0:
            return []
        penalty = KLSparsity(sparsity=self.sparsity, weight=self.sparsity_weight)
        return [("sparsity", penalty)]

    def _module(self, blank: Blank) -> EmbeddingModule:
        return EmbeddingModule(
            self._network(blank),
            embedding=self.embedding,
            embedding_weight=float(self.embedding_weight),
            reconstruction_weight=float(self.reconstruction_weight),
            margin=float(self.margin),
        )

    @property
    def _repeats_rows(self) -> str | None:
        return f"embedding={self.embedding!r}" if self.embedding_weight > 0 else None

    @property
    def _counts_neighbors(self) -> bool:
        """Whether `n_neighbors` has an effect where rows have neighbours at all."""
        return self.neighbors == "knn" or isinstance(self.radius, str)

    def _labels(self, X: Any, y: Any, resume: bool) -> Supervision:
        n_rows, related = X.shape[0], self.embedding != "mds"
        if related and self.embedding_weight > 0 and self._counts_neighbors:
            graphs.check_enough(n_rows, self.n_neighbors)
        if self.embedding != "laplacian":
            at_once = self.batch_size
            if self.solver == "lbfgs":
                at_once = n_rows
            if at_once != "auto" and min(at_once, n_rows) > MAX_COMPARED:
                raise ValueError(
                    f"embedding={self.embedding!r} needs batches of at most "
                    f"{MAX_COMPARED} rows, which are all compared with each other. Got "
                    f"batches of {min(at_once, n_rows)} rows: lower batch_size, with "
                    "another solver than 'lbfgs'."
                )
        return super()._labels(X, y, resume)

    def _relate(
        self,
        X: Any,
        labels: NDArray[np.intp] | None,
        codes: NDArray[Any] | None,
        seed: int,
        weight: NDArray[np.float64] | None = None,
    ) -> Callable[[Rows, bool], Relations | None] | None:
        if self.embedding == "mds" or self.embedding_weight == 0:
            return None

        def neighbours(rows: Rows, held_out: bool) -> Relations | None:
            F = X if rows.subset is None else X[rows.subset]
            k = int(self.n_neighbors)
            if held_out:  # they are few, with neighbours farther away
                k = min(k, len(rows) - 1)
                if k == 0:
                    return None
            elif self._counts_neighbors:
                graphs.check_enough(len(rows), k, "rows to train on")
            graph = self._neighbours(F, k)
            if graph.nnz == 0 and not held_out:
                raise ValueError(
                    f"radius={self.radius!r} leaves none of the {len(rows)} rows to "
                    "train on a neighbour. Raise it, or set radius='auto'."
                )
            if self.embedding == "laplacian":
                graph = graphs.heat(graph, self.bandwidth)
            else:
                graph.data = np.ones_like(graph.data)
            drawn_by = None if held_out else seed
            return Neighbours(rows, graph, drawn_by, self.embedding == "margin")

        return neighbours

    def _neighbours(self, F: Any, k: int) -> sp.csr_array:
        """Return each row's distances to its neighbours, (n_rows, n_rows)."""
        if not self._counts_neighbors:
            return graphs.within(F, float(self.radius))
        distances, indices = graphs.nearest(F, k)
        if self.neighbors == "knn":
            return graphs.as_graph(indices, distances, len(indices))
        # a little more, so that rounding leaves out no pair at this very distance
        return graphs.within(F, float(np.median(distances[:, -1])) * (1 + 1e-9))
