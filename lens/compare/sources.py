"""What is to be judged: vectors with their items, from a run, an index folder or any other tool."""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch.utils.data import DataLoader

from lens.config import build
from lens.index import from_vectors, load
from lens.index.embedding import embed_all
from lens.search import Embedder
from lens.tracking import check_same_data, download, run_config


@dataclass(frozen=True)
class Embedded:
    """Vectors float32 [N, D] with their N items.

    title: for the table; data: a word for where the items come from; split: the side to be judged, None for all;
    relevance: what the model was trained to bring together, if known; run_id: the tracked run, if there is one;
    fingerprint: of the items and their split, if known.
    """

    vectors: np.ndarray
    items: pd.DataFrame
    title: str
    data: str
    split: str | None = None
    relevance: str | None = None
    run_id: str | None = None
    fingerprint: str | None = None


def embedded_files(vectors: str | Path, items: str | Path, split: str | None) -> Embedded:
    """Vectors of any other tool. Raises LensError, see `lens.index.from_vectors`."""
    rows, table = from_vectors(vectors, items)
    return Embedded(rows, table, str(vectors), Path(vectors).stem, split)


def embedded_index(folder: str | Path, split: str | None) -> Embedded:
    """An exported index; its test side, where it has one. Raises LensError, see `lens.index.load`."""
    index = load(folder)
    chosen = split or ("test" if "test" in set(index.items["split"]) else None)
    catalogue = index.manifest.get("catalogue", {})
    return Embedded(
        index.vectors,
        index.items,
        str(folder),
        "index",
        chosen,
        catalogue.get("relevance"),
        index.manifest.get("run_id"),
        catalogue.get("fingerprint"),
    )


def embedded_by_export(uri: str, run_id: str, split: str | None) -> Embedded:
    """What a run exported: all items of its catalogue, as its best checkpoint embedded them; no images are needed.

    Raises LensError where the run kept no index.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = embedded_index(download(uri, run_id, "index", folder), split)
        return replace(
            found, vectors=np.array(found.vectors), title=f"run {run_id}", data="own", run_id=run_id
        )


@dataclass(frozen=True)
class OpenedRun:
    """A run's model, in evaluation mode, with the data that it is to be judged on.

    config: as the run was trained; own: whether the data are the run's own.
    """

    run_id: str
    model: Any
    data: Any
    config: dict[str, Any]
    own: bool

    def embed(self, batches: Iterable[Any], progress: str | None = "embedding") -> np.ndarray:
        """Vectors float32 [N, D] of a loader's pictures, in the precision that the run had."""
        from lens.training import autocast

        with autocast(self.config["trainer"].get("precision", "auto"), self.model.device):
            return embed_all(self.model.embed_images, batches, device=self.model.device, progress=progress)

    @property
    def embedder(self) -> Embedder:
        """The model for single images and texts."""
        from lens.trained import as_embedder

        return as_embedder(self.model, self.config, self.run_id)


def open_run(uri: str, run_id: str, other: dict[str, Any] | None = None) -> OpenedRun:
    """A run's best checkpoint with the run's own data, or with other data.

    Args:
        other: the configuration of other data.

    Raises:
        LensError: the run kept no configuration or checkpoint, the data cannot be read, or its own have changed.
    """
    from lens.report import quiet_libraries
    from lens.trained import load_model

    quiet_libraries()
    trained = run_config(uri, run_id)
    data = build(trained["data"] if other is None else other | {"image_size": trained["data"]["image_size"]})
    data.setup("test" if other is None else "predict")
    if other is None:
        check_same_data(uri, run_id, data.facts["fingerprint"])
    return OpenedRun(run_id, load_model(uri, run_id, trained), data, trained, other is None)


def embedded_run(opened: OpenedRun, split: str | None) -> Embedded:
    """A run's own items (the test side by default) or all of other data, embedded now."""
    data = opened.data
    chosen = split or ("test" if opened.own else None)
    rows = np.arange(len(data.catalogue)) if chosen is None else data.rows(chosen)
    vectors = opened.embed(data.evaluation_loader(rows))
    items = data.catalogue.table.assign(split=data.side).iloc[rows].reset_index(drop=True)
    return Embedded(
        vectors,
        items,
        f"run {opened.run_id}",
        "own" if opened.own else data.catalogue.name,
        chosen,
        opened.config["data"]["relevance"],
        opened.run_id,
        data.facts["fingerprint"],
    )


def embedded_triplets(
    uri: str, run_id: str, path: str, other: dict[str, Any] | None
) -> tuple[Embedded, pd.DataFrame]:
    """The images that a file of judgements names, embedded by a run's best checkpoint, and the judgements.

    Names are paths relative to the file, else to the root of ``other`` data, else to that of the run's own.
    Raises LensError: the run kept no checkpoint, the file cannot be read, or none of its images exists.
    """
    from lens.compare.triplets import triplet_catalogue
    from lens.data.pictures import Items, Pictures, collate
    from lens.report import quiet_libraries
    from lens.trained import load_model

    quiet_libraries()
    trained = run_config(uri, run_id)
    root = (other or trained["data"]).get("root")
    catalogue, judgements = triplet_catalogue(path, root if root and Path(root).is_dir() else None)
    rows = np.arange(len(catalogue))
    items = Items(
        Pictures(catalogue, trained["data"]["image_size"], 0), rows, {}, list(catalogue.table["captions"])
    )
    opened = OpenedRun(run_id, load_model(uri, run_id, trained), None, trained, False)
    loader: Any = DataLoader(items, batch_size=trained["data"]["batch_size"], collate_fn=collate)
    found = Embedded(opened.embed(loader), catalogue.table, f"run {run_id}", catalogue.name, run_id=run_id)
    return found, judgements
