"""What lies behind the shoe: floors, walls, and the shoe's shadow on them."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from lens.data.rendered.palette import RGB, lighter
from lens.data.rendered.scene import Scene

Pixels = npt.NDArray[np.float32]  # [size, size, 3], 0..255


def backdrop(view: Scene, size: int) -> Pixels:
    """The empty background of a view."""
    rng = view.rng(2)
    ground: RGB = view.ground
    if view.background == "white":
        ground = (247, 247, 246)
    elif view.background in ("studio", "concrete"):
        ground = lighter(ground, 0.55)
    base = np.broadcast_to(np.array(ground, np.float32), (size, size, 3)).copy()
    if view.background == "studio":
        return (base * _horizon(size, rng)).astype(np.float32)
    if view.background == "wood":
        return _wood(size, rng)
    if view.background == "concrete":
        return base * (1 + 0.2 * _cloud(size, rng, 6) + 0.12 * _cloud(size, rng, 40))[..., None]
    if view.background == "tiles":
        return _tiles(base, rng)
    if view.background == "coloured":
        return base * (1 + 0.12 * _cloud(size, rng, 3))[..., None]
    return base


def _cloud(size: int, rng: np.random.Generator, cells: int) -> npt.NDArray[np.float32]:
    """Smooth noise around 0, about +-0.5, with `cells` blobs along a side."""
    grid = Image.fromarray(rng.uniform(-0.5, 0.5, (cells, cells)).astype(np.float32))
    return np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)


def _horizon(size: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    y = np.linspace(0, 1, size, dtype=np.float32)
    line, soft = rng.uniform(0.45, 0.75), rng.uniform(0.02, 0.15)
    wall = 1.04 - 0.3 * (1 - y) * rng.uniform(0.2, 1.0)
    floor = 0.92 - rng.uniform(-0.1, 0.25) * y
    share = 1 / (1 + np.exp(np.clip((line - y) / soft * 4, -30, 30)))
    column: npt.NDArray[np.float32] = (wall * (1 - share) + floor * share).astype(np.float32)
    return column[:, None, None]


def _wood(size: int, rng: np.random.Generator) -> Pixels:
    tones = ((176, 128, 84), (120, 80, 52), (206, 172, 130), (150, 140, 128))
    tone = np.array(tones[int(rng.integers(len(tones)))], np.float32)
    planks = int(rng.integers(3, 7))
    v = np.linspace(0, planks, size, endpoint=False, dtype=np.float32)
    index = v.astype(int)
    lightness = rng.uniform(0.82, 1.12, planks).astype(np.float32)[index]
    gap = np.where(np.abs(v - index) < planks / size * 1.2, 0.55, 1.0).astype(np.float32)
    stretched = Image.fromarray(rng.uniform(-0.5, 0.5, (size, 5)).astype(np.float32))
    fibre = np.asarray(stretched.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)
    rings = np.sin(v[:, None] * 14 + 9 * _cloud(size, rng, 5))
    texture = (lightness * gap)[:, None] * (1 + 0.18 * fibre + 0.06 * rings)
    floor: Pixels = (tone * texture[..., None]).astype(np.float32)
    return floor if rng.random() < 0.6 else floor.transpose(1, 0, 2).copy()


def _tiles(base: Pixels, rng: np.random.Generator) -> Pixels:
    size = base.shape[0]
    count, phase = int(rng.integers(2, 6)), float(rng.random())
    at = (np.arange(size) / size * count + phase) % 1.0
    line = at < 1.3 * count / size
    joint = line[:, None] | line[None, :]
    index = (np.arange(size) / size * count + phase).astype(int)
    tone = rng.uniform(0.88, 1.08, (count + 2, count + 2)).astype(np.float32)[index][:, index]
    return base * np.where(joint, 0.72, tone)[..., None].astype(np.float32)


def cast_shadow(floor: Pixels, silhouette: Image.Image, view: Scene) -> Pixels:
    """Darkens the floor where the silhouette [size, size] keeps the light off."""
    size = floor.shape[0]
    bounds = silhouette.getbbox()
    if bounds is None:
        return floor
    left, top, right, bottom = bounds
    squashed = max(2, int((bottom - top) * 0.22))
    flat = silhouette.crop(bounds).resize((max(1, right - left), squashed))
    pool = Image.new("L", (size, size))
    slide = int(-0.05 * size * np.cos(view.light_angle))
    pool.paste(flat, (left + slide, int(bottom - squashed * 0.72)))
    wide = np.asarray(pool.filter(ImageFilter.GaussianBlur(size * 0.035)), np.float32)
    near = np.asarray(silhouette.filter(ImageFilter.GaussianBlur(size * 0.02)), np.float32)
    near = np.roll(near, (int(0.02 * size), slide // 2), axis=(0, 1))
    dark = np.clip(view.shadow * (wide + 0.35 * near) / 255, 0, 0.85)
    shaded: Pixels = (floor * (1 - dark)[..., None]).astype(np.float32)
    return shaded
