"""Expansion, re-ranking and fusion against references."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.search.expansion import expand
from lens.search.fusion import normalised, reciprocal_rank
from lens.search.reranking import k_reciprocal
from tests.search.conftest import unit
from tests.search.slow_reranking import slow_k_reciprocal


@pytest.mark.parametrize(("count", "k1", "k2"), [(1, 20, 6), (12, 4, 1), (40, 8, 3), (60, 20, 6)])
def test_k_reciprocal_agrees_with_sets(count: int, k1: int, k2: int) -> None:
    random = np.random.default_rng(count)
    points = unit(random.normal(size=(count + 1, 5)))
    found = k_reciprocal(points[0], points[1:], k1=k1, k2=k2, original=0.3)
    assert found == pytest.approx(slow_k_reciprocal(points[0], points[1:], k1, k2, 0.3), abs=1e-9)


def test_re_ranking_lifts_what_shares_the_query_s_neighbourhood() -> None:
    # The nearest point has a dense group of its own, which the query is not among; the next ones have the query.
    angle = np.deg2rad([0, -5, -5.2, -5.4, -5.6, -5.8, 5.1, 6, 7])
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    order = np.argsort(k_reciprocal(points[0], points[1:], k1=3, k2=1, original=0.1))
    assert np.argmax(points[1:] @ points[0]) == 0 and set(order[:2]) <= {5, 6, 7}


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.floats(0, 5))
def test_expansion_is_the_weighted_mean_it_is_said_to_be(seed: int, n: int, alpha: float) -> None:
    random = np.random.default_rng(seed)
    query, found = unit(random.normal(size=(1, 4))), unit(random.normal(size=(1, n, 4)))
    cosines = np.einsum("qd,qnd->qn", query, found)
    total = query[0].astype(float)
    for vector, cosine in zip(found[0], cosines[0], strict=True):
        total = total + max(0.0, float(cosine)) ** alpha * vector
    if np.linalg.norm(total) > 1e-3:
        expanded = expand(query, found, cosines, alpha)[0]
        assert expanded == pytest.approx(total / np.linalg.norm(total), abs=1e-4)


def test_an_expansion_passes_over_results_that_are_not_there() -> None:
    query, found = np.eye(3, dtype=np.float32)[:1], np.full((1, 2, 3), np.nan, np.float32)
    found[0, 0] = np.eye(3)[1]
    assert expand(query, found, np.array([[np.nan, np.nan]]), 0.0) == pytest.approx(query)


rankings = st.dictionaries(
    st.sampled_from("abc"), st.lists(st.sampled_from("pqrstu"), unique=True, max_size=6), min_size=1
)


@given(rankings, st.dictionaries(st.sampled_from("abc"), st.floats(0.1, 10)))
def test_reciprocal_rank_is_the_sum_over_the_models(
    found: dict[str, list[str]], weights: dict[str, float]
) -> None:
    fused = reciprocal_rank(found, weights)
    assert set(fused) == {item for ids in found.values() for item in ids}
    for item, score in fused.items():
        parts = [weights.get(name, 1) / (61 + ids.index(item)) for name, ids in found.items() if item in ids]
        assert score == pytest.approx(sum(parts))
    assert list(fused.values()) == sorted(fused.values(), reverse=True)


@given(st.floats(0.01, 100), st.floats(-5, 5))
def test_standardised_scores_do_not_care_for_a_model_s_own_scale(scale: float, shift: float) -> None:
    random = np.random.default_rng(0)
    cosines = {"a": random.normal(size=20), "b": random.normal(size=20)}
    behind = {"a": random.normal(size=50), "b": random.normal(size=50)}
    moved = {name: part | {"b": part["b"] * scale + shift} for name, part in (("c", cosines), ("d", behind))}
    assert normalised(moved["c"], moved["d"]) == pytest.approx(normalised(cosines, behind), abs=1e-6)


def test_an_item_that_a_model_lacks_gets_from_it_what_one_at_random_gets() -> None:
    behind = {"a": np.array([0.0, 0.2]), "b": np.array([0.4, 0.6])}
    cosines = {"a": np.array([0.3, 0.1]), "b": np.array([np.nan, 0.5])}
    assert normalised(cosines, behind, {"a": 3}) == pytest.approx([0.75 * 2.0, 0.0])
