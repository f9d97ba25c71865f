"""The table of items: its types, its file read piece by piece, and its rows as plain values."""

import json
import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lens.errors import LensError
from lens.index.checks import TEXT_COLUMNS

Rows = npt.NDArray[np.int64]
CONTRACT = pa.schema(
    [(name, pa.string()) for name in TEXT_COLUMNS[:4]]
    + [("captions", pa.list_(pa.string()))]
    + [(name, pa.string()) for name in TEXT_COLUMNS[4:]]
)
GROUP_ROWS = (
    1024  # at a million items: 5 ms to open the file, 0.3 ms to read a group; 4096 rows took 0.8 ms a group
)
_GROUPS_KEPT = 256
_READ_ERRORS = (pa.ArrowException, OSError, ValueError)


def table_of(items: pd.DataFrame, where: str) -> pa.Table:
    """A data frame as a table of plain types.

    Those of the contract are fixed: guessed ones would change when every list is empty.
    Raises LensError naming a column of mixed kinds, or of what Arrow has no type for, as numbers beyond 64 bits.
    """
    columns: dict[str, pa.Array] = {}
    for label in items.columns:
        name, values = str(label), items[label]
        if not is_text(name):
            raise LensError(f"{where}: the column {name!r} has a name that is no UTF-8; rename it.")
        if name in columns:
            raise LensError(f"{where}: two columns are named {name!r}.")
        try:
            if name == "captions":
                column = pa.array([list(words) for words in values], pa.list_(pa.string()))
            elif name in TEXT_COLUMNS:
                column = pa.array(values.astype(object), pa.string())
            else:
                column = pa.array(values, from_pandas=True)
                column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
                column = column.cast(_plain_type(column.type))
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise LensError(f"{where}: the column {name!r} cannot be stored: {error}.") from error
        columns[name] = column
    return pa.table(columns)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_large_list(kind) or pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    return kind


def is_text(value: object) -> bool:
    """Whether it is a text that Arrow and SQLite can hold: UTF-8, which has no lone surrogates."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def ids_of(item_ids: Sequence[str]) -> list[str]:
    """The ids asked for; one that no item can have is "", which none has. Raises LensError for a bare text."""
    if isinstance(item_ids, str):
        raise LensError(f"Give a list of item ids, not the text {item_ids!r}.")
    return [item_id if is_text(item_id) else "" for item_id in item_ids]


class StoredItems:
    """items.parquet, opened: nothing but its footer is read until it is asked for. Safe to use from several threads.

    Raises LensError where the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = pq.ParquetFile(pa.memory_map(str(path)))
            kinds = self._file.schema_arrow.remove_metadata()
        except _READ_ERRORS as error:
            raise self._unreadable(error) from error
        self.schema = pa.schema([(field.name, _plain_type(field.type)) for field in kinds])
        facts = self._file.metadata
        sizes = [facts.row_group(group).num_rows for group in range(facts.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
        self._groups: OrderedDict[int, pa.Table] = OrderedDict()
        self._columns: dict[str, pa.ChunkedArray] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all rows; kept from then on."""
        with self._lock:
            if name not in self._columns:
                try:
                    read = self._file.read([name], use_threads=False).column(name)
                    self._columns[name] = read.cast(self.schema.field(name).type)
                except _READ_ERRORS as error:
                    raise self._unreadable(error) from error
            return self._columns[name]

    def all(self) -> pa.Table:
        """All rows; every column is kept from then on."""
        return pa.table({name: self.column(name) for name in self.schema.names}, schema=self.schema)

    def take(self, rows: Rows) -> pa.Table:
        """The rows asked for, in their order; groups of rows are read on demand and the last ones kept."""
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        parts, order = [self.schema.empty_table()], []
        for group in np.unique(groups):
            chosen = np.flatnonzero(groups == group)
            parts.append(self._group(int(group)).take(pa.array(rows[chosen] - self._starts[group])))
            order.append(chosen)
        back = np.argsort(np.concatenate(order), kind="stable") if order else np.zeros(0, np.int64)
        return pa.concat_tables(parts).take(pa.array(back))

    def find(self, item_ids: Sequence[str]) -> Rows:
        """The row of each item id, int64 [n]; -1 where there is none."""
        wanted = list(dict.fromkeys(item_ids))
        place = pc.index_in(self.column("item_id"), value_set=pa.array(wanted, pa.string()))
        rows = np.flatnonzero(place.is_valid().to_numpy())
        row_of = {wanted[which]: row for which, row in zip(place.drop_null().to_pylist(), rows, strict=True)}
        return np.array([row_of.get(item_id, -1) for item_id in item_ids], np.int64)

    def _group(self, group: int) -> pa.Table:
        with self._lock:
            if group not in self._groups:
                try:
                    read = self._file.read_row_group(group, use_threads=False).cast(self.schema)
                except _READ_ERRORS as error:
                    raise self._unreadable(error) from error
                self._groups[group] = read
                if len(self._groups) > _GROUPS_KEPT:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(group)
            return self._groups[group]

    def _unreadable(self, error: Exception) -> LensError:
        return LensError(f"{self._path} cannot be read: {error}.")


def plain(value: Any) -> Any:
    """A value as JSON has it: missing and infinite numbers are None, dates and decimals are text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int) else str(value)


def to_json(table: pa.Table, where: str) -> list[str]:
    """A text for each row, which `from_json` reads back. Raises LensError for what it could not read back."""
    rows = [json.dumps(plain(row), ensure_ascii=False) for row in table.to_pylist()]
    try:
        same = from_json(rows, table.schema)
        other = [name for name in table.column_names if not same.column(name).equals(table.column(name))]
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise LensError(f"{where}: the items cannot be stored: {error}.") from error
    if other:
        raise LensError(
            f"{where}: the column {other[0]!r} holds {table.schema.field(other[0]).type} or an infinite number; "
            "put text, finite numbers, true or false, or lists of them."
        )
    return rows


def from_json(rows: Sequence[str], schema: pa.Schema) -> pa.Table:
    """The table that `to_json` wrote; a column that a row lacks is missing there."""
    values = json.loads("[" + ",".join(rows) + "]")
    columns = {}
    for field in schema:
        column = [row.get(field.name) for row in values]
        texts = pa.types.is_temporal(field.type) or pa.types.is_decimal(field.type)
        columns[field.name] = (
            pa.array(column, pa.string()).cast(field.type) if texts else pa.array(column, field.type)
        )
    return pa.table(columns, schema=schema)


def as_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns of a schema; what it lacks is missing."""
    columns = {
        field.name: table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in schema
    }
    return pa.table(columns, schema=schema)
