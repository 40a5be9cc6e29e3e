"""Validation of rows, the same for whatever is fitted to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Tags
from sklearn.utils.validation import validate_data

from sklearn_ae.engine import inputs
from sklearn_ae.params.domains import Interval, InvalidParameterError

__all__ = ["ValidatesRows", "check_count"]

#: What `validate_data` sets on an estimator.
_INPUT = ("n_features_in_", "feature_names_in_")


class ValidatesRows:
    """Validation of X, the same for whatever is fitted to rows.

    A class that derives from it says in ``_fitted_dtype`` what its fit computes in.
    """

    @property
    def _accept_sparse(self) -> bool:
        """Whether sparse rows are supported, besides dense ones."""
        return True

    @property
    def _accept_nan(self) -> bool:
        """Whether NaN in dense rows is a missing value."""
        return False

    n_features_in_: int
    feature_names_in_: NDArray[Any]

    @property
    def _fitted_dtype(self) -> str:
        """The `dtype` parameter of the fit."""
        raise NotImplementedError

    def _validate(self, X: Any, *, reset: bool, like: Any = None) -> Any:
        """Return X as an array or CSR that `Rows` can read, or raise.

        `like`, an autoencoder to be fitted, says what X may be and what is computed in;
        by default the fit says so.
        """
        dtype = self._fitted_dtype if like is None else like.dtype
        sparse_too = (
            self._fitted_accepts_sparse() if like is None else like._accept_sparse
        )
        like = self if like is None else like
        if isinstance(X, inputs.LazyRows):  # made of validated rows
            return validate_data(self, X, reset=reset, skip_check_array=True)
        X = inputs.as_array(X)
        allow_nan = like._accept_nan and not inputs.is_sparse(X)
        if like._accept_nan and not allow_nan and inputs.has_missing(X.tocsr().data):
            raise ValueError(
                f"Input X contains NaN. {type(self).__name__} supports missing values "
                "in dense X only. Use X.toarray()."
            )
        kinds: Any = [np.float64, np.float32]
        if inputs.is_narrow(X):
            kinds.reverse()
        try:
            X = validate_data(
                self,
                X,
                reset=reset,
                accept_sparse="csr" if sparse_too else False,
                dtype=None if inputs.is_native(X) else kinds,
                ensure_all_finite="allow-nan" if allow_nan else True,
            )
        except ValueError as error:
            if not str(error).startswith("Input X contains NaN"):
                raise
            raise ValueError(
                f"Input X contains NaN.\n{type(self).__name__} does not accept missing "
                "values. DenoisingAutoencoder does: it learns from rows with gaps, and "
                "its impute fills them in."
            ) from None
        if dtype != "float64":
            inputs.check_float32_range(X)
        return inputs.canonical(X)

    def _fitted_accepts_sparse(self) -> bool:
        """Tell whether the fit supports sparse rows, whatever was set since."""
        return self._accept_sparse

    def _taken_in(self, X: Any, like: Any) -> tuple[Any, dict[str, Any]]:
        """Return X as rows to learn from, and what is known of its features.

        The estimator stays as it is while it is being fitted, and the earlier fit
        answers: a copy of it is validated.
        """
        double = self._double({})
        X = double._validate(X, reset=True, like=like)
        return X, {name: vars(double)[name] for name in _INPUT if name in vars(double)}

    def _as_known(self, known: Mapping[str, Any], X: Any, like: Any) -> Any:
        """Return X as rows whose features are those that `_taken_in` found."""
        return self._double(known)._validate(X, reset=False, like=like)

    def _double(self, known: Mapping[str, Any]) -> Self:
        """Return a copy of the estimator, with `known` attributes for its own."""
        left_out = _INPUT if known else ()
        kept = {name: it for name, it in vars(self).items() if name not in left_out}
        double = object.__new__(type(self))
        vars(double).update({**kept, **known})
        return double

    def _become(self, fitted: Mapping[str, Any], without: Iterable[str] = ()) -> None:
        """Take on all attributes of a fit at once.

        Another thread that asks meanwhile gets no mixture of two fits.
        """
        if "n_features_in_" in fitted:
            without = (*without, *_INPUT)
        kept = {name: it for name, it in vars(self).items() if name not in without}
        self.__dict__ = {**kept, **fitted}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.sparse = self._accept_sparse
        tags.input_tags.allow_nan = self._accept_nan
        return tags


def check_count(name: str, method: str, value: Any, least: int) -> None:
    """Raise unless `value` is an int >= `least`."""
    allowed = Interval(int, least, None)
    if not allowed.allows(value):
        raise InvalidParameterError(
            f"The {name!r} parameter of {method} must be {allowed}. Got {value!r} "
            "instead."
        )
