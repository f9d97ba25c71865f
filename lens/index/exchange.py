"""Folders that change as a whole: written beside their place, then exchanged in one step; one writer at a time."""

import ctypes
import errno
import glob
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from filelock import FileLock, Timeout

from lens.errors import LensError
from lens.files import sync
from lens.index.manifest import CHANGES, read_manifest

T = TypeVar("T")
_ATTEMPTS = 20  # to open what writers exchange meanwhile


def folder_of(folder: str | Path) -> Path:
    """The full path of an index, there or not. Raises LensError for one that the system takes for no path."""
    target = Path(folder).absolute()
    try:
        os.stat(target)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # too long, a NUL, a loop of links, a missing permission
        reason = getattr(error, "strerror", None) or str(error)
        raise LensError(
            f"There can be no index at {str(folder)!r}: {reason}; give another folder."
        ) from error
    return target


def place_of(folder: str | Path) -> Path:
    """Where the files of an index lie: its folder, or the old one where a kill fell between two moves."""
    target = Path(folder).absolute()
    return _old(target) if not target.exists() and os.path.isdir(_old(target)) else target


def retried(target: Path, opening: Callable[[Path], tuple[T, bytes]]) -> T:
    """What one base was opened as, though writers exchange it meanwhile.

    opening: from the place of the files to what was opened, and the bytes of its manifest.
    """
    for attempt in range(_ATTEMPTS):
        place = place_of(target)
        before = _state(place)
        try:
            opened, seal = opening(place)
        except LensError:
            if _state(place_of(target)) == before or attempt == _ATTEMPTS - 1:
                raise
            continue
        if read_manifest(place_of(target))[1] == seal:
            return opened
    raise LensError(f"The index {target} is exchanged faster than it can be opened; try again.")


def _state(place: Path) -> tuple[Any, ...]:
    """What tells whether a writer was here meanwhile."""
    found = []
    for path in (place, place / CHANGES):
        try:
            facts = path.stat()
            found.append((facts.st_ino, facts.st_mtime_ns, facts.st_size))
        except OSError:
            found.append((0, 0, 0))
    return tuple(found)


def writer_lock(target: Path, patience: float) -> FileLock:
    """The lock of the one writer, held; whoever takes it releases it, and a kill does too.

    Also clears away what killed writers left. patience: seconds to wait for another writer.
    Raises LensError where another one writes, or the place cannot be written to.
    """
    lock = FileLock(target.parent / f".{target.name}.lock", thread_local=False)
    try:
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise LensError(f"Another process is writing to the index {target}; let it end first.") from error
    except OSError as error:
        raise LensError(f"The index {target} cannot be written to: {error.strerror or error}.") from error
    if not target.exists() and os.path.isdir(_old(target)):
        os.rename(_old(target), target)
    for left_by_a_kill in target.parent.glob(f".{glob.escape(target.name)}.partial-*"):
        shutil.rmtree(left_by_a_kill, ignore_errors=True)
    return lock


@contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside the target, to be filled and put in its place; removed at the end where it was not."""
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    try:
        fresh.chmod(0o755)  # mkdtemp's is for its owner alone
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def one_sentence(target: Path) -> Iterator[None]:
    """A full disk, a missing permission and the like become a LensError."""
    try:
        yield
    except (OSError, sqlite3.Error, pa.ArrowException, RuntimeError) as error:  # faiss's are RuntimeErrors
        reason = getattr(error, "strerror", None) or str(error)
        raise LensError(f"The index {target} could not be written and is as it was: {reason}.") from error


def put_in_place(fresh: Path, target: Path) -> None:
    """Let a filled folder take the target's place, durably (Linux: renameat2 with RENAME_EXCHANGE).

    A kill at any moment leaves the old folder or the new one. Where the file system has no exchange, the old one is
    moved to `.NAME.old` first, where `place_of` finds it if a kill falls between the two moves.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise LensError(f"{target} is not a folder; give the index another place.")
    for path in (*fresh.iterdir(), fresh):
        sync(path)
    old = _old(target)
    if not target.exists():
        os.rename(fresh, target)
    elif not _exchange(fresh, target):
        shutil.rmtree(old, ignore_errors=True)
        os.rename(target, old)
        os.rename(fresh, target)
    try:
        sync(target.parent)
    except OSError as error:
        raise LensError(
            f"The index {target} is written and in its place, but the disk would not say that it is stored "
            f"({error.strerror or error}); look at the disk."
        ) from error
    shutil.rmtree(old, ignore_errors=True)


def _old(target: Path) -> Path:
    return target.parent / f".{target.name}.old"


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where the system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))
