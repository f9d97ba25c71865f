"""What a model costs: counted against hand counts, measured on a real run, told in one sentence where it fails."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lens.compare.hardware import Hardware, OthersAtWork, this_hardware, usable_cores
from lens.compare.indicators import (
    Indicators,
    log_indicators,
    measure_missing,
    measure_run,
    notes,
    print_indicators,
    stored_indicators,
)
from lens.compare.measure import call_times, count_flops, forget_peak, measure, peak_memory, used_parameters
from lens.compare.process import ask
from lens.config import build, compose_file, plain
from lens.errors import LensError
from lens.index import save
from lens.models.autoencoder import Autoencoder
from lens.tracking import RunLogger, run_metrics

ROOT = Path(__file__).parents[2]
SIZE, CHANNELS, EMBEDDING, ITEMS = 32, (4, 8, 16, 32), 16, 7
MACHINE = Hardware("cpu", "A processor", 4, 2, None, 8.0, "2.9.0")


def example(**changes: Any) -> Indicators:
    figures = Indicators(
        latency_p50_ms=5.0, latency_p95_ms=8.0, latency_repeats=100, images_per_second=250.0, batch_size=32,
        memory_query_mb=100.0, memory_batch_mb=300.0, memory_process_mb=900.0, memory_includes_loading=False,
        gpu_memory_mb=None, parameters=2_000_000, parameters_used=1_500_000, flops=3_000_000_000, embedding_size=128,
        index_bytes=6000, index_items=10, image_size=64, precision="32-true", load_average=0.5, others_busy=0.1,
        measured="2025-01-01T00:00:00+00:00", hardware=MACHINE,
    )  # fmt: skip
    return replace(figures, **changes)


def small() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(image_size=SIZE, channels=CHANNELS, embedding_size=EMBEDDING).eval()


# -- counting


def test_flops_of_the_convolutions_by_hand() -> None:
    expected, side = 0, SIZE
    for inside, outside in zip((3, *CHANNELS), CHANNELS, strict=False):
        side //= 2
        expected += 2 * side * side * outside * inside * 3 * 3
    expected += 2 * (CHANNELS[-1] * side * side) * EMBEDDING
    one = torch.rand(1, 3, SIZE, SIZE)
    assert count_flops(small().embed_images, one) == expected
    assert count_flops(small().embed_images, one.expand(5, -1, -1, -1)) == 5 * expected


def test_flops_of_attention_by_hand() -> None:
    heads, tokens, width = 3, 10, 8
    inside = torch.rand(1, heads, tokens, width)
    products = 2 * (2 * heads * tokens * tokens * width)  # queries by keys, then weights by values
    assert count_flops(lambda x: F.scaled_dot_product_attention(x, x, x), inside) == products
    assert count_flops(lambda x: x + 1, inside) is None


def test_used_parameters_are_the_encoders() -> None:
    model, one = small(), torch.rand(1, 3, SIZE, SIZE)
    encoder = sum(part.numel() for part in model.encoder.parameters())
    assert encoder < sum(part.numel() for part in model.parameters())
    assert used_parameters(model, one) == encoder
    model.encoder.requires_grad_(False)  # a frozen part is computed with all the same
    assert used_parameters(model, one) == encoder


def test_used_parameters_leave_the_text_tower_out() -> None:
    from lens.models.clip import ContrastiveCLIP

    model = ContrastiveCLIP(
        image_size=32, patch_size=16, vision_size=16, vision_layers=1, vision_heads=2, text_size=8, text_layers=1,
        text_heads=2, context=8, projection_size=12, weights="random",
    ).eval()  # fmt: skip
    parts = (model.network.vision_model, model.network.visual_projection)
    expected = sum(part.numel() for module in parts for part in module.parameters())
    assert used_parameters(model, torch.rand(1, 3, 32, 32)) == expected


def test_where_no_graph_is_kept_it_cannot_be_told() -> None:
    class Closed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        @torch.no_grad()
        def embed_images(self, images: Tensor) -> Tensor:
            return self.layer(images.mean((2, 3)))

    assert used_parameters(Closed(), torch.rand(1, 3, 4, 4)) is None


# -- measuring


def test_calls_are_repeated_often_and_long_enough() -> None:
    calls: list[int] = []
    cpu = torch.device("cpu")
    times = call_times(lambda: calls.append(1), cpu, least=7, seconds=0.0)
    assert len(times) == 7 and len(calls) > 7  # the warm-up is not counted
    assert len(call_times(lambda: None, cpu, least=1, seconds=60.0, most=20)) == 20
    long = call_times(lambda: time.sleep(0.01), cpu, least=1, seconds=0.1)
    assert 1 <= len(long) <= 10 and min(long) >= 0.01


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak can be set back on Linux only"
)
def test_a_peak_is_forgotten() -> None:
    np.ones(300 * 2**20, np.uint8)  # gone at once
    high = peak_memory()
    assert forget_peak()
    low = peak_memory()
    assert low < high - 250 * 2**20
    np.ones(100 * 2**20, np.uint8)
    assert peak_memory() > low + 90 * 2**20


def test_the_work_of_others_is_seen() -> None:
    burn = "import time\nwhile time.process_time() < 0.6: pass\nprint(time.process_time())"
    others, start = OthersAtWork(), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", burn], capture_output=True, text=True, check=True)
    cores = others.mean_cores()
    assert cores <= len(usable_cores()) + 0.1
    assert cores * (time.perf_counter() - start) > 0.7 * float(done.stdout)


def test_the_hardware_has_names() -> None:
    found = this_hardware("cpu")
    assert (
        found.device == "cpu" and found.gpu is None and found.cpu and found.threads == torch.get_num_threads()
    )
    assert found.key == this_hardware("cpu").key != replace(found, threads=found.threads + 1).key
    if not torch.cuda.is_available():
        assert this_hardware("auto") == found
        with pytest.raises(LensError, match="finds no GPU"):
            this_hardware("cuda")


# -- the process


def question(program: str, timeout: float = 60.0) -> dict[str, Any]:
    return ask([sys.executable, "-c", program], {"number": 7}, os.environ, timeout, "Run ab12")


def test_idle_cores_make_no_other_hardware() -> None:
    assert replace(MACHINE, cores=8).key == MACHINE.key  # two threads on four cores, or on eight
    for change in ({"cores": 1}, {"threads": 4}, {"cpu": "x"}, {"gpu": "x"}, {"torch": "2.10.0"}):
        assert replace(MACHINE, **change).key != MACHINE.key, change


def test_a_process_answers_by_a_file() -> None:
    program = """
import json, sys
request = json.load(sys.stdin)
print("a library's chatter")
open(request["answer"], "w").write(json.dumps({"twice": 2 * request["number"]}))
"""
    assert question(program) == {"twice": 14}


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "Run ab12.* SIGKILL, perhaps for want of memory"),
        ("import sys, os; print('step 3', file=sys.stderr, flush=True); os.abort()", "Run ab12.*SIGABRT.*: step 3$"),
        ("raise MemoryError('no room for 9 GB')", "^Run ab12.*status 1: MemoryError: no room for 9 GB$"),
        ("import sys; print('a warning\\nOne sentence.', file=sys.stderr); sys.exit(2)", "^One sentence.$"),
        ("import sys; sys.exit(3)", "status 3: it said nothing"),
    ],
)  # fmt: skip
def test_the_end_of_a_process_is_one_sentence(program: str, words: str) -> None:
    with pytest.raises(LensError, match=words) as told:
        question(program)
    assert len(str(told.value).splitlines()) == 1


def test_a_process_that_takes_too_long_is_ended() -> None:
    with pytest.raises(LensError, match="Run ab12 could not be measured within 1 s"):
        question("import time; time.sleep(60)", timeout=1.0)


# -- a run


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


# -- telling


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
