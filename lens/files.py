"""Files and folders: as people write their names, and whole on the disk whatever ends the process."""

import os
from collections.abc import Callable
from pathlib import Path


def at_home(path: str | os.PathLike[str]) -> Path:
    """`~` and `~NAME` at the start of a path are folders of people; where nobody has that name, it is a file's own."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # ~photo.jpg
        return Path(path)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, sync it, and rename it: after a kill or a power cut it is whole or as it was.

    write: given the path to write to. Raises OSError where that is impossible.
    """
    partial = path.with_name(f".{path.name}.partial")
    write(partial)
    sync(partial)
    os.replace(partial, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file's contents, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
