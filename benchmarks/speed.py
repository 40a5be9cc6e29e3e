"""Training and encoding time against a hand-written loop and against other packages.

Sections: digits, mnist, deep (seconds per epoch and per fit of the same network with
the same batches), methods (each method against its objective written by hand), defaults
(each package as it comes), transform.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import common
import loops
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPRegressor
from skorch import NeuralNetRegressor
from skorch.callbacks import Callback
from torch import nn

import sklearn_ae
from sklearn_ae import Autoencoder

OURS, LOOP = "sklearn_ae", "hand-written loop"
# name -> widths from input to code, batch size, epochs a round, epochs of a fit
SIZES: dict[str, tuple[tuple[int, ...], int, int, int]] = {
    "digits": ((64, 32), 32, 30, 100),
    "mnist": ((784, 256, 32), 256, 4, 10),
    "deep": ((784, 1000, 500, 250, 30), 1024, 3, 3),
}


class Stamps(Callback):  # type: ignore[misc]
    """The time at the end of each epoch; copies are the same object."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __deepcopy__(self, memo: object) -> Stamps:
        return self

    def on_epoch_end(self, net: object, **kwargs: object) -> None:
        self.times.append(time.perf_counter())


def per_epoch(times: Sequence[float]) -> float:
    """Return the median time between the ends of two epochs."""
    return statistics.median(np.diff(times))


# -- the same network, five times --------------------------------------------------


def mlp(widths: Sequence[int]) -> tuple[nn.Sequential, nn.Sequential]:
    """Return encoder and decoder: ReLU between layers, linear at code and output."""

    def half(sizes: Sequence[int]) -> nn.Sequential:
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    return half(widths), half(widths[::-1])


def loop(
    X: np.ndarray,
    widths: Sequence[int],
    batch: int,
    epochs: int,
    bfloat16: bool = False,
) -> tuple[list[float], list[float]]:
    """Train as one would by hand; return when epochs ended, and their losses."""
    torch.manual_seed(0)
    rows = torch.from_numpy(X)
    rows = rows - rows.mean(0)
    rows /= rows.square().mean().sqrt()
    net = nn.Sequential(*mlp(widths))
    adam = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    stamps, curve = [], []
    for _ in range(epochs):
        losses = []
        for index in torch.randperm(len(rows)).split(batch):
            x = rows[index]
            adam.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                loss = 0.5 * F.mse_loss(net(x), x, reduction="sum") / len(x)
            loss.backward()
            adam.step()
            losses.append(loss.detach())
        curve.append(float(torch.stack(losses).mean()))
        stamps.append(time.perf_counter())
    return stamps, curve


def fitted(
    X: Any, widths: Sequence[int], batch: int, epochs: int, **parameters: Any
) -> tuple[Autoencoder, list[float]]:
    """Return ours, fitted without the linear path, and the times of its epochs."""
    stamps = Stamps()
    parameters = {"linear_path": False, **parameters}
    model = Autoencoder(
        widths[-1],
        hidden_layer_sizes=tuple(widths[1:-1]),
        activation="relu",
        batch_size=batch,
        max_iter=epochs,
        learning_rate_init=1e-3,
        device="cpu",
        random_state=0,
        callbacks=[stamps],
        **parameters,
    ).fit(X)
    return model, stamps.times


def ours(
    X: np.ndarray, widths: Sequence[int], batch: int, epochs: int, **parameters: Any
) -> tuple[list[float], list[float]]:
    model, times = fitted(X, widths, batch, epochs, **parameters)
    return times, model.loss_curve_


def scikit_learn(
    X: np.ndarray, widths: Sequence[int], batch: int, epochs: int
) -> MLPRegressor:
    hidden = (*widths[1:], *widths[-2:0:-1])
    model = MLPRegressor(
        hidden_layer_sizes=hidden,
        activation="relu" if len(widths) > 2 else "identity",
        batch_size=batch,
        max_iter=epochs,
        tol=0.0,
        n_iter_no_change=epochs + 1,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, X)


def skorch(
    X: np.ndarray, widths: Sequence[int], batch: int, epochs: int
) -> list[float]:
    stamps = Stamps()
    NeuralNetRegressor(
        nn.Sequential(*mlp(widths)),
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=batch,
        max_epochs=epochs,
        train_split=None,
        callbacks=[stamps],
        verbose=0,
    ).fit(X, X)
    return stamps.times


def pyod(X: np.ndarray, widths: Sequence[int], batch: int, epochs: int) -> list[float]:
    from pyod.models.auto_encoder import AutoEncoder

    class Stamped(AutoEncoder):  # type: ignore[misc]
        def epoch_update(self) -> None:
            times.append(time.perf_counter())

    times: list[float] = []
    Stamped(
        hidden_neuron_list=list(widths[1:]),
        batch_norm=False,
        dropout_rate=0.0,
        batch_size=batch,
        epoch_num=epochs,
        device=torch.device("cpu"),
        verbose=0,
    ).fit(X)
    return times


def pythae(
    X: np.ndarray, widths: Sequence[int], batch: int, epochs: int
) -> list[float]:
    import pythae.models as models
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers.training_callbacks import TrainingCallback

    class Half(BaseEncoder, BaseDecoder):  # type: ignore[misc]
        def __init__(self, layers: nn.Module, name: str) -> None:
            nn.Module.__init__(self)
            self.layers, self.name = layers, name

        def forward(self, x: torch.Tensor) -> Any:
            return ModelOutput(**{self.name: self.layers(x)})

    class Ends(TrainingCallback):  # type: ignore[misc]
        def on_epoch_end(self, *args: object, **kwargs: object) -> None:
            times.append(time.perf_counter())

    times: list[float] = []
    encoder, decoder = mlp(widths)
    config = models.AEConfig(input_dim=(widths[0],), latent_dim=widths[-1])
    model = models.AE(
        config, Half(encoder, "embedding"), Half(decoder, "reconstruction")
    )
    _pythae_fit(model, X, [Ends()], num_epochs=epochs, batch=batch)
    return times


def _pythae_fit(
    model: Any,
    X: np.ndarray,
    callbacks: list[Any],
    batch: int | None = None,
    trainer: str = "BaseTrainerConfig",
    **config: Any,
) -> None:
    import logging

    import pythae.trainers
    from pythae.pipelines import TrainingPipeline

    logging.disable(logging.CRITICAL)
    if batch is not None:
        config["per_device_train_batch_size"] = batch
    with tempfile.TemporaryDirectory() as folder, common.quiet():
        kind = getattr(pythae.trainers, trainer)
        training = kind(output_dir=folder, no_cuda=True, **config)
        TrainingPipeline(model, training)(train_data=X, callbacks=callbacks or None)
    logging.disable(logging.NOTSET)


# -- sections ----------------------------------------------------------------------


def flops(widths: Sequence[int], n_rows: int) -> float:
    """Return the multiplications and additions of an epoch's matrix products."""
    products = sum(a * b for a, b in itertools.pairwise(widths))
    # forward, and both gradients; the input's own is not computed
    return n_rows * (2 * 6 * products - 2 * widths[0] * widths[1])


def matrix_peak(dtype: torch.dtype, size: int = 2048, tries: int = 5) -> float:
    """Return the most floating-point operations a second of ``torch.mm`` here."""
    a, b = torch.randn(2, size, size).to(dtype)
    torch.mm(a, b)
    best = min(common.seconds(lambda: torch.mm(a, b)) for _ in range(tries))
    return 2.0 * size**3 / best


def train(name: str, rounds: int, quick: bool) -> list[dict[str, Any]]:
    """Compare seconds per epoch, and per fit of a given number of epochs."""
    widths, batch, epochs, fit_epochs = SIZES[name]
    if name == "digits":
        X, what = common.load("digits").astype(np.float32), "digits 1797 rows"
    else:
        X, what = common.images(2048 if quick else 20000)
    if quick:
        epochs, fit_epochs = min(epochs, 3), min(fit_epochs, 3)
    same = (X, widths, batch)

    def slope(fit: Callable[[int], Any]) -> float:
        longer = common.seconds(lambda: fit(1 + epochs))
        return (longer - common.seconds(lambda: fit(1))) / epochs

    # the first epoch only warms up
    epoch: dict[str, Callable[[], float]] = {
        LOOP: lambda: per_epoch(loop(*same, epochs + 1)[0]),
        OURS: lambda: per_epoch(ours(*same, epochs + 1)[0]),
        "scikit-learn MLPRegressor": lambda: slope(lambda n: scikit_learn(*same, n)),
        "skorch NeuralNetRegressor": lambda: per_epoch(skorch(*same, epochs + 1)),
        "PyOD AutoEncoder": lambda: per_epoch(pyod(*same, epochs + 1)),
        "pythae AE": lambda: per_epoch(pythae(*same, epochs + 1)),
    }
    fit: dict[str, Callable[[], Any]] = {
        LOOP: lambda: loop(*same, fit_epochs),
        OURS: lambda: ours(*same, fit_epochs),
        "scikit-learn MLPRegressor": lambda: scikit_learn(*same, fit_epochs),
        "skorch NeuralNetRegressor": lambda: skorch(*same, fit_epochs),
        "PyOD AutoEncoder": lambda: pyod(*same, fit_epochs),
        "pythae AE": lambda: pythae(*same, fit_epochs),
    }
    if len(widths) > 2:
        path = f"{OURS}, linear path"
        linear = functools.partial(ours, linear_path=True)
        epoch[path] = lambda: per_epoch(linear(*same, epochs + 1)[0])
        fit[path] = lambda: linear(*same, fit_epochs)
    if name == "deep":
        half = functools.partial(ours, dtype="bfloat16")
        half_loop = functools.partial(loop, bfloat16=True)
        epoch[f"{OURS}, bfloat16"] = lambda: per_epoch(half(*same, epochs + 1)[0])
        epoch[f"{LOOP}, bfloat16"] = lambda: per_epoch(half_loop(*same, epochs + 1)[0])
        fit[f"{OURS}, bfloat16"] = lambda: half(*same, fit_epochs)
        fit[f"{LOOP}, bfloat16"] = lambda: half_loop(*same, fit_epochs)

    failures = leave_out_what_fails(X[: 2 * batch], widths, batch, epoch, fit)
    # the peak is the best of two moments, for the machine may be busy at one
    before = {dtype: matrix_peak(dtype) for dtype in (torch.float32, torch.bfloat16)}
    epoch_times = common.interleave(epoch, rounds)
    fit_times = common.interleave(
        {key: functools.partial(common.seconds, run) for key, run in fit.items()},
        max(1, rounds // 2),
    )
    peaks = {dtype: max(before[dtype], matrix_peak(dtype)) for dtype in before}
    steps = math.ceil(len(X) / batch)
    rows = []
    for key in epoch:
        dtype = torch.bfloat16 if "bfloat16" in key else torch.float32
        if "MLP" in key:  # computes in numpy, in float32 as its input
            dtype = torch.float32
        spent = statistics.median(epoch_times[key])
        rows.append(
            {
                "trained by": key,
                "s per epoch": spent,
                "µs per step": spent / steps * 1e6,
                "epoch / loop": common.ratio(epoch_times, key, LOOP),
                f"s per fit of {fit_epochs} epochs": statistics.median(fit_times[key]),
                "fit / loop": common.ratio(fit_times, key, LOOP),
                "of matrix-product peak": flops(widths, len(X)) / spent / peaks[dtype],
            }
        )
    rows += [{"trained by": f"{key}: not run ({why})"} for key, why in failures.items()]
    shape = "-".join(map(str, widths))
    common.table(f"{name}: {what}, {shape} and back, batches of {batch}", rows)
    gflops = {str(k).removeprefix("torch."): v / 1e9 for k, v in peaks.items()}
    print(
        "torch.mm, 2048 × 2048: "
        + ", ".join(f"{v:.0f} GFLOP/s in {k}" for k, v in gflops.items())
    )
    if name == "deep":
        report_bfloat16(epoch_times, same, epochs)
    return [*rows, {"matrix-product peak, GFLOP/s": gflops, "rounds": epoch_times}]


def leave_out_what_fails(
    X: np.ndarray,
    widths: Sequence[int],
    batch: int,
    *contenders: dict[str, Any],
) -> dict[str, str]:
    """Warm every package up; remove those that do not run here, and return why."""
    peers = {
        "scikit-learn MLPRegressor": scikit_learn,
        "skorch NeuralNetRegressor": skorch,
        "PyOD AutoEncoder": pyod,
        "pythae AE": pythae,
        OURS: ours,
        LOOP: loop,
    }
    failures = {}
    for key, run in peers.items():
        try:
            run(X, widths, batch, 2)
        except Exception as error:
            if key in (OURS, LOOP):
                raise
            failures[key] = f"{type(error).__name__}: {error}".splitlines()[0]
            for runs in contenders:
                del runs[key]
    return failures


def report_bfloat16(
    times: dict[str, list[float]], same: tuple[Any, ...], epochs: int
) -> None:
    flags = [flag for flag in common.cpu_flags() if "bf16" in flag]
    _, single = ours(*same, epochs + 1)
    _, half = ours(*same, epochs + 1, dtype="bfloat16")
    faster = common.ratio(times, OURS, f"{OURS}, bfloat16")
    print(
        f"bfloat16: {faster:.2f} × as fast as float32, loss after {epochs + 1} epochs "
        f"{100 * (half[-1] / single[-1] - 1):+.2f} %. The CPU "
        + (f"has {', '.join(flags)}." if flags else "has no bfloat16 instructions.")
    )


def method_cases() -> dict[str, tuple[Any, Any]]:
    """Return each method, and its objective written by hand."""
    layer = {"hidden_layer_sizes": (), "code_activation": "sigmoid"}
    deep = {"hidden_layer_sizes": (256,), "activation": "relu", "linear_path": False}
    free = {"revive_dead": False}
    return {
        "one sigmoid layer": (
            Autoencoder(500, tied_weights=True, **layer),
            loops.plain(500),
        ),
        "contractive": (
            sklearn_ae.ContractiveAutoencoder(500),
            loops.contractive(500, 0.1),
        ),
        "sparse": (
            sklearn_ae.SparseAutoencoder(200),
            loops.sparse(200, 0.05, 3.0, 1e-4),
        ),
        "k-sparse, 25 of 1000": (
            sklearn_ae.KSparseAutoencoder(1000, k=25, **free),
            loops.k_sparse(1000, 25),
        ),
        "denoising, Gaussian": (
            sklearn_ae.DenoisingAutoencoder(32, **deep),
            loops.denoising((256, 32), "gaussian", 0.3),
        ),
        "denoising, masking": (
            sklearn_ae.DenoisingAutoencoder(32, noise="masking", **deep),
            loops.denoising((256, 32), "masking", 0.3),
        ),
        "convolutional": (
            sklearn_ae.ConvolutionalAutoencoder(32, activation="relu"),
            loops.convolutional(32),
        ),
    }


def methods(rounds: int, quick: bool) -> list[dict[str, Any]]:
    """Compare each method's seconds per epoch with its hand-written objective's."""
    X, what = common.images(1024 if quick else 5000)
    batch, epochs = 256, 3

    def of_ours(model: Any) -> float:
        stamps = Stamps()
        settings = {"batch_size": batch, "max_iter": epochs + 1, "device": "cpu"}
        settings |= {"random_state": 0, "learning_rate_init": 1e-3}
        clone(model).set_params(callbacks=[stamps], **settings).fit(X)
        return per_epoch(stamps.times)

    contenders: dict[str, Callable[[], float]] = {}
    for name, (model, make) in method_cases().items():
        contenders[name] = functools.partial(of_ours, model)
        contenders[f"{name}, by hand"] = functools.partial(
            lambda make: per_epoch(loops.train(X, make, batch, epochs + 1)), make
        )
    for run in contenders.values():
        run()
    times = common.interleave(contenders, rounds)
    rows = [
        {
            "method": name,
            "s per epoch": statistics.median(times[name]),
            "epoch / by hand": common.ratio(times, name, f"{name}, by hand"),
            "epoch / one sigmoid layer": (
                common.ratio(times, name, "one sigmoid layer")
                if name == "contractive"
                else None
            ),
        }
        for name in method_cases()
    ]
    common.table(f"methods: {what}, batches of {batch}", rows)
    return [*rows, {"rounds": times}]


def defaults(rounds: int, quick: bool) -> list[dict[str, Any]]:
    """Compare each package as it comes: seconds, and the error on held-out rows."""
    from sklearn.model_selection import train_test_split

    results = []
    cases = [("digits 1797 rows", common.load("digits"), 8)]
    if not quick:
        X, what = common.images(5000)
        cases.append((what, X.astype(np.float64), 32))
    for what, X, k in cases:
        train_rows, test_rows = train_test_split(X, random_state=0)
        errors: dict[str, float] = {}
        runs = {
            key: functools.partial(run, train_rows, test_rows, k, quick)
            for key, run in {
                OURS: _default_ours,
                "PCA": _default_pca,
                "scikit-learn MLPRegressor": _default_mlp,
                "PyOD AutoEncoder": _default_pyod,
                "pythae AE": _default_pythae,
            }.items()
        }
        failures = {}
        for key in list(runs):
            try:
                errors[key] = runs[key]()[1]
            except Exception as error:
                if key == OURS:
                    raise
                failures[key] = f"{type(error).__name__}: {error}".splitlines()[0]
                del runs[key]
        times = common.interleave(
            {key: lambda run=run: run()[0] for key, run in runs.items()},
            max(1, rounds // 2),
        )
        rows = [
            {
                "as it comes": key,
                "s per fit": statistics.median(times[key]),
                "fit / ours": common.ratio(times, key, OURS),
                "held-out error / PCA's": errors[key] / errors["PCA"],
            }
            for key in runs
        ]
        rows += [
            {"as it comes": f"{k}: not run ({why})"} for k, why in failures.items()
        ]
        common.table(f"defaults: {what}, {k} components", rows)
        results += [{"data": what, **row} for row in rows]
    return results


def _timed(
    fit: Callable[[], Any], restore: Callable[[Any], Any], test: np.ndarray
) -> Any:
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit()
    spent = time.perf_counter() - start
    return spent, float(np.square(test - restore(fitted)).mean())


def _default_ours(X: np.ndarray, test: np.ndarray, k: int, quick: bool) -> Any:
    model = Autoencoder(k, random_state=0, device="cpu")
    return _timed(lambda: model.fit(X), lambda m: m.reconstruct(test), test)


def _default_pca(X: np.ndarray, test: np.ndarray, k: int, quick: bool) -> Any:
    return _timed(
        lambda: PCA(k, random_state=0).fit(X),
        lambda m: m.inverse_transform(m.transform(test)),
        test,
    )


def _default_mlp(X: np.ndarray, test: np.ndarray, k: int, quick: bool) -> Any:
    """Its hidden layer has 100 units, whatever `k` is."""
    model = MLPRegressor(random_state=0)
    return _timed(lambda: model.fit(X, X), lambda m: m.predict(test), test)


def _default_pyod(X: np.ndarray, test: np.ndarray, k: int, quick: bool) -> Any:
    """Its code has as many units as the last hidden layer: [64, k]."""
    from pyod.models.auto_encoder import AutoEncoder

    model = AutoEncoder(hidden_neuron_list=[64, k], verbose=0)

    def restore(m: Any) -> np.ndarray:
        spread = np.where(m.X_std == 0, 1.0, m.X_std)
        x = torch.from_numpy(((test - m.X_mean) / spread).astype(np.float32))
        with torch.no_grad():
            return m.model(x.to(m.device)).cpu().numpy() * spread + m.X_mean

    return _timed(lambda: model.fit(X), restore, test)


def _default_pythae(X: np.ndarray, test: np.ndarray, k: int, quick: bool) -> Any:
    """It expects numbers in [0, 1], and gets them."""
    import pythae.models as models

    top = X.max()
    small = (X / top).astype(np.float32)
    model = models.AE(models.AEConfig(input_dim=(X.shape[1],), latent_dim=k))
    options = {"num_epochs": 2} if quick else {}

    def restore(m: Any) -> np.ndarray:
        x = torch.from_numpy((test / top).astype(np.float32))
        with torch.no_grad():
            return m.reconstruct(x).numpy() * top

    def fit() -> Any:
        _pythae_fit(model, small, [], **options)
        return model

    return _timed(fit, restore, test)


def transform(rounds: int, quick: bool) -> list[dict[str, Any]]:
    """Compare `transform` with the module's bare forward pass and PCA's."""
    rows = []
    for name, (widths, batch, _, _) in SIZES.items():
        if name == "digits":
            X = common.load("digits").astype(np.float32)
        else:
            X = common.images(2048 if quick else 10000)[0]
        for linear in (False, True)[: 1 if len(widths) == 2 else 2]:
            model = Autoencoder(
                widths[-1],
                hidden_layer_sizes=widths[1:-1],
                activation="relu",
                linear_path=linear,
                batch_size=batch,
                max_iter=1,
                device="cpu",
                random_state=0,
            ).fit(X)
            pca = PCA(widths[-1], random_state=0).fit(X)
            tensor = torch.from_numpy(X)
            repeat = 50 if name == "digits" else 3

            def bare(module: Any = model.module_, tensor: Any = tensor) -> None:
                with torch.inference_mode():
                    module.encode(tensor)

            def mean(function: Callable[[], Any], repeat: int = repeat) -> float:
                return (
                    common.seconds(lambda: [function() for _ in range(repeat)]) / repeat
                )

            runs = {
                "bare": bare,
                "ours": functools.partial(model.transform, X),
                "ours, float64 X": functools.partial(
                    model.transform, X.astype(np.float64)
                ),
                "PCA": functools.partial(pca.transform, X),
            }
            for run in runs.values():
                run()
            times = common.interleave(
                {key: functools.partial(mean, run) for key, run in runs.items()},
                2 * rounds,
            )
            middle = {key: statistics.median(times[key]) for key in runs}
            rows.append(
                {
                    "network": "-".join(map(str, widths)) + ", linear path" * linear,
                    "rows": len(X),
                    "bare forward, ms": 1e3 * middle["bare"],
                    "transform, ms": 1e3 * middle["ours"],
                    "transform / bare": common.ratio(times, "ours", "bare"),
                    "float64 X / bare": common.ratio(times, "ours, float64 X", "bare"),
                    "transform / PCA's": common.ratio(times, "ours", "PCA"),
                }
            )
    common.table("transform", rows)
    return rows


def main() -> None:
    parser = common.arguments(__doc__.splitlines()[0], rounds=7)
    args = parser.parse_args()
    common.introduce(args)
    rounds = 2 if args.quick else args.rounds
    results: dict[str, Any] = {}
    sections = {"methods": methods, "defaults": defaults, "transform": transform}
    for name in common.chosen(args.only, [*SIZES, *sections]):
        section = sections.get(name)
        if section is None:
            section = functools.partial(train, name)
        results[name] = section(rounds=rounds, quick=args.quick)
        common.write(args.out, {"speed": results})


if __name__ == "__main__":
    main()
