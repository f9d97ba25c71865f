"""Shards on the disk: taken up, begun anew, gathered."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lens.bulk.plan import DIGEST, STATE
from lens.bulk.shards import Shards
from lens.errors import LensError

ABOUT = {"run": "r", "preprocessing": {"image_size": 8}, "data": {"root": "/x"}}


def rows(*ids: str) -> pd.DataFrame:
    return pd.DataFrame(
        {"item_id": ids, STATE: [f"s{name}" for name in ids], DIGEST: [f"d{name}" for name in ids]}
    )


def test_the_last_of_an_item_counts_and_order_is_what_is_asked_for(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "s", ABOUT, 3)
    assert shards.begin() == []
    assert len(shards.known()) == 0
    vectors = np.arange(15, dtype=np.float32).reshape(5, 3)
    shards.put(rows("a", "b"), vectors[:2])
    shards.put(rows("c", "a"), vectors[2:4])
    again = Shards(tmp_path / "s", ABOUT, 3)
    assert again.begin() == []
    again.put(rows("x"), vectors[4:])
    assert sorted(again.known()["item_id"]) == ["a", "b", "c", "x"]
    assert np.array_equal(again.gather(pd.Index(["c", "a", "b"])), vectors[[2, 3, 1]])


def test_shards_of_something_else_or_damaged_ones_are_begun_anew(tmp_path: Path) -> None:
    one = np.ones((1, 3), np.float32)
    shards = Shards(tmp_path / "s", ABOUT, 3)
    shards.begin()
    shards.put(rows("a"), one)
    other = Shards(tmp_path / "s", {**ABOUT, "run": "q", "preprocessing": {"image_size": 16}}, 3)
    assert other.begin() == ["run", "preprocessing"]
    assert len(other.known()) == 0
    other.put(rows("a"), one)
    (tmp_path / "s" / "00000.parquet").write_bytes(b"half")
    assert set(other.begin()) == set(ABOUT)
    assert len(other.known()) == 0


def test_a_file_that_a_kill_left_half_is_no_shard(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "s", ABOUT, 3)
    shards.begin()
    (tmp_path / "s" / ".00000.parquet.partial").write_bytes(b"half")
    assert shards.begin() == []
    assert len(shards.known()) == 0


def test_a_shard_that_cannot_be_written_is_one_sentence_and_the_others_stay(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "s", ABOUT, 3)
    shards.begin()
    shards.put(rows("a"), np.ones((1, 3), np.float32))
    (tmp_path / "s" / ".00001.parquet.partial").mkdir()
    with pytest.raises(LensError, match=r"00001\.parquet cannot be written"):
        shards.put(rows("b"), np.ones((1, 3), np.float32))
    assert list(shards.known()["item_id"]) == ["a"]
