"""The methods of every fitted autoencoder, be it one network or a stack of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklearn_ae.engine import inputs
from sklearn_ae.engine.fit import FittedNetwork
from sklearn_ae.engine.frames import FramesRows
from sklearn_ae.engine.rows import Batch
from sklearn_ae.engine.sklearn_types import (
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn_ae.engine.units import Units
from sklearn_ae.engine.validation import ValidatesRows
from sklearn_ae.parts.reconstruction import RECONSTRUCTIONS
from sklearn_ae.parts.sparse import dense, row_means

__all__ = ["RowFunction", "Transforms"]

#: float32 holds few digits, or none, of the squares of scales below this.
LEAST_SCALE = 1e-15
#: Errors are clipped here where exp overflows in float64, so that their mean is finite.
MOST = 1e300


class RowFunction(NamedTuple):
    """A method of a fitted estimator as a function of each row by itself.

    Attributes
    ----------
    function : callable
        Function from a tensor of rows (batch, n_in), in the network's units, to one
        with as many rows.
    units : Units
        Units of what the method takes; ``Units()`` for codes.
    n_in : int
    names : (str, str)
        Names of the input and of the output.
    rows : Units or None
        Units of the output, if it is rows: then `function` gives them in the network's
        units.
    """

    function: Callable[[Tensor], Tensor]
    units: Units
    n_in: int
    names: tuple[str, str]
    rows: Units | None = None

    def compute(self, x: Tensor) -> Tensor:
        """Return what the method gives of rows in the network's units."""
        given = self.function(x)
        return given if self.rows is None else self.rows.to_data(given)


class Transforms(
    FramesRows, ValidatesRows, ClassNamePrefixFeaturesOutMixin, TransformerMixin
):
    """Codes of validated rows, and back; errors and scores.

    A class that derives from it is fitted once it has ``_fit``, a `FittedNetwork`.
    """

    n_features_in_: int
    _fit: FittedNetwork

    def __sklearn_is_fitted__(self) -> bool:
        return "_fit" in vars(self)

    @property
    def module_(self) -> Any:
        """The torch module of the fit."""
        check_is_fitted(self)
        return self._fit.module

    @property
    def n_components_(self) -> int:
        """Size of the code."""
        check_is_fitted(self)
        return int(self._fit.module.n_components)

    @property
    def device_(self) -> str:
        """Name of the device of the network."""
        check_is_fitted(self)
        return str(self._fit.device)

    @property
    def _units(self) -> Units:
        """Units of the rows."""
        return self._fit.units

    @property
    def _fitted_dtype(self) -> str:
        return self._fit.dtype

    def _check_values(self, X: Any, loss: str) -> None:
        """Raise ValueError for training rows that the objective does not support."""

    def _check_missing(self, X: Any, loss: str) -> None:
        """Raise ValueError for missing values that the objective does not support."""

    def _gives_sparse_codes(self) -> bool:
        """Tell whether `transform` returns CSR."""
        return False

    # -- using the fit ------------------------------------------------------------

    def _apply(
        self,
        function: Callable[[Tensor], Tensor],
        X: Any,
        units: Units | None = None,
        width: int | None = None,
    ) -> NDArray[Any]:
        """Return `function` of X by chunks, all of it finite.

        `width` is the number of values that it holds for a row.
        """
        found = self._fit.apply(function, X, units, width)
        _check_finite(found, X, self._fit.precision)
        return found

    def _finite(
        self,
        compute: Callable[[FittedNetwork, Any], NDArray[Any]],
        X: Any,
        tiny: bool = False,
    ) -> NDArray[Any]:
        """Return ``compute(fit, X)``, in float64 where float32 cannot hold it.

        `tiny` says that float32 cannot hold any of it. NaN for a row without a value is
        no fault.
        """
        found = compute(self._fit, X)
        lost = ~np.isfinite(found)
        if lost.any() and inputs.has_missing(X):
            missing = np.isnan(X)
            lost &= ~(missing if found.ndim == 2 else missing.all(axis=1))
        rows = np.flatnonzero(lost.any(axis=1) if found.ndim == 2 else lost)
        if found.dtype == np.float64 or not (len(rows) or tiny):
            return found
        module = copy.deepcopy(self._fit.module)
        if self._fit.device.type == "mps":  # which has no float64
            module = module.cpu()
        precise = replace(self._fit, module=module.double())
        if tiny:
            return compute(precise, X)
        found = found.astype(np.float64)
        found[rows] = compute(precise, X[rows]).clip(-MOST, MOST)
        return found

    def _encoded(self, X: Any) -> NDArray[Any]:
        """Return the codes of validated rows, an array whatever `transform` gives."""
        fit = self._fit  # once: another thread may refit meanwhile
        codes = fit.encode(X)
        _check_finite(codes, X, fit.precision)
        return codes

    def transform(self, X: Any) -> Any:
        """Encode the rows of X, without noise.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Codes, in the dtype of the computation.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        if not self._gives_sparse_codes():
            return self._encoded(X)
        chunks = self._fit.iterate(self._fit.module.encode, X)
        codes = sp.vstack([sp.csr_array(chunk) for chunk in chunks], format="csr")
        _check_finite(codes.data, X, self._fit.precision)
        matrices = get_config().get("sparse_interface") == "spmatrix"
        return sp.csr_matrix(codes) if matrices else codes

    def inverse_transform(self, X: Any) -> NDArray[Any]:
        """Decode codes to rows in the units of the training data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_components)
            Codes, as `transform` returns them.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Rows, in float64 where those of the fit were, or integers of 32 or more
            bits; else in the dtype of the computation.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not finite, numeric and of `n_components` columns.
        """
        check_is_fitted(self)
        codes = self._validate_codes(X)
        answer = self._answers(self._answering_module)["inverse_transform"]
        return self._apply(answer.compute, codes, answer.units)

    def _validate_codes(self, X: Any) -> Any:
        """Return codes as an array or CSR that `Rows` can read, or raise."""
        codes = check_array(
            inputs.as_array(X), accept_sparse="csr", dtype=[np.float64, np.float32]
        )
        if codes.shape[1] != self._fit.module.n_components:
            raise ValueError(
                f"X has {codes.shape[1]} features, but {type(self).__name__} is "
                f"expecting {self.n_components_} features as input."
            )
        if self._fitted_dtype != "float64":
            inputs.check_float32_range(codes)
        return inputs.canonical(codes)

    def reconstruct(self, X: Any) -> NDArray[Any]:
        """Encode and decode the rows of X: return X̂, in the units of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Reconstructions X̂, dense also for sparse X. Their dtype is that of
            `inverse_transform`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        check_is_fitted(self)
        return self._restored(self._validate(X, reset=False))

    def _restored(self, X: Any) -> NDArray[Any]:
        """Return the reconstruction of validated rows, in their units."""
        answer = self._answers(self._answering_module)["reconstruct"]
        return self._apply(answer.compute, X)

    @property
    def _answering_module(self) -> Any:
        """The module that answers."""
        return self._fit.module

    def _answers(self, module: Any) -> dict[str, RowFunction]:
        """Return the methods as functions of `module`, that of the fit or a copy of it.

        The first is the default.
        """
        units, encode, reconstruct = self._fit.units, module.encode, module.reconstruct

        def decode(z: Tensor) -> Tensor:
            return module.decode(dense(z))

        n_in, n_codes = self.n_features_in_, int(module.n_components)
        back = ("codes", "rows")
        return {
            "transform": RowFunction(encode, units, n_in, ("X", "codes")),
            "inverse_transform": RowFunction(decode, Units(), n_codes, back, units),
            "reconstruct": RowFunction(reconstruct, units, n_in, ("X", "rows"), units),
        }

    def reconstruction_error(self, X: Any, per_feature: bool = False) -> NDArray[Any]:
        """Return how far each row is from its reconstruction.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        per_feature : bool, default=False
            Whether to return each entry's error in place of each row's mean.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_features)
            Errors: (x − x̂)² for squared error, ``abs(x − x̂)`` for absolute error, in
            the units of X; nats for log loss, Poisson and multinomial. For Poisson an
            entry's is half its deviance, x log(x / x̂) − x + x̂: 0 where x̂ is x. Rows
            beyond their domain, [0, 1] or [0, inf), are clipped to it, and an entry's
            error is then larger by 100 nats for each unit that was cut off. They are in
            the dtype of the computation, or in float64 where that cannot hold them.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        self._check_missing(X, self._fit.loss)
        units, kind = self._fit.units, RECONSTRUCTIONS[self._fit.loss]
        if not units.is_affine:
            return self._errors_of_rows(X, per_feature)

        def errors(fit: FittedNetwork, X: Any) -> NDArray[Any]:
            def of_rows(x: Tensor) -> Tensor:
                x, beyond = kind.continued(x)
                batch = Batch(x, x)
                error: Tensor = fit.module.errors(batch, units.scale, per_feature)
                if beyond is None:
                    return error
                return error + (dense(beyond) if per_feature else row_means(beyond))

            return fit.apply(of_rows, X)

        return self._finite(errors, X, tiny=units.scale < LEAST_SCALE)

    def _error_shares(self, X: Any) -> NDArray[Any]:
        """Return what each feature adds to a row's error; NaN where it is missing."""
        errors = np.asarray(self.reconstruction_error(X, per_feature=True))
        n_observed = np.count_nonzero(~np.isnan(errors), axis=1)
        return errors / np.maximum(n_observed, 1)[:, None]

    def _errors_of_rows(self, X: NDArray[Any], per_feature: bool) -> NDArray[Any]:
        """Return errors as the difference from what is restored, in the units of X."""
        power = 1 if self._fit.loss == "absolute_error" else 2
        errors = []
        for start, stop in inputs.row_chunks(*X.shape):
            rows = X[start:stop]
            restored = self._restored(rows)
            error = (np.abs(rows - restored) ** power).astype(restored.dtype)
            errors.append(error if per_feature else error.mean(axis=1))
        return np.concatenate(errors)

    def score_samples(self, X: Any) -> NDArray[Any]:
        """Return minus the reconstruction error of each row: higher is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            Mean over features, for the clean rows and without penalties, so that it
            compares across penalties and noise levels, and with PCA.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        return -self.reconstruction_error(X)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`, so a grid search needs no scoring.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        float
            Mean score. Where NaN is a missing value, rows without an observed entry
            are left out; NaN where nothing was observed.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        scores = self.score_samples(X)
        if self._accept_nan:
            scores = scores[~np.isnan(scores)]
        return float(np.mean(scores, dtype=np.float64)) if len(scores) else np.nan

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


def _check_finite(found: NDArray[Any], X: Any, dtype: Any) -> None:
    """Raise ValueError for an answer beyond what `dtype`, of a tensor, holds."""
    if np.isfinite(found).all() or inputs.has_missing(X):
        return
    ways = ["Use values in the units of the fit"]
    if dtype.itemsize < 8:
        ways.append("fit with dtype='float64'")
    raise ValueError(
        f"X has values as large as {inputs.largest_size(X):.3g}, so far from those of "
        f"the fit that {str(dtype).removeprefix('torch.')} does not hold what the "
        f"network makes of them. {', or '.join(ways)}."
    )
