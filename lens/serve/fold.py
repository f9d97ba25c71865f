"""Results that show almost the same picture, put behind the best of them."""

from collections.abc import Sequence

import numpy as np

from lens.data.duplicates import MAX_DISTANCE


def folded(hashes: Sequence[bytes | None], max_distance: int = MAX_DISTANCE) -> list[int | None]:
    """For each result, the place of the best one that it nearly equals; None where it stands for itself.

    Near is as in `lens.data.duplicates`: perceptual hashes that differ in at most `max_distance` of 256 bits. Each is
    compared with those that stand for themselves only, so that a chain of small differences does not join what differs.

    Args:
        hashes: of each result, best first; None where there is none.
    """
    result: list[int | None] = []
    heads: list[int] = []
    bits = [None if one is None else np.frombuffer(one, np.uint8) for one in hashes]
    for place, mine in enumerate(bits):
        head = None
        if mine is not None:
            head = next((other for other in heads if _distance(mine, bits[other]) <= max_distance), None)
            if head is None:
                heads.append(place)
        result.append(head)
    return result


def _distance(a: np.ndarray, b: np.ndarray | None) -> int:
    assert b is not None  # heads have a hash
    return int(np.bitwise_count(a ^ b).sum())
