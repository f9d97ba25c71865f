"""From tracked runs to a comparison: read, judge, measure, show, keep."""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from lens.compare import tables
from lens.compare.aggregate import figures
from lens.compare.candidates import Candidate, Trained, candidates
from lens.compare.comparison import Comparison, compare, verdicts
from lens.compare.folds import cross_validation
from lens.compare.indicators import measure_missing
from lens.compare.indicators import notes as indicator_notes
from lens.compare.judge import judge
from lens.compare.page import PAGE, Findings, Opener, write_page
from lens.compare.robustness import RobustnessReport, robustness
from lens.compare.sources import Embedded, embedded_by_export, embedded_run, open_run
from lens.compare.worst import worst_queries
from lens.compare.worth import worth
from lens.config import build
from lens.errors import LensError
from lens.figures.robustness import print_robustness
from lens.metrics import Ties
from lens.tracking import RunFacts, add_to_run, run_config, start_note

log = logging.getLogger(__name__)


def read_runs(
    uri: str,
    facts: Sequence[RunFacts],
    *,
    other: dict[str, Any] | None = None,
    split: str | None = None,
    relevance: str | None = None,
    ties: Ties = "expected",
) -> tuple[list[Trained], dict[str, str]]:
    """Each run with its vectors, judged; and name to reason of the runs that cannot be.

    Args:
        other: the configuration of other data, which each run's model embeds now; by default what the runs exported.
        split, relevance, ties: see `lens.compare.judge.judge`.
    """
    found: list[Trained] = []
    left_out: dict[str, str] = {}
    for one in tqdm(facts, desc="judging", unit="run", leave=False):
        try:
            if other is None:
                embedded = embedded_by_export(uri, one.run_id, split)
            else:
                embedded = embedded_run(open_run(uri, one.run_id, other), split)
            judged = judge(
                embedded.vectors,
                embedded.items,
                relevance=relevance or embedded.relevance,
                split=embedded.split,
                ties=ties,
            )
        except LensError as error:
            left_out[f"{one.name} ({one.run_id[:8]})"] = str(error).rstrip(".")
            continue
        folds = one.params.get("data.folds", "None") != "None"  # these are judged on the whole collection too
        found.append(Trained(one, embedded if folds else _held_out(embedded), judged))
    return found, left_out


def _held_out(embedded: Embedded) -> Embedded:
    """Only the side that is judged and the validation side: the vectors of many runs must not fill the memory."""
    if embedded.split is None:
        return embedded
    rows = np.flatnonzero(embedded.items["split"].isin([embedded.split, "val"]))
    items = embedded.items.iloc[rows].reset_index(drop=True)
    return replace(embedded, vectors=embedded.vectors[rows], items=items)


def findings(
    uri: str,
    comparison: Comparison,
    *,
    indicators: bool = True,
    robust: bool = False,
    other: dict[str, Any] | None = None,
) -> Findings:
    """What can be said of the candidates beyond their quality; `indicators` measures what is missing, 10 s a model."""
    found = Findings(comparison, worth=worth(comparison), worst=tuple(worst_queries(comparison)))
    by_folds = {one.name: cross_validation(one) for one in comparison.candidates if _crossed(one)}
    found = replace(found, folds=by_folds)
    first = {one.name: one.runs[0].facts.run_id for one in comparison.candidates}
    if indicators:
        measured = measure_missing(uri, list(first.values()), on_error="skip")
        found = replace(
            found, indicators={name: measured[run] for name, run in first.items() if run in measured}
        )
    if robust:
        found = replace(
            found, robustness={one.name: _robust(uri, one, other) for one in comparison.comparable}
        )
    return found


def _crossed(one: Candidate) -> bool:
    """Whether the runs are folds, judged on the items that each left out."""
    return one.folds and all(run.embedded.data == "own" and run.embedded.split == "test" for run in one.runs)


def _robust(uri: str, candidate: Candidate, other: dict[str, Any] | None) -> RobustnessReport:
    first = candidate.runs[0]
    opened = open_run(uri, first.facts.run_id, other)
    return robustness(opened, first.embedded.split, relevance=first.judged.relevance)


def print_findings(found: Findings) -> None:
    """The tables that fit a terminal, and the verdict last, where it is seen."""
    comparison = found.comparison
    print_quality(comparison)
    if found.folds:
        tables.print_table("Cross-validation, precision@1", tables.folds(found.folds))
    if found.robustness:
        print_robustness({name: one.table for name, one in found.robustness.items()})
    costs = tables.costs(comparison, found.indicators)
    if found.indicators:
        tables.print_table("What it costs", costs, ("model", *tables.COSTS))
        for line in indicator_notes([(name, one) for name, one in found.indicators.items()]):
            print(line)
    tables.print_table("Where it comes from", costs, ("model", *tables.ORIGIN))
    for line in verdicts(comparison):
        print(line)


def print_quality(comparison: Comparison) -> None:
    """The quality table in two parts, each narrow enough for a terminal."""
    table = tables.quality(comparison)
    tables.print_table("Quality as a search (95 % interval)", table, tables.FIRST, tables.BRIEF)
    tables.print_table("Verdict and training", table, tables.THEN)


def keep(
    uri: str,
    experiment: str,
    parent: str | None,
    title: str,
    found: Findings,
    out: Path | None,
    opener: Opener | None,
) -> str:
    """Write the page into ``out`` (or nowhere) and to the sweep's parent, or to a new run; returns that run's id."""
    with tempfile.TemporaryDirectory() as place:
        folder = out or Path(place)
        written = write_page(folder, title, found, opener)
        run_id = parent or start_note(uri, experiment, title, {"comparison": _ids(found.comparison)})
        add_to_run(uri, run_id, files=written, folder="comparison")
    return run_id


def _ids(comparison: Comparison) -> str:
    return " ".join(run.facts.run_id for one in comparison.candidates for run in one.runs)


def pictures_of(uri: str, comparison: Comparison, other: dict[str, Any] | None) -> Opener | None:
    """Opens an item's picture by its id; None where the images are not at hand."""
    run = comparison.best.runs[0]
    try:
        config: Mapping[str, Any] = other or run_config(uri, run.facts.run_id)["data"]
        catalogue = build(dict(config)).read()
    except LensError as error:
        log.warning("The page shows no pictures: %s", error)
        return None
    row = {item: place for place, item in enumerate(catalogue.table["item_id"])}

    def opener(item_id: str) -> Any:
        try:
            return catalogue.open_image(row[item_id]) if item_id in row else None
        except LensError:
            return None

    return opener


def compare_runs(trained: Sequence[Trained], left_out: Mapping[str, str]) -> Comparison:
    """Group the runs and compare the groups. Raises LensError where none can be judged."""
    return compare(candidates(trained), left_out)


def compare_and_keep(
    uri: str,
    experiment: str,
    parent: str | None,
    runs: Sequence[RunFacts],
    *,
    other: dict[str, Any] | None,
    how: Mapping[str, Any],
    indicators: bool,
    robust: bool,
    out: Path | None,
) -> None:
    """Compare runs, show it, and keep the page: with the sweep's parent or a run of its own, and in ``out``.

    The parent gets page and figures only where its runs are judged as they were trained.
    how: split, relevance and ties, see `read_runs`. Raises LensError where no run can be judged.
    """
    if out is not None and out.is_file():
        raise LensError(f"out={out} is a file; several runs need a folder.")
    comparison = compare_runs(*read_runs(uri, runs, other=other, **how))
    found = findings(uri, comparison, indicators=indicators, robust=robust, other=other)
    print_findings(found)
    title = f"Sweep {parent[:8]}" if parent else f"Comparison of {len(runs)} runs"
    if other is not None or how["split"] or how["relevance"]:
        parent = None
    if parent is not None:
        add_to_run(uri, parent, metrics=figures(comparison, found), tags={"best": comparison.best.name})
    run_id = keep(uri, experiment, parent, title, found, out, pictures_of(uri, comparison, other))
    print(f"The page: {out / PAGE if out else f'comparison/{PAGE} of run {run_id}'}")
