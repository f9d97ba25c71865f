"""Exact retrieval metrics, for a query set against a gallery or leave-one-out, in bounded memory.

For one query: the *gallery* is every gallery item whose id differs from the query's id; an item is *relevant*
when its label equals the query's; R is the number of relevant items. Items are ranked by falling cosine.
Items of equal cosine (equal after rounding to 2^-20, about 1e-6) are ranked pessimistically: irrelevant ones
first. So a model that maps everything to one point scores 0 wherever there are enough irrelevant items, not
1. Queries with R = 0 have no right answer; they are left out of every mean, and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lens.metrics.similarity import (
    COSINE_STEPS,
    DEFAULT_BUDGET,
    Embeddings,
    Integers,
    Side,
    check_directions,
    chunk_sizes,
    computing_device,
    cosine_steps,
    make_side,
    spans,
    unit_integers,
)

# A key is 2 * cosine steps + (1 if irrelevant), so that sorting keys sorts by cosine and puts irrelevant
# items first among equals; the lowest bit tells relevance afterwards. Excluded items get the lowest odd key:
# last, and irrelevant.
_EXCLUDED = torch.iinfo(torch.int32).min + 1
_NO_NEIGHBOUR = torch.iinfo(torch.int64).min
_LOW_32_BITS = 2**32 - 1


@dataclass(frozen=True)
class RetrievalScores:
    """Means over the counted queries, and the figures they are the means of.

    metrics: name to mean, NaN when no query is counted.
    per_query: name to float64 [queries], one value per counted query, in the order of the queries.
    counted: bool [Q], which queries have a relevant item.
    queries, excluded_queries: how many are counted and how many are not.
    """

    metrics: dict[str, float]
    per_query: dict[str, np.ndarray]
    counted: np.ndarray
    queries: int
    excluded_queries: int


def retrieval_scores(
    query_embeddings: Embeddings,
    query_labels: Integers,
    query_ids: Integers,
    gallery_embeddings: Embeddings | None = None,
    gallery_labels: Integers | None = None,
    gallery_ids: Integers | None = None,
    *,
    ks: Sequence[int] = (1, 5, 10),
    budget_bytes: int = DEFAULT_BUDGET,
    device: torch.device | str | None = None,
) -> RetrievalScores:
    """Score a search. Without a gallery the queries are the gallery too (leave-one-out).

    Embeddings are float [N, D] of any length (they are normalised here), tensors or arrays, memory-mapped
    ones too; labels and ids are integers [N]. Every gallery item that has the query's id is left out,
    whatever its position.

    - ``precision_at_k``: relevant items among the first k, divided by k, even when the gallery holds fewer
      than k.
    - ``recall_at_k``: relevant items among the first k, divided by R. (Metric-learning papers call hit@k
      "recall@k".)
    - ``hit_at_k``: 1 if a relevant item is among the first k, else 0.
    - ``r_precision``: relevant items among the first R, divided by R.
    - ``map_at_r``: (1/R) · sum over ranks i = 1..R of precision_at_i · [item i is relevant] (Musgrave,
      Belongie and Lim 2020, "A Metric Learning Reality Check").

    Working memory, on the computing device (default: that of the query embeddings), stays inside
    `budget_bytes` by the formula of `lens.metrics.similarity.chunk_sizes`, where M is the larger of the
    largest k and the largest R. Labels, ids and results take some 100 bytes per item beside it. The result
    does not depend on the chunks.

    Raises ValueError for wrong shapes or types, and for embeddings that are NaN, infinite or zero, naming the
    rows.
    """
    if not ks or min(ks) < 1:
        raise ValueError(f"ks must be one or more positive numbers, not {list(ks)}")
    queries = gallery = make_side("query", query_embeddings, query_ids, query_labels)
    if gallery_embeddings is not None and gallery_labels is not None and gallery_ids is not None:
        gallery = make_side("gallery", gallery_embeddings, gallery_ids, gallery_labels)
    elif not (gallery_embeddings is None and gallery_labels is None and gallery_ids is None):
        raise ValueError("a gallery needs embeddings, labels and ids: give all three or none")
    place = computing_device(query_embeddings, device)
    _check(queries, gallery, place, budget_bytes)

    relevant = _relevant_items(queries, gallery)
    counted = relevant > 0
    rows = np.flatnonzero(counted)
    names = [f"{name}_at_{k}" for name in ("precision", "recall", "hit") for k in ks]
    per_query = {name: np.empty(len(rows)) for name in [*names, "r_precision", "map_at_r"]}
    kept = min(len(gallery), max(*ks, int(relevant.max(initial=0))))
    q, g = chunk_sizes(len(rows), len(gallery), queries.width, kept, budget_bytes)
    for span in spans(len(rows), q):
        total = torch.from_numpy(relevant[rows[span]]).to(place)
        hits = _ranked_relevance(queries, rows[span], gallery, kept, g, place)
        for name, values in _scores(hits, total, ks).items():
            per_query[name][span] = values.cpu().numpy()
    metrics = {
        name: float(values.mean()) if len(rows) else float("nan") for name, values in per_query.items()
    }
    return RetrievalScores(metrics, per_query, counted, len(rows), len(counted) - len(rows))


def retrieval_scores_by_role(
    embeddings: Embeddings,
    labels: Integers,
    ids: Integers,
    roles: np.ndarray,
    *,
    ks: Sequence[int] = (1, 5, 10),
) -> RetrievalScores:
    """Score one set of N items: its queries against its gallery, or each item against all others.

    roles: str [N], "query", "gallery" or "" for both. Embeddings, labels, ids and errors as in `retrieval_scores`;
    ValueError also where the roles leave no query or no gallery.
    """
    if not (roles != "").any():
        return retrieval_scores(embeddings, labels, ids, ks=ks)
    query, gallery = np.flatnonzero(roles != "gallery"), np.flatnonzero(roles != "query")
    if not len(query) or not len(gallery):
        raise ValueError("the roles leave no query or no gallery item")
    return retrieval_scores(
        embeddings[query],
        labels[query],
        ids[query],
        embeddings[gallery],
        labels[gallery],
        ids[gallery],
        ks=ks,
    )


def neighbours(
    query_embeddings: Embeddings,
    gallery_embeddings: Embeddings,
    query_ids: Integers,
    gallery_ids: Integers,
    k: int,
    *,
    budget_bytes: int = DEFAULT_BUDGET,
    device: torch.device | str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest gallery rows of each query, items of the query's own id left out.

    Returns gallery rows, int64 [Q, k], and cosines rounded to 2^-20, float32 [Q, k], nearest first; equal
    cosines in gallery order. Where the gallery has fewer than k other items, the rest is row -1 with cosine
    NaN. Memory and errors as in `retrieval_scores`.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    queries = make_side("query", query_embeddings, query_ids)
    gallery = make_side("gallery", gallery_embeddings, gallery_ids)
    place = computing_device(query_embeddings, device)
    _check(queries, gallery, place, budget_bytes)
    indices = np.full((len(queries), k), -1, np.int64)
    cosines = np.full((len(queries), k), np.nan, np.float32)
    kept = min(k, len(gallery))
    q, g = chunk_sizes(len(queries), len(gallery), queries.width, kept, budget_bytes)
    for span in spans(len(queries), q):
        rows = np.arange(span.start, span.stop)
        best = _nearest_keys(queries, rows, gallery, kept, g, place)
        found = best != _NO_NEIGHBOUR
        indices[span, :kept] = np.where(found, _LOW_32_BITS - (best & _LOW_32_BITS), -1)
        cosines[span, :kept] = np.where(found, (best >> 32) / COSINE_STEPS, np.nan)
    return indices, cosines


def _check(queries: Side, gallery: Side, device: torch.device, budget_bytes: int) -> None:
    if queries.width != gallery.width:
        raise ValueError(f"queries have {queries.width} dimensions, the gallery has {gallery.width}")
    check_directions(queries, device, budget_bytes)
    if gallery is not queries:
        check_directions(gallery, device, budget_bytes)


def _relevant_items(queries: Side, gallery: Side) -> np.ndarray:
    """R of each query, int64 [Q]: gallery items of its label, less those of its label that carry its id."""
    assert queries.labels is not None and gallery.labels is not None
    labels = np.unique(np.concatenate([queries.labels, gallery.labels]), return_inverse=True)[1]
    ids = np.unique(np.concatenate([queries.ids, gallery.ids]), return_inverse=True)[1]
    pairs = labels * np.int64(len(ids)) + ids
    split = len(queries)
    own = _occurrences(pairs[:split], pairs[split:])
    of_label = _occurrences(labels[:split], labels[split:])
    relevant: np.ndarray = of_label - own
    return relevant


def _occurrences(wanted: np.ndarray, among: np.ndarray) -> np.ndarray:
    ordered = np.sort(among)
    first = np.searchsorted(ordered, wanted, "left")
    count: np.ndarray = np.searchsorted(ordered, wanted, "right") - first
    return count


def _ranked_relevance(
    queries: Side, rows: np.ndarray, gallery: Side, kept: int, step: int, device: torch.device
) -> Tensor:
    """Whether the item at each rank is relevant, bool [len(rows), kept], best rank first."""
    assert queries.labels is not None and gallery.labels is not None
    vectors = unit_integers(queries, rows, device)
    ids = torch.from_numpy(queries.ids[rows]).to(device)[:, None]
    labels = torch.from_numpy(queries.labels[rows]).to(device)[:, None]
    best = torch.empty(len(rows), 0, dtype=torch.int32, device=device)
    for span in spans(len(gallery), step):
        steps = cosine_steps(vectors, unit_integers(gallery, span, device))
        keys = steps.mul_(2).to(torch.int32)
        del steps
        keys += labels != torch.from_numpy(gallery.labels[span]).to(device)
        keys.masked_fill_(ids == torch.from_numpy(gallery.ids[span]).to(device), _EXCLUDED)
        keys = torch.cat([best, keys], dim=1)
        best = keys.topk(min(kept, keys.shape[1]), dim=1, sorted=False).values
    return (best.sort(dim=1, descending=True).values & 1) == 0


def _scores(hits: Tensor, total: Tensor, ks: Sequence[int]) -> dict[str, Tensor]:
    """Per-query scores, float64 [q], from ranked relevance [q, M] and the number of relevant items [q]."""
    scores: dict[str, Tensor] = {}
    for k in ks:
        found = hits[:, :k].sum(dim=1).double()
        scores[f"precision_at_{k}"] = found / k
        scores[f"recall_at_{k}"] = found / total
        scores[f"hit_at_{k}"] = (found > 0).double()
    rank = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    hits = hits & (rank <= total[:, None])
    scores["r_precision"] = hits.sum(dim=1).double() / total
    precision = hits.cumsum(dim=1, dtype=torch.float64).div_(rank)
    scores["map_at_r"] = precision.mul_(hits).sum(dim=1) / total
    return scores


def _nearest_keys(
    queries: Side, rows: np.ndarray, gallery: Side, kept: int, step: int, device: torch.device
) -> np.ndarray:
    """The best `kept` keys, int64: cosine steps above, the gallery row counted from the end below."""
    vectors = unit_integers(queries, rows, device)
    ids = torch.from_numpy(queries.ids[rows]).to(device)[:, None]
    best = torch.empty(len(rows), 0, dtype=torch.int64, device=device)
    for span in spans(len(gallery), step):
        steps = cosine_steps(vectors, unit_integers(gallery, span, device))
        keys = steps.to(torch.int64).bitwise_left_shift_(32)
        del steps
        keys += _LOW_32_BITS - torch.arange(span.start, span.stop, device=device)
        keys.masked_fill_(ids == torch.from_numpy(gallery.ids[span]).to(device), _NO_NEIGHBOUR)
        keys = torch.cat([best, keys], dim=1)
        best = keys.topk(min(kept, keys.shape[1]), dim=1).values
    return best.cpu().numpy()
