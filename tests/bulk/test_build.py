"""A new index: the vectors a plain loop gives, whatever stopped it, and what it leaves out."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from lens.bulk.plan import DIGEST, STATE
from lens.data.sources import read_folder
from lens.errors import LensError
from lens.index import load
from tests.bulk.made import (
    Putting,
    TakingAway,
    build,
    embedder,
    folder_source,
    pictures,
)

pytestmark = pytest.mark.usefixtures("quiet_lightning")


def test_vectors_and_items_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    root, by = pictures(tmp_path / "shop", 21), embedder()
    changes = build(tmp_path / "index", root, by)
    assert (changes.new, changes.kept, changes.unreadable) == (21, 0, [])
    catalogue = read_folder(root)
    index = load(tmp_path / "index", verify=True)
    assert list(index.items["item_id"]) == list(catalogue.table["item_id"])
    assert list(index.items["captions"][0]) == [
        "a photo of a kind0", "a kind0 from a shopping website", "a professional product photo of kind0 footwear",
    ]  # fmt: skip
    plain = np.concatenate([by.images([by.open(root / path)]) for path in catalogue.table["path"]])
    assert np.abs(index.vectors - plain).max() < 1e-5
    manifest = index.manifest
    assert manifest["catalogue"]["root"] == str(root) and manifest["catalogue"]["source"] == folder_source(
        root
    )
    assert (manifest["run_id"], manifest["bands"], manifest["preprocessing"]) == (
        "r", {"image": {"high": 0.7}}, by.preprocessing,
    )  # fmt: skip
    assert {STATE, DIGEST} <= set(index.items.columns)
    assert sorted(path.name for path in tmp_path.iterdir() if "building" in path.name) == []


def test_unreadable_images_are_listed_and_left_out(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shop", 9)
    (root / "kind0" / "0000.png").write_bytes(b"no image")
    (root / "kind1" / "0004.png").write_bytes(b"")
    changes = build(tmp_path / "index", root, embedder())
    assert [path for path, _ in changes.unreadable] == ["kind0/0000.png", "kind1/0004.png"]
    table = pd.read_csv(tmp_path / "index-unreadable.csv")
    assert list(table["path"]) == ["kind0/0000.png", "kind1/0004.png"]
    assert "damaged" in table["reason"][0] and "empty" in table["reason"][1]
    assert len(load(tmp_path / "index").items) == 7


def test_a_name_that_is_not_utf8_is_one_unreadable_image(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shop", 4)
    (root / "kind0" / "0000.png").rename(root / "kind0" / os.fsdecode(b"caf\xe9.png"))
    changes = build(tmp_path / "index", root, embedder())
    assert changes.unreadable == [
        (
            "kind0/caf\\xe9.png",
            "there is no such file; where \\x stands for a byte that is not UTF-8, rename it",
        )
    ]
    assert list(load(tmp_path / "index").items["item_id"]) == [
        "kind0/0003.png",
        "kind1/0001.png",
        "kind2/0002.png",
    ]


def test_images_that_go_away_meanwhile_make_no_part_of_an_index(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shop", 24)
    with pytest.raises(LensError, match="went away"):
        build(tmp_path / "index", root, TakingAway(embedder(), root))
    assert not (tmp_path / "index").exists()
    (tmp_path / "away").rename(root)
    assert build(tmp_path / "index", root, embedder()).kept == 8
    assert len(load(tmp_path / "index").items) == 24


def test_an_index_that_comes_to_its_place_meanwhile_stays(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shop", 9)
    build(tmp_path / "other", pictures(tmp_path / "few", 3), embedder())
    with pytest.raises(LensError, match="index"):
        build(tmp_path / "index", root, Putting(embedder(), tmp_path / "other", tmp_path / "index"))
    assert len(load(tmp_path / "index").items) == 3
    (tmp_path / "index").rename(tmp_path / "other")
    assert build(tmp_path / "index", root, embedder()).kept == 9
    assert len(load(tmp_path / "index").items) == 9


def test_a_list_that_cannot_be_written_is_one_sentence_before_there_is_an_index(tmp_path: Path) -> None:
    root, unreadable = pictures(tmp_path / "shop", 9), tmp_path / "index-unreadable.csv"
    (root / "kind0" / "0000.png").write_bytes(b"no image")
    unreadable.mkdir()
    with pytest.raises(
        LensError, match=r"index-unreadable\.csv, the list .* cannot be written: Is a directory"
    ):
        build(tmp_path / "index", root, embedder())
    assert not (tmp_path / "index").exists()
    unreadable.rmdir()
    assert build(tmp_path / "index", root, embedder()).kept == 8
    assert list(pd.read_csv(unreadable)["path"]) == ["kind0/0000.png"]


def test_a_place_that_takes_no_file_is_one_sentence(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shop", 3)
    (tmp_path / "file").write_text("")
    with pytest.raises(LensError, match="Nothing can be written beside .*index"):
        build(tmp_path / "file" / "below" / "index", root, embedder())
    (tmp_path / ".index.bulk.lock").mkdir()
    with pytest.raises(LensError, match="Nothing can be written beside .*index"):
        build(tmp_path / "index", root, embedder())


def test_any_source_is_embedded(tmp_path: Path, shoes: Path) -> None:
    rendered = {
        "reader": "lens.data.sources.read_rendered", "root": str(shoes), "items": 72, "views_per_product": 2,
        "render_size": 32, "render_seed": 0,
    }  # fmt: skip
    build(tmp_path / "rendered", rendered, embedder(), shard=32)
    index = load(tmp_path / "rendered")
    assert len(index.items) == 72 and index.items["product_id"].nunique() == 36
    pictures(tmp_path / "shop", 3)
    (tmp_path / "shop.csv").write_text(
        "path,category,baseColour\nkind0/0000.png,Boot,Red\nkind1/0001.png,Boot,Blue\n", encoding="utf-8"
    )
    manifest = {
        "reader": "lens.data.sources.read_manifest", "path": str(tmp_path / "shop.csv"),
        "root": str(tmp_path / "shop"), "columns": None,
    }  # fmt: skip
    build(tmp_path / "listed", manifest, embedder())
    assert list(load(tmp_path / "listed").items["baseColour"]) == ["Red", "Blue"]


def test_mistakes_are_told_and_nothing_is_left(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shop", 3)
    (tmp_path / "taken").mkdir()
    with pytest.raises(LensError, match="exists already: bring an index up to date by update="):
        build(tmp_path / "taken", root, embedder())
    with FileLock(tmp_path / ".index.bulk.lock"), pytest.raises(LensError, match="Another process embeds"):
        build(tmp_path / "index", root, embedder())
    with pytest.raises(LensError, match="does not exist"):
        build(tmp_path / "index", tmp_path / "none", embedder())
    for path in root.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(LensError, match=r"None of the 3 images .* could be read, e.g. kind0/0000.png: "):
        build(tmp_path / "index", root, embedder())
    assert not (tmp_path / "index").exists()
