"""What a model costs: measured on a real run, kept with it, told in one table."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lens.compare.hardware import this_hardware, usable_cores
from lens.compare.indicators import (
    Indicators,
    log_indicators,
    measure_missing,
    measure_run,
    notes,
    print_indicators,
    stored_indicators,
)
from lens.compare.measure import count_flops, measure
from lens.config import build, compose_file, plain
from lens.errors import LensError
from lens.index import save
from lens.tracking import RunLogger, run_metrics
from tests.compare.costs import CHANNELS, EMBEDDING, ITEMS, MACHINE, SIZE, small

ROOT = Path(__file__).parents[2]


def example(**changes: Any) -> Indicators:
    figures = Indicators(
        latency_p50_ms=5.0, latency_p95_ms=8.0, latency_repeats=100, images_per_second=250.0, batch_size=32,
        memory_query_mb=100.0, memory_batch_mb=300.0, memory_process_mb=900.0, memory_includes_loading=False,
        gpu_memory_mb=None, parameters=2_000_000, parameters_used=1_500_000, flops=3_000_000_000, embedding_size=128,
        index_bytes=6000, index_items=10, image_size=64, precision="32-true", load_average=0.5, others_busy=0.1,
        measured="2025-01-01T00:00:00+00:00", hardware=MACHINE,
    )  # fmt: skip
    return replace(figures, **changes)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('indicators') / 'mlflow.db'}"


def tracked(uri: str, folder: Path, checkpoint: bool) -> str:
    """A run as train.py leaves it, of the small autoencoder, with an index of seven items; its id."""
    words = ["model_name=x", "model=autoencoder_tiny", f"data.image_size={SIZE}", f"model.channels={list(CHANNELS)}",
             f"model.embedding_size={EMBEDDING}", "trainer.precision=32-true"]  # fmt: skip
    config = plain(compose_file(ROOT / "conf", "train", words))
    model = build(config["model"])
    vectors = np.random.default_rng(0).normal(size=(ITEMS, EMBEDDING)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"i{n}" for n in range(ITEMS)]
    columns = {"item_id": names, "path": names, "category": names, "product_id": names}
    items = pd.DataFrame({**columns, "captions": [[]] * ITEMS, "split": "test", "role": ""})
    with RunLogger(uri, "indicators", system_metrics=False, folder=folder / "spool") as logger:
        described = {"name": "x", "target": "t", "config": {}}
        save(folder / "index", vectors, items, model=described, preprocessing={}, run_id=logger.run_id)
        logger.log_config(config)
        logger.log_artifacts([folder / "index"], "index")
        if checkpoint:
            torch.save({"state_dict": model.state_dict()}, folder / "best.ckpt")
            logger.log_artifact(folder / "best.ckpt", "checkpoints")
        return str(logger.run_id)


@pytest.fixture(scope="module")
def run(uri: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("run")
    return tracked(uri, folder, checkpoint=True), folder


@pytest.fixture(scope="module")
def measured(uri: str, run: tuple[str, Path]) -> Indicators:
    held = np.ones(1500 * 2**20, np.uint8)  # a child's ru_maxrss would count its parent's memory
    figures = measure_run(uri, run[0], device="cpu", seconds=0.2)
    del held
    return figures


def test_a_run_is_measured_in_its_own_process(measured: Indicators, run: tuple[str, Path]) -> None:
    model = small()
    assert measured.parameters == sum(part.numel() for part in model.parameters())
    assert measured.parameters_used == sum(part.numel() for part in model.encoder.parameters())
    assert measured.flops == count_flops(model.embed_images, torch.rand(1, 3, SIZE, SIZE))
    assert (measured.embedding_size, measured.image_size, measured.precision) == (EMBEDDING, SIZE, "32-true")
    files = [run[1] / "index" / name for name in ("vectors.npy", "items.parquet")]
    assert measured.index_bytes == sum(file.stat().st_size for file in files)
    assert measured.index_items == ITEMS
    assert measured.index_bytes_per_item == pytest.approx(measured.index_bytes / ITEMS)
    assert 0 < measured.latency_p50_ms <= measured.latency_p95_ms and measured.latency_repeats >= 50
    assert measured.images_per_second > 0 and measured.gpu_memory_mb is None
    assert measured.hardware.device == "cpu" and measured.hardware.cores == len(usable_cores())


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak can be set back on Linux only"
)
def test_memory_is_that_of_the_child(uri: str, run: tuple[str, Path], measured: Indicators) -> None:
    assert not measured.memory_includes_loading
    assert (
        0 < measured.memory_query_mb < 200 and 0 < measured.memory_batch_mb < 200
    )  # tens of thousands of weights
    assert 100 < measured.memory_process_mb < 4000


def test_what_was_measured_is_kept_and_not_measured_again(
    uri: str, run: tuple[str, Path], measured: Indicators
) -> None:
    run_id = run[0]
    assert stored_indicators(uri, run_id) is None
    here = replace(measured, hardware=this_hardware("cpu"), measured="2025-01-01T00:00:00+00:00")
    log_indicators(uri, run_id, here)
    assert stored_indicators(uri, run_id) == here
    metrics = run_metrics(uri, run_id)
    assert metrics["indicators/latency_p95_ms"] == measured.latency_p95_ms
    assert metrics["indicators/index_bytes_per_item"] == pytest.approx(measured.index_bytes_per_item)
    assert (
        "indicators/gpu_memory_mb" not in metrics and metrics["indicators/parameters"] == measured.parameters
    )
    found = measure_missing(uri, [run_id], device="cpu", progress=False)
    assert found == {run_id: here}


def test_a_run_without_checkpoint_is_one_sentence(uri: str, tmp_path: Path) -> None:
    run_id = tracked(uri, tmp_path, checkpoint=False)
    with pytest.raises(LensError, match=f"Run {run_id} has no artefact 'checkpoints/best.ckpt'") as told:
        measure(uri, run_id, "cpu")
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.slow
def test_missing_ones_are_measured_and_broken_ones_told(
    uri: str, run: tuple[str, Path], measured: Indicators, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tracked(uri, tmp_path, checkpoint=False)
    log_indicators(uri, run[0], replace(measured, hardware=replace(measured.hardware, cpu="another")))
    found = measure_missing(uri, [broken, run[0]], device="cpu", on_error="skip", progress=False)
    assert list(found) == [run[0]] and found[run[0]].hardware.cpu == this_hardware("cpu").cpu
    assert stored_indicators(uri, run[0]) == found[run[0]]
    assert f"Run {broken} has no artefact 'checkpoints/best.ckpt'" in caplog.text
    with pytest.raises(LensError, match=f"Run {broken} has no artefact"):
        measure_missing(uri, [broken], device="cpu", progress=False)


@pytest.fixture(scope="module")
def trained(shoes: Path, uri: str) -> Iterator[str]:
    words = ["model=clip_tiny", f"data.root={shoes}", "data.items=72", "data.views_per_product=2",
             "data.render_size=32", "data.image_size=32", "data.split_seed=3", "trainer.max_epochs=1",
             "trainer.progress=false"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": uri}
    done = subprocess.run([sys.executable, str(ROOT / "train.py"), *words], env=environment, text=True, timeout=300,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    assert done.returncode == 0, done.stdout
    run_id = done.stdout.split()[-1]
    yield run_id
    shutil.rmtree(ROOT / "runs" / run_id, ignore_errors=True)


@pytest.mark.slow
def test_a_trained_run_is_measured(uri: str, trained: str) -> None:
    found = measure_run(uri, trained, device="cpu", seconds=0.2)
    assert found.parameters_used is not None and 0 < found.parameters_used < found.parameters
    index = ROOT / "runs" / trained / "index"
    assert found.index_items == 72 and found.embedding_size == 128
    assert found.index_bytes == sum(
        (index / name).stat().st_size for name in ("vectors.npy", "items.parquet")
    )


def test_indicators_survive_json() -> None:
    figures = example()
    assert Indicators.from_dict(json.loads(json.dumps(figures.to_dict()))) == figures
    for damaged in (
        {"latency": 1.0},
        {**figures.to_dict(), "more": 1},
        {**figures.to_dict(), "hardware": None},
    ):
        with pytest.raises(LensError, match="another version"):
            Indicators.from_dict(damaged)


@pytest.mark.parametrize(
    ("device", "cores", "threads", "others", "crowded"),
    [
        ("cpu", 4, 4, 0.3, False), ("cpu", 4, 4, 0.5, True), ("cpu", 4, 1, 3.0, False), ("cpu", 4, 1, 3.2, True),
        ("cpu", 1, 8, 0.2, True), ("cuda", 4, 4, 2.9, False),
    ],
)  # fmt: skip
def test_a_busy_machine_is_told(device: str, cores: int, threads: int, others: float, crowded: bool) -> None:
    machine = replace(MACHINE, device=device, cores=cores, threads=threads)
    figures = example(others_busy=others, hardware=machine)
    assert figures.crowded == crowded
    assert ("busy machine" in " ".join(notes([("a run", figures)]))) == crowded


def test_the_table_is_narrow_and_names_the_hardware_once(capsys: pytest.CaptureFixture[str]) -> None:
    large = example(
        latency_p50_ms=1234.4, latency_p95_ms=2345.6, images_per_second=12345.0, memory_query_mb=1234.0,
        memory_batch_mb=12345.0, gpu_memory_mb=12345.0, parameters=151_300_000, parameters_used=87_800_000,
        flops=35_130_000_000, embedding_size=2048, index_bytes=98_000, precision="bf16-mixed", image_size=224,
    )  # fmt: skip
    print_indicators([("resnet_tiny", example()), ("autoencoder model.embedding_size=64 seed=1", large)])
    output = capsys.readouterr().out
    lines = output.splitlines()
    table = lines[: next(place for place, line in enumerate(lines) if line.startswith("images/s and"))]
    assert max(map(len, table)) <= 100
    assert output.count("A processor") == 1
    for cell in (
        "resnet_tiny",
        "autoencoder",
        "1234",
        "12345",
        "87.8/151.3",
        "35.13",
        "2048",
        "9800",
        "bf16",
        "fp32",
    ):
        assert cell in output, cell
    assert "1.5/2.0" in output and "cannot be compared" not in output


def test_figures_of_two_machines_are_not_to_be_compared(capsys: pytest.CaptureFixture[str]) -> None:
    other = example(hardware=replace(MACHINE, cpu="Another processor"), parameters_used=None, flops=None,
                    index_bytes=None, index_items=None, memory_includes_loading=True)  # fmt: skip
    print_indicators([("one", example()), ("two", other)])
    output = capsys.readouterr().out
    assert "Hardware of one: A processor" in output and "Hardware of two: Another processor" in output
    assert "cannot be compared" in output and "?/2.0" in output and "reading of the checkpoint" in output
