"""`python -m lens.index` killed in the middle: what was durable is not done again, and nothing is lost."""

import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from lens.index import load, open_index
from tests.bulk.made import pictures
from tests.bulk.trained import Trained, train

pytestmark = pytest.mark.slow
PICTURES, SHARD = 1500, 48


@pytest.fixture(scope="module")
def trained(shoes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    run = train(tmp_path_factory.mktemp("trained"), shoes)
    yield run
    run.remove()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures(tmp_path_factory.mktemp("shop"), PICTURES)


def durable(building: Path) -> int:
    return sum(pq.read_metadata(path).num_rows for path in building.glob("[0-9]*.parquet"))


def kill_when(process: "subprocess.Popen[str]", reached) -> None:
    """SIGKILL as soon as `reached()`; its decoding processes end by themselves."""
    children: list[psutil.Process] = []
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.002)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


def finished(process: "subprocess.Popen[str]") -> str:
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    return said


@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_build_embeds_only_what_was_not_durable(
    trained: Trained, shop: Path, tmp_path: Path, workers: int
) -> None:
    target, building = tmp_path / "index", tmp_path / ".index.building"
    words = (
        "run=last", "data=folder", f"data.root={shop}", "data.batch_size=16", f"data.workers={workers}",
        f"out={target}", f"shard={SHARD}",
    )  # fmt: skip
    held = 0
    for _ in range(3):
        wanted = held + random.randint(1, 8) * SHARD
        kill_when(trained.start(*words), lambda: durable(building) >= wanted)  # noqa: B023
        assert not target.exists()
        held = durable(building)
        assert wanted <= held < PICTURES
    said = finished(trained.start(*words))
    assert f"Going on: {held} images" in said
    assert f"{PICTURES} items, {PICTURES - held} of them embedded now" in said
    assert not building.exists()
    finished(trained.start(*words[:4], "data.workers=0", f"out={tmp_path / 'whole'}"))
    one, other = load(tmp_path / "whole", verify=True), load(target, verify=True)
    assert list(one.items["item_id"]) == list(other.items["item_id"])
    assert np.abs(one.vectors - other.vectors).max() < 1e-5


def test_a_killed_update_embeds_only_what_was_not_durable(
    trained: Trained, shop: Path, tmp_path: Path
) -> None:
    own, target = tmp_path / "shop", tmp_path / "index"
    shutil.copytree(shop, own)
    finished(trained.start("run=last", "data=folder", f"data.root={own}", f"out={target}"))
    pictures(own, 300, seed=7)  # 300 pictures are others now
    gone = sorted(own.rglob("*.png"))[-5:]
    for path in gone:
        path.unlink()
    # The file alone would tell of a shard that is not committed yet.
    kill_when(trained.start(f"update={target}", "shard=24"), lambda: open_index(target).rows > PICTURES + 24)
    load(target, verify=True)
    said = finished(trained.start(f"update={target}", "shard=24"))
    found = re.search(r"(\d+) new, (\d+) changed, 0 with other data, (\d+) dropped, (\d+) as they were", said)
    assert found is not None, said
    new, changed, dropped, kept = map(int, found.groups())
    assert (new, dropped, changed + kept) == (0, 5, PICTURES - 5)
    assert 0 < changed <= 300 - 24  # one shard at least was durable
    finished(trained.start("run=last", "data=folder", f"data.root={own}", f"out={tmp_path / 'whole'}"))
    one, other = load(tmp_path / "whole"), load(target, verify=True)
    place = other.items.set_index("item_id").index.get_indexer(one.items["item_id"])
    assert (place >= 0).all() and len(other.items) == len(one.items)
    assert np.abs(one.vectors - other.vectors[place]).max() < 1e-5
