"""A model from scratch as an embedder, and a folder of pictures, for the tests of bulk embedding."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lens.bulk.build import Made, build_index
from lens.bulk.embedding import Changes, How
from lens.data.catalogue import Catalogue
from lens.data.sources import ArrayOpener, _table
from lens.index import EngineSettings, load
from lens.search.embedder import Embedder

SIZE = 32


class Counting:
    """An embedder that counts the pictures it is given, and may stop as if it were killed."""

    def __init__(self, embedder: Embedder, stop_after: int | None = None) -> None:
        self.embedder, self.stop_after, self.seen = embedder, stop_after, 0
        self.image_size = embedder.image_size

    def batch(self, images: torch.Tensor) -> np.ndarray:
        if self.stop_after is not None and self.seen + len(images) > self.stop_after:
            raise KeyboardInterrupt
        self.seen += len(images)
        return self.embedder.batch(images)


class TakingAway:
    """An embedder in whose second batch the folder of the pictures goes away, as a disk that is taken off."""

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        self.embedder, self.folder, self.batches = embedder, folder, 0
        self.image_size = embedder.image_size

    def batch(self, images: torch.Tensor) -> np.ndarray:
        self.batches += 1
        if self.batches == 2:
            self.folder.rename(self.folder.with_name("away"))
        return self.embedder.batch(images)


class Putting:
    """An embedder in whose first batch somebody moves an index to where another is to be."""

    def __init__(self, embedder: Embedder, index: Path, target: Path) -> None:
        self.embedder, self.index, self.target = embedder, index, target
        self.image_size = embedder.image_size

    def batch(self, images: torch.Tensor) -> np.ndarray:
        if self.index.exists():
            self.index.rename(self.target)
        return self.embedder.batch(images)


def embedder(size: int = SIZE, seed: int = 0) -> Embedder:
    from lens.models.resnet import TripletResNet

    torch.manual_seed(seed)
    model = TripletResNet(architecture="tiny", weights="random").eval()
    return Embedder(model, size, name="resnet_tiny", run_id="r")


def made(of: Any, run_id: str = "r") -> Made:
    of = getattr(of, "embedder", of)
    model = {"name": "resnet_tiny", "target": "t", "config": {}}
    return Made(model, of.preprocessing, run_id, of.dimension, {"image": {"high": 0.7}}, "category")


def pictures(root: Path, count: int, kinds: int = 3, seed: int = 0) -> Path:
    random = np.random.default_rng(seed)
    for number in range(count):
        path = root / f"kind{number % kinds}" / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (24, 20, 3), dtype=np.uint8)).save(path)
    return root


def arrays(count: int) -> Catalogue:
    """Pictures that are no files."""
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    table = _table({"path": [f"test/{number}" for number in range(count)], "category": ["shirt"] * count})
    return Catalogue(table, ArrayOpener(images), "arrays")


def same_as_at_once(place: Path, source: Path | dict[str, Any], by: Any) -> None:
    """The index in `place` has the items and vectors of one that is built without a stop."""
    build(place / "at once", source, by)
    one, other = load(place / "at once"), load(place / "index")
    assert list(one.items["item_id"]) == list(other.items["item_id"])
    assert np.abs(one.vectors - other.vectors).max() < 1e-6


def folder_source(root: Path) -> dict[str, Any]:
    return {"reader": "lens.data.sources.read_folder", "root": str(root)}


def build(
    target: Path,
    source: Path | dict[str, Any],
    by: Any,
    shard: int = 8,
    tell: Callable[[str], None] = print,
    **how: Any,
) -> Changes:
    given = folder_source(source) if isinstance(source, Path) else source
    settings = How(batch=4, workers=0, shard=shard, progress=False)
    return build_index(target, given, how.pop("made", made(by)), by, settings, EngineSettings(), tell)
