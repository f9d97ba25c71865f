"""What a shopper's photo does to a picture: named corruptions in five severities.

After ImageNet-C (Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations"): a model never trains on these, it is only measured under them. The random numbers of a picture depend
on (seed, corruption, severity, item id) alone, and every length is a share of the picture's side, so that all models
see the same picture, at whatever size they take.
"""

import difflib
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter
from torch import Tensor
from torch.utils.data import Dataset

from lens.data.clutter import Pixels, Random, cluttered, light_background, random_colour
from lens.data.images import WHITE
from lens.data.pictures import Pictures, as_tensor
from lens.errors import LensError

SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Corruption:
    """``change(picture, level, random)`` takes and gives uint8 [S, S, 3]; a level for each severity, in ``unit``."""

    change: Callable[[Pixels, float, Random], Pixels]
    levels: tuple[float, float, float, float, float]
    unit: str


def corrupted(picture: Pixels, name: str, severity: int, *, seed: int, item: str) -> Pixels:
    """The picture uint8 [S, S, 3] under one corruption; a new array of the same shape.

    Args:
        name: a key of ``CORRUPTIONS``.
        severity: 1 (mild) to 5 (severe); 0 leaves the picture as it is.
        seed, item: with name and severity all that the random numbers depend on.

    Raises:
        LensError: an unknown name or severity.
    """
    check_known([name], [severity])
    if severity == 0:
        return picture.copy()
    corruption = CORRUPTIONS[name]
    return corruption.change(picture, corruption.levels[severity - 1], _random(seed, name, severity, item))


def check_known(names: Sequence[str], severities: Sequence[int]) -> None:
    """Raises LensError that names the first corruption or severity there is not."""
    for name in names:
        if name not in CORRUPTIONS:
            nearest = difflib.get_close_matches(name, CORRUPTIONS, 1, 0.0)[0]
            raise LensError(
                f"There is no corruption {name!r}; nearest is {nearest} (there are {', '.join(CORRUPTIONS)})."
            )
    for severity in severities:
        if severity not in (0, *SEVERITIES):
            raise LensError(
                f"There is no severity {severity}; give whole numbers from 1 (mild) to 5 (severe)."
            )


def _random(seed: int, name: str, severity: int, item: str) -> Random:
    digest = hashlib.blake2b(f"{seed}/{name}/{severity}/{item}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def _crop(picture: Pixels, share: float, random: Random) -> Pixels:
    """A square window with this share of the area, not far from the middle, enlarged to the whole."""
    size = picture.shape[0]
    side = size * share**0.5
    left, top = random.uniform(0.25, 0.75, 2) * (size - side)
    window = (left, top, left + side, top + side)
    return np.array(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC, box=window))


def _rotate(picture: Pixels, degrees: float, random: Random) -> Pixels:
    """Turned to either side; the corners that this opens are white."""
    angle = degrees * (1 if random.random() < 0.5 else -1)
    # Pillow fills only what lies outside; blending the fill in, as torchvision does, would leave a dark seam.
    turned = Image.fromarray(picture).rotate(angle, Image.Resampling.BICUBIC, fillcolor=WHITE)
    return np.array(turned)


def _blur(picture: Pixels, sigma: float, random: Random) -> Pixels:
    """A Gaussian; sigma in pixels of a picture of 64 pixels."""
    return np.array(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma * picture.shape[0] / 64)))


def _darken(picture: Pixels, factor: float, random: Random) -> Pixels:
    return np.array(ImageEnhance.Brightness(Image.fromarray(picture)).enhance(factor))


def _jpeg(picture: Pixels, quality: float, random: Random) -> Pixels:
    """Encoded at its own size with half the colour resolution, as cameras do, and decoded again."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=int(quality), subsampling="4:2:0")
    return np.array(Image.open(file).convert("RGB"))


def _cover(picture: Pixels, share: float, random: Random) -> Pixels:
    """A band across the picture, as of an arm or a strap, hides this share of the shoe's pixels."""
    shoe = ~light_background(picture)
    if not shoe.any():
        shoe = np.ones_like(shoe)
    angle = random.uniform(-np.pi / 4, np.pi / 4)
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    across = x * np.cos(angle) + y * np.sin(angle)
    inside = np.sort(across[shoe])
    hidden = max(1, round(share * len(inside)))
    first = int(random.integers(len(inside) - hidden + 1))
    low, high = inside[first], inside[first + hidden - 1]
    band = (low <= across) & (across <= high)
    # Lighter along the middle, so that it reads as a round thing in front and not as a hole.
    round_light = 0.75 + 0.25 * np.cos((across[band] - (low + high) / 2) / max(high - low, 1) * np.pi)
    result = picture.copy()
    result[band] = np.rint(np.array(random_colour(random)) * round_light[:, None]).astype(np.uint8)
    return result


CORRUPTIONS: Mapping[str, Corruption] = {
    "crop": Corruption(_crop, (0.85, 0.7, 0.55, 0.45, 0.35), "share of the area that is kept"),
    "rotate": Corruption(_rotate, (5, 10, 20, 30, 45), "degrees, to either side"),
    "blur": Corruption(_blur, (0.5, 0.8, 1.2, 1.6, 2.1), "sigma in pixels of a 64-pixel picture"),
    "darken": Corruption(_darken, (0.75, 0.55, 0.4, 0.28, 0.2), "factor on the brightness"),
    "jpeg": Corruption(_jpeg, (50, 30, 18, 11, 7), "JPEG quality"),
    "clutter": Corruption(cluttered, (0.2, 0.4, 0.6, 0.8, 1.0), "strength of the backdrop"),
    "cover": Corruption(_cover, (0.1, 0.2, 0.3, 0.4, 0.5), "share of the shoe that is hidden"),
}


@dataclass(frozen=True)
class Shot:
    """One picture to be handed out: catalogue row, corruption and severity."""

    row: int
    corruption: str
    severity: int


class CorruptedItems(Dataset[dict[str, Tensor]]):
    """Hands out ``{"image": float32 [3, S, S] in [0, 1]}`` for the ``Shot`` that a sampler asks for.

    Args:
        item_ids: str [number of rows in the catalogue].
    """

    def __init__(self, pictures: Pictures, item_ids: Sequence[str], seed: int) -> None:
        self.pictures, self.item_ids, self.seed = pictures, item_ids, seed

    def __getitem__(self, shot: Shot) -> dict[str, Tensor]:
        picture = corrupted(
            self.pictures[shot.row],
            shot.corruption,
            shot.severity,
            seed=self.seed,
            item=self.item_ids[shot.row],
        )
        return {"image": as_tensor(picture)}
