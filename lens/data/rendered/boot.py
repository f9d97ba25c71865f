"""Boots."""

import numpy as np

from lens.data.rendered.curves import Points, Shape, along, box, disc, outline, ribbon, smooth
from lens.data.rendered.designs import ShoeDesign
from lens.data.rendered.fastening import laces, leather_sole
from lens.data.rendered.form import Form, body, buckle, clip, lining, panel, seam, stitching
from lens.data.rendered.palette import contrast, darker, lighter


def boot(design: ShoeDesign) -> list[Shape]:
    """A boot: a shaft above the ankle, laced, zipped, elastic or buckled."""
    form, free = Form(design, (0.24, 0.5)), design.free
    high = form.foot(0.1) + design.shaft_height
    wide = 0.04 * (free[3] - 0.3) + 0.05 * max(design.shaft_height - 0.6, 0)
    back_top, front = (0.02 - wide, high), (0.38 + wide, high + 0.05 * (free[4] - 0.4))
    heel = [(0.02, form.foot(0.0)), (-0.02, form.foot(0.0) + 0.1), (0.035, form.foot(0.0) + 0.27), back_top]
    ankle = form.foot(0.4) + 0.3
    shin = [front, (0.385 + wide / 2, (high + ankle) / 2), (0.405, ankle + 0.02), (0.47, ankle - 0.07)]
    vamp = [shin[-1], (0.62, form.foot(0.62) + design.toe_height * 1.35), form.toe_path()[0]]
    rim = [back_top, ((back_top[0] + front[0]) / 2, min(high, front[1]) - 0.03), front]
    instep = smooth([*shin, *vamp[1:]])
    upper = outline(heel, rim, [*shin, *vamp[1:]], form.toe_path(), form.bed(1.0, 0.02))
    far_rim = [back_top, ((back_top[0] + front[0]) / 2, max(high, front[1]) + 0.035), front]
    shapes = [lining(design, outline(far_rim, rim[::-1])), body(design, upper), *_boot_panels(form)]
    shapes += _boot_fastening(form, instep, high)
    if free[5] > 0.75:
        shapes += _cuff(design, rim)
    return shapes + (_lug_sole(form) if free[6] < 0.55 else leather_sole(form, 0.27))


def _boot_panels(form: Form) -> list[Shape]:
    design = form.design
    shapes: list[Shape] = []
    if design.free[7] < 0.5:
        cap = [(0.77, form.foot(0.77)), (0.77, form.foot(0.77) + 0.09), (0.82, form.foot(0.8) + 0.3)]
        shapes.append(clip(panel(design, outline(cap, [(1.2, 0.6), (1.2, 0.0)]))))
        shapes.append(clip(seam(cap, design.rgb)))
    base = form.foot(0.1)
    counter = [(0.25, base - 0.02), (0.22, base + 0.14), (0.1, base + 0.22), (-0.06, base + 0.24)]
    if design.free[1] < 0.6:
        shapes.append(clip(panel(design, outline(counter, [(-0.1, 0.0), (0.1, -0.05)]))))
    shapes += map(clip, stitching([(x - 0.012, y - 0.012) for x, y in counter], design.rgb, 16))
    seam_line = [(0.47, form.foot(0.47) + 0.2), (0.44, form.foot(0.44) + 0.1), (0.36, form.foot(0.36))]
    return [*shapes, seam(seam_line, design.rgb)]


def _boot_fastening(form: Form, instep: Points, high: float) -> list[Shape]:
    design, base = form.design, form.foot(0.2)
    if design.closure == "laces":
        rows = 5 + design.count + int(4 * max(design.shaft_height - 0.5, 0))
        spots, normals = along(instep, np.linspace(0.02, 0.7, 12))
        stay = panel(design, np.concatenate([spots, (spots - normals * 0.07)[::-1]]), 0.3)
        return [stay, *laces(design, instep, rows, 0.0, 0.68)]
    if design.closure == "zip":
        path = smooth([(0.21, high - 0.04), (0.2, (high + base) / 2), (0.24, base + 0.06)])
        teeth = [
            Shape(ribbon(path, 0.03), darker(design.rgb, 0.5)),
            Shape(ribbon(path, 0.01), design.metal_rgb),
        ]
        return [*teeth, Shape(box(0.2, high - 0.13, 0.222, high - 0.05), design.metal_rgb, 0.3, 0.5)]
    if design.closure == "elastic":
        low = base + 0.12
        gore = outline(
            [(0.13, high + 0.1), (0.16, low + 0.1), (0.19, low)],
            [(0.24, low), (0.28, low + 0.1), (0.32, high + 0.1)],
        )
        lines = [ribbon(np.array([(x, low), (x, high)]), 0.006) for x in np.arange(0.14, 0.32, 0.018)]
        fill = darker(design.second_rgb if design.pattern == "two-tone" else design.rgb, 0.45)
        loop = Shape(
            ribbon(smooth([(0.0, high - 0.05), (-0.03, high + 0.05), (0.03, high + 0.01)]), 0.025), fill
        )
        return [Shape(gore, fill, marks=tuple(lines), mark_colour=lighter(fill, 0.2), clipped=True), loop]
    shapes: list[Shape] = []
    for y in (
        np.linspace(base + 0.25, high - 0.1, 1 + design.count % 3) if high > base + 0.4 else [base + 0.24]
    ):
        path = smooth([(-0.03, y - 0.02), (0.18, y - 0.03), (0.45, y + 0.02)])
        shapes.append(Shape(ribbon(path, 0.07), darker(design.rgb, 0.55), clipped=True))
        shapes.append(Shape(ribbon(path, 0.056), contrast(design.rgb, 0.14), 0.5, design.gloss, clipped=True))
        shapes += buckle(design, path[9], 0.085)
    return shapes


def _cuff(design: ShoeDesign, rim: list[tuple[float, float]]) -> list[Shape]:
    wool = (232, 222, 204) if design.free[0] > 0.5 else lighter(design.second_rgb, 0.3)
    spots, _ = along(smooth(rim), np.linspace(0.0, 1.0, 10))
    rows = [(x, y + dy, r) for dy, r in ((-0.01, 0.045), (-0.045, 0.04)) for x, y in spots]
    return [Shape(disc(x, y, r), lighter(wool, 0.1 * (i % 3)), 0.5) for i, (x, y, r) in enumerate(rows)]


def _lug_sole(form: Form) -> list[Shape]:
    design = form.design
    side = Shape(form.sole(0.02, 0.012), design.sole_rgb, 0.5)
    heel = Shape(form.heel_block(0.29), design.sole_rgb, 0.4)
    shapes = [heel, side]
    for x in np.arange(0.0, form.tip() - 0.03, 0.052):
        low = 0.0 if x < 0.27 else form.under(x)
        shapes.append(Shape(box(x, low - 0.004, x + 0.018, low + 0.026), darker(design.sole_rgb, 0.6)))
    welt = [(x, form.foot(x) + 0.012) for x in np.linspace(-0.018, form.tip() + 0.018, 14)]
    return [
        *shapes,
        seam(welt, design.sole_rgb),
        *stitching([(x, y - 0.016) for x, y in welt], design.sole_rgb, 34),
    ]
