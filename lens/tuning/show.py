"""What a search tells the person at the terminal."""

import logging
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from lens.tuning.space import Space
from lens.tuning.study import Settings, TrialResult, best_of, ranked

SHOWN = 5


def print_begin(
    parent: str, space: Space, settings: Settings, monitor: str, done: int, again: Sequence[int]
) -> None:
    """What is searched, and how to go on after a stop."""
    names = ", ".join(item.name for item in space.dimensions)
    verb = f"goes on after {done} of" if done or again else "begins:"
    print(f"Search {parent} {verb} {settings.trials} trials over {names}, judged by {monitor}.")
    for number in again:
        print(f"Trial {number} was cut off and is repeated.")
    print(f"Ctrl-C stops it; to go on: {resume_command(space, parent)}", flush=True)


def resume_command(space: Space, parent: str) -> str:
    """What goes on with a search, the store in which it is kept included."""
    return shlex.join(["python", "tune.py", f"resume={parent[:8]}", *_store_words(space)])


def _store_words(space: Space) -> list[str]:
    """The words of the command line that say where runs are kept."""
    words = [item for item in space.items if isinstance(item, str)]
    return [word for word in words if word.startswith(("logger.uri=", "logger.experiment="))]


def print_trial(space: Space, done: Sequence[TrialResult]) -> None:
    """One line for the newest trial; a failure goes to stderr."""
    newest, best = done[-1], best_of(done)
    values = shown_values(space, newest.params)
    if newest.state == "failed":
        print(f"Trial {newest.number} failed ({values}): {newest.reason}", file=sys.stderr, flush=True)
        return
    figure = "-" if newest.value is None else f"{newest.value:.4f}"
    ended = f"{figure}" if newest.state == "finished" else f"pruned after {newest.epochs} epochs at {figure}"
    so_far = f"best {best.value:.4f} (trial {best.number})" if best else "none has finished"
    print(f"Trial {newest.number}: {ended}, {so_far}  {values}", flush=True)


def print_end(
    space: Space, done: Sequence[TrialResult], monitor: str, parent: str, why: str, seconds: float
) -> None:
    """The best trials as a table, and the commands for the best one."""
    states = [result.state for result in done]
    parts = [
        f"{states.count(state)} {state}" for state in ("finished", "pruned", "failed") if state in states
    ]
    print(f"{why} " if why else "", end="")
    print(f"{len(done)} trials in {seconds:.0f} s: {', '.join(parts) or 'none'}.")
    best = best_of(done)
    if best is None:
        print("No trial finished, so there is no best one.")
        return
    table = Table(title=f"The best trials by {monitor}", box=box.SIMPLE_HEAD)
    for heading in ("trial", "value", "run", *(item.name for item in space.dimensions)):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in ranked(done)[:SHOWN]:
        values = [_short(item.scale, result.params[item.name]) for item in space.dimensions]
        table.add_row(str(result.number), f"{result.value:.4f}", (result.run_id or "-")[:8], *values)
    Console(width=max(Console().width, 100), soft_wrap=True).print(table)
    where = [word.removeprefix("logger.") for word in _store_words(space)]
    run = f"run={(best.run_id or 'RUN')[:8]}"
    print(f"Its test side, which chose nothing: {shlex.join(['python', 'evaluate.py', run, *where])}")
    print(f"The best again: python train.py {shlex.join(space.words(best.params))}")
    print(f"All trials: trials.csv and pictures of run {parent} in MLflow")


def shown_values(space: Space, params: Mapping[str, Any]) -> str:
    """The values of a trial in four digits."""
    return " ".join(f"{item.name}={_short(item.scale, params.get(item.name))}" for item in space.dimensions)


def _short(scale: str, value: Any) -> str:
    return str(value) if scale == "choice" or not isinstance(value, float) else f"{value:.4g}"


class Once(logging.Filter):
    """Lets each message pass once: what the data are like need not be told by every trial."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        fresh = text not in self._seen
        self._seen.add(text)
        return fresh


@contextmanager
def repeats_held_back() -> Iterator[None]:
    """Inside the block each warning is told once."""
    handlers, once = logging.getLogger().handlers[:], Once()
    for handler in handlers:
        handler.addFilter(once)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(once)
