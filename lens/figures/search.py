"""Searches as pictures: a query on the left, what was found for it on the right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lens.figures.style import INK, RIGHT, WRONG, frame, label, sheet, show

SIGNS = {True: "✓", False: "✗"}


@dataclass(frozen=True)
class Tile:
    """One picture of a search.

    picture: uint8 [S, S, 3]. category: its name. note: a few words below the category.
    right: of a result, whether it is relevant; None for the query.
    score: of a result, as shown, 0 to 100.
    """

    picture: np.ndarray
    category: str
    right: bool | None = None
    score: float | None = None
    note: str = ""


def search_figure(lines: Sequence[Sequence[Tile | None]], head: str, look: str) -> Figure:
    """One line a query: the query, then its results; None where there are no more.

    A relevant result has a green, whole frame and the sign ✓; another one a red, dashed frame and the sign ✗.
    Raises ValueError without a line.
    """
    if not lines:
        raise ValueError("there is no query to show")
    columns = max(map(len, lines))
    width, tile, text, gap = max(7.0, 1.35 * columns + 0.5), 1.15, 0.42, 0.1
    figure, top = sheet(width, len(lines) * (tile + text + gap), head, look, layout=False)
    height = figure.get_figheight()
    step = (width - 0.5) / columns
    for number, line in enumerate(lines):
        bottom = top - ((number + 1) * (tile + text + gap) - gap) / height
        for column, shown in enumerate(line):
            left = 0.15 + column * step + (0.2 if column else 0)  # the query stands apart
            axis = figure.add_axes((left / width, bottom, min(tile, step - gap) / width, tile / height))
            if shown is None:
                axis.axis("off")
            else:
                _draw(axis, shown)
    return figure


def _draw(axis: Any, tile: Tile) -> None:
    show(axis, tile.picture)
    name = label(tile.category)
    if tile.right is None:
        axis.set_title(f"{name}\n{tile.note}", fontsize=7.5, color=INK, fontweight="bold")
        frame(axis, INK)
        return
    score = "" if tile.score is None else f" {tile.score:.0f}"
    colour = RIGHT if tile.right else WRONG
    axis.set_title(f"{SIGNS[tile.right]}{score}\n{name}", fontsize=7.5, color=colour)
    frame(axis, colour, "-" if tile.right else (0, (2, 1.2)))
