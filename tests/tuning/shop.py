"""A store with a small catalogue, for searches."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).parents[2]


EXPERIMENT = "shopping-lens"


SMALL = [
    "model=resnet_tiny", "data.items=72", "data.views_per_product=2", "data.render_size=32", "data.image_size=32",
    "data.batch_size=8", "data.images_per_class=2", "data.workers=0", "data.progress=false", "data.split_seed=3",
    "trainer=cpu", "callbacks.pictures=null", "logger.system_metrics=false",
]  # fmt: skip


@dataclass
class Shop:
    """A store of its own; what its runs write below the project is removed at the end."""

    folder: Path
    shoes: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def words(self) -> list[str]:
        return [*SMALL, f"data.root={self.shoes}"]

    def runs(self) -> list[Any]:
        """Oldest first."""
        from mlflow import MlflowClient

        client = MlflowClient(self.uri)
        found = client.get_experiment_by_name(EXPERIMENT)
        return client.search_runs([found.experiment_id], order_by=["attributes.start_time"]) if found else []

    def trials(self, parent: str) -> dict[int, Any]:
        """The runs below a search, by the trial's number."""
        children = [run for run in self.runs() if run.data.tags.get("mlflow.parentRunId") == parent]
        assert len({run.data.tags["trial"] for run in children}) == len(children)
        return {int(run.data.tags["trial"]): run for run in children}

    def searches(self) -> list[Any]:
        return [run for run in self.runs() if "search" in run.data.tags]

    def table(self, parent: str) -> pd.DataFrame:
        from lens.tracking import download

        return pd.read_csv(download(self.uri, parent, "trials.csv", self.folder / parent))
