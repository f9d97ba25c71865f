import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from lens.metrics.calibration import (
    Calibration,
    band_table,
    calibrate,
    calibration_error,
    reliability,
    shown_score,
)


def results(queries: int = 60, k: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosines, relevance and query numbers: the higher the cosine the more often relevant, but less than it says."""
    random = np.random.default_rng(seed)
    cosines = random.uniform(-0.2, 1, queries * k)
    relevant = random.random(queries * k) < np.clip(cosines, 0, 1) ** 2
    return cosines, relevant, np.repeat(np.arange(queries), k)


def test_the_shown_score_is_a_hundred_times_the_cosine_and_never_negative() -> None:
    np.testing.assert_allclose(shown_score(np.array([[1.0, 0.7], [0.0, -0.3]])), [[100, 70], [0, 0]])


def test_bands_are_what_counting_gives() -> None:
    cosines, relevant, queries = results()
    table = band_table(cosines, relevant, queries, high=0.6, medium=0.2)
    assert list(table["band"]) == ["high", "medium", "low"] and list(table["from"]) == [0.6, 0.2, -1]
    rules = [lambda c: c >= 0.6, lambda c: 0.2 <= c < 0.6, lambda c: c < 0.2]
    for (_, line), rule in zip(table.iterrows(), rules, strict=True):
        inside = [bool(hit) for cosine, hit in zip(cosines, relevant, strict=True) if rule(cosine)]
        assert line["results"] == len(inside) and line["share"] == pytest.approx(len(inside) / 600)
        assert line["precision"] == pytest.approx(sum(inside) / len(inside))
        assert 0 <= line["precision_low"] <= line["precision"] < line["precision_high"] <= 1


def test_a_band_begins_at_its_own_edge_by_the_unrounded_cosine() -> None:
    cosines = np.array([0.70, 0.6999, 0.40, 0.3999, -1.0])
    table = band_table(cosines, np.array([True, False, True, False, False]))
    assert table["results"].tolist() == [1, 2, 2] and table["precision"].tolist() == [1, 0.5, 0]


def test_results_that_agree_within_a_query_are_worth_less() -> None:
    queries = np.repeat(np.arange(40), 10)
    relevant = queries % 2 == 0
    together = band_table(np.full(400, 0.9), relevant, queries).loc[0]
    apart = band_table(np.full(400, 0.9), relevant).loc[0]
    width = [line["precision_high"] - line["precision_low"] for line in (together, apart)]
    assert width[0] == pytest.approx(width[1] * math.sqrt(10), rel=0.15)


def test_a_band_may_be_empty_or_never_begin() -> None:
    cosines, relevant = np.array([0.9, 0.5]), np.array([True, False])
    table = band_table(cosines, relevant, high=None)
    assert table["results"].tolist() == [0, 2, 0]
    assert (
        math.isnan(table["from"][0]) and np.isnan(table.loc[0, ["precision", "precision_low"]].tolist()).all()
    )
    assert band_table(cosines, relevant, high=None, medium=None)["results"].tolist() == [0, 0, 2]
    assert band_table(cosines, relevant, high=0.5, medium=0.5)["results"].tolist() == [2, 0, 0]


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_the_reliability_curve_is_that_of_scikit_learn(strategy: str) -> None:
    cosines, relevant, queries = results(seed=3)
    scores = np.abs(cosines)
    table = reliability(scores, relevant, queries, bins=7, strategy=strategy)  # type: ignore[arg-type]
    precision, mean = calibration_curve(relevant, scores, n_bins=7, strategy=strategy)
    np.testing.assert_allclose(table["precision"], precision)
    np.testing.assert_allclose(table["score"], mean)
    assert (
        table["results"].sum() == 600
        and ((table["low"] <= table["score"]) & (table["score"] <= table["high"])).all()
    )


def test_equal_scores_share_a_bin_and_empty_bins_are_left_out() -> None:
    scores, relevant = np.array([0.95] * 8 + [0.3] * 2), np.array([True] * 4 + [False] * 6)
    for strategy in ("uniform", "quantile"):
        table = reliability(scores, relevant, strategy=strategy)  # type: ignore[arg-type]
        assert table["results"].tolist() == [2, 8] and table["precision"].tolist() == [0, 0.5]
    assert len(reliability(np.full(9, 0.95), np.ones(9, bool), strategy="quantile")) == 1


def test_the_calibration_error_is_the_mean_distance_of_the_bins() -> None:
    cosines, relevant, _ = results(seed=1)
    scores = np.clip(cosines, 0, 1)
    slow = 0.0
    for low in range(10):
        inside = [place for place, score in enumerate(scores) if min(int(score * 10), 9) == low]
        if inside:
            slow += len(inside) / 600 * abs(relevant[inside].mean() - scores[inside].mean())
    assert calibration_error(scores, relevant) == pytest.approx(slow)
    assert calibration_error(np.full(10, 0.9), np.arange(10) % 2 == 0) == pytest.approx(0.4)


def isotonic(cosines: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """The rising line of least squares by its max-min formula, at each cosine (all different)."""
    order = np.argsort(cosines)
    hits = relevant[order].astype(float)
    means = [
        [hits[i : j + 1].mean() if j >= i else math.nan for j in range(len(hits))] for i in range(len(hits))
    ]
    line = np.empty(len(hits))
    for at in range(len(hits)):
        line[order[at]] = max(
            min(means[first][last] for last in range(at, len(hits))) for first in range(at + 1)
        )
    return line


def test_the_calibration_is_the_isotonic_regression() -> None:
    cosines, relevant, queries = results(queries=8, seed=2)
    calibration = calibrate(cosines, relevant, queries)
    np.testing.assert_allclose(calibration.probability(cosines), isotonic(cosines, relevant), atol=1e-12)
    assert calibration.results == 80 and calibration.queries == 8
    assert calibration.raw_error == pytest.approx(calibration_error(np.clip(cosines, 0, 1), relevant))
    ends = calibration.probability(np.array([-1.0, 1.0]))
    assert ends.tolist() == [calibration.probabilities[0], calibration.probabilities[-1]]


def test_calibrated_bands_begin_where_the_probability_is_first_reached() -> None:
    cosines, relevant, queries = results(queries=300, seed=5)
    calibration = calibrate(cosines, relevant, queries)
    grid = np.linspace(-1, 1, 200_001)
    chance = calibration.probability(grid)
    for found, wanted in ((calibration.high, 0.7), (calibration.medium, 0.4)):
        assert found == pytest.approx(grid[np.flatnonzero(chance >= wanted)[0]], abs=2e-5)
    assert calibration.high == pytest.approx(math.sqrt(0.7), abs=0.07)  # relevant with probability cosine²


def test_a_few_lucky_results_make_no_band() -> None:
    cosines = np.linspace(0, 1, 100)
    relevant = cosines > 0.895  # the eleven highest
    assert calibrate(cosines, relevant, least=11).high is not None
    assert calibrate(cosines, relevant, least=13).high is None
    assert calibrate(cosines, np.zeros(100, bool)).medium is None
    assert calibrate(cosines, np.ones(100, bool)).high == 0.0


def test_a_calibration_is_judged_on_queries_that_it_has_not_seen() -> None:
    random = np.random.default_rng(0)
    queries = np.repeat(random.permutation(1000)[:40], 5)
    cosines, relevant = random.random(200), random.random(200) < 0.5
    unseen = np.empty(200)
    for place, number in enumerate(np.unique(queries)):
        others = ~np.isin(queries, np.unique(queries)[place % 5 :: 5])
        mine = queries == number
        unseen[mine] = calibrate(cosines[others], relevant[others]).probability(cosines[mine])
    calibration = calibrate(cosines, relevant, queries)
    assert calibration.calibrated_error == pytest.approx(calibration_error(unseen, relevant))
    seen = calibration_error(calibration.probability(cosines), relevant)
    assert seen < calibration.calibrated_error, "judged on what it was fitted to"
    assert math.isnan(calibrate(cosines, relevant, np.zeros(200, int)).calibrated_error)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
def test_any_calibration_rises_within_0_and_1_and_survives_json(drawn: list[tuple[float, bool, int]]) -> None:
    cosines, relevant, queries = (np.array(column) for column in zip(*drawn, strict=True))
    calibration = calibrate(cosines, relevant, queries, least=1)
    chance = calibration.probability(np.linspace(-1, 1, 101))
    assert (np.diff(chance) >= -1e-12).all() and (chance >= 0).all() and (chance <= 1).all()
    again = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict(), allow_nan=False)))
    assert again.to_dict() == calibration.to_dict()
    np.testing.assert_array_equal(again.probability(cosines), calibration.probability(cosines))


def test_corners_that_nearly_touch_do_not_lead_out_of_0_and_1() -> None:
    corners, asked = (0.0, 2.1e-321, 1.0), np.array([0.0, 7e-322, 1.4e-321, 2.1e-321])
    assert not np.isfinite(
        np.interp(asked, corners, (0.0, 1.0, 1.0))
    ).all()  # a slope that no number can hold
    line = Calibration(corners, (0.0, 1.0, 1.0), None, None, 0.0, 0.0, 3, 1)
    chance = line.probability(asked)
    assert (chance >= 0).all() and (chance <= 1).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"high": ...}, "needs high"),
        ({"cosines": [0.1]}, "as many of both"),
        ({"cosines": [], "probabilities": []}, "as many of both"),
        ({"probabilities": [0.9, 0.1]}, "must rise"),
    ],
)
def test_no_calibration_is_read_from_something_else(change: dict[str, object], sentence: str) -> None:
    values = calibrate(np.array([0.1, 0.9]), np.array([False, True])).to_dict() | change
    with pytest.raises(ValueError, match=sentence):
        Calibration.from_dict({name: value for name, value in values.items() if value is not ...})


def test_what_cannot_be_judged_is_refused() -> None:
    yes = np.array([True, False])
    with pytest.raises(ValueError, match=r"\[2\], \[3\]"):
        band_table(np.zeros(2), np.zeros(3, bool))
    with pytest.raises(ValueError, match="no result"):
        calibrate(np.zeros(0), np.zeros(0, bool))
    with pytest.raises(ValueError, match="NaN"):
        calibration_error(np.array([0.1, math.nan]), yes)
    with pytest.raises(ValueError, match="0 to 1"):
        reliability(np.array([-0.1, 0.5]), yes)
    with pytest.raises(ValueError, match="below the medium band"):
        band_table(np.zeros(2), yes, high=0.3)
    with pytest.raises(ValueError, match="below the medium band"):
        band_table(np.zeros(2), yes, high=0.3, medium=None)
