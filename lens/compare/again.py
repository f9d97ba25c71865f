"""Query expansion and re-ranking, with and without, on the standard image queries."""

import numpy as np
import numpy.typing as npt

from lens.compare.lines import Line
from lens.errors import LensError
from lens.metrics import Interval, intervals, neighbours, paired_difference
from lens.search.expansion import ALPHA, expand
from lens.search.reranking import k_reciprocal

CANDIDATES = 100
EXPANDED = 5
KS = (1, 10)


def searched_again(
    vectors: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    roles: np.ndarray,
    clusters: npt.NDArray[np.int64] | None = None,
) -> list[Line]:
    """Precision of the first results: plain, expanded by five, with alpha 3 and 0, re-ranked, and both.

    Beside each way stands its difference at precision@10 from the plain search, query by query. 100 candidates are
    re-ranked. An item never finds itself, in either round.

    Args:
        vectors: unit vectors [N, D]; labels: int [N], what makes two items alike; roles: "query", "gallery" or "".
        clusters: int [N]; intervals are over these.

    Raises LensError where no query has a relevant item.
    """
    ids = np.arange(len(vectors))
    asking, there = ids[roles != "gallery"], ids[roles != "query"]
    relevant = np.bincount(labels[there], minlength=int(labels.max()) + 1)[labels[asking]]
    counted = asking[relevant - (roles[asking] == "") > 0]  # an item of no role is in the gallery itself
    if not len(counted):
        raise LensError("No query has a relevant item to find.")
    queries, gallery = vectors[counted], vectors[there]

    def look(asked: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        return neighbours(asked, gallery, counted, there, CANDIDATES)

    first, cosines = look(queries)
    near, nearness = (
        gallery[first[:, :EXPANDED]],
        np.where(first[:, :EXPANDED] >= 0, cosines[:, :EXPANDED], np.nan),
    )
    wider = {alpha: expand(queries, near, nearness, alpha) for alpha in (ALPHA, 0.0)}
    found = {"plain": first}
    found |= {f"expanded by {EXPANDED}, alpha {alpha:g}": look(asked)[0] for alpha, asked in wider.items()}
    found["re-ranked"] = _rerank(queries, gallery, first)
    found["expanded, then re-ranked"] = _rerank(wider[ALPHA], gallery, look(wider[ALPHA])[0])
    same = None if clusters is None else clusters[counted]
    right = {
        name: (labels[there][rows] == labels[counted][:, None]) & (rows >= 0) for name, rows in found.items()
    }
    return [_line(name, right[name], right["plain"], same) for name in found]


def _rerank(
    queries: npt.NDArray[np.float32], gallery: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    result = rows.copy()
    for place, (query, line) in enumerate(zip(queries, rows, strict=True)):
        there = line[line >= 0]
        order = np.argsort(k_reciprocal(query, gallery[there]), kind="stable")
        result[place, : len(there)] = there[order]
    return result


def _line(name: str, right: np.ndarray, plain: np.ndarray, clusters: npt.NDArray[np.int64] | None) -> Line:
    values = {f"P@{k}": right[:, :k].sum(axis=1) / k for k in KS}
    figures = dict(intervals(values, clusters))
    if name != "plain":
        gap = paired_difference(values["P@10"], plain[:, :10].sum(axis=1) / 10, clusters)
        figures["P@10 less plain"] = Interval(gap.mean, gap.low, gap.high, gap.queries, gap.clusters)
    return Line(name, len(right), figures)
