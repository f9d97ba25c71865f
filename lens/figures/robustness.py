"""Quality against the severity of what was done to the query: a panel a corruption, a line a model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from lens.data.corruptions import CORRUPTIONS, SEVERITIES
from lens.figures.style import INK, QUIET, label, sheet

# Okabe and Ito (2008): told apart by people who see colours differently; markers and dashes tell them apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)))
_COLUMNS = 4


def robustness_figure(
    tables: Mapping[str, pd.DataFrame], *, metric: str = "precision_at_1", chance: float | None = None
) -> Figure:
    """One figure for all models; the band around a line is the 95 % interval.

    Args:
        tables: name of the model to its `lens.compare.robustness.RobustnessReport.table`.
        metric: a column of the tables that has its _low and _high.
        chance: what a random order scores, drawn as a dotted line.

    Raises ValueError where no table holds a corruption.
    """
    names = [
        name for name in CORRUPTIONS if any((one["corruption"] == name).any() for one in tables.values())
    ]
    if not names:
        raise ValueError("no table holds a corruption")
    words = _words(metric)
    head = f"How {words} falls as the query becomes more like a shopper's photo"
    look = (
        "Look for lines that stay flat: a model that falls where another does not has learned the catalogue's way of "
        "taking photographs. Severity 0 is the query as it is; bands are 95 % intervals; the gallery is never changed."
    )
    rows = -(-(len(names) + 1) // _COLUMNS)
    figure, _ = sheet(11, 2.7 * rows, head, look)
    axes = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        _panel(axis, name, tables, metric, chance)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis in axes[:, 0]:
        axis.set_ylabel(words)
    for axis in axes.flat[max(0, len(names) - _COLUMNS) : len(names)]:
        axis.set_xlabel("severity")
        axis.tick_params(labelbottom=True)
    _legend(axes.flat[-1], axes.flat[0])
    return figure


def _panel(
    axis: Any, corruption: str, tables: Mapping[str, pd.DataFrame], metric: str, chance: float | None
) -> None:
    for place, (model, table) in enumerate(tables.items()):
        lines = table[table["corruption"].isin(["clean", corruption])].sort_values("severity")
        colour = COLOURS[place % len(COLOURS)]
        axis.fill_between(
            lines["severity"],
            lines[f"{metric}_low"],
            lines[f"{metric}_high"],
            color=colour,
            alpha=0.15,
            linewidth=0,
        )
        axis.plot(
            lines["severity"],
            lines[metric],
            color=colour,
            marker=MARKERS[place % len(MARKERS)],
            markersize=4.5,
            linestyle=DASHES[place % len(DASHES)],
            label=label(model, 26),
        )
    if chance is not None:
        axis.axhline(chance, color=QUIET, linestyle=":", label="chance")
    axis.set_title(corruption, loc="left", fontsize=10, fontweight="bold", color=INK, pad=16)
    levels = CORRUPTIONS[corruption].levels
    told = f"{CORRUPTIONS[corruption].unit}: {levels[0]:g} to {levels[-1]:g}"
    axis.text(0, 1.02, told, transform=axis.transAxes, fontsize=6.8, color=QUIET, va="bottom")
    axis.set(xlim=(-0.15, SEVERITIES[-1] + 0.15), ylim=(0, 1.02), xticks=range(SEVERITIES[-1] + 1))
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _legend(place: Any, panel: Any) -> None:
    place.legend(*panel.get_legend_handles_labels(), loc="center left", frameon=False, fontsize=9)


def print_robustness(
    tables: Mapping[str, pd.DataFrame], *, metric: str = "precision_at_1", console: Console | None = None
) -> None:
    """A row a corruption and severity, a column a model: the mean and its 95 % interval.

    Raises ValueError where there is no table.
    """
    if not tables:
        raise ValueError("there is no table to print")
    queries = {int(one["queries"].iloc[0]) for one in tables.values()}
    counts = " / ".join(f"{count:,}" for count in sorted(queries))
    table = Table(
        title=f"{_words(metric)} (95 % interval) on {counts} queries, changed; the gallery is not",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("query", no_wrap=True)
    for name in tables:
        table.add_column(name.replace("[", r"\["), justify="right", max_width=18, overflow="fold")
    lines: dict[str, dict[Any, Any]] = {
        name: one.set_index(["corruption", "severity"]).to_dict("index") for name, one in tables.items()
    }
    for corruption in ("clean", *CORRUPTIONS):
        severities = sorted({key[1] for one in lines.values() for key in one if key[0] == corruption})
        for severity in severities:
            cells = [_cell(one, (corruption, severity), metric) for one in lines.values()]
            first = corruption if severity == 0 else f"{corruption} {severity}"
            table.add_row(first, *cells, end_section=severity == severities[-1])
    (console or Console(width=max(Console().width, 96), soft_wrap=True)).print(table)


def _words(metric: str) -> str:
    return metric.replace("_at_", "@").replace("_", " ")


def _cell(lines: Mapping[Any, Mapping[Any, float]], key: tuple[str, int], metric: str) -> str:
    if key not in lines:
        return "-"
    mean, low, high = (lines[key][name] for name in (metric, f"{metric}_low", f"{metric}_high"))
    return f"{mean:.2f} ({low:.2f}-{high:.2f})" if np.isfinite(low) else f"{mean:.2f}"
