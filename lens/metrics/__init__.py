"""How good a search is: pure functions over embeddings, integer labels and item ids."""

from lens.metrics.formulas import metric_names
from lens.metrics.groups import by_group, macro
from lens.metrics.retrieval import RetrievalScores, neighbours, retrieval_scores, retrieval_scores_by_role
from lens.metrics.ties import Ties
from lens.metrics.triplets import TripletAgreement, triplet_agreement
from lens.metrics.uncertainty import (
    Difference,
    Interval,
    Spread,
    holm,
    interval,
    intervals,
    paired_difference,
    paired_differences,
    spread,
)

__all__ = [
    "Difference",
    "Interval",
    "RetrievalScores",
    "Spread",
    "Ties",
    "TripletAgreement",
    "by_group",
    "holm",
    "interval",
    "intervals",
    "macro",
    "metric_names",
    "neighbours",
    "paired_difference",
    "paired_differences",
    "retrieval_scores",
    "retrieval_scores_by_role",
    "spread",
    "triplet_agreement",
]
