r"""The network that methods are made from: encoder, decoder, and the objective.

.. math:: \min_{f, g}\ \mathbb{E}\,[-\log p(x \mid g(z))] + \sum_i \Omega_i(x, z)
          + \frac{\alpha}{2} \sum \|W\|^2,
          \qquad z = f(\tilde x),\ \tilde x \sim q(\cdot|x)

with a likelihood p (`loss`), penalties Ω, and a corruption q of the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_ae.engine.columns import Columns, medians
from sklearn_ae.engine.module import Blank, TrainableModule
from sklearn_ae.engine.pca_start import LinearStart
from sklearn_ae.engine.rows import Batch, Rows
from sklearn_ae.engine.tensors import to_tensor
from sklearn_ae.parts.activations import CODOMAINS, get_activation
from sklearn_ae.parts.averages import mean
from sklearn_ae.parts.convolution import ConvolutionalDecoder, ConvolutionalEncoder
from sklearn_ae.parts.corruptions import Corruption
from sklearn_ae.parts.jacobian import Encoding, Layer, squared_jacobian_norm
from sklearn_ae.parts.networks import (
    LinearPathDecoder,
    LinearPathEncoder,
    MLPDecoder,
    MLPEncoder,
    TiedDecoder,
    weight_decay,
)
from sklearn_ae.parts.penalties import Penalty
from sklearn_ae.parts.reconstruction import RECONSTRUCTIONS
from sklearn_ae.parts.sparse import dense

__all__ = ["AutoencoderModule", "Images", "Network"]

#: Output activations with one or two ends, which can be those of the data.
BOUNDED = ("relu", "sigmoid", "tanh", "softplus", "gelu", "exp")
#: Weights of penalties are meant for rows whose features have this standard deviation
#: (root mean square), as those of images in [0, 1] have, of which the papers speak.
TYPICAL_SPREAD = 0.25
#: Rows are seen in units in which none that is trained on is farther out than this.
FARTHEST = 8.0
#: Of the mean spread. What varies less is damped the more where weights are shared
#: with what varies more: by tied weights, which the encoder would use at the cost of
#: what the decoder restores; and by filters, which are those of all pixels.
FAINT, FAINT_PIXEL = 0.3, 0.5


def _shared_scale(spread: Tensor) -> Tensor:
    """Return in what scale features are seen AND restored, by tied weights.

    In the units of the rows encoder and decoder are each other's transposed: what
    varies less is only learned more slowly.
    """
    scale = spread * (spread / FAINT).clamp_max(1.0)
    return scale / (float(scale.max()) or 1.0)


@dataclass(frozen=True)
class Images:
    """What makes networks convolutional.

    Parameters
    ----------
    shape : (int, int, int)
        Height, width and channels of a row.
    channels : tuple of int
        Maps of each block.
    kernel_size : int
    unpooling : str
    """

    shape: tuple[int, int, int]
    channels: tuple[int, ...]
    kernel_size: int
    unpooling: str


@dataclass(frozen=True)
class Network:
    """What an autoencoder is composed of.

    Parameters
    ----------
    blank : Blank
    n_components : int
    hidden_layer_sizes : tuple of int
    activation, code_activation, output_activation, loss : str
    tied_weights, linear_path : bool
    dropout, alpha : float
    penalties : tuple of (str, Penalty)
    corruption : Corruption or None
    images : Images or None
        Of networks that are convolutional.
    """

    blank: Blank
    n_components: int
    hidden_layer_sizes: tuple[int, ...]
    activation: str
    code_activation: str
    output_activation: str
    loss: str
    tied_weights: bool
    linear_path: bool
    dropout: float
    alpha: float
    penalties: tuple[tuple[str, Penalty], ...]
    corruption: Corruption | None
    images: Images | None


class AutoencoderModule(TrainableModule):
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

    spread: Tensor
    unit: Tensor
    low: Tensor
    span: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        blank, dtype = network.blank, network.blank.dtype
        self.network = network
        self.encoder: Any
        self.decoder: Any
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
        # what nats beside those of the reconstruction are of: see `TYPICAL_SPREAD`
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

    def start_at_pca(self, start: LinearStart) -> None:
        """Start at PCA's solution: the linear path, or layers that are linear."""
        encoder, decoder, scale, residual, code_scale, code_trust, trust = (
            None if array is None else to_tensor(array, self.spread.dtype)
            for array in (
                start.encoder,
                start.decoder,
                start.feature_scale,
                start.residual,
                start.code_scale,
                start.code_trust,
                start.trust,
            )
        )
        self.spread.fill_(start.spread)
        self.starts_at_pca = True
        seen = None if scale is None else (scale.square() + start.shown).sqrt()
        if isinstance(self.encoder, LinearPathEncoder):
            self.encoder.start_at_pca(encoder, seen, code_trust)
            self.decoder.start_at_pca(decoder, code_scale, trust)
            return
        facing, zero = self.encoder.facing, torch.zeros_like(encoder[:, 0])
        tied = isinstance(self.decoder, TiedDecoder)
        with torch.no_grad():
            if tied or self.alpha:  # then both maps are as large as each other
                length = encoder.norm(dim=0)
                axes = encoder / torch.where(length > 0.0, length, 1.0)
                if tied:
                    if self.leaves_pca and scale is not None:
                        step = _shared_scale(scale.nan_to_num(posinf=0.0) / self.spread)
                    else:  # by no more than what PCA leaves of each feature
                        step = residual / (float(decoder.norm(dim=0).max()) or 1.0)
                    self.encoder.see(step)
                    axes = torch.where(step > 0.0, 1.0 / step, 0.0)[:, None] * axes
                facing.kernel.copy_(axes)
                if not tied:
                    self.decoder.facing.kernel.copy_(axes)
                return
            if scale is None:  # of rows that are not centred, about zero
                scale = (decoder.square().sum(1) + residual.square()).sqrt()
                seen = scale
            self.encoder.see(1.0 / seen)
            varies = scale.isfinite()
            facing.kernel.copy_(encoder * torch.where(varies, seen, 0.0)[:, None])
            gain = residual
            if self.leaves_pca:
                gain = torch.where(varies, scale, residual)
            self.decoder.speak(gain, zero)
            self.decoder.facing.kernel.copy_(decoder / gain[:, None] / code_scale)

    def start_from_rows(self, rows: Rows) -> None:
        """Take from the rows what has to be known of them before the first step.

        Each feature is seen, and restored, in its own scale, so that none is learned
        badly for being small beside others; and the best constant row is what is
        restored to begin with. Neither changes what is minimised.
        """
        if self.likelihood.has_scale and not rows.units.is_plain:
            self.unit.copy_(self.spread / TYPICAL_SPREAD)
        if self.starts_at_pca:
            return
        given = Columns.of(rows)
        seen = Columns.of(rows, self.look) if self.likelihood.looks else given
        likelihood, scaled = self.likelihood, rows.units.shift is not None
        centre = given.mean
        if likelihood.name == "absolute_error":
            centre = medians(rows)
        gain = torch.ones_like(centre)
        if likelihood.has_scale and likelihood.output_activation != "identity":
            if not rows.units.is_plain and likelihood.output_activation in BOUNDED:
                self._match_range(given)
                centre = (centre - self.low.double()) / self.span.double()
        elif likelihood.has_scale and scaled:
            gain = given.spread
        self._see(seen, likelihood.has_scale and scaled)
        self._speak(gain, likelihood.best_constant(centre))

    def _see(self, columns: Columns, scaled: bool) -> None:
        """Let the encoder see each feature in its own scale.

        Of counts and probabilities, which are not centred, dense rows are seen as
        sparse ones are: all features in one scale.
        """
        spread, ones = columns.spread, torch.ones_like(columns.spread)
        scale, reach = ones, math.inf
        if self.likelihood.looks:
            squares = spread.square() + columns.centre.square()
            size = squares.sum() if self.likelihood.shares else squares.mean()
            scale = ones / (float(size.sqrt()) or 1.0)
        elif scaled and isinstance(self.decoder, TiedDecoder):
            scale = _shared_scale(spread)
        elif scaled and not isinstance(self.encoder, ConvolutionalEncoder):
            if self.corruption is not None:
                noise = self.corruption.variance(float(self.spread))
                spread = torch.where(
                    spread > 0.0, (spread.square() + noise).sqrt(), 0.0
                )
            spread = torch.maximum(spread, columns.farthest / FARTHEST)
            scale = torch.where(spread > 0.0, 1.0 / spread, 0.0)
            if self.has_hidden_units or self.code_activation != "identity":
                reach = FARTHEST  # what is affine has no border
        self.encoder.see(scale, reach)

    def _speak(self, gain: Tensor, constant: Tensor) -> None:
        """Let the decoder restore each feature in its own scale, from a constant on."""
        if isinstance(self.decoder, ConvolutionalDecoder):
            typical = float(gain.square().mean().sqrt()) * FAINT_PIXEL or 1.0
            gain = (gain / typical).pow(3).clamp_max(1.0)
        self.decoder.speak(gain, constant)

    def _match_range(self, columns: Columns) -> None:
        """Let the output's ends, of which it has one or two, be those of the data."""
        low, high = CODOMAINS[self.likelihood.output_activation]
        span = columns.spread
        if not math.isinf(high):
            span = (columns.highest - columns.lowest) / (high - low)
        self.low.copy_(columns.lowest - low * span)
        self.span.copy_(torch.where(span > 0.0, span, 1.0))

    def in_range(self, a: Tensor) -> Tensor:
        """Return x̂ of the pre-activation where the output is bounded."""
        return torch.addcmul(self.low, self.bounded(a).to(self.low.dtype), self.span)

    def look(self, x: Tensor) -> Tensor:
        """Return what the encoder is shown of rows (batch, n_features)."""
        return self.likelihood.look(x) if self.likelihood.looks else x

    @property
    def leaves_pca(self) -> bool:
        """Whether layers that are linear have another optimum than PCA's."""
        if self.has_hidden_units:
            return False
        return bool(self.penalties or self.corruption or self.alpha)

    #: Whether training starts at PCA's solution, and no preconditioner is needed.
    starts_at_pca: bool = False

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
            Draws noise and dropout; None leaves both out.
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
        """Tell whether `exact_errors` and `exact_nats` can be had of such rows."""
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
            What the code's activation gave z for.
        weight : Tensor of shape (batch,) or None
            How much each row counts.
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
        """How many of the network's nats one of the penalties' is, of shape ()."""
        power = self.likelihood.scale_power
        return 1.0 if power is None else self.unit**power

    def weights(self) -> list[Tensor]:
        """Return the weight matrices, without biases."""
        return [*self.encoder.weights(), *self.decoder.weights()]

    def layers(self) -> list[Layer] | None:
        """Return the encoder's layers where it is nothing else than a chain of them."""
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
        # the closed form is of rows that are within reach
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
