"""Retrieval scores of groups of queries, such as categories, and their mean in which every group weighs the same."""

import numpy as np
import pandas as pd

from lens.metrics.retrieval import RetrievalScores

COUNTS = ["queries", "excluded_queries"]


def by_group(scores: RetrievalScores, groups: np.ndarray | pd.Series) -> pd.DataFrame:
    """Scores of each group, one row a group in rising order.

    groups: str or int [Q], one value for each query, in the order in which they were scored, with those that are
        not counted.

    The index is ``group``; the columns are ``queries`` (counted), ``excluded_queries`` and every metric, NaN where
    a group has no counted query. Raises ValueError where the length differs or a value is missing.
    """
    names = pd.Series(np.asarray(groups), name="group")
    if names.shape != scores.counted.shape:
        raise ValueError(
            f"groups must have one value for each of {len(scores.counted)} queries, not {len(names)}"
        )
    if names.isna().any():
        raise ValueError(f"groups have no value for {int(names.isna().sum())} queries")
    counts = (
        pd.DataFrame({"queries": scores.counted, "excluded_queries": ~scores.counted}).groupby(names).sum()
    )
    kept = names[scores.counted]
    means = pd.DataFrame(scores.per_query, index=kept.index).groupby(kept).mean()
    return counts.join(means)


def macro(scores: RetrievalScores, groups: np.ndarray | pd.Series) -> dict[str, float]:
    """Mean over the groups that have a counted query, by metric; NaN where none has one.

    `scores.metrics` is the micro average, in which every query weighs the same. Errors as in `by_group`.
    """
    means = by_group(scores, groups).drop(columns=COUNTS).mean()
    return {str(name): float(value) for name, value in means.items()}
