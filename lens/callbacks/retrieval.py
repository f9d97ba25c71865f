"""Retrieval quality per epoch on validation and on a fixed sample of train; on test once, at the end."""

from typing import Any

import numpy as np
import pytorch_lightning as pl

from lens.data.module import ShoppingData
from lens.errors import LensError
from lens.index.embedding import embed_all
from lens.metrics import RetrievalScores, retrieval_scores_by_role


class RetrievalEvaluation(pl.Callback):
    """Logs ``val/precision_at_1`` and its like; early stopping and the choice of the checkpoint go by them.

    Args:
        ks: the cut-offs of precision, recall and hit.
        train: follow a fixed sample of the training items too.
    """

    def __init__(self, ks: tuple[int, ...] = (1, 5, 10), train: bool = True) -> None:
        if not ks or min(ks) < 1:
            raise LensError(f"callbacks.retrieval.ks={list(ks)}: give one or more numbers from 1.")
        self.ks, self.train = ks, train

    @property
    def names(self) -> list[str]:
        """The validation metrics that can choose a checkpoint."""
        found = [f"{name}_at_{k}" for name in ("precision", "recall", "hit") for k in self.ks]
        return [f"val/{name}" for name in (*found, "r_precision", "map_at_r")]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        data = _data(trainer)
        self._log(trainer, pl_module, "val", data.rows("val"))
        if self.train:
            self._log(trainer, pl_module, "train", train_sample(data))

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        scores = self._log(trainer, pl_module, "test", _data(trainer).rows("test"))
        pl_module.log("test/queries", float(scores.queries))
        pl_module.log("test/excluded_queries", float(scores.excluded_queries))

    def _log(self, trainer: pl.Trainer, pl_module: Any, side: str, rows: np.ndarray) -> RetrievalScores:
        data = _data(trainer)
        vectors = embed_rows(trainer, pl_module, rows)
        if not np.isfinite(vectors).all():
            raise LensError(
                f"The embeddings hold NaN after step {trainer.global_step}: the training has diverged; lower "
                "model.learning_rate, or set trainer.gradient_clip=1.0 or model.warmup_steps=100."
            )
        scores = score_rows(data, rows, vectors, self.ks)
        values = {f"{side}/{name}": value for name, value in scores.metrics.items()}
        pl_module.log_dict(values, batch_size=1)
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
