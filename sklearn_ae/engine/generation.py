"""New rows from codes that are drawn, or that lie between the codes of two rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_ae.engine import density
from sklearn_ae.engine.fit import Fit
from sklearn_ae.engine.transforms import Transforms
from sklearn_ae.engine.validation import check_count

__all__ = ["FromOneFit", "Generates"]


class Generates(Transforms):
    """Draws of rows, and paths from one row to another.

    A class that derives from it says in ``_draw_codes`` where codes are drawn from.
    """

    def sample(self, n_samples: int = 1, random_state: Any = None) -> NDArray[Any]:
        """Decode draws of codes, from the method's prior or else from `density_`.

        With a `density` they are from that, fitted to the training codes, even if the
        method has a prior.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState or None, default=None

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Rows in the units of the training data.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If `n_samples` is not a positive int.
        """
        check_is_fitted(self)
        return self._decoded(self._draw_codes, n_samples, random_state)

    def _decoded(
        self,
        draw: Callable[[int, np.random.RandomState], NDArray[Any]],
        n_samples: int,
        random_state: Any,
    ) -> NDArray[Any]:
        """Return the rows that the codes from ``draw(n, rng)`` decode to."""
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
        raise NotImplementedError

    def interpolate(self, x_a: Any, x_b: Any, n: int = 10) -> NDArray[Any]:
        """Decode the codes on the straight line from one row's code to another's.

        Parameters
        ----------
        x_a, x_b : array-like of shape (n_features,) or (n_pairs, n_features)
            Rows at the beginning and at the end of each path.
        n : int, default=10
            Number of codes per path, both ends included; at least 2.

        Returns
        -------
        ndarray of shape (n, n_features) or (n_pairs, n, n_features)
            Rows in the units of X. The first and the last are `reconstruct` of `x_a`
            and `x_b`, where that uses the code of a row alone.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the rows are not what `fit` takes, or not of one shape; if `n` is not an
            int of at least 2.
        """
        check_is_fitted(self)
        check_count("n", "interpolate", n, 2)
        first, last = (getattr(x, "shape", None) or np.shape(x) for x in (x_a, x_b))
        if first != last:
            raise ValueError(
                "x_a and x_b must have the same shape, that of one row or of several. "
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


class FromOneFit(Generates):
    """Fitted attributes and draws of one autoencoder, whose fit is a `Fit`."""

    _fit: Fit

    @property
    def history_(self) -> dict[str, NDArray[np.float64]]:
        """Each term of the objective by epoch."""
        check_is_fitted(self)
        return self._fit.history

    @property
    def n_iter_(self) -> int:
        """Number of epochs trained."""
        return len(self.loss_curve_)

    @property
    def loss_curve_(self) -> list[float]:
        """Objective on the training rows, by epoch, in nats per sample."""
        return self.history_["train_loss"].tolist()

    @property
    def validation_loss_curve_(self) -> list[float] | None:
        """Objective on held-out rows, by epoch; None without early stopping."""
        curve = self.history_.get("valid_loss")
        return None if curve is None else curve.tolist()

    @property
    def loss_(self) -> float:
        """Objective on the training rows in the last epoch, NaN without any."""
        return (self.loss_curve_ or [math.nan])[-1]

    @property
    def _density(self) -> Any:
        """Density that draws are from, where that is no prior and no Gaussian."""
        return self._fit.density

    @property
    def density_(self) -> Any:
        """The `density`, fitted to the training codes.

        Without one, a Gaussian, as a `GaussianMixture`, with the mean and covariance of
        the codes, or with their variances alone where a covariance would be larger than
        the network.
        """
        check_is_fitted(self)
        if self._density is not None:
            return self._density
        return density.gaussian(self._fit.code_moments)

    def _draw_codes(self, n: int, rng: np.random.RandomState) -> NDArray[Any]:
        if self._density is None:
            drawn = self._prior_codes(n, rng)
            if drawn is not None:
                return drawn
        return density.draw(self.density_, n, rng)

    def _prior_codes(self, n: int, rng: np.random.RandomState) -> NDArray[Any] | None:
        """Return draws of the method's prior of codes, where it has one."""
        return None
