"""Images that are the same, or almost, found by comparing perceptual hashes."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

# Of 256 bits. Measured on 7,224 catalogue photographs of 120 x 160: copies recompressed (JPEG 40 to 75), halved or
# doubled differ by 10 bits at most; of 26 million pairs 96 lie within 12 bits, 353 within 24, 13,989 within 40.
MAX_DISTANCE = 12
_BLOCK = 1 << 16  # pairs compared at a time: they stay in the processor's cache
_LIST_ALL = 64
# Odd numbers that make one word of four; equal words of different hashes would cost a comparison, no more.
_MIX = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], dtype=np.uint64
)


def near_duplicates(
    digests: Sequence[str], phashes: Sequence[bytes], max_distance: int = MAX_DISTANCE
) -> pd.DataFrame:
    """All pairs of images whose hashes differ in at most `max_distance` of 256 bits.

    Exact, by multi-index hashing (Norouzi, Punjani and Fleet 2012, with a search radius of 0): hashes that differ in
    d bits agree in one of d + 1 bands at least, so that only hashes that share a band are compared: 0.3 million of
    the 2.4 billion pairs of Fashion-MNIST. A million images take 5 to 15 seconds and 230 MB, beside the pairs found;
    the time nears that of all pairs only where most hashes share a band.

    Where more than 64 images share one hash, each is paired with the first of them only; where there are more than
    64 x 64 pairs of images of two hashes, only the first images are paired. The hash sees no colour: one design
    photographed alike in two colours counts as near, which is a leak too. Mirrored and rotated copies, and most
    cropped ones, are not found.

    Args:
        digests: N pixel digests; "" for an image that could not be read, which is left out.
        phashes: N hashes of 32 bytes.

    Returns:
        one row per pair, ascending: i, j (row numbers, i < j), distance (bits), identical (bool: the same pixels).
    """
    pixels = np.asarray(digests, dtype=object)
    rows = np.flatnonzero(pixels != "")
    code, unique = pd.factorize(np.asarray(phashes, dtype=object)[rows])
    hashes = np.frombuffer(b"".join(unique), dtype=np.uint64).reshape(-1, 4)
    size = np.bincount(code, minlength=len(hashes))
    members = rows[np.argsort(code, kind="stable")]
    shared = np.flatnonzero(size > 1)
    found = [(shared, shared, np.zeros_like(shared)), *_close(hashes, max_distance)]
    a, b, distance = (np.concatenate(column) for column in zip(*found, strict=True))
    i, j, pair = _images(a, b, members, size)
    frame = pd.DataFrame({"i": i, "j": j, "distance": distance[pair]}).sort_values(
        ["i", "j"], ignore_index=True
    )
    frame["identical"] = pixels[frame["i"].to_numpy()] == pixels[frame["j"].to_numpy()]
    return frame


def _close(hashes: np.ndarray, max_distance: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pairs of different hashes (uint64 [U, 4], all different) within the distance, each once, and their distance."""
    bands = _bands(max_distance + 1)
    for number, band in enumerate(bands):
        order, size = _sharing(hashes & band)
        for first, second in _neighbours(hashes[order], size, max_distance):
            a, b = order[first], order[second]
            bits = hashes[a] ^ hashes[b]
            distance = np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
            near = (distance <= max_distance) & ~(bits & band).any(axis=1)
            for earlier in bands[:number]:  # a pair that shares one of these has been found already
                near &= (bits & earlier).any(axis=1)
            yield a[near], b[near], distance[near]


def _bands(count: int) -> np.ndarray:
    """uint64 [count, 4]: masks that deal the 256 bits out in turn.

    Neighbouring bits go to different bands: the low frequencies of images alike, side by side in one band, would
    give it few values and large groups. On Fashion-MNIST (13 bands) this leaves 46 times fewer pairs to compare.
    """
    mine = np.arange(256) % count == np.arange(count)[:, None]
    return np.packbits(mine, axis=1).view(np.uint64)


def _sharing(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows that share their value (uint64 [U, 4]) with others, group by group, large groups first.

    Returns:
        row numbers, and the size of each one's group. Different values may be taken for one, but hardly ever are.
    """
    _, code, count = np.unique((values * _MIX).sum(axis=1), return_inverse=True, return_counts=True)
    rows = np.flatnonzero(count[code] > 1)
    order = rows[np.lexsort((code[rows], -count[code[rows]]))]
    return order, count[code[order]]


def _neighbours(
    hashes: np.ndarray, size: np.ndarray, max_distance: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of pairs that may be near; all those of one group are among them, and some that span two groups.

    Args:
        hashes: uint64 [M, 4], group by group.
        size: int [M], the size of each one's group, descending.
    """
    # The last 128 bits hold the high frequencies, which differ most: they rule out nearly every pair.
    third, fourth, ascending = hashes[:, 2].copy(), hashes[:, 3].copy(), -size
    for step in range(1, size.max(initial=0)):
        end = int(np.searchsorted(ascending, -step))  # where groups begin that are too small for this step
        for start in range(0, end - step, _BLOCK):
            one = slice(start, min(start + _BLOCK, end - step))
            other = slice(one.start + step, one.stop + step)
            bits = np.bitwise_count(third[one] ^ third[other]) + np.bitwise_count(fourth[one] ^ fourth[other])
            place = np.flatnonzero(bits <= max_distance) + start
            if len(place):
                yield place, place + step


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


def _images(
    a: np.ndarray, b: np.ndarray, members: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of images from pairs of hashes a, b; a == b for the images of one hash.

    Args:
        members: the images, ascending, of hash 0, then of hash 1, ...
        size: how many images each hash has.

    Returns:
        the lower image, the higher image, and the place in a and b.
    """
    crowd, start = size[a] * size[b] > _LIST_ALL**2, np.cumsum(size) - size
    left = np.where(crowd, 1, size[a])
    right = np.where(crowd & (a != b), 1, size[b])
    count = left * right
    pair = np.repeat(np.arange(len(a)), count)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
    i = members[start[a][pair] + place // right[pair]]
    j = members[start[b][pair] + place % right[pair]]
    keep = (i < j) | (a != b)[pair]
    return np.minimum(i, j)[keep], np.maximum(i, j)[keep], pair[keep]
