"""How every autoencoder is fitted and kept: scikit-learn's contract, written once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from sklearn_ae.engine import inputs, packing
from sklearn_ae.engine.generation import FromOneFit
from sklearn_ae.engine.labels import Supervision
from sklearn_ae.engine.module import Blank, CodingModule
from sklearn_ae.engine.net import AutoencoderNet
from sklearn_ae.engine.optimizers import make_net
from sklearn_ae.engine.persistence import Persistent
from sklearn_ae.engine.request import Request
from sklearn_ae.engine.rows import Relations, Rows
from sklearn_ae.engine.shared_parameters import OF_TRAINING, NetworkParameters
from sklearn_ae.engine.sklearn_types import (
    BaseEstimator,
    CallbackSupportMixin,
    with_callbacks,
)
from sklearn_ae.engine.starts import StartsSomewhere
from sklearn_ae.engine.surroundings import plain_torch
from sklearn_ae.engine.train import StreamOf, train
from sklearn_ae.engine.units import Units
from sklearn_ae.engine.weights import (
    HeldOut,
    check_counts,
    check_val,
    check_weight,
    named_rows,
    repeated,
    without_weightless,
)

__all__ = ["BaseAutoencoder"]

#: Losses that are the same, up to a factor, wherever rows are centred and scaled.
CENTRED = ("squared_error", "absolute_error")


class BaseAutoencoder(
    Persistent,
    FromOneFit,
    StartsSomewhere,
    CallbackSupportMixin,
    NetworkParameters,
    BaseEstimator,
):
    """Shared parameters, training, persistence.

    A method derives from it and builds its torch module in ``_module``, a
    `CodingModule`. What else it may say, in three levels:

    1. ``_penalties``, ``_corruption`` (of a `ComposedAutoencoder`) and
       ``_prior_codes``: terms on rows and codes, noise, and what codes are drawn from.
    2. ``_module``, ``_fitted_extras`` and ``_check_values``: the network and its
       objective, further fitted attributes, and which rows it takes.
    3. ``_labels``, ``_relate`` (with ``_n_rounds`` and ``_restores_rows``),
       ``_units_for`` and ``_net_class``: what is learned from y, which rows are
       trained together, other units, other steps.

    Attributes
    ----------
    n_components_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X; only if it has string column names.
    n_iter_ : int
        Number of epochs trained.
    loss_ : float
        Objective on the training rows in the last epoch, in nats per sample of what
        the network sees.
    loss_curve_ : list of float
        Objective on the training rows in each epoch.
    validation_loss_curve_ : list of float or None
        Objective on held-out rows in each epoch.
    history_ : dict of ndarray
        Terms of the objective by epoch: "train_reconstruction" and so on.
    device_ : str
        Name of the device of the network.
    density_ : estimator
        Density of the training codes: `density`, fitted to them, or a Gaussian.
    module_ : torch.nn.Module
    net_ : skorch.NeuralNet
    """

    #: Net that trains the module; a method with steps of its own derives one.
    _net_class: ClassVar[type[AutoencoderNet]] = AutoencoderNet

    _learned: ClassVar[tuple[str, ...]] = ("_fit", "n_features_in_")

    __repr__ = BaseEstimator.__repr__

    # -- what a method says -------------------------------------------------------

    def _module(self, blank: Blank) -> CodingModule:
        """Return the module with its initial weights."""
        raise NotImplementedError

    def _objective(self, loss: str) -> str:
        """Return the parameter, with its value, that chose `loss`."""
        return f"loss={loss!r}"

    def _labels(self, X: Any, y: Any, resume: bool) -> Supervision:
        """Return what a method that learns from y reads in it.

        With `resume` it is read as it was in the fit that training goes on from.
        """
        return Supervision()

    @property
    def _restores_rows(self) -> bool:
        """Whether each row is to be restored, and not others in its place."""
        return True

    def _relate(
        self,
        X: Any,
        labels: NDArray[np.intp] | None,
        codes: NDArray[Any] | None,
        seed: int,
        weight: NDArray[np.float64] | None = None,
    ) -> Callable[[Rows, bool], Relations | None] | None:
        """Return a function that relates rows to each other, for a method that does.

        `labels` are what `_labels` read; `codes` are those of X, in all rounds but the
        first (see `_n_rounds`); `weight` is how much each row counts. The function is
        called with the `Rows` to be handed out, and whether they are held out of
        training.
        """
        return None

    @property
    def _n_rounds(self) -> int:
        """Number of times that rows are related, the first time before training."""
        return 1

    def _units_for(
        self,
        X: Any,
        subset: NDArray[np.intp] | None,
        weight: NDArray[np.float64] | None = None,
    ) -> Units:
        """Return the network's units for the rows of X, without a linear path.

        `subset` numbers the rows to learn them from, all by default; `weight` is how
        much each row of X counts.
        """
        centred = self.loss in CENTRED
        return Units.of(X, subset, weight) if self.standardize and centred else Units()

    def _check_weights(self, weight: NDArray[np.float64]) -> None:
        """Raise ValueError for weights of rows that are not supported."""
        if self._repeats_rows is not None:
            check_counts(weight, self._repeats_rows)

    @property
    def _repeats_rows(self) -> str | None:
        """Parameter, with its value, for which rows are repeated as they count.

        By it rows are related to each other. None where rows are weighted instead.
        """
        return None

    @property
    def _judges_by_labels(self) -> bool:
        """Whether the loss of held-out rows needs their labels."""
        return False

    @property
    def _stops_early(self) -> bool:
        """Whether rows are held out to judge by."""
        return bool(self.early_stopping)

    #: What to set so that rows are held out.
    _judging_hint: ClassVar[str] = "Set early_stopping=True."

    def _fitted_extras(
        self, module: Any, stream_of: StreamOf, continued: bool
    ) -> dict[str, Any]:
        """Return fitted attributes that need one more pass over the rows of X.

        ``stream_of(function)`` yields the arrays that a function of tensors of rows
        gives, each with its rows' weights; `continued` says that there were rows before
        these, in a stream.
        """
        return {}

    # -- fitting ------------------------------------------------------------------

    @with_callbacks
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Fit the autoencoder to the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            Ignored, unless the method says what it learns from it.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row: one of weight 2 is two rows, one of weight 0 none.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Rows that `early_stopping` judges by, in place of some that are drawn from
            X: training then uses all of X.
        y_val : array-like of shape (n_val,), default=None
            Labels of X_val; only where the method judges by them.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weight of each row of X_val.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X is not finite, numeric and two-dimensional, if a parameter is out of
            its domain, if weights are negative, all zero or not supported, if there is
            X_val with early_stopping=False, or if training diverges. An earlier fit
            then stays as it was.
        """
        self._check_params()
        val = check_val(self, X_val, y_val, sample_weight_val)
        epochs = None if isinstance(self.max_iter, str) else int(self.max_iter)
        context = self._init_callback_context(max_subtasks=epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        resume = bool(self.warm_start) and "_fit" in vars(self)
        self._train(
            X, y, resume=resume, context=context, sample_weight=sample_weight, val=val
        )
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Make one pass over the rows of X, from where training was left.

        For data that comes in a stream, in chunks of any size. The learning rate stays
        at `learning_rate_init`. The first 100 rows (or as many as `n_components`, if
        that is more) settle the units, the scale of each feature and the start at PCA.
        While fewer have come, or all of them are equal, they are kept in the estimator,
        and each call trains from the beginning on all of them. Once there are enough
        they are dropped, and later calls go on from the weights.

        A UserWarning says that most rows of X are unlike the rows that training began
        with. Training begins again, at the present rows, once more rows of the stream
        were unlike them than like them. It does not if it began with `fit`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            Ignored, unless the method says what it learns from it.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, relative to the others of the call.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As from `fit`; or if X has other features than in the calls before.
        """
        self._check_params()
        resume = "_fit" in vars(self)
        self._train(X, y, resume=resume, context=None, sample_weight=sample_weight)
        return self

    def _train(
        self,
        X: Any,
        y: Any,
        *,
        resume: bool,
        context: Any,
        steps: bool = True,
        sample_weight: Any = None,
        val: HeldOut | None = None,
    ) -> None:
        known: dict[str, Any] = {}
        if resume:
            X = self._validate(X, reset=False)
        else:
            X, known = self._taken_in(X, like=self)
        weight = check_weight(sample_weight, X)
        if weight is not None:
            self._check_weights(weight)
            X, y, weight = without_weightless(X, y, weight)
        if weight is not None and self._repeats_rows is not None:
            X, y, weight = repeated(X, y, weight)
        self._check_values(X, self.loss)
        self._check_size(X)
        held_out = None if val is None else self._held_out(val, known)
        stream = self._fit.stream if resume else None
        young = context is None and stream is not None and stream.is_young
        if resume and not young:
            self._fit.units.check_rows(X)
        request = Request(X, y, resume, context, steps, known, weight, held_out)
        self._become(train(self, request))

    def _asked(self) -> dict[str, Any]:
        """Return copies of the parameters that the network is built from."""
        names = [name for name in self._get_param_names() if name not in OF_TRAINING]
        return {name: clone(getattr(self, name), safe=False) for name in names}

    def _as_asked(self, asked: Mapping[str, Any]) -> Self:
        """Return an unfitted estimator with the parameters of a fit."""
        double = object.__new__(type(self))
        names = self._get_param_names()
        double.__dict__.update({name: getattr(self, name) for name in names})
        double.__dict__.update(asked)
        return double

    def _check_params(self) -> None:
        super()._check_params()
        centred = self.standardize and self.loss in CENTRED
        if centred and self.output_activation == "softmax":
            raise ValueError(
                "output_activation='softmax' is not supported with "
                f"standardize=True and {self._objective(self.loss)}: it gives shares "
                "that sum to 1, which centred and scaled rows do not. Use "
                "loss='multinomial' for counts, or standardize=False for rows that sum "
                "to 1."
            )

    def _held_out(self, val: HeldOut, known: Mapping[str, Any]) -> HeldOut:
        """Return the rows to judge by, checked and read as those of X are."""
        held_out = val.read(self, known, like=self)
        if held_out.weight is None or self._repeats_rows is None:
            return held_out
        with named_rows("sample_weight_val"):
            check_counts(held_out.weight, self._repeats_rows)
        return HeldOut(*repeated(held_out.X, held_out.y, held_out.weight))

    def _check_size(self, X: Any) -> None:
        """Raise ValueError for rows whose squares, as the network sees them, overflow.

        Rows that it sees in units of their standard deviation do not, in float32.
        """
        centred, precise = self.loss in CENTRED, self.dtype == "float64"
        as_they_are = not (self.standardize and centred)
        codes = isinstance(X, inputs.LazyRows)  # these are no larger
        if codes or not (as_they_are or precise):
            return
        size, limit = inputs.largest_size(X), 1e150 if precise else 1e15
        if not size > limit:  # it is NaN where all values are missing
            return
        why = "standardize=False" if centred else self._objective(self.loss)
        ways = ["Scale X down"]
        if as_they_are and centred:
            ways.append("use standardize=True")
        if not precise and size <= 1e150:
            ways.append("use dtype='float64'")
        raise ValueError(
            f"X has values as large as {size:.2g}, which are not supported with "
            + (f"{why} and " if as_they_are else "")
            + f"dtype={self.dtype!r}: their squares overflow. "
            + f"{' or '.join(ways)}."
        )

    def _begin(self, X: Any, sample_weight: Any = None) -> Self:
        """Set the units of X and the initial weights, without a step of training."""
        self._check_params()
        self._train(
            X,
            None,
            resume=False,
            context=None,
            steps=False,
            sample_weight=sample_weight,
        )
        return self

    # -- fitted attributes --------------------------------------------------------

    @property
    def net_(self) -> AutoencoderNet:
        """The skorch net around `module_`; after loading it is made again."""
        check_is_fitted(self)
        if "_net" not in vars(self):
            fit = self._fit
            asked = self._as_asked(fit.asked)
            with plain_torch():
                self._net = make_net(
                    self,
                    fit.module,
                    fit.device,
                    start=asked._start(),
                    kind=self._net_class,
                    n_features=self.n_features_in_,
                    streaming=True,
                    streams=[0, 0],
                    mixed=fit.dtype == "bfloat16",
                ).initialize()
        return self._net

    # -- persistence --------------------------------------------------------------

    def _packed(self, kept: dict[str, Any]) -> dict[str, Any]:
        return packing.pack(self, kept)

    def _unpacked(self, kept: dict[str, Any]) -> dict[str, Any]:
        return packing.unpack(self, kept)

    def _check_learned(self, kept: Mapping[str, Any]) -> None:
        packing.check_autoencoder(self, kept)
