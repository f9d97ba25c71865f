"""Dress shoes."""

import numpy as np

from lens.data.rendered.curves import Points, Shape, along, disc, outline, ribbon, smooth
from lens.data.rendered.designs import ShoeDesign
from lens.data.rendered.fastening import laces, leather_sole, tongue
from lens.data.rendered.form import Form, body, buckle, clip, lining, panel, seam, stitching
from lens.data.rendered.palette import contrast, darker


def dress_shoe(design: ShoeDesign) -> list[Shape]:
    """A laced or buckled leather shoe: low collar, long toe, thin sole, stacked heel."""
    form, free = Form(design, (0.24, 0.5)), design.free
    design_high = form.foot(0.05) + 0.19 + 0.04 * free[3]
    front = (0.42, form.foot(0.42) + 0.245 + 0.03 * free[4])
    collar = [(0.03, design_high), (0.14, design_high - 0.05), (0.28, design_high - 0.035), front]
    middle = (0.62, form.foot(0.62) + design.toe_height * 1.28)
    instep = [front, (0.5, front[1] * 0.62 + middle[1] * 0.38), middle, form.toe_path()[0]]
    back = [
        (0.02, form.foot(0.0)),
        (-0.01, form.foot(0.0) + 0.08),
        (0.03, design_high - 0.05),
        (0.03, design_high),
    ]
    upper = outline(back, collar, instep, form.toe_path(), form.bed(1.0, 0.02))
    far_side = [(0.03, design_high), (0.16, design_high + 0.005), (0.3, design_high + 0.03), front]
    shapes = [
        lining(design, outline(far_side, collar[::-1])),
        *tongue(design, smooth(instep)[:20]),
        body(design, upper),
    ]
    return shapes + _facings(form, smooth(instep)) + leather_sole(form, 0.25)


def _facings(form: Form, instep: Points) -> list[Shape]:
    design = form.design
    base = form.foot(0.4)
    spots, normals = along(instep, np.linspace(0.0, 0.48, 7))
    low = [(0.57, base + 0.085), (0.47, base + 0.02), (0.42, base - 0.03)]
    shapes: list[Shape] = []
    if design.pattern == "two-tone" or design.count % 2:
        behind = [(-0.1, base - 0.05), (-0.1, base + 0.4), (0.4, base + 0.4)]
        quarter = np.concatenate([spots, smooth([tuple(spots[-1]), *low]), np.array(behind)])
        shapes.append(clip(panel(design, quarter, 0.35)))
    shapes.append(clip(seam([tuple(spots[-1]), *low], design.rgb)))
    shapes += map(clip, stitching([(x - 0.012, y + 0.006) for x, y in low], design.rgb, 10))
    shapes += _toe_cap(form)
    if design.style == "brogue":
        holes, _ = along(smooth(low), np.linspace(0.0, 1.0, 9))
        shapes += [Shape(disc(x - 0.02, y + 0.01, 0.007), darker(design.rgb, 0.65)) for x, y in holes]
    if design.style == "monk-strap":
        top = spots[2] + normals[2] * 0.01
        path = smooth([tuple(top), (0.44, base + 0.14), (0.33, base + 0.09)])
        strap = Shape(ribbon(path, 0.075, 0.06), contrast(design.rgb, 0.1), 0.8, design.gloss)
        return [
            *shapes,
            Shape(ribbon(path, 0.085, 0.07), darker(design.rgb, 0.5)),
            strap,
            *buckle(design, path[-6], 0.08),
        ]
    return shapes + laces(design, spots, 4 + design.count % 2, 0.0, 0.92)


def _toe_cap(form: Form) -> list[Shape]:
    design = form.design
    shapes: list[Shape] = []
    edge = 0.78
    cap = [
        (edge - 0.03, form.foot(edge)),
        (edge, form.foot(edge) + 0.07),
        (edge + 0.02, form.foot(edge) + 0.25),
    ]
    if design.style != "derby":
        toe = outline(cap, [(1.2, 0.5), (1.2, 0.0)])
        shapes.append(clip(panel(design, toe, 0.35)))
        shapes.append(clip(seam(cap, design.rgb)))
    if design.style == "brogue":
        for shift in (-0.018, 0.018):
            spots_cap, _ = along(smooth(cap), np.linspace(0.05, 0.75, 9))
            shapes += [
                Shape(disc(x + shift, y, 0.0075), darker(design.rgb, 0.65), clipped=True)
                for x, y in spots_cap
            ]
    return shapes
