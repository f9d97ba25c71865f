"""The searchable index of a run: the whole catalogue embedded by the best checkpoint."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from lens.callbacks.retrieval import embed_rows
from lens.index import EngineSettings, save
from lens.search import Embedder, make_bands


class ExportIndex(pl.Callback):
    """Writes the index when the test is done, with the weights that were tested.

    Args:
        folder: of the index.
        model: name, target and config, plain values, for the manifest.
        run_id: of the tracked run, if there is one.
        engine: how a large index is searched.
    """

    def __init__(
        self,
        folder: Path,
        model: dict[str, Any],
        run_id: str | None,
        engine: EngineSettings | None = None,
    ) -> None:
        self.folder, self.model, self.run_id = folder, model, run_id
        self.engine = engine or EngineSettings()

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        shown = "embedding" if trainer.progress_bar_callback is not None else None
        vectors = embed_rows(trainer, pl_module, np.arange(len(data.catalogue)), progress=shown)
        items = data.catalogue.table.assign(split=data.side)
        root = data.catalogue.root
        catalogue = {
            "name": data.catalogue.name,
            "root": str(root.absolute()) if root is not None else None,
            "fingerprint": data.facts["fingerprint"],
            "relevance": data.relevance,
        }
        context = trainer.precision_plugin.forward_context
        embedder = Embedder(pl_module, data.image_size, name=self.model["name"], precision=context)
        texts = embedder.texts if embedder.takes_texts else None
        save(
            self.folder,
            vectors,
            items,
            model=self.model | {"weights": embedder.weights},
            preprocessing=embedder.preprocessing,
            catalogue=catalogue,
            run_id=self.run_id,
            bands=make_bands(vectors, items, texts, relevance=data.relevance),
            engine=self.engine,
        )
