"""What a collapsed model scores, and what must change nothing: python experiments/002-four-models-compared/collapse.py

600 items of five categories of unequal size, each a query against all others. Prints two Markdown tables.
"""

import numpy as np

from lens.metrics import RetrievalScores, intervals, retrieval_scores

SIZES = (300, 150, 90, 45, 15)
WIDTH = 64


def scores(vectors: np.ndarray, labels: np.ndarray) -> RetrievalScores:
    return retrieval_scores(vectors, labels, np.arange(len(labels)))


def main() -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(len(SIZES)), SIZES))
    point, noise = rng.normal(size=WIDTH), rng.normal(size=(len(labels), WIDTH))
    constant = scores(np.tile(point, (len(labels), 1)), labels)
    nearly = scores(point + 1e-9 * noise, labels)  # below what a cosine is compared to: ties
    noisy = scores(point + 1e-2 * noise, labels)  # no ties, and no information
    limits = intervals(noisy.per_query)
    print(
        "| metric | chance | one point | one point + 1e-9 | one point + 1e-2, 95 % interval |\n|---|---|---|---|---|"
    )
    for name, chance in constant.chance.items():
        one = limits[name]
        same = f"{constant.metrics[name]:.4f} | {nearly.metrics[name]:.4f}"
        print(f"| {name} | {chance:.4f} | {same} | {one.mean:.4f} ({one.low:.4f} to {one.high:.4f}) |")
    outside = [name for name, one in limits.items() if not one.low <= constant.chance[name] <= one.high]
    print(f"\nChance outside of the interval of noise: {', '.join(outside) or 'nowhere'}.\n")

    centres = rng.normal(size=(len(SIZES), WIDTH))
    vectors = centres[labels] + 2 * noise
    plain = scores(vectors, labels)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    aside = np.full((len(labels), 1), 2.0)
    rows = np.arange(len(labels))
    pairs = vectors[rows // 2 * 2]  # every second picture is a copy of the one before, whatever its category
    table = {
        "none": plain,
        "labels + 2^24 (float32 would merge them)": scores(vectors, labels + 2**24),
        "labels + 2^53 (float64 would merge them)": scores(vectors, labels + 2**53),
        "every cosine below 0, in the same order": retrieval_scores(
            np.hstack([unit, aside]), labels, rows, np.hstack([unit, -aside]), labels, rows
        ),
        "vectors 1,000 times as long": scores(1000 * vectors, labels),
        "rows in another order": _shuffled(vectors, labels, rng),
        "300 pairs of identical pictures": scores(pairs, labels),
        "the same 300 pairs in another order": _shuffled(pairs, labels, rng),
    }
    print("| change | precision_at_1 | map_at_r | ndcg_at_10 | mrr |\n|---|---|---|---|---|")
    for what, found in table.items():
        figures = (found.metrics[name] for name in ("precision_at_1", "map_at_r", "ndcg_at_10", "mrr"))
        print(f"| {what} | " + " | ".join(f"{value:.6f}" for value in figures) + " |")


def _shuffled(vectors: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> RetrievalScores:
    order = rng.permutation(len(labels))
    return retrieval_scores(vectors[order], labels[order], order)


if __name__ == "__main__":
    main()
