"""Pictures of the embedding space at the end of a run; docs/pictures.md says how to read them."""

import difflib
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure

from lens import figures
from lens.callbacks.space import Searched, evenly, judge, pair_cosines, search_side, worst
from lens.data.pictures import as_tensor
from lens.errors import LensError
from lens.figures.projection import spread_out
from lens.figures.style import percent
from lens.metrics.calibration import shown_score
from lens.metrics.confusion import neighbour_confusion

log = logging.getLogger(__name__)

PICTURES = (
    "neighbours",
    "worst_queries",
    "projection",
    "similarities",
    "calibration",
    "confusion",
    "reconstructions",
    "masked_patches",
)
RESULTS = 10  # of each query, which bands, calibration and confusion are measured on


class Pictures(pl.Callback):
    """Logs ``pictures/NAME.png`` and ``calibration.json`` when the test is done.

    The pictures are of the validation side, or of test where no search on validation can be judged; their heads say
    which. The calibration is fitted on that side and always judged on test: ``test/high_precision``,
    ``test/high_share`` and ``test/medium_precision``.

    Args:
        queries: how many searches are shown, and how many pictures are rebuilt.
        k: results shown of each search.
        which: the pictures to make; a model that rebuilds nothing has no reconstructions, only one that hides patches
            has masked patches. Without ``calibration`` its metrics and its file are left out too.

    Raises:
        LensError: a picture that there is not, or numbers below 1.
    """

    def __init__(self, queries: int = 8, k: int = 6, which: tuple[str, ...] = PICTURES) -> None:
        for name, value in (("queries", queries), ("k", k)):
            if value < 1:
                raise LensError(f"callbacks.pictures.{name}={value}: give a number from 1.")
        for name in which:
            if name not in PICTURES:
                nearest = difflib.get_close_matches(name, PICTURES, 1, 0.0)[0]
                raise LensError(
                    f"callbacks.pictures.which: there is no picture {name}; nearest is {nearest} "
                    f"({', '.join(PICTURES)})."
                )
        self.queries, self.k, self.which = queries, k, tuple(which)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero or not hasattr(trainer.logger, "log_figure") or not self.which:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        depth = max(self.k, RESULTS)
        shown = search_side(trainer, pl_module, "val" if data.judgeable("val") else "test", depth)
        makers: dict[str, Callable[[], Figure | None]] = {
            "neighbours": lambda: neighbour_picture(data, shown, self.queries, self.k),
            "worst_queries": lambda: worst_picture(data, shown, self.queries, self.k),
            "projection": lambda: projection_picture(data, shown),
            "similarities": lambda: figures.similarity_figure(*pair_cosines(shown), shown.name),
            "calibration": lambda: _calibration(trainer, pl_module, shown),
            "confusion": lambda: confusion_picture(data, shown),
            "reconstructions": lambda: reconstructions(trainer, pl_module, shown, self.queries),
            "masked_patches": lambda: masked_patches(trainer, pl_module, shown, self.queries),
        }
        for name in self.which:
            try:
                figure = makers[name]()
                if figure is not None:
                    trainer.logger.log_figure(figure, f"pictures/{name}.png")  # type: ignore[union-attr]
            except Exception as error:  # noqa: BLE001 - no picture is worth the end of a run, or its index
                kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
                log.warning("pictures/%s.png is left out: %s%s.", name, kind, str(error).rstrip("."))


def neighbour_picture(data: Any, shown: Searched, count: int, k: int) -> Figure:
    """Queries of all categories with their nearest items."""
    return figures.search_figure(
        _lines(data, shown, evenly(shown, count), k),
        f"Queries from all categories and their {k} nearest items ({shown.name})",
        "Look for green frames with ✓ (relevant), and at what the red, dashed ones with ✗ have in common with the "
        "query. The number is the score shown, 100 · cosine.",
    )


def worst_picture(data: Any, shown: Searched, count: int, k: int) -> Figure:
    """The queries that found the least."""
    chosen = worst(shown, count, RESULTS)
    attained = shown.attained(RESULTS)
    all_of_them = f"{int(np.isfinite(attained).sum()):,}"
    reached = dict.fromkeys(percent(attained[end]) for end in chosen[[0, -1]]) if len(chosen) else [""]
    return figures.search_figure(
        _lines(data, shown, chosen, k),
        f"Worst queries ({shown.name}): the {len(chosen)} of {all_of_them} that find the least of their own "
        f"kind, {' to '.join(reached)} of what {RESULTS} results could hold",
        "Many red frames of one category mean that these two look alike to the model; different ones "
        "mean that it goes by something else (colour, pose, background). A high score on ✗ is a sure mistake; look "
        "also for a wrong label.",
    )


def projection_picture(data: Any, shown: Searched) -> Figure:
    """The map of at most 1,000 items, as many of each category as there can be."""
    sample = figures.balanced_sample(shown.categories)
    places, method = figures.project(shown.vectors[sample])
    names = data.catalogue.table["category"].to_numpy(dtype=str)[shown.rows[sample]]
    pictures = {int(place): data.pictures[int(shown.rows[sample[place]])] for place in spread_out(places)}
    return figures.projection_figure(places, names, pictures, shown.name, method)


def confusion_picture(data: Any, shown: Searched) -> Figure:
    """Which categories the first ten results are of."""
    names, numbers = np.unique(shown.categories, return_inverse=True)
    table = data.catalogue.table["category"].to_numpy(dtype=str)[shown.rows]
    words = [str(table[np.flatnonzero(numbers == number)[0]]) for number in range(len(names))]
    found = shown.found[:, :RESULTS]
    kinds = np.where(found >= 0, numbers[found], -1)
    return figures.confusion_figure(
        neighbour_confusion(numbers[shown.queries], kinds, len(names)), words, RESULTS, shown.name
    )


def _calibration(trainer: pl.Trainer, model: Any, fitted: Searched) -> Figure:
    """The picture; the metrics and calibration.json are logged beside it."""
    judged = fitted if fitted.side == "test" else search_side(trainer, model, "test", RESULTS)
    result = judge(fitted, judged, RESULTS)
    logger: Any = trainer.logger
    logger.log_dict(result.to_dict(), "calibration.json")
    values = {f"test/{name}": value for name, value in result.metrics().items()}
    logger.log_metrics(values, trainer.global_step)
    return figures.calibration_figure(
        result.curve,
        result.bands,
        result.calibration,
        (result.raw_error, result.calibrated_error),
        result.fitted_on,
        result.judged_on,
    )


@torch.inference_mode()
def reconstructions(trainer: pl.Trainer, model: Any, shown: Searched, count: int) -> Figure | None:
    """Pictures above what the model makes of them, or None where it makes nothing."""
    if not hasattr(model, "reconstruct"):
        return None
    images = _images(trainer, shown, count)
    with trainer.precision_plugin.forward_context():
        rebuilt = model.reconstruct(images.to(model.device))
    if rebuilt is None:
        return None
    return figures.reconstruction_figure(_painted(images), _painted(rebuilt), shown.name)


@torch.inference_mode()
def masked_patches(trainer: pl.Trainer, model: Any, shown: Searched, count: int) -> Figure | None:
    """What the model predicts in hidden places, or None where it hides none."""
    if not hasattr(model, "masked_patches"):
        return None
    images = _images(trainer, shown, count)
    with trainer.precision_plugin.forward_context():
        result = model.masked_patches(images.to(model.device))
    if result is None:
        return None
    hidden, predicted = result
    return figures.masked_patch_figure(
        _painted(images), hidden.cpu().numpy(), _painted(predicted), shown.name
    )


def _images(trainer: pl.Trainer, shown: Searched, count: int) -> torch.Tensor:
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    rows = shown.rows[shown.queries[evenly(shown, count)]]
    return torch.stack([as_tensor(data.pictures[int(row)]) for row in rows])


def _painted(images: torch.Tensor) -> np.ndarray:
    """float32 [B, 3, H, W] to [B, H, W, 3]."""
    return images.float().cpu().permute(0, 2, 3, 1).numpy()


def _lines(data: Any, shown: Searched, queries: np.ndarray, k: int) -> list[list[figures.Tile | None]]:
    names = data.catalogue.table["category"]

    def tile(place: int, **more: Any) -> figures.Tile:
        row = int(shown.rows[place])
        return figures.Tile(data.pictures[row], str(names[row]), **more)

    lines: list[list[figures.Tile | None]] = []
    for query in queries:
        hits, there = (
            int(shown.relevant[query, :RESULTS].sum()),
            int((shown.found[query, :RESULTS] >= 0).sum()),
        )
        line: list[figures.Tile | None] = [tile(shown.queries[query], note=f"{hits} of {there} right")]
        for place, right, cosine in zip(
            shown.found[query, :k], shown.relevant[query, :k], shown.cosines[query, :k], strict=True
        ):
            score = float(shown_score(cosine))
            line.append(tile(place, right=bool(right), score=score) if place >= 0 else None)
        lines.append(line)
    return lines
