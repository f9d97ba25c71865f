"""Exact retrieval metrics, for a query set against a gallery or leave-one-out, in bounded memory.

For one query: the *gallery* is every gallery item whose id differs from the query's id; an item is *relevant*
when its label equals the query's; R is the number of relevant items. Items are ranked by falling cosine.
Items of equal cosine (equal after rounding to 2^-20, about 1e-6) have no order of their own: a score is its mean
over all their orders, or that of the worst order. Queries with R = 0 have no right answer; they are left out of
every mean, and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lens.metrics.formulas import chance_scores, first_scores, metric_names, rank_scores
from lens.metrics.ranking import Ranks, Search, first_ranks, make_search, workspace
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
from lens.metrics.ties import Ties, worth

_NO_NEIGHBOUR = torch.iinfo(torch.int64).min
_LOW_32_BITS = 2**32 - 1


@dataclass(frozen=True)
class RetrievalScores:
    """Means over the counted queries, and the figures they are the means of.

    metrics: name to mean, NaN when no query is counted.
    per_query: name to float64 [queries], one value per counted query, in the order of the queries.
    counted: bool [Q], which queries have a relevant item.
    queries, excluded_queries: how many are counted and how many are not.
    chance: name to the mean that a gallery in random order has in expectation; a constant embedding scores it.
    tied_queries: counted queries of which the order of ties can change a figure: a tie group that holds relevant
        and irrelevant items begins within the first max(largest k, R) ranks, or has the first relevant item.
    """

    metrics: dict[str, float]
    per_query: dict[str, np.ndarray]
    counted: np.ndarray
    queries: int
    excluded_queries: int
    chance: dict[str, float]
    tied_queries: int


def retrieval_scores(
    query_embeddings: Embeddings,
    query_labels: Integers,
    query_ids: Integers,
    gallery_embeddings: Embeddings | None = None,
    gallery_labels: Integers | None = None,
    gallery_ids: Integers | None = None,
    *,
    ks: Sequence[int] = (1, 5, 10),
    ties: Ties = "expected",
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
    - ``map_at_k``: the sum over ranks i = 1..k of precision_at_i · [item i is relevant], divided by min(k, R). The
      field also divides by R, and by the relevant items found.
    - ``ndcg_at_k``: the sum over ranks i = 1..k of [item i is relevant] / log2(i + 1), divided by the same sum for
      a ranking whose first min(k, R) items are relevant (Järvelin and Kekäläinen 2002, with gains 0 and 1).
    - ``r_precision``: relevant items among the first R, divided by R.
    - ``map_at_r``: (1/R) · sum over ranks i = 1..R of precision_at_i · [item i is relevant] (Musgrave,
      Belongie and Lim 2020, "A Metric Learning Reality Check").
    - ``mrr``: 1 / the rank of the first relevant item in the whole ranking, however far down.

    With ``ties="expected"`` each is the exact expectation over all orders of the items of equal cosine (the
    formulas are in `lens.metrics.ties`), so a constant embedding scores what chance scores. With "pessimistic"
    irrelevant items come first among equals: a lower bound.

    Working memory, on the computing device (default: that of the query embeddings), stays inside `budget_bytes`
    by the formula of `lens.metrics.ranking.workspace_sizes`, whose depth is the larger of the largest k and the
    largest R. Labels, ids and results take some 200 bytes per item beside it. The result does not depend on the chunks.

    Raises ValueError for wrong shapes or types, and for embeddings that are NaN, infinite or zero, naming the
    rows.
    """
    if not ks or min(ks) < 1:
        raise ValueError(f"ks must be one or more positive numbers, not {list(ks)}")
    if ties not in ("expected", "pessimistic"):
        raise ValueError(f"ties must be 'expected' or 'pessimistic', not {ties!r}")
    queries = gallery = make_side("query", query_embeddings, query_ids, query_labels)
    if gallery_embeddings is not None and gallery_labels is not None and gallery_ids is not None:
        gallery = make_side("gallery", gallery_embeddings, gallery_ids, gallery_labels)
    elif not (gallery_embeddings is None and gallery_labels is None and gallery_ids is None):
        raise ValueError("a gallery needs embeddings, labels and ids: give all three or none")
    place = computing_device(query_embeddings, device)
    _check(queries, gallery, place, budget_bytes)
    search = make_search(queries, gallery, place)
    counted = search.relevant > 0
    per_query, tied = _score_queries(search, np.flatnonzero(counted), ks, ties, budget_bytes)
    some = bool(counted.any())
    return RetrievalScores(
        metrics={name: float(values.mean()) if some else float("nan") for name, values in per_query.items()},
        per_query=per_query,
        counted=counted,
        queries=int(counted.sum()),
        excluded_queries=int((~counted).sum()),
        chance=chance_scores(search.available[counted], search.relevant[counted], ks),
        tied_queries=tied,
    )


def _score_queries(
    search: Search, rows: np.ndarray, ks: Sequence[int], ties: Ties, budget_bytes: int
) -> tuple[dict[str, np.ndarray], int]:
    """Every metric, float64 [len(rows)], of the queries `rows`, which have R > 0; and how many depend on ties."""
    per_query = {name: np.empty(len(rows)) for name in metric_names(ks)}
    first, tied = np.empty((len(rows), 3), np.int64), 0
    # Queries of like R together, so that few rank deeper than they need.
    order = np.argsort(search.relevant[rows], kind="stable")
    reach = np.maximum(search.relevant[rows], max(ks))
    deepest = int(min(len(search.gallery), reach.max(initial=1)))
    space = workspace(search, len(rows), deepest, budget_bytes)
    for span in spans(len(rows), len(space.keys)):
        chunk = order[span]
        depth = int(min(len(search.gallery), reach[chunk[-1]]))
        ranks = first_ranks(search, rows[chunk], depth, space)
        for piece in spans(len(chunk), space.lines):
            places = chunk[piece]
            part = worth(
                Ranks(ranks.keys[piece], ranks.last[piece], ranks.first[piece]), reach[places], depth, ties
            )
            for name, values in rank_scores(part, search.relevant[rows[places]], ks).items():
                per_query[name][places] = values
            first[places] = part.first
            tied += int(part.tied.sum())
    per_query.update(first_scores(first, ks))
    return per_query, tied


def retrieval_scores_by_role(
    embeddings: Embeddings,
    labels: Integers,
    ids: Integers,
    roles: np.ndarray,
    *,
    ks: Sequence[int] = (1, 5, 10),
    ties: Ties = "expected",
) -> RetrievalScores:
    """Score one set of N items: its queries against its gallery, or each item against all others.

    roles: str [N], "query", "gallery" or "" for both. Embeddings, labels, ids and errors as in `retrieval_scores`;
    ValueError also where the roles leave no query or no gallery.
    """
    if not (roles != "").any():
        return retrieval_scores(embeddings, labels, ids, ks=ks, ties=ties)
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
        ties=ties,
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
