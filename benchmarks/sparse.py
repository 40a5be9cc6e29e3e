"""Sparse rows: time per epoch, peak memory and loss on tf-idf of 20 Newsgroups.

Sections: epochs (the exact sparse objective against the same with dense batches),
memory (each in a process of its own), heldout (defaults against TruncatedSVD).
"""

from __future__ import annotations

import functools
import json
import statistics
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import common
import numpy as np
import scipy.sparse as sp
import speed
import torch
import torch.nn.functional as F
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from torch import nn

from sklearn_ae import Autoencoder
from sklearn_ae.engine.rows import Batch, Rows

OURS, DENSE = "sklearn_ae, sparse", "sklearn_ae, dense batches"
LOOP = "hand-written loop, dense batches"
HIDDEN, CODE = 128, 32
BATCHES = (256, 512, 1024)


def documents(n_rows: int | None = None) -> tuple[Any, Any, str]:
    """Return training and test tf-idf in float32, and what they are."""
    try:
        train, _, test, _ = common.newsgroups()
    except common.Missing as missing:
        print(f"> {missing} Taking the docstrings of installed packages.\n")
        return _docstrings(n_rows)
    train, test = sp.csr_matrix(train), sp.csr_matrix(test)
    train, test = train[:n_rows], test[:n_rows]
    tfidf = TfidfTransformer().fit(train)
    train, test = (tfidf.transform(part).astype(np.float32) for part in (train, test))
    return train, test, f"20 Newsgroups, {train.shape[0]} × {train.shape[1]}"


def _docstrings(n_rows: int | None) -> tuple[Any, Any, str]:
    """Return the words of numpy's, scipy's, scikit-learn's and torch's docstrings."""
    import ast
    import importlib.util
    from pathlib import Path

    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = []
    for name in ("numpy", "scipy", "sklearn", "torch", "skorch"):
        spec = importlib.util.find_spec(name)
        for file in sorted(Path(spec.origin).parent.rglob("*.py")):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    tree = ast.parse(file.read_text())
            except (SyntaxError, UnicodeDecodeError):
                continue
            kinds = (ast.FunctionDef, ast.ClassDef, ast.Module)
            nodes = (node for node in ast.walk(tree) if isinstance(node, kinds))
            texts += [
                text
                for node in nodes
                if len(text := ast.get_docstring(node) or "") > 200
            ]
    order = np.random.default_rng(0).permutation(len(texts))[:20000]
    X = TfidfVectorizer(min_df=2, dtype=np.float32).fit_transform(
        [texts[i] for i in order]
    )
    cut = int(0.6 * X.shape[0])
    train, test = X[:cut][:n_rows], X[cut:][:n_rows]
    return train, test, f"docstrings, {train.shape[0]} × {train.shape[1]}"


# -- the same fit, three ways ------------------------------------------------------


@contextmanager
def dense_batches() -> Iterator[None]:
    """Let the library hand out dense batches; the rest of it stays as it is."""
    sparse_batch = Rows.batch

    def batch(self: Rows, index: torch.Tensor) -> Batch:
        x = sparse_batch(self, index).x.to_dense()
        return Batch(x, x)

    Rows.batch = batch
    try:
        yield
    finally:
        Rows.batch = sparse_batch


def ours(X: Any, batch: int, epochs: int, **parameters: Any) -> tuple[Any, list[float]]:
    widths = (X.shape[1], HIDDEN, CODE)
    return speed.fitted(X, widths, batch, epochs, **parameters)


def densified(X: Any, batch: int, epochs: int, **parameters: Any) -> Any:
    with dense_batches():
        return ours(X, batch, epochs, **parameters)


def loop(X: Any, batch: int, epochs: int) -> tuple[None, list[float]]:
    """Train the same network as one would by hand, each batch made dense."""
    torch.manual_seed(0)
    net = nn.Sequential(*speed.mlp((X.shape[1], HIDDEN, CODE)))
    adam = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    scale = float(np.sqrt(X.power(2).mean()))
    stamps = []
    for _ in range(epochs):
        for index in torch.randperm(X.shape[0]).split(batch):
            x = torch.from_numpy(X[index.numpy()].toarray()) / scale
            adam.zero_grad()
            loss = 0.5 * F.mse_loss(net(x), x, reduction="sum") / len(x)
            loss.backward()
            adam.step()
        stamps.append(time.perf_counter())
    return None, stamps


CONTENDERS = {OURS: ours, DENSE: densified, LOOP: loop}


def loss_difference(X: Any, batch: int) -> float:
    """Return the largest relative difference of the two objectives over an epoch.

    At the same weights (those of a short fit), batch by batch.
    """
    model, _ = ours(X, batch, 1)
    rows = Rows(X, model._fit.units, torch.float32)
    largest = 0.0
    for index in torch.arange(X.shape[0]).split(batch):
        x = rows.batch(index).x
        with torch.no_grad():
            exact = sum(model.module_.loss(Batch(x, x)).values())
            dense = x.to_dense()
            full = sum(model.module_.loss(Batch(dense, dense)).values())
        largest = max(largest, abs(float(exact / full) - 1.0))
    return largest


# -- sections ----------------------------------------------------------------------


def epochs(rounds: int, quick: bool) -> list[dict[str, Any]]:
    """Compare seconds per epoch and the losses."""
    X, _, what = documents(2048 if quick else None)
    n_epochs = 2 if quick else 3
    rows = []
    for batch in BATCHES[1:2] if quick else BATCHES:
        for run in CONTENDERS.values():
            run(X[: 2 * batch], batch, 1)
        times = common.interleave(
            {
                key: lambda run=run, batch=batch: speed.per_epoch(
                    run(X, batch, n_epochs + 1)[1]
                )
                for key, run in CONTENDERS.items()
            },
            rounds,
        )
        difference = loss_difference(X, batch)
        curves = {key: CONTENDERS[key](X, batch, n_epochs)[0] for key in (OURS, DENSE)}
        last = [curves[key].loss_curve_[-1] for key in (OURS, DENSE)]
        for key in CONTENDERS:
            row = {
                "batch": batch,
                "trained by": key,
                "s per epoch": statistics.median(times[key]),
                "sparse is faster by": common.ratio(times, key, OURS),
            }
            if key == OURS:
                row["loss, sparse to dense − 1"] = difference
                row["≤ 1e-5"] = difference <= 1e-5
                row[f"loss after {n_epochs} epochs, likewise"] = last[0] / last[1] - 1
            rows.append(row)
    common.table(f"epochs: {what}, {HIDDEN}-{CODE} and back, no linear path", rows)
    svd = [common.seconds(lambda: TruncatedSVD(CODE, random_state=0).fit(X))]
    svd += [common.seconds(lambda: TruncatedSVD(CODE, random_state=0).fit(X))]
    print(f"TruncatedSVD({CODE}), the whole fit: {min(svd):.3g} s.")
    return [*rows, {"TruncatedSVD, s": min(svd)}]


def child(what: str, batch: int, quick: bool) -> dict[str, Any]:
    """Fit in this process; return its memory: baseline, data, peak, parameters."""
    torch.ones(64, 64) @ torch.ones(64, 64)
    Autoencoder(2, max_iter=1).fit(np.random.default_rng(0).random((64, 8)))
    baseline = common.anonymous_bytes()
    X, _, _ = documents(2048 if quick else None)
    csr = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    parameters = 0
    with common.Peak() as peak:
        if what == "TruncatedSVD":
            TruncatedSVD(CODE, random_state=0).fit(X)
        elif what == "defaults":
            model = Autoencoder(CODE, max_iter=2, device="cpu", random_state=0).fit(X)
        else:
            model, _ = CONTENDERS[what](X, batch, 2)
    if what in (OURS, DENSE, "defaults"):
        parameters = sum(p.nbytes for p in model.module_.parameters())
    return {
        "csr": csr,
        "parameters": parameters,
        "peak": peak.highest - baseline,
        "fit": peak.highest - peak.start,
    }


def memory(rounds: int, quick: bool) -> list[dict[str, Any]]:
    """Compare the peak of a fit of two epochs over the baseline of the imports."""
    cases = [(what, batch) for what in CONTENDERS for batch in BATCHES]
    if quick:
        cases = [case for case in cases if case[1] == BATCHES[1]]
    cases += [("defaults", 0), ("TruncatedSVD", 0)]
    rows = []
    for what, batch in cases:
        answer = common.in_subprocess(__file__, what, str(batch), str(int(quick)))
        name = "sklearn_ae, defaults" if what == "defaults" else what
        row: dict[str, Any] = {"fitted by": name, "batch": batch or None}
        if "failed" in answer:
            rows.append({**row, "peak over imports, MB": answer["failed"]})
            continue
        mb = {key: value / 1e6 for key, value in answer.items()}
        row["CSR, MB"] = mb["csr"]
        row["weights, MB"] = mb["parameters"] or None
        row["peak of fit, MB"] = mb["fit"]
        row["peak over imports, MB"] = mb["peak"]
        if mb["parameters"]:
            # weights, gradients and Adam's two moments
            limit = mb["csr"] + 4 * mb["parameters"] + 200
            row["CSR + 4 × weights + 200, MB"] = limit
            row["within"] = mb["peak"] <= limit
        rows.append(row)
    common.table("memory: resident anonymous memory, two epochs", rows)
    return rows


def squared_error(X: Any, svd: TruncatedSVD) -> float:
    """Return the mean squared error per entry of sparse rows, no dense row made."""
    z = svd.transform(X)
    V = svd.components_
    restored = ((z @ (V @ V.T)) * z).sum()
    total = X.multiply(X).sum() - 2.0 * (z * (X @ V.T)).sum() + restored
    return float(total / np.prod(X.shape))


def heldout(rounds: int, quick: bool) -> list[dict[str, Any]]:
    """Compare the squared error on the test documents, with defaults."""
    train, test, what = documents(2048 if quick else None)
    rows = []
    for k in (32,) if quick else (32, 128):
        options = {"max_iter": 3} if quick else {}
        model = Autoencoder(k, random_state=0, device="cpu", **options)
        spent = common.seconds(functools.partial(model.fit, train))
        svd = TruncatedSVD(k, random_state=0)
        spent_svd = common.seconds(functools.partial(svd.fit, train))
        error, reference = -model.score(test), squared_error(test, svd)
        rows.append(
            {
                "components": k,
                "Autoencoder, 1e-6": error * 1e6,
                "TruncatedSVD, 1e-6": reference * 1e6,
                "error / TruncatedSVD's": error / reference,
                "on training rows": -model.score(train) / squared_error(train, svd),
                "s per fit": spent,
                "TruncatedSVD, s": spent_svd,
            }
        )
    common.table(f"held-out squared error per entry: {what}, defaults", rows)
    return rows


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        what, batch, quick = sys.argv[2:]
        print(json.dumps(child(what, int(batch), quick == "1")))
        return
    parser = common.arguments(__doc__.splitlines()[0], rounds=5)
    args = parser.parse_args()
    common.introduce(args)
    sections = {"epochs": epochs, "memory": memory, "heldout": heldout}
    results = {}
    for name in common.chosen(args.only, list(sections)):
        results[name] = sections[name](2 if args.quick else args.rounds, args.quick)
        common.write(args.out, {"sparse": results})


if __name__ == "__main__":
    main()
