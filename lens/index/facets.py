"""What a column can be filtered by: its values, or the range of its numbers."""

from collections.abc import Container
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lens.index.reader import Reader


def facets(reader: Reader, hidden: Container[str], most: int) -> dict[str, Any]:
    """Of the columns of an index, but for the hidden ones.

    Returns ``where``: columns of texts, each with its values, or none where these are more than `most`; ``numbers``:
    columns of numbers, each with the least and the largest.
    """
    columns = {name: reader.values(name) for name in reader.schema.names if name not in hidden}
    texts = {name: distinct(column, most) for name, column in columns.items() if column.type == "string"}
    numbers = {name: extent(column) for name, column in columns.items()}
    return {
        "where": {name: some or [] for name, some in texts.items() if some not in ([], [""])},
        "numbers": {name: ends for name, ends in numbers.items() if ends},
    }


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
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())  # Arrow compares no halves
    found = pc.min_max(column.filter(pc.is_finite(column))).as_py()
    return None if found["min"] is None else (found["min"], found["max"])
