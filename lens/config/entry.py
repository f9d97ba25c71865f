"""From the command line into a task: mistakes end in one sentence and status 2, bugs in a traceback."""

import functools
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lens.config import words
from lens.config.check import check
from lens.config.preflight import COMPOSITION_ERRORS, preflight
from lens.config.search import composed_words
from lens.errors import LensError

Task = Callable[[DictConfig], Any]
_VERBOSE = "HYDRA_FULL_ERROR"


class _Mistake(BaseException):
    """Carries a LensError past Hydra, which would print a heading of its own for an Exception."""


def entry(task: Task, *, config_name: str, schema: type, config_path: Path) -> Callable[[], None]:
    """A `main()` that runs `task` under Hydra with a configuration checked against `schema`.

    Every job of a sweep is checked before the first starts. What `task` returns reaches Hydra's sweeper. Beside
    `resume=RUN` the other settings are not composed: the task finds them as texts in `cfg.changes`. A schema with the
    key `words` composes its own keys alone, and the task finds all other words in `cfg.words`.
    A user's mistake (also a LensError raised by the task) is one sentence on stderr and exit status 2; Ctrl-C
    is status 130; any other exception keeps its traceback. HYDRA_FULL_ERROR=1 shows that of mistakes too.
    """

    def main() -> None:
        verbose = os.environ.get(_VERBOSE) == "1"
        try:
            with _full_errors():
                _run(_checked(task, schema, verbose), config_name, schema, config_path)
        except KeyboardInterrupt:
            if verbose:
                raise
            _stop("Interrupted.", 130)
        except (LensError, _Mistake) as error:
            if verbose:
                raise
            _stop("" if getattr(error, "told", False) else str(error), 2)

    return main


def _run(task: Task, config_name: str, schema: type, config_path: Path) -> None:
    args = get_args_parser().parse_args()
    given = args.overrides
    args.overrides = composed_words(
        args, schema, [path.name for path in config_path.iterdir() if path.is_dir()]
    )
    runs = _is_run(args)
    # A folder given by --config-path is Hydra's to find; the task still checks what comes out of it.
    if runs and args.config_path is None:
        preflight(config_path, args.config_name or config_name, args, schema)
    folder = str(config_path.resolve())
    launch = hydra.main(version_base="1.3", config_path=folder, config_name=config_name)(task)
    with _command_line(given, args.overrides):
        if runs:
            launch()
            return
        try:
            launch()
        except COMPOSITION_ERRORS as error:
            raise LensError(words.one_line(str(error) or str(error.__cause__))) from error


@contextmanager
def _command_line(given: list[str], composed: list[str]) -> Iterator[None]:
    """Let Hydra read `composed` in place of the words `given`; the options stay."""
    before = sys.argv
    if composed != given:
        sys.argv = [before[0], *composed, *(word for word in before[1:] if word not in given)]
    try:
        yield
    finally:
        sys.argv = before


def _is_run(args: Namespace) -> bool:
    """Whether a task will run: not for --help, --cfg and their like."""
    asks = (args.help, args.hydra_help, args.cfg, args.info, args.shell_completion, args.experimental_rerun)
    return not any(asks)


def _checked(task: Task, schema: type, verbose: bool) -> Task:
    """The task behind the check, also in the processes of a parallel launcher."""

    @functools.wraps(task)
    def checked(cfg: DictConfig) -> Any:
        try:
            check(cfg, schema)
            return task(cfg)
        except LensError as error:
            if verbose:
                raise
            hydra_cfg = HydraConfig.get() if HydraConfig.initialized() else None
            if hydra_cfg is None or hydra_cfg.mode != RunMode.MULTIRUN:
                raise _Mistake(str(error)) from error
            # The other jobs of a sweep go on, so the sentence is told now, with the job that it is about.
            job = f"Job {hydra_cfg.job.num} ({hydra_cfg.job.override_dirname})"
            print(f"{job}: {error}", file=sys.stderr, flush=True)
            error.told = True  # type: ignore[attr-defined]
            raise

    return checked


@contextmanager
def _full_errors() -> Iterator[None]:
    """Hydra raises what goes wrong, instead of printing it and exiting with status 1."""
    before = os.environ.get(_VERBOSE)
    os.environ[_VERBOSE] = "1"
    try:
        yield
    finally:
        os.environ.pop(_VERBOSE)
        if before is not None:
            os.environ[_VERBOSE] = before


def _stop(sentence: str, status: int) -> None:
    if sentence:
        print(sentence, file=sys.stderr)
    sys.exit(status)
