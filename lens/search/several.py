"""Several models asked at once, their results fused into one list."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lens.errors import LensError
from lens.metrics.calibration import shown_score
from lens.search.bands import Band
from lens.search.fusion import normalised, reciprocal_rank
from lens.search.query import Query
from lens.search.searcher import Answer, Clock, Result, Searcher

DEPTH = 100  # of each model's ranking, at least
BACKGROUND = 1000  # items at random that a cosine is compared with
_ORDER: tuple[Band, ...] = ("low", "medium", "high")


def search_several(searchers: Mapping[str, Searcher], query: Query) -> Answer:
    """Put one query to several models, each in its own index, and fuse what they find.

    The models are those that the query names, else all. Every model has to understand every term, and to hold the items
    that it names; other items may be in some of the indices only: by rank they get nothing from the others, by score
    what an item at random gets. The cosine shown is the mean of the models', weighted as they are; the band is the one
    that most of them give, the lower of two.

    Raises LensError for an unknown model, a weight of one that is not asked, and what a single search refuses.
    """
    asked = _asked(searchers, query)
    if len(asked) == 1:
        return next(iter(asked.values())).search(query)
    clock = Clock()
    depth = max(DEPTH, 10 * query.k)
    vectors = {name: searcher.vector(query, clock) for name, searcher in asked.items()}
    found = {name: searcher.ranked(query, vectors[name], depth, clock) for name, searcher in asked.items()}
    ranks = {name: asked[name].reader.ids(one.rows) for name, one in found.items()}
    with clock.stage("fuse"):
        candidates = sorted({item_id for ids in ranks.values() for item_id in ids})
        cosines = {name: _cosines(asked[name], vectors[name], candidates) for name in asked}
        if query.fusion == "rrf":
            fused = reciprocal_rank(ranks, query.weights)
        else:
            searched = {name: one.searched for name, one in found.items()}
            scored = {name: _cosines(asked[name], searched[name], candidates) for name in asked}
            behind = {name: _background(asked[name], searched[name]) for name in asked}
            scores = normalised(scored, behind, query.weights)
            order = np.argsort(-scores, kind="stable")
            fused = {candidates[place]: float(scores[place]) for place in order}
    place_of = {item_id: place for place, item_id in enumerate(candidates)}
    rank_of = {name: {item_id: rank for rank, item_id in enumerate(ids, 1)} for name, ids in ranks.items()}
    results = []
    with clock.stage("items"):
        for item_id, score in list(fused.items())[: query.k]:
            mine = {name: float(cosines[name][place_of[item_id]]) for name in asked}
            about = {
                name: {
                    "rank": rank_of[name].get(item_id),
                    "cosine": cosine,
                    "band": asked[name].bands.band(cosine, query.modality),
                }
                for name, cosine in mine.items()
                if np.isfinite(cosine)
            }
            results.append(_result(item_id, score, about, asked, query))
    return Answer(results, query.modality, tuple(asked), clock.seconds)


def _asked(searchers: Mapping[str, Searcher], query: Query) -> dict[str, Searcher]:
    for name in query.models:
        if name not in searchers:
            raise LensError(f"There is no model {name!r}; there are: {', '.join(searchers) or 'none'}.")
    asked = {name: searchers[name] for name in dict.fromkeys(query.models or searchers)}
    for name in query.weights:
        if name not in asked:
            raise LensError(f"The model {name!r} has a weight but is not asked: add it to models.")
    if not asked:
        raise LensError("There is no model to ask.")
    if query.rerank and query.fusion == "scores" and len(asked) > 1:
        raise LensError("rerank orders by ranks, which fusion=scores does not look at; take fusion=rrf.")
    if query.modality != "image":
        deaf = [name for name, one in asked.items() if one.embedder is None or not one.embedder.takes_texts]
        if deaf:
            able = [name for name, one in searchers.items() if one.embedder and one.embedder.takes_texts]
            hint = f"models={', '.join(able)} can" if able else "take a CLIP model"
            raise LensError(f"{', '.join(deaf)}: no text tower, so no text can be asked; {hint}.")
    return asked


def _cosines(searcher: Searcher, vector: npt.NDArray[np.float32], ids: list[str]) -> npt.NDArray[np.float64]:
    """Of items with a query; NaN where the index lacks the item."""
    rows = searcher.reader.lookup(ids)
    result = np.full(len(ids), np.nan)
    there = rows >= 0
    result[there] = searcher.reader.vectors(rows[there]) @ vector
    return result


def _background(searcher: Searcher, vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    alive = np.flatnonzero(searcher.reader.alive)
    rows = np.sort(np.random.default_rng(0).choice(alive, min(BACKGROUND, len(alive)), replace=False))
    return searcher.reader.vectors(rows) @ vector


def _result(
    item_id: str,
    fused: float,
    about: Mapping[str, dict[str, Any]],
    asked: Mapping[str, Searcher],
    query: Query,
) -> Result:
    shares = [query.weights.get(name, 1.0) for name in about]
    cosine = float(np.average([facts["cosine"] for facts in about.values()], weights=shares))
    votes = Counter(facts["band"] for facts in about.values())
    most = max(votes.values())
    band = next(name for name in _ORDER if votes[name] == most)
    reader = asked[next(iter(about))].reader
    item = reader.items(reader.find([item_id]))[0]
    shown = float(shown_score(np.array(cosine)))
    return replace(Result(item_id, shown, cosine, band, item), models=dict(about), fused=fused)
