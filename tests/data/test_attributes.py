"""Further columns of a manifest: attributes of its items."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from lens.data.catalogue import COLUMNS, fingerprint, with_captions
from lens.data.sources import read_manifest
from lens.errors import LensError


def _images(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), "red").save(root / path)


def _manifest(root: Path, text: str) -> Path:
    _images(root, "boots/1.png", "heels/3.png")
    (root / "items.csv").write_text(text)
    return root / "items.csv"


def test_further_columns_are_attributes_and_leave_the_fingerprint_as_it_is(tmp_path: Path) -> None:
    plain = read_manifest(_manifest(tmp_path, "path,category\nboots/1.png,Boot\nheels/3.png,Heel\n"))
    digests = ["a", "b"]
    before = fingerprint(plain.table, digests)
    path = _manifest(
        tmp_path,
        ",path,category,baseColour, ,season,file_state\n0,boots/1.png,Boot, Red ,x,007,s\n1,heels/3.png,Heel,,y,NA,t\n",
    )
    catalogue = read_manifest(path)
    assert list(catalogue.table.columns) == [*COLUMNS, "baseColour", "season", "other_file_state"]
    assert list(catalogue.table["baseColour"]) == ["Red", ""]
    assert list(catalogue.table["season"]) == ["007", "NA"]
    assert fingerprint(catalogue.table, digests) == before
    assert list(catalogue.subset([1]).table["season"]) == ["NA"]
    assert list(with_captions(catalogue).table["season"]) == ["007", "NA"]


def test_a_column_whose_name_has_another_meaning_is_renamed(tmp_path: Path) -> None:
    path = _manifest(
        tmp_path, "path,category,articleType\nboots/1.png,Footwear,Boot\nheels/3.png,Footwear,Heel\n"
    )
    table = read_manifest(path, columns={"category": "articleType"}).table
    assert list(table["category"]) == ["Boot", "Heel"]
    assert list(table["other_category"]) == ["Footwear", "Footwear"]
    assert "articleType" not in table.columns
    text = "path,articleType,category,other_category\nboots/1.png,Boot,a,b\n"
    with pytest.raises(LensError, match="'category' and 'other_category' would both be"):
        read_manifest(_manifest(tmp_path, text), columns={"category": "articleType"})


def test_attributes_of_parquet_are_texts_and_bytes_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _images(tmp_path, "boots/1.png", "heels/3.png")
    frame = pd.DataFrame({"path": ["boots/1.png", "heels/3.png"], "category": ["a", "b"]})
    frame["year"] = pd.array([2012, None], dtype="Int64")
    frame["tags"] = [["red", "höch"], []]
    frame["thumbnail"] = [b"\x00", b"\x01"]
    frame.set_index(pd.Index([5, 7])).to_parquet(tmp_path / "items.parquet")
    table = read_manifest(tmp_path / "items.parquet").table
    assert list(table.columns) == [*COLUMNS, "year", "tags"]
    assert list(table["year"]) == ["2012", ""]
    assert list(table["tags"]) == ['["red", "höch"]', "[]"]
    assert "'thumbnail' holds bytes" in caplog.text
