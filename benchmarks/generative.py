"""Densities and draws, on MNIST: bounds on log p(x), priors, pictures, speed.

Sections: bounds (Burda et al. 2016: the negative log-likelihood of VAE and IWAE), long
(how far more epochs go), adversarial (codes against the prior they are to have), draws
(how far draws are from held-out rows), speed (an epoch against the same by hand, and
pythae's).
"""

from __future__ import annotations

import time
from typing import Any

import common
import numpy as np
from papers import mnist

from sklearn_ae import ImportanceWeightedAutoencoder, VariationalAutoencoder

# -- bounds on log p(x) ------------------------------------------------------------

#: What Burda et al. report after 3280 epochs, by L5000: nats, active units.
PUBLISHED = {1: (86.76, 19), 50: (84.78, 25)}


def binarized(X: np.ndarray) -> np.ndarray:
    """Return rows of 0 and 1 with those of X as probabilities, always the same."""
    return (np.random.default_rng(0).random(X.shape) < X).astype(np.float32)


def bound(k: int, epochs: int, quick: bool, seed: int) -> dict[str, Any]:
    """Train on L_k, 784-200-200-50, and estimate the test rows' log p by L_500."""
    X, _, test, _ = mnist(1000 if quick else 60000, 200 if quick else 10000)
    test = binarized(test)
    epochs = 2 if quick else epochs
    settings: dict[str, Any] = {
        "likelihood": "bernoulli",
        "dynamic_binarization": True,
        "hidden_layer_sizes": (200, 200),
        "activation": "tanh",
        "batch_size": 100,
        "learning_rate_init": 3e-3,
        "max_iter": epochs,
        "random_state": seed,
    }
    model: Any = VariationalAutoencoder(50, **settings)
    if k > 1:
        model = ImportanceWeightedAutoencoder(50, n_importance_samples=k, **settings)
    start = time.perf_counter()
    model.fit(X)
    spent = time.perf_counter() - start
    published, active = PUBLISHED.get(k, (None, None))
    return {
        "trained on": f"L{k}",
        "epochs": epochs,
        "ELBO": -float(model.score_samples(test, 1).mean()),
        "NLL by L500": -float(model.score_samples(test, 20 if quick else 500).mean()),
        "active units": len(model.active_units_),
        "published NLL (3280 epochs)": published,
        "published active": active,
        "fit, s": spent,
    }


def bounds(quick: bool, seed: int) -> list[dict[str, Any]]:
    """VAE and IWAE after the same number of epochs."""
    return [bound(k, 20, quick, seed) for k in (1, 50)]


def long(quick: bool, seed: int) -> list[dict[str, Any]]:
    """How far a longer run goes."""
    return [bound(1, 200, quick, seed)]


SECTIONS = {
    "bounds": bounds,
    "long": long,
}


def main() -> None:
    parser = common.arguments(__doc__.splitlines()[0], rounds=3)
    args = parser.parse_args()
    common.introduce(args)
    results: dict[str, Any] = {}
    for name in common.chosen(args.only, list(SECTIONS)):
        try:
            rows = SECTIONS[name](args.quick, 0)
        except common.Missing as missing:
            print(f"> {missing} Left out.")
            continue
        common.table(f"{name}: MNIST", rows)
        results[name] = rows
        common.write(args.out, {"generative": results})


if __name__ == "__main__":
    main()
