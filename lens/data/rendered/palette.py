"""Names and values of the colours that every category draws from."""

import numpy as np

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "black": (38, 37, 40),
    "white": (238, 237, 233),
    "grey": (136, 139, 144),
    "brown": (104, 64, 38),
    "tan": (186, 132, 82),
    "beige": (215, 195, 164),
    "burgundy": (108, 26, 42),
    "red": (196, 36, 40),
    "orange": (226, 118, 36),
    "yellow": (232, 190, 58),
    "olive": (104, 104, 56),
    "green": (44, 124, 74),
    "teal": (34, 128, 136),
    "blue": (48, 98, 190),
    "navy": (34, 46, 88),
    "purple": (112, 66, 142),
    "pink": (228, 144, 168),
}
SOLE_COLOURS = ("white", "black", "brown", "tan", "grey", "beige", "red", "navy")
METALS: dict[str, RGB] = {"silver": (196, 198, 204), "gold": (206, 168, 82)}


def jitter(rgb: RGB, rng: np.random.Generator, spread: float = 9.0) -> RGB:
    """A shade close to `rgb`: no two dyes are quite the same."""
    low, high = 14, 246
    red, green, blue = (int(np.clip(c + rng.normal(0, spread), low, high)) for c in rgb)
    return red, green, blue


def mix(first: RGB, second: RGB, share: float) -> RGB:
    """`share` of the second colour in the first; both and the result 0..255."""
    red, green, blue = (round(a * (1 - share) + b * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def darker(rgb: RGB, share: float = 0.35) -> RGB:
    """The colour with `share` of black in it."""
    return mix(rgb, (0, 0, 0), share)


def lighter(rgb: RGB, share: float = 0.35) -> RGB:
    """The colour with `share` of white in it."""
    return mix(rgb, (255, 255, 255), share)


def contrast(rgb: RGB, share: float = 0.3) -> RGB:
    """Lighter when dark, darker when light: for seams and stitches on that colour."""
    return lighter(rgb, share) if sum(rgb) < 240 else darker(rgb, share)
