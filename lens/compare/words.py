"""Captions without the words that give the answer away."""

import re
from collections.abc import Iterable, Sequence

COLOURS = (
    "beige black blue bronze brown burgundy charcoal coffee copper cream fluorescent gold golden gray green grey "
    "khaki lavender magenta maroon metallic multi multicolor multicolour mushroom mustard navy nude olive orange peach "
    "pink purple red rose rust sea silver skin steel tan taupe teal turquoise violet white yellow"
).split()
_LETTERS = re.compile(r"[^\W\d_]+")  # of any alphabet


def telling_words(categories: Iterable[str], attributes: Iterable[str] = ()) -> frozenset[str]:
    """Lower-case words that name a category, a colour, or a value of an attribute; heels: heel, heeled too."""
    words = set(COLOURS)
    for name in (*categories, *attributes):
        words.update(_LETTERS.findall(name.lower()))
    return frozenset(form for word in words for form in _forms(word))


def without(captions: Sequence[str], words: frozenset[str]) -> list[str]:
    """The captions without these words; one that loses all of them becomes an empty text."""
    kept = (_LETTERS.sub(lambda found: _unless(found.group(), words), text) for text in captions)
    return [" ".join(re.sub(r"(?<!\w)[-/&,.]+(?!\w)", " ", text).split()) for text in kept]


def _unless(word: str, words: frozenset[str]) -> str:
    return "" if word.lower() in words else word


def _forms(word: str) -> set[str]:
    bare = {word.removesuffix("s"), word.removesuffix("es"), word}
    return bare | {f"{form}{ending}" for form in bare for ending in ("s", "es", "ed")}
