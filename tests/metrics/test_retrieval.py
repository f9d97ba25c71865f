"""Retrieval metrics against slow loops, against another library, and where they are known by thought."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.metrics import metric_names, neighbours, retrieval_scores
from lens.metrics.ranking import SPARE_RANKS, workspace_sizes
from lens.metrics.similarity import chunk_sizes
from tests.metrics.slow_retrieval import random_set, slow_cosine, slow_scores

KS = (1, 2, 5)


def compare(scores, expected):
    counted = [each for each in expected if each is not None]
    assert scores.counted.tolist() == [each is not None for each in expected]
    assert (scores.queries, scores.excluded_queries) == (len(counted), len(expected) - len(counted))
    for name, values in scores.per_query.items():
        np.testing.assert_allclose(values, [each[name] for each, _ in counted], rtol=0, atol=1e-12)
        if counted:
            assert scores.metrics[name] == pytest.approx(
                np.mean([each[name] for each, _ in counted]), abs=1e-12
            )
        else:
            assert math.isnan(scores.metrics[name]) and math.isnan(scores.chance[name])
    assert not counted or set(scores.per_query) == set(counted[0][0]) == set(scores.chance)
    assert list(scores.metrics) == metric_names(KS)


# Few small components: many ties, duplicates, parallel vectors and negative cosines. Two different cosines of
# such vectors differ by far more than the 1e-6 below which they count as equal.
vectors = st.lists(st.integers(-2, 2), min_size=3, max_size=3).filter(any)
# The first two are one number in float32.
label = st.sampled_from([2**24, 2**24 + 1, 2**53 + 1, 2**53, -3])
item = st.tuples(vectors, label, st.integers(0, 30))


def score_both_ways(queries, gallery, budget, ties):
    """Leave-one-out and against a gallery, from arrays and from tensors, each beside the slow loops."""
    q, ql, qi = (list(column) for column in zip(*queries, strict=True))
    alone = retrieval_scores(
        np.array(q, float), np.array(ql), np.array(qi), ks=KS, ties=ties, budget_bytes=budget
    )
    yield alone, slow_scores(q, ql, qi, q, ql, qi, KS, ties)
    g, gl, gi = (list(column) for column in zip(*gallery, strict=True)) if gallery else ([], [], [])
    both = retrieval_scores(
        torch.tensor(q, dtype=torch.float32),
        torch.tensor(ql),
        torch.tensor(qi),
        torch.tensor(g, dtype=torch.float32).reshape(-1, 3),
        torch.tensor(gl, dtype=torch.int64),
        torch.tensor(gi, dtype=torch.int64),
        ks=KS,
        ties=ties,
        budget_bytes=budget,
    )
    yield both, slow_scores(q, ql, qi, g, gl, gi, KS, ties)


budgets = st.sampled_from([1, 5000, 2**20])


@settings(max_examples=150, deadline=None)
@given(st.lists(item, min_size=1, max_size=24), st.lists(item, max_size=24), budgets)
def test_pessimistic_equals_slow_loops_for_a_gallery_and_leave_one_out(queries, gallery, budget):
    for scores, slow in score_both_ways(queries, gallery, budget, "pessimistic"):
        compare(scores, slow)


@settings(max_examples=100, deadline=None)
@given(st.lists(item, min_size=1, max_size=9), st.lists(item, max_size=9), budgets)
def test_expected_equals_slow_loops_over_all_orders(queries, gallery, budget):
    for scores, slow in score_both_ways(queries, gallery, budget, "expected"):
        compare(scores, slow)
        assert scores.tied_queries == sum(tied for _, tied in filter(None, slow))


@pytest.mark.parametrize("budget", [60_000, 500_000, 2**28])
@pytest.mark.parametrize("ties", ["expected", "pessimistic"])
def test_cutting_the_ranking_short_changes_no_figure(budget, ties):
    """With k up to 2 a few ranks are kept, and ties and first relevant items beyond them counted; with 400, all."""
    rng = np.random.default_rng(5)
    embeddings = rng.integers(-2, 3, (400, 5)) + np.eye(5)[0] * 0.5
    labels, ids = rng.permutation(np.repeat(np.arange(160), 5)[::2]), np.arange(400)
    whole = retrieval_scores(embeddings, labels, ids, ks=(1, 2, 400), ties=ties)
    short = retrieval_scores(embeddings, labels, ids, ks=(1, 2), ties=ties, budget_bytes=budget)
    assert 0 < short.tied_queries < short.queries
    assert (short.per_query["mrr"] < 1 / 40).sum() > 20
    for name, values in short.per_query.items():
        np.testing.assert_allclose(values, whole.per_query[name], rtol=0, atol=1e-14)
        assert short.chance[name] == pytest.approx(whole.chance[name], abs=1e-14)


@settings(max_examples=100, deadline=None)
@given(st.lists(item, min_size=1, max_size=20), st.lists(item, min_size=1, max_size=20), st.integers(1, 25))
def test_neighbours_equal_a_sorted_list(queries, gallery, k):
    q, _, qi = (list(column) for column in zip(*queries, strict=True))
    g, _, gi = (list(column) for column in zip(*gallery, strict=True))
    rows, cosines = neighbours(
        np.array(q, float), np.array(g, float), np.array(qi), np.array(gi), k, budget_bytes=4000
    )
    assert rows.shape == cosines.shape == (len(q), k)
    for query, query_id, found, cosine in zip(q, qi, rows, cosines, strict=True):
        ranking = [(slow_cosine(query, other), row) for row, other in enumerate(g) if gi[row] != query_id]
        ranking = sorted(ranking, key=lambda pair: (-pair[0], pair[1]))[:k]
        missing = k - len(ranking)
        assert found.tolist() == [row for _, row in ranking] + [-1] * missing
        np.testing.assert_allclose(cosine, [c for c, _ in ranking] + [np.nan] * missing, atol=1e-6)


@pytest.mark.parametrize("budget", [20_000, 100_000, 10**6, 10**9])
def test_chunks_never_change_a_result_even_among_duplicates(budget):
    embeddings, labels, ids = random_set(rows=150)
    # Duplicates of arbitrary direction under another label and length: equal only if the arithmetic is exact.
    embeddings = np.concatenate([embeddings, embeddings * np.float32(4)])
    labels, ids = np.concatenate([labels, 1 - labels]), np.concatenate([ids, ids + 10**6])
    whole = retrieval_scores(embeddings, labels, ids, budget_bytes=2**31)
    pieces = retrieval_scores(embeddings, labels, ids, budget_bytes=budget)
    for name, values in whole.per_query.items():
        np.testing.assert_array_equal(values, pieces.per_query[name])
    all_rows = neighbours(embeddings, embeddings, ids, ids, 7, budget_bytes=2**31)
    for one, other in zip(
        all_rows, neighbours(embeddings, embeddings, ids, ids, 7, budget_bytes=budget), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_order_of_items_does_not_matter():
    embeddings, labels, ids = random_set()
    order = np.random.default_rng(1).permutation(len(ids))
    straight = retrieval_scores(embeddings, labels, ids)
    shuffled = retrieval_scores(embeddings[order], labels[order], ids[order])
    for name, values in straight.per_query.items():
        np.testing.assert_array_equal(values[order], shuffled.per_query[name])


def test_wrong_arguments_are_refused():
    embeddings, labels, ids = random_set(rows=5)
    with pytest.raises(ValueError, match="labels must be integers, not float32"):
        retrieval_scores(embeddings, labels.astype(np.float32), ids)
    with pytest.raises(ValueError, match=r"ids must have shape \[5\]"):
        retrieval_scores(embeddings, labels, ids[:4])
    with pytest.raises(ValueError, match=r"shape \[N, D\]"):
        retrieval_scores(embeddings[0], labels, ids)
    with pytest.raises(ValueError, match="all three or none"):
        retrieval_scores(embeddings, labels, ids, embeddings)
    with pytest.raises(ValueError, match="16 dimensions, the gallery has 3"):
        retrieval_scores(embeddings, labels, ids, embeddings[:, :3], labels, ids)
    with pytest.raises(ValueError, match="ks must be"):
        retrieval_scores(embeddings, labels, ids, ks=())
    with pytest.raises(ValueError, match="ties must be"):
        retrieval_scores(embeddings, labels, ids, ties="optimistic")
    with pytest.raises(ValueError, match="k must be at least 1"):
        neighbours(embeddings, embeddings, ids, ids, 0)


MEASURE = r"""
import re, sys
from pathlib import Path
import numpy as np
from lens.metrics import neighbours, retrieval_scores
import torch
torch.set_num_threads(2)
rng = np.random.default_rng(0)
x = rng.normal(size=(20_000, 64)).astype(np.float32)
labels, ids = rng.integers(0, 100, 20_000), np.arange(20_000)
def score(budget, rows):
    retrieval_scores(x[:rows], labels[:rows], ids[:rows], x, labels, ids, budget_bytes=budget)
    neighbours(x[:rows], x, ids[:rows], ids, 10, budget_bytes=budget)
def peak():
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1))
score(2**20, 50)
before = peak()
score(int(sys.argv[1]), 1500)
x[:] = 1
score(int(sys.argv[1]), 300)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_stays_inside_the_budget():
    """All cosines of 1,500 × 20,000 would take 240 MB; the working memory is measured in a fresh process."""
    budget = 64 * 2**20
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(budget)], capture_output=True, text=True, check=True, timeout=120
    )
    # Beside the budget: labels, ids, results, and what the allocator keeps.
    assert 4 * 2**20 < int(done.stdout) < budget + 16 * 2**20


@given(
    st.integers(1, 10**7),
    st.integers(1, 10**7),
    st.integers(1, 4096),
    st.integers(1, 10**5),
    st.integers(1, 10**10),
)
def test_chunk_sizes_keep_to_the_stated_formula(queries, gallery, width, kept, budget):
    q, g = chunk_sizes(queries, gallery, width, kept, budget)
    assert 1 <= q <= queries and 1 <= g <= gallery
    used = 48 * q * kept + 64 * q * g + 24 * (q + g) * width
    assert used <= max(budget, 48 * kept + 48 * width + 64)


@given(
    st.integers(1, 10**7),
    st.integers(0, 10**7),
    st.integers(1, 4096),
    st.integers(1, 10**5),
    st.integers(1, 10**10),
)
def test_workspace_sizes_keep_to_the_stated_formula(queries, gallery, width, depth, budget):
    q, g, held, lines = workspace_sizes(queries, gallery, width, depth, budget)
    kept = min(gallery, depth + SPARE_RANKS)
    assert 1 <= q <= queries and 1 <= g <= max(1, gallery) and 1 <= lines <= queries
    assert held >= min(gallery, kept + g)
    used = 24 * width * (q + g) + 24 * q * g + 4 * q * held + 24 * q * kept + 200 * lines * kept
    assert used <= max(budget, 48 * width + 240 * kept + 200)
