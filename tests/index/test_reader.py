import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.errors import LensError
from lens.index import Reader, create, load, open_index, save, write
from lens.index.exchange import retried
from lens.index.manifest import read_manifest
from tests.index.made import FACTS, Slow, check_items, check_search, frame, saved, unit

ROOT = Path(__file__).parents[2]


def shop(place: Path, count: int) -> tuple[Reader, Slow]:
    """An index over several groups of rows, with additions, replaced and deleted items."""
    chance = np.random.default_rng(0)
    items: list[dict[str, Any]] = [
        {"item_id": f"i{row}", "category": str(chance.choice(["boots", "sandals", "rare"], p=[0.5, 0.495, 0.005])),
         "price": int(chance.integers(100)), "tags": [str(chance.choice(["a", "b", "c"]))]}
        for row in range(count)
    ]  # fmt: skip
    vectors = unit(count, 8)
    save(place, vectors, frame(items), **FACTS)
    slow = Slow()
    slow.put(items, vectors)
    with write(place) as writer:
        more = [{**item, "price": None} for item in items[::50]] + [
            {**item, "item_id": f"n{item['item_id']}"} for item in items[:200]
        ]
        writer.put(frame(more), unit(len(more), 8, 1))
        slow.put(more, unit(len(more), 8, 1))
        gone = [f"i{row}" for row in range(1, count, 7)]
        writer.delete(gone)
        for one in gone:
            slow.items.pop(one)
    return open_index(place), slow


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reader, Slow]:
    return shop(tmp_path_factory.mktemp("shop") / "index", 9000)


def test_items_over_several_groups_of_rows(stocked: tuple[Reader, Slow]) -> None:
    reader, slow = stocked
    check_items(reader, slow)
    chance = np.random.default_rng(1)
    rows = chance.permutation(reader.rows)[:500]
    ids, prices = reader.column("item_id"), reader.column("price")
    assert reader.ids(rows) == [ids[row] for row in rows]
    assert [item["price"] for item in reader.items(rows)] == [prices[row] for row in rows]
    assert reader.ids([]) == [] and reader.items([]) == [] and reader.vectors([]).shape == (0, 8)
    assert reader.ids([5, 5]) == [ids[5]] * 2
    assert sorted(ids[reader.alive]) == sorted(slow.items)


@settings(max_examples=30, deadline=None)
@given(
    where=st.fixed_dictionaries(
        {},
        optional={
            "category": st.sampled_from(["boots", "rare", "none"]) | st.just({"not": ["boots", "sandals"]}),
            "price": st.none()
            | st.integers(0, 99)
            | st.integers(0, 99).map(lambda low: {"min": low, "max": low + 3}),
            "tags": st.sampled_from(["a", ["a", "b"], {"not": "c"}]),
        },
    ),
    k=st.sampled_from([1, 10, 100, 3000]),
    exclude=st.lists(st.sampled_from(["i0", "i2", "ni0", "unknown"]), max_size=3),
    seed=st.integers(0, 9),
)
def test_filters_lose_nothing(
    stocked: tuple[Reader, Slow], where: dict[str, Any], k: int, exclude: list[str], seed: int
) -> None:
    reader, slow = stocked
    check_search(reader, slow, unit(2, 8, seed), k, where, exclude)


def test_questions_that_cannot_be_answered_are_refused(stocked: tuple[Reader, Slow]) -> None:
    reader, _ = stocked
    for asking, reason in [
        (lambda: reader.search(unit(1, 9), 5), r"shape \[1, 9\]; it must be \[Q, 8\]"),
        (lambda: reader.search(unit(1, 8)[0], 5), r"shape \[8\]"),
        (lambda: reader.search(unit(1, 8) * np.nan, 5), "row 0 holds NaN"),
        (lambda: reader.search(unit(1, 8) * 0, 5), "row 0 is all zeros"),
        (lambda: reader.search(unit(1, 8), 0), "k is 0"),
        (lambda: reader.search(unit(1, 8), 5, where={"colour": "red"}), "no column 'colour'"),
        (lambda: reader.find(["i0", "x"]), "no item 'x'"),
        (lambda: reader.ids([reader.rows]), "rows 0 to"),
        (lambda: reader.vectors([-1]), "rows 0 to"),
        (lambda: reader.column("colour"), "no column 'colour'"),
    ]:
        with pytest.raises(LensError, match=reason):
            asking()
    assert reader.search(unit(0, 8), 5).rows.shape == (0, 5)


def test_queries_of_any_length_get_true_cosines(stocked: tuple[Reader, Slow]) -> None:
    reader, _ = stocked
    one, other = (reader.search(unit(3, 8) * length, 5) for length in (1, 50))
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_allclose(one.cosines, other.cosines, atol=1e-6)
    assert reader.search(reader.vectors(reader.find(["i2"])), 1).cosines[0, 0] == pytest.approx(1, abs=1e-6)


def test_an_empty_index_answers(tmp_path: Path) -> None:
    place = create(tmp_path / "index", dimension=3, **FACTS)
    with open_index(place, verify=True) as reader:
        assert len(reader) == reader.rows == 0 and reader.dimension == 3
        found = reader.search(unit(2, 3), 4, where={"category": "boots"}, exclude=["x"])
        assert (found.rows == -1).all() and np.isnan(found.cosines).all()
        assert reader.column("item_id").shape == (0,)
        with pytest.raises(LensError, match="no item 'x'"):
            reader.find(["x"])
    index = load(place)
    assert index.vectors.shape == (0, 3) and len(index.items) == 0


def test_a_closed_reader_leaves_those_that_share_its_files(tmp_path: Path) -> None:
    place = saved(tmp_path / "index")
    reader = open_index(place)
    with write(place) as writer:
        writer.delete(["i0"])
    newer = reader.refreshed()
    reader.close()
    assert len(newer.search(unit(1, 8), 9, where={"category": "boots"}).rows[0]) == 9
    assert newer.items([1])[0]["item_id"] == "i1"


def test_threads_share_a_reader(tmp_path: Path) -> None:
    reader, slow = shop(tmp_path / "index", 5000)  # nothing of it is in memory yet
    where = {"category": "boots", "price": {"min": 50}}
    wrong: list[BaseException] = []

    def ask(seed: int) -> None:
        try:
            for number in range(6):
                check_search(reader, slow, unit(2, 8, seed + number), 20, where, [])
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_index_exchanged_while_it_is_opened_is_opened_again(tmp_path: Path) -> None:
    place = saved(tmp_path / "index", run_id="0")
    opened: list[str] = []

    def slowly(now: Path) -> tuple[str, bytes]:
        manifest, seal = read_manifest(now)
        if len(opened) < 3:  # a writer comes between the reading of the manifest and that of the rest
            saved(place, run_id=str(len(opened) + 1))
        opened.append(manifest["run_id"])
        if len(opened) == 2:
            raise LensError("the rest does not fit the manifest")
        return manifest["run_id"], seal

    assert retried(place, slowly) == "3" and opened == ["0", "1", "2", "3"]
    with pytest.raises(LensError, match="broken for good"):
        retried(place, broken)


def broken(_: Path) -> tuple[str, bytes]:
    raise LensError("broken for good")


WRITER = """
import sys
from lens.index import write
from tests.index.made import frame, saved, unit
place = sys.argv[1]
number = 0
while True:  # each call replaces all items, so that a half of one would show
    number += 1
    if number % 7 == 0:
        saved(place, 40, number, run_id=str(number), engine=None)
        continue
    with write(place) as writer:
        items = [{"item_id": f"i{row}", "category": "boots", "price": number} for row in range(40)]
        writer.put(frame(items), unit(40, 8, number))
        if number % 3 == 0:
            writer.compact()
    print(number, flush=True)
"""


def test_readers_go_on_while_another_process_writes_and_compacts(tmp_path: Path) -> None:
    place = saved(tmp_path / "index", 40)
    command = [sys.executable, "-c", WRITER, str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        threading.Thread(target=writer.stdout.read, daemon=True).start()
        seen, reader, old = set(), open_index(place), open_index(place)
        until = time.monotonic() + 60
        before = (old.items(np.flatnonzero(old.alive)), old.search(unit(1, 8), 40))
        try:
            for number in count():
                if number >= 150 and len(seen) > 10:
                    break
                assert time.monotonic() < until, "the writer hardly writes"
                reader = reader.refreshed() if number % 2 else open_index(place, verify=number % 10 == 0)
                rows = np.flatnonzero(reader.alive)
                assert len(reader) == len(rows) == 40 and len(set(reader.ids(rows))) == 40
                prices = {item.get("price") for item in reader.items(rows)}
                assert len(prices) == 1, "a reader saw a part of a call"
                price = prices.pop()
                made = int(reader.manifest["run_id"].strip("r")) if price is None else price
                if price is not None or made > 1:
                    best = reader.search(unit(40, 8, made), 1)
                    np.testing.assert_allclose(best.cosines, 1, atol=1e-5)
                    assert reader.ids(best.rows[:, 0]) == [f"i{row}" for row in range(40)]
                seen.add((reader.manifest.get("id"), price))
        finally:
            writer.kill()
    after = old.search(unit(1, 8), 40)
    assert old.items(np.flatnonzero(old.alive)) == before[0]
    np.testing.assert_array_equal(after.rows, before[1].rows)
    np.testing.assert_array_equal(after.cosines, before[1].cosines)


@pytest.mark.parametrize("many", [1, 100, 101, 250])
def test_any_number_of_items_can_be_left_out(many: int, tmp_path: Path) -> None:
    ids = [f"i{row}" for row in range(300)]
    items = [{"item_id": name} for name in ids]
    vectors = unit(300, 6, 3)
    save(tmp_path / "index", vectors, frame(items), **FACTS)
    out = list(np.random.default_rng(many).permutation(ids)[:many])
    query = unit(2, 6, 4)
    with open_index(tmp_path / "index") as reader:
        found = reader.search(query, 60, exclude=[*out, out[0], "unknown"])
    cosines = query @ vectors.T
    cosines[:, [int(name[1:]) for name in out]] = -2
    left = min(60, 300 - many)
    assert (found.rows[:, :left] == np.argsort(-cosines, axis=1)[:, :left]).all()
    assert (found.rows[:, left:] == -1).all() and np.isnan(found.cosines[:, left:]).all()
