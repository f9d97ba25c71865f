"""Search for good settings by training again and again: python tune.py --help."""

import sys
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lens.config import TrainConfig, TuneConfig, entry, given_folder, given_words, job, plain

CONF = Path(__file__).parent / "conf"


def tune(cfg: DictConfig) -> None:
    """A new search, or one that goes on where it stopped."""
    from lens.runs import heed_sigterm, hold, run_folder
    from lens.tuning.plan import found_search, new_search, resumed_search

    heed_sigterm()
    config, given, folder = plain(cfg), given_words(), given_folder()
    if config["resume"] is None:
        plan = new_search(config, CONF, folder)
        with hold(run_folder(plan.record.parent)):
            run(plan, folder)
        return
    found = found_search(config, CONF, folder)
    with hold(run_folder(found[2])):  # before its trials are taken up: another process may be running them
        run(resumed_search(config, given, found, CONF, folder), folder)


def run(plan: Any, folder: str | None) -> None:
    """The trials of a plan, one after another in this process, and what is told of them."""
    from lens.report import quiet_libraries
    from lens.tuning import show
    from lens.tuning.plan import trial_settings
    from lens.tuning.search import Outcome, free_memory, search
    from lens.tuning.study import TrialResult, counted
    from train import train

    quiet_libraries()
    study, record, space, settings = plan.study, plan.record, plan.space, plan.settings

    def train_one(number: int, words: list[str], watch: Any) -> float:
        fixed = {**trial_settings(space), **record.settings(number)}
        with job(CONF, "train", words, TrainConfig, fixed, folder) as trial:
            return train(trial, watch)

    def ended(number: int, words: list[str], outcome: Outcome) -> str | None:
        free_memory()
        return record.ended(number, words, outcome)

    def told(done: list[TrialResult]) -> None:
        record.told(done)
        show.print_trial(space, done)

    done = counted(study)
    show.print_begin(record.parent, space, settings, record.monitor, len(done), plan.again)
    begun = time.monotonic()
    try:
        with record.kept(study, space), show.repeats_held_back():
            why = search(study, space, settings, record.monitor, train_one, ended, told)
    except (KeyboardInterrupt, SystemExit):
        print(
            f"The search was stopped; to go on: {show.resume_command(space, record.parent)}", file=sys.stderr
        )
        raise
    show.print_end(space, counted(study), record.monitor, record.parent, why, time.monotonic() - begun)


main = entry(tune, config_name="tune", schema=TuneConfig, config_path=CONF)

if __name__ == "__main__":
    main()
