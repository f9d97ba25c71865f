"""Shelves over the store of trained models, and runs that come to be as a training makes them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from lens.config import build
from lens.index import load, save
from lens.index.manifest import read_manifest
from lens.search import Embedder
from lens.serve.shelf import Served, Shelf
from lens.tracking import add_to_run, download, finish_parent, run_config
from lens.tracking.runs import continue_run
from lens.tracking.store import client as mlflow
from tests.bulk.trained import ROOT
from tests.serve.store import Store

EXPERIMENT = "shopping-lens"


def shelf(
    store: Store,
    runs: tuple[str, ...] = (),
    indices: tuple[str, ...] = (),
    pause: tuple[float, float] = (10.0, 600.0),
) -> Shelf:
    return Shelf(runs, indices, store.uri, EXPERIMENT, lambda embedder: embedder, pause)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the service has told, and no other program."""
    return [record.getMessage() for record in caplog.records if record.name == "lens.serve"]


def own(served: Served, number: int = 0) -> tuple[str, float]:
    """What the picture of an item finds first, and its cosine; of the right weights it is the item itself, 1."""
    item = served.reader.items([number])[0]
    embedder = served.searcher.embedder
    assert embedder is not None
    path = Path(served.reader.manifest["catalogue"]["root"]) / item["path"]
    found = served.reader.search(embedder.images([embedder.open(path)]), 1)
    return served.reader.ids([int(found.rows[0, 0])])[0], float(found.cosines[0, 0])


class Copied:
    """A run that exports what another did as its own, at first with that one's weights."""

    def __init__(self, store: Store, model: str, name: str, local: bool) -> None:
        self.store, self.model, self.local = store, model, local
        self.run_id = str(mlflow(store.uri).create_run("1", tags={"model": model}, run_name=name).info.run_id)
        self.place = store.folder / f"place-{self.run_id}"
        for part in ("config.yaml", "checkpoints", "index"):
            download(store.uri, store.runs[model], part, self.place)
        self.own = ROOT / "runs" / self.run_id / "index"
        self._write(None)

    def _write(self, vectors: Any, weights: str | None = None) -> None:
        index = load(self.place / "index")
        about = read_manifest(self.place / "index")[0]
        shutil.rmtree(self.place / "index")
        vectors = index.vectors if vectors is None else vectors
        model = about["model"] | ({"weights": weights} if weights else {})
        save(
            self.place / "index", vectors, index.items, model=model, run_id=self.run_id,
            preprocessing=about["preprocessing"], catalogue=about["catalogue"], bands=about["bands"],
        )  # fmt: skip
        if self.local:
            shutil.rmtree(self.own, ignore_errors=True)
            shutil.copytree(self.place / "index", self.own)

    def hand_over(self) -> None:
        """What a training does at its end."""
        add_to_run(self.store.uri, self.run_id, files=[self.place])
        finish_parent(self.store.uri, self.run_id)

    def resume(self) -> None:
        """Go on to other weights, and export their index; checkpoint and index are not yet handed over."""
        continue_run(self.store.uri, self.run_id, {})
        config = run_config(self.store.uri, self.run_id)
        file = self.place / "checkpoints" / "best.ckpt"
        checkpoint = torch.load(file, weights_only=True)
        torch.manual_seed(1)
        model = build({**config["model"], "weights": "random"}).eval()
        checkpoint["state_dict"] = model.state_dict()
        torch.save(checkpoint, file)
        index = load(self.place / "index")
        embedder = Embedder(model, config["data"]["image_size"], name=self.model)
        root = Path(index.manifest["catalogue"]["root"])
        vectors = embedder.images([embedder.open(root / path) for path in index.items["path"]])
        self._write(vectors, embedder.weights)

    @property
    def checkpoint(self) -> Path:
        """The file in the store."""
        uri = mlflow(self.store.uri).get_run(self.run_id).info.artifact_uri
        return Path(uri.removeprefix("file://")) / "checkpoints" / "best.ckpt"


@contextmanager
def copied(
    store: Store, model: str = "vit_tiny", *, name: str = "again", local: bool = False, finished: bool = True
) -> Iterator[Copied]:
    """A newer run of a model; deleted in the end. local: its index also lies beside train.py."""
    made = Copied(store, model, name, local)
    try:
        if finished:
            made.hand_over()
        yield made
    finally:
        mlflow(store.uri).delete_run(made.run_id)
        shutil.rmtree(made.place)
        shutil.rmtree(made.own.parent, ignore_errors=True)
