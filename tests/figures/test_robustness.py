"""The plot and the table show the numbers they are given."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from rich.console import Console

from lens.data.corruptions import CORRUPTIONS
from lens.figures.robustness import print_robustness, robustness_figure
from lens.figures.style import texts


def _table(start: float, severities: tuple[int, ...] = (1, 3, 5)) -> pd.DataFrame:
    cells = [("clean", 0), *((name, severity) for name in CORRUPTIONS for severity in severities)]
    lines = []
    for place, (name, severity) in enumerate(cells):
        mean = start - 0.004 * place
        lines.append(
            {"corruption": name, "severity": severity, "queries": 800, "precision_at_1": mean,
             "precision_at_1_low": mean - 0.05, "precision_at_1_high": mean + 0.04}
        )  # fmt: skip
    return pd.DataFrame(lines)


def test_each_panel_has_a_line_a_model_from_the_clean_query_on() -> None:
    tables = {"first": _table(0.9), "second": _table(0.7, (1, 2, 3, 4, 5))}
    figure = robustness_figure(tables, chance=0.17)
    panels = [axis for axis in figure.axes if axis.lines]
    assert [axis.get_title(loc="left") for axis in panels] == list(CORRUPTIONS)
    for axis, name in zip(panels, CORRUPTIONS, strict=True):
        first, second, chance = axis.lines
        for line, table in zip((first, second), tables.values(), strict=True):
            rows = table[table["corruption"].isin(["clean", name])]
            assert list(line.get_xdata()) == list(rows["severity"])
            np.testing.assert_allclose(line.get_ydata(), rows["precision_at_1"])
        assert set(chance.get_ydata()) == {0.17}
        bands = [one for one in axis.collections if isinstance(one, PolyCollection)]
        heights = bands[0].get_paths()[0].vertices[:, 1]
        rows = tables["first"][tables["first"]["corruption"].isin(["clean", name])]
        assert heights.min() == pytest.approx(rows["precision_at_1_low"].min())
        assert heights.max() == pytest.approx(rows["precision_at_1_high"].max())


def test_a_model_looks_the_same_in_every_panel_and_unlike_the_others() -> None:
    figure = robustness_figure({str(n): _table(0.9 - n / 10) for n in range(5)})
    looks = [
        [(line.get_color(), line.get_marker()) for line in axis.lines] for axis in figure.axes if axis.lines
    ]
    assert all(look == looks[0] for look in looks) and len(set(looks[0])) == 5


def test_head_and_legend_say_what_to_see() -> None:
    figure = robustness_figure({"vit $x$ [new]": _table(0.8)}, chance=0.2)
    head, look, *_ = texts(figure)
    assert "precision@1" in head and "flat" in look and "95 %" in look
    legends = [axis.get_legend() for axis in figure.axes if axis.get_legend()]
    assert len(legends) == 1
    assert [text.get_text() for text in legends[0].get_texts()] == [r"vit \$x\$ [new]", "chance"]
    figure.savefig(io.BytesIO())  # a dollar that were taken for a formula would fail here


@pytest.mark.parametrize("names", [("blur",), ("crop", "blur", "jpeg"), ("crop", "blur", "jpeg", "cover")])
def test_only_measured_corruptions_have_a_panel(names: tuple[str, ...]) -> None:
    table = _table(0.9)
    figure = robustness_figure({"one": table[table["corruption"].isin(["clean", *names])]})
    shown = {axis.get_title(loc="left") for axis in figure.axes if axis.lines}
    assert shown == set(names)
    figure.savefig(io.BytesIO())


def test_without_a_corruption_there_is_nothing_to_show() -> None:
    with pytest.raises(ValueError, match="no table"):
        robustness_figure({"one": _table(0.9).iloc[:1]})
    with pytest.raises(ValueError, match="no table"):
        print_robustness({})


def _printed(tables: dict[str, pd.DataFrame]) -> list[str]:
    file = io.StringIO()
    print_robustness(tables, console=Console(file=file, width=96, soft_wrap=True))
    return file.getvalue().splitlines()


def test_four_models_fit_96_columns_whole() -> None:
    names = ["resnet_tiny", "clip lr=0.0001 seed=1 freeze=true", "vit [b]", "autoencoder"]
    lines = _printed({name: _table(0.9 - place / 10) for place, name in enumerate(names)})
    assert max(map(len, lines)) <= 96
    printed = "\n".join(lines)
    assert "…" not in printed and "vit [b]" in printed and "800 queries" in printed
    rows = [line.split() for line in lines if line.strip().startswith(tuple(CORRUPTIONS))]
    assert len(rows) == 3 * len(CORRUPTIONS)
    assert rows[0] == ["crop", "1", "0.90", "(0.85-0.94)", "0.80", "(0.75-0.84)", "0.70", "(0.65-0.74)",
                       "0.60", "(0.55-0.64)"]  # fmt: skip


def test_what_one_model_lacks_is_a_dash() -> None:
    lines = _printed({"few": _table(0.9), "all": _table(0.8, (1, 2, 3, 4, 5))})
    row = next(line.split() for line in lines if line.strip().startswith("crop 2"))
    assert row[2] == "-" and row[3].startswith("0.")
    order = [line.split()[1] for line in lines if line.strip().startswith("blur")]
    assert order == ["1", "2", "3", "4", "5"]
