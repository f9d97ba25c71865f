"""Searching only what is allowed, against a sorted list of what is."""

from pathlib import Path

import numpy as np
import pytest

from tests.index.made import unit
from tests.index.test_engines import APPROXIMATE, built, check_true, clustered, sorted_list


@pytest.mark.parametrize("kind", APPROXIMATE)
@pytest.mark.parametrize("share", [0.9, 0.5, 0.02])
def test_a_filter_finds_only_what_is_allowed_and_k_of_it(kind: str, share: float, tmp_path: Path) -> None:
    vectors, queries = clustered(5000, 24, 0), clustered(60, 24, 1)
    engine, _ = built(tmp_path / "engine", vectors, kind=kind, threshold=0)
    allowed = np.random.default_rng(2).random(len(vectors)) < share
    found = engine.search(queries, 10, allowed)
    assert allowed[found[0]].all() and (found[0] >= 0).all()
    check_true(vectors, queries, found)
    wanted, _ = sorted_list(vectors, queries, 10, allowed)
    assert (found[0][:, :, None] == wanted[:, None]).sum() >= 0.95 * wanted.size


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_a_filter_that_leaves_no_more_than_the_threshold_is_searched_exactly(
    kind: str, tmp_path: Path
) -> None:
    vectors, queries = unit(3000, 24), unit(60, 24, 1)
    engine, _ = built(
        tmp_path / "engine", vectors, kind=kind, threshold=1500, recall=0.1, recall_of_sums=0.1, candidates=10
    )
    allowed = np.arange(len(vectors)) % 2 == 0
    wanted, _ = sorted_list(vectors, queries, 10, allowed)
    np.testing.assert_array_equal(engine.search(queries, 10, allowed)[0], wanted)
    allowed[1] = True
    wanted, _ = sorted_list(vectors, queries, 10, allowed)
    assert (engine.search(queries, 10, allowed)[0] != wanted).any()


def test_a_filter_that_leaves_nothing_near_the_query_finds_what_is_far(tmp_path: Path) -> None:
    vectors = clustered(5000, 24, 0)
    engine, _ = built(tmp_path / "engine", vectors, kind="ivf", threshold=0)
    hits = 0
    for query in vectors[:40]:
        allowed = vectors @ query < 0.2
        found = engine.search(query[None], 10, allowed)[0][0]
        assert allowed[found].all()
        hits += len(set(found) & set(sorted_list(vectors, query[None], 10, allowed)[0][0]))
    assert hits >= 0.98 * 400


@pytest.mark.parametrize("kind", ["exact", *APPROXIMATE])
def test_where_less_is_allowed_than_asked_for_all_of_it_comes(kind: str, tmp_path: Path) -> None:
    vectors, queries = clustered(1500, 16, 0), clustered(3, 16, 1)
    engine, _ = built(tmp_path / "engine", vectors, kind=kind, threshold=0)
    allowed = np.zeros(len(vectors), bool)
    rows, cosines = engine.search(queries, 4, allowed)
    assert (rows == -1).all() and np.isnan(cosines).all() and rows.shape == cosines.shape == (3, 4)
    allowed[[3, 700, 1499]] = True
    np.testing.assert_array_equal(
        engine.search(queries, 5, allowed)[0], sorted_list(vectors, queries, 5, allowed)[0]
    )
    rows, _ = engine.search(queries, 2000)
    assert (np.sort(rows[:, :1500], axis=1) == np.arange(1500)).all() and (rows[:, 1500:] == -1).all()
    assert (engine.search(queries, 1400)[0] >= 0).all()
    assert engine.search(queries[:0], 4)[0].shape == (0, 4)
