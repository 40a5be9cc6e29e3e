"""What every autoencoder answers: scikit-learn's contract, written once."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_ae.engine import bridge, state
from sklearn_ae.engine.bridge import Rows, Units
from sklearn_ae.engine.net import AutoencoderNet, BestWeights, EpochHook, is_callback
from sklearn_ae.engine.params import (
    Bool,
    Constraint,
    Instance,
    Interval,
    Nothing,
    OneOf,
    Params,
    RandomState,
    SequenceOf,
    positional,
)
from sklearn_ae.engine.start import LinearStart, linear_start

__all__ = ["BaseAutoencoder"]

#: Rows whose codes the density for `sample` is fitted to, at most.
DENSITY_ROWS = 2000


class _Callback(Constraint):
    def allows(self, value: Any) -> bool:
        return is_callback(value)


class BaseAutoencoder(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    CallbackSupportMixin,
    Params,
    BaseEstimator,
):
    """Shared parameters, training, validation, persistence.

    A method derives from it, names its torch module in ``_module_class`` and says in
    ``_module_config`` what to build it from. The module answers (all in the network's
    units, see `sklearn_ae.engine.bridge.Units`):

    - ``encode(x)`` and ``decode(z)``;
    - ``loss(batch, generator)``: named scalar terms in nats; noise only from
      `generator`;
    - ``errors(batch, units, per_feature)``: each row's mean (or each entry's)
      reconstruction error in the units of the data;
    - ``begin_at(start)``: take over a `LinearStart`, where it has a linear path;
    - ``width``: of its widest layer.
    """

    n_components: int = positional(2)
    hidden_layer_sizes: tuple[int, ...] = (128,)
    activation: str = "relu"
    code_activation: str = "identity"
    output_activation: str = "auto"
    loss: str = "squared_error"
    tied_weights: bool = False
    linear_path: bool | str = "auto"
    dropout: float = 0.0
    alpha: float = 0.0
    standardize: bool = True
    solver: str = "adam"
    learning_rate_init: float = 3e-3
    learning_rate: str = "one_cycle"
    batch_size: int | str = "auto"
    max_iter: int = 100
    tol: float = 1e-4
    n_iter_no_change: int = 10
    early_stopping: bool = False
    validation_fraction: float = 0.1
    shuffle: bool = True
    warm_start: bool = False
    random_state: Any = None
    device: str = "auto"
    dtype: str = "float32"
    callbacks: Any = None
    verbose: int = 0

    _activations = OneOf(
        "identity", "relu", "sigmoid", "logistic", "tanh", "softplus", "gelu"
    )
    _valid: ClassVar = {
        "n_components": [Interval(int, 1, None)],
        "hidden_layer_sizes": [
            SequenceOf(
                Interval(int, 1, None), "a tuple or list of ints in the range [1, inf)"
            )
        ],
        "activation": [_activations],
        "code_activation": [_activations],
        "output_activation": [OneOf("auto", "exp", *_activations.options)],
        "loss": [OneOf("squared_error", "log_loss", "absolute_error", "poisson")],
        "tied_weights": [Bool()],
        "linear_path": [Bool(), OneOf("auto")],
        "dropout": [Interval(float, 0, 1)],
        "alpha": [Interval(float, 0, None)],
        "standardize": [Bool()],
        "solver": [OneOf("adam", "sgd", "lbfgs")],
        "learning_rate_init": [Interval(float, 0, None, "neither")],
        "learning_rate": [OneOf("constant", "one_cycle")],
        "batch_size": [Interval(int, 1, None), OneOf("auto")],
        "max_iter": [Interval(int, 1, None)],
        "tol": [Interval(float, 0, None)],
        "n_iter_no_change": [Interval(int, 1, None)],
        "early_stopping": [Bool()],
        "validation_fraction": [Interval(float, 0, 1, "neither")],
        "shuffle": [Bool()],
        "warm_start": [Bool()],
        "random_state": [RandomState()],
        "device": [Instance(str, "a str naming a device")],
        "dtype": [OneOf("float32", "float64", "bfloat16")],
        "callbacks": [
            SequenceOf(_Callback(), "a list of skorch callbacks"),
            Nothing(),
        ],
        "verbose": [Interval(int, 0, None), Bool()],
    }

    _module_class: ClassVar[Any]
    #: Which of the rows of X a method takes, beside dense ones.
    _accept_sparse: ClassVar[bool] = True
    #: Whether ``linear_path="auto"`` may switch the linear path on.
    _has_linear_path: ClassVar[bool] = False

    __repr__ = BaseEstimator.__repr__

    # -- what a method says -------------------------------------------------------

    def _module_config(self, n_features: int) -> dict[str, Any]:
        """Return the keyword arguments to build the module from, all plain values."""
        raise NotImplementedError

    def _check_values(self, X: Any) -> None:
        """Raise ValueError for rows that the objective is not defined on."""

    # -- fitting ------------------------------------------------------------------

    @with_callbacks
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the autoencoder to the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : None
            Ignored; present for scikit-learn's Pipeline.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X is not finite, numeric and two-dimensional, if a parameter is out of
            its domain, or if training diverges. An earlier fit then stays as it was.
        """
        self._check_params()
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        resume = bool(self.warm_start) and hasattr(self, "module_")
        self._train(X, y, resume=resume, context=context)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Make one pass over the rows of X, from where training was left.

        The first call makes the network (and fits PCA, for the linear path); the
        learning rate stays at `learning_rate_init`. For data that comes in a stream.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        self
        """
        self._check_params()
        self._train(X, y, resume=hasattr(self, "module_"), context=None)
        return self

    def _train(self, X: Any, y: Any, *, resume: bool, context: Any) -> None:
        """Train for `max_iter` epochs, or make one pass where there is no `context`."""
        streaming = context is None
        device = bridge.resolve_device(self.device)
        with _all_or_nothing(self), torch.inference_mode(False), torch.enable_grad():
            X = self._validate(X, reset=not resume)
            self._check_values(X)
            self._advance_seed(resume)
            seeds = np.random.SeedSequence((self._seed, self._n_trainings))
            seed, *streams = map(int, seeds.generate_state(3))
            train, valid = self._split(X.shape[0], seed, streaming)
            if resume:
                module, units = copy.deepcopy(self.module_), self._units
            else:
                module, units = self._new_module(X, train, seed)

            def rows(subset: NDArray[np.intp] | None) -> Rows:
                return Rows(X, units, self._torch_dtype, device, subset)

            rows_train = rows(train)
            net = self._new_net(
                module,
                device,
                streaming=streaming,
                n_rows=len(rows_train),
                rows_valid=None if valid is None else rows(valid),
                streams=streams,
                extra=self._stopping() if not streaming else [],
            )
            if context is not None and getattr(self, "_skl_callbacks", []):
                net.callbacks = [*net.callbacks, self._epoch_hook(context, X, y, units)]
            net.initialize()
            if resume and self._optimizer_state:
                state.load_optimizer_state(net.optimizer_, self._optimizer_state)
            net.partial_fit(rows_train)
            if not all(bool(p.isfinite().all()) for p in net.module_.parameters()):
                raise ValueError(
                    "The weights became non-finite: training diverged. Lower the "
                    f"learning rate (learning_rate_init={self.learning_rate_init:g})."
                )
            net.rows_valid = None  # the data is not ours to keep
            self._finish(net, units, resume=resume, streaming=streaming)
            self.density_ = self._fit_density(X)

    def _finish(
        self, net: AutoencoderNet, units: Units, *, resume: bool, streaming: bool
    ) -> None:
        """Set the fitted attributes."""
        history = {
            name: np.array(net.history[:, name], dtype=np.float64)
            for name in net.history[-1]
            if name.startswith(("train_", "valid_")) and not name.endswith("_count")
        }
        if resume:
            history = {
                name: np.concatenate([self.history_.get(name, values[:0]), values])
                for name, values in history.items()
            }
        self.history_ = history
        self.net_, self.module_, self._units = net, net.module_, units
        self.n_components_ = net.module_.n_components
        self.device_, self._fitted_dtype = str(net.device), self.dtype
        keep = streaming or self.warm_start
        self._optimizer_state = (
            state.optimizer_state(net.optimizer_)
            if keep and self.solver != "lbfgs"
            else None
        )
        stopping = dict(net.callbacks_).get("stopping")
        if stopping is not None and not stopping.converged_:
            warnings.warn(
                f"Maximum number of epochs (max_iter={self.max_iter}) reached before "
                "training converged. Raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _new_module(
        self, X: Any, train: NDArray[np.intp] | None, seed: int
    ) -> tuple[torch.nn.Module, Units]:
        self._config = self._module_config(X.shape[1])
        module = self._module_class(
            **self._config,
            generator=bridge.make_generator(seed, torch.device("cpu")),
            dtype=self._torch_dtype,
        )
        if self._config.get("linear_path"):
            start = linear_start(X, self.n_components, seed, train)
            module.begin_at(start)
            return module, start.units
        return module, Units.of(X, train) if self._standardizes() else Units()

    def _new_net(
        self,
        module: torch.nn.Module,
        device: torch.device,
        *,
        streaming: bool,
        n_rows: int,
        rows_valid: Rows | None,
        streams: list[int],
        extra: list[Any],
    ) -> AutoencoderNet:
        full_batch = self.solver == "lbfgs"
        shuffle, noise = streams
        optimizer: dict[str, Any] = {
            "adam": {"optimizer": torch.optim.Adam, "optimizer__fused": True},
            "sgd": {
                "optimizer": torch.optim.SGD,
                "optimizer__fused": True,
                "optimizer__momentum": 0.9,
                "optimizer__nesterov": True,
            },
            "lbfgs": {
                "optimizer": torch.optim.LBFGS,
                "optimizer__max_iter": 1,  # an epoch is one of its iterations
                "optimizer__tolerance_grad": 1e-10,
                "optimizer__tolerance_change": 0.0,
                "optimizer__history_size": 20,
                "optimizer__line_search_fn": "strong_wolfe",
            },
        }[self.solver]
        return AutoencoderNet(
            module,
            **optimizer,
            lr=1.0 if full_batch else self.learning_rate_init,
            schedule="constant" if streaming or full_batch else self.learning_rate,
            max_epochs=1 if streaming else self.max_iter,
            batch_size=n_rows if full_batch else self._resolve_batch_size(n_rows),
            rows_valid=rows_valid,
            shuffle_generator=(
                bridge.make_generator(shuffle, torch.device("cpu"))
                if self.shuffle and not full_batch
                else None
            ),
            noise_generator=bridge.make_generator(noise, device),
            autocast=torch.bfloat16 if self.dtype == "bfloat16" else None,
            callbacks=[*copy.deepcopy(self.callbacks or []), *extra],
            verbose=int(self.verbose),
            device=str(device),
        )

    def _stopping(self) -> list[tuple[str, BestWeights]]:
        """Return the rule that ends training before `max_iter`, where there is one.

        A one-cycle schedule is made for its number of epochs: only held-out rows may
        cut it short.
        """
        if self.early_stopping:
            monitor = "valid"
        elif self.learning_rate == "constant" or self.solver == "lbfgs":
            monitor = "train"
        else:
            return []
        rule = BestWeights(
            monitor, self.tol, self.n_iter_no_change, restore=self.early_stopping
        )
        return [("stopping", rule)]

    def _epoch_hook(self, context: Any, X: Any, y: Any, units: Units) -> EpochHook:
        """Return what tells scikit-learn's callbacks of each epoch."""
        tasks: list[Any] = []

        def begin(net: AutoencoderNet) -> None:
            tasks.append(context.subcontext(task_name="epoch"))
            tasks[-1].call_on_fit_task_begin(estimator=self, X=X, y=y)

        def end(net: AutoencoderNet) -> bool:
            def fitted() -> dict[str, Any]:
                return {
                    "module_": net.module_,
                    "_units": units,
                    "n_components_": net.module_.n_components,
                    "device_": str(net.device),
                    "_fitted_dtype": self.dtype,
                }

            return bool(
                tasks[-1].call_on_fit_task_end(
                    estimator=self, X=X, y=y, reconstruction_attributes=fitted
                )
            )

        return EpochHook(begin, end)

    # -- what training is made of -------------------------------------------------

    @property
    def _torch_dtype(self) -> torch.dtype:
        return torch.float64 if self.dtype == "float64" else torch.float32

    def _advance_seed(self, resume: bool) -> None:
        """Give every training its own seed; numpy's global state stays untouched."""
        if resume:
            self._n_trainings += 1
            return
        self._n_trainings = 0
        if self.random_state is None:
            self._seed = int(np.random.SeedSequence().generate_state(1)[0])
        elif isinstance(self.random_state, np.random.RandomState):
            self._seed = int(self.random_state.randint(2**31))
        else:
            self._seed = int(self.random_state)

    def _split(
        self, n_samples: int, seed: int, streaming: bool
    ) -> tuple[NDArray[np.intp] | None, NDArray[np.intp] | None]:
        """Return the rows to train and to validate on; None is all, or none."""
        if not self.early_stopping or streaming:
            return None, None
        n_valid = max(1, round(self.validation_fraction * n_samples))
        if n_valid >= n_samples:
            raise ValueError(
                f"early_stopping=True with validation_fraction="
                f"{self.validation_fraction} leaves nothing to train on: "
                f"X has {n_samples} sample{'s' * (n_samples != 1)}."
            )
        order = np.random.default_rng(seed).permutation(n_samples)
        return np.sort(order[n_valid:]), np.sort(order[:n_valid])

    def _resolve_batch_size(self, n_rows: int) -> int:
        size = self.batch_size
        return min(128, n_rows) if size == "auto" else min(int(size), n_rows)

    def _standardizes(self) -> bool:
        return bool(self.standardize) and self.loss not in ("log_loss", "poisson")

    def _uses_linear_path(self) -> bool:
        """Resolve ``linear_path``; raise where it is asked for and cannot be had."""
        obstacles = {
            "loss": self.loss != "squared_error",
            "hidden_layer_sizes": len(self.hidden_layer_sizes) == 0,
            "code_activation": self.code_activation != "identity",
            "output_activation": self.output_activation not in ("auto", "identity"),
            "tied_weights": bool(self.tied_weights),
            "standardize": not self.standardize,
        }
        blocked = [name for name, blocks in obstacles.items() if blocks]
        if isinstance(self.linear_path, str):
            return self._has_linear_path and not blocked
        if self.linear_path and blocked:
            raise ValueError(
                f"linear_path=True cannot be had with {blocked[0]}="
                f"{getattr(self, blocked[0])!r}: it needs squared error, a hidden "
                "layer, identity at code and output, free weights, standardize=True."
            )
        return bool(self.linear_path)

    def _validate(self, X: Any, *, reset: bool) -> Any:
        """Return X as an array or CSR that the bridge can read, or raise."""
        X = bridge.as_array(X)
        X = validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr" if self._accept_sparse else False,
            dtype=None if bridge.is_native(X) else [np.float64, np.float32],
        )
        if self.dtype != "float64":
            bridge.check_float32_range(X)
        return bridge.canonical(X)

    # -- using the fit ------------------------------------------------------------

    def _apply(self, function: Any, X: Any, units: Units | None = None) -> Any:
        return bridge.apply(
            function,
            X,
            self._units if units is None else units,
            next(self.module_.parameters()).dtype,
            next(self.module_.parameters()).device,
            self.module_.width,
        )

    def transform(self, X: Any) -> NDArray[Any]:
        """Encode the rows of X, without noise.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            The codes, in the dtype of the computation.
        """
        check_is_fitted(self, "module_")
        return self._apply(self.module_.encode, self._validate(X, reset=False))

    def inverse_transform(self, X: Any) -> NDArray[Any]:
        """Decode codes to rows in the units of the training data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, as `transform` returns them.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self, "module_")
        codes = check_array(bridge.as_array(X), dtype=[np.float64, np.float32])
        if codes.shape[1] != self.n_components_:
            raise ValueError(
                f"X has {codes.shape[1]} features, but {type(self).__name__} is "
                f"expecting {self.n_components_} features as input."
            )
        if self._fitted_dtype != "float64":
            bridge.check_float32_range(codes)
        return self._apply(
            lambda z: self._units.to_data(self.module_.decode(z)), codes, Units()
        )

    def reconstruct(self, X: Any) -> NDArray[Any]:
        """Encode and decode: X̂ in the units of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Dense, also for sparse X.
        """
        check_is_fitted(self, "module_")

        def both(x: torch.Tensor) -> torch.Tensor:
            return self._units.to_data(self.module_.decode(self.module_.encode(x)))

        return self._apply(both, self._validate(X, reset=False))

    def reconstruction_error(self, X: Any, per_feature: bool = False) -> NDArray[Any]:
        """Return how far each row is from its reconstruction.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        per_feature : bool, default=False
            Whether to return each entry's error in place of each row's mean.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_features)
            (x − x̂)² for squared error, |x − x̂| for absolute error, in the units of
            X; nats for log loss and Poisson.
        """
        check_is_fitted(self, "module_")
        X = self._validate(X, reset=False)
        self._check_values(X)
        module, scale = self.module_, self._units.scale

        def errors(x: torch.Tensor) -> torch.Tensor:
            return module.errors(bridge.Batch(x, x), scale, per_feature)

        return self._apply(errors, X)

    def score_samples(self, X: Any) -> NDArray[Any]:
        """Return minus the reconstruction error of each row: higher is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            The mean over features, of the clean rows and without penalties, so that
            it compares across penalties and noise levels, and with PCA.
        """
        return -self.reconstruction_error(X)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`, so a grid search needs no scoring.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        float
        """
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    def sample(self, n_samples: int = 1, random_state: Any = None) -> NDArray[Any]:
        """Decode draws from a density that was fitted to the training codes.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState or None, default=None

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            In the units of the training data.
        """
        check_is_fitted(self, "module_")
        if not Interval(int, 1, None).allows(n_samples):
            raise ValueError(
                "The 'n_samples' parameter of sample must be an int in the range "
                f"[1, inf). Got {n_samples!r} instead."
            )
        density = copy.copy(self.density_)
        density.random_state = (
            np.random.RandomState(np.random.SeedSequence().generate_state(1))
            if random_state is None
            else check_random_state(random_state)
        )
        codes, _ = density.sample(int(n_samples))
        return self.inverse_transform(codes)

    def _fit_density(self, X: Any) -> GaussianMixture:
        """Fit a Gaussian to the codes of some training rows, for `sample`."""
        if X.shape[0] > DENSITY_ROWS:
            rng = np.random.default_rng(self._seed)
            X = X[np.sort(rng.choice(X.shape[0], DENSITY_ROWS, replace=False))]
        codes = self._apply(self.module_.encode, X).astype(np.float64)
        if len(codes) == 1:
            codes = np.repeat(codes, 2, axis=0)
        spread = float(codes.var(axis=0).max()) or 1.0
        return GaussianMixture(
            covariance_type="full" if self.n_components_ <= 64 else "diag",
            reg_covar=1e-6 * spread,
            init_params="random",
            random_state=0,
        ).fit(codes)

    # -- fitted attributes --------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    @property
    def n_iter_(self) -> int:
        """Number of epochs trained."""
        return len(self.loss_curve_)

    @property
    def loss_curve_(self) -> list[float]:
        """Objective on the training rows, by epoch, in nats per sample."""
        check_is_fitted(self, "module_")
        return self.history_["train_loss"].tolist()

    @property
    def validation_loss_curve_(self) -> list[float] | None:
        """Objective on held-out rows, by epoch; None without early stopping."""
        check_is_fitted(self, "module_")
        curve = self.history_.get("valid_loss")
        return None if curve is None else curve.tolist()

    @property
    def loss_(self) -> float:
        """Objective on the training rows in the last epoch."""
        return self.loss_curve_[-1]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._accept_sparse
        tags.transformer_tags.preserves_dtype = []
        return tags

    # -- persistence --------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        kept = dict(super().__getstate__())
        module = kept.pop("module_", None)
        kept.pop("net_", None)
        if module is not None:
            kept["_weights"] = state.weights(module)
            kept["_checksum"] = state.checksum(self._learned(kept))
        return kept

    def __setstate__(self, kept: Mapping[str, Any]) -> None:
        kept = dict(kept)
        arrays, checksum = kept.pop("_weights", None), kept.pop("_checksum", None)
        super().__setstate__(kept)
        if arrays is None:
            return
        if state.checksum(self._learned({**kept, "_weights": arrays})) != checksum:
            raise ValueError(
                f"This {type(self).__name__} was damaged on its way: what was learned "
                "does not match its checksum."
            )
        if self.device_ not in bridge.available_devices():
            warnings.warn(
                f"This {type(self).__name__} was fitted on {self.device_!r}, which is "
                "not available here; it will compute on the CPU.",
                stacklevel=2,
            )
            self.device_ = "cpu"
        device = torch.device(self.device_)
        dtype = torch.float64 if self._fitted_dtype == "float64" else torch.float32
        module = self._module_class(
            **self._config,
            generator=bridge.make_generator(0, torch.device("cpu")),
            dtype=dtype,
        )
        state.load_weights(module, arrays)
        self.module_ = module.to(device)
        self.net_ = self._new_net(
            self.module_,
            device,
            streaming=True,
            n_rows=1,
            rows_valid=None,
            streams=[0, 0],
            extra=[],
        ).initialize()

    @staticmethod
    def _learned(kept: Mapping[str, Any]) -> dict[str, Any]:
        """Return the part of the state that a checksum covers."""
        names = ("_weights", "_units", "_config", "_optimizer_state", "_seed")
        names += ("n_features_in_", "n_components_", "history_", "_fitted_dtype")
        return {name: kept.get(name) for name in names}


@contextmanager
def _all_or_nothing(estimator: Any) -> Iterator[None]:
    """Put the estimator back as it was if what follows fails or is interrupted."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        # scikit-learn's callbacks are still to be torn down, after us
        ongoing = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")
        after = vars(estimator)
        keep = {name: after[name] for name in ongoing if name in after}
        after.clear()
        after.update({**before, **keep})
        raise
