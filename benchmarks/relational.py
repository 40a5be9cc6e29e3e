"""Codes that are learned from what belongs together, by what they are good for.

Sections: codes (generalized autoencoders, faces and MNIST: 1-NN error of supervised
codes, beside PCA's, LDA's and a plain autoencoder's), trust (how far neighbours of new
rows' codes are neighbours of theirs, beside scikit-learn's manifold learning),
embedding (1-NN error on MNIST and text, beside what is regularised), split_brain (Zhang
et al. 2017, on CIFAR-10: a linear classifier of the codes of lightness and colour, of
either alone, and of a plain autoencoder of the same size).
"""

from __future__ import annotations

import functools
import itertools
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import common
import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import (
    MDS,
    Isomap,
    LocallyLinearEmbedding,
    SpectralEmbedding,
    trustworthiness,
)
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import (
    Autoencoder,
    ConvolutionalAutoencoder,
    EmbeddingAutoencoder,
    GeneralizedAutoencoder,
    SplitBrainAutoencoder,
)

Split = tuple[Any, np.ndarray, Any, np.ndarray]

# -- data --------------------------------------------------------------------------


def faces(seed: int, quick: bool) -> Split:
    """Return five images of each of 40 people to train on, and the other five."""
    with np.load(common.data_file("orl_32x32.npz"), allow_pickle=False) as arrays:
        X, y = (arrays["X"] / 255).astype(np.float32), arrays["y"]
    rng = np.random.default_rng(seed)
    of_person = [rng.permutation(np.flatnonzero(y == who)) for who in np.unique(y)]
    train = np.concatenate([rows[:5] for rows in of_person])
    test = np.concatenate([rows[5:] for rows in of_person])
    return X[train], y[train], X[test], y[test]


def mnist(seed: int, quick: bool, n_train: int = 10000, n_test: int = 2000) -> Split:
    """Return so many of MNIST's rows to train on, and of its own test rows."""
    with np.load(common.data_file("mnist.npz"), allow_pickle=False) as arrays:
        parts = [arrays[name] for name in ("X_train", "y_train", "X_test", "y_test")]
    rng = np.random.default_rng(seed)
    if quick:
        n_train, n_test = 500, 200
    train, test = (
        rng.permutation(len(rows))[:n]
        for rows, n in ((parts[1], n_train), (parts[3], n_test))
    )
    X, X_test = ((parts[i][rows] / 255) for i, rows in ((0, train), (2, test)))
    X, X_test = X.astype(np.float32), X_test.astype(np.float32)
    return X, parts[1][train], X_test, parts[3][test]


def text(seed: int, quick: bool, n_train: int = 4000, n_test: int = 2000) -> Split:
    """Return tf-idf of posts of 20 newsgroups: earlier ones to train on, later ones."""
    together = common.newsgroups()
    counts, labels = together[::2], together[1::2]
    rng, parts = np.random.default_rng(seed), []
    if quick:
        n_train, n_test = 300, 200
    for rows, y, n in zip(counts, labels, (n_train, n_test), strict=True):
        chosen = rng.permutation(np.flatnonzero(np.diff(rows.indptr)))[:n]
        parts += [rows[chosen], y[chosen]]
    tfidf = TfidfTransformer(sublinear_tf=True).fit(parts[0])
    parts[0], parts[2] = (sp.csr_array(tfidf.transform(rows)) for rows in parts[::2])
    return tuple(parts)


def error(z: np.ndarray, y: np.ndarray, z_test: np.ndarray, y_test: np.ndarray) -> Any:
    """Return the error, in per cent, of the nearest neighbour's label."""
    return 100 - 100 * KNeighborsClassifier(1).fit(z, y).score(z_test, y_test)


def means(results: dict[Any, list[float]], name: str) -> list[dict[str, Any]]:
    """Return one row for each key, a tuple of facts, with the mean and the range."""
    return [
        {
            **dict(facts),
            name: statistics.mean(values),
            "from .. to": f"{min(values):.1f} .. {max(values):.1f}",
        }
        for facts, values in results.items()
    ]


# -- codes of what belongs together ------------------------------------------------


def codes(quick: bool, rounds: int) -> list[dict[str, Any]]:
    """1-NN error of new rows, of codes that know labels and of codes that do not."""
    results: dict[Any, list[float]] = {}
    epochs = {"max_iter": 1} if quick else {}
    related = functools.partial(GeneralizedAutoencoder, **epochs)
    cases = [("faces", faces, 10), ("faces", faces, 39), ("MNIST", mnist, 9)]
    for (data, load, k), seed in itertools.product(cases, range(rounds)):
        X, y, X_test, y_test = load(seed, quick)
        makes: dict[str, Any] = {
            "PCA": PCA(k, random_state=0),
            "LDA": LinearDiscriminantAnalysis(n_components=k),
            "Autoencoder": Autoencoder(k, random_state=seed, **epochs),
            "class": related(k, relation="class", random_state=seed),
            "mfa": related(k, relation="mfa", n_neighbors=4, random_state=seed),
            "mfa, as many impostors": related(
                k, relation="mfa", n_neighbors=4, n_impostors=4, random_state=seed
            ),
        }
        if data == "faces":  # few rows of many features: shrunk, and not from PCA
            wide: dict[str, Any] = {
                "hidden_layer_sizes": (512,),
                "linear_path": False,
                "weight_decay": 3.0,
                "random_state": seed,
            }
            makes["class, 512 units"] = related(k, relation="class", **wide)
            makes["mfa, as many impostors, 512 units"] = related(
                k, relation="mfa", n_neighbors=4, n_impostors=4, **wide
            )
        for name, model in makes.items():
            model.fit(X, y)
            result = error(model.transform(X), y, model.transform(X_test), y_test)
            facts = (("data", data), ("components", k), ("codes", name))
            results.setdefault(facts, []).append(result)
            print(data, k, name, seed, round(result, 2), flush=True)
    return means(results, "1-NN error, %")


# -- neighbours of new rows --------------------------------------------------------


def trust(quick: bool, rounds: int) -> list[dict[str, Any]]:
    """Trustworthiness (5 neighbours) of new rows' codes, times 100."""
    results: dict[Any, list[float]] = {}
    epochs = {"max_iter": 2} if quick else {}
    fewer = functools.partial(mnist, n_train=4000)
    cases = [
        (data, load, k)
        for data, load in (("faces", faces), ("MNIST", fewer))
        for k in (2, 8)
    ]
    n = 5

    def own_map(model: Any, X: Any, X_test: Any) -> Any:
        return model.fit(X).transform(X_test)

    def by_regression(model: Any, X: Any, X_test: Any) -> Any:
        return KNeighborsRegressor(n).fit(X, model.fit_transform(X)).predict(X_test)

    for (data, load, k), seed in itertools.product(cases, range(rounds)):
        X, _, X_test, _ = load(seed, quick)
        related = functools.partial(
            GeneralizedAutoencoder, k, n_neighbors=n, random_state=seed, **epochs
        )
        makes: dict[str, tuple[Callable[..., Any], Any]] = {
            "PCA": (own_map, PCA(k, random_state=0)),
            "Isomap": (own_map, Isomap(n_components=k, n_neighbors=n)),
            "LocallyLinearEmbedding": (
                own_map,
                LocallyLinearEmbedding(n_components=k, n_neighbors=n, random_state=0),
            ),
            "SpectralEmbedding, 5-NN regression": (
                by_regression,
                SpectralEmbedding(
                    k, affinity="nearest_neighbors", n_neighbors=n, random_state=0
                ),
            ),
            "Autoencoder": (own_map, Autoencoder(k, random_state=seed, **epochs)),
            **{
                name: (own_map, related(relation=name))
                for name in ("isomap", "lle", "laplacian")
            },
        }
        for name, (place, model) in makes.items():
            with warnings.catch_warnings():  # of graphs in several parts
                warnings.simplefilter("ignore")
                placed = place(model, X, X_test)
            result = 100 * trustworthiness(X_test, placed, n_neighbors=5)
            facts = (("data", data), ("components", k), ("codes", name))
            results.setdefault(facts, []).append(result)
            print(data, k, name, seed, round(result, 2), flush=True)
    return means(results, "trustworthiness, %")


# -- embeddings that an autoencoder regularises ------------------------------------


def embedding(quick: bool, rounds: int) -> list[dict[str, Any]]:
    """1-NN error: of new rows, and where all rows are there to be embedded."""
    results: dict[Any, list[float]] = {}
    epochs = {"max_iter": 1} if quick else {}
    few = functools.partial(mnist, n_train=2000, n_test=1000)
    more = functools.partial(mnist, n_train=4000)

    def cases() -> Iterator[tuple[str, Callable[..., Split], bool, dict[str, Any]]]:
        wide = {"hidden_layer_sizes": (512, 128), "linear_path": False}
        yield "MNIST, 4000 rows", more, False, {}
        yield "MNIST, 4000 rows, 512-128 units", more, False, wide
        yield "MNIST, 2000 rows", few, True, {}
        yield "20 newsgroups", text, False, {}

    k, n = 10, 5
    for (data, load, small, network), seed in itertools.product(cases(), range(rounds)):
        X, y, X_test, y_test = load(seed, quick)
        stack = sp.vstack if sp.issparse(X) else np.concatenate
        together = stack([X, X_test])
        net = {"random_state": seed, **network, **epochs}
        linear = TruncatedSVD if sp.issparse(X) else PCA
        spectral = SpectralEmbedding(
            k, affinity="nearest_neighbors", n_neighbors=n, random_state=0
        )
        embed = functools.partial(EmbeddingAutoencoder, k, n_neighbors=n, **net)
        makes: dict[str, Any] = {
            linear.__name__: linear(k, random_state=0),
            "Autoencoder": Autoencoder(k, **net),
            "SpectralEmbedding": spectral,
        }
        if small:
            scaling = {"n_init": 1, "init": "classical_mds", "max_iter": 100}
            makes["MDS"] = MDS(k, random_state=0, **scaling)
            makes["embedding: mds"] = embed(embedding="mds")
        for name in ("laplacian", "margin"):
            makes[f"embedding: {name}"] = embed(embedding=name)
        for name, model in makes.items():
            facts = (("data", data), ("codes", name))
            if hasattr(model, "transform"):
                z, z_test = model.fit(X).transform(X), model.transform(X_test)
                result = error(z, y, z_test, y_test)
                key = (*facts, ("embedded", "training rows"))
                results.setdefault(key, []).append(result)
                print(data, name, seed, "new rows", round(result, 2), flush=True)
            with warnings.catch_warnings():  # of graphs in several parts
                warnings.simplefilter("ignore")
                z = model.fit_transform(together)
            result = error(z[: len(y)], y, z[len(y) :], y_test)
            key = (*facts, ("embedded", "all rows"))
            results.setdefault(key, []).append(result)
            print(data, name, seed, "all rows", round(result, 2), flush=True)
    return means(results, "1-NN error, %")


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
            model = clone(template).set_params(random_state=seed)
            if epochs is not None:
                model.set_params(learning_rate_init=3e-3)
                model.set_params(max_iter=1 if quick else epochs)
            seconds = -time.time()
            model.fit(X[train])
            seconds += time.time()
            z, z_test = model.transform(X[train]), model.transform(X[test])
            facts[name] = {"components": k, "epochs": epochs}
            if epochs is not None:
                weights = model.module_.parameters()
                facts[name]["parameters"] = sum(weight.numel() for weight in weights)
                facts[name]["fit, s"] = seconds
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


SECTIONS = {
    "codes": codes,
    "trust": trust,
    "embedding": embedding,
    "split_brain": split_brain,
}
#: What the figures of a section are of.
DATA = {
    "codes": "ORL faces, 200 and 200 rows; MNIST, 10000 and 2000 rows",
    "trust": "ORL faces, 200 and 200 rows; MNIST, 4000 and 2000 rows",
    "embedding": "MNIST, and 2000 or 1000 other rows; tf-idf, 4000 and 2000 rows",
    "split_brain": "CIFAR-10, 2533 rows to train on and 1267 to test on",
}


def main() -> None:
    common.run("relational", __doc__, SECTIONS, DATA, rounds=3)


if __name__ == "__main__":
    main()
