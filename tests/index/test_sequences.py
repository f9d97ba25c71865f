import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from lens.errors import LensError
from lens.index import Reader, Writer, create, load, open_index, save, write
from tests.index.made import FACTS, Slow, as_format_1, check_items, check_search, frame, unit

DIMENSION = 4
VECTORS = np.concatenate([unit(30, DIMENSION), unit(10, DIMENSION)])  # some are equal, so there are ties
NAMES = [f"item {number}" for number in range(12)] + ["ünï", "a'b", "%s", '"', "a\0b"]

texts = st.sampled_from(["boots", "sandals", "", "ünï"])
tags = st.lists(st.sampled_from(["red", "new", "sale"]), max_size=2)
item = st.fixed_dictionaries(
    {"item_id": st.sampled_from(NAMES), "category": texts, "captions": st.lists(texts, max_size=2)},
    optional={
        "price": st.none() | st.integers(0, 5) | st.sampled_from([0.5, 2.5]),
        "new": st.none() | st.booleans(),
        "tags": st.none() | tags,
        "the colour": st.none() | st.sampled_from(["red", "blue"]),
    },
)
batch = st.lists(item, min_size=1, max_size=6, unique_by=lambda one: one["item_id"])
seeds = st.integers(0, len(VECTORS) - 1)
condition = {
    "category": texts | st.lists(texts, max_size=2) | st.fixed_dictionaries({"not": texts}),
    "captions": texts | st.fixed_dictionaries({"not": st.lists(texts, max_size=2)}),
    "price": st.none()
    | st.integers(0, 5)
    | st.lists(st.sampled_from([0.5, 1, 2.5]), max_size=2)
    | st.fixed_dictionaries(
        {}, optional={"min": st.integers(0, 5), "max": st.floats(0, 5), "not": st.integers(0, 5)}
    ).filter(bool),
    "new": st.none() | st.booleans() | st.fixed_dictionaries({"not": st.booleans()}),
    "tags": st.none()
    | st.sampled_from(["red", "sale"])
    | st.fixed_dictionaries({"not": st.sampled_from(["red", "new"])}),
    "the colour": st.none() | st.sampled_from(["red", "blue"]),
}
wheres = st.fixed_dictionaries({}, optional=condition)


class Sequences(RuleBasedStateMachine):
    """Any sequence of calls answers as the slow list does; a reader stays as it was when it was opened."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="lens-test-"))
        self.place = self.folder / "index"
        self.slow = Slow()
        self.reader: Reader | None = None
        self.writer: Writer | None = None

    @initialize(items=st.none() | batch, old=st.booleans(), seed=seeds)
    def begin(self, items: list[dict[str, Any]] | None, old: bool, seed: int) -> None:
        if items is None:
            create(self.place, dimension=DIMENSION, **FACTS)
        else:
            vectors = np.roll(VECTORS, seed, axis=0)[: len(items)]
            save(self.place, vectors, frame(items), **FACTS)
            self.slow.put(items, vectors)
            if old:
                as_format_1(self.place)
        self.reader = open_index(self.place)
        self.seen = self.slow.copy()
        self.writer = write(self.place)

    @rule(items=batch, seed=seeds)
    def put(self, items: list[dict[str, Any]], seed: int) -> None:
        vectors = np.roll(VECTORS, seed, axis=0)[: len(items)]
        self.writer.put(frame(items), vectors)
        self.slow.put(items, vectors)

    @rule(ids=st.lists(st.sampled_from(NAMES), max_size=4), missing_ok=st.booleans())
    def delete(self, ids: list[str], missing_ok: bool) -> None:
        there = [one for one in dict.fromkeys(ids) if one in self.slow.items]
        if len(there) < len(set(ids)) and not missing_ok:
            with pytest.raises(LensError, match="nothing was deleted"):
                self.writer.delete(ids)
            return
        assert self.writer.delete(ids, missing_ok=missing_ok) == len(there)
        for one in there:
            del self.slow.items[one]

    @rule()
    def compact(self) -> None:
        self.writer.compact()

    @rule(verify=st.booleans())
    def reopen(self, verify: bool) -> None:
        self.writer.close()
        self.writer = write(self.place)
        self.reader = open_index(self.place, verify=verify)
        self.seen = self.slow.copy()

    @rule()
    def refresh(self) -> None:
        self.reader = self.reader.refreshed()
        self.seen = self.slow.copy()
        assert self.reader.refreshed() is self.reader

    @precondition(lambda self: self.reader is not None)
    @rule(where=wheres, exclude=st.lists(st.sampled_from(NAMES), max_size=2), k=st.integers(1, 8), seed=seeds)
    def search(self, where: dict[str, Any], exclude: list[str], k: int, seed: int) -> None:
        known = {name: wanted for name, wanted in where.items() if name in self.reader.schema.names}
        check_search(self.reader, self.seen, VECTORS[[seed, seed - 1]], k, known, exclude)

    @rule()
    def look(self) -> None:
        check_items(self.reader, self.seen)

    @rule(verify=st.booleans())
    def load_all(self, verify: bool) -> None:
        index = load(self.place, verify=verify)
        assert sorted(index.items["item_id"]) == sorted(self.slow.items)
        assert index.manifest["count"] == len(index.items) == len(index.vectors)
        for one, vector in zip(index.items["item_id"], index.vectors, strict=True):
            np.testing.assert_array_equal(vector, self.slow.items[one][1])

    def teardown(self) -> None:
        if self.writer is not None:
            self.writer.close()
        shutil.rmtree(self.folder)


TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)


@pytest.mark.slow
class TestManySequences(Sequences.TestCase):  # type: ignore[misc, name-defined]
    settings = settings(max_examples=400, stateful_step_count=40, deadline=None)
