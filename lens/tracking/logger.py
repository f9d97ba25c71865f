"""The logger that Lightning's Trainer is given: one MLflow run, buffered, patient with its store."""

import json
import logging
import math
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import yaml
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from lens.errors import LensError
from lens.tracking.models import read_registration
from lens.tracking.names import flatten, metric_name
from lens.tracking.outbox import Outbox
from lens.tracking.runs import LONGEST_PARAM, LONGEST_TAG, continue_run, link_to_page, start_run
from lens.tracking.store import (
    DEFAULT_EXPERIMENT,
    client,
    first_line,
    prepare_store,
    project_folder,
    shown,
    tracking_uri,
)
from lens.tracking.system import SystemMetrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow.tracking import MlflowClient

CONFIG_FILE = "config.yaml"
_NO_PARAMS = ("logger", "name", "resume")
_STATUS = {"success": "FINISHED", "finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
_log = logging.getLogger("lens.tracking")


class RunLogger(Logger):
    """Writes one MLflow run through an explicit client; there is no global active run.

    The run is created (or, with `run_id`, continued) at first use; LensError is raised there and only there, if
    the store or the run cannot be had. From then on a store that is away never stops the training: see Outbox.
    Numbers leave after `buffer_steps` calls, ten seconds, or a checkpoint. A continued run shows a step twice where
    the training repeats it. Under DDP only rank zero writes; elsewhere `run_id` is None unless it was given.

    As a context manager (`with RunLogger() as logger:`) the run stays open when Lightning reports the end of
    `fit` or `test` and is closed at the end of the block: FINISHED, KILLED for Ctrl-C or SIGTERM, FAILED otherwise.
    """

    def __init__(
        self,
        uri: str | None = None,
        experiment: str = DEFAULT_EXPERIMENT,
        name: str | None = None,
        run_id: str | None = None,
        parent_run_id: str | None = None,
        tags: Mapping[str, Any] | None = None,
        buffer_steps: int = 50,
        system_metrics: bool = True,
        retry_seconds: float = 60.0,
        folder: str | Path | None = None,
        embedder: bool = True,
        register: str | None = None,
        page: str | None = "http://127.0.0.1:8001",
    ) -> None:
        """`folder`: where unsent records go if need be; by default `runs/<run id>` beside train.py.

        `embedder`: whether the run's embedder is to be logged as a model; `register`: the NAME or NAME@ALIAS under
        which it is to be registered. Both are for the callback that does it. `page`: where the search page will be
        (`make serve`): a new run's description and its tag `page` lead there.
        """
        super().__init__()
        self.uri = tracking_uri(uri)
        self._experiment_name, self._run_name, self._run_id = experiment, name, run_id
        self._parent, self._tags = parent_run_id, dict(tags or {})
        self._buffer_steps, self._retry_seconds, self._folder = buffer_steps, retry_seconds, folder
        self._wants_system, self._page = system_metrics, page
        self.embedder, self.register = embedder, read_registration(register) if register else None
        if self.register and not embedder:
            raise LensError("logger.register needs logger.embedder=true.")
        self._outbox: Outbox | None = None
        self._system: SystemMetrics | None = None
        self._params: dict[str, str] = {}
        self._held, self._closed_as = False, ""

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self._experiment_name

    @property
    def version(self) -> str | None:
        """The run's id."""
        return self.run_id

    @property
    def run_id(self) -> str | None:
        """The run's id; starts the run if need be."""
        if getattr(rank_zero_only, "rank", 0) == 0:
            self._open()
        return self._run_id

    @property
    def experiment(self) -> "MlflowClient":
        """MLflow's client, for what this class does not offer; its calls are not protected against a store away."""
        return client(self.uri)

    def _open(self) -> Outbox:
        if self._outbox is not None:
            return self._outbox
        resumed = self._run_id is not None
        experiment_id = prepare_store(self.uri, self._experiment_name)
        if self._run_id is None:
            run_id = start_run(self.uri, experiment_id, self._run_name, self._tags, self._parent)
            if self._page:
                link_to_page(self.uri, run_id, self._page)
        else:
            run_id, self._params = continue_run(self.uri, self._run_id, self._tags)
        self._run_id = run_id
        folder = Path(self._folder or project_folder() / "runs" / run_id)
        self._outbox = Outbox(self.uri, run_id, folder, self._buffer_steps)
        if self._wants_system:
            try:
                self._system = SystemMetrics(self.uri, run_id, self._add_metrics, resumed)
            except Exception as error:  # noqa: BLE001 - figures of the machine are not worth a training
                _log.warning("No system metrics: %s.", first_line(error))
        return self._outbox

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Numbers of one step. NaN stays NaN; an infinity is kept as NaN, which charts survive; others are left out.

        Lightning's `train/loss_step` is called `train/loss`, beside `train/loss_epoch`, its mean over an epoch.
        """
        self._open()
        self._add_metrics({name.removesuffix("_step"): value for name, value in metrics.items()}, step or 0)

    def _add_metrics(self, metrics: Mapping[str, Any], step: int) -> None:
        now = int(time.time() * 1000)
        rows = []
        for name, value in metrics.items():
            try:
                number = float(value)
            except (TypeError, ValueError):
                continue
            rows.append([metric_name(name), number if math.isfinite(number) else math.nan, now, int(step)])
        if rows and self._outbox is not None:
            self._outbox.add({"kind": "metrics", "rows": rows})

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any] | Namespace, *_args: Any, **_kwargs: Any) -> None:
        """Nested settings as parameters `a.b.c`, cut at 250 characters (log_config keeps them whole).

        MLflow's parameters cannot change: on a continued run the new value of one becomes a tag `changed.a.b.c`.
        """
        outbox = self._open()
        given = vars(params) if isinstance(params, Namespace) else params
        flat = {metric_name(key): str(value)[:LONGEST_PARAM] for key, value in flatten(given).items()}
        fresh = {key: value for key, value in flat.items() if key not in self._params}
        changed = {
            f"changed.{key}": value for key, value in flat.items() if self._params.get(key, value) != value
        }
        self._params.update(fresh)
        if fresh:
            outbox.add({"kind": "params", "values": fresh})
        if changed:
            outbox.add({"kind": "tags", "values": changed})
        outbox.flush()

    @rank_zero_only
    def log_config(self, config: Mapping[str, Any]) -> None:
        """The resolved config, plain values only, without passwords: whole as config.yaml, and as parameters.

        No parameter is made of where a run is kept and what it is called: these differ where the runs do not.
        """
        text = shown(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
        self.log_hyperparams(
            {key: part for key, part in yaml.safe_load(text).items() if key not in _NO_PARAMS}
        )
        self._log_text(text, CONFIG_FILE)

    @rank_zero_only
    def log_dict(self, values: Mapping[str, Any] | list[Any], name: str) -> None:
        """Plain values as an artefact; `name` ends in .json or .yaml and may hold folders."""
        as_yaml = name.endswith((".yaml", ".yml"))
        plain = dict(values) if isinstance(values, Mapping) else values
        text = (
            yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
            if as_yaml
            else json.dumps(plain, indent=2)
        )
        self._log_text(text, name)

    @rank_zero_only
    def log_figure(self, figure: "Figure", name: str) -> None:
        """A matplotlib figure as an artefact; `name` such as "pictures/neighbours.png" gives place and format."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            figure.savefig(path, bbox_inches="tight")
            self.log_artifact(path, _folder_of(name))

    def _log_text(self, text: str, name: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            path.write_text(text, encoding="utf-8")
            self.log_artifact(path, _folder_of(name))

    @rank_zero_only
    def log_artifact(self, path: str | Path, folder: str | None = None) -> None:
        """A file, or what a folder holds, below the artefact folder `folder`. It may be removed afterwards."""
        outbox = self._open()
        if not Path(path).exists():
            _log.warning("There is no %s to log.", path)
            return
        outbox.add({"kind": "artifact", "path": str(Path(path).absolute()), "folder": folder})

    @rank_zero_only
    def log_artifacts(self, paths: str | Path | Iterable[str | Path], folder: str | None = None) -> None:
        """Several files or folders; see log_artifact."""
        for path in [paths] if isinstance(paths, str | Path) else paths:
            self.log_artifact(path, folder)

    @rank_zero_only
    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Labels of the run; a later value replaces an earlier one."""
        values = {str(key): str(value)[:LONGEST_TAG] for key, value in tags.items()}
        outbox = self._open()
        if values:
            outbox.add({"kind": "tags", "values": values})

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """What a resume would not compute again has now to be in the store."""
        self.flush()

    @rank_zero_only
    def flush(self) -> None:
        """Send what waits. (`save` does nothing: Lightning calls it after every step.)"""
        if self._outbox is not None:
            self._outbox.flush()

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        """Send everything and mark the run: `success`, `failed` or `interrupted`.

        Lightning says `failed` for Ctrl-C and SIGTERM too; the exception in flight tells them apart.
        """
        if self._outbox is None:
            return
        if status == "failed" and isinstance(sys.exc_info()[1], KeyboardInterrupt | SystemExit):
            status = "interrupted"
        if self._held and _STATUS.get(status) == "FINISHED":
            self._outbox.flush()
        else:
            self._close(self._outbox, _STATUS.get(status, "FAILED"))

    def _close(self, outbox: Outbox, status: str) -> None:
        if self._system is not None:
            self._system.stop()
            self._system = None
        if status == "KILLED":
            outbox.add({"kind": "tags", "values": {"interrupted": "true"}})
        if status != self._closed_as:
            outbox.add({"kind": "status", "status": status, "time": int(time.time() * 1000)})
        self._closed_as = status
        # Someone who pressed Ctrl-C, or a scheduler about to kill, does not wait for a minute.
        outbox.drain(min(self._retry_seconds, 10.0) if status == "KILLED" else self._retry_seconds)

    def __enter__(self) -> Self:
        self._held = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held = False
        if kind is None:
            self.finalize("success")
        elif issubclass(kind, KeyboardInterrupt | SystemExit):
            self.finalize("interrupted")
        elif not self._closed_as:
            self.finalize("failed")


def _folder_of(name: str) -> str | None:
    parent = Path(name).parent.as_posix()
    return None if parent == "." else parent
