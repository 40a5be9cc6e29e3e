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
from torch import Tensor, nn

from sklearn_ae.engine.base import BaseAutoencoder
from sklearn_ae.engine.bridge import Batch, to_tensor, value_range
from sklearn_ae.engine.params import Instance, Nothing, SequenceOf, named_items
from sklearn_ae.engine.start import LinearStart
from sklearn_ae.parts.activations import get_activation
from sklearn_ae.parts.corruptions import Corruption
from sklearn_ae.parts.networks import (
    LinearPathDecoder,
    LinearPathEncoder,
    MLPDecoder,
    MLPEncoder,
    TiedDecoder,
)
from sklearn_ae.parts.penalties import Penalty
from sklearn_ae.parts.reconstruction import RECONSTRUCTIONS
from sklearn_ae.parts.sparse import sparse_squared_error

__all__ = ["Autoencoder", "AutoencoderModule"]


class AutoencoderModule(nn.Module):
    r"""z = φ(f(x)), x̂ = ψ(g(z)), and the objective between them.

    Everything is a function of weights, batch, hyperparameter tensors and a generator.
    The terms of the loss:

    - ``reconstruction``: −log p(x | x̂) in nats, summed over features, mean over rows;
    - one for each penalty, by its name;
    - ``weight_decay``: (α/2) Σ ‖W‖², without biases.

    Parameters
    ----------
    n_features, n_components, hidden_layer_sizes
        Widths.
    activation, code_activation, output_activation, loss : str
    tied_weights, linear_path : bool
    dropout, alpha : float
    penalties : sequence of (str, Penalty)
    corruption : Corruption or None
    generator : torch.Generator
        Draws the initial weights.
    dtype : torch.dtype
    """

    def __init__(
        self,
        *,
        n_features: int,
        n_components: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        code_activation: str,
        output_activation: str,
        loss: str,
        tied_weights: bool,
        linear_path: bool,
        dropout: float,
        alpha: float,
        penalties: Sequence[tuple[str, Penalty]],
        corruption: Corruption | None,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        sizes = [n_features, *hidden_layer_sizes, n_components]
        self.n_components, self.width = n_components, max(sizes)
        encoder = MLPEncoder(sizes, activation, dropout, generator, dtype)
        decoder: Any = (
            TiedDecoder(encoder)
            if tied_weights
            else MLPDecoder(sizes[::-1], activation, dropout, generator, dtype)
        )
        self.encoder: nn.Module = LinearPathEncoder(encoder) if linear_path else encoder
        self.decoder: Any = LinearPathDecoder(decoder) if linear_path else decoder
        self.code = get_activation(code_activation)
        self.likelihood = RECONSTRUCTIONS[loss](output_activation)
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

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return codes (batch, n_components) of rows (batch, n_features)."""
        return self.code(self.encoder(x, generator))

    def decode(self, z: Tensor) -> Tensor:
        """Return reconstructions (batch, n_features) of codes (batch, n_components)."""
        return self.likelihood.output(self.decoder(z))

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
        x = batch.x
        if self.corruption is not None and generator is not None:
            if x.layout == torch.sparse_csr and not self.corruption.keeps_zeros:
                x = x.to_dense()
            numbers = self._hyperparameters("corruption")
            x = self.corruption.corrupt(x, generator, self.spread, **numbers)
        z = self.encode(x, generator)
        terms = {"reconstruction": self._reconstruction(z, batch.target, generator)}
        for name, penalty in self.penalties:
            terms[name] = penalty.term(x, z, self.encode, **self._hyperparameters(name))
        if self.alpha:
            weights = [*self.encoder.weights(), *self.decoder.weights()]
            squares = torch.stack([weight.square().sum() for weight in weights])
            terms["weight_decay"] = 0.5 * self.hyper.alpha_ * squares.sum()
        return terms

    def _reconstruction(
        self, z: Tensor, target: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        if target.layout == torch.sparse_csr:
            if self.exact_sparse:
                h = self.decoder.features(z, generator)
                errors = sparse_squared_error(target, h, *self.decoder.readout())
                return 0.5 * errors.mean()
            target = target.to_dense()
        return self.likelihood.mean_nats(self.decoder(z, generator), target)

    def errors(self, batch: Batch, units: float, per_feature: bool) -> Tensor:
        """Return reconstruction errors in the units of the data.

        Parameters
        ----------
        batch : Batch
        units : float
            The network's unit in the units of the data.
        per_feature : bool
            Each entry's error (batch, n_features), or each row's mean (batch,).
        """
        z, target = self.encode(batch.x), batch.target
        if target.layout == torch.sparse_csr:
            if self.exact_sparse and not per_feature:
                h = self.decoder.features(z)
                total = sparse_squared_error(target, h, *self.decoder.readout())
                return total.clamp_min(0.0) * (units**2 / target.shape[1])
            target = target.to_dense()
        error = self.likelihood.error(self.decoder(z), target, units)
        return error if per_feature else error.mean(1)


class Autoencoder(BaseAutoencoder):
    r"""Deep autoencoder that stands wherever PCA does.

    Minimises, over an encoder f and a decoder g,

    .. math:: \mathbb{E}\,[-\log p(x \mid g(z))] + \sum_i \Omega_i(x, z)
              + \frac{\alpha}{2} \sum \|W\|^2,\qquad z = f(\tilde x)

    in nats per sample: summed over features, averaged over rows. With squared error
    and a hidden layer, code and reconstruction are PCA's plus a network's correction
    (the linear path), and training starts at PCA's solution.

    Parameters
    ----------
    n_components : int, default=2
        Size of the code. It may exceed the number of features.
    hidden_layer_sizes : tuple of int, default=(128, 64)
        Widths between input and code, mirrored in the decoder; ``()`` for none.
    activation : str, default="gelu"
        Of hidden units: "identity", "relu", "sigmoid" ("logistic"), "tanh",
        "softplus" or "gelu".
    code_activation : str, default="identity"
        Of the code, one of the same.
    output_activation : str, default="auto"
        Of the reconstruction. "auto" is identity for squared and absolute error,
        sigmoid for log loss, exp for Poisson.
    loss : str, default="squared_error"
        −log p: ½‖x − x̂‖², Σ|x − x̂|, binary cross-entropy for data in [0, 1], or the
        Poisson likelihood for counts.
    tied_weights : bool, default=False
        Whether the decoder's weights are the encoder's, transposed (and shared).
    linear_path : bool or "auto", default="auto"
        Whether to start at PCA (TruncatedSVD for sparse X) and learn a correction.
        "auto" does so with squared error, a hidden layer, identity at code and output,
        free weights and `standardize`.
    dropout : float, default=0.0
        Share of hidden units left out at each training step, in [0, 1).
    alpha : float, default=0.0
        α, the strength of L2 regularisation of the networks' weights; biases and the
        linear path's own maps are left out.
    weight_decay : float or "auto", default="auto"
        Decoupled decay of the same weights, used by "adam" alone (AdamW): each step
        also shrinks them by learning rate × `weight_decay`. "auto" is none, but along
        the linear path min(10, 20 (n_features + 20) / n_samples): the network's
        correction is shrunk the more, the fewer rows there are to learn it from.
    standardize : bool, default=True
        Whether the network sees (X − mean) / scale, with ONE scale for all features,
        so that the optimum is that on X itself: the average standard deviation, or
        along the linear path what PCA leaves unexplained (root mean square), so that
        the objective starts at n_features / 2 nats. Sparse X is not centred. Never
        done for log loss and Poisson.
    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        "sgd" has Nesterov momentum 0.9; "lbfgs" takes all rows at once, draws no
        order, and counts its iterations as epochs.
    learning_rate_init : float or "auto", default="auto"
        Peak learning rate; not used by "lbfgs". "auto" is min(1e-2, 10 / n_features)
        along the linear path and 3e-3 elsewhere, and 1e-3 where it is constant or the
        solver "sgd".
    learning_rate : {"one_cycle", "constant"}, default="one_cycle"
        Its course over the training.
    batch_size : int or "auto", default="auto"
        Rows per step; "auto" is about 256, in batches of equal size.
    max_iter : int or "auto", default="auto"
        Epochs. "auto" is 64 along the linear path (40 where a batch holds all rows),
        or as many as make max(400, 7 n_features) steps, or (for very wide X)
        2·10⁶ / n_features, but at least 100 steps; 500 for "lbfgs", and 100 elsewhere.
    tol : float, default=1e-4
        Least relative improvement of the loss that counts as one.
    n_iter_no_change : int, default=10
        Epochs without improvement after which training stops, where the learning rate
        is constant or `early_stopping` is set.
    early_stopping : bool, default=False
        Whether to hold out rows, stop when their loss no longer falls, and keep the
        weights with the lowest (those before the first step among them).
    validation_fraction : float, default=0.1
        Share of rows to hold out, drawn at random.
    shuffle : bool, default=True
        Whether to draw a new order of rows in each epoch.
    warm_start : bool, default=False
        Whether `fit` goes on from the last fit.
    random_state : int, RandomState or None, default=None
        Drives initial weights, order, noise and dropout. Global random states are
        neither read nor changed.
    device : str, default="auto"
        "cpu", "cuda", "cuda:0", "mps"; "auto" takes CUDA where there is one.
    dtype : {"float32", "float64", "bfloat16"}, default="float32"
        Of the computation and the results. "bfloat16" trains in mixed precision, with
        weights and results in float32.
    callbacks : list of skorch callbacks or None, default=None
        Copied before use. scikit-learn's own callbacks go to `set_callbacks`.
    verbose : int, default=0
        1 prints a line per epoch.
    penalties : Penalty, list of Penalty or of (str, Penalty), or None, default=None
        Terms Ω on inputs and codes, such as `L1` and `L2`.
    corruption : Corruption or None, default=None
        What is done to the input while training, such as `GaussianNoise` and
        `Masking`. The target stays clean.

    Attributes
    ----------
    n_components_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if X has string column names.
    n_iter_ : int
        Epochs trained.
    loss_ : float
        Objective on the training rows in the last epoch, in nats per sample of what
        the network sees.
    loss_curve_ : list of float
        The same for each epoch.
    validation_loss_curve_ : list of float or None
        The same on held-out rows.
    history_ : dict of ndarray
        Each term of the objective by epoch: "train_reconstruction" and so on.
    components_ : ndarray of shape (n_components, n_features)
        With `mean_`, the affine decoder; only without hidden layers.
    mean_ : ndarray of shape (n_features,)
    device_ : str
        Where the network is.
    density_ : GaussianMixture
        Of the training codes, for `sample`.
    module_ : torch.nn.Module
    net_ : skorch.NeuralNet

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
    _module_class = AutoencoderModule
    _has_linear_path: ClassVar[bool] = True

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
            "penalties": self._named_penalties(),
            "corruption": None if self.corruption is None else clone(self.corruption),
        }

    def _named_penalties(self) -> list[tuple[str, Penalty]]:
        """Return copies of the penalties; raise where two would share a name."""
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
        if not affine or self.module_.likelihood.output_activation != "identity":
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}: only a "
                "fitted one without hidden layers, and with the identity at the "
                "output, is an affine map."
            )
        weight, bias = self.module_.decoder.readout()
        return weight.detach().cpu().numpy(), bias.detach().cpu().numpy()
