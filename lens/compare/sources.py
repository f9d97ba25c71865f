"""What is to be judged: vectors with their items, from a run, an index folder or any other tool."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lens.config import build
from lens.index import from_vectors, load
from lens.index.embedding import embed_all
from lens.tracking import check_same_data, run_config


@dataclass(frozen=True)
class Embedded:
    """Vectors float32 [N, D] with their N items.

    title: for the table; data: a word for where the items come from; split: the side to be judged, None for all;
    relevance: what the model was trained to bring together, if known; run_id: the tracked run, if there is one.
    """

    vectors: np.ndarray
    items: pd.DataFrame
    title: str
    data: str
    split: str | None = None
    relevance: str | None = None
    run_id: str | None = None


def embedded_files(vectors: str | Path, items: str | Path, split: str | None) -> Embedded:
    """Vectors of any other tool. Raises LensError, see `lens.index.from_vectors`."""
    rows, table = from_vectors(vectors, items)
    return Embedded(rows, table, str(vectors), Path(vectors).stem, split)


def embedded_index(folder: str | Path, split: str | None) -> Embedded:
    """An exported index; its test side, where it has one. Raises LensError, see `lens.index.load`."""
    index = load(folder)
    chosen = split or ("test" if "test" in set(index.items["split"]) else None)
    relevance = index.manifest.get("catalogue", {}).get("relevance")
    run_id = index.manifest.get("run_id")
    return Embedded(index.vectors, index.items, str(folder), "index", chosen, relevance, run_id)


def embedded_run(uri: str, run_id: str, other: dict[str, Any] | None, split: str | None) -> Embedded:
    """A run's own items (the test side by default) or all of other data, embedded by its best checkpoint.

    Args:
        other: the configuration of other data.

    Raises:
        LensError: the run kept no configuration or checkpoint, the data cannot be read, or its own have changed.
    """
    from lens.compare.trained import load_model
    from lens.report import quiet_libraries
    from lens.training import autocast

    quiet_libraries()
    trained = run_config(uri, run_id)
    data = build(trained["data"] if other is None else other | {"image_size": trained["data"]["image_size"]})
    data.setup("test" if other is None else "predict")
    if other is None:
        check_same_data(uri, run_id, data.facts["fingerprint"])
    chosen = split or ("test" if other is None else None)
    rows = np.arange(len(data.catalogue)) if chosen is None else data.rows(chosen)
    model = load_model(uri, run_id, trained)
    with autocast(trained["trainer"].get("precision", "auto"), model.device):
        vectors = embed_all(
            model.embed_images, data.evaluation_loader(rows), device=model.device, progress="embedding"
        )
    items = data.catalogue.table.assign(split=data.side).iloc[rows].reset_index(drop=True)
    place = "own" if other is None else data.catalogue.name
    return Embedded(vectors, items, f"run {run_id}", place, chosen, trained["data"]["relevance"], run_id)
