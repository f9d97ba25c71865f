"""The service as a real process on a real port."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.bulk.trained import ROOT, environment


class Server:
    """`python -m lens.serve` with these words; its output is kept in a file."""

    def __init__(
        self, log: Path, *words: str, env: dict[str, str] | None = None, port: int | None = None
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        command = [sys.executable, "-m", "lens.serve", f"port={self.port}", *words]
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**environment(), **(env or {})},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_ready(self, seconds: float = 90) -> None:
        """Until it says so. Fails where it ended instead."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.output
            try:
                if httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"not ready in {seconds} s: {self.output}")

    def children(self) -> list[int]:
        """The processes below it, their own children included."""
        import psutil

        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = 40) -> int:
        """Ask it to end; returns its status."""
        self.process.send_signal(how)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL to all of it, as a machine that is switched off."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(20)


@contextmanager
def serving(log: Path, *words: str, **more: Any) -> Iterator[Server]:
    """A server that is ready; it is gone afterwards."""
    server = Server(log, *words, **more)
    try:
        server.wait_ready()
        yield server
    finally:
        server.kill()


def runs(pid: int) -> bool:
    """Whether there is this process, and it has not ended."""
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # type: ignore[no-any-return]
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
