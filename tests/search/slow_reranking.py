"""k-reciprocal re-ranking written with sets, point by point, as the paper says it."""

import numpy as np


def slow_k_reciprocal(query, candidates, k1: int, k2: int, share: float) -> np.ndarray:
    points = [np.asarray(query, float), *np.asarray(candidates, float)]
    count = len(points)
    d = [
        [max(0.0, 1 - float(a @ b)) if i != j else 0.0 for j, b in enumerate(points)]
        for i, a in enumerate(points)
    ]
    d = [[value / max(max(row), 1e-12) for value in row] for row in d]
    order = [sorted(range(count), key=lambda j, i=i: (d[i][j], j)) for i in range(count)]

    def mutual(p: int, k: int) -> set[int]:
        return {g for g in order[p][: k + 1] if p in order[g][: k + 1]}

    vectors = []
    for p in range(count):
        first = mutual(p, k1)
        grown = set(first)
        for q in first:
            small = mutual(q, round(k1 / 2))
            if len(small & first) > 2 / 3 * len(small):
                grown |= small
        weights = {g: float(np.exp(-d[p][g])) for g in grown}
        total = sum(weights.values())
        vectors.append({g: value / total for g, value in weights.items()})
    if k2 > 1:
        near = [order[p][:k2] for p in range(count)]
        vectors = [
            {g: sum(vectors[q].get(g, 0.0) for q in near[p]) / len(near[p]) for g in range(count)}
            for p in range(count)
        ]
    result = []
    for p in range(1, count):
        low = sum(min(vectors[0].get(g, 0.0), vectors[p].get(g, 0.0)) for g in range(count))
        high = sum(max(vectors[0].get(g, 0.0), vectors[p].get(g, 0.0)) for g in range(count))
        result.append((1 - share) * (1 - low / high) + share * d[0][p])
    return np.array(result)
