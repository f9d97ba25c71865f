"""Changing an index: put and delete, on the disk when the call returns, and compaction."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from lens.errors import LensError
from lens.files import sync
from lens.index import changes
from lens.index.base import BLOCK_ROWS, Base, open_base, write_base
from lens.index.checks import Array, check_items, check_unit, exactly_unit
from lens.index.engines import EngineSettings
from lens.index.exchange import folder_of, fresh_folder, one_sentence, put_in_place, writer_lock
from lens.index.items import from_json, ids_of, table_of, to_json
from lens.index.manifest import CHANGES, Expected, given
from lens.index.reader import Reader, read_changes


def write(folder: str | Path, *, expect: Expected | None = None) -> "Writer":
    """Open an index for changing it; one writer at a time, beside any number of readers. Used by `with`, or closed.

    Raises LensError where another process writes to it, or as `open_index` does.
    """
    return Writer(folder_of(folder).resolve(), expect)


class Writer:
    """The one writer of an index. Each call is done wholly or not at all, and on the disk when it returns.

    A kill at any moment, a full disk or a lost permission leave the index as it was before the call.
    Safe to use from several threads. Made by `write`.
    """

    def __init__(self, target: Path, expect: Expected | None) -> None:
        self._target, self._expect = target, expect
        self._mutex = threading.RLock()
        if not target.parent.is_dir():
            raise LensError(f"There is no index {target}.")
        self._file_lock = writer_lock(target, 0)
        try:
            self._open()
        except BaseException:
            self._file_lock.release()
            raise

    def _open(self) -> None:
        self._base: Base = open_base(self._target, verify=False, expect=self._expect)
        path = self._target / CHANGES
        with one_sentence(self._target):
            if self._base.manifest["format_version"] == 1 and not path.exists():
                unfinished = path.with_name(f".{CHANGES}.partial")
                unfinished.unlink(missing_ok=True)
                changes.create(unfinished, self._base.id)
                unfinished.replace(path)
                sync(self._target)
            self._file = changes.ChangesFile(path, self._base.id)

    def put(self, items: pd.DataFrame, vectors: Array) -> None:
        """Add items, or replace those of the same item_id whole.

        items: M rows, with all columns of the contract and any others; a column that the index lacks is missing for
        the items that it holds. vectors: float32 [M, D], unit rows (to 1e-3, and stored exactly so).
        Raises LensError where items and vectors do not fit each other or the index.
        """
        where = f"What is put into {self._target}"
        vectors = np.asarray(vectors)
        dimension = self._base.vectors.shape[1]
        if vectors.dtype != np.float32 or vectors.shape != (len(items), dimension):
            raise LensError(
                f"{where} needs float32 vectors [{len(items)}, {dimension}], "
                f"not {vectors.dtype} {list(vectors.shape)}."
            )
        check_items(items, where)
        check_unit(vectors, where)
        vectors = exactly_unit(vectors)
        if not len(items):
            return
        with self._open_for_writing():
            table = table_of(items, where)
            schema = self._united(table.schema, where)
            ids = table.column("item_id").to_pylist()
            texts = to_json(_cast(table, schema, where), where)
            old = self._file.rows(ids)
            base_rows = self._base_rows(ids, old)
            rows: Iterator[changes.Row] = (
                (item_id, base_row, vector.astype("<f4").tobytes(), text)
                for item_id, base_row, vector, text in zip(ids, base_rows, vectors, texts, strict=True)
            )
            with one_sentence(self._target):
                self._file.apply([row[2] for row in old.values()], old, rows, schema.serialize().to_pybytes())

    def delete(self, item_ids: Sequence[str], missing_ok: bool = False) -> int:
        """Delete items; returns how many there were. Raises LensError naming one that is not there.

        Nothing is deleted then; with `missing_ok`, those that are there are.
        """
        asked = ids_of(item_ids)
        ids = list(dict.fromkeys(asked))
        with self._open_for_writing():
            old = self._file.rows(ids)
            base_rows = dict(zip(ids, self._base_rows(ids, old), strict=True))
            there = [
                item_id
                for item_id in ids
                if (old[item_id][1] if item_id in old else base_rows[item_id] is not None)
            ]
            if len(there) < len(ids) and not missing_ok:
                known = set(there)
                unknown = next(
                    one for one, item_id in zip(item_ids, asked, strict=True) if item_id not in known
                )
                raise LensError(f"The index {self._target} holds no item {unknown!r}; nothing was deleted.")
            if there:
                gone = {item_id: old[item_id] for item_id in there if item_id in old}
                left: Iterator[changes.Row] = (
                    (item_id, base_rows[item_id], None, None)
                    for item_id in there
                    if base_rows[item_id] is not None
                )
                with one_sentence(self._target):
                    self._file.apply([row[2] for row in gone.values()], gone, left, self._file.about.kinds)
            return len(there)

    def compact(self, progress: str | None = None) -> None:
        """Fold the changes into a new base, with a new engine, and exchange the folders; readers go on meanwhile.

        Reads and checks the whole index first, so that nothing broken is passed on. Takes as much free disk as the
        index has. progress: the label of a progress bar; None shows none. Raises LensError, with the index
        as it was, or where it says so with the new base in its place.
        """
        with self._open_for_writing():
            base = open_base(self._target, verify=True)
            if self._base.manifest["format_version"] > 1 and not self._file.about.version:
                return
            reader = Reader(self._target, base, None, read_changes(base, True), None)
            facts, engine = given(base.manifest), base.manifest.get("engine", {})
            if self._file.about.version:
                facts["catalogue"] = without_fingerprint(facts.get("catalogue"))
            settings = EngineSettings.from_dict(engine.get("settings", {}))
            try:
                with one_sentence(self._target), fresh_folder(self._target) as fresh:
                    shape = (len(reader), reader.dimension)
                    write_base(fresh, _alive(reader), reader.schema, shape, facts, settings, progress)
                    put_in_place(fresh, self._target)
            finally:  # what fails at the very end leaves the new base in place
                self._file.close()
                self._open()

    def close(self) -> None:
        """Let another process write."""
        with self._mutex:
            self._file.close()
            self._file_lock.release()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _open_for_writing(self) -> Iterator[None]:
        with self._mutex:
            if not self._file_lock.is_locked:
                raise LensError(f"This writer of the index {self._target} is closed; open another one.")
            yield

    def _base_rows(self, ids: list[str], old: dict[str, tuple[int | None, bool, int]]) -> list[int | None]:
        """The row of the base that each item takes away, if any."""
        fresh = [item_id for item_id in ids if item_id not in old]
        found = dict(zip(fresh, self._base.items.find(fresh).tolist(), strict=True)) if fresh else {}
        return [
            old[item_id][0] if item_id in old else found[item_id] if found[item_id] >= 0 else None
            for item_id in ids
        ]

    def _united(self, schema: pa.Schema, where: str) -> pa.Schema:
        """The types of all items, once these come in. Raises LensError where one column would hold different kinds."""
        known = changes.schema_of(self._file.about.kinds) or self._base.items.schema
        try:
            united = pa.unify_schemas([known, schema], promote_options="permissive")
        except (pa.ArrowException, TypeError) as error:
            raise LensError(f"{where} does not fit the items that are there: {error}.") from error
        widened = [field.name for field in known if united.field(field.name).type != field.type]
        if widened:  # a whole number may not fit among fractions
            there = from_json(self._file.items(), known)
            for name in widened:
                _cast(there.select([name]), united, where)
                if name in self._base.items.schema.names:
                    _cast(pa.table({name: self._base.items.column(name)}), united, where)
        return united


def _cast(table: pa.Table, schema: pa.Schema, where: str) -> pa.Table:
    columns = {}
    for name in table.column_names:
        try:
            columns[name] = table.column(name).cast(schema.field(name).type)
        except pa.ArrowException as error:
            raise LensError(
                f"{where}: the column {name!r} does not fit the items that are there: {error}."
            ) from error
    return pa.table(columns)


def _alive(reader: Reader) -> Iterator[tuple[Array, pa.Table]]:
    rows = np.flatnonzero(reader.alive)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        yield reader.vectors(block), reader.table(block)


def without_fingerprint(catalogue: dict[str, object] | None) -> dict[str, object]:
    """Facts about a catalogue that has changed: the fingerprint was of the items as they were."""
    return {key: value for key, value in (catalogue or {}).items() if key != "fingerprint"}
