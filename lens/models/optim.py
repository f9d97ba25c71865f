"""Adam or AdamW with a linear warm-up, then a constant or a cosine learning rate."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lens.errors import LensError

OptimizerName = Literal["adam", "adamw"]
Schedule = Literal["constant", "cosine"]


def learning_rate_factor(step: int, total_steps: int, warmup_steps: int, schedule: Schedule) -> float:
    """The share of the full learning rate at ``step`` (counted from 0): linear warm-up, then the schedule."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if schedule == "constant":
        return 1.0
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


@dataclass(frozen=True)
class Optimization:
    """How a model is trained: a fused optimiser, and a schedule stepped every batch.

    Raises:
        LensError: a rate, a decay or a number of steps that cannot be.
    """

    learning_rate: float
    optimizer: OptimizerName
    weight_decay: float
    warmup_steps: int
    schedule: Schedule

    def __post_init__(self) -> None:
        for name in ("learning_rate", "weight_decay", "warmup_steps"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise LensError(f"model.{name}={value}: it must be a number from 0.")

    def configure(
        self, groups: Iterable[nn.Parameter] | list[dict[str, Any]], total_steps: int
    ) -> dict[str, Any]:
        """What ``configure_optimizers`` returns.

        ``groups`` are parameters, or torch parameter groups that may carry a learning rate of their own.
        """
        kind: type[Optimizer] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.optimizer]
        made = kind(groups, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)  # type: ignore[call-arg]
        scheduler = LambdaLR(
            made, lambda step: learning_rate_factor(step, total_steps, self.warmup_steps, self.schedule)
        )
        return {"optimizer": made, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
