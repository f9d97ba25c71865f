"""Opening every image once, before training: what cannot be read, what each shows, what looks alike."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import imagehash
import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image
from tqdm import tqdm

from lens.data.catalogue import Catalogue, ImageOpener
from lens.data.images import CANNOT_BE_READ
from lens.data.workers import spread
from lens.errors import LensError

log = logging.getLogger(__name__)

_KEY = ["file", "bytes", "mtime_ns"]
_FOUND = ["error", "digest", "phash"]
_CHUNK = 64
_SERIAL_UP_TO = 500
_SHOWN = 20

Finding = tuple[str, str, bytes]


def scan(
    catalogue: Catalogue, *, workers: int = 0, cache: Path | None = None, progress: bool = True
) -> pd.DataFrame:
    """Decodes every image completely.

    Args:
        workers: processes used where more than 500 images are to be opened; 0 or 1 opens them in this one.
        cache: a Parquet file that remembers readable images by absolute path, bytes and modification time, so that
            the next scan opens only what is new; it may serve several catalogues. A damaged cache is made anew.

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
        LensError: listing the unreadable files and why (the first 20, then how many more), where on_bad is "error",
            or where nothing is left.
    """
    if on_bad not in ("error", "skip"):
        raise LensError(f"data.on_bad_image is {on_bad!r}; it must be error or skip.")
    bad = np.flatnonzero((frame["error"] != "").to_numpy())
    if len(bad) and (on_bad == "error" or len(bad) == len(frame)):
        lines = [
            f"  {catalogue.table['path'].iloc[row]}: {frame['error'].iloc[row].split(CANNOT_BE_READ)[-1]}"
            for row in bad[:_SHOWN]
        ]
        if len(bad) > _SHOWN:
            lines.append(f"  ... and {len(bad) - _SHOWN} more")
        advice = "mend or remove them" + (", or set data.on_bad_image=skip" if len(bad) < len(frame) else "")
        raise LensError(
            f"{len(bad)} of {len(frame)} images of {catalogue.name} cannot be read; {advice}:\n"
            + "\n".join(lines)
        )
    return np.flatnonzero((frame["error"] == "").to_numpy()).astype(np.int64)


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
            keys.append((file, state.st_size, state.st_mtime_ns))
        except OSError:
            keys.append((file, -1, -1))
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
        log.warning("The image cache %s is damaged (%s) and is made anew.", cache, type(error).__name__)
        return None


def _remember(findings: pd.DataFrame, cache: Path) -> None:
    """Writes the cache in one step. Errors are not remembered: a file may become readable without a change."""
    stored = _read_cache(cache)
    if stored is not None:
        findings = pd.concat([findings, stored[~stored["file"].isin(findings["file"])]])
    findings = findings[findings["error"] == ""]
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache.parent, suffix=".tmp", delete=False) as file:
            findings.to_parquet(file.name, index=False)
        os.replace(file.name, cache)
    except OSError as error:
        log.warning("The image cache %s could not be written: %s.", cache, error)
