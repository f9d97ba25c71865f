"""A store of four trained models, the application over it, and its page in a browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lens.serve.app import create_app
from lens.serve.settings import Settings
from tests.serve.browser import CHROMIUM, chromium, visited
from tests.serve.server import Server, serving
from tests.serve.store import Store, train


@pytest.fixture(scope="session")
def store(shoes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = train(tmp_path_factory.mktemp("served"), shoes)
    yield made
    made.remove()


@pytest.fixture(scope="session")
def client(store: Store) -> Iterator[TestClient]:
    """The application in this process, without a socket; it does not look for newer runs, which it would log."""
    app = create_app(Settings(uri=store.uri, decoders=1, hosts=("testserver",), refresh=3600))
    with TestClient(app, raise_server_exceptions=False) as asked:
        yield asked


@pytest.fixture(scope="session")
def server(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A process that serves the four models, and does not look for newer runs."""
    log = tmp_path_factory.mktemp("page") / "log"
    with serving(log, f"uri={store.uri}", "decoders=1", "refresh=3600") as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; for a module, since Playwright keeps an event loop in the thread while it runs."""
    pytest.importorskip("playwright")
    if not Path(CHROMIUM).exists():
        pytest.skip("there is no Chromium (apt install chromium)")
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The page of the four models."""
    with visited(browser, server.url) as opened:
        yield opened
