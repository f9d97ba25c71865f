"""Sandals."""

import numpy as np

from lens.data.rendered.curves import Points, Shape, outline, ribbon, smooth
from lens.data.rendered.designs import ShoeDesign
from lens.data.rendered.form import Form, buckle, marks, seam, stitching
from lens.data.rendered.palette import darker, lighter, mix
from lens.data.rendered.straps import Loop, arch, ring, wide_arch


def sandal(design: ShoeDesign) -> list[Shape]:
    """An open shoe: a footbed that shows, and straps."""
    form = Form(design, (0.2, 0.8))
    tip = form.tip()
    # Seen from a little above: the far rim of the footbed lies higher than the near one.
    xs = np.linspace(0, 1, 16)
    rim = [
        (float(-0.005 + u * tip), form.foot(float(u * tip)) + 0.085 * float(np.sin(np.pi * u)) ** 0.6)
        for u in xs
    ]
    insole = outline(rim, form.bed(tip, 0.0, 0.0, 16))
    inner = lighter(mix(design.sole_rgb, (186, 140, 96), 0.6), 0.15)
    behind: list[Shape] = []
    front: list[Shape] = []
    for back_half, front_half in _sandal_straps(form):
        behind += back_half
        front += front_half
    return [*_sandal_sole(form), Shape(insole, inner, 0.5), *_insole_line(form), *behind, *front]


def _insole_line(form: Form) -> list[Shape]:
    line = [(x, form.foot(x) - 0.008) for x in np.linspace(0.0, form.tip(), 14)]
    return [
        seam([(x, y + 0.008) for x, y in line], form.design.sole_rgb),
        *stitching(line, form.design.sole_rgb, 36, 0.006),
    ]


def _sandal_sole(form: Form) -> list[Shape]:
    design = form.design
    side = form.sole(0.008, 0.0)
    if design.style == "wedge":
        xs = np.linspace(form.tip() - 0.02, 0.0, 18)
        ground = [
            (
                float(x),
                max(form.under(float(x)) - design.heel_height, 0) if x < 0.72 else form.under(float(x)),
            )
            for x in xs
        ]
        side = outline(
            [(float(x), form.foot(float(x))) for x in np.linspace(-0.008, form.tip() + 0.008, 18)], ground
        )
    stripes: tuple[Points, ...] = ()
    if design.free[2] < 0.45:
        ys = np.arange(0.012, design.sole_thickness + design.heel_height, 0.026)
        stripes = tuple(ribbon(np.array([(-0.1, y), (1.2, y)]), 0.008) for y in ys)
    tread = [(x, form.under(x) + 0.006) for x in np.linspace(0.02, form.tip() - 0.01, 14)]
    shapes = [Shape(side, design.sole_rgb, 0.6, 0.1, stripes, darker(design.sole_rgb, 0.3))]
    if design.style != "wedge":
        shapes.append(Shape(ribbon(np.array(tread), 0.018), darker(design.sole_rgb, 0.5)))
    return shapes


def _sandal_straps(form: Form) -> list[Loop]:
    design, free = form.design, form.design.free
    wide = 0.055 + 0.05 * free[3]
    if design.style == "slide":
        return [wide_arch(form, 0.58 + 0.06 * free[4], 0.21 + 0.05 * free[1], 0.2 + 0.1 * free[5])]
    if design.style == "two-strap":
        low, high = (
            wide_arch(form, 0.73, 0.155, wide + 0.07, True),
            wide_arch(form, 0.44, 0.23, wide + 0.07),
        )
        return [
            (back, front + buckle(design, front[0].points[4] + (0.06, 0.0), 0.07))
            for back, front in (high, low)
        ]
    height = form.foot(0.05) + 0.3 + 0.06 * free[6]
    heel = smooth([(0.05, form.foot(0.05)), (0.0, form.foot(0.0) + 0.12), (0.03, height)])
    counter: Loop = (
        [],
        [Shape(ribbon(heel, 0.11, 0.06), design.rgb, 0.9, design.gloss, marks(design), design.second_rgb)],
    )
    cuff = ring(design, 0.02, height, 0.36, 0.045)
    toe = wide_arch(form, 0.76, 0.16, wide + 0.03)
    if design.style == "gladiator":
        rows = [
            arch(form, x, h, 0.038, 0.02, i % 2 == 1)
            for i, (x, h) in enumerate(((0.5, 0.24), (0.6, 0.2), (0.42, 0.29)))
        ]
        upright = smooth(
            [(0.76, form.foot(0.76) + 0.13), (0.55, form.foot(0.5) + 0.24), (0.385, height + 0.02)]
        )
        spine: Loop = ([], [Shape(ribbon(upright, 0.04), darker(design.rgb, 0.15), 0.6)])
        return [counter, *rows, toe, cuff, spine, ring(design, 0.015, height + 0.1, 0.36, 0.04)]
    extra = [arch(form, 0.6, 0.2, wide, -0.02, True)] if design.count % 2 else []
    diagonal = smooth([(0.28, form.foot(0.28)), (0.27, form.foot(0.28) + 0.12), (0.2, height - 0.05)])
    side: Loop = ([], [Shape(ribbon(diagonal, 0.05), design.rgb, 0.8, design.gloss)])
    return [counter, side, *extra, toe, cuff]
