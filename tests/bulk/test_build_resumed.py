"""A stopped build goes on: what is embedded again, and what is not."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lens.bulk.plan import STATE
from lens.index import load
from tests.bulk.made import Counting, build, embedder, pictures

pytestmark = pytest.mark.usefixtures("quiet_lightning")


def test_pictures_that_are_no_files_are_not_embedded_again(tmp_path: Path) -> None:
    source = {"reader": "tests.bulk.made.arrays", "count": 21}
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "index", source, Counting(embedder(), 17))
    by = Counting(embedder())
    changes = build(tmp_path / "index", source, by)
    assert (by.seen, changes.new, changes.changed, changes.described, changes.kept) == (5, 5, 0, 0, 16)
    build(tmp_path / "whole", source, embedder())
    one, other = load(tmp_path / "whole"), load(tmp_path / "index")
    assert np.abs(one.vectors - other.vectors).max() < 1e-6
    pd.testing.assert_frame_equal(one.items, other.items)


def test_items_that_swap_their_files_while_it_was_stopped_swap_their_vectors(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shop", 5)
    for path in root.rglob("*.png"):
        Image.open(path).save(path.with_suffix(".bmp"))  # all of one size
        os.utime(path.with_suffix(".bmp"), ns=(1, 1))
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.bmp"))
    source = {"reader": "lens.data.sources.read_manifest", "path": str(tmp_path / "x.csv"), "root": str(root)}
    frame = pd.DataFrame({"path": paths, "item_id": list("abcde"), "category": "boot"})
    frame.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "index", source, Counting(embedder(), 4), shard=4)
    frame.assign(item_id=list("bacde")).to_csv(tmp_path / "x.csv", index=False)
    build(tmp_path / "index", source, embedder())
    build(tmp_path / "whole", source, embedder())
    one, other = load(tmp_path / "whole"), load(tmp_path / "index")
    assert list(one.items["item_id"]) == list(other.items["item_id"])
    assert np.abs(one.vectors - other.vectors).max() < 1e-6


def test_files_that_were_only_touched_are_not_embedded_again(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shop", 12)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "index", root, Counting(embedder(), 8))
    for path in root.rglob("*.png"):
        os.utime(path, ns=(1, 2))
    by = Counting(embedder())
    build(tmp_path / "index", root, by)
    assert by.seen == 4
    assert all(state.endswith(":2") for state in load(tmp_path / "index").items[STATE])


def test_a_damaged_shard_costs_its_own_images_only(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shop", 21)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "index", root, Counting(embedder(), 17))
    (tmp_path / ".index.building" / "00000.parquet").write_bytes(b"half")
    by = Counting(embedder())
    assert build(tmp_path / "index", root, by).kept == 8
    assert by.seen == 13
    assert len(load(tmp_path / "index").items) == 21
