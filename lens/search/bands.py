"""What a score is called: high, medium or low, for each model and each kind of query.

Cosines between images fill the range, so images have fixed bands. A text's cosine with a fitting image may lie near
0.25, so the bands of texts, and of texts with images, are calibrated on the index: its own captions are the queries.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from lens.metrics import neighbours
from lens.metrics.calibration import HIGH, MEDIUM, band_table, calibrate

Modality = Literal["image", "text", "mixed"]
Band = Literal["high", "medium", "low"]
Array = npt.NDArray[Any]
MODALITIES: tuple[Modality, ...] = ("image", "text", "mixed")
RESULTS = 10  # the first results of a query, which the bands speak of
MOST_QUERIES, MOST_ITEMS = 1000, 50_000


@dataclass(frozen=True)
class Bands:
    """From which cosine a result is called high, and medium; None: no result is.

    limits: modality to (high, medium).
    """

    limits: Mapping[str, tuple[float | None, float | None]]

    def band(self, cosine: float, modality: Modality) -> Band:
        """The band of one result's cosine."""
        high, medium = self.limits[modality]
        if high is not None and cosine >= high:
            return "high"
        return "medium" if medium is not None and cosine >= medium else "low"


def read_bands(manifest: Mapping[str, Any]) -> Bands:
    """The bands of an index. One that was written without any has the fixed ones for images, and none for texts."""
    found = manifest.get("bands") or {}
    default: dict[str, tuple[float | None, float | None]] = {
        "image": (HIGH, MEDIUM),
        "text": (None, None),
        "mixed": (None, None),
    }
    given = {name: (part["high"], part["medium"]) for name, part in found.items() if name in default}
    return Bands(default | given)


def make_bands(
    vectors: Array,
    items: pd.DataFrame,
    embed_texts: Callable[[Sequence[str]], Array] | None = None,
    *,
    relevance: Literal["category", "product"] = "category",
    seed: int = 0,
) -> dict[str, Any]:
    """The bands of an index for its manifest, plain values: of each modality, with what they mean and are worth.

    Up to 1,000 items are queries, against the items of the same side: the validation side, where there is one, since a
    model knows its training images and the test side is for judging. For texts each query item gives one of its
    captions; for mixed queries its image and that caption are added up, each without the mean of its kind, and the item
    itself is left out. Time and memory are those of 1,000 queries in at most 50,000 items. Queries of which no other
    item is of their kind count.

    Args:
        vectors: unit vectors float32 [N, D]; items: their N items.
        embed_texts: texts to unit vectors [T, D], for models that take them.
        relevance: what makes a result right.

    Returns:
        empty where there are fewer than two items to measure on; else for each modality ``high``, ``medium``
        (cosines or None), ``means`` (a sentence), ``queries``, ``bands``: a line a band with its share
        of the first ten results, their precision and its 95 % interval. ``mixed`` also has ``image_mean`` and
        ``text_mean``, [D] each, which its queries are rid of, and so says ``centred``.
    """
    random = np.random.default_rng(seed)
    rows, where = _measured(items, random)
    if len(rows) < 2:
        return {}
    column = "category" if relevance == "category" else "product_id"
    labels = items[column].to_numpy(dtype=str)[rows]
    chosen = np.sort(random.permutation(len(rows))[:MOST_QUERIES])
    gallery = np.ascontiguousarray(vectors[rows])
    about = f"{relevance}, measured on {len(chosen)} {{}} of {where}"
    measured = _first_results(gallery[chosen], chosen, gallery, labels[chosen], labels)
    bands = {"image": _fixed(*measured, about.format("images"))}
    if embed_texts is None:
        return bands
    captions = [list(texts) if texts is not None else [] for texts in items["captions"].to_numpy()[rows]]
    captioned = np.array([row for row in chosen if captions[row]], np.int64)
    if len(captioned) < 2:
        return bands
    texts = [str(captions[row][random.integers(len(captions[row]))]) for row in captioned]
    written = np.asarray(embed_texts(texts), np.float32)
    distinct = _distinct(texts, labels[captioned])  # the same words again would be the same query
    nobody = np.full(len(distinct), -1)  # a text is no item, so none is left out
    asked = labels[captioned[distinct]]
    words = f"{relevance}, measured on {len(distinct)} captions of {where}"
    bands["text"] = _calibrated(*_first_results(written[distinct], nobody, gallery, asked, labels), words)
    image_mean, text_mean = gallery.mean(axis=0), written.mean(axis=0)
    both = (gallery[captioned] - image_mean) + (written - text_mean)
    length = np.linalg.norm(both, axis=1, keepdims=True)
    keep = length[:, 0] > 1e-6
    if not keep.any():  # a model that has collapsed
        return bands
    mixed = (both[keep] / length[keep]).astype(np.float32)
    asked = labels[captioned[keep]]
    words = f"{relevance}, measured on {len(mixed)} images of {where} with a caption of theirs, both counting alike"
    bands["mixed"] = _calibrated(*_first_results(mixed, captioned[keep], gallery, asked, labels), words)
    bands["mixed"] |= {"centred": True, "image_mean": image_mean.tolist(), "text_mean": text_mean.tolist()}
    return bands


def _measured(items: pd.DataFrame, random: np.random.Generator) -> tuple[npt.NDArray[np.int64], str]:
    side = items["split"].to_numpy(dtype=str)
    rows, where = np.flatnonzero(side == "val"), "the validation side"
    if len(rows) < 2:
        rows, where = np.arange(len(items)), "the whole index, on which the model may have been trained"
    if len(rows) > MOST_ITEMS:
        rows = np.sort(random.choice(rows, MOST_ITEMS, replace=False))
        where = f"{MOST_ITEMS:,} random items of {where}"
    return rows, where


def _distinct(texts: Sequence[str], labels: Array) -> npt.NDArray[np.int64]:
    return np.array(
        sorted({pair: place for place, pair in enumerate(zip(texts, labels, strict=True))}.values())
    )


def _first_results(
    queries: Array, ids: Array, gallery: Array, asked: Array, labels: Array
) -> tuple[Array, Array, Array]:
    """Cosine, relevance and number of query [M] of each query's first results in a gallery of ids 0, 1, 2, ..."""
    found, cosines = neighbours(queries, gallery, ids, np.arange(len(gallery)), RESULTS)
    there = found >= 0
    relevant = labels[found] == asked[:, None]
    number = np.broadcast_to(np.arange(len(queries))[:, None], found.shape)
    return cosines[there], relevant[there], number[there]


def _fixed(cosines: Array, relevant: Array, query: Array, about: str) -> dict[str, Any]:
    means = (
        f"Fixed: high from a cosine of {HIGH:.2f}, medium from {MEDIUM:.2f}. A band's precision is the share "
        f"of its results, among the first {RESULTS}, that are of the query's {about}."
    )
    return _band(HIGH, MEDIUM, means, cosines, relevant, query)


def _calibrated(cosines: Array, relevant: Array, query: Array, about: str) -> dict[str, Any]:
    found = calibrate(cosines, relevant, query)
    means = (
        f"Calibrated: from these cosines on, a result among the first {RESULTS} is with a probability of at least "
        f"{HIGH:.0%} (high) or {MEDIUM:.0%} (medium) of the query's {about}."
    )
    return _band(found.high, found.medium, means, cosines, relevant, query)


def _band(
    high: float | None, medium: float | None, means: str, cosines: Array, relevant: Array, query: Array
) -> dict[str, Any]:
    table = band_table(cosines, relevant, query, high=high, medium=medium)
    return {
        "high": high,
        "medium": medium,
        "means": means,
        "queries": len(np.unique(query)),
        "bands": [{key: _plain(value) for key, value in line.items()} for line in table.to_dict("records")],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if np.isnan(value) else float(value)
    return value
