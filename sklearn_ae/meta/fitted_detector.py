"""What a fitted detector answers, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_ae.engine.consistency import check_feature_names, need
from sklearn_ae.engine.estimator import BaseAutoencoder
from sklearn_ae.engine.frames import in_frame
from sklearn_ae.engine.persistence import Persistent
from sklearn_ae.engine.sklearn_types import OutlierMixin
from sklearn_ae.engine.transforms import Transforms
from sklearn_ae.meta.layers import ValidatesRowsOfFirstLayer
from sklearn_ae.meta.row_density import RowDensity
from sklearn_ae.meta.stacked import StackedAutoencoderPretrainer

__all__ = ["FittedDetector", "Network", "scores_of"]

#: What a detector may be made of.
Network = BaseAutoencoder | StackedAutoencoderPretrainer


class FittedDetector(Persistent, ValidatesRowsOfFirstLayer, OutlierMixin):
    """Answers of networks that learned what is usual, in the mean over them."""

    estimators_: list[Network]
    offset_: float
    #: The density of each network's rows, where rows are scored by it.
    _densities: list[RowDensity]

    @property
    def _fitted_dtype(self) -> str:
        return self.estimators_[0]._fitted_dtype

    # -- using the fit ------------------------------------------------------------

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Return how usual each row is: the lower, the more abnormal.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            The mean over the networks of what `criterion` says. NaN, and so an outlier,
            where all of a row is missing.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        check_is_fitted(self, "offset_")
        X = self._validate(X, reset=False)
        return scores_of(self.estimators_, self._densities, X)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return `score_samples` minus `offset_`: below zero is an outlier.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.intp]:
        """Return 1 for each row that is usual, −1 for an outlier.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        return np.where(self.decision_function(X) >= 0.0, 1, -1)

    def explain(self, X: Any) -> Any:
        """Return each feature's share of a row's reconstruction error.

        The shares of a row add up to its `reconstruction_error`, in the mean over the
        networks. They tell what these could not restore. A row may be unusual for its
        code, too: where its error is small, that is why.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray or DataFrame of shape (n_samples, n_features)
            Shares in the squared units of X (with squared error); a frame of the kind
            that scikit-learn's ``transform_output`` asks for, else of the kind that X
            is. Dense. NaN where an entry is missing.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        check_is_fitted(self, "offset_")
        rows = self._validate(X, reset=False)
        each = [network._error_shares(rows) for network in self.estimators_]
        shares = np.array(each).mean(axis=0, dtype=np.float64)
        framed = in_frame(self, shares, X)
        return _framed(shares, X) if framed is shares else framed

    # -- persistence --------------------------------------------------------------

    _learned: ClassVar[tuple[str, ...]] = (
        "estimators_",
        "_densities",
        "offset_",
        "n_features_in_",
    )

    def _check_learned(self, kept: Mapping[str, Any]) -> None:
        networks, densities, offset = (
            kept["estimators_"],
            kept["_densities"],
            kept["offset_"],
        )
        check_feature_names(kept)
        need(
            isinstance(networks, list)
            and networks
            and all(isinstance(network, Transforms) for network in networks),
            "its networks are missing, or not autoencoders",
        )
        for network in networks:
            check_is_fitted(network)
            need(
                network.n_features_in_ == kept["n_features_in_"],
                "its networks are of other features",
            )
        need(isinstance(densities, list), "its densities are missing")
        need(
            len(densities) in (0, len(networks)),
            "its networks do not each have a density",
        )
        for network, density in zip(networks, densities, strict=False):
            need(
                isinstance(density, RowDensity),
                "one of its densities is not of the kind that a fit makes",
            )
            density.check(network)
        need(
            isinstance(offset, float) and offset == offset,
            "its threshold is missing, or not a number",
        )


def scores_of(
    networks: list[Network], densities: list[RowDensity], X: Any
) -> NDArray[np.float64]:
    """Return the mean score of each row, by density or else by each network's own."""
    if densities:
        pairs = zip(networks, densities, strict=True)
        each = [density.score_samples(network, X) for network, density in pairs]
    else:
        each = [network.score_samples(X).astype(np.float64) for network in networks]
    mean: NDArray[np.float64] = np.array(each).mean(axis=0)
    return mean


def _framed(values: NDArray[Any], like: Any) -> Any:
    """Return the array as a frame of the kind that `like` is, if it is one."""
    names = getattr(like, "columns", None)
    if names is None:
        return values
    if hasattr(like, "iloc"):  # as pandas has it
        return type(like)(values, index=like.index, columns=names)
    if hasattr(like, "with_columns"):  # as polars has it
        return type(like)(values, schema=list(names))
    return values
