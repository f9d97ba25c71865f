"""A sweep's parent run, made before its jobs start: a fresh store is created once, and each job finds its parent."""

import atexit
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lens.config.schema import locate
from lens.errors import LensError
from lens.tracking import finish_parent, start_parent, tracking_uri

PARENT, SWEPT = "LENS_SWEEP_PARENT", "LENS_SWEPT"


class SweepParent(Callback):
    """Hydra's own hook: the parent's id reaches the jobs, also in other processes, as an environment variable.

    Args:
        summary: the dotted path of what is called at the end with the store, the experiment and the parent's id; it
            judges the jobs together. None: nothing is.
    """

    def __init__(self, summary: str | None = None) -> None:
        self._summary = summary
        self._open: tuple[str, str] | None = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        if OmegaConf.select(config, "logger") is None:
            return
        name = " ".join(config.hydra.overrides.task)[:200] or "sweep"
        try:
            uri = tracking_uri(config.logger.uri)
            run_id = start_parent(uri, config.logger.experiment, f"sweep {name}", {"sweep": name})
        except LensError as error:  # Hydra would only warn, and the jobs would have no parent
            print(error, file=sys.stderr)
            raise SystemExit(2) from error
        os.environ[PARENT] = run_id
        os.environ[SWEPT] = " ".join(swept_keys(config.hydra.overrides.task))
        self._open = (uri, run_id)
        atexit.register(self._ended_early)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        try:
            self._summarise(config)
        finally:
            self._finish("FINISHED")

    def _summarise(self, config: DictConfig) -> None:
        if self._open is None or self._summary is None:
            return
        uri, run_id = self._open
        try:
            locate(self._summary, "hydra.callbacks.sweep.summary")(uri, config.logger.experiment, run_id)
        except LensError as error:  # the jobs have their figures all the same
            print(f"The sweep was not summarised: {error}", file=sys.stderr)
        except Exception:  # Hydra would make one line of a bug
            traceback.print_exc()

    def _ended_early(self) -> None:
        """Hydra tells nobody of a sweep that a failed job or Ctrl-C ended."""
        self._finish("FAILED")

    def _finish(self, status: str) -> None:
        if self._open is None:
            return
        ended, self._open = self._open, None
        os.environ.pop(PARENT, None)
        os.environ.pop(SWEPT, None)
        try:
            finish_parent(*ended, status)
        except LensError as error:  # the jobs have their figures all the same
            print(error, file=sys.stderr)


def swept_keys(words: Sequence[str]) -> list[str]:
    """The keys that a sweep gives several values."""
    return [
        str(part.key_or_group)
        for part in OverridesParser.create().parse_overrides(list(words))
        if part.is_sweep_override()
    ]


def job_name(name: str, model_name: str) -> str:
    """The name of a sweep's job: unless it was given one, the model's and the settings that the sweep varies."""
    if name != model_name or HydraConfig.get().mode != RunMode.MULTIRUN:
        return name
    swept = set(os.environ.get(SWEPT, "").split()) - {"model"}
    words = [word.lstrip("+") for word in HydraConfig.get().overrides.task]
    varied = [word for word in words if word.partition("=")[0] in swept]
    short = [
        f"{key.rpartition('.')[2]}={value}" for key, _, value in (word.partition("=") for word in varied)
    ]
    return " ".join([name, *short])
