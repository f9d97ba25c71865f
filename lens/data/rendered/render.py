"""One photograph of one design."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from lens.data.rendered.backdrop import Pixels, backdrop, cast_shadow
from lens.data.rendered.boots import boot, loafer
from lens.data.rendered.closed import dress_shoe, sneaker
from lens.data.rendered.curves import Points, Shape
from lens.data.rendered.designs import ShoeDesign, check_whole
from lens.data.rendered.open import heel, sandal
from lens.data.rendered.painting import Canvas
from lens.data.rendered.scene import Scene, camera, occluder, project, scene

BUILDERS: dict[str, Callable[[ShoeDesign], list[Shape]]] = {
    "sneaker": sneaker,
    "boot": boot,
    "dress-shoe": dress_shoe,
    "sandal": sandal,
    "heel": heel,
    "loafer": loafer,
}

# Height of the outlines, as drawn = 1, that looks right for the category.
_RATIO = {"sneaker": 1.18, "boot": 1.05, "dress-shoe": 1.25, "sandal": 1.1, "heel": 1.05, "loafer": 1.32}

# Where the second shoe of a pair stands, in shoe lengths.
_PAIR_OFFSET = (-0.16, 0.13)


def render(design: ShoeDesign, view: int, seed: int, size: int = 160) -> Image.Image:
    """View number `view` of a design as an RGB picture of size x size pixels.

    View 0 is the clean catalogue photo on near-white; the others vary in pose, light, background, shadow and
    occlusion. The same arguments give the same pixels in any process. Raises LensError for arguments out of range
    (size 16 to 2048).
    """
    check_whole("view", view, 0, 2**31 - 1)
    check_whole("size", size, 16, 2048)
    check_whole("seed", seed, 0, 2**63 - 1)
    shot = scene(seed, design.product, view)
    shapes = _stretched(BUILDERS[design.category](design), design)
    if shot.pair:
        shapes = [replace(s, points=s.points + _PAIR_OFFSET, marks=_moved(s.marks)) for s in shapes] + shapes
    picture = _photograph(shapes, shot, size)
    return Image.fromarray(_developed(picture, shot))


def _stretched(shapes: list[Shape], design: ShoeDesign) -> list[Shape]:
    """The shapes at the design's own ratio of height to length."""
    ratio = np.array([1.0, _RATIO[design.category] + 0.2 * (design.free[7] - 0.5)])
    return [replace(s, points=s.points * ratio, marks=tuple(m * ratio for m in s.marks)) for s in shapes]


def _moved(marks: tuple[Points, ...]) -> tuple[Points, ...]:
    return tuple(points + _PAIR_OFFSET for points in marks)


def _photograph(shapes: list[Shape], shot: Scene, size: int) -> Pixels:
    matrix = camera(shot, np.concatenate([s.points for s in shapes]), size)
    canvas = Canvas(size, shot.light_angle, shot.relief)
    canvas.paint(shapes, lambda points: project(matrix, points))
    colours, cover = canvas.finish()
    floor = cast_shadow(backdrop(shot, size), Image.fromarray((cover * 255).astype(np.uint8)), shot)
    picture = floor + (colours - floor) * cover[..., None]
    cover_up = occluder(shot)
    if cover_up:
        sheet = Canvas(size, shot.light_angle, shot.relief)
        sheet.paint(cover_up, lambda points: points * size)
        colours, cover = sheet.finish()
        picture += (colours - picture) * cover[..., None]
    return picture


def _developed(picture: Pixels, shot: Scene) -> npt.NDArray[np.uint8]:
    """Exposure, a slope of light across the picture, colour temperature and sensor noise."""
    size = picture.shape[0]
    across = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    slope = across[None, :] * np.cos(shot.light_angle) - across[:, None] * np.sin(shot.light_angle)
    light = shot.exposure * (1 + shot.light_slope * 2 * slope)
    tint = np.array([1 + shot.warmth, 1.0, 1 - shot.warmth], np.float32)
    noise = shot.rng(3).standard_normal((size, size, 1), dtype=np.float32) * shot.grain
    result: npt.NDArray[np.uint8] = np.clip(picture * light[..., None] * tint + noise, 0, 255).astype(np.uint8)
    return result
