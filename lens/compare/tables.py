"""The tables of a comparison, as plain text cells: the terminal and the page show the same ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from lens.compare.comparison import Comparison, quality_table, settings_table
from lens.compare.folds import CrossValidation
from lens.compare.indicators import Indicators
from lens.compare.judge import HEADLINE
from lens.compare.robustness import RobustnessReport
from lens.compare.worth import Worth
from lens.metrics import Interval

Cell = tuple[str, str]
"""What is to be read, and what stands small beside it."""


# Of the quality table, what fits a terminal at once.
FIRST = ("model", "runs", "queries", "P@1", "less the best", "P@10", "MAP@R")
BRIEF = ("P@10", "MAP@R")
THEN = ("model", "verdict", "nDCG@10", "gap", "train loss", "test loss")
ORIGIN = ("weights", "commit", "data")
COSTS = (
    "ms a query", "images/s", "memory MB", "GPU MB", "parameters M", "GFLOPs", "size", "index bytes/item",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Rows of cells below headings; marks holds "best", "other" or "" for each row."""

    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    marks: tuple[str, ...]


def number(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash where there is none."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def short(value: float | None) -> str:
    """A figure with three digits that count, thousands apart."""
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def with_interval(one: Interval | None) -> Cell:
    """A mean with its interval beside it."""
    return ("–", "") if one is None else (number(one.mean), _range(one.low, one.high))


def _range(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}" if np.isfinite(low) and np.isfinite(high) else ""


def quality(comparison: Comparison) -> Table:
    """Quality with intervals, the difference to the best, and signs of overfitting."""
    headings = (
        "model", "runs", "queries", "P@1", "less the best", "verdict", "P@10", "MAP@R", "nDCG@10", "gap", "train loss",
        "test loss",
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for one, (_, line) in zip(comparison.candidates, quality_table(comparison).iterrows(), strict=True):
        difference = comparison.differences.get(one.name)
        gain: Cell = ("", "")
        if difference is not None:
            p_value = comparison.adjusted[one.name]
            beside = f"{difference.low:+.3f} to {difference.high:+.3f}, p {_p(p_value)}"
            gain = (f"{difference.mean:+.3f}", beside)
        runs = str(len(one.runs)) + (" folds" if one.folds else "")
        spread = f"±{one.seeds.sd:.3f}" if np.isfinite(one.seeds.sd) else ""
        rows.append(
            (
                (one.name, ""),
                (runs, spread),
                (str(line["queries"]), ""),
                with_interval(one.intervals[HEADLINE]),
                gain,
                (str(line["verdict"]), ""),
                with_interval(one.intervals["precision_at_10"]),
                with_interval(one.intervals["map_at_r"]),
                (number(one.intervals["ndcg_at_10"].mean), ""),
                (number(line["gap"]), ""),
                (short(line["train_loss"]), ""),
                (short(line["test_loss"]), ""),
            )
        )
    return Table(headings, tuple(rows), _marks(comparison))


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _marks(comparison: Comparison) -> tuple[str, ...]:
    names = [one.name for one in comparison.candidates]
    return tuple(
        "best" if not i else "other" if name in comparison.other_data else "" for i, name in enumerate(names)
    )


def costs(comparison: Comparison, indicators: Mapping[str, Indicators]) -> Table:
    """What a query costs, where that was measured of any, and where the model comes from."""
    rows: list[tuple[Cell, ...]] = []
    for one, (_, line) in zip(comparison.candidates, quality_table(comparison).iterrows(), strict=True):
        cost = indicators.get(one.name)
        measured: tuple[Cell, ...] = (("–", ""),) * len(COSTS) if cost is None else _cost_cells(cost)
        origin = ((str(line["weights"]), ""), (str(line["commit"]), ""), (str(line["data"]), ""))
        rows.append(((one.name, ""), *(measured if indicators else ()), *origin))
    return Table(("model", *(COSTS if indicators else ()), *ORIGIN), tuple(rows), _marks(comparison))


def _cost_cells(cost: Indicators) -> tuple[Cell, ...]:
    return (
        (short(cost.latency_p50_ms), f"p95 {short(cost.latency_p95_ms)}"),
        (short(cost.images_per_second), ""),
        (short(cost.memory_query_mb), f"process {short(cost.memory_process_mb)}"),
        (short(cost.gpu_memory_mb), ""),
        (short(cost.parameters / 1e6), ""),
        (short(cost.flops / 1e9 if cost.flops is not None else None), ""),
        (str(cost.embedding_size), ""),
        (short(cost.index_bytes_per_item), ""),
    )


def categories(comparison: Comparison) -> Table:
    """Precision@1 by category, a column a candidate: the mean of its queries, each the mean of the runs."""
    columns = {
        one.name: pd.Series(one.per_query[HEADLINE]).groupby(one.query_categories).agg(["mean", "size"])
        for one in comparison.candidates
    }
    rows: list[tuple[Cell, ...]] = []
    for name in sorted(set().union(*(part.index for part in columns.values()))):
        sizes = [int(part["size"].get(name, 0)) for part in columns.values()]
        cells = [(number(part["mean"].get(name)), "") for part in columns.values()]
        rows.append(((str(name), f"{max(sizes)} queries"), *cells))
    macro = [(number(part["mean"].mean() if len(part) else None), "") for part in columns.values()]
    rows.append((("macro", ""), *macro))
    return Table(("category", *columns), tuple(rows), ("",) * len(rows))


def bands(found: Mapping[str, Worth]) -> Table:
    """How many of the results in each band of the shown score are relevant, and where calibrated bands would begin."""
    headings = (
        "model",
        "shown as high (70 to 100)",
        "medium (40 to 69)",
        "low",
        "calibrated high from",
        "of these relevant",
    )
    rows: list[tuple[Cell, ...]] = []
    for name, one in found.items():
        cells = [_band(line) for _, line in one.bands.iterrows()]
        start, kept = ("–", ""), ("–", "")
        if one.calibration is not None and one.calibrated is not None:
            high = one.calibration.high
            start = ("never" if high is None else f"{100 * high:.0f}", "")
            kept = _band(one.calibrated.iloc[0])
        rows.append(((name, ""), *cells, start, kept))
    return Table(headings, tuple(rows), ("",) * len(rows))


def _band(line: pd.Series) -> Cell:
    if not line["results"]:
        return "none", ""
    beside = (
        f"{_range(line['precision_low'], line['precision_high'])}, {100 * line['share']:.0f} % of results"
    )
    return f"{100 * line['precision']:.0f} % relevant", beside


def robustness(found: Mapping[str, RobustnessReport]) -> Table:
    """Precision@1 by corruption and severity, a column a candidate."""
    lines = {name: one.table.set_index(["corruption", "severity"])[HEADLINE] for name, one in found.items()}
    rows: list[tuple[Cell, ...]] = []
    for key in next(iter(lines.values())).index:
        cells = [(number(float(values.get(key, np.nan))), "") for values in lines.values()]
        rows.append(((f"{key[0]} {key[1]}", ""), *cells))
    return Table(("queries", *lines), tuple(rows), ("",) * len(rows))


def folds(found: Mapping[str, CrossValidation]) -> Table:
    """Precision@1 of a cross-validation, judged in four ways: a row a way."""
    rows: list[tuple[Cell, ...]] = []
    for name, one in found.items():
        mean = (number(one.folds.mean), _range(one.folds.low, one.folds.high))
        rows.append(((name, ""), ("mean of the runs", ""), mean, (f"{one.folds.n} runs", "")))
        for way, interval in (
            ("each query in its own fold", one.pooled[HEADLINE]),
            ("out-of-fold vectors as one index", one.out_of_fold.intervals[HEADLINE]),
            ("each query in the whole collection", one.whole[HEADLINE]),
        ):
            rows.append(((name, ""), (way, ""), with_interval(interval), (f"{interval.queries} queries", "")))
    return Table(("model", "judged", "P@1", "of"), tuple(rows), ("",) * len(rows))


def settings(comparison: Comparison) -> Table:
    """The settings in which the candidates differ."""
    table = settings_table(comparison)
    rows = tuple(
        ((str(key), ""), *((str(value), "") for value in line))
        for key, line in zip(table.index, table.to_numpy(), strict=True)
    )
    return Table(("setting", *map(str, table.columns)), rows, ("",) * len(rows))


def runs(comparison: Comparison) -> Table:
    """One line a run: its seed, its own figures, its id."""
    rows: list[tuple[Cell, ...]] = []
    for one in comparison.candidates:
        for run in one.runs:
            params, at = run.facts.params, run.judged.intervals[HEADLINE]
            own = (params.get("seed", "–"), params.get("data.fold", "–"))
            rows.append(
                (
                    (run.facts.name, ""),
                    *((value if value != "None" else "–", "") for value in own),
                    with_interval(at),
                    (str(at.queries), ""),
                    (str(run.judged.scores.tied_queries), ""),
                    (run.facts.run_id, ""),
                )
            )
    headings = ("run", "seed", "fold", "P@1", "queries", "with ties", "id")
    return Table(headings, tuple(rows), ("",) * len(rows))


def print_table(title: str, table: Table, keep: Sequence[str] = (), brief: Sequence[str] = ()) -> None:
    """A table for the terminal; what is small on the page stands in brackets.

    keep: the headings to be shown, all where empty; brief: those without what is in brackets.
    """
    shown = RichTable(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    places = [place for place, heading in enumerate(table.headings) if heading in (keep or table.headings)]
    for place in places:
        first = place == 0
        shown.add_column(
            escape(table.headings[place]),
            justify="left" if first else "right",
            no_wrap=not first,
            overflow="fold",
            max_width=30 if first else None,
        )
    for cells in table.rows:
        line = [
            cells[place][:1] if table.headings[place] in brief else _bracketed(cells[place])
            for place in places
        ]
        shown.add_row(*(escape(" ".join(part for part in cell if part)) for cell in line))
    # As wide as its content needs, also on a narrow terminal and in a file.
    Console(width=max(Console().width, 124), soft_wrap=True).print(shown)


def _bracketed(cell: Cell) -> Cell:
    return cell[0], f"({cell[1]})" if cell[1] else ""
