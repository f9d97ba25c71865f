"""A writer for the kill tests: changes an index without end and tells on stdout what it begins and what it has done.

Every call follows from the seed and its number alone, so the test knows what each one put and deleted.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from lens.index import Writer, write
from tests.index.made import frame, unit

DIMENSION = 16
NAMES = 60


def call(seed: int, number: int) -> tuple[str, list[str], Any]:
    """What the writer does as its call of that number: the word, the item ids, and the vectors to put."""
    chance = np.random.default_rng([seed, number])
    word = ["put", "put", "put", "delete", "delete", "compact"][chance.integers(6)]
    ids = [f"item {one}" for one in chance.choice(NAMES, size=chance.integers(1, 20), replace=False)]
    return word, ids, unit(len(ids), DIMENSION, seed * 100_000 + number)


def items_of(ids: list[str], number: int) -> list[dict[str, Any]]:
    """The items put by a call; their price is its number."""
    return [{"item_id": one, "category": "boots", "price": number, "captions": ["a", one]} for one in ids]


def do(writer: Writer, seed: int, number: int) -> None:
    """The call of that number."""
    word, ids, vectors = call(seed, number)
    if word == "put":
        writer.put(frame(items_of(ids, number)), vectors)
    elif word == "delete":
        writer.delete(ids, missing_ok=True)
    else:
        writer.compact()


if __name__ == "__main__":
    place, seed, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    with write(place) as writer:
        while True:
            print("begin", number, flush=True)
            do(writer, seed, number)
            print("done", number, flush=True)
            number += 1
