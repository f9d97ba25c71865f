"""What ranks are worth when equal cosines leave their order open.

Items of one tie group could be listed in any order. Under "expected" a rank is worth its mean over all orders, in
closed form (McSherry and Najork 2008, "Computing Information Retrieval Performance Measures Efficiently in the
Presence of Tied Scores"); under "pessimistic" the irrelevant items of a group come first.

In a group of n items, r of them relevant, after H relevant items of earlier groups, the j-th place (from 1) is
relevant with probability p = r/n; and the expectation of [place j is relevant] · (relevant items up to place j) is
p · (H + 1 + (j - 1)(r - 1)/(n - 1)).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lens.metrics.ranking import Ranks

Ties = Literal["expected", "pessimistic"]


@dataclass(frozen=True)
class Worth:
    """What the first M ranks of b queries are worth.

    gain: float64 [b, M], the probability that the item at a rank is relevant.
    joint: float64 [b, M], the expectation of [it is relevant] · (relevant items as far as this rank).
    first: int64 [b, 3], for the first tie group with a relevant item: items before it, its size, its relevant items.
    tied: bool [b], whether the order of ties changes any figure.
    """

    gain: np.ndarray
    joint: np.ndarray
    first: np.ndarray
    tied: np.ndarray


@dataclass(frozen=True)
class _Groups:
    """Tie groups of b rankings, int64 [G]: the line and the column where one starts, its size, its relevant items."""

    line: np.ndarray
    column: np.ndarray
    size: np.ndarray
    relevant: np.ndarray

    def where(self, chosen: np.ndarray) -> "_Groups":
        return _Groups(self.line[chosen], self.column[chosen], self.size[chosen], self.relevant[chosen])


def worth(ranks: Ranks, reach: np.ndarray, depth: int, ties: Ties) -> Worth:
    """What ranks 1..`depth` are worth; `reach`, int [b], is the last rank that counts for each query."""
    hits = ranks.keys & 1
    gain = hits[:, :depth].astype(np.float64)
    joint = np.cumsum(gain, axis=1)
    joint *= gain
    groups, first = _groups(ranks, hits)
    mixed = groups.where((groups.relevant > 0) & (groups.relevant < groups.size))
    tied = (first[:, 2] < first[:, 1]) | np.isin(
        np.arange(len(reach)), mixed.line[mixed.column < reach[mixed.line]]
    )
    if ties == "expected":
        _share(mixed.where(mixed.column < depth), gain, joint)
    else:
        alone = np.ones_like(first[:, 0])
        first = np.stack([first[:, 0] + first[:, 1] - first[:, 2], alone, alone], axis=1)
    return Worth(gain, joint, first, tied)


def random_order(available: np.ndarray, relevant: np.ndarray, depth: int) -> Worth:
    """The same for b galleries of one tie group each: `available` items, `relevant` of them, both int64 [b]."""
    lines = len(available)
    gain, joint = np.zeros((lines, depth)), np.zeros((lines, depth))
    zero = np.zeros(lines, np.int64)
    _share(_Groups(np.arange(lines), zero, available, relevant), gain, joint)
    first = np.stack([zero, available, relevant], axis=1)
    return Worth(gain, joint, first, relevant < available)


def _groups(ranks: Ranks, hits: np.ndarray) -> tuple[_Groups, np.ndarray]:
    """All tie groups among the kept keys, and the first of each line that has a relevant item (`Worth.first`)."""
    lines, kept = hits.shape
    cosines = ranks.keys >> 1
    opens = np.ones(hits.shape, bool)
    np.not_equal(cosines[:, 1:], cosines[:, :-1], out=opens[:, 1:])
    start = np.flatnonzero(opens)
    size = np.diff(start, append=lines * kept)
    relevant = np.add.reduceat(hits.ravel(), start, dtype=np.int64)
    final = np.cumsum(np.count_nonzero(opens, axis=1)) - 1
    known = ranks.last[:, 0] >= 0
    size[final[known]], relevant[final[known]] = ranks.last[known].T
    line, column = np.divmod(start, kept)
    groups = _Groups(line, column, size, relevant)
    opening = np.searchsorted(start, np.arange(lines) * kept + hits.argmax(axis=1), "right") - 1
    first = np.stack([column[opening], size[opening], relevant[opening]], axis=1)
    return groups, np.where(ranks.first >= 0, ranks.first, first)


def _share(groups: _Groups, gain: np.ndarray, joint: np.ndarray) -> None:
    """Give every rank of these groups its expectation, in place. Earlier groups' relevant items must be in `gain`."""
    depth = gain.shape[1]
    inside = np.minimum(groups.size, depth - groups.column)
    before = _gained(groups, gain)
    chance = groups.relevant / groups.size
    slope = (groups.relevant - 1) / np.maximum(groups.size - 1, 1)
    each = np.repeat(np.arange(len(inside)), inside)
    place = np.arange(len(each)) - np.repeat(np.cumsum(inside) - inside, inside)
    flat = groups.line[each] * depth + groups.column[each] + place
    gain.ravel()[flat] = chance[each]
    joint.ravel()[flat] = chance[each] * (before[each] + 1 + place * slope[each])


def _gained(groups: _Groups, gain: np.ndarray) -> np.ndarray:
    """Relevant items of each group's line before the group starts."""
    total = np.cumsum(gain, axis=1)
    return np.where(groups.column > 0, total[groups.line, groups.column - 1], 0.0)
