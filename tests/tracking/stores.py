"""What a store holds, and stores that are away or locked."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lens import tracking
from lens.tracking.logger import RunLogger
from lens.tracking.store import client

Maker = Callable[..., RunLogger]


def history(uri: str, run_id: str, name: str) -> list[tuple[int, float]]:
    return sorted((row.step, row.value) for row in client(uri).get_metric_history(run_id, name))


def status(uri: str, run_id: str) -> str:
    return tracking.run_tags(uri, run_id)["status"]


@contextmanager
def away(uri: str) -> Iterator[None]:
    path = Path(uri.removeprefix("sqlite:///"))
    path.rename(path.with_suffix(".away"))
    yield
    path.with_suffix(".away").rename(path)


@contextmanager
def locked(uri: str) -> Iterator[None]:
    connection = sqlite3.connect(uri.removeprefix("sqlite:///"))
    connection.execute("BEGIN EXCLUSIVE")
    yield
    connection.close()
