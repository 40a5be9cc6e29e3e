"""One training: from an estimator's parameters and its rows to what `fit` leaves.

`train` reads the estimator and returns its new fitted attributes. It changes nothing,
so a training that fails or is interrupted leaves the earlier fit whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from sklearn_ae.engine import density, inputs
from sklearn_ae.engine.callbacks import check_callbacks, check_patterns
from sklearn_ae.engine.epochs import epoch_hook, history, rounds
from sklearn_ae.engine.fit import Fit, FittedNetwork
from sklearn_ae.engine.given import Given, n_counted, of_some, split, with_weights
from sklearn_ae.engine.labels import Supervision, places_of
from sklearn_ae.engine.module import Blank, CodingModule, compute_dtype
from sklearn_ae.engine.net import AutoencoderNet
from sklearn_ae.engine.notices import diverged, warn_user
from sklearn_ae.engine.optimizers import make_net
from sklearn_ae.engine.request import Request
from sklearn_ae.engine.resuming import next_seed, seeds_of, take_over
from sklearn_ae.engine.rows import Rows
from sklearn_ae.engine.stopping import EpochHook
from sklearn_ae.engine.streams import Stream
from sklearn_ae.engine.surroundings import learning
from sklearn_ae.engine.tensors import resolve_device
from sklearn_ae.engine.threads import suited_threads
from sklearn_ae.engine.trial import GAUSSIAN_ROWS, are_sound, try_out
from sklearn_ae.engine.weights import HeldOut, scaled

__all__ = ["StreamOf", "run", "train"]

#: Function that yields what a function of tensors of rows gives, by chunks of the rows
#: of X, and how much each of these counts.
StreamOf = Callable[[Callable[[torch.Tensor], torch.Tensor]], Iterator[Any]]

#: The user's density is fitted to the codes of at most this many rows.
DENSITY_ROWS = 20000


def train(estimator: Any, request: Request) -> dict[str, Any]:
    """Train for `max_iter` epochs, or make one pass where rows come in a stream.

    Parameters
    ----------
    estimator : BaseAutoencoder
        Estimator whose parameters are read; where training goes on, its fit too.
    request : Request

    Returns
    -------
    dict
        Fitted attributes.

    Raises
    ------
    ValueError
        If the device is not there, or training diverges.
    """
    training = _Training(estimator, request)
    training.plan()
    with learning():
        training.begin()
        training.hand_out()
        training.run()
    return training.finish()


class _Training:
    """The five steps of a training; each sets what the later ones read."""

    def __init__(self, estimator: Any, request: Request) -> None:
        self.estimator, self.request = estimator, request
        self.X, self.weight = request.X, request.weight
        self.earlier: Fit | None = estimator._fit if request.resume else None
        self.supervision = Supervision()
        self.streaming = request.context is None  # one pass over the rows

    # -- 1

    def plan(self) -> None:
        """Decide device, seeds and held-out rows; raise for what is not supported."""
        estimator, request, X = self.estimator, self.request, self.X
        self.device = resolve_device(estimator.device)
        self.dtype = compute_dtype(estimator.dtype)
        self.seed, self.n_trainings = next_seed(estimator.random_state, self.earlier)
        self.draw, *self.streams = seeds_of(self.seed, self.n_trainings)
        held = request.held_out is not None
        self.train_rows, self.valid_rows = split(
            estimator, X.shape[0], self.seed, self.streaming or held
        )
        _check_device(self.device, estimator.dtype, X)
        if request.steps:
            check_callbacks(
                estimator.callbacks,
                held_out=held or self.valid_rows is not None,
                streaming=self.streaming,
                solver=estimator.solver,
            )
        self.has_missing = self._is_missing_in(X)
        if self.has_missing and not request.resume:
            inputs.check_every_feature_observed(X, self.train_rows)

    def _is_missing_in(self, X: Any) -> bool:
        return bool(self.estimator._accept_nan and inputs.has_missing(X))

    # -- 2

    def begin(self) -> None:
        """Build the module, and bring it to where training starts or goes on."""
        estimator, request, earlier = self.estimator, self.request, self.earlier
        if request.steps:
            self.supervision = estimator._labels(self.X, request.y, request.resume)
        self.labels = self.supervision.labels
        self.asked = estimator._asked()
        self.module = self._built(self.draw)
        if earlier is not None:
            take_over(self.module, self.asked, earlier)
        self._take_from_stream()
        self.n_counted, self.n_learned = (
            n_counted(self.X.shape[0], self.weight, subset)
            for subset in (None, self.train_rows)
        )
        if self.weight is not None and (self.weight == self.weight[0]).all():
            self.weight = None  # up to a factor
        self.counted = self.weight
        if self.weight is not None:
            self.weight = scaled(self.weight)
        self.start = estimator._start()
        if earlier is not None and not self.begins:
            units = earlier.units
        else:
            units = self.start.begin(
                estimator, self.module, self.X, self.draw, self.train_rows, self.weight
            )
        units = units.giving(self.X.dtype)
        if earlier is not None:
            units = units.giving(earlier.units.rows_dtype)
        self.units = units

    def _built(self, seed: int) -> CodingModule:
        n_classes, n_features = self.supervision.n_classes, self.X.shape[1]
        blank = Blank.seeded(n_features, self.estimator.dtype, seed, n_classes)
        return blank.build(self.estimator._module)

    def _take_from_stream(self) -> None:
        """Tell whether training begins with these rows, those kept before included.

        Sets `begins`, `continued` (whether earlier rows count besides these) and
        `stream`.
        """
        estimator, request, earlier = self.estimator, self.request, self.earlier
        self.begins = earlier is None
        self.continued = self.streaming and request.resume
        stream = None if earlier is None else earlier.stream
        if self.begins:
            stream = Stream.begun(
                self.X,
                self.labels,
                estimator.loss,
                self.module.n_components,
                self.draw,
                by_fit=not (self.streaming and request.steps),
                weight=self.weight,
            )
        elif self.continued and stream is not None:
            self.X, self.labels, self.weight, self.begins, stream = stream.take(
                self.X, self.labels, self.draw, self.weight
            )
        elif stream is not None:
            stream = stream.as_fitted()
        self.stream = stream
        if self.begins and request.resume:
            self.continued = False
            self.has_missing = self._is_missing_in(self.X)
            self.draw = seeds_of(self.seed, 0)[0]  # the weights that it began with
            self.module = self._built(self.draw)

    # -- 3

    def hand_out(self) -> None:
        """Make rows to learn from and to judge by, and relate them to each other."""
        estimator, request = self.estimator, self.request
        given = Given(self.X, self.labels, self.weight, self.has_missing)
        train_rows, valid_rows = self.train_rows, self.valid_rows
        judged, related = None, False
        if request.steps:
            of_all = self.X, self.labels, None, self.draw, self.weight
            related = estimator._relate(*of_all) is not None
        if request.held_out is not None:
            self.units.check_rows(request.held_out.X)
            judged = self._judged(request.held_out)
        if judged is not None and related:  # they are related to these
            train_rows, valid_rows, given = given.with_rows(judged)
            judged = None
        where = self.units, self.dtype, self.device
        self.given, self.rows = given, given.rows(*where, train_rows)
        if self.begins:
            self.module.start_from_rows(self.rows)
        self.rows_valid = None
        if valid_rows is not None:
            self.rows_valid = given.rows(*where, valid_rows)
        if judged is not None:
            self.rows_valid = judged.rows(*where, None)
        if request.steps:
            self._relate(None)

    def _judged(self, held_out: HeldOut) -> Given:
        """Return the rows to judge by, with labels where the rows of X have some."""
        X, places = held_out.X, None
        if self.labels is not None and held_out.y is not None:
            found = self.supervision.attributes
            read_as = found["_unlabeled"], found["_seen_classes"]
            places = places_of(held_out.y, X, *read_as)
        missing = self._is_missing_in(X)
        return Given(X, places, held_out.scaled_weight, missing)

    def _relate(self, codes: NDArray[Any] | None) -> None:
        """Relate rows to each other, by their codes where there are some."""
        given = self.given
        relations = self.estimator._relate(
            given.X, given.labels, codes, self.draw, given.weight
        )
        if relations is None:
            return
        self.rows.relations = relations(self.rows, False)
        if self.rows_valid is not None:
            self.rows_valid.relations = relations(self.rows_valid, True)

    def _relate_again(self) -> None:
        codes = self._network().encode(self.given.X)
        if not are_sound(codes):
            raise diverged(self.net.lr)
        self._relate(codes)

    # -- 4

    def run(self) -> None:
        """Make the net, and the steps."""
        estimator, request, earlier = self.estimator, self.request, self.earlier
        n_before = 0
        if self.continued and earlier is not None:
            n_before = earlier.code_moments[0]
        self.net = make_net(
            estimator,
            self.module,
            self.device,
            start=self.start,
            kind=estimator._net_class,
            n_rows=len(self.rows),
            n_seen=self.n_learned + n_before,
            n_features=self.X.shape[1],
            streaming=self.streaming,
            streams=self.streams,
            mixed=estimator.dtype == "bfloat16",
        )
        if not request.steps:
            self.net.initialize()
            return
        moments = None
        if earlier is not None and not self.begins:
            same_solver = earlier.asked["solver"] == estimator.solver
            moments = earlier.optimizer_moments if same_solver else None
        hook = [
            *epoch_hook(estimator, request.context, self.X, request.y, self._so_far),
            *rounds(estimator._n_rounds, self._relate_again),
        ]
        run(self.net, self.rows, self.rows_valid, hook=hook, moments=moments)

    def _network(self) -> FittedNetwork:
        module, estimator = self.net.module_, self.estimator
        return FittedNetwork(module, self.units, estimator.dtype, estimator.loss)

    def _fit(
        self,
        moments: density.Moments,
        drawn_from: Any,
        optimizer_moments: Mapping[str, NDArray[Any]] | None,
    ) -> Fit:
        before = {} if self.earlier is None else self.earlier.history
        return Fit(
            self.net.module_,
            self.units,
            self.estimator.dtype,
            self.estimator.loss,
            asked=self.asked,
            history=history(self.net, before),
            code_moments=moments,
            density=drawn_from,
            stream=self.stream,
            seed=self.seed,
            n_trainings=self.n_trainings,
            optimizer_moments=optimizer_moments,
        )

    def _so_far(self) -> dict[str, Any]:
        """Return what a fit would leave after this epoch, for callbacks.

        It has neither the user's density nor the optimizer's moments.
        """
        moments, _ = self._code_moments(may_be_full=False)
        return {**self._known(), "_fit": self._fit(moments, None, None)}

    def _known(self) -> dict[str, Any]:
        return {**self.request.known, **self.supervision.attributes}

    # -- 5

    def finish(self) -> dict[str, Any]:
        """Return the fitted attributes, if what was learned makes sense."""
        estimator, earlier = self.estimator, self.earlier
        moments, codes = self._code_moments(may_be_full=True)
        drawn_from = None
        if self.continued and earlier is not None:
            moments = density.merged_moments(earlier.code_moments, moments)
            drawn_from = earlier.density
        if drawn_from is None:
            drawn_from = self._density(codes)
        network = self._network()

        def stream_of(function: Callable[[torch.Tensor], torch.Tensor]) -> Any:
            return with_weights(network.iterate(function, self.X), self.weight)

        goes_on = self.streaming or estimator.warm_start
        keeps = goes_on and estimator.solver != "lbfgs"
        kept = self.net.optimizer_moments() if keeps else None
        extras = estimator._fitted_extras(network.module, stream_of, self.continued)
        fit = self._fit(moments, drawn_from, kept)
        return {**self._known(), **extras, "_fit": fit, "_net": self.net}

    def _code_moments(self, may_be_full: bool) -> tuple[density.Moments, NDArray[Any]]:
        """Return the moments of the codes, and codes of up to `GAUSSIAN_ROWS` rows."""
        codes = try_out(self._network(), self.X, self.draw, self.net.lr)
        weight = of_some(self.weight, self.X.shape[0], self.draw, GAUSSIAN_ROWS)
        n_bytes = sum(p.nbytes for p in self.module.parameters())
        full = may_be_full and 8 * codes.shape[1] ** 2 <= n_bytes
        return density.code_moments(self.n_counted, codes, full, weight), codes

    def _density(self, codes: NDArray[Any]) -> Any:
        """Return the user's density, fitted to the codes; None without one."""
        n_rows, draw, most = self.X.shape[0], self.draw, GAUSSIAN_ROWS
        if self.estimator.density is not None and n_rows > GAUSSIAN_ROWS:
            most = DENSITY_ROWS
            some = self.X[inputs.some_rows(n_rows, draw, most)]
            codes = self._network().encode(some)
            if not are_sound(codes):
                raise diverged(self.net.lr)
        weight = of_some(self.counted, n_rows, draw, most)
        return density.fitted(self.estimator.density, codes, draw, weight)


def run(
    net: AutoencoderNet,
    rows: Rows,
    rows_valid: Rows | None,
    *,
    hook: list[tuple[str, EpochHook]],
    moments: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Train a net's module on rows, and release them.

    Parameters
    ----------
    net : AutoencoderNet
    rows, rows_valid : Rows
        Rows to learn from, and rows to judge by, where there are any.
    hook : list
        Callbacks that `epoch_hook` returned.
    moments : mapping
        Moments of the optimizer, from the training that this one goes on from.
    """
    net.rows_valid = rows_valid
    net.callbacks = [*net.callbacks, *hook]
    net.initialize()
    check_patterns(net.callbacks, net.names_in(net.module_))
    if moments:
        net.load_optimizer_moments(moments)
    with suited_threads(net.batch_size * net.module_.n_multiplications):
        net.partial_fit(rows)
    net.forget_data()
    _warn_unless_converged(net)


def _warn_unless_converged(net: AutoencoderNet) -> None:
    cut_short = len(net.history) < net.max_epochs
    if net.stopping is None or cut_short or net.schedule == "one_cycle":
        return
    warn_user(
        f"Maximum number of epochs (max_iter={net.max_epochs}) reached before training "
        "converged. Raise max_iter or tol.",
        ConvergenceWarning,
    )


def _check_device(device: torch.device, dtype: str, X: Any) -> None:
    """Raise ValueError for what the device cannot compute."""
    if device.type == "mps" and (dtype == "float64" or inputs.is_sparse(X)):
        what = "sparse X" if inputs.is_sparse(X) else "dtype='float64'"
        raise ValueError(
            f"The 'device' parameter chose 'mps', which cannot compute with {what}. "
            "Use device='cpu'."
        )
