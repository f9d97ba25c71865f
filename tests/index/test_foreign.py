from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lens.errors import LensError
from lens.index import from_vectors
from lens.index.checks import unit_rows

CSV = "item_id,category\n007,boots\nNA,boots\nx,sandals\n"


def write(folder: Path, vectors: Any, text: str = CSV) -> tuple[Path, Path]:
    np.save(folder / "v.npy", vectors, allow_pickle=True)
    (folder / "items.csv").write_text(text, encoding="utf-8")
    return folder / "v.npy", folder / "items.csv"


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8])
def test_rows_are_scaled_and_ids_stay_text(tmp_path: Path, kind: Any) -> None:
    vectors, items = from_vectors(*write(tmp_path, np.array([[3, 4], [0, 2], [-1, 0]], dtype=kind)))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, np.array([[0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]]), atol=1e-6)
    assert items["item_id"].tolist() == ["007", "NA", "x"]
    assert items["role"].tolist() == items["split"].tolist() == ["", "", ""]
    assert "product_id" not in items


def test_parquet_with_number_labels(tmp_path: Path) -> None:
    import pandas as pd

    path, _ = write(tmp_path, np.eye(3))
    table = pd.DataFrame({"item_id": [1, 2, 3], "product_id": [7, 7, 8], "role": ["query", None, "gallery"]})
    table.to_parquet(tmp_path / "items.parquet")
    _, items = from_vectors(path, tmp_path / "items.parquet")
    assert items["item_id"].tolist() == ["1", "2", "3"]
    assert items["product_id"].tolist() == ["7", "7", "8"]
    assert items["role"].tolist() == ["query", "", "gallery"]


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.float64, (3, 4), elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_any_finite_row_gets_length_one(vectors: Any) -> None:
    if (np.abs(vectors).max(axis=1) == 0).any():
        with pytest.raises(LensError, match="all zeros"):
            unit_rows(vectors, "v.npy")
    else:
        np.testing.assert_allclose(np.linalg.norm(unit_rows(vectors, "v.npy"), axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("vectors", "reason"),
    [
        (np.eye(4), "v.npy has 4 rows but .*items.csv has 3"),
        (np.ones(3), r"v.npy has the shape \[3\]"),
        (np.ones((3, 0)), r"shape \[3, 0\]"),
        (np.ones((3, 2, 2)), "must be \\[items, dimension\\]"),
        (np.array([["a"], ["b"], ["c"]]), "must hold real numbers"),
        (np.ones((3, 2), dtype=complex), "must hold real numbers"),
        (np.array([[1], [{}], [2]], dtype=object), "v.npy is not a readable"),
        (np.array([[1, 0], [np.nan, 1], [1, 1]]), "row 1 holds NaN"),
        (np.array([[1, 0], [1, 1], [np.inf, 1]]), "row 2 holds NaN or infinity"),
        (np.array([[1, 0], [0, 0], [1, 1]]), "row 1 is all zeros"),
    ],
)
def test_refused_vectors(tmp_path: Path, vectors: Any, reason: str) -> None:
    with pytest.raises(LensError, match=reason):
        from_vectors(*write(tmp_path, vectors))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("item_id,category\na,x\na,x\nb,y\n", "items.csv: item_id 'a' appears more than once"),
        ("item_id\na\nb\nc\n", "needs the columns item_id and category or product_id; it has item_id"),
        ("id,category\na,x\nb,x\nc,x\n", "it has id, category"),
        ("item_id,category\na,x\nb,\nc,x\n", "some rows have no category"),
        ("item_id,category,role\na,x,query\nb,x,judge\nc,x,\n", "role in row 1 is 'judge'"),
        ("item_id,category,split\na,x,train\nb,x,test\nc,x,dev\n", "split in row 2 is 'dev'"),
        ("", "cannot be read as a table"),
    ],
)
def test_refused_items(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(LensError, match=reason):
        from_vectors(*write(tmp_path, np.eye(3), text))


def test_missing_and_broken_files(tmp_path: Path) -> None:
    vectors, items = write(tmp_path, np.eye(3))
    with pytest.raises(LensError, match="There is no file .*none.npy"):
        from_vectors(tmp_path / "none.npy", items)
    with pytest.raises(LensError, match="There is no file .*none.csv"):
        from_vectors(vectors, tmp_path / "none.csv")
    np.savez(tmp_path / "v.npz", a=np.eye(3))
    with pytest.raises(LensError, match="several arrays"):
        from_vectors(tmp_path / "v.npz", items)
    vectors.write_bytes(vectors.read_bytes()[:100])
    with pytest.raises(LensError, match="not a readable"):
        from_vectors(vectors, items)
    vectors.write_bytes(b"")
    with pytest.raises(LensError, match="not a readable"):
        from_vectors(vectors, items)
