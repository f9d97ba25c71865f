"""The index folder, read by search, service and evaluation:

vectors.npy     float32 [N, D], each row of length 1
items.parquet   row i belongs to row i: item_id, path, category, product_id, captions (list), split, role
manifest.json   format version, model, preprocessing, run, counts, and the sha256 of the other two files
"""

import ctypes
import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from filelock import FileLock

from lens.errors import LensError
from lens.index.checks import TEXT_COLUMNS, Array, check_items, check_unit, open_array

FORMAT_VERSION = 1
METRIC = "cosine"
VECTORS, ITEMS, MANIFEST = "vectors.npy", "items.parquet", "manifest.json"
_LIBRARIES = ("shopping-lens", "torch", "torchvision", "transformers", "numpy", "pandas", "pyarrow")


@dataclass(frozen=True)
class Index:
    """A loaded folder: vectors float32 [N, D] mapped from disk, items (N rows), manifest."""

    vectors: Array
    items: pd.DataFrame
    manifest: dict[str, Any]


def save(
    folder: str | Path,
    vectors: Array,
    items: pd.DataFrame,
    *,
    model: dict[str, Any],
    preprocessing: dict[str, Any],
    catalogue: dict[str, Any] | None = None,
    run_id: str | None,
) -> Path:
    """Write an index folder, replacing an older one whole; returns the folder.

    vectors: float32 [N, D], unit rows (to 1e-3); items: N rows with the columns above, item_id unique;
    model: {"name", "target", "config"}, plain values; catalogue: where the items come from ("root" is the folder that
    their paths start from). The files are written and synced in a folder beside the
    target; then the two change places in one step of the file system (Linux: renameat2 with RENAME_EXCHANGE).
    A kill at any moment leaves the old index or the new one. Where the file system has no exchange, the old folder
    is moved to `.NAME.old` first, where `load` finds it if a kill falls between the two moves.
    Raises LensError for anything that `load` would refuse.
    """
    target = Path(folder).absolute()
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
    if not {"name", "target", "config"} <= model.keys():
        raise LensError(f"{where} needs a model with name, target and config, not {sorted(model)}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{target.name}.lock"):
        for left_by_a_kill in target.parent.glob(f".{target.name}.partial-*"):
            shutil.rmtree(left_by_a_kill, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
        try:
            fresh.chmod(0o755)  # mkdtemp's is for its owner alone
            _write_files(
                fresh,
                vectors,
                items,
                {
                    "model": model,
                    "preprocessing": preprocessing,
                    "catalogue": catalogue or {},
                    "run_id": run_id,
                },
            )
            _put_in_place(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return target


def _write_files(folder: Path, vectors: Array, items: pd.DataFrame, facts: dict[str, Any]) -> None:
    with (folder / VECTORS).open("wb") as file:
        np.save(file, np.ascontiguousarray(vectors), allow_pickle=False)
    pq.write_table(_table(items), folder / ITEMS)
    manifest = {
        "format_version": FORMAT_VERSION,
        **facts,
        "metric": METRIC,
        "count": len(vectors),
        "dimension": vectors.shape[1],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "sha256": {name: _sha256(folder / name) for name in (VECTORS, ITEMS)},
    }
    try:
        text = json.dumps(manifest, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LensError(f"The index's model and preprocessing must be plain JSON values: {error}.") from error
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    for name in (VECTORS, ITEMS, MANIFEST, "."):
        _sync(folder / name)


def _table(items: pd.DataFrame) -> pa.Table:
    """Types are fixed here: guessed ones change when every caption list is empty."""
    columns: dict[str, Any] = {}
    for name in items.columns:
        if name in TEXT_COLUMNS:
            columns[name] = pa.array(items[name].astype(object), pa.string())
        elif name == "captions":
            columns[name] = pa.array([list(words) for words in items[name]], pa.list_(pa.string()))
        else:
            columns[str(name)] = pa.array(items[name], from_pandas=True)
    return pa.table(columns)


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _put_in_place(fresh: Path, target: Path) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise LensError(f"{target} is not a folder; give the index another place.")
    old = _old(target)
    if not target.exists():
        os.rename(fresh, target)
    elif not _exchange(fresh, target):
        shutil.rmtree(old, ignore_errors=True)
        os.rename(target, old)
        os.rename(fresh, target)
    _sync(target.parent)
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


def load(folder: str | Path, *, verify: bool = True) -> Index:
    """Open an index folder; the vectors stay on disk until they are used.

    `verify` reads everything once: checksums, item ids, unit length. Without it only what is quick is checked.
    Raises LensError with the reason where anything is missing, altered or of another format.
    """
    place = Path(folder).absolute()
    if not place.exists() and _old(place).is_dir():
        place = _old(place)
    for name in (MANIFEST, VECTORS, ITEMS):
        if not (place / name).is_file():
            raise LensError(f"The index {place} has no {name}; give a folder that an export wrote.")
    manifest = _read_manifest(place)
    if verify:
        _check_sums(place, manifest)
    vectors = open_array(place / VECTORS)
    try:
        items = pq.read_table(place / ITEMS).to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise LensError(f"{place / ITEMS} cannot be read: {error}.") from error
    promised = (manifest["count"], manifest["dimension"])
    if vectors.dtype != np.float32 or vectors.shape != promised:
        raise LensError(
            f"{place / VECTORS} holds {vectors.dtype} {list(vectors.shape)}, "
            f"but {MANIFEST} says float32 {list(promised)}."
        )
    if len(items) != len(vectors):
        raise LensError(f"{place / ITEMS} has {len(items)} rows for {len(vectors)} vectors.")
    if "captions" in items:
        items["captions"] = pd.Series([list(words) for words in items["captions"]], dtype=object)
    check_items(items, str(place / ITEMS))
    if verify:
        check_unit(vectors, str(place / VECTORS))
    return Index(vectors, items, manifest)


def _read_manifest(place: Path) -> dict[str, Any]:
    path = place / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LensError(f"{path} is not readable JSON: {error}.") from error
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION:
        raise LensError(
            f"{path} has format version {version!r}; this program reads {FORMAT_VERSION}: export again."
        )
    missing = {"model", "preprocessing", "metric", "count", "dimension", "sha256"} - manifest.keys()
    if missing:
        raise LensError(f"{path} lacks {', '.join(sorted(missing))}; export again.")
    if manifest["metric"] != METRIC:
        raise LensError(f"{path} names the metric {manifest['metric']!r}; only {METRIC!r} is known.")
    return dict(manifest)


def _check_sums(place: Path, manifest: dict[str, Any]) -> None:
    sums = manifest["sha256"] if isinstance(manifest["sha256"], dict) else {}
    for name in (VECTORS, ITEMS):
        if sums.get(name) != _sha256(place / name):
            raise LensError(
                f"{place / name} was altered: its sha256 is not the one in {MANIFEST}; export again."
            )
