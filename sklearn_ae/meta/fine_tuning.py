"""How the layers of a stack are trained together: see `StackModule` for by what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from torch import Tensor

from sklearn_ae.engine import density, inputs
from sklearn_ae.engine import train as engine_train
from sklearn_ae.engine.callbacks import check_callbacks
from sklearn_ae.engine.epochs import epoch_hook, history
from sklearn_ae.engine.estimator import BaseAutoencoder
from sklearn_ae.engine.fit import FittedNetwork
from sklearn_ae.engine.given import split, with_weights
from sklearn_ae.engine.labels import Labels
from sklearn_ae.engine.module import TrainableModule, compute_dtype
from sklearn_ae.engine.net import AutoencoderNet
from sklearn_ae.engine.optimizers import make_net
from sklearn_ae.engine.rows import Rows
from sklearn_ae.engine.shared_parameters import TrainingParameters
from sklearn_ae.engine.starts import FromRandom
from sklearn_ae.engine.surroundings import learning
from sklearn_ae.engine.tensors import make_generator
from sklearn_ae.engine.trial import GAUSSIAN_ROWS, try_out
from sklearn_ae.engine.units import Units
from sklearn_ae.engine.weights import HeldOut, effective_rows, scaled
from sklearn_ae.meta.layers import held_codes, lazy_codes
from sklearn_ae.meta.scoring import score_of
from sklearn_ae.meta.stack_module import SoftmaxModule, StackModule, unrolled
from sklearn_ae.params.domains import Instance, Interval, Nothing
from sklearn_ae.parts.corruptions import Corruption

__all__ = ["FineTuning", "FineTuningParameters", "divided"]

#: Each term of the objective by epoch.
History = dict[str, NDArray[np.float64]]


class FineTuningParameters(TrainingParameters):
    """How a stack is trained as a whole.

    Parameters
    ----------
    dropout : float, default=0.0
        Share of each layer's code left out at each step of fine-tuning, in [0, 1).
    corruption : Corruption or None, default=None
        Noise on the rows at each step of fine-tuning, such as `Masking`.
    alpha : float, default=0.0
        α, the strength of L2 regularisation of the weights that are trained; biases are
        left out. A softmax's weights are those of standardised codes.
    weight_decay : float or "auto", default="auto"
        Decoupled decay of the same weights, used by "adam" alone (AdamW): each step
        also shrinks them by learning rate × `weight_decay`. "auto" is none.
    learning_rate_init : float or "auto", default="auto"
        Peak learning rate; not used by "lbfgs". "auto" is 3e-3, and 1e-3 where it is
        constant or the solver "sgd".
    max_iter : int or "auto", default="auto"
        Epochs of fine-tuning. "auto" is 100, or as many as make 2000 to 10000 steps, at
        most 400; 500 for "lbfgs".
    early_stopping : bool, default=False
        Whether to hold out rows, stop when their loss no longer falls, and keep the
        weights with the lowest. By class they have a label, and some are of each class.
    """

    dropout: float = 0.0
    corruption: Corruption | None = None

    _valid: ClassVar = {
        "dropout": [Interval(float, 0, 1)],
        "corruption": [Instance(Corruption, "a Corruption"), Nothing()],
    }

    def _check_callbacks(self, fine_tunes: bool) -> None:
        """Raise ValueError for callbacks that fine-tuning can do nothing with."""
        if not fine_tunes and self.callbacks:
            raise ValueError(
                "callbacks= of a stack are those of fine-tuning, and are not supported "
                "with fine_tune=None. Give them to the layers, as "
                "estimator__callbacks."
            )
        check_callbacks(
            self.callbacks,
            held_out=bool(self.early_stopping),
            streaming=False,
            solver=self.solver,
        )


@dataclass(frozen=True)
class FineTuning:
    """A training of the layers of a stack together, in place.

    Parameters
    ----------
    estimator : FineTuningParameters
        Parameters of the training, those of the stack or of the classifier.
    layers : sequence of BaseAutoencoder
        Fitted layers that nobody else has.
    X : ndarray or CSR of shape (n_samples, n_features)
        Validated rows.
    y : object
        Labels as they came, for scikit-learn's callbacks.
    seed : int
    context : sklearn.callback.CallbackContext
        Context of the estimator's fit, in which this is a task.
    weight : ndarray of shape (n_samples,) or None
        Weight of each row.
    held_out : HeldOut or None
        Validated rows to judge by.
    """

    estimator: FineTuningParameters
    layers: Sequence[BaseAutoencoder]
    X: Any
    y: Any
    seed: int
    context: Any
    weight: NDArray[np.float64] | None = None
    held_out: HeldOut | None = None

    def by_reconstruction(self, fitted: Mapping[str, Any]) -> History:
        """Train encoders and decoders to restore the rows.

        Parameters
        ----------
        fitted : mapping
            The estimator's fitted attributes, for callbacks.

        Raises
        ------
        ValueError
            If training diverges.
        """
        judges = bool(self.estimator.early_stopping) and self.held_out is not None
        n_rows = self.X.shape[0]
        train, valid = split(self.estimator, n_rows, self.seed, streaming=judges)
        weight = None if self.weight is None else scaled(self.weight)

        def some(subset: NDArray[np.intp] | None) -> Rows:
            counts = weight if weight is None or subset is None else weight[subset]
            return self._rows(self.X, subset=subset, weight=counts)

        with learning():
            module, rows, rows_valid = self._stack(), some(train), None
            if judges and self.held_out is not None:
                others = self.held_out
                rows_valid = self._rows(others.X, weight=others.scaled_weight)
            elif valid is not None:
                rows_valid = some(valid)
            net = self._trained(module, rows, rows_valid, lambda: fitted)
        return self._finished(net, decodes=True)

    def by_class(
        self,
        labels: Labels,
        scoring: Any,
        fitted: Callable[[SoftmaxModule], Mapping[str, Any]],
    ) -> tuple[SoftmaxModule, History]:
        """Train encoders and a softmax on top to name the classes of rows.

        Parameters
        ----------
        labels : Labels
        scoring : str or callable
            Measure by which `early_stopping` judges.
        fitted : callable
            Function that returns the estimator's fitted attributes from the module, for
            callbacks.

        Raises
        ------
        ValueError
            If training diverges.
        """
        labels, judged = divided(self.estimator, labels, self.seed, self.held_out)
        judges = self.X if self.held_out is None else self.held_out.X
        draw, *_ = self._seeds
        with learning():
            module = SoftmaxModule(
                self._stack(),
                _code_units(self.layers, self.X, labels, draw),
                len(labels.classes),
                make_generator(draw, torch.device("cpu")),
            )
            rows, rows_valid, score = self._rows(self.X, **labels.of_rows()), None, None
            if judged is not None:
                rows_valid = self._rows(judges, **judged.of_rows())
                if scoring != "loss":
                    score = score_of(scoring, self._asked(module), judges, judged)
            net = self._trained(module, rows, rows_valid, lambda: fitted(module), score)
        return module, self._finished(net, decodes=False)

    @property
    def _seeds(self) -> list[int]:
        """What draws weights and some of the rows, the order of rows, and the noise."""
        return list(map(int, np.random.SeedSequence(self.seed).generate_state(3)))

    def _stack(self) -> StackModule:
        own = self.estimator
        noise = None if own.corruption is None else clone(own.corruption)
        return StackModule(self.layers, float(own.alpha), float(own.dropout), noise)

    def _rows(self, X: Any, **known: Any) -> Rows:
        """Return rows of X as tensors; `known` is what `Rows` takes of them."""
        first, fit = self.layers[0], self.layers[0]._fit
        missing = first._accept_nan and inputs.has_missing(X)
        dtype = compute_dtype(fit.dtype)
        return Rows(X, fit.units, dtype, fit.device, has_missing=missing, **known)

    def _asked(self, module: SoftmaxModule) -> Callable[[Any], NDArray[Any]]:
        """Return what gives the probabilities of classes, as the weights are now."""
        fit = self.layers[0]._fit

        def probable(rows: Any) -> NDArray[Any]:
            return fit.apply(module.probabilities, rows, width=module.widest_layer)

        return probable

    def _trained(
        self,
        module: TrainableModule,
        rows: Rows,
        rows_valid: Rows | None,
        fitted: Callable[[], Mapping[str, Any]],
        score: Callable[[], float] | None = None,
    ) -> AutoencoderNet:
        """Return the net that has trained the module."""
        own, X, y, fit = self.estimator, self.X, self.y, self.layers[0]._fit
        _, *streams = self._seeds
        net = make_net(
            own,
            module.to(fit.device),
            fit.device,
            n_rows=len(rows),
            n_seen=len(rows),
            start=FromRandom(),
            n_features=X.shape[1],
            streaming=False,
            streams=streams,
            mixed=fit.dtype == "bfloat16",
            score=score,
        )
        epochs = None if isinstance(own.max_iter, str) else net.max_epochs
        task = self.context.subcontext(task_name="fine-tuning", max_subtasks=epochs)
        task.call_on_fit_task_begin(estimator=own, X=X, y=y)
        engine_train.run(
            net, rows, rows_valid, hook=epoch_hook(own, task, X, y, fitted)
        )
        task.call_on_fit_task_end(estimator=own, X=X, y=y)
        return net

    def _finished(self, net: AutoencoderNet, decodes: bool) -> History:
        """Bring the layers up to date, if what was learned makes sense."""
        draw, *_ = self._seeds
        try_out(unrolled(self.layers), self.X, draw, net.lr, decodes)
        _describe_again(self.layers, self.X, draw, self.weight)
        return history(net, {})


def divided(
    estimator: FineTuningParameters, labels: Labels, seed: int, held_out: HeldOut | None
) -> tuple[Labels, Labels | None]:
    """Return labels to train and to judge by, the latter only for early stopping.

    Raises
    ------
    ValueError
        If there are no rows to judge by, or their labels are not what they should be.
    """
    if not estimator.early_stopping:
        return labels, None
    if held_out is None:
        return labels.split(estimator.validation_fraction, seed)
    return labels, labels.held_out(held_out.y, held_out.X, held_out.weight)


def _code_units(
    layers: Sequence[BaseAutoencoder], X: Any, labels: Labels, seed: int
) -> Units:
    """Return the units in which the codes of labelled rows have mean 0 and scale 1."""
    places = inputs.some_rows(len(labels.rows), seed, GAUSSIAN_ROWS)
    codes = X[labels.rows[places]]
    for layer in layers:
        codes = held_codes(layer, codes)
    codes = codes.astype(np.float64)
    weight = None if labels.weight is None else labels.weight[places]
    mean = np.average(codes, axis=0, weights=weight)
    variance = np.average(np.square(codes - mean), axis=0, weights=weight).mean()
    spread, size = float(np.sqrt(variance)), float(np.abs(mean).max())
    # codes of equal rows differ by rounding alone, which is no scale
    return Units(mean, spread if spread > 1e-6 * size else 1.0)


def _describe_again(
    layers: Sequence[BaseAutoencoder],
    X: Any,
    seed: int,
    counted: NDArray[np.float64] | None,
) -> None:
    """Bring up to date what layers say of themselves, besides their weights."""
    chosen = inputs.some_rows(X.shape[0], seed, GAUSSIAN_ROWS)
    below, some, n_rows = X, X[chosen], X.shape[0]
    weight = of_some = None
    if counted is not None:
        n_rows, of_some = effective_rows(counted), counted[chosen]
        weight = scaled(counted)
    for layer in layers:

        def stream_of(
            function: Callable[[Tensor], Tensor],
            fit: FittedNetwork = layer._fit,
            rows: Any = below,
        ) -> Iterator[tuple[NDArray[Any], NDArray[np.float64]]]:
            return with_weights(fit.iterate(function, rows), weight)

        extras = layer._fitted_extras(layer._fit.module, stream_of, False)
        below, some = lazy_codes(layer, below), held_codes(layer, some)
        full = layer._fit.code_moments[2].ndim == 2
        moments = density.code_moments(
            n_rows, some, full, None if weight is None else weight[chosen]
        )
        drawn_from = density.fitted(layer.density, some, seed, of_some)
        if drawn_from is None:  # Nothing holds codes to a prior any more.
            drawn_from = density.gaussian(moments)
        fit = replace(
            layer._fit,
            code_moments=moments,
            density=drawn_from,
            optimizer_moments=None,  # They are of steps from other weights.
        )
        layer._become({**extras, "_fit": fit})
