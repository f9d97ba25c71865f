"""The query language: a weighted sum of images, texts, items and groups, with conditions, for one model or several."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Literal

from PIL import Image

from lens.data.images import ImageSource
from lens.errors import LensError
from lens.files import at_home
from lens.search.bands import Modality
from lens.search.groups import Group, load_group

MOST_RESULTS, MOST_TERMS, LONGEST_TEXT = 1000, 32, 2000
_KINDS = ("image", "text", "item", "group")
Fusion = Literal["rrf", "scores"]


@dataclass(frozen=True)
class Term:
    """One part of a query: exactly one of an image, a text, an item of the index or a group.

    image: a path, the bytes of a file, an open file, or a decoded RGB image.
    item: an item id; group: examples learned together, see `lens.search.groups.learn`.
    weight: how much it counts, negative for "not like this".

    Raises LensError for none or several of them, and a weight that is zero or no number.
    """

    image: ImageSource | Image.Image | None = None
    text: str | None = None
    item: str | None = None
    group: Group | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        given = [name for name in _KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise LensError(
                f"A term of a query is one of {', '.join(_KINDS)}; given: {', '.join(given) or 'none'}."
            )
        if not _is_number(self.weight) or self.weight == 0:
            raise LensError(f"The weight of a term is {self.weight!r}; give a number other than 0.")
        if self.text is not None:
            if not isinstance(self.text, str) or not self.text.strip():
                raise LensError(f"The text of a term is {self.text!r}; give some words.")
            if len(self.text) > LONGEST_TEXT:
                raise LensError(f"A text has {len(self.text):,} letters; give at most {LONGEST_TEXT:,}.")
        if self.item is not None and not isinstance(self.item, str):
            raise LensError(f"The item of a term is {self.item!r}; item ids are texts.")


@dataclass(frozen=True)
class Query:
    """What to search for.

    terms: their weighted unit vectors are added up, and the direction of the sum is searched for. Of images and texts
        together each first loses the mean of its kind: those of CLIP lie in two separate cones (Liang et al. 2022,
        "Mind the Gap"), and in their plain sum the image decides nearly alone.
    where: conditions on the items' columns, see `lens.index.Reader.search`; k: how many results.
    models: the models to ask, by name; empty: all there are.
    fusion: of several models: ``rrf``, by the ranks, or ``scores``, by standardised cosines; weights: of the models.
    expand: search again, moved towards this many first results.
    rerank: order the first results by k-reciprocal neighbours; of several models only with ``rrf``.
    keep_items: let items that the query names be results too.

    Raises LensError for what cannot be asked.
    """

    terms: tuple[Term, ...]
    where: Mapping[str, Any] = field(default_factory=dict)
    k: int = 10
    models: tuple[str, ...] = ()
    fusion: Fusion = "rrf"
    weights: Mapping[str, float] = field(default_factory=dict)
    expand: int = 0
    rerank: bool = False
    keep_items: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.terms) <= MOST_TERMS:
            raise LensError(
                f"The query has {len(self.terms)} terms; give 1 to {MOST_TERMS} images, texts, items or groups."
            )
        if not all(isinstance(term, Term) for term in self.terms):
            raise LensError("The terms of a query are Terms, as in Query((Term(text='red shoe'),)).")
        if not isinstance(self.models, tuple) or not all(isinstance(name, str) for name in self.models):
            raise LensError(f"models is {self.models!r}; it is a tuple of names.")
        _whole("k", self.k, 1, MOST_RESULTS)
        _whole("expand", self.expand, 0, 100)
        if self.fusion not in ("rrf", "scores"):
            raise LensError(f"fusion is {self.fusion!r}; it is rrf or scores.")
        for name in ("rerank", "keep_items"):
            if not isinstance(getattr(self, name), bool):
                raise LensError(f"{name} is {getattr(self, name)!r}; it is true or false.")
        for model, weight in self.weights.items():
            if not _is_number(weight) or not 0.001 <= weight <= 1000:
                raise LensError(
                    f"The weight of the model {model!r} is {weight!r}; give a number from 0.001 to 1000."
                )

    @property
    def modality(self) -> Modality:
        """Whether it is asked by images (items and groups are images too), by texts, or by both."""
        texts = sum(term.text is not None for term in self.terms)
        return "image" if texts == 0 else "text" if texts == len(self.terms) else "mixed"

    @classmethod
    def from_dict(
        cls,
        values: Mapping[str, Any],
        *,
        images: Mapping[str, ImageSource] | None = None,
        groups: Mapping[str, Group] | None = None,
    ) -> "Query":
        """A query from JSON values; the keys are the names above, and ``terms`` a list of objects.

        Args:
            images: what the image terms may name. Without it an image term is a path, which is opened: give it for
                queries of strangers, also where it is empty.
            groups: the same for groups; without it a group term is the path of a file that `save_group` wrote.

        Raises LensError naming the key that is unknown, missing or not what it must be.
        """
        if not isinstance(values, Mapping):
            raise LensError(f"A query is an object of keys and values, not {type(values).__name__}.")
        _known(values, [name for name in cls.__dataclass_fields__], "A query")
        terms = values.get("terms")
        if not isinstance(terms, list | tuple):
            raise LensError('A query needs "terms", a list, as in {"terms": [{"text": "red shoe"}]}.')
        given = {key: value for key, value in values.items() if key != "terms"}
        for name in ("where", "weights"):
            if not isinstance(given.get(name, {}), Mapping):
                raise LensError(f"{name} is {given[name]!r}; it is an object of keys and values.")
        if "models" in given:
            given["models"] = _names(given["models"])
        return cls(tuple(_term(term, images, groups) for term in terms), **given)


def _term(values: Any, images: Mapping[str, ImageSource] | None, groups: Mapping[str, Group] | None) -> Term:
    if not isinstance(values, Mapping):
        raise LensError(f'A term is an object, as in {{"text": "red shoe"}}, not {values!r}.')
    _known(values, [*_KINDS, "weight"], "A term")
    given = dict(values)
    if given.get("image") is not None:
        given["image"] = _named("image", given["image"], images)
    if given.get("group") is not None:
        found = _named("group", given["group"], groups)
        given["group"] = load_group(found) if groups is None else found
    return Term(**given)


def _named(kind: str, name: Any, known: Mapping[str, Any] | None) -> Any:
    if not isinstance(name, str):
        raise LensError(f"The {kind} of a term is {name!r}; it is a text.")
    if known is None:
        return str(at_home(name))
    if name not in known:
        raise LensError(f"The query names the {kind} {name!r}; given are: {', '.join(known) or 'none'}.")
    return known[name]


def _known(values: Mapping[str, Any], names: list[str], what: str) -> None:
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names)}."
            raise LensError(f"{what} has no key {key!r}; {hint}")


def _names(value: Any) -> tuple[str, ...]:
    several = [value] if isinstance(value, str) else value
    if not isinstance(several, list | tuple) or not all(isinstance(name, str) for name in several):
        raise LensError(f"models is {value!r}; it is a name or a list of names.")
    return tuple(several)


def _is_number(value: Any) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= int(value) <= high:
        raise LensError(f"{name} is {value!r}; give a whole number from {low} to {high}.")
