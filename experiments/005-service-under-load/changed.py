"""The service as a process, and what changes under it."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from clients import HEADERS, PORT, body

from lens.index import load, write

ROOT = Path(__file__).parents[2]


class Service:
    """The service on an index folder, in a process of its own."""

    def __init__(self, index: Path, uri: str) -> None:
        command = [
            sys.executable,
            "-m",
            "lens.serve",
            f"index={index}",
            f"uri={uri}",
            f"port={PORT}",
            "refresh=0.5",
        ]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        while not self.ready():
            assert self.process.poll() is None, "the service ended"
            time.sleep(0.2)

    def ready(self) -> bool:
        """Whether it says so."""
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def answering(self) -> str:
        """The process that answers: the child that multiprocessing started last."""
        below = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return below[-1]


@contextmanager
def service(index: Path, uri: str) -> Iterator[Service]:
    started = Service(index, uri)
    try:
        yield started
    finally:
        started.process.send_signal(signal.SIGTERM)
        started.process.wait(60)


def swap(index: Path) -> Callable[[], None]:
    """Each call takes an item out of the index, puts it in again, or, every fifth time, writes the whole index anew."""
    made = load(index)
    last = made.items.iloc[[-1]].reset_index(drop=True)
    state = {"there": True, "calls": 0}

    def change() -> None:
        state["calls"] += 1
        with write(index) as writer:
            if state["there"]:
                writer.delete([last["item_id"][0]])
            else:
                writer.put(last, made.vectors[-1:])
            if state["calls"] % 5 == 0:
                writer.compact()
        state["there"] = not state["there"]

    return change


def renew(running: Service) -> Callable[[], None]:
    """Each call has the process that answers replaced, and waits until the old one is gone."""

    def change() -> None:
        before = running.answering()
        running.process.send_signal(signal.SIGHUP)
        while running.answering() == before or os.path.exists(f"/proc/{before}"):
            time.sleep(0.1)

    return change


def explain(picture: bytes, item: str) -> Callable[[], None]:
    """Each call has one explanation made."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    asked = body(picture, {"item": item})

    def change() -> None:
        connection.request("POST", "/api/explain", asked, HEADERS)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, said

    return change
