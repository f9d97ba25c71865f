"""The table, the importances and the pictures of a search."""

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from matplotlib.figure import Figure
from optuna.trial import TrialState, create_trial

from lens.figures.style import texts
from lens.figures.tuning import history_figure, importance_figure, slice_figure
from lens.tuning.record import importances, trial_table
from lens.tuning.space import read_space
from lens.tuning.study import results

CONF = Path(__file__).parents[2] / "conf"
SPACE = read_space(
    ["model.margin=interval(0,1)", "trainer.max_epochs=range(3,9)", "model=vit_tiny,resnet_tiny"], CONF
)
SCALES = {item.name: item.scale for item in SPACE.dimensions}


def study_of(values: list[float | None], seed: int = 0) -> optuna.Study:
    """A study of trials drawn at random: a value finished, None failed."""
    study = optuna.create_study(direction="maximize")
    rng = np.random.default_rng(seed)
    for value in values:
        params = {
            "model.margin": float(rng.random()),
            "trainer.max_epochs": int(rng.integers(3, 9)),
            "model": str(rng.choice(["vit_tiny", "resnet_tiny"])),
        }
        study.add_trial(
            create_trial(
                params=params,
                distributions=SPACE.distributions,
                user_attrs={"reason": "", "run_id": "a" * 32},
                **({"value": value} if value is not None else {"state": TrialState.FAIL}),
            )  # fmt: skip
        )
    return study


def test_the_table_has_a_line_for_each_trial_and_a_column_for_each_setting() -> None:
    study = study_of([0.5, None, 0.25])
    table = trial_table(results(study), SPACE)
    assert list(table["state"]) == ["finished", "failed", "finished"]
    assert table["value"].isna().tolist() == [False, True, False]
    assert list(table)[-3:] == ["model.margin", "trainer.max_epochs", "model"]
    assert table["model.margin"][2] == study.trials[2].params["model.margin"]


def test_importance_goes_to_the_setting_that_matters() -> None:
    study = study_of([0.0] * 40)
    for kind in ("model.margin", "trainer.max_epochs"):
        made = optuna.create_study(direction="maximize")
        for trial in study.trials:
            made.add_trial(
                create_trial(
                    params=trial.params, distributions=trial.distributions, value=float(trial.params[kind])
                )
            )
        shares = importances(made, SPACE)
        assert max(shares, key=lambda name: shares[name]) == kind and shares[kind] > 0.8
        assert sum(shares.values()) == pytest.approx(1) and set(shares) == set(SCALES)
        assert shares == importances(made, SPACE), "the forest is seeded"


def test_there_is_no_importance_of_too_little() -> None:
    assert importances(study_of([0.1, 0.2, 0.3]), SPACE) == {}
    assert importances(study_of([0.5] * 8), SPACE) == {}
    one = read_space(["model.margin=interval(0,1)"], CONF)
    assert importances(study_of([0.1, 0.2, 0.3, 0.4]), one) == {}


def drawn(figure: Figure) -> list[str]:
    figure.canvas.draw()
    return texts(figure)


def points(figure: Figure) -> int:
    return sum(len(np.asarray(drawn.get_offsets())) for axis in figure.axes for drawn in axis.collections)


def table_of(**columns: Any) -> pd.DataFrame:
    table = pd.DataFrame(columns)
    table.insert(0, "trial", range(len(table)))
    return table


def test_the_history_tells_the_best_and_the_first_of_equals() -> None:
    table = table_of(
        state=["finished", "pruned", "finished", "failed", "finished"], value=[0.2, 0.9, 0.6, np.nan, 0.6]
    )
    figure = history_figure(table, "val/precision_at_1")
    assert drawn(figure)[0] == "5 trials: the best, 0.600, is trial 2"
    assert points(figure) == 5
    line = next(line for axis in figure.axes for line in axis.lines)
    assert list(np.asarray(line.get_ydata())) == [0.2, 0.6, 0.6, 0.6]


@pytest.mark.parametrize("states", [["failed"] * 2, ["pruned"] * 2, ["finished"], ["failed", "finished"]])
def test_pictures_of_little_are_drawn_too(states: list[str]) -> None:
    values = [np.nan if state == "failed" else 0.5 for state in states]
    table = table_of(
        state=states, value=values, **{"model.margin": 0.5, "trainer.max_epochs": 3, "model": "vit_tiny"}
    )
    told = drawn(history_figure(table, "val/x"))[0]
    assert ("none finished" in told) == ("finished" not in states)
    assert drawn(slice_figure(table, SCALES, "val/x"))[0] == "val/x against each setting"


def test_slices_have_an_axis_for_each_setting_and_choices_in_order() -> None:
    table = table_of(
        state=["finished"] * 3 + ["failed"], value=[0.1, 0.2, 0.3, np.nan], rate=[1e-4, 1e-3, 1e-2, 1e10],
        batch=["16", "128", "64", "32"], epochs=[3, 4, 5, 6], kind=["b", "a", "c", "a"],
    )  # fmt: skip
    scales = {"rate": "log", "batch": "choice", "epochs": "linear", "kind": "choice"}
    figure = slice_figure(table, scales, "val/x")
    drawn(figure)
    shown = [axis for axis in figure.axes if axis.get_xlabel()]
    assert [axis.get_xlabel() for axis in shown] == list(scales)
    assert shown[0].get_xscale() == "log"
    assert [tick.get_text() for tick in shown[1].get_xticklabels()] == ["16", "32", "64", "128"]
    assert [tick.get_text() for tick in shown[3].get_xticklabels()] == ["a", "b", "c"]
    assert all(tick == int(tick) for tick in shown[2].get_xticks())


def test_bars_of_importance_are_in_order() -> None:
    figure = importance_figure({"model.margin": 0.2, "model.learning_rate": 0.7, "seed": 0.1})
    assert drawn(figure)[0] == "model.learning_rate mattered most in this search"
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()][::-1][0] == "model.learning_rate"
