r"""The network that methods are made from: encoder, decoder, and the objective.

.. math:: \min_{f, g}\ \mathbb{E}\,[-\log p(x \mid g(z))] + \sum_i \Omega_i(x, z)
          + \frac{\alpha}{2} \sum \|W\|^2,
          \qquad z = f(\tilde x),\ \tilde x \sim q(\cdot|x)

with a likelihood p (`loss`), penalties Ω, and a corruption q of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_ae.engine.bridge import Batch, Rows, to_tensor
from sklearn_ae.engine.inputs import row_chunks
from sklearn_ae.engine.start import LinearStart
from sklearn_ae.parts.activations import get_activation
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
from sklearn_ae.parts.sparse import column_sums, dense

__all__ = ["AutoencoderModule"]

#: Decoders whose last layer has a bias for each feature.
READ_OUT = (MLPDecoder, TiedDecoder)


class AutoencoderModule(nn.Module):
    r"""z = φ(f(x)), x̂ = ψ(g(z)), and the objective between them.

    Everything is a function of weights, batch, hyperparameter tensors and a generator.
    The terms of the loss:

    - ``reconstruction``: −log p(x | x̂) in nats, summed over features, mean over rows;
    - one for each penalty, by its name;
    - ``weight_decay``: (α/2) Σ ‖W‖², without biases.

    Parameters
    ----------
    loss, code_activation, output_activation : str
    alpha : float
    penalties : sequence of (str, Penalty)
    corruption : Corruption or None
    generator : torch.Generator
        Draws the initial weights.
    dtype : torch.dtype
    **architecture
        What `build` makes encoder and decoder from.
    """

    def __init__(
        self,
        *,
        loss: str,
        code_activation: str,
        output_activation: str,
        alpha: float,
        penalties: Sequence[tuple[str, Penalty]],
        corruption: Corruption | None,
        generator: torch.Generator,
        dtype: torch.dtype,
        **architecture: Any,
    ) -> None:
        super().__init__()
        self.encoder: Any
        self.decoder: Any
        self.encoder, self.decoder = self.build(generator, dtype, **architecture)
        self.n_components, self.width = architecture["n_components"], self.encoder.width
        self.code_activation = code_activation
        self.code = get_activation(code_activation)
        self.likelihood = RECONSTRUCTIONS[loss](output_activation)
        for _, penalty in penalties:
            penalty.check_code(code_activation)
        self.penalties, self.corruption, self.alpha = penalties, corruption, alpha
        # root mean square of the rows in the network's units, in which noise is given
        self.register_buffer("spread", torch.ones((), dtype=dtype))
        self.hyper = nn.Module()
        values = {"alpha": {"": alpha}}
        values |= {name: penalty.hyperparameters() for name, penalty in penalties}
        values["corruption"] = corruption.hyperparameters() if corruption else {}
        self._hyper_names = {name: tuple(numbers) for name, numbers in values.items()}
        for name, numbers in values.items():
            for field, value in numbers.items():
                self.hyper.register_buffer(
                    f"{name}_{field}", torch.tensor(value, dtype=dtype)
                )

    def build(
        self,
        generator: torch.Generator,
        dtype: torch.dtype,
        *,
        n_features: int,
        n_components: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        tied_weights: bool,
        linear_path: bool,
        dropout: float,
        image_shape: tuple[int, int, int] | None = None,
        channels: Sequence[int] = (),
        kernel_size: int = 1,
        unpooling: str = "deconv",
    ) -> tuple[nn.Module, nn.Module]:
        """Return encoder and decoder; convolutional ones of rows that are images."""
        sizes = [*hidden_layer_sizes, n_components]
        rest: Any = (activation, dropout, generator, dtype)
        if image_shape is not None:
            convolutional = ConvolutionalEncoder(
                image_shape, channels, kernel_size, sizes, *rest
            )
            return convolutional, ConvolutionalDecoder(
                convolutional, unpooling, tied_weights, generator, dtype
            )
        sizes = [n_features, *sizes]
        encoder = MLPEncoder(sizes, *rest)
        decoder: Any = (
            TiedDecoder(encoder) if tied_weights else MLPDecoder(sizes[::-1], *rest)
        )
        if linear_path:
            return LinearPathEncoder(encoder), LinearPathDecoder(decoder)
        return encoder, decoder

    @property
    def n_products(self) -> int:
        """About how many multiplications a row's forward pass makes."""
        return 2 * int(self.encoder.n_products)

    def _hyperparameters(self, name: str) -> dict[str, Tensor]:
        fields = self._hyper_names[name]
        return {field: getattr(self.hyper, f"{name}_{field}") for field in fields}

    def begin_at(self, start: LinearStart) -> None:
        """Set the linear path to PCA's solution."""
        dtype = self.encoder.components.dtype
        encoder, decoder, scale, code_scale, code_trust, trust = (
            None if array is None else to_tensor(array, dtype)
            for array in (
                start.encoder,
                start.decoder,
                start.feature_scale,
                start.code_scale,
                start.code_trust,
                start.trust,
            )
        )
        self.encoder.begin_at(encoder, scale, code_trust)
        self.decoder.begin_at(decoder, code_scale, trust)
        self.spread.fill_(start.spread)

    def begin_with(self, rows: Rows) -> None:
        """Take from the rows what has to be known of them.

        Of counts their shares in all rows together, at which the output then begins:
        logarithms lie far apart, and a network is slow to learn them.
        """
        if not self.likelihood.shares or not isinstance(self.decoder, READ_OUT):
            return
        total = torch.zeros(rows.X.shape[1], dtype=torch.float64)
        for start, stop in row_chunks(len(rows), len(total)):
            total += column_sums(rows.tensor(torch.arange(start, stop)).to("cpu"))
        least = 0.01 * float(total.mean()) or 1.0  # for what was never counted
        with torch.no_grad():
            self.decoder.readout()[1].copy_((total + least).log())

    #: Whether the objective stays what it is until the end of training.
    settled: bool = True
    #: By what held-out rows choose among weights.
    watched: str = "loss"
    #: Names of parameters that have far to go, and are to learn faster.
    fast: tuple[str, ...] = ()

    def begin_epoch(self, progress: float) -> None:
        """Set what changes while training, which is at `progress` in [0, 1]."""

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return codes (batch, n_components) of rows (batch, n_features)."""
        return self.code(self.encoder(x, generator))

    def decode(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return reconstructions (batch, n_features) of codes (batch, n_components)."""
        return self.likelihood.output(self.decoder(z, generator))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return reconstructions (batch, n_features) of rows (batch, n_features)."""
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
        z = self.encode(x, generator)
        reconstruction = self.reconstruction(z, batch.target, generator)
        return {"reconstruction": reconstruction, **self.regularisers(x, z, generator)}

    def corrupted(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the rows with noise on them, if there is any to draw."""
        if self.corruption is None or generator is None:
            return x
        numbers = self._hyperparameters("corruption")
        return self.corruption.of(x, generator, self.spread, numbers)

    def reconstruction(
        self,
        z: Tensor,
        target: Tensor,
        generator: torch.Generator | None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Return the mean of −log p(target | x̂) over the rows.

        Each entry counts as much as its `weight`, of the shape of the target.
        """
        if self.is_exact(target) and weight is None:
            return self.exact_nats(z, target, generator).mean()
        a = self.decoder(z, generator)
        return self.likelihood.mean_nats(a, dense(target), weight)

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
        self, x: Tensor, z: Tensor, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """Return the penalties and the decay of the weights."""
        terms = {}
        for name, penalty in self.penalties:
            encoder = Encoding(self.encode, self.layers, generator)
            terms[name] = penalty.term(x, z, encoder, **self._hyperparameters(name))
        if self.alpha:
            terms["weight_decay"] = weight_decay(self.weights(), self.hyper.alpha_)
        return terms

    def weights(self) -> list[Tensor]:
        """Return the weight matrices, without biases."""
        return [*self.encoder.weights(), *self.decoder.weights()]

    def layers(self) -> list[Layer] | None:
        """Return the encoder's layers where it is nothing else than a chain of them."""
        if not isinstance(self.encoder, MLPEncoder):
            return None
        *hidden, (weight, bias, _) = self.encoder.chain()
        return [*hidden, (weight, bias, self.code_activation)]

    def jacobian_norm(self, x: Tensor) -> Tensor:
        """Return ‖∂z/∂x‖_F of each row, of shape (batch,)."""
        encoder = Encoding(self.encode, self.layers, None)
        return squared_jacobian_norm(x, self.encode(x), encoder).sqrt()

    def errors(
        self,
        batch: Batch,
        units: float,
        per_feature: bool,
        z: Tensor | None = None,
    ) -> Tensor:
        """Return reconstruction errors in the units of the data.

        Parameters
        ----------
        batch : Batch
        units : float
            The network's unit in the units of the data.
        per_feature : bool
            Each entry's error (batch, n_features), or each row's mean (batch,).
        z : Tensor of shape (batch, n_components) or None
            The codes to decode, those of the batch by default.
        """
        target = batch.target
        z = self.encode(batch.x) if z is None else z
        if target.layout == torch.sparse_csr:
            if self.is_exact(target) and not per_feature:
                total = self.exact_errors(z, target)
                return total.clamp_min(0.0) * (units**2 / target.shape[1])
            target = target.to_dense()
        error = self.likelihood.error(self.decoder(z), target, units)
        return error if per_feature else error.mean(1)
