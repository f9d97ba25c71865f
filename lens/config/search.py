"""The command line of a search: its own keys, the words of each training, and among these those of several values."""

from argparse import Namespace
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil, isfinite
from pathlib import Path
from typing import Any, Literal

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from lens.config import words
from lens.config.preflight import opened, parse_overrides
from lens.config.resume import as_text, hold_back, literal, quote
from lens.config.schema import TrainConfig, fields_of
from lens.errors import LensError

Number = int | float
_FINDS_IT = ("resume", "storage", "logger.uri", "logger.experiment")
_CHANGES = ("trials", "timeout")
_LAUNCH = ("hydra/launcher", "hydra/sweeper", "hydra.launcher", "hydra.sweeper", "hydra.mode")


@dataclass(frozen=True)
class Swept:
    """One word of a command line that gives several values.

    key: as it was typed, a leading `+` included; given: the whole word; texts: of a choice, each as a word would give
    it; low, high, step: of numbers, both ends included, step None where every number between is meant; whole: whether
    they are whole numbers; log: whether the search goes by their logarithm.
    """

    key: str
    given: str
    kind: Literal["choice", "numbers"]
    texts: tuple[str, ...] = ()
    low: Number = 0
    high: Number = 0
    step: Number | None = None
    whole: bool = False
    log: bool = False


def composed_words(args: Namespace, schema: type, groups: Collection[str]) -> list[str]:
    """The words that Hydra composes for a schema; the rest reach the task in `changes` or `words`.

    `groups` are the folders of choices. Raises LensError for what cannot be given together.
    """
    if "words" in fields_of(schema).hints:
        return _set_apart(args, schema, groups)
    return hold_back(args, schema, groups)


def _set_apart(args: Namespace, schema: type, groups: Collection[str]) -> list[str]:
    """A search's own words, and all others in its key `words`."""
    hints = {key: hint for key, hint in fields_of(schema).hints.items() if key != "words"}
    parsed = parse_overrides(args.overrides)
    if args.multirun:
        raise LensError("A search starts its trainings itself: leave out -m.")
    for word in parsed:
        _check_word(word, hints, groups)
    own = [word for word in parsed if word.key_or_group in hints or word.is_hydra_override()]
    others = [word for word in parsed if word not in own]
    resume = next((word for word in reversed(own) if word.key_or_group == "resume"), None)
    if resume is not None and not resume.is_delete() and resume.value() is not None:
        for word in parsed:
            if word.key_or_group not in (*_FINDS_IT, *_CHANGES) and not word.is_hydra_override():
                raise LensError(
                    f"{word.input_line}: a resumed search keeps its words; trials= and timeout= alone can change."
                )
    quoted = [quote(str(literal(word.input_line))) for word in others]
    return [*(as_text(word, hints) for word in own), f"++words=[{','.join(quoted)}]"]


def _check_word(word: Override, hints: Collection[str], groups: Collection[str]) -> None:
    """Refuse what a search has no use for, and a misspelt key of its own; the trainings' words are checked later."""
    key = word.key_or_group
    if key.startswith(_LAUNCH):
        raise LensError(
            f"{word.input_line}: the trainings of a search run one after another, in this process."
        )
    known = [*hints, *fields_of(TrainConfig).hints, *groups]
    if "." not in key and key not in known and set(words.nearest_keys(key, known)) & set(hints):
        raise LensError(words.unknown_key(key, known))
    if key in hints and word.is_sweep_override():
        raise LensError(f"{word.input_line}: one value only; a search is over settings of train.py.")


def read_words(given: Sequence[str], config_path: Path, config_dir: str | None = None) -> list[str | Swept]:
    """The words of a training in their order; those of several values as Swept, in Hydra's own sweep grammar.

    Raises LensError for values that cannot be searched over.
    """
    with opened(config_path, config_dir) as hydra:
        parsed = parse_overrides(given, hydra)
        keys = [word.key_or_group for word in parsed]
        found = [_swept(word) if word.is_sweep_override() else str(word.input_line) for word in parsed]
    for word, read in zip(parsed, found, strict=True):
        if isinstance(read, Swept) and keys.count(word.key_or_group) > 1:
            raise LensError(f"{read.given}: {word.key_or_group} is given twice.")
    return found


def _swept(word: Override) -> Swept:
    key, given, value = word.get_key_element(), str(word.input_line), word.value()
    tags: set[str] = getattr(value, "tags", set())
    if tags - {"log"}:
        raise LensError(f"{given}: the tag {min(tags - {'log'})} means nothing here; there is tag(log, ...).")
    if isinstance(value, RangeSweep):
        return _range(key, given, value)
    if isinstance(value, IntervalSweep):
        return _interval(key, given, value)
    if tags:
        raise LensError(f"{given}: log goes with numbers: tag(log,interval(LOW,HIGH)).")
    if isinstance(value, ChoiceSweep):
        value.shuffle = False  # an order by chance would make a resumed search another one
    texts = tuple(dict.fromkeys(word.sweep_string_iterator()))
    if len(texts) < 2:
        raise LensError(f"{given}: {texts[0] if texts else 'nothing'} is no choice; give two or more.")
    return Swept(key, given, "choice", texts)


def _interval(key: str, given: str, value: IntervalSweep) -> Swept:
    low, high = _ends(given, value.start, value.end)
    if low >= high:
        raise LensError(f"{given}: the interval goes from {low} to {high}; give the smaller end first.")
    whole = isinstance(low, int) and isinstance(high, int)
    log = _checked_log(given, value.tags, low)
    return Swept(key, given, "numbers", (), low, high, 1 if whole else None, whole, log)


def _range(key: str, given: str, value: RangeSweep) -> Swept:
    """The numbers that `train.py -m` would run: the last one lies before the stop."""
    start, stop = _ends(given, value.start, value.stop)
    step = value.step
    if not isfinite(step) or step == 0:
        raise LensError(f"{given}: the step must be a number other than 0.")
    exact = [Decimal(str(number)) for number in (start, stop, step)]
    count = ceil((exact[1] - exact[0]) / exact[2])
    if count < 2:
        raise LensError(f"{given}: the range holds {max(count, 0)} numbers; a search needs two or more.")
    whole = all(isinstance(number, int) for number in (start, stop, step))
    ends = sorted((exact[0], exact[0] + (count - 1) * exact[2]))
    kind = int if whole else float
    log = _checked_log(given, value.tags, kind(ends[0]))
    if log and not (whole and abs(step) == 1):
        raise LensError(f"{given}: log goes with no step: use tag(log,interval(LOW,HIGH)).")
    return Swept(key, given, "numbers", (), kind(ends[0]), kind(ends[1]), kind(abs(exact[2])), whole, log)


def _ends(given: str, low: Any, high: Any) -> tuple[Number, Number]:
    if not (isfinite(low) and isfinite(high)):
        raise LensError(f"{given}: both ends must be finite numbers.")
    return low, high


def _checked_log(given: str, tags: Collection[str], low: Number) -> bool:
    if "log" in tags and low <= 0:
        raise LensError(f"{given}: a logarithm needs numbers above 0; the range begins at {low}.")
    return "log" in tags
