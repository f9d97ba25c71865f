"""Training, validation and test sides that share no product, a pure function of the table and a seed."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lens.data.units import SplitBy, Units, carve, deal, make_units, single_units
from lens.errors import LensError


@dataclass(frozen=True)
class Split:
    """side: str array [N] of "train", "val" or "test"; notes: sentences a user should see."""

    side: np.ndarray
    notes: list[str]


def split(
    table: pd.DataFrame,
    *,
    by: SplitBy = "auto",
    val: float = 0.15,
    test: float = 0.15,
    folds: int | None = None,
    fold: int | None = None,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Split:
    """Divides a catalogue.

    What is divided are units that stay whole: items, products (all images of a product) or categories. Within each
    category the shares are kept, rounding is carried from category to category (smallest first), and one unit of
    each category always stays in training. The result depends on item ids and the seed, not on the order of rows.

    A table whose `split` column is filled keeps it; a validation or test side it lacks is carved out of its
    training side.

    Args:
        table: a catalogue's table of N rows.
        by: "auto" is "product" where a product has several images, else "item".
        val, test: shares of all images; with folds, and where `split` is filled, `val` is a share of the rest.
        folds, fold: k-fold cross-validation; fold 0..folds-1 is the test side. Over all folds each image is tested
            once, so a category of a single unit is absent from training in one of them.
        groups: int [N]; rows of equal number are kept on one side (near-duplicate images, for example).

    Raises:
        LensError: for shares or folds out of range, a side that stays empty, products that would be torn apart.
    """
    _check_arguments(by, val, test, folds, fold)
    seed, fold = int(seed), None if fold is None else int(fold)
    if len(table) == 0:
        raise LensError("There are no images to split.")
    given = np.asarray(table["split"], dtype=object).astype(str)
    if (given != "").any():
        result = _complete_given(table, given, by, val, test, folds, seed, groups)
    else:
        result = _divide(table, make_units(table, by, groups), val, test, folds, fold, seed)
    assert_disjoint(table, result.side)
    _check_filled(table, result.side, val, test, folds)
    result.notes.extend(_absent_categories(table, result.side))
    return result


def assert_disjoint(table: pd.DataFrame, side: np.ndarray) -> None:
    """Raises LensError where images of one product lie on two sides."""
    pairs = pd.DataFrame({"product": np.asarray(table["product_id"]), "side": side}).drop_duplicates()
    torn = pairs["product"][pairs["product"].duplicated()].unique()
    if len(torn):
        sides = sorted(pairs["side"][pairs["product"] == torn[0]])
        raise LensError(
            f"{len(torn)} products would have images on two sides of the split, the first is {torn[0]!r} "
            f"({' and '.join(sides)}); use data.split_by=product or mend the split column."
        )


def _check_arguments(by: str, val: float, test: float, folds: int | None, fold: int | None) -> None:
    if by not in ("auto", "item", "product", "category"):
        raise LensError(f"Cannot split by {by!r}; choose auto, item, product or category.")
    for name, share in (("val", val), ("test", test)):
        if not 0 <= share < 1:
            raise LensError(f"The {name} share of the split is {share}; it must be at least 0 and below 1.")
    if folds is None and val + test >= 1:
        raise LensError(
            f"The shares val={val} and test={test} leave nothing for training; their sum must be below 1."
        )
    if folds is None and fold is not None:
        raise LensError(f"fold={fold} was given without folds; set folds to the number of folds.")
    if folds is not None:
        if folds < 2:
            raise LensError(f"folds={folds} is too few; cross-validation needs at least 2.")
        if fold is None or not 0 <= fold < folds:
            raise LensError(f"fold={fold} is not one of the {folds} folds; choose 0 to {folds - 1}.")


def _divide(
    table: pd.DataFrame,
    units: Units,
    val: float,
    test: float,
    folds: int | None,
    fold: int | None,
    seed: int,
) -> Split:
    notes = list(units.notes)
    if units.whole_categories:
        count, needed = len(units.size), max(1 + (val > 0) + (test > 0 or folds is not None), folds or 0)
        if count < needed:
            raise LensError(
                f"A split by category needs at least {needed} separate categories; there are {count}."
            )
    everything = np.ones(len(units.size), dtype=bool)
    side = np.full(len(units.size), "train")
    if folds is None:
        in_test = carve(units, everything, test, (seed, "test"))
        val = val / (1 - test)
        notes.extend(single_units(units))
    else:
        in_test = deal(units, folds, seed) == fold
    side[in_test] = "test"
    side[carve(units, ~in_test, val, (seed, "val", fold))] = "val"
    return Split(side[units.of_row], notes)


def _complete_given(
    table: pd.DataFrame,
    given: np.ndarray,
    by: SplitBy,
    val: float,
    test: float,
    folds: int | None,
    seed: int,
    groups: np.ndarray | None,
) -> Split:
    empty = int((given == "").sum())
    if empty:
        raise LensError(
            f"The split column is empty in {empty} of {len(given)} rows; fill it in all rows or in none."
        )
    if folds is not None:
        raise LensError(
            "The catalogue has a split column of its own, so it cannot be cut into folds; remove either."
        )
    notes = ["The split column of the catalogue is used."]
    side = given.astype("<U5")
    for name, share in (("test", test), ("val", val)):
        rows = np.flatnonzero(side == "train")
        if (side == name).any() or share == 0 or len(rows) == 0:
            continue
        kept = None if groups is None else np.asarray(groups)[rows]
        units = make_units(table.iloc[rows].reset_index(drop=True), by, kept)
        taken = carve(units, np.ones(len(units.size), dtype=bool), share, (seed, name))[units.of_row]
        side[rows[taken]] = name
        notes.append(
            f"It has no {name} side: {int(taken.sum())} of its {len(rows)} training images were taken for it."
        )
    return Split(side, notes)


def _check_filled(table: pd.DataFrame, side: np.ndarray, val: float, test: float, folds: int | None) -> None:
    counts = {name: int((side == name).sum()) for name in ("train", "val", "test")}
    wanted = {"train": True, "val": val > 0, "test": test > 0 or folds is not None}
    empty = [name for name, count in counts.items() if wanted[name] and count == 0]
    if empty:
        raise LensError(
            f"Too few images for this split: {len(table)} images in {table['category'].nunique()} categories give "
            f"{counts['train']} for train, {counts['val']} for val and {counts['test']} for test; "
            f"add images or enlarge the share of {' and '.join(empty)}."
        )


def _absent_categories(table: pd.DataFrame, side: np.ndarray) -> list[str]:
    category = np.asarray(table["category"], dtype=object)
    absent = set(category) - set(category[side == "test"])
    trained = set(category[side == "train"])
    if not absent or not (
        trained & set(category[side == "test"])
    ):  # whole categories were divided, or no test
        return []
    return [
        f"{len(absent)} of {len(set(category))} categories have no test image, so nothing is measured on them."
    ]
