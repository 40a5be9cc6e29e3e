"""Held-out error of `Autoencoder(k)` as it comes, against PCA and MLPRegressor.

On raw and on standardised features, 3 random splits (25 % test), k of about 5, 15 and
30 % of the features. MLPRegressor is used as an autoencoder, fit(X, X), as it comes:
its hidden layer has 100 units whatever k is. Its fits and ours take turns.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import common
import numpy as np
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from sklearn_ae import Autoencoder

# name -> rows to take
SETS = {
    "digits": None,
    "breast_cancer": None,
    "wine": None,
    "diabetes": None,
    "letter": None,
    "spambase": None,
    "isolet": None,
    "mnist": 5000,
}
SHARES = (0.05, 0.15, 0.30)


def sizes(n_features: int) -> list[int]:
    """Return the k of `SHARES`, each once."""
    return sorted({max(1, round(share * n_features)) for share in SHARES})


def timed(fit: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit()
    return fitted, time.perf_counter() - start


def compare(X: np.ndarray, k: int, seed: int, scaled: bool) -> dict[str, float]:
    """Return held-out errors and seconds of one split."""
    train, test = train_test_split(X, test_size=0.25, random_state=seed)
    if scaled:
        scaler = StandardScaler().fit(train)
        train, test = scaler.transform(train), scaler.transform(test)

    def error(restored: np.ndarray) -> float:
        return float(np.square(test - restored).mean())

    pca = PCA(k, random_state=seed).fit(train)
    fits: dict[str, Callable[[], Any]] = {
        "ours": lambda: Autoencoder(k, random_state=seed).fit(train),
        "MLP": lambda: MLPRegressor(random_state=seed).fit(train, train),
    }
    if seed % 2:
        fits = dict(reversed(fits.items()))
    done = {name: timed(fit) for name, fit in fits.items()}
    return {
        "PCA": error(pca.inverse_transform(pca.transform(test))),
        "ours": error(done["ours"][0].reconstruct(test)),
        "MLP": error(done["MLP"][0].predict(test).reshape(test.shape)),
        "s ours": done["ours"][1],
        "s MLP": done["MLP"][1],
    }


def cell(name: str, X: np.ndarray, k: int, scaled: bool, splits: int) -> dict[str, Any]:
    """Return a row of the table: the mean of the splits, and the worst of them."""
    runs = [compare(X, k, seed, scaled) for seed in range(splits)]
    ours = [run["ours"] / run["PCA"] for run in runs]
    return {
        "data": name,
        "features": "standardised" if scaled else "raw",
        "k": f"{k} of {X.shape[1]}",
        "ours / PCA": statistics.mean(ours),
        "worst split": max(ours),
        "MLP / PCA": statistics.mean(run["MLP"] / run["PCA"] for run in runs),
        "s ours": statistics.mean(run["s ours"] for run in runs),
        "s MLP": statistics.mean(run["s MLP"] for run in runs),
        "time ours / MLP": statistics.median(
            run["s ours"] / run["s MLP"] for run in runs
        ),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    errors = [row["ours / PCA"] for row in rows]
    slower = [row for row in rows if row["time ours / MLP"] > 1]
    return {
        "cells": len(rows),
        "below PCA": sum(error < 1 for error in errors),
        "worst split below PCA": sum(row["worst split"] < 1 for row in rows),
        "median ratio": statistics.median(errors),
        "highest ratio": max(errors),
        "fits slower than MLP's": len(slower),
        "median time ours / MLP": statistics.median(r["time ours / MLP"] for r in rows),
    }


def main() -> None:
    parser = common.arguments(__doc__.splitlines()[0], rounds=3)
    parser.add_argument("--sets", help="the same as --only: data sets, with commas")
    args = parser.parse_args()
    common.introduce(args)
    rows: list[dict[str, Any]] = []
    Autoencoder(2, max_iter=1).fit(np.random.default_rng(0).random((64, 8)))
    for name in common.chosen(args.sets or args.only, list(SETS)):
        try:
            X = common.load(name, 300 if args.quick else SETS[name])
        except common.Missing as missing:
            print(f"> {missing} Left out.")
            continue
        splits = 1 if args.quick else args.rounds
        here = [
            cell(name, X, k, scaled, splits)
            for scaled in (False, True)
            for k in sizes(X.shape[1])[: 1 if args.quick else None]
        ]
        common.table(f"{name}: {X.shape[0]} × {X.shape[1]}", here)
        rows += here
        common.write(args.out, {"defaults": rows, "summary": summary(rows)})
    if rows:
        common.table("summary", [summary(rows)])


if __name__ == "__main__":
    main()
