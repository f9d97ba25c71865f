"""Work in other processes: in order, ended with the caller, and no hang in a script without a main guard."""

import subprocess
import sys
from pathlib import Path

import pytest

from lens.data.workers import spread
from lens.errors import LensError

ROOT = Path(__file__).parents[2]


def square(number: int) -> int:
    return number * number


def die(_: int) -> int:
    import os

    os._exit(3)


def test_results_come_in_the_order_of_the_pieces() -> None:
    assert list(spread(square, range(20), 2)) == [number * number for number in range(20)]


def test_a_process_that_is_ended_from_outside_is_a_sentence() -> None:
    with pytest.raises(LensError, match="ended from outside"):
        list(spread(die, range(3), 2))


def test_a_script_without_a_main_guard_ends_with_a_sentence(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from lens.data.workers import spread\nlist(spread(abs, range(4), 2))\n")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode != 0 and b"__main__" in done.stderr.splitlines()[-1]
