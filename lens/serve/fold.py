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
    heads: list[tuple[int, np.ndarray]] = []
    for place, one in enumerate(hashes):
        head = None
        if one is not None:
            bits = np.frombuffer(one, np.uint8)
            head = next((first for first, other in heads if _distance(bits, other) <= max_distance), None)
            if head is None:
                heads.append((place, bits))
        result.append(head)
    return result


def _distance(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.bitwise_count(a ^ b).sum())
