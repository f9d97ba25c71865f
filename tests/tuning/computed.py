"""Functions that can be computed in place of trainings."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import torch

from lens.callbacks.pruning import Watch
from lens.tuning.search import search
from lens.tuning.space import read_space
from lens.tuning.study import (
    Settings,
    create_study,
)

CONF = Path(__file__).parents[2] / "conf"
CONTINUOUS = [
    "model.learning_rate=tag(log,interval(1e-4,1e-1))",
    "model.margin=interval(0,1)",
    "trainer.max_epochs=range(3,9)",
]
Figure = Callable[[dict[str, str]], float]


class Killed(BaseException):
    """Stands for a process that is gone."""


def smooth(values: dict[str, str]) -> float:
    """Best at a rate of 1e-2 and a margin of 0.3."""
    return (
        1
        - abs(math.log10(float(values["model.learning_rate"])) + 2) / 3
        - abs(float(values["model.margin"]) - 0.3)
    )


class Trainings:
    """Trainings of `epochs` epochs that come to a figure; keeps the words it was given."""

    def __init__(self, figure: Figure, epochs: int = 3, die_at: int | None = None) -> None:
        self.figure, self.epochs, self.die_at = figure, epochs, die_at
        self.words: list[list[str]] = []
        self.lengths: list[int] = []

    def __call__(self, number: int, words: list[str], watch: Watch) -> float:
        if len(self.words) == self.die_at:
            raise Killed
        self.words.append(words)
        final = self.figure(dict(word.split("=") for word in words))
        for epoch in range(self.epochs):
            figures = {watch.monitor: torch.tensor(final * (epoch + 1) / self.epochs, dtype=torch.float64)}
            trainer: Any = SimpleNamespace(
                sanity_checking=False, callback_metrics=figures, current_epoch=epoch, max_epochs=self.epochs
            )
            watch.on_validation_end(trainer, trainer)
            if watch.pruned:
                break
        self.lengths.append(len(watch.values))
        return max(watch.values, default=0.0)


def study_of(settings: Settings) -> optuna.Study:
    """A study in memory, with the pruner of the settings."""
    return create_study(optuna.storages.InMemoryStorage(), "search", [], settings)  # type: ignore[arg-type]


def run(words: list[str], trainings: Trainings, **given: Any) -> tuple[optuna.Study, str]:
    settings = Settings(**{"pruning": "none", **given})
    study = study_of(settings)
    return study, search(study, read_space(words, CONF), settings, "val/precision_at_1", trainings)
