"""What a search over settings found: its course, and what each setting did."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lens.figures.style import INK, QUIET, RIGHT, WRONG, sheet, short

_MARKS = {"finished": ("o", "#0b57d0"), "pruned": ("v", "#9aa0a6")}
_MOST_COLUMNS = 3


def history_figure(trials: pd.DataFrame, monitor: str) -> Figure:
    """The trials in their order and the best figure so far.

    Args:
        trials: columns trial, state (finished, pruned, failed or another, which is left out) and value.
    """
    finished = trials[trials["state"] == "finished"]
    best = _best(trials)
    told = "".join(
        f"the best, {v:.3f}, is trial {n}" for v, n in zip(best["value"], best["trial"], strict=True)
    )
    figure, _ = sheet(
        9,
        3.8,
        f"{len(trials)} trials: {told or 'none finished'}",
        "Look for a line that has stopped rising: more trials will hardly help. Grey triangles were cut short at the "
        "figure they had reached, red crosses failed.",
    )
    axis = figure.subplots()
    for state, (mark, colour) in _MARKS.items():
        part = trials[trials["state"] == state]
        if len(part):
            axis.scatter(part["trial"], part["value"], marker=mark, color=colour, s=30, label=state, zorder=3)
    failed = trials[trials["state"] == "failed"]["trial"]
    low = trials["value"].min() if trials["value"].notna().any() else 0.0
    if len(failed):
        axis.scatter(failed, [low] * len(failed), marker="x", color=WRONG, s=30, label="failed", zorder=3)
    if len(finished):
        ordered = finished.sort_values("trial")
        steps = np.append(ordered["trial"], trials["trial"].max())
        line = np.append(ordered["value"].cummax(), ordered["value"].max())
        axis.step(steps, line, where="post", color=RIGHT, linewidth=1.5, label="best so far")
    axis.set(xlabel="trial", ylabel=monitor)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.25)
    axis.legend(fontsize=8, ncols=4, loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def importance_figure(importances: Mapping[str, float]) -> Figure:
    """One bar for each setting, the most important one on top; the importances add up to 1."""
    ordered = sorted(importances.items(), key=lambda pair: pair[1])
    figure, _ = sheet(
        8,
        0.45 * len(ordered) + 0.9,
        f"{short(ordered[-1][0], 40)} mattered most in this search",
        "The share of the variation between finished trials that each setting explains (fANOVA). It holds for the "
        "ranges searched, and says little after fewer than about 20 trials.",
    )
    axis = figure.subplots()
    bars = axis.barh(
        [short(name, 40) for name, _ in ordered], [share for _, share in ordered], color="#0b57d0"
    )
    axis.bar_label(bars, [f"{share:.0%}" for _, share in ordered], padding=3, fontsize=9, color=INK)
    axis.set(xlim=(0, 1.08), xlabel="share")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def slice_figure(trials: pd.DataFrame, scales: Mapping[str, str], monitor: str) -> Figure:
    """The figure against each setting; later trials are darker, so a search that closes in shows.

    Args:
        trials: as for history_figure, and a column for each setting.
        scales: log, linear or choice, by setting.
    """
    names = list(scales)
    columns = min(len(names), _MOST_COLUMNS)
    lines = math.ceil(len(names) / columns)
    figure, _ = sheet(
        3.6 * columns + 0.8,
        2.9 * lines,
        f"{monitor} against each setting",
        "Look for a peak inside the range: a best value at its edge asks for a wider one. Dots are finished trials, "
        "darker ones later, the best one ringed; grey triangles were cut short.",
    )
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for place, axis in enumerate(axes.flat):
        if place >= len(names):
            axis.axis("off")
            continue
        _slice(axis, trials, names[place], scales[names[place]])
        if place % columns == 0:
            axis.set_ylabel(monitor)
    return figure


def _slice(axis: Any, trials: pd.DataFrame, name: str, scale: str) -> None:
    values = trials[name]
    if scale == "choice":
        choices = _in_order(values)
        values = values.map({choice: place for place, choice in enumerate(choices)})
        axis.set_xticks(range(len(choices)), [short(choice, 14) for choice in choices], fontsize=8)
        axis.set_xlim(-0.5, len(choices) - 0.5)
        if len(choices) > 4:
            axis.tick_params(axis="x", rotation=40)
    finished, pruned = trials["state"] == "finished", trials["state"] == "pruned"
    axis.scatter(values[pruned], trials["value"][pruned], marker="v", color="#9aa0a6", s=22)
    axis.scatter(
        values[finished], trials["value"][finished], c=trials["trial"][finished], cmap="Blues", s=34,
        vmin=-len(trials) / 2, vmax=len(trials), edgecolors=QUIET, linewidths=0.5,
    )  # fmt: skip
    best = _best(trials).index
    axis.scatter(
        values[best], trials["value"][best], s=130, facecolors="none", edgecolors=RIGHT, linewidths=1.6
    )
    if scale == "log":
        axis.set_xscale("log")
    elif scale == "linear" and (values.dropna() % 1 == 0).all():
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel(short(name, 34))
    axis.grid(alpha=0.25)


def _best(trials: pd.DataFrame) -> pd.DataFrame:
    """The line of the best finished trial, the first of equals; no line where none finished."""
    finished = trials[trials["state"] == "finished"]
    return finished.sort_values(["value", "trial"], ascending=[False, True]).head(1)


def _in_order(values: "pd.Series[Any]") -> Sequence[str]:
    """Choices as numbers where they are numbers, else by the alphabet."""
    texts = sorted({str(value) for value in values.dropna()})
    try:
        return sorted(texts, key=float)
    except ValueError:
        return texts
