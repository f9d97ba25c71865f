"""A stopped build goes on: what is embedded again, and what is not."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lens.bulk.plan import STATE
from lens.index import load
from tests.bulk.made import SIZE, Counting, build, embedder, made, pictures, same_as_at_once

pytestmark = pytest.mark.usefixtures("quiet_lightning")


@pytest.mark.parametrize("stop_after", [0, 7, 8, 17, 20])
def test_a_stopped_build_goes_on_without_repeating_finished_shards(tmp_path: Path, stop_after: int) -> None:
    root, whole = pictures(tmp_path / "shop", 21), tmp_path / "whole"
    build(whole, root, embedder())
    stopped = Counting(embedder(), stop_after)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "index", root, stopped)
    assert not (tmp_path / "index").exists()
    said: list[str] = []
    resumed = Counting(embedder())
    changes = build(tmp_path / "index", root, resumed, tell=said.append)
    durable = stopped.seen // 8 * 8
    assert resumed.seen == changes.new == 21 - durable
    assert changes.kept == durable
    assert len(said) == (1 if durable else 0)
    one, other = load(whole), load(tmp_path / "index")
    assert np.abs(one.vectors - other.vectors).max() < 1e-6
    pd.testing.assert_frame_equal(one.items, other.items)


def test_what_changed_while_it_was_stopped_is_embedded_again(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shop", 21)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "index", root, Counting(embedder(), 17))
    pictures(tmp_path / "shop", 1, seed=5)  # 0000.png is another picture now
    (root / "kind1" / "0001.png").unlink()
    build(tmp_path / "index", root, embedder())
    same_as_at_once(tmp_path, root, embedder())


def test_another_run_or_size_begins_anew_and_says_so(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shop", 21)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "index", root, Counting(embedder(), 17))
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        by = Counting(embedder(), 8)
        build(tmp_path / "index", root, by, tell=said.append, made=made(by, run_id="other"))
    assert len(said) == 1 and "another run" in said[0]
    larger = Counting(embedder(size=2 * SIZE))
    build(tmp_path / "index", root, larger, tell=said.append)
    assert larger.seen == 21 and "preprocessing" in said[1]


def test_another_training_of_the_run_begins_anew_and_says_so(tmp_path: Path) -> None:
    root, said = pictures(tmp_path / "shop", 21), []
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "index", root, Counting(embedder(), 17))
    resumed = Counting(embedder(seed=1))
    new = made(resumed)
    new.model["weights"] = "another digest"
    build(tmp_path / "index", root, resumed, tell=said.append, made=new)
    assert resumed.seen == 21 and "another training" in said[0]
    assert load(tmp_path / "index").manifest["model"]["weights"] == "another digest"


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
    same_as_at_once(tmp_path, source, embedder())


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
