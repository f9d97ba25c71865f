"""The processes that decode: killed, stopped, crowded, and short of what they need."""

import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from lens.serve.decode import Decoders
from lens.serve.problems import BadPicture, Overloaded
from lens.serve.settings import Limits
from tests.serve.hostile import harmless, picture
from tests.serve.server import runs

SMALL, LARGE = picture("PNG"), dict(harmless())["one colour, 36 million pixels"]


@contextmanager
def opened(processes: int, seconds: float = 20.0) -> Iterator[tuple[Decoders, list[psutil.Process]]]:
    """Decoders, and their processes."""
    before = {child.pid for child in children()}
    made = Decoders(Limits(seconds=seconds), processes)
    try:
        yield made, [child for child in children() if child.pid not in before]
    finally:
        made.close()


def children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if runs(one.pid) and "spawn_main" in _command(one)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # it has ended since
        return ""


class Asking(threading.Thread):
    """A picture that is asked for in a thread: what came of it, after how many seconds, and when."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self.work, self.found, self.seconds, self.ended = work, None, 0.0, 0.0
        self.start()

    def run(self) -> None:
        began = time.monotonic()
        try:
            self.found = self.work()
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.found = error
        self.ended = time.monotonic()
        self.seconds = self.ended - began

    def end(self) -> Any:
        self.join(60)
        assert not self.is_alive()
        return self.found


@pytest.mark.parametrize(("processes", "killed"), [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_an_idle_process_that_is_killed_is_replaced(processes: int, killed: int, pause: float) -> None:
    with opened(processes) as (decoders, processes_of):
        for one in processes_of[:killed]:
            one.kill()
        time.sleep(pause)
        for _ in range(3):
            assert decoders.square(SMALL, 64).size == (64, 64)
        assert decoders.alive()


def test_alive_starts_again_what_died() -> None:
    before = set(children())
    with opened(1) as (decoders, (process,)):
        process.kill()
        process.wait(10)
        assert decoders.alive()
        assert len(set(children()) - before) == 1
        assert decoders.square(SMALL, 64).size == (64, 64)
    assert not decoders.alive()


@pytest.mark.slow
def test_one_that_hangs_as_it_starts_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(1, seconds=4.0) as (decoders, (process,)):
        monkeypatch.setattr("lens.serve.decode._START", 8.0)
        before = set(children())
        process.kill()
        process.wait(10)
        stuck = Asking(lambda: decoders.square(SMALL, 64))
        while not (started := set(children()) - before):
            time.sleep(0.001)
        (hung,) = started
        hung.suspend()  # as on a disk that does not answer
        found = stuck.end()
        until = time.monotonic() + 60
        while isinstance(found, Overloaded) and time.monotonic() < until:
            found = Asking(lambda: decoders.square(SMALL, 64)).end()
        assert found.size == (64, 64) and not runs(hung.pid)


def test_only_the_picture_of_a_killed_process_is_refused() -> None:
    with opened(2) as (decoders, (first, _)):
        asked = [Asking(lambda: decoders.square(LARGE, 64)) for _ in range(4)]
        while first.cpu_times().user < 0.4 and any(one.is_alive() for one in asked):
            time.sleep(0.005)
        first.kill()
        found = [one.end() for one in asked]
        broken = [one for one in found if isinstance(one, Exception)]
        assert len(broken) <= 1 and all("broke down" in str(one) for one in broken)
        assert decoders.square(SMALL, 64).size == (64, 64)


@pytest.mark.slow
def test_who_waits_for_a_stopped_process_is_told_that_the_service_is_busy() -> None:
    with opened(1, seconds=4.0) as (decoders, (process,)):
        process.suspend()
        stuck = Asking(lambda: decoders.square(SMALL, 64))
        time.sleep(0.1)
        waiting = Asking(lambda: decoders.square(SMALL, 64))
        assert isinstance(waiting.end(), Overloaded) and waiting.seconds >= 2  # half of what it has
        assert isinstance(stuck.end(), Overloaded) and stuck.seconds >= 4
        assert waiting.ended < stuck.ended
        assert decoders.square(SMALL, 64).size == (64, 64)  # the stopped process was killed and replaced


def test_a_picture_that_takes_all_the_time_is_to_blame_itself() -> None:
    with opened(1, seconds=3.0) as (decoders, (process,)):
        asked = Asking(lambda: decoders.square(LARGE, 64))
        busy = process.cpu_times().user
        while process.cpu_times().user < busy + 0.03:
            time.sleep(0.001)
        process.suspend()
        assert isinstance(asked.end(), BadPicture) and "s to decode" in str(asked.found)


def test_a_crowd_is_answered_or_refused_in_time() -> None:
    with opened(1, seconds=2.0) as (decoders, _):

        def form() -> int:
            with decoders.together():
                return sum(decoders.square(LARGE, 64).width for _ in range(4))

        asked = [Asking(form) for _ in range(12)]
        time.sleep(0.1)
        late = Asking(lambda: decoders.square(SMALL, 64))
        found = [one.end() for one in asked]
        late.end()
        assert max(one.seconds for one in [*asked, late]) < 8  # all of them would take half a minute
        refused = [one for one in found if one != 256]
        assert all(isinstance(one, Overloaded | BadPicture) for one in refused) and len(refused) >= 6
        assert decoders.square(SMALL, 64).size == (64, 64)


@pytest.mark.slow
def test_pictures_together_share_the_time_of_one() -> None:
    with opened(1, seconds=3.0) as (decoders, _):
        with decoders.together():
            assert decoders.square(SMALL, 64).size == (64, 64)
            time.sleep(3.01)
            with pytest.raises(Overloaded):
                decoders.square(SMALL, 64)
        assert decoders.square(SMALL, 64).size == (64, 64)


def test_what_cannot_start_is_not_alive_and_recovers() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with opened(1) as (decoders, (process,)):
        process.kill()
        process.wait(10)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))  # no pipe can be opened
            assert not decoders.alive()
            with pytest.raises(Overloaded):
                decoders.square(SMALL, 64)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert decoders.alive()
        assert decoders.square(SMALL, 64).size == (64, 64)


def test_closing_ends_what_they_are_at() -> None:
    with opened(1) as (decoders, (process,)):
        asked = Asking(lambda: decoders.square(LARGE, 64))
        time.sleep(0.05)
        decoders.close()
        assert not psutil.pid_exists(process.pid)
        asked.end()


def test_they_end_with_the_process_that_started_them() -> None:
    script = (
        "import os, psutil\n"
        "from lens.serve.decode import Decoders\n"
        "from lens.serve.settings import Limits\n"
        "if __name__ == '__main__':\n"
        "    decoders = Decoders(Limits(), 2)\n"
        "    print(*[one.pid for one in psutil.Process().children()], flush=True)\n"
        f"    os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], text=True, capture_output=True, timeout=60)
    started = [int(word) for word in done.stdout.split()]
    assert len(started) >= 2
    until = time.monotonic() + 10
    while any(runs(one) for one in started):
        assert time.monotonic() < until
        time.sleep(0.05)
