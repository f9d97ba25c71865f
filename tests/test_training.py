"""Real runs: the same seed, a stop in the middle, a signal, and what is left behind."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping

from lens.callbacks import ExportIndex, RetrievalEvaluation
from lens.callbacks.retrieval import embed_rows, score_rows
from lens.data import module
from lens.index import load
from lens.training import build_trainer
from tests.trainings import EPOCHS, Killed, Watch, data_of, fit, model_of, same_weights


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_lightning: None) -> None:
    monkeypatch.setattr(module, "SCAN_CACHE", tmp_path / "images.parquet")


@pytest.fixture(scope="module")
def whole(shoes: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Trainings that nothing stopped, one of each kind: model, its batches, its trainer."""
    made: dict[str, Any] = {}

    def of(kind: str) -> tuple[Any, Watch, pl.Trainer]:
        if kind not in made:
            watch = Watch()
            model, trainer = fit(shoes, tmp_path_factory.mktemp("whole"), kind, watch)
            made[kind] = model, watch, trainer
        return made[kind]  # type: ignore[no-any-return]

    return of


def steps_per_epoch(watch: Watch) -> int:
    return len([1 for epoch, _ in watch.seen if epoch == 0])


@pytest.mark.parametrize("kind", ["vit", "resnet", "clip"])
@pytest.mark.parametrize(
    "where", ["middle of the second epoch", "end of the first", "just after it", "validation"]
)
def test_a_killed_training_goes_on_to_the_same_weights(
    kind: str, where: str, shoes: Path, whole: Any, tmp_path: Path
) -> None:
    model, watch, trainer = whole(kind)
    steps = steps_per_epoch(watch)
    assert steps >= 4, "too short an epoch to be stopped in its middle"
    kill, at, every = {
        "middle of the second epoch": (steps + 3, "start", 2),
        "end of the first": (steps, "start", 1000),
        "just after it": (steps + 1, "start", 1000),
        "validation": (2 * steps, "validation", 1),
    }[where]
    first, second = Watch(kill, at), Watch()
    with pytest.raises(Killed):
        fit(shoes, tmp_path, kind, first, checkpoint_steps=every)
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=False)
    done = saved["global_step"]
    assert done == {"middle of the second epoch": (kill // 2) * 2, "validation": kill - 1}.get(where, steps)
    resumed, again = fit(shoes, tmp_path, kind, second, resume=True, checkpoint_steps=every)
    assert second.seen == watch.seen[done:], "a batch was lost, repeated or in another order"
    assert same_weights(resumed, model)
    assert again.global_step == trainer.global_step == EPOCHS * steps
    assert first.evaluated + second.evaluated == list(range(EPOCHS)), "an evaluation was lost or repeated"
    assert again.checkpoint_callback.best_model_score == trainer.checkpoint_callback.best_model_score


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    shoes: Path, whole: Any, tmp_path: Path
) -> None:
    model, watch, _ = whole("resnet")  # seed 0, which is a seed as good as any
    again, other_watch = Watch(), Watch()
    repeated, _ = fit(shoes, tmp_path / "a", "resnet", again)
    assert again.seen == watch.seen and same_weights(repeated, model)
    other, _ = fit(shoes, tmp_path / "b", "resnet", other_watch, seed=1)
    assert other_watch.seen != watch.seen and not same_weights(other, model)


def test_a_step_sees_each_training_picture_once_in_an_epoch_of_shuffled_batches(whole: Any) -> None:
    _, watch, trainer = whole("vit")
    for epoch in range(EPOCHS):
        rows = [row for when, batch in watch.seen for row in batch if when == epoch]
        assert sorted(rows) == list(trainer.datamodule.rows("train"))


def test_a_resumed_training_can_be_made_longer(shoes: Path, tmp_path: Path) -> None:
    fit(shoes, tmp_path, "resnet", max_epochs=1)
    watch = Watch()
    _, trainer = fit(shoes, tmp_path, "resnet", watch, resume=True, max_epochs=2)
    assert {epoch for epoch, _ in watch.seen} == {1} and trainer.current_epoch == 2


def test_a_moved_training_still_knows_its_best_checkpoint(shoes: Path, tmp_path: Path) -> None:
    fit(shoes, tmp_path / "here", "resnet", max_epochs=2)
    state = torch.load(tmp_path / "here" / "checkpoints" / "last.ckpt", weights_only=False)
    best = next(s for name, s in state["callbacks"].items() if name.startswith("BestCheckpoint"))
    (tmp_path / "here").rename(tmp_path / "there")
    _, trainer = fit(shoes, tmp_path / "there", "resnet", resume=True, max_epochs=2)
    kept = trainer.checkpoint_callback
    assert kept.best_model_path == str(tmp_path / "there" / "checkpoints" / "best.ckpt")  # type: ignore[union-attr]
    assert kept.best_model_score == best["best_model_score"]  # type: ignore[union-attr]


def test_a_training_stopped_after_its_last_epoch_has_its_best_checkpoint_still(
    shoes: Path, tmp_path: Path
) -> None:
    model, first = fit(shoes, tmp_path, "resnet", max_epochs=2)
    watch = Watch()
    resumed, trainer = fit(shoes, tmp_path, "resnet", watch, resume=True, max_epochs=2)
    assert watch.seen == [] and same_weights(model, resumed)
    assert trainer.checkpoint_callback.best_model_path == str(tmp_path / "checkpoints" / "best.ckpt")
    assert trainer.checkpoint_callback.best_model_score == first.checkpoint_callback.best_model_score


class Signal(pl.Callback):
    """Sends this process a signal in the middle of a step, or of an evaluation."""

    def __init__(self, number: signal.Signals, step: int, at: str) -> None:
        self.number, self.step, self.at = number, step, at

    def on_train_batch_start(self, trainer: Any, model: Any, batch: Any, batch_idx: int) -> None:
        if self.at == "half a step" and trainer.global_step == self.step:
            self.step = -1  # a second signal would end it at once
            os.kill(os.getpid(), self.number)

    def on_before_optimizer_step(self, trainer: Any, model: Any, optimizer: Any) -> None:
        if self.at == "step" and trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)

    def on_validation_batch_end(self, trainer: Any, *_: Any) -> None:
        if self.at == "evaluation" and trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)
            self.step = -1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("at", "step"), [("step", 8), ("step", 6), ("evaluation", 7)])
def test_a_signal_loses_no_step_and_no_evaluation(
    number: signal.Signals, at: str, step: int, shoes: Path, whole: Any, tmp_path: Path
) -> None:
    model, watch, trainer = whole("vit")
    assert steps_per_epoch(watch) == 7
    before = signal.getsignal(number)
    first, second = Watch(), Watch()
    pl.seed_everything(0, verbose=False)
    data = data_of(shoes, "shuffled")
    callbacks = [RetrievalEvaluation((1,)), first, Signal(number, step, at)]
    stopped = build_trainer(
        tmp_path, "val/precision_at_1", callbacks, None, max_epochs=EPOCHS, accelerator="cpu", devices=1,
        precision="32-true", progress=False,
    )  # fmt: skip
    with pytest.raises(SystemExit) as left:
        stopped.fit(model_of("vit"), data)
    assert left.value.code == 128 + number and signal.getsignal(number) is before
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=False)
    assert saved["global_step"] == len(first.seen) == (step + 1 if at == "step" else step)
    resumed, again = fit(shoes, tmp_path, "vit", second, resume=True)
    assert first.seen + second.seen == watch.seen and same_weights(resumed, model)
    assert first.evaluated + second.evaluated == list(range(EPOCHS))
    assert again.checkpoint_callback.best_model_score == trainer.checkpoint_callback.best_model_score


def test_a_step_of_several_batches_is_finished_first(shoes: Path, tmp_path: Path) -> None:
    more = {"accumulate_grad_batches": 2, "max_epochs": 2, "checkpoint_steps": 1000}
    whole, trainer = fit(shoes, tmp_path / "whole", "vit", **more)
    pl.seed_everything(0, verbose=False)
    stopped = build_trainer(
        tmp_path, "val/precision_at_1", [RetrievalEvaluation((1,)), Signal(signal.SIGTERM, 5, "half a step")], None,
        accelerator="cpu", devices=1, precision="32-true", progress=False, **more,
    )  # fmt: skip
    with pytest.raises(SystemExit):
        stopped.fit(model_of("vit"), data_of(shoes, "shuffled"))
    assert stopped.global_step == 6
    resumed, again = fit(shoes, tmp_path, "vit", resume=True, **more)
    assert same_weights(resumed, whole) and again.global_step == trainer.global_step


def test_the_index_holds_what_the_best_checkpoint_gives_and_the_test_is_scored_with_it(
    shoes: Path, tmp_path: Path
) -> None:
    pl.seed_everything(0, verbose=False)
    data, model = data_of(shoes, "balanced"), model_of("resnet")
    tested: list[int] = []

    class Count(pl.Callback):
        def on_test_start(self, trainer: Any, model: Any) -> None:
            tested.append(trainer.current_epoch)

    export = ExportIndex(tmp_path / "index", {"name": "r", "target": "t", "config": {"a": 1}}, None)
    trainer = build_trainer(
        tmp_path, "val/precision_at_1", [RetrievalEvaluation((1, 5)), export, Count()], None, max_epochs=3,
        accelerator="cpu", devices=1, precision="32-true", progress=False,
    )  # fmt: skip
    trainer.fit(model, data)
    last = {name: value.clone() for name, value in model.state_dict().items()}
    best = tmp_path / "checkpoints" / "best.ckpt"
    scores = trainer.test(model, data, ckpt_path=best, verbose=False, weights_only=None)[0]
    assert len(tested) == 1

    fresh = model_of("resnet")
    state = torch.load(best, weights_only=False)
    fresh.load_state_dict(state["state_dict"])
    assert same_weights(fresh, model)
    if state["epoch"] < 2:
        assert any(not torch.equal(value, last[name]) for name, value in fresh.state_dict().items())
    expected = embed_rows(trainer, fresh.eval(), np.arange(72))
    index = load(tmp_path / "index")
    np.testing.assert_allclose(index.vectors, expected, atol=1e-6)
    assert list(index.items["split"]) == list(data.side)
    rows = data.rows("test")
    brute = score_rows(data, rows, expected[rows], (1, 5)).metrics
    assert scores["test/precision_at_1"] == pytest.approx(brute["precision_at_1"])
    assert scores["test/queries"] + scores["test/excluded_queries"] == len(rows)
    assert list(data.pictures.catalogue.table["item_id"]) == list(index.items["item_id"])


def test_without_a_validation_side_the_last_epoch_is_the_best(
    shoes: Path, tmp_path: Path, caplog: Any
) -> None:
    pl.seed_everything(0, verbose=False)
    data = data_of(shoes, "balanced", val=0.0)
    data.setup()
    assert not data.judgeable("val") and data.judgeable("test")
    stop = EarlyStopping("val/precision_at_1", mode="max")
    trainer = build_trainer(
        tmp_path, None, [RetrievalEvaluation((1,)), stop], None, max_epochs=2, accelerator="cpu", devices=1,
        precision="32-true", progress=False,
    )  # fmt: skip
    model = model_of("resnet")
    trainer.fit(model, data)
    best = trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]
    assert Path(best).name == "best.ckpt" and "last epoch" in caplog.text
    state = torch.load(best, weights_only=False)
    assert state["epoch"] == 1 and all(
        torch.equal(v, state["state_dict"][k]) for k, v in model.state_dict().items()
    )
    assert trainer.test(model, data, ckpt_path=best, verbose=False, weights_only=None)[0]["test/queries"] > 0
