"""One set of vectors: judged, shown, and kept with its run."""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from lens.compare import triplets
from lens.compare.indicators import measure_missing, print_indicators
from lens.compare.judge import judge
from lens.compare.queries import Asked, judge_queries
from lens.compare.robustness import log_robustness
from lens.compare.score import as_result, print_result
from lens.compare.sources import Embedded, OpenedRun
from lens.errors import LensError
from lens.metrics import Ties
from lens.tracking import log_evaluation


def judge_one(
    uri: str,
    found: Embedded,
    opened: OpenedRun | None = None,
    *,
    relevance: str | None = None,
    ties: Ties = "expected",
    robust: bool = False,
    indicators: bool = False,
    asked: Asked | None = None,
) -> dict[str, Any]:
    """Print and log the scores of vectors; returns them as plain values.

    Args:
        opened: the run whose model embedded them now, needed for what follows.
        robust, indicators: judge changed queries too; measure time, memory and size.
        asked: other ways to ask than by an image.

    Raises LensError, see `lens.compare.judge.judge`.
    """
    judged = judge(
        found.vectors, found.items, relevance=relevance or found.relevance, split=found.split, ties=ties
    )
    print_result(found.title, judged)
    about = {"source": found.title, "data": found.data, "split": found.split or "all", "run_id": found.run_id}
    result = as_result(judged, **about, ties=ties)
    if opened and robust:
        result["robustness"] = log_robustness(uri, opened, found.split, judged.relevance)
    if opened and indicators:
        measured = measure_missing(uri, [opened.run_id])[opened.run_id]
        print_indicators([(opened.config["name"], measured)])
        result["indicators"] = measured.to_dict()
    more: dict[str, float | None] = {}
    if asked is not None:
        result["queries_by"], more = judge_queries(uri, found, opened, asked, judged.relevance)
    kept = {**result, "metrics": {**result["metrics"], **more}}
    _log(uri, found.run_id, kept, needed=opened is not None)
    return result


def judge_agreement(uri: str, found: Embedded, judgements: pd.DataFrame, file: str) -> dict[str, Any]:
    """Print and log how far vectors agree with people's judgements; returns it as plain values.

    Raises LensError, see `lens.compare.triplets.judge_triplets`.
    """
    report = triplets.judge_triplets(found.vectors, found.items, judgements)
    triplets.print_triplets(found.title, report)
    result = triplets.as_result(report, source=found.title, triplets_file=file, run_id=found.run_id)
    figures = {name: result[name] for name in ("triplet_agreement", "low", "high", "triplets")}
    logged = {**result, "metrics": figures, "data": "triplets", "split": Path(file).stem}
    _log(uri, found.run_id, logged, needed=False)
    return result


def _log(uri: str, run_id: str | None, result: dict[str, Any], needed: bool) -> None:
    """To the run's record; an index may have come from another machine, without its run."""
    if run_id is None:
        return
    try:
        log_evaluation(uri, run_id, result)
    except LensError as error:
        if needed:
            raise
        print(f"Not logged: {error}", file=sys.stderr)
