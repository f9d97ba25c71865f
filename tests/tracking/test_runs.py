"""How runs begin, end, go on and are found."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lens import tracking
from lens.errors import LensError
from lens.tracking.store import client
from tests.tracking.stores import Maker, history, status


def test_resume_continues_the_same_run(make: Maker, uri: str) -> None:
    first = make()
    first.log_config({"epochs": 3, "seed": 0})
    first.log_metrics({"loss": 1.0}, 0)
    first.finalize("interrupted")
    run_id = first.run_id
    assert run_id is not None and status(uri, run_id) == "KILLED"
    assert tracking.run_tags(uri, run_id)["interrupted"] == "true"
    second = make(run_id=run_id)
    assert second.version == run_id and status(uri, run_id) == "RUNNING"
    second.log_config({"epochs": 5, "seed": 0})
    second.log_metrics({"loss": 0.5}, 1)
    second.finalize("success")
    assert history(uri, run_id, "loss") == [(0, 1.0), (1, 0.5)]
    tags = tracking.run_tags(uri, run_id)
    assert (tags["resumed"], tags["interrupted"], tags["changed.epochs"]) == ("1", "false", "5")
    assert client(uri).get_run(run_id).data.params == {"epochs": "3", "seed": "0"}
    assert tracking.run_config(uri, run_id)["epochs"] == 5
    assert status(uri, run_id) == "FINISHED"


@pytest.mark.parametrize(
    ("error", "expected"),
    [(KeyboardInterrupt(), "KILLED"), (SystemExit(1), "KILLED"), (ValueError("broken"), "FAILED")],
)
def test_how_a_run_ends(make: Maker, uri: str, error: BaseException, expected: str) -> None:
    with pytest.raises(type(error)), make() as held:
        held_id = held.run_id
        raise error
    plain = make()
    plain_id = plain.run_id
    try:
        raise error
    except type(error):
        plain.finalize("failed")  # what Lightning says for all of them
    assert held_id and plain_id
    assert status(uri, held_id) == status(uri, plain_id) == expected


def test_parent_and_children(make: Maker, uri: str) -> None:
    parent = tracking.start_parent(uri, "shoes", "sweep", {"jobs": 2})
    children = [make(parent_run_id=parent, name=f"job-{index}") for index in range(2)]
    for child in children:
        child.finalize("success")
        assert child.run_id is not None
        assert tracking.run_tags(uri, child.run_id)["mlflow.parentRunId"] == parent
        child.finalize("success")
    tracking.finish_parent(uri, parent)
    assert status(uri, parent) == "FINISHED"
    assert tracking.find_run(uri, "shoes", "last") == children[-1].run_id


def test_finding_runs(make: Maker, uri: str, tmp_path: Path) -> None:
    with pytest.raises(LensError, match="no experiment 'shoes'.*unused"):
        tracking.find_run(uri, "shoes")
    tracking.prepare_store(uri, "shoes")
    with pytest.raises(LensError, match="no runs yet"):
        tracking.find_run(uri, "shoes")
    ids = [make(name=name).run_id for name in ("red", "blue", "blue")]
    assert all(ids)
    assert tracking.find_run(uri, "shoes", "red") == ids[0]
    assert tracking.find_run(uri, "shoes", str(ids[1])) == ids[1]
    assert tracking.find_run(uri, "shoes", str(ids[1])[:12]) == ids[1]
    with pytest.raises(LensError, match="Several runs fit 'blue'"):
        tracking.find_run(uri, "shoes", "blue")
    with pytest.raises(LensError, match=r"no run 'green'.*\(red\)"):
        tracking.find_run(uri, "shoes", "green")
    with pytest.raises(LensError, match=r"no tracking store .*none\.db"):
        tracking.find_run(f"sqlite:///{tmp_path / 'none.db'}", "shoes")
    with pytest.raises(LensError, match=r"no artefact 'config\.yaml'"):
        tracking.run_config(uri, str(ids[0]))
    with pytest.raises(LensError, match="no run 0123 .* to go on with"):
        make(run_id="0123").log_metrics({"loss": 1.0}, 0)


TRAINING = """
import sys, time
import pytorch_lightning as pl
from pytorch_lightning.demos.boring_classes import BoringModel
from lens.tracking import RunLogger

class Model(BoringModel):
    def training_step(self, batch, batch_idx):
        print(self.logger.run_id, flush=True)
        time.sleep(0.1)
        loss = super().training_step(batch, batch_idx)["loss"]
        self.log("train/loss", loss)
        return loss

with RunLogger(sys.argv[1], "shoes", folder=sys.argv[2] + "/spool") as logger:
    pl.Trainer(default_root_dir=sys.argv[2], logger=logger, max_steps=1000, log_every_n_steps=1, accelerator="cpu",
               enable_progress_bar=False).fit(Model())
"""


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_is_marked(uri: str, tmp_path: Path, sign: signal.Signals) -> None:
    command = [sys.executable, "-c", TRAINING, uri, str(tmp_path)]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert job.stdout is not None
    run_id = ""
    while len(run_id) != 32:
        run_id = job.stdout.readline().strip()
    for _ in range(3):
        job.stdout.readline()
    job.send_signal(sign)
    _, errors = job.communicate(timeout=60)
    assert status(uri, run_id) == "KILLED", errors
    assert len(history(uri, run_id, "train/loss")) >= 3
