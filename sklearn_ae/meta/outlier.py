r"""Outliers: rows that an autoencoder finds unusual.

The score of a row is, by `criterion`, the density of what the network restores and what
it leaves (`sklearn_ae.meta.row_density`), or minus the error of the reconstruction.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import get_tags

from sklearn_ae.autoencoders.autoencoder import Autoencoder
from sklearn_ae.engine import inputs
from sklearn_ae.engine.estimator import BaseAutoencoder
from sklearn_ae.engine.resuming import next_seed
from sklearn_ae.engine.rows import CACHE_BYTES
from sklearn_ae.engine.sklearn_types import (
    BaseEstimator,
    CallbackSupportMixin,
    with_callbacks,
)
from sklearn_ae.engine.transforms import Transforms
from sklearn_ae.engine.weights import (
    HeldOut,
    check_val,
    check_weight,
    handed_on,
    named_rows,
    without_weightless,
)
from sklearn_ae.meta.fitted_detector import FittedDetector, Network, scores_of
from sklearn_ae.meta.layers import ValidatesRowsOfFirstLayer
from sklearn_ae.meta.row_density import RowDensity
from sklearn_ae.meta.threshold import FEWEST_HELD_OUT, N_FOLDS, divided, threshold
from sklearn_ae.params.domains import Instance, Interval, Nothing, OneOf, RandomState
from sklearn_ae.params.fields import Params

__all__ = ["AutoencoderOutlierDetector"]

#: The default autoencoder's code has one component per 4 features, at most 32.
FEATURES_PER_COMPONENT, MOST_COMPONENTS = 4, 32

#: The autoencoder where none is given, but for the size of its code; never fitted.
_DEFAULT = Autoencoder(dtype="float64")

_AUTOENCODER = Instance(Transforms, "an autoencoder")


class AutoencoderOutlierDetector(
    FittedDetector,
    CallbackSupportMixin,
    Params,
    BaseEstimator,
):
    r"""Outlier and novelty detection by what an autoencoder makes of a row.

    An autoencoder is fitted to the rows of X. With :math:`\hat x` what it restores of a
    row and :math:`r = x - \hat x` what it leaves, the score is

    .. math:: u(x) = \frac{1}{|\Sigma|} \sum_{\sigma \in \Sigma}
              \frac{\log p_\sigma(\hat x, r) - m_\sigma}{s_\sigma}

    where :math:`p_\sigma` is a mixture of Gaussians fitted to the training rows, with
    noise of variance 0.01 and of 1 (in the mean variance of a feature), and
    :math:`m_\sigma, s_\sigma` are mean and standard deviation of its logarithm over
    them. So a row is unusual if it is restored badly, each direction of the residual
    counting by its own scale, or if what is restored is unusual itself. The density
    sees 32 principal components of both halves, and the length of the rest; for sparse
    X the code and the row's error.

    As with PCA the scale of the features matters: put a StandardScaler before it unless
    they share one.

    Fitted to clean rows it detects novelties among new ones; fitted to the rows in
    question it finds the outliers among them.

    Parameters
    ----------
    estimator : autoencoder or None, default=None
        Autoencoder of any kind that needs no y, or a stack of them. None is an
        `Autoencoder` with one component per 4 features, at most 32, that computes in
        float64.
    contamination : float or "auto", default="auto"
        Share of outliers among the training rows, in (0, 0.5]: it sets the threshold so
        that as many of them are outliers. "auto" sets it at the 5 % quantile of the
        scores of rows that the networks did not see (see Notes), so that of new rows
        like them about as many are taken for outliers. Of the rows that were learned
        from it may be fewer, or more where they have no structure to learn.
    n_estimators : int, default=1
        Number of networks to average. They differ by their seeds and, where they have
        `n_components`, by the size of their codes: from what `estimator` says to twice
        as much.
    criterion : {"density", "score"}, default="density"
        Score of a row: u(x), or the autoencoder's own `score_samples`, which is minus
        the reconstruction error (in the squared units of X with squared error, in nats
        with a likelihood) or the bound of a variational autoencoder (in nats).
    validation_fraction : float, default=0.1
        Share of rows held out for ``contamination="auto"``, in (0, 1). Where that is
        fewer than 50 rows, all rows are learned from and scored in 5 folds instead.
        Not used with `X_val`.
    random_state : int, RandomState or None, default=None
        Seed of the fit. Where it is not None, or there are several networks, it also
        sets the `random_state` of each. Global random states are neither read nor
        changed.

    Attributes
    ----------
    estimators_ : list of autoencoders
        The fitted networks.
    offset_ : float
        The threshold: ``decision_function`` is ``score_samples`` minus this.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, only if X has string column names.

    Notes
    -----
    With ``contamination="auto"`` and 50 rows or more to hold out, the networks learn
    from the others, and those held out set the threshold. Fewer cannot tell a quantile
    of 5 %. Then each row is scored by networks, and a density, that learned from the
    other 4 of 5 folds; the scores of all rows set the threshold, and the networks that
    are kept learn from all rows. That takes 5 more fits, of 4 fifths of the rows each:
    by default below 495 rows. Below 20 scores there is a UserWarning.

    Mixtures, means and deviations are those of at most 20000 of the rows that the
    network learned from. With more than 838 features they are those of fewer rows: as
    many as hold 2²⁴ numbers, but at least 1000.

    See Also
    --------
    ErrorDisplay : Draws scores, the threshold and the shares of the features.
    sklearn.ensemble.IsolationForest : Random cuts along features.
    sklearn.covariance.EllipticEnvelope : One Gaussian, fitted robustly.

    References
    ----------
    Hawkins, S. et al. Outlier detection using replicator neural networks. DaWaK 2002.

    Zong, B. et al. Deep autoencoding Gaussian mixture model for unsupervised anomaly
    detection. ICLR 2018.

    Mahmood, A., Oliva, J. & Styner, M. Multiscale score matching for
    out-of-distribution detection. ICLR 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ae import AutoencoderOutlierDetector
    >>> X, benign = load_breast_cancer(return_X_y=True)
    >>> detector = make_pipeline(
    ...     StandardScaler(), AutoencoderOutlierDetector(random_state=0)
    ... )
    >>> found = detector.fit(X[benign == 1]).predict(X)  # clean rows to learn from
    >>> bool((found[benign == 0] == -1).mean() > 0.6)
    True
    >>> bool((found[benign == 1] == -1).mean() < 0.05)
    True
    """

    estimator: Network | None = field(default=None, kw_only=False)
    contamination: float | str = "auto"
    n_estimators: int = 1
    criterion: str = "density"
    validation_fraction: float = 0.1
    random_state: Any = None

    _valid: ClassVar = {
        "estimator": [_AUTOENCODER, Nothing()],
        "contamination": [Interval(float, 0, 0.5, "right"), OneOf("auto")],
        "n_estimators": [Interval(int, 1, None)],
        "criterion": [OneOf("density", "score")],
        "validation_fraction": [Interval(float, 0, 1, "neither")],
        "random_state": [RandomState()],
    }

    __repr__ = BaseEstimator.__repr__

    # -- the networks -------------------------------------------------------------

    def _set_nested(self, name: str, params: dict[str, Any]) -> None:
        if name == "estimator" and self.estimator is None:
            raise ValueError(
                "estimator=None has no parameters to set: the size of its code depends "
                "on X. Give an autoencoder, as estimator=Autoencoder(8)."
            )
        super()._set_nested(name, params)

    def _first_to_fit(self) -> BaseAutoencoder:
        """Return the autoencoder that will meet X, the lowest where it is a stack."""
        network = self.estimator
        if isinstance(network, ValidatesRowsOfFirstLayer):
            return network._first_layer()
        if isinstance(network, BaseAutoencoder):
            return network
        return _DEFAULT  # What is no autoencoder, fit refuses.

    def _declared(self, n_features: int, seed: int) -> list[Network]:
        """Return the networks to be fitted, all of them copies."""
        each = self.estimator
        if each is None:
            quarter = max(1, round(n_features / FEATURES_PER_COMPONENT))
            each = clone(_DEFAULT).set_params(
                n_components=min(quarter, MOST_COMPONENTS)
            )
        n = int(self.n_estimators)
        networks = [clone(each) for _ in range(n)]
        seeds = np.random.SeedSequence(seed).generate_state(n)
        for network, larger, draw in zip(
            networks, np.geomspace(1.0, 2.0, n), seeds, strict=True
        ):
            params = network.get_params(deep=False)
            if n > 1 and "n_components" in params:
                size = round(params["n_components"] * float(larger))
                network.set_params(n_components=size)
            if n > 1 or self.random_state is not None:
                network.set_params(random_state=int(draw))
        return networks

    # -- fitting ------------------------------------------------------------------

    @with_callbacks
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Fit the networks to the rows of X, and set the threshold.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row: one of weight 2 is two rows, one of weight 0 none.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Rows that ``contamination="auto"`` sets the threshold by, and that networks
            with early stopping judge by, in place of some that are drawn from X.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weight of each row of X_val.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X is not what the autoencoder takes, a parameter is out of its domain,
            weights are negative, all zero or not supported, X_val has no use, or
            training diverges. An earlier fit then stays as it was.
        """
        self._check_params()
        val = check_val(self, X_val, None, sample_weight_val)
        if self.estimator is not None and get_tags(self.estimator).target_tags.required:
            raise ValueError(
                f"estimator={self.estimator!r} is not supported: it needs y, and "
                f"{type(self).__name__} learns from X alone. Use one that needs no y."
            )
        first = self._first_to_fit()
        X, known = self._taken_in(X, like=first)
        weight = check_weight(sample_weight, X)
        if weight is not None:
            X, _, weight = without_weightless(X, None, weight)
        held_out = None
        if val is not None:
            with named_rows("X_val"):
                judges = self._as_known(known, val.X, like=first)
            held_out = val.checked(judges)
        self._become({**known, **self._train(X, weight, held_out)})
        return self

    @property
    def _stops_early(self) -> bool:
        """Whether rows are held out to judge by, or to set the threshold by."""
        below = self.estimator is not None and self.estimator._stops_early
        return isinstance(self.contamination, str) or below

    #: Whether their labels are needed.
    _judges_by_labels: ClassVar[bool] = False
    #: What to set so that rows are held out.
    _judging_hint: ClassVar[str] = (
        "Set contamination='auto', or early_stopping=True on its estimator."
    )

    def _train(
        self,
        X: Any,
        weight: NDArray[np.float64] | None,
        val: HeldOut | None,
    ) -> dict[str, Any]:
        """Return the fitted attributes."""
        seed, _ = next_seed(self.random_state)
        learned, held_out, folds = X, X, []
        of_learned = of_held_out = weight
        by_rows = isinstance(self.contamination, str)
        if by_rows and val is not None:
            held_out, of_held_out = val.X, val.weight
        elif by_rows and X.shape[0] > 1:
            order = np.random.default_rng(seed).permutation(X.shape[0])
            n_held_out = max(1, round(self.validation_fraction * X.shape[0]))
            n_held_out = min(n_held_out, X.shape[0] - 1)
            if n_held_out < FEWEST_HELD_OUT:
                folds = np.array_split(order, min(N_FOLDS, X.shape[0]))
            else:
                parts = np.sort(order[n_held_out:]), np.sort(order[:n_held_out])
                learned, held_out = (
                    inputs.rows_of(X, rows, CACHE_BYTES) for rows in parts
                )
                if weight is not None:
                    of_learned, of_held_out = (weight[rows] for rows in parts)
        n_fits = int(self.n_estimators) * (1 + len(folds))
        context = self._init_callback_context(max_subtasks=n_fits)
        context.call_on_fit_task_begin(estimator=self, X=X, y=None)
        networks, densities = self._fitted_to(learned, seed, context, of_learned, val)
        if folds:
            like = [density.n_gaussians for density in densities]
            scores = self._cross_fitted_scores(X, folds, seed, context, like, weight)
        else:
            scores = scores_of(networks, densities, held_out)
        fitted = {
            "estimators_": networks,
            "_densities": densities,
            "offset_": threshold(scores, self.contamination, of_held_out),
        }
        context.call_on_fit_task_end(estimator=self, X=X, y=None)
        return fitted

    def _fitted_to(
        self,
        X: Any,
        seed: int,
        context: Any,
        weight: NDArray[np.float64] | None = None,
        val: HeldOut | None = None,
        of: str = "",
        like: list[int] | None = None,
    ) -> tuple[list[Network], list[RowDensity]]:
        """Return networks that learned from X, and the density of each, if any.

        These have as many Gaussians as `like` says, or as X has rows for.
        """
        networks, densities = self._declared(X.shape[1], seed), []
        for number, network in enumerate(networks):
            task = context.subcontext(task_name=f"network {number + 1}{of}")
            with task.propagate_callback_context(network):
                task.call_on_fit_task_begin(estimator=self, X=X)
                network.fit(X, **handed_on(network, weight, val))
                task.call_on_fit_task_end(estimator=self, X=X)
            if self.criterion == "density":
                n_gaussians = like[number] if like else None
                of_codes = RowDensity()
                of_codes.fit(network, X, seed + number, n_gaussians, weight)
                densities.append(of_codes)
        return networks, densities

    def _cross_fitted_scores(
        self,
        X: Any,
        folds: list[NDArray[np.intp]],
        seed: int,
        context: Any,
        like: list[int],
        weight: NDArray[np.float64] | None,
    ) -> NDArray[np.float64]:
        """Return each row's score by networks that learned from the other folds.

        It is NaN for a row that had to be learned from. For scores that compare with
        those of all rows, densities have as many Gaussians, which `like` says.
        """
        scores = np.full(X.shape[0], np.nan)
        for number, (learned, held_out) in enumerate(divided(X, folds)):
            rows = inputs.rows_of(X, learned, CACHE_BYTES)
            counts = None if weight is None else weight[learned]
            of = f", fold {number + 1}"
            fitted = self._fitted_to(rows, seed, context, counts, None, of, like)
            if len(held_out):
                scores[held_out] = scores_of(*fitted, X[held_out])
        return scores
