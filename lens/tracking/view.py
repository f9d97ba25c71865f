"""How MLflow's page shows the runs: the columns that matter, as a shared view of the experiment."""

import json
from typing import TYPE_CHECKING

from lens.errors import LensError
from lens.tracking.store import DEFAULT_EXPERIMENT, client, first_line, prepare_store, quiet, shown

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

VIEW = "lens"
COLUMNS = (
    "metrics.`test/precision_at_1`",
    "metrics.`test/map_at_r`",
    "metrics.`val/precision_at_1`",
    "metrics.`gap/precision_at_1`",
    "metrics.`train/loss_epoch`",
    "metrics.`test/loss`",
    "params.`model_name`",
    "params.`seed`",
    "params.`model.learning_rate`",
    "tags.`weights`",
)
_TAG = f"mlflow.sharedViewState.{VIEW}"


def offer_view(mlflow: "MlflowClient", experiment_id: str) -> None:
    """Give an experiment the view, once; what MLflow's page reads is a tag of the experiment, in JSON.

    Runs stay in the order of their start, in which the page folds the runs of a sweep below their parent.
    """
    state = json.dumps({"selectedColumns": list(COLUMNS)})
    if mlflow.get_experiment(experiment_id).tags.get(_TAG) != state:
        mlflow.set_experiment_tag(experiment_id, _TAG, state)


def view_address(
    uri: str, experiment: str = DEFAULT_EXPERIMENT, server: str = "http://127.0.0.1:5000"
) -> str:
    """Where a browser shows the runs in this view, once a server of the store runs. Raises LensError: no such store."""
    experiment_id = prepare_store(uri, experiment)
    try:
        with quiet():
            offer_view(client(uri), experiment_id)
    except Exception as error:
        raise LensError(f"The store {shown(uri)} takes no view: {first_line(error)}") from error
    return (
        f"{server}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"
    )
