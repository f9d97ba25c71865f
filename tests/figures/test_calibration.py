import io

import numpy as np
import pandas as pd
import pytest

from lens.figures import calibration_figure
from lens.figures.style import texts
from lens.metrics.calibration import Calibration, band_table, calibrate, reliability


def parts(cosines: np.ndarray, relevant: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame, Calibration]:
    raw = np.clip(cosines, 0, 1)
    return (
        reliability(raw, relevant, strategy="quantile"),
        band_table(cosines, relevant),
        calibrate(cosines, relevant),
    )


def test_head_and_bars_say_what_a_high_score_is_worth() -> None:
    cosines = np.repeat([0.8, 0.5, 0.1], [60, 30, 10])
    relevant = np.repeat([True, False, True, False], [45, 15, 9, 31])
    curve, bands, calibration = parts(cosines, relevant)
    figure = calibration_figure(curve, bands, calibration, (0.123, 0.004), "validation", "test")
    head, look = texts(figure)[:2]
    assert (
        head == "What a high score is worth (test): 60 % of the results are high, 75 % of these are relevant"
    )
    assert "12 points off on average; after the calibration fitted on validation (the line), 0." in look
    assert "SAME RESULTS" not in look
    told = [text.get_text() for text in figure.axes[1].texts]
    assert (
        told[0] == "60 % of 100 results"
        and told[1].startswith("75 % relevant (")
        and told[3].startswith("30 %")
    )
    np.testing.assert_allclose([bar.get_width() for bar in figure.axes[1].patches], [60, 30, 10, 75, 30, 0])
    points = figure.axes[0].containers[0].lines[0].get_xydata()  # type: ignore[attr-defined]
    np.testing.assert_allclose(points, [[10, 0], [50, 30], [80, 75]])
    figure.savefig(io.BytesIO(), format="png")


def test_the_same_side_twice_is_marked() -> None:
    curve, bands, calibration = parts(np.array([0.1, 0.3]), np.array([False, True]))
    figure = calibration_figure(curve, bands, calibration, (0.1, 0.1), "test", "test")
    assert texts(figure)[0].endswith("no result reaches the high band")
    assert texts(figure)[1].startswith("FITTED AND JUDGED ON THE SAME RESULTS")
    assert "70 % are right at no score" in texts(figure)[1]
    figure.savefig(io.BytesIO(), format="png")


def test_scores_in_a_corner_are_drawn_large() -> None:
    cosines = np.linspace(0.97, 0.999, 100)
    curve, bands, calibration = parts(cosines, np.arange(100) > 30)
    figure = calibration_figure(curve, bands, calibration, (0, 0), "validation", "test")
    assert figure.axes[0].get_xlim() == pytest.approx((96.4, 100))
    wide = parts(np.linspace(0.35, 0.999, 100), np.arange(100) > 30)
    figure = calibration_figure(*wide, (0, 0), "validation", "test")
    assert figure.axes[0].get_xlim() == pytest.approx((30, 100))
    same = parts(np.ones(10), np.arange(10) > 3)
    calibration_figure(*same, (0, 0), "validation", "test").savefig(io.BytesIO(), format="png")
