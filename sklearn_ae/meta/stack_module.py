r"""A stack of trained layers as one network, and what it minimises.

With f_l and g_l the encoder and decoder of layer l, each in the units of its own input,

.. math:: f = f_L \circ \dots \circ f_1,\qquad g = g_1 \circ \dots \circ g_L.

By reconstruction the network is unrolled and minimises −log p(x | g(f(x))), with the
likelihood of the first layer; by class, the decoders are left out and it minimises
−log softmax(W f(x) + b)_y. The gradient goes through every encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sklearn_ae.autoencoders.module import AutoencoderModule
from sklearn_ae.engine.estimator import BaseAutoencoder
from sklearn_ae.engine.fit import FittedNetwork
from sklearn_ae.engine.module import CodingModule, TrainableModule
from sklearn_ae.engine.rows import Batch
from sklearn_ae.engine.surroundings import plain_torch
from sklearn_ae.engine.tensors import from_tensor
from sklearn_ae.engine.units import Units
from sklearn_ae.parts.activations import dropout
from sklearn_ae.parts.averages import mean
from sklearn_ae.parts.corruptions import Corruption
from sklearn_ae.parts.layers import Dense, weight_decay

__all__ = ["SoftmaxModule", "StackModule", "unrolled"]


class StackModule(CodingModule):
    r"""f and g, and the loss −log p(x | g(f(x))) of the unrolled network.

    Its modules are the layers' own, not copies: to train it is to train them.

    Parameters
    ----------
    layers : sequence of BaseAutoencoder
        Fitted layers, each to the codes of the one before.
    alpha : float
        Strength α of the term (α/2) Σ ‖W‖².
    p_dropout : float
        Share of each layer's code left out at each training step.
    corruption : Corruption or None
        Noise on the rows at each training step.
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
        coders = [cast(AutoencoderModule, layer._fit.module) for layer in layers]
        self.layers, self._coders = nn.ModuleList(coders), coders
        weight = next(coders[0].parameters())
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
        self.n_components = coders[-1].n_components
        self.widest_layer = max(coder.widest_layer for coder in coders)

    @property
    def coders(self) -> Sequence[AutoencoderModule]:
        """The layers' modules, from the lowest on."""
        return self._coders

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the codes between layers, in mixed precision too."""
        return next(self._coders[0].parameters()).dtype

    @property
    def n_multiplications(self) -> int:
        """About how many multiplications a row's forward pass makes."""
        return sum(coder.n_multiplications for coder in self._coders)

    def as_learned(self, batch: Batch, generator: torch.Generator) -> Batch:
        if self.corruption is None:
            return batch
        spread = self._coders[0].spread
        x = self.corruption.apply(batch.x, generator, spread, self.noise)
        return batch._replace(x=x if batch.observed is None else x * batch.observed)

    def encode_batch(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        """Return codes (batch, n_components), with noise if there is any to draw."""
        if generator is not None:
            batch = self.as_learned(batch, generator)
        return self.encode(batch.x, generator)

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return codes (batch, n_components) of rows in the first layer's units."""
        for number, coder in enumerate(self._coders):
            if number:
                origin = getattr(self, f"origin_{number}")
                step, x = 1.0 / self.units[number].scale, x.to(self.dtype)
                x = x * step if origin is None else torch.add(origin, x, alpha=step)
            x = coder.encode(x, generator)
            if self.p_dropout and generator is not None:
                x = dropout(x, self.p_dropout, generator)
        return x

    def first_code(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Decode codes of the last layer to codes of the first."""
        for number in range(len(self._coders) - 1, 0, -1):
            z = self._coders[number].decode(z, generator).to(self.dtype)
            z, shift = z * self.units[number].scale, getattr(self, f"shift_{number}")
            z = z if shift is None else z + shift
        return z

    def decode(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return rows (batch, n_features) of codes (batch, n_components)."""
        return self._coders[0].decode(self.first_code(z, generator), generator)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return reconstructions (batch, n_features) of rows (batch, n_features)."""
        return self._coders[0].restored(self.first_code(self.encode(x)), x)

    def loss(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the terms of the objective, as scalars, in nats per row."""
        code = self.first_code(self.encode_batch(batch, generator), generator)
        reconstruction = self._coders[0].reconstruction(
            code, batch.target, generator, batch.observed, batch.weight
        )
        weights = [weight for coder in self._coders for weight in coder.weights()]
        return {"reconstruction": reconstruction, **self.decay(weights)}

    def decay(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return (α/2) Σ ‖W‖² as a term of the objective, if α is not zero."""
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
        return self._coders[0].errors(batch, units, per_feature, code)


class SoftmaxModule(TrainableModule):
    r"""The loss −log softmax(W z + b)_y of a stack's codes z, standardised.

    Parameters
    ----------
    stack : StackModule
    units : Units
        Units of the codes before fine-tuning.
    n_classes : int
    generator : torch.Generator
        Source of the weights to begin with.
    """

    origin: Tensor
    #: Number of units of the widest layer, by which chunks of rows are sized.
    widest_layer: int

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
        # At zero all classes are as likely, and the first step moves the head alone.
        self.head = Dense(n_codes, n_classes, generator, like.dtype, gain=0.0)
        self.register_buffer("origin", like.new_tensor(units.shift))
        self.scale, self.widest_layer = units.scale, stack.widest_layer

    @property
    def n_multiplications(self) -> int:
        """About how many multiplications a row's forward pass makes."""
        encoders = [coder.encoder for coder in self.stack.coders]
        return sum(int(encoder.n_multiplications) for encoder in encoders)

    def logits(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        """Return W z + b, of shape (batch, n_classes)."""
        z = self.stack.encode_batch(batch, generator)
        return self.head((z - self.origin) / self.scale)

    def loss(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the terms of the objective, as scalars, in nats per row."""
        assert batch.label is not None  # rows without a label are left out
        nats = F.cross_entropy(
            self.logits(batch, generator), batch.label, reduction="none"
        )
        weights = [w for coder in self.stack.coders for w in coder.encoder.weights()]
        return {
            "cross_entropy": mean(nats, batch.weight),
            **self.stack.decay([*weights, self.head.weight]),
        }

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.head.weight.shape[0])

    def probabilities(self, x: Tensor) -> Tensor:
        """Return softmax(W z + b), of shape (batch, n_classes)."""
        return F.softmax(self.logits(Batch(x, x), None), dim=1)

    def affine(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return W and b for codes as they are, not standardised."""
        with plain_torch():
            weight = self.head.weight / self.scale
            bias = self.head.bias - weight @ self.origin
        return from_tensor(weight), from_tensor(bias)


def unrolled(layers: Sequence[BaseAutoencoder]) -> FittedNetwork:
    """Return fitted layers as one network."""
    first = layers[0]._fit
    return FittedNetwork(StackModule(layers), first.units, first.dtype, first.loss)
