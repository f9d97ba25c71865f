"""Batches whose order is a function of (seed, epoch) alone: resumable in mid-epoch, the same on every rank."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from lens.errors import LensError


class Draw(NamedTuple):
    """One sample of a batch. `repeat` counts the earlier draws of this index in this epoch, over all ranks.

    No two draws are equal, so augmentation seeded by (index, epoch, repeat) never shows the same picture twice.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    epoch: int
    repeat: int


class _EpochBatches(ABC):
    """What both samplers share: the epoch, the ranks, and starting again in mid-epoch."""

    def __init__(self, seed: int, rank: int, world_size: int) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not one of {world_size}")
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.epoch = 0
        self.notes: list[str] = []
        self._done: tuple[int, int] | None = None

    @property
    def sampler(self) -> "_EpochBatches":
        """Itself: Lightning calls ``set_epoch`` on what a batch sampler has under this name."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose batches the next iteration yields."""
        self.epoch = epoch

    def resume(self, epoch: int, batches_done: int) -> None:
        """The next iteration over this epoch leaves out its first `batches_done` batches; only that one."""
        self.epoch = epoch
        self._done = (epoch, batches_done)

    def __iter__(self) -> Iterator[list[Draw]]:
        skip = 0
        if self._done is not None and self._done[0] == self.epoch:
            skip, self._done = self._done[1], None
        return islice(self._batches(self.epoch), skip, None)

    @abstractmethod
    def __len__(self) -> int:
        """Batches of a whole epoch on one rank."""

    @abstractmethod
    def _batches(self, epoch: int) -> Iterator[list[Draw]]:
        """All batches of this rank in one epoch."""


class BalancedBatchSampler(_EpochBatches):
    """Batches of P classes x K images, as metric learning needs them.

    The classes take turns: each is drawn once before any is drawn again, without repetition inside a batch, so
    small classes are seen as often as large ones. The images of a class take turns likewise.

    Policies:
        - A class with fewer than K images fills its K places with repeated images.
        - With fewer classes than P, all of them are in each batch and K grows so that the batch keeps about its size.
        - A single class has nothing to be told apart from: LensError.
        - With several ranks each one draws P x K of a global batch of world_size x P x K; a class is never divided
          between ranks, and ranks share a class in one step only where there are fewer than world_size x P classes.

    Args:
        labels: int [N], the class of each image; a draw's index is a position in it.
        batches_per_epoch: by default N // (P x K x world_size), at least 1.
    """

    def __init__(
        self,
        labels: np.ndarray | Sequence[int],
        classes_per_batch: int,
        images_per_class: int,
        seed: int,
        batches_per_epoch: int | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(seed, rank, world_size)
        labels = np.asarray(labels)
        if classes_per_batch < 2 or images_per_class < 1:
            raise LensError(
                f"A batch of {classes_per_batch} classes x {images_per_class} images cannot be balanced; "
                "it takes at least 2 classes and 1 image of each."
            )
        self._members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        if len(self._members) < 2:
            raise LensError(
                "Balanced batches need at least 2 classes to tell apart; "
                f"the training images have {len(self._members)}."
            )
        size = classes_per_batch * images_per_class
        self.classes_per_batch = min(classes_per_batch, len(self._members))
        self.images_per_class = max(images_per_class, size // self.classes_per_batch)
        whole = self.classes_per_batch * self.images_per_class * world_size
        self.batches_per_epoch = (
            max(1, len(labels) // whole) if batches_per_epoch is None else batches_per_epoch
        )
        if self.batches_per_epoch < 1:
            raise LensError(f"batches_per_epoch is {batches_per_epoch}; it must be at least 1.")
        self._describe(classes_per_batch, images_per_class)

    def _describe(self, classes: int, images: int) -> None:
        if self.classes_per_batch < classes:
            self.notes.append(
                f"There are {self.classes_per_batch} classes for batches of {classes}: each batch holds "
                f"{self.classes_per_batch} classes x {self.images_per_class} images instead of {classes} x {images}."
            )
        small = sum(len(rows) < self.images_per_class for rows in self._members)
        if small:
            self.notes.append(
                f"{small} of {len(self._members)} classes have fewer than {self.images_per_class} images; "
                "theirs are repeated within a batch, each time augmented differently."
            )

    def __len__(self) -> int:
        return self.batches_per_epoch

    def _batches(self, epoch: int) -> Iterator[list[Draw]]:
        # Every rank plays through the whole global draw and keeps its part, so ranks need not talk.
        rng = np.random.default_rng([self.seed, epoch])
        classes = _Turns(np.arange(len(self._members)), rng)
        images = [_Turns(rows, rng) for rows in self._members]
        used: Counter[int] = Counter()
        for _ in range(self.batches_per_epoch):
            for rank in range(self.world_size):
                batch = []
                for label in classes.take(self.classes_per_batch):
                    for index in images[label].take(self.images_per_class):
                        batch.append(Draw(index, epoch, used[index]))
                        used[index] += 1
                if rank == self.rank:
                    yield batch


class ShuffledBatchSampler(_EpochBatches):
    """Plain shuffled batches: each of `count` samples once per epoch.

    With several ranks each sees its own share. Ranks must take equally many steps, so where `count` does not divide
    evenly the first samples of the epoch are drawn once more (repeat 1), fewer than world_size of them.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(seed, rank, world_size)
        if count < 1:
            raise LensError("There are no training images to draw batches from.")
        if batch_size < 1:
            raise LensError(f"The batch size is {batch_size}; it must be at least 1.")
        self.count, self.batch_size = count, batch_size
        self._share = -(-count // world_size)

    def __len__(self) -> int:
        return -(-self._share // self.batch_size)

    def _batches(self, epoch: int) -> Iterator[list[Draw]]:
        order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        places = np.arange(self.rank, self._share * self.world_size, self.world_size)
        draws = [Draw(int(order[p % self.count]), epoch, int(p // self.count)) for p in places]
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield draws[start : start + self.batch_size]


class _Turns:
    """Draws from a set such that each member comes once before any comes again."""

    def __init__(self, members: np.ndarray, rng: np.random.Generator) -> None:
        self._members, self._rng = members, rng
        self._left = members[:0]

    def take(self, count: int) -> list[int]:
        """The next `count` members, all different as long as there are that many."""
        taken: list[int] = []
        while len(taken) < count:
            taken.extend(self._take_different(min(count - len(taken), len(self._members))))
        return taken

    def _take_different(self, count: int) -> list[int]:
        first, self._left = self._left[:count], self._left[count:]
        if len(first) < count:
            turn = self._rng.permutation(self._members)
            # Members just taken wait at the front of the new turn, so that no batch holds one twice.
            new = turn[~np.isin(turn, first)][: count - len(first)]
            self._left = turn[~np.isin(turn, new)]
            first = np.concatenate([first, new])
        return [int(member) for member in first]
