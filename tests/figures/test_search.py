import io

import numpy as np
import pytest

from lens.figures import Tile, search_figure
from lens.figures.style import INK, RIGHT, WRONG, texts

WHITE = np.full((8, 8, 3), 255, np.uint8)


def test_frames_signs_and_lines_tell_right_from_wrong_without_colour() -> None:
    line = [
        Tile(WHITE, "boots", note="1 of 2 right"),
        Tile(WHITE, "boots", True, 83.4),
        Tile(WHITE, "sandals", False, 0),
        None,
    ]
    figure = search_figure([line, line[:2]], "Head", "Look for green")
    assert texts(figure)[:2] == ["Head", "Look for green"]
    assert texts(figure)[2:] == [
        "boots 1 of 2 right",
        "✓ 83 boots",
        "✗ 0 sandals",
        "",
        "boots 1 of 2 right",
        "✓ 83 boots",
    ]
    spines = [axis.spines["left"] for axis in figure.axes[:3]]
    colours = [axis.title.get_color() for axis in figure.axes[:3]]
    assert colours == [INK, RIGHT, WRONG] and len({spine.get_edgecolor() for spine in spines}) == 3
    assert spines[1].get_linestyle() == "-" and spines[2].get_linestyle() != "-"
    assert not figure.axes[3].axison, "a gap stays empty"


def test_pictures_stand_in_their_lines_and_on_the_sheet() -> None:
    line: list[Tile | None] = [Tile(WHITE, "boots")] * 5
    figure = search_figure([line] * 3, "Head", "Look")
    figure.savefig(io.BytesIO(), format="png")
    boxes = [axis.get_position() for axis in figure.axes]
    assert len({round(box.y0, 6) for box in boxes}) == 3
    assert all(box.x0 >= 0 and box.x1 <= 1 and box.y0 >= 0 and box.y1 <= 1 for box in boxes)
    assert all(left.x1 < right.x0 for left, right in zip(boxes[:4], boxes[1:5], strict=True))
    for axis in figure.axes[5:]:
        title = axis.title.get_window_extent()
        above = min(box.y0 for box in boxes[:5]) * figure.bbox.height
        assert title.y1 <= above or axis.get_position().y0 < boxes[5].y0, "its title covers the line above"


def test_nothing_to_show_is_said() -> None:
    with pytest.raises(ValueError, match="no query"):
        search_figure([], "Head", "Look")
