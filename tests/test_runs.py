"""Going on with a stored run, as the command line does it; no training."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from lens.config import TrainConfig, check, compose_file, entry, plain
from lens.errors import LensError
from lens.runs import hold, resumed, run_folder

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
VIT = ["model=vit_tiny", "model_name=vit_tiny", "data=manifest", "data.path=a.csv", "seed=7"]


@dataclass
class Store:
    """A store with one run that was killed, one that ended, and one of an older version of this program."""

    uri: str
    killed: str
    ended: str
    older: str


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    from lens.tracking import RunLogger

    folder = tmp_path_factory.mktemp("store")
    progress = {"epoch_progress": {"current": {"processed": 3}}}
    torch.save({"loops": {"fit_loop": progress}}, folder / "last.ckpt")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    config = plain(compose_file(CONF, "train", [*VIT, "logger.uri=sqlite:///moved.db"]))
    old = {key: value for key, value in config.items() if key not in ("model_name", "monitor", "augment")}
    odd = config | {"model": {**config["model"], "heads_per_layer": 2}}
    ids = []
    stored = [("killed", config, "interrupted"), ("ended", config, "success"), ("old", old, "interrupted")]
    for name, values, status in [*stored, ("odd", odd, "interrupted"), ("empty", config, "interrupted")]:
        logger = RunLogger(uri, "shop", name=name, system_metrics=False, folder=folder)
        logger.log_config(values)
        if name != "empty":
            logger.log_artifact(folder / "last.ckpt", "checkpoints")
        logger.finalize(status)
        ids.append(str(logger.run_id))
    yield Store(uri, *ids[:3])
    for run_id in ids:
        shutil.rmtree(run_folder(run_id), ignore_errors=True)


Resume = Callable[..., tuple[int, str, dict[str, Any]]]


@pytest.fixture
def resume(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Resume:
    """Exit status, stderr, and the configuration to go on with, of `train.py` with these words."""

    def task(cfg: DictConfig) -> None:
        run_id, config, checkpoint = resumed(cfg)
        made = {"run_id": run_id, "config": config, "checkpoint": str(checkpoint)}
        (tmp_path / "made.json").write_text(json.dumps(made))

    def call(*words: str) -> tuple[int, str, dict[str, Any]]:
        line = ["train.py", f"logger.uri={store.uri}", "logger.experiment=shop", *words]
        monkeypatch.setattr(sys, "argv", line)
        monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        (tmp_path / "made.json").unlink(missing_ok=True)
        capfd.readouterr()
        status = 0
        try:
            entry(task, config_name="train", schema=TrainConfig, config_path=CONF)()
        except SystemExit as stop:
            status = int(stop.code or 0)
        made = json.loads((tmp_path / "made.json").read_text()) if status == 0 else {}
        return status, capfd.readouterr().err, made

    return call


def test_settings_beside_resume_change_the_stored_ones(store: Store, resume: Resume) -> None:
    words = ["data.path='b, c.csv'", "model.mask_ratio=0.3", "+callbacks.retrieval.ks=[1,2]", "name=null"]
    status, err, made = resume("resume=killed", *words, "trainer.limit_train_batches=2")
    assert (status, err) == (0, "")
    config = made["config"]
    assert made["run_id"] == store.killed and torch.load(made["checkpoint"])["loops"]
    assert config["model"]["_target_"].startswith("lens.models.vit.")
    assert config["data"]["path"] == "b, c.csv" and config["model"]["mask_ratio"] == 0.3
    assert config["callbacks"]["retrieval"]["ks"] == [1, 2] and config["trainer"]["limit_train_batches"] == 2
    assert (config["seed"], config["model_name"], config["name"]) == (7, "vit_tiny", None)
    assert (config["resume"], "changes" in config) == (None, False)


def test_the_logger_writes_where_the_run_was_found(store: Store, resume: Resume) -> None:
    logger = resume("resume=killed")[2]["config"]["logger"]
    assert (logger["uri"], logger["experiment"]) == (store.uri, "shop")


def test_defaults_stand_for_what_an_older_version_did_not_store(store: Store, resume: Resume) -> None:
    status, err, made = resume(f"resume={store.older[:10]}", "monitor=val/loss")
    assert (status, made["run_id"]) == (0, store.older), err
    config = made["config"]
    assert (config["model_name"], config["augment"], config["monitor"]) == (None, None, "val/loss")


MISTAKES = [
    (["data.paht=x.csv"], "data.paht: no such setting; did you mean data.path?"),
    (["model.margin=1"], "model.margin: no such setting"),  # the default model has it, this run has not
    (["mask_ratio=0.3"], "did you mean model.mask_ratio?"),
    (["+sead=3"], "did you mean seed?"),
    (["trainer.max_epochs=abc"], "trainer.max_epochs=abc: must be a whole number"),
    (["model.mask_ratio=[1]"], "model.mask_ratio=[1]: must be a number"),
    (["seed=${no.such}"], "seed"),
    (["data.path=???"], "data.path is not set"),
    (["model=resnet"], "model=resnet: a resumed run keeps its choices"),
    (["data=folder"], "data=folder: a resumed run keeps its choices"),
    (["logger=none"], "logger=none: a resumed run keeps its choices"),
    (["experiment=quickstart"], "experiment=quickstart: a resumed run keeps its choices"),
    (["callbacks.retrieval=null"], "callbacks.retrieval=null: a resumed run keeps its choices"),
    (["~seed"], "~seed: a resumed run keeps its settings"),
    (["seed=1,2"], "seed=1,2: several values"),
    (["hydra.mode=MULTIRUN", "seed=1,2"], "leave out -m"),
    (["resume=nobody"], "There is no run 'nobody'"),
    (["resume=ended"], "is finished; to train it longer give trainer.max_epochs=N"),
    (["resume=odd"], "cannot be used: model.heads_per_layer: no such setting"),
    (["resume=empty"], "no checkpoint to go on from"),
    (["trainer.max_epochs=2"], "has trained 3 epochs already"),
    (["logger.experiment=toys"], "There is no experiment 'toys'"),
]


@pytest.mark.parametrize(("words", "part"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_one_sentence(resume: Resume, words: list[str], part: str) -> None:
    given = words if any(word.startswith("resume=") for word in words) else ["resume=killed", *words]
    status, err, _ = resume(*given)
    assert status == 2 and err.count("\n") == 1 and part in err, err


def test_a_finished_run_can_be_made_longer(store: Store, resume: Resume) -> None:
    status, err, made = resume("resume=ended", "trainer.max_epochs=30")
    assert (status, made["run_id"], made["config"]["trainer"]["max_epochs"]) == (0, store.ended, 30), err


def test_resume_in_a_file_is_refused(store: Store) -> None:
    cfg = compose_file(CONF, "train", [f"logger.uri={store.uri}", "resume=last", "model_name=x"])
    check(cfg, TrainConfig)
    with pytest.raises(LensError, match="on the command line only"):
        resumed(cfg)


def test_folders_without_a_run_are_never_shared() -> None:
    assert len({run_folder(None) for _ in range(50)}) == 50
    assert run_folder("a1") == ROOT / "runs" / "a1"


def test_a_folder_is_held_by_one_process_until_it_ends_or_is_killed(tmp_path: Path) -> None:
    script = f"""
        import os, sys, time
        sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from lens.runs import hold
        with hold(Path({str(tmp_path / "abc")!r})):
            child = os.fork()  # as a worker that outlives a kill for a while
            if child:
                print(child, flush=True)
            time.sleep(100)
    """
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    worker = int(other.stdout.readline())
    try:
        with pytest.raises(LensError, match="Run abc is still training in another process"):
            with hold(tmp_path / "abc"):
                pass
        other.kill()
        other.wait()
        with hold(tmp_path / "abc"):
            with pytest.raises(LensError, match="still training"), hold(tmp_path / "abc"):
                pass
        with hold(tmp_path / "abc"):
            pass
    finally:
        other.kill()
        os.kill(worker, 9)


def test_only_the_first_process_of_a_run_holds_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold(tmp_path):
        monkeypatch.setenv("RANK", "1")
        with hold(tmp_path):
            pass
