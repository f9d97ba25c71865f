"""Reading runs back: finding one, its config, its numbers, its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lens.errors import LensError
from lens.tracking.models import registered_run
from lens.tracking.store import (
    DEFAULT_EXPERIMENT,
    PARENT_TAG,
    client,
    database_file,
    first_line,
    quiet,
    shown,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

MOST_RUNS = 50_000  # mlflow's own limit; its default is 1000


@dataclass(frozen=True)
class RunFacts:
    """What the store says of one run: the last value of each metric, its settings, its tags.

    status: RUNNING also for a run that was killed without notice.
    params: cut at 250 characters; what a resume changed has its new value.
    started, ended: milliseconds since 1970; a resume keeps the first, and `ended` until it ends itself. 0: not known.
    """

    run_id: str
    name: str
    status: str
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]
    experiment_id: str = ""
    started: int = 0
    ended: int = 0


def find_run(uri: str, experiment: str = DEFAULT_EXPERIMENT, which: str = "last") -> str:
    """The id of one run: "last" (the newest that is no sweep's parent), an id, the start of one, or a name.

    Also that of a registered embedder: "models:/NAME@ALIAS" or "models:/NAME/VERSION", of any experiment.

    Raises LensError if nothing or more than one thing fits, naming what there is.
    """
    if which.startswith("models:"):
        return registered_run(uri, which)
    runs = _runs(uri, experiment)
    if not runs:
        raise LensError(f"The experiment {experiment!r} in {shown(uri)} holds no runs yet.")
    if which == "last":
        parents = {run.data.tags.get(PARENT_TAG) for run in runs}
        # Also a sweep whose jobs all failed, and what was written by a comparison.
        parents |= {run.info.run_id for run in runs if {"sweep", "comparison"} & run.data.tags.keys()}
        return str(next((run for run in runs if run.info.run_id not in parents), runs[0]).info.run_id)
    ids = [str(run.info.run_id) for run in runs]
    named = [str(run.info.run_id) for run in runs if run.info.run_name == which]
    fits = (
        [which] if which in ids else named or [run_id for run_id in ids if which and run_id.startswith(which)]
    )
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise LensError(f"Several runs fit {which!r}: {', '.join(fits[:5])}; give more of the id.")
    known = ", ".join(f"{run.info.run_id[:8]} ({run.info.run_name})" for run in runs[:5])
    raise LensError(f"There is no run {which!r} in the experiment {experiment!r}; the latest are: {known}.")


def _runs(uri: str, experiment: str, wanted: str = "") -> "list[Run]":
    """The experiment's runs, newest first; wanted: MLflow's filter. LensError where the store or experiment is none."""
    path = database_file(uri)
    if path is not None and not path.exists():  # mlflow would make an empty one
        raise LensError(
            f"There is no tracking store {path}; train a model first, or set MLFLOW_TRACKING_URI."
        )
    try:
        with quiet():
            mlflow = client(uri)
            found = mlflow.get_experiment_by_name(experiment)
            if found is not None:
                return list(
                    mlflow.search_runs(
                        [found.experiment_id],
                        wanted,
                        order_by=["attributes.start_time DESC"],
                        max_results=MOST_RUNS,
                    )
                )
            known = ", ".join(item.name for item in mlflow.search_experiments())
    except Exception as error:
        raise LensError(f"The tracking store {shown(uri)} cannot be read: {first_line(error)}") from error
    raise LensError(f"There is no experiment {experiment!r} in {shown(uri)}; there are: {known}.")


def _run(uri: str, run_id: str) -> "Run":
    try:
        with quiet():
            return client(uri).get_run(run_id)
    except Exception as error:
        raise LensError(f"Run {run_id} cannot be read from {shown(uri)}: {first_line(error)}") from error


def run_metrics(uri: str, run_id: str) -> dict[str, float]:
    """The last value of each metric."""
    return dict(_run(uri, run_id).data.metrics)


def run_tags(uri: str, run_id: str) -> dict[str, str]:
    """The run's tags, and its status as `status` (RUNNING also for one that was killed without notice)."""
    run = _run(uri, run_id)
    return {**run.data.tags, "status": run.info.status}


def download(uri: str, run_id: str, artefact_path: str, into: str | Path) -> Path:
    """Copy a file or folder of a run into the folder `into`; returns where it lies.

    Raises LensError if the run has no such artefact.
    """
    _run(uri, run_id)
    Path(into).mkdir(parents=True, exist_ok=True)
    try:
        with quiet():
            return Path(client(uri).download_artifacts(run_id, artefact_path, str(into)))
    except Exception as error:
        raise LensError(f"Run {run_id} has no artefact {artefact_path!r}: {first_line(error)}") from error


def artefact_sizes(uri: str, run_id: str, folder: str | None = None) -> dict[str, int]:
    """Name to bytes of the files that lie directly in a run's artefact folder, by default the outermost.

    Empty where there is no such folder. Raises LensError if there is no such run or its files cannot be listed.
    """
    _run(uri, run_id)
    try:
        with quiet():
            found = client(uri).list_artifacts(run_id, folder)
    except Exception as error:
        raise LensError(f"The artefacts of run {run_id} cannot be listed: {first_line(error)}") from error
    return {Path(item.path).name: int(item.file_size or 0) for item in found if not item.is_dir}


def run_config(uri: str, run_id: str) -> dict[str, Any]:
    """The resolved config that the run was started with. Raises LensError if the run has none."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = download(uri, run_id, "config.yaml", folder)
        try:
            config = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise LensError(f"The config.yaml of run {run_id} is broken: {first_line(error)}.") from error
    if not isinstance(config, dict):
        raise LensError(f"The config.yaml of run {run_id} is not a mapping.")
    return config


def check_same_data(uri: str, run_id: str, fingerprint: str) -> None:
    """Refuse to take other images, or another split, for those of a run: what it was trained on would be tested.

    Raises LensError where the fingerprint is not the one that the run recorded.
    """
    recorded = run_tags(uri, run_id).get("data.fingerprint", fingerprint)
    if recorded != fingerprint:
        raise LensError(
            f"The images or their split are not those that run {run_id} was trained on (fingerprint {fingerprint[:8]}, "
            f"then {recorded[:8]}), so its test images cannot be told from its training images."
        )


def sweep_runs(uri: str, experiment: str, which: str) -> tuple[str, list[RunFacts]]:
    """The parent's id and a sweep's runs, oldest first; ``which`` is the parent's id, its start, or ``last``.

    Raises LensError where there is no such sweep, or several fit.
    """
    runs = _runs(uri, experiment)
    parents = dict.fromkeys(run.data.tags[PARENT_TAG] for run in runs if PARENT_TAG in run.data.tags)
    fits = [parent for parent in parents if which == "last" or parent.startswith(which)]
    if not fits:
        raise LensError(
            f"There is no sweep {which} in {shown(uri)}; make one with python train.py -m KEY=A,B."
        )
    if len(fits) > 1 and which != "last":
        raise LensError(f"Several sweeps fit {which!r}: {', '.join(fits[:5])}; give more of the id.")
    chosen = fits[0]
    return chosen, [_facts(run) for run in reversed(runs) if run.data.tags.get(PARENT_TAG) == chosen]


def several_runs(uri: str, experiment: str, which: Sequence[str]) -> list[RunFacts]:
    """The runs of these ids, starts of ids or names, in the order given, each once. Errors as of `find_run`."""
    ids = dict.fromkeys(find_run(uri, experiment, word) for word in which)
    return [_facts(_run(uri, run_id)) for run_id in ids]


def _facts(run: "Run") -> RunFacts:
    data = run.data
    # A parameter of MLflow cannot change, so a resume leaves new values in tags, see RunLogger.log_hyperparams.
    changed = {
        key.removeprefix("changed."): value for key, value in data.tags.items() if key.startswith("changed.")
    }
    return RunFacts(
        str(run.info.run_id),
        str(run.info.run_name),
        str(run.info.status),
        dict(data.metrics),
        {**data.params, **changed},
        dict(data.tags),
        str(run.info.experiment_id),
        int(run.info.start_time or 0),
        int(run.info.end_time or 0),
    )


def named_runs(uri: str, experiment: str, prefix: str) -> dict[str, str]:
    """Name to id of the newest finished run of each name that starts with ``prefix``."""
    found: dict[str, str] = {}
    for run in _runs(uri, experiment):
        if run.info.run_name.startswith(prefix) and run.info.status == "FINISHED":
            found.setdefault(run.info.run_name, run.info.run_id)
    return found


def trained_runs(uri: str, experiment: str, ended_after: int | None = None) -> list[RunFacts]:
    """The runs that train a model or did, newest first; only those that ended after a moment, in milliseconds.

    MLflow reads every metric of every run that it lists: more than a second for 200 runs.
    Raises LensError where the store cannot be read.
    """
    wanted = "" if ended_after is None else f"attributes.end_time > {ended_after}"
    return [_facts(run) for run in _runs(uri, experiment, wanted) if "model" in run.data.tags]


def run_facts(uri: str, run_id: str) -> RunFacts:
    """What the store says of the run of this id, of any experiment. Raises LensError where there is none."""
    return _facts(_run(uri, run_id))
