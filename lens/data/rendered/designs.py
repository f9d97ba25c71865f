"""Shoe designs: everything about a product that does not depend on how it is photographed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lens.data.rendered.palette import COLOURS, METALS, RGB, SOLE_COLOURS, jitter
from lens.errors import LensError

CATEGORIES = ("sneaker", "boot", "dress-shoe", "sandal", "heel", "loafer")

# First word of the random key, so that designs and views never share a stream of numbers.
_DESIGN_STREAM = 11

STYLES: dict[str, tuple[str, ...]] = {
    "sneaker": ("low-top", "low-top", "mid-top", "high-top"),
    "boot": ("ankle", "ankle", "mid-calf", "knee-high"),
    "dress-shoe": ("oxford", "derby", "brogue", "monk-strap"),
    "sandal": ("slide", "two-strap", "ankle-strap", "gladiator", "wedge"),
    "heel": ("stiletto", "block", "kitten", "platform"),
    "loafer": ("penny", "tassel", "horsebit", "plain"),
}
CLOSURES: dict[str, tuple[str, ...]] = {
    "sneaker": ("laces", "laces", "laces", "velcro", "slip-on"),
    "boot": ("laces", "zip", "elastic", "buckle"),
    "dress-shoe": ("laces",),
    "sandal": ("buckle", "velcro", "slip-on"),
    "heel": ("slip-on", "slip-on", "ankle strap", "bow"),
    "loafer": ("slip-on",),
}
TOES: dict[str, tuple[str, ...]] = {
    "sneaker": ("round", "round", "almond"),
    "boot": ("round", "almond", "pointed", "square"),
    "dress-shoe": ("almond", "pointed", "square", "round"),
    "sandal": ("round", "almond", "square"),
    "heel": ("pointed", "almond", "round"),
    "loafer": ("round", "almond", "square"),
}
PATTERNS: dict[str, tuple[str, ...]] = {
    "sneaker": ("plain", "plain", "two-tone", "two-tone", "striped", "dotted", "checked"),
    "boot": ("plain", "plain", "two-tone", "striped", "dotted", "checked"),
    "dress-shoe": ("plain", "plain", "plain", "two-tone", "checked"),
    "sandal": ("plain", "plain", "two-tone", "striped", "dotted"),
    "heel": ("plain", "plain", "two-tone", "striped", "dotted", "checked"),
    "loafer": ("plain", "plain", "plain", "two-tone", "striped", "checked"),
}
MATERIALS = ("leather", "suede", "canvas", "patent leather")
MOTIFS = ("none", "bars", "wave", "chevron", "disc")


@dataclass(frozen=True)
class ShoeDesign:
    """One product. Lengths are shares of the shoe's length; the free numbers lie in [0, 1]."""

    product: int
    category: str
    style: str
    colour: str
    second_colour: str
    sole_colour: str
    closure: str
    pattern: str
    toe: str
    material: str
    motif: str
    metal: str
    rgb: RGB
    second_rgb: RGB
    sole_rgb: RGB
    lace_rgb: RGB
    metal_rgb: RGB
    sole_thickness: float
    heel_height: float
    shaft_height: float
    toe_height: float
    count: int
    free: tuple[float, ...]

    @property
    def gloss(self) -> float:
        """Strength of the highlights, 0 (suede) to 1 (patent leather)."""
        return {"leather": 0.45, "suede": 0.0, "canvas": 0.08, "patent leather": 1.0}[self.material]


def check_whole(name: str, value: object, low: int, high: int) -> int:
    """`value` as an int within [low, high], else a LensError that names it."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise LensError(f"{name} must be a whole number from {low} to {high}, not {value!r}.")
    return int(value)


def check_categories(categories: Sequence[str]) -> tuple[str, ...]:
    """The categories as a tuple of known, different names, else a LensError."""
    known = ", ".join(CATEGORIES)
    if isinstance(categories, str) or not categories:
        raise LensError(f"categories must be a list of names out of: {known}; not {categories!r}.")
    for name in categories:
        if name not in CATEGORIES:
            raise LensError(f"There is no shoe category {name!r}; choose out of: {known}.")
    if len(set(categories)) < len(categories):
        raise LensError(f"categories names one category twice: {', '.join(categories)}.")
    return tuple(categories)


def design(seed: int, product: int, categories: Sequence[str] = CATEGORIES) -> ShoeDesign:
    """The design of product number `product` in the world `seed`.

    Products take the categories in turn, so any run of products is balanced. The same arguments give the
    same design anywhere. Raises LensError for negative numbers or unknown categories.
    """
    names = check_categories(categories)
    check_whole("seed", seed, 0, 2**63 - 1)
    check_whole("product", product, 0, 2**63 - 1)
    rng = np.random.default_rng([_DESIGN_STREAM, seed, product])
    return _drawn(rng, product, names[product % len(names)])


def _drawn(rng: np.random.Generator, product: int, category: str) -> ShoeDesign:
    colour = _pick(rng, tuple(COLOURS))
    second = _pick(rng, tuple(c for c in COLOURS if c != colour))
    sole = _pick(rng, SOLE_COLOURS)
    metal = _pick(rng, tuple(METALS))
    style = _pick(rng, STYLES[category])
    sole_thickness, heel, shaft = _heights(rng, category, style)
    return ShoeDesign(
        product=product,
        category=category,
        style=style,
        colour=colour,
        second_colour=second,
        sole_colour=sole,
        closure=_closure(rng, category, style),
        pattern=_pick(rng, PATTERNS[category]),
        toe=_pick(rng, TOES[category]),
        material=_pick(rng, MATERIALS),
        motif=_pick(rng, MOTIFS),
        metal=metal,
        rgb=jitter(COLOURS[colour], rng),
        second_rgb=jitter(COLOURS[second], rng),
        sole_rgb=jitter(COLOURS[sole], rng, 5.0),
        lace_rgb=jitter(COLOURS[_pick(rng, ("white", "black", colour, second, "beige"))], rng, 5.0),
        metal_rgb=METALS[metal],
        sole_thickness=sole_thickness,
        heel_height=heel,
        shaft_height=shaft,
        toe_height=float(rng.uniform(0.13, 0.19)),
        count=int(rng.integers(0, 4)),
        free=tuple(float(u) for u in rng.random(8)),
    )


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _closure(rng: np.random.Generator, category: str, style: str) -> str:
    drawn = _pick(rng, CLOSURES[category])
    if style == "monk-strap":
        return "buckle"
    if category == "sandal":
        return "slip-on" if style == "slide" else ("buckle" if drawn == "slip-on" else drawn)
    return drawn


# category -> (sole thickness, heel height) as (low, high)
_SOLES: dict[str, tuple[float, float, float, float]] = {
    "sneaker": (0.055, 0.115, 0.0, 0.03),
    "boot": (0.03, 0.075, 0.02, 0.10),
    "dress-shoe": (0.02, 0.035, 0.03, 0.06),
    "sandal": (0.035, 0.10, 0.0, 0.02),
    "heel": (0.012, 0.022, 0.24, 0.38),
    "loafer": (0.02, 0.05, 0.01, 0.045),
}
# style -> height of the collar above the footbed
_SHAFTS: dict[str, tuple[float, float]] = {
    "low-top": (0.22, 0.27),
    "mid-top": (0.31, 0.37),
    "high-top": (0.42, 0.52),
    "ankle": (0.46, 0.60),
    "mid-calf": (0.62, 0.76),
    "knee-high": (0.88, 1.08),
}
# style -> (sole thickness, heel height) where the style fixes them
_STYLE_SOLES: dict[str, tuple[float, float, float, float]] = {
    "wedge": (0.04, 0.07, 0.10, 0.20),
    "platform": (0.06, 0.10, 0.26, 0.38),
    "kitten": (0.012, 0.022, 0.12, 0.18),
    "block": (0.015, 0.03, 0.17, 0.32),
}


def _heights(rng: np.random.Generator, category: str, style: str) -> tuple[float, float, float]:
    thin, thick, low, high = _STYLE_SOLES.get(style, _SOLES[category])
    shaft = _SHAFTS.get(style, (0.16, 0.23))
    return float(rng.uniform(thin, thick)), float(rng.uniform(low, high)), float(rng.uniform(*shaft))
