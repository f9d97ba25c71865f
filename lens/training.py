"""The Lightning Trainer of a run: precision by hardware, checkpoints that survive, one place for its files."""

import difflib
import logging
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, RichModelSummary, TQDMProgressBar

from lens.callbacks.checkpoints import (
    AtomicCheckpointIO,
    BestCheckpoint,
    Interruption,
    RandomState,
    StepCheckpoint,
)
from lens.callbacks.retrieval import RetrievalEvaluation
from lens.callbacks.watch import OverfitWatch
from lens.errors import LensError

log = logging.getLogger(__name__)

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]


def hardware_precision(accelerator: str) -> str:
    """``bf16-mixed`` where the processor that will train computes in bfloat16, else ``32-true``."""
    if accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available()):
        return "bf16-mixed" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "32-true"
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "amx", "arm_bf16"))
    return "bf16-mixed" if native else "32-true"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """The context in which a run of this precision setting computed its embeddings."""
    chosen = hardware_precision(device.type) if precision == "auto" else precision
    kind = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(chosen)
    return nullcontext() if kind is None else torch.autocast(device.type, kind)


def join_processes(strategy: str, accelerator: str) -> None:
    """Make the processes that torchrun started one group; nothing happens on one process.

    Raises:
        LensError: several processes with a strategy for one, or the reverse; a GPU is asked for and there is none.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise LensError("trainer.accelerator=gpu: torch finds no GPU here; use trainer=cpu or trainer=auto.")
    if strategy.startswith("ddp") and "LOCAL_RANK" not in os.environ:
        raise LensError(
            "trainer=ddp is started by torchrun, one process a device: "
            "torchrun --nproc-per-node=N train.py trainer=ddp ..."
        )
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or torch.distributed.is_initialized():
        return
    if not strategy.startswith("ddp"):
        raise LensError(
            "torchrun started several processes, each of which would train alone; add trainer=ddp."
        )
    on_gpu = torch.cuda.is_available() and accelerator != "cpu"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if on_gpu else "gloo")


def agree(value: str | None) -> str | None:
    """Rank zero's value on every process of the group; the value itself on one process."""
    if not torch.distributed.is_initialized():
        return value
    held = [value]
    torch.distributed.broadcast_object_list(held, src=0)
    return held[0]


def check_monitor(monitor: str, callbacks: list[pl.Callback]) -> None:
    """Refuse a metric that no callback will log, also for watching. Raises LensError with the nearest one that is."""
    known = [name for part in callbacks if isinstance(part, RetrievalEvaluation) for name in part.names]
    if not known:
        raise LensError("The best checkpoint is chosen by callbacks.retrieval; it cannot be turned off.")
    if monitor not in known:
        nearest = difflib.get_close_matches(monitor, known, 1, 0.0)[0]
        raise LensError(
            f"monitor={monitor}: no validation metric of that name; nearest is {nearest} ({', '.join(known)})."
        )
    for part in callbacks:
        if isinstance(part, OverfitWatch) and f"val/{part.metric}" not in known:
            nearest = difflib.get_close_matches(f"val/{part.metric}", known, 1, 0.0)[0].removeprefix("val/")
            raise LensError(
                f"callbacks.overfit.metric={part.metric}: no retrieval metric of that name; nearest is {nearest}; "
                "or set callbacks.overfit=null."
            )


def build_trainer(
    folder: Path,
    monitor: str | None,
    callbacks: list[pl.Callback],
    logger: Any,
    max_epochs: int = 10,
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    devices: int | str = "auto",
    strategy: str = "auto",
    num_nodes: int = 1,
    precision: Precision = "auto",
    accumulate_grad_batches: int = 1,
    gradient_clip: float | None = None,
    checkpoint_steps: int = 100,
    log_steps: int = 1,
    limit_train_batches: int | float | None = None,
    deterministic: bool = False,
    progress: bool = True,
) -> pl.Trainer:
    """A Trainer that keeps ``folder/checkpoints/best.ckpt`` (by validation only) and ``last.ckpt``.

    Args:
        folder: where the run's files go.
        monitor: the validation metric, higher is better, that chooses the best checkpoint and stops early; None where
            there is no validation side: nothing stops early, and the last checkpoint stands for the best.
        precision: ``auto`` is bf16 where the hardware has it.
        checkpoint_steps: a killed run loses at most this many steps.
        limit_train_batches: batches of an epoch (a number), or the share of them (a fraction); None is all.

    Raises:
        LensError: a number that cannot be.
    """
    for name, value in (
        ("max_epochs", max_epochs),
        ("accumulate_grad_batches", accumulate_grad_batches),
        ("checkpoint_steps", checkpoint_steps),
        ("log_steps", log_steps),
    ):
        if value < 1:
            raise LensError(f"trainer.{name}={value}: it must be at least 1.")
    if limit_train_batches is not None and limit_train_batches <= 0:
        raise LensError(
            f"trainer.limit_train_batches={limit_train_batches}: give a number above 0, or null for all."
        )
    if strategy.startswith("ddp"):  # torchrun has already said how many there are
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        num_nodes = int(os.environ["WORLD_SIZE"]) // devices
    if monitor is None:
        log.warning(
            "There is no validation side that a search could be judged on: nothing stops early, and the last epoch "
            "is tested and exported."
        )
        callbacks = [part for part in callbacks if not isinstance(part, EarlyStopping)]
    checkpoints = folder / "checkpoints"
    keep = [
        BestCheckpoint(
            checkpoints,
            "best",
            monitor=monitor,
            mode="max",
            every_n_epochs=1,
            save_weights_only=True,
            enable_version_counter=False,
        ),
        StepCheckpoint(
            checkpoints, "last", every_n_train_steps=checkpoint_steps, enable_version_counter=False
        ),
        ModelCheckpoint(checkpoints, "last", every_n_epochs=1, enable_version_counter=False),
        RandomState(),
        Interruption(checkpoints / "last.ckpt"),
    ]
    shown: list[pl.Callback] = (
        [TQDMProgressBar(leave=True), RichModelSummary(max_depth=1)] if progress else []
    )
    chosen = hardware_precision(accelerator) if precision == "auto" else precision
    return pl.Trainer(
        max_epochs=max_epochs,
        accelerator=accelerator,
        devices=devices,
        strategy=strategy,
        num_nodes=num_nodes,
        precision=chosen,  # type: ignore[arg-type]
        accumulate_grad_batches=accumulate_grad_batches,
        gradient_clip_val=gradient_clip,
        limit_train_batches=limit_train_batches,
        limit_val_batches=0 if monitor is None else None,
        deterministic=deterministic,
        callbacks=[*callbacks, *shown, *keep],
        logger=logger or False,
        default_root_dir=folder,
        plugins=[AtomicCheckpointIO()],
        log_every_n_steps=log_steps,
        num_sanity_val_steps=0,
        sync_batchnorm=strategy.startswith("ddp") and accelerator != "cpu" and torch.cuda.is_available(),
        use_distributed_sampler=False,  # the project's samplers know their rank
        enable_progress_bar=progress,
        enable_model_summary=progress,
    )
