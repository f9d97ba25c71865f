"""Overfitting is told once a crossing, and by option ends the training; healthy trainings hear nothing."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
from torch import nn

from lens.callbacks import CollapseWatch, OverfitWatch, RetrievalEvaluation
from lens.callbacks.watch import standard_error
from lens.data.augment import Augmentation
from lens.errors import LensError
from lens.metrics.space import SPACE_NAMES
from lens.training import check_monitor
from tests.callbacks.watched import MODELS, data_of, fit, resnet, trainer_with


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


@pytest.mark.parametrize("kind", list(MODELS))
def test_healthy_trainings_hear_nothing(kind: str, shoes: Path, tmp_path: Path, heard: Any) -> None:
    pl.seed_everything(0, verbose=False)
    watches = [OverfitWatch(), CollapseWatch(after_steps=1)]
    notebook, _ = fit(tmp_path, data_of(shoes, Augmentation()), MODELS[kind](), watches, epochs=3)
    assert heard() == [] and notebook.tags == {}
    for name in (*(f"val/{name}" for name in SPACE_NAMES), "gap/loss", "gap/precision_at_1"):
        assert len(notebook.series(name)) == 3, f"{kind} has no {name}"


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
