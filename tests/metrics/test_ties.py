"""Expected scores under ties: against all permutations, against shuffling, and a constant embedding against chance."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.metrics import RetrievalScores, retrieval_scores, retrieval_scores_by_role
from lens.metrics.formulas import chance_scores
from lens.metrics.ranking import SPARE_RANKS
from tests.metrics.slow_retrieval import all_orders, depends_on_order, mean_scores, scores_of

KS = (1, 2, 3, 5)


def score_groups(groups, ks=KS, **options) -> RetrievalScores:
    """One query against tie groups, nearest first; `groups` holds relevance. All items of a group are one picture."""
    angles = np.repeat(np.linspace(0.1, 3.0, len(groups)), [len(group) for group in groups])
    gallery = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    labels = np.concatenate(groups).astype(np.int64)
    ids = np.arange(1, len(labels) + 1)
    return retrieval_scores(np.array([[1.0, 0.0]]), [1], [0], gallery, labels, ids, ks=ks, **options)


def all_permutations(groups):
    for parts in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield [hit for part in parts for hit in part]


group = st.lists(st.booleans(), min_size=1, max_size=4)
rankings = st.lists(group, min_size=1, max_size=4).filter(
    lambda groups: any(map(any, groups)) and sum(map(len, groups)) <= 9
)


@settings(max_examples=60, deadline=None)
@given(rankings)
def test_expected_is_the_mean_over_all_permutations_of_tied_items(groups):
    scores = score_groups(groups)
    expected = mean_scores(list(all_permutations(groups)), KS)
    assert scores.metrics == pytest.approx(expected, abs=1e-12)
    assert set(scores.metrics) == set(expected)
    # The shorter list of orders, which other tests use, has the same mean.
    assert mean_scores(list(all_orders(groups)), KS) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(rankings, st.sampled_from([(1,), (2,), KS]))
def test_a_query_is_tied_exactly_when_some_order_changes_some_figure(groups, ks):
    assert score_groups(groups, ks).tied_queries == depends_on_order(groups, ks)


@settings(max_examples=100, deadline=None)
@given(rankings)
def test_pessimistic_is_the_least_of_all_orders_and_expected_is_between(groups):
    rows = [scores_of(hits, KS) for hits in all_orders(groups)]
    expected, worst = score_groups(groups).metrics, score_groups(groups, ties="pessimistic").metrics
    for name, value in worst.items():
        values = [float(row[name]) for row in rows]
        assert value == pytest.approx(min(values), abs=1e-12)
        assert min(values) - 1e-12 <= expected[name] <= max(values) + 1e-12


def test_expected_is_what_shuffling_gives_in_large_groups():
    rng = np.random.default_rng(0)
    groups = [[False] * 3, [True] + [False] * 30, [False] * 4, [True] * 25 + [False] * 40, [True] * 8]
    ks = (5, 20, 60)
    rows = [
        scores_of([h for group in groups for h in rng.permutation(group).tolist()], ks) for _ in range(2000)
    ]
    for name, value in score_groups(groups, ks).metrics.items():
        values = np.array([float(row[name]) for row in rows])
        # Four standard errors; nearly all of these figures vary.
        assert abs(values.mean() - value) <= 4 * values.std() / np.sqrt(len(values)) + 1e-12, name


@pytest.mark.parametrize("budget", [40_000, 400_000, 2**28])
@pytest.mark.parametrize("ties", ["expected", "pessimistic"])
def test_a_tie_group_beyond_the_kept_ranks_is_counted_in_full(budget, ties):
    """Rank 1 alone counts for 30 queries with R = 1; the group there has 400 items and far more come after."""
    rng = np.random.default_rng(1)
    labels = np.concatenate([[7], np.zeros(399, int), np.full(600, 3)])
    gallery = np.concatenate([np.tile([[1.0, 0.0]], (400, 1)), np.tile([[0.5, 1.0]], (600, 1))])
    order = rng.permutation(1000)
    queries = np.tile([[1.0, 0.0]], (30, 1))
    scores = retrieval_scores(
        queries, np.full(30, 7), np.arange(30) + 5000, gallery[order], labels[order], np.arange(1000),
        ks=(1, 4), ties=ties, budget_bytes=budget,
    )  # fmt: skip
    assert scores.tied_queries == 30
    if ties == "pessimistic":
        assert scores.metrics["mrr"] == pytest.approx(1 / 400)
        assert scores.metrics["hit_at_4"] == 0
    else:
        assert scores.metrics["precision_at_1"] == pytest.approx(1 / 400)
        assert scores.metrics["hit_at_4"] == pytest.approx(4 / 400)
        assert scores.metrics["map_at_4"] == pytest.approx(sum(1 / rank for rank in range(1, 5)) / 400)
        assert scores.metrics["mrr"] == pytest.approx(sum(1 / rank for rank in range(1, 401)) / 400)


def test_the_group_of_the_first_relevant_item_may_begin_among_the_kept_ranks_and_end_beyond():
    """R = 15, so 15 + 32 ranks are kept: of the group from rank 43 on, two irrelevant and three relevant items."""
    assert SPARE_RANKS == 32
    groups = [[False]] * 42 + [[False] * 2 + [True] * 15] + [[False]] * 5
    expected = mean_scores(list(all_orders(groups)), KS)
    for budget in (20_000, 2**28):
        assert score_groups(groups, budget_bytes=budget).metrics == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=1, max_size=5))
def test_chance_is_the_mean_over_all_orders_of_the_gallery(kinds):
    kinds = [(max(n, r), min(n, r)) for n, r in kinds]
    rows = [mean_scores(list(all_orders([[True] * r + [False] * (n - r)])), KS) for n, r in kinds]
    chance = chance_scores(*np.array(kinds).T, KS)
    assert chance == pytest.approx(
        {name: np.mean([row[name] for row in rows]) for name in rows[0]}, abs=1e-12
    )


UNEQUAL = np.repeat([3, 2**24, 2**24 + 1, -5, 9], [1, 2, 30, 4, 150])


@pytest.mark.parametrize("width", [2, 512])
@pytest.mark.parametrize("budget", [1, 400_000, 2**28])
def test_a_constant_embedding_scores_what_chance_scores_among_unequal_classes(width, budget):
    point = np.random.default_rng(2).normal(size=(1, width)).astype(np.float32)
    rows = slice(None) if budget > 1 else slice(28, 42)
    labels = UNEQUAL[rows]
    scores = retrieval_scores(
        np.tile(point, (len(labels), 1)),
        labels,
        np.arange(len(labels)),
        ks=(1, 5, 40, 500),
        budget_bytes=budget,
    )
    assert scores.metrics == pytest.approx(scores.chance, abs=1e-12)
    assert scores.tied_queries == scores.queries == sum((labels == label).sum() > 1 for label in labels)
    if budget > 1:
        # A query of the 150 has 149 relevant among 186 others, and so on; one has none and is left out.
        counts = np.array([2, 30, 4, 150])
        assert scores.chance["precision_at_1"] == pytest.approx((counts * (counts - 1)).sum() / 186 / 186)
        assert scores.chance["recall_at_40"] == pytest.approx(40 / 186)


def test_a_constant_embedding_scores_chance_with_roles_and_scales():
    rng = np.random.default_rng(3)
    roles = rng.choice(["query", "gallery", ""], len(UNEQUAL))
    scale = 2.0 ** rng.integers(-20, 20, (len(UNEQUAL), 1))
    point = scale * rng.normal(size=(1, 33))
    scores = retrieval_scores_by_role(point, UNEQUAL, np.arange(len(UNEQUAL)), roles)
    assert scores.metrics == pytest.approx(scores.chance, abs=1e-12)
    assert 0 < scores.chance["map_at_r"] < scores.chance["mrr"] < 1
    worst = retrieval_scores_by_role(point, UNEQUAL, np.arange(len(UNEQUAL)), roles, ties="pessimistic")
    assert worst.chance == scores.chance
    assert worst.metrics["precision_at_1"] == 0


def test_shuffled_labels_score_chance_on_average():
    rng = np.random.default_rng(4)
    embeddings, labels, ids = rng.normal(size=(60, 8)), np.repeat([0, 1, 2], [5, 15, 40]), np.arange(60)
    rows = [retrieval_scores(embeddings, rng.permutation(labels), ids, ks=(1, 10)) for _ in range(200)]
    for name, value in rows[0].chance.items():
        values = np.array([row.metrics[name] for row in rows])
        assert abs(values.mean() - value) < 4 * values.std() / np.sqrt(len(values)), name
