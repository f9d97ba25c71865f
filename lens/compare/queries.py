"""More ways to ask than by an image: evaluated where they are wanted."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lens.compare.again import searched_again
from lens.compare.lines import Line, means, plain_lines, print_lines
from lens.compare.shots import few_shot
from lens.compare.sources import Embedded, OpenedRun, embedded_by_export
from lens.compare.texts import by_caption, like_this_but, products_of, zero_shot
from lens.errors import LensError


@dataclass(frozen=True)
class Asked:
    """What is to be evaluated beside the search by an image.

    texts: categories by name, and images by caption; attribute: a column for "like this, but red", which needs texts.
    shots: groups of a few examples; rerank: expanded and re-ranked searches.
    """

    texts: bool = False
    attribute: str | None = None
    shots: bool = False
    rerank: bool = False


def judge_queries(
    uri: str, found: Embedded, opened: OpenedRun | None, asked: Asked, relevance: str
) -> tuple[dict[str, Any], dict[str, float | None]]:
    """Print what was asked for; returns it as plain values, and its figures by name for the run's record.

    Raises LensError for texts of a model without a text tower, and items on which nothing can be measured.
    """
    result: dict[str, Any] = {}
    figures: dict[str, float | None] = {}

    def keep(group: str, title: str, lines: list[Line], note: str = "") -> None:
        print_lines(f"{found.title}: {title}", lines, note)
        result[group] = plain_lines(lines)
        figures.update(means(group, lines))

    rows = np.arange(len(found.items))
    if found.split is not None:
        rows = np.flatnonzero(found.items["split"].to_numpy() == found.split)
    vectors, items = found.vectors[rows], found.items.iloc[rows].reset_index(drop=True)
    products = products_of(items, np.arange(len(items)))
    if asked.texts:
        embed = _texts(opened)
        keep(
            "zero_shot",
            "categories from their names alone",
            zero_shot(vectors, list(items["category"]), embed, products),
        )
        keep("captions", "images by a caption", by_caption(vectors, items, embed))
        if asked.attribute is not None:
            lines = like_this_but(vectors, items, asked.attribute, embed)
            keep("mixed", f"like this, but of another {asked.attribute}", lines)
    if asked.shots:
        whole = embedded_by_export(uri, opened.run_id, None) if opened and opened.own else found
        keep(
            "few_shot",
            "groups of a few examples",
            few_shot(whole.vectors, whole.items),
            "Over categories x 5 draws.",
        )
    if asked.rerank:
        column = "category" if relevance == "category" else "product_id"
        labels = np.unique(items[column].to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)
        roles = items["role"].to_numpy(dtype=str) if "role" in items else np.full(len(items), "")
        keep("again", "searched again", searched_again(vectors, labels, roles, products))
    return result, figures


def _texts(opened: OpenedRun | None) -> Any:
    embedder = None if opened is None else opened.embedder
    if embedder is None or not embedder.takes_texts:
        what = "vectors alone take no texts" if opened is None else f"run {opened.run_id} has no text tower"
        raise LensError(f"texts=true: {what}; give run= of a clip model.")
    return embedder.texts
