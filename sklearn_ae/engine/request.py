"""The request for a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_ae.engine.weights import HeldOut

__all__ = ["Request"]


@dataclass(frozen=True)
class Request:
    """The rows of a training, and how it is to use them.

    Parameters
    ----------
    X : ndarray or CSR array of shape (n_samples, n_features)
        Validated rows.
    y : object
        Labels for methods that learn from them, and for scikit-learn's callbacks.
    resume : bool
        Whether to go on from the estimator's fit.
    context : sklearn.callback.CallbackContext or None
        Context of scikit-learn's callbacks; None is one pass over rows of a stream.
    steps : bool
        Whether to train at all, or to leave the weights as they are to begin with.
    known : mapping
        Fitted attributes that validation found for the features of X.
    weight : ndarray of shape (n_samples,) or None
        Weight of each row, above 0.
    held_out : HeldOut or None
        Rows to judge by, in place of some of X.
    """

    X: Any
    y: Any
    resume: bool
    context: Any
    steps: bool
    known: Mapping[str, Any]
    weight: NDArray[np.float64] | None
    held_out: HeldOut | None
