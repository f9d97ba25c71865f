import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.errors import LensError
from lens.index import Index, exchange, load, save
from tests.index.made import FACTS, seal, table, unit
from tests.index.made import saved as write

MODEL, PREPROCESSING = FACTS["model"], FACTS["preprocessing"]
FILES = ["changes.sqlite", "items.parquet", "manifest.json", "vectors.npy"]


@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 40), dimension=st.integers(1, 20), words=st.lists(st.text(), max_size=3))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, count: int, dimension: int, words: list[str]
) -> None:
    items, vectors = table(count), unit(count, dimension)
    words = [word.encode("utf-8", "replace").decode() for word in words]
    items["captions"] = [words] * count
    items["price"] = np.arange(count) * 0.5
    place = tmp_path_factory.mktemp("index") / "index"
    assert save(place, vectors, items, model=MODEL, preprocessing=PREPROCESSING, run_id=None) == place
    index = load(place)
    assert isinstance(index, Index) and isinstance(index.vectors, np.memmap)
    np.testing.assert_array_equal(index.vectors, vectors)
    assert index.items.to_dict("list") == items.to_dict("list")
    assert sorted(os.listdir(place)) == FILES


def test_manifest(tmp_path: Path) -> None:
    place = write(tmp_path / "index", bands={"image": {"high": 0.7}}, catalogue={"name": "shop"})
    manifest = json.loads((place / "manifest.json").read_text())
    assert (manifest["format_version"], manifest["metric"]) == (2, "cosine")
    assert (manifest["count"], manifest["dimension"]) == (6, 8)
    assert (manifest["model"], manifest["preprocessing"], manifest["run_id"]) == (MODEL, PREPROCESSING, "r1")
    assert (manifest["bands"], manifest["catalogue"]) == ({"image": {"high": 0.7}}, {"name": "shop"})
    assert manifest["versions"]["numpy"] == np.__version__
    for name in ("vectors.npy", "items.parquet"):
        content = (place / name).read_bytes()
        assert manifest["sha256"][name] == hashlib.sha256(content).hexdigest()
        assert manifest["bytes"][name] == len(content)
    again = json.loads((write(place) / "manifest.json").read_text())
    assert again["id"] != manifest["id"]


def bad_vectors(case: str) -> Any:
    vectors = unit(6, 8)
    if case == "double":
        return vectors.astype(np.float64)
    if case == "flat":
        return vectors[0]
    if case == "nan":
        vectors[4, 0] = np.nan
    if case == "long":
        vectors[3] *= 1.01
    return vectors[:0] if case == "empty" else vectors[:5] if case == "short" else vectors


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("double", "float32"),
        ("flat", "float32 vectors"),
        ("empty", "float32 vectors"),
        ("short", "5 vectors and 6 items"),
        ("nan", "row 4 has length nan"),
        ("long", "row 3 has length 1.01"),
    ],
)
def test_save_refuses_vectors(tmp_path: Path, case: str, reason: str) -> None:
    with pytest.raises(LensError, match=reason):
        save(tmp_path / "index", bad_vectors(case), table(6), model=MODEL, preprocessing={}, run_id=None)
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("column", "row", "value", "reason"),
    [
        ("item_id", 2, "i1", "'i1' appears more than once"),
        ("item_id", 2, "", "row 2 has an empty item_id"),
        ("item_id", 2, 5, "item_id in row 2 is 5"),
        ("category", 1, None, "category in row 1 is None"),
        ("split", 0, "dev", "split in row 0 is 'dev'"),
        ("role", 0, "both", "role in row 0 is 'both'"),
        ("captions", 3, "text", "captions of row 3"),
        ("path", None, None, "lack the columns path"),
    ],
)
def test_save_refuses_items(tmp_path: Path, column: str, row: int | None, value: Any, reason: str) -> None:
    items = table(6).astype(object)
    if row is None:
        items = items.drop(columns=column)
    else:
        items.at[row, column] = value
    with pytest.raises(LensError, match=reason):
        save(tmp_path / "index", unit(6, 8), items, model=MODEL, preprocessing={}, run_id=None)
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("changed", [{"model": {"name": "vit"}}, {"preprocessing": {"mean": np.ones(3)}}])
def test_save_refuses_facts_and_keeps_the_old_index(tmp_path: Path, changed: dict[str, Any]) -> None:
    place = write(tmp_path / "index")
    with pytest.raises(LensError):
        write(place, seed=1, **changed)
    np.testing.assert_array_equal(load(place).vectors, unit(6, 8))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["index"]


@pytest.mark.parametrize("name", ["vectors.npy", "items.parquet", "manifest.json"])
def test_load_refuses_a_missing_file(tmp_path: Path, name: str) -> None:
    place = write(tmp_path / "index")
    (place / name).unlink()
    with pytest.raises(LensError, match=f"has no {name}"):
        load(place)


@pytest.mark.parametrize("name", ["vectors.npy", "items.parquet"])
def test_load_refuses_one_changed_bit(tmp_path: Path, name: str) -> None:
    place = write(tmp_path / "index")
    content = bytearray((place / name).read_bytes())
    content[len(content) // 2] ^= 1
    (place / name).write_bytes(content)
    with pytest.raises(LensError, match=f"{name} was altered"):
        load(place)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"format_version": 3}, "format version 3; this program reads 1 and 2"),
        ({"format_version": True}, "format version True"),
        ({"model": "vit"}, "no table of values for model"),
        ({"metric": "euclidean"}, "metric 'euclidean'"),
        ({"count": 7}, r"says float32 \[7, 8\]"),
        ({"dimension": 9}, r"says float32 \[6, 9\]"),
        ({"sha256": None}, "was altered"),
    ],
)
def test_load_refuses_a_manifest(tmp_path: Path, changed: dict[str, Any], reason: str) -> None:
    place = write(tmp_path / "index")
    seal(place, **changed)
    with pytest.raises(LensError, match=reason):
        load(place)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "not readable JSON"), ("[]", "format version"), ('{"format_version": 1}', "lacks")],
)
def test_load_refuses_an_unreadable_manifest(tmp_path: Path, text: str, reason: str) -> None:
    place = write(tmp_path / "index")
    (place / "manifest.json").write_text(text)
    with pytest.raises(LensError, match=reason):
        load(place)


def test_load_refuses_contents_that_do_not_fit(tmp_path: Path) -> None:
    place = write(tmp_path / "index")
    np.save(place / "vectors.npy", unit(6, 8) * 2)
    seal(place)
    with pytest.raises(LensError, match="has length 2, not 1"):
        load(place)
    load(place, verify=False)
    np.save(place / "vectors.npy", unit(5, 8))
    seal(place)
    seal(place, count=5)
    with pytest.raises(LensError, match="6 rows for 5 vectors"):
        load(place)
    np.save(place / "vectors.npy", np.array([{"a": 1}]), allow_pickle=True)
    seal(place)
    with pytest.raises(LensError, match="not a readable .npy"):
        load(place)
    (place / "items.parquet").write_bytes(b"no")
    np.save(place / "vectors.npy", unit(6, 8))
    seal(place, count=6)
    with pytest.raises(LensError, match="items.parquet cannot be read"):
        load(place)


def test_save_refuses_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("mine")
    with pytest.raises(LensError, match="not a folder"):
        write(tmp_path / "index")
    assert (tmp_path / "index").read_text() == "mine"


def test_replacing_without_an_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_exchange", lambda one, other: False)
    place = write(tmp_path / "index")
    write(place, count=9, seed=1)
    np.testing.assert_array_equal(load(place).vectors, unit(9, 8, 1))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["index"]
    place.rename(tmp_path / ".index.old")  # a kill between the two moves
    assert len(load(place).items) == 9
    write(place, count=4)
    assert len(load(place).items) == 4
    assert not (tmp_path / ".index.old").exists()


WRITER = """
import sys
from pathlib import Path
from tests.index.made import saved
seed = 0
while True:
    seed += 1
    saved(Path(sys.argv[1]), count=200 + seed % 7, seed=seed % 7)
    print(seed, flush=True)
"""


@pytest.mark.slow
def test_a_kill_leaves_the_old_or_the_new_index(tmp_path: Path) -> None:
    place = write(tmp_path / "index", count=200)
    pace = np.random.default_rng(0)
    caught = 0
    for _ in range(8):
        command = [sys.executable, "-c", WRITER, str(place)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        assert writer.stdout is not None
        writer.stdout.readline()  # it has begun to write
        time.sleep(float(pace.uniform(0, 0.05)))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        caught += any(tmp_path.glob(".index.partial-*"))
        index = load(place)
        seed = len(index.items) - 200
        np.testing.assert_array_equal(index.vectors, unit(200 + seed, 8, seed))
    assert caught > 0, "no kill fell into a save; the test showed nothing"
    write(place, count=3)  # also clears what the kills left
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["index"]
