"""Turns shapes into pixels: flat colours drawn large, then reduced; shading computed at the final size."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from lens.data.rendered.curves import Points, Shape

Grey = npt.NDArray[np.float32]  # [size, size]
Place = Callable[[Points], Points]
Window = tuple[int, int, int, int]  # left, top, right, bottom

# Drawn this many times larger than the result, then reduced: what makes edges smooth.
OVERSAMPLING = 3


class Canvas:
    """A transparent sheet of size x size pixels that shapes are painted on, first to last."""

    def __init__(self, size: int, light_angle: float, relief: float) -> None:
        self.size = size
        self.light = (float(np.cos(light_angle)), float(-np.sin(light_angle)))
        self.relief = relief
        big = size * OVERSAMPLING
        self.flat = Image.new("RGBA", (big, big), (0, 0, 0, 0))
        self.pen = ImageDraw.Draw(self.flat)
        self.body: Image.Image | None = None
        self.shade: Grey = np.ones((size, size), np.float32)
        self.shine: Grey = np.zeros((size, size), np.float32)

    def paint(self, shapes: Sequence[Shape], place: Place) -> None:
        """Paints shapes; `place` maps their points to pixels of the result, y down."""
        ends = np.cumsum([len(shape.points) for shape in shapes])
        placed = np.split(place(np.concatenate([shape.points for shape in shapes])), ends[:-1])
        for shape, points in zip(shapes, placed, strict=True):
            mask, window = None, None
            is_body = shape.relief >= 1.0 and not shape.clipped
            if shape.clipped or shape.marks or is_body:
                window = self._window(points, 1)
                if window is None:
                    continue
                mask = self._fill(shape, points, window, place)
                if is_body:
                    self.body = Image.new("L", self.flat.size)
                    self.body.paste(mask, _large(window))
            else:
                self.pen.polygon(_corners(points, (0, 0), OVERSAMPLING), fill=(*shape.colour, 255))
            if shape.relief > 0:
                self._round(shape, points, mask, window)

    def _fill(
        self, shape: Shape, points: Points, window: Window, place: Callable[[Points], Points]
    ) -> Image.Image:
        """Paints a clipped or patterned shape; returns its mask, OVERSAMPLING times the window's size."""
        area = _large(window)
        mask = _stencil([points], window, OVERSAMPLING)
        if shape.clipped and self.body is not None:
            mask = ImageChops.darker(mask, self.body.crop(area))
        self.flat.paste((*shape.colour, 255), area, mask)
        if shape.marks:
            drawn = _stencil([place(mark) for mark in shape.marks], window, OVERSAMPLING)
            self.flat.paste((*shape.mark_colour, 255), area, ImageChops.darker(drawn, mask))
        return mask

    def _window(self, points: Points, margin: int) -> Window | None:
        """The pixels around some points, within the picture; None where there are none."""
        low, high = points.min(axis=0), points.max(axis=0)
        left, top = (max(0, int(c) - margin) for c in low)
        right, bottom = (min(self.size, int(c) + 1 + margin) for c in high)
        return (left, top, right, bottom) if right > left and bottom > top else None

    def _round(self, shape: Shape, points: Points, mask: Image.Image | None, inner: Window | None) -> None:
        """Shades a shape as if it bulged towards the camera: its blurred outline is taken as the surface."""
        extent = float((points.max(axis=0) - points.min(axis=0)).min())
        radius = float(min(0.045 * self.size, max(1.0, 0.16 * extent)))
        window = self._window(points, int(radius * 2.5) + 2)
        if window is None or window[2] - window[0] < 3 or window[3] - window[1] < 3:
            return
        if mask is None or inner is None:
            cover = _stencil([points], window, 2).reduce(2)
        else:
            cover = _cover(mask, inner, window)
        surface = np.asarray(cover.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255
        share = np.asarray(cover, np.float32) / 255
        slope_y, slope_x = np.gradient(surface)
        facing = -(slope_x * self.light[0] + slope_y * self.light[1]) * radius
        strength = self.relief * shape.relief
        tone = 1 + strength * (0.62 * facing - 0.30 * (1 - surface) + 0.04)
        area = np.s_[window[1] : window[3], window[0] : window[2]]
        self.shade[area] += (tone - self.shade[area]) * share
        glint = shape.gloss * np.exp(-(((facing - 0.16) / 0.07) ** 2)) if shape.gloss > 0 else 0.0
        self.shine[area] += (glint - self.shine[area]) * share

    def finish(self) -> tuple[npt.NDArray[np.float32], Grey]:
        """The shaded colours [size, size, 3], 0..255, and the share of each pixel that they hide, 0..1."""
        small = np.asarray(self.flat.resize((self.size, self.size), Image.Resampling.LANCZOS), np.float32)
        colours = small[..., :3] * self.shade[..., None]
        colours += (255 - colours) * np.clip(self.shine, 0, 1)[..., None] * 0.55
        return colours.astype(np.float32), (small[..., 3] / 255).astype(np.float32)


def _large(window: Window) -> Window:
    left, top, right, bottom = (edge * OVERSAMPLING for edge in window)
    return left, top, right, bottom


def _stencil(polygons: Sequence[Points], window: Window, scale: int) -> Image.Image:
    """What polygons cover of a window, `scale` times enlarged, in black and white."""
    left, top, right, bottom = window
    mask = Image.new("L", ((right - left) * scale, (bottom - top) * scale))
    pen = ImageDraw.Draw(mask)
    for points in polygons:
        pen.polygon(_corners(points, (left, top), scale), fill=255)
    return mask


def _cover(mask: Image.Image, inner: Window, window: Window) -> Image.Image:
    """A mask of the inner window, reduced to pixels of the result, in a wider window."""
    cover = Image.new("L", (window[2] - window[0], window[3] - window[1]))
    cover.paste(mask.reduce(OVERSAMPLING), (inner[0] - window[0], inner[1] - window[1]))
    return cover


def _corners(points: Points, origin: tuple[int, int], scale: int) -> list[tuple[float, ...]]:
    return [tuple(p) for p in ((points - origin) * scale).tolist()]
