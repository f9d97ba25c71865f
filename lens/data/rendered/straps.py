"""Straps around a foot that is not there: each has a half behind it and a half before it."""

import numpy as np

from lens.data.rendered.curves import Points, Shape, outline, ribbon, smooth
from lens.data.rendered.designs import ShoeDesign
from lens.data.rendered.form import Form, buckle, marks, stitching
from lens.data.rendered.palette import darker

Loop = tuple[list[Shape], list[Shape]]  # the half behind the foot, the half before it


def _band(design: ShoeDesign, near: Points, far: Points, width: float, other: bool = False) -> Loop:
    colour = design.second_rgb if other and design.pattern == "two-tone" else design.rgb
    behind = [Shape(ribbon(far, width * 0.9), darker(colour, 0.5), 0.3)]
    edge = Shape(ribbon(near, width + 0.014), darker(colour, 0.35))
    pattern = () if other else marks(design)
    return behind, [edge, Shape(ribbon(near, width), colour, 0.9, design.gloss, pattern, design.second_rgb)]


def arch(form: Form, x: float, height: float, width: float, lean: float, other: bool = False) -> Loop:
    """A strap over the foot: up the near side at x, over the top, down the far side."""
    base = form.foot(x)
    top = (x + lean, base + height)
    near = smooth([(x + 0.02, base - 0.02), (x - 0.012, base + height * 0.55), top])
    far_x = x + lean + 0.1
    far = smooth([top, (far_x - 0.01, base + height * 0.75), (far_x, form.foot(far_x) + 0.05)])
    return _band(form.design, near, far, width, other)


def wide_arch(form: Form, x: float, height: float, width: float, other: bool = False) -> Loop:
    """A broad band over the foot, centred at x, with the dark opening towards the toes."""
    design, base = form.design, form.foot(x)
    colour = design.second_rgb if other and design.pattern == "two-tone" else design.rgb
    left, right = x - width / 2, x + width / 2
    brow = (right + 0.03, base + height * 0.8)
    rear = [(left, base - 0.025), (left - 0.012, base + height * 0.5), (left + 0.03, base + height)]
    top = [rear[-1], (x + 0.04, base + height * 0.98), brow]
    fore = [brow, (right + 0.04, base + height * 0.4), (right, base - 0.025)]
    cave = outline(
        [brow, (right + 0.1, base + height * 0.5), (right + 0.1, base + 0.05)],
        [(right + 0.06, base + 0.03), fore[-1]],
    )
    band = outline(rear, top, fore)
    pattern = () if other else marks(design)
    near = Shape(band, colour, 0.9, design.gloss, pattern, design.second_rgb)
    edges = [smooth(rear) + np.array([0.012, 0.0]), smooth(fore) - np.array([0.014, 0.0])]
    return [Shape(cave, darker(colour, 0.55), 0.4)], [
        near,
        *(s for e in edges for s in stitching(e, colour, 9)),
    ]


def ring(design: ShoeDesign, x: float, y: float, reach: float, width: float) -> Loop:
    """A strap around the ankle."""
    near = smooth(
        [(x, y), (x + reach * 0.35, y - 0.055), (x + reach * 0.75, y - 0.035), (x + reach, y + 0.02)]
    )
    far = smooth([(x, y), (x + reach * 0.3, y + 0.035), (x + reach * 0.75, y + 0.055), (x + reach, y + 0.02)])
    behind, front = _band(design, near, far, width, True)
    return behind, front + buckle(design, near[10], width * 1.5)
