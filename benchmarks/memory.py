"""Peak memory of a fit: a memory map ten times the allowance, and a wide CSR.

Each fit runs in a process of its own. What is counted is resident memory that no file
stands behind, over what the imports and a first small fit take. A mapped file's pages
are not counted: the system takes them back at will.

Sections: memmap, limit (the same with the process forbidden to allocate more than the
allowance, on Linux), stacked (two layers on the same memmap, whose codes between would
outgrow it too), csr.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
import scipy.sparse as sp

from sklearn_ae import Autoencoder, StackedAutoencoderPretrainer

ALLOWANCE = 200_000_000
N_FEATURES = 256


def make_file(path: Path, n_bytes: int) -> None:
    """Write float64 rows near a curved surface of 8 dimensions, a chunk at a time."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(8, N_FEATURES))
    with path.open("wb") as file:
        for _ in range(n_bytes // (8 * N_FEATURES * 4096)):
            rows = np.tanh(rng.normal(size=(4096, 8)) @ mix)
            (rows + 0.1 * rng.normal(size=rows.shape)).tofile(file)


def wide_csr(n_rows: int, n_features: int, per_row: int) -> sp.csr_matrix:
    """Return rows with `per_row` entries each."""
    rng = np.random.default_rng(0)
    indices = rng.integers(0, n_features, n_rows * per_row, dtype=np.int32)
    indptr = np.arange(0, len(indices) + 1, per_row, dtype=np.int32)
    data = rng.exponential(size=len(indices))
    X = sp.csr_matrix((data, indices, indptr), shape=(n_rows, n_features))
    X.sum_duplicates()
    return X


def virtual_data() -> int:
    """Return the private memory asked for so far, which is what RLIMIT_DATA counts."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    raise OSError("no VmData in /proc/self/status")


def child(what: str, argument: str) -> dict[str, Any]:
    """Fit in this process; return sizes in bytes."""
    # Threads, and what packages import late, belong to the baseline.
    warm = np.random.default_rng(0).normal(size=(512, 32))
    Autoencoder(8, max_iter=1, device="cpu").fit(warm).transform(warm)
    Autoencoder(8, max_iter=1, device="cpu").fit(sp.csr_matrix(warm)).transform(warm)
    baseline = common.anonymous_bytes()
    if what == "csr":
        n_rows, n_features, per_row = map(int, argument.split(","))
        X = wide_csr(n_rows, n_features, per_row)
        data = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    else:
        X = np.memmap(argument, np.float64, "r").reshape(-1, N_FEATURES)
        data = X.nbytes
    if what == "limit":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (virtual_data() + ALLOWANCE, hard))
    loaded = common.anonymous_bytes()
    start = time.perf_counter()
    model: Any = Autoencoder(16, max_iter=1, device="cpu", random_state=0)
    if what == "stacked":
        model = StackedAutoencoderPretrainer(layer_sizes=(300, 16), random_state=0)
        model.set_params(estimator__max_iter=1, estimator__device="cpu")
    with common.Peak() as fit:
        model.fit(X)
    spent = time.perf_counter() - start
    with common.Peak() as transform:
        codes = model.transform(X)
    return {
        "data": data,
        "dense": 8 * X.shape[0] * X.shape[1],
        "weights": sum(p.nbytes for p in model.module_.parameters()),
        "codes": codes.nbytes,
        "loaded": loaded - baseline,
        "fit": fit.highest - baseline,
        "transform": transform.highest - transform.start,
        "seconds": spent,
    }


def row(name: str, answer: dict[str, Any], limit: float | None) -> dict[str, Any]:
    if "failed" in answer:
        return {"fitted to": name, "X, MB": None, "note": f"failed: {answer['failed']}"}
    mb = {key: value / 1e6 for key, value in answer.items()}
    weights = mb["weights"]
    if limit is None:  # the data, weights with gradients and two moments, and 200 MB
        limit = mb["data"] + 4 * weights + ALLOWANCE / 1e6
    return {
        "fitted to": name,
        "X, MB": mb["data"],
        "X dense, MB": mb["dense"],
        "weights, MB": weights,
        "peak over imports, MB": mb["fit"],
        "limit, MB": limit,
        "within": mb["fit"] <= limit,
        "X / peak": mb["dense"] / mb["fit"],
        "transform adds, MB": mb["transform"],
        "its result, MB": mb["codes"],
        "s, one epoch": answer["seconds"],
    }


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(*sys.argv[2:])))
        return
    parser = common.arguments(__doc__.splitlines()[0], rounds=1)
    args = parser.parse_args()
    common.introduce(args)
    rows: list[dict[str, Any]] = []
    n_bytes = 10 * ALLOWANCE // (4 if args.quick else 1)
    wanted = common.chosen(args.only, ["memmap", "limit", "stacked", "csr"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.f64"
        if {"memmap", "limit", "stacked"} & set(wanted):
            make_file(path, n_bytes)
        for what in wanted:
            for _ in range(args.rounds):
                if what == "csr":
                    shape = "20000,50000,50" if args.quick else "50000,200000,50"
                    answer = common.in_subprocess(__file__, what, shape)
                    name = "CSR {} × {}, {} a row".format(*shape.split(","))
                    rows.append(row(name, answer, None))
                else:
                    answer = common.in_subprocess(__file__, what, str(path))
                    name = "memmap" + ", under RLIMIT_DATA" * (what == "limit")
                    name += ", two layers" * (what == "stacked")
                    rows.append(row(name, answer, ALLOWANCE / 1e6))
    common.table("peak memory of a fit", rows)
    common.write(args.out, {"memory": rows})


if __name__ == "__main__":
    main()
