"""Quality of several models side by side, and what it costs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from lens.figures.style import label, sheet
from lens.metrics import Interval

ON_FRONT, BEHIND = "#0b57d0", "#9aa0a6"


def interval_figure(
    intervals: Mapping[str, Interval],
    *,
    chance: float | None = None,
    metric: str = "precision@1",
    over: str = "queries",
) -> Figure:
    """Mean and interval of each model, one line a model, in the order given; ``over``: what the intervals are over."""
    head = "Which model finds a relevant item first?"
    look = (
        "Intervals far apart: a clear order. Where they overlap, the paired comparison in the table decides."
    )
    figure, _ = sheet(7.5, 0.42 * len(intervals) + 1.0, head, look)
    axis = figure.subplots()
    for place, (_, one) in enumerate(intervals.items()):
        colour = ON_FRONT if place == 0 else "#444746"
        axis.errorbar(
            one.mean,
            -place,
            xerr=[[one.mean - one.low], [one.high - one.mean]],
            fmt="o",
            capsize=4,
            color=colour,
        )
        axis.annotate(
            f"{one.mean:.3f}", (one.mean, -place), (0, 6), textcoords="offset points", ha="center", fontsize=8
        )
    if chance is not None:
        axis.axvline(chance, linestyle=":", color="#b3261e")
        axis.text(chance, 0.7, " chance", color="#b3261e", fontsize=8, va="center")
    axis.set_yticks(
        [-place for place in range(len(intervals))], [label(name, 40) for name in intervals], fontsize=8
    )
    axis.set_ylim(-len(intervals) + 0.4, 1.0)
    axis.set_xlabel(f"{metric}, mean and 95 % interval over {over}")
    axis.grid(axis="x", alpha=0.3)
    return figure


def tradeoff_figure(
    quality: Mapping[str, Interval], cost: Mapping[str, float], *, unit: str, metric: str = "precision@1"
) -> Figure:
    """Quality against a cost (lower is better); models that no other beats in both are joined: the Pareto front.

    quality, cost: by model; models without a cost are left out.
    """
    names = [
        name
        for name in quality
        if name in cost and np.isfinite(cost[name]) and np.isfinite(quality[name].mean)
    ]
    head = f"What {metric} costs: {unit}"
    look = "Upper left is better. Blue, joined by the line: no other model is both better and cheaper (Pareto front)."
    figure, _ = sheet(7.5, 4.2, head, look)
    axis = figure.subplots()
    front = pareto_front([quality[name].mean for name in names], [cost[name] for name in names])
    for place, name in enumerate(names):
        one, colour = quality[name], ON_FRONT if place in front else BEHIND
        axis.errorbar(
            cost[name],
            one.mean,
            yerr=[[one.mean - one.low], [one.high - one.mean]],
            fmt="o",
            capsize=3,
            color=colour,
        )
        axis.annotate(
            label(name, 40),
            (cost[name], one.mean),
            (7, 5),
            textcoords="offset points",
            fontsize=8,
            color=colour,
        )
    ordered = sorted(front, key=lambda place: cost[names[place]])
    axis.plot(
        [cost[names[place]] for place in ordered],
        [quality[names[place]].mean for place in ordered],
        color=ON_FRONT,
        alpha=0.5,
        drawstyle="steps-post",
    )
    if names and min(cost[name] for name in names) > 0:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xticks(_ticks([cost[name] for name in names]))
    axis.margins(x=0.22, y=0.15)
    axis.set_xlabel(unit)
    axis.set_ylabel(metric)
    axis.grid(alpha=0.3)
    return figure


def pareto_front(quality: Sequence[float], cost: Sequence[float]) -> set[int]:
    """The places that no other place beats: none is at least as good and as cheap, and better in one of the two."""
    points = list(zip(quality, cost, strict=True))
    return {
        place
        for place, (q, c) in enumerate(points)
        if not any(oq >= q and oc <= c and (oq > q or oc < c) for oq, oc in points)
    }


def _ticks(values: Sequence[float]) -> list[float]:
    """1, 2, 5 times powers of ten around the values."""
    low, high = min(values) / 1.5, max(values) * 1.5
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    return [step * 10.0**power for power in powers for step in (1, 2, 5) if low <= step * 10.0**power <= high]
