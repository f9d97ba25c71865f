"""What one evaluation says: in the terminal, and as a JSON file."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from lens.compare.judge import HEADLINE, Judged
from lens.errors import LensError


def as_result(judged: Judged, **more: Any) -> dict[str, Any]:
    """What ``out=FILE.json`` holds; a figure without a counted query is null."""
    scores = judged.scores
    return {
        "metrics": _plain(scores.metrics),
        "low": _plain({name: one.low for name, one in judged.intervals.items()}),
        "high": _plain({name: one.high for name, one in judged.intervals.items()}),
        "chance": _plain(scores.chance),
        "macro": _plain(judged.macro),
        "categories": {
            str(name): {key: _number(value) for key, value in line.items()}
            for name, line in judged.categories.to_dict("index").items()
        },
        "queries": scores.queries,
        "excluded_queries": scores.excluded_queries,
        "tied_queries": scores.tied_queries,
        "intervals_over": "products" if judged.clustered else "queries",
        "relevance": judged.relevance,
        **more,
    }


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


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


def print_result(title: str, judged: Judged) -> None:
    """The scores with intervals beside what chance scores, then precision@1 by category."""
    scores, console = judged.scores, Console(soft_wrap=True)
    table = Table(title=f"{title}: {scores.queries} queries", box=box.SIMPLE_HEAD)
    table.add_column("metric")
    for heading in ("mean", "95 % interval", "macro", "chance"):
        table.add_column(heading, justify="right")
    for name, one in judged.intervals.items():
        beside = (
            f"{one.low:.3f} to {one.high:.3f}",
            f"{judged.macro[name]:.3f}",
            f"{scores.chance[name]:.3f}",
        )
        table.add_row(name, f"{one.mean:.4f}", *beside)
    console.print(table)
    if len(judged.categories) > 1:
        console.print(_by_category(judged))
    kind = "products" if judged.clustered else "queries"
    if scores.excluded_queries:
        console.print(f"{scores.excluded_queries} queries have no relevant item and are left out.")
    console.print(f"Intervals: bootstrap over {kind}. Macro: mean over categories.")
    if scores.tied_queries:
        console.print(
            f"{scores.tied_queries} queries have results that depend on how items of equal cosine are ordered."
        )


def _by_category(judged: Judged, most: int = 20) -> Table:
    """The categories by rising precision@1, so that the difficult ones come first."""
    table = Table(title="By category, lowest precision_at_1 first", box=box.SIMPLE_HEAD)
    table.add_column("category")
    shown = [HEADLINE, "precision_at_10", "map_at_r"]
    for heading in ("queries", *shown):
        table.add_column(heading, justify="right")
    ordered = judged.categories.sort_values(HEADLINE, kind="stable")
    for name, line in ordered.head(most).iterrows():
        table.add_row(str(name), f"{line['queries']:.0f}", *(f"{line[key]:.3f}" for key in shown))
    if len(ordered) > most:
        table.caption = f"and {len(ordered) - most} more"
    return table
