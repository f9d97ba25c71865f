import datetime
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lens.errors import LensError
from lens.index import EngineSettings, create, load, open_index, save, write
from tests.index.made import FACTS, Slow, check_items, frame, saved, table, unit

ROOT = Path(__file__).parents[2]


def held(place: Path) -> Slow:
    """What `saved` wrote."""
    slow = Slow()
    slow.put(table(6).to_dict("records"), unit(6, 8))
    return slow


@pytest.mark.parametrize(
    ("items", "vectors", "reason"),
    [
        (table(2), unit(2, 9), r"needs float32 vectors \[2, 8\], not float32 \[2, 9\]"),
        (table(2), unit(3, 8), r"needs float32 vectors \[2, 8\]"),
        (table(2), unit(2, 8).astype(np.float64), "not float64"),
        (table(2), unit(2, 8) * 1.1, "row 0 has length 1.1"),
        (table(2).assign(item_id="x"), unit(2, 8), "'x' appears more than once"),
        (table(2).drop(columns="role"), unit(2, 8), "lack the columns role"),
        (table(2).assign(price="cheap"), unit(2, 8), "does not fit the items that are there.*price"),
        (table(2).assign(price=np.inf), unit(2, 8), "'price' holds double or an infinite number"),
        (table(2).assign(bought=b"x"), unit(2, 8), "bought|stored"),
        (table(2).assign(mixed=["x", 5]), unit(2, 8), "'mixed' cannot be stored"),
        (table(2).assign(count=0.5), unit(2, 8), "the column 'count' does not fit"),
        (
            table(2).assign(path=pd.Series(["\ud800"] * 2, dtype=object)),
            unit(2, 8),
            "'path' cannot be stored",
        ),
    ],
)
def test_what_does_not_fit_is_not_put(tmp_path: Path, items: pd.DataFrame, vectors: Any, reason: str) -> None:
    more = table(6).assign(price=range(6), count=[2**60 + 1] * 6)  # which no fraction can be exactly
    place = save(tmp_path / "index", unit(6, 8), more, **FACTS)
    slow = Slow()
    slow.put(more.to_dict("records"), unit(6, 8))
    with write(place) as writer:
        with pytest.raises(LensError, match=reason):
            writer.put(items, vectors)
        check_items(open_index(place, verify=True), slow)
        writer.put(more.iloc[:0], unit(0, 8))
        check_items(open_index(place, verify=True), slow)


def test_values_of_all_kinds_come_back_before_and_after_a_compaction(tmp_path: Path) -> None:
    place = create(tmp_path / "index", dimension=8, **FACTS)
    items = [
        {"item_id": "a'\"%", "category": "ünï 😀", "captions": ["", "x"], "n": 2**62, "price": 0.1, "new": True,
         "tags": ["a", "b"], "sizes": [1, 2], "1 odd name?": "x", "made": {"by": "me"}, "none": None},
        {"item_id": " ", "n": None, "price": None, "new": None, "tags": [], "sizes": None, "1 odd name?": None,
         "made": None, "none": None},
        {"item_id": "plain"},
    ]  # fmt: skip
    slow = Slow()
    with write(place) as writer:
        writer.put(frame(items), unit(3, 8))
        slow.put(items, unit(3, 8))
        check_items(open_index(place, verify=True), slow)
        writer.compact()
        check_items(open_index(place, verify=True), slow)
        later = [{"item_id": "later", "day": "2024-01-02T00:00:00", "cost": "1.50", "size": "M"}]
        rows = frame(later).assign(
            day=pd.Timestamp("2024-01-02"), cost=[Decimal("1.50")], size=pd.Categorical(["M"], ["M", "L"])
        )
        writer.put(rows, unit(1, 8))
        slow.put(later, unit(1, 8))
        check_items(open_index(place, verify=True), slow)
        writer.compact()
        reader = open_index(place, verify=True)
        check_items(reader, slow)
        assert reader.ids(np.flatnonzero(reader.select({"day": "2024-01-02"}))) == ["later"]
        assert reader.column("size").tolist() == [None, None, None, "M"]
        writer.put(rows.assign(item_id="more", day=datetime.datetime(2025, 1, 1)), unit(1, 8))
    assert open_index(place).items([4])[0]["day"] == "2025-01-01T00:00:00"


def test_create_refuses_what_is_there_and_no_dimension(tmp_path: Path) -> None:
    with pytest.raises(LensError, match="at least 1 dimension"):
        create(tmp_path / "index", dimension=0, **FACTS)
    place = saved(tmp_path / "index")
    with pytest.raises(LensError, match="already something at"):
        create(place, dimension=8, **FACTS)
    check_items(open_index(place), held(place))


def test_delete_takes_a_list_and_names_what_is_not_there(tmp_path: Path) -> None:
    place = saved(tmp_path / "index")
    with write(place) as writer:
        with pytest.raises(LensError, match="a list of item ids"):
            writer.delete("i1")
        with pytest.raises(LensError, match="no item 'x'; nothing was deleted"):
            writer.delete(["i1", "x"])
        assert writer.delete(["i1", "x", "i1"], missing_ok=True) == 1
        with pytest.raises(LensError, match="no item 'i1'"):
            writer.delete(["i1"])
        assert writer.delete([]) == 0
    with pytest.raises(LensError, match="no item 'i1'"):
        open_index(place).find(["i0", "i1"])


def test_what_a_manifest_says_lives_on_but_the_fingerprint(tmp_path: Path) -> None:
    catalogue = {"name": "shop", "fingerprint": "abc", "relevance": "category"}
    place = saved(tmp_path / "index", catalogue=catalogue, bands={"image": {"high": 0.7}})
    before = load(place).manifest
    with write(place) as writer:
        writer.compact()
        assert load(place).manifest == before  # there was nothing to fold in
        writer.delete(["i0"])
        assert load(place).manifest["catalogue"] == {"name": "shop", "relevance": "category"}
        writer.compact()
    after = load(place).manifest
    for key in ("model", "preprocessing", "run_id", "bands"):
        assert after[key] == before[key]
    assert after["engine"]["settings"] == before["engine"]["settings"]
    assert after["catalogue"] == {"name": "shop", "relevance": "category"} and after["count"] == 5
    assert after["id"] != before["id"]


HOLDER = """
import sys
from lens.index import write
with write(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.readline()
"""


def test_a_second_writer_is_refused_while_the_first_one_lives(tmp_path: Path) -> None:
    place = saved(tmp_path / "index")
    command = [sys.executable, "-c", HOLDER, str(place)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "open\n"
        with pytest.raises(
            LensError, match="Another process is writing to the index .*index; let it end first"
        ):
            write(place)
        open_index(place).close()
        other.communicate("\n")
    with write(place), pytest.raises(LensError, match="Another process is writing"):
        write(place)
    write(place).close()
    with pytest.raises(LensError, match="There is no index"):
        write(tmp_path / "no" / "index")
    with pytest.raises(LensError, match="has no manifest.json"):
        write(tmp_path / "none")


FULL = """
import resource, signal, sys
from pathlib import Path
from lens.errors import LensError
from lens.index import write
from tests.index.made import saved, table, unit
place, word, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
if word == "save":
    calls = [lambda: saved(place, 3000)]
else:
    writer = write(place)
    calls = [lambda: writer.put(table(3000), unit(3000, 8, 1)) if word == "put" else writer.compact()] * 2
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
for call in calls:
    try:
        call()
    except LensError as error:
        print(error)
if word == "put":  # what is smaller still fits
    writer.put(table(1, 1), unit(1, 8, 2))
"""


@pytest.mark.parametrize(
    ("word", "kind", "limit"),
    [
        ("put", "exact", 30_000),
        ("compact", "exact", 30_000),
        ("compact", "hnsw", 300_000),
        ("save", "exact", 30_000),
    ],
)
def test_a_full_disk_is_told_in_a_sentence_and_leaves_the_index_whole(
    tmp_path: Path, word: str, kind: str, limit: int
) -> None:
    place = saved(tmp_path / "index", engine=EngineSettings(kind=kind))
    slow = held(place)
    if word == "compact":
        with write(place) as writer:
            writer.put(table(2000, 6), unit(2000, 8, 1))
        slow.put(table(2000, 6).to_dict("records"), unit(2000, 8, 1))
    command = [sys.executable, "-c", FULL, str(place), word, str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    told = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert len(told) == (1 if word == "save" else 2)
    assert all("could not be written and is as it was" in line for line in told), told
    if word == "put":
        slow.put(table(1, 1).to_dict("records"), unit(1, 8, 2))
    check_items(open_index(place, verify=True), slow)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["index"]


INTERRUPTED = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size=1")  # so that pages are written before the end of the transaction
database.execute("BEGIN")
database.execute("UPDATE changes SET checksum = checksum + 1, item = item || hex(zeroblob(50000))")
database.execute("DELETE FROM about")
print("begun", flush=True)
time.sleep(60)
"""


def interrupt(place: Path) -> None:
    """Leave the file of changes as a kill in the middle of a transaction leaves it."""
    command = [sys.executable, "-c", INTERRUPTED, str(place / "changes.sqlite")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "begun\n"
        writer.kill()
    assert (place / "changes.sqlite-journal").stat().st_size > 1000


@contextmanager
def may_only_read(folder: Path) -> Iterator[None]:
    """Take the right to write to a folder and to all in it from this process."""
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0  # who may do anything, so become nobody
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in paths:
            path.chmod(0o755)


@pytest.mark.parametrize("interrupted", [False, True])
def test_who_may_only_read_can_read(interrupted: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = saved(folder / "index")
        slow = held(place)
        with write(place) as writer:
            writer.delete(["i0"])
            writer.put(table(3, 6), unit(3, 8, 1))
        del slow.items["i0"]
        slow.put(table(3, 6).to_dict("records"), unit(3, 8, 1))
        if interrupted:
            interrupt(place)
        before = (place / "changes.sqlite").read_bytes()
        with may_only_read(folder):
            reader = open_index(place, verify=True)
            check_items(reader, slow)
            assert reader.refreshed() is reader and len(load(place).items) == 8
            with pytest.raises(LensError, match="cannot be written to: Permission denied"):
                write(place)
            with pytest.raises(LensError, match="cannot be written to: Permission denied"):
                saved(place)
        assert (place / "changes.sqlite").read_bytes() == before
        write(place).close()  # which clears away what was interrupted
        assert not (place / "changes.sqlite-journal").exists()
        check_items(open_index(place, verify=True), slow)
