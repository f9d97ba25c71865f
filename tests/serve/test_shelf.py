"""Which indices are served, and how new ones are taken up."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from lens.errors import LensError
from lens.index import load, save, write
from lens.search import Query, Term
from lens.serve.shelf import Shelf
from lens.tracking import add_to_run
from lens.tracking.store import client as mlflow
from tests.serve.store import Store


def shelf(store: Store, runs: tuple[str, ...] = (), indices: tuple[str, ...] = ()) -> Shelf:
    return Shelf(runs, indices, store.uri, "shopping-lens", lambda embedder: embedder)


@pytest.fixture
def folder(store: Store, tmp_path: Path) -> Path:
    """A copy of an index, to be changed."""
    return Path(shutil.copytree(store.index("resnet_tiny"), tmp_path / "index"))


def test_runs_and_folders_by_name(store: Store, folder: Path) -> None:
    chosen = shelf(store, (store.runs["vit_tiny"][:10], store.runs["resnet_tiny"]), (str(folder),))
    assert list(chosen.models) == [
        "vit_tiny",
        "resnet_tiny",
        f"resnet_tiny@{store.runs['resnet_tiny'][:8]}",
    ]
    assert not any(one.newest for one in chosen.models.values())
    assert not chosen.refresh()
