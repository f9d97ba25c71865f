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

_MISTAKE = 3  # exit status of a process whose settings cannot be served: another one would not get further
_LOOK, _PAUSE = 0.1, 1.0  # seconds between looks at the processes, and before one is started again
log = logging.getLogger("lens.serve")


def run(settings: Settings, host: str, port: int, drain: float = 30.0) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit status, 2 where there is nothing to serve.

    The socket belongs to this process and stays open while the one that answers is replaced: after it died, or on
    SIGHUP by a new one that is ready before the old one ends. So who asks meanwhile waits, and is answered.

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
        told = replace(settings, address=where)
        answering = _Answering(told, listening, drain)
        while not asked["stop"]:
            if not answering.process.is_alive():
                if answering.process.exitcode == _MISTAKE:
                    return 2
                log.error("The process that answers has died; another one is started.")
                time.sleep(_PAUSE)
                answering = _Answering(told, listening, drain)
            elif asked["renew"]:
                asked["renew"] = False
                answering = _renewed(answering, _Answering(told, listening, drain), asked)
            time.sleep(_LOOK)
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


def _renewed(old: _Answering, new: _Answering, asked: dict[str, bool]) -> _Answering:
    """The new one, once it is ready; the old one, where it does not get so far."""
    while new.process.is_alive() and not asked["stop"]:
        if new.ready.wait(_LOOK):
            old.end()
            return new
    new.end()
    if not asked["stop"]:
        log.error("The new process did not start; the old one goes on.")
    return old


@contextmanager
def _signals() -> Iterator[dict[str, bool]]:
    """What the person, or the system, asks for by signals."""
    asked = {"stop": False, "renew": False}
    meaning = {signal.SIGINT: "stop", signal.SIGTERM: "stop"}
    if hasattr(signal, "SIGHUP"):
        meaning[signal.SIGHUP] = "renew"
    before = {
        number: signal.signal(number, lambda got, _: asked.__setitem__(meaning[signal.Signals(got)], True))
        for number in meaning
    }
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _answer(settings: Settings, listening: socket.socket, drain: float, ready: Any) -> None:
    """All that the process does which answers."""
    # Read when the libraries are loaded. Dozens of requests multiply small matrices at once, and would wait, spinning,
    # for the threads that NumPy shares out among them: experiment 005 measures what that costs.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # who sent a broken form is told
    threading.Thread(target=_end_with_parent, daemon=True, name="parent").start()
    import uvicorn

    from lens.serve.app import create_app
    from lens.serve.leaving import LeavingServer

    leaving = threading.Event()

    try:
        app = create_app(settings, ready.set, leaving)
    except LensError as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(_MISTAKE)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(drain),
        timeout_keep_alive=15,
    )
    try:
        LeavingServer(config, leaving).run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn hands it on when everything is finished
        pass


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a process of its own
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
