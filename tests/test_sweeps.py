"""What a sweep names its jobs, which columns MLflow's page shows, and what a run gets after its end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from lens import tracking
from lens.config.sweep import SWEPT, job_name, swept_keys
from lens.errors import LensError
from lens.tracking.store import client
from lens.tracking.view import COLUMNS, view_address


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


def in_job(monkeypatch: pytest.MonkeyPatch, mode: RunMode, *words: str) -> None:
    cfg = OmegaConf.create({"hydra": {"mode": mode, "overrides": {"task": list(words)}}})
    monkeypatch.setattr(HydraConfig.instance(), "cfg", cfg)


def test_a_job_is_named_after_what_the_sweep_varies(monkeypatch: pytest.MonkeyPatch) -> None:
    swept = swept_keys(
        ["model=a,b", "seed=0,1", "model.learning_rate=1e-3,1e-4", "data.items=90", "+x=choice(1,2)"]
    )
    assert swept == ["model", "seed", "model.learning_rate", "x"]
    monkeypatch.setenv(SWEPT, " ".join(swept))
    in_job(
        monkeypatch,
        RunMode.MULTIRUN,
        "model=a",
        "seed=1",
        "model.learning_rate=1e-4",
        "data.items=90",
        "+x=2",
    )
    assert job_name("a", "a") == "a seed=1 learning_rate=1e-4 x=2"
    assert job_name("mine", "a") == "mine"
    in_job(monkeypatch, RunMode.RUN, "seed=1")
    assert job_name("a", "a") == "a"


def test_an_experiment_offers_the_columns_that_matter(uri: str) -> None:
    experiment = tracking.prepare_store(uri, "shopping-lens")
    address = view_address(uri, "shopping-lens", "http://127.0.0.1:5001")
    assert address.startswith(f"http://127.0.0.1:5001/#/experiments/{experiment}/runs?")
    key = address.rpartition("viewStateShareKey=")[2]
    tags = client(uri).get_experiment(experiment).tags
    assert json.loads(tags[f"mlflow.sharedViewState.{key}"]) == {"selectedColumns": list(COLUMNS)}


def test_the_address_is_printed(uri: str) -> None:
    words = [sys.executable, "-m", "lens.tracking", "view"]
    done = subprocess.run(
        words, env={"MLFLOW_TRACKING_URI": uri, "PATH": ""}, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.startswith("http://127.0.0.1:5000/#/experiments/"), done.stderr


def test_a_run_takes_figures_texts_and_files_after_its_end(uri: str, tmp_path: Path) -> None:
    run_id = tracking.start_note(uri, "shopping-lens", "a note", {"comparison": "x y"})
    (tmp_path / "plot.png").write_bytes(b"1")
    tracking.add_to_run(
        uri,
        run_id,
        metrics={"test/precision_at_1": 0.5, "test/mrr": float("nan")},
        tags={"best": "a"},
        texts={"notes/a.txt": "hello"},
        files=[tmp_path / "plot.png"],
        folder="comparison",
    )
    run = client(uri).get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"test/precision_at_1": 0.5}
    assert run.data.tags["best"] == "a" and run.data.tags["comparison"] == "x y"
    assert tracking.download(uri, run_id, "notes/a.txt", tmp_path / "d").read_text() == "hello"
    assert tracking.download(uri, run_id, "comparison/plot.png", tmp_path / "d").read_bytes() == b"1"
    with pytest.raises(LensError, match="no-such-run"):
        tracking.add_to_run(uri, "no-such-run", metrics={"a": 1.0})


def test_a_comparison_is_not_the_last_run(uri: str) -> None:
    trained = tracking.start_note(uri, "shopping-lens", "resnet", {})
    tracking.start_note(uri, "shopping-lens", "Comparison of 2 runs", {"comparison": trained})
    assert tracking.find_run(uri, "shopping-lens", "last") == trained
    facts = tracking.several_runs(uri, "shopping-lens", [trained[:8], "resnet"])
    assert [one.run_id for one in facts] == [trained]
