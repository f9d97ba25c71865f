"""What a shown score is worth: the precision of its bands, its reliability, and a calibration by isotonic regression.

A search result is shown with the score ``100 · max(0, cosine)`` and in one of three bands, by the unrounded cosine:
*high* from 0.70, *medium* from 0.40, *low* below. (So a result shown as 70 may be one of 69.6, and then is medium.)
The *results* that everything here is measured on are the first k of each query, k = 10 by default. Results of one
query are not independent, so intervals treat a query as a cluster.

The precision of a band depends on how many relevant items the gallery holds: it is that of a search like the one
measured, not a property of the cosine alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from lens.metrics.uncertainty import interval

HIGH, MEDIUM = 0.70, 0.40
BANDS = ("high", "medium", "low")
FOLDS = 5  # the parts that the queries are dealt into, to judge a calibration on others than it was fitted to


def shown_score(cosines: np.ndarray) -> np.ndarray:
    """The score a person sees, float64 in 0 to 100, of cosines of any shape, before it is rounded for display."""
    return 100 * _raw(cosines)


def band_table(
    cosines: np.ndarray,
    relevant: np.ndarray,
    clusters: np.ndarray | None = None,
    *,
    high: float | None = HIGH,
    medium: float | None = MEDIUM,
) -> pd.DataFrame:
    """One line a band, high first: what share of the results it holds and how many of these are relevant.

    Args:
        cosines: [M] of the results, -1 to 1.
        relevant: bool [M].
        clusters: int [M], the number of the query that each result belongs to; None takes each as its own.
        high, medium: the cosines from which the bands begin; None: no result reaches the band.

    Returns:
        columns ``band``, ``from`` (cosine; -1 for low, NaN where never reached), ``results``, ``share`` of all
        results, ``precision`` and its 95 % interval ``precision_low``, ``precision_high`` (NaN for an empty band).

    Raises ValueError for shapes that do not agree, no result, NaN, and ``high`` below ``medium``.
    """
    cosines, relevant, clusters = _checked(cosines, relevant, clusters)
    if high is not None and high < (medium if medium is not None else math.inf):
        raise ValueError(f"the high band begins at {high}, below the medium band at {medium}")
    starts = [math.nan if start is None else start for start in (high, medium)]
    band = np.where(cosines >= starts[0], 0, np.where(cosines >= starts[1], 1, 2))  # none is above NaN
    lines = []
    for number, (name, start) in enumerate(zip(BANDS, [*starts, -1.0], strict=True)):
        inside = band == number
        line = {"band": name, "from": start, "results": int(inside.sum()), "share": float(inside.mean())}
        lines.append(line | _precision(relevant[inside], clusters[inside]))
    return pd.DataFrame(lines)


def reliability(
    scores: np.ndarray,
    relevant: np.ndarray,
    clusters: np.ndarray | None = None,
    *,
    bins: int = 10,
    strategy: Literal["uniform", "quantile"] = "uniform",
) -> pd.DataFrame:
    """Precision by score: the reliability diagram (Niculescu-Mizil and Caruana 2005) as a table, a line a bin.

    Args:
        scores: [M] in 0 to 1, such as ``max(0, cosine)`` or a calibrated probability.
        relevant, clusters: as in `band_table`.
        bins, strategy: ``uniform`` bins have one width, ``quantile`` bins about the same number of results; a score on
            an edge counts to the bin above.

    Returns:
        columns ``low``, ``high`` (the bin's edges), ``results``, ``score`` (their mean), ``precision``,
        ``precision_low``, ``precision_high``; bins without a result are left out.

    Raises ValueError as `band_table` does, and for scores outside 0 to 1.
    """
    scores, relevant, clusters = _checked(scores, relevant, clusters)
    place, edges = _bins(scores, bins), np.arange(bins + 1) / bins
    if strategy == "quantile":
        edges = np.unique(np.quantile(scores, edges))
        place = np.searchsorted(edges[1:-1], scores, "right")
    lines = []
    for number in np.unique(place):
        inside = place == number
        low, high = edges[number], edges[min(number + 1, len(edges) - 1)]
        line = {"low": low, "high": high, "results": int(inside.sum()), "score": float(scores[inside].mean())}
        lines.append(line | _precision(relevant[inside], clusters[inside]))
    return pd.DataFrame(lines)


def calibration_error(scores: np.ndarray, relevant: np.ndarray, *, bins: int = 10) -> float:
    """Expected calibration error (Guo et al. 2017): mean over results of |precision - mean score| of their bin.

    Arguments and errors as in `reliability`.
    """
    scores, relevant, _ = _checked(scores, relevant, None)
    place = _bins(scores, bins)
    surplus = np.bincount(place, weights=relevant - scores, minlength=bins)
    return float(np.abs(surplus).sum() / len(scores))


@dataclass(frozen=True)
class Calibration:
    """From a cosine to the probability that the result is relevant, and what that gains.

    cosines, probabilities: the corners of a rising line, linear between them and level outside.
    high, medium: the cosines from which the probability is at least 0.70 and 0.40; None where fewer than 20 results
        of the fit reach that.
    raw_error: the expected calibration error of ``max(0, cosine)`` on the results of the fit.
    calibrated_error: that of the probability, each query judged by a fit to the others; NaN with a single query.
    results, queries: how many the fit saw.
    """

    cosines: tuple[float, ...]
    probabilities: tuple[float, ...]
    high: float | None
    medium: float | None
    raw_error: float
    calibrated_error: float
    results: int
    queries: int

    def probability(self, cosines: np.ndarray) -> np.ndarray:
        """Probability of being relevant, float64, of cosines of any shape."""
        return _between(cosines, np.array(self.cosines), np.array(self.probabilities))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes None."""
        values: dict[str, Any] = dict(vars(self))
        values |= {"cosines": list(self.cosines), "probabilities": list(self.probabilities)}
        # NaN is the one value that does not equal itself.
        return {name: None if value != value else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` gave. Raises ValueError where something is missing or the corners are no rising line."""
        absent = [name for name in cls.__dataclass_fields__ if name not in values]
        if absent:
            raise ValueError(f"a calibration needs {absent[0]}")
        given: dict[str, Any] = {name: values[name] for name in cls.__dataclass_fields__}
        for name in ("cosines", "probabilities"):
            line = given[name] = tuple(map(float, given[name]))
            if list(line) != sorted(line) or len(line) != max(1, len(values["cosines"])):
                raise ValueError("the cosines and probabilities of a calibration must rise, as many of both")
        for name in ("raw_error", "calibrated_error"):
            given[name] = math.nan if given[name] is None else given[name]
        return cls(**given)


def calibrate(
    cosines: np.ndarray,
    relevant: np.ndarray,
    clusters: np.ndarray | None = None,
    *,
    high: float = HIGH,
    medium: float = MEDIUM,
    least: int = 20,
) -> Calibration:
    """Isotonic regression of relevance on the cosine (Zadrozny and Elkan 2002). Fit it on validation results.

    Args:
        cosines, relevant, clusters: as in `band_table`.
        high, medium: the probabilities that the calibrated bands begin at.
        least: fewer results than these make no calibrated band: a few at the top reach any probability by luck.

    Raises ValueError as `band_table` does.
    """
    cosines, relevant, clusters = _checked(cosines, relevant, clusters)
    corners, values = _isotonic(cosines, relevant)
    query = np.unique(clusters, return_inverse=True)[1]
    count = int(query.max()) + 1
    unseen = np.full(len(cosines), math.nan)
    folds = min(FOLDS, count)
    for fold in range(folds if count > 1 else 0):
        held_out = query % folds == fold
        line = _isotonic(cosines[~held_out], relevant[~held_out])
        unseen[held_out] = _between(cosines[held_out], *line)
    return Calibration(
        cosines=tuple(corners.tolist()),
        probabilities=tuple(values.tolist()),
        high=_reaches(corners, values, high, cosines, least),
        medium=_reaches(corners, values, medium, cosines, least),
        raw_error=calibration_error(_raw(cosines), relevant),
        calibrated_error=calibration_error(unseen, relevant) if count > 1 else math.nan,
        results=len(cosines),
        queries=count,
    )


def _isotonic(cosines: np.ndarray, relevant: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.isotonic import IsotonicRegression  # a second to import, needed once a run

    line = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(cosines, relevant.astype(float))
    return line.X_thresholds_, line.y_thresholds_


def _reaches(
    corners: np.ndarray, values: np.ndarray, wanted: float, cosines: np.ndarray, least: int
) -> float | None:
    """The least cosine at which the line through the corners is `wanted` or more, if `least` cosines lie there."""
    right = int(np.searchsorted(values, wanted, "left"))  # the values rise
    if right == len(values):
        return None
    start = float(corners[right])
    if right > 0:
        along = (wanted - values[right - 1]) / (values[right] - values[right - 1])
        start = float(corners[right - 1] + along * (corners[right] - corners[right - 1]))
    return start if (cosines >= start).sum() >= least else None


def _precision(relevant: np.ndarray, clusters: np.ndarray) -> dict[str, float]:
    if not len(relevant):
        return dict.fromkeys(("precision", "precision_low", "precision_high"), math.nan)
    found = interval(relevant.astype(float), clusters=clusters)
    return {"precision": float(relevant.mean()), "precision_low": found.low, "precision_high": found.high}


def _checked(
    values: np.ndarray, relevant: np.ndarray, clusters: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values, relevant = np.asarray(values, np.float64), np.asarray(relevant)
    clusters = np.arange(len(values)) if clusters is None else np.asarray(clusters)
    if values.ndim != 1 or relevant.shape != values.shape or clusters.shape != values.shape:
        raise ValueError(
            f"scores, relevance and clusters need one shape [M], not {list(values.shape)}, "
            f"{list(relevant.shape)} and {list(clusters.shape)}"
        )
    if not len(values) or not np.isfinite(values).all():
        raise ValueError("there is no result" if not len(values) else "the scores hold NaN or infinity")
    return values, relevant.astype(bool), clusters


def _between(cosines: np.ndarray, corners: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Straight lines between the corners; between corners that nearly touch, rounding may step out of 0 to 1."""
    return np.clip(np.interp(cosines, corners, probabilities), 0.0, 1.0)


def _bins(scores: np.ndarray, bins: int) -> np.ndarray:
    if scores.min() < 0 or scores.max() > 1:
        raise ValueError(f"scores must lie in 0 to 1, not {scores.min():.3g} to {scores.max():.3g}")
    return np.minimum((scores * bins).astype(int), bins - 1)


def _raw(cosines: np.ndarray) -> np.ndarray:
    return np.clip(np.asarray(cosines, np.float64), 0, 1)
