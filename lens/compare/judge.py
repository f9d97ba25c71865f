"""Vectors of any origin, judged as a search: figures with their intervals, overall and by category."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lens.errors import LensError
from lens.metrics import Interval, RetrievalScores, Ties, by_group, intervals, macro, retrieval_scores_by_role

KS = (1, 5, 10)
HEADLINE = "precision_at_1"


@dataclass(frozen=True)
class Judged:
    """What a search in one set of items is worth.

    intervals: metric to mean and 95 % interval over the counted queries (over products where these have several).
    query_ids, products, query_categories: str [counted queries], in the order of ``scores.per_query``.
    macro: the mean over categories, in each of which every query counts alike.
    categories: a line a category, with its number of queries and all metrics.
    relevance: ``category`` or ``product``; ties: as in `lens.metrics.retrieval_scores`.
    """

    scores: RetrievalScores
    intervals: dict[str, Interval]
    query_ids: np.ndarray
    products: np.ndarray
    query_categories: np.ndarray
    macro: dict[str, float]
    categories: pd.DataFrame
    relevance: str
    ties: Ties

    @property
    def clustered(self) -> bool:
        """Whether the intervals are over products."""
        return len(np.unique(self.products)) < len(self.products)


def judge(
    vectors: np.ndarray,
    items: pd.DataFrame,
    *,
    relevance: str | None = None,
    split: str | None = None,
    ties: Ties = "expected",
) -> Judged:
    """Judge float vectors [N, D] of items with ``category`` and/or ``product_id``, optionally ``role``, ``item_id``.

    Args:
        relevance: ``category`` or ``product``; by default by category where there is one.
        split: only the items of this side are queries and gallery; all where None.
        ties: how items of equal cosine are ranked, see `lens.metrics.retrieval_scores`.

    Raises:
        LensError: the column that relevance needs is missing, or no item is left to be judged.
    """
    column = _relevance_column(items, relevance)
    rows = _rows(items, split)
    chosen = items.iloc[rows].reset_index(drop=True)
    labels = np.unique(chosen[column].to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)
    role = _roles(chosen)
    scores = retrieval_scores_by_role(vectors[rows], labels, np.arange(len(rows)), role, ks=KS, ties=ties)
    queries = chosen[role != "gallery"].reset_index(drop=True)
    counted = queries[scores.counted]
    products = counted["product_id"].to_numpy(dtype=str) if "product_id" in counted else _names(counted)
    category = queries["category" if "category" in queries else column].to_numpy(dtype=str)
    clusters = np.unique(products, return_inverse=True)[1]
    return Judged(
        scores,
        intervals(scores.per_query, clusters),
        _names(counted),
        products,
        category[scores.counted],
        macro(scores, category),
        by_group(scores, category),
        "category" if column == "category" else "product",
        ties,
    )


def _names(items: pd.DataFrame) -> np.ndarray:
    return items["item_id"].to_numpy(dtype=str) if "item_id" in items else items.index.to_numpy().astype(str)


def _relevance_column(items: pd.DataFrame, relevance: str | None) -> str:
    column = {"category": "category", "product": "product_id"}.get(relevance or "")
    if column is None:
        column = "category" if "category" in items else "product_id"
    if column not in items:
        raise LensError(
            f"relevance={relevance}: the items have no column {column}; they have {', '.join(map(str, items.columns))}."
        )
    return column


def _rows(items: pd.DataFrame, split: str | None) -> np.ndarray:
    rows = np.arange(len(items))
    if split is not None:
        rows = np.flatnonzero(items["split"].to_numpy() == split) if "split" in items else rows[:0]
    if len(rows) < 2:
        where = f" on the side {split!r}" if split else ""
        raise LensError(f"There are {len(rows)} items{where} to be judged; a search needs at least two.")
    return rows


def _roles(items: pd.DataFrame) -> np.ndarray:
    role = items["role"].fillna("").to_numpy(dtype=str) if "role" in items else np.full(len(items), "")
    if (role != "").any() and not {"query", "gallery"} <= set(np.where(role == "", "query", role)):
        raise LensError(
            "The roles leave no query or no gallery item; give role=query to some and role=gallery to others."
        )
    return role
