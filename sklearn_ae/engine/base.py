"""What every autoencoder answers: scikit-learn's contract, written once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.mixture import GaussianMixture
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from sklearn_ae.engine import bridge, inputs, persistence, training
from sklearn_ae.engine.bridge import Units
from sklearn_ae.engine.net import AutoencoderNet
from sklearn_ae.engine.parameters import SharedParameters
from sklearn_ae.engine.params import Interval

__all__ = ["BaseAutoencoder"]


class BaseAutoencoder(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    CallbackSupportMixin,
    SharedParameters,
    BaseEstimator,
):
    """Shared parameters, training, validation, persistence.

    A method derives from it, names its torch module in ``_module_class`` and says in
    ``_module_config`` what to build it from. The module answers (all in the network's
    units, see `sklearn_ae.engine.bridge.Units`):

    - ``encode(x)``, ``decode(z)``, ``reconstruct(x)``;
    - ``loss(batch, generator)``: named scalar terms in nats; noise only from
      `generator`;
    - ``errors(batch, units, per_feature)``: each row's mean (or each entry's)
      reconstruction error in the units of the data;
    - ``begin_at(start)``: take over a `LinearStart`, where it has a linear path;
    - ``begin_epoch(progress)``: set what changes in the course of training, and
      ``settled``: whether it has come to its end;
    - ``width``: of its widest layer; ``n_products``: multiplications of a row's forward
      pass, about.

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
    device_ : str
        Where the network is.
    density_ : GaussianMixture
        Of the training codes, for `sample`.
    module_ : torch.nn.Module
    net_ : skorch.NeuralNet
    """

    _module_class: ClassVar[Any]
    #: Which of the rows of X a method takes, beside dense ones.
    _accept_sparse: ClassVar[bool] = True
    #: Whether NaN in dense rows is a missing value.
    _accept_nan: ClassVar[bool] = False
    #: Whether ``linear_path="auto"`` may switch the linear path on.
    _has_linear_path: ClassVar[bool] = False
    #: What ``learning_rate_init="auto"`` is for "adam" and "one_cycle" without one.
    _peak_learning_rate: ClassVar[float] = 3e-3
    #: What the objective hangs on, beside the shapes of the weights: training cannot go
    #: on with another value of these entries of ``_module_config``.
    _fixed: ClassVar[tuple[str, ...]] = (
        "loss",
        "activation",
        "code_activation",
        "output_activation",
    )

    __repr__ = BaseEstimator.__repr__

    # -- what a method says -------------------------------------------------------

    def _module_config(self, n_features: int) -> dict[str, Any]:
        """Return the keyword arguments to build the module from, all plain values."""
        raise NotImplementedError

    def _check_values(self, X: Any, loss: str) -> None:
        """Raise ValueError for rows that the objective is not defined on."""

    def _describe(self, module: Any, over: training.Over) -> dict[str, Any]:
        """Return fitted attributes that need one more pass over the rows of X.

        ``over(function)`` yields the arrays that a function of tensors of rows gives.
        """
        return {}

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
        epochs = None if isinstance(self.max_iter, str) else int(self.max_iter)
        context = self._init_callback_context(max_subtasks=epochs)
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
        mine = self.__dict__
        seen = {name: mine[name] for name in _INPUT if name in mine}
        try:
            X = self._validate(X, reset=not resume)
            self._check_values(X, self.loss)
            fitted = training.train(self, X, y, resume=resume, context=context)
        except BaseException:  # an interrupt too: the earlier fit stays whole
            for name in _INPUT:
                mine.pop(name, None)
            mine.update(seen)
            raise
        mine.update(fitted)

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
        X = inputs.as_array(X)
        allow_nan = self._accept_nan and not inputs.is_sparse(X)
        if self._accept_nan and not allow_nan and inputs.has_missing(X.tocsr().data):
            raise ValueError(
                f"Input X contains NaN. {type(self).__name__} takes missing values in "
                "dense X alone."
            )
        X = validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr" if self._accept_sparse else False,
            dtype=None if inputs.is_native(X) else [np.float64, np.float32],
            ensure_all_finite="allow-nan" if allow_nan else True,
        )
        if (self.dtype if reset else self._fitted_dtype) != "float64":
            inputs.check_float32_range(X)
        return inputs.canonical(X)

    # -- using the fit ------------------------------------------------------------

    def _apply(
        self,
        function: Callable[[Tensor], Tensor],
        X: Any,
        units: Units | None = None,
        width: int | None = None,
    ) -> NDArray[Any]:
        """Return `function` of X by chunks; `width` is of what it holds for a row."""
        units, dtype, device, widest = self._where(units)
        return bridge.apply(function, X, units, dtype, device, width or widest)

    def _stream(
        self, function: Callable[[Tensor], Tensor], X: Any
    ) -> Iterator[NDArray[Any]]:
        return bridge.stream(function, X, *self._where(None))

    def _where(self, units: Units | None) -> tuple[Any, ...]:
        """Return units, dtype, device and width, as the bridge takes them."""
        weight = next(self.module_.parameters())
        units = self._units if units is None else units
        return units, weight.dtype, weight.device, self.module_.width

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
        X : {array-like, sparse matrix} of shape (n_samples, n_components)
            Codes, as `transform` returns them.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self, "module_")
        codes = check_array(
            inputs.as_array(X), accept_sparse="csr", dtype=[np.float64, np.float32]
        )
        if codes.shape[1] != self.n_components_:
            raise ValueError(
                f"X has {codes.shape[1]} features, but {type(self).__name__} is "
                f"expecting {self.n_components_} features as input."
            )
        if self._fitted_dtype != "float64":
            inputs.check_float32_range(codes)

        def decode(z: Tensor) -> Tensor:
            z = z.to_dense() if z.layout == torch.sparse_csr else z
            return self._units.to_data(self.module_.decode(z))

        return self._apply(decode, codes, Units())

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

        def both(x: Tensor) -> Tensor:
            return self._units.to_data(self.module_.reconstruct(x))

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
            (x − x̂)² for squared error, ``abs(x − x̂)`` for absolute error, in the units
            of X; nats for log loss and Poisson.
        """
        check_is_fitted(self, "module_")
        X = self._validate(X, reset=False)
        self._check_values(X, self._config["loss"])
        module, scale = self.module_, self._units.scale

        def errors(x: Tensor) -> Tensor:
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
        density = self.density_
        density.random_state = (
            np.random.RandomState(np.random.SeedSequence().generate_state(1))
            if random_state is None
            else check_random_state(random_state)
        )
        codes, _ = density.sample(int(n_samples))
        return self.inverse_transform(codes)

    # -- fitted attributes --------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    @property
    def net_(self) -> AutoencoderNet:
        """The skorch net around `module_`; after loading it is made anew."""
        check_is_fitted(self, "module_")
        if "_net" not in vars(self):
            self._net = training.make_net(
                self,
                self.module_,
                torch.device(self.device_),
                n_rows=1,
                n_seen=1,
                n_features=self.n_features_in_,
                linear_path=bool(self._config.get("linear_path")),
                streaming=True,
                streams=[0, 0],
            ).initialize()
        return self._net

    @property
    def density_(self) -> GaussianMixture:
        """A Gaussian with the mean and covariance of the training codes.

        Of codes so many that the covariance would outgrow the network, its diagonal.
        """
        check_is_fitted(self, "module_")
        _, mean, covariance = self._code_moments
        full = covariance.ndim == 2
        density = GaussianMixture(covariance_type="full" if full else "diag")
        density.weights_ = np.ones(1)
        density.means_, density.covariances_ = mean[None], covariance[None]
        if full:
            factor = np.linalg.inv(np.linalg.cholesky(covariance)).T
            density.precisions_ = np.linalg.inv(covariance)[None]
        else:
            factor = 1.0 / np.sqrt(covariance)
            density.precisions_ = 1.0 / covariance[None]
        density.precisions_cholesky_ = factor[None]
        return density

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
        tags.input_tags.allow_nan = self._accept_nan
        tags.transformer_tags.preserves_dtype = []
        return tags

    # -- persistence --------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return persistence.pack(super().__getstate__())

    def __setstate__(self, kept: Mapping[str, Any]) -> None:
        kept, arrays = persistence.unpack(kept, type(self).__name__)
        super().__setstate__(kept)
        if arrays is not None:
            self.module_ = persistence.restore(self, arrays)


#: What `validate_data` sets on an estimator.
_INPUT = ("n_features_in_", "feature_names_in_")
