import math

import numpy as np
import pandas as pd
import pytest

from lens.metrics import by_group, macro, retrieval_scores
from tests.metrics.slow_retrieval import random_set


def lopsided():
    """Three categories of 20, 9 and 1, and their scores; the one has no relevant item."""
    embeddings, _, ids = random_set(rows=30, classes=3)
    labels = np.repeat([0, 1, 2], [20, 9, 1])
    order = np.random.default_rng(1).permutation(30)
    names = np.array(["boot", "sandal", "clog"])[labels]
    embeddings[:20, 0] += 3
    return retrieval_scores(embeddings[order], labels[order], ids, ks=(1, 3)), names[order]


def test_each_group_has_the_mean_of_its_queries():
    scores, names = lopsided()
    table = by_group(scores, names)
    assert table.index.tolist() == ["boot", "clog", "sandal"] and table.index.name == "group"
    assert table["queries"].tolist() == [20, 0, 9]
    assert table["excluded_queries"].tolist() == [0, 1, 0]
    assert table.columns.tolist() == ["queries", "excluded_queries", *scores.metrics]
    for name, values in scores.per_query.items():
        for group in ("boot", "sandal"):
            assert table.loc[group, name] == pytest.approx(values[names[scores.counted] == group].mean())
        assert math.isnan(table.loc["clog", name])


def test_macro_weighs_groups_and_micro_weighs_queries():
    scores, names = lopsided()
    table, means = by_group(scores, names), macro(scores, names)
    assert means.keys() == scores.metrics.keys()
    for name, value in means.items():
        boot, sandal = table.loc["boot", name], table.loc["sandal", name]
        assert value == pytest.approx((boot + sandal) / 2)
        assert scores.metrics[name] == pytest.approx((20 * boot + 9 * sandal) / 29)
    assert means["precision_at_1"] != pytest.approx(scores.metrics["precision_at_1"], abs=1e-3)


@pytest.mark.parametrize("kind", [np.int64, str, object, pd.Series])
def test_groups_may_be_integers_texts_or_a_column(kind):
    scores, names = lopsided()
    numbers = np.unique(names, return_inverse=True)[1]
    groups = pd.Series(names, index=np.arange(30) * 7) if kind is pd.Series else numbers.astype(kind)
    table = by_group(scores, groups)
    pd.testing.assert_frame_equal(
        table.reset_index(drop=True), by_group(scores, names).reset_index(drop=True)
    )


def test_nothing_counted_gives_nan_and_no_group_gives_an_empty_table():
    scores = retrieval_scores(np.eye(3), np.arange(3), np.arange(3))
    table = by_group(scores, np.array(["a", "a", "b"]))
    assert table["excluded_queries"].tolist() == [2, 1] and table["queries"].tolist() == [0, 0]
    assert table.drop(columns=["queries", "excluded_queries"]).isna().all(axis=None)
    assert all(math.isnan(value) for value in macro(scores, np.array(["a", "a", "b"])).values())
    empty = retrieval_scores(np.empty((0, 2)), [], [])
    assert len(by_group(empty, np.array([], dtype=str))) == 0
    assert all(math.isnan(value) for value in macro(empty, np.array([], dtype=str)).values())


def test_wrong_groups_are_refused():
    scores, names = lopsided()
    with pytest.raises(ValueError, match="each of 30 queries, not 29"):
        by_group(scores, names[1:])
    with pytest.raises(ValueError, match="no value for 1 queries"):
        by_group(scores, np.array([None, *names[1:]], dtype=object))
