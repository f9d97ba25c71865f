"""How far relevant and irrelevant pairs lie apart: two histograms of cosines."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lens.figures.style import QUIET, RIGHT, WRONG, percent, sheet


def similarity_figure(
    relevant: np.ndarray, irrelevant: np.ndarray, side: str, bands: tuple[float, float] = (0.70, 0.40)
) -> Figure:
    """Histograms of the cosines of pairs that belong together and of pairs that do not.

    Args:
        relevant, irrelevant: float [A] and [B], cosines, -1 to 1.
        side: the name of what the pairs are of, for the head.
        bands: the cosines from which a result is shown as high and as medium.

    Raises ValueError where there is no pair of one kind.
    """
    for name, values in (("relevant", relevant), ("irrelevant", irrelevant)):
        if not len(values):
            raise ValueError(f"there is no {name} pair")
    won = higher_share(relevant, irrelevant)
    figure, _ = sheet(
        9,
        4.2,
        f"Cosines of relevant and irrelevant pairs ({side}): "
        f"the relevant pair is the more similar one {percent(won)} of the time",
        "Look for two hills that stand apart, relevant on the right (50 % is chance). Much overlap means no score "
        "tells right from wrong; both hills near 1 mean the embedding has collapsed and a high score says nothing.",
    )
    _histograms(figure.subplots(), relevant, irrelevant, bands)
    return figure


def _histograms(axis: Any, relevant: np.ndarray, irrelevant: np.ndarray, bands: tuple[float, float]) -> None:
    low = min(0.0, float(min(relevant.min(), irrelevant.min())))
    edges = np.linspace(np.floor(low * 20) / 20, 1.0 + 1e-6, 51)
    for values, colour, hatch, name, tall in (
        (irrelevant, WRONG, "//", "irrelevant", 0.88),
        (relevant, RIGHT, "", "relevant", 0.96),
    ):
        shares, middle = np.histogram(values, edges)[0] / len(values), float(np.median(values))
        axis.stairs(shares, edges, fill=True, alpha=0.35, color=colour, hatch=hatch)
        told = f"{name}: {len(values):,} pairs, median {middle:z.2f}"
        axis.stairs(shares, edges, color=colour, linewidth=1.8, label=told)
        axis.axvline(middle, ymax=tall, color=colour, linestyle="--" if hatch else "-")
    for start, name in zip(bands, ("high", "medium"), strict=True):
        axis.axvline(start, color=QUIET, linestyle=":")
        style = {"transform": axis.get_xaxis_transform(), "fontsize": 8, "color": QUIET, "ha": "center"}
        axis.text(start, 1.01, f"{name} from {start:.2f}", **style)
    axis.set(xlim=(edges[0], edges[-1]), xlabel="cosine", ylabel="share of the pairs")
    axis.margins(y=0.15)
    axis.legend(loc="upper left", frameon=False, fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)


def higher_share(relevant: np.ndarray, irrelevant: np.ndarray) -> float:
    """The probability that a relevant pair has the higher cosine than an irrelevant one, equal ones counting half."""
    ordered = np.sort(irrelevant)
    below = np.searchsorted(ordered, relevant, "left")
    equal = np.searchsorted(ordered, relevant, "right") - below
    return float((below + equal / 2).mean() / len(ordered))
