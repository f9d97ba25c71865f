"""Figures of the service for Prometheus."""

import threading
import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)


class Figures:
    """Counted by one application, so that two in one process do not mix."""

    def __init__(self) -> None:
        self._registry, self._lock = CollectorRegistry(), threading.Lock()
        self.requests = Counter(
            "lens_requests", "Requests answered.", ["route", "method", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "lens_request_seconds", "Time to an answer.", ["route"], buckets=_SECONDS, registry=self._registry
        )
        self.stages = Histogram(
            "lens_stage_seconds",
            "Time of each stage of a search.",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.busy = Gauge("lens_requests_in_flight", "Requests worked on now.", registry=self._registry)
        self.batches = Histogram(
            "lens_batch_size",
            "Pictures or texts in one pass of a model.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self._registry,
        )
        self._items = Gauge("lens_index_items", "Items of each index.", ["model"], registry=self._registry)

    def observe_stages(self, seconds: Mapping[str, float]) -> None:
        """The stages of one answer, seconds by name."""
        for stage, value in seconds.items():
            self.stages.labels(stage).observe(value)

    def text(self, items: Mapping[str, int]) -> tuple[bytes, str]:
        """All of them, and their content type; `items`: of each index there is now."""
        with self._lock:
            self._items.clear()  # models that are gone
            for model, count in items.items():
                self._items.labels(model).set(count)
            return generate_latest(self._registry), CONTENT_TYPE_LATEST


class Counted:
    """ASGI middleware that counts answers by the route's pattern, never by the address: those are without number."""

    def __init__(self, app: ASGIApp, figures: Figures) -> None:
        self.app, self._figures = app, figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._figures.busy.inc()
        try:
            await self.app(scope, receive, noted)
        finally:
            self._figures.busy.dec()
            route = _pattern(scope)
            self._figures.requests.labels(route, _method(scope), str(status)).inc()
            self._figures.seconds.labels(route).observe(time.perf_counter() - start)


def _pattern(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "other"))


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
