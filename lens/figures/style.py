"""What the figures share: the sheet with its head, colours, and texts that fit."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure

RIGHT, WRONG, INK, QUIET = "#1a7f37", "#cf222e", "#1f2328", "#6e7781"
BAND_COLOURS = {"high": "#1a7f37", "medium": "#9a6700", "low": "#cf222e"}
DOTS_PER_INCH = 110
_HEAD_POINTS, _LOOK_POINTS = 12, 9.5
_MARGIN = 0.12  # inches


def sheet(width: float, body: float, head: str, look: str, *, layout: bool = True) -> tuple[Figure, float]:
    """An empty figure with its head (bold) and what to look for (below it), and the height where the head ends.

    Args:
        width, body: in inches; the head is added above the body. The width is at least 7, or no head would fit.
        layout: arrange the axes below the head by matplotlib's constrained layout; else the caller places them.

    Returns:
        the figure and the share of its height, from below, that is left for the axes.
    """
    width = max(width, 7.0)
    # An average character of DejaVu Sans is 0.54 of its size wide; a little is to spare.
    heads = textwrap.wrap(
        head, break_on_hyphens=False, width=int(72 * (width - 2 * _MARGIN) / (0.60 * _HEAD_POINTS))
    )
    looks = textwrap.wrap(
        look, break_on_hyphens=False, width=int(72 * (width - 2 * _MARGIN) / (0.56 * _LOOK_POINTS))
    )
    above = _MARGIN + (len(heads) * _HEAD_POINTS + len(looks) * _LOOK_POINTS) * 1.3 / 72 + _MARGIN
    height = body + above
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH)
    left, first = _MARGIN / width, 1 - _MARGIN / height
    second = first - len(heads) * _HEAD_POINTS * 1.3 / 72 / height
    style: dict[str, Any] = {"ha": "left", "va": "top", "color": INK, "linespacing": 1.3, "parse_math": False}
    figure.text(left, first, "\n".join(heads), fontsize=_HEAD_POINTS, fontweight="bold", **style)
    figure.text(left, second, "\n".join(looks), fontsize=_LOOK_POINTS, **style)
    if layout:
        figure.set_layout_engine("constrained", rect=(0, 0, 1, body / height))
    return figure, body / height


def texts(figure: Figure) -> list[str]:
    """Head, what to look for, then the titles of the axes: what a reader of the figure is told, on one line each."""
    told = [text.get_text() for text in figure.texts] + [axis.get_title() for axis in figure.axes]
    return [" ".join(text.split()) for text in told]


def short(name: str, length: int = 18) -> str:
    """A name of at most ``length`` characters: the middle of a longer one is left out."""
    if len(name) > length:
        tail = (length - 1) // 2
        name = f"{name[: length - 1 - tail]}…{name[len(name) - tail :]}"
    return name


def label(name: str, length: int = 18) -> str:
    """A short name for axes and legends, where dollars would enclose a formula."""
    return short(name, length).replace("$", r"\$")


def percent(share: float) -> str:
    """A share as a person reads it: 0.704 is 70 %."""
    return f"{100 * share:.0f} %"


def bare(axis: Any) -> None:
    """No ticks, no numbers."""
    axis.set_xticks([])
    axis.set_yticks([])


def frame(axis: Any, colour: str, style: Any = "-", width: float = 2.5) -> None:
    """The frame of an axis; ``style`` is one of matplotlib's line styles."""
    for spine in axis.spines.values():
        spine.set(color=colour, linestyle=style, linewidth=width)


def show(axis: Any, picture: np.ndarray) -> None:
    """A picture uint8 or float [S, S, 3] on an axis without ticks."""
    axis.imshow(picture)
    bare(axis)
