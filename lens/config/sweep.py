"""A sweep's parent run, made before its jobs start: a fresh store is created once, and each job finds its parent."""

import os
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from lens.tracking import finish_parent, start_parent, tracking_uri

PARENT = "LENS_SWEEP_PARENT"


class SweepParent(Callback):
    """Hydra's own hook: the id reaches the jobs, also in other processes, as an environment variable."""

    def __init__(self) -> None:
        self._open: tuple[str, str] | None = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        if OmegaConf.select(config, "logger") is None:
            return
        uri = tracking_uri(config.logger.uri)
        overrides = list(config.hydra.overrides.task)
        name = " ".join(overrides)[:200] or "sweep"
        run_id = start_parent(uri, config.logger.experiment, name, {"sweep": name})
        os.environ[PARENT] = run_id
        self._open = (uri, run_id)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        if self._open is not None:
            finish_parent(*self._open, "FINISHED")
            os.environ.pop(PARENT, None)
