"""Catalogues with something odd about them, made of indices that were really exported."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from lens.index import load, save, write
from lens.index.manifest import read_manifest
from lens.serve.settings import Settings
from tests.serve.browser import served_here
from tests.serve.store import Store


@contextmanager
def odd_indices(store: Store, folder: Path) -> Iterator[str]:
    """A service of three: resnet_tiny's catalogue shows every picture twice, clip_tiny's index has no bands, vit_tiny's
    holds nothing."""
    made = (
        twins(store, folder / "twins"),
        unmeasured(store, folder / "unmeasured"),
        emptied(store, folder / "emptied"),
    )
    with served_here(Settings(indices=tuple(map(str, made)), uri=store.uri, decoders=1)) as url:
        yield url


def twins(store: Store, folder: Path) -> Path:
    """Every item as a... and as b..., with a picture file of its own each."""
    index = load(store.index("resnet_tiny"))
    manifest = read_manifest(store.index("resnet_tiny"))[0]
    frames = []
    for letter in "ab":
        items = index.items.copy()
        for name in ("item_id", "path"):
            items[name] = [str(Path(one).with_name(letter + Path(one).name)) for one in items[name]]
        for old, new in zip(index.items["path"], items["path"], strict=True):
            (folder / "pictures" / new).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(manifest["catalogue"]["root"]) / old, folder / "pictures" / new)
        items["price"] = np.arange(len(items)) + (0.5 if letter == "b" else 0.0)
        items["title"] = [f"{letter} {Path(one).stem}" for one in index.items["item_id"]]
        frames.append(items)
    catalogue = {**manifest["catalogue"], "root": str(folder / "pictures")}
    return save(
        folder / "index", np.concatenate([index.vectors] * 2), pd.concat(frames, ignore_index=True),
        model=manifest["model"], run_id=manifest["run_id"], preprocessing=manifest["preprocessing"],
        catalogue=catalogue, bands=manifest["bands"],
    )  # fmt: skip


def unmeasured(store: Store, folder: Path) -> Path:
    index = load(store.index("clip_tiny"))
    manifest = read_manifest(store.index("clip_tiny"))[0]
    return save(
        folder, index.vectors, index.items, model=manifest["model"], run_id=manifest["run_id"],
        preprocessing=manifest["preprocessing"], catalogue=manifest["catalogue"],
    )  # fmt: skip


def emptied(store: Store, folder: Path) -> Path:
    shutil.copytree(store.index("vit_tiny"), folder)
    with write(folder) as writer:
        writer.delete(list(load(folder).items["item_id"]))
    return folder
