import io

import numpy as np
import pytest

from lens.figures import confusion_figure
from lens.figures.style import texts


def test_cells_hold_per_cent_and_the_largest_confusion_is_named() -> None:
    shares = np.array([[0.5, 0.4, 0.1], [0.0, 1.0, 0.0], [np.nan] * 3])
    figure = confusion_figure(shares, ["boots", "heels", "5$"], 10, "validation")
    assert texts(figure)[0] == "What the 10 nearest neighbours of each category are (validation)"
    assert (
        "Look for a dark diagonal" in texts(figure)[1]
        and "boots → heels (40 %); boots → 5$ (10 %)." in texts(figure)[1]
    )
    cells = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert cells == {(0, 0): "50", (1, 0): "40", (2, 0): "10", (1, 1): "100"}
    np.testing.assert_allclose(figure.axes[0].images[0].get_array()[0], [50, 40, 10])
    figure.savefig(io.BytesIO(), format="png")


def test_of_many_categories_the_confused_are_shown_and_the_others_summed_up() -> None:
    shares = np.eye(40)
    shares[7, [7, 31]], shares[33, [33, 2, 38]] = [0.2, 0.8], [0.4, 0.5, 0.1]
    figure = confusion_figure(shares, [f"kind {number}" for number in range(40)], 5, "test")
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    columns = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert len(rows) == 30 and columns == [*rows, "all others"]
    assert {"kind 7", "kind 31", "kind 33", "kind 2", "kind 38"} <= set(rows)
    assert not figure.axes[0].texts and "30 of 40 categories" in texts(figure)[1]
    cells = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(cells.sum(axis=1), 100)
    assert cells[rows.index("kind 7"), rows.index("kind 31")] == pytest.approx(80)


def test_one_category_is_no_confusion() -> None:
    with pytest.raises(ValueError, match="one category"):
        confusion_figure(np.ones((1, 1)), ["boots"], 10, "test")
