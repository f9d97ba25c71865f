"""What an index says of itself: manifest.json, and the checks against it."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from lens.errors import LensError

FORMAT_VERSION = 2
READABLE = (1, 2)  # version 1 had no id, no engine, no changes, and no sizes of its files
METRIC = "cosine"
VECTORS, ITEMS, MANIFEST, CHANGES = "vectors.npy", "items.parquet", "manifest.json", "changes.sqlite"
_LIBRARIES = (
    "shopping-lens",
    "torch",
    "torchvision",
    "transformers",
    "numpy",
    "pandas",
    "pyarrow",
    "faiss-cpu",
)
_NEEDED = {"model", "preprocessing", "metric", "count", "dimension", "sha256"}
_WRITTEN = {"format_version", "id", "metric", "count", "dimension", "engine", "created", "versions"} | {
    "sha256",
    "bytes",
    "seal",
}


@dataclass(frozen=True)
class Expected:
    """What an index has to be made by; None leaves a thing open.

    run_id: of the tracked run; model: its name; dimension: of the vectors; preprocessing: of the images, plain values;
    weights: gives the digest of the model's weights, asked where the manifest has one to compare.
    """

    run_id: str | None = None
    model: str | None = None
    dimension: int | None = None
    preprocessing: Mapping[str, Any] | None = None
    weights: Callable[[], str] | None = None

    def check(self, manifest: Mapping[str, Any], place: Path) -> None:
        """Raises LensError with the reason where the manifest is of another index than this one."""
        found = {
            "run_id": manifest.get("run_id"),
            "model": manifest["model"].get("name"),
            "dimension": manifest["dimension"],
        }
        words = {"run_id": "run", "model": "model", "dimension": "dimension"}
        for key, value in found.items():
            wanted = getattr(self, key)
            if wanted is not None and wanted != value:
                raise LensError(
                    f"The index {place} has the {words[key]} {value!r}, not {wanted!r}; give the index that fits."
                )
        if self.preprocessing is not None:
            wanted, has = json.loads(json.dumps(dict(self.preprocessing))), manifest["preprocessing"]
            other = sorted(key for key in wanted.keys() | has.keys() if wanted.get(key) != has.get(key))
            if other or wanted.keys() != has.keys():
                key = other[0] if other else sorted(wanted.keys() ^ has.keys())[0]
                raise LensError(
                    f"The images of the index {place} were prepared with {key} {has.get(key)!r}, "
                    f"not {wanted.get(key)!r}; give the index that fits the model."
                )
        if self.weights is not None and (was := manifest["model"].get("weights")) and was != self.weights():
            raise LensError(
                f"The index {place} was made with other weights than the checkpoint of run {manifest.get('run_id')} "
                "has: the run was trained on, or still is; wait for its end, or build the index anew."
            )


def read_manifest(place: Path) -> tuple[dict[str, Any], bytes]:
    """The manifest of a folder, and its bytes, which tell one writing of the base from the next. Raises LensError."""
    path = place / MANIFEST
    try:
        raw = path.read_bytes()
        manifest = json.loads(raw.decode("utf-8"))
    except FileNotFoundError as error:
        raise LensError(
            f"The index {place} has no {MANIFEST}; give a folder that an export wrote."
        ) from error
    except (OSError, ValueError) as error:
        raise LensError(f"{path} is not readable JSON: {error}.") from error
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version not in READABLE or isinstance(version, bool):
        raise LensError(
            f"{path} has format version {version!r}; this program reads {_either(READABLE)}: export again."
        )
    needed = _NEEDED if version == 1 else _NEEDED | _WRITTEN
    missing = needed - manifest.keys()
    if missing:
        raise LensError(f"{path} lacks {', '.join(sorted(missing))}; export again.")
    if manifest["metric"] != METRIC:
        raise LensError(f"{path} names the metric {manifest['metric']!r}; only {METRIC!r} is known.")
    for key in ("model", "preprocessing"):
        if not isinstance(manifest[key], dict):
            raise LensError(f"{path} has no table of values for {key}; export again.")
    if version > 1 and manifest["seal"] != _seal(manifest):
        raise LensError(f"{path} was altered: its seal does not fit the rest; export again.")
    return manifest, raw


def write_manifest(folder: Path, facts: Mapping[str, Any], files: list[str]) -> None:
    """Complete the facts by version, date, and the size and sha256 of the files, and write them. Raises LensError."""
    manifest = {
        "format_version": FORMAT_VERSION,
        **facts,
        "metric": METRIC,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "sha256": {name: _sha256(folder / name) for name in files},
        "bytes": {name: (folder / name).stat().st_size for name in files},
    }
    try:
        manifest = json.loads(json.dumps(manifest, allow_nan=False))  # as it is read: every key a text
        manifest["seal"] = _seal(manifest)
        text = json.dumps(manifest, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LensError(f"The index's model and preprocessing must be plain JSON values: {error}.") from error
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def given(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What whoever wrote the index said of it (model, preprocessing, ...), without what the writing itself added."""
    return {"bands": {}} | {key: value for key, value in manifest.items() if key not in _WRITTEN}


def base_id(manifest: Mapping[str, Any]) -> str:
    """What binds the changes to their base: its id, or in format 1 what its files hold."""
    return str(manifest.get("id") or "format-1-" + _digest(manifest["sha256"]))


def check_sizes(place: Path, manifest: Mapping[str, Any]) -> None:
    """Every file of the base is there and as long as it was when written. Raises LensError."""
    sizes = manifest.get("bytes") or dict.fromkeys((VECTORS, ITEMS))
    for name in (VECTORS, ITEMS, *(name for name in sizes if name not in (VECTORS, ITEMS))):
        with _readable(place / name):
            if not (place / name).is_file():
                raise LensError(f"The index {place} has no {name}; give a folder that an export wrote.")
            size = (place / name).stat().st_size
        if sizes.get(name) not in (None, size):
            raise LensError(
                f"{place / name} has {size} bytes, but {MANIFEST} says {sizes[name]}; copy it again or export again."
            )


def check_sums(place: Path, manifest: Mapping[str, Any]) -> None:
    """Every file of the base holds what it held when written; reads them whole. Raises LensError."""
    sums = manifest["sha256"] if isinstance(manifest["sha256"], dict) else {}
    for name in (VECTORS, ITEMS, *(name for name in sums if name not in (VECTORS, ITEMS))):
        if sums.get(name) != _sha256(place / name):
            raise LensError(
                f"{place / name} was altered: its sha256 is not the one in {MANIFEST}; export again."
            )


def _seal(manifest: Mapping[str, Any]) -> str:
    return _digest({key: value for key, value in manifest.items() if key != "seal"})


def _digest(values: Any) -> str:
    text = json.dumps(values, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with _readable(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """A missing permission and a broken disk become a LensError."""
    try:
        yield
    except OSError as error:
        raise LensError(
            f"{path} cannot be read: {error.strerror or error}; look at its permissions and the disk."
        ) from error


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _either(values: tuple[int, ...]) -> str:
    return " and ".join(map(str, values))
