"""Four models that were really trained, in a store of their own."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.bulk.trained import ROOT, run_training

MODELS = ("resnet_tiny", "clip_tiny", "vit_tiny", "autoencoder_tiny")


@dataclass(frozen=True)
class Store:
    """The address of the store; the run of each model; the folder of the catalogue; all below `folder`."""

    folder: Path
    uri: str
    runs: dict[str, str]
    shoes: Path

    def index(self, model: str) -> Path:
        """The folder of the index that a model's run exported."""
        return ROOT / "runs" / self.runs[model] / "index"

    def photo(self, number: int = 0) -> Path:
        """A picture of the catalogue."""
        return sorted(self.shoes.rglob("*.jpg"))[number]

    def remove(self) -> None:
        for run_id in self.runs.values():
            shutil.rmtree(ROOT / "runs" / run_id, ignore_errors=True)


def train(folder: Path, shoes: Path) -> Store:
    """One epoch of each model on the 72 rendered shoes of 32 px."""
    from lens.tracking import trained_runs

    uri = run_training(folder, shoes, "-m", f"model={','.join(MODELS)}", "logger.embedder=false")
    runs = {run.tags["model"]: run.run_id for run in reversed(trained_runs(uri, "shopping-lens"))}
    return Store(folder, uri, runs, shoes)
