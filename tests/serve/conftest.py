"""A store of four trained models, and the application over it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lens.serve.app import create_app
from lens.serve.settings import Settings
from tests.serve.store import Store, train


@pytest.fixture(scope="session")
def store(shoes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = train(tmp_path_factory.mktemp("served"), shoes)
    yield made
    made.remove()


@pytest.fixture(scope="session")
def client(store: Store) -> Iterator[TestClient]:
    """The application in this process, without a socket."""
    app = create_app(Settings(uri=store.uri, decoders=1, hosts=("testserver",)))
    with TestClient(app, raise_server_exceptions=False) as asked:
        yield asked
