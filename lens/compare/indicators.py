"""What a run's model costs: time, memory, size. Measured in a process of its own, and kept with the run."""

import json
import logging
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from rich import box
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from lens.compare.hardware import Device, Hardware, this_hardware
from lens.compare.process import ask
from lens.errors import LensError
from lens.tracking import add_to_run, artefact_sizes, download

log = logging.getLogger(__name__)

ARTEFACT = "indicators.json"


@dataclass(frozen=True)
class Indicators:
    """One run on one machine; docs/indicators.md says how each figure is made. MB are 10^6 bytes.

    latency_p50_ms, latency_p95_ms: percentiles of ``latency_repeats`` single queries.
    images_per_second: at ``batch_size`` pictures a call.
    memory_query_mb, memory_batch_mb: peak resident memory while embedding one picture, and while embedding batches,
        above that of the process before the model was built; memory_process_mb: the whole process at its peak.
    memory_includes_loading: the system cannot set its peak back, so the peaks hold the reading of the checkpoint too.
    gpu_memory_mb: peak of torch's allocator while embedding; None where the CPU computed.
    parameters: of the whole model; parameters_used: those that an image's vector depends on, None if it cannot be told.
    flops: of one image; a multiplication and its addition are two; None if it cannot be told.
    index_bytes: vectors.npy and items.parquet of the exported index, of ``index_items`` items; None without an index.
    load_average: over the minute before; others_busy: cores that other processes kept busy during the timing.
    measured: date and time, UTC.
    """

    latency_p50_ms: float
    latency_p95_ms: float
    latency_repeats: int
    images_per_second: float
    batch_size: int
    memory_query_mb: float
    memory_batch_mb: float
    memory_process_mb: float
    memory_includes_loading: bool
    gpu_memory_mb: float | None
    parameters: int
    parameters_used: int | None
    flops: int | None
    embedding_size: int
    index_bytes: int | None
    index_items: int | None
    image_size: int
    precision: str
    load_average: float
    others_busy: float
    measured: str
    hardware: Hardware

    @property
    def index_bytes_per_item(self) -> float | None:
        """Vector and table row of one item on disk, headers shared."""
        return self.index_bytes / self.index_items if self.index_bytes and self.index_items else None

    @property
    def crowded(self) -> bool:
        """Whether others kept the cores busy that the measurement needed, by more than a tenth of its own."""
        needed = 1 if self.hardware.device == "cuda" else min(self.hardware.threads, self.hardware.cores)
        return self.others_busy > self.hardware.cores - needed + 0.1 * needed

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The reverse of ``to_dict``. Raises LensError where the values are of another version of this program."""
        try:
            return cls(**{**values, "hardware": Hardware(**values["hardware"])})
        except (KeyError, TypeError) as error:
            raise LensError(f"These indicators are of another version; measure again ({error}).") from error

    def metrics(self) -> dict[str, float]:
        """The numbers as MLflow metrics ``indicators/NAME``."""
        values = self.to_dict() | {"index_bytes_per_item": self.index_bytes_per_item}
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
        return {f"indicators/{name}": float(value) for name, value in numbers.items()}


def measure_run(
    uri: str, run_id: str, *, device: Device = "auto", seconds: float = 3.0, timeout: float = 1800.0
) -> Indicators:
    """Measure a run's best checkpoint in a fresh process, whose memory and threads nothing else has touched.

    Args:
        device: ``auto`` takes the GPU where there is one.
        seconds: how long each of the two timings goes on, at least.
        timeout: seconds until the process is given up.

    Raises:
        LensError: the run kept no configuration or checkpoint, there is no such device, or the process failed, was
            killed or took too long.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    request = {"uri": uri, "run_id": run_id, "device": device, "seconds": seconds}
    answer = ask(
        [sys.executable, "-m", "lens.compare.measure"], request, environment, timeout, f"Run {run_id}"
    )
    return Indicators.from_dict(answer)


def stored_indicators(uri: str, run_id: str) -> Indicators | None:
    """What was measured before; None where nothing was, or by another version. Raises LensError: no such run."""
    if ARTEFACT not in artefact_sizes(uri, run_id):
        return None
    with tempfile.TemporaryDirectory() as folder:
        text = download(uri, run_id, ARTEFACT, folder).read_text(encoding="utf-8")
    try:
        return Indicators.from_dict(json.loads(text))
    except (LensError, ValueError):
        return None


def log_indicators(uri: str, run_id: str, indicators: Indicators) -> None:
    """Keep them with the run: metrics ``indicators/...`` and indicators.json. Raises LensError: the store refuses."""
    text = json.dumps(indicators.to_dict(), indent=2) + "\n"
    add_to_run(uri, run_id, metrics=indicators.metrics(), texts={ARTEFACT: text})


def measure_missing(
    uri: str,
    run_ids: Sequence[str],
    *,
    device: Device = "auto",
    again: bool = False,
    on_error: Literal["error", "skip"] = "error",
    progress: bool = True,
) -> dict[str, Indicators]:
    """Run id to indicators, in the order given; measured and kept where they are missing or of other hardware.

    One run after another: two at once would slow each other down.

    Args:
        again: measure all of them.
        on_error: ``skip`` leaves a run that cannot be measured out, with a warning.

    Raises:
        LensError: see ``measure_run``; what was measured before is kept with its runs.
    """
    key = this_hardware(device).key
    found: dict[str, Indicators] = {}
    for run_id in tqdm(run_ids, desc="measuring", unit="run", disable=not progress, leave=False):
        try:
            stored = None if again else stored_indicators(uri, run_id)
            if stored is None or stored.hardware.key != key:
                stored = measure_run(uri, run_id, device=device)
                log_indicators(uri, run_id, stored)
        except LensError as error:
            if on_error == "error":
                raise
            log.warning("%s", error)
            continue
        found[run_id] = stored
    return found


def print_indicators(rows: Sequence[tuple[str, Indicators]]) -> None:
    """One line a run, with the name given for it, at most 100 columns wide; below it the hardware and what to doubt."""
    table = Table(title="What a model costs", box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("model", no_wrap=True, overflow="ellipsis", max_width=18)
    on_gpu = any(row.gpu_memory_mb is not None for _, row in rows)
    headings = [
        "ms\np50",
        "ms\np95",
        "images\n/s",
        "MB\nquery",
        "MB\nbatch",
        *(["MB\nGPU"] if on_gpu else []),
    ]
    headings += ["M params\nused/all", "GFLOPs\nimage", "embed\nsize", "index\nB/item", "px", "format"]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, row in rows:
        table.add_row(name, *_cells(row, on_gpu))
    # As wide as its content, also on a narrow terminal and in a file.
    console = Console(width=100, soft_wrap=True)
    console.print(table)
    for line in notes(rows):
        console.print(line, markup=False, highlight=False)


def _cells(row: Indicators, on_gpu: bool) -> list[str]:
    used = "?" if row.parameters_used is None else f"{row.parameters_used / 1e6:.1f}"
    gpu = ["-" if row.gpu_memory_mb is None else f"{row.gpu_memory_mb:.0f}"] if on_gpu else []
    return [
        _short(row.latency_p50_ms),
        _short(row.latency_p95_ms),
        _short(row.images_per_second),
        f"{row.memory_query_mb:.0f}",
        f"{row.memory_batch_mb:.0f}",
        *gpu,
        f"{used}/{row.parameters / 1e6:.1f}",
        "-" if row.flops is None else f"{row.flops / 1e9:.2f}",
        str(row.embedding_size),
        "-" if row.index_bytes_per_item is None else f"{row.index_bytes_per_item:.0f}",
        str(row.image_size),
        row.precision.removesuffix("-mixed").replace("32-true", "fp32"),
    ]


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def notes(rows: Sequence[tuple[str, Indicators]]) -> list[str]:
    """What belongs below the table: how to read it, the hardware, and measurements that should not be trusted."""
    sizes = ", ".join(str(size) for size in sorted({row.batch_size for _, row in rows}))
    lines = [f"images/s and MB batch: {sizes} images a call. MB: peak above the process without the model."]
    machines: dict[str, list[tuple[str, Hardware]]] = {}
    for name, row in rows:
        machines.setdefault(row.hardware.key, []).append((name, row.hardware))
    for held in machines.values():
        names = "" if len(machines) == 1 else " of " + ", ".join(name for name, _ in held)
        lines.append(f"Hardware{names}: {held[0][1]}.")
    if len(machines) > 1:
        lines.append("Speeds and memory of different hardware cannot be compared.")
    if any(row.memory_includes_loading for _, row in rows):
        lines.append("This system cannot set a peak back: MB includes the reading of the checkpoint.")
    for name, row in rows:
        if row.crowded:
            lines.append(
                f"{name} was measured on a busy machine (others kept {row.others_busy:.1f} of "
                f"{row.hardware.cores} cores at work, load {row.load_average:.1f}): it is faster than this."
            )
    return lines
