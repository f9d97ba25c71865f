"""`python train.py` as a person starts it: killed, stopped, resumed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "vit_tiny": ["model=vit_tiny", "model.layers=1", "model.warmup_steps=3"],
    "resnet_tiny": ["model=resnet_tiny", "data.images_per_class=2"],
}
pytestmark = pytest.mark.slow


class Shop:
    """A store and pictures of its own; what its runs write below the project is removed."""

    def __init__(self, folder: Path, shoes: Path) -> None:
        self.folder, self.shoes = folder, shoes
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.ids: list[str] = []
        self.before: set[str] = set()  # runs that a new one is told from

    def start(self, *words: str) -> "subprocess.Popen[str]":
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(self.folder)}
        environment["MPLCONFIGDIR"] = os.environ.get(
            "MPLCONFIGDIR", str(Path.home() / ".config" / "matplotlib")
        )
        command = [sys.executable, str(ROOT / "train.py"), f"logger.uri={self.uri}", *words]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def train(self, model: str, *more: str) -> "subprocess.Popen[str]":
        self.before = set(self.ids)
        return self.start(
            *SETTINGS[model], f"data.root={self.shoes}", "data.items=72", "data.views_per_product=2",
            "data.render_size=32", "data.image_size=32", "data.batch_size=8", "data.workers=0", "trainer=cpu",
            "trainer.max_epochs=15", "trainer.checkpoint_steps=4", "trainer.log_steps=1", "trainer.progress=false",
            "callbacks.early_stopping=null", "callbacks.pictures=null", "logger.system_metrics=false", *more,
        )  # fmt: skip

    def run_id(self) -> str:
        from lens.tracking import find_run

        return find_run(self.uri)

    def checkpoint(self, process: "subprocess.Popen[str]") -> Path:
        """The last checkpoint of the newest run, as soon as there is one."""
        from lens.errors import LensError

        for _ in range(3000):
            time.sleep(0.02)
            try:
                found = self.run_id()
            except LensError:
                found = ""
            if found and found not in self.before:
                if found not in self.ids:
                    self.ids.append(found)
                path = ROOT / "runs" / found / "checkpoints" / "last.ckpt"
                if path.is_file():
                    return path
            if process.poll() is not None:
                break
        process.kill()
        raise AssertionError(f"the training made no checkpoint:\n{process.communicate()[0]}")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, shoes: Path) -> Iterator[Shop]:
    from lens.tracking import prepare_store

    made = Shop(tmp_path_factory.mktemp("shop"), shoes)
    prepare_store(made.uri, "shopping-lens")
    yield made
    for run in made.ids:
        shutil.rmtree(ROOT / "runs" / run, ignore_errors=True)


def load(path: Path) -> Any:
    import torch

    return torch.load(path, map_location="cpu", weights_only=False)


@pytest.fixture(scope="module")
def whole(shop: Shop) -> Any:
    """The last checkpoint of a run that nothing stopped, of each model."""
    made: dict[str, Any] = {}

    def of(model: str) -> Any:
        if model not in made:
            process = shop.train(model)
            path = shop.checkpoint(process)
            output = process.communicate(timeout=180)[0]
            assert process.returncode == 0, output
            made[model] = load(path)
        return made[model]

    return of


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("vit_tiny", signal.SIGKILL),
        ("resnet_tiny", signal.SIGKILL),
        ("vit_tiny", signal.SIGTERM),
        ("resnet_tiny", signal.SIGINT),
    ],
)
def test_a_stopped_run_goes_on_and_ends_as_if_nothing_had_happened(
    model: str, sent: signal.Signals, shop: Shop, whole: Any
) -> None:
    import torch

    from lens.tracking import run_tags
    from lens.tracking.store import client

    expected = whole(model)
    process = shop.train(model)
    path = shop.checkpoint(process)
    time.sleep(0.2)
    process.send_signal(sent)
    output = process.communicate(timeout=60)[0]
    run_id = shop.ids[-1]
    saved = load(path)
    assert 0 < saved["global_step"] < expected["global_step"], "the signal came too late"
    if sent is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 128 + sent, output
        assert "Traceback" not in output
        assert run_tags(shop.uri, run_id)["status"] == "KILLED"
        steps = [point.step for point in client(shop.uri).get_metric_history(run_id, "train/learning_rate")]
        # Lightning sends the figures of a step after the callbacks, so those of the very last step are not sent.
        assert max(steps) in (saved["global_step"] - 1, saved["global_step"] - 2)

    process = shop.start("resume=last")
    output = process.communicate(timeout=180)[0]
    assert process.returncode == 0, output
    assert shop.run_id() == run_id and run_tags(shop.uri, run_id)["status"] == "FINISHED"
    final = load(path)
    assert final["global_step"] == expected["global_step"]
    for name, value in expected["state_dict"].items():
        assert torch.equal(value, final["state_dict"][name]), name
    points = client(shop.uri).get_metric_history(run_id, "train/learning_rate")
    absent = set(range(expected["global_step"])) - {point.step for point in points}
    # A kill between the writing of a checkpoint and the sending of the figures costs those since the last one, and of
    # the step that ended in it, which Lightning tells only after it.
    assert absent <= set(range(saved["global_step"] - 5, saved["global_step"]))
    for name in ("val/precision_at_1", "val/loss"):
        epochs = {point.step for point in client(shop.uri).get_metric_history(run_id, name)}
        assert len(epochs) == 15, f"{name} of an epoch is missing"
    assert len(client(shop.uri).get_metric_history(run_id, "test/precision_at_1")) == 1
    assert (path.parents[1] / "index" / "manifest.json").is_file()

    process = shop.start(f"resume={run_id}")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 2 and "is finished" in output and "Traceback" not in output
