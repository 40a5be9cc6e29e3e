r"""The autoencoder: encode to few numbers, decode, and minimise what was lost.

.. math:: \min_{f, g}\ \mathbb{E}\,[-\log p(x \mid g(z))] + \sum_i \Omega_i(x, z)
          + \frac{\alpha}{2} \sum \|W\|^2,
          \qquad z = f(\tilde x),\ \tilde x \sim q(\cdot|x)

with a likelihood p (`loss`), penalties Ω, and a corruption q of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sklearn_ae.engine.base import BaseAutoencoder
from sklearn_ae.engine.bridge import Batch, to_tensor
from sklearn_ae.engine.inputs import value_range
from sklearn_ae.engine.params import Instance, Nothing, SequenceOf, named_items
from sklearn_ae.engine.start import LinearStart
from sklearn_ae.parts.activations import get_activation
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
from sklearn_ae.parts.sparse import dense, sparse_squared_error

__all__ = ["Autoencoder", "AutoencoderModule", "ComposedAutoencoder"]


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
        self.code_activation = code_activation
        self.code = get_activation(code_activation)
        self.likelihood = RECONSTRUCTIONS[loss](output_activation)
        for _, penalty in penalties:
            penalty.check_code(code_activation)
        self.penalties, self.corruption, self.alpha = penalties, corruption, alpha
        # linear at the output and Gaussian: the exact objective of sparse rows
        self.exact_sparse = (
            loss == "squared_error" and self.likelihood.output_activation == "identity"
        )
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
    ) -> tuple[nn.Module, nn.Module]:
        """Return encoder and decoder, and note `n_components` and `width`."""
        sizes = [n_features, *hidden_layer_sizes, n_components]
        self.n_components, self.width = n_components, max(sizes)
        encoder = MLPEncoder(sizes, activation, dropout, generator, dtype)
        decoder: Any = (
            TiedDecoder(encoder)
            if tied_weights
            else MLPDecoder(sizes[::-1], activation, dropout, generator, dtype)
        )
        if linear_path:
            return LinearPathEncoder(encoder), LinearPathDecoder(decoder)
        return encoder, decoder

    @property
    def n_products(self) -> int:
        """About how many multiplications a row's forward pass makes."""
        return sum(weight.numel() for weight in self.parameters())

    def _hyperparameters(self, name: str) -> dict[str, Tensor]:
        fields = self._hyper_names[name]
        return {field: getattr(self.hyper, f"{name}_{field}") for field in fields}

    def begin_at(self, start: LinearStart) -> None:
        """Set the linear path to PCA's solution."""
        dtype = self.encoder.components.dtype
        encoder, decoder, scale, code_trust, trust = (
            None if array is None else to_tensor(array, dtype)
            for array in (
                start.encoder,
                start.decoder,
                start.feature_scale,
                start.code_trust,
                start.trust,
            )
        )
        self.encoder.begin_at(encoder, scale, code_trust)
        self.decoder.begin_at(decoder, trust)
        self.spread.fill_(start.spread)

    #: Whether the objective stays what it is until the end of training.
    settled: bool = True
    #: By what held-out rows choose among weights.
    watched: str = "loss"

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
        return self.decode(self.encode(x))

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
        if target.layout == torch.sparse_csr and self.exact_sparse and weight is None:
            h = self.decoder.features(z, generator)
            errors = sparse_squared_error(target, h, *self.decoder.readout())
            return 0.5 * errors.mean()
        a = self.decoder(z, generator)
        return self.likelihood.mean_nats(a, dense(target), weight)

    def regularisers(
        self, x: Tensor, z: Tensor, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """Return the penalties and the decay of the weights."""
        terms = {}
        for name, penalty in self.penalties:
            encoder = Encoding(self.encode, self.layers, generator)
            terms[name] = penalty.term(x, z, encoder, **self._hyperparameters(name))
        if self.alpha:
            weights = [*self.encoder.weights(), *self.decoder.weights()]
            terms["weight_decay"] = weight_decay(weights, self.hyper.alpha_)
        return terms

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
            if self.exact_sparse and not per_feature:
                h = self.decoder.features(z)
                total = sparse_squared_error(target, h, *self.decoder.readout())
                return total.clamp_min(0.0) * (units**2 / target.shape[1])
            target = target.to_dense()
        error = self.likelihood.error(self.decoder(z), target, units)
        return error if per_feature else error.mean(1)


class ComposedAutoencoder(BaseAutoencoder):
    """An estimator whose module is an `AutoencoderModule`, composed of parts.

    A method says which parts in ``_penalties`` and ``_corruption``, and what its own
    module needs beside them in ``_module_config``.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        With `mean_`, the affine decoder; only without hidden layers.
    mean_ : ndarray of shape (n_features,)
    """

    _module_class = AutoencoderModule

    def _penalties(self) -> list[tuple[str, Penalty]]:
        """Return the penalties, each with the name of its term; all of them copies."""
        return []

    def _corruption(self) -> Corruption | None:
        """Return the corruption, a copy."""
        return None

    def _module_config(self, n_features: int) -> dict[str, Any]:
        return {
            "n_features": int(n_features),
            "n_components": int(self.n_components),
            "hidden_layer_sizes": tuple(map(int, self.hidden_layer_sizes)),
            "activation": self.activation,
            "code_activation": self.code_activation,
            "output_activation": self.output_activation,
            "loss": self.loss,
            "tied_weights": bool(self.tied_weights),
            "linear_path": self._uses_linear_path(),
            "dropout": float(self.dropout),
            "alpha": float(self.alpha),
            "penalties": self._penalties(),
            "corruption": self._corruption(),
        }

    def _check_values(self, X: Any, loss: str) -> None:
        kind = RECONSTRUCTIONS[loss]
        if kind.lowest is None:
            return
        low, high = value_range(X)
        if low < kind.lowest or (kind.highest is not None and high > kind.highest):
            top = "inf" if kind.highest is None else kind.highest
            raise ValueError(
                f"loss={loss!r} needs values in [{kind.lowest}, {top}]. "
                f"Got X with values in [{low:g}, {high:g}]."
            )

    @property
    def components_(self) -> NDArray[Any]:
        """Linear map from codes to rows, of shape (n_components, n_features).

        With `mean_`, ``inverse_transform(Z) == Z @ components_ + mean_``; only where
        the decoder is affine.
        """
        weight, _ = self._affine_decoder("components_")
        return (weight * self._units.scale).T

    @property
    def mean_(self) -> NDArray[Any]:
        """What a code of zeros decodes to, of shape (n_features,)."""
        _, bias = self._affine_decoder("mean_")
        shift = 0.0 if self._units.shift is None else self._units.shift
        return bias * self._units.scale + shift

    def _affine_decoder(self, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
        config = vars(self).get("_config")
        affine = config is not None and not config["hidden_layer_sizes"]
        affine = affine and name not in self._absent
        if not affine or self.module_.likelihood.output_activation != "identity":
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}: only a "
                "fitted one without hidden layers, and with the identity at the "
                "output, is an affine map."
            )
        weight, bias = self.module_.decoder.readout()
        return weight.detach().cpu().numpy(), bias.detach().cpu().numpy()

    def jacobian_norm(self, X: Any) -> NDArray[Any]:
        """Return how far the code moves with the row: ‖∂z/∂x‖_F, in the units of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            The Frobenius norm of the Jacobian of `transform` at each row.
        """
        check_is_fitted(self, "module_")
        norms = self._apply(
            self.module_.jacobian_norm,
            self._validate(X, reset=False),
            width=self.n_components_ * self.module_.width,
        )
        return norms / self._units.scale


class Autoencoder(ComposedAutoencoder):
    r"""Deep autoencoder that stands wherever PCA does.

    Minimises, over an encoder f and a decoder g,

    .. math:: \mathbb{E}\,[-\log p(x \mid g(z))] + \sum_i \Omega_i(x, z)
              + \frac{\alpha}{2} \sum \|W\|^2,\qquad z = f(\tilde x)

    in nats per sample: summed over features, averaged over rows. With squared error
    and a hidden layer, code and reconstruction are PCA's plus a network's correction
    (the linear path), and training starts at PCA's solution.

    Parameters
    ----------
    penalties : Penalty, list of Penalty or of (str, Penalty), or None, default=None
        Terms Ω on inputs and codes, such as `L1` and `L2`.
    corruption : Corruption or None, default=None
        What is done to the input while training, such as `GaussianNoise` and
        `Masking`. The target stays clean.

    See Also
    --------
    sklearn.decomposition.PCA : The linear, orthogonal special case.

    References
    ----------
    Hinton, G. & Salakhutdinov, R. Reducing the dimensionality of data with neural
    networks. Science 313, 2006.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn_ae import Autoencoder
    >>> X_train, X_test = train_test_split(load_digits().data, random_state=0)
    >>> model = Autoencoder(8, random_state=0).fit(X_train)
    >>> model.transform(X_test).shape
    (450, 8)
    >>> pca = PCA(8).fit(X_train)
    >>> restored = pca.inverse_transform(pca.transform(X_test))
    >>> bool(-model.score(X_test) < 0.7 * ((X_test - restored) ** 2).mean())
    True
    """

    penalties: Any = None
    corruption: Any = None

    _valid: ClassVar = {
        "penalties": [
            Instance(Penalty, "a Penalty"),
            SequenceOf(Instance(Penalty), "a list of Penalties"),
            Nothing(),
        ],
        "corruption": [Instance(Corruption, "a Corruption"), Nothing()],
    }
    _has_linear_path: ClassVar[bool] = True

    def _penalties(self) -> list[tuple[str, Penalty]]:

        given = self.penalties if self.penalties is not None else []
        items = named_items([given] if isinstance(given, Penalty) else given)
        names = [name for name, _ in items]
        taken = {"reconstruction", "weight_decay", "loss", "alpha", "corruption"}
        for name in names:
            if names.count(name) > 1 or name in taken or "__" in name or "." in name:
                raise ValueError(
                    f"The 'penalties' parameter of {type(self).__name__} names one "
                    f"{name!r}. Names must differ from each other and from "
                    f"{sorted(taken)}, without '__' or '.'."
                )
        return [(name, clone(penalty)) for name, penalty in items]

    def _corruption(self) -> Corruption | None:
        return None if self.corruption is None else clone(self.corruption)
