"""Images that are the same, or almost, found by comparing perceptual hashes."""

import numpy as np
import pandas as pd

MAX_DISTANCE = 4
_CHUNK = 512
_LIST_ALL = 64


def near_duplicates(
    digests: np.ndarray, phashes: np.ndarray, max_distance: int = MAX_DISTANCE
) -> pd.DataFrame:
    """All pairs of images whose hashes differ in at most `max_distance` of 64 bits.

    Exact: each hash is compared with each other one, in chunks. Beside the pairs found this holds 9 bytes x 512 x
    (distinct hashes). Where more than 64 images share one hash, each is paired with the first of them only.

    Args:
        digests: str [N], pixel digests; "" for an image that could not be read, which is left out.
        phashes: uint64 [N].

    Returns:
        one row per pair: i, j (row numbers, i < j), distance (bits), identical (bool: the same pixels).
    """
    digests = np.asarray(digests, dtype=object)
    rows = np.flatnonzero(digests != "")
    unique, code = np.unique(np.asarray(phashes, dtype=np.uint64)[rows], return_inverse=True)
    members = np.split(
        rows[np.argsort(code, kind="stable")], np.cumsum(np.bincount(code, minlength=len(unique)))[:-1]
    )
    found: list[np.ndarray] = [_within(group) for group in members if len(group) > 1]
    for start in range(0, len(unique), _CHUNK):
        block = unique[start : start + _CHUNK, None]
        distance = np.bitwise_count(block ^ unique[None, start:])
        for a, b in np.argwhere(distance <= max_distance):
            if a < b:
                found.append(_between(members[start + a], members[start + b], int(distance[a, b])))
    pairs = np.concatenate(found) if found else np.empty((0, 3), dtype=np.int64)
    frame = pd.DataFrame(pairs, columns=["i", "j", "distance"]).sort_values(["i", "j"], ignore_index=True)
    frame["identical"] = digests[frame["i"].to_numpy()] == digests[frame["j"].to_numpy()]
    return frame


def across_sides(pairs: pd.DataFrame, side: np.ndarray) -> pd.DataFrame:
    """The pairs whose two images lie on different sides of the split, with the columns side_i and side_j."""
    side = np.asarray(side)
    side_i, side_j = side[pairs["i"].to_numpy()], side[pairs["j"].to_numpy()]
    crossing = pairs.assign(side_i=side_i, side_j=side_j).loc[side_i != side_j]
    return crossing.reset_index(drop=True)


def groups(pairs: pd.DataFrame, n: int) -> np.ndarray:
    """int64 [n]: equal numbers for images linked by pairs, directly or through others; each row alone has its own."""
    return connected(pairs[["i", "j"]].to_numpy(dtype=np.int64), n)


def connected(links: np.ndarray, n: int) -> np.ndarray:
    """Connected components: int64 [n], the smallest member of each row's component.

    Args:
        links: int [M, 2], row numbers.
    """
    label = np.arange(n)
    if len(links) == 0:
        return label
    first, second = links[:, 0], links[:, 1]
    while True:
        smallest = np.minimum(label[first], label[second])
        before = label.copy()
        # Whole components move at once: their present representatives are relabelled too.
        np.minimum.at(label, before[first], smallest)
        np.minimum.at(label, before[second], smallest)
        label = label[label]
        if np.array_equal(label, before):
            return label


def _within(group: np.ndarray) -> np.ndarray:
    """int64 [M, 3]: pairs of images of one and the same hash."""
    if len(group) > _LIST_ALL:
        first, second = np.full(len(group) - 1, group[0]), group[1:]
    else:
        a, b = np.triu_indices(len(group), k=1)
        first, second = group[a], group[b]
    return np.stack([first, second, np.zeros_like(first)], axis=1)


def _between(left: np.ndarray, right: np.ndarray, distance: int) -> np.ndarray:
    """int64 [M, 3]: pairs of images of two hashes."""
    if len(left) * len(right) > _LIST_ALL**2:
        left, right = left[:1], right[:1]
    first, second = np.repeat(left, len(right)), np.tile(right, len(left))
    low, high = np.minimum(first, second), np.maximum(first, second)
    return np.stack([low, high, np.full_like(first, distance)], axis=1)
