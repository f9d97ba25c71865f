"""The service as processes: one that holds the socket, and one that answers and can be replaced."""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from lens.errors import LensError
from lens.serve.place import address, bind, is_local
from lens.serve.settings import Settings

_MISTAKE = 3  # exit status of a process whose settings cannot be served
_LOOK = 0.1  # seconds between looks at the processes
_PAUSE, _LONGEST = 1.0, 60.0  # seconds before one is started again; each further time twice as long
_DEATHS = 4  # one after the other before any was ready, after which nothing is expected any more
_START = 600.0  # seconds for a new process to take over
log = logging.getLogger("lens.serve")


def run(settings: Settings, host: str, port: int, drain: float = 30.0) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit status: 2 where there is nothing to serve, 1 where it only dies.

    The socket belongs to this process and stays open while the one that answers is replaced: after it died, or on
    SIGHUP by a new one that is ready before the old one ends. So who asks meanwhile waits, and is answered. Once it was
    ready, it is started again for as long as it takes, then without what cannot be opened any more.

    Args:
        drain: seconds that an ending process may take for what is in flight.

    Raises LensError for a port that is taken.
    """
    with bind(host, port) as listening, _signals() as asked:
        where = address(host, listening.getsockname()[1])
        if not is_local(host):
            beside = "" if settings.key else " and no key is asked of them: set LENS_API_KEY"
            print(
                f"Warning: others than this machine can reach the service at {where}{beside}.",
                file=sys.stderr,
            )
        told, deaths = replace(settings, address=where), 0
        answering = _Answering(told, listening, drain)
        while not asked["stop"]:
            time.sleep(_LOOK)
            if answering.ready.is_set():
                told, deaths = replace(told, strict=False), 0
            if not answering.process.is_alive():
                if told.strict and answering.process.exitcode == _MISTAKE:
                    return 2
                if told.strict and deaths == _DEATHS:
                    log.error("The service died %d times before it was ready; above is why.", deaths + 1)
                    return 1
                pause, deaths = min(_LONGEST, _PAUSE * 2 ** min(deaths, 10)), deaths + 1
                log.error("The process that answers has died; another one is started in %g s.", pause)
                _wait(pause, asked)
                answering = _another(told, listening, drain) or answering
            elif asked["renew"]:
                asked["renew"] = False
                new = _another(told, listening, drain)
                answering = answering if new is None else _renewed(answering, new, asked)
        answering.end()
    return 0


class _Answering:
    """A process that answers, from its start on; `ready` is set when its models are loaded."""

    def __init__(self, settings: Settings, listening: socket.socket, drain: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.ready, self._drain = context.Event(), drain
        self.process = context.Process(target=_answer, args=(settings, listening, drain, self.ready))
        self.process.start()

    def end(self) -> None:
        """Ask it to finish what is in flight, and wait for that."""
        self.process.terminate()
        self.process.join(self._drain + 10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _another(settings: Settings, listening: socket.socket, drain: float) -> _Answering | None:
    """A new one; None where the system gives no process now, for want of memory or of room for files."""
    try:
        return _Answering(settings, listening, drain)
    except OSError as error:
        log.error("No process can be started: %s.", error.strerror or error)
        return None


def _renewed(old: _Answering, new: _Answering, asked: dict[str, bool]) -> _Answering:
    """The new one, once it is ready; the old one, where it does not get so far."""
    deadline = time.monotonic() + _START
    while new.process.is_alive() and not asked["stop"] and time.monotonic() < deadline:
        if new.ready.wait(_LOOK):
            old.end()
            return new
    new.end()
    if not asked["stop"]:
        log.error("The new process did not start; the old one goes on.")
    return old


def _wait(seconds: float, asked: dict[str, bool]) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not asked["stop"]:
        time.sleep(_LOOK)


@contextmanager
def _signals() -> Iterator[dict[str, bool]]:
    """What the person, or the system, asks for by signals.

    A terminal that is closed sends SIGHUP too; then it means the end, but for who asked by nohup not to be told of it.
    """
    asked = {"stop": False, "renew": False}
    attached = _has_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN

    def hang_up(*_: Any) -> None:
        asked["stop" if attached and not _has_terminal() else "renew"] = True

    def stop(*_: Any) -> None:
        asked["stop"] = True

    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGHUP: hang_up}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return True
    except OSError:
        return False


def _answer(settings: Settings, listening: socket.socket, drain: float, ready: Any) -> None:
    """All that the process does which answers."""
    for number in (
        signal.SIGINT,
        signal.SIGHUP,
    ):  # Ctrl-C and a closed terminal reach both; the other one decides
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # while it starts; uvicorn has its own afterwards
    # Read when the libraries are loaded. Dozens of requests multiply small matrices at once, and would wait, spinning,
    # for the threads that NumPy shares out among them: experiment 005 measures what that costs.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # who sent a broken form is told
    threading.Thread(target=_end_with_parent, daemon=True, name="parent").start()
    import uvicorn

    from lens.serve.app import create_app
    from lens.serve.connections import Server

    leaving = threading.Event()
    try:
        app = create_app(settings, ready.set, leaving)
    except LensError as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(_MISTAKE)
    config = uvicorn.Config(
        app,
        http="h11",  # bounds the headers of a request; lens.serve.connections looks into it
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(drain),
        timeout_keep_alive=15,
    )
    Server(config, leaving, settings.limits.seconds).run(sockets=[listening])


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a process of its own
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
