"""Paired differences and Holm's adjustment against scipy, brute force, and by how often they call a difference."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lens.metrics import holm, paired_difference, paired_differences


def limits(found):
    return [found.low, found.high]


def slow_p_value(differences: list[float], labels: list[int]) -> float:
    groups = [
        sum(d for d, label in zip(differences, labels, strict=True) if label == each) for each in set(labels)
    ]
    totals = [
        abs(sum(s * g for s, g in zip(signs, groups, strict=True)))
        for signs in product((1, -1), repeat=len(groups))
    ]
    return sum(total >= abs(sum(groups)) - 1e-9 for total in totals) / len(totals)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 0.3, 1.0]), st.sampled_from([0.0, 0.2, 0.3])),
        min_size=1,
        max_size=9,
    )
)
def test_few_clusters_are_enumerated(pairs) -> None:
    a, b = np.array(pairs).T
    labels = [row // 2 for row in range(len(a))]
    for clusters, rows in ((np.array(labels), labels), (None, list(range(len(a))))):
        found = paired_difference(a, b, clusters, resamples=20)
        assert found.p_value == pytest.approx(slow_p_value(list(a - b), rows))
        assert found.mean == pytest.approx((a - b).mean())
        turned = paired_difference(b, a, clusters, resamples=20)
        assert (turned.mean, turned.p_value) == (pytest.approx(-found.mean), found.p_value)


@pytest.mark.parametrize("queries", [10, 60])
def test_equals_scipys_permutation_test(queries: int) -> None:
    rng = np.random.default_rng(3)
    a = rng.integers(0, 11, queries) / 10
    b = np.clip(a - rng.integers(-3, 5, queries) / 20, 0, 1)
    theirs = stats.permutation_test(
        (a, b),
        lambda x, y, axis: (x - y).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        random_state=0,
    )
    assert paired_difference(a, b, permutations=20_000).p_value == pytest.approx(theirs.pvalue, abs=0.01)


def test_a_sampled_p_value_is_never_0() -> None:
    a, b = np.ones(50), np.zeros(50)
    assert paired_difference(a, b, permutations=999).p_value == 1 / 1000


@pytest.mark.parametrize("products", [None, 11, 40])
def test_equal_searches_are_seldom_called_different(products: int | None) -> None:
    rng = np.random.default_rng(5)
    called = held = 0
    for _ in range(500):
        labels = None if products is None else np.repeat(np.arange(products), rng.integers(1, 6, products))
        chances = np.full(11, 0.6) if labels is None else rng.random(products)[labels]
        other = chances if labels is None else rng.random(products)[labels]
        a, b = rng.random(len(chances)) < chances, rng.random(len(chances)) < other
        found = paired_difference(a, b, labels, resamples=100, permutations=200)
        called += found.p_value < 0.05
        held += found.low <= 0 <= found.high
    assert called / 500 <= 0.065
    assert held / 500 >= 0.92


def test_a_search_against_itself_and_against_a_better_one() -> None:
    values = np.random.default_rng(0).random(11)
    same = paired_difference(values, values)
    assert (same.mean, same.p_value) == (0, 1)
    assert same.low == pytest.approx(-same.high) and 0.2 < same.high < 0.3
    assert paired_difference(values, values, bounded=False).high == 0
    better = paired_difference(values, values / 2)
    assert better.low > 0 and better.p_value == 2 / 2**11
    share = 3.8415 / (3.8415 + 11)  # may be queries not seen, with a difference of -1 or 1
    constant = paired_difference(np.ones(11), np.full(11, 0.5))
    assert limits(constant) == pytest.approx([0.5 - 1.5 * share, 0.5 + 0.5 * share], abs=1e-4)
    assert -1 <= paired_difference(np.zeros(3), np.ones(3)).low <= -1


def test_several_metrics_are_compared_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    a = {"few": (np.arange(40) < 6) * rng.random(40), "many": rng.random(40)}
    b = {"many": rng.random(40), "few": np.zeros(40), "unused": np.ones(40)}
    together = paired_differences(a, b, permutations=800)
    assert list(together) == ["few", "many"]
    for name, found in together.items():
        alone = paired_difference(a[name], b[name], permutations=800)
        assert [found.mean, *limits(found)] == pytest.approx([alone.mean, *limits(alone)], abs=1e-12)
        assert found.p_value == alone.p_value
    assert together["few"].p_value == 2 / 2**6
    with pytest.raises(ValueError, match="many"):
        paired_differences(a, {"few": b["few"]})
    with pytest.raises(ValueError, match="same queries"):
        paired_difference(np.zeros(2), np.zeros(3))


def closed_test(p_values: list[float]) -> list[float]:
    """Holm as the closure of Bonferroni's test: a claim stands if every set of claims around it is rejected."""
    rows = range(len(p_values))
    sets = [each for size in rows for each in combinations(rows, size + 1)]
    return [
        max(min(1.0, len(each) * min(p_values[r] for r in each)) for each in sets if row in each)
        for row in rows
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1) | st.sampled_from([0.01, 0.02, math.nan]), max_size=7))
def test_holm_equals_the_closed_test(p_values) -> None:
    known = [p for p in p_values if not math.isnan(p)]
    expected = iter(closed_test(known))
    expected = [math.nan if math.isnan(p) else next(expected) for p in p_values]
    np.testing.assert_allclose(holm(np.array(p_values)), expected, rtol=1e-12)


def test_holm_refuses_what_is_no_p_value() -> None:
    with pytest.raises(ValueError, match="p-values"):
        holm(np.array([0.5, 1.5]))
