import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from lens.metrics import neighbours
from lens.metrics.confusion import most_confused, neighbour_confusion


def test_shares_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    queries, found = random.integers(0, 5, 70), random.integers(0, 5, (70, 4))
    shares = neighbour_confusion(queries, found, 5)
    wanted = confusion_matrix(np.repeat(queries, 4), found.ravel(), labels=range(5), normalize="true")
    np.testing.assert_allclose(shares, wanted)
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_results_that_are_not_there_count_for_nothing() -> None:
    shares = neighbour_confusion(np.array([0, 0, 1]), np.array([[1, -1], [0, 1], [-1, -1]]), 3)
    np.testing.assert_allclose(shares[0], [1 / 3, 2 / 3, 0])
    assert np.isnan(shares[1:]).all()


def test_an_item_never_finds_itself() -> None:
    random = np.random.default_rng(1)
    vectors, categories, ids = random.normal(size=(12, 3)), np.arange(12) % 4, np.arange(12)
    vectors[4] = vectors[0]  # a twin is found
    found, _ = neighbours(vectors, vectors, ids, ids, 2)
    shares = neighbour_confusion(categories, categories[found], 4)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    counts = np.zeros((4, 4))
    for query in range(12):
        others = sorted((-(unit[query] @ unit[other]), other) for other in range(12) if other != query)
        for _, other in others[:2]:
            counts[categories[query], categories[other]] += 1
    np.testing.assert_allclose(shares, counts / counts.sum(axis=1, keepdims=True))


def test_the_largest_confusions_come_first() -> None:
    shares = np.array([[0.5, 0.2, 0.3], [0.9, 0.1, 0.0], [math.nan] * 3])
    assert most_confused(shares, "abc") == [("b", "a", 0.9), ("a", "c", 0.3), ("a", "b", 0.2)]
    assert most_confused(shares, "abc", 1) == [("b", "a", 0.9)]
    assert most_confused(np.eye(2), "ab") == []


@pytest.mark.parametrize(
    ("queries", "found", "sentence"),
    [
        (np.zeros(3, int), np.zeros((2, 2), int), "need categories"),
        (np.zeros(2, int), np.zeros(2, int), "need categories"),
        (np.array([0, 2]), np.zeros((2, 1), int), "not one of 0 to 1"),
        (np.array([0, -1]), np.zeros((2, 1), int), "not one of 0 to 1"),
        (np.zeros(2, int), np.full((2, 1), 2), "not one of 0 to 1"),
    ],
)
def test_wrong_input_is_refused(queries: np.ndarray, found: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        neighbour_confusion(queries, found, 2)
