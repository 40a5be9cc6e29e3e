"""Each method against what its paper reports, on MNIST.

Rows are pixels in [0, 1]. Codes are judged as the papers do: by a linear classifier
(logistic regression) on the frozen codes of the training rows, divided by one number,
their standard deviation. Its strength is chosen on held-out training rows.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import common
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from sklearn_ae import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    SparseAutoencoder,
)

#: Strengths of the classifier that are tried, and rows to try them on and with.
STRENGTHS, TRIED, HELD_OUT = (0.003, 0.01, 0.03), 10000, 10000
#: The codes of units below and above are called saturated.
LOW, HIGH = 0.05, 0.95


def mnist(n_rows: int, n_test: int = 10000) -> tuple[np.ndarray, ...]:
    """Return rows and labels to train on, and to test on."""
    with np.load(common.data_file("mnist.npz"), allow_pickle=False) as arrays:
        return tuple(
            (arrays[f"X_{part}"][:n] / 255).astype(np.float32)
            if kind == "X"
            else arrays[f"y_{part}"][:n]
            for part, n in (("train", n_rows), ("test", n_test))
            for kind in ("X", "y")
        )


def test_error(
    codes: np.ndarray, labels: np.ndarray, test_codes: np.ndarray, test: np.ndarray
) -> float:
    """Return the test error of logistic regression, in per cent."""
    scale = codes.std()
    codes, test_codes = codes / scale, test_codes / scale

    def classifier(strength: float, n: int | None) -> LogisticRegression:
        model = LogisticRegression(C=strength, max_iter=100)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(codes[:n], labels[:n])

    def held_out(strength: float) -> float:
        """A strength for all rows is tried with as many fewer rows as stronger."""
        n = min(TRIED, len(codes) // 2)
        rows = slice(-min(HELD_OUT, len(codes) - n), None)
        model = classifier(strength * len(codes) / n, n)
        return float(model.score(codes[rows], labels[rows]))

    best = max(STRENGTHS, key=held_out)
    return 100.0 * (1.0 - float(classifier(best, None).score(test_codes, test)))


def fitted(model: Any, X: np.ndarray) -> tuple[Any, float]:
    start = time.perf_counter()
    model.fit(X)
    return model, time.perf_counter() - start


# -- k-sparse ----------------------------------------------------------------------


def k_sparse(quick: bool, seed: int) -> list[dict[str, Any]]:
    """Makhzani & Frey 2013: logistic regression on 1000 units' codes of MNIST."""
    X, y, X_test, y_test = mnist(1000 if quick else 60000)
    start = time.perf_counter()
    raw = test_error(X, y, X_test, y_test)
    rows: list[dict[str, Any]] = [
        {
            "codes": "raw pixels",
            "paper, error %": 7.20,
            "ours, error %": raw,
            "s, all": time.perf_counter() - start,
        }
    ]
    for k, paper in ((25, 1.35), (10, 2.10)):
        start = time.perf_counter()
        model, seconds = fitted(
            KSparseAutoencoder(
                1000,
                k=k,
                transform_k=3 * k,
                k_schedule="constant",
                learning_rate_init=6e-3,
                max_iter=2 if quick else 20,
                random_state=seed,
            ),
            X,
        )
        error = test_error(model.transform(X), y, model.transform(X_test), y_test)
        rows.append(
            {
                "codes": f"k={k}, 3 k at transform",
                "paper, error %": paper,
                "ours, error %": error,
                "dead units": len(model.dead_units_),
                "s, fit": seconds,
                "s, all": time.perf_counter() - start,
            }
        )
    common.table(f"k-sparse: MNIST, {len(X)} rows, 1000 units", rows)
    return rows


# -- denoising ---------------------------------------------------------------------


def denoising(quick: bool, seed: int) -> list[dict[str, Any]]:
    """Vincent 2008: features learnt from noisy rows are the better to classify by."""
    X, y, X_test, y_test = mnist(1000 if quick else 10000)
    size = 100 if quick else 500
    rest = {
        "n_components": size,
        "hidden_layer_sizes": (),
        "code_activation": "sigmoid",
        "tied_weights": True,
        "loss": "log_loss",
        "learning_rate_init": 1e-2,
        "max_iter": 2 if quick else 25,
        "random_state": seed,
    }
    models = {
        "autoencoder": Autoencoder(linear_path=False, **rest),
        "denoising, masking 25 %": DenoisingAutoencoder(
            noise="masking", noise_level=0.25, **rest
        ),
        "denoising, masking 50 %": DenoisingAutoencoder(
            noise="masking", noise_level=0.5, **rest
        ),
    }
    raw = test_error(X, y, X_test, y_test)
    rows: list[dict[str, Any]] = [{"codes": "raw pixels", "ours, error %": raw}]
    for name, unfitted in models.items():
        model, seconds = fitted(unfitted, X)
        error = test_error(model.transform(X), y, model.transform(X_test), y_test)
        rows.append({"codes": name, "ours, error %": error, "s, fit": seconds})
    for row, paper in zip(rows, (None, 1.78, 1.57, None), strict=True):
        row["paper (fine-tuned, 60000 rows), error %"] = paper
    common.table(f"denoising: MNIST, {len(X)} rows, {size} sigmoid units", rows)
    return rows


# -- contractive -------------------------------------------------------------------


def contractive(quick: bool, seed: int) -> list[dict[str, Any]]:
    """Rifai 2011: at like reconstruction, the code moves less and is more saturated."""
    X, _, X_test, _ = mnist(1000 if quick else 5000, 2000)
    size = 100 if quick else 300
    rest = {
        "n_components": size,
        "hidden_layer_sizes": (),
        "code_activation": "sigmoid",
        "tied_weights": True,
        "standardize": False,
        "loss": "log_loss",
        "learning_rate_init": 1e-2,
        "random_state": seed,
    }
    few, many = (2, 2) if quick else (12, 40)
    models = {
        "AE": Autoencoder(linear_path=False, max_iter=few, **rest),
        "DAE, Gaussian": DenoisingAutoencoder(
            noise="gaussian", noise_level=0.55, max_iter=many, **rest
        ),
        "CAE": ContractiveAutoencoder(contraction=0.7, max_iter=many, **rest),
    }
    rows = []
    for name, unfitted in models.items():
        model, seconds = fitted(unfitted, X)
        codes = model.transform(X_test)
        restored = model.reconstruct(X_test)
        rows.append(
            {
                "model": name,
                "test error per row": float(np.square(X_test - restored).sum(1).mean()),
                "mean Jacobian norm": float(model.jacobian_norm(X_test).mean()),
                "saturated, %": 100 * float(((codes < LOW) | (codes > HIGH)).mean()),
                "s, fit": seconds,
            }
        )
    for row, paper in zip(rows, (50, None, 86), strict=True):
        row["paper, saturated %"] = paper
    common.table(f"contractive: MNIST, {len(X)} rows, {size} sigmoid units", rows)
    return rows


# -- sparse ------------------------------------------------------------------------


def sparse(quick: bool, seed: int) -> list[dict[str, Any]]:
    """Ng 2011: units are as active as asked for, and see pen strokes."""
    X, _, _, _ = mnist(1000 if quick else 10000)
    rows = []
    for sparsity in (0.05, 0.1):
        model, seconds = fitted(
            SparseAutoencoder(
                200,
                sparsity=sparsity,
                sparsity_weight=3.0,
                alpha=3e-3,
                output_activation="sigmoid",
                standardize=False,
                learning_rate_init=3e-2,
                max_iter=2 if quick else 100,
                random_state=seed,
            ),
            X,
        )
        off = np.abs(model.mean_activation_ - sparsity)
        rows.append(
            {
                "mean asked for": sparsity,
                "mean of units": float(model.mean_activation_.mean()),
                "farthest unit, off by": float(off.max()),
                "pixels that a unit sees": pixels_seen(model),
                "s, fit": seconds,
            }
        )
    common.table(f"sparse: MNIST, {len(X)} rows, 200 sigmoid units", rows)
    return rows


def pixels_seen(model: Any) -> float:
    """Return (Σ w²)² / Σ w⁴ of a unit's weights, the median: few for a stroke."""
    (weight,) = model.module_.encoder.weights()
    squares = np.square(weight.detach().cpu().numpy().reshape(-1, 784))
    return float(np.median(squares.sum(1) ** 2 / np.square(squares).sum(1)))


# -- convolutional -----------------------------------------------------------------


def convolutional(quick: bool, seed: int) -> list[dict[str, Any]]:
    """Masci 2011 has no such table: fewer parameters, and less is lost."""
    X, _, X_test, _ = mnist(1000 if quick else 5000, 2000)
    rest = {"max_iter": 2 if quick else 30, "random_state": seed}
    models = {
        "dense, as it comes": Autoencoder(32, **rest),
        "dense, no linear path": Autoencoder(32, linear_path=False, **rest),
        "dense, no linear path, rate 1e-2": Autoencoder(
            32, linear_path=False, learning_rate_init=1e-2, **rest
        ),
        "convolutional": ConvolutionalAutoencoder(32, **rest),
    }
    rows = []
    for name, unfitted in models.items():
        model, seconds = fitted(unfitted, X)
        lost = np.square(X_test - model.reconstruct(X_test)).sum(1).mean()
        rows.append(
            {
                "model": name,
                "parameters": sum(p.numel() for p in model.module_.parameters()),
                "test error per row": float(lost),
                "s, fit": seconds,
            }
        )
    common.table(f"convolutional: MNIST, {len(X)} rows, 32 components", rows)
    return rows


SECTIONS = {
    "k_sparse": k_sparse,
    "denoising": denoising,
    "contractive": contractive,
    "sparse": sparse,
    "convolutional": convolutional,
}


def main() -> None:
    parser = common.arguments(__doc__.splitlines()[0], rounds=1)
    args = parser.parse_args()
    common.introduce(args)
    results: dict[str, Any] = {}
    for name in common.chosen(args.only, list(SECTIONS)):
        try:
            rounds = range(1 if args.quick else args.rounds)
            results[name] = [SECTIONS[name](args.quick, seed) for seed in rounds]
        except common.Missing as missing:
            print(f"> {missing} Left out.")
        common.write(args.out, {"papers": results})


if __name__ == "__main__":
    main()
