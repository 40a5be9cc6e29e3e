"""Losses that tell that training diverged."""

from __future__ import annotations

import math

import torch

from sklearn_ae.engine.batches import BatchIterator
from sklearn_ae.engine.predictions import Predicts
from sklearn_ae.engine.rows import Batch, Rows
from sklearn_ae.engine.stopping import BestWeights
from sklearn_ae.parts.sparse import row_sums, with_values

__all__ = ["NoticesDivergence"]

#: A training loss that ends so many times above what it is without any learning tells
#: that training diverged. No fit that is of use comes near it.
DIVERGED = 1e4


class NoticesDivergence(Predicts):
    """A net that tells useful losses from others."""

    #: Loss of a module that has learned nothing, of the first batch.
    _usual_loss: float

    @property
    def stopping(self) -> BestWeights | None:
        """Our own rule of when to stop, if there is one."""
        rules = [one for _, one in self.callbacks_ if isinstance(one, BestWeights)]
        return rules[0] if rules else None

    def _loss_of_little(self, batch: Batch, loss: float) -> float:
        """Return a loss that whoever has learned nothing stays within.

        That is the `loss` before the first step, or half the mean square of the rows,
        or one nat, whichever is the largest.
        """
        if self._classifies:
            return max(loss, 1.0)
        n_rows = batch.target.shape[0]
        return max(loss, float(_half_squares(batch).sum()) / n_rows, 1.0)

    def _usual_loss_of_all(self, rows: Rows) -> float:
        """Return the same of all rows, of which some may be far from the others."""
        if self._classifies:
            return self._usual_loss
        total = weight = 0.0
        for batch in BatchIterator(rows, self.batch_size, None):
            each, squares = batch.weight, _half_squares(batch)
            total += float((squares if each is None else each * squares).sum())
            weight += len(squares) if each is None else float(each.sum())
        return max(self._usual_loss, total / weight)

    def _check_end(self, rows: Rows) -> None:
        """Raise ValueError where training ends far above where it began."""
        rule = self.stopping
        if rule is not None and rule.restore:  # the weights are the best ones
            return
        loss = self.history[-1, "train_loss"] if self.history else 0.0
        if loss <= DIVERGED * self._usual_loss:
            return
        usual = self._usual_loss_of_all(rows)
        if loss > DIVERGED * usual:
            raise ValueError(
                f"The training loss ended at {loss:.3g}, and is {usual:.3g} "
                "where nothing is learned: training diverged. Lower the learning rate "
                f"(learning_rate_init={self.lr:g})."
            )

    def _not_finite(self, loss: float, training: bool) -> ValueError:
        """Return the error for a loss that is not a number."""
        rule = self.stopping
        if not training and rule is not None and not math.isfinite(rule.loss_before_):
            like = next(self.module_.parameters())
            wider = "" if like.dtype == torch.float64 else ", or use dtype='float64'"
            return ValueError(
                f"The validation loss is non-finite ({loss}), and was so before the "
                "first step, while the training loss is not: the held-out rows (X_val, "
                "where it is given) are so far from the rows to learn from that it "
                f"overflows. Check their units{wider}."
            )
        return ValueError(
            f"The {'training' if training else 'validation'} loss became non-finite "
            f"({loss}) in epoch {len(self.history)}: training diverged. Lower the "
            f"learning rate (learning_rate_init={self.lr:g})."
        )


def _half_squares(batch: Batch) -> torch.Tensor:
    """Return half the square of each row to be restored, of shape (batch,)."""
    target = batch.target
    if target.layout == torch.sparse_csr:
        return 0.5 * row_sums(with_values(target, target.values().square()))
    return 0.5 * target.square().sum(1)
