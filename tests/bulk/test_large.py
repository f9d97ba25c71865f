"""Many images: memory that does not grow with them, and real photographs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lens.index import load
from tests.bulk.made import build, embedder, pictures
from tests.bulk.trained import ROOT, environment

DATA = os.environ.get("LENS_TEST_DATA")
pytestmark = pytest.mark.slow
SCRIPT = """
import json, sys, threading, time
from pathlib import Path

peak, stop = 0, threading.Event()

def watch():
    global peak
    while not stop.is_set():
        lines = Path("/proc/self/status").read_text().splitlines()
        peak = max(peak, *(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))
        time.sleep(0.01)

if __name__ == "__main__":
    from tests.bulk.made import build, embedder
    by = embedder(64)
    watcher = threading.Thread(target=watch)
    watcher.start()
    build(Path(sys.argv[2]), Path(sys.argv[1]), by, shard=512)
    stop.set()
    watcher.join()
    print(json.dumps(peak / 1024))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    peaks = []
    for count in (2_000, 20_000):
        shop = pictures(tmp_path / f"shop{count}", count)
        command = [sys.executable, "-c", SCRIPT, str(shop), str(tmp_path / f"index{count}")]
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
        peaks.append(float(json.loads(done.stdout.splitlines()[-1])))
    # 18,000 more pictures of 64 px would be 211 MiB, and their vectors 18; rows of the table of 4 KiB are 70 in all.
    print(f"peak of private memory: {peaks[0]:.0f} and {peaks[1]:.0f} MiB")
    assert peaks[1] - peaks[0] < 110


@pytest.mark.skipif(DATA is None, reason="LENS_TEST_DATA does not name the folder of real photographs")
def test_real_photographs_are_embedded_as_a_plain_loop_does(tmp_path: Path) -> None:
    shoes = Path(str(DATA)) / "shoes"
    lines = (shoes / "captions.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "some.csv").write_text("\n".join([lines[0], *lines[1:7000:20]]) + "\n", encoding="utf-8")
    source = {
        "reader": "lens.data.sources.read_manifest", "path": str(tmp_path / "some.csv"), "root": str(shoes / "images"),
        "columns": {"caption": "title", "category": "articleType"},
    }  # fmt: skip
    by = embedder(64)
    changes = build(tmp_path / "index", source, by, shard=100)
    index = load(tmp_path / "index", verify=True)
    assert changes.new == len(index.items) == 350 and changes.unreadable == []
    assert {"gender", "baseColour", "season", "year", "usage"} <= set(index.items.columns)
    plain = by.images([by.open(shoes / "images" / path) for path in index.items["path"]])
    assert np.abs(index.vectors - plain).max() < 1e-5
