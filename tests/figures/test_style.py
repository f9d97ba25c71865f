import io

import pytest
from matplotlib.figure import Figure

from lens.figures.style import label, percent, sheet, short, texts


def test_long_names_lose_their_middle_and_a_dollar_is_no_formula() -> None:
    assert short("boots") == "boots"
    assert short("women's sneakers and athletic shoes", 11) == "women…shoes"
    assert len(short("x" * 40, 18)) == 18 and short("x" * 18, 18) == "x" * 18
    assert short("5$ to 10$") == "5$ to 10$" and label("5$ to 10$") == r"5\$ to 10\$"


def test_a_share_is_read_as_per_cent() -> None:
    assert percent(0.704) == "70 %" and percent(1) == "100 %"


@pytest.mark.parametrize("width", [3.0, 7.0, 14.0])
def test_the_head_stays_on_the_sheet_and_above_the_axes(width: float) -> None:
    head, look = "What it shows " * 9, "Look for this and, $if$ not, for that; " * 9
    figure, top = sheet(width, 2.0, head, look, layout=False)
    assert figure.get_figheight() * top == pytest.approx(2.0) and figure.get_figwidth() >= 7
    figure.savefig(io.BytesIO(), format="png")
    boxes = [text.get_window_extent() for text in figure.texts]
    full = figure.bbox
    assert boxes[0].y1 <= full.y1 and boxes[0].y0 >= boxes[1].y1 - 1 and boxes[1].y0 >= full.y1 * top
    assert max(box.x1 for box in boxes) <= full.x1
    assert max(box.x1 for box in boxes) > 0.8 * full.x1, "half of the width is left empty"
    assert texts(figure) == [head.strip(), look.strip()]


def test_no_figure_goes_through_pyplot() -> None:
    import sys

    assert isinstance(sheet(7, 1, "a", "b")[0], Figure)
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
