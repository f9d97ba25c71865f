"""The runs of an adaptive search: finding its parent, a trial's run, and what the parent is told while it goes on."""

from collections.abc import Mapping
from typing import Any

from lens.errors import LensError
from lens.tracking.read import MOST_RUNS
from lens.tracking.runs import finish_parent, start_run
from lens.tracking.store import PARENT_TAG, client, database_file, first_line, prepare_store, quiet, shown

SEARCH_TAG, TRIAL_TAG = "search", "trial"


def find_search(uri: str, experiment: str, which: str) -> str:
    """The id of a search's parent run by its id, the start of it, or ``last``.

    Raises LensError where there is none, or several fit.
    """
    path = database_file(uri)
    if path is not None and not path.exists():
        raise LensError(f"There is no tracking store {path}, and so no search to go on with.")
    try:
        with quiet():
            mlflow = client(uri)
            found = mlflow.get_experiment_by_name(experiment)
            runs = mlflow.search_runs(
                [found.experiment_id] if found else [], f"tags.`{SEARCH_TAG}` != ''",
                order_by=["attributes.start_time DESC"], max_results=MOST_RUNS,
            )  # fmt: skip
    except Exception as error:
        raise LensError(f"The tracking store {shown(uri)} cannot be read: {first_line(error)}") from error
    ids = [str(run.info.run_id) for run in runs]
    fits = ids[:1] if which == "last" else [run_id for run_id in ids if which and run_id.startswith(which)]
    if len(fits) != 1:
        told = "Several searches fit" if fits else "There is no search"
        known = ", ".join(run_id[:8] for run_id in (fits or ids)[:5])
        raise LensError(f"{told} {which!r} in {shown(uri)}; there are: {known or 'none'}.")
    return fits[0]


def trial_run(uri: str, parent: str, number: int) -> tuple[str, str] | None:
    """Id and status of the run of a search's trial; None where it never began. Raises LensError."""
    try:
        with quiet():
            mlflow = client(uri)
            experiment = mlflow.get_run(parent).info.experiment_id
            wanted = f"tags.`{PARENT_TAG}` = '{parent}' and tags.`{TRIAL_TAG}` = '{number}'"
            runs = mlflow.search_runs([experiment], wanted, max_results=1)
    except Exception as error:
        raise LensError(f"The runs of search {parent} cannot be read: {first_line(error)}") from error
    return (str(runs[0].info.run_id), str(runs[0].info.status)) if runs else None


def failed_trial(uri: str, experiment: str, name: str, parent: str, tags: Mapping[str, Any]) -> str:
    """A run for a trial that failed before it had one; returns its id. Raises LensError if the store refuses."""
    run_id = start_run(uri, prepare_store(uri, experiment), name, tags, parent)
    finish_parent(uri, run_id, "FAILED")
    return run_id


def go_on(uri: str, run_id: str) -> None:
    """Mark a search's parent as running again. Raises LensError if the store refuses."""
    try:
        with quiet():
            client(uri).update_run(run_id, status="RUNNING")
    except Exception as error:
        raise LensError(f"Run {run_id} in {shown(uri)} cannot go on: {first_line(error)}") from error
