"""Sentences about a design."""

from lens.data.rendered.designs import ShoeDesign

NOUNS = {"dress-shoe": "dress shoe"}


def captions(design: ShoeDesign) -> list[str]:
    """Three captions, each saying the category and some attributes."""
    noun = NOUNS.get(design.category, design.category)
    look = f"{design.colour} {design.style} {noun}"
    detail = ", ".join(_details(design))
    return [
        f"a photo of {_article(look)} {look} with {design.sole_colour} sole",
        f"{_article(noun)} {noun} from a shopping website, {detail}",
        f"a professional product photo of {look} footwear in {design.material}",
    ]


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"


def _details(design: ShoeDesign) -> list[str]:
    second = f" with {design.second_colour}"
    pattern = design.colour if design.pattern == "plain" else f"{design.pattern} {design.colour}{second}"
    closure = {
        "slip-on": "slip-on",
        "elastic": "elastic sides",
        "laces": f"{'long ' * (design.count > 2)}laces",
    }
    return [pattern, closure.get(design.closure, design.closure), f"{design.sole_colour} sole"]
