"""Lines of a table: several ways to ask, each with its figures and their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from lens.metrics import Interval, RetrievalScores, intervals


@dataclass(frozen=True)
class Line:
    """One way to ask: figures by name, over its queries; chance: what a random order scores, where that is known."""

    name: str
    queries: int
    figures: Mapping[str, Interval]
    chance: Mapping[str, float] = field(default_factory=dict)


def line_of(
    name: str, scores: RetrievalScores, shown: Mapping[str, str], clusters: np.ndarray | None = None
) -> Line:
    """A line of some metrics of a search.

    Args:
        shown: metric to the name that it has in the line.
        clusters: int [counted queries], for intervals over groups of queries.
    """
    found = intervals({new: scores.per_query[old] for old, new in shown.items()}, clusters)
    return Line(name, scores.queries, found, {new: scores.chance[old] for old, new in shown.items()})


def print_lines(title: str, lines: Sequence[Line], note: str = "") -> None:
    """The lines in the terminal, figures with their 95 % intervals."""
    names = list(dict.fromkeys(name for line in lines for name in line.figures))
    table = Table(title=title, box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for name in ("queries", *names):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(line.name, f"{line.queries:,}", *(_cell(line, name) for name in names))
    chance = {name: value for line in lines for name, value in line.chance.items() if np.isfinite(value)}
    if chance:
        table.add_row("by chance", "", *(f"{chance[name]:.3f}" if name in chance else "" for name in names))
    console = Console(soft_wrap=True)
    needed = console.measure(table, options=console.options.update(width=1000)).maximum
    Console(width=max(console.width, needed)).print(table)  # a figure is never cut
    if note:
        console.print(note, highlight=False)


def _cell(line: Line, name: str) -> str:
    one = line.figures.get(name)
    return "" if one is None else f"{one.mean:.3f} ({one.low:.3f} to {one.high:.3f})"


def plain_lines(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Plain values for JSON; a figure without a query is null."""
    return [
        {
            "name": line.name,
            "queries": line.queries,
            "figures": {
                name: {"mean": _number(one.mean), "low": _number(one.low), "high": _number(one.high)}
                for name, one in line.figures.items()
            },
            "chance": {name: _number(value) for name, value in line.chance.items()},
        }
        for line in lines
    ]


def means(group: str, lines: Sequence[Line]) -> dict[str, float | None]:
    """``group/line/figure`` to mean, for a run's metrics."""
    return {
        f"{group}/{line.name}/{name}": _number(one.mean)
        for line in lines
        for name, one in line.figures.items()
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
