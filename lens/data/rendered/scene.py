"""How one view is taken: pose, light, background, shadow and what stands in the way."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lens.data.rendered.curves import Points, Shape, box, disc, ribbon, smooth
from lens.data.rendered.palette import COLOURS, RGB, darker, jitter, lighter, mix

BACKGROUNDS = ("white", "studio", "coloured", "wood", "concrete", "tiles")
OCCLUDERS = ("none", "none", "none", "none", "tag", "box", "hand")

# First word of the random key; see designs._DESIGN_STREAM.
_VIEW_STREAM = 23

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """One photograph. Angles in radians; lengths in shares of the picture's side; light 1 = neutral."""

    mirror: bool
    angle: float
    shear: float
    tilt: tuple[float, float]
    fill: float
    shift: tuple[float, float]
    pair: bool
    light_angle: float
    light_slope: float
    exposure: float
    warmth: float
    relief: float
    grain: float
    shadow: float
    background: str
    ground: RGB
    occluder: str
    key: tuple[int, ...]

    def rng(self, purpose: int) -> np.random.Generator:
        """Random numbers of this view for one purpose."""
        return np.random.default_rng([*self.key, purpose])


def scene(seed: int, product: int, view: int) -> Scene:
    """The photograph number `view` of a product; view 0 is the clean catalogue photo."""
    key = (_VIEW_STREAM, seed, product, view)
    rng = np.random.default_rng(key)
    clean = view == 0
    spread = 0.12 if clean else 1.0
    tone = COLOURS[list(COLOURS)[int(rng.integers(len(COLOURS)))]]
    ground = (247, 247, 246) if clean else mix(jitter(tone, rng, 14), (150, 148, 145), 0.3)
    return Scene(
        mirror=not clean and bool(rng.random() < 0.5),
        angle=float(spread * rng.uniform(-0.38, 0.38)),
        shear=float(spread * rng.uniform(-0.28, 0.28)),
        tilt=(float(spread * rng.uniform(-0.3, 0.3)), float(spread * rng.uniform(-0.25, 0.25))),
        fill=float(rng.uniform(0.84, 0.9) if clean else rng.uniform(0.6, 0.95)),
        shift=(float(spread * rng.uniform(-0.07, 0.07)), float(spread * rng.uniform(-0.07, 0.07))),
        pair=not clean and bool(rng.random() < 0.22),
        light_angle=float(rng.uniform(0.8, 1.4) if clean else rng.uniform(0.1, 3.0)),
        light_slope=float(spread * rng.uniform(0.0, 0.32)),
        exposure=float(1 + spread * rng.uniform(-0.28, 0.18)),
        warmth=float(spread * rng.uniform(-0.11, 0.11)),
        relief=float(rng.uniform(0.8, 1.2)),
        grain=float(0.6 if clean else rng.uniform(0.5, 5.0)),
        shadow=float(rng.uniform(0.25, 0.4) if clean else rng.uniform(0.1, 0.65)),
        background="white" if clean else BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))],
        ground=ground,
        occluder="none" if clean else OCCLUDERS[int(rng.integers(len(OCCLUDERS)))],
        key=key,
    )


def camera(view: Scene, points: Points, size: int) -> Matrix:
    """The 3x3 projective map from shoe space to pixels (y down) that fits `points` into the picture."""
    turn = np.array([[np.cos(view.angle), -np.sin(view.angle)], [np.sin(view.angle), np.cos(view.angle)]])
    linear = turn @ np.array([[-1.0 if view.mirror else 1.0, view.shear], [0.0, 1.0]])
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    placed = np.eye(3)
    placed[:2, :2] = linear
    placed[:2, 2] = -linear @ centre
    lens = np.eye(3)
    lens[2, :2] = view.tilt
    seen = project(lens @ placed, points)
    low, high = seen.min(axis=0), seen.max(axis=0)
    scale = view.fill * size / float((high - low).max())
    middle = (low + high) / 2
    fit = np.array([[scale, 0, size * (0.5 + view.shift[0]) - scale * middle[0]],
                    [0, -scale, size * (0.5 + view.shift[1]) + scale * middle[1]],
                    [0, 0, 1.0]])  # fmt: skip
    result: Matrix = fit @ lens @ placed
    return result


def project(matrix: Matrix, points: Points) -> Points:
    """Points [n, 2] through a projective map."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    result: Points = mapped[:, :2] / mapped[:, 2:]
    return result


def occluder(view: Scene) -> list[Shape]:
    """What partly covers the shoe, in picture space: x right, y down, unit = side of the picture."""
    if view.occluder == "none":
        return []
    rng = view.rng(1)
    x, y = float(rng.choice([0.24, 0.76]) + rng.uniform(-0.06, 0.06)), float(rng.uniform(0.42, 0.72))
    colour = jitter(COLOURS[list(COLOURS)[int(rng.integers(len(COLOURS)))]], rng)
    if view.occluder == "hand":
        return _hand(x, y, rng)
    return _tag(x, y, colour) if view.occluder == "tag" else _box(x, y, colour)


def _tag(x: float, y: float, colour: RGB) -> list[Shape]:
    paper = (244, 242, 236)
    string = smooth([(x, y - 0.09), (x + 0.03, y - 0.2), (x - 0.02, y - 0.32)])
    lines = [
        box(x - 0.05, y + dy, x + 0.05 - 0.03 * (i % 2), y + dy + 0.01)
        for i, dy in enumerate((-0.03, 0.0, 0.03))
    ]
    label = Shape(box(x - 0.075, y - 0.1, x + 0.075, y + 0.1), paper, 0.3)
    bar = Shape(box(x - 0.05, y - 0.07, x + 0.05, y - 0.045), colour)
    hole = Shape(disc(x, y - 0.085, 0.009), (90, 90, 90))
    print_lines = [Shape(line, (150, 150, 150)) for line in lines]
    return [Shape(ribbon(string, 0.008), (120, 110, 100)), label, bar, *print_lines, hole]


def _box(x: float, y: float, colour: RGB) -> list[Shape]:
    side, drop = (-1.0 if x < 0.5 else 1.0), 0.62 + 0.5 * (y - 0.42)
    inner = x + side * 0.02
    front = np.array([(inner, drop), (inner + side * 0.6, drop), (inner + side * 0.6, 1.1), (inner, 1.1)])
    top = np.array(
        [
            (inner, drop),
            (inner + side * 0.1, drop - 0.09),
            (inner + side * 0.7, drop - 0.09),
            (inner + side * 0.6, drop),
        ]
    )
    lip = ribbon(np.array([(inner, drop + 0.03), (inner + side * 0.6, drop + 0.03)]), 0.008)
    return [Shape(front, colour, 0.3), Shape(top, lighter(colour, 0.25)), Shape(lip, darker(colour, 0.3))]


def _hand(x: float, y: float, rng: np.random.Generator) -> list[Shape]:
    skins = ((240, 204, 176), (214, 164, 126), (158, 106, 74), (96, 62, 44))
    skin = jitter(skins[int(rng.integers(len(skins)))], rng, 5)
    side = -1.0 if x < 0.5 else 1.0
    wrist = ribbon(np.array([(x + side * 0.6, y + 0.2), (x + side * 0.2, y + 0.04)]), 0.2, 0.24)
    shapes = [Shape(wrist, skin, 0.8)]
    for i in range(4):
        knuckle = (x + side * 0.17, y - 0.06 + 0.058 * i)
        tip = (x - side * (0.03 - 0.02 * abs(i - 1)), y - 0.1 + 0.062 * i)
        middle = ((knuckle[0] + tip[0]) / 2, (knuckle[1] + tip[1]) / 2 - 0.015)
        shapes += [
            Shape(ribbon(smooth([knuckle, middle, tip]), 0.066, 0.05), skin, 0.9),
            Shape(disc(tip[0], tip[1], 0.025), skin),
        ]
    return shapes
