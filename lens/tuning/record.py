"""What a search leaves in MLflow: a run for each trial below one parent, which holds the best and the pictures."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.study import Study

from lens.errors import LensError
from lens.figures.tuning import history_figure, importance_figure, slice_figure
from lens.tracking import add_to_run, finish_parent, prepare_store
from lens.tracking.searches import failed_trial, trial_run
from lens.tuning.search import Outcome
from lens.tuning.space import Space
from lens.tuning.study import TrialResult, best_of, counted, results

FEWEST_FOR_IMPORTANCE = 4
Result = TypeVar("Result")


@dataclass(frozen=True)
class Record:
    """The runs of one search. A store that does not answer is told on stderr; the search goes on.

    uri, experiment: of the store; parent: the search's run; name: of the search, if it has one.
    """

    uri: str
    experiment: str
    parent: str
    name: str | None
    monitor: str

    def settings(self, number: int) -> dict[str, Any]:
        """What a trial's configuration holds beside its words."""
        return {
            "name": self.trial_name(number),
            "logger.uri": self.uri,
            "logger.experiment": self.experiment,
            "logger.parent_run_id": self.parent,
            "logger.tags": {"trial": str(number)},
        }

    def trial_name(self, number: int) -> str:
        """Of a trial's run."""
        return f"{self.name or 'trial'}-{number}"

    def ended(self, number: int, words: Sequence[str], outcome: Outcome) -> str | None:
        """Mark a trial's run, or make one where the trial failed before it had any; returns its id.

        Raises LensError where a trial failed and the store is away: the search has to end and be resumed.
        """
        found = _try(trial_run, self.uri, self.parent, number)
        if outcome.state == "failed":  # but not because the store is away, which would fail all that follow
            prepare_store(self.uri, self.experiment)
        tags = {"reason": outcome.reason} if outcome.reason else {}
        if found is None and outcome.state == "failed":
            tags |= {"trial": str(number), "overrides": " ".join(words)}
            name = self.trial_name(number)
            return _try(failed_trial, self.uri, self.experiment, name, self.parent, tags)
        if found is None:
            return None
        if outcome.state == "pruned":  # not FINISHED: nobody should take it for a whole training
            tags["pruned"] = "true"
            _try(finish_parent, self.uri, found[0], "KILLED")
        _try(add_to_run, self.uri, found[0], tags=tags)
        return found[0]

    def cut_off(self, numbers: Sequence[int]) -> None:
        """Mark the runs of trials that a kill cut off and that are repeated."""
        for number in numbers:
            found = _try(trial_run, self.uri, self.parent, number)
            if found is not None:
                if found[1] == "RUNNING":
                    _try(finish_parent, self.uri, found[0], "KILLED")
                _try(add_to_run, self.uri, found[0], tags={"repeated": "true"})

    def told(self, done: Sequence[TrialResult]) -> None:
        """The newest trial's figure, and the best so far, as curves of the parent."""
        newest, best = done[-1], best_of(done)
        figures = {} if newest.value is None else {"trial": newest.value}
        if best is not None and best.value is not None:
            figures["best"] = best.value
        if figures:
            _try(add_to_run, self.uri, self.parent, metrics=figures, step=newest.number)

    @contextmanager
    def kept(self, study: Study, space: Space) -> Iterator[None]:
        """Close the parent at the end of the block: FINISHED, KILLED for Ctrl-C and SIGTERM, else FAILED."""
        status = "FAILED"
        try:
            yield
            status = "FINISHED"
        except (KeyboardInterrupt, SystemExit):
            status = "KILLED"
            raise
        finally:
            _try(finish_parent, self.uri, self.parent, status)
            _try(self._summary, study, space)

    def _summary(self, study: Study, space: Space) -> None:
        done = counted(study)
        states = [result.state for result in done]
        tags: dict[str, Any] = {
            f"trials.{state}": states.count(state) for state in ("finished", "pruned", "failed")
        }
        best = best_of(done)
        if best is not None:
            tags |= {"best.trial": best.number, "best.run": best.run_id, "best.value": best.value}
            tags |= {f"best.{item.name}": item.text(best.params[item.name]) for item in space.dimensions}
        with tempfile.TemporaryDirectory() as folder:
            table = trial_table(results(study), space)
            table.to_csv(Path(folder) / "trials.csv", index=False)
            pictures = Path(folder) / "pictures"
            pictures.mkdir()
            for name, figure in _figures(study, space, table, self.monitor).items():
                figure.savefig(pictures / f"{name}.png")
            add_to_run(self.uri, self.parent, tags=tags, files=[folder])


def trial_table(found: Sequence[TrialResult], space: Space) -> pd.DataFrame:
    """A line for each trial, and a column for each setting that was searched over."""
    rows = [
        {
            "trial": result.number, "state": result.state, "value": result.value, "epochs": result.epochs,
            "seconds": result.seconds, "run_id": result.run_id, "reason": result.reason,
            **{item.name: result.params.get(item.name) for item in space.dimensions},
        }
        for result in found
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _figures(study: Study, space: Space, table: pd.DataFrame, monitor: str) -> dict[str, Any]:
    told = table[table["state"].isin(["finished", "pruned", "failed"])] if len(table) else table
    if not len(told):
        return {}
    made = {"history": history_figure(told, monitor)}
    if told["value"].notna().any():
        made["slices"] = slice_figure(told, {item.name: item.scale for item in space.dimensions}, monitor)
    shares = importances(study, space)
    if shares:
        made["importance"] = importance_figure(shares)
    return made


def importances(study: Study, space: Space) -> dict[str, float]:
    """The share of the variation that each setting explains (fANOVA, Hutter et al. 2014), adding up to 1.

    Empty where there are too few finished trials, or nothing varied.
    """
    values = [result.value for result in results(study) if result.state == "finished"]
    if len(values) < FEWEST_FOR_IMPORTANCE or len(set(values)) < 2 or len(space.dimensions) < 2:
        return {}
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in found.items()}


def _try(action: Callable[..., Result], *given: Any, **named: Any) -> Result | None:
    """What the action gives, or None where the store refused, which is told."""
    try:
        return action(*given, **named)
    except LensError as error:
        print(error, file=sys.stderr)
        return None
