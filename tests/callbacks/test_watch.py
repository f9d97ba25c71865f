"""Trainings that overfit or collapse are told of, healthy ones are not."""

import logging
import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from torch import nn

from lens.callbacks import CollapseWatch, OverfitWatch, RetrievalEvaluation
from lens.callbacks.watch import Signs, standard_error
from lens.data import module
from lens.data.augment import Augmentation
from lens.data.module import ShoppingData
from lens.data.sources import read_rendered
from lens.errors import LensError
from lens.metrics.space import SPACE_NAMES
from lens.models.autoencoder import Autoencoder
from lens.models.clip import ContrastiveCLIP
from lens.models.logs import log_step
from lens.models.resnet import TripletResNet
from lens.models.vit import MaskedPatchViT
from lens.training import build_trainer, check_monitor

SMALL_CLIP = {
    "patch_size": 16, "vision_size": 32, "vision_layers": 1, "vision_heads": 2, "stem": "convolutions", "text_size": 16,
    "text_layers": 1, "text_heads": 2, "context": 16, "projection_size": 16, "weights": "random",
}  # fmt: skip
MODELS: dict[str, Callable[..., Any]] = {
    "resnet": partial(TripletResNet, "tiny", "random", learning_rate=5e-4),
    "clip": partial(ContrastiveCLIP, 32, **SMALL_CLIP, learning_rate=5e-4),
    "vit": partial(MaskedPatchViT, 32, 8, 32, layers=2, heads=2, weights="random", learning_rate=1e-3),
    "autoencoder": partial(Autoencoder, 32, (8, 8, 16, 16), 32, learning_rate=1e-3),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_lightning: None) -> None:
    monkeypatch.setattr(module, "SCAN_CACHE", tmp_path / "images.parquet")


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """What the watches have said so far."""
    with caplog.at_level(logging.WARNING, "lens.callbacks.watch"):
        yield lambda: [r.getMessage() for r in caplog.records if r.name == "lens.callbacks.watch"]


class Notebook(Logger):
    """Keeps every metric of every step, and the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.tags: dict[str, str] = {}

    name = version = "notebook"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append((int(step or 0), dict(metrics)))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    def set_tags(self, tags: dict[str, str]) -> None:
        self.tags |= tags

    def series(self, name: str) -> list[float]:
        return [row[name] for _, row in self.rows if name in row]


def data_of(shoes: Path, augment: Augmentation | None = None, **more: Any) -> ShoppingData:
    read = partial(read_rendered, shoes, items=72, views_per_product=2, render_size=32)
    settings = {"image_size": 32, "batch_size": 12, "images_per_class": 2, "workers": 0, "progress": False}
    data = ShoppingData(read, augment=augment, **(settings | more))
    data.setup()
    return data


def fit(
    folder: Path,
    data: ShoppingData,
    model: pl.LightningModule,
    watches: list[pl.Callback],
    epochs: int,
    resume: bool = False,
    monitor: str | None = "val/precision_at_1",
) -> tuple[Notebook, pl.Trainer]:
    """One training as train.py puts it together; its loader and weights are of seed 0."""
    notebook = Notebook()
    callbacks = [RetrievalEvaluation((1,)), *watches]
    trainer = build_trainer(
        folder, monitor, callbacks, notebook, max_epochs=epochs, accelerator="cpu", devices=1, precision="32-true",
        progress=False,
    )  # fmt: skip
    checkpoint = folder / "checkpoints" / "last.ckpt" if resume else None
    trainer.fit(model, data, ckpt_path=checkpoint, weights_only=None)
    return notebook, trainer


def resnet(**settings: Any) -> TripletResNet:
    pl.seed_everything(0, verbose=False)
    return TripletResNet("tiny", "random", **({"learning_rate": 1e-3} | settings))


def test_what_is_learned_by_heart_is_said_once_and_stays_with_the_run(
    shoes: Path, tmp_path: Path, heard: Any
) -> None:
    watch = OverfitWatch(threshold=0.52)  # more than chance explains on ten queries
    notebook, _ = fit(tmp_path, data_of(shoes), resnet(), [watch], epochs=14)
    gaps = notebook.series("gap/precision_at_1")
    train, val = notebook.series("train/precision_at_1"), notebook.series("val/precision_at_1")
    above = [gap > 0.52 for gap in gaps]
    crossings = [e for e in range(14) if above[e] and (e == 0 or not above[e - 1])]
    assert len(gaps) == 14 and crossings and sum(above) > len(crossings), "the training did not overfit"
    assert len(heard()) == len(crossings)
    for epoch, sentence in zip(crossings, heard(), strict=True):
        assert f"after epoch {epoch}, train/precision_at_1 {train[epoch]:.3f}" in sentence
        assert f"{gaps[epoch]:.3f} above val/precision_at_1 {val[epoch]:.3f}" in sentence
        assert "augment=strong" in sentence and "weight_decay" in sentence
    assert notebook.tags == {"warning.overfit": heard()[-1]}


def test_by_option_the_training_ends_and_a_resume_remembers(shoes: Path, tmp_path: Path, heard: Any) -> None:
    data = data_of(shoes)
    notebook, trainer = fit(tmp_path, data, resnet(), [OverfitWatch(threshold=0.52, stop=True)], epochs=30)
    gaps = notebook.series("gap/precision_at_1")
    assert min(gaps[-3:]) > 0.52 and len(gaps) < 30
    assert not any(min(gaps[e : e + 3]) > 0.52 for e in range(len(gaps) - 3)), "it went on after three epochs"
    assert f"ends after epoch {len(gaps) - 1}" in heard()[-1] and "for 3 epochs" in heard()[-1]
    assert "stop=false" in heard()[-1] and notebook.tags["warning.stopped"] == heard()[-1]

    said = len(heard())
    again, _ = fit(
        tmp_path, data_of(shoes), resnet(), [OverfitWatch(threshold=0.52)], len(gaps) + 1, resume=True
    )
    assert len(again.series("gap/precision_at_1")) == 1
    if again.series("gap/precision_at_1")[0] > 0.52:
        assert len(heard()) == said, "it was above before"


def trainer_with(rank: int = 0, **values: float) -> Any:
    """As much of a trainer as a watch asks for."""
    strategy = SimpleNamespace(reduce_boolean_decision=lambda stop, all: stop)
    return SimpleNamespace(
        callback_metrics={name.replace("__", "/"): torch.tensor(value) for name, value in values.items()},
        is_global_zero=rank == 0, global_step=1000, current_epoch=7, sanity_checking=False, should_stop=False,
        strategy=strategy, state=SimpleNamespace(fn="fit"), logger=None,
    )  # fmt: skip


def follow(watch: OverfitWatch, gaps: list[float], rank: int = 0) -> list[bool]:
    """Whether the training is told to end after each of these epochs."""
    stops = []
    for gap in gaps:
        trainer = trainer_with(rank, train__map_at_r=0.3 + gap, val__map_at_r=0.3)
        watch.on_validation_end(trainer, nn.Identity())  # type: ignore[arg-type]
        stops.append(trainer.should_stop)
    return stops


def test_one_warning_a_crossing_also_over_a_resume(heard: Any) -> None:
    watch = OverfitWatch("map_at_r", 0.2, patience=2)
    assert not any(follow(watch, [0.1, 0.25, 0.5, 0.15, 0.3]))
    assert len(heard()) == 2 and "map_at_r 0.550" in heard()[0] and "0.250 above" in heard()[0]
    resumed = OverfitWatch("map_at_r", 0.2, patience=2)
    resumed.load_state_dict(watch.state_dict())
    follow(resumed, [0.3, 0.3])
    assert len(heard()) == 2
    follow(resumed, [0.0, 0.3])
    assert len(heard()) == 3


def test_few_queries_have_to_be_further_apart(heard: Any) -> None:
    assert standard_error(0.6, 0.4, 200, 50) == pytest.approx(math.sqrt(0.56 * 0.44 * (1 / 200 + 1 / 50)))
    assert standard_error(1.0, 1.0, 5, 5) == 0 == standard_error(0.6, 0.4, None, 50)
    random = np.random.default_rng(0)
    drawn = random.binomial(52, 0.25, 20_000) / 52 - random.binomial(10, 0.25, 20_000) / 10
    assert standard_error(0.25, 0.25, 52, 10) == pytest.approx(drawn.std(), rel=0.02)
    for queries, said in ((10.0, 0), (100.0, 1)):
        trainer = trainer_with(train__mrr=0.4, val__mrr=0.15, train__queries=52.0, val__queries=queries)
        OverfitWatch("mrr").on_validation_end(trainer, nn.Identity())  # type: ignore[arg-type]
        assert len(heard()) == said


def test_patience_counts_epochs_in_a_row_on_every_process_and_one_of_them_speaks(heard: Any) -> None:
    gaps = [0.3, 0.3, 0.1, 0.3, 0.3, 0.3]
    expected = [False, False, False, False, False, True]
    assert follow(OverfitWatch("map_at_r", stop=True), gaps, rank=1) == expected and heard() == []
    assert follow(OverfitWatch("map_at_r", stop=True), gaps) == expected and len(heard()) == 3


def test_without_both_figures_nothing_is_said(heard: Any) -> None:
    watch = OverfitWatch("map_at_r", stop=True, patience=1)
    for values in ({"train__map_at_r": 1.0}, {"train__map_at_r": 1.0, "val__map_at_r": math.nan}, {}):
        trainer = trainer_with(**values)
        watch.on_validation_end(trainer, nn.Identity())  # type: ignore[arg-type]
        assert not trainer.should_stop and heard() == []


def test_without_a_validation_side_both_are_silent(shoes: Path, tmp_path: Path, heard: Any) -> None:
    watches = [OverfitWatch(threshold=0.01, stop=True, patience=1), CollapseWatch(after_steps=0, min_rank=99)]
    _, trainer = fit(tmp_path, data_of(shoes, val=0.0), resnet(), watches, epochs=2, monitor=None)
    assert heard() == [] and trainer.current_epoch == 2


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


@pytest.mark.parametrize("kind", list(MODELS))
def test_healthy_trainings_hear_nothing(kind: str, shoes: Path, tmp_path: Path, heard: Any) -> None:
    pl.seed_everything(0, verbose=False)
    watches = [OverfitWatch(), CollapseWatch(after_steps=1)]
    notebook, _ = fit(tmp_path, data_of(shoes, Augmentation()), MODELS[kind](), watches, epochs=3)
    assert heard() == [] and notebook.tags == {}
    for name in (*(f"val/{name}" for name in SPACE_NAMES), "gap/loss", "gap/precision_at_1"):
        assert len(notebook.series(name)) == 3, f"{kind} has no {name}"


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


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: OverfitWatch(threshold=0.0), "overfit.threshold=0.0"),
        (lambda: OverfitWatch(threshold=math.nan), "overfit.threshold=nan"),
        (lambda: OverfitWatch(patience=0), "overfit.patience=0"),
        (lambda: CollapseWatch(max_mean_cosine=98), "collapse.max_mean_cosine=98"),
        (lambda: CollapseWatch(one_point=1.1), "collapse.one_point=1.1"),
        (lambda: CollapseWatch(min_active=1.5), "collapse.min_active=1.5"),
    ],
)
def test_limits_that_cannot_be_are_sentences(make: Any, key: str) -> None:
    with pytest.raises(LensError, match=key):
        make()


def test_a_metric_that_nobody_measures_is_refused_before_the_run() -> None:
    parts: list[pl.Callback] = [RetrievalEvaluation((1, 5)), OverfitWatch("map_at_r")]
    check_monitor("val/precision_at_1", parts)
    for wrong in ("map_at_R", "val/map_at_r", "precision_at_10"):
        with pytest.raises(
            LensError, match=f"callbacks.overfit.metric={wrong}.*nearest is (map|precision)_at_"
        ):
            check_monitor("val/precision_at_1", [parts[0], OverfitWatch(wrong)])


def test_two_metrics_are_watched_at_once(shoes: Path, tmp_path: Path, heard: Any) -> None:
    watches = [OverfitWatch(threshold=9), OverfitWatch("map_at_r", threshold=9)]
    _, trainer = fit(tmp_path, data_of(shoes), resnet(), watches, epochs=1)
    assert len({watch.state_key for watch in watches}) == 2
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file() and heard() == []
