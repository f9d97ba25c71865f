"""How often a 95 % interval holds the truth, and how often no difference is called one; both should be 95 % and 5 %.

    python experiments/002-four-models-compared/coverage.py

Yes-or-no values are counted out exactly, over every possible number of successes; the others are simulated.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import binom

from lens.metrics.resampling import by_cluster, percentile_limits
from lens.metrics.uncertainty import interval, paired_difference

REPEATS = 1000
RESAMPLES = 1000
Draw = Callable[[np.random.Generator, int], np.ndarray]

# What the values of a metric look like, with their true mean.
SHAPES: dict[str, tuple[Draw, float]] = {
    "precision_at_10, most high": (lambda rng, n: rng.binomial(10, rng.beta(0.6, 0.4, n)) / 10, 0.6),
    "small and skewed (recall_at_10)": (lambda rng, n: rng.beta(1, 20, n), 1 / 21),
    "nine in ten 0, the rest spread": (lambda rng, n: (rng.random(n) < 0.1) * rng.random(n), 0.05),
    "narrow about 0.5": (lambda rng, n: rng.beta(30, 30, n), 0.5),
    "0.9, rarely 0": (lambda rng, n: np.where(rng.random(n) < 0.03, 0.0, 0.9), 0.873),
}


def yes_or_no() -> None:
    print(
        "| queries | success rate | bootstrap alone | the interval | its mean width |\n|---|---|---|---|---|"
    )
    for n in (5, 11, 30, 100, 1000):
        for rate in (0.05, 0.5, 0.9):
            chance = binom.pmf(np.arange(n + 1), n, rate)
            sums = np.zeros(3)
            for k in np.flatnonzero(chance > 1e-6):
                values = (np.arange(n) < k).astype(float)
                low, high = percentile_limits(by_cluster(values[:, None], None), 0.95, RESAMPLES, 0)
                whole = interval(values, resamples=RESAMPLES)
                figures = [low[0] <= rate <= high[0], whole.low <= rate <= whole.high, whole.high - whole.low]
                sums += chance[k] * np.array(figures)
            print(f"| {n} | {rate} | {sums[0]:.3f} | {sums[1]:.3f} | {sums[2]:.3f} |")


def other_values(rng: np.random.Generator) -> None:
    sizes = (5, 11, 30, 50, 100, 300)
    print(f"| values | {' | '.join(map(str, sizes))} |\n|---|{'---|' * len(sizes)}")
    for name, (draw, truth) in SHAPES.items():
        cells = []
        for n in sizes:
            found = [interval(draw(rng, n), resamples=RESAMPLES) for _ in range(REPEATS)]
            cells.append(f"{np.mean([each.low <= truth <= each.high for each in found]):.3f}")
        print(f"| {name} | {' | '.join(cells)} |")


def clustered(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Yes-or-no values of `count` products with 1 to 8 queries each; the success rate differs by product."""
    labels = np.repeat(np.arange(count), rng.integers(1, 9, count))
    return (rng.random(len(labels)) < rng.random(count)[labels]).astype(float), labels


def products(rng: np.random.Generator) -> None:
    print("| products | queries taken as independent | clustered by product |\n|---|---|---|")
    for count in (5, 11, 30, 100, 300):
        held = np.zeros(2)
        for _ in range(REPEATS):
            values, labels = clustered(rng, count)
            for column, chosen in enumerate((None, labels)):
                found = interval(values, chosen, resamples=RESAMPLES)
                held[column] += found.low <= 0.5 <= found.high
        print(f"| {count} | {held[0] / REPEATS:.3f} | {held[1] / REPEATS:.3f} |")


def no_difference(rng: np.random.Generator) -> None:
    print("| products | p < 0.05, queries independent | p < 0.05, clustered | 0 in the clustered interval |")
    print("|---|---|---|---|")
    for count in (5, 11, 30, 100):
        called = np.zeros(3)
        for _ in range(REPEATS):
            values, labels = clustered(rng, count)
            other = (rng.random(len(values)) < rng.random(count)[labels]).astype(float)
            alone = paired_difference(values, other, resamples=10, permutations=1000)
            whole = paired_difference(values, other, labels, resamples=RESAMPLES, permutations=1000)
            called += alone.p_value < 0.05, whole.p_value < 0.05, whole.low <= 0 <= whole.high
        print(f"| {count} | {' | '.join(f'{figure:.3f}' for figure in called / REPEATS)} |")


if __name__ == "__main__":
    print("Coverage, yes-or-no values\n")
    yes_or_no()
    print("\nCoverage of the interval by number of queries, other values\n")
    other_values(np.random.default_rng(0))
    print("\nCoverage with several queries a product\n")
    products(np.random.default_rng(1))
    print("\nTwo searches that are equally good\n")
    no_difference(np.random.default_rng(2))
