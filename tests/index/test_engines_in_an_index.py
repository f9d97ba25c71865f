"""An index that is searched by an approximate engine: changes, filters and compaction."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lens.errors import LensError
from lens.index import EngineSettings, Reader, load, open_index, save, write
from tests.index.made import FACTS, Slow, frame
from tests.index.test_engines import clustered

SETTINGS = {kind: EngineSettings(kind=kind, threshold=0, recall=0.999) for kind in ("ivf", "hnsw")}


def items(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"item_id": f"i{row}", "category": "rare" if row % 400 == 0 else ["boots", "sandals"][row % 2]}
        for row in range(first, first + count)
    ]


def made(place: Path, kind: str, count: int = 3000) -> Slow:
    slow = Slow()
    slow.put(items(count), clustered(count, 24, 0))
    save(place, clustered(count, 24, 0), frame(items(count)), **FACTS, engine=SETTINGS[kind])
    return slow


def check(reader: Reader, slow: Slow, k: int, where: dict[str, Any], exclude: tuple[str, ...] = ()) -> None:
    """True cosines of what may be found, k whenever there are k, and nearly always the nearest."""
    queries = clustered(50, 24, 5)
    found = reader.search(queries, k, where=where, exclude=exclude)
    vectors = slow.eligible(where, exclude)
    ids, matrix = list(vectors), np.stack(list(vectors.values()))
    many, hits = min(k, len(ids)), 0
    for rows, cosines, query in zip(found.rows, found.cosines, queries, strict=True):
        got = reader.ids(rows[:many])
        assert len(set(got)) == many and (rows[many:] == -1).all()
        np.testing.assert_allclose(cosines[:many], [vectors[one] @ query for one in got], atol=1e-6)
        best = np.argsort(-(matrix @ query))[:many]
        hits += len(set(got) & {ids[row] for row in best})
    assert hits >= 0.98 * many * len(queries)
    exact = reader.search(queries, k, where=where, exclude=exclude, exact=True)
    best = np.sort(-(queries @ matrix.T), axis=1)[:, :many]
    np.testing.assert_allclose(exact.cosines[:, :many], -best, atol=1e-6)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_put_delete_filter_and_compact(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "index"
    slow = made(place, kind)
    check(open_index(place, verify=True), slow, 10, {})
    with write(place) as writer:
        more, vectors = items(300, 2900), clustered(300, 24, 7)
        writer.put(frame(more), vectors)
        slow.put(more, vectors)
        gone = [f"i{row}" for row in range(1, 2000, 3)]
        writer.delete(gone)
        for one in gone:
            slow.items.pop(one)
        before = open_index(place)
        assert before.manifest["engine"]["kind"] == kind
        for where in ({}, {"category": "boots"}, {"category": "rare"}, {"category": {"not": "boots"}}):
            check(before, slow, 10, where, exclude=("i0", "i2950"))
        check(before, slow, 4000, {"category": "sandals"})
        writer.compact()
    after = open_index(place, verify=True)
    engine = after.manifest["engine"]
    assert engine["kind"] == kind and engine["settings"] == SETTINGS[kind].to_dict()
    assert not after.changed and len(after) == len(slow.items) == after.rows
    check(after, slow, 10, {})
    check(after, slow, 10, {"category": "rare"})
    check(before, slow, 10, {"category": "boots"})  # goes on as it was
    assert len(load(place).vectors) == len(after)


def test_compaction_past_the_threshold_builds_an_engine(tmp_path: Path) -> None:
    place = tmp_path / "index"
    settings = EngineSettings(threshold=500, recall=0.999)
    save(place, clustered(500, 24, 0), frame(items(500)), **FACTS, engine=settings)
    assert [path.name for path in place.glob("ann.*")] == []
    with write(place) as writer:
        writer.put(frame(items(500, 500)), clustered(500, 24, 1))
        writer.compact()
        assert sorted(path.name for path in place.glob("ann.*")) == ["ann.cells.npy", "ann.faiss"]
        assert open_index(place, verify=True).manifest["engine"]["kind"] == "ivf"
        writer.delete([f"i{row}" for row in range(600)])
        writer.compact()
    assert [path.name for path in place.glob("ann.*")] == []
    assert len(open_index(place, verify=True)) == 400


@pytest.mark.parametrize("name", ["ann.faiss", "ann.cells.npy"])
def test_an_engine_file_that_is_cut_off_altered_or_gone_is_refused(name: str, tmp_path: Path) -> None:
    place = tmp_path / "index"
    made(place, "ivf", 600)
    whole = (place / name).read_bytes()
    (place / name).write_bytes(whole[:-1])
    with pytest.raises(LensError, match=name):
        open_index(place)
    (place / name).write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(LensError, match=name):
        open_index(place, verify=True)
    (place / name).unlink()
    with pytest.raises(LensError, match=name):
        open_index(place)


def test_a_query_without_direction_is_refused_by_the_reader(tmp_path: Path) -> None:
    made(tmp_path / "index", "ivf", 600)
    queries = clustered(2, 24, 1)
    queries[1, 0] = np.nan
    with pytest.raises(LensError, match="row 1 holds NaN"):
        open_index(tmp_path / "index").search(queries, 3)
