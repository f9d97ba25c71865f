"""Which categories are found for which, as a heat map."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lens.figures.style import QUIET, label, percent, sheet, short
from lens.metrics.confusion import most_confused

NUMBERS_UP_TO, MOST = 15, 30


def confusion_figure(shares: np.ndarray, names: Sequence[str], k: int, side: str) -> Figure:
    """A heat map of `lens.metrics.confusion.neighbour_confusion`.

    Args:
        shares: float [C, C]; a row of NaN (a category without a query) stays grey.
        names: C names of categories.
        k: how many results of each query were counted.
        side: what was searched, for the head.

    Numbers stand in the cells of up to 15 categories. Of more than 30, those of the largest confusions are shown, and
    what was found of the others is summed up in a last column. Raises ValueError for fewer than two categories.
    """
    if len(names) < 2:
        raise ValueError("one category cannot be taken for another")
    told = "; ".join(
        f"{short(row, 24)} → {short(column, 24)} ({percent(share)})"
        for row, column, share in most_confused(shares, names)
    )
    kept = np.arange(len(names)) if len(names) <= MOST else _most_involved(shares, MOST)
    cells, columns = shares[np.ix_(kept, kept)], [label(names[int(place)]) for place in kept]
    look = (
        "Look for a dark diagonal: a category finds itself. A dark cell beside it means two categories that the model "
        f"takes for each other. Most: {told or 'none'}."
    )
    if len(kept) < len(names):
        cells = np.column_stack([cells, shares[kept].sum(axis=1) - cells.sum(axis=1)])
        columns.append("all others")
        look += f" Shown are the {MOST} of {len(names)} categories that are confused most."
    size = float(np.clip(0.55 * len(kept), 3.2, 8.5))
    head = f"What the {k} nearest neighbours of each category are ({side})"
    figure, _ = sheet(size + 3.2, size + 1.4, head, look)
    _heat_map(figure, 100 * cells, columns)
    return figure


def _heat_map(figure: Figure, cells: np.ndarray, columns: list[str]) -> None:
    """Cells in per cent [rows, columns]; the rows have the names of the first columns."""
    rows, numbered = len(cells), len(cells) <= NUMBERS_UP_TO
    axis = figure.subplots()
    axis.set_facecolor("#d0d7de")
    image = axis.imshow(cells, cmap="Blues", vmin=0, vmax=100)
    small = 9 if numbered else 7
    axis.set_xticks(
        range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor", fontsize=small
    )
    axis.set_yticks(range(rows), columns[:rows], fontsize=small)
    axis.set(xlabel="category found", ylabel="category of the query")
    for (row, column), share in np.ndenumerate(cells):
        if numbered and share >= 0.5:
            colour, weight = "white" if share > 55 else "black", "bold" if row == column else "normal"
            style: dict[str, Any] = {
                "ha": "center",
                "va": "center",
                "fontsize": 8,
                "color": colour,
                "fontweight": weight,
            }
            axis.text(column, row, f"{share:.0f}", **style)
    bar = figure.colorbar(image, ax=axis, shrink=0.6, pad=0.02)
    bar.set_label("% of the results", fontsize=8, color=QUIET)


def _most_involved(shares: np.ndarray, count: int) -> np.ndarray:
    """The categories of the largest cells off the diagonal, ascending."""
    off = np.nan_to_num(np.array(shares, float))
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")
    both = np.column_stack(np.unravel_index(order, off.shape)).ravel()
    return np.sort(both[np.sort(np.unique(both, return_index=True)[1])][:count])
