"""Intervals against scipy, against slow definitions, and by how often they hold the truth."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lens.metrics import interval, intervals, paired_difference, resampling, spread
from lens.metrics.resampling import by_cluster, percentile_limits

shares = st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0]), min_size=1, max_size=40)


def limits(found):
    return [found.low, found.high]


def test_equals_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(0).beta(2, 1, 300)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=10_000, random_state=1
    ).confidence_interval
    ours = percentile_limits(by_cluster(values[:, None], None), 0.95, 10_000, 0)
    width = theirs.high - theirs.low
    np.testing.assert_allclose([ours[0][0], ours[1][0]], theirs, atol=0.03 * width)
    # Many well-spread values need no extension worth speaking of.
    for bounded in (True, False):
        whole = interval(values, resamples=10_000, bounded=bounded)
        np.testing.assert_allclose(limits(whole), theirs, atol=0.04 * width)


def test_equals_a_slow_bootstrap_of_clusters() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(50), rng.integers(1, 9, 50))
    values = rng.random(50)[labels] * rng.random(len(labels))
    order = rng.permutation(len(labels))
    picked = [values[labels == label].tolist() for label in range(50)]
    means = []
    for _ in range(4000):
        sample = [value for drawn in rng.integers(0, 50, 50) for value in picked[drawn]]
        means.append(sum(sample) / len(sample))
    slow = np.quantile(means, [0.025, 0.975])
    low, high = percentile_limits(by_cluster(values[order, None], labels[order] * 7 - 3), 0.95, 8000, 0)
    np.testing.assert_allclose([low[0], high[0]], slow, atol=0.05 * (slow[1] - slow[0]))
    found = interval(values[order], labels[order])
    assert (found.queries, found.clusters) == (len(labels), 50)
    assert found.mean == pytest.approx(values.mean())


@pytest.mark.parametrize("queries", [1, 5, 11, 29, 30, 1000])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_values_get_wilsons_interval(queries: int, value: float) -> None:
    found = interval(np.full(queries, value))
    wilson = stats.binomtest(int(queries * value), queries).proportion_ci(method="wilson")
    np.testing.assert_allclose(limits(found), [wilson.low, wilson.high], atol=1e-12)
    assert found.mean == value


def test_a_constant_between_the_bounds_has_a_width_that_falls_with_the_queries() -> None:
    widths = [np.ptp(limits(interval(np.full(n, 0.25)))) for n in (10, 40, 1000)]
    assert widths[0] > widths[1] > widths[2] > 0
    assert widths[2] == pytest.approx(3.84 / 1003.84, rel=1e-3)


@pytest.mark.parametrize("queries", [5, 11, 30, 100, 1000])
@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_yes_or_no_values_are_covered(queries: int, rate: float) -> None:
    # Exact: over every number of successes, weighed by its probability.
    chance = stats.binom.pmf(np.arange(queries + 1), queries, rate)
    covered = 0.0
    for successes in np.flatnonzero(chance > 1e-5):
        found = interval((np.arange(queries) < successes).astype(float), resamples=300)
        covered += chance[successes] * (found.low <= rate <= found.high)
    assert covered >= 0.93


@pytest.mark.parametrize("products", [8, 40])
def test_queries_of_one_product_are_not_taken_as_independent(products: int) -> None:
    rng = np.random.default_rng(0)
    alone = whole = 0
    for _ in range(300):
        labels = np.repeat(np.arange(products), rng.integers(1, 9, products))
        values = (rng.random(len(labels)) < rng.random(products)[labels]).astype(float)
        found = interval(values, resamples=200)
        alone += found.low <= 0.5 <= found.high
        found = interval(values, labels, resamples=200)
        whole += found.low <= 0.5 <= found.high
    assert alone / 300 < 0.87
    assert whole / 300 > 0.92


@settings(max_examples=60, deadline=None)
@given(shares, st.integers(0, 3), st.booleans())
def test_the_mean_lies_inside_and_the_limits_are_possible(values, seed, clustered) -> None:
    labels = np.arange(len(values)) // 3 if clustered else None
    found = interval(np.array(values), labels, resamples=50, seed=seed)
    assert 0 <= found.low <= found.mean + 1e-12 and found.mean - 1e-12 <= found.high <= 1
    assert found.low < found.high
    assert found.mean == pytest.approx(sum(values) / len(values))


@settings(max_examples=30, deadline=None)
@given(shares, st.integers(2, 4))
def test_repeating_every_query_within_its_cluster_changes_nothing(values, times) -> None:
    once = interval(np.array(values), resamples=50)
    again = interval(np.repeat(values, times), np.repeat(np.arange(len(values)), times), resamples=50)
    np.testing.assert_allclose(limits(again), limits(once), atol=1e-12)
    assert (again.queries, again.clusters) == (times * len(values), len(values))


def test_a_product_that_outweighs_the_others_widens_the_interval() -> None:
    values = np.random.default_rng(0).integers(0, 2, 1000).astype(float)
    even, uneven = np.arange(1000) // 10, np.minimum(np.arange(1000), 99)
    assert np.ptp(limits(interval(values, uneven))) > 2 * np.ptp(limits(interval(values, even)))
    # 901 zeros of one product and 99 of others are worth (1000²) / (901² + 99) queries, hardly more than one.
    assert interval(np.zeros(1000), uneven).high == pytest.approx(3.8415 / (3.8415 + 1e6 / 811_900), rel=1e-4)
    assert interval(np.zeros(1000), even).high == pytest.approx(3.8415 / 103.8415, rel=1e-4)


def test_a_variance_from_few_queries_is_not_trusted() -> None:
    few, more = (interval(np.tile([0.5, 0.6], n // 2)) for n in (20, 40))
    wilson = stats.binomtest(11, 20).proportion_ci(method="wilson")  # a share of 0.55 in 20
    np.testing.assert_allclose(limits(few), [wilson.low, wilson.high], atol=1e-12)
    assert np.ptp(limits(more)) < 0.04


def test_metrics_share_the_resamples_and_one_alone_gets_the_same() -> None:
    rng = np.random.default_rng(0)
    per_query = {"a": rng.random(50), "b": rng.random(50)}
    labels = rng.integers(0, 20, 50)
    together = intervals(per_query, labels, level=0.9)
    for name, values in per_query.items():
        alone = interval(values, labels, level=0.9)
        assert limits(together[name]) == pytest.approx(limits(alone), abs=1e-12)
    assert np.ptp(limits(interval(per_query["a"], level=0.99))) > np.ptp(limits(interval(per_query["a"])))
    groups = by_cluster(per_query["a"][:, None], None)
    assert percentile_limits(groups, 0.95, 100, 1) != percentile_limits(groups, 0.95, 100, 0)
    assert percentile_limits(groups, 0.95, 100, 1) == percentile_limits(groups, 0.95, 100, 1)
    assert intervals({}) == {}


def test_blocks_bound_the_memory_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(20_000), rng.random(20_000)
    tracemalloc.start()
    paired_difference(a, b, resamples=300, permutations=300)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 * 2**20  # all at once: 300 · 20,000 · 8 bytes and more, several times
    small = [interval(a[:99]), paired_difference(a[:99], b[:99], permutations=1600)]
    monkeypatch.setattr(resampling, "_BLOCK", 8 * 99)
    assert limits(interval(a[:99])) == pytest.approx(limits(small[0]), abs=1e-12)
    assert paired_difference(a[:99], b[:99], permutations=1600).p_value == small[1].p_value


def test_values_without_bounds_and_a_single_cluster() -> None:
    values = np.random.default_rng(0).normal(5, 3, 12)
    found = interval(values, bounded=False)
    expected = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    assert found.low <= expected[0] + 1e-12 and found.high >= expected[1] - 1e-12
    np.testing.assert_allclose(limits(found), expected, atol=0.15)
    alone = interval(values, np.zeros(12, dtype=int), bounded=False)
    assert math.isnan(alone.low) and math.isnan(alone.high) and alone.clusters == 1


def test_no_query_at_all() -> None:
    found = interval(np.array([]))
    assert math.isnan(found.mean) and math.isnan(found.low) and math.isnan(found.high)
    assert (found.queries, found.clusters) == (0, 0)
    nothing = paired_difference(np.array([]), np.array([]), np.array([], dtype=int))
    assert math.isnan(nothing.mean) and math.isnan(nothing.p_value) and nothing.queries == 0


@pytest.mark.parametrize(
    ("values", "how", "reason"),
    [
        ([0.5, math.nan], {}, "NaN"),
        ([0.5, 1.5], {}, "bounded=False"),
        ([[0.5]], {}, "shape"),
        ([0.5], {"clusters": np.array([1, 2])}, "clusters"),
        ([0.5], {"level": 1.0}, "level"),
        ([0.5], {"resamples": 0}, "resample"),
    ],
)
def test_what_cannot_be_judged_is_refused(values, how, reason) -> None:
    with pytest.raises(ValueError, match=reason):
        interval(np.array(values), **how)


def test_spread_is_students_interval() -> None:
    values = np.array([0.70, 0.74, 0.69])
    found = spread(values, level=0.9)
    expected = stats.t.interval(0.9, 2, values.mean(), stats.sem(values))
    assert (found.mean, found.sd, found.n) == (
        pytest.approx(values.mean()),
        pytest.approx(np.std(values, ddof=1)),
        3,
    )
    np.testing.assert_allclose(limits(found), expected)


def test_folds_share_their_training_items() -> None:
    values = np.array([0.70, 0.74, 0.69, 0.75, 0.71])
    plain, corrected = spread(values), spread(values, test_share=1 / 5)
    # 1/5 + (1/5)/(4/5) against 1/5
    assert np.ptp(limits(corrected)) / np.ptp(limits(plain)) == pytest.approx(math.sqrt((0.2 + 0.25) / 0.2))
    assert (corrected.mean, corrected.sd) == (plain.mean, plain.sd)
    with pytest.raises(ValueError, match="test_share"):
        spread(values, test_share=1.0)


def test_one_training_says_nothing_of_the_spread() -> None:
    one, none = spread(np.array([0.7])), spread(np.array([]))
    assert one.mean == 0.7 and one.n == 1 and none.n == 0
    assert all(math.isnan(each) for each in (one.sd, one.low, one.high, none.mean, none.sd))
