"""Sneakers."""

import numpy as np

from lens.data.rendered.curves import Points, Shape, along, box, disc, outline, ribbon, smooth
from lens.data.rendered.designs import ShoeDesign
from lens.data.rendered.fastening import laces, tongue
from lens.data.rendered.form import Form, body, clip, lining, panel, seam, stitching
from lens.data.rendered.palette import contrast, darker


def sneaker(design: ShoeDesign) -> list[Shape]:
    """A sports shoe: thick rubber sole, tongue, laces or straps, overlays."""
    form, free = Form(design, (0.2, 0.9)), design.free
    high = form.foot(0.1) + design.shaft_height
    front = (0.36 + 0.06 * free[3], high + 0.03)
    collar = [(0.025, high), (0.1, high - 0.025), (0.22, high - 0.045), (0.31, high - 0.01), front]
    middle = (0.58, form.foot(0.58) + design.toe_height * (1.35 + 0.2 * free[4]))
    knee = (front[0] + 0.04, 0.65 * front[1] + 0.35 * middle[1] + 0.02)
    instep = [front, knee, middle, form.toe_path()[0]]
    back = [(0.02, form.foot(0.0)), (-0.015, form.foot(0.0) + 0.09), (0.03, high * 0.8), (0.025, high)]
    upper = outline(back, collar, instep, form.toe_path(), form.bed(1.0, 0.02))
    far_side = [(0.025, high), (0.15, high + 0.02), (0.28, high + 0.03), front]
    shapes = [lining(design, outline(far_side, collar[::-1])), *tongue(design, smooth(instep))]
    shapes += [body(design, upper), *_overlays(form, high), *_motif(form)]
    shapes += _fastening(form, smooth(instep))
    return shapes + _rubber_sole(form)


def _overlays(form: Form, high: float) -> list[Shape]:
    design, free = form.design, form.design.free
    shapes: list[Shape] = []
    edge = 0.76 + 0.1 * free[6]
    if free[6] < 0.7:
        cap = outline(
            [
                (edge, form.foot(edge)),
                (edge - 0.01, form.foot(edge) + 0.08),
                (edge + 0.02, form.foot(edge) + 0.3),
            ],
            [(1.1, 0.5), (1.1, 0.0)],
        )
        shapes.append(clip(panel(design, cap)))
    if free[7] < 0.75:
        deep = 0.17 + 0.1 * free[5]
        counter = outline(
            [(0.02, form.foot(0.02)), (-0.012, form.foot(0.0) + 0.09), (0.03, high * 0.66)],
            [(0.03, high * 0.66), (deep * 0.6, high * 0.6), (deep, form.foot(deep))],
        )
        shapes.append(panel(design, counter))
        shapes += stitching(
            [(0.05, high * 0.62), (deep * 0.6, high * 0.56), (deep - 0.02, form.foot(deep))], design.rgb, 12
        )
    return shapes


def _motif(form: Form) -> list[Shape]:
    design, base = form.design, form.foot(0.45)
    colour, free = design.second_rgb, design.free
    if design.motif == "bars":
        starts = np.arange(2 + design.count % 3) * 0.055 + 0.33
        bars = [ribbon(np.array([(x + 0.08, base + 0.02), (x, base + 0.15)]), 0.026) for x in starts]
        return [Shape(points, colour, clipped=True) for points in bars]
    if design.motif == "wave":
        path = smooth(
            [
                (0.2, base + 0.13),
                (0.3, base + 0.05),
                (0.42, base + 0.07),
                (0.62, base + 0.13 * free[1] + 0.02),
            ]
        )
        return [Shape(ribbon(path, 0.05, 0.012), colour, 0.3, clipped=True)]
    if design.motif == "chevron":
        path = np.array([(0.36, base + 0.14), (0.46, base + 0.08), (0.36, base + 0.02)])
        return [
            Shape(ribbon(path + np.array([shift, 0.0]), 0.025), colour, clipped=True) for shift in (0.0, 0.06)
        ]
    if design.motif == "disc":
        x, y = 0.2, form.foot(0.2) + design.shaft_height * 0.62
        return [Shape(disc(x, y, 0.05), colour, 0.3), Shape(disc(x, y, 0.03), contrast(colour, 0.4))]
    return []


def _fastening(form: Form, instep: Points) -> list[Shape]:
    design = form.design
    if design.closure == "laces":
        return _eyestay(design, instep) + laces(design, instep, 4 + design.count, 0.02, 0.86)
    if design.closure == "velcro":
        return _velcro(design, instep)
    if design.closure == "slip-on":
        gore = outline(
            [(0.3, form.foot(0.3) + 0.4), (0.34, form.foot(0.3) + 0.1), (0.42, form.foot(0.4) + 0.4)]
        )
        return [Shape(gore, darker(design.rgb, 0.45), clipped=True)]
    return []


def _eyestay(design: ShoeDesign, instep: Points) -> list[Shape]:
    spots, normals = along(instep, np.linspace(0.0, 0.9, 8))
    inner = spots - normals * (0.06 + 0.03 * design.free[1])
    stay = panel(design, np.concatenate([spots, inner[::-1]]), 0.3)
    return [stay, *stitching(inner + normals * 0.01, stay.colour, 16)]


def _velcro(design: ShoeDesign, instep: Points) -> list[Shape]:
    spots, normals = along(instep, np.linspace(0.16, 0.72, 2 + design.count % 2))
    colour = contrast(design.rgb, 0.3) if design.free[4] < 0.5 else design.second_rgb
    shapes: list[Shape] = []
    for spot, normal in zip(spots, normals, strict=True):
        path = np.array([spot + normal * 0.012, spot - normal * 0.1, spot - normal * 0.17 + (-0.01, 0.0)])
        shapes.append(Shape(ribbon(path, 0.085), darker(colour, 0.4)))
        shapes.append(Shape(ribbon(path, 0.072), colour, 0.7, design.gloss))
        shapes += stitching(path[1:] + np.array([0.025, 0.0]), colour, 5)
    return shapes


def _rubber_sole(form: Form) -> list[Shape]:
    design, free = form.design, form.design.free
    flare = 0.012 + 0.022 * free[3]
    side = form.sole(flare, 0.018)
    shapes = [Shape(side, design.sole_rgb, 0.7, 0.1)]
    thick = design.sole_thickness
    tread = [(x, form.under(x) + 0.008) for x in np.linspace(0.0, form.tip(), 16)]
    shapes.append(Shape(ribbon(np.array(tread), 0.026), contrast(design.sole_rgb, 0.5), 0.2))
    stripe = [(x, form.under(x) + thick * 0.62) for x in np.linspace(-flare * 0.6, form.tip(), 16)]
    if free[2] < 0.4:
        shapes.append(Shape(ribbon(np.array(stripe), 0.012), design.second_rgb))
    elif free[2] < 0.7:
        for x in np.arange(0.06, 0.95, 0.045):
            notch = box(x, form.under(x) + 0.02, x + 0.014, form.under(x) + thick * 0.6)
            shapes.append(Shape(notch, darker(design.sole_rgb, 0.18)))
    shapes.append(
        seam(
            [(x, form.foot(x) + 0.018) for x in np.linspace(-flare, form.tip() + flare, 12)], design.sole_rgb
        )
    )
    return shapes
