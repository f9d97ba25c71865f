"""Where an index grows until it is whole: a folder of shards, each on the disk for good before the next is begun."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lens.bulk.plan import DIGEST, STATE
from lens.errors import LensError
from lens.files import sync, write_whole
from lens.index.checks import check_unit

log = logging.getLogger(__name__)

_ABOUT, _VECTORS = "about.json", "vectors.npy"
_KNOWN = ["item_id", "path", STATE, DIGEST]


class Shards:
    """A folder of Parquet files, 00000.parquet and so on: item id, path, file state, digest and vector of each row.

    Where an item is in several, the last counts. A file that a kill left half is none: it has another name.

    Args:
        about: what the vectors are of, plain values; shards of anything else are not taken up.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], dimension: int) -> None:
        self.folder, self.about, self.dimension = folder, json.loads(json.dumps(dict(about))), dimension

    def begin(self) -> list[str]:
        """Take up what a stopped build left, or begin anew; returns the names of what differs, where it was another.

        A damaged shard is removed, so that its rows are embedded again; the others stay.

        Raises:
            LensError: the folder cannot be read or written, or does not say what it holds; nothing is removed then.
        """
        try:
            found = self._found() if self.folder.exists() else {}
            other = [key for key in self.about if found and found.get(key) != self.about[key]]
            if other:
                shutil.rmtree(self.folder)
            if other or not found:
                self.folder.mkdir(parents=True, exist_ok=True)
                sync(self.folder.parent)
                text = json.dumps(self.about)
                _write(self.folder / _ABOUT, lambda path: path.write_text(text, encoding="utf-8"))
            self._drop_damaged()
        except OSError as error:
            raise LensError(
                f"{self.folder}, the place of what is embedded until the index is whole, cannot be read or written: "
                f"{error.strerror or error}; mend that, or remove it, and start the same command again."
            ) from error
        return other

    def put(self, items: pd.DataFrame, vectors: np.ndarray) -> None:
        """Make the rows durable: items with item_id, path, STATE and DIGEST; vectors float32 [n, D], unit rows.

        Raises LensError for others, which no index would take, and where they cannot be written.
        """
        number = max((int(path.stem) + 1 for path in self._files()), default=0)
        rows = np.ascontiguousarray(vectors, dtype="<f4")
        check_unit(rows, f"What the model made of {len(items)} images from {items['item_id'].iloc[0]} on")
        columns = {name: pa.array(items[name], pa.string()) for name in _KNOWN}
        columns["vector"] = pa.array([row.tobytes() for row in rows], pa.binary(4 * self.dimension))
        table = pa.table(columns)
        _write(self.folder / f"{number:05d}.parquet", lambda path: pq.write_table(table, path))

    def known(self) -> pd.DataFrame:
        """Item id, path, state and digest of every item that is held. Raises LensError for a damaged shard."""
        parts = [_read(path, self.dimension)[0] for path in self._files()]
        found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_KNOWN, dtype=object)
        return found.drop_duplicates("item_id", keep="last").reset_index(drop=True)

    def gather(self, item_ids: pd.Index) -> np.ndarray:
        """The vectors of these items in their order, float32 [n, D], mapped from a file of the folder.

        The next call writes that file anew. Raises LensError for a damaged shard, and where the disk is full.
        """
        path = self.folder / _VECTORS
        shape = (len(item_ids), self.dimension)
        with _writing(path):
            vectors = np.lib.format.open_memmap(path, "w+", np.float32, shape)
            _take_place(path)
            for file in self._files():
                known, rows = _read(file, self.dimension)
                place = item_ids.get_indexer(pd.Index(known["item_id"]))
                vectors[place[place >= 0]] = rows[place >= 0]
            vectors.flush()
        return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _found(self) -> dict[str, Any]:
        """What the folder says that it holds; nothing where a kill left it empty."""
        path = self.folder / _ABOUT
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError) as error:
            if not self._files():
                return {}
            raise LensError(
                f"{path} is missing or damaged, so nothing says what was embedded into {self.folder}; remove that "
                "folder and start the same command again, which begins anew."
            ) from error

    def _drop_damaged(self) -> None:
        for path in self._files():
            try:
                _read(path, self.dimension)
            except _DamagedError:
                log.warning("%s is damaged and removed; its images are embedded again.", path)
                path.unlink()

    def _files(self) -> list[Path]:
        names = [
            path for path in self.folder.iterdir() if path.suffix == ".parquet" and path.stem.isdecimal()
        ]
        return sorted(names, key=lambda path: int(path.stem))


def _take_place(path: Path) -> None:
    """Let the disk give a file all of its place: in a mapped one that lacks it, a full disk ends the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


class _DamagedError(LensError):
    """A shard that is none of ours, or no longer."""


def _read(path: Path, dimension: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Item ids, paths, states and digests [n] of a shard, and its vectors float32 [n, D].

    Raises _DamagedError for contents that `put` did not write, LensError for a file that the disk does not give.
    """
    try:
        contents = path.read_bytes()  # apart: Arrow's errors do not tell a failing disk from wrong contents
    except OSError as error:
        raise LensError(
            f"{path} cannot be read: {error.strerror or error}; nothing is lost, mend that and start the same command "
            "again."
        ) from error
    try:
        table = pq.read_table(pa.BufferReader(contents))
        rows = np.frombuffer(b"".join(table.column("vector").to_pylist()), "<f4").reshape(-1, dimension)
        check_unit(rows, str(path))
        known = table.drop_columns(["vector"]).to_pandas()
        return known.reindex(columns=_KNOWN), rows  # the shards of earlier versions have no path
    except MemoryError:
        raise  # says nothing of the contents
    except (LensError, OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        raise _DamagedError(
            f"{path} is damaged; remove it and start the same command again, which embeds its images anew."
        ) from error


def _write(path: Path, write: Callable[[Path], object]) -> None:
    with _writing(path):
        write_whole(path, write)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """A full disk and the like become a LensError."""
    try:
        yield
    except OSError as error:
        raise LensError(
            f"{path} cannot be written: {error.strerror or error}. What was embedded before is kept; the same command "
            "goes on there."
        ) from error
