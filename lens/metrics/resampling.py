"""What intervals and tests are made of: values added up by cluster, drawn again, flipped, and limits by formula.

Shapes: N queries, M metrics, C clusters. A mean is always a ratio of sums, all values over all queries, so that
clusters may differ in size (Davison and Hinkley 1997, "Bootstrap Methods and their Application", 2.4 and 3.8).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

FEW_CLUSTERS = 30
_BLOCK = 2**20  # numbers drawn at a time: some 30 MB of working memory


@dataclass(frozen=True)
class Clustered:
    """Sums float64 [C, M] of the values of each cluster, and the number of queries in it, float64 [C]."""

    sums: np.ndarray
    sizes: np.ndarray

    @property
    def clusters(self) -> int:
        return len(self.sizes)

    @property
    def queries(self) -> int:
        return int(self.sizes.sum())

    @property
    def means(self) -> np.ndarray:
        """float64 [M]."""
        return np.asarray(self.sums.sum(axis=0) / self.sizes.sum())

    @property
    def independent(self) -> float:
        """How many independent queries the clusters are worth if the queries of a cluster all agree.

        (sum of sizes)² / sum of squared sizes (Kish 1965, "Survey Sampling"): C for clusters of one size, less
        where a few large ones decide.
        """
        return float(self.sizes.sum() ** 2 / (self.sizes**2).sum())

    @property
    def variances(self) -> np.ndarray:
        """Variance of each mean, float64 [M], by linearising the ratio; needs two clusters."""
        apart = self.sums - self.sizes[:, None] * self.means
        count = self.clusters
        return np.asarray((apart**2).sum(axis=0) / self.sizes.sum() ** 2 * count / (count - 1))

    @property
    def constant(self) -> np.ndarray:
        """Whether all clusters have the same mean, bool [M]: then the sample says nothing of the variance."""
        return np.asarray(np.ptp(self.sums / self.sizes[:, None], axis=0) < 1e-12)


def by_cluster(values: np.ndarray, clusters: np.ndarray | None) -> Clustered:
    """Values float [N, M] added up by cluster. clusters: any labels [N]; None: each query is its own."""
    if clusters is None:
        return Clustered(values, np.ones(len(values)))
    labels = np.asarray(clusters)
    if labels.shape != (len(values),):
        raise ValueError(
            f"clusters must have shape [{len(values)}] like the values, not {list(labels.shape)}"
        )
    rows = np.unique(labels, return_inverse=True)[1]
    sums = [np.bincount(rows, weights=column) for column in values.T]
    return Clustered(np.stack(sums, axis=1), np.bincount(rows).astype(np.float64))


def resampled_means(groups: Clustered, resamples: int, seed: int) -> np.ndarray:
    """Means of `resamples` samples of C clusters, drawn with replacement: float64 [resamples, M].

    All metrics see the same samples. Time grows with resamples · C; memory does not grow with resamples.
    """
    rng = np.random.default_rng(seed)
    count = groups.clusters
    table = np.column_stack([groups.sums, groups.sizes])
    totals = np.empty((resamples, table.shape[1]))
    step = max(1, _BLOCK // count)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(0, count, (rows, count))
        drawn += np.arange(rows)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        totals[start : start + rows] = times.astype(np.float64) @ table
    return totals[:, :-1] / totals[:, -1:]


def percentile_limits(
    groups: Clustered, level: float, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The middle `level` of the resampled means: two limits float64 [M] each."""
    tail = (1 - level) / 2
    low, high = np.quantile(resampled_means(groups, resamples, seed), [tail, 1 - tail], axis=0)
    return low, high


def within_0_and_1(
    groups: Clustered, low: np.ndarray, high: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Limits for values in [0, 1], extended by `wilson_limits` and `unseen_limits`."""
    few = groups.independent < FEW_CLUSTERS
    z = normal_quantile(level) if few else student_quantile(groups, level)
    means = np.clip(groups.means, 0.0, 1.0)
    count = np.full(len(means), groups.independent)
    if groups.clusters > 1:
        varying = ~groups.constant
        worth = means[varying] * (1 - means[varying]) / groups.variances[varying]
        count[varying] = np.minimum(worth, groups.independent) if few else worth
    below, above = wilson_limits(means, count, z)
    if not few:
        unseen = unseen_limits(groups, level, 0.0)
        below = np.where(groups.constant, unseen[0], below)
        above = np.where(groups.constant, unseen[1], above)
    return np.clip(np.minimum(low, below), 0.0, 1.0), np.clip(np.maximum(high, above), 0.0, 1.0)


def unbounded(
    groups: Clustered, low: np.ndarray, high: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Limits for any values, extended by `student_limits`; NaN for a single cluster."""
    if groups.clusters < 2:
        return np.full_like(low, np.nan), np.full_like(high, np.nan)
    below, above = student_limits(groups, level)
    return np.minimum(low, below), np.maximum(high, above)


def within_1_of_0(
    groups: Clustered, low: np.ndarray, high: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Limits for differences of values in [0, 1], extended by `student_limits` and `unseen_limits`."""
    if groups.clusters > 1:
        low, high = unbounded(groups, low, high, level)
    below, above = unseen_limits(groups, level, -1.0)
    low = np.where(groups.constant, np.minimum(low, below), low)
    high = np.where(groups.constant, np.maximum(high, above), high)
    return np.clip(low, -1.0, 1.0), np.clip(high, -1.0, 1.0)


def wilson_limits(means: np.ndarray, count: np.ndarray, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval (1927) for shares `means` [M] seen in `count` [M] independent queries."""
    shrunk = 1 + z**2 / count
    centre = (means + z**2 / (2 * count)) / shrunk
    half = z / shrunk * np.sqrt(means * (1 - means) / count + (z / (2 * count)) ** 2)
    return centre - half, centre + half


def student_limits(groups: Clustered, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Student's t interval of each mean; needs two clusters."""
    half = student_quantile(groups, level) * np.sqrt(groups.variances)
    return groups.means - half, groups.means + half


def unseen_limits(groups: Clustered, level: float, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the mean could lie if queries of another kind, not seen yet, all had the value `least`, or all 1.

    Their share may be z² / (z² + n), Wilson's upper limit for no success in n. So for a mean of 0 or 1 these are
    Wilson's limits.
    """
    z = normal_quantile(level)
    share = z**2 / (z**2 + groups.independent)
    return groups.means - share * (groups.means - least), groups.means + share * (1 - groups.means)


def normal_quantile(level: float) -> float:
    """1.96 for a level of 0.95."""
    return float(ndtri((1 + level) / 2))


def student_quantile(groups: Clustered, level: float) -> float:
    """The same where a variance is estimated from C clusters: of Student's t with C - 1 degrees of freedom."""
    return float(stdtrit(groups.clusters - 1, (1 + level) / 2))


def sign_flip_p_values(sums: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """Two-sided p-values [M] that cluster sums [C, M] are symmetric about 0: all signs, or random ones.

    A metric with so few sums other than 0 that all their signs are no more than `permutations` is enumerated;
    the others share random signs, and their p is (1 + as extreme) / (1 + permutations).
    """
    nonzero = (sums != 0).sum(axis=0)
    exact = nonzero <= np.log2(permutations)
    p_values = np.empty(sums.shape[1])
    for column in np.flatnonzero(exact):
        kept = sums[sums[:, column] != 0, column]
        patterns = np.arange(2 ** len(kept))[:, None] >> np.arange(len(kept)) & 1
        p_values[column] = _as_extreme(patterns, kept[:, None])[0] / len(patterns)
    if not exact.all():
        count = _sampled_extremes(sums[:, ~exact], permutations, np.random.default_rng(seed))
        p_values[~exact] = (1 + count) / (1 + permutations)
    return p_values


def _sampled_extremes(sums: np.ndarray, permutations: int, rng: np.random.Generator) -> np.ndarray:
    count = len(sums)
    extremes = np.zeros(sums.shape[1], dtype=np.int64)
    width = -(-count // 8)
    step = max(1, _BLOCK // count)
    for start in range(0, permutations, step):
        rows = min(step, permutations - start)
        drawn = np.frombuffer(rng.bytes(rows * width), dtype=np.uint8).reshape(rows, width)
        extremes += _as_extreme(np.unpackbits(drawn, axis=1, count=count), sums)
    return extremes


def _as_extreme(flipped: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """For how many patterns [P, C] of flipped signs the total of sums [C, M] is as far from 0: int64 [M]."""
    total = sums.sum(axis=0)
    totals = total - 2 * (flipped.astype(np.float64) @ sums)
    # Equal totals may differ by rounding, and must count.
    tolerance = 1e-10 * np.abs(sums).sum(axis=0)
    return np.asarray((np.abs(totals) >= np.abs(total) - tolerance).sum(axis=0))
