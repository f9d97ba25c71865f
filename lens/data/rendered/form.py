"""What all shoes share: the line of the footbed, soles, toes, patterns, seams."""

from dataclasses import replace

import numpy as np

from lens.data.rendered.curves import Path, Points, Shape, box, dashes, disc, frame, outline, ribbon, smooth
from lens.data.rendered.designs import ShoeDesign
from lens.data.rendered.palette import RGB, contrast, darker, lighter


class Form:
    """Lines of one design: heights along the foot and the parts built on them."""

    def __init__(self, design: ShoeDesign, ramp: tuple[float, float] = (0.22, 0.68)) -> None:
        self.design = design
        self.ramp = ramp

    def under(self, x: float) -> float:
        """Height of the sole's lower face above the ground at x, without the heel block."""
        low, high = self.ramp
        s = min(max((x - low) / (high - low), 0.0), 1.0)
        spring = 0.035 * min(max((x - 0.72) / 0.3, 0.0), 1.2) ** 2
        return self.design.heel_height * (1 - s * s * (3 - 2 * s)) + spring

    def foot(self, x: float) -> float:
        """Height of the footbed at x."""
        return self.under(x) + self.design.sole_thickness

    def bed(self, start: float, stop: float, lift: float = 0.0, count: int = 14) -> list[tuple[float, float]]:
        """The footbed's line from start to stop, raised by `lift`."""
        return [(float(x), self.foot(float(x)) + lift) for x in np.linspace(start, stop, count)]

    def toe_path(self) -> list[tuple[float, float]]:
        """The outline over the toes, from the vamp down to the footbed."""
        t = self.design.toe_height
        rows = {
            "round": ((0.80, 1.0), (0.92, 0.86), (0.995, 0.5), (1.005, 0.0)),
            "almond": ((0.80, 0.92), (0.93, 0.70), (1.02, 0.32), (1.035, 0.0)),
            "pointed": ((0.80, 0.86), (0.94, 0.56), (1.05, 0.22), (1.09, 0.0)),
            "square": ((0.80, 0.88), (0.95, 0.68), (1.025, 0.54), (1.045, 0.0)),
        }[self.design.toe]
        return [(x, self.foot(x) + t * part) for x, part in rows]

    def tip(self) -> float:
        """x of the foremost point of the upper."""
        return self.toe_path()[-1][0]

    def sole(self, flare: float, top: float = 0.012) -> Points:
        """The sole's side: from a little above the footbed's line down to the ground or to the heel block."""
        end = self.tip() + flare
        xs = np.linspace(-flare, end, 18)
        upper = [(float(x), self.foot(float(x)) + top) for x in xs]
        lower = [(float(x), self.under(float(x))) for x in np.linspace(end - 0.03, 0.01 - flare / 2, 18)]
        return outline(upper, lower)

    def heel_block(self, length: float, taper: float = 0.0) -> Points:
        """A block heel below the sole, `length` long at the top, shorter by `taper` at the ground."""
        top = [(x, self.under(x) + 0.004) for x in (-0.005, length / 2, length)]
        return np.array([*top, (length - taper, 0.0), (0.008 + taper / 3, 0.0)])


def marks(design: ShoeDesign) -> tuple[Points, ...]:
    """The polygons of the design's pattern over the whole shoe; empty for plain and two-tone."""
    step = 0.055 + 0.06 * design.free[0]
    top = max(design.shaft_height, 0.3) + design.heel_height + 0.25
    if design.pattern == "striped":
        lean = 0.5 * (design.free[1] - 0.5)
        xs = np.arange(-0.5, 1.4, step)
        return tuple(ribbon(np.array([(x, 0.0), (x + lean * top, top)]), step * 0.42) for x in xs)
    if design.pattern == "dotted":
        grid = [
            (x, y)
            for j, y in enumerate(np.arange(0.0, top, step))
            for x in np.arange(j % 2 * step / 2, 1.1, step)
        ]
        return tuple(disc(float(x), float(y), step * 0.24) for x, y in grid)
    if design.pattern == "checked":
        rows = np.arange(0.0, top, step * 1.3)
        columns = np.arange(-0.1, 1.1, step * 1.3)
        bars = [box(-0.2, float(y), 1.2, float(y) + step * 0.3) for y in rows]
        return tuple(bars + [box(float(x), -0.1, float(x) + step * 0.3, top) for x in columns])
    return ()


def body(design: ShoeDesign, points: Points, relief: float = 1.0) -> Shape:
    """The main part of the upper, in the first colour, with the pattern."""
    return Shape(points, design.rgb, relief, design.gloss, marks(design), design.second_rgb)


def panel(design: ShoeDesign, points: Points, relief: float = 0.5) -> Shape:
    """An overlay: of the second colour on two-tone designs, else a shade of the first."""
    two_tone = design.pattern == "two-tone"
    colour = design.second_rgb if two_tone else contrast(design.rgb, 0.12)
    return Shape(points, colour, relief, design.gloss)


def seam(path: Path, colour: RGB, width: float = 0.006) -> Shape:
    """A dark line where two pieces meet."""
    return Shape(ribbon(smooth(path), width), darker(colour, 0.4))


def stitching(path: Path, colour: RGB, count: int = 22, width: float = 0.007) -> list[Shape]:
    """A row of stitches that shows on `colour`."""
    return [Shape(points, contrast(colour, 0.42)) for points in dashes(smooth(path), count, width)]


def clip(shape: Shape) -> Shape:
    """The shape cut off at the outline of the body below it."""
    return replace(shape, clipped=True)


def buckle(design: ShoeDesign, centre: Points, size: float) -> list[Shape]:
    """A metal buckle."""
    return [Shape(bar, design.metal_rgb, 0.4, 0.6) for bar in frame(centre, size * 0.85, size, size * 0.16)]


def lining(design: ShoeDesign, points: Points) -> Shape:
    """The inside that shows through the opening."""
    tint = design.second_rgb if design.free[2] > 0.5 else lighter(design.rgb, 0.2)
    return Shape(points, darker(tint, 0.45), 0.5)
