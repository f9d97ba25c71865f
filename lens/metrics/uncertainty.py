"""How far a figure can be trusted: intervals over queries, paired differences, and the spread over trainings.

Two questions, not to be mixed. `interval` and `paired_difference` ask what other queries of the same kind would
have given with these very vectors. `spread` asks what another training would have given.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from lens.metrics.resampling import (
    by_cluster,
    percentile_limits,
    sign_flip_p_values,
    unbounded,
    within_0_and_1,
    within_1_of_0,
)

_NAN = float("nan")


@dataclass(frozen=True)
class Interval:
    """A mean over queries and its confidence limits; all NaN without a query."""

    mean: float
    low: float
    high: float
    queries: int
    clusters: int


@dataclass(frozen=True)
class Difference:
    """The mean difference of two searches on the same queries, its limits, and the p-value that there is none."""

    mean: float
    low: float
    high: float
    p_value: float
    queries: int
    clusters: int


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of n trainings, and limits of the mean; NaN where n is too small."""

    mean: float
    sd: float
    low: float
    high: float
    n: int


def interval(
    values: np.ndarray,
    clusters: np.ndarray | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    bounded: bool = True,
) -> Interval:
    """Bootstrap interval of the mean of values float [N], see `intervals`."""
    how = {"level": level, "resamples": resamples, "seed": seed, "bounded": bounded}
    return intervals({"values": values}, clusters, **how)["values"]  # type: ignore[arg-type]


def intervals(
    per_query: Mapping[str, np.ndarray],
    clusters: np.ndarray | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    bounded: bool = True,
) -> dict[str, Interval]:
    """Percentile bootstrap intervals (Efron 1979) of the means of several metrics on the same N queries.

    clusters: labels [N] of what hangs together, such as the product of each query; whole clusters are drawn and the
    mean is a ratio of sums. By default each query stands alone. All metrics share the samples.

    Alone the bootstrap is too sure of few or lopsided values: for eleven zeros it says [0, 0]. So the interval of
    values in [0, 1] is extended, where that reaches further, to Wilson's score interval on the mean

    - with n = p(1 - p) / (variance of the mean), the number of yes-or-no queries that would be as uncertain, and
      t in place of z (Dean and Pagano 2015, "Evaluating confidence interval methods for binomial proportions in
      clustered surveys");
    - with n at most C where C is below 30, which is conservative: a variance from so few is not to be trusted, and no
      values in [0, 1] have one above p(1 - p). For clusters of unequal size Kish's smaller number takes C's place;
    - where all of 30 or more clusters have the same mean, to what an unseen share z²/(z² + n) of other queries could
      change (`lens.metrics.resampling.unseen_limits`): for all 0 or all 1 that is Wilson's interval with n = C.

    bounded: False for values outside [0, 1]: Student's t interval takes the place of Wilson's. It knows no bound, so
    equal values give an interval without width, and a single cluster NaN limits.

    Raises ValueError for other shapes, NaN, values outside [0, 1] where bounded, and a level outside (0, 1).
    """
    if not per_query:
        return {}
    table = _columns(per_query, bounded)
    _check_settings(level, resamples)
    groups = by_cluster(table, clusters)
    if not groups.clusters:
        return {name: Interval(_NAN, _NAN, _NAN, 0, 0) for name in per_query}
    low, high = percentile_limits(groups, level, resamples, seed)
    low, high = (within_0_and_1 if bounded else unbounded)(groups, low, high, level)
    return {
        name: Interval(float(mean), float(below), float(above), groups.queries, groups.clusters)
        for name, mean, below, above in zip(per_query, groups.means, low, high, strict=True)
    }


def paired_difference(
    a: np.ndarray,
    b: np.ndarray,
    clusters: np.ndarray | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    permutations: int = 10_000,
    seed: int = 0,
    bounded: bool = True,
) -> Difference:
    """The mean of a - b, two values float [N] of the same queries, see `paired_differences`."""
    how = {"level": level, "resamples": resamples, "permutations": permutations, "seed": seed}
    return paired_differences({"d": a}, {"d": b}, clusters, bounded=bounded, **how)["d"]  # type: ignore[arg-type]


def paired_differences(
    a: Mapping[str, np.ndarray],
    b: Mapping[str, np.ndarray],
    clusters: np.ndarray | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    permutations: int = 10_000,
    seed: int = 0,
    bounded: bool = True,
) -> dict[str, Difference]:
    """Mean differences a - b for the metrics of `a`, each float [N]; row i of both is the same query.

    Interval: percentile bootstrap, extended to Student's t interval of the mean difference; where all clusters have
    the same difference, as in `intervals`, with -1 and 1 as the bounds of a difference.

    p-value: two-sided sign-flip test (Fisher 1935): were the two searches alike, each cluster's difference could as
    well have the other sign. All signs are tried where they are no more than `permutations`; else so many random
    ones, with p = (1 + as extreme) / (1 + permutations), so that p is never 0. It is exact for any number of
    queries as far as differences are symmetric about 0. Several p-values belong through `holm`.

    bounded: False for values outside [0, 1]. Raises ValueError as `intervals`, and for metrics that `b` lacks.
    """
    if not a:
        return {}
    lacking = [name for name in a if name not in b]
    if lacking:
        raise ValueError(f"there is nothing to compare {', '.join(lacking)} with")
    first, second = _columns(a, bounded), _columns({name: b[name] for name in a}, bounded)
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} and {len(second)} values cannot be the same queries")
    _check_settings(level, min(resamples, permutations))
    groups = by_cluster(first - second, clusters)
    if not groups.clusters:
        return {name: Difference(_NAN, _NAN, _NAN, _NAN, 0, 0) for name in a}
    low, high = percentile_limits(groups, level, resamples, seed)
    low, high = (within_1_of_0 if bounded else unbounded)(groups, low, high, level)
    p_values = sign_flip_p_values(groups.sums, permutations, seed)
    return {
        name: Difference(float(mean), float(below), float(above), float(p), groups.queries, groups.clusters)
        for name, mean, below, above, p in zip(a, groups.means, low, high, p_values, strict=True)
    }


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values [K] adjusted for K comparisons (Holm 1979): below 0.05 each, the chance of any false claim is 5 %.

    The i-th smallest, i = 1..K, times K - i + 1, never below an earlier one, at most 1. NaN stays NaN and is not
    counted.
    """
    given = np.asarray(p_values, dtype=np.float64)
    if given.ndim != 1 or ((given < 0) | (given > 1)).any():
        raise ValueError("p-values must be a list of numbers in [0, 1]")
    known = np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known], kind="stable")]
    adjusted = np.full(len(given), _NAN)
    steps = given[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def spread(values: np.ndarray, level: float = 0.95, test_share: float | None = None) -> Spread:
    """One figure per training, float [n]: mean, sample sd, and Student's t interval of the mean.

    It measures how trainings differ, over seeds or folds, on whatever queries they were judged; not what other
    queries would give. The limits may leave [0, 1]. n = 1 has no sd and no limits (NaN).

    test_share: for k folds or repeated splits, the share of the items on a test side (1/k). Trainings that share
    their training items are more alike than independent ones, so the plain interval is optimistic; the variance of
    the mean is then sd² · (1/n + test_share / (1 - test_share)) (Nadeau and Bengio 2003, "Inference for the
    generalization error"). None for seeds.
    """
    figures = np.asarray(values, dtype=np.float64)
    if figures.ndim != 1 or not 0 < level < 1 or (test_share is not None and not 0 <= test_share < 1):
        raise ValueError("spread needs values [n], a level in (0, 1) and a test_share in [0, 1)")
    n = len(figures)
    mean = float(figures.mean()) if n else _NAN
    if n < 2:
        return Spread(mean, _NAN, _NAN, _NAN, n)
    sd = float(figures.std(ddof=1))
    shared = 0.0 if test_share is None else test_share / (1 - test_share)
    half = float(stdtrit(n - 1, (1 + level) / 2)) * sd * math.sqrt(1 / n + shared)
    return Spread(mean, sd, mean - half, mean + half, n)


def _columns(per_query: Mapping[str, np.ndarray], bounded: bool) -> np.ndarray:
    """The metrics side by side, float64 [N, M]."""
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in per_query.items()}
    queries = len(next(iter(columns.values())))
    for name, values in columns.items():
        if values.shape != (queries,):
            raise ValueError(f"{name} must have shape [{queries}], not {list(values.shape)}")
        if not np.isfinite(values).all():
            raise ValueError(f"{name} holds NaN or infinity; leave out queries that have no value")
        if bounded and ((values < -1e-9) | (values > 1 + 1e-9)).any():
            raise ValueError(f"{name} has values outside [0, 1]; pass bounded=False for such a metric")
    return np.stack(list(columns.values()), axis=1)


def _check_settings(level: float, resamples: int) -> None:
    if not 0 < level < 1 or resamples < 1:
        raise ValueError("level must lie in (0, 1), and at least one resample be drawn")
