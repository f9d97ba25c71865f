"""Outlines of sandals and heels."""

import numpy as np

from lens.data.rendered.curves import Points, Shape, disc, outline, ribbon, smooth
from lens.data.rendered.designs import ShoeDesign
from lens.data.rendered.form import Form, body, buckle, clip, lining, marks, panel, seam, stitching
from lens.data.rendered.palette import darker, lighter, mix

Loop = tuple[list[Shape], list[Shape]]  # the half behind the foot, the half before it


def _band(design: ShoeDesign, near: Points, far: Points, width: float, other: bool = False) -> Loop:
    colour = design.second_rgb if other and design.pattern == "two-tone" else design.rgb
    behind = [Shape(ribbon(far, width * 0.9), darker(colour, 0.5), 0.3)]
    edge = Shape(ribbon(near, width + 0.014), darker(colour, 0.35))
    pattern = () if other else marks(design)
    return behind, [edge, Shape(ribbon(near, width), colour, 0.9, design.gloss, pattern, design.second_rgb)]


def _arch(form: Form, x: float, height: float, width: float, lean: float, other: bool = False) -> Loop:
    """A strap over the foot: up the near side at x, over the top, down the far side."""
    base = form.foot(x)
    top = (x + lean, base + height)
    near = smooth([(x + 0.02, base - 0.02), (x - 0.012, base + height * 0.55), top])
    far_x = x + lean + 0.1
    far = smooth([top, (far_x - 0.01, base + height * 0.75), (far_x, form.foot(far_x) + 0.05)])
    return _band(form.design, near, far, width, other)


def _wide_arch(form: Form, x: float, height: float, width: float, other: bool = False) -> Loop:
    """A broad band over the foot, centred at x, with the dark opening towards the toes."""
    design, base = form.design, form.foot(x)
    colour = design.second_rgb if other and design.pattern == "two-tone" else design.rgb
    left, right = x - width / 2, x + width / 2
    brow = (right + 0.03, base + height * 0.8)
    rear = [(left, base - 0.025), (left - 0.012, base + height * 0.5), (left + 0.03, base + height)]
    top = [rear[-1], (x + 0.04, base + height * 0.98), brow]
    fore = [brow, (right + 0.04, base + height * 0.4), (right, base - 0.025)]
    cave = outline([brow, (right + 0.1, base + height * 0.5), (right + 0.1, base + 0.05)], [(right + 0.06, base + 0.03), fore[-1]])
    band = outline(rear, top, fore)
    pattern = () if other else marks(design)
    near = Shape(band, colour, 0.9, design.gloss, pattern, design.second_rgb)
    edges = [x + (0.012, 0.0) for x in (smooth(rear),)] + [x - (0.014, 0.0) for x in (smooth(fore),)]
    return [Shape(cave, darker(colour, 0.55), 0.4)], [near, *(s for e in edges for s in stitching(e, colour, 9))]


def _ring(design: ShoeDesign, x: float, y: float, reach: float, width: float) -> Loop:
    """A strap around the ankle."""
    near = smooth([(x, y), (x + reach * 0.35, y - 0.055), (x + reach * 0.75, y - 0.035), (x + reach, y + 0.02)])
    far = smooth([(x, y), (x + reach * 0.3, y + 0.035), (x + reach * 0.75, y + 0.055), (x + reach, y + 0.02)])
    behind, front = _band(design, near, far, width, True)
    return behind, front + buckle(design, near[10], width * 1.5)


def sandal(design: ShoeDesign) -> list[Shape]:
    """An open shoe: a footbed that shows, and straps."""
    form = Form(design, (0.2, 0.8))
    tip = form.tip()
    # Seen from a little above: the far rim of the footbed lies higher than the near one.
    xs = np.linspace(0, 1, 16)
    rim = [(float(-0.005 + u * tip), form.foot(float(u * tip)) + 0.085 * float(np.sin(np.pi * u)) ** 0.6) for u in xs]
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
    return [seam([(x, y + 0.008) for x, y in line], form.design.sole_rgb), *stitching(line, form.design.sole_rgb, 36, 0.006)]


def _sandal_sole(form: Form) -> list[Shape]:
    design = form.design
    side = form.sole(0.008, 0.0)
    if design.style == "wedge":
        xs = np.linspace(form.tip() - 0.02, 0.0, 18)
        ground = [(float(x), max(form.under(float(x)) - design.heel_height, 0) if x < 0.72 else form.under(float(x))) for x in xs]
        side = outline([(float(x), form.foot(float(x))) for x in np.linspace(-0.008, form.tip() + 0.008, 18)], ground)
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
        return [_wide_arch(form, 0.58 + 0.06 * free[4], 0.21 + 0.05 * free[1], 0.2 + 0.1 * free[5])]
    if design.style == "two-strap":
        low, high = _wide_arch(form, 0.72, 0.175, wide + 0.06, True), _wide_arch(form, 0.44, 0.26, wide + 0.05)
        return [(back, front + buckle(design, front[0].points[4] + (0.06, 0.0), 0.07)) for back, front in (high, low)]
    height = form.foot(0.05) + 0.3 + 0.06 * free[6]
    heel = smooth([(0.05, form.foot(0.05)), (0.0, form.foot(0.0) + 0.12), (0.03, height)])
    counter: Loop = ([], [Shape(ribbon(heel, 0.11, 0.06), design.rgb, 0.9, design.gloss, marks(design), design.second_rgb)])
    ring = _ring(design, 0.02, height, 0.36, 0.045)
    toe = _wide_arch(form, 0.76, 0.16, wide + 0.03)
    if design.style == "gladiator":
        rows = [_arch(form, x, h, 0.038, 0.02, i % 2 == 1) for i, (x, h) in enumerate(((0.5, 0.24), (0.6, 0.2), (0.42, 0.29)))]
        upright = smooth([(0.76, form.foot(0.76) + 0.13), (0.55, form.foot(0.5) + 0.24), (0.385, height + 0.02)])
        spine: Loop = ([], [Shape(ribbon(upright, 0.04), darker(design.rgb, 0.15), 0.6)])
        return [counter, *rows, toe, ring, spine, _ring(design, 0.015, height + 0.1, 0.36, 0.04)]
    extra = [_arch(form, 0.6, 0.2, wide, -0.02, True)] if design.count % 2 else []
    diagonal = smooth([(0.28, form.foot(0.28)), (0.27, form.foot(0.28) + 0.12), (0.2, height - 0.05)])
    side: Loop = ([], [Shape(ribbon(diagonal, 0.05), design.rgb, 0.8, design.gloss)])
    return [counter, side, *extra, toe, ring]


def heel(design: ShoeDesign) -> list[Shape]:
    """A pump: arched sole on a high heel, low-cut upper."""
    form, free = Form(design, (0.1, 0.74)), design.free
    cup = form.foot(0.0) + 0.15 + 0.04 * free[3]
    vamp_x = 0.66 + 0.06 * free[4]
    front = (vamp_x, form.foot(vamp_x) + 0.145)
    collar = [(0.0, cup), (0.1, cup - 0.055), (0.3, form.foot(0.3) + 0.075), (0.52, form.foot(0.52) + 0.055), front]
    back = [(0.035, form.foot(0.0)), (-0.022, form.foot(0.0) + 0.06), (-0.012, cup - 0.05), (0.0, cup)]
    path = form.toe_path()
    upper = outline(back, collar, [front, *path], form.bed(path[-1][0], 0.03, -0.004))
    far = [(0.0, cup), (0.14, cup - 0.005), (0.32, form.foot(0.32) + 0.125), (0.52, form.foot(0.52) + 0.115), front]
    shapes = [lining(design, outline(far, collar[::-1])), *_heel_post(form), body(design, upper)]
    if design.pattern == "two-tone":
        cut = [(0.8, form.foot(0.8) - 0.03), (0.83, form.foot(0.83) + 0.06), (0.86, form.foot(0.86) + 0.2)]
        shapes.append(clip(panel(design, outline(cut, [(1.2, 0.5), (1.2, -0.1)]), 0.4)))
    top = [(x, y - 0.012) for x, y in collar]
    shapes += [*stitching(top, design.rgb, 34, 0.005), Shape(form.sole(0.002, 0.0), design.sole_rgb, 0.4)]
    return _ankle_strap(form, cup, front) + shapes if design.closure == "ankle strap" else shapes + _bow(form, front)


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
    inner = [(wide, form.under(wide) + 0.01), (foot_x[1] + 0.035, height * 0.72), (foot_x[1], height * 0.3), (foot_x[1], 0.0)]
    outer = [(foot_x[0], 0.0), (foot_x[0] - 0.012, height * 0.45), (0.0, height + 0.01)]
    top = [(0.0, height + 0.01), (0.1, form.under(0.1) + 0.012), (wide, form.under(wide) + 0.01)]
    tip = outline([(foot_x[0] - 0.003, 0.014), (foot_x[1] + 0.003, 0.014)], [(foot_x[1], 0.0), (foot_x[0], 0.0)])
    return [Shape(outline(inner, outer, top), colour, 0.7, design.gloss), Shape(tip, darker(colour, 0.6))]


def _ankle_strap(form: Form, cup: float, front: tuple[float, float]) -> list[Shape]:
    behind, before = _ring(form.design, -0.005, cup + 0.12, 0.3, 0.034)
    post = Shape(ribbon(smooth([(0.0, cup - 0.04), (-0.012, cup + 0.05), (0.0, cup + 0.13)]), 0.05, 0.04), form.design.rgb, 0.7)
    return [*behind, post, *before]


def _bow(form: Form, front: tuple[float, float]) -> list[Shape]:
    design = form.design
    if design.closure != "bow":
        return []
    x, y = front[0] + 0.015, front[1] - 0.005
    colour = design.second_rgb
    left = outline([(x, y), (x - 0.06, y + 0.06), (x - 0.085, y + 0.01), (x - 0.05, y - 0.035), (x, y)])
    right = outline([(x, y), (x + 0.05, y + 0.045), (x + 0.1, y - 0.005), (x + 0.06, y - 0.05), (x, y)])
    return [Shape(left, colour, 0.8, design.gloss), Shape(right, colour, 0.8, design.gloss), Shape(disc(x, y, 0.02), darker(colour, 0.25))]
