"""Ids, columns, vectors and facts that an index cannot hold as they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lens.errors import LensError
from lens.index import load, open_index, save, write
from lens.index.facets import extent
from tests.index.made import FACTS, saved, table, unit

ODD = [5, None, float("nan"), b"i0", "", "\ud800", "caf\udce9", ("i0",), ["i0"], 2**70]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("added", [False, True])
def test_what_can_be_no_id_is_one_that_the_index_does_not_hold(tmp_path: Path, odd: Any, added: bool) -> None:
    place = saved(tmp_path / "index")
    with write(place) as writer:
        if added:
            writer.put(table(1).assign(item_id="5"), unit(1, 8, 1))
        reader = open_index(place)
        assert reader.lookup([odd, "i1", odd]).tolist() == [-1, 1, -1]
        with pytest.raises(LensError, match="holds no item") as caught:
            reader.find(["i1", odd])
        assert repr(odd) in str(caught.value)
        str(caught.value).encode()
        assert -1 not in reader.search(unit(1, 8), 3, exclude=[odd]).rows
        with pytest.raises(LensError, match="holds no item.*nothing was deleted") as caught:
            writer.delete(["i1", odd])
        assert repr(odd) in str(caught.value)
        assert writer.delete(["i1", odd], missing_ok=True) == 1
        assert len(reader.refreshed()) == len(reader) - 1


def test_a_bare_text_is_no_list_of_ids(tmp_path: Path) -> None:
    place = save(tmp_path / "index", unit(2, 8), table(2).assign(item_id=["a", "b"]), **FACTS)
    with open_index(place) as reader, write(place) as writer:
        for call in (reader.find, reader.lookup, writer.delete):
            with pytest.raises(LensError, match="Give a list of item ids, not the text 'ab'"):
                call("ab")
        with pytest.raises(LensError, match="Give a list of item ids, not the text 'a'"):
            reader.search(unit(1, 8), 1, exclude="a")
        assert len(reader.refreshed()) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2**70),
        ("n", -(2**70)),
        ("n", [2**70]),
        ("n", {"of": 2**70}),
        ("title", "\ud800"),
        ("tags", ["\ud800"]),
        ("captions", ["\ud800"]),
        ("facts", {"\ud800": 1}),
        ("\ud800", 1),
    ],
)
def test_what_cannot_be_stored_names_its_column(tmp_path: Path, name: str, value: Any) -> None:
    items = table(1)
    items.columns = pd.Index(items.columns, dtype=object)
    items[name] = pd.Series([value], dtype=object)
    place = saved(tmp_path / "index")
    for call in (lambda: save(place, unit(1, 8), items, **FACTS), lambda: put(place, items)):
        with pytest.raises(LensError) as caught:
            call()
        assert f"the column {name!r}" in str(caught.value)
        str(caught.value).encode()
    assert len(open_index(place, verify=True)) == 6


def put(place: Path, items: pd.DataFrame) -> None:
    with write(place) as writer:
        writer.put(items, unit(1, 8))


def test_keys_that_are_numbers_are_texts_in_the_manifest(tmp_path: Path) -> None:
    model = FACTS["model"] | {"config": {"mining": {9: "a", 10: "b", "more": (1, 2)}}}
    place = saved(tmp_path / "index", model=model)
    config = load(place).manifest["model"]["config"]
    assert config == {"mining": {"9": "a", "10": "b", "more": [1, 2]}}
    with write(place) as writer:
        writer.delete(["i0"])
        writer.compact()
    assert load(place).manifest["model"]["config"] == config


def test_the_range_of_halves(tmp_path: Path) -> None:
    items = table(3).assign(size=pd.Series([1.5, np.nan, 0.25], dtype="float16"))
    place = save(tmp_path / "index", unit(3, 8), items, **FACTS)
    assert extent(open_index(place).values("size")) == (0.25, 1.5)


def test_vectors_are_stored_exactly_unit_and_those_that_are_so_bit_for_bit(tmp_path: Path) -> None:
    given = unit(40_000, 3)
    given[[1, 20_000, 39_999]] *= np.array([[0.9991], [1.0009], [1.00001]], np.float32)
    kept = np.delete(np.arange(len(given)), [1, 20_000, 39_999])
    place = save(tmp_path / "index", given, table(1).loc[[0] * 40_000].assign(item_id=ids(40_000)), **FACTS)
    with write(place) as writer:
        writer.put(table(2, 50_000), given[:2])
    stored = open_index(place).vectors(range(40_002))
    np.testing.assert_array_equal(stored[kept], given[kept])
    np.testing.assert_array_equal(stored[40_000:], stored[:2])
    assert np.abs(np.linalg.norm(stored.astype(np.float64), axis=1) - 1).max() < 1e-6
    found = open_index(place).search(given[[1, 20_000]], 1)
    np.testing.assert_allclose(found.cosines, 1, atol=1e-6)


def ids(count: int) -> list[str]:
    return [f"i{row}" for row in range(count)]
