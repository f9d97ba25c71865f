"""What the score shown beside a result is worth, for each candidate: the precision of its bands on held-out results."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lens.compare.candidates import Candidate, Trained
from lens.compare.comparison import Comparison
from lens.metrics import neighbours
from lens.metrics.calibration import Calibration, band_table, calibrate

RESULTS = 10


@dataclass(frozen=True)
class Worth:
    """bands: `lens.metrics.calibration.band_table` of the judged side; calibrated: the same with the bands of
    ``calibration``, which was fitted on validation; both None where there is no validation side to fit on.
    """

    bands: pd.DataFrame
    calibrated: pd.DataFrame | None
    calibration: Calibration | None


def worth(comparison: Comparison) -> dict[str, Worth]:
    """By candidate name, of its first run."""
    return {one.name: _worth(one) for one in comparison.candidates}


def _worth(candidate: Candidate) -> Worth:
    run = candidate.runs[0]
    judged = results(run, run.embedded.split)
    bands = band_table(*judged)
    sides = set(run.embedded.items["split"])
    if run.embedded.split != "test" or "val" not in sides:
        return Worth(bands, None, None)
    fitted = results(run, "val")
    if not len(fitted[0]):
        return Worth(bands, None, None)
    calibration = calibrate(*fitted)
    return Worth(bands, band_table(*judged, high=calibration.high, medium=calibration.medium), calibration)


def results(run: Trained, split: str | None, k: int = RESULTS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first k results of every query of a side: cosines float64 [M], relevance bool [M], query number int64 [M]."""
    items = run.embedded.items
    rows = np.arange(len(items)) if split is None else np.flatnonzero(items["split"].to_numpy() == split)
    role = items["role"].to_numpy(dtype=str)[rows]
    labels = items["category" if run.judged.relevance == "category" else "product_id"].to_numpy(dtype=str)
    queries, gallery = rows[role != "gallery"], rows[role != "query"]
    if not len(queries) or not len(gallery):
        return np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64)
    vectors = run.embedded.vectors
    places, cosines = neighbours(vectors[queries], vectors[gallery], queries, gallery, min(k, len(gallery)))
    there = places >= 0
    relevant = labels[gallery][places] == labels[queries][:, None]
    number = np.broadcast_to(np.arange(len(queries))[:, None], places.shape)
    return cosines[there].astype(np.float64), relevant[there], number[there]
