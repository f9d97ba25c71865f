"""Vectors of any origin, scored as a search."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from lens.errors import LensError
from lens.metrics import RetrievalScores, retrieval_scores_by_role

KS = (1, 5, 10)


def score_items(
    vectors: np.ndarray, items: pd.DataFrame, *, relevance: str | None = None, split: str | None = None
) -> RetrievalScores:
    """Scores of float vectors [N, D] whose N items have ``category`` and/or ``product_id``, optionally ``role``.

    Args:
        relevance: ``category`` or ``product``; by default by category where there is one.
        split: only the items of this side are queries and gallery; all where None.

    Raises:
        LensError: the column that relevance needs is missing, or no item is left to be judged.
    """
    column = {"category": "category", "product": "product_id"}.get(relevance or "")
    if column is None:
        column = "category" if "category" in items else "product_id"
    if column not in items:
        raise LensError(
            f"relevance={relevance}: the items have no column {column}; they have {', '.join(map(str, items.columns))}."
        )
    rows = np.arange(len(items))
    if split is not None:
        rows = np.flatnonzero(items["split"].to_numpy() == split) if "split" in items else rows[:0]
    if len(rows) < 2:
        where = f" on the side {split!r}" if split else ""
        raise LensError(f"There are {len(rows)} items{where} to be judged; a search needs at least two.")
    labels = np.unique(items[column].to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)
    role = items["role"].fillna("").to_numpy(dtype=str) if "role" in items else np.full(len(items), "")
    if (role[rows] != "").any() and not {"query", "gallery"} <= set(
        np.where(role == "", "query", role)[rows]
    ):
        raise LensError(
            "The roles leave no query or no gallery item; give role=query to some and role=gallery to others."
        )
    return retrieval_scores_by_role(vectors[rows], labels[rows], rows, role[rows], ks=KS)


def as_result(scores: RetrievalScores, **more: Any) -> dict[str, Any]:
    """What ``out=FILE.json`` holds; a metric without a counted query is null."""
    metrics = {name: float(value) if np.isfinite(value) else None for name, value in scores.metrics.items()}
    return {
        "metrics": metrics,
        "queries": scores.queries,
        "excluded_queries": scores.excluded_queries,
        **more,
    }


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """The JSON file, written whole or not at all. Raises LensError where it cannot be written."""
    if path.is_dir():
        raise LensError(f"out={path} is a folder; give a file, such as {path / 'scores.json'}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        os.replace(fresh, path)
    except OSError as error:
        raise LensError(f"out={path} cannot be written: {error.strerror or error}.") from error


def print_result(title: str, scores: RetrievalScores) -> None:
    """The scores as a table for the terminal."""
    table = Table(title=f"{title}: {scores.queries} queries")
    table.add_column("metric")
    table.add_column("mean", justify="right")
    for name, value in scores.metrics.items():
        table.add_row(name, f"{value:.4f}")
    console = Console(soft_wrap=True)
    console.print(table)
    console.print(f"{scores.excluded_queries} queries have no relevant item and are left out.")


def print_runs(runs: Sequence[Mapping[str, Any]]) -> None:
    """One line a run: name, precision@1 and @10, recall@10, embedding size, seconds, and the settings that differ."""
    table = Table(
        title="Test precision (P) and recall (R) at 1 and 10, embedding size, seconds of training",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("model", no_wrap=True)
    columns = {
        "test/precision_at_1": "P@1",
        "test/precision_at_10": "P@10",
        "test/recall_at_10": "R@10",
        "test/queries": "queries",
        "model/embedding_size": "size",
        "train/seconds": "seconds",
    }
    for heading in (*columns.values(), "weights", "run"):
        table.add_column(heading, justify="right", no_wrap=True)
    given = [run["tags"].get("overrides", "").split() for run in runs]
    shared = set.intersection(*map(set, given)) if given else set()
    for run, words in zip(runs, given, strict=True):
        cells = [_cell(run["metrics"].get(key)) for key in columns]
        own = [word for word in words if word not in shared and word != f"model={run['name']}"]
        table.add_row(
            " ".join([str(run["name"]), *own]),
            *cells,
            str(run["tags"].get("weights", "")),
            str(run["run_id"])[:8],
        )
    # At least as wide as its headings, also on a narrow terminal and in a file.
    Console(width=max(Console().width, 96), soft_wrap=True).print(table)


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if value <= 1 else f"{value:.0f}"
