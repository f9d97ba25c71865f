"""What the tests of callbacks share: a cache of images of their own, and the warnings they hear."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lens.data import module


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_lightning: None) -> None:
    monkeypatch.setattr(module, "SCAN_CACHE", tmp_path / "images.parquet")


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """What the watches have said so far."""
    with caplog.at_level(logging.WARNING, "lens.callbacks.watch"):
        yield lambda: [r.getMessage() for r in caplog.records if r.name == "lens.callbacks.watch"]
