"""Processor, memory, disk, network and GPU figures of the machine, sampled in a thread."""

import threading
from collections.abc import Callable

from lens.tracking.store import quiet


class SystemMetrics:
    """Calls `log(metrics, step)` every `seconds` with mlflow's own system figures, named `system/...`.

    mlflow samples them; its thread is not used, since that ends for good at the first failure of the store.
    """

    def __init__(
        self,
        uri: str,
        run_id: str,
        log: Callable[[dict[str, float], int], None],
        resume: bool,
        seconds: float = 10.0,
    ) -> None:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        with quiet():
            self._monitor = SystemMetricsMonitor(run_id, resume_logging=resume, tracking_uri=uri)
        self._log, self._seconds = log, seconds
        self._step = self._monitor._logging_step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="system-metrics", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while True:
            try:
                self._sample()
            except Exception:  # noqa: BLE001 - a counter the machine does not offer must not disturb a training
                return
            if self._stop.wait(self._seconds):
                return

    def _sample(self) -> None:
        self._monitor.collect_metrics()
        figures = self._monitor.aggregate_metrics()
        for part in self._monitor.monitors:
            part.clear_metrics()
        self._log({f"system/{name}": value for name, value in figures.items()}, self._step)
        self._step += 1

    def stop(self) -> None:
        """End the thread; returns within seconds."""
        self._stop.set()
        self._thread.join(timeout=5)
