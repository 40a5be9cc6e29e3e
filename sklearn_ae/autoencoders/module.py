r"""The network that methods are made from: encoder, decoder, and the objective.

.. math:: \min_{f, g}\ \mathbb{E}\,[-\log p(x \mid g(z))] + \sum_i \Omega_i(x, z)
          + \frac{\alpha}{2} \sum \|W\|^2,
          \qquad z = f(\tilde x),\ \tilde x \sim q(\cdot|x)

with a likelihood p (`loss`), penalties Ω, and a corruption q of the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_ae.autoencoders.conditioning import BOUNDED, ConditionedModule
from sklearn_ae.autoencoders.network import Network
from sklearn_ae.engine.rows import Batch
from sklearn_ae.engine.tensors import to_tensor
from sklearn_ae.parts.activations import get_activation
from sklearn_ae.parts.averages import mean
from sklearn_ae.parts.convolution import ConvolutionalDecoder, ConvolutionalEncoder
from sklearn_ae.parts.jacobian import Encoding, Layer, squared_jacobian_norm
from sklearn_ae.parts.layers import weight_decay
from sklearn_ae.parts.linear_path import LinearPathDecoder, LinearPathEncoder
from sklearn_ae.parts.networks import MLPDecoder, MLPEncoder, TiedDecoder
from sklearn_ae.parts.reconstruction import RECONSTRUCTIONS
from sklearn_ae.parts.sparse import dense

__all__ = ["AutoencoderModule"]


class AutoencoderModule(ConditionedModule):
    r"""z = φ(f(x)), x̂ = ψ(g(z)), and the objective between them.

    Everything is a function of weights, batch, hyperparameter tensors and a generator.
    The terms of the loss:

    - ``reconstruction``: −log p(x | x̂) in nats, summed over features, mean over rows;
    - one for each penalty, by its name;
    - ``weight_decay``: (α/2) Σ ‖W‖², without biases.

    Parameters
    ----------
    network : Network
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        blank, dtype = network.blank, network.blank.dtype
        self.network = network
        self.encoder, self.decoder = self.build(network)
        self.n_components = network.n_components
        self.widest_layer = self.encoder.widest_layer
        self.code_activation = network.code_activation
        self.code = get_activation(network.code_activation)
        kind = RECONSTRUCTIONS[network.loss]
        self.likelihood: Any = kind(network.output_activation)
        self.has_hidden_units = len(network.hidden_layer_sizes) > 0
        output = self.likelihood.output_activation
        if self.likelihood.has_scale and output in BOUNDED:
            # x̂ = low + span ψ(a): what it gives, in the range of the data
            zero = torch.zeros(blank.n_features, dtype=dtype, device="cpu")
            self.register_buffer("low", zero)
            self.register_buffer("span", torch.ones_like(zero))
            self.bounded, self.likelihood.output = get_activation(output), self.in_range
        for _, penalty in network.penalties:
            penalty.check_code(network.code_activation)
        self.penalties, self.corruption = network.penalties, network.corruption
        self.alpha = network.alpha
        # root mean square of the rows in the network's units, in which noise is given
        self.register_buffer("spread", to_tensor(1.0, dtype))
        # the size of a penalty's nat, in units of the rows: see `TYPICAL_SPREAD`
        self.register_buffer("unit", to_tensor(1.0, dtype))
        self.hyper: Any = nn.Module()
        values = {"alpha": {"": self.alpha}}
        values |= {name: one.hyperparameters() for name, one in self.penalties}
        noise = self.corruption
        values["corruption"] = noise.hyperparameters() if noise else {}
        self._hyper_names = {name: tuple(numbers) for name, numbers in values.items()}
        for name, numbers in values.items():
            for field, value in numbers.items():
                self.hyper.register_buffer(f"{name}_{field}", to_tensor(value, dtype))

    def build(self, network: Network) -> tuple[nn.Module, nn.Module]:
        """Return encoder and decoder; convolutional ones of rows that are images."""
        blank, hidden = network.blank, network.hidden_layer_sizes
        drawn_by = blank.generator, blank.dtype
        sizes = [*hidden, network.n_components]
        rest: Any = (network.activation, network.dropout, *drawn_by)
        images = network.images
        if images is not None:
            convolutional = ConvolutionalEncoder(
                images.shape, images.channels, images.kernel_size, sizes, *rest
            )
            return convolutional, ConvolutionalDecoder(
                convolutional, images.unpooling, network.tied_weights, *drawn_by
            )
        sizes = [blank.n_features, *sizes]
        encoder = MLPEncoder(sizes, *rest)
        tied = network.tied_weights
        decoder: Any = TiedDecoder(encoder) if tied else MLPDecoder(sizes[::-1], *rest)
        if network.linear_path and hidden:
            return LinearPathEncoder(encoder), LinearPathDecoder(decoder)
        return encoder, decoder

    @property
    def traits(self) -> dict[str, object]:
        network = self.network
        return {
            "loss": network.loss,
            "activation": network.activation,
            "code_activation": network.code_activation,
            "output_activation": network.output_activation,
            "images": network.images,
        }

    @property
    def noise_variance(self) -> Callable[[float], float] | None:
        return None if self.corruption is None else self.corruption.variance

    @property
    def decodes_affinely(self) -> bool:
        """Whether codes are decoded by an affine map."""
        dense_alone = self.network.images is None and not self.has_hidden_units
        return dense_alone and self.likelihood.output_activation == "identity"

    @property
    def n_multiplications(self) -> int:
        return 2 * int(self.encoder.n_multiplications)

    def _hyperparameters(self, name: str) -> dict[str, Tensor]:
        fields = self._hyper_names[name]
        return {field: getattr(self.hyper, f"{name}_{field}") for field in fields}

    def look(self, x: Tensor) -> Tensor:
        """Return what the encoder is shown of rows (batch, n_features)."""
        return self.likelihood.look(x) if self.likelihood.looks else x

    @property
    def leaves_pca(self) -> bool:
        """Whether linear layers have another optimum than PCA's."""
        if self.has_hidden_units:
            return False
        return bool(self.penalties or self.corruption or self.alpha)

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.code(self.before_code(x, generator))

    def before_code(
        self, x: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return what the code's activation is applied to, of the same shape."""
        return self.encoder(self.look(x), generator)

    def decode(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.likelihood.output(self.decoder(z, generator))

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.restored(self.encode(x), x)

    def restored(self, z: Tensor, x: Tensor) -> Tensor:
        """Return what codes decode to, in the units of the rows that they are of."""
        return self.likelihood.restored(self.decoder(z), x)

    def loss(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the terms of the objective, as scalars.

        Parameters
        ----------
        batch : Batch
        generator : torch.Generator or None
            Generator of noise and dropout; None leaves both out.
        """
        x = self.corrupted(batch.x, generator)
        before = self.before_code(x, generator)
        z = self.code(before)
        weight = batch.weight
        reconstruction = self.reconstruction(z, batch.target, generator, None, weight)
        rest = self.regularisers(x, z, generator, before, weight)
        return {"reconstruction": reconstruction, **rest}

    def corrupted(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the rows with noise on them, if there is any to draw."""
        if self.corruption is None or generator is None:
            return x
        numbers = self._hyperparameters("corruption")
        return self.corruption.apply(x, generator, self.spread, numbers)

    def as_learned(self, batch: Batch, generator: torch.Generator) -> Batch:
        if self.corruption is None:
            return batch
        return batch._replace(x=self.corrupted(batch.x, generator))

    def reconstruction(
        self,
        z: Tensor,
        target: Tensor,
        generator: torch.Generator | None,
        weight: Tensor | None = None,
        row_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the mean of −log p(target | x̂) over the rows.

        Each entry counts as much as its `weight`, of the shape of the target, and each
        row as much as its `row_weight`, of shape (batch,).
        """
        if self.is_exact(target) and weight is None:
            return mean(self.exact_nats(z, target, generator), row_weight)
        a = self.decoder(z, generator)
        return self.likelihood.mean_nats(a, dense(target), weight, row_weight)

    def is_exact(self, target: Tensor) -> bool:
        """Tell whether `exact_errors` and `exact_nats` support such rows."""
        return target.layout == torch.sparse_csr and self.likelihood.exact_sparse

    def exact_errors(
        self, z: Tensor, target: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the errors' sum of sparse rows, (batch,), without a dense target."""
        h = self.decoder.features(z, generator)
        return self.likelihood.sparse_error(target, h, *self.decoder.readout())

    def exact_nats(
        self, z: Tensor, target: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return −log p(target | x̂) of sparse rows, up to a constant, the same way."""
        nats_per_error = self.likelihood.nats_per_error
        return nats_per_error * self.exact_errors(z, target, generator)

    def regularisers(
        self,
        x: Tensor,
        z: Tensor,
        generator: torch.Generator | None,
        before: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the penalties, and the decay of the network's weights.

        Parameters
        ----------
        x : Tensor of shape (batch, n_features)
        z : Tensor of shape (batch, n_components)
        generator : torch.Generator or None
        before : Tensor of shape (batch, n_components) or None
            Values to which the code's activation was applied.
        weight : Tensor of shape (batch,) or None
            Weight of each row.
        """
        terms = {}
        for name, penalty in self.penalties:
            encode, layers, unit = self.encode, self.layers, self.unit
            encoder = Encoding(encode, layers, generator, before, unit, weight)
            given = {**self._hyperparameters(name), **penalty.settings()}
            term = penalty.term(x, z, encoder, **given)
            terms[name] = self.price * term
        if self.alpha:
            terms["weight_decay"] = weight_decay(self.weights(), self.hyper.alpha_)
        return terms

    @property
    def price(self) -> Tensor | float:
        """Size of a penalty's nat in the network's nats, of shape ()."""
        power = self.likelihood.scale_power
        return 1.0 if power is None else self.unit**power

    def weights(self) -> list[Tensor]:
        """Return the weight matrices, without biases."""
        return [*self.encoder.weights(), *self.decoder.weights()]

    def layers(self) -> list[Layer] | None:
        """Return the encoder's layers if it is a chain of them and nothing else."""
        if not isinstance(self.encoder, MLPEncoder) or self.likelihood.looks:
            return None
        *hidden, (weight, bias, _) = self.encoder.chain()
        return [*hidden, (weight, bias, self.code_activation)]

    @property
    def sees_all(self) -> bool:
        """Whether rows are seen from any distance, and none is clipped."""
        if not isinstance(self.encoder, MLPEncoder):
            return True
        return math.isinf(float(self.encoder.facing.each.reach))

    def jacobian_norm(self, x: Tensor) -> Tensor:
        """Return ‖∂z/∂x‖_F of each row, of shape (batch,)."""
        # the closed form holds for rows within reach
        layers = self.layers if self.sees_all else (lambda: None)
        encoder = Encoding(self.encode, layers, None)
        return squared_jacobian_norm(x, self.encode(x), encoder).sqrt()

    def errors(
        self,
        batch: Batch,
        units: float,
        per_feature: bool,
        z: Tensor | None = None,
    ) -> Tensor:
        target = batch.target
        z = self.encode(batch.x) if z is None else z
        if target.layout == torch.sparse_csr:
            if self.is_exact(target) and not per_feature:
                total = self.exact_errors(z, target)
                return total.clamp_min(0.0) * (units**2 / target.shape[1])
            target = target.to_dense()
        error = self.likelihood.lost(self.decoder(z), target, units)
        return error if per_feature else error.mean(1)
