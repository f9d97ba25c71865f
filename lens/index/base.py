"""The files of an index that never change: opened, and written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lens.errors import LensError
from lens.index import changes
from lens.index.checks import CHOICES, Array, check_unit, open_array
from lens.index.engines import EngineSettings, build
from lens.index.items import CONTRACT, GROUP_ROWS, StoredItems
from lens.index.manifest import (
    CHANGES,
    ITEMS,
    MANIFEST,
    VECTORS,
    Expected,
    base_id,
    check_sizes,
    check_sums,
    read_manifest,
    write_manifest,
)

BLOCK_ROWS = 64 * GROUP_ROWS  # written together


@dataclass(frozen=True)
class Base:
    """Vectors float32 [N, D], mapped from disk; items, read on demand; the manifest and its bytes."""

    place: Path
    manifest: dict[str, Any]
    seal: bytes
    vectors: Array
    items: StoredItems

    @property
    def id(self) -> str:
        """What the changes are bound to."""
        return base_id(self.manifest)


def open_base(place: Path, *, verify: bool, expect: Expected | None = None) -> Base:
    """The base in a folder. `verify` reads all of it once: checksums, item ids, unit lengths.

    Raises LensError with the reason where anything is missing, altered, of another format or not as expected.
    """
    manifest, seal = read_manifest(place)
    if expect is not None:
        expect.check(manifest, place)
    check_sizes(place, manifest)
    if verify:
        check_sums(place, manifest)
    promised = (manifest["count"], manifest["dimension"])
    vectors = open_array(place / VECTORS)
    if vectors.dtype != np.float32 or vectors.shape != promised:
        raise LensError(
            f"{place / VECTORS} holds {vectors.dtype} {list(vectors.shape)}, "
            f"but {MANIFEST} says float32 {list(promised)}."
        )
    items = StoredItems(place / ITEMS)
    if len(items) != len(vectors):
        raise LensError(f"{place / ITEMS} has {len(items)} rows for {len(vectors)} vectors.")
    check_kinds(items.schema, str(place / ITEMS))
    if verify:
        check_stored(items, str(place / ITEMS))
        check_unit(vectors, str(place / VECTORS))
    return Base(place, manifest, seal, vectors, items)


def check_kinds(schema: pa.Schema, where: str) -> None:
    """The columns of the contract are there, as text and lists of text. Raises LensError naming one that is not."""
    missing = [name for name in CONTRACT.names if name not in schema.names]
    if missing:
        raise LensError(f"{where}: the items lack the columns {', '.join(missing)}.")
    for field in CONTRACT:
        found = schema.field(field.name).type
        if found != field.type and not (found == pa.list_(pa.null()) and field.name == "captions"):
            raise LensError(f"{where}: the column {field.name} holds {found}, not {field.type}.")


def check_stored(items: StoredItems, where: str) -> None:
    """The values of the contract's columns: none missing, item ids unique, known splits and roles. Raises LensError."""
    for name in CONTRACT.names:
        column = items.column(name)
        inside = pc.list_flatten(column) if name == "captions" else column
        if column.null_count or inside.null_count:
            raise LensError(f"{where}: some rows have no {name}.")
    ids = items.column("item_id")
    if pc.count_distinct(ids).as_py() != len(ids) or pc.any(pc.equal(ids, "")).as_py():
        raise LensError(f"{where}: an item_id is empty or appears more than once.")
    for name, known in CHOICES.items():
        other = set(pc.unique(items.column(name)).to_pylist()) - set(known)
        if other:
            raise LensError(
                f"{where}: {name} is {other.pop()!r}; it is one of {', '.join(map(repr, known))}."
            )


def write_base(
    folder: Path,
    blocks: Iterable[tuple[Array, pa.Table]],
    schema: pa.Schema,
    shape: tuple[int, int],
    facts: Mapping[str, Any],
    settings: EngineSettings,
    progress: str | None,
) -> None:
    """Write the files of a new base, and no changes, into an empty folder.

    blocks: vectors float32 [n, D] and items (n rows of the schema), BLOCK_ROWS at a time; shape: all N and D;
    facts: what the manifest is to say besides; progress: the label of a progress bar, None shows none.
    """
    with (folder / VECTORS).open("wb") as file, pq.ParquetWriter(folder / ITEMS, schema) as table:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for vectors, items in blocks:
            file.write(np.ascontiguousarray(vectors, "<f4").data)
            table.write_table(items, row_group_size=GROUP_ROWS)
    engine: dict[str, Any] = {"settings": settings.to_dict(), "files": []}
    if shape[0]:
        engine = build(open_array(folder / VECTORS), folder, settings, progress)
    identity = uuid4().hex
    made = {"id": identity, "count": shape[0], "dimension": shape[1], "engine": engine}
    write_manifest(folder, {**facts, **made}, [VECTORS, ITEMS, *engine["files"]])
    changes.create(folder / CHANGES, identity)
