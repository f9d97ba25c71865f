"""A defined outcome for every odd input: collapsed, doubled, lonely, negative, tiny, huge and missing."""

import math

import numpy as np
import pytest
import torch

from lens.metrics import neighbours, retrieval_scores, retrieval_scores_by_role
from tests.metrics.slow_retrieval import random_set


def collapsed(rows=60, width=512):
    return np.tile(np.random.default_rng(2).normal(size=(1, width)).astype(np.float32), (rows, 1))


def test_a_collapsed_model_scores_chance_and_nothing_when_ties_count_against_it():
    labels = np.repeat([3, 4, 5], 20)
    scores = retrieval_scores(collapsed(), labels, np.arange(60), ks=(1, 50), budget_bytes=300_000)
    assert scores.queries == scores.tied_queries == 60
    assert scores.metrics == pytest.approx(scores.chance, abs=1e-12)
    assert scores.metrics["precision_at_1"] == pytest.approx(19 / 59)
    worst = retrieval_scores(collapsed(), labels, np.arange(60), ks=(1, 5), ties="pessimistic")
    assert worst.tied_queries == 60
    # 40 irrelevant ones come first, then all 19 relevant ones.
    assert worst.metrics.pop("mrr") == pytest.approx(1 / 41)
    assert set(worst.metrics.values()) == {0.0}
    late = retrieval_scores(collapsed(), labels, np.arange(60), ks=(50,), ties="pessimistic")
    assert late.metrics["precision_at_50"] == pytest.approx(10 / 50)


@pytest.mark.parametrize("ties, precision", [("expected", 1 / 2), ("pessimistic", 0)])
def test_duplicates_under_the_own_and_another_label(ties, precision):
    """Each query's vector is twice in the gallery, once relevant and once not; the lengths differ."""
    embeddings = np.random.default_rng(3).normal(size=(50, 33)).astype(np.float32)
    triple = np.concatenate([embeddings, embeddings * 4, embeddings / 8])
    labels = np.concatenate([np.arange(50), np.arange(50), np.arange(50) + 1000])
    scores = retrieval_scores(
        triple[:50], labels[:50], np.arange(50), triple, labels, np.arange(150), ks=(1, 2), ties=ties
    )
    assert scores.metrics["precision_at_1"] == pytest.approx(precision)
    assert scores.metrics["mrr"] == pytest.approx(precision / 2 + 1 / 2)
    assert scores.metrics["recall_at_2"] == 1
    assert scores.tied_queries == 50


def test_duplicates_of_one_label_are_ordinary_items():
    embeddings, labels, ids = random_set(rows=80)
    twice = retrieval_scores(
        embeddings,
        labels,
        ids,
        np.repeat(embeddings, 2, 0),
        np.repeat(labels, 2),
        np.repeat(ids, 2),
        ks=(2, 10),
    )
    once = retrieval_scores(embeddings, labels, ids, ks=(1, 5))
    assert twice.tied_queries == once.tied_queries == 0
    # Both copies of the query leave by their id; the others come in pairs.
    for name in ("precision", "recall", "hit"):
        for k in (1, 5):
            one, other = once.per_query[f"{name}_at_{k}"], twice.per_query[f"{name}_at_{2 * k}"]
            np.testing.assert_allclose(one, other, atol=1e-12)
    np.testing.assert_allclose(once.per_query["r_precision"], twice.per_query["r_precision"], atol=1e-12)


def test_labels_beyond_what_float32_tells_apart_change_nothing():
    embeddings, labels, ids = random_set()
    scores = retrieval_scores(embeddings, labels, ids)
    for huge in (labels + 2**24, labels + 2**53, -(2**62) - labels):
        other = retrieval_scores(embeddings, huge, ids + 2**40)
        assert other.metrics == scores.metrics and other.chance == scores.chance
    with pytest.raises(ValueError, match="labels must be integers"):
        retrieval_scores(embeddings, (labels + 2**24).astype(np.float32), ids)


def test_negative_cosines_change_nothing():
    """Reversing the gallery's order on a half circle leaves all cosines below zero and every rank as it was."""
    rng = np.random.default_rng(6)
    angles, labels = np.sort(rng.uniform(0.1, 1.4, 40)), rng.integers(0, 3, 40)
    query = np.array([[1.0, 0.0]])

    def score(angle):
        gallery = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return retrieval_scores(query, [1], [99], gallery, labels, np.arange(40), ks=(1, 5, 10))

    above, below = score(angles), score(angles + math.pi / 2 + 0.05)
    assert below.metrics == above.metrics and 0 < above.metrics["map_at_r"] < 1
    lone = retrieval_scores(query, [1], [0], np.array([[-1.0, 0.5], [-1.0, 0.1]]), [1, 2], [1, 2], ks=(1,))
    assert set(lone.metrics.values()) == {1.0}


def test_perfect_embeddings_score_one():
    labels = np.repeat(np.arange(4), 5)
    for ties in ("expected", "pessimistic"):
        scores = retrieval_scores(np.eye(4)[labels], labels, np.arange(20), ks=(1, 4), ties=ties)
        assert scores.metrics.pop("recall_at_1") == 1 / 4
        assert set(scores.metrics.values()) == {1.0} and scores.tied_queries == 0


def test_one_class_only_scores_one_whatever_the_embedding():
    embeddings, _, ids = random_set(rows=30)
    scores = retrieval_scores(embeddings, np.zeros(30, int), ids, ks=(1, 29))
    assert scores.chance == pytest.approx(scores.metrics)
    assert scores.metrics.pop("recall_at_1") == pytest.approx(1 / 29)
    assert set(scores.metrics.values()) == {1.0}


def test_a_gallery_smaller_than_k_divides_by_k_and_ideals_stop_at_r():
    scores = retrieval_scores(np.ones((3, 2)), np.ones(3, int), np.arange(3), ks=(10,))
    assert scores.metrics.pop("precision_at_10") == pytest.approx(2 / 10)
    assert set(scores.metrics.values()) == {1.0}
    short = retrieval_scores(np.eye(3)[[0, 0, 1]], [1, 1, 2], np.arange(3), ks=(1, 2, 7))
    assert short.metrics["precision_at_7"] == pytest.approx(1 / 7)
    assert short.metrics["map_at_7"] == short.metrics["ndcg_at_7"] == 1


def test_queries_without_a_relevant_item_are_counted_and_left_out():
    scores = retrieval_scores(np.eye(4), np.array([1, 1, 2, 3]), np.arange(4), ks=(1,))
    assert scores.counted.tolist() == [True, True, False, False]
    assert (scores.queries, scores.excluded_queries) == (2, 2)
    assert scores.per_query["mrr"].shape == (2,)
    assert scores.chance["precision_at_1"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("case", ["no query", "no gallery", "nothing", "nothing relevant"])
def test_where_nothing_is_counted_every_figure_is_nan(case):
    queries = 0 if case in ("no query", "nothing") else 3
    gallery = 0 if case in ("no gallery", "nothing") else 4
    scores = retrieval_scores(
        np.ones((queries, 2)), np.ones(queries, int), np.arange(queries),
        np.ones((gallery, 2)), np.full(gallery, 2), np.arange(gallery) + 10, ks=(1, 5),
    )  # fmt: skip
    assert (scores.queries, scores.excluded_queries, scores.tied_queries) == (0, queries, 0)
    assert scores.counted.shape == (queries,) and not scores.counted.any()
    assert all(math.isnan(value) for value in [*scores.metrics.values(), *scores.chance.values()])
    assert all(values.shape == (0,) for values in scores.per_query.values())
    alone = retrieval_scores(np.ones((queries, 2)), np.arange(queries), np.arange(queries))
    assert alone.excluded_queries == queries and list(alone.metrics) == list(alone.chance)


def test_a_querys_id_may_be_in_the_gallery_several_times_or_on_every_item():
    """Three views of one shoe carry its id: none of them may find another, wherever they lie."""
    embeddings, labels, ids = random_set(rows=90)
    views = np.concatenate([embeddings, embeddings[::-1] + 0.01, embeddings])
    scores = retrieval_scores(
        embeddings,
        labels,
        ids,
        views,
        np.concatenate([labels, labels[::-1], labels]),
        np.r_[ids, ids[::-1], ids],
    )
    without = [
        retrieval_scores(
            embeddings[row : row + 1], labels[row : row + 1], [-1],
            np.delete(views, [row, 179 - row, 180 + row], 0),
            np.delete(np.r_[labels, labels[::-1], labels], [row, 179 - row, 180 + row]), np.arange(267),
        )
        for row in range(0, 90, 10)
    ]  # fmt: skip
    for name, values in scores.per_query.items():
        np.testing.assert_allclose(values[::10], [one.metrics[name] for one in without], atol=1e-12)
    # Too few other items to fill the first ranks.
    same = retrieval_scores(
        embeddings[:5], labels[:5], np.zeros(5, int), views[:6], np.full(6, labels[0]), [0] * 5 + [1]
    )
    assert same.per_query["precision_at_10"] == pytest.approx(np.full(same.queries, 0.1))
    assert set(same.per_query["mrr"]) == {1.0}
    everything = retrieval_scores(embeddings, labels, np.zeros(90, int))
    assert everything.queries == 0 and everything.excluded_queries == 90


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 0.0])
def test_rows_without_direction_are_named(wrong):
    embeddings, labels, ids = random_set()
    embeddings[[4, 250]] = wrong
    with pytest.raises(ValueError, match=r"query embeddings .* rows 4, 250$"):
        retrieval_scores(embeddings, labels, ids, budget_bytes=60_000)
    embeddings[10:20, 0] = np.nan
    with pytest.raises(ValueError, match=r"gallery .* rows 4, 10, 11, 12, 13 and 7 more"):
        neighbours(embeddings[:3], embeddings, ids[:3], ids, 2)


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


def test_roles_divide_items_and_need_both_sides():
    embeddings, labels, ids = random_set(rows=60)
    roles = np.repeat(["query", "gallery", ""], 20)
    by_role = retrieval_scores_by_role(embeddings, labels, ids, roles, ks=(1, 3))
    q, g = np.r_[0:20, 40:60], np.r_[20:60]
    split = retrieval_scores(embeddings[q], labels[q], ids[q], embeddings[g], labels[g], ids[g], ks=(1, 3))
    assert by_role.metrics == split.metrics and by_role.chance == split.chance
    with pytest.raises(ValueError, match="no query or no gallery"):
        retrieval_scores_by_role(embeddings, labels, ids, np.full(60, "query"))
