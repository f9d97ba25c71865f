"""Small trainings for the tests of the watches, and a logger that remembers."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger

from lens.callbacks import RetrievalEvaluation
from lens.data.augment import Augmentation
from lens.data.module import ShoppingData
from lens.data.sources import read_rendered
from lens.models.autoencoder import Autoencoder
from lens.models.clip import ContrastiveCLIP
from lens.models.resnet import TripletResNet
from lens.models.vit import MaskedPatchViT
from lens.training import build_trainer

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


def trainer_with(rank: int = 0, **values: float) -> Any:
    """As much of a trainer as a watch asks for."""
    strategy = SimpleNamespace(reduce_boolean_decision=lambda stop, all: stop)
    return SimpleNamespace(
        callback_metrics={name.replace("__", "/"): torch.tensor(value) for name, value in values.items()},
        is_global_zero=rank == 0, global_step=1000, current_epoch=7, sanity_checking=False, should_stop=False,
        strategy=strategy, state=SimpleNamespace(fn="fit"), logger=None,
    )  # fmt: skip
