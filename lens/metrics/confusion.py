"""Which categories are taken for which: what the nearest neighbours of each category's queries are."""

from collections.abc import Sequence

import numpy as np


def neighbour_confusion(queries: np.ndarray, found: np.ndarray, categories: int) -> np.ndarray:
    """Share of each category among the first results of the queries of each category.

    Args:
        queries: int [Q], the category of each query, 0 to ``categories`` - 1.
        found: int [Q, K], the category of each result; negative where there is none (as `lens.metrics.neighbours`
            marks a gallery smaller than K). Take the results from there: an item then never finds itself.
        categories: C.

    Returns:
        float64 [C, C]: row of the query's category, column of the result's. A row sums to 1, or is NaN where no query
        of the category has a result.

    Raises ValueError for wrong shapes, and for a category that is not below ``categories``.
    """
    queries, found = np.asarray(queries), np.asarray(found)
    if queries.ndim != 1 or found.ndim != 2 or len(found) != len(queries):
        raise ValueError(
            f"need categories [Q] and results [Q, K], not {list(queries.shape)} and {list(found.shape)}"
        )
    if queries.min(initial=0) < 0 or max(queries.max(initial=-1), found.max(initial=-1)) >= categories:
        raise ValueError(f"a category is not one of 0 to {categories - 1}")
    there = found >= 0
    cells = queries[:, None] * categories + found
    counts = np.bincount(cells[there], minlength=categories**2).reshape(categories, categories).astype(float)
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(axis=1, keepdims=True)


def most_confused(shares: np.ndarray, names: Sequence[str], count: int = 3) -> list[tuple[str, str, float]]:
    """The largest shares off the diagonal: (category of the query, category found, share), largest first.

    shares: [C, C] as `neighbour_confusion` gives them; names: C. Shares of 0 and NaN are left out.
    """
    off = np.nan_to_num(np.array(shares, float))
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:count]
    pairs = [divmod(int(cell), len(off)) for cell in order]
    return [(names[row], names[column], float(off[row, column])) for row, column in pairs if off[row, column]]
