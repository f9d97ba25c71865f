"""The machine, and the work of others on it."""

import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from lens.compare.hardware import OthersAtWork, this_hardware, usable_cores
from lens.errors import LensError
from tests.compare.costs import MACHINE


def test_the_work_of_others_is_seen() -> None:
    burn = "import time\nwhile time.process_time() < 0.6: pass\nprint(time.process_time())"
    others, start = OthersAtWork(), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", burn], capture_output=True, text=True, check=True)
    cores = others.mean_cores()
    assert cores <= len(usable_cores()) + 0.1
    assert cores * (time.perf_counter() - start) > 0.7 * float(done.stdout)


def test_the_hardware_has_names() -> None:
    found = this_hardware("cpu")
    assert (
        found.device == "cpu" and found.gpu is None and found.cpu and found.threads == torch.get_num_threads()
    )
    assert found.key == this_hardware("cpu").key != replace(found, threads=found.threads + 1).key
    if not torch.cuda.is_available():
        assert this_hardware("auto") == found
        with pytest.raises(LensError, match="finds no GPU"):
            this_hardware("cuda")


def test_idle_cores_make_no_other_hardware() -> None:
    assert replace(MACHINE, cores=8).key == MACHINE.key  # two threads on four cores, or on eight
    for change in ({"cores": 1}, {"threads": 4}, {"cpu": "x"}, {"gpu": "x"}, {"torch": "2.10.0"}):
        assert replace(MACHINE, **change).key != MACHINE.key, change
