"""Shards on the disk: taken up, begun anew, gathered."""

import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lens.bulk.plan import DIGEST, STATE
from lens.bulk.shards import Shards
from lens.errors import LensError

ABOUT = {"run": "r", "preprocessing": {"image_size": 8}, "data": {"root": "/x"}}


def unit(count: int) -> np.ndarray:
    """Different vectors float32 [count, 3] of length 1."""
    angles = np.arange(count)
    return np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1).astype(np.float32)


def rows(*ids: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "item_id": ids,
            "path": [f"p{name}" for name in ids],
            STATE: [f"s{name}" for name in ids],
            DIGEST: [f"d{name}" for name in ids],
        }
    )


def test_the_last_of_an_item_counts_and_order_is_what_is_asked_for(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "s", ABOUT, 3)
    assert shards.begin() == []
    assert len(shards.known()) == 0
    vectors = unit(5)
    shards.put(rows("a", "b"), vectors[:2])
    shards.put(rows("c", "a"), vectors[2:4])
    again = Shards(tmp_path / "s", ABOUT, 3)
    assert again.begin() == []
    again.put(rows("x"), vectors[4:])
    assert sorted(again.known()["item_id"]) == ["a", "b", "c", "x"]
    assert np.array_equal(again.gather(pd.Index(["c", "a", "b"])), vectors[[2, 3, 1]])


def test_shards_of_something_else_are_begun_anew(tmp_path: Path) -> None:
    one = unit(1)
    shards = Shards(tmp_path / "s", ABOUT, 3)
    shards.begin()
    shards.put(rows("a"), one)
    other = Shards(tmp_path / "s", {**ABOUT, "run": "q", "preprocessing": {"image_size": 16}}, 3)
    assert other.begin() == ["run", "preprocessing"]
    assert len(other.known()) == 0


def shards_of(folder: Path, *ids: str) -> Shards:
    """A shard an id."""
    shards = Shards(folder, ABOUT, 3)
    shards.begin()
    for place, name in enumerate(ids):
        shards.put(rows(name), unit(len(ids))[[place]])
    return shards


def test_a_shard_without_paths_is_taken_up(tmp_path: Path) -> None:
    shards = shards_of(tmp_path / "s", "a")
    path = tmp_path / "s" / "00000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["path"]), path)
    assert shards.begin() == []
    known = shards.known()
    assert list(known["item_id"]) == ["a"] and known["path"].isna().all()


@pytest.mark.parametrize("damage", ["half", "ids", "vectors", "one value", "other columns"])
def test_a_damaged_shard_is_dropped_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    shards = shards_of(tmp_path / "s", "a", "b", "c")
    path = tmp_path / "s" / "00001.parquet"
    damaged(path, damage)
    with pytest.raises(LensError, match=r"00001\.parquet is damaged"):
        shards.known()
    assert shards.begin() == []
    assert list(shards.known()["item_id"]) == ["a", "c"]
    assert "00001.parquet is damaged" in caplog.text and not path.exists()
    shards.put(rows("b"), unit(3)[[1]])
    assert np.array_equal(shards.gather(pd.Index(["a", "b", "c"])), unit(3))


def damaged(path: Path, how: str) -> None:
    whole, part = path.read_bytes(), pq.read_metadata(path).row_group(0)
    if how == "half":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "other columns":
        pq.write_table(pa.table({"x": [1]}), path)
    elif how == "one value":
        table = pq.read_table(path)
        vector = pa.array([np.float32([np.nan, 0, 0]).tobytes()], pa.binary(12))
        pq.write_table(table.set_column(4, "vector", vector), path)
    else:  # the pages of a column
        chunk = part.column({"ids": 0, "vectors": 4}[how])
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        end = start + chunk.total_compressed_size
        path.write_bytes(whole[:start] + b"\xff" * (end - start) + whole[end:])


def test_a_shard_that_is_damaged_meanwhile_is_named(tmp_path: Path) -> None:
    shards = shards_of(tmp_path / "s", "a", "b")
    path = tmp_path / "s" / "00001.parquet"
    damaged(path, "vectors")
    with pytest.raises(LensError, match=r"00001\.parquet is damaged; remove it and start the same command"):
        shards.gather(pd.Index(["a", "b"]))
    path.unlink()
    assert np.array_equal(shards.gather(pd.Index(["a"])), unit(2)[:1])


def test_a_shard_that_the_disk_does_not_give_stays(tmp_path: Path) -> None:
    shards = shards_of(tmp_path / "s", "a", "b")
    path = tmp_path / "s" / "00001.parquet"
    path.rename(tmp_path / "kept")
    path.symlink_to(path)  # the system gives an error, and no contents
    for reading in (shards.begin, shards.known, lambda: shards.gather(pd.Index(["a", "b"]))):
        with pytest.raises(LensError, match=r"00001\.parquet cannot be read: Too many levels"):
            reading()
    (tmp_path / "kept").replace(path)
    assert shards.begin() == []
    assert list(shards.known()["item_id"]) == ["a", "b"]


def test_a_folder_that_does_not_say_what_it_holds_is_left_alone(tmp_path: Path) -> None:
    shards = shards_of(tmp_path / "s", "a")
    about = (tmp_path / "s" / "about.json").read_text()
    (tmp_path / "s" / "about.json").write_text(about[:9])
    with pytest.raises(LensError, match=r"about\.json is missing or damaged"):
        shards.begin()
    (tmp_path / "s" / "about.json").write_text(about)
    assert shards.begin() == [] and len(shards.known()) == 1
    (tmp_path / "killed").mkdir()  # before anything was written
    assert shards_of(tmp_path / "killed", "a").begin() == []


def test_a_file_in_the_place_of_the_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(LensError, match="cannot be read or written: Not a directory"):
        Shards(tmp_path / "s", ABOUT, 3).begin()
    assert (tmp_path / "s").read_text() == "mine"


@pytest.mark.parametrize("wrong", [np.nan, 0.0, 2.0])
def test_vectors_that_no_index_takes_are_not_made_durable(tmp_path: Path, wrong: float) -> None:
    shards = shards_of(tmp_path / "s", "a")
    with pytest.raises(LensError, match="2 images from b on: row 1 has length"):
        shards.put(rows("b", "c"), unit(2) * np.float32([[1], [wrong]]))
    assert list(shards.known()["item_id"]) == ["a"]


def test_the_gathered_vectors_have_their_place_before_they_are_written(tmp_path: Path) -> None:
    many = pd.Index([str(number) for number in range(100_000)])  # no shard has them, so nothing is written
    shards_of(tmp_path / "s", "a").gather(many)
    assert (tmp_path / "s" / "vectors.npy").stat().st_blocks * 512 >= len(many) * 3 * 4


def test_a_disk_without_place_for_the_vectors_is_one_sentence(tmp_path: Path) -> None:
    shards = shards_of(tmp_path / "s", "a")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(LensError, match=r"vectors\.npy cannot be written: File too large"):
            shards.gather(pd.Index([str(number) for number in range(100_000)]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(shards.known()["item_id"]) == ["a"]


def test_a_file_that_a_kill_left_half_is_no_shard(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "s", ABOUT, 3)
    shards.begin()
    (tmp_path / "s" / ".00000.parquet.partial").write_bytes(b"half")
    assert shards.begin() == []
    assert len(shards.known()) == 0


def test_a_shard_that_cannot_be_written_is_one_sentence_and_the_others_stay(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "s", ABOUT, 3)
    shards.begin()
    shards.put(rows("a"), unit(1))
    (tmp_path / "s" / ".00001.parquet.partial").mkdir()
    with pytest.raises(LensError, match=r"00001\.parquet cannot be written"):
        shards.put(rows("b"), unit(1))
    assert list(shards.known()["item_id"]) == ["a"]
