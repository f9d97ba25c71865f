"""The memory of searches: one SQLite file with a study for each, and what its trials came to."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from filelock import FileLock
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from lens.errors import LensError
from lens.tuning.space import Space

AGAIN = "again"
"""Attribute of a trial: the number of the killed trial whose values it repeats."""
_STATES = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


@dataclass(frozen=True)
class Settings:
    """How a search goes; see conf/tune.yaml. Raises LensError for numbers that cannot be."""

    trials: int = 20
    timeout: float | None = None
    pruning: Literal["median", "hyperband", "none"] = "median"
    startup_trials: int = 5
    warmup_epochs: int = 1
    sampler_seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("startup_trials", 1), ("warmup_epochs", 0)):
            if getattr(self, name) < least:
                raise LensError(f"{name}={getattr(self, name)}: it must be at least {least}.")
        if not 0 <= self.sampler_seed < 2**32:
            raise LensError(f"sampler_seed={self.sampler_seed}: give a whole number from 0 to {2**32 - 1}.")
        if self.timeout is not None and not self.timeout > 0:
            raise LensError(f"timeout={self.timeout}: give seconds above 0, or null for no end.")


@dataclass(frozen=True)
class TrialResult:
    """What one trial came to.

    state: killed where a kill cut it off and the search went on; value: the best validation figure, of a pruned trial
    the last; epochs: that were judged; seconds: from its start to its end.
    """

    number: int
    state: Literal["finished", "pruned", "failed", "killed", "running"]
    value: float | None
    params: dict[str, Any]
    run_id: str | None
    epochs: int
    seconds: float | None
    reason: str


def open_store(path: Path) -> RDBStorage:
    """The file of searches, made where it is missing. Raises LensError where it cannot be used."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):  # two searches may start on a fresh file
            return RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}})
    except Exception as error:
        cause = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
        raise LensError(f"The file of searches {path} cannot be used: {cause}.") from error


def create_study(store: RDBStorage, name: str, words: Sequence[str], settings: Settings) -> Study:
    """A fresh study that remembers the command line of its trainings and how it goes."""
    study = optuna.create_study(
        storage=store, study_name=name, direction="maximize", pruner=_pruner(settings)
    )
    study.set_user_attr("words", list(words))
    study.set_user_attr("settings", dataclasses.asdict(settings))
    return study


def load_study(store: RDBStorage, name: str, path: Path, **changes: Any) -> tuple[Study, list[str], Settings]:
    """A study to go on with, its command line, and its settings with the changes, which it remembers.

    Raises LensError where the file holds no such study.
    """
    try:
        attributes = optuna.load_study(storage=store, study_name=name).user_attrs
        settings = Settings(**{**attributes["settings"], **changes})
    except KeyError as error:
        raise LensError(f"{path} holds no search {name}; give the right file by storage=FILE.db.") from error
    study = optuna.load_study(storage=store, study_name=name, pruner=_pruner(settings))
    study.set_user_attr("settings", dataclasses.asdict(settings))
    return study, list(attributes["words"]), settings


def _pruner(settings: Settings) -> BasePruner:
    """Start-up trials and warm-up epochs are kept from it by the search, the same for all."""
    if settings.pruning == "median":
        return MedianPruner(n_startup_trials=0, n_warmup_steps=0)
    if settings.pruning == "hyperband":
        return HyperbandPruner(min_resource=max(1, settings.warmup_epochs))
    return NopPruner()


def results(study: Study) -> list[TrialResult]:
    """All trials in the order of their numbers, but those that only wait."""
    trials = study.get_trials(deepcopy=False)
    repeated = {trial.user_attrs.get(AGAIN) for trial in trials}
    # What came to an end by itself has a reason, an empty one included; a kill leaves none.
    return [
        _result(trial, trial.number in repeated or "reason" not in trial.user_attrs)
        for trial in trials
        if trial.state != TrialState.WAITING
    ]


def counted(study: Study) -> list[TrialResult]:
    """The trials that have come to an end: finished, pruned and failed, not those killed."""
    return [result for result in results(study) if result.state in ("finished", "pruned", "failed")]


def best_of(found: Sequence[TrialResult]) -> TrialResult | None:
    """The finished trial with the highest figure, the first of equals; None where none finished."""
    return next(iter(ranked(found)), None)


def ranked(found: Sequence[TrialResult]) -> list[TrialResult]:
    """The finished trials, the best first; of equals the first."""
    finished = [
        (result.value, result) for result in found if result.state == "finished" and result.value is not None
    ]
    return [result for _, result in sorted(finished, key=lambda pair: (-pair[0], pair[1].number))]


def _result(trial: FrozenTrial, cut_off: bool) -> TrialResult:
    state: Any = _STATES.get(trial.state, "running")
    if state == "failed" and cut_off:
        state = "killed"
    value = trial.value if state in ("finished", "pruned") else None
    seconds = trial.duration.total_seconds() if trial.duration is not None else None
    kept = trial.user_attrs
    epochs = len(trial.intermediate_values)
    return TrialResult(
        trial.number,
        state,
        value,
        dict(trial.params),
        kept.get("run_id"),
        epochs,
        seconds,
        kept.get("reason", ""),
    )


def take_up(study: Study, space: Space) -> list[int]:
    """Enqueue the values of the trials that a kill cut off; returns the numbers of those trials.

    A kill in the middle of this does no harm: a trial that is already repeated is only marked.
    Raises LensError where the choices are not those that the search began with.
    """
    trials = study.get_trials(deepcopy=False)
    known = space.distributions.items()
    if any(not trial.distributions.items() <= known for trial in trials):
        raise LensError("The choices of this search are not those that it began with; start a new one.")
    repeated = {trial.user_attrs.get(AGAIN) for trial in trials}
    cut_off = [trial for trial in trials if trial.state == TrialState.RUNNING]
    for trial in cut_off:
        if trial.number not in repeated and trial.distributions == space.distributions:
            study.enqueue_trial(dict(trial.params), user_attrs={AGAIN: trial.number})
        study.tell(trial.number, state=TrialState.FAIL)
    return [trial.number for trial in cut_off]
