from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.data.sampler import BalancedBatchSampler, Draw, ShuffledBatchSampler
from lens.errors import LensError

Sampler = BalancedBatchSampler | ShuffledBatchSampler


def _labels(*counts: int) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


def _rows(sampler: Sampler) -> list[list[int]]:
    return [[draw.index for draw in batch] for batch in sampler]


class_sizes = st.lists(st.integers(1, 30), min_size=2, max_size=9)


@settings(max_examples=60, deadline=None)
@given(class_sizes, st.integers(2, 6), st.integers(1, 5), st.integers(1, 3), st.integers(0, 99))
def test_balanced_batches(sizes: list[int], classes: int, images: int, world: int, seed: int) -> None:
    labels = _labels(*sizes)
    ranks = [
        BalancedBatchSampler(labels, classes, images, seed, batches_per_epoch=7, rank=rank, world_size=world)
        for rank in range(world)
    ]
    p, k = ranks[0].classes_per_batch, ranks[0].images_per_class
    assert p == min(classes, len(sizes))
    assert p * k <= max(classes * images, p * images)
    draws: list[Draw] = []
    for step in zip(*ranks, strict=True):
        for batch in step:
            found = Counter(int(labels[draw.index]) for draw in batch)
            assert len(found) == p
            assert set(found.values()) == {k}
            uses = Counter(draw.index for draw in batch)
            for label in found:
                mine = [uses[row] for row in np.flatnonzero(labels == label)]
                assert max(mine) - min(mine) <= 1
                assert max(mine) == -(-k // len(mine))
            draws.extend(batch)
    assert len(set(draws)) == len(draws)
    turns = Counter(int(labels[draw.index]) for draw in draws)
    seen = [turns[label] // k for label in range(len(sizes))]
    assert max(seen) - min(seen) <= 1
    for label in range(len(sizes)):
        walked = Counter(draw.index for draw in draws if labels[draw.index] == label)
        counts = [walked[row] for row in np.flatnonzero(labels == label)]
        assert max(counts) - min(counts) <= 1


def test_ranks_have_classes_of_their_own_where_there_are_enough() -> None:
    labels = _labels(*[6] * 8)
    for step in zip(
        *(BalancedBatchSampler(labels, 4, 2, 0, rank=rank, world_size=2) for rank in (0, 1)), strict=True
    ):
        first, second = ({int(labels[draw.index]) for draw in batch} for batch in step)
        assert not first & second


def test_ranks_together_draw_what_nobody_else_draws_twice() -> None:
    labels = _labels(*[10] * 8)
    one = BalancedBatchSampler(labels, 8, 2, 3, batches_per_epoch=5)
    two = [
        BalancedBatchSampler(labels, 4, 2, 3, batches_per_epoch=5, rank=rank, world_size=2) for rank in (0, 1)
    ]
    assert [a + b for a, b in zip(_rows(two[0]), _rows(two[1]), strict=True)] == _rows(one)


def test_repeats_are_counted_over_the_epoch() -> None:
    sampler = BalancedBatchSampler(_labels(2, 50), 2, 4, 0, batches_per_epoch=3)
    draws = [draw for batch in sampler for draw in batch if draw.index < 2]
    assert sorted((draw.index, draw.repeat) for draw in draws) == [(i, r) for i in range(2) for r in range(6)]
    assert any("1 of 2 classes have fewer than 4 images" in note for note in sampler.notes)


def test_fewer_classes_than_p_keep_the_size_of_the_batch() -> None:
    sampler = BalancedBatchSampler(_labels(40, 40, 40), 8, 4, 0)
    assert (sampler.classes_per_batch, sampler.images_per_class) == (3, 10)
    assert all(len(batch) == 30 for batch in sampler)
    assert "3 classes x 10 images instead of 8 x 4" in sampler.notes[0]


def test_wrong_balanced_samplers() -> None:
    with pytest.raises(LensError, match="at least 2 classes to tell apart; the training images have 1"):
        BalancedBatchSampler(_labels(9), 2, 2, 0)
    with pytest.raises(LensError, match="at least 2 classes and 1 image"):
        BalancedBatchSampler(_labels(9, 9), 1, 2, 0)
    with pytest.raises(LensError, match="batches_per_epoch"):
        BalancedBatchSampler(_labels(9, 9), 2, 2, 0, batches_per_epoch=0)
    with pytest.raises(ValueError, match="rank"):
        BalancedBatchSampler(_labels(9, 9), 2, 2, 0, rank=2, world_size=2)


def test_default_length_is_about_one_pass() -> None:
    assert len(BalancedBatchSampler(_labels(50, 50), 2, 5, 0)) == 10
    assert len(BalancedBatchSampler(_labels(50, 50), 2, 5, 0, world_size=2)) == 5
    assert len(BalancedBatchSampler(_labels(2, 2), 2, 5, 0)) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 20), st.integers(1, 4), st.integers(0, 9))
def test_each_sample_once_per_epoch(count: int, size: int, world: int, seed: int) -> None:
    ranks = [ShuffledBatchSampler(count, size, seed, rank, world) for rank in range(world)]
    batches = [list(rank) for rank in ranks]
    assert {len(found) for found in batches} == {len(ranks[0])}
    draws = [draw for found in batches for batch in found for draw in batch]
    assert len(set(draws)) == len(draws)
    assert Counter(draw.index for draw in draws if draw.repeat < 1) == Counter(range(count))
    assert sum(draw.repeat > 0 for draw in draws) < world
    assert all(len(batch) <= size for found in batches for batch in found)


def test_the_last_shuffled_batch_may_be_short_and_nothing_to_draw_is_a_sentence() -> None:
    sampler = ShuffledBatchSampler(10, 4, 0)
    assert [len(batch) for batch in sampler] == [4, 4, 2]
    assert len(sampler) == 3
    with pytest.raises(LensError, match="no training images"):
        ShuffledBatchSampler(0, 4, 0)
    with pytest.raises(LensError, match="batch size"):
        ShuffledBatchSampler(4, 0, 0)


@pytest.mark.parametrize("kind", ["balanced", "shuffled"])
def test_order_and_resuming_depend_on_seed_and_epoch_alone(kind: str) -> None:
    def make(seed: int = 5) -> Sampler:
        if kind == "shuffled":
            return ShuffledBatchSampler(100, 7, seed)
        return BalancedBatchSampler(_labels(30, 5, 65), 2, 3, seed)

    whole = make()
    whole.set_epoch(3)
    epoch_3 = list(whole)
    np.random.default_rng(0).random(10)
    assert list(whole) == epoch_3
    assert len(epoch_3) == len(whole)
    assert all(draw.epoch == 3 for batch in epoch_3 for draw in batch)
    whole.set_epoch(4)
    assert list(whole) != epoch_3
    other = make(6)
    other.set_epoch(3)
    assert list(other) != epoch_3
    for done in (0, 4, len(epoch_3)):
        resumed = make()
        resumed.resume(3, done)
        assert list(resumed) == epoch_3[done:]
        assert list(resumed) == epoch_3
    resumed = make()
    resumed.resume(3, 4)
    resumed.set_epoch(4)
    assert len(list(resumed)) == len(resumed)
