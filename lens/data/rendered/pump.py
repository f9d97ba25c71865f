"""Heels."""

from lens.data.rendered.curves import Shape, disc, outline, ribbon, smooth
from lens.data.rendered.designs import ShoeDesign
from lens.data.rendered.form import Form, body, clip, lining, panel, stitching
from lens.data.rendered.palette import darker
from lens.data.rendered.straps import ring


def heel(design: ShoeDesign) -> list[Shape]:
    """A pump: arched sole on a high heel, low-cut upper."""
    form, free = Form(design, (0.1, 0.74)), design.free
    cup = form.foot(0.0) + 0.15 + 0.04 * free[3]
    vamp_x = 0.66 + 0.06 * free[4]
    front = (vamp_x, form.foot(vamp_x) + 0.145)
    collar = [
        (0.0, cup),
        (0.1, cup - 0.055),
        (0.3, form.foot(0.3) + 0.075),
        (0.52, form.foot(0.52) + 0.055),
        front,
    ]
    back = [(0.035, form.foot(0.0)), (-0.022, form.foot(0.0) + 0.06), (-0.012, cup - 0.05), (0.0, cup)]
    path = form.toe_path()
    upper = outline(back, collar, [front, *path], form.bed(path[-1][0], 0.03, -0.004))
    far = [
        (0.0, cup),
        (0.14, cup - 0.005),
        (0.32, form.foot(0.32) + 0.125),
        (0.52, form.foot(0.52) + 0.115),
        front,
    ]
    shapes = [lining(design, outline(far, collar[::-1])), *_heel_post(form), body(design, upper)]
    if design.pattern == "two-tone":
        cut = [(0.8, form.foot(0.8) - 0.03), (0.83, form.foot(0.83) + 0.06), (0.86, form.foot(0.86) + 0.2)]
        shapes.append(clip(panel(design, outline(cut, [(1.2, 0.5), (1.2, -0.1)]), 0.4)))
    top = [(x, y - 0.012) for x, y in collar]
    shapes += [*stitching(top, design.rgb, 34, 0.005), Shape(form.sole(0.002, 0.0), design.sole_rgb, 0.4)]
    return _ankle_strap(form, cup) + shapes if design.closure == "ankle strap" else shapes + _bow(form, front)


def _heel_post(form: Form) -> list[Shape]:
    design, free = form.design, form.design.free
    colour = design.sole_rgb if free[5] < 0.4 else darker(design.rgb, 0.12)
    if design.style == "block":
        foot_x = (0.025, 0.17 + 0.04 * free[6])
    elif design.style == "kitten":
        foot_x = (0.05, 0.095)
    elif design.style == "platform":
        foot_x = (0.03, 0.11 + 0.05 * free[6])
    else:
        foot_x = (0.048, 0.074)
    height = form.under(0.0)
    wide = 0.2 if design.style != "block" else 0.235
    inner = [
        (wide, form.under(wide) + 0.01),
        (foot_x[1] + 0.035, height * 0.72),
        (foot_x[1], height * 0.3),
        (foot_x[1], 0.0),
    ]
    outer = [(foot_x[0], 0.0), (foot_x[0] - 0.012, height * 0.45), (0.0, height + 0.01)]
    top = [(0.0, height + 0.01), (0.1, form.under(0.1) + 0.012), (wide, form.under(wide) + 0.01)]
    tip = outline(
        [(foot_x[0] - 0.003, 0.014), (foot_x[1] + 0.003, 0.014)], [(foot_x[1], 0.0), (foot_x[0], 0.0)]
    )
    return [Shape(outline(inner, outer, top), colour, 0.7, design.gloss), Shape(tip, darker(colour, 0.6))]


def _ankle_strap(form: Form, cup: float) -> list[Shape]:
    behind, before = ring(form.design, -0.005, cup + 0.12, 0.3, 0.034)
    post = Shape(
        ribbon(smooth([(0.0, cup - 0.04), (-0.012, cup + 0.05), (0.0, cup + 0.13)]), 0.05, 0.04),
        form.design.rgb,
        0.7,
    )
    return [*behind, post, *before]


def _bow(form: Form, front: tuple[float, float]) -> list[Shape]:
    design = form.design
    if design.closure != "bow":
        return []
    x, y = front[0] + 0.015, front[1] - 0.005
    colour = design.second_rgb
    left = outline([(x, y), (x - 0.06, y + 0.06), (x - 0.085, y + 0.01), (x - 0.05, y - 0.035), (x, y)])
    right = outline([(x, y), (x + 0.05, y + 0.045), (x + 0.1, y - 0.005), (x + 0.06, y - 0.05), (x, y)])
    return [
        Shape(left, colour, 0.8, design.gloss),
        Shape(right, colour, 0.8, design.gloss),
        Shape(disc(x, y, 0.02), darker(colour, 0.25)),
    ]
