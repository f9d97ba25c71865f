"""Smooth outlines. Shoe space: x from heel 0 to toe 1, y upwards from the ground, unit = shoe length."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lens.data.rendered.palette import RGB

Points = npt.NDArray[np.float64]  # [n, 2]
Path = Sequence[tuple[float, float]] | Points


@dataclass(frozen=True)
class Shape:
    """A filled polygon in shoe space.

    `relief` is how strongly it is shaded as a rounded body (0: flat), `gloss` how strongly it shines;
    `marks` are polygons of `mark_colour`, clipped to this shape. A `clipped` shape is cut off at the outline
    of the last shape that has no clip and a relief of 1 (the body it lies on).
    """

    points: Points
    colour: RGB
    relief: float = 0.0
    gloss: float = 0.0
    marks: tuple[Points, ...] = ()
    mark_colour: RGB = (0, 0, 0)
    clipped: bool = False


def smooth(path: Path, steps: int = 8) -> Points:
    """An open curve through all points of `path` (uniform Catmull-Rom spline, Catmull and Rom 1974)."""
    knots = np.asarray(path, dtype=np.float64)
    if len(knots) < 3:
        return knots
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, e = (padded[i : len(padded) - 3 + i, None, :] for i in range(4))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - e) * t**2 + (3 * b - a - 3 * c + e) * t**3)
    return np.concatenate([curve.reshape(-1, 2), knots[-1:]])


def outline(*pieces: Path) -> Points:
    """A closed outline out of smooth pieces that meet in corners."""
    return np.concatenate([smooth(piece) for piece in pieces])


def along(curve: Points, places: npt.ArrayLike) -> tuple[Points, Points]:
    """Points and unit normals (to the left of the direction of travel) at shares of the curve's length."""
    step = np.diff(curve, axis=0)
    length = np.concatenate([[0.0], np.cumsum(np.hypot(step[:, 0], step[:, 1]))])
    at = np.asarray(places, dtype=np.float64) * length[-1]
    spots = np.stack([np.interp(at, length, curve[:, i]) for i in (0, 1)], axis=1)
    index = np.clip(np.searchsorted(length, at) - 1, 0, len(step) - 1)
    tangent = step[index] / (np.hypot(step[index, 0], step[index, 1])[:, None] + 1e-9)
    return spots, np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)


def ribbon(path: Path, width: float, end_width: float | None = None) -> Points:
    """A band around a path, from `width` at its start to `end_width` at its end."""
    curve = np.asarray(path, dtype=np.float64)
    tangent = np.empty_like(curve)
    tangent[1:-1] = curve[2:] - curve[:-2]
    tangent[0], tangent[-1] = curve[1] - curve[0], curve[-1] - curve[-2]
    tangent /= np.hypot(tangent[:, 0], tangent[:, 1])[:, None] + 1e-9
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    half = np.linspace(width, width if end_width is None else end_width, len(curve))[:, None] / 2
    return np.concatenate([curve + normal * half, (curve - normal * half)[::-1]])


def dashes(curve: Points, count: int, width: float, share: float = 0.55) -> list[Points]:
    """`count` stitches along a curve, each covering `share` of its step."""
    edges = np.arange(count)[:, None] / count + np.array([0.0, share / count])
    ends = along(curve, edges.ravel())[0].reshape(count, 2, 2)
    step = ends[:, 1] - ends[:, 0]
    half = np.stack([-step[:, 1], step[:, 0]], axis=1) / (np.hypot(*step.T)[:, None] + 1e-9) * (width / 2)
    return list(
        np.stack([ends[:, 0] + half, ends[:, 1] + half, ends[:, 1] - half, ends[:, 0] - half], axis=1)
    )


def disc(x: float, y: float, radius: float, squash: float = 1.0) -> Points:
    """A circle, or an ellipse of height `squash` times its width, as a polygon."""
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + radius * squash * np.sin(angle)], axis=1)


def box(x0: float, y0: float, x1: float, y1: float) -> Points:
    """An upright rectangle."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def frame(centre: Points, width: float, height: float, bar: float) -> list[Points]:
    """The four bars of a buckle around `centre`."""
    x, y = float(centre[0]), float(centre[1])
    left, right, low, high = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    return [
        box(left, low, right, low + bar),
        box(left, high - bar, right, high),
        box(left, low, left + bar, high),
        box(right - bar, low, right, high),
        box(left, y - bar / 2, right, y + bar / 2),
    ]
