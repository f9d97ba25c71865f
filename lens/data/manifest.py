"""The columns of a manifest, a CSV, TSV or Parquet file with one row per image, under the names of a catalogue."""

import difflib
import json
import logging
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lens.errors import LensError

log = logging.getLogger(__name__)

Columns = Mapping[str, str | list[str] | None]
_DEFAULT_NAMES: dict[str, tuple[str, ...]] = {
    "path": ("path",),
    "category": ("category",),
    "item_id": ("item_id",),
    "product_id": ("product_id",),
    "caption": ("caption", "captions"),
    "split": ("split",),
    "role": ("role",),
}
_SPLITS = {"": "", "train": "train", "val": "val", "validation": "val", "test": "test"}
_ROLES = {"": "", "query": "query", "gallery": "gallery"}

Fields = dict[str, list[Any]]  # cells are str, and lists of str for captions
OWN_COLUMNS = (
    *(name for name in _DEFAULT_NAMES if name != "caption"),
    "captions",
    "file_state",
    "file_sha256",
)
"""Names with a meaning of their own in a catalogue or an index."""


def manifest_fields(path: Path, columns: Columns | None) -> Fields:
    """The known columns of a manifest, by the names of a catalogue's table; optional ones only where it has them.

    Every further column follows as text, under its own name, or as "other_NAME" where NAME has another meaning here.

    Raises:
        LensError: for a file that cannot be read, a column that is missing, and cells that cannot be used.
    """
    raw = _read_columns(path)
    names = _resolve(path, list(raw), columns or {})
    fields: Fields = {}
    for field, sources in names.items():
        if field == "caption":
            fields["captions"] = _captions(raw, sources)
        else:
            fields[field] = [_text(cell).strip() for cell in raw[sources[0]]]
    if not fields["path"]:
        raise LensError(f"{path} has no rows.")
    _check_filled(path, names, fields)
    fields["path"] = [posixpath.normpath(str(item)) for item in fields["path"]]
    for field in ("path", "item_id"):
        _check_unique(path, field, fields)
    for field, known in (("split", _SPLITS), ("role", _ROLES)):
        if field in fields:
            fields[field] = _known_values(path, names[field][0], fields[field], known)
    return fields | _attributes(path, raw, {source for sources in names.values() for source in sources})


def _read_columns(path: Path) -> dict[str, list[object]]:
    if not path.is_file():
        raise LensError(
            f"The manifest {path} {'is a folder' if path.is_dir() else 'does not exist'} (data.path)."
        )
    kind = path.suffix.lower()
    try:
        if kind in (".parquet", ".pq"):
            # Through pyarrow, not pandas: whole numbers beside empty cells would become 7.0.
            table = pq.read_table(path)
            return {name: table.column(name).to_pylist() for name in table.column_names}
        if kind in (".csv", ".tsv"):
            separator = "," if kind == ".csv" else "\t"
            frame = pd.read_csv(
                path, sep=separator, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8-sig"
            )
            if not isinstance(frame.index, pd.RangeIndex):
                raise ValueError("its rows have more cells than its header")
            return {str(name): frame[name].fillna("").tolist() for name in frame.columns}
    except (ValueError, OSError, pa.ArrowException) as error:  # pandas' and Unicode errors are ValueErrors
        raise LensError(f"The manifest {path} cannot be read: {' '.join(str(error).split())}.") from error
    raise LensError(f"The manifest {path} must be a .csv, .tsv or .parquet file.")


def _resolve(path: Path, present: list[str], given: Columns) -> dict[str, list[str]]:
    """The manifest's own names for each field."""
    for field in given:
        if field not in _DEFAULT_NAMES:
            raise LensError(f"data.columns has no entry {field!r}{_nearest(field, list(_DEFAULT_NAMES))}.")
    names: dict[str, list[str]] = {}
    for field, defaults in _DEFAULT_NAMES.items():
        wanted = given.get(field)
        if wanted:
            names[field] = [wanted] if isinstance(wanted, str) else list(wanted)
            if field != "caption" and len(names[field]) != 1:
                raise LensError(f"data.columns.{field} must name one column; only caption may name several.")
        else:
            found = [name for name in defaults if name in present][:1]
            if found or field == "path":
                names[field] = found or ["path"]
    for field, sources in names.items():
        for name in sources:
            if name not in present:
                raise LensError(
                    f"The manifest {path} has no column {name!r}{_nearest(name, present)}; it has "
                    f"{', '.join(map(repr, present))}. Name another one by data.columns.{field}."
                )
    return names


def _nearest(name: str, known: list[str]) -> str:
    lowered = {item.lower(): item for item in known}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1)
    return f" (did you mean {lowered[close[0]]!r}?)" if close else ""


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def _captions(raw: dict[str, list[object]], sources: list[str]) -> list[list[str]]:
    """For each row the texts of all caption columns, in their order, without the empty ones."""
    rows = []
    for cells in zip(*(raw[name] for name in sources), strict=True):
        texts = [
            _text(text).strip() for cell in cells for text in (cell if isinstance(cell, list) else [cell])
        ]
        rows.append([text for text in texts if text])
    return rows


def _attributes(path: Path, raw: dict[str, list[object]], used: set[str]) -> Fields:
    """The columns that are none of a catalogue's own, as text. Raises LensError where two would have one name."""
    found: Fields = {}
    for name, cells in raw.items():
        if name in used or not name.strip() or name.startswith(("Unnamed: ", "__index_level_")):
            continue  # the row numbers that pandas writes have no name
        if any(isinstance(cell, bytes) for cell in cells):
            log.warning("%s: column %r holds bytes, not texts, and is left out.", path, name)
            continue
        kept = f"other_{name}" if name in OWN_COLUMNS else name
        if kept in found or (kept != name and kept in raw):
            raise LensError(f"{path}: the columns {name!r} and {kept!r} would both be {kept!r}; rename one.")
        found[kept] = [_attribute(cell) for cell in cells]
    return found


def _attribute(cell: object) -> str:
    if isinstance(cell, list | dict):
        return json.dumps(cell, ensure_ascii=False, default=str)
    return _text(cell).strip()


def _check_filled(path: Path, names: dict[str, list[str]], fields: Fields) -> None:
    for field in ("path", "category", "item_id"):
        empty = [number for number, cell in enumerate(fields.get(field, []), start=1) if not cell]
        if empty:
            shown = ", ".join(map(str, empty[:10])) + (", ..." if len(empty) > 10 else "")
            raise LensError(
                f"{path}: column {names[field][0]!r} is empty in {len(empty)} rows: {shown} (1 is the first row below "
                "the header)."
            )


def _check_unique(path: Path, field: str, fields: Fields) -> None:
    cells = pd.Series(fields.get(field, []), dtype=object)
    twice = cells[cells.duplicated()]
    if len(twice):
        where = ", ".join(str(row + 1) for row in cells.index[cells == twice.iloc[0]][:5])
        raise LensError(
            f"{path}: {len(twice)} rows repeat the {field} of an earlier row, the first is {twice.iloc[0]!r} "
            f"(rows {where}); each must appear once."
        )


def _known_values(path: Path, column: str, cells: Sequence[object], known: dict[str, str]) -> list[str]:
    values = [known.get(str(cell).lower()) for cell in cells]
    if None in values:
        row = values.index(None)
        names = ", ".join(name for name in known if name)
        raise LensError(
            f"{path}: column {column!r} holds {str(cells[row])!r} in row {row + 1}; it must be {names} or empty."
        )
    return [value for value in values if value is not None]
