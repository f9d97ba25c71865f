"""The engines, against a sorted list of float64 products."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.errors import LensError
from lens.index.engines import Engine, EngineSettings, build, open_engine
from lens.index.engines.building import Questions
from tests.index.made import unit

APPROXIMATE = ["ivf", "hnsw"]


ROOT = Path(__file__).parents[2]


def clustered(count: int, dimension: int, seed: int) -> Any:
    """Unit vectors in groups of about fifty; the centres are always the same."""
    centres = np.random.default_rng(99).normal(size=(40, dimension))
    random = np.random.default_rng(seed)
    vectors = centres[random.integers(len(centres), size=count)] + random.normal(size=(count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def sorted_list(vectors: Any, queries: Any, k: int, allowed: Any = None) -> tuple[Any, Any]:
    """All products in float64, sorted, equal ones by row; padded to k."""
    rows = np.full((len(queries), k), -1)
    cosines = np.full((len(queries), k), np.nan)
    products = (queries.astype(np.float64)[:, None, :] * vectors.astype(np.float64)).sum(axis=2)
    for place, line in enumerate(products.astype(np.float32)):
        every = [row for row in range(len(vectors)) if allowed is None or allowed[row]]
        best = sorted(every, key=lambda row: (-line[row], row))[:k]
        rows[place, : len(best)] = best
        cosines[place, : len(best)] = line[best]
    return rows, cosines


def built(folder: Path, vectors: Any, **given: Any) -> tuple[Engine, dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    facts = build(vectors, folder, EngineSettings(**given))
    assert sorted(facts["files"]) == sorted(path.name for path in folder.iterdir())
    return open_engine(folder, vectors, facts), facts


def check_true(vectors: Any, queries: Any, found: tuple[Any, Any]) -> None:
    """The cosines belong to the rows, the nearest comes first, and no row comes twice."""
    for rows, cosines, query in zip(*found, queries, strict=True):
        there = rows >= 0
        assert (np.isnan(cosines) == ~there).all() and len(set(rows[there])) == there.sum()
        true = vectors[rows[there]].astype(np.float64) @ query.astype(np.float64)
        np.testing.assert_allclose(cosines[there], true, atol=1e-7, rtol=0)
        assert (np.diff(cosines[there]) <= 0).all()


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_exact_search_is_the_sorted_list(data: st.DataObject) -> None:
    dimension = data.draw(st.sampled_from([1, 2, 3, 17, 512, 2048]))
    count, k = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 70))
    seed = data.draw(st.integers(0, 10**6))
    random = np.random.default_rng(seed)
    vectors = unit(count, dimension, seed)[random.integers(0, data.draw(st.integers(1, count)), size=count)]
    queries = np.concatenate([vectors[:2], unit(2, dimension, seed + 1)])
    allowed = data.draw(st.sampled_from([None, random.random(count) < 0.5, random.random(count) < 0.1]))
    rows, cosines = Engine(vectors).search(queries, k, allowed)
    assert rows.dtype == np.int64 and cosines.dtype == np.float32
    wanted_rows, wanted = sorted_list(vectors, queries, k, allowed)
    np.testing.assert_array_equal(rows, wanted_rows)
    np.testing.assert_allclose(cosines, wanted, atol=1e-7, rtol=0)


@pytest.mark.parametrize("kept", [1.0, 0.6, 0.1])
def test_exact_search_over_many_blocks_keeps_equal_vectors_in_the_order_of_rows(kept: float) -> None:
    random = np.random.default_rng(0)
    vectors = clustered(700, 48, 0)[random.integers(700, size=40_000)]  # each about 57 times
    queries = np.concatenate([vectors[:3], clustered(5, 48, 1)])
    allowed = random.random(len(vectors)) < kept
    rows, cosines = Engine(vectors).search(queries, 100, allowed)
    products = vectors.astype(np.float64) @ queries.T.astype(np.float64)
    products[~allowed] = -np.inf
    for query in range(len(queries)):
        best = np.lexsort((np.arange(len(vectors)), -products[:, query].round(9)))[:100]
        np.testing.assert_array_equal(rows[query], best)
        np.testing.assert_allclose(cosines[query], products[best, query], atol=1e-7, rtol=0)


def test_exact_search_gives_one_query_what_it_gives_many() -> None:
    vectors, queries = clustered(20_000, 32, 0), clustered(40, 32, 1)
    rows, cosines = Engine(vectors).search(queries, 20)
    for place, query in enumerate(queries):
        alone = Engine(vectors).search(query[None], 20)
        np.testing.assert_array_equal(alone[0][0], rows[place])
        np.testing.assert_array_equal(alone[1][0], cosines[place])


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_an_approximate_engine_finds_what_it_says(kind: str, tmp_path: Path) -> None:
    vectors, queries = clustered(6000, 32, 0), clustered(200, 32, 1)
    engine, facts = built(tmp_path / "engine", vectors, kind=kind, threshold=0)
    assert facts["kind"] == kind and facts["recall_at_10"] >= 0.98 and facts["recall_at_10_of_sums"] >= 0.93
    found = engine.search(queries, 10)
    check_true(vectors, queries, found)
    wanted, _ = sorted_list(vectors, queries, 10)
    recall = np.mean([len(set(one) & set(other)) / 10 for one, other in zip(found[0], wanted, strict=True)])
    assert recall >= 0.98
    np.testing.assert_array_equal(engine.search(queries, 10, exact=True)[0], wanted)


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_sums_have_a_goal_of_their_own(kind: str, tmp_path: Path) -> None:
    vectors = unit(3000, 24)
    goals = {"recall": 0.3, "candidates": 10, "neighbours": 4, "threshold": 0}
    low = built(tmp_path / "low", vectors, kind=kind, recall_of_sums=0.1, **goals)[1]
    high = built(tmp_path / "high", vectors, kind=kind, recall_of_sums=0.98, **goals)[1]
    assert low["parameters"]["effort"] < high["parameters"]["effort"] and high["recall_at_10_of_sums"] > 0.95


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_the_effort_rises_with_the_goal_and_decides_what_is_found(kind: str, tmp_path: Path) -> None:
    vectors, queries = unit(4000, 16), unit(100, 16, 1)
    low, easy = built(
        tmp_path / "low",
        vectors,
        kind=kind,
        threshold=0,
        recall=0.2,
        recall_of_sums=0.2,
        candidates=10,
        neighbours=4,
    )
    high, hard = built(tmp_path / "high", vectors, kind=kind, threshold=0, recall=0.999, candidates=10)
    assert easy["parameters"]["effort"] < hard["parameters"]["effort"]
    wanted, _ = sorted_list(vectors, queries, 10)
    hits = [(engine.search(queries, 10)[0][:, :, None] == wanted[:, None]).sum() for engine in (low, high)]
    assert hits[0] < hits[1] and hits[1] >= 0.99 * wanted.size
    said = abs(hits[1] / wanted.size - hard["recall_at_10"])
    assert said < 0.02


def test_the_queries_that_measure_recall_do_not_find_themselves() -> None:
    vectors = clustered(400, 24, 0)
    rows = np.arange(20)
    of_rows, of_sums = Questions(vectors, rows).truth
    for row in rows:
        pair = [row, rows[row - 1]]
        summed = vectors[pair].sum(axis=0)
        for query, itself, found in (
            (vectors[row], [row], of_rows[row]),
            (summed / np.linalg.norm(summed), pair, of_sums[row]),
        ):
            others = ~np.isin(np.arange(400), itself)
            wanted = sorted_list(vectors, query[None], 10, others)[1][0]
            np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("kind", APPROXIMATE)
@pytest.mark.parametrize(("count", "dimension"), [(1, 3), (2, 1), (9, 2), (45, 7), (300, 1), (200, 2048)])
def test_few_rows_and_any_dimension_can_be_built(
    kind: str, count: int, dimension: int, tmp_path: Path
) -> None:
    vectors, queries = unit(count, dimension), unit(5, dimension, 1)
    engine, facts = built(tmp_path / "engine", vectors, kind=kind)
    found = engine.search(queries, 10)
    check_true(vectors, queries, found)
    _, wanted = sorted_list(vectors, queries, 10)
    np.testing.assert_allclose(found[1], wanted, atol=2e-2)
    assert 0.9 <= facts["recall_at_10"] <= 1


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_vectors_that_are_all_equal_can_be_built(kind: str, tmp_path: Path) -> None:
    vectors = np.repeat(unit(1, 8), 500, axis=0)
    engine, facts = built(tmp_path / "engine", vectors, kind=kind)
    rows, cosines = engine.search(vectors[:2], 10)
    assert (
        facts["recall_at_10"] == 1 and np.allclose(cosines, 1) and all(len(set(line)) == 10 for line in rows)
    )


def test_the_same_seed_builds_the_same_files(tmp_path: Path) -> None:
    vectors = clustered(3000, 16, 0)
    one, other, third = (
        built(tmp_path / name, vectors, kind="ivf", seed=seed)[1]
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    for facts in (one, other, third):
        facts.pop("seconds")
    assert one == other
    files = [(tmp_path / name / "ann.faiss").read_bytes() for name in "abc"]
    assert files[0] == files[1] != files[2]


def test_auto_is_exact_up_to_the_threshold_and_an_inverted_file_above(tmp_path: Path) -> None:
    vectors = clustered(1001, 8, 0)
    assert built(tmp_path / "small", vectors[:1000], threshold=1000)[1]["kind"] == "exact"
    assert built(tmp_path / "large", vectors, threshold=1000)[1]["kind"] == "ivf"


def test_a_goal_that_is_out_of_reach_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    vectors = unit(3000, 32)
    given: dict[str, Any] = {
        "kind": "hnsw",
        "neighbours": 2,
        "construction": 1,
    }  # a graph that falls into pieces
    _, facts = built(tmp_path / "engine", vectors, recall=1.0, **given)
    assert facts["recall_at_10"] < 1 and "less than the 1.000 (0.950) asked for" in caplog.text
    caplog.clear()
    built(tmp_path / "modest", vectors, recall=0.05, recall_of_sums=0.05, **given)
    assert not caplog.text


@pytest.mark.parametrize("kind", ["exact", *APPROXIMATE])
def test_several_threads_get_what_one_gets(kind: str, tmp_path: Path) -> None:
    vectors, queries = clustered(4000, 16, 0), clustered(64, 16, 1)
    engine, _ = built(tmp_path / "engine", vectors, kind=kind, threshold=0)
    masks = [np.random.default_rng(seed).random(len(vectors)) < 0.4 for seed in range(4)]
    alone = [engine.search(queries, 10, mask)[0] for mask in masks]
    wrong: list[int] = []

    def ask(place: int) -> None:
        for _ in range(10):
            if not np.array_equal(engine.search(queries, 10, masks[place])[0], alone[place]):
                wrong.append(place)

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_query_without_direction_is_refused(value: float) -> None:
    queries = unit(2, 8)
    queries[1, 3] = value
    with pytest.raises(LensError, match="NaN or infinity"):
        Engine(unit(20, 8)).search(queries, 3)


@pytest.mark.slow
def test_a_library_that_changes_faiss_changes_nothing_here(tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", clustered(2000, 16, 0))
    program = """
import sys, numpy as np, faiss, faiss.contrib.torch_utils
from pathlib import Path
from lens.index.engines import EngineSettings, build, open_engine
folder = Path(sys.argv[1])
vectors = np.load(folder / "vectors.npy", mmap_mode="r")
for kind in ("ivf", "hnsw"):
    (folder / kind).mkdir()
    facts = build(vectors, folder / kind, EngineSettings(kind=kind, threshold=0))
    rows, _ = open_engine(folder / kind, vectors, facts).search(np.array(vectors[:5]), 3, np.arange(2000) % 2 == 0)
    assert (rows % 2 == 0).all() and rows[0, 0] == 0
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
