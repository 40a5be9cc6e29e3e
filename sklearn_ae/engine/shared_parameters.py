"""Parameters that methods share, in groups: a method takes those that it has."""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

from sklearn_ae.engine.callbacks import is_callback
from sklearn_ae.params.domains import (
    Bool,
    Constraint,
    Implements,
    Instance,
    Interval,
    Nothing,
    OneOf,
    RandomState,
    SequenceOf,
)
from sklearn_ae.params.fields import Params

__all__ = [
    "ACTIVATION_NAMES",
    "OF_TRAINING",
    "WIDTHS",
    "CodeParameters",
    "FreeParameters",
    "LinearPathParameters",
    "LossParameters",
    "NetworkParameters",
    "OutputParameters",
    "TrainingParameters",
    "TyingParameters",
]

ACTIVATION_NAMES = (
    "identity",
    "relu",
    "sigmoid",
    "logistic",
    "tanh",
    "softplus",
    "gelu",
)


#: Domain of the widths of a network's layers.
WIDTHS = SequenceOf(
    Interval(int, 1, None), "a tuple or list of ints in the range [1, inf)"
)


#: Parameters that say how a network is trained, and not what it is.
OF_TRAINING = (
    "batch_size",
    "callbacks",
    "density",
    "device",
    "dtype",
    "early_stopping",
    "learning_rate",
    "learning_rate_init",
    "max_iter",
    "n_iter_no_change",
    "random_state",
    "shuffle",
    "tol",
    "validation_fraction",
    "verbose",
    "warm_start",
    "weight_decay",
)


class _Callback(Constraint):
    def allows(self, value: Any) -> bool:
        return is_callback(value)


class TrainingParameters(Params):
    r"""Parameters of training: the same in every method, and for stacks of them.

    Parameters
    ----------
    alpha : float, default=0.0
        α, the strength of L2 regularisation of the networks' weights, in the network's
        nats; biases and the linear path's own maps are left out. Unlike weights of
        penalties it does not follow the scale of X (see `standardize`).
    weight_decay : float or "auto", default="auto"
        Decoupled decay of the same weights, used by "adam" alone (AdamW): each step
        also shrinks them by learning rate × `weight_decay`. "auto" is none, but along
        the linear path with hidden layers min(10, 20 (n_features + 20) / n_samples):
        the network's correction is shrunk the more, the fewer rows there are to learn
        it from.
    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        Optimizer: "sgd" has Nesterov momentum 0.9; "lbfgs" takes all rows at once,
        draws no order, and counts its iterations as epochs.
    learning_rate_init : float or "auto", default="auto"
        Peak learning rate; not used by "lbfgs". "auto" is min(1e-2, 10 / n_features)
        along the linear path, elsewhere what suits the method (3e-3 to 1e-2), and 1e-3
        where it is constant or the solver "sgd".
    learning_rate : {"one_cycle", "constant"}, default="one_cycle"
        Course of the learning rate over the training.
    batch_size : int or "auto", default="auto"
        Number of rows per step; "auto" is about 256, in batches of equal size.
    max_iter : int or "auto", default="auto"
        Number of epochs. "auto" is 64 along the linear path (40 where a batch holds all
        rows), or as many as make max(400, 7 n_features) steps, or (for very wide X)
        2·10⁶ / n_features, but at least 100 steps. Where noise is put on the rows it is
        twice as many, or as many as make min(2000, 4·10⁵ / n_features) steps, at most
        400. Elsewhere it is 100, or as many as make 2000 to 10000 steps, at most 400;
        so it is without hidden layers, if penalties, noise, `alpha` or the method lead
        away from PCA. For "lbfgs" it is 500.
    tol : float, default=1e-4
        Least relative improvement of the loss that counts as one.
    n_iter_no_change : int, default=10
        Number of epochs without improvement after which training stops, where the
        learning rate is constant or `early_stopping` is set.
    early_stopping : bool, default=False
        Whether to hold out rows, stop when their loss no longer falls, and keep the
        weights with the lowest (those before the first step among them). `X_val` in
        `fit` says which rows, in place of some that are drawn. Where rows are restored
        from noisy ones, held-out rows are noisy too, by one fixed draw.
    validation_fraction : float, default=0.1
        Share of rows to hold out, drawn at random; not used with `X_val`.
    shuffle : bool, default=True
        Whether to draw a new order of rows in each epoch.
    random_state : int, RandomState or None, default=None
        Seed of initial weights, order, noise and dropout. Global random states are
        neither read nor changed.
    callbacks : list of skorch callbacks or None, default=None
        Callbacks, which are copied before use; their arguments, such as a file or a
        function, are not. With an `LRScheduler` the learning rate follows its policy,
        from `learning_rate_init` on, in place of `learning_rate`. scikit-learn's own
        callbacks go to `set_callbacks`.
    verbose : int, default=0
        Level of output: 1 prints a line per epoch.
    """

    alpha: float = 0.0
    weight_decay: float | str = "auto"
    solver: str = "adam"
    learning_rate_init: float | str = "auto"
    learning_rate: str = "one_cycle"
    batch_size: int | str = "auto"
    max_iter: int | str = "auto"
    tol: float = 1e-4
    n_iter_no_change: int = 10
    early_stopping: bool = False
    validation_fraction: float = 0.1
    shuffle: bool = True
    random_state: Any = None
    callbacks: Any = None
    verbose: int = 0

    _valid: ClassVar = {
        "alpha": [Interval(float, 0, None)],
        "weight_decay": [Interval(float, 0, None), OneOf("auto")],
        "solver": [OneOf("adam", "sgd", "lbfgs")],
        "learning_rate_init": [Interval(float, 0, None, "neither"), OneOf("auto")],
        "learning_rate": [OneOf("constant", "one_cycle")],
        "batch_size": [Interval(int, 1, None), OneOf("auto")],
        "max_iter": [Interval(int, 1, None), OneOf("auto")],
        "tol": [Interval(float, 0, None)],
        "n_iter_no_change": [Interval(int, 1, None)],
        "early_stopping": [Bool()],
        "validation_fraction": [Interval(float, 0, 1, "neither")],
        "shuffle": [Bool()],
        "random_state": [RandomState()],
        "callbacks": [
            SequenceOf(_Callback(), "a list of skorch callbacks"),
            Nothing(),
        ],
        "verbose": [Interval(int, 0, None), Bool()],
    }

    #: What ``learning_rate_init="auto"`` is for "adam" and "one_cycle" without a linear
    #: path.
    _peak_learning_rate: ClassVar[float] = 3e-3


class NetworkParameters(TrainingParameters):
    r"""Parameters that every network has.

    Parameters
    ----------
    n_components : int, default=2
        Size of the code. It may exceed the number of features.
    hidden_layer_sizes : tuple of int, default=(128, 64)
        Widths between input and code, mirrored in the decoder; ``()`` for none.
    activation : str, default="gelu"
        Activation of hidden units: "identity", "relu", "sigmoid" ("logistic"), "tanh",
        "softplus" or "gelu".
    dropout : float, default=0.0
        Share of hidden units left out at each training step, in [0, 1).
    standardize : bool, default=True
        Whether the network computes with (X − mean) / scale, with ONE scale for all
        features, so that the optimum is that on X itself: the root of their mean
        variance, or along the linear path what PCA leaves unexplained (root mean
        square), so that the objective starts at n_features / 2 nats. Its first and last
        layer work in each feature's own standard deviation, so that small features are
        learned as fast as large ones; with tied weights and convolutions, features that
        vary little are damped instead. Weights of penalties are in nats of features
        whose root mean variance is ¼, as that of pixels in [0, 1] is about: they mean
        the same whatever the scale of X. Sparse X is not centred, and has one scale.
        X is never standardized for log loss, Poisson and multinomial. There, and with
        False, nats are those of X itself.
    density : estimator or None, default=None
        Estimator that `sample` draws codes from, with `fit` and `sample`, such as
        ``GaussianMixture(10)`` or ``KernelDensity()``. A copy of it is fitted to the
        codes of up to 20000 training rows. None is the method's prior where it has one,
        elsewhere a Gaussian with the mean and covariance of the codes. `partial_fit`
        leaves a density as `fit`, or the first rows of a stream, have made it.
    warm_start : bool, default=False
        Whether `fit` goes on from the last fit.
    device : str, default="auto"
        Device to compute on: "cpu", "cuda", "cuda:0", "mps"; "auto" takes CUDA where
        there is one.
    dtype : {"float32", "float64", "bfloat16"}, default="float32"
        Dtype of the computation, and of codes. "bfloat16" trains in mixed precision,
        with weights and codes in float32. Rows are given back in float64 where those of
        the fit were in float64, or integers of 32 or more bits.
    """

    n_components: int = field(default=2, kw_only=False)
    hidden_layer_sizes: tuple[int, ...] = (128, 64)
    activation: str = "gelu"
    dropout: float = 0.0
    standardize: bool = True
    density: Any = None
    warm_start: bool = False
    device: str = "auto"
    dtype: str = "float32"

    _valid: ClassVar = {
        "n_components": [Interval(int, 1, None)],
        "hidden_layer_sizes": [WIDTHS],
        "activation": [OneOf(*ACTIVATION_NAMES)],
        "dropout": [Interval(float, 0, 1)],
        "standardize": [Bool()],
        "density": [Implements("fit", "sample", "get_params"), Nothing()],
        "warm_start": [Bool()],
        "device": [Instance(str, "a str naming a device")],
        "dtype": [OneOf("float32", "float64", "bfloat16")],
    }


class CodeParameters(Params):
    r"""Parameters of methods whose code may have any activation.

    Parameters
    ----------
    code_activation : str, default="identity"
        Activation of the code, one of those of `activation`.
    """

    code_activation: str = "identity"

    _valid: ClassVar = {
        "code_activation": [OneOf(*ACTIVATION_NAMES)],
    }


class OutputParameters(Params):
    """Parameters of methods whose output may have any activation.

    Parameters
    ----------
    output_activation : str, default="auto"
        Activation of the reconstruction. "auto" is identity for squared and absolute
        error, sigmoid for log loss, exp for Poisson, softmax for multinomial. With
        `standardize`, dense X and squared or absolute error, an output with a lower or
        upper end (such as relu, sigmoid, tanh) has it at the lowest or highest value of
        each feature.
    """

    output_activation: str = "auto"

    _valid: ClassVar = {
        "output_activation": [OneOf("auto", "exp", "softmax", *ACTIVATION_NAMES)],
    }


class LossParameters(OutputParameters):
    r"""Parameters of methods whose likelihood may be chosen.

    Parameters
    ----------
    loss : str, default="squared_error"
        Loss −log p: "squared_error" ½‖x − x̂‖², "absolute_error" Σ|x − x̂|, "log_loss"
        binary cross-entropy for data in [0, 1], "poisson" for counts, "multinomial"
        −Σ x log x̂ for the counts of words, which are draws from the shares x̂: a row
        counts as much as its sum, `inverse_transform` returns shares that sum to 1, and
        `reconstruct` those times the sum of the row.
    """

    loss: str = "squared_error"

    _valid: ClassVar = {
        "loss": [
            OneOf(
                "squared_error", "log_loss", "absolute_error", "poisson", "multinomial"
            )
        ],
    }


class TyingParameters(Params):
    r"""Parameters of methods whose decoder may share the weights of the encoder.

    Parameters
    ----------
    tied_weights : bool, default=False
        Whether the decoder's weights are the encoder's, transposed (and shared).
    """

    tied_weights: bool = False

    _valid: ClassVar = {
        "tied_weights": [Bool()],
    }


class LinearPathParameters(Params):
    r"""Parameters of methods whose network may start at PCA.

    Parameters
    ----------
    linear_path : bool or "auto", default="auto"
        Whether to start at PCA and learn a correction: at whitened codes, but of sparse
        X at those of TruncatedSVD, up to one factor. Without hidden layers there is no
        correction: encoder and decoder themselves start at PCA's maps, or with
        `tied_weights` or `alpha` at its axes, with codes that are not whitened. "auto"
        does so in `Autoencoder`, `GeneralizedAutoencoder`, `EmbeddingAutoencoder` (but
        for "mds") and `DenoisingAutoencoder` with Gaussian noise. It needs squared
        error, identity at code and output, `standardize`, no `image_shape` and, where
        there are hidden layers, free weights. All else starts at random.
    """

    linear_path: bool | str = "auto"

    _valid: ClassVar = {
        "linear_path": [Bool(), OneOf("auto")],
    }


class FreeParameters(
    CodeParameters, LossParameters, TyingParameters, LinearPathParameters
):
    """All parameters that methods may leave to the user."""
