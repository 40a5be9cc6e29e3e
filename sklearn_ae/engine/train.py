"""One training: from an estimator's parameters and its rows to what `fit` leaves.

`train` reads the estimator and returns its new fitted attributes; it changes nothing,
so a training that fails or is interrupted leaves the earlier fit whole.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from sklearn_ae.engine import density, inputs, state
from sklearn_ae.engine.callbacks import check_callbacks, check_patterns, records
from sklearn_ae.engine.labels import places_of
from sklearn_ae.engine.net import AutoencoderNet
from sklearn_ae.engine.notices import diverged
from sklearn_ae.engine.optimizers import make_net
from sklearn_ae.engine.pca_start import linear_start
from sklearn_ae.engine.rows import Batch, Rows, compute_rows, stream_rows
from sklearn_ae.engine.stopping import EpochHook
from sklearn_ae.engine.streams import Stream, joined, stacked
from sklearn_ae.engine.surroundings import plain_torch
from sklearn_ae.engine.tensors import make_generator, resolve_device
from sklearn_ae.engine.threads import suited_threads
from sklearn_ae.engine.units import Units
from sklearn_ae.engine.weights import HeldOut, effective_rows, scaled

__all__ = [
    "StreamOf",
    "build_module",
    "compute_dtype",
    "epoch_hook",
    "history",
    "next_seed",
    "rounds",
    "run",
    "split",
    "train",
    "try_out",
    "with_weights",
]

#: Yields what a function of tensors of rows gives, by chunks of the rows of X, and how
#: much each of these counts.
StreamOf = Callable[[Callable[[torch.Tensor], torch.Tensor]], Iterator[Any]]

#: Rows from whose codes a Gaussian for ``sample`` is estimated, at most; and rows to
#: whose codes a density of the user's is fitted.
GAUSSIAN_ROWS, DENSITY_ROWS = 2000, 20000
#: Rows whose reconstruction is tried before a fit is called one, at most.
PROBE_ROWS = 256


def compute_dtype(dtype: str) -> torch.dtype:
    """Return what weights are held in for the `dtype` parameter."""
    return torch.float64 if dtype == "float64" else torch.float32


def build_module(
    kind: Any, config: Mapping[str, Any], dtype: torch.dtype, seed: int
) -> Any:
    """Return a new module, with initial weights drawn from `seed`."""
    generator = make_generator(seed, torch.device("cpu"))
    with plain_torch():
        return kind(**config, generator=generator, dtype=dtype)


def train(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    resume: bool,
    context: Any,
    steps: bool = True,
    known: Mapping[str, Any] | None = None,
    weight: NDArray[np.float64] | None = None,
    held_out: HeldOut | None = None,
) -> dict[str, Any]:
    """Train for `max_iter` epochs, or make one pass where there is no `context`.

    Parameters
    ----------
    estimator : BaseAutoencoder
        Its parameters are read; where `resume`, its fitted attributes too.
    X : ndarray or CSR of shape (n_samples, n_features)
        Validated rows.
    y : object
        For methods that learn from it, and for scikit-learn's callbacks.
    resume : bool
        Whether to go on from the estimator's fit.
    context : sklearn.callback.CallbackContext or None
    steps : bool
        Whether to train at all, or to leave the weights as they are to begin with.
    known : mapping, default=None
        What validation found of the features of X, fitted attributes too.
    weight : ndarray of shape (n_samples,) or None
        How much each row counts, more than nothing.
    held_out : HeldOut or None
        Rows to judge by, in place of some of X.

    Returns
    -------
    dict
        The fitted attributes.

    Raises
    ------
    ValueError
        If the device is not there, or training diverges.
    """
    streaming, solver = context is None, estimator.solver
    device = resolve_device(estimator.device)
    dtype = compute_dtype(estimator.dtype)
    continued = streaming and resume
    seed, n_trainings = next_seed(estimator, resume)
    draw, *streams = seeds_of(seed, n_trainings)
    held = held_out is not None
    train_rows, valid_rows = split(estimator, X.shape[0], seed, streaming or held)
    _check_device(device, estimator.dtype, X)
    if steps:
        check_callbacks(
            estimator.callbacks,
            held_out=held or valid_rows is not None,
            streaming=streaming,
            solver=solver,
        )
    has_missing = estimator._accept_nan and inputs.has_missing(X)
    if has_missing and not resume:
        inputs.check_every_feature_observed(X, train_rows)

    # whatever the caller is in
    with plain_torch(), torch.inference_mode(False), torch.enable_grad():
        labels, classes, of_classes = None, {}, {}
        if steps:
            labels, classes, of_classes = estimator._labels(X, y, resume)
        config = {**estimator._module_config(X.shape[1]), **of_classes}
        module = build_module(estimator._module_class, config, dtype, draw)
        if resume:
            _take_over(module, config, estimator)
        begins, seen = not resume, estimator._seen
        if begins:
            of_stream = (config["loss"], module.n_components, draw)
            by_fit = not (streaming and steps)
            seen = Stream.begun(X, labels, *of_stream, by_fit=by_fit, weight=weight)
        elif continued and seen is not None:
            X, labels, weight, begins, seen = seen.take(X, labels, draw, weight)
        elif seen is not None:
            seen = seen.as_fitted()
        if begins and resume:
            continued = False
            has_missing = estimator._accept_nan and inputs.has_missing(X)
            draw = seeds_of(seed, 0)[0]  # the weights that it began with before
            module = build_module(estimator._module_class, config, dtype, draw)
        n_counted, n_learned = (
            _n_counted(X.shape[0], weight, subset) for subset in (None, train_rows)
        )
        if weight is not None and (weight == weight[0]).all():
            weight = None  # up to a factor
        counted = weight
        if weight is not None:
            weight = scaled(weight)
        if not begins:
            units = estimator._units
        elif config.get("linear_path"):
            # layers that are linear may have to leave PCA: what it leaves says nothing
            own = estimator._restores_rows and module.has_hidden_units
            clean = own and config.get("corruption") is None
            corruption = config.get("corruption")
            noise = None if corruption is None else corruption.variance
            k = module.n_components
            start = linear_start(X, k, draw, train_rows, clean, own, noise, weight)
            units = start.units
            module.start_at_pca(start)
        else:
            units = estimator._units_for(X, train_rows, config, weight)
        units = units.giving(X.dtype)
        if resume:
            units = units.giving(estimator._units.rows_dtype)

        related = steps and estimator._relate(X, labels, None, draw, weight) is not None
        given = Given(X, labels, weight, has_missing)
        judged = None
        if held_out is not None:
            units.check_rows(held_out.X)
            judged = _judged(estimator, held_out, labels, classes)
        if judged is not None and related:  # then they are among each other
            train_rows, valid_rows, given = given.with_rows(judged)
            judged = None

        def rows_of(given: Given, subset: NDArray[np.intp] | None) -> Rows:
            known: Any = given.labels
            counts: Any = given.weight
            if subset is not None:
                known = None if known is None else known[subset]
                counts = None if counts is None else counts[subset]
            missing = given.has_missing
            return Rows(given.X, units, dtype, device, subset, missing, known, counts)

        rows = rows_of(given, train_rows)
        if begins:
            module.start_from_rows(rows)
        net = make_net(
            estimator,
            module,
            device,
            kind=estimator._net_class,
            n_rows=len(rows),
            n_seen=n_learned + (estimator._code_moments[0] if continued else 0),
            n_features=X.shape[1],
            linear_path=bool(config.get("linear_path")),
            streaming=streaming,
            streams=streams,
            mixed=estimator.dtype == "bfloat16",
        )
        rows_valid = None if valid_rows is None else rows_of(given, valid_rows)
        if judged is not None:
            rows_valid = rows_of(judged, None)

        def relate(codes: NDArray[Any] | None = None) -> None:
            of_all = given.X, given.labels, codes, draw, given.weight
            relations = estimator._relate(*of_all)
            if relations is not None:
                rows.relations = relations(rows, False)
                if rows_valid is not None:
                    rows_valid.relations = relations(rows_valid, True)

        def relate_anew() -> None:
            encode, width = net.module_.encode, net.module_.widest_layer
            codes = compute_rows(encode, given.X, units, dtype, device, width)
            if not _are_sound(codes):
                raise diverged(net.lr)
            relate(codes)

        if steps:
            relate()

        def fitted() -> dict[str, Any]:
            return {
                **(known or {}),
                "module_": net.module_,
                "n_components_": module.n_components,
                "device_": str(device),
                "_units": units,
                "_config": config,
                "_fitted_dtype": estimator.dtype,
            }

        def meanwhile() -> dict[str, Any]:
            return {
                **fitted(),
                **classes,
                "history_": history(net, estimator.history_ if resume else {}),
                **so_far(net, X, units, draw, n_counted, weight),
                "_seen": seen,
                "_solver": solver,
                "_standardize": bool(estimator.standardize),
                "_seed": seed,
                "_n_trainings": n_trainings,
            }

        earlier = None if begins else estimator._optimizer_state
        if earlier and estimator._solver != solver:
            earlier = None
        hook = [
            *epoch_hook(estimator, context, X, y, meanwhile),
            *rounds(estimator._n_rounds, relate_anew),
        ]
        n_bytes = sum(p.nbytes for p in module.parameters())
        if steps:
            run(net, rows, rows_valid, hook=hook, moments=earlier)
        else:
            net.initialize()

    codes = try_out(net.module_, X, units, dtype, device, draw, net.lr)
    full = 8 * codes.shape[1] ** 2 <= n_bytes
    of_codes = _of_some(weight, X.shape[0], draw, GAUSSIAN_ROWS)
    moments = density.code_moments(n_counted, codes, full, of_codes)
    of_codes = _of_some(counted, X.shape[0], draw, GAUSSIAN_ROWS)
    if continued:
        moments = density.merged_moments(estimator._code_moments, moments)
    if continued and estimator._density is not None:
        drawn_from = estimator._density
    else:
        if estimator.density is not None and X.shape[0] > GAUSSIAN_ROWS:
            some = X[inputs.some_rows(X.shape[0], draw, DENSITY_ROWS)]
            width = net.module_.widest_layer
            codes = compute_rows(net.module_.encode, some, units, dtype, device, width)
            if not _are_sound(codes):
                raise diverged(net.lr)
            of_codes = _of_some(counted, X.shape[0], draw, DENSITY_ROWS)
        drawn_from = density.fitted(estimator.density, codes, draw, of_codes)

    def over(function: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[Any]:
        width = net.module_.widest_layer
        parts = stream_rows(function, X, units, dtype, device, width)
        return with_weights(parts, weight)

    keep_optimizer = (streaming or estimator.warm_start) and solver != "lbfgs"
    return {
        **fitted(),
        **classes,
        **estimator._fitted_extras(net.module_, over, continued),
        "_net": net,
        "history_": history(net, estimator.history_ if resume else {}),
        "_code_moments": moments,
        "_seen": seen,
        "_density": drawn_from,
        "_solver": solver,
        "_standardize": bool(estimator.standardize),
        "_seed": seed,
        "_n_trainings": n_trainings,
        "_optimizer_state": (net.optimizer_moments() if keep_optimizer else None),
    }


# -- the steps of a training ------------------------------------------------------


def run(
    net: AutoencoderNet,
    rows: Rows,
    rows_valid: Rows | None,
    *,
    hook: list[tuple[str, EpochHook]],
    moments: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Train a net's module on rows, and let go of them.

    Parameters
    ----------
    net : AutoencoderNet
    rows, rows_valid : Rows
        To learn from, and to judge by where there are any.
    hook : list
        What `epoch_hook` returned.
    moments : mapping
        Of the optimizer, from a training that is gone on with.
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


def next_seed(estimator: Any, resume: bool) -> tuple[int, int]:
    """Give every training its own seed; numpy's global state stays untouched."""
    if resume:
        return estimator._seed, estimator._n_trainings + 1
    if estimator.random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0]), 0
    if isinstance(estimator.random_state, np.random.RandomState):
        return int(estimator.random_state.randint(2**31)), 0
    return int(estimator.random_state), 0


class Given(NamedTuple):
    """Rows, and what is known of them.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
    labels, weight : ndarray of shape (n_rows,) or None
    has_missing : bool
    """

    X: Any
    labels: NDArray[np.intp] | None
    weight: NDArray[np.float64] | None
    has_missing: bool

    def with_rows(
        self, others: Given
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], Given]:
        """Return the numbers of these rows and of others, and all of them together."""
        sizes = n, m = self.X.shape[0], others.X.shape[0]
        together = Given(
            stacked(self.X, others.X),
            joined(self.labels, others.labels, sizes, none=-1),
            joined(self.weight, others.weight, sizes, none=1.0),
            self.has_missing or others.has_missing,
        )
        return np.arange(n), np.arange(n, n + m), together


def _judged(
    estimator: Any,
    held_out: HeldOut,
    labels: NDArray[np.intp] | None,
    fitted: Mapping[str, Any],
) -> Given:
    """Return the rows to judge by, with their labels where others have some."""
    X, places = held_out.X, None
    if labels is not None and held_out.y is not None:
        read_as = fitted["_unlabeled"], fitted["_seen_classes"]
        places = places_of(held_out.y, X, *read_as)
    missing = estimator._accept_nan and inputs.has_missing(X)
    return Given(X, places, held_out.scaled_weight, missing)


def _n_counted(
    n_rows: int,
    weight: NDArray[np.float64] | None,
    subset: NDArray[np.intp] | None,
) -> int:
    """Return how many rows of weight 1 the rows are, or some of them."""
    if weight is None:
        return n_rows if subset is None else len(subset)
    return effective_rows(weight if subset is None else weight[subset])


def _of_some(
    weight: NDArray[np.float64] | None, n_rows: int, seed: int, most: int
) -> NDArray[np.float64] | None:
    """Return the weights of those rows that `some_rows` chooses."""
    if weight is None:
        return None
    return weight[inputs.some_rows(n_rows, seed, most)]


def with_weights(
    parts: Iterator[NDArray[Any]], weight: NDArray[np.float64] | None
) -> Iterator[tuple[NDArray[Any], NDArray[np.float64]]]:
    """Yield each part of what there is of rows, and the weights of its rows."""
    done = 0
    for part in parts:
        stop = done + len(part)
        yield part, np.ones(len(part)) if weight is None else weight[done:stop]
        done = stop


def seeds_of(seed: int, n_trainings: int) -> list[int]:
    """Return what draws the weights, the order of rows, and the noise."""
    seeds = np.random.SeedSequence((seed, n_trainings)).generate_state(3)
    return list(map(int, seeds))


def split(
    estimator: Any, n_samples: int, seed: int, streaming: bool
) -> tuple[NDArray[np.intp] | None, NDArray[np.intp] | None]:
    """Return the rows to train and to validate on; None is all, or none."""
    if not estimator.early_stopping or streaming:
        return None, None
    n_valid = max(1, round(estimator.validation_fraction * n_samples))
    if n_valid >= n_samples:
        raise ValueError(
            f"early_stopping=True with validation_fraction="
            f"{estimator.validation_fraction} leaves nothing to train on: "
            f"X has {n_samples} sample{'s' * (n_samples != 1)}."
        )
    order = np.random.default_rng(seed).permutation(n_samples)
    return np.sort(order[n_valid:]), np.sort(order[:n_valid])


def _check_device(device: torch.device, dtype: str, X: Any) -> None:
    """Raise ValueError for what the device cannot compute."""
    if device.type == "mps" and (dtype == "float64" or inputs.is_sparse(X)):
        what = "sparse X" if inputs.is_sparse(X) else "dtype='float64'"
        raise ValueError(
            f"The 'device' parameter chose 'mps', which cannot compute with {what}. "
            "Use device='cpu'."
        )


def _take_over(
    module: torch.nn.Module, config: Mapping[str, Any], earlier: Any
) -> None:
    """Go on with the weights of an earlier fit and the present hyperparameters."""
    same = all(config[name] == earlier._config[name] for name in earlier._fixed)
    same = same and bool(earlier.standardize) == earlier._standardize
    try:
        if not same:
            raise RuntimeError("another objective")
        state.load_weights(module, state.weights(earlier.module_), keep="hyper.")
    except RuntimeError as error:
        raise ValueError(
            "Training cannot go on with another architecture or objective than it "
            f"began with, and this one has another {_difference(config, earlier)}. "
            "Use fit with warm_start=False."
        ) from error


def _difference(config: Mapping[str, Any], earlier: Any) -> str:
    """Return the names of what an earlier fit had otherwise."""
    before, others = earlier._config, []
    for name, value in config.items():
        numbers = isinstance(value, float) and isinstance(before.get(name), float)
        free = numbers or name in ("penalties", "corruption")
        if not free and value != before.get(name):
            others.append(earlier._objective(value) if name == "loss" else name)
    known = earlier.get_params(deep=False)
    shown = [name for name in others if "=" in name or name in known]
    others = shown or ["objective"] * bool(others)
    others += ["standardize"] * (bool(earlier.standardize) != earlier._standardize)
    return ", ".join(others) or "number of features"


def _warn_unless_converged(net: AutoencoderNet) -> None:
    cut_short = len(net.history) < net.max_epochs
    if net.stopping is None or cut_short or net.schedule == "one_cycle":
        return
    warnings.warn(
        f"Maximum number of epochs (max_iter={net.max_epochs}) reached before training "
        "converged. Raise max_iter or tol.",
        ConvergenceWarning,
        stacklevel=6,
    )


def epoch_hook(
    estimator: Any, context: Any, X: Any, y: Any, fitted: Any
) -> list[tuple[str, EpochHook]]:
    """Return what tells scikit-learn's callbacks of each epoch, if there are any."""
    if context is None or not getattr(estimator, "_skl_callbacks", []):
        return []
    tasks: list[Any] = []

    def attributes() -> dict[str, Any]:
        found: dict[str, Any] = fitted()
        if "n_features_in_" in found:  # they are set on a copy, which has the earlier
            found = {"feature_names_in_": None, **found}
        return found

    def begin(net: AutoencoderNet) -> None:
        tasks.append(context.subcontext(task_name="epoch"))
        tasks[-1].call_on_fit_task_begin(estimator=estimator, X=X, y=y)

    def end(net: AutoencoderNet) -> bool:
        stop = tasks.pop().call_on_fit_task_end(
            estimator=estimator, X=X, y=y, reconstruction_attributes=attributes
        )
        return bool(stop)

    return [("sklearn_callbacks", EpochHook(begin, end))]


def rounds(
    n_rounds: int, relate_anew: Callable[[], None]
) -> list[tuple[str, EpochHook]]:
    """Return what relates the rows anew, so often in a training, if it is to happen.

    The objective is another in each round: held-out rows choose among the weights of
    the last one.
    """
    if n_rounds == 1:
        return []
    done = 0

    def begin(net: AutoencoderNet) -> None:
        nonlocal done
        epoch = len(net.history) - 1 - net._first_epoch
        due = epoch * n_rounds // net.max_epochs
        net.module_.schedule_done = due == n_rounds - 1
        if due > done:
            done = due
            relate_anew()
            if net.stopping is not None:
                net.stopping.on_train_begin(net)

    return [("rounds", EpochHook(begin, lambda net: False))]


def history(
    net: AutoencoderNet, earlier: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """Return each term of the objective by epoch, after those of earlier trainings.

    With them comes what scoring callbacks recorded.
    """
    if not net.history:
        return {"train_loss": np.zeros(0)}
    scores = [records(callback) for _, callback in net.callbacks_]
    names = [
        name
        for name in net.history[-1]
        if name in scores
        or (
            name.startswith(("train_", "valid_"))
            and not name.endswith(("_count", "_best"))
        )
    ]
    curves = {name: np.array(net.history[:, name], dtype=np.float64) for name in names}
    return {
        name: np.concatenate([earlier.get(name, curve[:0]), curve])
        for name, curve in curves.items()
    }


def so_far(
    net: AutoencoderNet,
    X: Any,
    units: Units,
    seed: int,
    n_counted: int,
    weight: NDArray[np.float64] | None,
) -> dict[str, Any]:
    """Return what a fit would leave of the codes after this epoch, for callbacks.

    It is without a density of the user's, and without the optimizer's moments.
    """
    module: Any = net.module_
    first = next(module.parameters())
    codes = try_out(module, X, units, first.dtype, first.device, seed, net.lr)
    of_codes = _of_some(weight, X.shape[0], seed, GAUSSIAN_ROWS)
    return {
        "_code_moments": density.code_moments(n_counted, codes, False, of_codes),
        "_density": None,
        "_optimizer_state": None,
    }


def try_out(
    module: Any,
    X: Any,
    units: Units,
    dtype: torch.dtype,
    device: torch.device,
    seed: int,
    rate: float,
    decodes: bool = True,
) -> NDArray[Any]:
    """Return the codes of up to `GAUSSIAN_ROWS` rows, if the module makes sense.

    Raises
    ------
    ValueError
        If codes, or reconstructions where it decodes, are not finite: the loss that is
        known is the one before the last step.
    """
    if X.shape[0] > GAUSSIAN_ROWS:
        X = X[inputs.some_rows(X.shape[0], seed, GAUSSIAN_ROWS)]

    def errors(x: torch.Tensor) -> torch.Tensor:
        return module.errors(Batch(x, x), 1.0, per_feature=False)

    probe, width = X[:PROBE_ROWS], module.widest_layer
    codes = compute_rows(module.encode, X, units, dtype, device, width)
    lost = codes[:0]
    if decodes:
        lost = compute_rows(errors, probe, units, dtype, device, width)
        if inputs.has_missing(probe):  # of a row without any value nothing is lost
            lost = lost[~np.isnan(probe).all(axis=1)]
    if _are_sound(codes) and np.isfinite(lost).all():
        return codes
    raise diverged(rate)


def _are_sound(codes: NDArray[Any]) -> bool:
    """Tell whether codes are numbers that have a covariance."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.square(codes, dtype=np.float64)).all())
