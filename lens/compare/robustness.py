"""How far a search falls when its queries look like a shopper's photo: the gallery stays as it is."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch.utils.data import DataLoader
from tqdm import tqdm

from lens.compare.sources import OpenedRun
from lens.data.corruptions import CORRUPTIONS, CorruptedItems, Shot, check_known
from lens.data.module import ShoppingData
from lens.errors import LensError
from lens.metrics import RetrievalScores, Ties, intervals, retrieval_scores
from lens.tracking import add_to_run

CLEAN = ("clean", 0)
KS = (1, 10)
METRICS = ("precision_at_1", "precision_at_10", "map_at_r")

Cell = tuple[str, int]
"""A corruption and its severity."""
Embed = Callable[[Iterable[Mapping[str, Any]]], np.ndarray]
"""Batches that hold ``image`` float32 [B, 3, S, S] to vectors float [N, D], in their order."""


@dataclass(frozen=True)
class RobustnessReport:
    """One model's search under every corruption and severity, on the same queries.

    table: a row a corruption and severity, the first ("clean", 0); columns corruption, severity, queries, for each
        metric of METRICS its mean and, with _low and _high, its 95 % interval (over products where these have
        several queries), and relative: precision_at_1 over that of the clean queries, NaN where that is 0.
    per_query: (corruption, severity) to metric to float64 [Q], in the order of query_ids: for paired comparisons.
    query_ids, products: str [Q].
    available: how many queries with a relevant item there were to draw the Q from.
    chance: metric to what a random order of the gallery scores on these queries.
    """

    table: pd.DataFrame
    per_query: dict[Cell, dict[str, np.ndarray]]
    query_ids: np.ndarray
    products: np.ndarray
    available: int
    chance: dict[str, float]


def robustness(
    opened: OpenedRun,
    split: str | None = None,
    *,
    relevance: str | None = None,
    **how: Any,
) -> RobustnessReport:
    """The robustness of a run, on the items that `lens.compare.sources.embedded_run` would embed.

    Args:
        split: the side judged; by default test, or all of other data.
        relevance: ``category`` or ``product``; by default what the run was trained on.
        how: see `corrupted_search`.

    Raises LensError, see `corrupted_search`.
    """
    data = opened.data
    chosen = split or ("test" if opened.own else None)
    rows = np.arange(len(data.catalogue)) if chosen is None else data.rows(chosen)
    judged_by = relevance or opened.config["data"]["relevance"]
    return corrupted_search(partial(opened.embed, progress=None), data, rows, relevance=judged_by, **how)


def corrupted_search(
    embed: Embed,
    data: ShoppingData,
    rows: np.ndarray,
    *,
    relevance: str | None = None,
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    severities: Sequence[int] = (1, 3, 5),
    most_queries: int | None = 1000,
    seed: int = 0,
    ties: Ties = "expected",
    progress: bool = True,
) -> RobustnessReport:
    """Search the catalogue's rows int [n] with queries that are clean, then corrupted; an item never finds itself.

    The clean gallery is embedded once. Which queries are drawn, and what is done to each, depends on the item ids, the
    labels, the seed and the image size alone: models judged on the same items can be compared query by query.

    Args:
        data: after ``setup``; roles of its items count as in every evaluation.
        relevance: ``category`` or ``product``; by default that of the data.
        most_queries: more than these are sampled, each label by its share; None takes all.
        ties: see `lens.metrics.retrieval_scores`.

    Raises:
        LensError: an unknown corruption or severity, or no query has an item to find.
    """
    check_known(corruptions, severities)
    if most_queries is not None and most_queries < 1:
        raise LensError(f"most_queries={most_queries}: give at least 1, or null for all.")
    labels = data.labels[relevance or data.relevance]
    table = data.catalogue.table
    gallery, eligible = _gallery_and_queries(rows, labels, table["role"].to_numpy(dtype=str))
    ids = table["item_id"].to_numpy(dtype=str)
    queries = stratified_sample(eligible, labels[eligible], ids[eligible], most_queries, seed)
    cells = [(name, severity) for name in corruptions for severity in severities if severity > 0]
    vectors = _embeddings(embed, data, gallery, queries, cells, seed, progress)
    found = next(vectors)
    scores: dict[Cell, RetrievalScores] = {
        cell: retrieval_scores(
            asked, labels[queries], queries, found, labels[gallery], gallery, ks=KS, ties=ties
        )
        for cell, asked in zip([CLEAN, *cells], vectors, strict=True)
    }
    per_query = {cell: {name: one.per_query[name] for name in METRICS} for cell, one in scores.items()}
    products = table["product_id"].to_numpy(dtype=str)[queries]
    chance = {name: scores[CLEAN].chance[name] for name in METRICS}
    return RobustnessReport(
        _table(per_query, products), per_query, ids[queries], products, len(eligible), chance
    )


def stratified_sample(
    rows: np.ndarray, labels: np.ndarray, ids: np.ndarray, most: int | None, seed: int
) -> np.ndarray:
    """At most so many of the rows, ascending: of each label its share, give or take one.

    The draw depends on the ids str [n], the labels int [n] and the seed, not on the order or numbers of the rows.
    """
    if most is None or len(rows) <= most:
        return np.sort(rows)
    drawn = [hashlib.blake2b(f"{seed}/{item}".encode(), digest_size=8).hexdigest() for item in ids]
    frame = pd.DataFrame({"row": rows, "label": labels, "drawn": drawn}).sort_values("drawn")
    group = frame.groupby("label")["drawn"]
    # Where an item stands in its label, from 0 to 1: the smallest of these are an equal share of every label.
    frame["stands"] = (group.cumcount() + 0.5) / group.transform("size")
    return np.sort(frame.sort_values(["stands", "drawn"])["row"].to_numpy()[:most])


def _gallery_and_queries(
    rows: np.ndarray, labels: np.ndarray, roles: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are searched, and those that can be asked for: with a relevant item other than themselves."""
    rows = np.sort(rows)
    gallery, asked = rows[roles[rows] != "query"], rows[roles[rows] != "gallery"]
    same = np.bincount(labels[gallery], minlength=int(labels.max(initial=0)) + 1)[labels[asked]]
    asked = asked[same - (roles[asked] != "query") > 0]
    if not len(asked):
        raise LensError(f"None of the {len(rows)} items to be judged has a relevant item to find.")
    return gallery, asked


def _embeddings(
    embed: Embed,
    data: ShoppingData,
    gallery: np.ndarray,
    queries: np.ndarray,
    cells: Sequence[Cell],
    seed: int,
    progress: bool,
) -> Iterator[np.ndarray]:
    """Vectors of the gallery, then of the queries: clean, then under each of the cells."""
    ids = data.catalogue.table["item_id"].tolist()
    spans = [queries[first : first + data.batch_size] for first in range(0, len(queries), data.batch_size)]
    batches = [[Shot(row, *cell) for row in span.tolist()] for cell in cells for span in spans]
    own, asked = data.evaluation_loader(gallery), data.evaluation_loader(queries)
    # One loader for all cells: its processes start once, and keep what they have decoded.
    loader = DataLoader(
        CorruptedItems(data.pictures, ids, seed),
        batch_sampler=batches,
        num_workers=own.num_workers,
        generator=own.generator,
    )
    total = len(own) + len(asked) + len(batches)
    with tqdm(total=total, desc="robustness", unit="batch", disable=not progress, leave=False) as bar:
        yield embed(_counted(own, bar))
        yield embed(_counted(asked, bar))
        stream = iter(loader)
        for _ in cells:
            yield embed(_counted(islice(stream, len(spans)), bar))


def _counted(batches: Iterable[Any], bar: Any) -> Iterator[Any]:
    for batch in batches:
        yield batch
        bar.update()


def _table(per_query: Mapping[Cell, Mapping[str, np.ndarray]], products: np.ndarray) -> pd.DataFrame:
    clusters = np.unique(products, return_inverse=True)[1]
    lines = []
    for (corruption, severity), values in per_query.items():
        line: dict[str, Any] = {"corruption": corruption, "severity": severity, "queries": len(products)}
        for name, one in intervals(values, clusters).items():
            line |= {name: one.mean, f"{name}_low": one.low, f"{name}_high": one.high}
        lines.append(line)
    table = pd.DataFrame(lines)
    clean = table["precision_at_1"].iloc[0]
    return table.assign(relative=table["precision_at_1"] / clean if clean > 0 else np.nan)


def log_robustness(uri: str, opened: OpenedRun, split: str | None, relevance: str) -> list[dict[Any, Any]]:
    """Measure one run, show it, keep table and plot with it as ``robustness/...``; returns the rows of the table.

    What is not a number there is None, so that the rows can be written as JSON.
    """
    from lens.figures.robustness import print_robustness, robustness_figure

    report = robustness(opened, split, relevance=relevance)
    name = str(opened.config["name"])
    print_robustness({name: report.table})
    with tempfile.TemporaryDirectory() as folder:
        table, plot = Path(folder) / "robustness.csv", Path(folder) / "robustness.png"
        report.table.to_csv(table, index=False)
        robustness_figure({name: report.table}, chance=report.chance["precision_at_1"]).savefig(plot)
        changed = report.table[report.table["severity"] > 0]
        figures = {"robustness/precision_at_1": float(changed["precision_at_1"].mean())}
        add_to_run(uri, opened.run_id, metrics=figures, files=[table, plot], folder="robustness")
    return report.table.astype(object).where(report.table.notna(), None).to_dict("records")
