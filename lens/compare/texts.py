"""How well a model understands words: categories by name, images by caption, and "like this, but red"."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from lens.compare.lines import Line, line_of
from lens.compare.words import telling_words, without
from lens.data.catalogue import template_captions
from lens.errors import LensError
from lens.metrics import Interval, intervals, retrieval_scores

EmbedTexts = Callable[[Sequence[str]], npt.NDArray[np.float32]]
Array = npt.NDArray[np.float32]
TEXT_WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)
OWN = {"hit_at_1": "own hit@1", "hit_at_10": "own hit@10", "mrr": "own MRR"}
KIND = {"precision_at_1": "category P@1", "precision_at_10": "category P@10"}


def zero_shot(
    vectors: Array,
    categories: Sequence[str],
    embed: EmbedTexts,
    clusters: npt.NDArray[np.int64] | None = None,
) -> list[Line]:
    """Images recognised by the names of their categories alone, as in CLIP (Radford et al. 2021, section 3.1).

    Each category is the mean of three prompts (`template_captions`); an image is of the category whose text is nearest.
    "Macro" is the mean over categories of their accuracies.

    Args:
        vectors: unit vectors [N, D] of images; categories: their true ones.
        clusters: int [N]; intervals are over these, such as products.
    """
    names, truth = np.unique(np.asarray(categories, dtype=str), return_inverse=True)
    prompts = [template_captions(name) for name in names]
    words = embed([text for texts in prompts for text in texts]).reshape(len(names), len(prompts[0]), -1)
    said = np.argmax(vectors @ _unit(words.mean(axis=1)).T, axis=1)
    right = (said == truth).astype(float)
    # Each image counts as much as its category is rare, so that the mean is the mean over categories.
    share = len(truth) / (len(names) * np.bincount(truth)[truth])
    found = intervals({"accuracy": right}, clusters)
    macro = intervals({"macro accuracy": right * share}, clusters, bounded=False)["macro accuracy"]
    low, high = max(0.0, macro.low), min(1.0, macro.high)
    found["macro accuracy"] = Interval(macro.mean, low, high, macro.queries, macro.clusters)
    chance = dict.fromkeys(found, 1 / len(names))
    return [Line(f"zero-shot, {len(names)} categories", len(right), found, chance)]


def by_caption(vectors: Array, items: pd.DataFrame, embed: EmbedTexts) -> list[Line]:
    """Images found by a caption of theirs: the very image, and images of its category.

    Captions are asked as they are, and without the words that name a colour or a category, which otherwise tell the
    category away. The intervals are over distinct captions.

    Args:
        items: with ``captions`` and ``category``; the first caption of each item is its query.

    Raises LensError where no item has a caption.
    """
    rows = np.array([row for row, texts in enumerate(items["captions"]) if len(texts)], np.int64)
    if not len(rows):
        raise LensError(
            "The items have no captions, so none can be asked; name the column by data.columns.caption."
        )
    written = [str(items["captions"].iloc[row][0]) for row in rows]
    kinds = np.unique(items["category"].to_numpy(dtype=str), return_inverse=True)[1]
    bare = without(written, telling_words(items["category"].unique()))
    lines = []
    for name, texts in (("caption", written), ("caption without colour and type", bare)):
        asked = np.array([place for place, text in enumerate(texts) if text], np.int64)
        if not len(asked):
            continue
        chosen = [texts[place] for place in asked]
        queries, target = embed(chosen), rows[asked]
        nobody, every = (
            np.full(len(asked), -1),
            np.arange(len(vectors)),
        )  # a text is no item: nothing is left out
        clusters = np.unique(chosen, return_inverse=True)[1]
        own = retrieval_scores(queries, target, nobody, vectors, every, every)
        kind = retrieval_scores(queries, kinds[target], nobody, vectors, kinds, every)
        one, other = line_of(name, own, OWN, clusters), line_of(name, kind, KIND, clusters)
        lines.append(
            Line(name, own.queries, {**one.figures, **other.figures}, {**one.chance, **other.chance})
        )
    return lines


def like_this_but(
    vectors: Array, items: pd.DataFrame, attribute: str, embed: EmbedTexts, seed: int = 0
) -> list[Line]:
    """An image with a word for another value of an attribute, "like this, but red".

    What is right is of the image's category and has that value.

    Each image is asked with one other value, drawn from those that its category has. Beside the image alone and the
    text alone stand their sums, over the weight of the text, as they are and with each modality's mean taken away
    first (the two lie in separate cones: Liang et al. 2022, "Mind the Gap").

    Args:
        attribute: a column of the items, such as a colour. Intervals are over products where the items have them.

    Raises LensError for an unknown column, and where no category has two values of it.
    """
    if attribute not in items:
        raise LensError(
            f"attribute={attribute}: the items have no such column; they have {', '.join(items.columns)}."
        )
    category, value = (items[name].fillna("").to_numpy(dtype=str) for name in ("category", attribute))
    rows, wanted = _targets(category, value, np.random.default_rng(seed))
    if not len(rows):
        raise LensError(f"attribute={attribute}: no category has two values of it, so nothing can be asked.")
    distinct, which = np.unique(wanted, return_inverse=True)
    texts = embed([word.lower() for word in distinct])[which]
    pairs = [f"{kind}\0{word}" for kind, word in zip(category, value, strict=True)]
    asked = [f"{category[row]}\0{word}" for row, word in zip(rows, wanted, strict=True)]
    labels = np.unique([*pairs, *asked], return_inverse=True)[1]
    gallery, goal = labels[: len(pairs)], labels[len(pairs) :]
    every = np.arange(len(vectors))
    images = vectors[rows]
    ways: list[tuple[str, Array]] = [("image alone", images), ("text alone", texts)]
    ways += [(f"image + {weight:g} x text", images + weight * texts) for weight in TEXT_WEIGHTS]
    centred = images - vectors.mean(axis=0), texts - texts.mean(axis=0)
    ways += [
        (f"centred, image + {weight:g} x text", centred[0] + weight * centred[1]) for weight in TEXT_WEIGHTS
    ]
    products = products_of(items, rows)
    shown = {"precision_at_1": "P@1", "precision_at_10": "P@10", "hit_at_10": "hit@10"}
    return [
        line_of(name, retrieval_scores(_unit(queries), goal, rows, vectors, gallery, every), shown, products)
        for name, queries in ways
    ]


def products_of(items: pd.DataFrame, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
    """A number for the product of each row; None where the items have no products."""
    if "product_id" not in items:
        return None
    return np.unique(items["product_id"].to_numpy(dtype=str)[rows], return_inverse=True)[1].astype(np.int64)


def _targets(
    category: np.ndarray, value: np.ndarray, random: np.random.Generator
) -> tuple[npt.NDArray[np.int64], np.ndarray]:
    """Rows with a value, and for each another value that its category has."""
    rows, wanted = [], []
    for kind in np.unique(category):
        inside = np.flatnonzero((category == kind) & (value != ""))
        has = np.unique(value[inside])
        if len(has) < 2:
            continue
        for row in inside:
            others = has[has != value[row]]
            rows.append(row)
            wanted.append(others[random.integers(len(others))])
    return np.array(rows, np.int64), np.array(wanted, dtype=str)


def _unit(rows: Array) -> Array:
    return (rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)).astype(np.float32)
