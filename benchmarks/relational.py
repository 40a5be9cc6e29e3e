"""Codes that are learned from what belongs together, by what they are good for.

Sections: split_brain (Zhang et al. 2017, on CIFAR-10: a linear classifier of the codes
of lightness and colour, of either alone, and of a plain autoencoder of the same size).
"""

from __future__ import annotations

import itertools
import statistics
import time
from typing import Any

import common
import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import ConvolutionalAutoencoder, SplitBrainAutoencoder

# -- parts that predict each other -------------------------------------------------


def cifar(quick: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of CIFAR-10 that there are, in [0, 1], and their labels."""
    with np.load(common.data_file("cifar10_small.npz"), allow_pickle=False) as arrays:
        X, y = (
            np.concatenate([arrays[f"{name}_train"], arrays[f"{name}_test"]])
            for name in "Xy"
        )
    few = slice(300 if quick else None)
    return X[few].astype(np.float32) / 255, y[few]


def probed(z: np.ndarray, y: np.ndarray, z_test: np.ndarray, y_test: np.ndarray) -> Any:
    """Return the test accuracy, in per cent, of a linear classifier of codes.

    Its C is chosen on training rows, by three folds.
    """
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    grid = {"logisticregression__C": [1e-3, 1e-2, 1e-1]}
    search = GridSearchCV(classifier, grid, cv=3).fit(z, y)
    return 100 * search.score(z_test, y_test)


def split_brain(quick: bool, rounds: int) -> list[dict[str, Any]]:
    """Linear probes of codes: each third of the rows is the test set once."""
    X, y = cifar(quick)
    k = 128
    images = {"image_shape": (32, 32, 3), "hidden_layer_sizes": ()}
    split: dict[str, Any] = {"split": "channels", "channels": (16, 32, 64), **images}
    # classification takes twice as long for an epoch; one network of three channels has
    # as many parameters as two of one and two, if it is somewhat wider
    makes: dict[str, Any] = {
        "split-brain": (SplitBrainAutoencoder(k, **split), 20),
        "split-brain, 8 bins": (
            SplitBrainAutoencoder(k, target="classification", n_bins=8, **split),
            10,
        ),
        "plain autoencoder": (
            ConvolutionalAutoencoder(k, channels=(18, 36, 72), **images),
            20,
        ),
        "PCA": (PCA(k), None),
    }
    accuracy: dict[str, list[float]] = {}
    facts: dict[str, dict[str, Any]] = {}
    folds = StratifiedKFold(3, shuffle=True, random_state=0).split(X, y)
    for seed, (train, test) in enumerate(itertools.islice(folds, rounds)):
        for name, (template, epochs) in makes.items():
            model, start = clone(template).set_params(random_state=seed), time.time()
            if epochs is not None:
                model.set_params(learning_rate_init=3e-3)
                model.set_params(max_iter=1 if quick else epochs)
            z, z_test = model.fit_transform(X[train]), model.transform(X[test])
            facts[name] = {"components": k, "epochs": epochs}
            if epochs is not None:
                weights = model.module_.parameters()
                facts[name]["parameters"] = sum(weight.numel() for weight in weights)
                facts[name]["fit, s"] = time.time() - start
            columns = {name: slice(None)}
            if name.startswith("split"):
                columns[f"{name}: lightness alone"] = slice(k // 2)
                columns[f"{name}: colour alone"] = slice(k // 2, None)
            for codes, some in columns.items():
                facts.setdefault(codes, {"components": k // 2, "epochs": epochs})
                result = probed(z[:, some], y[train], z_test[:, some], y[test])
                accuracy.setdefault(codes, []).append(result)
    rows = []
    for codes, results in accuracy.items():
        pairs = zip(results, accuracy["split-brain"], strict=True)
        margins = [joined - other for other, joined in pairs]
        row = {"codes": codes, "test accuracy, %": statistics.mean(results)}
        if codes != "split-brain":
            row["below split-brain's by"] = statistics.mean(margins)
            row["from .. to"] = f"{min(margins):.1f} .. {max(margins):.1f}"
        rows.append({**row, **facts[codes]})
    return rows


SECTIONS = {"split_brain": split_brain}
#: What the figures of a section are of.
DATA = {"split_brain": "CIFAR-10, 2533 rows to train on and 1267 to test on"}


def main() -> None:
    parser = common.arguments(__doc__.splitlines()[0], rounds=3)
    args = parser.parse_args()
    common.introduce(args)
    results: dict[str, Any] = {}
    for name in common.chosen(args.only, list(SECTIONS)):
        try:
            rows = SECTIONS[name](args.quick, 1 if args.quick else args.rounds)
        except common.Missing as missing:
            print(f"> {missing} Left out.")
            continue
        common.table(f"{name}: {DATA[name]}", rows)
        results[name] = rows
        common.write(args.out, {"relational": results})


if __name__ == "__main__":
    main()
