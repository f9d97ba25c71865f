import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lens.index import create, open_index, write
from tests.index.killed import DIMENSION, call, items_of
from tests.index.made import FACTS, Slow, check_items, frame

ROOT = Path(__file__).parents[2]


def killed_after(place: Path, seed: int, number: int, seconds: float) -> tuple[int, int]:
    """Run the writer from a call on and kill it; the numbers of the last call done and the last one begun."""
    command = [sys.executable, "-m", "tests.index.killed", str(place), str(seed), str(number)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert writer.stdout is not None
    lines = [writer.stdout.readline()]  # it has begun
    time.sleep(seconds)
    writer.send_signal(signal.SIGKILL)
    lines += writer.stdout.read().splitlines()
    writer.wait()
    writer.stdout.close()
    told = [(word, int(at)) for word, at in (line.split() for line in lines if len(line.split()) == 2)]
    done = [at for word, at in told if word == "done"]
    return max(done, default=number - 1), max(at for word, at in told if word == "begin")


def after(slow: Slow, seed: int, number: int) -> Slow:
    """The list after the call of that number."""
    slow = slow.copy()
    word, ids, vectors = call(seed, number)
    if word == "put":
        slow.put(items_of(ids, number), vectors)
    elif word == "delete":
        for one in ids:
            slow.items.pop(one, None)
    return slow


def holds(place: Path, slow: Slow) -> bool:
    """Whether the index, every byte of it verified, holds just these items and vectors."""
    with open_index(place, verify=True) as reader:
        ids = set(reader.ids(np.flatnonzero(reader.alive)))
        if ids != slow.items.keys():
            return False
        prices = {item["item_id"]: item["price"] for item in reader.items(np.flatnonzero(reader.alive))}
        if prices != {one: item["price"] for one, (item, _) in slow.items.items()}:
            return False
        check_items(reader, slow)
        return True


def kill_often(tmp_path: Path, kills: int, seed: int, **facts: Any) -> dict[str, int]:
    place = create(tmp_path / "index", dimension=DIMENSION, **FACTS, **facts)
    with write(place) as writer:  # so that the columns are known
        first = items_of(["item 0"], -1)
        vector = call(seed, 0)[2][:1]
        writer.put(frame(first), vector)
    slow = Slow()
    slow.put(first, vector)
    pace = np.random.default_rng(seed)
    number, caught = 0, {"unfinished": 0, "interrupted": 0, "left behind": 0, "calls": 0}
    for _ in range(kills):
        done, begun = killed_after(place, seed, number, float(pace.uniform(0, 0.4)))
        caught["left behind"] += any(tmp_path.glob(".index.partial-*"))
        caught["interrupted"] += (place / "changes.sqlite-journal").exists()
        for at in range(number, done + 1):
            slow = after(slow, seed, at)
        number = done + 1
        if not holds(place, slow):  # then the call that was under way is done wholly
            assert begun == number, "something acknowledged is missing, or something deleted is there"
            slow = after(slow, seed, number)
            assert holds(place, slow), "a call was done in part"
            number += 1
            caught["unfinished"] += 1
    caught["calls"] = number
    return caught


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    caught = kill_often(tmp_path, 5, seed=1)
    assert caught["calls"] > 0, "the writer did not write; the test showed nothing"


@pytest.mark.slow
def test_a_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    caught = kill_often(tmp_path, 100, seed=2)
    print(caught)
    assert caught["left behind"] > 5, "hardly a kill fell into a compaction"
    assert caught["interrupted"] > 0, "no kill fell into a transaction"
