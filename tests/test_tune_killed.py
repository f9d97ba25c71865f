"""A search that is killed and stopped, with real processes, and goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.tuning.shop import EXPERIMENT, ROOT, Shop


class Killer(Shop):
    """Searches in processes of their own."""

    processes: "list[subprocess.Popen[str]]"
    WORDS = ["model.learning_rate=tag(log,interval(1e-4,1e-2))", "model.margin=0.1,0.2,0.3", "trainer.max_epochs=8",
             "trials=4", "startup_trials=2", "warmup_epochs=1"]  # fmt: skip

    def start(self, *words: str) -> "subprocess.Popen[str]":
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": self.uri}
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tune.py"), *words], cwd=self.folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def wait_for(self, process: "subprocess.Popen[str]", parent: str | None, trial: int) -> str:
        """Until the training of a trial has written a checkpoint; returns the search's id."""
        for _ in range(2400):
            time.sleep(0.05)
            assert process.poll() is None, process.communicate()[0]
            known = [run.info.run_id for run in self.searches()]
            new = [run_id for run_id in known if parent is None or run_id == parent]
            runs = self.trials(new[-1]) if new else {}
            if trial in runs and (ROOT / "runs" / runs[trial].info.run_id / "checkpoints").exists():
                return str(new[-1])
        raise AssertionError("the trial did not begin")


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory, shoes: Path) -> Iterator[Killer]:
    from lens.tracking import prepare_store

    made = Killer(tmp_path_factory.mktemp("killed"), shoes)
    made.processes = []
    prepare_store(made.uri, EXPERIMENT)
    yield made
    for process in made.processes:  # a stopped one would stay for ever
        process.kill()
    for run in made.runs():
        shutil.rmtree(ROOT / "runs" / run.info.run_id, ignore_errors=True)


@pytest.mark.slow
def test_killed_and_stopped_it_goes_on_to_the_trials_it_would_have_had(killer: Killer) -> None:
    words = [*killer.words, *killer.WORDS]
    process = killer.start(*words)
    parent = killer.wait_for(process, None, 1)
    process.send_signal(signal.SIGSTOP)  # or it might end before the second one has started
    second = killer.start("resume=last")
    told = second.communicate(timeout=120)[0]
    assert second.returncode == 2 and "still" in told and "Traceback" not in told
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert killer.trials(parent)[1].info.status == "RUNNING"

    process = killer.start("resume=last")
    killer.wait_for(process, parent, 3)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=120)[0]
    assert process.returncode == 143 and f"resume={parent[:8]}" in told and "Traceback" not in told
    assert "Trial 1 was cut off and is repeated." in told
    (search,) = killer.searches()
    assert search.info.status == "KILLED"
    trials = killer.trials(parent)
    assert trials[1].info.status == "KILLED" and trials[1].data.tags["repeated"] == "true"
    assert trials[3].info.status == "KILLED" and trials[3].data.tags["interrupted"] == "true"

    process = killer.start(f"resume={parent[:8]}")
    told = process.communicate(timeout=300)[0]
    assert process.returncode == 0, told
    table = killer.table(parent)
    assert list(table["state"]) == ["finished", "killed", "finished", "killed"] + list(table["state"][4:])
    assert (table["state"] != "killed").sum() == 4
    assert killer.searches()[0].info.status == "FINISHED"

    whole = killer.start(*words)
    told = whole.communicate(timeout=300)[0]
    assert whole.returncode == 0, told
    expected = killer.table(killer.searches()[-1].info.run_id)
    kept = table[table["state"] != "killed"].reset_index(drop=True)
    columns = ["state", "value", "epochs", "model.learning_rate", "model.margin"]
    pd.testing.assert_frame_equal(kept[columns], expected[columns])
