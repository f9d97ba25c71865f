"""Where a run's files lie, and how a stopped one goes on."""

import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lens.config import plain
from lens.errors import LensError
from lens.tracking import download, find_run, project_folder, run_config, run_tags, tracking_uri


def run_folder(run_id: str | None) -> Path:
    """``runs/<run id>`` beside train.py; without tracking the time takes the place of the id."""
    return project_folder() / "runs" / (run_id or time.strftime("%Y-%m-%d_%H-%M-%S"))


def heed_sigterm() -> None:
    """Make SIGTERM end the program as Ctrl-C does, so that the run is marked also before and after the training."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def resumed(cfg: DictConfig, overrides: list[str]) -> tuple[str, dict[str, Any], Path]:
    """The id of the run to go on with, its own configuration, and its last checkpoint.

    Settings given beside ``resume=`` change the stored ones; choices of whole groups cannot change.

    Raises:
        LensError: no such run, no checkpoint, or a setting that the run does not have.
    """
    if cfg.logger is None:
        raise LensError("resume needs the tracking store: leave out logger=none.")
    uri = tracking_uri(cfg.logger.uri)
    run_id = find_run(uri, cfg.logger.experiment, cfg.resume)
    if run_tags(uri, run_id)["status"] == "FINISHED" and not any("max_epochs" in word for word in overrides):
        raise LensError(
            f"Run {run_id} is finished; to train it longer give trainer.max_epochs=N beside resume."
        )
    stored = OmegaConf.create(run_config(uri, run_id))
    for override in overrides:
        key, _, value = override.partition("=")
        if key in ("resume", "logger.uri", "logger.experiment"):
            continue
        known = OmegaConf.select(stored, key, default=_ABSENT)
        if known is _ABSENT or OmegaConf.is_dict(known):
            raise LensError(
                f"{override}: a resumed run keeps its choices; only single settings of it can change."
            )
        OmegaConf.update(stored, key, OmegaConf.create(f"value: {value}").value)
    checkpoint = run_folder(run_id) / "checkpoints" / "last.ckpt"
    if not checkpoint.is_file():  # trained on another machine, or tidied away
        try:
            download(uri, run_id, "checkpoints", checkpoint.parent.parent)
        except LensError as error:
            raise LensError(
                f"Run {run_id} has no checkpoint to go on from; it was stopped too early."
            ) from error
    return run_id, plain(stored), checkpoint


_ABSENT = object()
