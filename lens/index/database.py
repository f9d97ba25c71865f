"""A SQLite file that one process writes and any number read, opened and explained."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from lens.errors import LensError

MEND = "build the index again"
_WAIT = 60.0  # seconds for a lock; readers and the writer hold theirs for as long as one transaction takes


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What SQLite and Python say of a broken file becomes a LensError."""
    try:
        yield
    except (sqlite3.Error, OSError, ValueError, TypeError, AttributeError) as error:
        raise LensError(f"{path} is missing, broken or altered: {error}; {MEND}.") from error


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as it is at one moment, for reading only.

    Only the writer may roll back what a kill interrupted: a reader that did so by the name of a folder that a
    compaction just exchanged would take the journal of the new file. So a reader rolls back a copy of its own.
    """
    with closing(connect(path, "ro")) as database:
        try:
            database.execute("BEGIN")
            check_length(database, path)  # reads, so from here on nothing changes, and an open journal shows
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
        else:
            yield database
            return
    contents = {name: path.with_name(name).read_bytes() for name in (path.name, path.name + "-journal")}
    with ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lens-index-")))
            for name, content in contents.items():
                (folder / name).write_bytes(content)
            database = stack.enter_context(closing(connect(folder / path.name, "rw")))
            check_length(database, folder / path.name)  # rolls back
        except (OSError, sqlite3.OperationalError) as error:
            raise LensError(
                f"To read {path} after an interrupted write, a copy is needed in the temporary folder "
                f"{tempfile.tempdir or ''}, which failed: {error}; make room there or set TMPDIR to another folder."
            ) from error
        yield database


def check_length(database: sqlite3.Connection, path: Path) -> None:
    """Raises LensError where the file was cut off; SQLite reads what is missing from its last page as zeros."""
    pages, size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if path.stat().st_size != pages * size:
        raise LensError(f"{path} was cut off or added to; {MEND}.")


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """The file, opened by one of SQLite's modes: ro, rw."""
    address = f"file:{quote(str(path))}?mode={mode}"
    return sqlite3.connect(address, uri=True, timeout=_WAIT, isolation_level=None, check_same_thread=False)
