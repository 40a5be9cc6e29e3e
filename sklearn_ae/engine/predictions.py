"""What skorch's callbacks ask a net for: predictions in the units of the user."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import Tags
from skorch import NeuralNet
from torch import Tensor

from sklearn_ae.engine.notices import warn_user
from sklearn_ae.engine.rows import stream_rows
from sklearn_ae.engine.units import Units

__all__ = ["Predicts"]


class Predicts(NeuralNet):
    """A net that restores rows, or tells their classes."""

    #: Units of the rows that it was trained on.
    _units: Units

    @property
    def classes_(self) -> NDArray[Any]:
        """Numbers of the classes, of a module that classifies."""
        if not self._classifies:
            raise AttributeError("This net has no classes: it restores rows.")
        return np.arange(self.module_.n_classes)

    @property
    def _classifies(self) -> bool:
        return hasattr(getattr(self, "module_", None), "probabilities")

    def infer(self, x: Tensor, **fit_params: Any) -> Tensor:
        """Return what rows are restored to, or the probabilities of their classes."""
        if self._classifies:
            return self.module_.probabilities(x)
        return self.module_.reconstruct(x)

    def forward_iter(
        self, X: Any, training: bool = False, device: str = "cpu"
    ) -> Iterator[Tensor]:
        """Yield `infer` of rows by chunks.

        For tensors both are in the network's units, for anything else in the user's.
        """
        if isinstance(X, Tensor):
            with torch.inference_mode():
                yield self.infer(X).to(device)
            return
        units, like = self._units, next(self.module_.parameters())

        def answer(x: Tensor) -> Tensor:
            found = self.infer(x)
            return found if self._classifies else units.to_data(found)

        where = units, like.dtype, like.device, getattr(self.module_, "widest_layer", 0)
        for part in stream_rows(answer, X, *where):
            yield torch.tensor(part, device=device)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the restored rows, or the number of each row's class."""
        found: NDArray[Any] = self.predict_proba(X)
        return found.argmax(1) if self._classifies else found

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier" if self._classifies else "regressor"
        return tags

    def save_params(self, *args: Any, **kwargs: Any) -> None:
        """Write parameters, as checkpoints do; warn where that fails."""
        try:
            super().save_params(*args, **kwargs)
        except Exception as error:  # checkpoints would hide it
            warn_user(f"A checkpoint could not be written: {error}")
            raise
