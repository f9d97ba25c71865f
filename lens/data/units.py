"""What a split divides: items, products or categories that stay whole, and how shares and folds are dealt out."""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from lens.data.duplicates import connected
from lens.errors import LensError

SplitBy = Literal["auto", "item", "product", "category"]


@dataclass(frozen=True)
class Units:
    """What is divided: `of_row` int [N] is each row's unit; the arrays beside it have one entry per unit.

    Units are numbered by their smallest item id, so that the order of rows does not matter.
    """

    of_row: np.ndarray
    stratum: np.ndarray
    size: np.ndarray
    notes: list[str]
    whole_categories: bool = False


def make_units(table: pd.DataFrame, by: SplitBy, groups: np.ndarray | None) -> Units:
    """The units of a table: its items, products or categories, those that share a number in `groups` joined.

    Raises LensError for a split by item that would tear products apart.
    """
    products = pd.factorize(np.asarray(table["product_id"], dtype=object))[0]
    shared = len(table) - (int(products.max()) + 1)
    notes = []
    if by == "item" and shared:
        raise LensError(
            "Cannot split by item: some products have several images, which would lie on two sides; "
            "use data.split_by=product."
        )
    if by == "auto" and shared:
        notes.append(f"Split by product: {int(products.max()) + 1} products have {len(table)} images.")
    label = products
    links = [] if groups is None else [np.asarray(groups)]
    if by == "category":
        categories = pd.factorize(np.asarray(table["category"], dtype=object))[0]
        links.append(categories)
        notes.extend(_merged_categories(categories, _join(label, links)))
    return _number(table, _join(label, links), notes, by == "category")


def _join(label: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
    """Labels of the rows such that rows equal in any of the labellings get one label."""
    rows = np.arange(len(label))
    pairs = []
    for labelling in (label, *others):
        first = pd.Series(rows).groupby(np.asarray(labelling)).transform("min").to_numpy()
        pairs.append(np.stack([rows, first], axis=1))
    return connected(np.concatenate(pairs), len(label))


def _merged_categories(categories: np.ndarray, joined: np.ndarray) -> list[str]:
    before, after = len(np.unique(categories)), len(np.unique(joined))
    if before == after:
        return []
    return [f"{before} categories became {after} units, since they share products or images kept together."]


def _number(table: pd.DataFrame, label: np.ndarray, notes: list[str], whole_categories: bool) -> Units:
    ids = np.asarray(table["item_id"], dtype=object)
    order = np.argsort(ids, kind="stable")
    number_in_order, _ = pd.factorize(label[order])
    of_row = np.empty(len(label), dtype=np.int64)
    of_row[order] = number_in_order
    _, first = np.unique(number_in_order, return_index=True)
    category = np.asarray(table["category"], dtype=object)[order][first].astype(str)
    if whole_categories:
        return Units(of_row, np.full(len(first), ""), np.ones(len(first), np.int64), notes, True)
    return Units(of_row, category, np.bincount(of_row), notes)


def _rng(stratum: str, words: tuple[object, ...]) -> np.random.Generator:
    """A generator of its own for each category, so that a new category leaves the others as they were."""
    digest = hashlib.sha256(repr((words, stratum)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def _strata(units: Units, pool: np.ndarray, words: tuple[object, ...]) -> list[np.ndarray]:
    """The units of the pool per category, shuffled; smallest category first, so that large ones even out rounding."""
    found = [np.flatnonzero(pool & (units.stratum == name)) for name in np.unique(units.stratum[pool])]
    found.sort(key=lambda members: (int(units.size[members].sum()), str(units.stratum[members[0]])))
    return [_rng(str(units.stratum[members[0]]), words).permutation(members) for members in found]


def carve(units: Units, pool: np.ndarray, share: float, words: tuple[object, ...]) -> np.ndarray:
    """bool [units]: about `share` of the images of the pool, in each category, and never all of its units."""
    taken = np.zeros(len(pool), dtype=bool)
    if share <= 0:
        return taken
    carry = 0.0
    if units.whole_categories:
        share = max(share, 1 / pool.sum())
    for members in _strata(units, pool, words):
        want = carry + share * units.size[members].sum()
        got = 0
        for unit in members[:-1]:
            # Taken where it brings the count nearer to what is wanted (with a hair for rounding errors).
            if got + units.size[unit] / 2 <= want + 1e-9:
                taken[unit] = True
                got += int(units.size[unit])
        carry = want - got
    return taken


def deal(units: Units, folds: int, seed: int) -> np.ndarray:
    """int [units]: the fold of each; each goes to the fold with fewest images of its category, then of all."""
    fold = np.zeros(len(units.size), dtype=np.int64)
    total = [0] * folds
    for members in _strata(units, np.ones(len(fold), dtype=bool), (seed, "folds")):
        here = [0] * folds
        for unit in members:
            chosen = min(range(folds), key=lambda k: (here[k], total[k], k))
            fold[unit] = chosen
            here[chosen] += int(units.size[unit])
            total[chosen] += int(units.size[unit])
    return fold


def single_units(units: Units) -> list[str]:
    """The sentence about categories of a single unit, if there are any."""
    if units.whole_categories:
        return []
    names, counts = np.unique(units.stratum, return_counts=True)
    alone = [str(name) for name in names[counts == 1]]
    if not alone:
        return []
    shown = ", ".join(alone[:5]) + (", ..." if len(alone) > 5 else "")
    return [f"{len(alone)} categories cannot be divided and stay in training whole: {shown}."]
