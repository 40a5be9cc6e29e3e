"""Search by the codes of documents and of images, which knew no labels.

Sections: text (20 Newsgroups by date, cosine: codes of 10, 32 and 128 components
beside `TruncatedSVD`'s, each later post the query among the others, as Hinton &
Salakhutdinov 2006 have it), images (MNIST and faces: nearest neighbours by codes of 32
components, beside PCA's and raw pixels), map (codes of two components beside
`TruncatedSVD`'s, drawn).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import numpy as np
import scipy.sparse as sp
from relational import mnist
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from sklearn_ae import L2, Autoencoder, CodeDisplay, DenoisingAutoencoder

#: Levels of recall at which precision is given.
RECALL = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
GROUPS = (
    "alt.atheism",
    "comp.graphics",
    "comp.os.ms-windows.misc",
    "comp.sys.ibm.pc.hardware",
    "comp.sys.mac.hardware",
    "comp.windows.x",
    "misc.forsale",
    "rec.autos",
    "rec.motorcycles",
    "rec.sport.baseball",
    "rec.sport.hockey",
    "sci.crypt",
    "sci.electronics",
    "sci.med",
    "sci.space",
    "soc.religion.christian",
    "talk.politics.guns",
    "talk.politics.mideast",
    "talk.politics.misc",
    "talk.religion.misc",
)

# -- text --------------------------------------------------------------------------


def posts(quick: bool) -> tuple[Any, np.ndarray, Any, np.ndarray]:
    """Return tf-idf and groups of the earlier posts and of the later; none is empty."""
    X, y, X_test, y_test = common.newsgroups()
    few = slice(None, None, 25 if quick else None)  # they lie there by their groups
    kept, kept_test = (
        np.flatnonzero(np.diff(part.indptr))[few] for part in (X, X_test)
    )
    tfidf = TfidfTransformer(sublinear_tf=True).fit(X)
    rows, rows_test = (
        sp.csr_array(tfidf.transform(part)) for part in (X[kept], X_test[kept_test])
    )
    return rows, y[kept], rows_test, y_test[kept_test]


def document_model(k: int, seed: int, epochs: int) -> DenoisingAutoencoder:
    """Return a model of counts, half of whose words are hidden in each step.

    Few components need a hidden layer; with more a map from words to codes that is
    linear does better.
    """
    return DenoisingAutoencoder(
        k,
        loss="multinomial",
        noise="masking",
        noise_level=0.5,
        hidden_layer_sizes=(128,) if k < 32 else (),
        learning_rate_init=5e-3,
        max_iter=epochs,
        random_state=seed,
    )


def searched(codes: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return how well documents of a row's group are found among the others.

    Precision of the nearest ten by cosine, mean average precision, and the precision
    where so much recall is reached; means over all rows, in per cent.
    """
    codes = normalize(codes)
    of_ten, average, at_recall = [], [], []
    for start in range(0, len(codes), 500):
        query = np.arange(start, min(start + 500, len(codes)))
        nearness = codes[query] @ codes.T
        nearness[np.arange(len(query)), query] = -np.inf  # a row does not find itself
        order = np.argsort(-nearness, axis=1, kind="stable")[:, :-1]
        right = y[order] == y[query, None]
        found = right.cumsum(axis=1)
        precision = found / np.arange(1, found.shape[1] + 1)
        in_all = found[:, -1]
        of_ten.append(precision[:, 9])
        average.append((precision * right).sum(axis=1) / in_all.clip(1))
        needed = np.ceil(np.outer(in_all, RECALL)).clip(1)
        ranks = [np.searchsorted(f, n) for f, n in zip(found, needed, strict=True)]
        last = found.shape[1] - 1
        at_recall.append(np.take_along_axis(precision, np.minimum(ranks, last), axis=1))
    return {
        "precision at 10, %": 100 * np.concatenate(of_ten).mean(),
        "mean average precision, %": 100 * np.concatenate(average).mean(),
        **{
            f"at recall {level:g}": value
            for level, value in zip(
                RECALL, 100 * np.concatenate(at_recall).mean(axis=0), strict=True
            )
        },
    }


def text(quick: bool, rounds: int, folder: Path) -> list[dict[str, Any]]:
    """Search among later posts by codes that were learned from earlier ones."""
    X, _, X_test, y_test = posts(quick)
    makes: dict[str, Callable[[int, int], Any]] = {
        "TruncatedSVD": lambda k, seed: TruncatedSVD(k, random_state=seed),
        "Autoencoder": lambda k, seed: Autoencoder(
            k, random_state=seed, max_iter=1 if quick else "auto"
        ),
        "multinomial": lambda k, seed: document_model(k, seed, 1 if quick else 15),
    }
    rows = []
    for k in (10, 32, 128):
        for name, make in makes.items():
            results, seconds = [], []
            for seed in range(rounds):
                model = make(k, seed)
                seconds.append(common.seconds(lambda m=model: m.fit(X)))
                results.append(searched(model.transform(X_test), y_test))
            figures = {
                key: float(statistics.mean(result[key] for result in results))
                for key in results[0]
            }
            fit = {"fit, s": statistics.median(seconds)}
            rows.append({"components": k, "codes": name, **figures, **fit})
            print(rows[-1], flush=True)
    return rows


# -- images ------------------------------------------------------------------------


def faces(quick: bool) -> list[tuple[Any, np.ndarray, Any, np.ndarray]]:
    """Return five splits: eight images of each of 40 people, and the other two."""
    with np.load(common.data_file("orl_32x32.npz"), allow_pickle=False) as arrays:
        X, y = (arrays["X"] / 255).astype(np.float32), arrays["y"]
    folds = StratifiedKFold(5, shuffle=True, random_state=0).split(X, y)
    splits = [(X[kept], y[kept], X[asked], y[asked]) for kept, asked in folds]
    return splits[:1] if quick else splits


def images(quick: bool, rounds: int, folder: Path) -> list[dict[str, Any]]:
    """Precision of the nearest ten images of those that were learned from."""
    data = {
        "MNIST": ([mnist(seed, quick) for seed in range(rounds)], 40),
        "faces": (faces(quick), 150),
    }
    k, rows = 32, []
    for name, (splits, epochs) in data.items():
        makes: dict[str, Any] = {
            "raw pixels": None,
            "PCA": PCA(k, random_state=0),
            "Autoencoder": Autoencoder(k, random_state=0),
            "denoising": DenoisingAutoencoder(
                k,
                noise="masking",
                noise_level=0.5,
                hidden_layer_sizes=(512,),
                penalties=L2(weight=0.03),
                max_iter=epochs,
                random_state=0,
            ),
        }
        for codes, template in makes.items():
            precision: dict[str, list[float]] = {"euclidean": [], "cosine": []}
            seconds = []
            for X, y, X_test, y_test in splits:
                z, z_test = X, X_test
                if template is not None:
                    model = clone(template)
                    if quick and "max_iter" in model.get_params():
                        model.set_params(max_iter=1)
                    start = time.perf_counter()
                    model.fit(X)
                    seconds.append(time.perf_counter() - start)
                    z, z_test = model.transform(X), model.transform(X_test)
                for metric, values in precision.items():
                    search = NearestNeighbors(n_neighbors=10, metric=metric).fit(z)
                    nearest = search.kneighbors(z_test, return_distance=False)
                    values.append(100 * (y[nearest] == y_test[:, None]).mean())
            rows.append(
                {
                    "data": name,
                    "codes": codes,
                    "components": None if template is None else k,
                    **{
                        f"precision at 10, %, {metric}": float(statistics.mean(values))
                        for metric, values in precision.items()
                    },
                    "fit, s": statistics.median(seconds) if seconds else None,
                }
            )
            print(rows[-1], flush=True)
    return rows


# -- a map -------------------------------------------------------------------------


def of_two(quick: bool, rounds: int, folder: Path) -> list[dict[str, Any]]:
    """Codes of two components: figures as in `text`, and a picture."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    X, _, X_test, y_test = posts(quick)
    # a map that a few cannot stretch
    bounded = document_model(2, 0, 1 if quick else 20)
    makes = {
        "multinomial": bounded.set_params(code_activation="tanh"),
        "TruncatedSVD": TruncatedSVD(2, random_state=0),
    }
    planes = {name: model.fit(X).transform(X_test) for name, model in makes.items()}
    names = np.array(GROUPS)[y_test]
    drawn = np.random.default_rng(0).permutation(len(names))[:4000]
    display = CodeDisplay(
        codes={name: plane[drawn] for name, plane in planes.items()}, y=names[drawn]
    ).plot(s=3)
    path = folder / "retrieval_map.png"
    display.figure_.savefig(path, dpi=110)
    plt.close(display.figure_)
    print(f"The map is in {path}.")
    return [
        {"codes": name, **searched(plane, y_test)} for name, plane in planes.items()
    ]


SECTIONS = {"text": text, "images": images, "map": of_two}
#: What the figures of a section are of.
DATA = {
    "text": "20 Newsgroups, 10984 posts to learn from and 7290 to search among",
    "images": "MNIST, 10000 rows and 2000 queries; ORL faces, 320 and 80 by five folds",
    "map": "20 Newsgroups, as before",
}


def main() -> None:
    parser = common.arguments(__doc__.splitlines()[0], rounds=1)
    args = parser.parse_args()
    common.introduce(args)
    folder = Path(".") if args.out is None else args.out.parent
    results: dict[str, Any] = {}
    for name in common.chosen(args.only, list(SECTIONS)):
        try:
            rows = SECTIONS[name](args.quick, 1 if args.quick else args.rounds, folder)
        except common.Missing as missing:
            print(f"> {missing} Left out.")
            continue
        common.table(f"{name}: {DATA[name]}", rows)
        results[name] = rows
        common.write(args.out, {"retrieval": results})


if __name__ == "__main__":
    main()
