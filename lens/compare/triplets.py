"""Do the vectors agree with people? Judgements "this item is closer to the anchor than that one", from a CSV file."""

import csv
import os
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from lens.data.catalogue import Catalogue, FileOpener
from lens.errors import LensError
from lens.files import at_home
from lens.metrics.triplets import triplet_agreement
from lens.metrics.uncertainty import Interval, interval

ROLES = ("anchor", "closer", "farther")


@dataclass(frozen=True)
class MatchedTriplets:
    """Judgements as row numbers, int64 [T, 3] (anchor, closer, farther), and what is left out.

    missing: the names that no item has, each once; missing_triplets: judgements that use one of them.
    same_item: judgements in which an item stands twice.
    """

    rows: np.ndarray
    missing: tuple[str, ...]
    missing_triplets: int
    same_item: int


@dataclass(frozen=True)
class TripletReport:
    """How far vectors agree with judgements.

    agreement: the share agreed with; its queries are the T judgements used, its clusters their anchors.
    ties: judgements whose two cosines are equal; each counts half.
    per_triplet: float64 [T], 1, 0.5 or 0 for each judgement used. matched: which these are, and what is left out.
    """

    agreement: Interval
    ties: int
    per_triplet: np.ndarray
    matched: MatchedTriplets


def read_triplets(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The judgements of a CSV file (UTF-8) with the columns anchor, closer, farther; text, T rows.

    Other columns and empty lines are passed over. A judgement that stands twice counts twice: people judge the same
    items, and may disagree. Raises LensError naming the file, and the line where there is one.
    """
    path = at_home(path)
    if not os.path.isfile(path):
        what = "is a folder" if path.is_dir() else "does not exist"
        raise LensError(f"The file of triplets {path} {what}; give a CSV file with {', '.join(ROLES)}.")
    judgements: list[list[str]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            header = [cell.strip() for cell in next(lines, [])]
            places = _places(path, header)
            for cells in lines:
                if any(cell.strip() for cell in cells):
                    judgements.append(_judgement(path, lines.line_num, cells, header, places))
    except (OSError, ValueError, csv.Error) as error:
        raise LensError(f"{path} cannot be read as a CSV file in UTF-8: {error}.") from error
    if not judgements:
        raise LensError(f"{path} has no rows below its header; each row is one judgement.")
    return pd.DataFrame(judgements, columns=list(ROLES), dtype=object)


def match_triplets(
    triplets: pd.DataFrame, item_ids: Sequence[str], paths: Sequence[str] | None = None
) -> MatchedTriplets:
    """Find the items that judgements name: by item id, else by path ("./a.jpg" is "a.jpg").

    A judgement is left out, and counted, where one of its items is missing, or where an item stands twice in it.

    Raises:
        LensError: no judgement is left, or a path that is named belongs to two items.
    """
    cells = triplets[list(ROLES)].to_numpy(dtype=object)
    names = list(dict.fromkeys(cells.ravel()))
    numbers = _numbers(names, list(item_ids), list(paths) if paths is not None else [])
    rows = np.vectorize(numbers.__getitem__, otypes=[np.int64])(cells)
    known = (rows >= 0).all(axis=1)
    same = known & (rows == np.roll(rows, 1, axis=1)).any(axis=1)
    missing = tuple(name for name in names if numbers[name] < 0)
    if not (known & ~same).any():
        raise LensError(
            f"None of the {len(rows)} triplets can be judged: {int((~known).sum())} name items that are missing "
            f"({_some(missing)}), {int(same.sum())} name an item twice; items are named by item_id or path, such as "
            f"{_some(item_ids, 1)}."
        )
    return MatchedTriplets(rows[known & ~same], missing, int((~known).sum()), int(same.sum()))


def judge_triplets(
    vectors: np.ndarray,
    items: pd.DataFrame,
    triplets: pd.DataFrame,
    *,
    resamples: int = 2000,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> TripletReport:
    """How far vectors float [N, D], whose N items have an item_id and perhaps a path, agree with judgements.

    The interval draws anchors: judgements of one anchor hang together. Raises LensError as `match_triplets`.
    """
    paths = items["path"].fillna("").astype(str).tolist() if "path" in items else None
    matched = match_triplets(triplets, items["item_id"].astype(str).tolist(), paths)
    anchor, closer, farther = matched.rows.T
    found = triplet_agreement(vectors, anchor, closer, farther, device=device)
    share = interval(found.per_triplet, anchor, resamples=resamples, seed=seed)
    return TripletReport(share, found.ties, found.per_triplet, matched)


def triplet_catalogue(
    path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None
) -> tuple[Catalogue, pd.DataFrame]:
    """The images that a file of triplets names, as a catalogue to embed, and the judgements by its item ids.

    Names are paths, relative to the file's folder, else to `root` (data.root). An image named in several ways is one
    item; its id is the first of the names. Its category is "unknown". Names without a file stay as they are, so that
    `judge_triplets` reports them.

    Raises:
        LensError: as `read_triplets`, where `root` or every image is missing, and where no judgement is left.
    """
    path = at_home(path)
    triplets = read_triplets(path)
    folders = [Path(os.path.abspath(path.parent))]
    if root is not None:
        folders.append(Path(os.path.abspath(at_home(root))))
        if not folders[-1].is_dir():
            raise LensError(f"The image folder {root} (data.root) does not exist.")
    ids: dict[str, str] = {}
    files: dict[Path, str] = {}  # each with its item id
    names = list(dict.fromkeys(triplets.to_numpy().ravel()))
    for name in names:
        places = [Path(os.path.normpath(folder / name)) for folder in folders]
        file = next((place for place in places if os.path.isfile(place)), None)
        ids[name] = name if file is None else files.setdefault(file, name)
    if not files:
        tried = " or ".join(map(str, folders))
        raise LensError(
            f"None of the {len(names)} images that {path} names exists below {tried}: {_some(names)}."
        )
    judgements = pd.DataFrame({role: triplets[role].map(ids) for role in ROLES})
    match_triplets(judgements, list(files.values()))  # before images are embedded for nothing
    return _catalogue(path, list(files), list(files.values()), folders), judgements


def as_result(report: TripletReport, **more: Any) -> dict[str, Any]:
    """What ``out=FILE.json`` holds."""
    return {
        "triplet_agreement": report.agreement.mean,
        "low": report.agreement.low,
        "high": report.agreement.high,
        "triplets": report.agreement.queries,
        "anchors": report.agreement.clusters,
        "ties": report.ties,
        "missing_items": len(report.matched.missing),
        "triplets_with_missing_items": report.matched.missing_triplets,
        "triplets_with_one_item_twice": report.matched.same_item,
        **more,
    }


def print_triplets(title: str, report: TripletReport) -> None:
    """The agreement as a table for the terminal, and what was left out."""
    found, matched = report.agreement, report.matched
    table = Table(title=f"{title}: {found.queries} judgements of {found.clusters} anchors")
    for heading in ("agreement", "95 % interval", "ties"):
        table.add_column(heading, justify="right")
    table.add_row(f"{found.mean:.4f}", f"{found.low:.4f} to {found.high:.4f}", str(report.ties))
    console = Console(soft_wrap=True)
    console.print(table)
    console.print("Chance is 0.5; a tie counts half. The interval draws whole anchors.")
    if matched.missing:
        console.print(
            f"Judgements left out for missing items: {matched.missing_triplets}; missing are "
            f"{_some(matched.missing)}.",
            markup=False,
        )
    if matched.same_item:
        console.print(f"Judgements left out for naming an item twice: {matched.same_item}.")


def _places(path: Path, header: list[str]) -> list[int]:
    lacking = [role for role in ROLES if role not in header]
    if lacking:
        raise LensError(
            f"{path} line 1 lacks the columns {', '.join(lacking)}; it has {', '.join(map(repr, header)) or 'none'}."
        )
    return [header.index(role) for role in ROLES]


def _judgement(path: Path, line: int, cells: list[str], header: list[str], places: list[int]) -> list[str]:
    if len(cells) != len(header):
        raise LensError(f"{path} line {line} has {len(cells)} cells, the header {len(header)}.")
    judgement = [cells[place].strip() for place in places]
    if "" in judgement:
        raise LensError(f"{path} line {line} has no {ROLES[judgement.index('')]}; each row needs all three.")
    return judgement


def _numbers(names: Iterable[str], item_ids: list[str], paths: list[str]) -> dict[str, int]:
    """The row of each name, -1 for none."""
    by_id = {item: row for row, item in enumerate(item_ids)}
    by_path: dict[str, list[int]] = {}
    for row, path in enumerate(paths):
        by_path.setdefault(posixpath.normpath(path), []).append(row)
    numbers = {}
    for name in names:
        rows = [by_id[name]] if name in by_id else by_path.get(posixpath.normpath(name), [-1])
        if len(rows) > 1:
            raise LensError(
                f"The triplets name the path {name!r}, which {len(rows)} items have; name items by item_id."
            )
        numbers[name] = rows[0]
    return numbers


def _catalogue(path: Path, files: list[Path], ids: list[str], folders: list[Path]) -> Catalogue:
    top = next((each for each in folders if all(file.is_relative_to(each) for file in files)), None)
    if top is None:
        top = Path(os.path.commonpath([file.parent for file in files]))
    paths = [file.relative_to(top).as_posix() for file in files]
    table = pd.DataFrame({"item_id": ids, "path": paths, "category": "unknown", "product_id": ids})
    table["captions"] = [[] for _ in files]
    table = table.assign(split="", role="")
    return Catalogue(table, FileOpener(top, tuple(paths)), f"triplets {path.name}", top)


def _some(names: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return (", ".join(map(repr, names[:shown])) or "none") + more
