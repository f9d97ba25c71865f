"""Measures one run in this process: ``python -m lens.compare.measure``, started by lens.compare.indicators.

The request is JSON on stdin: uri, run_id, device, seconds, answer; the figures go to the file ``answer``, as JSON.
"""

import ctypes
import gc
import itertools
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lens.compare.hardware import Device, OthersAtWork, choose_device, this_hardware
from lens.compare.indicators import Indicators
from lens.compare.process import MISTAKE
from lens.config.schema import locate
from lens.data.pictures import as_tensor
from lens.errors import LensError
from lens.index.folder import ITEMS, MANIFEST, VECTORS
from lens.tracking import artefact_sizes, download, run_config
from lens.trained import load_model
from lens.training import Precision, autocast, hardware_precision

BATCH_SIZE = 32
WARM_UP_SECONDS, WARM_UP_CALLS = 0.5, 3
LEAST_QUERIES, LEAST_BATCHES = 50, 3  # 50: the 95th percentile then lies between the third and fourth slowest


def measure(uri: str, run_id: str, device: Device = "auto", seconds: float = 3.0) -> Indicators:
    """All figures of one run; the process should be a fresh one, or its memory is not the model's alone.

    Raises LensError: the run kept no configuration or checkpoint, or there is no such device.
    """
    load = os.getloadavg()[0]
    config = run_config(uri, run_id)
    chosen = torch.device(choose_device(device))
    locate(
        config["model"]["_target_"], "model"
    )  # imports of the model's file belong to the libraries' memory
    before = psutil.Process().memory_info().rss
    model = load_model(uri, run_id, config).to(chosen)
    setting, size = config["trainer"].get("precision", "auto"), config["data"]["image_size"]
    work = watch(model, size, setting, chosen, seconds)
    image = as_tensor(_picture(size)).unsqueeze(0).to(chosen)
    index_bytes, index_items = index_size(uri, run_id)
    return Indicators(
        latency_p50_ms=1000 * float(np.percentile(work.queries, 50)),
        latency_p95_ms=1000 * float(np.percentile(work.queries, 95)),
        latency_repeats=len(work.queries),
        images_per_second=BATCH_SIZE / float(np.median(work.batches)),
        batch_size=BATCH_SIZE,
        memory_query_mb=(work.query_peak - before) / 1e6,
        memory_batch_mb=(work.batch_peak - before) / 1e6,
        memory_process_mb=max(work.query_peak, work.batch_peak) / 1e6,
        memory_includes_loading=work.includes_loading,
        gpu_memory_mb=None if work.gpu_peak is None else work.gpu_peak / 1e6,
        parameters=sum(part.numel() for part in model.parameters()),
        parameters_used=used_parameters(model, image),
        flops=count_flops(model.embed_images, image),
        embedding_size=int(model.embedding_size),
        index_bytes=index_bytes,
        index_items=index_items,
        image_size=size,
        precision=hardware_precision(chosen.type) if setting == "auto" else setting,
        load_average=load,
        others_busy=work.others_busy,
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=this_hardware(device),
    )


@dataclass(frozen=True)
class Work:
    """A model at work: seconds of each call, peaks in bytes, cores that others kept busy."""

    queries: list[float]
    batches: list[float]
    query_peak: int
    batch_peak: int
    includes_loading: bool
    gpu_peak: int | None
    others_busy: float


def watch(model: Any, size: int, precision: Precision, device: torch.device, seconds: float) -> Work:
    """Embed single pictures and then batches of ``size`` pixels, each for at least ``seconds``.

    A query's time runs from uint8 [S, S, 3] to the vector [D], a batch's from float32 [32, 3, S, S], which is what a
    loader hands out, to the vectors [32, D]; both begin and end in main memory.
    """
    picture = _picture(size)
    batch = torch.stack([as_tensor(picture)] * BATCH_SIZE)

    def embed(images: Tensor) -> np.ndarray:
        vectors: np.ndarray = model.embed_images(images.to(device)).float().cpu().numpy()
        return vectors

    resettable = forget_peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    others = OthersAtWork()
    # One context around all calls, so that the weights are cast once. Not inference_mode: within it autocast keeps no
    # cast weights, and most of a single query's time went into casting them anew (torch 2.15).
    with torch.no_grad(), autocast(precision, device):
        queries = call_times(
            lambda: embed(as_tensor(picture).unsqueeze(0))[0], device, least=LEAST_QUERIES, seconds=seconds
        )
        query_peak = peak_memory()
        forget_peak()
        batches = call_times(lambda: embed(batch), device, least=LEAST_BATCHES, seconds=seconds)
    gpu_peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else None
    return Work(queries, batches, query_peak, peak_memory(), not resettable, gpu_peak, others.mean_cores())


def _picture(size: int) -> np.ndarray:
    """Noise, uint8 [S, S, 3]: no model here takes longer for one picture than for another."""
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)


def call_times(
    call: Callable[[], Any], device: torch.device, *, least: int, seconds: float, most: int = 2000
) -> list[float]:
    """Seconds of each call, after a warm-up; at least ``least`` calls, then until ``seconds`` are over."""

    def timed() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    start = time.perf_counter()
    for number in itertools.count(1):
        timed()
        if number >= WARM_UP_CALLS and time.perf_counter() - start >= WARM_UP_SECONDS:
            break
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < least or (len(times) < most and time.perf_counter() - start < seconds):
        times.append(timed())
    return times


def used_parameters(model: torch.nn.Module, images: Tensor) -> int | None:
    """How many numbers of the model its vectors of ``images`` depend on: those that a gradient reaches.

    So CLIP's text tower and the decoders are left out. None where the model keeps no graph. Every parameter of the
    model is set to require a gradient.
    """
    held = [part for part in model.parameters() if part.is_floating_point()]
    for part in held:
        part.requires_grad_(True)
    vectors: Tensor = model.embed_images(images)  # type: ignore[operator]
    if not vectors.requires_grad:
        return None
    reached = torch.autograd.grad(vectors.sum(), held, allow_unused=True)
    return sum(part.numel() for part, slope in zip(held, reached, strict=True) if slope is not None)


def count_flops(embed_images: Callable[[Tensor], Tensor], images: Tensor) -> int | None:
    """Floating point operations of matrix products, convolutions and attention; a multiply-add is two.

    Element-wise work (activations, normalisation) is not counted, as is usual. None where nothing countable was found.
    """
    # The plain form of attention is made of matrix products, which every version of torch can count.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        embed_images(images)
    return int(counter.get_total_flops()) or None


def index_size(uri: str, run_id: str) -> tuple[int | None, int | None]:
    """Bytes of the vectors and the item table of a run's exported index, and its items; None, None without one."""
    sizes = artefact_sizes(uri, run_id, "index")
    if not {VECTORS, ITEMS, MANIFEST} <= sizes.keys():
        return None, None
    with tempfile.TemporaryDirectory() as folder:
        text = download(uri, run_id, f"index/{MANIFEST}", folder).read_text(encoding="utf-8")
    return sizes[VECTORS] + sizes[ITEMS], int(json.loads(text)["count"])


def forget_peak() -> bool:
    """Let the peak of resident memory begin anew, with what is free given back; False where the system cannot.

    Reading a checkpoint takes three times the model: it holds the optimiser's state.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # see proc(5)
    except OSError:
        return False
    return True


def peak_memory() -> int:
    """Bytes: the highest resident memory since the peak was last forgotten, or since the start of the process.

    Not ru_maxrss where there is a better figure: a process inherits it from the one that started it.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> int:
    """0; 2 where a LensError's sentence was written to stderr."""
    request = json.load(sys.stdin)
    answer = Path(request.pop("answer"))
    try:
        answer.write_text(json.dumps(measure(**request).to_dict()), encoding="utf-8")
    except LensError as error:
        print(error, file=sys.stderr)
        return MISTAKE
    return 0


if __name__ == "__main__":
    sys.exit(main())
