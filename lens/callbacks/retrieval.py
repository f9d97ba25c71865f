"""Retrieval quality per epoch on validation and on a fixed sample of train; on test once, at the end."""

from typing import Any

import numpy as np
import pytorch_lightning as pl

from lens.data.module import ShoppingData
from lens.errors import LensError
from lens.index.embedding import embed_all
from lens.metrics import RetrievalScores, intervals, metric_names, retrieval_scores_by_role
from lens.metrics.space import embedding_space

GAP = "precision_at_1"
"""The retrieval metric whose gap is logged."""


class RetrievalEvaluation(pl.Callback):
    """Logs ``val/precision_at_1`` and its like; early stopping and the choice of the checkpoint go by them.

    Of validation and test also the shape of the embedding space (`lens.metrics.space`), from the same vectors. And how
    far train and validation are apart: ``gap/precision_at_1`` is train less validation, ``gap/loss`` validation less
    the mean of the training steps of the epoch (which saw augmented pictures and weights that still changed).

    Args:
        ks: the cut-offs of precision, recall, hit, map and ndcg.
        train: follow a fixed sample of the training items too.
    """

    def __init__(self, ks: tuple[int, ...] = (1, 5, 10), train: bool = True) -> None:
        if not ks or min(ks) < 1:
            raise LensError(f"callbacks.retrieval.ks={list(ks)}: give one or more numbers from 1.")
        self.ks, self.train = ks, train
        self._validated = False

    @property
    def names(self) -> list[str]:
        """The validation metrics that can choose a checkpoint."""
        return [f"val/{name}" for name in metric_names(self.ks)]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validated = False

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        data = _data(trainer)
        val = self._log(trainer, pl_module, "val", data.rows("val")).metrics
        self._validated = True
        if self.train:
            train = self._log(trainer, pl_module, "train", train_sample(data)).metrics
            if GAP in val:
                pl_module.log(f"gap/{GAP}", train[GAP] - val[GAP], batch_size=1)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Here, since the mean of the epoch's steps is not known before. Of an epoch without validation there is none.
        known = trainer.callback_metrics
        if self._validated and {"val/loss", "train/loss_epoch"} <= known.keys():
            pl_module.log("gap/loss", known["val/loss"] - known["train/loss_epoch"])

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data = _data(trainer)
        rows = data.rows("test")
        scores = self._log(trainer, pl_module, "test", rows)
        pl_module.log("test/excluded_queries", float(scores.excluded_queries))
        queries = rows[data.catalogue.table["role"].to_numpy(dtype=str)[rows] != "gallery"]
        found = intervals(scores.per_query, data.labels["product"][queries[scores.counted]])
        limits = {
            f"test/{name}_{end}": getattr(one, end) for name, one in found.items() for end in ("low", "high")
        }
        pl_module.log_dict(
            {name: value for name, value in limits.items() if np.isfinite(value)}, batch_size=1
        )

    def _log(self, trainer: pl.Trainer, pl_module: Any, side: str, rows: np.ndarray) -> RetrievalScores:
        data = _data(trainer)
        vectors = embed_rows(trainer, pl_module, rows)
        if not np.isfinite(vectors).all():
            raise LensError(
                f"The embeddings hold NaN after step {trainer.global_step}: the training has diverged; lower "
                "model.learning_rate, or set trainer.gradient_clip=1.0 or model.warmup_steps=100."
            )
        scores = score_rows(data, rows, vectors, self.ks)
        values = {**scores.metrics, "queries": float(scores.queries)}
        if side != "train":
            values |= embedding_space(vectors, data.labels[data.relevance][rows])
        pl_module.log_dict({f"{side}/{name}": value for name, value in values.items()}, batch_size=1)
        return scores


def embed_rows(trainer: pl.Trainer, model: Any, rows: np.ndarray, progress: str | None = None) -> np.ndarray:
    """Vectors float32 [len(rows), D] of catalogue rows, without augmentation, in evaluation mode."""
    training = model.training
    model.eval()
    with trainer.precision_plugin.forward_context():
        loader = _data(trainer).evaluation_loader(rows)
        vectors = embed_all(model.embed_images, loader, device=model.device, progress=progress)
    model.train(training)
    return vectors


def score_rows(
    data: ShoppingData, rows: np.ndarray, vectors: np.ndarray, ks: tuple[int, ...] = (1, 5, 10)
) -> RetrievalScores:
    """Scores of some rows: queries against gallery, or each item against all others where no roles are given.

    Training images have no roles: what they were given is for a search, and need not leave a query among them.
    """
    roles = data.catalogue.table["role"].to_numpy(dtype=str)[rows]
    if (data.side[rows] == "train").all():
        roles = np.full(len(rows), "")
    return retrieval_scores_by_role(vectors, data.labels[data.relevance][rows], rows, roles, ks=ks)


def train_sample(data: ShoppingData) -> np.ndarray:
    """The same training rows in every epoch and run of one split, ascending."""
    rows = data.rows("train")
    if len(rows) <= data.train_subset:
        return rows
    chosen = np.random.default_rng(data.split_seed).choice(len(rows), data.train_subset, replace=False)
    return rows[np.sort(chosen)]


def _data(trainer: pl.Trainer) -> ShoppingData:
    return trainer.datamodule  # type: ignore[attr-defined, no-any-return]
