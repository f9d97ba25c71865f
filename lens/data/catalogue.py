"""The one table that every source of images is turned into."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lens.data.images import load_rgb
from lens.errors import LensError

log = logging.getLogger(__name__)

COLUMNS = ("item_id", "path", "category", "product_id", "captions", "split", "role")
CAPTION_TEMPLATES = (
    "a photo of a {}",
    "a {} from a shopping website",
    "a professional product photo of {} footwear",
)

ImageOpener = Callable[[int], Image.Image]


@dataclass(frozen=True)
class FileOpener:
    """Opens row i as the file `root / paths[i]`; picklable, so worker processes can hold it.

    at_least: JPEG files may be decoded at a reduced scale whose sides are still this many pixels or more.
    """

    root: Path
    paths: tuple[str, ...]
    at_least: int | None = None

    def __call__(self, row: int) -> Image.Image:
        return load_rgb(self.root / self.paths[row], at_least=self.at_least)


@dataclass(frozen=True)
class Catalogue:
    """A table of items and the way to open their images.

    table: columns COLUMNS on a RangeIndex. `item_id` is unique; `path` is relative to `root` with "/" between its
        parts; `product_id` equals `item_id` where the source knows no products; `captions` holds a list of str,
        empty where there are none; `split` is "", "train", "val" or "test"; `role` is "", "query" or "gallery".
        Further columns are attributes of the items, texts to filter a search by; the fingerprint leaves them out.
    open_image: row number -> RGB image; raises LensError for a file that cannot be read.
    root: the folder the paths start from, None where the images are no files.
    """

    table: pd.DataFrame
    open_image: ImageOpener
    name: str
    root: Path | None = None

    def __post_init__(self) -> None:
        missing = [column for column in COLUMNS if column not in self.table.columns]
        if missing:
            raise ValueError(f"catalogue table lacks the columns {missing}")
        if not self.table["item_id"].is_unique:
            twice = self.table["item_id"][self.table["item_id"].duplicated()].iloc[0]
            raise LensError(
                f"Catalogue {self.name}: item_id {twice!r} appears more than once; item ids must be unique."
            )

    def __len__(self) -> int:
        return len(self.table)

    def subset(self, rows: Sequence[int] | np.ndarray) -> "Catalogue":
        """The catalogue of these rows only, in the order given, numbered anew from 0."""
        chosen = np.asarray(rows, dtype=np.int64)
        table = self.table.iloc[chosen].reset_index(drop=True)
        if isinstance(self.open_image, FileOpener):
            opener: ImageOpener = replace(self.open_image, paths=tuple(table["path"]))
        else:
            opener = _RowOpener(self.open_image, chosen)
        return replace(self, table=table, open_image=opener)

    def decoded_for(self, size: int) -> "Catalogue":
        """The same catalogue, opening JPEG files no larger than a square of `size` pixels needs.

        Several times faster for photographs of many megapixels; every other format is opened as before.
        """
        if isinstance(self.open_image, FileOpener):
            return replace(self, open_image=replace(self.open_image, at_least=size))
        return self


@dataclass(frozen=True)
class _RowOpener:
    """Opens row i of a subset through the opener of the whole."""

    opener: ImageOpener
    rows: np.ndarray  # int64 [n]

    def __call__(self, row: int) -> Image.Image:
        return self.opener(int(self.rows[row]))


def fingerprint(table: pd.DataFrame, digests: Sequence[str]) -> str:
    """sha256 (hex) of all that the catalogue says and shows.

    The same data give the same fingerprint wherever they lie and in whatever order the rows come.

    Args:
        table: a catalogue's table of N rows.
        digests: N pixel digests, in the order of the rows (see lens.data.scan).
    """
    if len(digests) != len(table):
        raise ValueError(f"{len(digests)} digests for {len(table)} rows")
    columns = [list(table[column]) for column in COLUMNS]
    lines = []
    for *fields, digest in zip(*columns, digests, strict=True):
        plain = [
            list(map(str, field)) if isinstance(field, list | np.ndarray) else str(field) for field in fields
        ]
        lines.append(json.dumps([*plain, digest], ensure_ascii=True))
    total = hashlib.sha256()
    for line in sorted(lines):
        total.update(line.encode() + b"\n")
    return total.hexdigest()


def template_captions(category: str) -> list[str]:
    """The three captions of an image that has none of its own: "dress-shoe" gives "a photo of a dress shoe", ..."""
    words = " ".join(category.replace("-", " ").replace("_", " ").split()).lower()
    return [template.format(words) for template in CAPTION_TEMPLATES]


def with_captions(catalogue: Catalogue) -> Catalogue:
    """Items without a caption get the three templates of their category."""
    table = catalogue.table
    bare = [not texts for texts in table["captions"]]
    if any(bare):
        log.info("%d items have no caption; they are described by their category.", sum(bare))
        captions = [
            list(texts) or template_captions(category)
            for texts, category in zip(table["captions"], table["category"], strict=True)
        ]
        table = table.assign(captions=pd.Series(captions, index=table.index))
    return Catalogue(table, catalogue.open_image, catalogue.name, catalogue.root)
