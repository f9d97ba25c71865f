"""Turns shapes into pixels: flat colours drawn large, then reduced; shading computed at the final size."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from lens.data.rendered.curves import Points, Shape

Grey = npt.NDArray[np.float32]  # [size, size]

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

    def paint(self, shapes: Sequence[Shape], place: Callable[[Points], Points]) -> None:
        """Paints shapes; `place` maps their points to pixels of the result, y down."""
        for shape in shapes:
            points = place(shape.points)
            is_body = shape.relief >= 1.0 and not shape.clipped
            mask = self._stencil([points]) if shape.clipped or shape.marks or is_body else None
            if mask is None:
                self.pen.polygon(_corners(points), fill=(*shape.colour, 255))
            else:
                if is_body:
                    self.body = mask
                if shape.clipped and self.body is not None:
                    mask = ImageChops.darker(mask, self.body)
                self.flat.paste((*shape.colour, 255), mask=mask)
                if shape.marks:
                    drawn = ImageChops.darker(self._stencil([place(m) for m in shape.marks]), mask)
                    self.flat.paste((*shape.mark_colour, 255), mask=drawn)
            if shape.relief > 0:
                self._round(shape, points, mask)

    def _stencil(self, polygons: Sequence[Points]) -> Image.Image:
        mask = Image.new("L", self.flat.size)
        pen = ImageDraw.Draw(mask)
        for points in polygons:
            pen.polygon(_corners(points), fill=255)
        return mask

    def _round(self, shape: Shape, points: Points, mask: Image.Image | None) -> None:
        """Shades a shape as if it bulged towards the camera: its blurred outline is taken as the surface."""
        low, high = points.min(axis=0), points.max(axis=0)
        radius = float(min(0.045 * self.size, max(1.0, 0.16 * min(high - low))))
        margin = int(radius * 2.5) + 2
        left, top = (max(0, int(c) - margin) for c in low)
        right, bottom = (min(self.size, int(c) + margin) for c in high)
        if right - left < 3 or bottom - top < 3:
            return
        window = (left, top, right, bottom)
        cover = self._cover(points, mask, window)
        surface = np.asarray(cover.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255
        share = np.asarray(cover, np.float32) / 255
        slope_y, slope_x = np.gradient(surface)
        facing = -(slope_x * self.light[0] + slope_y * self.light[1]) * radius
        strength = self.relief * shape.relief
        tone = 1 + strength * (0.62 * facing - 0.30 * (1 - surface) + 0.04)
        area = np.s_[top:bottom, left:right]
        self.shade[area] = self.shade[area] * (1 - share) + tone * share
        glint = shape.gloss * np.exp(-(((facing - 0.16) / 0.07) ** 2))
        self.shine[area] = self.shine[area] * (1 - share) + glint * share

    def _cover(self, points: Points, mask: Image.Image | None, window: tuple[int, int, int, int]) -> Image.Image:
        left, top, right, bottom = window
        if mask is not None:
            k = OVERSAMPLING
            return mask.crop((left * k, top * k, right * k, bottom * k)).reduce(k)
        small = Image.new("L", ((right - left) * 2, (bottom - top) * 2))
        ImageDraw.Draw(small).polygon([tuple(p) for p in ((points - (left, top)) * 2).tolist()], fill=255)
        return small.reduce(2)

    def finish(self) -> tuple[npt.NDArray[np.float32], Grey]:
        """The shaded colours [size, size, 3] (0..255) and how far they cover what is behind, [size, size] (0..1)."""
        small = np.asarray(self.flat.resize((self.size, self.size), Image.Resampling.LANCZOS), np.float32)
        colours = small[..., :3] * self.shade[..., None]
        colours += (255 - colours) * np.clip(self.shine, 0, 1)[..., None] * 0.55
        return colours, small[..., 3] / 255


def _corners(points: Points) -> list[tuple[float, ...]]:
    return [tuple(p) for p in (points * OVERSAMPLING).tolist()]
