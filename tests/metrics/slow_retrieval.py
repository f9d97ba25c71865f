"""Retrieval metrics as slow loops over single rankings, in exact fractions: what the fast ones are held against."""

import itertools
import math
from fractions import Fraction

import numpy as np


def ranked_groups(query, label, query_id, gallery, labels, ids):
    """Relevance (bool) of the gallery items in tie groups, nearest group first; the query's own id left out."""
    groups = {}
    for row, other in enumerate(gallery):
        if ids[row] != query_id:
            groups.setdefault(slow_cosine(query, other), []).append(bool(labels[row] == label))
    return [groups[cosine] for cosine in sorted(groups, reverse=True)]


def slow_cosine(one, other):
    product = math.fsum(a * b for a, b in zip(one, other, strict=True))
    return round(
        product / math.sqrt(math.fsum(a * a for a in one)) / math.sqrt(math.fsum(b * b for b in other)), 9
    )


def pessimistic(groups):
    """The one ranking with irrelevant items first in every group."""
    return [hit for group in groups for hit in sorted(group)]


def all_orders(groups):
    """Every ranking of relevance that some order of the tied items gives; each stands for equally many orders."""
    choices = []
    for group in groups:
        places = itertools.combinations(range(len(group)), sum(group))
        choices.append([[place in chosen for place in range(len(group))] for chosen in places])
    for parts in itertools.product(*choices):
        yield [hit for part in parts for hit in part]


def scores_of(hits, ks):
    """All metrics of one ranking with a relevant item, each straight from its definition."""
    total, scores = sum(hits), {}

    def precision(rank):
        return Fraction(sum(hits[:rank]), rank)

    def precisions(last):
        return sum(
            (precision(rank) for rank in range(1, min(last, len(hits)) + 1) if hits[rank - 1]), Fraction(0)
        )

    for k in ks:
        best = min(k, total)
        scores[f"precision_at_{k}"] = precision(k)
        scores[f"recall_at_{k}"] = Fraction(sum(hits[:k]), total)
        scores[f"hit_at_{k}"] = Fraction(any(hits[:k]))
        scores[f"map_at_{k}"] = precisions(k) / best
        gain = math.fsum(1 / math.log2(rank + 1) for rank, hit in enumerate(hits[:k], 1) if hit)
        scores[f"ndcg_at_{k}"] = gain / math.fsum(1 / math.log2(rank + 1) for rank in range(1, best + 1))
    scores["r_precision"] = precision(total)
    scores["map_at_r"] = precisions(total) / total
    scores["mrr"] = Fraction(1, hits.index(True) + 1)
    return scores


def mean_scores(rankings, ks):
    """The mean of every metric over rankings, as floats."""
    rows = [scores_of(hits, ks) for hits in rankings]
    return {name: float(sum(row[name] for row in rows)) / len(rows) for name in rows[0]}


def depends_on_order(groups, ks):
    """Whether some figure differs between two orders of the tied items. Rounding aside: nDCG is compared at 1e-12."""
    rows = [scores_of(hits, ks) for hits in all_orders(groups)]
    return any(abs(row[name] - rows[0][name]) > 1e-12 for row in rows for name in row)


def slow_scores(queries, labels, ids, gallery, gallery_labels, gallery_ids, ks, ties):
    """Per query: (scores, whether they depend on the order of ties), or None where nothing is relevant."""
    result = []
    for query, label, query_id in zip(queries, labels, ids, strict=True):
        groups = ranked_groups(query, label, query_id, gallery, gallery_labels, gallery_ids)
        if not any(map(any, groups)):
            result.append(None)
        elif ties == "pessimistic":
            result.append((mean_scores([pessimistic(groups)], ks), None))
        else:
            result.append((mean_scores(list(all_orders(groups)), ks), depends_on_order(groups, ks)))
    return result


def random_set(rows=300, width=16, classes=7, seed=0):
    """Vectors of some quality, labels, and large ids in no order."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    centres = rng.normal(size=(classes, width))
    embeddings = (centres[labels] + rng.normal(size=(rows, width)) * 1.5).astype(np.float32)
    return embeddings, labels, rng.permutation(rows) + 10**12
