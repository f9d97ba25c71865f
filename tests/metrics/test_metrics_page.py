"""Every figure of docs/metrics.md, computed."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lens.metrics import by_group, macro, metric_names, retrieval_scores

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
RANKING = [1, 0, 1, 0, 0, 1, 1]


def table_values(heading: str) -> list[str]:
    """The last cells of the table that follows a text, in order."""
    lines = PAGE[PAGE.index(heading) :].splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("|---"))
    rows = [line for line in lines[start + 1 : start + 9]]
    end = next((place for place, line in enumerate(rows) if not line.startswith("|")), len(rows))
    return [row.strip("| ").split("|")[-1].strip() for row in rows[:end]]


def shown(*values: float) -> list[str]:
    return [f"{float(value):.4f}" for value in values]


def ranked(relevance, ks, **options):
    """One query and a gallery at rising angles from it."""
    angles = np.linspace(0.1, 1.4, len(relevance))
    gallery = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ids = np.arange(len(relevance))
    return retrieval_scores(
        np.array([[1.0, 0.0]]), [1], [-1], gallery, np.array(relevance), ids, ks=ks, **options
    )


def test_micro_and_macro():
    embeddings = np.concatenate([np.eye(10)[np.arange(20) % 10], np.eye(10)[[0, 2, 4, 6, 8]]])
    labels = np.concatenate([np.arange(20) % 10, np.full(5, 50)])
    # Every boot has its twin; the sandals lie among boots, each nearest to two of them.
    embeddings[20:, :] += 0.1 * np.roll(embeddings[20:], 1, axis=1)
    scores = retrieval_scores(embeddings, labels, np.arange(25), ks=(1,))
    names = np.repeat(["boot", "sandal"], [20, 5])
    assert by_group(scores, names)["precision_at_1"].tolist() == [1, 0]
    assert table_values("Example: 20 boots") == shown(
        scores.metrics["precision_at_1"], macro(scores, names)["precision_at_1"]
    )


def test_three_kinds_of_map():
    import pytrec_eval
    from torchmetrics.functional.retrieval import retrieval_average_precision

    relevant = {f"d{place}": hit for place, hit in enumerate(RANKING)}
    ranks = {f"d{place}": 1 - place / 10 for place in range(len(RANKING))}
    trec = pytrec_eval.RelevanceEvaluator({"q": relevant}, {"map_cut.3"}).evaluate({"q": ranks})
    other = retrieval_average_precision(
        torch.tensor(list(ranks.values())), torch.tensor(RANKING).bool(), top_k=3
    )
    ours = ranked(RANKING, (3,)).metrics["map_at_3"]
    assert table_values("**Three kinds of mAP@k.**") == shown(ours, trec["q"]["map_cut_3"], other)


def test_two_kinds_of_recall():
    metrics = ranked(RANKING, (3,)).metrics
    assert table_values("**Two kinds of recall@k.**") == shown(metrics["recall_at_3"], metrics["hit_at_3"])


def test_negative_cosines():
    from torchmetrics.functional.retrieval import retrieval_precision

    cosines = np.array([-0.1, -0.9])
    gallery = np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1)
    ours = retrieval_scores(np.array([[1.0, 0.0]]), [1], [-1], gallery, [1, 0], [0, 1], ks=(1,))
    theirs = retrieval_precision(torch.tensor(cosines), torch.tensor([True, False]), top_k=1)
    assert table_values("**Negative cosines.**") == shown(ours.metrics["precision_at_1"], theirs)


def test_a_collapsed_model():
    from torchmetrics.functional.retrieval import retrieval_precision

    labels, ids, embeddings = np.repeat([0, 1, 2], 4), np.arange(12), np.ones((12, 8))
    expected = retrieval_scores(embeddings, labels, ids, ks=(1,))
    worst = retrieval_scores(embeddings, labels, ids, ks=(1,), ties="pessimistic")
    cosines = np.ones((12, 12))
    found = []
    for query in range(12):
        others = ids != query
        best = cosines[query][others & (labels == labels[query])].max()
        found.append(1 + (cosines[query][others & (labels != labels[query])] > best).sum() == 1)
    orders = [np.roll(labels[1:] == labels[0], shift) for shift in range(11)]
    theirs = [
        float(retrieval_precision(torch.ones(11), torch.from_numpy(order), top_k=1)) for order in orders
    ]
    name = "precision_at_1"
    assert table_values("**A collapsed model.**") == shown(
        expected.chance[name],
        expected.metrics[name],
        worst.metrics[name],
        np.mean(found),
        min(theirs),
        max(theirs),
    )


def test_a_query_without_a_relevant_item():
    from torchmetrics.retrieval import RetrievalPrecision

    gallery = np.array([[1.0, 0.1], [0.1, 1.0]])
    ours = retrieval_scores(np.eye(2), [1, 2], [10, 11], gallery, [1, 3], [0, 1], ks=(1,))
    assert ours.excluded_queries == 1
    theirs = RetrievalPrecision(top_k=1)(
        torch.tensor([0.9, 0.1, 0.1, 0.9]),
        torch.tensor([True, False, False, False]),
        torch.tensor([0, 0, 1, 1]),
    )
    assert table_values("**A query without") == shown(ours.metrics["precision_at_1"], theirs)


def test_large_labels():
    labels = np.array([2**24, 2**24, 2**24 + 1, 2**24 + 1])
    embeddings = np.eye(2)[[0, 0, 1, 1]]
    values = []
    for each in (labels, labels.astype(np.float32).astype(np.int64)):
        values.append(retrieval_scores(embeddings, each, np.arange(4), ks=(1,)).metrics["recall_at_1"])
    assert table_values("**Large labels.**") == shown(*values)
    with pytest.raises(ValueError, match="floats mix up"):
        retrieval_scores(embeddings, labels.astype(np.float32), np.arange(4))


def test_every_metric_has_a_line_and_no_figure_is_left_unchecked():
    named = {name.replace("_7", "_k") for name in metric_names([7])}
    lines = re.findall(r"^\| `(\w+)` \|", PAGE[: PAGE.index("## Ties")], re.MULTILINE)
    assert named == set(lines) and len(lines) == len(named)
    tables = ("Example: 20", "**Three", "**Two", "**Negative", "**A collapsed", "**A query", "**Large")
    checked = [value for heading in tables for value in table_values(heading)]
    assert sorted(re.findall(r"\b\d\.\d{4}\b", PAGE)) == sorted(checked)
