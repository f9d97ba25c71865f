import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lens.errors import LensError
from lens.index import Expected, load, open_index, write
from tests.index.made import (
    FACTS,
    Slow,
    as_format_1,
    check_items,
    check_search,
    frame,
    saved,
    seal,
    table,
    unit,
)

BASE = ["vectors.npy", "items.parquet", "manifest.json"]


def changed_index(place: Path) -> Slow:
    """An index with additions, replaced and deleted items; what it holds."""
    items = table(6).to_dict("records")
    saved(place)
    slow = Slow()
    slow.put(items, unit(6, 8))
    with write(place) as writer:
        for number in range(3):
            more = [
                {"item_id": f"n{number}", "category": "ünï"},
                {"item_id": f"i{number}", "price": number + 0.5},
            ]
            writer.put(frame(more), unit(2, 8, number))
            slow.put(more, unit(2, 8, number))
        writer.delete(["i5", "n0"])
        del slow.items["i5"], slow.items["n0"]
    return slow


def test_every_altered_byte_of_the_base_is_refused_when_verified(tmp_path: Path) -> None:
    place = saved(tmp_path / "index")
    chance = np.random.default_rng(0)
    for name in BASE[:2]:
        whole = (place / name).read_bytes()
        for at in chance.integers(len(whole), size=25):
            (place / name).write_bytes(flipped(whole, int(at), chance))
            with pytest.raises(LensError, match=f"{name} was altered"):
                open_index(place, verify=True)
        (place / name).write_bytes(whole)
    open_index(place, verify=True)


def flipped(content: bytes, at: int, chance: np.random.Generator) -> bytes:
    """The content with another byte at one place."""
    return content[:at] + bytes([content[at] ^ int(chance.integers(1, 256))]) + content[at + 1 :]


def test_no_altered_byte_of_the_manifest_goes_unseen(tmp_path: Path) -> None:
    place = saved(tmp_path / "index")
    whole = (place / "manifest.json").read_bytes()
    chance = np.random.default_rng(0)
    for at in range(0, len(whole), 3):
        other = flipped(whole, at, chance)
        (place / "manifest.json").write_bytes(other)
        try:
            open_index(place)
        except LensError:
            continue
        assert json.loads(other) == json.loads(whole), (
            f"byte {at} was altered unseen"
        )  # white space may differ


@pytest.mark.parametrize("verify", [False, True])
def test_no_altered_byte_of_the_changes_gives_a_wrong_answer(tmp_path: Path, verify: bool) -> None:
    slow = changed_index(tmp_path / "index")
    path = tmp_path / "index" / "changes.sqlite"
    whole = path.read_bytes()
    chance = np.random.default_rng(0)
    used = [at for at in range(len(whole)) if whole[at]]
    refused = 0
    for at in chance.choice(used, size=200, replace=False):
        path.write_bytes(flipped(whole, int(at), chance))
        try:
            reader = open_index(tmp_path / "index", verify=verify)
        except LensError as error:
            assert "changes.sqlite" in str(error)
            refused += 1
            continue
        check_items(reader, slow)  # it was a byte of SQLite's that says nothing of the items
    assert refused > 100


@pytest.mark.parametrize("name", [*BASE, "changes.sqlite"])
@pytest.mark.parametrize("cut", ["all", "most", "half", "little", "longer"])
def test_a_file_of_another_length_or_none_is_refused_without_reading_it(
    tmp_path: Path, name: str, cut: str
) -> None:
    changed_index(tmp_path / "index")
    path = tmp_path / "index" / name
    whole = path.read_bytes()
    left = {"all": 0, "most": 1, "half": len(whole) // 2, "little": len(whole) - 2, "longer": len(whole)}[cut]
    path.write_bytes(whole[:left] + (b"}" if cut == "longer" else b""))
    for opening in (open_index, write):
        with pytest.raises(LensError, match=name):
            opening(tmp_path / "index")
    path.unlink()
    for opening in (open_index, write):
        with pytest.raises(LensError, match=name):
            opening(tmp_path / "index")


def test_changes_of_another_base_are_refused(tmp_path: Path) -> None:
    changed_index(tmp_path / "one")
    changed_index(tmp_path / "other")
    shutil.copy(tmp_path / "one" / "changes.sqlite", tmp_path / "other")
    for opening in (open_index, load, write):
        with pytest.raises(LensError, match="belongs to another index"):
            opening(tmp_path / "other")


def test_what_is_not_expected_is_refused_with_the_reason(tmp_path: Path) -> None:
    place = saved(tmp_path / "index")
    fits: dict[str, Any] = {
        "run_id": "r1",
        "model": "vit",
        "dimension": 8,
        "preprocessing": FACTS["preprocessing"],
    }
    with open_index(place, expect=Expected(**fits)) as reader:
        assert reader.refreshed() is reader
    write(place, expect=Expected(**fits)).close()
    for other, reason in [
        ({"run_id": "r2"}, "run 'r1', not 'r2'"),
        ({"model": "clip"}, "model 'vit', not 'clip'"),
        ({"dimension": 9}, "dimension 8, not 9"),
        ({"preprocessing": {"size": 32, "background": "white"}}, "size 64, not 32"),
        ({"preprocessing": {"size": 64}}, "background 'white', not None"),
        ({"preprocessing": {"size": 64, "background": "white", "crop": None}}, "crop None, not None"),
    ]:
        for opening in (open_index, write):
            with pytest.raises(LensError, match=reason):
                opening(place, expect=Expected(**{**fits, **other}))


def test_a_reader_does_not_take_up_an_index_of_another_model(tmp_path: Path) -> None:
    place = saved(tmp_path / "index")
    reader = open_index(place, expect=Expected(model="vit"))
    saved(place, model=FACTS["model"] | {"name": "clip"})
    with pytest.raises(LensError, match="model 'clip', not 'vit'"):
        reader.refreshed()
    assert len(reader.search(unit(1, 8), 3).rows[0]) == 3


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (lambda items: items.assign(split="dev"), "split is 'dev'"),
        (lambda items: items.assign(item_id="same"), "item_id is empty or appears more than once"),
        (lambda items: items.assign(category=[None, *["x"] * 5]), "some rows have no category"),
        (lambda items: items.assign(path=1), "the column path holds int64"),
        (lambda items: items.drop(columns="role"), "lack the columns role"),
    ],
)
def test_items_that_no_program_of_ours_wrote_are_refused(
    tmp_path: Path, alter: Callable[[Any], Any], reason: str
) -> None:
    place = saved(tmp_path / "index")
    alter(table(6)).to_parquet(place / "items.parquet")
    seal(place)
    with pytest.raises(LensError, match=reason):
        open_index(place, verify=True)
    with pytest.raises(LensError, match=reason):
        load(place, verify=False)


def test_an_index_of_the_first_format_is_read_and_can_be_changed(tmp_path: Path) -> None:
    place = as_format_1(saved(tmp_path / "index"))
    slow = Slow()
    slow.put(table(6).to_dict("records"), unit(6, 8))
    reader = open_index(place, verify=True)
    check_items(reader, slow)
    check_search(reader, slow, unit(2, 8, 5), 4, {"role": "query"}, ["i0"])
    assert not (place / "changes.sqlite").exists() and reader.refreshed() is reader
    with write(place) as writer:
        more = [{"item_id": "i1", "price": 2}, {"item_id": "new", "price": None}]
        writer.put(frame(more), unit(2, 8, 9))
        slow.put(more, unit(2, 8, 9))
        check_items(reader.refreshed(), slow)
        assert load(place).manifest["format_version"] == 1
        writer.compact()
    check_items(open_index(place, verify=True), slow)
    assert load(place).manifest["format_version"] == 2
    content = bytearray((place / "vectors.npy").read_bytes())
    as_format_1(place)
    (place / "vectors.npy").write_bytes(content[:-4])
    with pytest.raises(LensError, match="vectors.npy"):
        open_index(place)
