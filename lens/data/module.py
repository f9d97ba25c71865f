"""The one data module: a catalogue read, checked, split, and handed out in batches."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lens.data.augment import Augmentation
from lens.data.catalogue import Catalogue, fingerprint, with_captions
from lens.data.duplicates import across_sides, groups, near_duplicates
from lens.data.pictures import Items, Pictures, collate
from lens.data.sampler import BalancedBatchSampler, ShuffledBatchSampler
from lens.data.scan import check_readable, scan, unreadable
from lens.data.sides import judgeable, mixed_order
from lens.data.splits import assert_disjoint, split
from lens.data.units import SplitBy
from lens.errors import LensError

log = logging.getLogger(__name__)

SCAN_CACHE = Path("~/.cache/shopping-lens/images.parquet")


class ShoppingData(pl.LightningDataModule):
    """Training, validation and test batches of any catalogue; a batch is what ``lens.data.pictures.collate`` says.

    Args:
        read: gives the catalogue.
        image_size: side of the square pictures in pixels.
        batch_size: pictures per step and process.
        sampler: ``balanced``: P classes × K images a batch; ``shuffled``: every image once an epoch.
        images_per_class: K of balanced batches; P is ``batch_size // K``.
        relevance: which label makes two images belong together: balanced batches and evaluation go by it.
        split_by: ``item`` (stratified), ``product``, ``category`` (zero-shot), or ``auto``: by product where a
            product has several images. A split given by the catalogue itself is kept.
        val, test: shares of the items. With ``folds``, ``fold`` (from 0) is the test side.
        split_seed: the split's own seed, so that runs of several seeds are judged on the same items.
        on_bad_image: ``error`` lists unreadable files and stops; ``skip`` goes on without them.
        duplicates: near-duplicates across sides: ``report`` them, keep them ``together`` on one side, or ``ignore``.
        augment: for training pictures; None leaves them as they are.
        workers: loading processes; None chooses by the machine.
        memory_mb: pictures are kept decoded where all of them fit into this.
        train_subset: size of the fixed sample of training items whose retrieval is followed.
        seed: of batches and augmentation.
    """

    def __init__(
        self,
        read: Callable[[], Catalogue],
        image_size: int = 224,
        batch_size: int = 32,
        sampler: Literal["balanced", "shuffled"] = "balanced",
        images_per_class: int = 4,
        relevance: Literal["category", "product"] = "category",
        split_by: SplitBy = "auto",
        val: float = 0.15,
        test: float = 0.15,
        folds: int | None = None,
        fold: int | None = None,
        split_seed: int = 0,
        on_bad_image: Literal["error", "skip"] = "error",
        duplicates: Literal["report", "together", "ignore"] = "report",
        augment: Augmentation | None = None,
        workers: int | None = None,
        memory_mb: int = 1024,
        train_subset: int = 1000,
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        super().__init__()
        _check_sizes(batch_size, images_per_class, image_size)
        if workers is not None and workers < 0:
            raise LensError(f"data.workers={workers}: give 0 or more loading processes, or null.")
        self.read, self.image_size, self.batch_size = read, image_size, batch_size
        self.sampler, self.images_per_class, self.relevance = sampler, images_per_class, relevance
        self.split_by: SplitBy = split_by
        self.val, self.test, self.folds, self.fold, self.split_seed = val, test, folds, fold, split_seed
        self.on_bad_image: Literal["error", "skip"] = on_bad_image
        self.duplicates = duplicates
        self.augment, self.memory_mb, self.train_subset, self.seed = augment, memory_mb, train_subset, seed
        self.workers, self.progress = workers, progress
        self.facts: dict[str, Any] = {}
        self._crossing: dict[str, int] = {}
        self._resume_at: tuple[int, int] | None = None
        self._ready = False

    def setup(self, stage: str | None = None) -> None:
        """Read, check, split; a second call does nothing. Afterwards ``facts`` says what was found.

        For the stage "predict" nothing is divided: items stay on the side, if any, that the catalogue gives them.
        """
        if self._ready:
            return
        catalogue = self.read()
        findings = scan(
            catalogue, workers=os.cpu_count() or 1, cache=SCAN_CACHE.expanduser(), progress=self.progress
        )
        keep = check_readable(findings, catalogue, self.on_bad_image)
        skipped = unreadable(findings, catalogue)
        if skipped:
            log.warning("%d unreadable images are left out, e.g. %s.", len(skipped), next(iter(skipped)))
        self.catalogue = with_captions(catalogue.subset(keep))
        findings = findings.iloc[keep].reset_index(drop=True)
        notes: list[str] = []
        self.side = self.catalogue.table["split"].to_numpy(dtype=str)
        if stage != "predict":
            self.side, notes = self._split(findings)
        table = self.catalogue.table.assign(split=self.side)
        self.labels = {
            name: np.unique(table[column].to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)
            for name, column in (("category", "category"), ("product", "product_id"))
        }
        self.pictures = Pictures(self.catalogue, self.image_size, self.memory_mb * 2**20)
        for note in notes:
            log.warning("%s", note)
        self.facts = {
            "name": self.catalogue.name,
            "items": len(table),
            "categories": int(table["category"].nunique()),
            "products": int(table["product_id"].nunique()),
            "sides": {side: int((self.side == side).sum()) for side in ("train", "val", "test")},
            "skipped_images": len(skipped),
            "skipped": skipped,
            "fingerprint": fingerprint(table, list(findings["digest"])),
            "notes": notes,
            **self._crossing,
        }
        self._ready = True
        if stage != "predict" and not self.judgeable("test"):
            raise LensError(
                "No query of the test side has both a relevant and an irrelevant item to find, so nothing would be "
                f"measured: {len(self.rows('test'))} images, relevance by {self.relevance}; give more images, a larger "
                "data.test, or another data.relevance."
            )

    def _split(self, findings: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
        table = self.catalogue.table
        pairs = None
        if self.duplicates != "ignore":
            pairs = near_duplicates(findings["digest"].tolist(), findings["phash"].tolist())
        together = groups(pairs, len(table)) if pairs is not None and self.duplicates == "together" else None
        result = split(
            table,
            by=self.split_by,
            val=self.val,
            test=self.test,
            folds=self.folds,
            fold=self.fold,
            seed=self.split_seed,
            groups=together,
        )
        assert_disjoint(table, result.side)
        if not (result.side == "test").any():
            raise LensError(
                f"The test side is empty (data.test={self.test}): there would be nothing to judge by."
            )
        notes = list(result.notes)
        if pairs is not None:
            crossing = across_sides(pairs, result.side)
            same = int(crossing["identical"].sum())
            self._crossing = {
                "near_duplicate_pairs_across_sides": len(crossing),
                "identical_across_sides": same,
            }
            if len(crossing):
                first = crossing.iloc[0]
                notes.append(
                    f"{len(crossing)} pairs of near-duplicate images ({same} identical) lie on different sides of the "
                    f"split, e.g. {table['path'][first['i']]} and {table['path'][first['j']]}; "
                    + (
                        "the catalogue's own split column puts them there."
                        if together is not None
                        else "data.duplicates=together keeps each pair on one side."
                    )
                )
        return result.side, notes

    def rows(self, side: str) -> np.ndarray:
        """Row numbers of the items on one side, ascending."""
        return np.flatnonzero(self.side == side)

    def train_captions(self) -> list[str]:
        """All captions of the training side."""
        return [text for row in self.rows("train") for text in self.catalogue.table["captions"][row]]

    def items(self, rows: np.ndarray, augmentation: Augmentation | None = None) -> Items:
        """A dataset of these rows."""
        captions = list(self.catalogue.table["captions"])
        return Items(self.pictures, rows, self.labels, captions, augmentation, self.seed)

    def train_dataloader(self) -> DataLoader[Any]:
        rows = self.rows("train")
        trainer = self.trainer
        rank, world = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        batches: BalancedBatchSampler | ShuffledBatchSampler
        if self.sampler == "balanced":
            classes = self.batch_size // self.images_per_class
            labels = self.labels[self.relevance][rows]
            batches = BalancedBatchSampler(
                labels, classes, self.images_per_class, self.seed, rank=rank, world_size=world
            )
            for note in batches.notes:
                log.warning("%s", note)
        else:
            batches = ShuffledBatchSampler(len(rows), self.batch_size, self.seed, rank, world)
        if self._resume_at is not None:
            batches.resume(*self._resume_at)
        return self._loader(self.items(rows, self.augment), batch_sampler=batches)

    def evaluation_loader(self, rows: np.ndarray) -> DataLoader[Any]:
        """These rows in their order, without augmentation."""
        return self._loader(self.items(rows), batch_size=self.batch_size)

    def val_dataloader(self) -> DataLoader[Any]:
        return self.evaluation_loader(self._mixed("val"))

    def test_dataloader(self) -> DataLoader[Any]:
        return self.evaluation_loader(self._mixed("test"))

    def _mixed(self, side: str) -> np.ndarray:
        rows = self.rows(side)
        return rows[mixed_order(self.labels[self.relevance][rows], self.images_per_class, self.split_seed)]

    def judgeable(self, side: str) -> bool:
        """Whether a search on this side can succeed and fail, see `lens.data.sides`."""
        rows = self.rows(side)
        roles = self.catalogue.table["role"].to_numpy(dtype=str)
        return judgeable(self.labels[self.relevance][rows], roles[rows])

    def _loader(self, items: Items, **how: Any) -> DataLoader[Any]:
        workers = self.workers
        if workers is None:  # decoded pictures in memory are quicker than a second process
            workers = (
                0
                if self.pictures.fits and self.image_size <= 128
                else min(8, max(1, (os.cpu_count() or 2) - 1))
            )
        # A generator of its own: from torch's global one each iteration would draw a number, a resume fewer of them.
        how["generator"] = torch.Generator().manual_seed(self.seed)
        return DataLoader(
            items, num_workers=workers, collate_fn=collate, persistent_workers=workers > 0, **how
        )

    def state_dict(self) -> dict[str, Any]:
        """The epoch that a resume goes on in, and how many of its batches are done."""
        if self.trainer is None:
            return {}
        loop: Any = self.trainer.fit_loop  # Lightning's hints hide the counters of its progress
        epochs, done = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current.processed
        if epochs.processed == epochs.ready or done >= self.trainer.num_training_batches:
            return {"epoch": epochs.ready, "batches_done": 0}  # this epoch is over, the next not begun
        return {"epoch": epochs.processed, "batches_done": done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict:
            self._resume_at = (state_dict["epoch"], state_dict["batches_done"])


def _check_sizes(batch_size: int, images_per_class: int, image_size: int) -> None:
    for key, value, least in (
        ("batch_size", batch_size, 1),
        ("images_per_class", images_per_class, 1),
        ("image_size", image_size, 8),
    ):
        if value < least:
            raise LensError(f"data.{key}={value} is too small; give at least {least}.")
    if images_per_class > batch_size:
        raise LensError(
            f"data.images_per_class={images_per_class} is more than data.batch_size={batch_size}; make it a divisor."
        )
