"""Collapse is told with its likely cause and the setting to try; healthy signs are not."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from lens.callbacks import CollapseWatch
from lens.callbacks.watch import Signs
from lens.data.augment import Augmentation
from lens.models.logs import log_step
from tests.callbacks.watched import MODELS, data_of, fit, resnet, trainer_with


def test_batch_hard_at_a_high_rate_falls_into_one_point(shoes: Path, tmp_path: Path, heard: Any) -> None:
    data = data_of(shoes, Augmentation(), batch_size=24, images_per_class=4)
    labels = data.labels[
        "category"
    ]  # without rhyme or reason nothing can be learned, and one point costs least
    data.labels["category"] = np.random.default_rng(0).permutation(labels)
    model = resnet(mining="batch_hard", learning_rate=1e-2)
    watch = CollapseWatch(max_mean_cosine=1.0, after_steps=10)
    notebook, _ = fit(tmp_path, data, model, [watch], epochs=10)
    d_pos, d_neg = notebook.series("train/d_pos_epoch"), notebook.series("train/d_neg_epoch")
    assert d_neg[-1] < 0.2 and d_pos[-1] > 0.9 * d_neg[-1], "the training did not collapse"
    assert len(heard()) == 1 and heard()[0] == notebook.tags["warning.collapse"]
    epoch = next(epoch for epoch, apart in enumerate(d_neg) if apart < 0.2)
    assert f"After epoch {epoch}, the embedding is falling into one point" in heard()[0]
    assert f"{d_neg[epoch]:.3f} apart, less than model.margin=0.2" in heard()[0]
    assert "try model.mining=batch_all or a lower" in heard()[0]


def test_clip_at_a_high_rate_falls_into_one_point(shoes: Path, tmp_path: Path, heard: Any) -> None:
    pl.seed_everything(0, verbose=False)
    model = MODELS["clip"](learning_rate=0.1)
    notebook, _ = fit(tmp_path, data_of(shoes), model, [CollapseWatch(after_steps=8)], epochs=4)
    assert notebook.series("val/mean_cosine")[-1] > 0.99, "the training did not collapse"
    assert len(heard()) == 1 and "model.learning_rate" in heard()[0] and "warmup" in heard()[0]


class Constant(pl.LightningModule):
    """Whatever the picture, the same vector."""

    def __init__(self) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.arange(1.0, 9.0))

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.vector.expand(len(images), -1), dim=1)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        loss = self.embed_images(batch["image"]).square().mean()
        log_step(self, "train", len(batch["image"]), loss)
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        log_step(self, "val", len(batch["image"]), self.training_step(batch, batch_idx).detach())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_a_constant_embedding_is_told_once_also_over_a_resume(
    shoes: Path, tmp_path: Path, heard: Any
) -> None:
    data = data_of(shoes)
    fit(tmp_path, data, Constant(), [CollapseWatch(after_steps=8)], epochs=3)
    assert len(heard()) == 1 and "mean cosine 1.0000000" in heard()[0] and "learning_rate" in heard()[0]
    fit(tmp_path, data_of(shoes), Constant(), [CollapseWatch(after_steps=8)], epochs=5, resume=True)
    assert len(heard()) == 1


HEALTHY = Signs(0.9, 0.95, 20.0, 0.9, 0.55, 0.6, 0.2, ("batch_all",), separates=True)


REBUILT = Signs(0.9999, 0.95, 15.0)


HARD = ("semi_hard", "batch_hard")


@pytest.mark.parametrize(
    ("signs", "said"),
    [
        (HEALTHY, None),
        (REBUILT, None),  # one that rebuilds pictures may keep them in a narrow cone
        (Signs(None), None),
        (Signs(0.9, 0.9, 20.0, 1.0, 0.19, 0.195, 0.2, HARD, True), "hardest triplets.*mining=batch_all or a low"),
        (Signs(0.9, 0.9, 20.0, 1.0, 0.19, 0.195, 0.2, ("batch_all",), True), "too large steps; try a lower"),
        (Signs(0.9, 0.9, 20.0, 1.0, 0.15, 0.195, 0.2, HARD, True), None),  # labels are told apart
        (Signs(0.9, 0.9, 20.0, 1.0, 0.24, 0.245, 0.2, HARD, True), None),  # farther than the margin
        (Signs(0.9, 0.9, 20.0, 0.5, 0.19, 0.195, 0.2, HARD, True), None),  # half of the triplets are met
        (Signs(0.9999999, 1.0, 20.0), "nearly the same vector.*0.9999999"),
        (Signs(0.99, 0.985, 20.0, separates=True), "as good as alike.*0.9900, 0.9850 after.*learning_rate"),
        (Signs(0.989, 0.995, 20.0, separates=True), None),  # it falls
        (Signs(0.99999, 0.999999, 20.0, separates=True), None),
        (Signs(0.97, 0.96, 20.0, separates=True), None),
        (Signs(0.5, 0.9, 1.4), "1.4 directions.*relevance"),
    ],
)  # fmt: skip
def test_the_sentence_names_what_is_seen_the_cause_and_the_setting(signs: Signs, said: str | None) -> None:
    found = CollapseWatch().collapse(signs)
    if said is None:
        assert found is None
    else:
        assert found is not None and re.search(said, found), found


@pytest.mark.parametrize(
    ("signs", "said"),
    [
        (HEALTHY, None),
        (Signs(0.9), None),
        (Signs(0.9, active=0.01, margin=0.2, mining=("batch_all",)), None),
        (Signs(0.9, active=0.004, margin=0.2, mining=("batch_all",)), "0.4%.*=batch_hard, a larger model.margin"),
        (Signs(0.9, active=0.0, margin=0.2, mining=HARD), "0.0%.*try a larger model.margin"),
    ],
)  # fmt: skip
def test_triplets_that_are_all_met_are_told_with_harder_ones_to_try(signs: Signs, said: str | None) -> None:
    found = CollapseWatch().too_easy(signs)
    if said is None:
        assert found is None
    else:
        assert found is not None and re.search(said, found), found


def test_a_few_pictures_span_few_directions_anyway(heard: Any) -> None:
    for queries, said in ((9.0, 0), (10.0, 1)):
        trainer = trainer_with(val__mean_cosine=0.5, val__effective_rank_centred=1.5, val__queries=queries)
        CollapseWatch().on_train_epoch_end(trainer, nn.Identity())  # type: ignore[arg-type]
        assert len(heard()) == said


def test_nothing_is_judged_before_enough_steps_and_no_sentence_comes_twice(heard: Any) -> None:
    watch = CollapseWatch(after_steps=100)
    for steps, cosine, said in ((99, 1.0, 0), (100, 1.0, 1), (150, 1.0, 1), (200, 0.9, 1), (250, 1.0, 1)):
        trainer = trainer_with(val__mean_cosine=cosine, val__effective_rank_centred=9.0)
        trainer.global_step = steps
        watch.on_train_epoch_end(trainer, nn.Identity())  # type: ignore[arg-type]
        assert len(heard()) == said
    other = trainer_with(rank=1, val__mean_cosine=1.0)
    CollapseWatch().on_train_epoch_end(other, nn.Identity())  # type: ignore[arg-type]
    assert len(heard()) == 1, "only one process speaks"
