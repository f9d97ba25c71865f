"""The machine that a figure was measured on, and how much of it others used meanwhile."""

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil  # type: ignore[import-untyped]
import torch

from lens.errors import LensError

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Hardware:
    """What a speed depends on.

    device: ``cpu`` or ``cuda``, which computed the embeddings; cpu: the processor's name; cores: those this process may
    use; threads: of torch; gpu: its name, None where the CPU computed; memory_gb: main memory, 10^9 bytes;
    torch: its version.
    """

    device: str
    cpu: str
    cores: int
    threads: int
    gpu: str | None
    memory_gb: float
    torch: str

    @property
    def key(self) -> str:
        """Equal for two measurements whose speeds can be compared; cores beyond the number of threads stand idle."""
        at_once = min(self.threads, self.cores)
        threads = f"{self.threads} threads on {at_once} cores"
        return f"{self.gpu or 'no GPU'}, {self.cpu}, {threads}, torch {self.torch}"

    def __str__(self) -> str:
        cores = f"{self.cpu}, {self.cores} usable {'core' if self.cores == 1 else 'cores'}"
        threads = f"{self.threads} {'thread' if self.threads == 1 else 'threads'}"
        gpu = f"{self.gpu}, " if self.gpu else ""
        return f"{gpu}{cores}, {threads}, {self.memory_gb:.0f} GB memory, torch {self.torch}"


def this_hardware(device: Device = "auto") -> Hardware:
    """The machine as this process sees it. Raises LensError where ``cuda`` is asked for and there is none."""
    chosen = choose_device(device)
    return Hardware(
        device=chosen,
        cpu=_cpu_name(),
        cores=len(usable_cores()),
        threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name() if chosen == "cuda" else None,
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        torch=torch.__version__,
    )


def choose_device(device: Device) -> str:
    """``cuda`` or ``cpu``; ``auto`` takes the GPU where there is one. Raises LensError: there is none."""
    found = torch.cuda.is_available()
    if device == "cuda" and not found:
        raise LensError("device=cuda: torch finds no GPU here; use device=cpu or device=auto.")
    return "cuda" if found and device != "cpu" else "cpu"


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


class OthersAtWork:
    """The time that other processes took of the cores this process may use, since the object was made.

    The load average would not do: it remembers a minute of this program's own work, such as the run measured before.
    """

    def __init__(self) -> None:
        self._cores = usable_cores()
        self._start = self._now()

    def mean_cores(self) -> float:
        """How many cores others kept busy on average, from 0 to the number of usable cores."""
        wall, busy, own = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return max(0.0, (busy - own) / wall)

    def _now(self) -> tuple[float, float, float]:
        """Seconds on the wall, of work on the usable cores, of work by this process."""
        times = psutil.cpu_times(percpu=True)
        busy = sum(sum(times[core]) - times[core].idle - _waiting(times[core]) for core in self._cores)
        return time.perf_counter(), busy, time.process_time()


def _waiting(times: object) -> float:
    """Idle seconds that carry another name, and a guest's, which are counted under user as well."""
    return sum(getattr(times, name, 0.0) for name in ("iowait", "guest", "guest_nice"))
