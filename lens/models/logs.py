"""The figures of a step, under the same names for every model."""

import pytorch_lightning as pl
from torch import Tensor


def log_step(model: pl.LightningModule, stage: str, size: int, loss: Tensor, **more: Tensor) -> None:
    """Log ``STAGE/loss`` and more scalars of one batch of ``size`` pictures.

    Training logs each step and the mean of each epoch, over all processes; validation and test only the mean.
    """
    for name, value in {"loss": loss, **more}.items():
        model.log(
            f"{stage}/{name}",
            value,
            batch_size=size,
            on_step=stage == "train",
            on_epoch=True,
            prog_bar=name == "loss",
            sync_dist=True,
        )
