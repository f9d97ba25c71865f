"""Images that are the same, or almost, found by comparing perceptual hashes."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

# Of 256 bits. Measured on 7,224 catalogue photographs of 120 x 160: copies recompressed (JPEG 40 to 75), halved or
# doubled differ by 10 bits at most; of 26 million pairs 96 lie within 12 bits, 353 within 24, 13,989 within 40.
MAX_DISTANCE = 12
_CELLS = 4_000_000  # hashes compared at a time
_LIST_ALL = 64


def near_duplicates(
    digests: Sequence[str], phashes: Sequence[bytes], max_distance: int = MAX_DISTANCE
) -> pd.DataFrame:
    """All pairs of images whose hashes differ in at most `max_distance` of 256 bits.

    Exact: each hash is compared with each other one, a block at a time, so the time grows with the square of N, and
    memory is about 50 MB beside the pairs found. Where more than 64 images share one hash, each is paired with the
    first of them only. The hash sees no colour: one design photographed alike in two colours counts as near, which
    is a leak too. Mirrored and rotated copies, and most cropped ones, are not found.

    Args:
        digests: N pixel digests; "" for an image that could not be read, which is left out.
        phashes: N hashes of 32 bytes.

    Returns:
        one row per pair: i, j (row numbers, i < j), distance (bits), identical (bool: the same pixels).
    """
    pixels = np.asarray(digests, dtype=object)
    rows = np.flatnonzero(pixels != "")
    words = np.frombuffer(b"".join(phashes[int(row)] for row in rows), dtype=np.uint64).reshape(-1, 4)
    unique, code = np.unique(words, axis=0, return_inverse=True)
    members = _members(rows, code.ravel(), len(unique))
    found = [_within(group) for group in members if len(group) > 1]
    for a, b, distance in _close(unique, max_distance):
        found.extend(_between(members[i], members[j], d) for i, j, d in zip(a, b, distance, strict=True))
    pairs = np.concatenate(found) if found else np.empty((0, 3), dtype=np.int64)
    frame = pd.DataFrame(pairs, columns=["i", "j", "distance"]).sort_values(["i", "j"], ignore_index=True)
    frame["identical"] = pixels[frame["i"].to_numpy()] == pixels[frame["j"].to_numpy()]
    return frame


def _members(rows: np.ndarray, code: np.ndarray, count: int) -> list[np.ndarray]:
    """The rows of each of `count` hashes, ascending; code: int [len(rows)], the hash of each row."""
    if count == 0:
        return []
    ends = np.cumsum(np.bincount(code, minlength=count))
    return np.split(rows[np.argsort(code, kind="stable")], ends[:-1])


def _close(hashes: np.ndarray, max_distance: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Index pairs a < b of hashes (uint64 [U, 4]) within the distance, and their distance, block by block."""
    step = max(1, _CELLS // max(1, len(hashes)))
    for start in range(0, len(hashes), step):
        # The last 64 bits hold the high frequencies, which differ most: they rule out nearly every pair.
        tail = hashes[start : start + step, None, 3] ^ hashes[None, start:, 3]
        a, b = np.nonzero(np.bitwise_count(tail) <= max_distance)
        a, b = a[a < b] + start, b[a < b] + start
        distance = np.bitwise_count(hashes[a] ^ hashes[b]).sum(axis=1, dtype=np.int64)
        near = distance <= max_distance
        yield a[near], b[near], distance[near]


def across_sides(pairs: pd.DataFrame, side: np.ndarray) -> pd.DataFrame:
    """The pairs whose two images lie on different sides of the split, with the columns side_i and side_j."""
    side = np.asarray(side)
    side_i, side_j = side[pairs["i"].to_numpy()], side[pairs["j"].to_numpy()]
    crossing: pd.DataFrame = pairs.assign(side_i=side_i, side_j=side_j).loc[side_i != side_j]
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
