"""What the Trainer of a run refuses, and what it chooses by the hardware."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from lens.callbacks import RetrievalEvaluation
from lens.errors import LensError
from lens.training import build_trainer, check_monitor, hardware_precision, join_processes


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"strategy": "ddp"}, "torchrun"),
        pytest.param(
            {"accelerator": "gpu"},
            "no GPU",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU"),
        ),
    ],
)
def test_hardware_that_is_not_there_is_a_sentence(how: Any, sentence: str, monkeypatch: Any) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(LensError, match=sentence):
        join_processes(**({"strategy": "auto", "accelerator": "auto"} | how))


def test_processes_of_torchrun_do_not_each_train_alone(monkeypatch: Any) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(LensError, match="trainer=ddp"):
        join_processes("auto", "cpu")


@pytest.mark.parametrize(
    "wrong",
    [{"max_epochs": 0}, {"max_epochs": -1}, {"accumulate_grad_batches": 0}, {"limit_train_batches": 0},
     {"limit_train_batches": -1}, {"checkpoint_steps": 0}],
)  # fmt: skip
def test_numbers_that_cannot_be_are_sentences(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(LensError, match=f"trainer.{next(iter(wrong))}="):
        build_trainer(tmp_path, "val/precision_at_1", [], None, **wrong)


def test_only_a_validation_metric_that_is_logged_chooses_the_checkpoint() -> None:
    parts: list[pl.Callback] = [RetrievalEvaluation((1, 10))]
    check_monitor("val/precision_at_10", parts)
    for wrong in ("val/precison_at_1", "val/loss", "train/precision_at_1", "val/precision_at_5"):
        with pytest.raises(LensError, match=r"nearest is val/\w+"):
            check_monitor(wrong, parts)
    with pytest.raises(LensError, match="callbacks.retrieval"):
        check_monitor("val/precision_at_1", [])


def test_precision_follows_the_hardware() -> None:
    assert hardware_precision("cpu") in ("32-true", "bf16-mixed")
