import itertools
import json
from typing import Any

import numpy as np
import pytest

from lens.callbacks.space import Searched, evenly, judge, pair_cosines, worst
from lens.metrics import neighbours
from lens.metrics.calibration import band_table, calibrate


def searched(
    labels: np.ndarray, vectors: np.ndarray, k: int = 10, roles: np.ndarray | None = None, side: str = "val"
) -> Searched:
    items = np.arange(len(labels))
    roles = np.full(len(labels), "") if roles is None else roles
    queries, gallery = items[roles != "gallery"], items[roles != "query"]
    found, cosines = neighbours(vectors[queries], vectors[gallery], queries, gallery, k)
    found = np.where(found >= 0, gallery[found], -1)
    return Searched(side, items + 100, vectors, labels, labels, queries, gallery, found, cosines)


def example(items: int = 40, seed: int = 0, **more: Any) -> Searched:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, items)
    return searched(labels, random.normal(size=(items, 3)) + np.eye(4)[labels][:, :3] * 2, **more)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("roles", [None, np.array(["query", "gallery", "gallery", ""] * 10)])
def test_results_and_their_relevance_are_those_of_a_slow_search(roles: np.ndarray | None) -> None:
    side = example(roles=roles)
    given = np.full(40, "") if roles is None else roles
    cosines, relevant, queries = side.results(5)
    vectors, place = unit(side.vectors), 0
    asking = [item for item in range(40) if given[item] != "gallery"]
    for number, query in enumerate(asking):
        others = [item for item in range(40) if given[item] != "query" and item != query]
        others.sort(key=lambda item: -float(vectors[query] @ vectors[item]))
        for other in others[:5]:
            assert cosines[place] == pytest.approx(vectors[query] @ vectors[other], abs=1e-5)
            assert relevant[place] == (side.labels[query] == side.labels[other]) and queries[place] == number
            place += 1
        possible = sum(side.labels[item] == side.labels[query] for item in others)
        hits = sum(side.labels[item] == side.labels[query] for item in others[:5])
        attained = side.attained(5)[number]
        assert attained == hits / min(5, possible) if possible else np.isnan(attained)
    assert place == len(cosines)


def test_a_gallery_smaller_than_k_gives_fewer_results() -> None:
    side = searched(np.array([0, 0, 1]), np.random.default_rng(0).normal(size=(3, 4)))
    cosines, relevant, queries = side.results(10)
    assert queries.tolist() == [0, 0, 1, 1, 2, 2] and relevant.sum() == 2 and np.isfinite(cosines).all()
    np.testing.assert_array_equal(side.attained(10), [1, 1, np.nan])
    assert worst(side, 5, 10).tolist() in ([0, 1], [1, 0]), "a query with nothing to find is no bad query"


def test_the_worst_queries_come_first_and_categories_take_turns() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3])
    found = np.array([[3, 6], [4, 7], [5, 2], [0, 8], [1, 6], [4, 3], [7, 0], [6, 1], [0, 1]])
    cosines = np.array(
        [
            [0.8, 0.1],
            [0.9, 0.2],
            [0.9, 0.1],
            [0.7, 0.1],
            [0.6, 0.1],
            [0.9, 0.8],
            [0.5, 0.4],
            [0.5, 0.4],
            [1, 1],
        ]
    )
    items = np.arange(9)
    side = Searched("val", items, np.zeros((9, 1)), labels, labels, items, items, found, cosines)
    attained = [0, 0, 0.5, 0, 0, 1, 1, 1, np.nan]  # category 2 holds one other item, category 3 none
    np.testing.assert_array_equal(side.attained(2), attained)
    # Nothing found: 0 and 1 of category 0, 3 and 4 of category 1. The surest mistake of each first, in turns.
    assert worst(side, 9, 2).tolist() == [1, 3, 0, 4, 2, 6, 5, 7]
    assert worst(side, 2, 2).tolist() == [1, 3]


def test_evenly_goes_through_all_categories() -> None:
    side = example()
    chosen = evenly(side, 8)
    kinds = side.categories[side.queries[chosen]]
    assert len(set(chosen)) == 8 and (np.diff(kinds) >= 0).all() and set(kinds) == {0, 1, 2, 3}
    assert sorted(evenly(side, 500)) == list(range(40))


@pytest.mark.parametrize("roles", [None, np.array(["query", "gallery", "gallery", ""] * 10)])
def test_pairs_are_all_pairs_of_a_query_and_another_item(roles: np.ndarray | None) -> None:
    side = example(roles=roles)
    vectors = unit(side.vectors)
    pairs = [(q, g) for q, g in itertools.product(side.queries, side.gallery) if q != g]
    slow = {same: sorted(vectors[q] @ vectors[g] for q, g in pairs if (side.labels[q] == side.labels[g]) == same)
            for same in (True, False)}  # fmt: skip
    for given, same in zip(pair_cosines(side), (True, False), strict=True):
        np.testing.assert_allclose(np.sort(given), slow[same], atol=1e-6)


def test_of_many_pairs_a_sample_is_taken() -> None:
    random = np.random.default_rng(0)
    side = searched(random.integers(0, 3, 1700), random.normal(size=(1700, 2)), k=1)
    relevant, irrelevant = pair_cosines(side)
    assert 1500 * 1499 - 1500 <= len(relevant) + len(irrelevant) <= 1500 * 1500
    np.testing.assert_array_equal(pair_cosines(side)[0], relevant)


def test_the_calibration_is_fitted_on_one_side_and_judged_on_the_other() -> None:
    val, test = example(seed=1), example(seed=2, side="test")
    result = judge(val, test, 5)
    assert (result.fitted_on, result.judged_on, result.k) == ("validation", "test", 5)
    assert result.calibration == calibrate(*val.results(5))
    table = band_table(*test.results(5))
    np.testing.assert_array_equal(result.bands["precision"], table["precision"])
    assert result.calibrated_bands["results"].sum() == 200 and result.curve["results"].sum() == 200
    assert result.metrics() == {
        "high_precision": table["precision"][0],
        "high_share": table["share"][0],
        "medium_precision": table["precision"][1],
    }
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["bands"][0]["band"] == "high" and plain["calibration"]["queries"] == 40


def test_an_empty_band_gives_no_metric_and_no_nan_in_the_file() -> None:
    labels = np.arange(12) % 2
    vectors = np.random.default_rng(0).normal(size=(12, 2)) * 0.01 + [1.0, 0.0]
    result = judge(searched(labels, vectors), searched(labels, vectors, side="test"), 5)
    assert set(result.metrics()) == {"high_precision", "high_share"}
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["bands"][1]["precision"] is None
