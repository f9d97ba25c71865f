"""The search itself: ask for values, train with them, tell what came out, until enough is known."""

import gc
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from optuna.study import Study
from optuna.trial import Trial, TrialState

from lens.callbacks.pruning import Report, Watch
from lens.errors import LensError
from lens.tuning.sampler import SearchSampler, untried
from lens.tuning.space import Space
from lens.tuning.study import Settings, TrialResult, counted, results

HOPELESS = 5
"""If so many trials have failed and no other has not, the mistake is not in the values."""
_STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}

Train = Callable[[int, list[str], Watch], float]
"""Trains the trial of this number by the words of a command line, under a watch; returns the best figure."""


@dataclass(frozen=True)
class Outcome:
    """How one training ended; value: the best figure of a finished one; reason: of a failure."""

    state: Literal["finished", "pruned", "failed"]
    value: float | None = None
    reason: str = ""


Ended = Callable[[int, list[str], Outcome], str | None]
"""Is given a trial's number, its words and how it ended; returns the id of its run."""


def search(
    study: Study,
    space: Space,
    settings: Settings,
    monitor: str,
    train: Train,
    ended: Ended = lambda *_: None,
    told: Callable[[list[TrialResult]], None] = lambda _: None,
) -> str:
    """Run trials until there are enough of them; returns the sentence that says why it ended, if that needs saying.

    Args:
        monitor: the validation metric, higher is better.
        ended: is called when a training has ended, before the study knows.
        told: is given the results of the trials that count, the newest one last, as soon as the study holds it.

    Raises:
        LensError: the first trials all failed. Any other exception is Ctrl-C or a bug; its trial stays unfinished,
            and a resumed search repeats it.
    """
    begun = time.monotonic()
    while len(done := counted(study)) < settings.trials:
        if settings.timeout is not None and time.monotonic() - begun >= settings.timeout:
            return f"The {settings.timeout:g} seconds are over after {len(done)} trials."
        tried = {space.texts(result.params) for result in done}
        if untried(space, tried) == []:
            return f"All {len(tried)} combinations have been tried."
        study.sampler = SearchSampler(space, settings.sampler_seed, len(done), settings.startup_trials, tried)
        trial = study.ask(space.distributions)
        words = space.words(trial.params)
        outcome = _attempt(train, trial.number, words, Watch(monitor, _reporter(study, trial, settings)))
        trial.set_user_attr("run_id", ended(trial.number, words, outcome))
        trial.set_user_attr("reason", outcome.reason)
        study.tell(trial, outcome.value, _STATES[outcome.state])
        told(sorted(counted(study), key=lambda result: result.number == trial.number))
        _check_hope(study, settings)
    return ""


def _reporter(study: Study, trial: Trial, settings: Settings) -> Report:
    """Keeps each figure, and asks the pruner once the trial and the search are far enough."""

    def report(epochs: int, value: float) -> bool:
        trial.report(value, epochs)
        finished = sum(result.state == "finished" for result in results(study))
        far = epochs > settings.warmup_epochs and finished >= settings.startup_trials
        return far and trial.should_prune()

    return report


def _attempt(train: Train, number: int, words: list[str], watch: Watch) -> Outcome:
    """One training; a mistake in its values, a divergence or too little memory on the GPU is a failure, not an end."""
    try:
        with _own_signals():
            value = train(number, words, watch)
        outcome = _judged(watch, value)
    except (LensError, torch.OutOfMemoryError) as error:
        outcome = Outcome("failed", None, " ".join(str(error).split("\n")[0].split()))
    return outcome


def free_memory() -> None:
    """Let go of a training that is over: Lightning's parts hold each other, the model and its data."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _judged(watch: Watch, value: float) -> Outcome:
    if watch.pruned:
        return Outcome("pruned")
    if not watch.values or not math.isfinite(value):
        reason = f"There was no {watch.monitor} to judge it by; a search needs a validation side."
        return Outcome("failed", None, reason)
    return Outcome("finished", value)


@contextmanager
def _own_signals() -> Iterator[None]:
    """A training that fails leaves its handlers of Ctrl-C and SIGTERM behind; the next Ctrl-C would be lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_hope(study: Study, settings: Settings) -> None:
    done = counted(study)
    if all(result.state == "failed" for result in done) and len(done) >= min(HOPELESS, settings.trials):
        raise LensError(
            f"All {len(done)} trials failed, so the search ends here; the last one: {done[-1].reason}"
        )
