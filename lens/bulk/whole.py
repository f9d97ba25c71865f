"""Files that are whole or not there, whatever ends the process."""

import os
from collections.abc import Callable
from pathlib import Path

from lens.index.exchange import sync


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, sync it, and rename it: after a kill or a power cut it is whole or as it was.

    write: given the path to write to. Raises OSError where that is impossible.
    """
    partial = path.with_name(f".{path.name}.partial")
    write(partial)
    sync(partial)
    os.replace(partial, path)
    sync(path.parent)
