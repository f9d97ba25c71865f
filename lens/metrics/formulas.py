"""Retrieval metrics of single queries, from what their ranks are worth. The definitions are in `retrieval_scores`."""

from collections.abc import Sequence

import numpy as np

from lens.metrics.similarity import spans
from lens.metrics.ties import Worth, random_order


def metric_names(ks: Sequence[int]) -> list[str]:
    """All metrics of `retrieval_scores` for these cut-offs, in their order."""
    families = ("precision", "recall", "hit", "map", "ndcg")
    cut = [f"{family}_at_{k}" for family in families for k in ks]
    return [*dict.fromkeys(cut), "r_precision", "map_at_r", "mrr"]


def rank_scores(worth: Worth, relevant: np.ndarray, ks: Sequence[int]) -> dict[str, np.ndarray]:
    """The metrics that are sums over ranks, float64 [b] each; `relevant`, int64 [b], is R of each query (> 0).

    Sums run along the ranks one by one, so that they come out the same in any company.
    """
    depth = worth.gain.shape[1]
    found = np.cumsum(worth.gain, axis=1)
    precise = np.cumsum(worth.joint / np.arange(1, depth + 1), axis=1)
    most = min(max(ks), depth)
    discounts = 1 / np.log2(np.arange(2, most + 2))
    ideal = np.cumsum(discounts)
    cumulated = np.cumsum(worth.gain[:, :most] * discounts, axis=1)
    scores: dict[str, np.ndarray] = {}
    for k in ks:
        last, best = min(k, depth) - 1, np.minimum(k, relevant)
        scores[f"precision_at_{k}"] = found[:, last] / k
        scores[f"recall_at_{k}"] = found[:, last] / relevant
        scores[f"map_at_{k}"] = precise[:, last] / best
        scores[f"ndcg_at_{k}"] = cumulated[:, last] / ideal[best - 1]
    lines = np.arange(len(relevant))
    scores["r_precision"] = found[lines, relevant - 1] / relevant
    scores["map_at_r"] = precise[lines, relevant - 1] / relevant
    # A sum of fractions may pass 1 by a rounding.
    return {name: np.minimum(values, 1.0) for name, values in scores.items()}


def first_scores(first: np.ndarray, ks: Sequence[int]) -> dict[str, np.ndarray]:
    """hit@k and the reciprocal rank, float64 [Q] each, from `Worth.first`: only its tie group can decide them."""
    groups, inverse = np.unique(first, axis=0, return_inverse=True)
    before, size, relevant = groups.T
    reciprocal = 1 / (before + 1)
    hits = {k: (before < k).astype(np.float64) for k in ks}
    for place in np.flatnonzero(relevant < size):
        reciprocal[place], shares = _first_of(before[place], size[place], relevant[place], ks)
        for k, share in zip(ks, shares, strict=True):
            hits[k][place] = share
    scores = {f"hit_at_{k}": values[inverse.ravel()] for k, values in hits.items()}
    return {**scores, "mrr": reciprocal[inverse.ravel()]}


def _first_of(
    before: np.int64, size: np.int64, relevant: np.int64, ks: Sequence[int]
) -> tuple[float, list[float]]:
    """Expected reciprocal rank of the first relevant item, and the probability that it is among the first k."""
    irrelevant = size - relevant
    drawn = np.arange(irrelevant + 1)
    # Probability that the first 0, 1, 2 ... places of the group are irrelevant (hypergeometric).
    none = np.cumprod(np.concatenate([[1.0], (irrelevant - drawn[:-1]) / (size - drawn[:-1])]))
    here = none * relevant / (size - drawn)
    reciprocal = float((here / (before + 1 + drawn)).sum())
    shares = [
        0.0 if k <= before else 1.0 - float(none[k - before]) if k - before <= irrelevant else 1.0 for k in ks
    ]
    return reciprocal, shares


def chance_scores(available: np.ndarray, relevant: np.ndarray, ks: Sequence[int]) -> dict[str, float]:
    """Mean of every metric over queries whose gallery is in random order.

    available, relevant: int64 [Q], gallery items without the query's own id, and R of them relevant (> 0).
    """
    if not len(available):
        return dict.fromkeys(metric_names(ks), float("nan"))
    kinds, counts = np.unique(np.stack([available, relevant]), axis=1, return_counts=True)
    totals = dict.fromkeys(metric_names(ks), 0.0)
    depth = int(min(available.max(), max(*ks, relevant.max())))
    for each in spans(len(counts), max(1, 2**16 // depth)):
        n, r = kinds[:, each]
        worth = random_order(n, r, depth)
        for name, values in {**rank_scores(worth, r, ks), **first_scores(worth.first, ks)}.items():
            totals[name] += float(values @ counts[each])
    return {name: total / len(available) for name, total in totals.items()}
