"""Exact search: every vector is looked at, at bounded memory, with the same answer every time."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]
Cosines = npt.NDArray[np.float32]
Answer = tuple[Rows, Cosines]  # [Q, k] each; -1 and NaN where there are no more

_BLOCK = 16384  # rows multiplied together, at most,
_NUMBERS = 1 << 23  # and the numbers in them;
_COPIED = 1 << 19  # the numbers in rows that are copied together, so that they stay in the cache
_QUERIES = 512  # queries multiplied together
_SLACK = 1e-5  # more than float32 sums of unit vectors differ from each other by their order of summing
_FEW = 4  # fewer than a quarter of the rows are copied together, for more it is quicker to multiply all


def search_exactly(vectors: Array, queries: Array, k: int, allowed: Array | None = None) -> Answer:
    """The k rows of vectors (float32 [N, D]) nearest to each query (float32 [Q, D]), by their dot product.

    allowed: bool [N], or None for all. Returns rows int64 [Q, k], nearest first, equal ones in the order of rows, and
    their cosines float32 [Q, k], computed in float64; -1 and NaN where fewer than k are allowed.
    A fast product in float32 proposes rows. Its last digits depend on where a row lies in the block, so all that come
    within a hair of the k nearest are computed again, and equal vectors get equal cosines.
    """
    rows, cosines = nothing(len(queries), k)
    for start in range(0, len(queries), _QUERIES):
        part = slice(start, start + _QUERIES)
        _fill(vectors, queries[part], allowed, rows[part], cosines[part])
    return rows, cosines


def nothing(queries: int, k: int) -> Answer:
    """An answer without results."""
    return np.full((queries, k), -1, np.int64), np.full((queries, k), np.nan, np.float32)


def _fill(vectors: Array, queries: Array, allowed: Array | None, rows: Rows, cosines: Cosines) -> None:
    """Write the answer to queries into `rows` and `cosines`, which are empty."""
    numbers = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    copied = len(numbers) * _FEW < len(vectors)
    step = max(1, min(_BLOCK, (_COPIED if copied else _NUMBERS) // vectors.shape[1]))
    lowest = np.full(len(queries), -np.inf, np.float32)  # what a row must reach to matter to a query
    for start in range(0, len(numbers) if copied else len(vectors), step):
        if copied:
            block_rows = numbers[start : start + step]
            block, inside = vectors[block_rows], None
        else:
            block_rows = np.arange(start, min(start + step, len(vectors)))
            block = vectors[start : start + step]
            inside = None if allowed is None else allowed[start : start + step]
        products = queries @ block.T
        if inside is not None:
            products[:, ~inside] = -np.inf
        _take(products, block, block_rows, queries, lowest, rows, cosines)


def _take(
    products: Array,
    block: Array,
    block_rows: Rows,
    queries: Array,
    lowest: Array,
    rows: Rows,
    cosines: Cosines,
) -> None:
    """Merge what a block (float32 [B, D]) holds into the answer; products: float32 [Q, B], -inf where not allowed."""
    k = rows.shape[1]
    reached = products.max(axis=1) >= lowest
    for query in np.flatnonzero(reached):
        line = products[query]
        floor = lowest[query]
        if len(line) > k:
            floor = max(floor, np.partition(line, -k)[-k] - _SLACK)
        near = np.flatnonzero((line >= floor) & (line > -np.inf))
        found = rescored(block[near], queries[query])
        every = np.concatenate([cosines[query], found])
        best = np.argsort(-every, kind="stable")[:k]  # earlier rows come first, NaN last
        cosines[query] = every[best]
        rows[query] = np.concatenate([rows[query], block_rows[near]])[best]
        if rows[query, -1] >= 0:
            lowest[query] = cosines[query, -1] - _SLACK


def rescored(vectors: Array, query: Array) -> Cosines:
    """The cosines of unit vectors (float32 [..., n, D]) with unit queries (float32 [..., D]), float32 [..., n].

    Products and sums are in float64, in an order that depends on nothing but D.
    """
    wide = np.asarray(vectors, np.float64) * np.asarray(query, np.float64)[..., None, :]
    return wide.sum(axis=-1).astype(np.float32)
