"""Images per second and the learning rate, as they are while training."""

import time
from typing import Any

import pytorch_lightning as pl


class Speed(pl.Callback):
    """Logs ``train/images_per_second`` (this process, loading included) and ``train/learning_rate`` every step."""

    def __init__(self) -> None:
        self._last: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = None  # the time between epochs is evaluation

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now, size = time.perf_counter(), len(batch["image"])
        if self._last is not None:
            pl_module.log("train/images_per_second", size / (now - self._last), batch_size=size)
        self._last = now
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        pl_module.log("train/learning_rate", rate, batch_size=size)
