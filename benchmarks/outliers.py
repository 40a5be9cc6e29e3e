"""Outliers: ranking the rows of 14 tables of ADBench, and digits of nine other classes.

``adbench``: each detector is fitted to all rows of a table, outliers among them, and
ranks the same rows (ROC AUC). Features are standardised, of 11183 rows 10000 are drawn.

``mnist``: each detector is fitted to images of one digit and ranks all test images.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import common
import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from sklearn_ae import AutoencoderOutlierDetector

MOST_ROWS = 10000
#: A detector is a function of rows to learn from, rows to score, and a seed; it returns
#: scores, higher for what is more abnormal, and what it takes for an outlier, if it
#: says so.
Detector = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, Any]]

# -- detectors ---------------------------------------------------------------------


def ours(**params: Any) -> Detector:
    def detect(X: np.ndarray, rows: np.ndarray, seed: int) -> Any:
        model = AutoencoderOutlierDetector(random_state=seed, **params).fit(X)
        scores = model.score_samples(rows)
        return -scores, scores < model.offset_

    return detect


def forest(X: np.ndarray, rows: np.ndarray, seed: int) -> Any:
    model = IsolationForest(random_state=seed).fit(X)
    scores = model.score_samples(rows)
    return -scores, scores < model.offset_


def pyod(X: np.ndarray, rows: np.ndarray, seed: int) -> Any:
    from pyod.models.auto_encoder import AutoEncoder

    with common.quiet():
        model = AutoEncoder(random_state=seed, verbose=0).fit(X)
        scores = model.decision_function(rows)
    return scores, scores > model.threshold_


def mixture(X: np.ndarray, rows: np.ndarray, seed: int) -> Any:
    model = GaussianMixture(3, reg_covar=0.01, random_state=seed).fit(X)
    return -model.score_samples(rows), None


def n_components(X: np.ndarray) -> int:
    """Return the size of the code that our default has, for PCA's error beside it."""
    return min(32, max(1, round(X.shape[1] / 4)))


def pca_error(X: np.ndarray, rows: np.ndarray, seed: int) -> Any:
    pca = PCA(n_components(X), random_state=seed).fit(X)
    restored = pca.inverse_transform(pca.transform(rows))
    return np.square(rows - restored).mean(axis=1), None


def pca_whole(X: np.ndarray, rows: np.ndarray, seed: int) -> Any:
    """Return squared Mahalanobis distances: PCA's scores, as PyOD has them."""
    pca = PCA().fit(X)
    variances = pca.explained_variance_
    kept = variances > 1e-6 * variances[0]
    scores = pca.transform(rows)[:, kept]
    return (np.square(scores) / variances[kept]).sum(axis=1), None


DETECTORS: dict[str, Detector] = {
    "AutoencoderOutlierDetector()": ours(),
    "... n_estimators=4": ours(n_estimators=4),
    "... criterion='score'": ours(criterion="score"),
    "IsolationForest": forest,
    "GaussianMixture(3) of the rows": mixture,
    "PCA, all components": pca_whole,
    "PCA, error": pca_error,
    "PyOD AutoEncoder": pyod,
}

# -- sections ----------------------------------------------------------------------


def tables() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, standardised rows and whether each is an outlier."""
    with np.load(common.data_file("anomaly.npz"), allow_pickle=False) as arrays:
        names = sorted(key[:-3] for key in arrays.files if key.endswith("__X"))
        for name in names:
            X, y = arrays[f"{name}__X"].astype(np.float64), arrays[f"{name}__y"]
            if len(X) > MOST_ROWS:
                rng = np.random.RandomState(0)
                rows = rng.choice(len(X), MOST_ROWS, replace=False)
                X, y = X[rows], y[rows]
            yield name, StandardScaler().fit_transform(X), y


def mean_of_any(values: list[float]) -> float | None:
    """Return the mean; None of a detector that sets no threshold."""
    return statistics.mean(values) if values else None


def measure(
    cases: Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]],
    detectors: dict[str, Detector],
    rounds: int,
) -> dict[str, list[dict[str, Any]]]:
    """Return a table of ROC AUC by case, and one of means over the cases."""
    by_case: list[dict[str, Any]] = []
    seconds: dict[str, list[float]] = {name: [] for name in detectors}
    found: dict[str, list[float]] = {name: [] for name in detectors}
    alarms: dict[str, list[float]] = {name: [] for name in detectors}
    for case, X, rows, is_outlier in cases:
        areas: dict[str, Any] = {}
        for name, detect in detectors.items():
            each = []
            for seed in range(rounds):
                start = time.perf_counter()
                scores, flagged = detect(X, rows, seed)
                seconds[name].append(time.perf_counter() - start)
                each.append(100 * roc_auc_score(is_outlier, scores))
                if flagged is not None:
                    found[name].append(100 * f1_score(is_outlier, flagged))
                    alarms[name].append(100 * flagged[is_outlier == 0].mean())
            areas[name] = statistics.mean(each)
        by_case.append({"data": case, **areas})
        print(f"> {case}: {', '.join(f'{a:.1f}' for a in areas.values())}", flush=True)
    summary = [
        {
            "detector": name,
            "mean ROC AUC, %": statistics.mean(row[name] for row in by_case),
            "fit and score, s": statistics.mean(seconds[name]),
            "F1 at its own threshold, %": mean_of_any(found[name]),
            "false alarms, %": mean_of_any(alarms[name]),
        }
        for name in detectors
    ]
    return {"summary": summary, "by_set": by_case}


def adbench(quick: bool, rounds: int) -> dict[str, list[dict[str, Any]]]:
    cases = ((name, X, X, y) for name, X, y in tables())
    if quick:
        cases = (case for case in cases if len(case[1]) < 1000)
    return measure(cases, DETECTORS, rounds)


def mnist(quick: bool, rounds: int) -> dict[str, list[dict[str, Any]]]:
    with np.load(common.data_file("mnist.npz"), allow_pickle=False) as arrays:
        X, y = arrays["X_train"] / 255.0, arrays["y_train"]
        X_test, y_test = arrays["X_test"] / 255.0, arrays["y_test"]
    n_rows = 200 if quick else 2000
    X_test, y_test = X_test[: 2 * n_rows], y_test[: 2 * n_rows]
    digits = range(2 if quick else 10)
    cases = ((str(d), X[y == d][:n_rows], X_test, y_test != d) for d in digits)
    names = list(DETECTORS)
    names.remove("... n_estimators=4")
    names.remove("PCA, all components")  # 784 of them, of 2000 rows
    names.remove("GaussianMixture(3) of the rows")
    return measure(cases, {name: DETECTORS[name] for name in names}, 1)


SECTIONS = {"adbench": adbench, "mnist": mnist}
#: What the figures of a section are of.
DATA = {
    "adbench": "14 tables of ADBench",
    "mnist": "MNIST, 2000 rows of a digit and 4000 others",
}


def main() -> None:
    common.run("outliers", __doc__, SECTIONS, DATA, rounds=3)


if __name__ == "__main__":
    main()
