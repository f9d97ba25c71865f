"""The index folder, read by search, service and evaluation:

vectors.npy      float32 [N, D], each row of length 1
items.parquet    row i belongs to row i: item_id, path, category, product_id, captions (list), split, role, any others
manifest.json    format version, id, model, preprocessing, run, engine, counts, and size and sha256 of the other files
ann.*            the engine's files, where it has any
changes.sqlite   what was put or deleted since the files above were written, which themselves never change
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lens.errors import LensError
from lens.index.base import BLOCK_ROWS, check_stored, open_base, write_base
from lens.index.checks import Array, check_items, check_unit, exactly_unit
from lens.index.engines import EngineSettings
from lens.index.exchange import folder_of, fresh_folder, one_sentence, put_in_place, retried, writer_lock
from lens.index.items import CONTRACT, table_of
from lens.index.manifest import CHANGES, FORMAT_VERSION, ITEMS, MANIFEST, VECTORS
from lens.index.reader import Reader, read_changes
from lens.index.writer import without_fingerprint

__all__ = ["CHANGES", "FORMAT_VERSION", "ITEMS", "MANIFEST", "VECTORS", "Index", "create", "load", "save"]
_PATIENCE = 30.0  # seconds that an export waits for a writer; the wait must end some time, and be told
Facts = dict[str, Any]


@dataclass(frozen=True)
class Index:
    """A loaded folder: vectors float32 [N, D], mapped from disk if nothing changed; items (N rows); manifest."""

    vectors: Array
    items: pd.DataFrame
    manifest: dict[str, Any]


def save(
    folder: str | Path,
    vectors: Array,
    items: pd.DataFrame,
    *,
    model: Facts,
    preprocessing: Facts,
    catalogue: Facts | None = None,
    run_id: str | None,
    bands: Facts | None = None,
    engine: EngineSettings | None = None,
    progress: str | None = None,
    only_new: bool = False,
) -> Path:
    """Write an index folder, replacing an older one whole; returns the folder.

    vectors: float32 [N, D], unit rows (to 1e-3, and stored exactly so); items: N rows with the columns above, item_id
    unique;
    model: {"name", "target", "config"}, plain values; catalogue: where the items come from ("root" is the folder that
    their paths start from); bands: what scores are worth, see lens.search.bands; engine: how it is searched, by
    default chosen by its size; progress: the label of a progress bar, None shows none; only_new: replace no older
    index either.
    The files are written and synced in a folder beside the target, which then takes its place in one step: a kill at
    any moment leaves the old index or the new one.
    Raises LensError for anything that `load` would refuse, where another process writes to the folder, and where
    something else than an index is there, or with `only_new` anything at all; an empty folder is nothing.
    """
    target = folder_of(folder)
    where = f"The index for {target}"
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or vectors.dtype != np.float32 or 0 in vectors.shape:
        raise LensError(f"{where} needs float32 vectors [N, D], not {vectors.dtype} {list(vectors.shape)}.")
    if len(items) != len(vectors):
        raise LensError(
            f"{where} has {len(vectors)} vectors and {len(items)} items; there must be one for each."
        )
    check_items(items, where)
    check_unit(vectors, where)
    facts = _facts(where, model, preprocessing, catalogue, run_id, bands)
    _replace(target, vectors, table_of(items, where), facts, engine, progress, only_new=only_new)
    return target


def create(
    folder: str | Path,
    *,
    dimension: int,
    model: Facts,
    preprocessing: Facts,
    catalogue: Facts | None = None,
    run_id: str | None,
    bands: Facts | None = None,
    engine: EngineSettings | None = None,
) -> Path:
    """Write an index without items, for `write` to fill; returns the folder. Arguments as of `save`.

    Raises LensError where an index is already there.
    """
    target = folder_of(folder)
    where = f"The index for {target}"
    if dimension < 1:
        raise LensError(f"{where} needs vectors of at least 1 dimension, not {dimension}.")
    facts = _facts(where, model, preprocessing, catalogue, run_id, bands)
    nothing = np.zeros((0, dimension), np.float32)
    _replace(target, nothing, CONTRACT.empty_table(), facts, engine, None, only_new=True)
    return target


def _facts(
    where: str,
    model: Facts,
    preprocessing: Facts,
    catalogue: Facts | None,
    run_id: str | None,
    bands: Facts | None,
) -> Facts:
    if not {"name", "target", "config"} <= model.keys():
        raise LensError(f"{where} needs a model with name, target and config, not {sorted(model)}.")
    facts = {"model": model, "preprocessing": preprocessing, "catalogue": catalogue or {}, "run_id": run_id}
    return facts | {"bands": bands or {}}


def _replace(
    target: Path,
    vectors: Array,
    table: pa.Table,
    facts: Facts,
    engine: EngineSettings | None,
    progress: str | None,
    *,
    only_new: bool,
) -> None:
    with one_sentence(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with writer_lock(target, _PATIENCE):
        _check_place(target, only_new)
        with one_sentence(target), fresh_folder(target) as fresh:
            settings = engine or EngineSettings()
            blocks = _blocks(vectors, table)
            write_base(fresh, blocks, table.schema, vectors.shape, facts, settings, progress)
            put_in_place(fresh, target)


def _check_place(target: Path, only_new: bool) -> None:
    """Nothing but an index is replaced, and with `only_new` not even one. Raises LensError."""
    with one_sentence(target):
        there = target.exists() and (not target.is_dir() or any(target.iterdir()))
    if there and only_new:
        raise LensError(f"There is already something at {target}; give the new index another place.")
    if there and not target.is_dir():
        raise LensError(f"{target} is not a folder; give the index another place.")
    if there and not (target / MANIFEST).is_file():
        raise LensError(
            f"The folder {target} holds no {MANIFEST}, so it is no index, and other files are not replaced; "
            "give the index another place or empty the folder."
        )


def _blocks(vectors: Array, table: pa.Table) -> Iterator[tuple[Array, pa.Table]]:
    for start in range(0, len(vectors), BLOCK_ROWS):
        yield exactly_unit(vectors[start : start + BLOCK_ROWS]), table.slice(start, BLOCK_ROWS)


def load(folder: str | Path, *, verify: bool = True) -> Index:
    """All of an index, with what was put and deleted, to be evaluated; vectors stay on disk where nothing changed.

    `verify` reads everything once: checksums, item ids, unit lengths. Without it only what is quick is checked.
    Raises LensError with the reason where anything is missing, altered or of another format.
    """
    target = folder_of(folder)
    return retried(target, lambda place: _load(target, place, verify))


def _load(target: Path, place: Path, verify: bool) -> tuple[Index, bytes]:
    base = open_base(place, verify=verify)
    if not verify:
        check_stored(base.items, str(place / ITEMS))
    reader = Reader(target, base, None, read_changes(base, verify), None)
    rows = np.flatnonzero(reader.alive)
    items = (reader.table(rows) if reader.changed else base.items.all()).to_pandas()
    items["captions"] = pd.Series([list(words) for words in items["captions"]], dtype=object)
    if not reader.changed:
        return Index(base.vectors, items, base.manifest), base.seal
    catalogue = without_fingerprint(base.manifest.get("catalogue"))
    manifest = base.manifest | {"count": len(rows), "catalogue": catalogue}
    return Index(reader.vectors(rows), items, manifest), base.seal
