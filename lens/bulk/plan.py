"""What has to be done so that an index holds a catalogue as it is now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lens.bulk.pieces import Look, file_state
from lens.data.catalogue import Catalogue, FileOpener
from lens.errors import LensError

STATE, DIGEST = "file_state", "file_sha256"
"""Columns of an index beside those of its catalogue: what each image was known by when it was embedded."""


@dataclass(frozen=True)
class Plan:
    """Row numbers are the catalogue's.

    looks: images that are new, or whose file or its path is another than it was; new: those that the index lacks.
    described: rows whose image is as it was, but not what is said of them; kept: how many are wholly as they were.
    gone: ids of the index that the catalogue no longer has. differs: bool [rows], the index says something else of it.
    """

    looks: list[Look]
    new: frozenset[int]
    described: list[int]
    kept: int
    gone: list[str]
    differs: np.ndarray


def plan(catalogue: Catalogue, known: pd.DataFrame) -> Plan:
    """Compare a catalogue with the items of an index, file by file and column by column; no image is opened.

    known: the columns of the index with a row an item; without STATE and DIGEST every image is new to it.
    """
    known = known.set_index("item_id", drop=False)
    ids = catalogue.table["item_id"]
    place = known.index.get_indexer(pd.Index(ids))  # -1 where the index lacks it
    was = [known[name].to_numpy() if name in known else np.full(len(known), "") for name in (STATE, DIGEST)]
    states = _states(catalogue)
    moved = _moved(catalogue.table, known, place)
    differs = _described_anew(catalogue.table, known, place)
    looks, described, kept = [], [], 0
    for row, at in enumerate(place):
        state, digest = (_text(values[at]) for values in was) if at >= 0 else ("", "")
        if not digest or not states[row] or state != states[row] or moved[row]:
            looks.append(Look(row, digest))
        elif differs[row]:
            described.append(row)
        else:
            kept += 1
    gone = known.index[~known.index.isin(pd.Index(ids))]
    return Plan(looks, frozenset(np.flatnonzero(place < 0).tolist()), described, kept, list(gone), differs)


def sides_of(known: pd.DataFrame) -> dict[str, str]:
    """The side of each item of an index, by item id; none where it does not say."""
    return dict(zip(known["item_id"], known["split"], strict=True)) if "split" in known else {}


def items_of(catalogue: Catalogue, rows: Sequence[int], sides: Mapping[str, str]) -> pd.DataFrame:
    """The catalogue's items of these rows as the index is to hold them, on a RangeIndex.

    sides: where the catalogue gives none, an item stays on its side in the index: the run that exported it chose it.
    """
    items = catalogue.table.iloc[list(rows)].reset_index(drop=True)
    split = [own or sides.get(name, "") for own, name in zip(items["split"], items["item_id"], strict=True)]
    return items.assign(split=pd.Series(split, dtype=object))


def _states(catalogue: Catalogue) -> list[str]:
    """Of every row the state of its file; "" where it is none, or missing."""
    opener = catalogue.open_image
    if not isinstance(opener, FileOpener):
        return [""] * len(catalogue)
    return [file_state(Path(opener.root, path)) for path in opener.paths]


def check_there(catalogue: Catalogue) -> None:
    """Images that are all away now, as on a disk that was taken off, are not images that cannot be read.

    Raises LensError where none of a catalogue's files exists.
    """
    opener = catalogue.open_image
    if isinstance(opener, FileOpener) and not any(
        file_state(Path(opener.root, path)) for path in opener.paths
    ):
        raise LensError(
            f"The images below {opener.root} went away while they were read. What was embedded is kept and nothing was "
            "dropped: bring them back and start the same command again."
        )


def _moved(table: pd.DataFrame, known: pd.DataFrame, place: np.ndarray) -> np.ndarray:
    """bool [rows]: the index has the item at another path, so that an equal size and time say nothing of its file."""
    moved = np.zeros(len(table), dtype=bool)
    if "path" in known:
        here = np.flatnonzero(place >= 0)
        moved[here] = known["path"].to_numpy()[place[here]] != table["path"].to_numpy()[here]
    return moved


def _described_anew(table: pd.DataFrame, known: pd.DataFrame, place: np.ndarray) -> np.ndarray:
    """bool [rows]: the index has the item and says something else of it."""
    differs = np.zeros(len(table), dtype=bool)
    here = np.flatnonzero(place >= 0)
    own = [name for name in known.columns if name not in (STATE, DIGEST)]
    for name in dict.fromkeys([*table.columns, *own]):
        now = table[name].to_numpy()[here] if name in table else np.full(len(here), "", object)
        before = known[name].to_numpy()[place[here]] if name in known else np.full(len(here), "", object)
        if name == "captions":
            same = [list(one) == list(other) for one, other in zip(now, before, strict=True)]
        else:
            blank_is_kept = name == "split"
            same = [
                (blank_is_kept and one == "") or one == _text(other)
                for one, other in zip(now, before, strict=True)
            ]
        differs[here] |= ~np.asarray(same, dtype=bool)
    return differs


def _text(cell: object) -> str:
    return (
        cell if isinstance(cell, str) else ""
    )  # None or NaN, where an index has no such column for the item
