"""One photograph of one design."""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image

from lens.data.rendered.backdrop import Pixels, backdrop, cast_shadow
from lens.data.rendered.boot import boot
from lens.data.rendered.curves import Points, Shape
from lens.data.rendered.designs import ShoeDesign, check_whole
from lens.data.rendered.dress import dress_shoe
from lens.data.rendered.loafer import loafer
from lens.data.rendered.painting import Canvas
from lens.data.rendered.pump import heel
from lens.data.rendered.sandal import sandal
from lens.data.rendered.scene import Matrix, Scene, camera, occluder, project, scene
from lens.data.rendered.sneaker import sneaker

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
    occlusion. The same arguments give the same pixels in any process. Raises LensError for arguments out of
    range (size 16 to 2048).
    """
    check_whole("view", view, 0, 2**31 - 1)
    check_whole("size", size, 16, 2048)
    check_whole("seed", seed, 0, 2**63 - 1)
    shot = scene(seed, design.product, view)
    ratio = np.array([1.0, _RATIO[design.category] + 0.2 * (design.free[7] - 0.5)])
    picture = _photograph(BUILDERS[design.category](design), ratio, shot, size)
    return Image.fromarray(_developed(picture, shot))


def _photograph(shapes: list[Shape], ratio: Points, shot: Scene, size: int) -> Pixels:
    """The shoe, its floor and what covers it; `ratio` [2] stretches the shapes along x and y."""
    outlines = np.concatenate([s.points for s in shapes]) * ratio
    shoes = [np.array(_PAIR_OFFSET), np.zeros(2)] if shot.pair else [np.zeros(2)]
    matrix = camera(shot, np.concatenate([outlines + place for place in shoes]), size)
    canvas = Canvas(size, shot.light_angle, shot.relief)
    for place in shoes:
        canvas.paint(shapes, partial(_seen, matrix=matrix, ratio=ratio, place=place))
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


def _seen(points: Points, matrix: Matrix, ratio: Points, place: Points) -> Points:
    """Points of a shoe that stands at `place`, in pixels."""
    return project(matrix, points * ratio + place)


def _developed(picture: Pixels, shot: Scene) -> npt.NDArray[np.uint8]:
    """Exposure, a slope of light across the picture, colour temperature and sensor noise."""
    size = picture.shape[0]
    across = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    slope = across[None, :] * np.cos(shot.light_angle) - across[:, None] * np.sin(shot.light_angle)
    light = shot.exposure * (1 + shot.light_slope * 2 * slope)
    tint = np.array([1 + shot.warmth, 1.0, 1 - shot.warmth], np.float32)
    noise = shot.rng(3).standard_normal((size, size, 1), dtype=np.float32) * shot.grain
    result: npt.NDArray[np.uint8] = np.clip(picture * light[..., None] * tint + noise, 0, 255).astype(
        np.uint8
    )
    return result
