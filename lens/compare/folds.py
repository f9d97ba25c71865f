"""Cross-validation: the folds of one way to train, judged together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lens.compare.candidates import Candidate, Trained, spread_of_shares
from lens.compare.judge import HEADLINE, KS, Judged, judge
from lens.metrics import Interval, Spread, intervals, retrieval_scores


@dataclass(frozen=True)
class CrossValidation:
    """Three answers to how good this way to train is on items that it has not seen.

    folds: the headline metric over the folds' own means; the interval allows for the training items that they share.
    pooled: metric to interval over all queries, each searched among the test items of its own fold.
    out_of_fold: the test vectors of all folds as one index, each item searching among all others; the vectors come
        from different trainings, so this is a lower bound of what one model would do.
    whole: each query searched among the whole collection by the model that has not seen it.
    """

    folds: Spread
    pooled: dict[str, Interval]
    out_of_fold: Judged
    whole: dict[str, Interval]


def cross_validation(candidate: Candidate) -> CrossValidation:
    """Judge the folds of a candidate together; of several seeds of a fold the first is taken for `out_of_fold`."""
    first: dict[str, Trained] = {}
    for run in candidate.runs:
        first.setdefault(run.facts.params.get("data.fold", ""), run)
    runs = list(first.values())
    own = [run.judged.scores.metrics[HEADLINE] for run in candidate.runs]
    tested = [(run, np.flatnonzero(run.embedded.items["split"].to_numpy() == "test")) for run in runs]
    vectors = np.concatenate([run.embedded.vectors[rows] for run, rows in tested])
    items = pd.concat([run.embedded.items.iloc[rows] for run, rows in tested], ignore_index=True)
    return CrossValidation(
        spread_of_shares(own, test_share=1 / len(runs)),
        candidate.intervals,
        judge(vectors, items, relevance=runs[0].judged.relevance),
        _whole(tested, runs[0].judged.relevance),
    )


def _whole(tested: Sequence[tuple[Trained, np.ndarray]], relevance: str) -> dict[str, Interval]:
    """The test items of each fold as queries against all items of that fold's model, themselves left out."""
    column = "category" if relevance == "category" else "product_id"
    values: dict[str, list[np.ndarray]] = {}
    products: list[np.ndarray] = []
    for run, rows in tested:
        items, everything = run.embedded.items, np.arange(len(run.embedded.items))
        labels = np.unique(items[column].to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)
        scores = retrieval_scores(
            run.embedded.vectors[rows], labels[rows], rows, run.embedded.vectors, labels, everything, ks=KS
        )
        for name, per_query in scores.per_query.items():
            values.setdefault(name, []).append(per_query)
        products.append(items["product_id"].to_numpy(dtype=str)[rows][scores.counted])
    clusters = np.unique(np.concatenate(products), return_inverse=True)[1]
    return intervals({name: np.concatenate(parts) for name, parts in values.items()}, clusters)
