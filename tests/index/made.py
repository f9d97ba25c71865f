"""Indexes for the tests, and the slow, obvious search that they are compared with."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lens.index import Found, Reader, save

FACTS: dict[str, Any] = {
    "model": {"name": "vit", "target": "lens.models.vit.ViT", "config": {"size": 64}},
    "preprocessing": {"size": 64, "background": "white"},
    "run_id": "r1",
}
CONTRACT = ["item_id", "path", "category", "product_id", "captions", "split", "role"]


def unit(count: int, dimension: int, seed: int = 0) -> Any:
    """Random unit vectors."""
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def table(count: int, first: int = 0) -> pd.DataFrame:
    """Items i0, i1, ... of the contract's columns."""
    rows = range(first, first + count)
    return pd.DataFrame(
        {
            "item_id": [f"i{row}" for row in rows],
            "path": [f"boots/{row}.jpg" for row in rows],
            "category": "boots",
            "product_id": [f"p{row // 2}" for row in rows],
            "captions": [["a boot", "ünï"][: row % 3] for row in rows],
            "split": [["train", "val", "test", ""][row % 4] for row in rows],
            "role": [["query", "gallery", ""][row % 3] for row in rows],
        }
    )


def saved(place: Path, count: int = 6, seed: int = 0, **changed: Any) -> Path:
    """A new index of `count` items with 8 dimensions."""
    return save(place, unit(count, 8, seed), table(count), **{**FACTS, **changed})


def frame(items: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Items as a data frame; what they do not say of the contract is empty, and missing values stay missing."""
    names = CONTRACT + sorted({name for item in items for name in item} - set(CONTRACT))
    blank: dict[str, Any] = dict.fromkeys(CONTRACT, "") | {"captions": []}
    return pd.DataFrame(
        {name: pd.Series([item.get(name, blank.get(name)) for item in items], dtype=object) for name in names}
    )


def seal(place: Path, **changed: Any) -> None:
    """Change the manifest, and sign it and the files anew, so that the checks behind the signatures are reached."""
    path = place / "manifest.json"
    manifest = json.loads(path.read_text()) | changed
    names = [name for name in manifest["sha256"] or {} if (place / name).exists()]
    if "sha256" not in changed:
        manifest["sha256"] = {name: hashlib.sha256((place / name).read_bytes()).hexdigest() for name in names}
    manifest["bytes"] = {name: (place / name).stat().st_size for name in names}
    rest = {key: value for key, value in manifest.items() if key != "seal"}
    manifest["seal"] = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(manifest))


def as_format_1(place: Path) -> Path:
    """The folder as the first format had it."""
    path = place / "manifest.json"
    manifest = json.loads(path.read_text())
    for key in ("id", "engine", "bytes", "seal", "bands"):
        manifest.pop(key, None)
    path.write_text(json.dumps(manifest | {"format_version": 1}, indent=2))
    (place / "changes.sqlite").unlink()
    return place


def meets(value: Any, condition: Any) -> bool:
    """Whether one value meets a condition of `where`, as its documentation says."""
    if isinstance(condition, Mapping):
        numbers = not isinstance(value, list) and value is not None
        return (
            ("not" not in condition or not meets(value, condition["not"]))
            and ("min" not in condition or (numbers and value >= condition["min"]))
            and ("max" not in condition or (numbers and value <= condition["max"]))
        )
    wanted = condition if isinstance(condition, list) else [condition]
    return any(
        value is None if one is None else (one in value if isinstance(value, list) else value == one)
        for one in wanted
    )


class Slow:
    """A list of items and vectors, searched one by one."""

    def __init__(self) -> None:
        self.items: dict[str, tuple[dict[str, Any], Any]] = {}

    def put(self, items: Sequence[dict[str, Any]], vectors: Any) -> None:
        for item, vector in zip(items, vectors, strict=True):
            self.items.pop(item["item_id"], None)
            self.items[item["item_id"]] = (item, vector)

    def copy(self) -> "Slow":
        other = Slow()
        other.items = dict(self.items)
        return other

    def eligible(self, where: Mapping[str, Any], exclude: Sequence[str]) -> dict[str, Any]:
        """The vectors of what may be found."""
        return {
            item_id: vector
            for item_id, (item, vector) in self.items.items()
            if item_id not in exclude and all(meets(item.get(name), wanted) for name, wanted in where.items())
        }


def check_search(
    reader: Reader, slow: Slow, queries: Any, k: int, where: Mapping[str, Any], exclude: Sequence[str]
) -> Found:
    """A search finds the k nearest of all that may be found; which of equally near ones is left open."""
    found = reader.search(queries, k, where=where, exclude=exclude)
    assert found.rows.shape == found.cosines.shape == (len(queries), k)
    assert found.rows.dtype == np.int64 and found.cosines.dtype == np.float32
    vectors = slow.eligible(where, exclude)
    many = min(k, len(vectors))
    for rows, cosines, query in zip(found.rows, found.cosines, queries, strict=True):
        assert (rows[many:] == -1).all() and np.isnan(cosines[many:]).all()
        ids = reader.ids(rows[:many])
        assert len(set(ids)) == many and set(ids) <= vectors.keys()
        best = sorted((float(vector @ query) for vector in vectors.values()), reverse=True)[:many]
        np.testing.assert_allclose(cosines[:many], best, atol=1e-5)
        np.testing.assert_allclose(cosines[:many], [float(vectors[one] @ query) for one in ids], atol=1e-5)
    return found


def check_items(reader: Reader, slow: Slow) -> None:
    """A reader holds just the items of the list, with their values and vectors."""
    assert len(reader) == len(slow.items)
    ids = list(slow.items)
    rows = reader.find(ids)
    assert reader.ids(rows) == ids
    names = reader.schema.names
    for item, (wanted, _) in zip(reader.items(rows), slow.items.values(), strict=True):
        blank: dict[str, Any] = dict.fromkeys(CONTRACT, "") | {"captions": []}
        assert item == {name: wanted.get(name, blank.get(name)) for name in names}
    if ids:
        vectors = np.stack([vector for _, vector in slow.items.values()])
        np.testing.assert_array_equal(reader.vectors(rows), vectors)
