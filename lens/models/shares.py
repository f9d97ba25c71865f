"""How much each member of a hybrid counts: the weights that search best among validation items."""

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np

from lens.errors import LensError
from lens.metrics import retrieval_scores_by_role

Metric = Literal["precision_at_1", "map_at_r"]


def choose_weights(
    parts: Sequence[np.ndarray],
    labels: np.ndarray,
    ids: np.ndarray,
    roles: np.ndarray,
    *,
    normalise: bool,
    metric: Metric,
) -> np.ndarray:
    """Weights float64 [M], from 0 and summing to 1, of M members' unit vectors [N, D_m] of the same N items.

    Every way to share 1 in tenths (fifths from four members on) is tried, the members alone among them; then those half
    a step around the best. Of equals the one tried first is taken.

    Raises LensError where no item has a relevant other.
    """
    spreads = np.array([_spread(part) if normalise else 1.0 for part in parts])
    tried: dict[tuple[int, ...], tuple[float, float]] = {}
    steps = 10 if len(parts) < 4 else 5

    def worth(shares: tuple[int, ...]) -> tuple[float, float]:
        if shares not in tried:
            weights = _weights(shares, spreads)
            joined = np.concatenate(
                [np.sqrt(w) * part for w, part in zip(weights, parts, strict=True)], axis=1
            )
            scores = retrieval_scores_by_role(joined.astype(np.float32), labels, ids, roles, ks=(1,)).metrics
            tried[shares] = (scores[metric], scores["map_at_r"])
        return tried[shares]

    coarse = [tuple(2 * share for share in shares) for shares in _shared(steps, len(parts))]
    best = max(coarse, key=worth)
    if not np.isfinite(worth(best)[0]):
        raise LensError(
            "No image of the validation side has another of its kind, so no weights can be chosen."
        )
    around = (
        np.array(best) + move for move in itertools.product((-1, 0, 1), repeat=len(parts)) if sum(move) == 0
    )
    best = max([best, *(tuple(map(int, one)) for one in around if (one >= 0).all())], key=worth)
    return _weights(best, spreads)


def _shared(total: int, among: int) -> list[tuple[int, ...]]:
    """All ways to share a whole number."""
    if among == 1:
        return [(total,)]
    return [(first, *rest) for first in range(total + 1) for rest in _shared(total - first, among - 1)]


def _weights(shares: tuple[int, ...], spreads: np.ndarray) -> np.ndarray:
    raw = np.array(shares) / spreads
    return raw / raw.sum()


def _spread(vectors: np.ndarray) -> float:
    """The standard deviation of the cosines of different items."""
    cosines = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    return max(float(cosines.std()), 1e-6) if len(cosines) else 1.0


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """float32 [N, D] with rows of length 1; a row of zeros stays."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return (vectors / lengths).astype(np.float32)
