"""Parts that several kinds of closed shoe share: tongue, laces, leather sole."""

import numpy as np

from lens.data.rendered.curves import Points, Shape, along, box, disc, ribbon, smooth
from lens.data.rendered.designs import ShoeDesign
from lens.data.rendered.form import Form, stitching
from lens.data.rendered.palette import contrast, darker, lighter


def tongue(design: ShoeDesign, instep: Points) -> list[Shape]:
    if design.closure == "slip-on":
        return []
    spots, normals = along(instep, np.linspace(0.0, 0.6, 6))
    lift = np.array([0.07, 0.06, 0.045, 0.035, 0.025, 0.0])[:, None]
    top = spots[0] + np.array([-0.07, 0.035 + 0.04 * design.free[5]])
    edge = np.concatenate([[spots[0] - (0.05, 0.03), top], spots + normals * lift])
    return [Shape(np.concatenate([smooth(edge), spots[::-1]]), contrast(design.rgb, 0.18), 0.6)]


def laces(design: ShoeDesign, instep: Points, rows: int, start: float, stop: float) -> list[Shape]:
    """Laces across the instep: a bar per row of eyelets, and a bow at the top."""
    spots, normals = along(instep, np.linspace(start + 0.05, stop, rows))
    tangents = np.stack([normals[:, 1], -normals[:, 0]], axis=1)
    shapes: list[Shape] = []
    for spot, normal, tangent in zip(spots, normals, tangents, strict=True):
        eye = spot - normal * 0.045
        bar = np.array([eye, spot + normal * 0.028 - tangent * 0.022])
        shapes.append(Shape(disc(eye[0], eye[1], 0.013), darker(design.rgb, 0.6)))
        shapes.append(Shape(ribbon(bar, 0.022), darker(design.lace_rgb, 0.25)))
        shapes.append(Shape(ribbon(bar + tangent * 0.002, 0.014), design.lace_rgb))
    knot = spots[0] - normals[0] * 0.005
    for reach in ((0.07, -0.075), (-0.05, -0.085), (0.1, -0.01)):
        loop = smooth([knot, knot + np.array([reach[0] * 0.7, reach[1] * 0.3]), knot + reach])
        shapes.append(Shape(ribbon(loop, 0.02, 0.012), darker(design.lace_rgb, 0.2)))
        shapes.append(Shape(ribbon(loop, 0.012, 0.007), design.lace_rgb))
    return shapes


def leather_sole(form: Form, block: float) -> list[Shape]:
    """A thin welted sole with a stacked heel of length `block`."""
    design = form.design
    heel = Shape(form.heel_block(block, 0.015), darker(design.sole_rgb, 0.25), 0.4)
    side = Shape(form.sole(0.012, 0.004), design.sole_rgb, 0.3)
    welt = [(x, form.foot(x) + 0.006) for x in np.linspace(-0.01, form.tip() + 0.012, 14)]
    layers = [box(0.0, y, block, y + 0.005) for y in np.arange(0.02, form.under(0.0) - 0.01, 0.022)]
    lines = [Shape(points, darker(design.sole_rgb, 0.45)) for points in layers]
    edge = Shape(ribbon(np.array(welt), 0.012), lighter(design.sole_rgb, 0.12))
    return [heel, *lines, side, edge, *stitching(welt, design.sole_rgb, 40, 0.005)]
