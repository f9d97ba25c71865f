"""Pictures through a model, and what comes out made durable a shard at a time."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from lens.bulk.pieces import Look, Piece, Seen, pieces
from lens.bulk.plan import DIGEST, STATE, Plan, items_of
from lens.data.catalogue import Catalogue

_SECONDS = 30.0  # a slow model's images are made durable this often

Put = Callable[[pd.DataFrame, np.ndarray], None]
"""Makes items and their vectors float32 [n, D] durable."""


class Embeds(Protocol):
    """What is needed of an embedder: unit vectors float32 [B, D] of pictures float32 [B, 3, S, S] in [0, 1]."""

    image_size: int

    def batch(self, images: torch.Tensor) -> np.ndarray: ...


@dataclass(frozen=True)
class How:
    """How images are worked through.

    batch: pictures in one pass of the model; workers: decoding processes, see `lens.bulk.pieces.pieces`; shard: images
    that are made durable together.
    """

    batch: int = 32
    workers: int | None = None
    shard: int = 512
    progress: bool = True


@dataclass
class Changes:
    """How many items were embedded, told anew, dropped and left alone; `unreadable`: path and reason of each image."""

    new: int = 0
    changed: int = 0
    described: int = 0
    dropped: int = 0
    kept: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)


class Waiting:
    """Rows of a catalogue that wait until a shard is full.

    sides: of the items that the index holds, see `items_of`.
    """

    def __init__(self, catalogue: Catalogue, sides: Mapping[str, str], put: Put, shard: int) -> None:
        self.catalogue, self.sides, self.put, self.shard = catalogue, sides, put, shard
        self._rows: list[int] = []
        self._vectors: list[np.ndarray] = []
        self._seen: list[Seen] = []
        self._since = time.monotonic()

    def add(self, rows: Sequence[int], vectors: np.ndarray, seen: Sequence[Seen]) -> None:
        """Rows with a vector each and what their images are known by."""
        if rows:
            self._rows += rows
            self._vectors.append(vectors)
            self._seen += seen
        if len(self._rows) >= self.shard or time.monotonic() - self._since > _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Make durable what waits."""
        if self._rows:
            items = items_of(self.catalogue, self._rows, self.sides)
            items[STATE] = [seen.state for seen in self._seen]
            items[DIGEST] = [seen.digest for seen in self._seen]
            self.put(items, np.concatenate(self._vectors))
        self._rows, self._vectors, self._seen = [], [], []
        self._since = time.monotonic()


def embed(
    todo: Plan,
    embedder: Embeds,
    waiting: Waiting,
    how: How,
    stored: Callable[[Sequence[int]], np.ndarray] | None = None,
) -> Changes:
    """Look at the images of a plan and hand what is to be stored to `waiting`, without the rest of its last shard.

    Args:
        stored: vectors float32 [n, D] that are held for rows whose bytes are as they were; without it every image that
            is looked at is embedded.
    """
    looks = todo.looks if stored else [Look(look.row) for look in todo.looks]
    catalogue, changes = waiting.catalogue, Changes(kept=todo.kept)
    paths = catalogue.table["path"]
    stream = pieces(catalogue, looks, embedder.image_size, batch=how.batch, workers=how.workers)
    with tqdm(total=len(looks), desc="embedding", unit="image", disable=not how.progress or not looks) as bar:
        for piece in stream:
            waiting.add(piece.rows, _vectors(embedder, piece), [piece.seen[row] for row in piece.rows])
            if piece.same and stored:
                waiting.add(piece.same, stored(piece.same), [piece.seen[row] for row in piece.same])
            _count(changes, piece, todo)
            changes.unreadable += [(str(paths[row]), reason) for row, reason in piece.errors.items()]
            bar.update(len(piece))
    return changes


def _vectors(embedder: Embeds, piece: Piece) -> np.ndarray:
    if not piece.rows:
        return np.zeros((0, 0), np.float32)
    pictures = torch.from_numpy(piece.pictures).permute(0, 3, 1, 2)
    return embedder.batch(pictures.to(torch.float32).div_(255))


def _count(changes: Changes, piece: Piece, todo: Plan) -> None:
    new = sum(row in todo.new for row in piece.rows)
    anew = int(todo.differs[piece.same].sum())
    changes.new += new
    changes.changed += len(piece.rows) - new
    changes.described += anew
    changes.kept += len(piece.same) - anew
