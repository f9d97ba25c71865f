"""Work spread over processes that end with the one that started them."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from lens.errors import LensError

T = TypeVar("T")
R = TypeVar("R")

_GUARD = "a script that starts worker processes needs its own work below `if __name__ == '__main__':`"


def spread(work: Callable[[T], R], pieces: Iterable[T], workers: int) -> Iterator[R]:
    """The results of `work` for each piece, in order; both must be picklable, and `work` is sent only once.

    Raises:
        LensError: a process was ended from outside, or the calling script is run again by each process.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # A worker that is still importing the main script: starting more of them would hang both for ever.
        raise LensError(f"Not here: {_GUARD}.")
    # Spawned, not forked: this process may run threads (torch, loggers), which a fork can leave locked.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(work,))
    try:
        yield from pool.map(_do, pieces)
    except BrokenProcessPool as error:
        raise LensError(
            "A worker process was ended from outside, perhaps for lack of memory; start again. "
            f"(Or: {_GUARD}.)"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_work: list[Callable[[Any], Any]] = []


def _begin(work: Callable[[Any], Any]) -> None:
    _work[:] = [work]
    end_with_parent()


def _do(piece: Any) -> Any:
    return _work[0](piece)


def end_with_parent() -> None:
    """End this process with the one that started it, which a pool or a loader alone does not do when that is killed."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
