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

    folds: the headline metric over the folds' own means, seeds of a fold averaged; the interval allows for the training
        items that folds share.
    pooled: metric to interval over all queries, each searched among the test items of its own fold.
    out_of_fold: the test vectors of all folds as one index, each item searching among all others; the vectors come
        from different trainings, so expect less than of one model.
    whole: each query searched among the whole collection by the model that has not seen it.
    """

    folds: Spread
    pooled: dict[str, Interval]
    out_of_fold: Judged
    whole: dict[str, Interval]


def cross_validation(candidate: Candidate) -> CrossValidation:
    """Judge the folds of a candidate together; of several seeds of a fold the first is taken for all but the means."""
    by_fold: dict[str, list[Trained]] = {}
    for run in candidate.runs:
        by_fold.setdefault(run.facts.params.get("data.fold", ""), []).append(run)
    own = [
        float(np.nanmean([run.judged.scores.metrics[HEADLINE] for run in runs])) for runs in by_fold.values()
    ]
    first = [runs[0] for runs in by_fold.values()]
    tested = [(run, np.flatnonzero(run.embedded.items["split"].to_numpy() == "test")) for run in first]
    vectors = np.concatenate([run.embedded.vectors[rows] for run, rows in tested])
    items = pd.concat([run.embedded.items.iloc[rows] for run, rows in tested], ignore_index=True)
    how = first[0].judged
    share = 1 / int(first[0].facts.params.get("data.folds", len(first)))
    return CrossValidation(
        spread_of_shares(own, test_share=share),
        candidate.intervals,
        judge(vectors, items, relevance=how.relevance, ties=how.ties),
        _whole(tested),
    )


def _whole(tested: Sequence[tuple[Trained, np.ndarray]]) -> dict[str, Interval]:
    """The test queries of each fold against the whole gallery of that fold's model, themselves left out."""
    values: dict[str, list[np.ndarray]] = {}
    products: list[np.ndarray] = []
    for run, rows in tested:
        items, vectors = run.embedded.items, run.embedded.vectors
        column = "category" if run.judged.relevance == "category" else "product_id"
        labels = np.unique(items[column].to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)
        role = items["role"].to_numpy(dtype=str)
        queries, gallery = rows[role[rows] != "gallery"], np.flatnonzero(role != "query")
        scores = retrieval_scores(
            vectors[queries], labels[queries], queries, vectors[gallery], labels[gallery], gallery,
            ks=KS, ties=run.judged.ties,
        )  # fmt: skip
        for name, per_query in scores.per_query.items():
            values.setdefault(name, []).append(per_query)
        products.append(items["product_id"].to_numpy(dtype=str)[queries][scores.counted])
    clusters = np.unique(np.concatenate(products), return_inverse=True)[1]
    return intervals({name: np.concatenate(parts) for name, parts in values.items()}, clusters)
