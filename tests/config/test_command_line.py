"""The command line: mistakes, sweeps, parallel jobs."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lens.errors import LensError

MISTAKES = [
    (["model=vitt"], ["model=vitt", "no such choice; nearest is 'vit'", "resnet"]),
    (["modle=vit"], ["modle: no such setting; did you mean model?"]),
    (["model.lerning_rate=1"], ["model.lerning_rate: no such setting; did you mean model.learning_rate?"]),
    (["learning_rate=1"], ["did you mean model.learning_rate?"]),
    (["model.max_epochs=1"], ["did you mean trainer.max_epochs?"]),
    (["+model.lerning_rate=1"], ["did you mean model.learning_rate?"]),
    (["model.margin=1"], ["+model.margin=1"]),
    (["callbacks.stop.patiense=1"], ["did you mean callbacks.stop.patience?"]),
    (["experiment=typo"], ["model.lerning_rate", "did you mean model.learning_rate?"]),
    (["experiment=top"], ["trainr", "did you mean trainer?"]),
    (["experiment=group"], ["experiment/group.yaml", "modle", "did you mean model?"]),
    (["experiment=choice"], ["experiment/choice.yaml", "model=vitt", "nearest is 'vit'"]),
    (["experiment=goood"], ["experiment=goood", "nearest is 'good'"]),
    (["model.mining=batch_hrd"], ["model.mining=batch_hrd", "nearest is 'batch_hard'", "batch_all"]),
    (["model.learning_rate=abc"], ["model.learning_rate=abc: must be a number"]),
    (["model.learning_rate=true"], ["model.learning_rate=True: must be a number"]),
    (["trainer.max_epochs=1.5"], ["trainer.max_epochs=1.5: must be a whole number"]),
    (["model.layers=[1,x]"], ["model.layers", "must be a list", "[1]"]),
    (["+model.schedule={warmpu: 1}"], ["model.schedule.warmpu", "did you mean model.schedule.warmup?"]),
    (["seed=abc"], ["seed=abc: must be a whole number"]),
    (["model=null"], ["model=null: there is no such choice (choices"]),
    (["data=folder"], ["data.root is not set: give data.root=PATH"]),
    (["data=folder", "data.root=x", "data.columns.captoin=t"], ["did you mean data.columns.caption?"]),
    (["data=folder", "data.root=x", "+data.read=1"], ["data.read: no such setting"]),
    (["model.layers=[1"], ["model.layers=[1", "cannot be read"]),
    (["model=broken"], ["broken.yaml, line", "not valid YAML"]),
    (["model=dangling"], ["model.learning_rate", "trainer.rate", "not found"]),
    (["model=vit,resnet"], ["model=vit,resnet", "-m"]),
    (["hydra/launcher=joblb"], ["nearest is 'joblib'"]),
    (["--config-name", "ap"], ["ap"]),
    (["fail=told"], ["The catalogue is empty."]),
    (["-m", "model=vit,resnt"], ["model=resnt", "nearest is 'resnet'"]),
    (["-m", "model.mining=batch_all,batch_hrd"], ["nearest is 'batch_hard'"]),
    (["--cfg", "job", "model=vitt"], ["vitt"]),
]


@pytest.mark.parametrize(("overrides", "parts"), MISTAKES, ids=[" ".join(line) for line, _ in MISTAKES])
def test_a_mistake_is_one_sentence_and_status_2(run, app, overrides, parts):
    status, err = run(*overrides)
    assert status == 2, err
    assert err.count("\n") == 1, err
    assert all(part in err for part in parts), err
    assert not (app / "ran.txt").exists()


def test_right_configurations_run(run, app):
    assert run("experiment=good", "callbacks.stop=null", "+model.margin=0.5") == (0, "")
    assert run("-m", "model=vit,resnet", "model.learning_rate=1,2")[0] == 0
    assert (app / "ran.txt").read_text().split() == ["0.001", "1", "2", "1", "2"]
    assert (app / "multirun").is_dir()
    assert run("--cfg", "job", "data=folder") == (0, "")


def test_a_failing_job_is_told_and_the_others_run(run, app):
    status, err = run("-m", "fail=told,''")
    assert status == 2
    assert err.count("The catalogue is empty.") == 1
    assert "Job 0 (fail=told)" in err
    assert "Traceback" not in err
    assert (app / "ran.txt").read_text().split() == ["0.0001"]


def test_bugs_and_interrupts(run, monkeypatch):
    with pytest.raises(ValueError, match="a bug"):
        run("fail=bug")
    assert run("fail=keys") == (130, "Interrupted.\n")
    assert "HYDRA_FULL_ERROR" not in os.environ
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(LensError, match="no such choice"):
        run("model=vitt")
    with pytest.raises(LensError, match="empty"):
        run("fail=told")


def test_the_value_of_the_task_reaches_the_sweeper(run, monkeypatch):
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    results: list[object] = []
    sweep = BasicSweeper.sweep

    def spy(self, arguments):
        out = sweep(self, arguments)
        results.extend(r.return_value for batch in out for r in batch)
        return out

    monkeypatch.setattr(BasicSweeper, "sweep", spy)
    assert run("-m", "model.learning_rate=1,2")[0] == 0
    assert results == [1.0, 2.0]


def test_two_jobs_at_a_time(app):
    script = textwrap.dedent(f"""
        import sys
        sys.path[:0] = [{str(app)!r}, {str(Path(__file__).parents[2])!r}]
        from dataclasses import dataclass
        from pathlib import Path
        from lens.config import Node, entry
        from lens.errors import LensError

        @dataclass(frozen=True)
        class Schema:
            model: Node
            trainer: Node
            callbacks: dict
            seed: int = 0
            fail: str = ""

        def task(cfg):
            if cfg.seed == 1:
                raise LensError("Seed 1 is unlucky.")
            Path(f"ran{{cfg.seed}}.txt").touch()

        main = entry(task, config_name="app", schema=Schema, config_path=Path({str(app / "conf")!r}))
        if __name__ == "__main__":
            main()
    """)
    (app / "job.py").write_text(script)
    command = [sys.executable, "job.py", "-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=1,2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=app, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("Job 0 (seed=1): Seed 1 is unlucky.") == 1
    assert "Traceback" not in done.stderr
    assert (app / "ran2.txt").exists()
    assert not (app / "ran1.txt").exists()
