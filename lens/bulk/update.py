"""An index brought up to date with its images."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lens.bulk.build import alone, being_built, list_unreadable
from lens.bulk.embedding import Changes, Embeds, How, Waiting, embed
from lens.bulk.pieces import Seen
from lens.bulk.plan import DIGEST, STATE, Plan, check_there, plan, sides_of
from lens.bulk.source import read, remembered
from lens.data.catalogue import Catalogue
from lens.errors import LensError
from lens.index import Reader, Writer, open_index, write

COMPACT_ABOVE = (
    0.25  # additions and losses, as a share of the rows in the files, from which they are folded in
)
_AT_ONCE = 50_000  # additions that may wait even then while an update goes on: readers hold them in memory
_ROWS = 4096  # vectors looked up together

Tell = Callable[[str], None]


def update_index(
    folder: Path, source: Mapping[str, Any] | None, embedder: Embeds, how: How, tell: Tell = print
) -> Changes:
    """Embed what is new or changed, tell anew what is only described anew, drop what is gone or cannot be read.

    What a shard holds is durable before the next one begins, and dropping comes last, so after a kill at any moment
    another call does what is left. Many changes are folded into the files of the index.

    Args:
        source: of the images; None: the one that the index was built from.

    Raises:
        LensError: another process changes the index, its images are not to be found, or nothing of it would be left.
    """
    folder = folder.absolute()
    # The writer first: what another one does before is seen, and none can do anything after.
    with alone(folder), write(folder) as writer, open_index(folder) as reader:
        shutil.rmtree(being_built(folder), ignore_errors=True)  # of no use to an index that is whole
        catalogue = read(remembered(reader.manifest) if source is None else source)
        update = _Update(folder, catalogue, reader, writer, how, tell)
        update.describe()
        changes = update.embed(embedder)
        if changes.unreadable:
            check_there(catalogue)
        list_unreadable(folder, changes.unreadable)
        update.drop()
        update.compact(COMPACT_ABOVE * update.base)
    return changes


class _Update:
    """One update: what the index held when it began, what is to be done, and the writer that does it."""

    def __init__(
        self, folder: Path, catalogue: Catalogue, reader: Reader, writer: Writer, how: How, tell: Tell
    ) -> None:
        self.folder, self.catalogue, self.reader, self.writer, self.how, self.tell = (
            folder, catalogue, reader, writer, how, tell,
        )  # fmt: skip
        rows = np.flatnonzero(reader.alive)
        self.known: pd.DataFrame = reader.table(rows).to_pandas()
        self.row_of = pd.Series(rows, index=self.known["item_id"])
        self.todo: Plan = plan(catalogue, self.known)
        self.base = int(reader.manifest["count"])
        self.waiting = Waiting(catalogue, sides_of(self.known), self._put, how.shard)
        self.changes = Changes()
        self._added = 0
        self._refuse_nothing(self.todo.gone)

    def describe(self) -> None:
        """Put the rows whose image is as it was, with the vectors they have."""
        known = self.known.set_index("item_id")
        for start in range(0, len(self.todo.described), _ROWS):
            rows = self.todo.described[start : start + _ROWS]
            was = known.loc[self.catalogue.table["item_id"].iloc[rows], [STATE, DIGEST]]
            self.waiting.add(rows, self._stored(rows), [Seen(*pair) for pair in was.itertuples(index=False)])
        self.waiting.flush()

    def embed(self, embedder: Embeds) -> Changes:
        """Put what is new or changed."""
        self.changes = embed(self.todo, embedder, self.waiting, self.how, self._stored)
        self.changes.described += len(self.todo.described)
        self.waiting.flush()
        return self.changes

    def drop(self) -> None:
        """Delete what the catalogue no longer has, and what can no longer be read."""
        table = self.catalogue.table
        unreadable = {path for path, _ in self.changes.unreadable}
        lost = table["item_id"][table["path"].isin(unreadable) & table["item_id"].isin(self.row_of.index)]
        gone = [*self.todo.gone, *lost]
        if not self.changes.new:
            self._refuse_nothing(gone)
        self.changes.dropped = self.writer.delete(gone) if gone else 0

    def compact(self, above: float) -> None:
        """Fold the changes in, where they are more rows than that."""
        added, lost, base = waiting_changes(self.folder)
        if added + lost > above:
            self.tell(
                f"{added} rows were added and {lost} replaced or dropped since the {base} in the files of "
                f"{self.folder}: they are folded in."
            )
            self.writer.compact()
            self.base = waiting_changes(self.folder)[2]

    def _put(self, items: pd.DataFrame, vectors: np.ndarray) -> None:
        self.writer.put(items, vectors)
        self._added += len(items)
        if self._added > max(_AT_ONCE, COMPACT_ABOVE * self.base):
            self.compact(0)
            self._added = 0

    def _stored(self, rows: Sequence[int]) -> np.ndarray:
        return self.reader.vectors(self.row_of[self.catalogue.table["item_id"].iloc[list(rows)]].to_numpy())

    def _refuse_nothing(self, gone: Sequence[str]) -> None:
        if len(gone) == len(self.known) > 0:
            raise LensError(
                f"None of the {len(gone)} items of {self.folder} is in {self.catalogue.name} any more, or none can be "
                "read; nothing was dropped: give the right images by data=, or build a new index by out=."
            )


def waiting_changes(folder: Path) -> tuple[int, int, int]:
    """Rows added, and rows replaced or dropped, since the files of an index were written; and how many these hold."""
    with open_index(folder) as reader:
        base = int(reader.manifest["count"])
        return reader.rows - base, int((~reader.alive[:base]).sum()), base
