"""Memory and time of the retrieval metrics at catalogue size, each measured in a fresh process.

Usage: python metrics_scale.py [--items 60000] [--peers 4000] [--width 512] [--threads 1]

Leave-one-out over random vectors around class centres, all metrics, k = 1, 5, 10, 100: with 10 classes (R is a tenth
of the items), with 1,000, and with 10 where all vectors are one (every rank is tied). Then, at a size that all survive,
pytorch-metric-learning and torchmetrics beside it, with the metrics they have. Prints one Markdown table; "memory" is
the peak of the process above what it held with the libraries imported and the vectors made.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

KS = (1, 5, 10, 100)


def vectors(items: int, classes: int, width: int, constant: bool) -> tuple[np.ndarray, np.ndarray]:
    """float32 [items, width] and int64 labels [items], made without a large copy."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(items) % classes)
    made = np.ones((items, width), np.float32)
    if not constant:
        centres = 0.3 * rng.standard_normal((classes, width), np.float32)
        for row in range(items):
            made[row] = centres[labels[row]] + rng.standard_normal(width, np.float32)
    return made, labels


def ours(x: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    from lens.metrics import retrieval_scores

    return retrieval_scores(x, labels, np.arange(len(x)), ks=KS).metrics


def pytorch_metric_learning(x: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    names = {"precision_at_1": "precision_at_1", "r_precision": "r_precision"}
    names |= {"map_at_r": "mean_average_precision_at_r", "mrr": "mean_reciprocal_rank"}
    calculator = AccuracyCalculator(
        include=tuple(names.values()),
        k="max_bin_count",
        knn_func=CustomKNN(CosineSimilarity(), batch_size=512),
        device=torch.device("cpu"),
    )
    found = calculator.get_accuracy(torch.from_numpy(x), torch.from_numpy(labels))
    return {name: found[other] for name, other in names.items()}


def torchmetrics(x: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    from torchmetrics import MetricCollection
    from torchmetrics.retrieval import (
        RetrievalMRR,
        RetrievalNormalizedDCG,
        RetrievalPrecision,
        RetrievalRPrecision,
    )

    unit = torch.nn.functional.normalize(torch.from_numpy(x))
    others = ~torch.eye(len(x), dtype=torch.bool)
    cosines = (unit @ unit.T)[others]
    relevant = (torch.from_numpy(labels)[:, None] == torch.from_numpy(labels))[others]
    queries = torch.arange(len(x)).repeat_interleave(len(x) - 1)
    metrics = {"r_precision": RetrievalRPrecision(), "mrr": RetrievalMRR()}
    metrics |= {f"precision_at_{k}": RetrievalPrecision(top_k=k) for k in KS}
    metrics |= {f"ndcg_at_{k}": RetrievalNormalizedDCG(top_k=k) for k in KS}
    # Scores of 0 and less are not retrieved there: shifted, which keeps the order.
    found = MetricCollection(metrics, compute_groups=True)(cosines + 2, relevant, indexes=queries)
    return {name: float(value) for name, value in found.items()}


def measure(case: dict[str, Any]) -> None:
    """In the child: print what it took, as JSON."""
    torch.set_num_threads(case["threads"])
    scorer = {"lens": ours, "pytorch-metric-learning": pytorch_metric_learning, "torchmetrics": torchmetrics}[
        case["who"]
    ]
    scorer(*vectors(100, 10, case["width"], False))
    x, labels = vectors(case["items"], case["classes"], case["width"], case["constant"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, processor = time.perf_counter(), time.process_time()
    metrics = scorer(x, labels)
    result = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
    result["mib"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps(result | {name: metrics.get(name) for name in ("precision_at_1", "r_precision", "mrr")}))


def row(case: dict[str, Any]) -> str:
    command = [sys.executable, str(Path(__file__).resolve()), "--case", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True)
    kind = "one vector" if case["constant"] else f"{case['classes']:,} classes"
    start = f"| {case['who']} | {case['items']:,} × {case['width']} | {kind} |"
    if done.returncode:
        return f"{start} failed: {(done.stderr.strip().splitlines() or ['killed'])[-1][:60]} | | | | | |"
    found = json.loads(done.stdout.splitlines()[-1])
    figures = [f"{found[name]:.4f}" for name in ("precision_at_1", "r_precision", "mrr")]
    return f"{start} {found['mib']:,.0f} | {found['wall']:.1f} | {found['processor']:.1f} | {' | '.join(figures)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=60_000)
    parser.add_argument("--peers", type=int, default=4_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        measure(json.loads(args.case))
        return
    lines = Path("/proc/cpuinfo").read_text().splitlines() if platform.system() == "Linux" else []
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    print(f"{model}, {args.threads} thread, torch {torch.__version__}, numpy {np.__version__}\n")
    print("| | items | labels | memory, MiB | wall, s | processor, s | precision_at_1 | r_precision | mrr |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    shared = {"width": args.width, "threads": args.threads, "constant": False}
    for classes, constant in ((10, False), (1000, False), (10, True)):
        print(
            row({"who": "lens", "items": args.items, **shared, "classes": classes, "constant": constant}),
            flush=True,
        )
    for who in ("lens", "pytorch-metric-learning", "torchmetrics"):
        print(row({"who": who, "items": args.peers, **shared, "classes": 10}), flush=True)


if __name__ == "__main__":
    main()
