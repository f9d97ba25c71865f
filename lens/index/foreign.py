"""Vectors that another tool made: a .npy file and a table, row for row."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from lens.errors import LensError
from lens.index.checks import check_text, open_array, unit_rows


def from_vectors(
    vectors_path: str | Path, items_path: str | Path
) -> tuple[npt.NDArray[np.float32], pd.DataFrame]:
    """Read vectors and what they belong to; row i of one belongs to row i of the other.

    vectors: .npy of numbers [N, D], of any length (they are scaled to 1 here). items: CSV (all read as text) or
    Parquet with item_id, category and/or product_id, optional role and split ("" where absent).
    Returns float32 [N, D] with unit rows, and the table with RangeIndex. Raises LensError naming file and fault.
    """
    path, table_path = Path(vectors_path), Path(items_path)
    raw = open_array(path)
    if raw.ndim != 2 or 0 in raw.shape:
        raise LensError(f"{path} has the shape {list(raw.shape)}; it must be [items, dimension].")
    if raw.dtype.kind not in "fiu":
        raise LensError(f"{path} holds {raw.dtype}; it must hold real numbers.")
    items = _read_items(table_path)
    if len(items) != len(raw):
        raise LensError(
            f"{path} has {len(raw)} rows but {table_path} has {len(items)}; row i must belong to row i."
        )
    return unit_rows(raw, str(path)), items


def _read_items(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise LensError(f"There is no file {path}.")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            items = pd.read_parquet(path)
        else:
            items = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
            if not isinstance(items.index, pd.RangeIndex):
                raise ValueError("its rows have more cells than its header")
    except (ValueError, OSError) as error:  # pandas' and pyarrow's own errors are ValueErrors
        raise LensError(f"{path} cannot be read as a table: {error}.") from error
    labels = [name for name in ("category", "product_id") if name in items.columns]
    if "item_id" not in items.columns or not labels:
        found = ", ".join(map(str, items.columns))
        raise LensError(f"{path} needs the columns item_id and category or product_id; it has {found}.")
    for name in ("item_id", *labels):
        if items[name].isna().any() or (items[name].astype(str) == "").any():
            raise LensError(f"{path}: some rows have no {name}; fill them or leave the column out.")
        items[name] = items[name].astype(str)
    for name in ("role", "split"):
        items[name] = items[name].fillna("").astype(str) if name in items.columns else ""
    for name in ("item_id", "role", "split"):
        check_text(items, name, str(path))
    return items.reset_index(drop=True)
