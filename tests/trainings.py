"""Small trainings as train.py puts them together, and a callback that notes or ends them."""

from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from lens.callbacks import RetrievalEvaluation
from lens.data.augment import Augmentation
from lens.data.module import ShoppingData
from lens.data.sources import read_rendered
from lens.models.clip import ContrastiveCLIP
from lens.models.resnet import TripletResNet
from lens.models.vit import MaskedPatchViT
from lens.training import build_trainer

EPOCHS = 3


SMALL_CLIP = {
    "patch_size": 16, "vision_size": 16, "vision_layers": 1, "vision_heads": 2, "text_size": 16, "text_layers": 1,
    "text_heads": 2, "context": 16, "projection_size": 8,
}  # fmt: skip


class Killed(Exception):
    """Stands for a process that is gone: nothing of it is asked to tidy up."""


class Watch(pl.Callback):
    """Notes the rows of each batch; dies after `kill_after` steps, at the end of the batch or of the epoch."""

    def __init__(self, kill_after: int | None = None, at: str = "start") -> None:
        self.kill_after, self.at = kill_after, at
        self.seen: list[tuple[int, tuple[int, ...]]] = []
        self.evaluated: list[int] = []

    def on_train_batch_start(self, trainer: Any, model: Any, batch: Any, batch_idx: int) -> None:
        if self.at == "start" and trainer.global_step == self.kill_after:
            raise Killed
        self.seen.append((trainer.current_epoch, tuple(batch["index"].tolist())))

    def on_validation_start(self, trainer: Any, model: Any) -> None:
        if self.at == "validation" and trainer.global_step == self.kill_after:
            raise Killed

    def on_validation_epoch_end(self, trainer: Any, model: Any) -> None:
        self.evaluated.append(trainer.current_epoch)


def data_of(shoes: Path, sampler: str, seed: int = 0, **more: Any) -> ShoppingData:
    read = partial(read_rendered, shoes, items=72, views_per_product=2, render_size=32)
    return ShoppingData(
        read, image_size=32, batch_size=8, sampler=sampler, images_per_class=2, augment=Augmentation(), workers=0,
        seed=seed, progress=False, **more,
    )  # fmt: skip


def model_of(kind: str) -> Any:
    if kind == "vit":
        return MaskedPatchViT(
            32, 8, 16, layers=1, heads=2, weights="random", learning_rate=1e-3, schedule="cosine"
        )
    if kind == "clip":
        return ContrastiveCLIP(32, **SMALL_CLIP, weights="random", learning_rate=1e-3, warmup_steps=3)
    return TripletResNet("tiny", "random", mining=["batch_all", "semi_hard"], learning_rate=1e-3)


SAMPLER = {"vit": "shuffled", "clip": "balanced", "resnet": "balanced"}


def fit(
    shoes: Path,
    folder: Path,
    kind: str,
    watch: Watch | None = None,
    resume: bool = False,
    seed: int = 0,
    **more: Any,
) -> tuple[Any, pl.Trainer]:
    """One training as train.py puts it together."""
    pl.seed_everything(seed, verbose=False)
    data = data_of(shoes, SAMPLER[kind], seed)
    data.setup()
    model = model_of(kind)
    callbacks: list[pl.Callback] = [RetrievalEvaluation((1,)), *([watch] if watch else [])]
    settings = {
        "max_epochs": EPOCHS,
        "checkpoint_steps": 2,
        "accelerator": "cpu",
        "precision": "32-true",
    } | more
    trainer = build_trainer(
        folder, "val/precision_at_1", callbacks, None, devices=1, progress=False, **settings
    )
    checkpoint = folder / "checkpoints" / "last.ckpt" if resume else None
    trainer.fit(model, data, ckpt_path=checkpoint, weights_only=None)
    return model, trainer


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)
