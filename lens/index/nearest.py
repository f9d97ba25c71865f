"""Exact search in a small array, and one list made of several."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lens.index.checks import Array

_BYTES = 1 << 26  # of cosines held at one time


@dataclass(frozen=True)
class Found:
    """Nearest first: rows int64 [Q, k], -1 where there are no more; cosines float32 [Q, k], NaN there."""

    rows: npt.NDArray[np.int64]
    cosines: npt.NDArray[np.float32]


def nearest(queries: Array, vectors: Array, rows: Array, k: int) -> Found:
    """The k nearest of some vectors (float32 [M, D]), whose rows are given (int64 [M]), to queries float32 [Q, D]."""
    found = _nothing(len(queries), min(k, len(vectors)))
    step = max(1, _BYTES // (4 * max(1, len(vectors))))
    for start in range(0, len(queries), step):
        cosines = queries[start : start + step] @ vectors.T
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        found.rows[start : start + step] = rows[best]
        found.cosines[start : start + step] = np.take_along_axis(cosines, best, axis=1)
    return found


def merged(parts: Sequence[Found], queries: int, k: int) -> Found:
    """One list of exactly k of several lists; equal cosines in the order of the parts."""
    every = [*parts, _nothing(queries, k)]
    rows = np.concatenate([part.rows for part in every], axis=1)
    cosines = np.concatenate([part.cosines for part in every], axis=1)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]  # NaN comes last
    return Found(np.take_along_axis(rows, order, axis=1), np.take_along_axis(cosines, order, axis=1))


def without(found: Found, rows: Array, k: int) -> Found:
    """The first k results of each query that are none of some rows (int64 [R]); the found are k + R at least."""
    order = np.argsort(np.isin(found.rows, rows), axis=1, kind="stable")[:, :k]
    return Found(
        np.take_along_axis(found.rows, order, axis=1), np.take_along_axis(found.cosines, order, axis=1)
    )


def _nothing(queries: int, k: int) -> Found:
    return Found(np.full((queries, k), -1, np.int64), np.full((queries, k), np.nan, np.float32))
