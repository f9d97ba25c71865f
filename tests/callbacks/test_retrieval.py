from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from lens.callbacks.pictures import Pictures, neighbour_figure, reconstructions
from lens.callbacks.retrieval import embed_rows, score_rows, train_sample
from lens.data import module
from lens.data.module import ShoppingData
from lens.data.sources import read_manifest, read_rendered


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_lightning: None) -> None:
    monkeypatch.setattr(module, "SCAN_CACHE", tmp_path / "images.parquet")


@pytest.fixture
def data(shoes: Path) -> ShoppingData:
    read = partial(read_rendered, shoes, items=72, views_per_product=2, render_size=32)
    made = ShoppingData(read, 32, 8, images_per_class=2, workers=0, progress=False, train_subset=20)
    made.setup()
    return made


class Flat(pl.LightningModule):
    """Its pixels are its embedding, doubled while it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.dropout(images.flatten(1)), dim=1)

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor | None:
        return images.flip(-1)


def trainer_of(data: ShoppingData, logger: Any = None) -> Any:
    plugin = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False).precision_plugin
    return SimpleNamespace(datamodule=data, precision_plugin=plugin, logger=logger, is_global_zero=True)


def test_rows_are_embedded_in_order_without_dropout_and_the_mode_is_put_back(data: ShoppingData) -> None:
    model = Flat().train()
    rows = np.array([5, 3, 60, 11])
    vectors = embed_rows(trainer_of(data), model, rows)
    assert model.training and vectors.dtype == np.float32
    raw = np.stack([data.pictures[row].transpose(2, 0, 1).reshape(-1) for row in rows]).astype(float)
    np.testing.assert_allclose(vectors, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-5)


def test_a_side_is_scored_leaving_each_item_out_of_its_own_gallery(data: ShoppingData) -> None:
    rows = data.rows("test")
    vectors = embed_rows(trainer_of(data), Flat(), rows)
    scores = score_rows(data, rows, vectors, (1,))
    labels = data.labels["category"][rows]
    hits, queries = 0, 0
    for place, label in enumerate(labels):
        others = [other for other in range(len(rows)) if other != place]
        if any(labels[other] == label for other in others):
            queries += 1
            hits += int(
                labels[max(others, key=lambda other: float(vectors[place] @ vectors[other]))] == label
            )
    assert scores.queries == queries and scores.excluded_queries == len(rows) - queries
    assert scores.metrics["precision_at_1"] == pytest.approx(hits / queries)


def test_roles_divide_a_side_into_queries_and_gallery(shoes: Path, tmp_path: Path) -> None:
    table = read_rendered(shoes, items=72, views_per_product=2, render_size=32).table
    frame = pd.DataFrame(
        {"path": [str(shoes / path) for path in table["path"]], "category": table["category"]}
    )
    frame["split"] = "test"
    frame.loc[::3, "split"], frame.loc[1::9, "split"] = "train", "val"
    frame["role"] = ["query" if place % 2 else "gallery" for place in range(len(frame))]
    frame.to_csv(tmp_path / "m.csv", index=False)
    read = partial(read_manifest, tmp_path / "m.csv")
    data = ShoppingData(read, 32, 8, images_per_class=2, workers=0, progress=False, duplicates="ignore")
    data.setup()
    rows = data.rows("test")
    random = np.random.default_rng(0).normal(size=(len(rows), 4)).astype(np.float32)
    scores = score_rows(data, rows, random / np.linalg.norm(random, axis=1, keepdims=True))
    queries = int((data.catalogue.table["role"].to_numpy()[rows] == "query").sum())
    assert 0 < queries < len(rows) and scores.queries + scores.excluded_queries == queries


def test_the_followed_training_rows_stay_the_same(data: ShoppingData) -> None:
    sample = train_sample(data)
    assert len(sample) == 20 and (np.diff(sample) > 0).all() and set(sample) <= set(data.rows("train"))
    data.seed = 99
    np.testing.assert_array_equal(train_sample(data), sample)
    data.train_subset = 1000
    np.testing.assert_array_equal(train_sample(data), data.rows("train"))


class Album:
    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}

    def log_figure(self, figure: Any, name: str) -> None:
        self.figures[name] = figure


def test_two_figures_are_logged_after_the_test(data: ShoppingData, tmp_path: Path) -> None:
    album = Album()
    Pictures(queries=4, k=3).on_test_end(trainer_of(data, album), Flat())
    assert set(album.figures) == {"pictures/neighbours.png", "pictures/reconstructions.png"}
    for place, figure in enumerate(album.figures.values()):
        figure.savefig(tmp_path / f"{place}.png")
        assert (tmp_path / f"{place}.png").stat().st_size > 2000
    assert len(album.figures["pictures/neighbours.png"].axes) == 4 * 4


def test_frames_tell_right_from_wrong_and_gaps_stay_empty(data: ShoppingData) -> None:
    labels = data.labels["category"]
    query = 0
    right = int(np.flatnonzero(labels == labels[query])[1])
    wrong = int(np.flatnonzero(labels != labels[query])[0])
    figure = neighbour_figure(data, np.array([query]), np.array([[right, wrong, -1]]), np.zeros((1, 3)))
    colours = [axis.title.get_color() for axis in figure.axes]
    assert colours[0] == "black" and colours[1] == "#1a7f37" and colours[2] == "#cf222e"
    assert not figure.axes[3].axison


def test_a_model_that_rebuilds_nothing_gives_no_figure(data: ShoppingData) -> None:
    model = Flat()
    model.reconstruct = lambda images: None  # type: ignore[method-assign]
    assert reconstructions(model, data, np.array([0, 1])) is None
    assert reconstructions(nn.Linear(1, 1), data, np.array([0])) is None
