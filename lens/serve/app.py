"""The application: its parts put together, and kept fresh while it runs."""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import anyio.to_thread
from fastapi import FastAPI, Response

from lens.search import Embedder
from lens.serve import routes
from lens.serve.batches import Batcher, ServedEmbedder
from lens.serve.decode import Decoders
from lens.serve.explaining import Explainer
from lens.serve.figures import Counted, Figures
from lens.serve.guards import Guard
from lens.serve.pictures import Pictures
from lens.serve.problems import Overloaded
from lens.serve.service import Service
from lens.serve.settings import Settings
from lens.serve.shelf import Shelf

_BATCH = 32  # pictures in one pass
_FAREWELL = 5.0  # seconds that a look for newer runs may go on for when the service ends
log = logging.getLogger("lens.serve")


def create_app(
    settings: Settings, on_start: Callable[[], None] = lambda: None, leaving: threading.Event | None = None
) -> FastAPI:
    """The application, its models loaded.

    Args:
        on_start: called when it is about to answer; leaving: once set, each answer ends its connection.

    Raises LensError where there is nothing to serve.
    """
    figures, limits = Figures(), settings.limits
    decoders = Decoders(limits, settings.decoders or min(4, os.cpu_count() or 1))
    batcher = Batcher(_BATCH, limits.seconds, figures.batches.observe)
    pictures = Pictures(settings.roots, seconds=limits.seconds)
    explainer = Explainer(pictures, limits.seconds)

    def prepared(embedder: Embedder) -> Embedder:
        return ServedEmbedder(embedder, decoders, batcher)

    try:
        given = settings.runs, settings.indices, settings.uri, settings.experiment
        shelf = Shelf(*given, prepared, seconds=limits.seconds, strict=settings.strict)
    except BaseException:
        decoders.close()
        raise
    service = Service(
        shelf,
        pictures,
        explainer,
        limits,
        lambda experiment, run: f"{settings.mlflow}/#/experiments/{experiment}/runs/{run}",
        settings.key is not None,
        figures.observe_stages,
        decoders.together,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Each request that waits for its vectors holds a thread; thumbnails come beside them.
        anyio.to_thread.current_default_thread_limiter().total_tokens = limits.concurrent + 8
        ended = threading.Event()
        looking = threading.Thread(target=_keep_fresh, args=(shelf, settings.refresh, ended), daemon=True)
        looking.start()
        try:
            if settings.address:
                names = ", ".join(f"{name} ({len(one.reader):,} items)" for name, one in shelf.models.items())
                with suppress(OSError):  # nobody may read it any more
                    print(f"Serving {names}\nThe page is at {settings.address}", flush=True)
            on_start()
            yield
        finally:
            ended.set()
            await asyncio.to_thread(looking.join, _FAREWELL)  # a store may be slow to answer
        await asyncio.to_thread(batcher.close)
        await asyncio.to_thread(explainer.close)
        await asyncio.to_thread(decoders.close)

    app = FastAPI(
        title="Shopping Lens",
        description="Search catalogues of product images by images, words and items.",
        version=service.version,
        lifespan=lifespan,
        docs_url=None,  # its page would be fetched from elsewhere
        redoc_url=None,
    )
    app.include_router(routes.api(service, settings.key))
    routes.add_page(app)
    _add_health(app, figures, shelf, decoders)
    routes.add_errors(app)
    app.add_middleware(
        Guard,
        body=limits.bytes,
        seconds=limits.seconds,
        concurrent=limits.concurrent,
        key=settings.key,
        hosts=settings.hosts,
        leaving=leaving or threading.Event(),
    )
    app.add_middleware(Counted, figures=figures)
    return app


def _add_health(app: FastAPI, figures: Figures, shelf: Shelf, decoders: Decoders) -> None:
    @app.get("/healthz", summary="The process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", summary="The models are loaded, and pictures can be decoded")
    def readyz() -> dict[str, str]:
        if not decoders.alive():
            raise Overloaded("The processes that decode pictures do not start.")
        return {"status": "ready"}

    for address, answer in (("/healthz", healthz), ("/readyz", readyz)):  # as some that watch ask
        app.add_api_route(address, answer, methods=["HEAD"], include_in_schema=False)

    @app.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    def metrics() -> Response:
        text, kind = figures.text({name: len(one.reader) for name, one in shelf.models.items()})
        return Response(text, media_type=kind)


def _keep_fresh(shelf: Shelf, every: float, ended: threading.Event) -> None:
    while not ended.wait(every):
        try:
            if shelf.refresh():
                log.warning(
                    "Taken up: %s.",
                    ", ".join(f"{name} ({len(one.reader):,} items)" for name, one in shelf.models.items()),
                )
        except Exception:  # noqa: BLE001 - what is served now goes on being served
            log.exception("Looking for newer indices failed")
