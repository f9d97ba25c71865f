"""Opening every image once, before training: what cannot be read, what each shows, what looks alike."""

import hashlib
import logging
import os
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import imagehash
import numpy as np
import pandas as pd
import pyarrow as pa
from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from lens.data.catalogue import Catalogue, ImageOpener
from lens.data.images import CANNOT_BE_READ
from lens.data.workers import spread
from lens.errors import LensError

log = logging.getLogger(__name__)

# Raised whenever an image gives another digest or perceptual hash than before: what a cache remembers is void then.
VERSION = 1

_KEY = ["file", "bytes", "mtime_ns", "version"]
_FOUND = ["error", "digest", "phash"]
_CHUNK = 64
_SERIAL_UP_TO = 500
_SHOWN = 100
_PATIENCE = 60.0  # seconds to wait for another process that writes the cache

Finding = tuple[str, str, bytes]


def scan(
    catalogue: Catalogue, *, workers: int = 0, cache: Path | None = None, progress: bool = True
) -> pd.DataFrame:
    """Decodes every image completely.

    Args:
        workers: processes used where more than 500 images are to be opened; 0 or 1 opens them in this one.
        cache: a Parquet file that remembers readable images by absolute path, bytes and modification time, so that
            the next scan opens only what is new; it may serve several catalogues and processes. A damaged cache, or
            one of another VERSION, is made anew.

    Returns:
        a row for each row of the catalogue: error (str, "" where the image is readable), digest (str, sha256 of size
        and RGB values, "" where unreadable), phash (bytes, see perceptual_hash, b"" where unreadable).
    """
    keys = _file_keys(catalogue) if cache is not None and catalogue.root is not None else None
    known = _recall(keys, cache) if keys is not None and cache is not None else {}
    rows = [row for row in range(len(catalogue)) if row not in known]
    findings = dict(known)
    with tqdm(total=len(rows), desc="checking images", unit="image", disable=not progress or not rows) as bar:
        for found in _inspect_all(catalogue.open_image, rows, workers):
            findings.update(found)
            bar.update(len(found))
    frame = pd.DataFrame([findings[row] for row in range(len(catalogue))], columns=_FOUND)
    if rows and keys is not None and cache is not None:
        _remember(pd.concat([keys, frame], axis=1), cache)
    return frame


def check_readable(frame: pd.DataFrame, catalogue: Catalogue, on_bad: Literal["error", "skip"]) -> np.ndarray:
    """The rows whose images can be read, int64, ascending.

    Raises:
        LensError: listing the unreadable files and why (the first 100, then how many more), where on_bad is "error",
            or where nothing is left.
    """
    if on_bad not in ("error", "skip"):
        raise LensError(f"data.on_bad_image is {on_bad!r}; it must be error or skip.")
    bad = int((frame["error"] != "").sum())
    if bad and (on_bad == "error" or bad == len(frame)):
        reasons = unreadable(frame, catalogue)
        lines = [f"  {path}: {reason}" for path, reason in islice(reasons.items(), _SHOWN)]
        if len(reasons) > _SHOWN:
            lines.append(f"  ... and {len(reasons) - _SHOWN} more")
        advice = "mend or remove them" + (", or set data.on_bad_image=skip" if bad < len(frame) else "")
        raise LensError(
            f"{bad} of {len(frame)} images of {catalogue.name} cannot be read; {advice}:\n" + "\n".join(lines)
        )
    return np.flatnonzero((frame["error"] == "").to_numpy()).astype(np.int64)


def unreadable(frame: pd.DataFrame, catalogue: Catalogue) -> dict[str, str]:
    """Why each unreadable image cannot be read, by its path; all of them, in the catalogue's order.

    Args:
        frame: what scan found in this catalogue.
    """
    found = zip(catalogue.table["path"], frame["error"], strict=True)
    return {path: error.split(CANNOT_BE_READ)[-1] for path, error in found if error}


def perceptual_hash(image: Image.Image) -> bytes:
    """32 bytes: the signs of 16 x 16 low frequencies of the image's DCT about their median (imagehash.phash).

    The usual 8 x 8 is too coarse for products on white: of 7,224 shoes 690 pairs of different ones had equal hashes.
    """
    return np.packbits(imagehash.phash(image, hash_size=16).hash.ravel()).tobytes()


def _inspect(opener: ImageOpener, rows: list[int]) -> dict[int, Finding]:
    found: dict[int, Finding] = {}
    for row in rows:
        try:
            image = opener(row)
        except LensError as error:
            found[row] = (str(error), "", b"")
            continue
        pixels = hashlib.sha256(f"{image.width}x{image.height}:".encode() + image.tobytes())
        found[row] = ("", pixels.hexdigest(), perceptual_hash(image))
    return found


def _inspect_all(opener: ImageOpener, rows: list[int], workers: int) -> Iterator[dict[int, Finding]]:
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    if workers < 2 or len(rows) <= _SERIAL_UP_TO:
        yield from (_inspect(opener, chunk) for chunk in chunks)
        return
    yield from spread(partial(_inspect, opener), chunks, workers)


def _file_keys(catalogue: Catalogue) -> pd.DataFrame:
    """What a file is known by; -1 bytes where there is none."""
    keys = []
    for path in catalogue.table["path"]:
        file = os.path.abspath(Path(catalogue.root or "") / path)
        try:
            state = os.stat(file)
            keys.append((file, state.st_size, state.st_mtime_ns, VERSION))
        except OSError:
            keys.append((file, -1, -1, VERSION))
    return pd.DataFrame(keys, columns=_KEY)


def _recall(keys: pd.DataFrame, cache: Path) -> dict[int, Finding]:
    """The findings of earlier scans, by row."""
    stored = _read_cache(cache)
    if stored is None:
        return {}
    found = keys.reset_index(names="row").merge(stored, on=_KEY)
    values = zip(found["row"], found["error"], found["digest"], found["phash"], strict=True)
    return {int(row): (str(error), str(digest), bytes(phash)) for row, error, digest, phash in values}


def _read_cache(cache: Path) -> pd.DataFrame | None:
    if not cache.is_file():
        return None
    try:
        return pd.read_parquet(cache, columns=[*_KEY, *_FOUND])
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        log.warning(
            "The image cache %s is damaged or old (%s) and is made anew.", cache, type(error).__name__
        )
        return None


def _remember(findings: pd.DataFrame, cache: Path) -> None:
    """Adds to the cache, in one step, one process at a time.

    Errors are not remembered: a file may become readable without a change.
    """
    partial_file = cache.with_name(f".{cache.name}.partial")
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(cache.with_name(f".{cache.name}.lock"), timeout=_PATIENCE):
            stored = _read_cache(cache)
            if stored is not None:
                old = stored["file"].isin(findings["file"]) | (stored["version"] != VERSION)
                findings = pd.concat([findings, stored[~old]])
            findings[findings["error"] == ""].to_parquet(partial_file, index=False)
            os.replace(partial_file, cache)
    except OSError as error:
        log.warning("The image cache %s could not be written: %s.", cache, error)
