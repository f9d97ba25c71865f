"""Re-ranking of a query's candidates by how their neighbourhoods overlap."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
K1, K2, LAMBDA = 20, 6, 0.3


def k_reciprocal(
    query: Array, candidates: Array, *, k1: int = K1, k2: int = K2, original: float = LAMBDA
) -> npt.NDArray[np.float64]:
    """Distances float64 [N], smaller is better, of N candidates to one query: k-reciprocal encoding.

    Zhong, Zheng, Cao and Li 2017, "Re-ranking Person Re-identification with k-reciprocal Encoding", with their
    defaults. Two points are near when each is among the other's first ``k1`` and their neighbours are alike (Jaccard
    distance of the weighted sets); ``original`` is the share that the plain distance keeps. Here the gallery is the
    candidates alone, a query's first results, and the plain distance is ``1 - cosine`` divided by the largest of its
    row, as the published code divides.

    Args:
        query: unit vector [D]; candidates: unit vectors [N, D].
        k2: each point's set is the mean of those of its ``k2`` nearest points (itself among them); 1 leaves it.
    """
    points = np.vstack([query[None], candidates]).astype(np.float64)
    plain = np.clip(1 - points @ points.T, 0, None)
    np.fill_diagonal(plain, 0)
    plain /= np.maximum(plain.max(axis=1, keepdims=True), 1e-12)
    order = np.argsort(plain, axis=1, kind="stable")
    sets = _reciprocal_sets(order, plain, k1)
    if k2 > 1:
        sets = sets[order[:, :k2]].mean(axis=1)
    shared = np.minimum(sets[0], sets[1:]).sum(axis=1)
    jaccard = 1 - shared / np.maximum(2 - shared, 1e-12)  # each set's weights sum to 1
    return (1 - original) * jaccard + original * plain[0, 1:]


def _reciprocal_sets(
    order: npt.NDArray[np.int64], plain: npt.NDArray[np.float64], k1: int
) -> npt.NDArray[np.float64]:
    """Of each point the weights of its expanded set of k-reciprocal neighbours, [P, P], rows summing to 1."""
    wide, narrow = _mutual(order, k1), _mutual(order, round(k1 / 2))
    sizes = narrow.sum(axis=1)
    members = wide.copy()
    for point in range(len(order)):
        inside = np.flatnonzero(wide[point])
        # A neighbour brings its own nearer circle along where two thirds of that are in the set already.
        overlap = (narrow[inside] & wide[point]).sum(axis=1)
        for other in inside[overlap > 2 / 3 * sizes[inside]]:
            members[point] |= narrow[other]
    weights = np.where(members, np.exp(-plain), 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def _mutual(order: npt.NDArray[np.int64], k: int) -> npt.NDArray[np.bool_]:
    """[P, P]: whether two points are each among the other's k nearest; a point is its own nearest."""
    near = np.zeros(order.shape, bool)
    np.put_along_axis(near, order[:, : k + 1], True, axis=1)
    return near & near.T
