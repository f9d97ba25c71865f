from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lens.callbacks.checkpoints import AtomicCheckpointIO, RandomState
from lens.callbacks.speed import Speed


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, target)
    with pytest.raises(Exception, match="(?i)pickle|lambda|local"):
        AtomicCheckpointIO().save_checkpoint({"step": lambda: 2}, target)
    assert torch.load(target) == {"step": 1}


def test_the_random_state_is_put_back_once_at_the_first_step() -> None:
    torch.manual_seed(3)
    state = RandomState().state_dict()
    expected = torch.rand(4)
    restoring = RandomState()
    restoring.load_state_dict(state)
    torch.manual_seed(99)
    nothing: Any = None
    restoring.on_train_batch_start(nothing, nothing, nothing, 0)
    torch.testing.assert_close(torch.rand(4), expected)
    after = torch.get_rng_state()
    restoring.on_train_batch_start(nothing, nothing, nothing, 1)
    assert torch.equal(after, torch.get_rng_state())


def test_speed_is_counted_within_an_epoch_only() -> None:
    logged: list[tuple[str, float]] = []
    trainer: Any = SimpleNamespace(optimizers=[SimpleNamespace(param_groups=[{"lr": 0.5}])])
    model: Any = SimpleNamespace(log=lambda name, value, **_: logged.append((name, value)))
    speed = Speed()
    for _ in range(2):
        speed.on_train_epoch_start(trainer, model)
        for step in range(3):
            speed.on_train_batch_end(trainer, model, None, {"image": torch.zeros(4, 3, 2, 2)}, step)
    rates = [value for name, value in logged if name == "train/images_per_second"]
    assert len(rates) == 4 and min(rates) > 0
    assert [value for name, value in logged if name == "train/learning_rate"] == [0.5] * 6
