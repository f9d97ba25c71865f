"""The searchable index of a run: the whole catalogue embedded by the best checkpoint."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from lens.callbacks.retrieval import embed_rows
from lens.index import save


class ExportIndex(pl.Callback):
    """Writes the index when the test is done, with the weights that were tested.

    Args:
        folder: of the index.
        model: name, target and config, plain values, for the manifest.
        run_id: of the tracked run, if there is one.
    """

    def __init__(self, folder: Path, model: dict[str, Any], run_id: str | None) -> None:
        self.folder, self.model, self.run_id = folder, model, run_id

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        shown = "embedding" if trainer.progress_bar_callback is not None else None
        vectors = embed_rows(trainer, pl_module, np.arange(len(data.catalogue)), progress=shown)
        preprocessing = {
            "image_size": data.image_size,
            "fit": "letterbox",
            "fill": [255, 255, 255],
            "scale": "0..1",
        }
        items = data.catalogue.table.assign(split=data.side)
        root = data.catalogue.root
        catalogue = {
            "name": data.catalogue.name,
            "root": str(root.absolute()) if root is not None else None,
            "fingerprint": data.facts["fingerprint"],
            "relevance": data.relevance,
        }
        save(
            self.folder,
            vectors,
            items,
            model=self.model,
            preprocessing=preprocessing,
            catalogue=catalogue,
            run_id=self.run_id,
        )
