"""Loafers."""

import numpy as np

from lens.data.rendered.curves import Points, Shape, disc, outline, ribbon, smooth
from lens.data.rendered.designs import ShoeDesign
from lens.data.rendered.fastening import leather_sole
from lens.data.rendered.form import Form, body, clip, lining, panel, seam, stitching
from lens.data.rendered.palette import contrast, darker


def loafer(design: ShoeDesign) -> list[Shape]:
    """A slip-on with a wide opening, a moccasin apron and a saddle, tassels or a metal bit."""
    form, free = Form(design, (0.24, 0.5)), design.free
    high = form.foot(0.05) + 0.165 + 0.03 * free[3]
    front = (0.5 + 0.03 * free[4], form.foot(0.5) + 0.215)
    collar = [(0.03, high), (0.14, high - 0.055), (0.32, high - 0.075), (0.43, high - 0.03), front]
    back = [(0.02, form.foot(0.0)), (-0.012, form.foot(0.0) + 0.08), (0.02, high - 0.04), (0.03, high)]
    vamp = [front, (0.62, form.foot(0.62) + design.toe_height * 1.3), form.toe_path()[0]]
    upper = outline(back, collar, vamp, form.toe_path(), form.bed(1.0, 0.02))
    far_side = [(0.03, high), (0.2, high - 0.005), (0.4, high + 0.03), front]
    shapes = [lining(design, outline(far_side, collar[::-1])), body(design, upper)]
    return shapes + _apron(form, front, smooth(vamp)) + leather_sole(form, 0.24)


def _apron(form: Form, front: tuple[float, float], vamp: Points) -> list[Shape]:
    design = form.design
    t, tip = design.toe_height, form.tip()
    u_seam = [
        (0.5, form.foot(0.5) + 0.125),
        (0.66, form.foot(0.66) + t * 0.72),
        (0.82, form.foot(0.82) + t * 0.62),
    ]
    u_seam += [(tip - 0.1, form.foot(0.9) + t * 0.56), (tip - 0.055, form.foot(0.95) + t * 0.62)]
    top = [(tip, form.foot(0.9) + t * 1.3), (0.6, front[1] + 0.2), (0.45, front[1])]
    shapes = [clip(panel(design, outline(u_seam, top), 0.4)), seam(u_seam, design.rgb, 0.012)]
    shapes += stitching([(x, y + 0.014) for x, y in u_seam], design.rgb, 20, 0.009)
    return shapes + _ornament(form, front, vamp)


def _ornament(form: Form, front: tuple[float, float], vamp: Points) -> list[Shape]:
    design = form.design
    strap = smooth([(front[0] + 0.075, front[1] + 0.02), (0.58, front[1] - 0.08), (0.53, form.foot(0.53))])
    shapes: list[Shape] = []
    if design.style in ("penny", "horsebit"):
        shapes.append(Shape(ribbon(strap, 0.1, 0.12), darker(design.rgb, 0.5), clipped=True))
        shapes.append(
            Shape(ribbon(strap, 0.088, 0.108), contrast(design.rgb, 0.1), 0.6, design.gloss, clipped=True)
        )
    if design.style == "penny":
        x, y = strap[3]
        shapes.append(
            Shape(
                ribbon(np.array([(x - 0.02, y - 0.02), (x + 0.02, y - 0.005)]), 0.022),
                darker(design.rgb, 0.75),
            )
        )
    if design.style == "horsebit":
        x, y = strap[4]
        shapes += [
            Shape(disc(x + dx, y + dy, 0.026), design.metal_rgb, 0.6, 0.8)
            for dx, dy in ((-0.035, -0.012), (0.035, 0.012))
        ]
        shapes.append(
            Shape(
                ribbon(np.array([(x - 0.05, y - 0.018), (x + 0.05, y + 0.018)]), 0.018),
                design.metal_rgb,
                0.5,
                0.8,
            )
        )
    if design.style == "tassel":
        shapes += _tassels(design, float(vamp[5, 0]), float(vamp[5, 1]))
    return shapes


def _tassels(design: ShoeDesign, x: float, y: float) -> list[Shape]:
    shapes = [Shape(disc(x, y, 0.022), darker(design.rgb, 0.4))]
    for dx, dy in ((0.05, -0.07), (0.11, -0.035)):
        cord = np.array([(x, y), (x + dx, y + dy)])
        shapes.append(Shape(ribbon(cord, 0.018), darker(design.second_rgb, 0.3)))
        shapes.append(
            Shape(ribbon(cord + np.array([dx * 0.7, dy * 0.7]), 0.026, 0.06), design.second_rgb, 0.5)
        )
    return shapes
