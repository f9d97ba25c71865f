import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lens.data.catalogue import Catalogue, FileOpener, fingerprint, template_captions
from lens.errors import LensError


def _table(**changes: list[object]) -> pd.DataFrame:
    fields: dict[str, list[object]] = {
        "item_id": ["a/1", "a/2", "b/1"],
        "path": ["a/1.png", "a/2.png", "b/1.png"],
        "category": ["a", "a", "b"],
        "product_id": ["p", "p", "q"],
        "captions": [["x"], [], ["y", "z"]],
        "split": ["", "", ""],
        "role": ["", "", ""],
    }
    return pd.DataFrame({**fields, **changes})


def _on_disk(root: Path) -> Catalogue:
    table = _table()
    for number, path in enumerate(table["path"]):
        (root / path).parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 20), (number * 100, 0, 0)).save(root / path)
    return Catalogue(table, FileOpener(root, tuple(table["path"])), "test", root)


def test_subset_opens_its_own_rows_and_survives_pickling(tmp_path: Path) -> None:
    subset = pickle.loads(pickle.dumps(_on_disk(tmp_path).subset([2, 0]).subset(np.array([1, 0]))))
    assert list(subset.table["item_id"]) == ["a/1", "b/1"]
    assert list(subset.table.index) == [0, 1]
    assert [subset.open_image(row).getpixel((0, 0))[0] for row in range(2)] == [0, 200]


def test_subset_of_any_other_opener_maps_the_rows() -> None:
    whole = Catalogue(_table(), lambda row: Image.new("RGB", (row + 1, 1)), "test")
    assert [whole.subset([2, 1]).subset([1, 0]).open_image(row).width for row in range(2)] == [2, 3]


def test_decoded_for_gives_a_smaller_jpeg_that_is_still_large_enough(tmp_path: Path) -> None:
    Image.new("RGB", (1600, 1200)).save(tmp_path / "big.jpg")
    table = _table(path=["big.jpg"] * 3)
    whole = Catalogue(table, FileOpener(tmp_path, tuple(table["path"])), "test", tmp_path)
    assert whole.open_image(0).size == (1600, 1200)
    assert whole.decoded_for(224).open_image(0).size == (400, 300)


def test_item_ids_must_be_unique() -> None:
    with pytest.raises(LensError, match="item_id 'x' appears more than once"):
        Catalogue(_table(item_id=["x", "x", "y"]), lambda row: Image.new("RGB", (1, 1)), "test")


def test_fingerprint_ignores_row_order_only() -> None:
    table, digests = _table(), ["d0", "d1", "d2"]
    known = fingerprint(table, digests)
    order = [2, 0, 1]
    assert fingerprint(table.iloc[order].reset_index(drop=True), [digests[row] for row in order]) == known
    others = [
        fingerprint(table, ["d1", "d0", "d2"]),
        fingerprint(_table(category=["a", "b", "b"]), digests),
        fingerprint(_table(captions=[["x"], [], ["y z"]]), digests),
        fingerprint(_table(split=["train", "", ""]), digests),
        fingerprint(_table(product_id=["p", "q", "q"]), digests),
        fingerprint(_table(role=["", "query", ""]), digests),
    ]
    assert len({known, *others}) == 7


def test_template_captions_are_words() -> None:
    assert template_captions("Dress-Shoe") == [
        "a photo of a dress shoe",
        "a dress shoe from a shopping website",
        "a professional product photo of dress shoe footwear",
    ]
