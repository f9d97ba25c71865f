"""A stream of decoded pictures in the order of a catalogue, at bounded memory, with what each file is known by."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from lens.data.catalogue import Catalogue, FileOpener
from lens.data.images import CANNOT_BE_READ, fit_square
from lens.data.workers import end_with_parent
from lens.errors import LensError

_SERIAL_UP_TO = 500  # images; starting processes takes seconds


@dataclass(frozen=True)
class Look:
    """A row of the catalogue whose image is to be looked at; `known` is the digest that the index has, "" for none."""

    row: int
    known: str = ""


@dataclass(frozen=True)
class Seen:
    """What an image is known by: `state` of its file, "BYTES:MTIME_NS" ("" where it is no file), sha256 of its bytes.

    Of an image that is no file the digest is that of its size and pixels.
    """

    state: str
    digest: str


@dataclass(frozen=True)
class Piece:
    """Some rows, looked at: `rows` with a picture each, uint8 [n, S, S, 3]; the rows of `same` need none.

    seen: of every row that can be read; errors: the reason, for every other.
    """

    rows: list[int]
    pictures: np.ndarray
    same: list[int]
    seen: dict[int, Seen] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.seen) + len(self.errors)


class Pieces(Dataset[Piece]):
    """Asked with a list of looks, gives their piece; picklable, so that worker processes can hold it.

    An image whose bytes are those that the index knows is not decoded.

    Args:
        size: S, in pixels.
    """

    def __init__(self, catalogue: Catalogue, size: int) -> None:
        self.opener, self.size = catalogue.decoded_for(size).open_image, size

    def __getitem__(self, looks: Sequence[Look]) -> Piece:
        piece = Piece([], np.empty((len(looks), self.size, self.size, 3), np.uint8), [])
        for look in looks:
            try:
                seen, image = self._open(look)
            except LensError as error:
                piece.errors[look.row] = str(error).partition(CANNOT_BE_READ)[2] or str(error)
                continue
            piece.seen[look.row] = seen
            if image is None:
                piece.same.append(look.row)
            else:
                piece.pictures[len(piece.rows)] = fit_square(image, self.size)
                piece.rows.append(look.row)
        return Piece(piece.rows, piece.pictures[: len(piece.rows)], piece.same, piece.seen, piece.errors)

    def _open(self, look: Look) -> tuple[Seen, Image.Image | None]:
        if not isinstance(self.opener, FileOpener):
            image = self.opener(look.row)
            digest = hashlib.sha256(f"{image.width}x{image.height}:".encode() + image.tobytes()).hexdigest()
            return Seen("", digest), None if digest == look.known else image
        path = self.opener.root / self.opener.paths[look.row]
        if os.path.exists(path) and not (
            os.path.isfile(path) or os.path.isdir(path)
        ):  # opening a pipe would wait for ever
            raise LensError(f"{path}{CANNOT_BE_READ}it is no file")
        state = file_state(path)  # first: of a file that is written meanwhile the next update sees the change
        digest = _digest(path)
        if digest and digest == look.known:
            return Seen(state, digest), None
        return Seen(state, digest), self.opener(look.row)


def file_state(path: Path) -> str:
    """ "BYTES:MTIME_NS" of a file, "" where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # a ValueError: no name of a file, with a NUL in it
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}"


def _digest(path: Path) -> str:
    """sha256 (hex) of a file's bytes, "" where it cannot be opened: the decoder will say why."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return ""


def pieces(
    catalogue: Catalogue, looks: Sequence[Look], size: int, *, batch: int, workers: int | None = None
) -> Iterator[Piece]:
    """Pictures of these rows in their order, `batch` at a time; two batches a process are decoded ahead, no more.

    Args:
        size: side of the square pictures, in pixels.
        workers: decoding processes; None chooses, 0 decodes in this one.

    Raises:
        LensError: a process was ended from outside.
    """
    source = Pieces(catalogue, size)
    batches = [looks[start : start + batch] for start in range(0, len(looks), batch)]
    if workers is None:
        workers = 0 if len(looks) <= _SERIAL_UP_TO else min(8, _cores() - 1)
    if workers == 0:
        yield from (source[part] for part in batches)
        return
    loader: DataLoader[Piece] = DataLoader(
        source,
        batch_size=None,
        sampler=batches,
        num_workers=workers,
        collate_fn=_as_it_is,
        multiprocessing_context="spawn",  # a fork would copy locks that torch's threads may hold
        worker_init_fn=_begin,
    )
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise LensError(
            "A decoding process was ended from outside, perhaps for lack of memory; start the same command again, "
            "it goes on where it stopped."
        ) from error


def _begin(_: int) -> None:
    end_with_parent()  # torch's own watch waits for a full pipe that nobody empties


def _cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _as_it_is(piece: Any) -> Any:
    return piece
