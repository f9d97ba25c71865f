from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch import nn

from lens.callbacks.retrieval import RetrievalEvaluation, embed_rows, score_rows, train_sample
from lens.data import module
from lens.data.module import ShoppingData
from lens.data.sources import read_manifest, read_rendered
from lens.metrics import metric_names
from lens.metrics.space import SPACE_NAMES, embedding_space
from lens.models.resnet import TripletResNet


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


class Counting(TripletResNet):
    """Counts the pictures that are embedded."""

    embedded = 0

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        self.embedded += len(images)
        return super().embed_images(images)


def followed(
    data: ShoppingData, folder: Path, evaluation: RetrievalEvaluation, **how: Any
) -> tuple[Any, pl.Trainer, pd.DataFrame]:
    """A model trained for three epochs, its trainer, and all that was logged, a line a step."""
    pl.seed_everything(0, verbose=False)
    model = Counting("tiny", "random", learning_rate=1e-3)
    logger = CSVLogger(folder)
    trainer = pl.Trainer(
        max_epochs=3, accelerator="cpu", logger=logger, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=2, log_every_n_steps=1, use_distributed_sampler=False,
        callbacks=[evaluation], **how,
    )  # fmt: skip
    trainer.fit(model, data)
    table = pd.read_csv(Path(logger.log_dir) / "metrics.csv").groupby("step").first()
    return model, trainer, table.loc[table["train/loss_epoch"].notna()]


def test_an_epoch_tells_how_far_train_and_validation_are_apart(data: ShoppingData, tmp_path: Path) -> None:
    model, _, table = followed(data, tmp_path, RetrievalEvaluation((1, 5)))
    assert len(table) == 3 and list(table["epoch"]) == [0, 1, 2]  # all of an epoch under one step
    for name in ("precision_at_1", "loss"):
        assert table[f"gap/{name}"].abs().max() > 0
    np.testing.assert_allclose(
        table["gap/precision_at_1"], table["train/precision_at_1"] - table["val/precision_at_1"], atol=1e-6
    )
    np.testing.assert_allclose(table["gap/loss"], table["val/loss"] - table["train/loss_epoch"], atol=1e-6)
    assert set(table["train/queries"]) == {20} and set(table["val/queries"]) == {len(data.rows("val"))}
    assert model.embedded == 3 * (20 + len(data.rows("val"))), "something was embedded twice"


def test_the_shape_of_the_space_is_that_of_the_vectors_of_validation_and_test(
    data: ShoppingData, tmp_path: Path
) -> None:
    model, trainer, table = followed(data, tmp_path, RetrievalEvaluation((1,)))
    tested = trainer.test(model, data, verbose=False)[0]
    for side, logged in (("val", table.iloc[-1]), ("test", tested)):
        rows = data.rows(side)
        vectors = embed_rows(trainer_of(data), model, rows)
        expected = embedding_space(vectors, data.labels["category"][rows])
        assert {name: logged[f"{side}/{name}"] for name in SPACE_NAMES} == pytest.approx(expected, rel=1e-4)
    assert not any(f"train/{name}" in table for name in SPACE_NAMES)
    assert tested["test/queries"] + tested["test/excluded_queries"] == len(data.rows("test"))


def test_the_names_that_can_choose_a_checkpoint_are_those_logged(data: ShoppingData, tmp_path: Path) -> None:
    evaluation = RetrievalEvaluation((1, 3))
    _, trainer, _ = followed(data, tmp_path, evaluation)
    own = {f"val/{name}" for name in (*SPACE_NAMES, "queries", "loss", "active_fraction", "d_pos", "d_neg")}
    logged = {name for name in trainer.callback_metrics if name.startswith("val/")}
    assert set(evaluation.names) == logged - own == {f"val/{name}" for name in metric_names((1, 3))}


def test_what_was_not_measured_in_an_epoch_has_no_gap(data: ShoppingData, tmp_path: Path) -> None:
    _, _, table = followed(data, tmp_path / "a", RetrievalEvaluation((1,)), check_val_every_n_epoch=2)
    assert (
        list(table["gap/loss"].notna()) == list(table["gap/precision_at_1"].notna()) == [False, True, False]
    )
    _, _, table = followed(data, tmp_path / "b", RetrievalEvaluation((5,)))
    assert "gap/precision_at_1" not in table and table["gap/loss"].notna().all()
    _, _, table = followed(data, tmp_path / "c", RetrievalEvaluation((1,), train=False))
    assert "gap/precision_at_1" not in table and "train/precision_at_1" not in table
