"""A run that was really trained, for commands that need one."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ("data=rendered", "data.items=72", "data.views_per_product=2", "data.render_size=32")


@dataclass
class Trained:
    """A run of resnet_tiny, one epoch on 72 rendered shoes of 32 px, in a store of its own."""

    folder: Path
    uri: str
    run_id: str
    shoes: Path

    @property
    def export(self) -> Path:
        return ROOT / "runs" / self.run_id / "index"

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """`python -m lens.index` with these words and the run's store, as a process of its own."""
        command = [sys.executable, "-m", "lens.index", f"uri={self.uri}", "progress=false", *words]
        return subprocess.Popen(
            command, cwd=ROOT, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def remove(self) -> None:
        shutil.rmtree(ROOT / "runs" / self.run_id, ignore_errors=True)


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def run_training(folder: Path, shoes: Path, *words: str) -> str:
    """train.py with these words, on 72 rendered shoes of 32 px, one epoch; the address of its store in the folder."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    command = [
        sys.executable, str(ROOT / "train.py"), *words, f"logger.uri={uri}", *DATA, f"data.root={shoes}",
        "data.image_size=32",
        "data.batch_size=8", "data.images_per_class=2", "data.workers=0", "trainer=cpu", "trainer.max_epochs=1",
        "trainer.progress=false", "callbacks.early_stopping=null", "callbacks.pictures=null",
        "logger.system_metrics=false",
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
    return uri


def train(folder: Path, shoes: Path) -> Trained:
    from lens.tracking import find_run

    uri = run_training(folder, shoes, "model=resnet_tiny")
    return Trained(folder, uri, find_run(uri), shoes)
