"""What a search may choose: the settings of several values on its command line, as Optuna's distributions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from lens.config import Swept, read_words
from lens.errors import LensError

MOST_COMBINATIONS = 10_000
"""Of more, repeats are too rare to look for."""


@dataclass(frozen=True)
class Dimension:
    """One setting that is searched over."""

    word: Swept

    @property
    def name(self) -> str:
        """The setting, without the `+` of one that the YAML does not list."""
        return self.word.key.lstrip("+")

    @cached_property
    def distribution(self) -> BaseDistribution:
        """A choice holds the texts of the command line, numbers hold numbers."""
        word = self.word
        if word.kind == "choice":
            return CategoricalDistribution(word.texts)
        if word.whole:
            return IntDistribution(int(word.low), int(word.high), log=word.log, step=int(word.step or 1))
        return FloatDistribution(float(word.low), float(word.high), log=word.log, step=word.step)

    @property
    def scale(self) -> str:
        """choice, log or linear."""
        return "choice" if self.word.kind == "choice" else "log" if self.word.log else "linear"

    def text(self, value: Any) -> str:
        """A value as the command line gives it; one between two steps gets no digits that nobody wrote."""
        if self.word.kind == "choice":
            return str(value)
        if self.word.whole:
            return str(int(value))
        return repr(float(value)) if self.word.step is None else repr(float(f"{value:.12g}"))

    def values(self) -> list[Any] | None:
        """All values, or None where there are more than anybody could try."""
        word = self.word
        if word.kind == "choice":
            return list(word.texts)
        if word.step is None or (word.high - word.low) / word.step > MOST_COMBINATIONS:
            return None
        count = round((word.high - word.low) / word.step) + 1
        return [word.low + place * word.step for place in range(count)]

    def samples(self) -> list[Any]:
        """A few values that a check of the configuration should see: each choice; the ends and something between."""
        word = self.word
        if word.kind == "choice":
            return list(word.texts)
        if word.step is not None:
            return [word.low, word.high]
        middle = math.sqrt(word.low * word.high) if word.log else word.low + 0.37 * (word.high - word.low)
        return [word.low, middle, word.high]


@dataclass(frozen=True)
class Space:
    """The words of a training in their order, some of them still open."""

    items: tuple[str | Dimension, ...]

    @property
    def dimensions(self) -> list[Dimension]:
        """What is open."""
        return [item for item in self.items if isinstance(item, Dimension)]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What is open, for Optuna."""
        return {item.name: item.distribution for item in self.dimensions}

    def words(self, values: Mapping[str, Any]) -> list[str]:
        """The command line of a training with these values."""
        return [
            item if isinstance(item, str) else f"{item.word.key}={item.text(values[item.name])}"
            for item in self.items
        ]

    def texts(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """The values as texts, in the order of the dimensions: equal where the trainings would be."""
        return tuple(item.text(values[item.name]) for item in self.dimensions)

    def combinations(self) -> list[dict[str, Any]] | None:
        """All combinations of values, or None where there are more than can be listed."""
        names = [item.name for item in self.dimensions]
        found = [item.values() for item in self.dimensions]
        known = [values for values in found if values is not None]
        if len(known) < len(found) or math.prod(map(len, known)) > MOST_COMBINATIONS:
            return None
        return [dict(zip(names, values, strict=True)) for values in product(*known)]

    def points(self) -> list[dict[str, Any]]:
        """Combinations that hold every sample of every dimension at least once."""
        samples = {item.name: item.samples() for item in self.dimensions}
        count = max(map(len, samples.values()))
        return [
            {name: values[place % len(values)] for name, values in samples.items()} for place in range(count)
        ]


def read_space(words: Sequence[str], config_path: Path, config_dir: str | None = None) -> Space:
    """The space of a command line. Raises LensError where nothing is open, or something that cannot be."""
    items = [
        Dimension(word) if isinstance(word, Swept) else word
        for word in read_words(words, config_path, config_dir)
    ]
    space = Space(tuple(items))
    if not space.dimensions:
        raise LensError(
            "Nothing to search over: give a setting several values, such as "
            "'model.learning_rate=tag(log,interval(1e-4,1e-2))'; see python tune.py --help."
        )
    for item in space.dimensions:
        if item.name.partition(".")[0] in ("monitor", "logger"):
            raise LensError(
                f"{item.word.given}: all trials of a search are judged and kept alike; give one value."
            )
    return space
