"""What a column can be filtered by: its values, or the range of its numbers."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def distinct(column: pa.ChunkedArray, most: int) -> list[str] | None:
    """The texts in a column, sorted; None where they are more than `most`, or no texts."""
    if not pa.types.is_string(column.type):
        return None
    found = pc.unique(column)
    return None if len(found) > most else sorted(one for one in found.to_pylist() if one is not None)


def extent(column: pa.ChunkedArray) -> tuple[Any, Any] | None:
    """The least and the largest number in a column; None where it holds none, or no numbers."""
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return None
    found = pc.min_max(column.filter(pc.is_finite(column))).as_py()
    return None if found["min"] is None else (found["min"], found["max"])
