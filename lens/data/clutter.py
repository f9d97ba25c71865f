"""A catalogue photograph taken off its white background and laid on a floor where other things lie."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from lens.data.rendered.backdrop import backdrop
from lens.data.rendered.palette import COLOURS, RGB, darker, jitter
from lens.data.rendered.scene import scene

Pixels = npt.NDArray[np.uint8]  # [S, S, 3]
Mask = npt.NDArray[np.bool_]  # [S, S]
Random = np.random.Generator

# The background is what is at most this much darker than the border's median, where that is light at all.
_LIGHT, _DARKER = 200, 12
# A shadow below the shoe: grey, not too dark, and without edges. (Channel values; the last over 3 x 3 pixels.)
_SHADOW, _GREY, _STEP = 110, 14, 50
# Of 2,408 real catalogue photographs all have a border that is light in at least 0.77; of 300 drawn snapshots 20.
_LIGHT_BORDER = 0.75
_DRAWN_SIDE = 256  # backdrops are drawn at this size and then scaled: the same scene for every image size
_OBJECTS = 14  # that lie around on the full backdrop
_SHRINK = 0.4  # the share of its side that a picture without a light background loses on the full backdrop
_FLOORS = ("wood", "concrete", "tiles", "coloured")


def cluttered(picture: Pixels, strength: float, random: Random) -> Pixels:
    """The background becomes a floor with things lying on it; strength 0 is white, 1 as drawn.

    A picture without a light background keeps its own, shrunk to a part of the scene.
    """
    size = picture.shape[0]
    floor = 255 - strength * (255 - _scene(size, strength, random).astype(np.float32))
    background = light_background(picture)
    if not is_catalogue_photograph(background):
        return _shrunk_onto(floor, picture, background, 1 - _SHRINK * strength, random)
    # Light that the floor does not return is taken away where it shows: so the shoe's own shadow falls on it.
    shown = 1 - _opacity(picture, background)[..., None]
    return np.rint(np.clip(picture - shown * (255 - floor), 0, 255)).astype(np.uint8)


def _shrunk_onto(
    floor: npt.NDArray[np.float32], picture: Pixels, background: Mask, share: float, random: Random
) -> Pixels:
    """The picture without its white bars, if any, at this share of its side, somewhere on the floor."""
    size = picture.shape[0]
    side = max(1, round(size * share))
    left, top = (int(n) for n in random.integers(0, size - side + 1, 2))
    photo = Image.fromarray(np.dstack([picture, np.where(background, 0, 255).astype(np.uint8)]))
    small = photo.resize((side, side), Image.Resampling.BOX)
    whole = Image.fromarray(np.rint(floor).astype(np.uint8))
    whole.paste(small, (left, top), small)
    return np.array(whole)


def light_background(picture: Pixels) -> Mask:
    """bool [S, S]: the light surface behind the shoe with the shoe's shadow on it; all False where there is none.

    Light pixels belong to it that hang together with the border, so that white inside the shoe stays; and grey ones
    with nothing but background below them, down to the lower border, so that a white shoe is not taken for a shadow.
    """
    value = picture.min(axis=2).astype(int)
    surface = float(np.median(_border(value)))
    if surface < _LIGHT:
        return np.zeros(value.shape, bool)
    areas, _ = ndimage.label(value >= surface - _DARKER)
    outside = np.unique(_border(areas))
    light = np.isin(areas, outside[outside > 0])
    steps = ndimage.maximum_filter(value, size=3) - ndimage.minimum_filter(value, size=3)
    grey = (value >= _SHADOW) & (picture.max(axis=2) - value <= _GREY) & (steps <= _STEP)
    floor = np.logical_and.accumulate((light | grey)[::-1])[::-1]
    result: Mask = light | (grey & floor)
    return result


def is_catalogue_photograph(background: Mask) -> bool:
    """Whether the border of the picture is light, given its ``light_background`` [S, S]."""
    return float(_border(background).mean()) >= _LIGHT_BORDER


def _border(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The outermost values of [S, S]: [4 S - 4]."""
    return np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])


def _opacity(picture: Pixels, background: Mask) -> npt.NDArray[np.float32]:
    """float [S, S]: 0 on the background, 1 on the shoe; between them on its rim, where the pixels mix both.

    The share of the shoe in a pixel of the rim is its darkness against that of the darkest pixel near by.
    """
    darkness = 255 - picture.astype(np.float32).mean(axis=2)
    width = 1 + 2 * max(1, round(picture.shape[0] / 100))
    rim = ndimage.maximum_filter(background, size=width) & ~background
    share = darkness / np.maximum(ndimage.maximum_filter(darkness, size=width + 2), 1)
    opacity: npt.NDArray[np.float32] = np.where(rim, share, ~background).astype(np.float32)
    return opacity


def _scene(size: int, strength: float, random: Random) -> Pixels:
    """A floor with boxes, discs and cords on it, uint8 [size, size, 3]; the more the stronger."""
    view = replace(
        scene(int(random.integers(2**31)), 0, 1), background=_FLOORS[int(random.integers(len(_FLOORS)))]
    )
    floor = backdrop(view, _DRAWN_SIDE) * view.exposure
    image = Image.fromarray(np.rint(np.clip(floor, 0, 255)).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(round(_OBJECTS * strength)):
        _draw_object(draw, random)
    return np.array(image.resize((size, size), Image.Resampling.LANCZOS))


def _draw_object(draw: ImageDraw.ImageDraw, random: Random) -> None:
    middle, angle = random.uniform(0, _DRAWN_SIDE, 2), random.uniform(0, np.pi)
    half = random.uniform(0.05, 0.2, 2) * _DRAWN_SIDE
    kind, colour = int(random.integers(3)), random_colour(random)
    if kind == 0:
        box = (*(middle - half[0]), *(middle + half[0]))
        draw.ellipse(box, fill=colour, outline=darker(colour), width=4)
        return
    if kind == 1:
        half = np.array([2.5 * half[0], 0.02 * _DRAWN_SIDE])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half @ turn + middle
    draw.polygon([(float(x), float(y)) for x, y in corners], fill=colour, outline=darker(colour), width=3)


def random_colour(random: Random) -> RGB:
    """A shade of one of the named colours."""
    return jitter(COLOURS[list(COLOURS)[int(random.integers(len(COLOURS)))]], random)
