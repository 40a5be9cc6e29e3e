"""What ends training, and what is called around its epochs, as callbacks."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback

__all__ = ["BestWeights", "EpochHook", "StopTraining"]


class StopTraining(Exception):
    """Ends training early and in order; never seen by users."""


class BestWeights(Callback):
    """Stop when the loss no longer falls; with a validation set, keep the best weights.

    The weights before the first step are among the candidates.

    Parameters
    ----------
    monitor : {"train", "valid"}
    tol : float
        Least relative improvement that counts as one.
    n_iter_no_change : int
        Number of epochs without such an improvement after which training stops.
    restore : bool
        Whether to go back to the weights with the lowest loss.
    score : callable or None, default=None
        Function that returns a score of held-out rows, used in place of their loss:
        higher is better.
    """

    def __init__(
        self,
        monitor: str,
        tol: float,
        n_iter_no_change: int,
        restore: bool,
        score: Callable[[], float] | None = None,
    ) -> None:
        self.monitor, self.tol, self.restore = monitor, tol, restore
        self.n_iter_no_change, self.score = n_iter_no_change, score

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        self.best_, self.reference_ = math.inf, math.inf
        self.weights_, self.epochs_without_, self.converged_ = None, 0, False
        self.loss_before_ = 0.0
        rows = net.rows_valid
        if self.monitor == "valid" and rows is not None:
            steps = [
                (batch.target.shape[0], net.validation_step(batch)["loss"])
                for batch in net.get_iterator(rows)
            ]
            total = sum(size * float(loss) for size, loss in steps)
            self.loss_before_ = total / len(rows)
            judged = self.loss_before_ if self.score is None else -self.score()
            self._consider(net, judged)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        if self.monitor == "train" and not net.module_.schedule_done:
            return  # the objective is another in every epoch
        if self.score is None:
            self._consider(net, net.history[-1, f"{self.monitor}_loss"])
        else:
            net.history.record("valid_score", self.score())
            self._consider(net, -net.history[-1, "valid_score"])
        if not net.module_.schedule_done:
            self.epochs_without_ = 0  # what is minimised is not yet the objective
        if self.epochs_without_ >= self.n_iter_no_change:
            self.converged_ = True
            raise StopTraining

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        if self.weights_ is not None:
            net.module_.load_state_dict(self.weights_)

    def _consider(self, net: NeuralNet, loss: float) -> None:
        if loss < self.reference_ - self.tol * abs(self.reference_) or math.isinf(
            self.reference_
        ):
            self.reference_, self.epochs_without_ = loss, 0
        else:
            self.epochs_without_ += 1
        if self.restore and loss < self.best_:
            self.best_ = loss
            self.weights_ = copy.deepcopy(net.module_.state_dict())


class EpochHook(Callback):
    """Call ``begin(net)`` and ``end(net)`` around each epoch; a true answer stops."""

    def __init__(
        self,
        begin: Callable[[NeuralNet], None],
        end: Callable[[NeuralNet], bool],
    ) -> None:
        self.begin, self.end = begin, end

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        self.begin(net)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        if self.end(net):
            raise StopTraining
