"""Renders a whole catalogue into a folder, in parallel, and goes on where a killed rendering stopped."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from tqdm import tqdm

from lens.data.rendered.captions import captions
from lens.data.rendered.designs import CATEGORIES, ShoeDesign, check_whole, design
from lens.data.rendered.render import render
from lens.data.workers import spread
from lens.errors import LensError

# Raised whenever the same settings give other pixels or captions than before.
VERSION = 1

MANIFEST, SETTINGS = "catalogue.parquet", "settings.json"
_PER_FOLDER = 1000  # products in one folder
_CHUNK = 16  # products rendered by a worker at a time
_FEW = 48  # so few images are drawn faster than worker processes start
_ROWS = 30_000  # rows of the manifest held in memory at a time

_PLAIN = ("style", "colour", "second_colour", "sole_colour", "closure", "pattern", "toe", "material", "motif")
_NUMBERS = ("sole_thickness", "heel_height", "shaft_height")
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("path", "category", "product_id")]
    + [("view", pa.int32()), ("captions", pa.list_(pa.string()))]
    + [(name, pa.string()) for name in _PLAIN]
    + [(name, pa.float32()) for name in _NUMBERS]
)


@dataclass(frozen=True)
class _Settings:
    version: int
    items: int
    views_per_product: int
    size: int
    seed: int

    @property
    def products(self) -> int:
        return -(-self.items // self.views_per_product)

    def views(self, product: int) -> int:
        """How many views of this product exist: the last product may have fewer."""
        return min(self.views_per_product, self.items - product * self.views_per_product)


def write_catalogue(
    folder: Path,
    items: int = 720,
    views_per_product: int = 3,
    size: int = 128,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Renders `items` photographs into `folder` and returns the path of its manifest, `catalogue.parquet`.

    Images lie at images/CATEGORY/THOUSAND/PRODUCT-VIEW.jpg (JPEG quality 90, size x size pixels). The
    manifest has a row per image: path (relative to the folder), category, product_id, view, captions
    (three), and the design's attributes; it is written last. Categories take turns, so their products are
    balanced; the last product has fewer views where `items` is no multiple of `views_per_product`. A
    complete catalogue of the same settings is returned at once and an incomplete one is finished. `workers`
    processes draw (None: one per core; 0 and 1: in this process); their number changes no byte. Raises
    LensError for arguments out of range (items 8 to 10 million), and where the folder holds a catalogue of
    other settings, or something else.
    """
    count = _workers(workers)
    settings = _Settings(
        VERSION,
        check_whole("items", items, 8, 10_000_000),
        check_whole("views_per_product", views_per_product, 1, 1000),
        check_whole("size", size, 16, 2048),
        check_whole("seed", seed, 0, 2**63 - 1),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            _make(folder, settings, count, progress)
    except OSError as error:
        raise LensError(f"Cannot write the rendered catalogue into {folder}: {error}.") from error
    return folder / MANIFEST


def _make(folder: Path, settings: _Settings, workers: int, progress: bool) -> None:
    _claim(folder, settings)
    if not (folder / MANIFEST).exists():
        _draw_all(folder, settings, workers, progress)
        _write_manifest(folder, settings)


def _workers(asked: int | None) -> int:
    if asked is not None:
        return check_whole("workers", asked, 0, 1024)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _claim(folder: Path, settings: _Settings) -> None:
    """Makes sure that the folder is for these settings: compares its settings.json, or writes it."""
    file, wanted = folder / SETTINGS, asdict(settings)
    if not file.exists():
        if (folder / "images").exists() or (folder / MANIFEST).exists():
            raise LensError(
                f"{folder} holds images but no {SETTINGS}; choose another folder for the rendered shoes."
            )
        _replace(file, json.dumps(wanted, indent=2).encode())
        return
    try:
        found = json.loads(file.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise LensError(f"{file} is damaged; delete the folder or choose another one for the rendered shoes.")
    differing = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if differing:
        told = ", ".join(f"{name} {found.get(name)!r} instead of {wanted.get(name)!r}" for name in differing)
        raise LensError(
            f"{folder} holds a rendered catalogue of other settings: {told}; "
            "choose another folder or delete this one."
        )


def _replace(file: Path, content: bytes) -> None:
    """Writes a file so that it is either there in full or not at all."""
    draft = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    draft.write_bytes(content)
    os.replace(draft, file)


def _draw_all(folder: Path, settings: _Settings, workers: int, progress: bool) -> None:
    for stale in folder.glob("images/*/*/*.tmp"):
        stale.unlink()
    for first in range(0, settings.products, _PER_FOLDER):
        for category in CATEGORIES:
            (folder / "images" / category / f"{first // _PER_FOLDER:04d}").mkdir(parents=True, exist_ok=True)
    starts = range(0, settings.products, _CHUNK)
    with tqdm(total=settings.items, unit="image", desc="Rendering shoes", disable=not progress) as bar:
        for drawn in _drawn(folder, settings, starts, min(workers, len(starts))):
            bar.update(drawn)


def _drawn(folder: Path, settings: _Settings, starts: range, workers: int) -> Iterator[int]:
    """Images finished, chunk by chunk."""
    if workers < 2 or settings.items <= _FEW:
        for start in starts:
            yield _draw_chunk(folder, settings, start)
        return
    yield from spread(partial(_draw_chunk, folder, settings), starts, workers)


def _draw_chunk(folder: Path, settings: _Settings, start: int) -> int:
    """Draws the missing images of up to _CHUNK products from `start`; returns how many images they have."""
    count = 0
    for product in range(start, min(start + _CHUNK, settings.products)):
        shoe = design(settings.seed, product)
        for view in range(settings.views(product)):
            count += 1
            file = folder / _path(shoe, view)
            if not file.exists():
                draft = file.with_name(f"{file.name}.{os.getpid()}.tmp")
                render(shoe, view, settings.seed, settings.size).save(draft, format="JPEG", quality=90)
                os.replace(draft, file)
    return count


def _path(shoe: ShoeDesign, view: int) -> str:
    return f"images/{shoe.category}/{shoe.product // _PER_FOLDER:04d}/{shoe.product:07d}-{view}.jpg"


def _write_manifest(folder: Path, settings: _Settings) -> None:
    file = folder / MANIFEST
    draft = file.with_name(f"{file.name}.tmp")
    with pq.ParquetWriter(draft, _SCHEMA) as writer:
        for rows in _batches(_rows(settings), _ROWS):
            writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))
    os.replace(draft, file)


def _rows(settings: _Settings) -> Iterator[dict[str, object]]:
    for product in range(settings.products):
        shoe = design(settings.seed, product)
        row = {name: getattr(shoe, name) for name in (*_PLAIN, *_NUMBERS)}
        row |= {"category": shoe.category, "product_id": f"{product:07d}", "captions": captions(shoe)}
        for view in range(settings.views(product)):
            yield {**row, "path": _path(shoe, view), "view": view}


def _batches(rows: Iterable[dict[str, object]], size: int) -> Iterator[list[dict[str, object]]]:
    batch: list[dict[str, object]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
