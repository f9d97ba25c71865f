"""Metrics against trec_eval and pytorch-metric-learning where definitions agree, and against a worked example."""

import math

import numpy as np
import pytest
import torch

from lens.metrics import metric_names, retrieval_scores
from tests.metrics.slow_retrieval import random_set

KS = (1, 3, 10, 40)


def test_agrees_with_trec_eval_query_by_query():
    import pytrec_eval

    embeddings, labels, ids = random_set(rows=160, classes=6)
    ours = retrieval_scores(embeddings, labels, ids, ks=KS)
    assert ours.tied_queries == 0
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = (unit @ unit.T).astype(float)
    wanted, run = {}, {}
    for query in range(160):
        others = [row for row in range(160) if row != query]
        wanted[f"q{query}"] = {f"d{row}": int(labels[row] == labels[query]) for row in others}
        run[f"q{query}"] = {f"d{row}": cosines[query, row] for row in others}
    cuts = ",".join(map(str, KS))
    measures = {f"{name}.{cuts}" for name in ("P", "recall", "success", "map_cut", "ndcg_cut")}
    evaluator = pytrec_eval.RelevanceEvaluator(wanted, measures | {"Rprec", "recip_rank"})
    found = evaluator.evaluate(run)
    theirs = [found[f"q{query}"] for query in range(160)]
    relevant = np.array([(labels == label).sum() - 1 for label in labels])
    pairs = {"r_precision": "Rprec", "mrr": "recip_rank"}
    for k in KS:
        pairs |= {
            f"precision_at_{k}": f"P_{k}",
            f"recall_at_{k}": f"recall_{k}",
            f"hit_at_{k}": f"success_{k}",
        }
        pairs |= {f"ndcg_at_{k}": f"ndcg_cut_{k}"}
    for name, other in pairs.items():
        np.testing.assert_allclose(
            ours.per_query[name], [each[other] for each in theirs], atol=1e-6, err_msg=name
        )
    for k in KS:
        # trec_eval divides by R, ours by min(k, R): the same where R <= k.
        values = np.array([each[f"map_cut_{k}"] for each in theirs]) * relevant / np.minimum(k, relevant)
        np.testing.assert_allclose(ours.per_query[f"map_at_{k}"], values, atol=1e-6)
    assert (relevant < 40).any() and (relevant > 10).all()
    constant = {name for name, values in ours.per_query.items() if values.std() == 0}
    assert constant <= {"hit_at_10", "hit_at_40"}


@pytest.mark.parametrize("roles", [False, True])
def test_agrees_with_pytorch_metric_learning(roles):
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    embeddings, labels, ids = random_set(rows=400)
    x, y = torch.from_numpy(embeddings), torch.from_numpy(labels)
    calculator = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r", "mean_reciprocal_rank"),
        k=None if not roles else 300,
        knn_func=CustomKNN(CosineSimilarity()),
        device=torch.device("cpu"),
    )
    if roles:
        theirs = calculator.get_accuracy(x[:100], y[:100], x[100:], y[100:])
        ours = retrieval_scores(x[:100], y[:100], ids[:100], x[100:], y[100:], ids[100:])
    else:
        theirs = calculator.get_accuracy(x, y)
        ours = retrieval_scores(x, y, ids)
    assert 0.2 < ours.metrics["map_at_r"] < 0.9
    pairs = {
        "precision_at_1": "precision_at_1",
        "r_precision": "r_precision",
        "map_at_r": "mean_average_precision_at_r",
        "mrr": "mean_reciprocal_rank",
    }
    for name, other in pairs.items():
        assert ours.metrics[name] == pytest.approx(theirs[other], abs=1e-6), name


def test_a_worked_example():
    """Relevance along the ranking 0 1 0 0 1 0, and two more beyond rank 100: R = 4."""
    relevance = np.zeros(150, int)
    relevance[[1, 4, 119, 149]] = 1
    angles = np.linspace(0.01, 3, 150)
    gallery = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    scores = retrieval_scores(
        np.array([[1.0, 0.0]]), [1], [-1], gallery, relevance, np.arange(150), ks=(1, 3, 5)
    )
    dcg3, dcg5 = 1 / math.log2(3), 1 / math.log2(3) + 1 / math.log2(6)
    ideal3, ideal4 = 1 + 1 / math.log2(3) + 1 / 2, 1 + 1 / math.log2(3) + 1 / 2 + 1 / math.log2(5)
    assert scores.metrics == pytest.approx(
        {
            "precision_at_1": 0, "precision_at_3": 1 / 3, "precision_at_5": 2 / 5,
            "recall_at_1": 0, "recall_at_3": 1 / 4, "recall_at_5": 2 / 4,
            "hit_at_1": 0, "hit_at_3": 1, "hit_at_5": 1,
            "map_at_1": 0, "map_at_3": (1 / 2) / 3, "map_at_5": (1 / 2 + 2 / 5) / 4,
            "ndcg_at_1": 0, "ndcg_at_3": dcg3 / ideal3, "ndcg_at_5": dcg5 / ideal4,
            "r_precision": 1 / 4, "map_at_r": (1 / 2) / 4, "mrr": 1 / 2,
        }, abs=1e-12,
    )  # fmt: skip
    alone = np.zeros(150, int)
    alone[129] = 1
    late = retrieval_scores(np.array([[1.0, 0.0]]), [1], [-1], gallery, alone, np.arange(150), ks=(1,))
    assert late.metrics["mrr"] == pytest.approx(1 / 130)


def test_names_are_those_of_the_scores_in_their_order():
    embeddings, labels, ids = random_set(rows=20)
    for ks in ((1, 5, 10), [3], (2, 2)):
        scores = retrieval_scores(embeddings, labels, ids, ks=ks)
        assert metric_names(ks) == list(scores.metrics) == list(scores.per_query) == list(scores.chance)
