"""Checkpoints that survive a kill, and runs that go on exactly where they stopped."""

import os
import signal
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames: a kill leaves the old checkpoint or the new one, never half of one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}.new")
        torch.save(checkpoint, fresh)
        os.replace(fresh, target)


class BestCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint that knows its best one again after the folder was moved or fetched from elsewhere."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        here = Path(self.dirpath or ".")
        names = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: str(here / Path(state_dict[name]).name) for name in names if state_dict.get(name)}
        models = {str(here / Path(path).name): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": models, "dirpath": self.dirpath})


class StepCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint every so many steps, except after the last of an epoch.

    A resume from there would leave out the epoch's evaluation; the checkpoint at the end of the epoch follows it.
    """

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        if not trainer.is_last_batch:
            super().on_train_batch_end(trainer, *args, **kwargs)


class RandomState(pl.Callback):
    """Keeps torch's random state in the checkpoint and restores it before the first step after a resume.

    Not earlier: evaluation and set-up in between may draw numbers too.
    """

    def __init__(self) -> None:
        self._restore: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state_all()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restore = state_dict

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._restore is None:
            return
        torch.set_rng_state(self._restore["cpu"].cpu())
        if torch.cuda.is_available() and len(self._restore.get("cuda", ())) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([state.cpu() for state in self._restore["cuda"]])
        self._restore = None


class Interruption(Checkpoint):
    """On Ctrl-C or SIGTERM finishes the step (or the evaluation) at hand, saves a checkpoint and leaves.

    Give it after the other checkpoint callbacks: Lightning calls these last and in order, so the best is chosen first.
    A second signal leaves at once; then the last regular checkpoint is what a resume starts from.

    Args:
        path: the checkpoint, the one a resume reads.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            raise SystemExit(128 + number)
        self._received = number

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Gradients gathered for a step that is not made yet are not in a checkpoint. And after the last step of an
        # epoch its validation comes first, or its figures would be lost.
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0 and not trainer.is_last_batch:
            self._leave(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._leave(trainer)

    def _leave(self, trainer: pl.Trainer) -> None:
        stop = self._received is not None
        if trainer.world_size > 1:  # processes hear of it at different steps; a checkpoint takes all
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        if stop:
            trainer.save_checkpoint(self.path)
            raise SystemExit(128 + (self._received or signal.SIGTERM))

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
