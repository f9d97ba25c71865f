"""Whether the shown score can be taken at its word, and what its bands hold."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lens.figures.style import BAND_COLOURS, INK, QUIET, percent, sheet
from lens.metrics.calibration import HIGH, MEDIUM, Calibration

_RANGES = {"high": f"{100 * HIGH:.0f} and more", "medium": f"{100 * MEDIUM:.0f} to {100 * HIGH:.0f}"}


def calibration_figure(
    curve: pd.DataFrame,
    bands: pd.DataFrame,
    calibration: Calibration,
    errors: tuple[float, float],
    fitted_on: str,
    judged_on: str,
) -> Figure:
    """The reliability of the shown score beside the share and the precision of each band.

    Args:
        curve, bands: of the side `judged_on`, as `lens.metrics.calibration.reliability` (of ``max(0, cosine)``) and
            `band_table` give them.
        calibration: from the side `fitted_on`.
        errors: the calibration error of the score and of the calibrated probability, on `judged_on`.
    """
    high: Any = bands.set_index("band").loc["high"]
    head = f"What a high score is worth ({judged_on}): "
    if high["results"]:
        head += f"{percent(high['share'])} of the results are high, {percent(high['precision'])} of these are relevant"
    else:
        head += "no result reaches the high band"
    look = (
        "Left: look for points on the diagonal, where a score of 70 is right 70 % of the time; below it the score "
        f"promises too much. It is {100 * errors[0]:.0f} points off on average; after the calibration fitted on "
        f"{fitted_on} (the line), {100 * errors[1]:.0f}. By the line, {_starts(calibration)}. Right: what share of the "
        "results each band holds, and how many of those are relevant."
    )
    if fitted_on == judged_on:
        look = f"FITTED AND JUDGED ON THE SAME RESULTS: there is no validation side to fit on. {look}"
    figure, _ = sheet(11.5, 4.6, head, look)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    _reliability(left, curve, calibration)
    _bands(right, bands)
    return figure


def _starts(calibration: Calibration) -> str:
    parts = []
    for probability, cosine in ((HIGH, calibration.high), (MEDIUM, calibration.medium)):
        at = "at no score" if cosine is None else f"from a score of {100 * max(0.0, cosine):.4g}"
        parts.append(f"{percent(probability)} are right {at}")
    return ", ".join(parts)


def _reliability(axis: Any, curve: pd.DataFrame, calibration: Calibration) -> None:
    least = float(curve["low"].iloc[0])
    # Of a collapsing embedding all scores lie close to 100: the corner is drawn large, or nothing is seen.
    left = np.floor(10 * least) / 10 if least < 0.9 else min(1 - 1.2 * (1 - least), 1 - 1e-5)
    for start, end, name in ((0, MEDIUM, "low"), (MEDIUM, HIGH, "medium"), (HIGH, 1, "high")):
        if end > left:
            axis.axvspan(100 * max(start, left), 100 * end, color=BAND_COLOURS[name], alpha=0.07, linewidth=0)
            axis.text(
                50 * (max(start, left) + end), 103, name, ha="center", fontsize=8, color=BAND_COLOURS[name]
            )
    axis.plot([0, 100], [0, 100], color=QUIET, linestyle="--", linewidth=1, label="as promised")
    grid = np.linspace(max(0.0, calibration.cosines[0]), max(0.0, calibration.cosines[-1]), 401)
    axis.plot(
        100 * grid, 100 * calibration.probability(grid), color="#0969da", linewidth=2, label="calibration"
    )
    points = 100 * curve[["score", "precision", "precision_low", "precision_high"]].to_numpy().T
    spread = np.nan_to_num(np.maximum([points[1] - points[2], points[3] - points[1]], 0))
    label = f"relevant, 95 % interval; {curve['results'].median():,.0f} results a point"
    axis.errorbar(points[0], points[1], yerr=spread, fmt="o", color=INK, capsize=3, label=label)
    axis.set(xlim=(100 * left, 100), ylim=(0, 108), xlabel="score shown (100 · cosine)", ylabel="% relevant")
    axis.ticklabel_format(useOffset=False)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _bands(axis: Any, bands: pd.DataFrame) -> None:
    places, total = np.arange(len(bands))[::-1], int(bands["results"].sum())
    axis.barh(places + 0.2, 100 * bands["share"], height=0.36, color=QUIET, alpha=0.4)
    colours = [BAND_COLOURS[name] for name in bands["band"]]
    axis.barh(places - 0.2, 100 * bands["precision"].fillna(0), height=0.36, color=colours)
    for place, (_, band) in zip(places, bands.iterrows(), strict=True):
        share = f"{percent(band['share'])} of {total:,} results"
        axis.text(100 * band["share"] + 1, place + 0.2, share, va="center", fontsize=9)
        if not band["results"]:
            continue
        told = f"{percent(band['precision'])} relevant"
        if np.isfinite(band["precision_low"]):
            told += f" ({100 * band['precision_low']:.0f} to {percent(band['precision_high'])})"
        axis.text(100 * band["precision"] + 1, place - 0.2, told, va="center", fontsize=9, fontweight="bold")
    below = f"below {100 * MEDIUM:.0f}"
    axis.set_yticks(places, [f"{name}\n{_RANGES.get(name, below)}" for name in bands["band"]])
    axis.set(xlim=(0, 165), xticks=[0, 25, 50, 75, 100], xlabel="%")
    axis.spines[["top", "right"]].set_visible(False)
