"""The training loop: skorch's, with whole batches and without per-batch bookkeeping.

Only this file and `sklearn_ae.engine.callbacks` import skorch. `AutoencoderNet` keeps
skorch's contract (fit loop, history, callbacks) and replaces the parts that cost more
than a small network's step: its per-row DataLoader, its per-batch history and
``loss.item()``, its notification of callbacks that do not listen. It also keeps Ctrl-C
a real interrupt.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from numpy.typing import NDArray
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    LRScheduler,
    PrintLog,
)
from torch import Tensor

from sklearn_ae.engine import callbacks as skorchs
from sklearn_ae.engine.batches import BatchIterator, HeldOutIterator, Served
from sklearn_ae.engine.divergence import NoticesDivergence
from sklearn_ae.engine.interrupts import is_one_of_many
from sklearn_ae.engine.notices import warn_user
from sklearn_ae.engine.rows import Batch, Rows
from sklearn_ae.engine.schedules import schedule_factor
from sklearn_ae.engine.state import load_optimizer_state, optimizer_state
from sklearn_ae.engine.stopping import BestWeights, EpochHook, StopTraining
from sklearn_ae.parts.sparse import dense

__all__ = ["AutoencoderNet"]

_BATCH_EVENTS = ("on_batch_begin", "on_batch_end")
#: Methods that do nothing where predictions are not kept.
_IDLE = (EpochScoring.on_batch_end,)


class AutoencoderNet(NoticesDivergence):
    """A skorch net whose module computes its own loss, as named terms.

    Where ``keeps_interrupted`` is set, Ctrl-C ends training and what was learned stays.

    Parameters
    ----------
    module : torch.nn.Module
        ``module.loss(batch, generator)`` returns a dict of scalar terms, whose sum is
        minimised; without a generator it draws no noise. Before each epoch
        ``module.on_epoch(progress)`` is called, and ``module.schedule_done`` tells
        whether the objective stays what it is. ``module.as_learned(batch,
        generator)`` puts the noise of training on held-out rows.
    rows_valid : Rows or None
        Held-out rows, whose loss is recorded after each epoch.
    shuffle_generator : torch.Generator or None
        Generator of the order of the rows, on the CPU.
    noise_generator : torch.Generator
        Generator of noise and dropout, on the device.
    schedule : str
        Course of the learning rate, see `schedule_factor`.
    autocast : torch.dtype or None
        Lower precision to compute in, if any; weights stay as they are.
    """

    keeps_interrupted = False

    def __init__(
        self,
        module: torch.nn.Module,
        *,
        criterion: Any = torch.nn.Identity,
        rows_valid: Rows | None = None,
        shuffle_generator: torch.Generator | None = None,
        noise_generator: torch.Generator | None = None,
        schedule: str = "constant",
        autocast: torch.dtype | None = None,
        **kwargs: Any,
    ) -> None:
        self.rows_valid = rows_valid
        self.shuffle_generator = shuffle_generator
        self.noise_generator = noise_generator
        self.schedule = schedule
        self.autocast = autocast
        self._fixed: set[int] = set()
        # scoring callbacks predict with the weights at the end of an epoch, without
        # noise: nothing of a step is kept for them
        super().__init__(
            module, criterion, train_split=None, use_caching=False, **kwargs
        )

    # -- data

    def get_split_datasets(
        self, X: Rows, y: object = None, **fit_params: Any
    ) -> tuple[Served, Served | None]:
        return Served(X), None if self.rows_valid is None else Served(self.rows_valid)

    def get_iterator(
        self, dataset: Rows | Served, training: bool = False
    ) -> BatchIterator:
        rows = dataset.rows if isinstance(dataset, Served) else dataset
        if not training:
            return HeldOutIterator(rows, self.batch_size, self.module_.as_learned)
        return BatchIterator(rows, self.batch_size, self.shuffle_generator)

    @staticmethod
    def names_in(module: torch.nn.Module) -> list[str]:
        """Return the names of what is learned, as callbacks know it."""
        return [name for name, p in module.named_parameters() if p.requires_grad]

    def get_all_learnable_params(self) -> Iterator[tuple[str, Any]]:
        """Yield what is learned, by name; nothing that is fixed, such as PCA's maps."""
        for name, parameter in super().get_all_learnable_params():
            if id(parameter) not in self._fixed:
                yield name, parameter

    # -- the loop

    def initialize_optimizer(self, triggered_directly: bool | None = None) -> Any:
        super().initialize_optimizer(triggered_directly)
        _join_groups(self.optimizer_)
        self._further = self.further_optimizers()
        for optimizer in self.optimizers().values():
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
        return self

    def partial_fit(
        self, X: Rows, y: object = None, classes: object = None, **fit_params: Any
    ) -> AutoencoderNet:
        """Train for ``max_epochs``, or until a real KeyboardInterrupt.

        It propagates, unless ``keeps_interrupted`` and there is an epoch to keep.
        """
        if not self.initialized_:
            self.initialize()
        n_steps = math.ceil(len(X) / self.batch_size) * self.max_epochs
        self._n_steps, self._step = n_steps, 0
        self._first_epoch, self._units = len(self.history), X.units
        self._n_whole, self._usual_loss = self._first_epoch, 0.0
        self._best = {"train": math.inf, "valid": math.inf}
        own = [callback for _, callback in self.callbacks_]
        self._scheduled = any(isinstance(one, LRScheduler) for one in own)
        self._recorded = any(
            skorchs.reads_batches(one)
            for one in own
            if not isinstance(one, BestWeights | EpochHook)
        )
        self._predicted = any(
            "y_pred" in inspect.signature(one.on_batch_end).parameters
            for one in self._listeners("on_batch_end")
        )
        self._fixed = {id(p) for p in self.module_.parameters() if not p.requires_grad}
        self._parameters = [
            p for _, p in self.get_all_learnable_params() if p.requires_grad
        ]
        self.notify("on_train_begin", X=X, y=y)
        interrupted = False
        try:
            self.fit_loop(X, y)
        except StopTraining:
            pass
        except KeyboardInterrupt:
            begun = self._n_whole == self._first_epoch
            if begun or not self.keeps_interrupted or is_one_of_many():
                raise
            del self.history[self._n_whole :]
            interrupted = True
        self._check_end(X)
        self.notify("on_train_end", X=X, y=y)
        if interrupted:
            warn_user("Training interrupted by user.")
        for parameter in self._parameters:
            parameter.requires_grad_(True)  # frozen for this training
        return self

    def run_single_epoch(
        self,
        iterator: BatchIterator | None,
        training: bool,
        prefix: str,
        step_fn: Callable[[Batch], dict[str, Any]],
        **fit_params: Any,
    ) -> None:
        """Step through all batches; record the mean of each term over the rows."""
        if iterator is None:
            return
        if training:
            epoch, last = len(self.history) - self._first_epoch, self.max_epochs
            self.module_.on_epoch((epoch - 1) / last if last > 1 else 1.0)
        sizes: list[int] = []
        losses: list[Any] = []
        terms: list[dict[str, Any]] = []
        # On the CPU numbers are kept: small tensors among the batches' large ones would
        # fragment the heap, by some 100 kB a step. On an accelerator tensors are, since
        # reading each would wait for it.
        keep: Callable[[Tensor], Any] = torch.Tensor.detach
        if torch.device(self.device).type == "cpu":
            keep = float
        watched = any(self._listeners(event) for event in _BATCH_EVENTS)
        for batch in iterator:
            if self._recorded:
                self.history.new_batch()
            if watched:
                told = self._told(batch)
                self.notify("on_batch_begin", batch=told, training=training)
            step = step_fn(batch)
            if training and not self._usual_loss:
                self._usual_loss = self._loss_of_little(batch, float(step["loss"]))
            sizes.append(batch.target.shape[0])
            losses.append(keep(step["loss"]))
            terms.append({name: keep(term) for name, term in step["terms"].items()})
            if self._recorded:
                self.history.record_batch(prefix + "_loss", step["loss"].item())
                self.history.record_batch(prefix + "_batch_size", sizes[-1])
                for name, term in step["terms"].items():
                    self.history.record_batch(f"{prefix}_{name}", float(term))
            if watched:
                step["y_pred"] = None
                if self._predicted:
                    with torch.no_grad():
                        step["y_pred"] = self.infer(told[0])
                self.notify("on_batch_end", batch=told, training=training, **step)

        n_rows = sum(sizes)

        def mean(values: list[Any]) -> float:
            if isinstance(values[0], Tensor):
                values = torch.stack(values).tolist()
            return float(sum(map(operator.mul, values, sizes)) / n_rows)

        loss = mean(losses)
        if not math.isfinite(loss):
            raise self._not_finite(loss, training)
        self.history.record(prefix + "_batch_count", len(sizes))
        self.history.record(prefix + "_loss", loss)
        self.history.record(prefix + "_loss_best", loss < self._best[prefix])
        self._best[prefix] = min(loss, self._best[prefix])
        for name in terms[0]:
            self.history.record(f"{prefix}_{name}", mean([t[name] for t in terms]))

    def _told(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return what callbacks are told of a batch: x and y, as skorch has it."""
        x, target = batch.x, batch.target
        x = x if batch.pairs is None else dense(x)[: target.shape[0]]
        return x, batch.label if self._classifies else dense(target)

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Make one optimisation step and return the loss before it."""
        if self.schedule != "constant":
            # in the middle of the step: neither the first nor the last is idle
            progress = (self._step + 0.5) / self._n_steps
            factor = schedule_factor(self.schedule, progress)
            for optimizer in self.optimizers().values():
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * factor
        elif self._scheduled and self._further:  # a policy sets one optimizer alone
            factor = self.optimizer_.param_groups[0]["lr"] / self.lr
            for optimizer in self._further.values():
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * factor
        self._step += 1
        if isinstance(self.optimizer_, torch.optim.LBFGS):
            steps: list[dict[str, Any]] = []

            noise = self.noise_generator
            drawn = None if noise is None else noise.get_state()

            def closure() -> Tensor:
                if noise is not None and drawn is not None:
                    noise.set_state(drawn)  # one objective along the line search
                steps.append(self._gradient(batch))
                return steps[-1]["loss"]

            self.optimizer_.step(closure)
            return steps[0]  # the others are further down its line search
        step = self._gradient(batch)
        self.optimizer_.step()
        return step

    def _gradient(self, batch: Batch) -> dict[str, Any]:
        """Compute the loss and its gradient."""
        for parameter in self._parameters:
            parameter.grad = None
        loss, terms = self._loss(batch, self.noise_generator)
        loss.backward()
        if isinstance(self.optimizer_, torch.optim.LBFGS):  # it supports no other
            for parameter in self._parameters:
                if parameter.grad is not None:
                    parameter.grad = parameter.grad.contiguous()
        self._tell_gradients(self.get_all_learnable_params(), batch)
        return {
            "loss": loss.detach(),
            "terms": {name: term.detach() for name, term in terms.items()},
        }

    def _tell_gradients(
        self, named: Iterable[tuple[str, Tensor]], batch: Batch
    ) -> None:
        """Let callbacks see the gradients of a step, and change them."""
        if self._listeners("on_grad_computed"):
            self.notify(
                "on_grad_computed",
                named_parameters=list(named),
                batch=self._told(batch),
                training=True,
            )

    def validation_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Return the loss of held-out rows, without dropout."""
        with torch.no_grad():
            loss, terms = self._loss(batch, None)
        return {"loss": loss, "terms": terms}

    def precision(self) -> AbstractContextManager[Any]:
        """Return the context in which the module computes what it minimises."""
        if self.autocast is None:
            return nullcontext()
        # without the cache of weights, which is emptied at the end of the outermost
        # autocast alone: within the caller's, each step would see the first one's
        kind = torch.device(self.device).type
        return torch.autocast(kind, self.autocast, cache_enabled=False)

    def _loss(
        self, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        with self.precision():
            terms = self.module_.loss(batch, generator)
        return functools.reduce(operator.add, terms.values()), terms

    # -- callbacks

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        given = skorchs.has_printer(self.callbacks)
        printing = [("print_log", PrintLog())] if self.verbose and not given else []
        return [("epoch_timer", EpochTimer()), *printing]

    def initialize_callbacks(self) -> AutoencoderNet:
        super().initialize_callbacks()
        self._listening: dict[str, list[Callback]] = {}
        return self

    def _listeners(self, event: str) -> list[Callback]:
        """Return the callbacks that do something at `event`."""
        if event not in self._listening:
            idle = getattr(Callback, event)
            self._listening[event] = [
                callback
                for _, callback in self.callbacks_
                if getattr(type(callback), event, None) not in (idle, *_IDLE)
            ]
            if event == "on_train_end":  # what is written then has the best weights
                self._listening[event].sort(
                    key=lambda callback: not isinstance(callback, BestWeights)
                )
        return self._listening[event]

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Tell the callbacks that listen; skorch's EarlyStopping may end training."""
        if method_name not in _BATCH_EVENTS:
            getattr(self, method_name)(self, **kwargs)
        stop = False
        for callback in self._listeners(method_name):
            try:
                getattr(callback, method_name)(self, **kwargs)
            except StopTraining:
                stop = True  # once the others have been told
            except KeyboardInterrupt:
                # skorch's EarlyStopping speaks by KeyboardInterrupt; from any other
                # callback it is the user's Ctrl-C.
                if not isinstance(callback, EarlyStopping):
                    raise
                stop = True
        if method_name == "on_epoch_end":
            self._n_whole = len(self.history)
        if stop:
            raise StopTraining

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return what makes the steps, by name."""
        return {"": self.optimizer_, **self._further}

    def further_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the others, of a method that makes more than one step with a batch."""
        return {}

    def optimizer_moments(self) -> dict[str, NDArray[Any]]:
        """Return the optimizers' moments as arrays, to go on from."""
        return {
            name + key: moment
            for name, optimizer in self.optimizers().items()
            for key, moment in optimizer_state(optimizer).items()
        }

    def load_optimizer_moments(self, moments: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `optimizer_moments` returned."""
        for name, optimizer in self.optimizers().items():
            own = {
                key.removeprefix(name): moment
                for key, moment in moments.items()
                if key.startswith(name) and key.removeprefix(name)[0].isdigit()
            }
            load_optimizer_state(optimizer, own)

    def forget_data(self) -> None:
        """Let go of rows and gradients, and of the callbacks that hold rows."""
        self.rows_valid = None
        self.module_.zero_grad()
        for name in ("callbacks", "callbacks_"):
            kept = [
                entry
                for entry in getattr(self, name)
                if not (isinstance(entry, tuple) and isinstance(entry[1], EpochHook))
            ]
            setattr(self, name, kept)
        self._listening.clear()


def _join_groups(optimizer: torch.optim.Optimizer) -> None:
    """Join groups of parameters that have the same settings.

    Each group costs as much as a small network's loss. The order of parameters, by
    which an optimizer's moments are kept, stays.
    """
    first, *others = optimizer.param_groups
    settings = [
        {name: value for name, value in group.items() if name != "params"}
        for group in optimizer.param_groups
    ]
    if all(group == settings[0] for group in settings[1:]):
        for group in others:
            first["params"] = [*first["params"], *group["params"]]
        optimizer.param_groups[1:] = []
