"""The page of a comparison: self-contained, true to its tables, and safe with any name."""

import re
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lens.compare import tables
from lens.compare.aggregate import figures
from lens.compare.candidates import candidates
from lens.compare.comparison import compare
from lens.compare.folds import cross_validation
from lens.compare.page import Findings, plots, write_page
from lens.compare.worst import worst_queries
from lens.compare.worth import worth
from lens.errors import LensError
from lens.figures.style import texts
from lens.figures.tradeoff import pareto_front, tradeoff_figure
from tests.compare.made import folded, items, trained


@pytest.fixture(scope="module")
def found() -> Findings:
    table = items(120, ["test" if n % 3 else "val" for n in range(120)])
    runs = [trained(0.5, table=table), trained(0.5, 1, table=table), trained(2.0, model="<b>&x", table=table)]
    comparison = compare(candidates(runs))
    return Findings(comparison, worth=worth(comparison), worst=tuple(worst_queries(comparison)))


def test_the_page_stands_alone_and_shows_every_figure(found: Findings, tmp_path: Path) -> None:
    opened: list[str] = []

    def opener(item_id: str) -> Image.Image:
        opened.append(item_id)
        return Image.new("RGB", (300, 200), "red")

    written = write_page(tmp_path / "new" / "out", "A title", found, opener)
    assert {path.name for path in written} == {"comparison.html", "comparison.csv", "quality.png"}
    text = (tmp_path / "new" / "out" / "comparison.html").read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text), "nothing is fetched from elsewhere"
    assert "&lt;b&gt;&amp;x" in text and "<b>&x" not in text
    for table in (
        tables.quality(found.comparison),
        tables.bands(found.worth),
        tables.categories(found.comparison),
    ):
        for cells in table.rows:
            for cell, small in cells[1:]:
                assert escape(cell) in text and escape(small) in text
    shown = sum(1 + sum(map(len, query.answers.values())) for query in found.worst)
    assert len(opened) == shown
    assert text.count("data:image/jpeg") == shown + sum(len(query.answers) - 1 for query in found.worst)


def test_the_csv_is_the_quality_table(found: Findings, tmp_path: Path) -> None:
    write_page(tmp_path, "t", found, None)
    table = pd.read_csv(tmp_path / "comparison.csv").set_index("model")
    best = found.comparison.best
    assert table.loc[best.name, "precision_at_1"] == pytest.approx(best.intervals["precision_at_1"].mean)
    assert table.loc[best.name, "runs"] == 2
    assert {
        "p_adjusted",
        "difference_to_best",
        "gap",
        "train_loss",
        "test_loss",
        "weights",
        "commit",
        "data",
    } <= set(table)


def test_a_page_without_pictures_says_which_items_it_means(found: Findings, tmp_path: Path) -> None:
    write_page(tmp_path, "t", found, None)
    text = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert "data:image/jpeg" not in text
    assert all(query.item_id in text for query in found.worst)


def test_a_place_that_cannot_be_written_is_one_sentence(found: Findings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(LensError, match="cannot be written"):
        write_page(tmp_path / "file", "t", found, None)


def test_a_second_page_replaces_the_first_and_leaves_no_other_file(found: Findings, tmp_path: Path) -> None:
    for _ in range(2):
        write_page(tmp_path, "t", found, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "comparison.csv",
        "comparison.html",
        "quality.png",
    ]


def test_folds_have_their_own_table_and_metrics() -> None:
    comparison = compare(candidates(folded(0.6)))
    found = Findings(comparison, folds={comparison.best.name: cross_validation(comparison.best)})
    rows = tables.folds(found.folds).rows
    assert [row[-1][0] for row in rows] == ["4 runs", *["40 queries"] * 3]
    values = figures(comparison, found)
    assert values["folds/precision_at_1_mean"] == pytest.approx(comparison.best.seeds.mean)
    assert values["test/precision_at_1"] == comparison.best.intervals["precision_at_1"].mean
    assert (
        values["whole/precision_at_1_low"]
        <= values["whole/precision_at_1"]
        <= values["whole/precision_at_1_high"]
    )


def test_plots_say_what_to_look_for(found: Findings) -> None:
    quality = {one.name: one.intervals["precision_at_1"] for one in found.comparison.comparable}
    figure = tradeoff_figure(
        quality, {name: 1.0 + place for place, name in enumerate(quality)}, unit="ms a query"
    )
    assert any("Upper left" in text for text in texts(figure))
    assert set(plots(found)) == {"quality.png"}
    assert plots(replace(found, indicators={})).keys() == {"quality.png"}


def test_the_pareto_front_is_what_nobody_beats() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        points = random.integers(0, 5, size=(6, 2))  # with ties
        slow = {
            i
            for i, (q, c) in enumerate(points)
            if not any((p[0] >= q and p[1] <= c) and tuple(p) != (q, c) for p in points)
        }
        assert pareto_front(*points.T.astype(float)) == slow
