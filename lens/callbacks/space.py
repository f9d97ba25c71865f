"""One side embedded and searched once, and what the pictures and the calibration take from it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl

from lens.callbacks.retrieval import embed_rows
from lens.metrics.calibration import Calibration, band_table, calibrate, calibration_error, reliability
from lens.metrics.retrieval import neighbours

NAMES = {"val": "validation", "test": "test"}
MOST_PAIRED = 1500


@dataclass(frozen=True)
class Searched:
    """One side of N items, each query with its K nearest items of the gallery.

    side: "val" or "test". rows: int64 [N], of the catalogue, ascending. vectors: float32 [N, D].
    labels: int64 [N], equal where items are relevant to each other. categories: int64 [N].
    queries, gallery: places in `rows`, int64 [Q] and [G]; the same N where the catalogue gives no roles.
    found: int64 [Q, K], places in `rows`, nearest first, -1 where there is none; an item never finds itself.
    cosines: float32 [Q, K], NaN where there is none.
    """

    side: str
    rows: np.ndarray
    vectors: np.ndarray
    labels: np.ndarray
    categories: np.ndarray
    queries: np.ndarray
    gallery: np.ndarray
    found: np.ndarray
    cosines: np.ndarray

    @property
    def name(self) -> str:
        """What a person calls the side."""
        return NAMES[self.side]

    @property
    def relevant(self) -> np.ndarray:
        """bool [Q, K], whether each result is relevant to its query."""
        same = self.labels[self.found] == self.labels[self.queries][:, None]
        return same & (self.found >= 0)

    def results(self, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The first k results of every query, those that exist: cosines, relevance and query numbers, each [M]."""
        there = self.found[:, :k] >= 0
        query = np.broadcast_to(np.arange(len(self.found))[:, None], there.shape)
        return self.cosines[:, :k][there].astype(np.float64), self.relevant[:, :k][there], query[there]

    def attained(self, k: int) -> np.ndarray:
        """float64 [Q]: relevant items among the first k, as a share of those that could be; NaN where none could."""
        labels = self.labels[self.gallery]
        own = np.isin(self.queries, self.gallery)  # an item that is a query and in the gallery does not count
        possible = np.bincount(labels, minlength=int(self.labels.max()) + 1)[self.labels[self.queries]] - own
        possible = np.where(possible > 0, np.minimum(possible, k), np.nan)
        return self.relevant[:, :k].sum(axis=1) / possible


def search_side(trainer: pl.Trainer, model: Any, side: str, k: int) -> Searched:
    """Embed the items of one side and find the k nearest of each query."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    rows = data.rows(side)
    vectors = embed_rows(trainer, model, rows)
    roles = data.catalogue.table["role"].to_numpy(dtype=str)[rows]
    queries, gallery = np.flatnonzero(roles != "gallery"), np.flatnonzero(roles != "query")
    found, cosines = neighbours(vectors[queries], vectors[gallery], rows[queries], rows[gallery], k)
    found = np.where(found >= 0, gallery[found], -1)
    labels, categories = data.labels[data.relevance][rows], data.labels["category"][rows]
    return Searched(side, rows, vectors, labels, categories, queries, gallery, found, cosines)


def evenly(searched: Searched, count: int) -> np.ndarray:
    """int [at most ``count``]: query numbers, evenly over the queries in the order of their categories."""
    order = np.argsort(searched.categories[searched.queries], kind="stable")
    return order[np.unique(np.linspace(0, len(order) - 1, count).astype(int))]


def worst(searched: Searched, count: int, k: int) -> np.ndarray:
    """int [at most ``count``]: the query numbers of the least `Searched.attained`, worst first.

    Among equals the categories take turns, and within one the surest mistake (highest cosine of an irrelevant item)
    comes first. Queries that have no relevant item to find cannot fail and are left out.
    """
    attained = searched.attained(k)
    wrong = np.where(searched.relevant | (searched.found < 0), -np.inf, searched.cosines)[:, :k].max(axis=1)
    category = searched.categories[searched.queries]
    order = np.lexsort((-wrong, category, attained))
    same = (np.diff(attained[order], prepend=np.nan) == 0) & (np.diff(category[order], prepend=-1) == 0)
    starts = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
    turn = np.arange(len(order)) - starts  # how many equals of the same category come before
    order = order[np.lexsort((-wrong[order], turn, attained[order]))]
    return order[np.isfinite(attained[order])][:count]


def pair_cosines(searched: Searched, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of relevant and of irrelevant pairs of a query and another item of the gallery.

    Of more than 1,500 queries, or items of the gallery, a random sample is paired.
    """
    random = np.random.default_rng(seed)
    sides = []
    for places in (searched.queries, searched.gallery):
        some = random.permutation(len(places))[:MOST_PAIRED] if len(places) > MOST_PAIRED else slice(None)
        sides.append(places[some])
    query, gallery = sides
    unit = searched.vectors / np.linalg.norm(searched.vectors, axis=1, keepdims=True)
    cosines = unit[query] @ unit[gallery].T
    same = searched.labels[query][:, None] == searched.labels[gallery]
    other = query[:, None] != gallery
    return cosines[same & other], cosines[~same]


@dataclass(frozen=True)
class Judged:
    """A calibration, and what the score is worth on the side that it is judged on."""

    calibration: Calibration
    fitted_on: str
    judged_on: str
    k: int
    curve: Any  # DataFrame of `reliability`
    bands: Any  # DataFrame of `band_table`
    calibrated_bands: Any
    raw_error: float
    calibrated_error: float

    def metrics(self) -> dict[str, float]:
        """``high_precision``, ``high_share`` and ``medium_precision``; one that is not defined is absent."""
        table = self.bands.set_index("band")
        values = {
            "high_precision": table.loc["high", "precision"],
            "high_share": table.loc["high", "share"],
            "medium_precision": table.loc["medium", "precision"],
        }
        return {name: float(value) for name, value in values.items() if np.isfinite(value)}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not defined is None."""
        tables = {"reliability": self.curve, "bands": self.bands, "calibrated_bands": self.calibrated_bands}
        return {
            "fitted_on": self.fitted_on,
            "judged_on": self.judged_on,
            "k": self.k,
            "calibration": self.calibration.to_dict(),
            "raw_error": self.raw_error,
            "calibrated_error": self.calibrated_error,
        } | {name: _records(table) for name, table in tables.items()}


def judge(fitted: Searched, judged: Searched, k: int) -> Judged:
    """Fit the calibration on the results of one side and judge score, bands and calibration on those of another."""
    calibration = calibrate(*fitted.results(k))
    cosines, relevant, queries = judged.results(k)
    raw = np.clip(cosines, 0, 1)
    return Judged(
        calibration=calibration,
        fitted_on=fitted.name,
        judged_on=judged.name,
        k=k,
        curve=reliability(raw, relevant, queries, strategy="quantile"),
        bands=band_table(cosines, relevant, queries),
        calibrated_bands=band_table(
            cosines, relevant, queries, high=calibration.high, medium=calibration.medium
        ),
        raw_error=calibration_error(raw, relevant),
        calibrated_error=calibration_error(calibration.probability(cosines), relevant),
    )


def _records(table: Any) -> list[dict[str, Any]]:
    return [
        {name: None if value != value else value for name, value in record.items()}
        for record in table.to_dict("records")
    ]
