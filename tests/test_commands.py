"""`python train.py` and `python evaluate.py` as a person types them: a sweep, what its runs hold, and their scores."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.serve.server import free_port

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@dataclass
class Sweep:
    """Two jobs at a time on a fresh store: the models vit_tiny and autoencoder_tiny."""

    folder: Path
    uri: str
    output: str
    runs: dict[str, Any]
    parent: Any


def command(folder: Path, uri: str, *words: str, status: int = 0) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": uri}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, text=True, timeout=300,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def sweep(shoes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("sweep")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    output = command(
        folder, uri, str(ROOT / "train.py"), "-m", "model=vit_tiny,autoencoder_tiny", f"data.root={shoes}",
        "data.items=72", "data.views_per_product=2", "data.render_size=32", "data.image_size=32", "data.batch_size=8",
        "data.split_seed=3", "trainer.max_epochs=2", "trainer.log_steps=1", "trainer.progress=false",
        "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
    )  # fmt: skip
    client = MlflowClient(uri)
    found = client.search_runs([client.get_experiment_by_name("shopping-lens").experiment_id])
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    runs = {run.data.tags["model"]: run for run in found if run not in parents}
    yield Sweep(folder, uri, output, runs, parents[0])
    for run in (*found, *runs.values()):
        shutil.rmtree(ROOT / "runs" / run.info.run_id, ignore_errors=True)


def test_the_runs_of_a_sweep_hang_below_one_parent(sweep: Sweep) -> None:
    assert set(sweep.runs) == {"vit_tiny", "autoencoder_tiny"}
    for run in sweep.runs.values():
        assert run.data.tags["mlflow.parentRunId"] == sweep.parent.info.run_id
        assert run.info.status == "FINISHED"
    assert sweep.parent.info.status == "FINISHED" and "model=vit_tiny" in sweep.parent.info.run_name


def test_a_run_holds_what_the_readme_promises(sweep: Sweep) -> None:
    from mlflow import MlflowClient

    client, run = MlflowClient(sweep.uri), sweep.runs["vit_tiny"]
    run_id = run.info.run_id

    def listed(folder: str | None = None) -> set[str]:
        return {Path(item.path).name for item in client.list_artifacts(run_id, folder)}

    assert listed() >= {"config.yaml", "data.json", "pictures", "checkpoints", "index"}
    pictures = ("neighbours", "worst_queries", "projection", "similarities", "calibration", "confusion")
    assert listed("pictures") == {f"{name}.png" for name in (*pictures, "masked_patches")}
    assert listed("checkpoints") == {"best.ckpt", "last.ckpt"}
    assert listed("index") == {"vectors.npy", "items.parquet", "manifest.json", "changes.sqlite"}
    ranked = [f"{name}_at_{k}" for name in ("precision", "recall", "hit", "map", "ndcg") for k in (1, 5, 10)]
    ranked += ["r_precision", "map_at_r", "mrr"]
    expected = {f"{side}/{name}" for side in ("train", "val", "test") for name in ranked}
    expected |= {"test/precision_at_1_low", "test/precision_at_1_high", "gap/precision_at_1", "gap/loss"}
    expected |= {"val/effective_rank", "val/mean_cosine", "test/alignment", "test/uniformity"}
    expected |= {"train/loss", "train/loss_epoch", "val/loss", "test/loss", "train/learning_rate"}
    expected |= {"train/images_per_second", "train/seconds", "model/embedding_size", "test/queries"}
    assert expected <= set(run.data.metrics)
    assert any(name.startswith("system/") for name in run.data.metrics)
    steps = [point.step for point in client.get_metric_history(run_id, "train/loss")]
    assert len(steps) == len(set(steps)) > 4
    assert len(client.get_metric_history(run_id, "val/precision_at_1")) == 2
    assert len(client.get_metric_history(run_id, "test/precision_at_1")) == 1
    assert run.data.params["trainer.max_epochs"] == "2" and run.data.params["seed"] == "0"
    tags = run.data.tags
    assert tags["weights"] == "random" and len(tags["data.fingerprint"]) == 64 and tags["git.dirty"]
    assert tags["data.fingerprint"] == sweep.runs["autoencoder_tiny"].data.tags["data.fingerprint"]


def test_evaluate_gives_the_runs_own_figures_again(sweep: Sweep) -> None:
    run = sweep.runs["autoencoder_tiny"]
    prefix = run.info.run_id[:12]
    evaluate = str(ROOT / "evaluate.py")
    command(sweep.folder, sweep.uri, evaluate, f"run={prefix}", "out=run.json")
    result = json.loads((sweep.folder / "run.json").read_text())
    assert result["queries"] == run.data.metrics["test/queries"]
    for name in ("precision_at_1", "recall_at_10", "map_at_r"):
        assert result["metrics"][name] == pytest.approx(run.data.metrics[f"test/{name}"], abs=1e-6)
    index = ROOT / "runs" / run.info.run_id / "index"
    command(sweep.folder, sweep.uri, evaluate, f"index={index}", "out=index.json")
    again = json.loads((sweep.folder / "index.json").read_text())
    assert again["metrics"] == pytest.approx(result["metrics"], abs=1e-6)
    command(sweep.folder, sweep.uri, evaluate, f"run={prefix}", "split=val", "out=val.json")
    assert json.loads((sweep.folder / "val.json").read_text())["split"] == "val"

    from mlflow import MlflowClient

    logged = MlflowClient(sweep.uri).get_run(run.info.run_id).data.metrics
    assert logged["evaluation/own/test/precision_at_1"] == pytest.approx(result["metrics"]["precision_at_1"])
    assert "evaluation/index/test/precision_at_1" in logged and "evaluation/own/val/precision_at_1" in logged


def test_other_images_are_not_taken_for_the_runs_own(sweep: Sweep, shoes: Path) -> None:
    folder, uri = sweep.folder / "photos", f"sqlite:///{sweep.folder / 'other.db'}"
    shutil.copytree(shoes / "images", folder)
    words = ["model=autoencoder_tiny", "data=folder", f"data.root={folder}", "data.image_size=32", "data.batch_size=8",
             "trainer.max_epochs=1", "trainer.progress=false", "data.split_by=item"]  # fmt: skip
    output = command(sweep.folder, uri, str(ROOT / "train.py"), *words)
    run_id = output.split()[-1]
    shutil.rmtree(ROOT / "runs" / run_id)  # as on another machine: a resume fetches the checkpoints
    next(folder.rglob("*.jpg")).unlink()
    for program, more in (("evaluate.py", f"run={run_id}"), ("train.py", f"resume={run_id}")):
        longer = ["trainer.max_epochs=2"] if program == "train.py" else []
        told = command(sweep.folder, uri, str(ROOT / program), more, *longer, status=2)
        assert "not those that run" in told and "Traceback" not in told
    shutil.rmtree(ROOT / "runs" / run_id, ignore_errors=True)


def test_evaluate_scores_a_run_on_other_photographs(sweep: Sweep, shoes: Path) -> None:
    run_id = sweep.runs["vit_tiny"].info.run_id
    words = [f"run={run_id}", "data=folder", f"data.root={shoes / 'images'}", "out=other.json"]
    output = command(sweep.folder, sweep.uri, str(ROOT / "evaluate.py"), *words)
    result = json.loads((sweep.folder / "other.json").read_text())
    assert result["queries"] + result["excluded_queries"] == 72 and result["split"] == "all", output


def test_a_sweep_is_compared(sweep: Sweep) -> None:
    from mlflow import MlflowClient

    assert "is best: precision@1" in sweep.output  # said at the end of the sweep, and kept with its parent
    values = sweep.parent.data.metrics
    assert (
        values["test/precision_at_1_low"]
        <= values["test/precision_at_1"]
        <= values["test/precision_at_1_high"]
    )
    words = ["sweep=last", "out=compared", "robustness=true"]
    output = command(sweep.folder, sweep.uri, str(ROOT / "evaluate.py"), *words)
    for said in ("vit_tiny", "autoencoder_tiny", "P@1", "ms a query", "is best", "clutter"):
        assert said in output
    written = {path.name for path in (sweep.folder / "compared").iterdir()}
    plots = {"quality.png", "quality_latency.png", "quality_index.png", "robustness.png"}
    assert written == {"comparison.html", "comparison.csv", *plots}
    client, parent = MlflowClient(sweep.uri), sweep.parent.info.run_id
    kept = {Path(item.path).name for item in client.list_artifacts(parent, "comparison")}
    assert kept == written
    table = pd.read_csv(sweep.folder / "compared" / "comparison.csv").set_index("model")
    for name, run in sweep.runs.items():
        logged = run.data.metrics
        assert table.loc[name, "precision_at_1"] == pytest.approx(logged["test/precision_at_1"], abs=1e-6)
        assert table.loc[name, "test_loss"] == pytest.approx(logged["test/loss"])
        assert table.loc[name, "gap"] == pytest.approx(logged["gap/precision_at_1"])
        assert table.loc[name, "indicators/embedding_size"] == logged["model/embedding_size"]
    assert "indicators/latency_p50_ms" in client.get_run(sweep.runs["vit_tiny"].info.run_id).data.metrics


def test_chosen_runs_are_compared_in_a_run_of_their_own(sweep: Sweep) -> None:
    from mlflow import MlflowClient

    ids = ",".join(run.info.run_id for run in sweep.runs.values())
    output = command(sweep.folder, sweep.uri, str(ROOT / "evaluate.py"), f"runs=[{ids}]", "indicators=false")
    run_id = output.split()[-1]
    client = MlflowClient(sweep.uri)
    assert client.get_run(run_id).info.status == "FINISHED"
    assert "comparison.html" in {Path(item.path).name for item in client.list_artifacts(run_id, "comparison")}
    # it is not the last run that `run=last` means
    command(sweep.folder, sweep.uri, str(ROOT / "evaluate.py"), "run=last", "out=last.json")
    told = json.loads((sweep.folder / "last.json").read_text())["run_id"]
    assert told in {run.info.run_id for run in sweep.runs.values()}


def test_folds_are_judged_together(sweep: Sweep, shoes: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{sweep.folder / 'folds.db'}"
    words = ["-m", "model=autoencoder_tiny", "data.folds=3", "data.fold=0,1,2", f"data.root={shoes}", "data.items=72",
             "data.views_per_product=2", "data.render_size=32", "data.image_size=32", "data.batch_size=8",
             "trainer.max_epochs=1", "trainer.progress=false", "callbacks.pictures=null"]  # fmt: skip
    output = command(sweep.folder, uri, str(ROOT / "train.py"), *words)
    assert "Cross-validation" in output and "72 queries" in output
    client = MlflowClient(uri)
    found = client.search_runs([client.get_experiment_by_name("shopping-lens").experiment_id])
    sweep.runs |= {run.info.run_id: run for run in found}
    (parent,) = [run for run in found if "sweep" in run.data.tags]
    folds = [run for run in found if run is not parent]
    assert sorted(run.info.run_name for run in folds) == [f"autoencoder_tiny fold={n}" for n in range(3)]
    own = [run.data.metrics["test/precision_at_1"] for run in folds]
    values = parent.data.metrics
    assert values["folds/precision_at_1_mean"] == pytest.approx(sum(own) / 3)
    queries = [run.data.metrics["test/queries"] for run in folds]
    pooled = sum(p * q for p, q in zip(own, queries, strict=True)) / sum(queries)
    assert values["test/precision_at_1"] == pytest.approx(pooled, abs=1e-6)
    assert {"out_of_fold/precision_at_1", "whole/precision_at_1", "test/precision_at_1_low"} <= values.keys()


def test_agreement_with_people_is_logged(sweep: Sweep) -> None:
    from mlflow import MlflowClient

    run_id = sweep.runs["vit_tiny"].info.run_id
    words = [
        f"run={run_id}",
        f"triplets={ROOT / 'examples' / 'triplets' / 'triplets.csv'}",
        "out=people.json",
    ]
    command(sweep.folder, sweep.uri, str(ROOT / "evaluate.py"), *words)
    result = json.loads((sweep.folder / "people.json").read_text())
    assert result["triplets"] == 60 and result["missing_items"] == 0
    logged = MlflowClient(sweep.uri).get_run(run_id).data.metrics
    assert logged["evaluation/triplets/triplets/triplet_agreement"] == pytest.approx(
        result["triplet_agreement"]
    )


def test_two_processes_of_torchrun_make_one_run(sweep: Sweep, shoes: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{sweep.folder / 'two.db'}"
    words = [
        "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}", str(ROOT / "train.py"),
        "model=resnet_tiny", "trainer=ddp", "trainer.accelerator=cpu", f"data.root={shoes}", "data.items=72",
        "data.views_per_product=2", "data.render_size=32", "data.image_size=32", "data.batch_size=8",
        "data.images_per_class=2", "trainer.max_epochs=1", "trainer.progress=false", "data.split_seed=3",
    ]  # fmt: skip
    output = command(sweep.folder, uri, *words)
    client = MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("shopping-lens").experiment_id])
    sweep.runs["two"] = run
    shutil.rmtree(ROOT / "runs" / run.info.run_id / "checkpoints")
    assert run.info.status == "FINISHED" and output.count("Index:") == 1, output
    assert run.data.metrics["test/queries"] > 0
    alone = command(
        sweep.folder, uri, *[word for word in words if not word.startswith("trainer=ddp")], status=1
    )
    assert "add trainer=ddp" in alone


def test_a_failed_sweep_is_marked_so_and_is_not_the_last_run(sweep: Sweep) -> None:
    from mlflow import MlflowClient

    words = ["-m", "model=vit_tiny", "data=folder", "data.root=/nowhere,/nowhere-else"]
    output = command(sweep.folder, sweep.uri, str(ROOT / "train.py"), *words, status=2)
    assert "/nowhere" in output and "Traceback" not in output
    client = MlflowClient(sweep.uri)
    newest = client.search_runs([sweep.parent.info.experiment_id], order_by=["attributes.start_time DESC"])[0]
    assert newest.info.status == "FAILED" and "sweep" in newest.data.tags
    command(sweep.folder, sweep.uri, str(ROOT / "evaluate.py"), "run=last")


def test_a_mistake_leaves_no_run_behind(sweep: Sweep) -> None:
    from mlflow import MlflowClient

    def count() -> int:
        return len(MlflowClient(sweep.uri).search_runs([sweep.parent.info.experiment_id]))

    before = count()
    for wrong in ("monitor=val/precison_at_1", "trainer=gpu", "trainer.max_epochs=0", "data.test=0"):
        output = command(sweep.folder, sweep.uri, str(ROOT / "train.py"), f"data.root={sweep.folder / 'r'}",
                         "data.items=72", "data.render_size=32", wrong, status=2)  # fmt: skip
        assert "Traceback" not in output
    assert count() <= before + 1  # the number is found when the trainer is built; that run is marked
    assert all(run.info.status != "RUNNING" for run in MlflowClient(sweep.uri).search_runs(
        [sweep.parent.info.experiment_id]))  # fmt: skip
