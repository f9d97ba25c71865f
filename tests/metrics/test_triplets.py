"""Agreement with judgements, against a slow loop, and where it is known by thought."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.metrics import triplet_agreement


def slow(vectors, triplets):
    """One value per triplet; equal cosines by exact integer arithmetic on small whole vectors."""

    def signed_square(a, b):  # orders like the cosine with a fixed anchor
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return math.copysign(dot * dot, dot) / sum(y * y for y in b)

    values = []
    for anchor, closer, farther in triplets:
        one, other = (signed_square(vectors[anchor], vectors[row]) for row in (closer, farther))
        values.append(0.5 if abs(one - other) < 1e-9 else float(one > other))
    return values


# Few small components: many parallel and equal vectors.
vectors = st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3).filter(any), min_size=3, max_size=10)
row_triplets = st.lists(st.tuples(*[st.integers(0, 2)] * 3), max_size=20)


@settings(max_examples=150, deadline=None)
@given(vectors, row_triplets, st.sampled_from([1, 2**20]), st.booleans())
def test_equals_a_slow_loop(items, triplets, budget, as_tensor) -> None:
    rows = np.array(triplets, dtype=np.int64).reshape(-1, 3).T
    given_vectors = np.array(items, dtype=np.float32)
    found = triplet_agreement(
        torch.from_numpy(given_vectors) if as_tensor else given_vectors, *rows, budget_bytes=budget
    )
    expected = slow(items, triplets)
    assert found.per_triplet.tolist() == expected
    assert (found.triplets, found.ties) == (len(triplets), expected.count(0.5))
    assert found.agreement == pytest.approx(np.mean(expected)) if triplets else math.isnan(found.agreement)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.floats(1e-3, 1e3))
def test_lengths_play_no_part_and_the_reverse_judgement_is_the_rest(seed, scale) -> None:
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(20, 5))
    anchor, closer, farther = rng.integers(0, 20, (3, 50))
    found = triplet_agreement(items, anchor, closer, farther)
    scaled = triplet_agreement(items * scale * rng.uniform(0.5, 2, (20, 1)), anchor, closer, farther)
    assert (scaled.per_triplet != found.per_triplet).sum() == 0
    reverse = triplet_agreement(items, anchor, farther, closer)
    np.testing.assert_array_equal(reverse.per_triplet, 1 - found.per_triplet)
    assert reverse.agreement == pytest.approx(1 - found.agreement)


def test_a_collapsed_model_agrees_by_half() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=64).astype(np.float32)
    items = one * rng.uniform(0.1, 10, (30, 1)).astype(np.float32)
    found = triplet_agreement(items, *rng.integers(0, 30, (3, 500)))
    assert (found.agreement, found.ties) == (0.5, 500)


def test_hundreds_of_thousands_of_triplets() -> None:
    rng = np.random.default_rng(0)
    items = rng.normal(size=(10_000, 128)).astype(np.float32)
    rows = rng.integers(0, 10_000, (3, 300_000))
    found = triplet_agreement(items, *rows)
    unit = items / np.linalg.norm(items, axis=1, keepdims=True)
    lead = np.einsum("td,td->t", unit[rows[0]], unit[rows[1]] - unit[rows[2]])
    clear = np.abs(lead) > 1e-5
    assert clear.mean() > 0.999
    np.testing.assert_array_equal(found.per_triplet[clear], lead[clear] > 0)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (([0], [1], [3]), "farther has rows from 3 to 3"),
        (([-1], [1], [2]), "anchor has rows"),
        (([0, 1], [1], [2]), "2, 1, 1 rows"),
        (([0.0], [1.0], [2.0]), "integers"),
        (([[0]], [[1]], [[2]]), "integers"),
    ],
)
def test_rows_that_cannot_be_are_refused(rows, reason) -> None:
    with pytest.raises(ValueError, match=reason):
        triplet_agreement(np.eye(3), *map(np.array, rows))


@pytest.mark.parametrize("fault", [0.0, math.nan, math.inf])
def test_vectors_without_a_direction_are_named(fault: float) -> None:
    items = np.ones((6, 4))
    items[4] = fault
    with pytest.raises(ValueError, match=r"rows 4$"):
        triplet_agreement(items, np.array([0]), np.array([1]), np.array([2]))
