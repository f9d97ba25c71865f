"""Four models that were really trained, in a store of their own."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.bulk.trained import DATA, ROOT, environment

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


def train(folder: Path, shoes: Path, models: tuple[str, ...] = MODELS, epochs: int = 1) -> Store:
    """One epoch of each model on the 72 rendered shoes of 32 px."""
    from lens.tracking import finished_runs

    uri = f"sqlite:///{folder / 'mlflow.db'}"
    command = [
        sys.executable, str(ROOT / "train.py"), "-m", f"logger.uri={uri}", f"model={','.join(models)}", *DATA,
        f"data.root={shoes}", "data.image_size=32", "data.batch_size=8", "data.images_per_class=2", "data.workers=0",
        "trainer=cpu",
        f"trainer.max_epochs={epochs}", "trainer.progress=false", "callbacks.early_stopping=null",
        "callbacks.pictures=null", "logger.system_metrics=false", "logger.embedder=false",
    ]  # fmt: skip
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        text=True,
        timeout=400,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    runs = {run.tags["model"]: run.run_id for run in reversed(finished_runs(uri, "shopping-lens"))}
    return Store(folder, uri, runs, shoes)
