"""A sweep's parent run, made before its jobs start: a fresh store is created once, and each job finds its parent."""

import atexit
import os
import sys
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from lens.errors import LensError
from lens.tracking import finish_parent, start_parent, tracking_uri

PARENT = "LENS_SWEEP_PARENT"


class SweepParent(Callback):
    """Hydra's own hook: the id reaches the jobs, also in other processes, as an environment variable."""

    def __init__(self) -> None:
        self._open: tuple[str, str] | None = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        if OmegaConf.select(config, "logger") is None:
            return
        name = " ".join(config.hydra.overrides.task)[:200] or "sweep"
        try:
            uri = tracking_uri(config.logger.uri)
            run_id = start_parent(uri, config.logger.experiment, name, {"sweep": name})
        except LensError as error:  # Hydra would only warn, and the jobs would have no parent
            print(error, file=sys.stderr)
            raise SystemExit(2) from error
        os.environ[PARENT] = run_id
        self._open = (uri, run_id)
        atexit.register(self._ended_early)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        self._finish("FINISHED")

    def _ended_early(self) -> None:
        """Hydra tells nobody of a sweep that a failed job or Ctrl-C ended."""
        self._finish("FAILED")

    def _finish(self, status: str) -> None:
        if self._open is None:
            return
        ended, self._open = self._open, None
        os.environ.pop(PARENT, None)
        try:
            finish_parent(*ended, status)
        except LensError as error:  # the jobs have their figures all the same
            print(error, file=sys.stderr)
