"""`python tune.py` as a person types it: a small search on a real store, its mistakes, a kill and what follows."""

import gc
import logging
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.tuning.shop import EXPERIMENT, ROOT, Shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, shoes: Path) -> Iterator[Shop]:
    from lens.tracking import prepare_store

    made = Shop(tmp_path_factory.mktemp("tune"), shoes)
    prepare_store(made.uri, EXPERIMENT)
    yield made
    for run in made.runs():
        shutil.rmtree(ROOT / "runs" / run.info.run_id, ignore_errors=True)


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def tune(shop: Shop) -> Iterator[Call]:
    """Run a command line in this process; returns exit status, stdout and stderr."""
    import contextlib
    import io

    from lens.data import module
    from tune import main

    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", shop.uri)
        patch.setattr(module, "SCAN_CACHE", shop.folder / "images.parquet")
        patch.chdir(shop.folder)

        def call(*words: str) -> tuple[int, str, str]:
            patch.setattr(sys, "argv", ["tune.py", *words])
            status, out, err = 0, io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    main()
                except SystemExit as stop:
                    status = int(stop.code or 0)
            return status, out.getvalue(), err.getvalue()

        yield call
    signal.signal(signal.SIGTERM, before)
    root.handlers[:] = handlers
    root.setLevel(level)


@dataclass
class Search:
    """Four trials of one epoch, all combinations of a good and an impossible learning rate with two margins."""

    output: str
    errors: str
    parent: Any
    trials: dict[int, Any]
    kept_models: int


def models() -> int:
    import pytorch_lightning as pl

    gc.collect()
    return sum(issubclass(type(thing), pl.LightningModule) for thing in gc.get_objects())


@pytest.fixture(scope="module")
def small(shop: Shop, tune: Call) -> Search:
    before = models()
    status, out, err = tune(
        *shop.words, "model.learning_rate=1e-3,1e10", "model.margin=0.1,0.2", "trainer.max_epochs=1", "trials=4",
        "name=margins",
    )  # fmt: skip
    assert status == 0, out + err
    parent = shop.searches()[0]
    return Search(out, err, parent, shop.trials(parent.info.run_id), models() - before)


def test_trials_are_runs_below_one_parent(small: Search) -> None:
    assert sorted(small.trials) == [0, 1, 2, 3]
    statuses = {run.data.params["model.learning_rate"]: run.info.status for run in small.trials.values()}
    assert statuses == {"0.001": "FINISHED", "10000000000.0": "FAILED"}
    assert {run.info.run_name for run in small.trials.values()} == {
        f"margins-{number}" for number in range(4)
    }
    for run in small.trials.values():
        assert len(set(run.data.tags["overrides"].split()) & {"model.margin=0.1", "model.margin=0.2"}) == 1
        assert "trainer.progress" not in run.data.tags["overrides"]
        assert run.data.params["trainer.progress"] == "False"
    assert small.parent.info.status == "FINISHED" and small.parent.info.run_name == "margins"


def test_a_nan_trial_is_one_sentence_and_the_search_goes_on(small: Search) -> None:
    lines = [line for line in small.errors.splitlines() if "diverged" in line]
    assert len(lines) == 2 and all(
        re.match(r"Trial \d failed \(model.learning_rate=", line) for line in lines
    )
    assert "Traceback" not in small.errors
    failed = [run for run in small.trials.values() if run.info.status == "FAILED"]
    assert all("has diverged" in run.data.tags["reason"] for run in failed)
    assert small.parent.data.tags["trials.failed"] == "2" and small.parent.data.tags["trials.finished"] == "2"


def test_the_parent_holds_the_best_by_validation(shop: Shop, small: Search) -> None:
    from mlflow import MlflowClient

    finished = {n: run for n, run in small.trials.items() if run.info.status == "FINISHED"}
    best = max(finished, key=lambda number: (finished[number].data.metrics["val/precision_at_1"], -number))
    value = finished[best].data.metrics["val/precision_at_1"]
    tags = small.parent.data.tags
    assert tags["best.trial"] == str(best) and tags["best.run"] == finished[best].info.run_id
    assert float(tags["best.value"]) == pytest.approx(value)
    assert tags["best.model.margin"] == finished[best].data.params["model.margin"]
    assert small.parent.data.metrics["best"] == pytest.approx(value)
    assert small.parent.data.params["search.model.margin"] == "0.1,0.2"
    client, run_id = MlflowClient(shop.uri), small.parent.info.run_id
    assert len(client.get_metric_history(run_id, "trial")) == 2
    pictures = {Path(item.path).name for item in client.list_artifacts(run_id, "pictures")}
    assert pictures == {"history.png", "slices.png"}  # two finished trials say nothing of importance
    table = shop.table(run_id)
    assert list(table["trial"]) == [0, 1, 2, 3] and {"model.margin", "reason", "seconds"} <= set(table)
    assert set(table["run_id"]) == {run.info.run_id for run in small.trials.values()}


def test_what_the_person_is_told(small: Search) -> None:
    out = small.output
    assert "4 trials over model.learning_rate, model.margin, judged by val/precision_at_1" in out
    assert out.count("best 0.") == 2 and "4 trials in" in out and "2 finished, 2 failed" in out
    assert "The best again: python train.py model=resnet_tiny" in out
    assert "test queries" not in out and "Epoch" not in out + small.errors
    assert small.errors.count("Split by product") <= 1  # once, not for every trial


def test_nothing_of_a_trial_stays_in_memory(small: Search) -> None:
    assert small.kept_models == 0


def test_a_search_that_is_complete_is_not_done_again(small: Search, tune: Call) -> None:
    run_id = small.parent.info.run_id
    status, _, err = tune(f"resume={run_id[:12]}")
    assert status == 2 and "has its 4 trials; for more give trials=N, a number above 4" in err
    status, out, err = tune("resume=last", "trials=6")
    assert status == 0 and "All 4 combinations have been tried." in out and "Trial 4" not in out + err


def test_a_pruned_training_is_neither_tested_nor_exported(shop: Shop, tune: Call) -> None:
    from mlflow import MlflowClient

    from lens.callbacks.pruning import Watch
    from lens.config import TrainConfig, job
    from lens.tracking import start_parent
    from lens.tuning.record import Record
    from lens.tuning.search import Outcome
    from train import train

    parent = start_parent(shop.uri, EXPERIMENT, "pruned")
    record = Record(shop.uri, EXPERIMENT, parent, None, "val/precision_at_1")
    watch = Watch(record.monitor, lambda epochs, value: epochs == 2)
    words = [*shop.words, "trainer.max_epochs=4"]
    with job(ROOT / "conf", "train", words, TrainConfig, record.settings(7)) as cfg:
        value = train(cfg, watch)
    assert watch.pruned and len(watch.values) == 2 and value == max(watch.values)
    run_id = record.ended(7, words, Outcome("pruned"))
    run = shop.trials(parent)[7]
    assert run.info.run_id == run_id and run.info.status == "KILLED" and run.data.tags["pruned"] == "true"
    assert run.data.metrics["val/precision_at_1"] == pytest.approx(watch.values[-1])
    assert not any(name.startswith("test/") for name in run.data.metrics)
    assert not (ROOT / "runs" / run_id / "index").exists()
    names = {item.path for item in MlflowClient(shop.uri).list_artifacts(run_id)}
    assert names == {"config.yaml", "data.json"}


def test_a_trial_that_failed_before_its_run_has_one_all_the_same(shop: Shop) -> None:
    from lens.tracking import start_parent
    from lens.tuning.record import Record
    from lens.tuning.search import Outcome

    parent = start_parent(shop.uri, EXPERIMENT, "broken")
    record = Record(shop.uri, EXPERIMENT, parent, None, "val/precision_at_1")
    run_id = record.ended(5, ["data.batch_size=1"], Outcome("failed", None, "The batch is too small."))
    run = shop.trials(parent)[5]
    assert (run.info.run_id, run.info.status, run.info.run_name) == (run_id, "FAILED", "trial-5")
    assert run.data.tags["reason"] == "The batch is too small."
    assert run.data.tags["overrides"] == "data.batch_size=1"
    assert record.ended(6, [], Outcome("finished", 0.5)) is None, "a training without a run is no failure"


MISTAKES = [
    (["trials=3"], "Nothing to search over: give a setting several values"),
    (["model.margin=0.1,0.2", "trials=0"], "trials=0: it must be at least 1"),
    (["model.margin=0.1,0.2", "trials=2,3"], "trials=2,3: one value only"),
    (["model.margin=0.1,0.2", "trails=3"], "trails: no such setting; did you mean trials?"),
    (
        ["model.margin=0.1,0.2", "pruning=medan"],
        "pruning=medan: there is no such choice; nearest is 'median'",
    ),
    (["model.margin=0.1,0.2", "startup_trials=0"], "startup_trials=0"),
    (["model.margn=0.1,0.2"], "model.margn: no such setting; did you mean model.margin?"),
    (["model=resnet_tiny,vit_tny"], "model=vit_tny: there is no such choice; nearest is 'vit_tiny'"),
    (["model=resnet_tiny,vit_tiny", "model.margin=0.1"], "(tried with model=vit_tiny)"),
    (["trainer.max_epochs=interval(3,9)"], "must be a whole number"),
    (["model.margin=a,0.2"], "model.margin=a: must be a number"),
    (["model.learning_rate=tag(log,interval(0,1))"], "a logarithm needs numbers above 0"),
    (["model.learning_rate=interval(1"], "cannot be read as KEY=VALUE"),
    (["model.margin=0.1,0.2", "logger=none"], "leave out logger=none"),
    (["model.margin=0.1,0.2", "trainer=cpu,ddp"], "trainer=ddp cannot be searched with"),
    (["model.margin=0.1,0.2", "hydra/launcher=joblib"], "one after another"),
    (["-m", "model.margin=0.1,0.2"], "leave out -m"),
    (["model.margin=0.1,0.2", "storage=."], "cannot be used"),
    (["resume=abc"], "There is no search 'abc'"),
    (["resume=last", "logger.experiment=nothing"], "There is no search 'last'"),
    (["resume=last", "model.margin=0.3"], "model.margin=0.3: a resumed search keeps its words"),
    (["resume=last", "pruning=none"], "trials= and timeout= alone can change"),
    (["resume=last", "storage=nowhere.db"], "nowhere.db is not there"),
    (["resume=last", "trials=1"], "give trials=N, a number above"),
]


@pytest.mark.parametrize(("words", "told"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_one_sentence_before_the_first_trial(
    shop: Shop, small: Search, tune: Call, words: list[str], told: str
) -> None:
    before = len(shop.runs())
    status, out, err = tune(*words)
    assert status == 2 and told in err, err
    assert err.count("\n") == 1 and not out
    assert len(shop.runs()) == before


def test_help_explains_the_grammar(tune: Call) -> None:
    status, out, _ = tune("--help")
    assert status == 0
    for part in (
        "tag(log,interval(1e-4,1e-2))",
        "range(3,9)",
        "int(interval(8,64))",
        "resume=last",
        "pruning=",
    ):
        assert part in out
    assert "trials: 20" in tune("--cfg", "job", "model.margin=0.1,0.2")[1]
