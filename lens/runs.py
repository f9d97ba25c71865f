"""Where a run's files lie, and how a stopped one goes on."""

import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from omegaconf import DictConfig

from lens.config import TrainConfig, changed
from lens.errors import LensError
from lens.tracking import download, find_run, project_folder, run_config, run_tags, tracking_uri


def run_folder(run_id: str | None) -> Path:
    """``runs/<run id>`` beside train.py; without tracking a new name, the time and six digits, takes its place."""
    own = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{secrets.token_hex(3)}"
    return project_folder() / "runs" / (run_id or own)


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep a run's folder, which is made if need be, for this process; a kill sets it free.

    Of the processes that torchrun started only the first holds it.

    Raises:
        LensError: another process trains this run.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise LensError(
            f"Run {folder.name} is still training in another process; wait for its end, or stop that one first."
        ) from error
    try:
        yield
    finally:
        lock.release()


def heed_sigterm() -> None:
    """Make SIGTERM end the program as Ctrl-C does, so that the run is marked also before and after the training."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def resumed(cfg: DictConfig) -> tuple[str, dict[str, Any], Path]:
    """The id of the run to go on with, its own configuration, and its last checkpoint.

    The settings given beside ``resume=``, which are in ``cfg.changes``, change the stored ones; choices of whole
    groups cannot change. The logger gets the store and the experiment in which the run was found.

    Raises:
        LensError: no such run, no checkpoint, or a setting that the run does not have.
    """
    if cfg.logger is None:
        raise LensError("resume needs the tracking store: leave out logger=none.")
    if "changes" not in cfg:
        raise LensError("resume is given on the command line only, not in a file.")
    uri, experiment = tracking_uri(cfg.logger.uri), cfg.logger.experiment
    run_id = find_run(uri, experiment, cfg.resume)
    longer = any(change.lstrip("+").startswith("trainer.max_epochs=") for change in cfg.changes)
    if run_tags(uri, run_id)["status"] == "FINISHED" and not longer:
        raise LensError(
            f"Run {run_id} is finished; to train it longer give trainer.max_epochs=N beside resume."
        )
    try:
        own = changed(run_config(uri, run_id), [], TrainConfig)
    except LensError as error:
        raise LensError(f"The stored configuration of run {run_id} cannot be used: {error}") from error
    config = changed(own, list(cfg.changes), TrainConfig)
    config["logger"] = {**config["logger"], "uri": uri, "experiment": experiment}
    checkpoint = run_folder(run_id) / "checkpoints" / "last.ckpt"
    if not checkpoint.is_file():  # trained on another machine, or tidied away
        try:
            download(uri, run_id, "checkpoints", checkpoint.parent.parent)
        except LensError as error:
            raise LensError(
                f"Run {run_id} has no checkpoint to go on from; it was stopped too early."
            ) from error
    epochs = config["trainer"].get("max_epochs", 10)
    held = torch.load(checkpoint, map_location="cpu", weights_only=False, mmap=True)
    done = held["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    if epochs < done:
        raise LensError(
            f"trainer.max_epochs={epochs}: run {run_id} has trained {done} epochs already; give a larger number."
        )
    return run_id, config, checkpoint
