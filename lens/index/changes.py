"""What was put or deleted since the base of an index was written: changes.sqlite.

One row a changed item. A row with a vector is an addition; one with a base row takes that row of the base away, so a
replaced item has both, and a deleted one the base row alone. `about` has one row: the base that the changes belong to,
a version that counts the transactions, and the number and the exclusive or of all checksums, so that a lost row shows.
"""

import json
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lens.errors import LensError
from lens.index.database import MEND, check_length, connect, explained, opened

_TABLES = """
CREATE TABLE about (facts TEXT NOT NULL, kinds BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY, item_id TEXT NOT NULL UNIQUE, base_row INTEGER, vector BLOB, item TEXT,
    checksum INTEGER NOT NULL
);
"""
_INSERT = "INSERT INTO changes (item_id, base_row, vector, item, checksum) VALUES (?, ?, ?, ?, ?)"
Row = tuple[str, int | None, bytes | None, str | None]  # item_id, base_row, vector, item


@dataclass(frozen=True)
class About:
    """Of which base, how many transactions there were, how many rows there are, the exclusive or of their checksums."""

    base: str
    version: int
    rows: int
    checksums: int
    kinds: bytes  # the Arrow schema of the items, base and additions together; empty before the first put


@dataclass(frozen=True)
class Changes:
    """All changes at one moment.

    replaced: rows of the base that no longer hold, int64 [R]; item_ids, vectors float32 [M, D] and items (JSON): the
    M additions, oldest first.
    """

    about: About
    replaced: npt.NDArray[np.int64]
    item_ids: list[str]
    vectors: npt.NDArray[np.float32]
    items: list[str]

    @property
    def schema(self) -> pa.Schema | None:
        """The types of the items, base and additions together; None before the first put."""
        return schema_of(self.about.kinds)


def checksum(row: Row) -> int:
    """CRC-32 of all that a row holds."""
    item_id, base_row, vector, item = row
    start = zlib.crc32(json.dumps([item_id, base_row, item]).encode())
    return zlib.crc32(vector, start) if vector is not None else start


def schema_of(kinds: bytes) -> pa.Schema | None:
    """What `About.kinds` says."""
    return pa.ipc.read_schema(pa.py_buffer(kinds)) if kinds else None


def none(base: str, dimension: int) -> Changes:
    """No changes yet."""
    return Changes(
        About(base, 0, 0, 0, b""), np.zeros(0, np.int64), [], np.zeros((0, dimension), np.float32), []
    )


def create(path: Path, base: str) -> None:
    """An empty file of changes to a base."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript("PRAGMA synchronous=FULL;" + _TABLES)
        write_about(database, About(base, 0, 0, 0, b""))


def read(path: Path, base: str, dimension: int, base_rows: int, *, verify: bool) -> Changes:
    """All changes to the base of that id, with `base_rows` rows; never writes to the file.

    Every row is checked against its checksum; `verify` checks SQLite's own structures and the unit lengths too.
    Raises LensError where the file is missing, broken, altered or of another base.
    """
    with explained(path):
        with opened(path) as database:
            about = read_about(database, path, base)
            if verify and (found := database.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
                raise LensError(f"{path} is broken: {found}.")
            query = "SELECT item_id, base_row, vector, item, checksum FROM changes ORDER BY sequence"
            rows = database.execute(query).fetchall()
        total = 0
        for row in rows:
            _check_row(row, path)
            total ^= row[4]
        replaced = np.array([row[1] for row in rows if row[1] is not None], np.int64)
        added = [row for row in rows if row[2] is not None]
        vectors = np.frombuffer(b"".join(row[2] for row in added), "<f4").reshape(len(added), dimension)
    fits = (
        (len(rows), total) == (about.rows, about.checksums)
        and len(np.unique(replaced)) == len(replaced)
        and (not replaced.size or (replaced.min() >= 0 and replaced.max() < base_rows))
    )
    if not fits:
        raise LensError(f"{path} was altered: rows are missing or do not fit; {MEND}.")
    return Changes(about, replaced, [row[0] for row in added], vectors, [row[3] for row in added])


def _check_row(row: tuple[Any, ...], path: Path) -> None:
    if checksum(row[:4]) != row[4]:
        raise LensError(f"{path} was altered: the checksum of item {row[0]!r} is wrong; {MEND}.")


def version(path: Path, base: str) -> int:
    """How many transactions there were. Raises LensError as `read` does."""
    with explained(path), opened(path) as database:
        return read_about(database, path, base).version


def read_about(database: sqlite3.Connection, path: Path, base: str) -> About:
    """The row `about`. Raises LensError where it is missing or altered, or the base another."""
    found = database.execute("SELECT facts, kinds, checksum FROM about").fetchall()
    if len(found) != 1 or zlib.crc32(found[0][1], zlib.crc32(found[0][0].encode())) != found[0][2]:
        raise LensError(f"{path} was altered: it does not say what it belongs to; {MEND}.")
    about = About(**json.loads(found[0][0]), kinds=found[0][1])
    if about.base != base:
        raise LensError(f"{path} belongs to another index; put back the file that was with it.")
    return about


def write_about(database: sqlite3.Connection, about: About) -> None:
    """Replace the row `about`, within the caller's transaction."""
    facts = json.dumps({key: value for key, value in vars(about).items() if key != "kinds"})
    values = (facts, about.kinds, zlib.crc32(about.kinds, zlib.crc32(facts.encode())))
    database.execute("DELETE FROM about")
    database.execute("INSERT INTO about VALUES (?, ?, ?)", values)


class ChangesFile:
    """changes.sqlite, open for the one writer; who opens it holds the lock of the index.

    Each call of `apply` is one transaction, on the disk when it returns. Raises LensError as `read` does.
    """

    def __init__(self, path: Path, base: str) -> None:
        self._path, self._base = path, base
        with explained(path):
            self._database = connect(path, "rw")
            self._database.execute("PRAGMA synchronous=EXTRA")  # FULL, and the folder too after the journal
            check_length(self._database, path)
            self.about = read_about(self._database, path, base)  # rolls back what a kill interrupted

    def rows(self, item_ids: Sequence[str]) -> dict[str, tuple[int | None, bool, int]]:
        """Of the items that are here: their base row, whether they are an addition, and their checksum."""
        query = "SELECT base_row, vector IS NOT NULL, checksum FROM changes WHERE item_id = ?"
        with explained(self._path):
            found = {item_id: self._database.execute(query, (item_id,)).fetchone() for item_id in item_ids}
        return {item_id: (row[0], bool(row[1]), row[2]) for item_id, row in found.items() if row is not None}

    def items(self) -> list[str]:
        """The items of all additions, JSON, oldest first."""
        query = (
            "SELECT item_id, base_row, vector, item, checksum FROM changes "
            "WHERE vector IS NOT NULL ORDER BY sequence"
        )
        with explained(self._path):
            found = []
            for row in self._database.execute(query):
                _check_row(row, self._path)
                found.append(row[3])
            return found

    def apply(
        self, forget: Iterable[int], item_ids: Iterable[str], rows: Iterable[Row], kinds: bytes
    ) -> None:
        """Take the rows of some items away (`forget`: their checksums) and add others, in one transaction."""
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            with explained(self._path):
                about = read_about(database, self._path, self._base)
            count, total = about.rows, about.checksums
            for old in forget:
                count, total = count - 1, total ^ old
            database.executemany("DELETE FROM changes WHERE item_id = ?", ((one,) for one in item_ids))
            for row in rows:
                crc = checksum(row)
                count, total = count + 1, total ^ crc
                database.execute(_INSERT, (*row, crc))
            fresh = About(about.base, about.version + 1, count, total, kinds)
            write_about(database, fresh)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:  # SQLite itself rolls back when the disk is full
                database.execute("ROLLBACK")
            raise
        self.about = fresh

    def close(self) -> None:
        """Close the file."""
        self._database.close()
