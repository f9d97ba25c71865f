"""Draws the twelve shoes of this folder and writes triplets.csv: python examples/triplets/make.py [FOLDER]

Nobody was asked: these judgements follow from what was drawn. The same product counts as closer than another product
of its category, and that as closer than another category. They show the format, not what people think.
"""

import csv
import sys
from itertools import product
from pathlib import Path

from lens.data.rendered import design, render

CATEGORIES = ("sneaker", "boot", "sandal")
PRODUCTS, VIEWS, SIZE, SEED = 6, 2, 96, 7
FOR_EACH_ANCHOR = 5

Item = tuple[str, str, int]  # file name, category, product


def draw(folder: Path) -> list[Item]:
    """Two views of each of six products, as images/CATEGORY-PRODUCT-VIEW.jpg."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    items = []
    for number, view in product(range(PRODUCTS), range(VIEWS)):
        shoe = design(SEED, number, CATEGORIES)
        name = f"images/{shoe.category}-{number}-{view}.jpg"
        render(shoe, view, SEED, SIZE).save(folder / name, quality=85)
        items.append((name, shoe.category, number))
    return items


def judgements(items: list[Item]) -> list[tuple[str, str, str]]:
    """A few of the triplets that the attributes decide, for each item as the anchor."""
    chosen = []
    for anchor in items:
        others = [item for item in items if item is not anchor]
        decided = [
            (anchor[0], closer[0], farther[0])
            for closer, farther in product(others, others)
            if likeness(anchor, closer) > likeness(anchor, farther)
        ]
        chosen += decided[:: len(decided) // FOR_EACH_ANCHOR][:FOR_EACH_ANCHOR]
    return chosen


def likeness(one: Item, other: Item) -> int:
    """2 for the same product, 1 for the same category, else 0."""
    return int(one[1] == other[1]) + int(one[2] == other[2])


def main(folder: Path) -> None:
    triplets = judgements(draw(folder))
    with (folder / "triplets.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("anchor", "closer", "farther"))
        lines.writerows(triplets)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
