"""Runs on a real SQLite store. Its migration takes ten seconds, so one is made and copied."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from lens import tracking
from lens.tracking.logger import RunLogger
from tests.tracking.stores import Maker


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    tracking.prepare_store(f"sqlite:///{folder / 'mlflow.db'}", "unused")
    return folder / "mlflow.db"


@pytest.fixture
def uri(migrated: Path, tmp_path: Path) -> str:
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def make(uri: str, tmp_path: Path) -> Maker:
    def build(**given: Any) -> RunLogger:
        settings = {"system_metrics": False, "retry_seconds": 0.0, "folder": tmp_path / "spool", **given}
        return RunLogger(uri, "shoes", **settings)

    return build
