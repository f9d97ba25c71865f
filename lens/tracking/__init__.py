"""Everything that is written to or read from MLflow; no other part of the project imports mlflow.

Importing this package is quick: mlflow and pytorch_lightning are imported when they are first needed.
"""

from typing import TYPE_CHECKING, Any

from lens.tracking.git import git_state
from lens.tracking.models import Portable, log_embedder, register
from lens.tracking.outbox import send_unsent
from lens.tracking.read import (
    RunFacts,
    artefact_sizes,
    check_same_data,
    download,
    find_run,
    named_runs,
    run_config,
    run_facts,
    run_metrics,
    run_tags,
    several_runs,
    sweep_runs,
    trained_runs,
)
from lens.tracking.runs import add_to_run, finish_parent, log_evaluation, start_note, start_parent
from lens.tracking.store import prepare_store, project_folder, tracking_uri

if TYPE_CHECKING:
    from lens.tracking.logger import RunLogger

__all__ = [
    "Portable",
    "RunFacts",
    "RunLogger",
    "add_to_run",
    "artefact_sizes",
    "check_same_data",
    "download",
    "find_run",
    "finish_parent",
    "run_facts",
    "trained_runs",
    "git_state",
    "log_embedder",
    "log_evaluation",
    "named_runs",
    "prepare_store",
    "project_folder",
    "register",
    "run_config",
    "run_metrics",
    "run_tags",
    "send_unsent",
    "several_runs",
    "start_note",
    "start_parent",
    "sweep_runs",
    "tracking_uri",
]


def __getattr__(name: str) -> Any:
    if name == "RunLogger":  # importing it imports pytorch_lightning, about ten seconds
        from lens.tracking.logger import RunLogger

        return RunLogger
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
