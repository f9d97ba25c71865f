"""The beginning and end of runs."""

import getpass
import json
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lens.errors import LensError
from lens.tracking.names import metric_name
from lens.tracking.store import (
    DEFAULT_EXPERIMENT,
    PARENT_TAG,
    client,
    database_file,
    first_line,
    prepare_store,
    quiet,
    shown,
)

LONGEST_TAG, LONGEST_PARAM = 5000, 250


def start_run(
    uri: str, experiment_id: str, name: str | None, tags: Mapping[str, Any], parent: str | None = None
) -> str:
    """Create a run, below `parent` where one is given; returns its id. Raises LensError if the store refuses."""
    program = {
        "mlflow.source.name": Path(sys.argv[0]).name,
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
    }
    labels = {key: str(value)[:LONGEST_TAG] for key, value in {**program, **tags}.items()}
    if parent:
        labels[PARENT_TAG] = parent
    try:
        with quiet():
            return str(client(uri).create_run(experiment_id, run_name=name, tags=labels).info.run_id)
    except Exception as error:
        raise LensError(f"No run could be started in {shown(uri)}: {first_line(error)}") from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return "unknown"


def continue_run(uri: str, run_id: str, tags: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Mark a run as running again and count the resume in its tag `resumed`; returns its id and its parameters.

    Raises LensError if there is no such run or it was deleted.
    """
    mlflow = client(uri)
    with quiet():
        try:
            run = mlflow.get_run(run_id)
        except Exception as error:
            raise LensError(f"There is no run {run_id} in {shown(uri)} to go on with.") from error
        if run.info.lifecycle_stage == "deleted":
            raise LensError(
                f"Run {run_id} was deleted; restore it (mlflow runs restore --run-id {run_id}) to go on."
            )
        labels = {**tags, "resumed": int(run.data.tags.get("resumed", "0")) + 1, "interrupted": "false"}
        try:
            mlflow.update_run(run_id, status="RUNNING")
            for key, value in labels.items():
                mlflow.set_tag(run_id, key, str(value)[:LONGEST_TAG])
        except Exception as error:
            raise LensError(f"Run {run_id} in {shown(uri)} cannot go on: {first_line(error)}") from error
    return run_id, dict(run.data.params)


def start_parent(
    uri: str,
    experiment: str = DEFAULT_EXPERIMENT,
    name: str | None = None,
    tags: Mapping[str, Any] | None = None,
) -> str:
    """Start the run that holds the jobs of a sweep; give its id to each RunLogger as `parent_run_id`."""
    return start_run(uri, prepare_store(uri, experiment), name, tags or {})


def finish_parent(uri: str, run_id: str, status: str = "FINISHED") -> None:
    """Mark a sweep's run: FINISHED, FAILED or KILLED. Raises LensError if the store refuses."""
    try:
        with quiet():
            client(uri).set_terminated(run_id, status=status, end_time=int(time.time() * 1000))
    except Exception as error:
        raise LensError(
            f"Run {run_id} could not be marked {status} in {shown(uri)}: {first_line(error)}"
        ) from error


def start_note(uri: str, experiment: str, name: str, tags: Mapping[str, Any]) -> str:
    """A run that trained nothing and is finished at once: a place for what is said of other runs. Returns its id."""
    run_id = start_run(uri, prepare_store(uri, experiment), name, tags)
    finish_parent(uri, run_id)
    return run_id


def log_evaluation(uri: str, run_id: str, result: Mapping[str, Any]) -> None:
    """A later evaluation beside the run's own figures: metrics ``evaluation/DATA/SIDE/...`` and an artefact of all.

    result: metrics (name to number or None), data, split and whatever else is to be kept; plain values.
    Raises LensError if the store refuses.
    """
    path = database_file(uri)
    if path is not None and not path.exists():
        raise LensError(f"The evaluation could not be logged: there is no tracking store {path}.")
    where = f"evaluation/{result['data']}/{result['split']}"
    values = {f"{where}/{name}": value for name, value in result["metrics"].items() if value is not None}
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    add_to_run(uri, run_id, metrics=values, texts={f"evaluations/{stamp}.json": json.dumps(result, indent=2)})


def add_to_run(
    uri: str,
    run_id: str,
    *,
    metrics: Mapping[str, float] | None = None,
    step: int = 0,
    tags: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    texts: Mapping[str, str] | None = None,
    files: Iterable[str | Path] = (),
    folder: str | None = None,
) -> None:
    """Add to a run that no logger holds: metrics at a step (NaN is left out), tags, parameters, texts and files.

    texts: by artefact name; files: several, or folders with what they hold, below the artefact folder ``folder``.

    Raises LensError if the store refuses, TypeError for a single path in place of several.
    """
    if isinstance(files, str | Path):
        raise TypeError("files must be several paths: of one string, each letter would be a path")
    mlflow = client(uri)
    now = int(time.time() * 1000)
    try:
        from mlflow.entities import Metric, Param, RunTag

        with quiet():
            mlflow.log_batch(
                run_id,
                [
                    Metric(metric_name(key), float(value), now, step)
                    for key, value in (metrics or {}).items()
                    if value == value
                ],
                params=[
                    Param(metric_name(key), str(value)[:LONGEST_PARAM])
                    for key, value in (params or {}).items()
                ],
                tags=[
                    RunTag(metric_name(key), str(value)[:LONGEST_TAG]) for key, value in (tags or {}).items()
                ],
            )
            for name, text in (texts or {}).items():
                mlflow.log_text(run_id, text, name)
            for file in files:
                if Path(file).is_dir():
                    mlflow.log_artifacts(run_id, str(file), folder)
                else:
                    mlflow.log_artifact(run_id, str(file), folder)
    except Exception as error:
        raise LensError(f"Nothing could be added to run {run_id}: {first_line(error)}") from error


def link_to_page(uri: str, run_id: str, page: str) -> None:
    """Let a run's tag `page` and its description lead to its index on the search page at this address.

    Raises LensError if the store refuses.
    """
    link = f"{page.rstrip('/')}/?run={run_id}"
    said = f"[Search with this run]({link}), once `make serve` runs and the run has exported its index."
    add_to_run(uri, run_id, tags={"page": link, "mlflow.note.content": said})
