"""Runs on a real SQLite store. Its migration takes ten seconds, so one is made and copied."""

import json
import logging
import math
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lens import tracking
from lens.errors import LensError
from lens.tracking.logger import RunLogger
from lens.tracking.names import flatten, metric_name
from lens.tracking.outbox import Outbox, _batches
from lens.tracking.store import client

Maker = Callable[..., RunLogger]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    tracking.prepare_store(f"sqlite:///{folder / 'mlflow.db'}", "unused")
    return folder / "mlflow.db"


@pytest.fixture
def uri(migrated: Path, tmp_path: Path) -> str:
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def make(uri: str, tmp_path: Path) -> Maker:
    def build(**given: Any) -> RunLogger:
        settings = {"system_metrics": False, "retry_seconds": 0.0, "folder": tmp_path / "spool", **given}
        return RunLogger(uri, "shoes", **settings)

    return build


def history(uri: str, run_id: str, name: str) -> list[tuple[int, float]]:
    return sorted((row.step, row.value) for row in client(uri).get_metric_history(run_id, name))


def status(uri: str, run_id: str) -> str:
    return tracking.run_tags(uri, run_id)["status"]


@contextmanager
def away(uri: str) -> Iterator[None]:
    path = Path(uri.removeprefix("sqlite:///"))
    path.rename(path.with_suffix(".away"))
    yield
    path.with_suffix(".away").rename(path)


@contextmanager
def locked(uri: str) -> Iterator[None]:
    connection = sqlite3.connect(uri.removeprefix("sqlite:///"))
    connection.execute("BEGIN EXCLUSIVE")
    yield
    connection.close()


def test_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking.tracking_uri() == f"sqlite:///{Path(__file__).parents[1] / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somewhere:5000")
    assert tracking.tracking_uri() == "http://somewhere:5000"
    monkeypatch.chdir(tmp_path)
    assert tracking.tracking_uri("sqlite:///a.db") == f"sqlite:///{tmp_path / 'a.db'}"
    with pytest.raises(LensError, match="sqlite:///FILE"):
        tracking.tracking_uri("./mlruns")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("val/precision@10", "val/precision_at_10"),
        ("a b", "a b"),
        ("/x//y/../z", "x/y/z"),
        ("ü%", "__"),
        ("", "unnamed"),
    ],
)
def test_metric_names(given: str, kept: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    assert metric_name(given) == kept
    _validate_metric_name(kept)


def test_flatten() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": None}}, "e": {}}) == {"a.b": 1, "a.c.d": None, "e": {}}


def test_a_run_holds_what_was_logged(make: Maker, uri: str, tmp_path: Path) -> None:
    config = {"model": {"name": "vit", "text": "x" * 600}, "seed": 0}
    with make(name="first", tags={"seed": 0}) as logger:
        logger.log_config(config)
        for step in range(120):
            logger.log_metrics({"train/loss": 1 / (step + 1)}, step)
        logger.log_metrics({"val/precision@10": 0.5, "odd": math.nan, "huge": math.inf, "text": "no"}, 7)
        logger.log_dict({"queries": 3}, "results/test.json")
        (tmp_path / "index").mkdir()
        (tmp_path / "index" / "a.txt").write_text("a")
        logger.log_artifact(tmp_path / "index", "index")
        logger.set_tags({"weights": "random"})
        run_id = logger.version
        logger.finalize("success")  # what Lightning says after fit
        assert run_id is not None and status(uri, run_id) == "RUNNING"
    assert history(uri, run_id, "train/loss") == [(step, 1 / (step + 1)) for step in range(120)]
    last = tracking.run_metrics(uri, run_id)
    assert last["val/precision_at_10"] == 0.5
    assert math.isnan(last["odd"]) and math.isnan(last["huge"]) and "text" not in last
    assert tracking.run_config(uri, run_id) == config
    assert client(uri).get_run(run_id).data.params["model.text"] == "x" * 250
    assert tracking.run_tags(uri, run_id)["weights"] == "random"
    assert tracking.download(uri, run_id, "index", tmp_path / "got").joinpath("a.txt").read_text() == "a"
    assert (tmp_path / "mlartifacts" / run_id / "artifacts" / "results" / "test.json").is_file()
    assert status(uri, run_id) == "FINISHED"
    assert not (tmp_path / "spool").exists()


def test_figures(make: Maker, uri: str, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    logger = make()
    logger.log_figure(Figure(figsize=(1, 1)), "pictures/empty.png")
    assert logger.run_id is not None
    assert tracking.download(uri, logger.run_id, "pictures/empty.png", tmp_path).stat().st_size > 0


def test_steps_are_buffered(make: Maker, uri: str) -> None:
    logger = make(buffer_steps=50)
    for step in range(49):
        logger.log_metrics({"loss": 1.0}, step)
        logger.save()
    assert logger.run_id is not None
    assert history(uri, logger.run_id, "loss") == []
    logger.log_metrics({"loss": 1.0}, 49)
    assert len(history(uri, logger.run_id, "loss")) == 50
    logger.log_metrics({"loss": 1.0}, 50)
    logger.after_save_checkpoint(None)
    assert len(history(uri, logger.run_id, "loss")) == 51


def test_requests_stay_below_the_limit(make: Maker, uri: str) -> None:
    records = [{"kind": "metrics", "rows": [["a", 0.0, 0, 0]] * 400}] * 5
    assert [sum(len(record["rows"]) for record in batch) for batch in _batches(records)] == [800, 800, 400]
    logger = make()
    logger.log_metrics({f"m{index}": float(index) for index in range(2500)}, 0)
    logger.log_hyperparams({f"p{index}": index for index in range(250)})
    logger.finalize("success")
    assert logger.run_id is not None
    assert len(tracking.run_metrics(uri, logger.run_id)) == 2500
    assert len(client(uri).get_run(logger.run_id).data.params) == 250


@pytest.mark.parametrize("absence", [away, locked])
def test_nothing_is_lost_while_the_store_is_absent(
    make: Maker, uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, absence: Any
) -> None:
    logger = make(buffer_steps=10)
    run_id = logger.run_id
    assert run_id is not None
    picture = tmp_path / "picture.txt"
    picture.write_text("kept")
    began = time.monotonic()
    with absence(uri):
        for step in range(35):
            logger.log_metrics({"loss": float(step)}, step)
        logger.log_artifact(picture, "pictures")
        logger.set_tags({"colour": "red"})
        picture.unlink()
        assert not Path(uri.removeprefix("sqlite:///")).exists() or absence is locked
    assert time.monotonic() - began < 5
    logger.finalize("success")
    assert [step for step, _ in history(uri, run_id, "loss")] == list(range(35))
    assert tracking.download(uri, run_id, "pictures/picture.txt", tmp_path / "got").read_text() == "kept"
    assert tracking.run_tags(uri, run_id)["colour"] == "red"
    assert status(uri, run_id) == "FINISHED"
    said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 2 and "does not answer" in said[0] and "answers again" in said[1]
    assert not list((tmp_path / "spool").iterdir())


def test_what_cannot_be_sent_is_kept_and_sent_later(
    make: Maker, uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger = make()
    run_id = logger.run_id
    assert run_id is not None
    with away(uri):
        logger.log_metrics({"loss": 1.0, "odd": math.nan}, 3)
        logger.finalize("failed")
        journal = tmp_path / "spool" / "unsent.jsonl"
        assert str(journal) in caplog.text
        with pytest.raises(LensError, match="still does not answer"):
            tracking.send_unsent(journal)
    assert status(uri, run_id) == "RUNNING"
    assert tracking.send_unsent(journal) == 2
    assert history(uri, run_id, "loss") == [(3, 1.0)]
    assert status(uri, run_id) == "FAILED"
    assert not journal.exists()
    with pytest.raises(LensError, match="not a file of unsent"):
        tracking.send_unsent(journal)


def test_a_kill_during_an_absence_loses_nothing(make: Maker, uri: str, tmp_path: Path) -> None:
    first = make(buffer_steps=2)
    run_id = first.run_id
    assert run_id is not None
    with away(uri):
        for step in range(4):
            first.log_metrics({"loss": float(step)}, step)
    with (tmp_path / "spool" / "unsent.jsonl").open("a") as file:
        file.write('{"kind": "metr')  # the kill came in the middle of a line
    second = make(run_id=run_id)  # the first is never asked again
    second.log_metrics({"loss": 4.0}, 4)
    second.finalize("success")
    assert [step for step, _ in history(uri, run_id, "loss")] == [0, 1, 2, 3, 4]


def test_a_refused_record_does_not_block_the_rest(make: Maker, uri: str, tmp_path: Path) -> None:
    logger = make()
    run_id = logger.run_id
    assert run_id is not None
    outbox = Outbox(uri, run_id, tmp_path / "spool")
    outbox.add({"kind": "params", "values": {"a": "1"}})
    outbox.add({"kind": "params", "values": {"a": "2"}})
    outbox.add({"kind": "tags", "values": {"b": "3"}})
    assert outbox.flush()
    assert client(uri).get_run(run_id).data.params == {"a": "1"}
    assert tracking.run_tags(uri, run_id)["b"] == "3"
    assert json.loads((tmp_path / "spool" / "refused.jsonl").read_text())["values"] == {"a": "2"}


def test_files_that_cannot_be_stored_do_not_hold_up_numbers(make: Maker, uri: str, tmp_path: Path) -> None:
    logger = make()
    run_id = logger.run_id
    assert run_id is not None
    (tmp_path / "mlartifacts").write_text("a file where the folder should be")
    logger.log_dict({"a": 1}, "a.json")
    logger.log_metrics({"loss": 1.0}, 0)
    logger.finalize("success")
    assert history(uri, run_id, "loss") == [(0, 1.0)]
    assert status(uri, run_id) == "FINISHED"
    (tmp_path / "mlartifacts").unlink()
    tracking.send_unsent(tmp_path / "spool" / "unsent.jsonl")
    assert tracking.download(uri, run_id, "a.json", tmp_path / "got").read_text() == '{\n  "a": 1\n}'


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


def test_system_metrics_and_a_training_by_lightning(make: Maker, uri: str, tmp_path: Path) -> None:
    import pytorch_lightning as pl
    from pytorch_lightning.demos.boring_classes import BoringModel

    class Model(BoringModel):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.step(batch)
            self.log("train/loss", loss, on_step=True)
            return loss

    with make(system_metrics=True) as logger:
        settings: dict[str, Any] = {
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        trainer = pl.Trainer(
            default_root_dir=tmp_path,
            logger=logger,
            max_steps=12,
            log_every_n_steps=1,
            limit_val_batches=1,
            **settings,
        )
        trainer.fit(Model())
        trainer.test(Model(), verbose=False)
    assert logger.run_id is not None
    assert [step for step, _ in history(uri, logger.run_id, "train/loss")] == list(range(12))
    assert any(name.startswith("system/") for name in tracking.run_metrics(uri, logger.run_id))
    assert status(uri, logger.run_id) == "FINISHED"


def test_git_state(tmp_path: Path) -> None:
    assert tracking.git_state(tmp_path) == {"git.commit": "unknown", "git.dirty": "unknown"}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    state = tracking.git_state(tmp_path)
    assert len(state["git.commit"]) == 40 and state["git.dirty"] == "false"
    (tmp_path / "new.py").touch()
    assert tracking.git_state(tmp_path)["git.dirty"] == "true"
    (tmp_path / "below").mkdir()
    assert tracking.git_state(tmp_path / "below")["git.commit"] == "unknown"


def test_importing_is_quick() -> None:
    code = "import sys, lens.tracking; assert not {'mlflow', 'pytorch_lightning', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)


@pytest.mark.slow
def test_two_processes_on_a_fresh_store(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'new folder' / 'mlflow.db'}"
    code = "import sys; from lens.tracking import prepare_store; print(prepare_store(sys.argv[1], 'shoes'))"
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", code, uri], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    answers = [job.communicate(timeout=120) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], answers
    assert answers[0] == answers[1] == ("1\n", "")


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
