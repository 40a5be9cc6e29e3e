"""What the benchmarks share: data, interleaved rounds, peak memory, tables and JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import sklearn.datasets

PACKAGES = ("sklearn_ae", "torch", "scikit-learn", "skorch", "numpy", "scipy")
PACKAGES += ("pyod", "pythae")

# -- the command line --------------------------------------------------------------


def arguments(description: str, rounds: int) -> argparse.ArgumentParser:
    """Return a parser of the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--only", help="sections or cases to run, separated by commas")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    parser.add_argument("--out", type=Path, help="a JSON file to write")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small data, few epochs: a check, no result",
    )
    return parser


def chosen(only: str | None, names: Sequence[str]) -> list[str]:
    """Return those of `names` that ``--only`` asks for, all of them without it."""
    if only is None:
        return list(names)
    wanted = only.split(",")
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        sys.exit(f"--only knows {', '.join(names)}; not {', '.join(unknown)}.")
    return [name for name in names if name in wanted]


# -- data --------------------------------------------------------------------------


class Missing(Exception):
    """Data that is not here; the message says how to get it."""


def data_file(name: str) -> Path:
    """Return the path of a file of the data folder.

    Raises
    ------
    Missing
        If SKLEARN_AE_DATA is not set, or its folder has no such file.
    """
    folder = os.environ.get("SKLEARN_AE_DATA")
    if not folder:
        raise Missing(
            f"{name}: set the environment variable SKLEARN_AE_DATA to the folder "
            "with the benchmark data (see benchmarks/README.md)."
        )
    path = Path(folder) / name
    if not path.is_file():
        raise Missing(f"{name}: not in the folder that SKLEARN_AE_DATA names.")
    return path


def load(name: str, n_rows: int | None = None) -> np.ndarray:
    """Return the rows of a data set, or the first ones; real numbers, as they come."""
    if name in ("digits", "breast_cancer", "wine"):
        X = getattr(sklearn.datasets, f"load_{name}")().data
    elif name == "diabetes":
        X = sklearn.datasets.load_diabetes(scaled=False).data
    elif name == "mnist":
        with np.load(data_file("mnist.npz"), allow_pickle=False) as arrays:
            X = arrays["X_train"][:n_rows].astype(np.float64)
    else:
        file = {"isolet": "isolet_1560.npz"}.get(name, f"{name}.npz")
        with np.load(data_file(file), allow_pickle=False) as arrays:
            X = arrays["X"].astype(np.float64)
    return X[:n_rows]


def images(n_rows: int) -> tuple[np.ndarray, str]:
    """Return float32 rows of 784 numbers in [0, 1], and what they are.

    They are MNIST's; where the data folder is not here, scikit-learn's digits, drawn
    large (28 × 28) and repeated, which takes as long to compute with.
    """
    try:
        return (load("mnist", n_rows) / 255.0).astype(
            np.float32
        ), f"MNIST {n_rows} rows"
    except Missing as missing:
        print(f"> {missing} Taking scikit-learn's digits, enlarged to 28 × 28.\n")
    small = np.pad(load("digits").reshape(-1, 8, 8) / 16.0, ((0, 0), (3, 3), (3, 3)))
    large = small.repeat(2, axis=1).repeat(2, axis=2).reshape(len(small), 784)
    rows = np.resize(np.arange(len(large)), n_rows)
    return large[rows].astype(np.float32), f"enlarged digits, {n_rows} rows"


def newsgroups() -> tuple[Any, np.ndarray, Any, np.ndarray]:
    """Return word counts of 20 Newsgroups by date, and the posts' groups.

    Of the earlier posts and then of the later ones, as CSR of float32; some are empty.
    """
    parts: list[Any] = []
    file = data_file("newsgroups20_counts.npz")
    with np.load(file, allow_pickle=False) as arrays:
        for part in ("train", "test"):
            entries = [
                arrays[f"{part}_{what}"] for what in ("data", "indices", "indptr")
            ]
            rows = sp.csr_array(tuple(entries), shape=arrays[f"{part}_shape"])
            parts += [rows.astype(np.float32), arrays[f"y_{part}"]]
    return tuple(parts)


# -- rounds ------------------------------------------------------------------------


def interleave(
    contenders: dict[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """Return what each contender measures, by rounds.

    In every round each takes its turn, in an order that moves on by one, so that a busy
    minute of the machine falls on all of them.
    """
    names = list(contenders)
    results: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds):
        shift = i % len(names)
        for name in names[shift:] + names[:shift]:
            results[name].append(contenders[name]())
    return results


def ratio(results: dict[str, list[float]], name: str, reference: str) -> float:
    """Return the median over rounds of one contender's figure by another's."""
    pairs = zip(results[name], results[reference], strict=True)
    return statistics.median(a / b for a, b in pairs)


def seconds(function: Callable[[], Any]) -> float:
    """Return how long a call takes, on the clock."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what a package prints to nowhere."""
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


# -- memory ------------------------------------------------------------------------


def anonymous_bytes() -> int:
    """Return the resident memory of this process that no file stands behind."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    import psutil

    return int(psutil.Process().memory_info().rss)


class Peak:
    """The highest anonymous resident memory while a block runs, sampled.

    Attributes
    ----------
    start, highest : int
        Bytes.
    """

    def __init__(self, interval: float = 0.002) -> None:
        self.interval = interval

    def __enter__(self) -> Peak:
        self.start = self.highest = anonymous_bytes()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(self.interval):
            self.highest = max(self.highest, anonymous_bytes())

    def __exit__(self, *args: object) -> None:
        self._done.set()
        self._thread.join()
        self.highest = max(self.highest, anonymous_bytes())


def in_subprocess(script: str, *args: str) -> dict[str, Any]:
    """Run ``script --child args`` in a fresh process; return its last line's JSON."""
    done = subprocess.run(
        [sys.executable, script, "--child", *args],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return {"failed": lines[-1]}
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


# -- results -----------------------------------------------------------------------


def cpu_flags() -> list[str]:
    """Return which bfloat16 (and other wide) instructions this CPU has, on Linux."""
    known = {"avx2", "avx512f", "avx512_bf16", "amx_bf16", "bf16", "sve"}
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    return sorted(known & set(text.split()))


def environment() -> dict[str, Any]:
    """Return versions, cores and threads: what a figure depends on."""
    import torch

    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cpu_flags": cpu_flags(),
        "versions": versions,
    }


def cell(value: Any) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value).replace("|", "/")


def table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as a markdown table; the columns are the keys, in order."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print(f"\n### {title}\n")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(cell(row.get(c)) for c in columns) + " |")
    print(flush=True)


def write(out: Path | None, results: dict[str, Any]) -> None:
    """Write results and environment as JSON, if a file was asked for."""
    if out is not None:
        content = {"environment": environment(), **results}
        out.write_text(json.dumps(content, indent=1, default=float) + "\n")


def introduce(args: argparse.Namespace) -> None:
    """Print what the figures of this run depend on."""
    env = environment()
    names = ", ".join(f"{k} {v}" for k, v in env["versions"].items())
    print(f"Python {env['python']}, {names}.")
    print(f"{env['cores']} cores, {env['torch_threads']} torch threads.")
    if args.quick:
        print("--quick: too small and too short for a result.")


def run(
    script: str,
    doc: str,
    sections: dict[str, Callable[[bool, int], Any]],
    titles: dict[str, str],
    rounds: int,
) -> None:
    """Run the sections that are asked for; print a table of each and write them.

    Parameters
    ----------
    script : str
        Under which name the results are written.
    doc : str
        Its first line tells what is measured.
    sections : dict of callable
        Each is called with whether it is to be quick and the number of rounds, and
        returns rows, or several tables of them by name.
    titles : dict of str
        What the figures of a section are of.
    rounds : int
        The number of them where none is asked for.
    """
    args = arguments(doc.splitlines()[0], rounds).parse_args()
    introduce(args)
    results: dict[str, Any] = {}
    for name in chosen(args.only, list(sections)):
        try:
            found = sections[name](args.quick, 1 if args.quick else args.rounds)
        except Missing as missing:
            print(f"> {missing} Left out.")
            continue
        tables = found if isinstance(found, dict) else {"": found}
        for part, rows in tables.items():
            table(f"{name}: {', '.join(filter(None, (titles[name], part)))}", rows)
        results[name] = found
        write(args.out, {script: results})
