"""Decoded pictures of a fixed size, kept in memory where they fit, and the datasets that hand them out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lens.data.augment import Augmentation
from lens.data.catalogue import Catalogue
from lens.data.images import fit_square
from lens.data.sampler import Draw


class Pictures:
    """Row number to uint8 [S, S, 3]: the whole image, letterboxed on white.

    Args:
        size: S, in pixels.
        memory_bytes: where all pictures together fit into this, each is decoded once.
    """

    def __init__(self, catalogue: Catalogue, size: int, memory_bytes: int) -> None:
        self.catalogue, self.size = catalogue.decoded_for(size), size
        self.fits = len(catalogue) * size * size * 3 <= memory_bytes
        self._held: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.catalogue)

    def __getitem__(self, row: int) -> np.ndarray:
        held = self._held.get(row)
        if held is None:
            held = fit_square(self.catalogue.open_image(row), self.size)
            if self.fits:
                self._held[row] = held
        return held


def as_tensor(picture: np.ndarray) -> Tensor:
    """uint8 [S, S, 3] to float32 [3, S, S] in [0, 1]."""
    return torch.from_numpy(picture).permute(2, 0, 1).to(torch.float32).div_(255)


class Items(Dataset[dict[str, Any]]):
    """The items of some rows, with labels and captions.

    Args:
        rows: row numbers of the catalogue; item i of the dataset is ``rows[i]``.
        labels: name to int64 [number of rows in the catalogue], handed out as they are.
        captions: of every row of the catalogue.
        augmentation: applied to what a ``Draw`` asks for; a plain number gives the picture as it is.
    """

    def __init__(
        self,
        pictures: Pictures,
        rows: np.ndarray,
        labels: Mapping[str, np.ndarray],
        captions: list[list[str]],
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.pictures, self.rows, self.labels, self.captions = pictures, rows, dict(labels), captions
        self.augmentation, self.seed = augmentation, seed
        self.strengths = augmentation.strengths(self.labels["category"][rows]) if augmentation else None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, asked: int | Draw) -> dict[str, Any]:
        place = asked.index if isinstance(asked, Draw) else asked
        row = int(self.rows[place])
        picture = as_tensor(self.pictures[row])
        if isinstance(asked, Draw) and self.augmentation is not None and self.strengths is not None:
            key = (self.seed, asked.epoch, row, asked.repeat)
            picture = self.augmentation(picture, float(self.strengths[place]), key)
        labels = {name: int(values[row]) for name, values in self.labels.items()}
        return {"image": picture, "index": row, "captions": self.captions[row], **labels}


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch: image float32 [B, 3, S, S]; captions a list of B lists; every label int64 [B]."""
    batch: dict[str, Any] = {
        name: torch.tensor([item[name] for item in items])
        for name in items[0]
        if name not in ("image", "captions")
    }
    batch["image"] = torch.stack([item["image"] for item in items])
    batch["captions"] = [item["captions"] for item in items]
    return batch
