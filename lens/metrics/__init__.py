"""How good a search is: pure functions over embeddings, integer labels and item ids."""

from lens.metrics.retrieval import RetrievalScores, neighbours, retrieval_scores, retrieval_scores_by_role

__all__ = ["RetrievalScores", "neighbours", "retrieval_scores", "retrieval_scores_by_role"]
