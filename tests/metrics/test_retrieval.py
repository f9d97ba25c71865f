"""Retrieval metrics against slow loops, against another library, and where they are known by thought."""

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.metrics import neighbours, retrieval_scores
from lens.metrics.similarity import chunk_sizes

KS = (1, 2, 5)


def slow_ranking(query, query_id, gallery, gallery_ids):
    """Gallery rows with their exact cosine, self left out; no chunk, no matrix."""
    rows = []
    for row, other in enumerate(gallery):
        if gallery_ids[row] != query_id:
            cosine = math.fsum(a * b for a, b in zip(query, other, strict=True))
            cosine /= math.sqrt(math.fsum(a * a for a in query)) * math.sqrt(math.fsum(a * a for a in other))
            rows.append((round(cosine, 9), row))
    return rows


def slow_scores(queries, labels, ids, gallery, gallery_labels, gallery_ids, ks):
    """One dict per query, None where nothing is relevant; in exact fractions."""
    result = []
    for query, label, query_id in zip(queries, labels, ids, strict=True):
        ranking = slow_ranking(query, query_id, gallery, gallery_ids)
        ranking.sort(key=lambda pair: (-pair[0], gallery_labels[pair[1]] == label))
        hits = [gallery_labels[row] == label for _, row in ranking]
        total = sum(hits)
        if total == 0:
            result.append(None)
            continue
        scores = {}
        for k in ks:
            scores[f"precision_at_{k}"] = Fraction(sum(hits[:k]), k)
            scores[f"recall_at_{k}"] = Fraction(sum(hits[:k]), total)
            scores[f"hit_at_{k}"] = Fraction(any(hits[:k]))
        scores["r_precision"] = Fraction(sum(hits[:total]), total)
        scores["map_at_r"] = sum(
            (Fraction(sum(hits[: i + 1]), i + 1) for i in range(total) if hits[i]), start=Fraction(0)
        ) / Fraction(total)
        result.append(scores)
    return result


def compare(scores, expected):
    counted = [each for each in expected if each is not None]
    assert scores.counted.tolist() == [each is not None for each in expected]
    assert (scores.queries, scores.excluded_queries) == (len(counted), len(expected) - len(counted))
    for name, values in scores.per_query.items():
        np.testing.assert_allclose(values, [float(each[name]) for each in counted], rtol=0, atol=1e-12)
        if counted:
            assert scores.metrics[name] == pytest.approx(float(sum(e[name] for e in counted)) / len(counted))
        else:
            assert math.isnan(scores.metrics[name])
    assert not counted or set(scores.per_query) == set(counted[0])


# Few small components: many ties, duplicates, parallel vectors and negative cosines. Two different cosines of
# such vectors differ by far more than the 1e-6 below which they count as equal.
vectors = st.lists(st.integers(-2, 2), min_size=3, max_size=3).filter(any)
# The first two are one number in float32.
label = st.sampled_from([2**24, 2**24 + 1, 2**53 + 1, 2**53, -3])
item = st.tuples(vectors, label, st.integers(0, 30))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(item, min_size=1, max_size=24), st.lists(item, max_size=24), st.sampled_from([1, 5000, 2**20])
)
def test_equals_slow_loops_for_a_gallery_and_leave_one_out(queries, gallery, budget):
    q, ql, qi = (list(column) for column in zip(*queries, strict=True))
    alone = retrieval_scores(np.array(q, float), np.array(ql), np.array(qi), ks=KS, budget_bytes=budget)
    compare(alone, slow_scores(q, ql, qi, q, ql, qi, KS))
    g, gl, gi = (list(column) for column in zip(*gallery, strict=True)) if gallery else ([], [], [])
    both = retrieval_scores(
        torch.tensor(q, dtype=torch.float32),
        torch.tensor(ql),
        torch.tensor(qi),
        torch.tensor(g, dtype=torch.float32).reshape(-1, 3),
        torch.tensor(gl, dtype=torch.int64),
        torch.tensor(gi, dtype=torch.int64),
        ks=KS,
        budget_bytes=budget,
    )
    compare(both, slow_scores(q, ql, qi, g, gl, gi, KS))


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
        ranking = sorted(slow_ranking(query, query_id, g, gi), key=lambda pair: (-pair[0], pair[1]))[:k]
        missing = k - len(ranking)
        assert found.tolist() == [row for _, row in ranking] + [-1] * missing
        np.testing.assert_allclose(cosine, [c for c, _ in ranking] + [np.nan] * missing, atol=1e-6)


def random_set(rows=300, width=16, classes=7, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    centres = rng.normal(size=(classes, width))
    embeddings = (centres[labels] + rng.normal(size=(rows, width)) * 1.5).astype(np.float32)
    return embeddings, labels, rng.permutation(rows) + 10**12


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


def test_a_collapsed_model_scores_nothing():
    labels = np.repeat([3, 4, 5], 20)
    embeddings = np.tile(np.random.default_rng(2).normal(size=(1, 512)).astype(np.float32), (60, 1))
    scores = retrieval_scores(embeddings, labels, np.arange(60), budget_bytes=300_000)
    assert scores.queries == 60
    assert set(scores.metrics.values()) == {0.0}
    # 40 irrelevant ones come first, then all 19 relevant ones.
    late = retrieval_scores(embeddings, labels, np.arange(60), ks=(50,))
    assert late.metrics["precision_at_50"] == pytest.approx(10 / 50)


def test_a_duplicate_of_another_class_ranks_before_a_duplicate_of_the_own_class():
    embeddings = np.random.default_rng(3).normal(size=(50, 33)).astype(np.float32)
    triple = np.concatenate([embeddings] * 3)
    labels = np.concatenate([np.arange(50), np.arange(50), np.arange(50) + 1000])
    scores = retrieval_scores(
        triple[:50], labels[:50], np.arange(50), triple, labels, np.arange(150), ks=(1, 2)
    )
    assert scores.metrics["precision_at_1"] == 0
    assert scores.metrics["recall_at_2"] == 1


def test_perfect_embeddings_score_one_and_negative_cosines_count():
    labels = np.repeat(np.arange(4), 5)
    scores = retrieval_scores(np.eye(4)[labels], labels, np.arange(20), ks=(1, 4))
    assert scores.metrics.pop("recall_at_1") == 1 / 4
    assert set(scores.metrics.values()) == {1.0}
    below_zero = retrieval_scores(
        np.array([[1.0, 0.0]]), [1], [0], np.array([[-1.0, 0.5], [-1.0, 0.1]]), [1, 2], [1, 2], ks=(1,)
    )
    assert below_zero.metrics["precision_at_1"] == 1


def test_precision_divides_by_k_beyond_the_gallery():
    scores = retrieval_scores(np.ones((3, 2)), np.ones(3, int), np.arange(3), ks=(10,))
    assert scores.metrics["precision_at_10"] == pytest.approx(2 / 10)
    assert scores.metrics["recall_at_10"] == 1


def test_queries_without_a_relevant_item_are_counted_and_left_out():
    scores = retrieval_scores(np.eye(4), np.array([1, 1, 2, 3]), np.arange(4), ks=(1,))
    assert scores.counted.tolist() == [True, True, False, False]
    assert (scores.queries, scores.excluded_queries) == (2, 2)
    none = retrieval_scores(np.eye(2), np.array([1, 2]), np.arange(2), ks=(1,))
    assert none.queries == 0 and math.isnan(none.metrics["map_at_r"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_type_and_a_tensor_with_gradient(dtype):
    embeddings, labels, ids = random_set()
    tensor = torch.from_numpy(embeddings).to(dtype)
    expected = retrieval_scores(tensor.double().numpy(), labels, ids)
    found = retrieval_scores(tensor.requires_grad_(), torch.from_numpy(labels).int(), torch.from_numpy(ids))
    assert found.metrics == expected.metrics


def test_a_memory_mapped_file_is_read_as_it_is(tmp_path, recwarn):
    embeddings, labels, ids = random_set()
    np.save(tmp_path / "vectors.npy", embeddings)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    assert retrieval_scores(mapped, labels, ids).metrics == retrieval_scores(embeddings, labels, ids).metrics
    assert not recwarn.list


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0])
def test_rows_without_direction_are_named(wrong):
    embeddings, labels, ids = random_set()
    embeddings[[4, 250]] = wrong
    with pytest.raises(ValueError, match=r"query embeddings .* rows 4, 250$"):
        retrieval_scores(embeddings, labels, ids, budget_bytes=60_000)
    embeddings[10:20, 0] = np.nan
    with pytest.raises(ValueError, match=r"gallery .* rows 4, 10, 11, 12, 13 and 7 more"):
        neighbours(embeddings[:3], embeddings, ids[:3], ids, 2)


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
    with pytest.raises(ValueError, match="k must be at least 1"):
        neighbours(embeddings, embeddings, ids, ids, 0)


@pytest.mark.parametrize("roles", [False, True])
def test_agrees_with_pytorch_metric_learning(roles):
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    embeddings, labels, ids = random_set(rows=400)
    x, y = torch.from_numpy(embeddings), torch.from_numpy(labels)
    calculator = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"),
        k="max_bin_count",
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
    for name, other in [
        ("precision_at_1",) * 2,
        ("r_precision",) * 2,
        ("map_at_r", "mean_average_precision_at_r"),
    ]:
        assert ours.metrics[name] == pytest.approx(theirs[other], abs=1e-3)


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
