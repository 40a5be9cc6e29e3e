"""What every fitted autoencoder answers, be it one network or a stack of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklearn_ae.engine import density, inputs
from sklearn_ae.engine.frames import FramesRows
from sklearn_ae.engine.rows import Batch, compute_rows, stream_rows
from sklearn_ae.engine.units import Units
from sklearn_ae.engine.validation import ValidatesRows, check_count
from sklearn_ae.parts.reconstruction import RECONSTRUCTIONS
from sklearn_ae.parts.sparse import dense, row_means

__all__ = ["RowFunction", "Transforms"]

#: Of squares of smaller units than this, float32 holds few digits or none.
LEAST_SCALE = 1e-15
#: Errors are clipped here where exp overflows in float64, so that their mean is finite.
MOST = 1e300


class RowFunction(NamedTuple):
    """What a method of a fitted estimator computes of each row by itself.

    Attributes
    ----------
    function : callable
        From a tensor of rows (batch, n_in), in the network's units, to one with as many
        rows.
    units : Units
        Of what the method takes; ``Units()`` for codes.
    n_in : int
    names : (str, str)
        Of what is taken, and of what is given.
    rows : Units or None
        Of what is given, if it is rows: then `function` gives them in the network's
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
    """Validated rows to codes and back, errors, scores and draws.

    Who derives from it is fitted once it has

    - ``module_``, with ``encode``, ``decode``, ``reconstruct``, ``errors`` and
      ``width``, see `sklearn_ae.engine.estimator.BaseAutoencoder`;
    - ``n_components_``, the size of the code;
    - ``_units`` of the rows, see `sklearn_ae.engine.units.Units`;
    - ``_fitted_dtype`` and ``_fitted_loss``, the parameters of the fit;
    - ``_code_moments``: number, mean and covariance (or variances) of training codes;
    - ``_density``, fitted to them, or None.
    """

    module_: Any
    n_components_: int
    n_features_in_: int
    _units: Units
    _fitted_loss: str
    _code_moments: density.Moments
    _density: Any

    def _check_values(self, X: Any, loss: str) -> None:
        """Raise ValueError for rows to learn from that the objective does not take."""

    def _check_missing(self, X: Any, loss: str) -> None:
        """Raise ValueError for missing values that the objective does not take."""

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
        module: Any = None,
        in_float64: bool = False,
        may_overflow: bool = False,
    ) -> NDArray[Any]:
        """Return `function` of X by chunks; `width` is of what it holds for a row.

        It computes with `module`, ours by default. `in_float64` is what the bridge
        knows by that name. `may_overflow` says that infinity is seen to.
        """
        units, dtype, device, widest = self._where(units, module)
        found = compute_rows(
            function, X, units, dtype, device, width or widest, in_float64
        )
        if not may_overflow:
            _check_finite(found, X, dtype)
        return found

    def _finite(
        self, compute: Callable[[Any, Any], NDArray[Any]], X: Any, tiny: bool = False
    ) -> NDArray[Any]:
        """Return ``compute(module, X)``, in float64 where float32 cannot hold it.

        `tiny` says that it cannot anywhere. NaN of a row without a value is no fault.
        """
        module = self.module_
        found = compute(module, X)
        lost = ~np.isfinite(found)
        if lost.any() and inputs.has_missing(X):
            missing = np.isnan(X)
            lost &= ~(missing if found.ndim == 2 else missing.all(axis=1))
        rows = np.flatnonzero(lost.any(axis=1) if found.ndim == 2 else lost)
        if found.dtype == np.float64 or not (len(rows) or tiny):
            return found
        precise = copy.deepcopy(module)
        if next(module.parameters()).device.type == "mps":  # which has no float64
            precise = precise.cpu()
        precise = precise.double()
        if tiny:
            return compute(precise, X)
        found = found.astype(np.float64)
        found[rows] = compute(precise, X[rows]).clip(-MOST, MOST)
        return found

    def _stream(
        self, function: Callable[[Tensor], Tensor], X: Any
    ) -> Iterator[NDArray[Any]]:
        return stream_rows(function, X, *self._where(None))

    def _where(self, units: Units | None, module: Any = None) -> tuple[Any, ...]:
        """Return units, dtype, device and width, as the bridge takes them."""
        module = self.module_ if module is None else module
        weight = next(module.parameters())
        units = self._units if units is None else units
        return units, weight.dtype, weight.device, module.widest_layer

    def _encoded(self, X: Any) -> NDArray[Any]:
        """Return the codes of validated rows, an array whatever `transform` gives."""
        return self._apply(self.module_.encode, X)

    def transform(self, X: Any) -> Any:
        """Encode the rows of X, without noise.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            The codes, in the dtype of the computation.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        check_is_fitted(self, "module_")
        X = self._validate(X, reset=False)
        if not self._gives_sparse_codes():
            return self._encoded(X)
        chunks = self._stream(self.module_.encode, X)
        codes = sp.vstack([sp.csr_array(chunk) for chunk in chunks], format="csr")
        _check_finite(codes.data, X, self._where(None)[1])
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
            In float64 where the rows of the fit were, or integers of 32 or more bits;
            else in the dtype of the computation.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not finite, numeric and of `n_components` columns.
        """
        check_is_fitted(self, "module_")
        codes = self._validate_codes(X)
        answer = self._answers(self._network)["inverse_transform"]
        return self._apply(answer.compute, codes, answer.units)

    def _validate_codes(self, X: Any) -> Any:
        """Return codes as an array or CSR that the bridge can read, or raise."""
        codes = check_array(
            inputs.as_array(X), accept_sparse="csr", dtype=[np.float64, np.float32]
        )
        if codes.shape[1] != self.n_components_:
            raise ValueError(
                f"X has {codes.shape[1]} features, but {type(self).__name__} is "
                f"expecting {self.n_components_} features as input."
            )
        if self._fitted_dtype != "float64":
            inputs.check_float32_range(codes)
        return inputs.canonical(codes)

    def reconstruct(self, X: Any) -> NDArray[Any]:
        """Encode and decode: X̂ in the units of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Dense, also for sparse X. In float64 where the rows of the fit were, as from
            `inverse_transform`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        check_is_fitted(self, "module_")
        return self._restored(self._validate(X, reset=False))

    def _restored(self, X: Any) -> NDArray[Any]:
        """Return the reconstruction of validated rows, in their units."""
        return self._apply(self._answers(self._network)["reconstruct"].compute, X)

    @property
    def _network(self) -> Any:
        """The module that answers."""
        return self.module_

    def _answers(self, module: Any) -> dict[str, RowFunction]:
        """Return what our methods compute by `module`, which is ours or a copy of it.

        The first is the one to be asked where none is named.
        """
        units, encode, reconstruct = self._units, module.encode, module.reconstruct

        def decode(z: Tensor) -> Tensor:
            return module.decode(dense(z))

        n_in, n_codes, back = self.n_features_in_, self.n_components_, ("codes", "rows")
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
            (x − x̂)² for squared error, ``abs(x − x̂)`` for absolute error, in the units
            of X; nats for log loss, Poisson and multinomial. For Poisson an entry's is
            half its deviance, x log(x / x̂) − x + x̂: 0 where x̂ is x. Rows
            beyond their domain, [0, 1] or [0, inf), are clipped to it, and an entry's
            error is then larger by 100 nats for each unit that was cut off. In the
            dtype of the computation, or in float64 where that cannot hold them.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `fit` takes, or has other features.
        """
        check_is_fitted(self, "module_")
        X = self._validate(X, reset=False)
        self._check_missing(X, self._fitted_loss)
        units, kind = self._units, RECONSTRUCTIONS[self._fitted_loss]
        if not units.is_affine:
            return self._errors_of_rows(X, per_feature)

        def errors(module: Any, X: Any) -> NDArray[Any]:
            def of_rows(x: Tensor) -> Tensor:
                x, beyond = kind.continued(x)
                batch = Batch(x, x)
                error: Tensor = module.errors(batch, units.scale, per_feature)
                if beyond is None:
                    return error
                return error + (dense(beyond) if per_feature else row_means(beyond))

            return self._apply(of_rows, X, module=module, may_overflow=True)

        return self._finite(errors, X, tiny=units.scale < LEAST_SCALE)

    def _error_shares(self, X: Any) -> NDArray[Any]:
        """Return what each feature adds to a row's error; NaN where it is missing."""
        errors = np.asarray(self.reconstruction_error(X, per_feature=True))
        n_observed = np.count_nonzero(~np.isnan(errors), axis=1)
        return errors / np.maximum(n_observed, 1)[:, None]

    def _errors_of_rows(self, X: NDArray[Any], per_feature: bool) -> NDArray[Any]:
        """Return errors as the difference from what is restored, in the units of X."""
        power = 1 if self._fitted_loss == "absolute_error" else 2
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
            The mean over features, of the clean rows and without penalties, so that
            it compares across penalties and noise levels, and with PCA.

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
            Where NaN is a missing value, of rows with any observed entry; NaN where
            nothing was observed.

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

    def sample(self, n_samples: int = 1, random_state: Any = None) -> NDArray[Any]:
        """Decode draws of codes, from the method's prior or else from `density_`.

        With a `density` they are from what that has become, prior or not.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState or None, default=None

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            In the units of the training data.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If `n_samples` is no positive int.
        """
        check_is_fitted(self, "module_")
        return self._decoded(self._draw_codes, n_samples, random_state)

    def _decoded(
        self,
        draw: Callable[[int, np.random.RandomState], NDArray[Any]],
        n_samples: int,
        random_state: Any,
    ) -> NDArray[Any]:
        """Return what the codes decode to that ``draw(n, rng)`` returns."""
        check_count("n_samples", "sample", n_samples, 1)
        rng = (
            np.random.RandomState(np.random.SeedSequence().generate_state(1))
            if random_state is None
            else check_random_state(random_state)
        )
        return self._rows_from(draw(int(n_samples), rng), rng)

    def _rows_from(
        self, codes: NDArray[Any], rng: np.random.RandomState
    ) -> NDArray[Any]:
        """Return the rows that drawn codes stand for."""
        return self.inverse_transform(codes)

    def _draw_codes(self, n: int, rng: np.random.RandomState) -> NDArray[Any]:
        """Return codes (n, n_components) to decode."""
        if self._density is None:
            drawn = self._prior_codes(n, rng)
            if drawn is not None:
                return drawn
        return density.draw(self.density_, n, rng)

    def _prior_codes(self, n: int, rng: np.random.RandomState) -> NDArray[Any] | None:
        """Return draws of the method's prior of codes, where it has one."""
        return None

    def interpolate(self, x_a: Any, x_b: Any, n: int = 10) -> NDArray[Any]:
        """Decode the codes on the straight way from one row's code to another's.

        Parameters
        ----------
        x_a, x_b : array-like of shape (n_features,) or (n_pairs, n_features)
            Where each way begins and ends.
        n : int, default=10
            Of codes on each way, its ends among them; at least 2.

        Returns
        -------
        ndarray of shape (n, n_features) or (n_pairs, n, n_features)
            In the units of X. The first and the last are `reconstruct` of `x_a` and
            `x_b`, where that knows of a row no more than its code.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the rows are not what `fit` takes, or not of one shape; if `n` is no int
            of at least 2.
        """
        check_is_fitted(self, "module_")
        check_count("n", "interpolate", n, 2)
        first, last = (getattr(x, "shape", None) or np.shape(x) for x in (x_a, x_b))
        if first != last:
            raise ValueError(
                "x_a and x_b must be of one shape, two rows or as many pairs of them. "
                f"Got {first} and {last}."
            )
        one = np.ndim(x_a) == 1
        if one:
            x_a, x_b = np.reshape(x_a, (1, -1)), np.reshape(x_b, (1, -1))
        ends = []
        for rows in (x_a, x_b):
            rows = self._validate(rows, reset=False)
            ends.append(self._encoded(rows))
        share = np.linspace(0.0, 1.0, int(n), dtype=ends[0].dtype)[:, None]
        codes = ends[0][:, None] * (1 - share) + ends[1][:, None] * share
        rows = self.inverse_transform(codes.reshape(-1, codes.shape[2]))
        rows = rows.reshape(*codes.shape[:2], rows.shape[1])
        return rows[0] if one else rows

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    @property
    def density_(self) -> Any:
        """What `density` became when it was fitted to the training codes.

        Where there is none a Gaussian, as a `GaussianMixture`, with their mean and
        covariance; of codes so many that it would outgrow the network, its diagonal.
        """
        check_is_fitted(self, "module_")
        if vars(self).get("_density") is not None:
            return self._density
        return density.gaussian(self._code_moments)

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
