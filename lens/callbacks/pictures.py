"""Pictures of what a model does: neighbours of validation queries, reconstructions."""

from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure

from lens.callbacks.retrieval import embed_rows
from lens.data.pictures import as_tensor
from lens.metrics.retrieval import neighbours

RIGHT, WRONG = "#1a7f37", "#cf222e"


class Pictures(pl.Callback):
    """Logs two figures at the end: ``pictures/neighbours.png`` and, where the model makes them, reconstructions.

    Args:
        queries: how many held-out items (validation, or test where there is none), evenly over the categories' order.
        k: neighbours of each.
    """

    def __init__(self, queries: int = 8, k: int = 6) -> None:
        self.queries, self.k = queries, k

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero or not hasattr(trainer.logger, "log_figure"):
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        rows = data.rows("val") if len(data.rows("val")) else data.rows("test")
        ordered = rows[np.argsort(data.labels["category"][rows], kind="stable")]
        chosen = ordered[np.unique(np.linspace(0, len(rows) - 1, self.queries).astype(int))]
        vectors = embed_rows(trainer, pl_module, rows)
        place = np.searchsorted(rows, chosen)
        found, cosines = neighbours(vectors[place], vectors, chosen, rows, self.k)
        figure = neighbour_figure(data, chosen, np.where(found >= 0, rows[found], -1), cosines)
        trainer.logger.log_figure(figure, "pictures/neighbours.png")  # type: ignore[union-attr]
        rebuilt = reconstructions(pl_module, data, chosen)
        if rebuilt is not None:
            trainer.logger.log_figure(rebuilt, "pictures/reconstructions.png")  # type: ignore[union-attr]


def neighbour_figure(data: Any, queries: np.ndarray, found: np.ndarray, cosines: np.ndarray) -> Figure:
    """One line a query: the query, then its neighbours with a green frame where relevant and a red one where not."""
    lines, columns = len(queries), found.shape[1] + 1
    figure = Figure(figsize=(1.4 * columns, 1.65 * lines + 0.8), layout="constrained")
    figure.suptitle("Held-out queries (left) and their nearest neighbours; green: relevant, red: not")
    axes = figure.subplots(lines, columns, squeeze=False)
    labels = data.labels[data.relevance]
    for line, query in enumerate(queries):
        _show(axes[line][0], data.pictures[int(query)], data.catalogue.table["category"][query], "black")
        for column, row in enumerate(found[line]):
            axis = axes[line][column + 1]
            if row < 0:
                axis.axis("off")
                continue
            colour = RIGHT if labels[row] == labels[query] else WRONG
            text = f"{cosines[line, column]:.2f} {data.catalogue.table['category'][row]}"
            _show(axis, data.pictures[int(row)], text, colour)
    return figure


@torch.inference_mode()
def reconstructions(model: Any, data: Any, rows: np.ndarray) -> Figure | None:
    """Pictures above what the model makes of them, or None where it makes nothing."""
    if not hasattr(model, "reconstruct"):
        return None
    images = torch.stack([as_tensor(data.pictures[int(row)]) for row in rows])
    rebuilt = model.reconstruct(images.to(model.device))
    if rebuilt is None:
        return None
    figure = Figure(figsize=(1.4 * len(rows), 3.4), layout="constrained")
    figure.suptitle("Held-out pictures (above) and their reconstructions (below)")
    axes = figure.subplots(2, len(rows), squeeze=False)
    for column in range(len(rows)):
        for line, picture in enumerate((images[column], rebuilt[column].float().cpu())):
            axes[line][column].imshow(picture.clamp(0, 1).permute(1, 2, 0).numpy())
            axes[line][column].axis("off")
    return figure


def _show(axis: Any, picture: np.ndarray, text: str, colour: str) -> None:
    axis.imshow(picture)
    axis.set_title(text, fontsize=7, color=colour)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(2)
