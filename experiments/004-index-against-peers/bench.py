"""Our index against plain NumPy, faiss, hnswlib and usearch: one query at a time, on one thread.

taskset -c 0 .venv/bin/python experiments/004-index-against-peers/bench.py --rows 100000 --work FOLDER

A contender builds in one process and answers in another; a row is appended to results.csv as soon as it is done, and
contenders whose row is there are passed over. See README.md.
"""

import argparse
import csv
import importlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402
import psutil  # noqa: E402
from contenders import CONTENDERS, SEED, K, Search  # noqa: E402

HERE = Path(__file__).parent
DIMENSION, CLUSTER = 512, 100
CHOOSING = 200  # queries that choose a peer's effort
MEASURING = 1000  # queries that everything is measured by
GOAL = 0.99
PATIENCE = 60.0  # seconds of answering, after which the queries so far have to do; at least 100
COLUMNS = [
    "data", "rows", "dimension", "contender", "parameters", "effort", "recall_at_10", "recall_of_sums",
    "cosine_error", "queries_per_second", "p50_ms", "p99_ms", "wall_p50_ms", "rss_growth_mb",
    "build_s", "open_s", "file_mb", "queries", "version",
]  # fmt: skip


def prepare(folder: Path, rows: int, real: Path | None) -> None:
    """Write vectors.npy, queries.npy (1200, then as many sums of two) and truth.npy, the tenth cosine of each query."""
    if (folder / "truth.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    count = CHOOSING + MEASURING
    if real:
        every = np.load(real)
        order = np.random.default_rng(SEED).permutation(len(every))
        vectors, queries = every[np.sort(order[count:])], every[order[:count]]
    else:
        random = np.random.default_rng(SEED)
        centres = random.standard_normal((max(1, rows // CLUSTER), DIMENSION), dtype=np.float32)
        vectors, queries = around(centres, rows, random), around(centres, count, random)
    sums = queries + np.roll(queries, 1, axis=0)
    queries = np.concatenate([queries, sums / np.linalg.norm(sums, axis=1, keepdims=True)]).astype(np.float32)
    np.save(folder / "vectors.npy", vectors.astype(np.float32))
    np.save(folder / "queries.npy", queries)
    best = np.full((len(queries), K), -1.0, np.float32)
    for start in range(0, len(vectors), 50_000):
        cosines = np.concatenate([best, queries @ vectors[start : start + 50_000].T], axis=1)
        best = -np.partition(-cosines, K - 1, axis=1)[:, :K]
    np.save(folder / "truth.npy", best.min(axis=1))


def around(centres: Any, count: int, random: np.random.Generator) -> Any:
    """Unit vectors: a centre drawn at random and noise of the same length, so that two of a cluster have cosine 0.5."""
    result = np.empty((count, DIMENSION), np.float32)
    for start in range(0, count, 100_000):
        part = slice(start, min(count, start + 100_000))
        drawn = random.integers(len(centres), size=part.stop - start)
        block = centres[drawn] + random.standard_normal((len(drawn), DIMENSION), dtype=np.float32)
        result[part] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return result


def build(name: str, folder: Path, path: Path, given: argparse.Namespace) -> dict[str, Any]:
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    if CONTENDERS[name][1] is None:
        return {"build_s": 0.0, "parameters": {}, "file_mb": megabytes(folder / "vectors.npy")}
    started = time.perf_counter()
    parameters = CONTENDERS[name][1](vectors, path, given)
    seconds = time.perf_counter() - started
    return {"build_s": round(seconds, 2), "parameters": parameters, "file_mb": megabytes(path)}


def megabytes(path: Path) -> float:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return round(sum(file.stat().st_size for file in files) / 1e6, 1)


def answer(name: str, folder: Path, path: Path) -> dict[str, Any]:
    """Open, choose the effort by the first queries, and measure by the others. Memory counts from before opening."""
    library, _, opened, effort, most = CONTENDERS[name]
    warm(name)
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "truth.npy")
    vectors = np.load(
        folder / "vectors.npy"
    )  # all of it, before memory is counted: a mapped one would grow with use
    count = CHOOSING + MEASURING
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    search = opened(path, folder / "vectors.npy")
    open_s = time.perf_counter() - started
    search(queries[0], max(1, effort))
    while effort < most:
        if asked(search, queries[:CHOOSING], effort)[1].recall(vectors, queries, truth)[0] >= GOAL:
            break
        effort *= 2
    seconds, found = asked(search, queries[CHOOSING:count], effort)
    wall, cpu = seconds.T
    growth = psutil.Process().memory_info().rss - before
    recall, error = found.recall(vectors, queries[CHOOSING:], truth[CHOOSING:])
    sums = asked(search, queries[count + CHOOSING :][: len(seconds)], effort)[1]
    recall_of_sums, _ = sums.recall(vectors, queries[count + CHOOSING :], truth[count + CHOOSING :])
    return {
        "effort": effort or "",
        "recall_at_10": round(recall, 4),
        "recall_of_sums": round(recall_of_sums, 4),
        "cosine_error": f"{error:.1e}",
        "queries_per_second": round(len(cpu) / cpu.sum(), 1),
        "p50_ms": round(1e3 * float(np.quantile(cpu, 0.5)), 3),
        "p99_ms": round(1e3 * float(np.quantile(cpu, 0.99)), 3),
        "wall_p50_ms": round(1e3 * float(np.quantile(wall, 0.5)), 3),
        "rss_growth_mb": round(growth / 1e6),
        "open_s": round(open_s, 4),
        "queries": len(seconds),
        "version": f"{library} {importlib.metadata.version(library)}",
    }


def warm(name: str) -> None:
    """Import what the contender imports when it opens, so that neither time nor memory counts it."""
    library = CONTENDERS[name][0]
    if name.startswith("ours"):
        import lens.index  # noqa: F401
    importlib.import_module({"faiss-cpu": "faiss", "usearch": "usearch.index"}.get(library, library))


@dataclass(frozen=True)
class Found:
    """The answers to some queries: rows [n, 10] and cosines [n, 10]."""

    rows: Any
    cosines: Any

    def recall(self, vectors: Any, queries: Any, truth: Any) -> tuple[float, float]:
        """The share of results as near as the tenth nearest, and how far the returned cosines are from true ones."""
        hits, error = 0, 0.0
        for rows, cosines, query, tenth in zip(self.rows, self.cosines, queries, truth, strict=False):
            rows, cosines = rows[rows >= 0], cosines[rows >= 0]
            true = vectors[rows].astype(np.float64) @ query
            hits += int((true >= tenth - 1e-6).sum())
            error = max(error, float(np.abs(true - cosines).max(initial=0)))
        return hits / (K * len(self.rows)), error


def asked(search: Search, queries: Any, effort: int) -> tuple[Any, Found]:
    """Seconds of each query, by the clock and of the processor [n, 2], and answers; ends early when patience does."""
    started, seconds, rows, cosines = time.perf_counter(), [], [], []
    for query in queries:
        clock, processor = time.perf_counter(), time.process_time()
        found = search(query, effort)
        seconds.append((time.perf_counter() - clock, time.process_time() - processor))
        rows.append(np.asarray(found[0]))
        cosines.append(np.asarray(found[1]))
        if len(seconds) >= 100 and time.perf_counter() - started > PATIENCE:
            break
    return np.array(seconds), Found(np.stack(rows), np.stack(cosines))


def main() -> None:
    given = arguments()
    data = given.vectors.stem if given.vectors else "clustered"
    folder = given.work / f"{data}-{given.rows}"
    path = folder / f"built-{given.one}"
    if given.step == "build":
        print(json.dumps(build(given.one, folder, path, given)))
        return
    if given.step == "answer":
        print(json.dumps(answer(given.one, folder, path)))
        return
    prepare(folder, given.rows, given.vectors)
    rows, dimension = np.load(folder / "vectors.npy", mmap_mode="r").shape
    for name in given.only or CONTENDERS:
        about = {"data": data, "rows": rows, "dimension": dimension, "contender": name}
        if is_there(given.out, about):
            continue
        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
        command = [sys.executable, *sys.argv, "--one", name, "--step"]
        try:
            for step in ("build", "answer"):
                done = subprocess.run([*command, step], stdout=subprocess.PIPE, text=True, check=True)
                about |= json.loads(done.stdout.splitlines()[-1])
        except subprocess.CalledProcessError as error:
            print(f"{name} failed with status {error.returncode}", flush=True)
            continue
        finally:
            built = folder / f"built-{name}"
            shutil.rmtree(built) if built.is_dir() else built.unlink(missing_ok=True)
        append(given.out, about | {"parameters": json.dumps(about["parameters"])})
        print(about, flush=True)


def is_there(out: Path, about: dict[str, Any]) -> bool:
    if not out.exists():
        return False
    with out.open(newline="") as file:
        return any(all(row[name] == str(about[name]) for name in about) for row in csv.DictReader(file))


def append(out: Path, row: dict[str, Any]) -> None:
    new = not out.exists()
    with out.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=0, help="how many clustered vectors to make")
    parser.add_argument(
        "--vectors", type=Path, help="real embeddings instead: a .npy file, float32 [N, D], unit rows"
    )
    parser.add_argument("--work", type=Path, required=True, help="a folder for the data and what is built")
    parser.add_argument("--out", type=Path, default=HERE / "results.csv")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, help="these contenders alone")
    parser.add_argument("--neighbours", type=int, default=32, help="links of a node in every HNSW (M)")
    parser.add_argument("--construction", type=int, default=80, help="efConstruction of every HNSW")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--step", choices=("build", "answer"), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
