"""Pictures of the catalogue: how much memory they take, how long they are waited for, what is kept; and folding."""

import io
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lens.data.images import fit_square, load_rgb
from lens.index import Reader, open_index, save
from lens.serve.fold import folded
from lens.serve.pictures import Pictures
from lens.serve.problems import Missing, Overloaded
from tests.index.made import FACTS, table, unit
from tests.serve.hostile import picture


def catalogue(folder: Path) -> Reader:
    """An index whose pictures lie in `folder`."""
    folder.mkdir(exist_ok=True)
    index = folder.with_name("index")
    save(index, unit(6, 8), table(6), **FACTS, catalogue={"name": "made", "root": str(folder)})
    return open_index(index)


def item(name: str) -> dict[str, Any]:
    return {"item_id": name, "path": name}


def flat(place: Path, side: int, colour: int = 200) -> None:
    """A file of few bytes with many pixels."""
    Image.new("L", (side, side), colour).save(place, "PNG")


def together(works: list[Callable[[], Any]]) -> list[Any]:
    """What each gave, or the exception that it ended with; all at once."""
    begin = threading.Barrier(len(works))

    def one(work: Callable[[], Any]) -> Any:
        begin.wait()
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - looked at by the test
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(one, works))


_MEASURE = r"""
import re, sys, threading
from pathlib import Path
from lens.index import open_index
from lens.serve.pictures import Pictures

reader = open_index(sys.argv[1])
def peak(names):
    pictures = Pictures()
    def one(name):
        pictures.jpeg(reader, {"item_id": name, "path": name}, 64)
    threads = [threading.Thread(target=one, args=(name,)) for name in names]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
before = peak([])
print(*(peak(names) - before for names in (["0.png"], ["0.png"] * 6, [f"{i}.png" for i in range(6)])))
"""


def test_many_large_pictures_at_once_take_the_memory_of_two(tmp_path: Path) -> None:
    reader = catalogue(tmp_path / "pictures")
    for number in range(6):
        flat(tmp_path / "pictures" / f"{number}.png", 5000, number)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(reader.folder)], text=True, capture_output=True, timeout=120
    )
    one, equal, different = map(int, done.stdout.split())
    assert one > 50_000  # kB: it is large
    assert equal < 1.3 * one and different < 2.6 * one, (one, equal, different)


def test_equal_requests_share_one_decoding(tmp_path: Path) -> None:
    reader = catalogue(tmp_path / "pictures")
    flat(tmp_path / "pictures" / "a.png", 4000)
    began = time.process_time()
    alone = Pictures().jpeg(reader, item("a.png"), 64)
    single, pictures, began = time.process_time() - began, Pictures(), time.process_time()
    assert set(together([lambda: pictures.jpeg(reader, item("a.png"), 64)] * 12)) == {alone}
    assert time.process_time() - began < 4 * single


def test_equal_requests_share_one_refusal(tmp_path: Path) -> None:
    reader = catalogue(tmp_path / "pictures")
    (tmp_path / "pictures" / "a.png").write_bytes(picture("PNG")[:500])
    pictures = Pictures()
    for _ in range(2):
        found = together([lambda: pictures.jpeg(reader, item("a.png"), 64)] * 6)
        assert all(isinstance(one, Missing) and "cannot be read" in str(one) for one in found)
    (tmp_path / "pictures" / "a.png").write_bytes(picture("PNG"))
    assert pictures.jpeg(reader, item("a.png"), 64)


@pytest.mark.parametrize("kind", ["jpeg", "hash", "rgb", "one jpeg"])
def test_waiting_for_others_has_an_end(tmp_path: Path, kind: str) -> None:
    reader, pictures = catalogue(tmp_path / "pictures"), Pictures(seconds=0.03)
    for number in range(6):
        flat(tmp_path / "pictures" / f"{number}.png", 6000, number)

    def ask(number: int) -> Any:
        asked = item("0.png" if kind == "one jpeg" else f"{number}.png")
        if kind == "hash":
            return pictures.hash(reader, asked)
        return pictures.rgb(reader, asked, 64) if kind == "rgb" else pictures.jpeg(reader, asked, 64)

    found = together([partial(ask, number) for number in range(6)])
    busy = [one for one in found if isinstance(one, Exception)]
    assert 1 <= len(busy) <= 5 and all(isinstance(one, Overloaded) for one in busy)
    assert not isinstance(ask(5), Exception)


def test_what_is_kept_takes_no_more_memory_than_it_may(tmp_path: Path) -> None:
    reader, room = catalogue(tmp_path / "pictures"), 100_000
    (tmp_path / "pictures" / "0.png").write_bytes(picture("PNG"))
    for number in range(1, 1500):
        os.link(tmp_path / "pictures" / "0.png", tmp_path / "pictures" / f"{number}.png")
    pictures = Pictures(cache_bytes=room)
    pictures.hash(reader, item("0.png"))
    tracemalloc.start()
    for number in range(1500):
        assert pictures.hash(reader, item(f"{number}.png")) is not None
    held = tracemalloc.take_snapshot().filter_traces(
        [tracemalloc.Filter(True, "*/lens/*"), tracemalloc.Filter(True, "*/pathlib.py")]
    )
    tracemalloc.stop()
    taken = sum(trace.size for trace in held.traces)
    assert 0.5 * room < taken < 1.2 * room


def test_a_picture_that_vanishes_meanwhile_is_missing(tmp_path: Path) -> None:
    reader = catalogue(tmp_path / "pictures")
    place, whole, ended = tmp_path / "pictures" / "a.png", picture("PNG"), threading.Event()

    def toggle() -> None:
        while not ended.is_set():
            place.write_bytes(whole)
            place.unlink()

    thread = threading.Thread(target=toggle)
    thread.start()
    seen = set()
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        try:
            seen.add(type(Pictures().jpeg(reader, item("a.png"), 16)))
        except Missing:
            seen.add(Missing)
    ended.set()
    thread.join()
    assert Missing in seen


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(900, 600), (333, 1000), (40, 30), (64, 64), (2000, 1)])
def test_a_picture_for_a_model_is_no_larger_than_it_sees(
    tmp_path: Path, kind: str, size: tuple[int, int]
) -> None:
    reader = catalogue(tmp_path / "pictures")
    whole = picture(kind, size)
    (tmp_path / "pictures" / "a").write_bytes(whole)
    shown = Pictures().rgb(reader, item("a"), 64)
    assert max(shown.size) <= 64 or shown.size == size
    assert max(shown.size) == min(64, max(size))
    assert (fit_square(shown, 64) == fit_square(load_rgb(whole, at_least=64), 64)).all()


def test_a_thumbnail_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    reader, pictures = catalogue(tmp_path / "pictures"), Pictures()
    place = tmp_path / "pictures" / "a.png"
    flat(place, 300, 10)
    first = pictures.jpeg(reader, item("a.png"), 64)
    assert pictures.jpeg(reader, item("a.png"), 64) is first
    assert Image.open(io.BytesIO(first)).size == (64, 64)
    flat(place, 301, 250)
    assert pictures.jpeg(reader, item("a.png"), 64) != first


@given(
    st.lists(st.none() | st.integers(0, 2**12 - 1).map(lambda n: n.to_bytes(2, "big") * 16), max_size=12),
    st.integers(0, 64),
)
def test_folding_is_what_comparing_one_by_one_gives(hashes: list[bytes | None], most: int) -> None:
    expected: list[int | None] = []
    for place, one in enumerate(hashes):
        near = [
            other
            for other in range(place)
            if one is not None
            and (head := hashes[other]) is not None
            and expected[other] is None
            and np.count_nonzero(
                np.unpackbits(np.frombuffer(one, np.uint8)) != np.unpackbits(np.frombuffer(head, np.uint8))
            )
            <= most
        ]
        expected.append(near[0] if near else None)
    assert folded(hashes, most) == expected
