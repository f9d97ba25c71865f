"""Where an index grows until it is whole: a folder of shards, each on the disk for good before the next is begun."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lens.bulk.plan import DIGEST, STATE
from lens.errors import LensError
from lens.index.exchange import sync

_ABOUT, _VECTORS = "about.json", "vectors.npy"
_ERRORS = (OSError, ValueError, KeyError, pa.ArrowException)


class Shards:
    """A folder of Parquet files, 00000.parquet and so on: item id, file state, digest and vector of each row.

    Where an item is in several, the last counts. A file that a kill left half is none: it has another name.

    Args:
        about: what the vectors are of, plain values; shards of anything else are not taken up.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], dimension: int) -> None:
        self.folder, self.about, self.dimension = folder, json.loads(json.dumps(dict(about))), dimension

    def begin(self) -> list[str]:
        """Take up what a stopped build left, or begin anew; returns the names of what differs, where it was another."""
        other: list[str] = []
        if self.folder.exists():
            found = self._found()
            other = [key for key in self.about if found.get(key) != self.about[key]]
            if other:
                shutil.rmtree(self.folder)
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            _write(
                self.folder / _ABOUT, lambda path: path.write_text(json.dumps(self.about), encoding="utf-8")
            )
        return other

    def put(self, items: pd.DataFrame, vectors: np.ndarray) -> None:
        """Make the rows durable: items with item_id, STATE and DIGEST; vectors float32 [n, D]."""
        number = int(self._files()[-1].stem) + 1 if self._files() else 0
        rows = np.ascontiguousarray(vectors, dtype="<f4")
        columns = {name: pa.array(items[name], pa.string()) for name in ("item_id", STATE, DIGEST)}
        columns["vector"] = pa.array([row.tobytes() for row in rows], pa.binary(4 * self.dimension))
        table = pa.table(columns)
        _write(self.folder / f"{number:05d}.parquet", lambda path: pq.write_table(table, path))

    def known(self) -> pd.DataFrame:
        """Item id, state and digest of every item that is held, a row each."""
        columns = ["item_id", STATE, DIGEST]
        parts = [pq.read_table(path, columns=columns).to_pandas() for path in self._files()]
        found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns, dtype=object)
        return found.drop_duplicates("item_id", keep="last").reset_index(drop=True)

    def gather(self, item_ids: pd.Index) -> np.ndarray:
        """The vectors of these items in their order, float32 [n, D], mapped from a file of the folder."""
        path = self.folder / _VECTORS
        shape = (len(item_ids), self.dimension)
        vectors = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        for file in self._files():
            table = pq.read_table(file, columns=["item_id", "vector"])
            place = item_ids.get_indexer(table.column("item_id").to_pandas())
            rows = np.frombuffer(b"".join(table.column("vector").to_pylist()), "<f4").reshape(
                -1, self.dimension
            )
            vectors[place[place >= 0]] = rows[place >= 0]
        vectors.flush()
        return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _found(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / _ABOUT).read_text(encoding="utf-8"))
            for path in self._files():
                pq.read_metadata(path)
        except _ERRORS:
            return {}
        return dict(found)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.parquet"), key=lambda path: int(path.stem))


def _write(path: Path, write: Any) -> None:
    """Write a file beside its place, sync it, and rename it: after a kill or a power cut it is whole or not there.

    Raises LensError where it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial)
        sync(partial)
        os.replace(partial, path)
        sync(path.parent)
    except OSError as error:  # a full disk, for one
        raise LensError(
            f"{path} cannot be written: {error.strerror or error}. What was embedded before is kept; the same command "
            "goes on there."
        ) from error
