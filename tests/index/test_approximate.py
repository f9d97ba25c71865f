"""An index with an approximate engine, as a whole; the engines alone are tested elsewhere."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lens.errors import LensError
from lens.index import EngineSettings, Reader, open_index, save, write
from tests.index.made import FACTS, Slow, check_items, frame, unit

COUNT = 3000


def filled(place: Path, kind: str) -> tuple[Reader, Slow]:
    """An index with an engine, and with changes beside it."""
    categories = ["boots"] * 90 + ["sandals"] * 9 + ["rare"]
    items: list[dict[str, Any]] = [
        {"item_id": f"i{row}", "category": categories[row % 100], "price": row} for row in range(COUNT)
    ]
    vectors = unit(COUNT, 16)
    save(place, vectors, frame(items), **FACTS, engine=EngineSettings(kind=kind, recall=0.9))
    slow = Slow()
    slow.put(items, vectors)
    with write(place) as writer:
        more = [{**item, "category": "rare"} for item in items[:20]] + [
            {"item_id": "new", "category": "boots"}
        ]
        writer.put(frame(more), unit(21, 16, 1))
        slow.put(more, unit(21, 16, 1))
        writer.delete([f"i{row}" for row in range(100, 1000)])
        for row in range(100, 1000):
            del slow.items[f"i{row}"]
    return open_index(place), slow


def check_found(reader: Reader, slow: Slow, where: dict[str, Any], k: int) -> float:
    """k results whenever k may be found, all of them eligible, with true cosines; the share of the nearest found."""
    queries = unit(5, 16, 7)
    vectors = slow.eligible(where, ["i3"])
    many = min(k, len(vectors))
    hits = 0
    exact = reader.search(queries, k, where=where, exclude=["i3"], exact=True)
    found = reader.search(queries, k, where=where, exclude=["i3"])
    for query, rows, cosines, best in zip(queries, found.rows, found.cosines, exact.cosines, strict=True):
        ids = reader.ids(rows[:many])
        assert len(set(ids)) == many and set(ids) <= vectors.keys() and (rows[many:] == -1).all()
        np.testing.assert_allclose(cosines[:many], [float(vectors[one] @ query) for one in ids], atol=1e-5)
        nearest = sorted((float(vector @ query) for vector in vectors.values()), reverse=True)[:many]
        np.testing.assert_allclose(best[:many], nearest, atol=1e-5)
        hits += int((cosines[:many] >= nearest[-1] - 1e-6).sum()) if many else 0
    return hits / max(1, many * len(queries))


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_filters_lose_nothing_and_a_compaction_builds_the_engine_anew(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "index"
    reader, slow = filled(place, kind)
    for _ in range(2):
        for where in ({}, {"category": "rare"}, {"price": {"min": 50, "max": 99}}, {"category": "none"}):
            for k in (1, 10, 200):
                check_found(reader, slow, where, k)
        assert check_found(reader, slow, {}, 10) > 0.8
        check_items(reader, slow)
        with write(place) as writer:
            writer.compact()
        reader = reader.refreshed()
        assert reader.rows == len(reader) == len(slow.items)
    engine = reader.manifest["engine"]
    assert (engine["kind"], engine["settings"]["recall"]) == (kind, 0.9) and engine["recall_at_10"] > 0.8


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_an_altered_engine_is_refused(tmp_path: Path, kind: str) -> None:
    filled(tmp_path / "index", kind)
    manifest = json.loads((tmp_path / "index" / "manifest.json").read_text())
    assert manifest["engine"]["files"]
    for name in manifest["engine"]["files"]:
        path = tmp_path / "index" / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(LensError, match=f"{name} was altered"):
            open_index(tmp_path / "index", verify=True)
        path.write_bytes(whole[:-1])
        with pytest.raises(LensError, match=f"{name} has {len(whole) - 1} bytes"):
            open_index(tmp_path / "index")
        path.unlink()
        with pytest.raises(LensError, match=f"has no {name}"):
            open_index(tmp_path / "index")
        path.write_bytes(whole)
    open_index(tmp_path / "index", verify=True)
