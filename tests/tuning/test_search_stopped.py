"""The loop after kills, failures and bugs, with functions in place of trainings."""

import math
import signal
from pathlib import Path

import pytest
import torch

from lens.errors import LensError
from lens.tuning.search import Outcome, search
from lens.tuning.space import Space, read_space
from lens.tuning.study import (
    Settings,
    counted,
    create_study,
    load_study,
    open_store,
    ranked,
    results,
    take_up,
)
from tests.tuning.computed import CONF, CONTINUOUS, Killed, Trainings, run, smooth, study_of


@pytest.mark.parametrize("kills", [[0], [2], [7], [3, 0], [5, 2, 1]], ids=str)
def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(kills: list[int]) -> None:
    settings = Settings(trials=12)
    space = read_space(CONTINUOUS, CONF)
    whole, study = Trainings(smooth), study_of(settings)
    search(study_of(settings), space, settings, "m", whole)
    seen: list[list[str]] = []
    for kill in [*kills, None]:
        part = Trainings(smooth, die_at=kill)
        if kill is None:
            search(study, space, settings, "m", part)
        else:
            with pytest.raises(Killed):
                search(study, space, settings, "m", part)
            (cut_off,) = take_up(study, space)
            assert take_up(study, space) == [], "taken up once only"
            assert results(study)[cut_off].state == "killed"
        seen += part.words
    assert seen == whole.words
    states = [result.state for result in results(study)]
    assert states.count("killed") == len(kills) and len(counted(study)) == 12
    assert "running" not in states


def test_a_kill_while_values_are_drawn_or_taken_up_does_no_harm() -> None:
    settings, space = Settings(trials=4), read_space(CONTINUOUS, CONF)
    study = study_of(settings)
    whole = Trainings(smooth)
    search(study_of(settings), space, settings, "m", whole)
    study.ask()  # a trial without values: the kill came in between
    assert take_up(study, space) == [0]
    with pytest.raises(Killed):
        search(study, space, settings, "m", Trainings(smooth, die_at=1))
    running = study.trials[-1]
    study.enqueue_trial(
        running.params, user_attrs={"again": running.number}
    )  # killed again before it was marked
    assert take_up(study, space) == [running.number]
    rest = Trainings(smooth)
    search(study, space, settings, "m", rest)
    assert rest.words == whole.words[1:]
    assert [result.state for result in results(study)].count("finished") == 4


def test_a_failure_is_one_trial() -> None:
    def figure(values: dict[str, str]) -> float:
        if values["model.margin"] == "0.1":
            raise LensError("The training has diverged.")
        if values["model.margin"] == "0.2":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee the manual.")
        return math.nan if values["model.margin"] == "0.3" else 0.5

    told: list[Outcome] = []
    settings = Settings(trials=9, pruning="none")
    study, space = study_of(settings), read_space(["model.margin=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8"], CONF)
    why = search(
        study,
        space,
        settings,
        "val/m",
        Trainings(figure),
        lambda number, words, outcome: told.append(outcome),
    )
    assert why == "All 8 combinations have been tried."
    reasons = {result.params["model.margin"]: (result.state, result.reason) for result in counted(study)}
    assert reasons["0.1"] == ("failed", "The training has diverged.")
    assert reasons["0.2"] == ("failed", "CUDA out of memory. Tried to allocate 2 GiB.")
    assert reasons["0.3"][0] == "failed" and "no val/m to judge it by" in reasons["0.3"][1]
    assert reasons["0.4"] == ("finished", "")
    assert len(told) == 8 and [outcome.state for outcome in told].count("failed") == 3
    numbers = [result.number for result in ranked(counted(study))]
    assert len(numbers) == 5 and numbers == sorted(numbers)  # of equals the first


def test_failures_count_and_where_nothing_succeeds_the_search_ends() -> None:
    def broken(values: dict[str, str]) -> float:
        raise LensError("The catalogue is empty.")

    trainings = Trainings(broken)
    with pytest.raises(LensError, match=r"All 5 trials failed.*The catalogue is empty\."):
        run(CONTINUOUS, trainings, trials=20)
    assert len(trainings.words) == 5
    with pytest.raises(LensError, match="All 1 trials failed"):
        run(CONTINUOUS, Trainings(broken), trials=1)
    luck = Trainings(lambda values: smooth(values) if len(luck.words) == 3 else broken(values))
    study, _ = run(CONTINUOUS, luck, trials=6)
    assert [result.state for result in counted(study)] == ["failed"] * 2 + ["finished"] + ["failed"] * 3


def test_a_bug_ends_the_search_and_its_trial_is_repeated() -> None:
    def buggy(values: dict[str, str]) -> float:
        if len(trainings.words) == 3:
            raise ZeroDivisionError
        return smooth(values)

    trainings = Trainings(buggy)
    settings, space = Settings(trials=5), read_space(CONTINUOUS, CONF)
    study = study_of(settings)
    with pytest.raises(ZeroDivisionError):
        search(study, space, settings, "m", trainings)
    assert [result.state for result in results(study)] == ["finished", "finished", "running"]
    assert take_up(study, space) == [2]
    search(study, space, settings, "m", trainings)
    assert trainings.words[2] == trainings.words[3] and len(counted(study)) == 5


def test_where_a_failure_cannot_be_recorded_the_search_ends_and_the_trial_is_repeated() -> None:
    def broken(values: dict[str, str]) -> float:
        raise LensError("No run could be started.")

    def away(number: int, words: list[str], outcome: Outcome) -> str:
        raise LensError("The tracking store cannot be used.")

    settings, space = Settings(trials=5), read_space(CONTINUOUS, CONF)
    study = study_of(settings)
    with pytest.raises(LensError, match="The tracking store"):
        search(study, space, settings, "m", Trainings(broken), away)
    assert counted(study) == [] and take_up(study, space) == [0]


def test_a_training_that_failed_does_not_keep_the_signals() -> None:
    def ours(number: int, frame: object) -> None: ...

    def figure(values: dict[str, str]) -> float:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        if len(trainings.words) == 2:
            raise LensError("It has diverged.")
        return 0.5

    trainings = Trainings(figure)
    before = {number: signal.signal(number, ours) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        run(CONTINUOUS, trainings, trials=2)
        assert [signal.getsignal(number) for number in before] == [ours, ours]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_study_is_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "tuning.db"
    settings, space = Settings(trials=2, pruning="hyperband"), read_space(CONTINUOUS, CONF)
    study = create_study(open_store(path), "a1", CONTINUOUS, settings)
    with pytest.raises(Killed):
        search(study, space, settings, "m", Trainings(smooth, die_at=1))
    again, words, kept = load_study(open_store(path), "a1", path, trials=3)
    assert words == CONTINUOUS and kept == Settings(trials=3, pruning="hyperband")
    assert load_study(open_store(path), "a1", path)[2].trials == 3
    assert take_up(again, space) == [1]
    search(again, space, kept, "m", Trainings(smooth))
    assert [result.state for result in results(again)] == ["finished", "killed", "finished", "finished"]
    other = Space(read_space(["model.learning_rate=interval(1,2)", *CONTINUOUS[1:]], CONF).items)
    with pytest.raises(LensError, match="not those that it began with"):
        take_up(again, other)
    with pytest.raises(LensError, match=r"holds no search a2; give the right file by storage=FILE\.db"):
        load_study(open_store(path), "a2", path)
    for wrong in (tmp_path, tmp_path / "text.db"):
        if wrong.suffix:
            wrong.write_text("no database at all, but some text that is long enough\n" * 30)
        with pytest.raises(LensError, match="cannot be used") as caught:
            open_store(wrong)
        assert "\n" not in str(caught.value)
