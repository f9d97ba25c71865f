"""Searching an index: one moment of it, which later writing does not touch."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lens.errors import LensError
from lens.index import changes, filters
from lens.index.base import Base, open_base
from lens.index.checks import Array, check_unit, unit_rows
from lens.index.engines import open_engine
from lens.index.exchange import folder_of, place_of, retried
from lens.index.items import Rows, as_schema, from_json, ids_of, plain
from lens.index.manifest import CHANGES, Expected, read_manifest
from lens.index.nearest import Found, merged, nearest, without

_FEW = 100  # items that are looked up and then left out of the results: cheaper than a filter


def open_index(folder: str | Path, *, verify: bool = False, expect: Expected | None = None) -> "Reader":
    """Open an index for searching; vectors and items stay on disk until they are used.

    `verify` reads everything once: checksums, item ids, unit lengths. Without it the sizes of the files are checked,
    the manifest, and every change since the base was written.
    Raises LensError with the reason where anything is missing, altered, of another format or not as expected.
    """
    target = folder_of(folder)
    return retried(target, lambda place: _open(target, place, verify, expect))


def _open(folder: Path, place: Path, verify: bool, expect: Expected | None) -> tuple["Reader", bytes]:
    base = open_base(place, verify=verify, expect=expect)
    facts = base.manifest.get("engine", {})
    engine = open_engine(place, base.vectors, facts) if len(base.vectors) else None
    return Reader(folder, base, engine, read_changes(base, verify), expect), base.seal


def read_changes(base: Base, verify: bool) -> changes.Changes:
    """The changes to an opened base; a folder of format 1 may have none. Raises LensError."""
    path = base.place / CHANGES
    if base.manifest["format_version"] == 1 and not path.exists():
        return changes.none(base.id, base.vectors.shape[1])
    found = changes.read(path, base.id, base.vectors.shape[1], len(base.vectors), verify=verify)
    if verify:
        check_unit(found.vectors, str(path))
    return found


def latest_version(base: Base) -> int:
    """How many times the base was changed by now. Raises LensError."""
    path = base.place / CHANGES
    if base.manifest["format_version"] == 1 and not path.exists():
        return 0
    return changes.version(path, base.id)


class Reader:
    """One moment of an index: what is written later does not show. Safe to use from several threads.

    Rows 0 to N-1 are those of the base, then come the additions, oldest first; `alive` (bool [rows]) says which of
    them hold. Made by `open_index`.
    """

    def __init__(
        self, folder: Path, base: Base, engine: Any, found: changes.Changes, expect: Expected | None
    ) -> None:
        self._base, self._engine, self._changes, self._expect = base, engine, found, expect
        self.folder, self.manifest, self.seal = folder, base.manifest, base.seal
        self.dimension: int = base.vectors.shape[1]
        self.rows: int = len(base.vectors) + len(found.item_ids)
        self.schema: pa.Schema = found.schema or base.items.schema
        self.alive = np.ones(self.rows, bool)
        self.alive[found.replaced] = False
        self.alive.flags.writeable = False
        self._count = int(self.alive.sum())
        self._row_of = {item_id: len(base.vectors) + row for row, item_id in enumerate(found.item_ids)}
        self._added: pa.Table | None = None
        self._lock = threading.Lock()

    @property
    def changed(self) -> bool:
        """Whether anything was put or deleted since the base was written."""
        return self._changes.about.version > 0

    def __len__(self) -> int:
        """How many items there are."""
        return self._count

    def search(
        self,
        vectors: Array,
        k: int,
        *,
        where: Mapping[str, Any] | None = None,
        exclude: Sequence[str] = (),
        exact: bool = False,
    ) -> Found:
        """The k items nearest to each query, with their true cosines; k of them whenever so many exist.

        vectors: float [Q, D], of any length but zero; where: see `select`; exclude: item ids not to be found;
        exact: look at every item, whatever the engine.
        Raises LensError for queries of another dimension, NaN, and k below 1.
        """
        queries = np.asarray(vectors)
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise LensError(
                f"The queries have the shape {list(queries.shape)}; it must be [Q, {self.dimension}]."
            )
        if k < 1:
            raise LensError(f"k is {k}; ask for at least 1 result.")
        queries = unit_rows(queries, "The queries")
        hidden = self.lookup(exclude)
        hidden = hidden[hidden >= 0]
        allowed = self.alive & self.select(where) if where else self.alive.copy()
        if len(hidden) > _FEW:
            allowed[hidden] = False
            hidden = hidden[:0]
        found = self._nearest(queries, k + len(hidden), allowed, exact)
        return without(found, hidden, k) if len(hidden) else found

    def _nearest(self, queries: Array, k: int, allowed: Array, exact: bool) -> Found:
        base_count = len(self._base.vectors)
        parts = []
        if (many := int(allowed[:base_count].sum())) and len(queries):
            inside = None if many == base_count else allowed[:base_count]
            parts.append(Found(*self._engine.search(queries, min(k, many), inside, exact)))
        if len(added := np.flatnonzero(allowed[base_count:])):
            vectors = self._changes.vectors
            chosen = vectors if len(added) == len(vectors) else vectors[added]
            parts.append(nearest(queries, chosen, added + base_count, k))
        return merged(parts, len(queries), k)

    def select(self, where: Mapping[str, Any]) -> filters.Mask:
        """The rows that meet all conditions, bool [rows], alive or not; see `lens.index.filters.matches`.

        Raises LensError for a column that the items lack, naming the nearest.
        """
        result = np.ones(self.rows, bool)
        for name, condition in where.items():
            filters.check_name(name, self.schema.names)
            base = filters.matches(self._base_column(name), condition, name)
            added = filters.matches(self._additions().column(name), condition, name)
            result &= np.concatenate([base, added])
        return result

    def column(self, name: str) -> npt.NDArray[Any]:
        """One column of all rows, object [rows], plain values. Raises LensError for a column that the items lack."""
        filters.check_name(name, self.schema.names)
        values = self._base_column(name).to_pylist() + self._additions().column(name).to_pylist()
        return np.fromiter((plain(value) for value in values), object, self.rows)

    def values(self, name: str) -> pa.ChunkedArray:
        """A column of the items, as Arrow has it. Raises LensError for a column that the items lack."""
        filters.check_name(name, self.schema.names)
        every = pa.chunked_array([*self._base_column(name).chunks, *self._additions().column(name).chunks])
        return every if len(self) == self.rows else every.filter(pa.array(self.alive))

    def ids(self, rows: Sequence[int] | Rows) -> list[str]:
        """The item ids of rows. Raises LensError for a row that does not exist."""
        return [str(item_id) for item_id in self.table(rows).column("item_id").to_pylist()]

    def items(self, rows: Sequence[int] | Rows) -> list[dict[str, Any]]:
        """The items of rows, as JSON has them: missing values are None, dates are text. Raises LensError as `ids`."""
        return [plain(item) for item in self.table(rows).to_pylist()]

    def table(self, rows: Sequence[int] | Rows) -> pa.Table:
        """The items of rows. Raises LensError for a row that does not exist."""
        wanted, added, split = self._rows(rows)
        base = self._base.items.take(wanted[~added])
        parts = [as_schema(base, self.schema), self._additions().take(pa.array(wanted[added] - split))]
        order = np.argsort(np.concatenate([np.flatnonzero(~added), np.flatnonzero(added)]), kind="stable")
        return pa.concat_tables(parts).take(pa.array(order))

    def vectors(self, rows: Sequence[int] | Rows) -> npt.NDArray[np.float32]:
        """The vectors of rows, float32 [n, D]. Raises LensError for a row that does not exist."""
        wanted, added, split = self._rows(rows)
        result = np.empty((len(wanted), self.dimension), np.float32)
        result[~added] = self._base.vectors[wanted[~added]]
        result[added] = self._changes.vectors[wanted[added] - split]
        return result

    def find(self, item_ids: Sequence[str]) -> Rows:
        """The rows of items, int64 [n]. Raises LensError naming an item that the index does not hold."""
        rows = self.lookup(item_ids)
        if (rows < 0).any():
            unknown = list(item_ids)[int((rows < 0).argmax())]
            raise LensError(f"The index {self.folder} holds no item {unknown!r}.")
        return rows

    def lookup(self, item_ids: Sequence[str]) -> Rows:
        """The rows of items, int64 [n]; -1 for one that the index does not hold. Raises LensError for a bare text."""
        ids = ids_of(item_ids)
        found = np.array([self._row_of.get(item_id, -1) for item_id in ids], np.int64)
        rest = np.flatnonzero(found < 0)
        if rest.size and len(self._base.vectors):
            rows = self._base.items.find([ids[place] for place in rest.tolist()])
            found[rest] = np.where((rows >= 0) & self.alive[rows], rows, -1)
        return found

    def refreshed(self) -> "Reader":
        """This moment, if it is the latest; else a reader of the latest, which shares what did not change.

        Raises LensError as `open_index` does; this reader goes on as it was.
        """
        try:
            place = place_of(self.folder)
            if read_manifest(place)[1] == self.seal and place == self._base.place:
                if latest_version(self._base) == self._changes.about.version:
                    return self
                found = read_changes(self._base, False)
                return Reader(self.folder, self._base, self._engine, found, self._expect)
        except LensError:
            pass  # exchanged meanwhile, or broken: opening it says which
        return open_index(self.folder, expect=self._expect)

    def close(self) -> None:
        """Let go of the files; they are closed when no other reader shares them."""
        del self._base, self._engine, self._changes

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self, rows: Sequence[int] | Rows) -> tuple[Rows, Array, int]:
        wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= self.rows):
            raise LensError(
                f"The index has the rows 0 to {self.rows - 1}; {wanted.tolist()} are not all among them."
            )
        return wanted, wanted >= len(self._base.vectors), len(self._base.vectors)

    def _base_column(self, name: str) -> pa.ChunkedArray:
        kind = self.schema.field(name).type
        if name not in self._base.items.schema.names:
            return pa.chunked_array([pa.nulls(len(self._base.vectors), kind)])
        return self._base.items.column(name).cast(kind)

    def _additions(self) -> pa.Table:
        with self._lock:
            if self._added is None:
                self._added = from_json(self._changes.items, self.schema)
            return self._added
