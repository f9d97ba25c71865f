"""A comparison as one self-contained HTML page, with its CSV and plots beside it."""

import base64
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure
from PIL import Image

from lens.compare import tables
from lens.compare.comparison import Comparison, quality_table, verdicts
from lens.compare.folds import CrossValidation
from lens.compare.indicators import Indicators
from lens.compare.judge import HEADLINE
from lens.compare.robustness import RobustnessReport
from lens.compare.worst import WorstQuery
from lens.compare.worth import Worth
from lens.errors import LensError
from lens.figures.robustness import robustness_figure
from lens.figures.tradeoff import interval_figure, tradeoff_figure

PAGE, TABLE = "comparison.html", "comparison.csv"
THUMBNAIL = 96

Opener = Callable[[str], Image.Image | None]
"""Item id to picture, None where it cannot be had."""


@dataclass(frozen=True)
class Findings:
    """All that a comparison shows; everything beside the comparison itself is by candidate name, and may be empty."""

    comparison: Comparison
    indicators: Mapping[str, Indicators] = field(default_factory=dict)
    worth: Mapping[str, Worth] = field(default_factory=dict)
    folds: Mapping[str, CrossValidation] = field(default_factory=dict)
    robustness: Mapping[str, RobustnessReport] = field(default_factory=dict)
    worst: tuple[WorstQuery, ...] = ()


def plots(findings: Findings) -> dict[str, Figure]:
    """File name to figure."""
    comparison = findings.comparison
    quality = {one.name: one.intervals[HEADLINE] for one in comparison.comparable}
    over = "products" if comparison.best.runs[0].judged.clustered else "queries"
    found = {"quality.png": interval_figure(quality, chance=comparison.best.chance, over=over)}
    latency = {name: one.latency_p50_ms for name, one in findings.indicators.items()}
    size = {name: float(one.index_bytes_per_item or np.nan) for name, one in findings.indicators.items()}
    if latency:
        found["quality_latency.png"] = tradeoff_figure(
            quality, latency, unit="milliseconds a query, median, batch 1"
        )
        found["quality_index.png"] = tradeoff_figure(quality, size, unit="index bytes an item")
    if findings.robustness:
        found["robustness.png"] = robustness_figure(
            {name: one.table for name, one in findings.robustness.items()},
            chance=next(iter(findings.robustness.values())).chance[HEADLINE],
        )
    return found


def write_page(folder: Path, title: str, findings: Findings, opener: Opener | None) -> list[Path]:
    """Write comparison.html, comparison.csv and the plots into a folder, each whole or not at all; returns their paths.

    Raises LensError where the folder cannot be written.
    """
    figures = {name: _png(figure) for name, figure in plots(findings).items()}
    frame = quality_table(findings.comparison)
    measured = {name: one.metrics() for name, one in findings.indicators.items()}
    costs = pd.DataFrame([measured.get(name, {}) for name in frame["model"]], index=frame.index)
    contents = {
        PAGE: _html(title, findings, figures, opener).encode(),
        TABLE: pd.concat([frame, costs], axis=1).to_csv(index=False).encode(),
        **figures,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            _write(folder / name, content)
    except OSError as error:
        raise LensError(f"out={folder} cannot be written: {error.strerror or error}.") from error
    return [folder / name for name in contents]


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_bytes(content)
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def _html(title: str, findings: Findings, figures: Mapping[str, bytes], opener: Opener | None) -> str:
    comparison = findings.comparison
    best = comparison.best.runs[0]
    environment = Environment(loader=PackageLoader("lens.compare", ""), autoescape=True, trim_blocks=True)
    hardware = sorted({str(one.hardware) for one in findings.indicators.values()})
    return environment.get_template("comparison.html.j2").render(
        title=title,
        subtitle=_subtitle(comparison),
        verdicts=verdicts(comparison),
        quality=tables.quality(comparison),
        clustered=best.judged.clustered,
        costs=tables.costs(comparison, findings.indicators),
        hardware=hardware,
        bands=tables.bands(findings.worth) if findings.worth else None,
        robustness=tables.robustness(findings.robustness) if findings.robustness else None,
        categories=tables.categories(comparison),
        folds=tables.folds(findings.folds) if findings.folds else None,
        worst=[_with_pictures(query, opener) for query in findings.worst],
        settings=tables.settings(comparison),
        runs=tables.runs(comparison),
        plots=[
            {"alt": name, "source": _uri(content, "png"), "broad": name == "robustness.png"}
            for name, content in figures.items()
        ],
    )


def _subtitle(comparison: Comparison) -> str:
    best, runs = comparison.best.runs[0], sum(len(one.runs) for one in comparison.candidates)
    side = f"the {best.embedded.split} side" if best.embedded.split else "all items"
    data = "their own data" if best.embedded.data == "own" else best.embedded.data
    ways = len(comparison.candidates)
    return f"{ways} ways to train, {runs} runs, judged on {side} of {data}, relevance by {best.judged.relevance}."


def _with_pictures(query: WorstQuery, opener: Opener | None) -> dict[str, Any]:
    answers = {
        name: [vars(one) | {"picture": _thumbnail(one.item_id, opener)} for one in found]
        for name, found in query.answers.items()
    }
    return vars(query) | {"picture": _thumbnail(query.item_id, opener), "answers": answers}


def _thumbnail(item_id: str, opener: Opener | None) -> str | None:
    picture = opener(item_id) if opener is not None else None
    if picture is None:
        return None
    small, content = picture.copy(), io.BytesIO()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    small.save(content, "JPEG", quality=80)
    return _uri(content.getvalue(), "jpeg")


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
