"""A training under the eyes of a search: its validation figure after each epoch, and its early end."""

import math
from collections.abc import Callable

import pytorch_lightning as pl

Report = Callable[[int, float], bool]
"""Takes the epochs trained so far, from 1, and the figure; True ends the training."""


class Watch(pl.Callback):
    """Reports the monitored figure after each validation and ends a training that is not worth going on with.

    After the last epoch there is nothing left to save, and the training counts as whole. A figure that is not finite
    is not reported.

    Args:
        monitor: a validation metric, higher is better.
        report: see Report.
    """

    def __init__(self, monitor: str, report: Report) -> None:
        self.monitor, self.report = monitor, report
        self.values: list[float] = []
        self.pruned = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        value, epochs = float(trainer.callback_metrics[self.monitor]), trainer.current_epoch + 1
        if not math.isfinite(value):
            return
        self.values.append(value)
        if self.report(epochs, value) and epochs < (trainer.max_epochs or 0):
            self.pruned = trainer.should_stop = True
