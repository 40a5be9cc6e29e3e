r"""A stack of trained layers as one network, and how the whole of it is trained.

With f_l and g_l the encoder and decoder of layer l, each in the units of its own input,

.. math:: f = f_L \circ \dots \circ f_1,\qquad g = g_1 \circ \dots \circ g_L.

By reconstruction the network is unrolled and minimises −log p(x | g(f(x))), with the
likelihood of the first layer; by class, the decoders are left out and it minimises
−log softmax(W f(x) + b)_y. The gradient goes through every encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.base import clone
from torch import Tensor, nn

from sklearn_ae.engine import density, inputs
from sklearn_ae.engine import train as engine_train
from sklearn_ae.engine.callbacks import check_callbacks
from sklearn_ae.engine.epochs import epoch_hook, history
from sklearn_ae.engine.estimator import BaseAutoencoder
from sklearn_ae.engine.fit import FittedNetwork
from sklearn_ae.engine.given import split, with_weights
from sklearn_ae.engine.labels import Labels
from sklearn_ae.engine.module import TrainableModule, compute_dtype
from sklearn_ae.engine.notices import diverged
from sklearn_ae.engine.optimizers import make_net
from sklearn_ae.engine.rows import CACHE_BYTES, Batch, Rows
from sklearn_ae.engine.shared_parameters import TrainingParameters
from sklearn_ae.engine.starts import FromRandom
from sklearn_ae.engine.surroundings import plain_torch
from sklearn_ae.engine.tensors import from_tensor, make_generator
from sklearn_ae.engine.trial import GAUSSIAN_ROWS, try_out
from sklearn_ae.engine.units import Units
from sklearn_ae.engine.weights import HeldOut, effective_rows, scaled
from sklearn_ae.meta.scoring import score_of
from sklearn_ae.params.domains import Instance, Interval, Nothing
from sklearn_ae.parts.activations import dropout
from sklearn_ae.parts.averages import mean
from sklearn_ae.parts.corruptions import Corruption
from sklearn_ae.parts.networks import Dense, weight_decay

__all__ = [
    "FineTuningParameters",
    "SoftmaxModule",
    "StackModule",
    "codes_of",
    "divided",
    "fine_tune",
    "unrolled",
]


class FineTuningParameters(TrainingParameters):
    """How a stack is trained as a whole.

    Parameters
    ----------
    dropout : float, default=0.0
        Share of each layer's code left out at each step of fine-tuning, in [0, 1).
    corruption : Corruption or None, default=None
        What is done to the rows at each step of fine-tuning, such as `Masking`.
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
        Whether to hold out rows, stop when they are no longer served better, and keep
        the weights with which their loss was lowest. By class they have a label, and
        some are of each class.
    """

    dropout: float = 0.0
    corruption: Any = None

    _valid: ClassVar = {
        "dropout": [Interval(float, 0, 1)],
        "corruption": [Instance(Corruption, "a Corruption"), Nothing()],
    }

    def _check_callbacks(self, fine_tunes: bool) -> None:
        """Raise ValueError for callbacks that fine-tuning can do nothing with."""
        if not fine_tunes and self.callbacks:
            raise ValueError(
                "callbacks= of a stack are those of fine-tuning, and fine_tune=None. "
                "Give them to the layers, as estimator__callbacks."
            )
        check_callbacks(
            self.callbacks,
            held_out=bool(self.early_stopping),
            streaming=False,
            solver=self.solver,
        )


class StackModule(TrainableModule):
    r"""f and g, and the loss −log p(x | g(f(x))) of the unrolled network.

    Its modules are the layers' own, not copies: to train it is to train them.

    Parameters
    ----------
    layers : sequence of BaseAutoencoder
        Fitted, each to the codes of the one before.
    alpha : float
        Of the term (α/2) Σ ‖W‖².
    p_dropout : float
        Share of each layer's code left out at each training step.
    corruption : Corruption or None
        What is done to the rows at each training step.
    """

    alpha: Tensor

    def __init__(
        self,
        layers: Sequence[BaseAutoencoder],
        alpha: float = 0.0,
        p_dropout: float = 0.0,
        corruption: Corruption | None = None,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer._fit.module for layer in layers)
        weight = next(self.layers[0].parameters())
        self.units = [layer._fit.units for layer in layers]
        for number, units in enumerate(self.units):
            shift = units.shift if number else None
            for name, factor in (("shift", 1.0), ("origin", -1.0 / units.scale)):
                value = None if shift is None else weight.new_tensor(shift * factor)
                self.register_buffer(f"{name}_{number}", value)
        self.register_buffer("alpha", weight.new_tensor(alpha))
        self.decays, self.p_dropout, self.corruption = alpha > 0, p_dropout, corruption
        numbers = corruption.hyperparameters() if corruption else {}
        self.noise = {name: weight.new_tensor(value) for name, value in numbers.items()}
        self.n_components = self.layers[-1].n_components
        self.widest_layer = max(layer.widest_layer for layer in self.layers)

    @property
    def dtype(self) -> torch.dtype:
        """What codes are in between layers, in mixed precision too."""
        return next(self.layers[0].parameters()).dtype

    @property
    def n_multiplications(self) -> int:
        """About how many multiplications a row's forward pass makes."""
        return sum(layer.n_multiplications for layer in self.layers)

    def as_learned(self, batch: Batch, generator: torch.Generator) -> Batch:
        if self.corruption is None:
            return batch
        spread = self.layers[0].spread
        x = self.corruption.apply(batch.x, generator, spread, self.noise)
        return batch._replace(x=x if batch.observed is None else x * batch.observed)

    def encode_batch(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        """Return codes (batch, n_components), with noise if there is any to draw."""
        if generator is not None:
            batch = self.as_learned(batch, generator)
        return self.encode(batch.x, generator)

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return codes (batch, n_components) of rows in the first layer's units."""
        for number, layer in enumerate(self.layers):
            if number:
                origin = getattr(self, f"origin_{number}")
                step, x = 1.0 / self.units[number].scale, x.to(self.dtype)
                x = x * step if origin is None else torch.add(origin, x, alpha=step)
            x = layer.encode(x, generator)
            if self.p_dropout and generator is not None:
                x = dropout(x, self.p_dropout, generator)
        return x

    def first_code(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Decode codes of the last layer to codes of the first."""
        for number in range(len(self.layers) - 1, 0, -1):
            z = self.layers[number].decode(z, generator).to(self.dtype)
            z, shift = z * self.units[number].scale, getattr(self, f"shift_{number}")
            z = z if shift is None else z + shift
        return z

    def decode(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return rows (batch, n_features) of codes (batch, n_components)."""
        return self.layers[0].decode(self.first_code(z, generator), generator)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return reconstructions (batch, n_features) of rows (batch, n_features)."""
        return self.layers[0].restored(self.first_code(self.encode(x)), x)

    def loss(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the terms of the objective, as scalars, in nats per row."""
        code = self.first_code(self.encode_batch(batch, generator), generator)
        reconstruction = self.layers[0].reconstruction(
            code, batch.target, generator, batch.observed, batch.weight
        )
        weights = [weight for layer in self.layers for weight in layer.weights()]
        return {"reconstruction": reconstruction, **self.decay(weights)}

    def decay(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return (α/2) Σ ‖W‖² as a term, if it is one."""
        if not self.decays:
            return {}
        return {"weight_decay": weight_decay(weights, self.alpha)}

    def errors(
        self,
        batch: Batch,
        units: float,
        per_feature: bool,
        z: Tensor | None = None,
    ) -> Tensor:
        code = self.first_code(self.encode(batch.x) if z is None else z)
        return self.layers[0].errors(batch, units, per_feature, code)


class SoftmaxModule(TrainableModule):
    r"""The loss −log softmax(W z + b)_y of a stack's codes z, standardised.

    Parameters
    ----------
    stack : StackModule
    units : Units
        Of the codes, before fine-tuning.
    n_classes : int
    generator : torch.Generator
    """

    origin: Tensor

    def __init__(
        self,
        stack: StackModule,
        units: Units,
        n_classes: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.stack = stack
        like = next(stack.parameters())
        n_codes = stack.n_components
        # from zero all classes are as likely, and the first step is the head's alone
        self.head = Dense(n_codes, n_classes, generator, like.dtype, gain=0.0)
        self.register_buffer("origin", like.new_tensor(units.shift))
        self.scale = units.scale

    @property
    def n_multiplications(self) -> int:
        """About how many multiplications a row's forward pass makes."""
        return self.stack.n_multiplications

    def logits(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        """Return W z + b, of shape (batch, n_classes)."""
        z = self.stack.encode_batch(batch, generator)
        return self.head((z - self.origin) / self.scale)

    def loss(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the terms of the objective, as scalars, in nats per row."""
        nats = F.cross_entropy(
            self.logits(batch, generator), batch.label, reduction="none"
        )
        weights = [w for layer in self.stack.layers for w in layer.encoder.weights()]
        return {
            "cross_entropy": mean(nats, batch.weight),
            **self.stack.decay([*weights, self.head.weight]),
        }

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.head.weight.shape[0])

    @property
    def widest_layer(self) -> int:
        """Of the widest layer."""
        return int(self.stack.widest_layer)

    def probabilities(self, x: Tensor) -> Tensor:
        """Return softmax(W z + b), of shape (batch, n_classes)."""
        return F.softmax(self.logits(Batch(x, x), None), dim=1)

    def affine(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return W and b for codes as they are, not standardised."""
        with plain_torch():
            weight = self.head.weight / self.scale
            bias = self.head.bias - weight @ self.origin
        return from_tensor(weight), from_tensor(bias)


def fine_tune(
    estimator: FineTuningParameters,
    layers: Sequence[BaseAutoencoder],
    X: Any,
    y: Any,
    *,
    seed: int,
    context: Any,
    fitted: Callable[[Any], dict[str, Any]],
    labels: Labels | None = None,
    weight: NDArray[np.float64] | None = None,
    held_out: HeldOut | None = None,
    scoring: Any = "loss",
) -> tuple[Any, dict[str, NDArray[np.float64]]]:
    """Train the layers of a stack together, in place.

    Parameters
    ----------
    estimator : FineTuningParameters
        Says how.
    layers : sequence of BaseAutoencoder
        Fitted, and nobody else's.
    X : ndarray or CSR of shape (n_samples, n_features)
        Validated rows.
    y : object
        Handed on to scikit-learn's callbacks.
    seed : int
    context : sklearn.callback.CallbackContext
        Of the estimator's fit, in which this is a task.
    fitted : callable
        Returns the estimator's fitted attributes from the module, for callbacks.
    labels : Labels or None
        To train by class; by reconstruction without.
    weight : ndarray of shape (n_samples,) or None
        How much each row counts.
    held_out : HeldOut or None
        Rows to judge by; validated.
    scoring : str or callable
        What `early_stopping` judges by, where there are labels.

    Returns
    -------
    module : StackModule or SoftmaxModule
    history : dict of ndarray
        Each term of the objective by epoch.

    Raises
    ------
    ValueError
        If training diverges.
    """
    first, dtype = layers[0], layers[0]._fit.dtype
    device, width = first._fit.device, X.shape[1]
    counted = weight
    if weight is not None:
        weight = scaled(weight)
    draw, *streams = map(int, np.random.SeedSequence(seed).generate_state(3))

    kind = compute_dtype(dtype)

    def rows(part: dict[str, Any] | None, X: Any = X) -> Rows | None:
        if part is None:
            return None
        missing = first._accept_nan and inputs.has_missing(X)
        return Rows(X, first._fit.units, kind, device, has_missing=missing, **part)

    judges, score = X if held_out is None else held_out.X, None
    if labels is None:
        parts = _parts(estimator, X.shape[0], seed, weight, held_out)
    else:
        labels, judged = divided(estimator, labels, seed, held_out)
        parts = labels.of_rows(), None if judged is None else judged.of_rows()
    with plain_torch(), torch.inference_mode(False), torch.enable_grad():
        noise = None if estimator.corruption is None else clone(estimator.corruption)
        module: Any = StackModule(
            layers, float(estimator.alpha), float(estimator.dropout), noise
        )
        if labels is not None:
            generator = make_generator(draw, torch.device("cpu"))
            units = _code_units(layers, X, labels, draw)
            module = SoftmaxModule(module, units, len(labels.classes), generator)
            if judged is not None and scoring != "loss":

                def probable(rows: Any) -> NDArray[Any]:
                    network = replace(first._fit, module=module)
                    return network.apply(module.probabilities, rows)

                score = score_of(scoring, probable, judges, judged)
        train, valid = rows(parts[0]), rows(parts[1], judges)
        net = make_net(
            estimator,
            module.to(device),
            device,
            n_rows=len(train),
            n_seen=len(train),
            start=FromRandom(),
            n_features=width,
            streaming=False,
            streams=streams,
            mixed=dtype == "bfloat16",
            score=score,
        )
        epochs = None if isinstance(estimator.max_iter, str) else net.max_epochs
        task = context.subcontext(task_name="fine-tuning", max_subtasks=epochs)
        task.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
        hook = epoch_hook(estimator, task, X, y, lambda: fitted(module))
        engine_train.run(net, train, valid, hook=hook)
        task.call_on_fit_task_end(estimator=estimator, X=X, y=y)
    try_out(unrolled(layers), X, draw, net.lr, decodes=labels is None)
    _describe_again(layers, X, draw, counted)
    return module, history(net, {})


def _parts(
    estimator: Any,
    n_rows: int,
    seed: int,
    weight: NDArray[np.float64] | None,
    held_out: HeldOut | None,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return what `Rows` is given to train and to judge by, without labels."""
    judges = held_out is not None and bool(estimator.early_stopping)
    train, valid = split(estimator, n_rows, seed, streaming=judges)

    def part(subset: NDArray[np.intp] | None) -> dict[str, Any]:
        counts = weight if weight is None or subset is None else weight[subset]
        return {"subset": subset, "weight": counts}

    if held_out is not None and judges:
        return part(train), {"weight": held_out.scaled_weight}
    return part(train), None if valid is None else part(valid)


def divided(
    estimator: Any, labels: Labels, seed: int, held_out: HeldOut | None
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
        codes = codes_of(layer, codes, held=True)
    codes = codes.astype(np.float64)
    weight = None if labels.weight is None else labels.weight[places]
    mean = np.average(codes, axis=0, weights=weight)
    variance = np.average(np.square(codes - mean), axis=0, weights=weight).mean()
    return Units(mean, float(np.sqrt(variance)) or 1.0)


def _describe_again(
    layers: Sequence[BaseAutoencoder],
    X: Any,
    seed: int,
    counted: NDArray[np.float64] | None,
) -> None:
    """Bring up to date what layers say of themselves, beside their weights."""
    chosen = inputs.some_rows(X.shape[0], seed, GAUSSIAN_ROWS)
    below, some, n_rows = X, X[chosen], X.shape[0]
    weight = of_some = None
    if counted is not None:
        n_rows, of_some = effective_rows(counted), counted[chosen]
        weight = scaled(counted)
    for layer in layers:

        def stream_of(function: Any, layer: Any = layer, below: Any = below) -> Any:
            return with_weights(layer._fit.iterate(function, below), weight)

        extras = layer._fitted_extras(layer._fit.module, stream_of, False)
        below = codes_of(layer, below, held=False)
        some = codes_of(layer, some, held=True)
        full = layer._fit.code_moments[2].ndim == 2
        moments = density.code_moments(
            n_rows, some, full, None if weight is None else weight[chosen]
        )
        drawn_from = density.fitted(layer.density, some, seed, of_some)
        if drawn_from is None:  # nothing holds codes to a prior any more
            drawn_from = density.gaussian(moments)
        # the optimizer's moments are of steps from other weights
        parts = {"code_moments": moments, "density": drawn_from}
        fit = replace(layer._fit, **parts, optimizer_moments=None)
        layer._become({**extras, "_fit": fit})


def unrolled(layers: Sequence[BaseAutoencoder]) -> FittedNetwork:
    """Return fitted layers as one network."""
    first = layers[0]._fit
    return FittedNetwork(StackModule(layers), first.units, first.dtype, first.loss)


def codes_of(
    layer: BaseAutoencoder, X: Any, held: bool | None = None
) -> NDArray[Any] | inputs.LazyRows:
    """Return the codes of the rows of X, as rows to train the next layer on.

    What would outgrow `CACHE_BYTES` is not held, but computed whenever it is read;
    unless `held` says which.
    """
    dtype = np.dtype("float64" if layer._fit.dtype == "float64" else "float32")
    width = int(layer._fit.module.n_components)
    if held is None:
        held = X.shape[0] * width * dtype.itemsize <= CACHE_BYTES

    def encoded(rows: Any) -> NDArray[Any]:
        fit = layer._fit
        codes = fit.apply(fit.module.encode, rows, in_float64=True)
        if not np.isfinite(codes).all():
            raise diverged(layer.learning_rate_init)
        return codes

    return encoded(X) if held else inputs.LazyRows(encoded, X, width, dtype)
