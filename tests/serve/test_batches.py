"""Requests of many threads, joined."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from lens.serve.batches import Batcher
from lens.serve.problems import Overloaded


class Work:
    """Doubles numbers; notes the size of each pass, and waits until it may."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.may, self.begun = threading.Event(), threading.Event()

    def __call__(self, given: Sequence[int]) -> list[int]:
        self.begun.set()
        self.may.wait(10)
        self.sizes.append(len(given))
        if any(one < 0 for one in given):
            raise ValueError("below zero")
        return [2 * one for one in given]


def test_what_waits_together_is_done_together_and_each_gets_its_own() -> None:
    work, seen = Work(), []
    batcher = Batcher(8, 10, seen.append)
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(batcher, work, [0, 100])]
        assert work.begun.wait(10)
        asked += [pool.submit(batcher, work, [number, number + 100]) for number in range(1, 20)]
        for _ in range(1000):
            if batcher._jobs.qsize() == 19:
                break
            threading.Event().wait(0.01)
        work.may.set()
        for number, one in enumerate(asked):
            assert one.result(10) == [2 * number, 2 * number + 200]
    assert sum(work.sizes) == 40 and max(work.sizes) == 8 and len(work.sizes) == 6
    assert seen == work.sizes
    batcher.close()


def test_kinds_of_work_are_not_mixed_and_more_than_fits_goes_alone() -> None:
    one, other = Work(), Work()
    one.may.set(), other.may.set()
    batcher = Batcher(4, 10, lambda _: None)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(batcher, one if number % 2 else other, [number] * 6) for number in range(8)]
        assert [len(found.result(10)) for found in asked] == [6] * 8
    assert one.sizes == other.sizes == [6] * 4
    batcher.close()


def test_a_failure_is_told_and_the_next_is_answered() -> None:
    work = Work()
    work.may.set()
    batcher = Batcher(8, 10, lambda _: None)
    with pytest.raises(ValueError, match="below zero"):
        batcher(work, [-1])
    assert batcher(work, [1]) == [2]
    batcher.close()


def test_who_waits_too_long_is_told_so() -> None:
    work = Work()
    batcher = Batcher(8, 0.1, lambda _: None)
    with pytest.raises(Overloaded, match="too busy"):
        batcher(work, [1])
    batcher._seconds = 10.0
    work.may.set()
    assert batcher(work, [3]) == [6]
    batcher.close()
