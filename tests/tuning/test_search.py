"""The loop: what is tried, cut short and ended, with functions in place of trainings."""

import math
from typing import Any

import pytest

from lens.errors import LensError
from lens.tuning.study import (
    Settings,
    best_of,
    counted,
)
from tests.tuning.computed import CONTINUOUS, Trainings, run, smooth


def test_a_search_finds_better_values_than_chance() -> None:
    def best(seed: int, **given: int) -> float:
        found = best_of(counted(run(CONTINUOUS, Trainings(smooth), trials=30, sampler_seed=seed, **given)[0]))
        assert found is not None and found.value is not None
        return found.value

    assert sum(map(best, range(3))) > sum(best(seed, startup_trials=30) for seed in range(3))


def test_the_same_seed_gives_the_same_trials_and_another_one_others() -> None:
    made = [Trainings(smooth) for _ in range(3)]
    for trainings, seed in zip(made, (1, 1, 2), strict=True):
        run(CONTINUOUS, trainings, trials=12, sampler_seed=seed)
    assert made[0].words == made[1].words != made[2].words
    assert len({tuple(words) for words in made[0].words}) == 12
    assert set(map(tuple, made[0].words)).isdisjoint(map(tuple, made[2].words))


def test_the_words_of_a_trial_are_whole_command_lines() -> None:
    trainings = Trainings(lambda values: float(values["model.margin"]))
    run(["seed=3", "+model.margin=interval(0,1)"[1:], "trainer.max_epochs=range(3,9)"], trainings, trials=3)
    assert all(words[0] == "seed=3" and len(words) == 3 for words in trainings.words)


def test_a_finite_space_is_never_tried_twice() -> None:
    trainings = Trainings(lambda values: float(values["model.margin"]))
    words = ["model.margin=range(0.1,0.7,0.1)", "seed=1,2", "model=vit_tiny,resnet_tiny"]
    _, why = run(words, trainings, trials=100)
    assert why == "All 24 combinations have been tried."
    assert len({tuple(line) for line in trainings.words}) == len(trainings.words) == 24


def test_poor_trials_are_cut_short_but_not_the_first_ones_and_not_early() -> None:
    def figure(values: dict[str, str]) -> float:
        return 0.9 if len(trainings.lengths) < 4 else 0.1

    trainings = Trainings(figure, epochs=6)
    study, _ = run(CONTINUOUS, trainings, trials=8, pruning="median", startup_trials=4, warmup_epochs=2)
    assert trainings.lengths == [6] * 4 + [3] * 4
    assert [result.state for result in counted(study)] == ["finished"] * 4 + ["pruned"] * 4
    pruned = counted(study)[-1]
    assert pruned.value == pytest.approx(0.1 * 3 / 6) and pruned.epochs == 3
    last = Trainings(figure, epochs=3)  # after the last epoch there is nothing left to save
    trainings = last
    run(CONTINUOUS, last, trials=8, pruning="median", startup_trials=4, warmup_epochs=2)
    assert last.lengths == [3] * 8


def test_hyperband_cuts_short_too_and_none_never() -> None:
    def figure(values: dict[str, str]) -> float:
        return 1 / (1 + len(trainings.lengths))

    for pruning, short in (("hyperband", True), ("none", False)):
        trainings = Trainings(figure, epochs=9)
        run(CONTINUOUS, trainings, trials=12, pruning=pruning, startup_trials=2)
        assert (min(trainings.lengths) < 9) == short
        assert trainings.lengths[:2] == [9, 9] and min(trainings.lengths) > 1


def test_no_trial_begins_after_the_timeout() -> None:
    trainings = Trainings(smooth)
    study, why = run(CONTINUOUS, trainings, trials=5000, timeout=1.5)
    assert why == f"The 1.5 seconds are over after {len(counted(study))} trials."
    assert 0 < len(trainings.words) < 5000


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"trials": 0}, "trials=0: it must be at least 1"),
        ({"startup_trials": 0}, "startup_trials=0"),
        ({"warmup_epochs": -1}, "warmup_epochs=-1: it must be at least 0"),
        ({"sampler_seed": -1}, "sampler_seed=-1"),
        ({"sampler_seed": 2**32}, "sampler_seed=4294967296"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": math.nan}, "timeout=nan"),
    ],
)
def test_settings_that_cannot_be(given: dict[str, Any], told: str) -> None:
    with pytest.raises(LensError, match=told):
        Settings(**given)
