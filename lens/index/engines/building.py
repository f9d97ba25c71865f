"""Building an engine, choosing its effort, and measuring what it finds."""

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from lens.index.engines.exact import Array, Rows
from lens.index.engines.library import faiss
from lens.index.engines.opened import CELLS, INDEX, Engine, open_engine
from lens.index.engines.settings import EngineSettings

log = logging.getLogger(__name__)

MEASURED_ON = "stored items, and sums of two, drawn at random, without themselves; others chose the effort"
_MEASURED = 200  # queries of each sort that choose the effort, and as many others that measure recall
_K = 10
_SAME = 1e-6  # cosines nearer than this are a draw
_SAMPLE = 200_000  # rows trained on, at most
_PER_CELL = 96  # rows trained on for each cell
_ROUNDS = 20  # of k-means; with fewer, groups that no cell starts in stay scattered over many
_BLOCK = 65_536  # rows added together
_LARGEST = 4096  # nodes of a graph that a search looks at, at most


def build(
    vectors: Array, folder: Path, settings: EngineSettings, progress: str | None = None
) -> dict[str, Any]:
    """Write the engine's files for vectors (float32 [N, D], unit rows, N > 0) into a folder; returns facts about it.

    The facts are plain values for the manifest, and what `open_engine` needs: settings, kind, and files; of an
    approximate engine also its parameters, recall_at_10 against exact search of items and of sums of two, on how many
    queries of each, the seconds it took, and the version of faiss. progress: the label of a bar; None shows none. The
    effort of a search (cells looked at, nodes of the graph) is doubled until items reach `settings.recall` and sums
    `settings.recall_of_sums`; a warning is logged where they do not. Building holds a code of D bytes a row in
    memory, and HNSW its links.
    """
    kind = settings.chosen(len(vectors))
    facts: dict[str, Any] = {"settings": settings.to_dict(), "kind": kind, "files": []}
    if kind == "exact":
        return facts
    library, started = faiss(), time.perf_counter()
    random = np.random.default_rng(settings.seed)
    order = random.permutation(len(vectors))
    cells = _cells(len(vectors))
    sample = np.sort(order[: min(_SAMPLE, max(_PER_CELL * cells, 1000))])
    index = _ivf(vectors.shape[1], cells, settings) if kind == "ivf" else _hnsw(vectors.shape[1], settings)
    index.train(np.asarray(vectors[sample]))
    for start in tqdm(range(0, len(vectors), _BLOCK), desc=progress, unit="block", disable=progress is None):
        index.add(np.ascontiguousarray(vectors[start : start + _BLOCK]))
    library.write_index(index, str(folder / INDEX))
    facts["files"] = [INDEX]
    facts["parameters"] = {"candidates": settings.candidates, "effort": 1}
    if kind == "ivf":
        np.save(folder / CELLS, _cell_of_rows(index))
        facts["files"] = [INDEX, CELLS]
        facts["parameters"]["cells"] = cells
    del index
    facts |= _measure(folder, vectors, facts, settings, order[::-1])
    return facts | {"seconds": round(time.perf_counter() - started, 1), "faiss": library.__version__}


def _cells(rows: int) -> int:
    """The power of two nearest to twice the square root of the rows, with 39 rows each at least, as faiss advises."""
    return max(1, min(2 ** round(np.log2(2 * np.sqrt(rows))), rows // 39))


def _ivf(dimension: int, cells: int, settings: EngineSettings) -> Any:
    library = faiss()
    index = library.IndexIVFScalarQuantizer(
        library.IndexFlatIP(dimension),
        dimension,
        cells,
        library.ScalarQuantizer.QT_8bit,
        library.METRIC_INNER_PRODUCT,
    )
    index.cp.niter, index.cp.seed = _ROUNDS, settings.seed
    index.cp.min_points_per_centroid = 1  # no advice on the terminal,
    index.cp.max_points_per_centroid = _SAMPLE  # and all of the sample
    return index


def _hnsw(dimension: int, settings: EngineSettings) -> Any:
    library = faiss()
    codes = library.ScalarQuantizer.QT_8bit
    index = library.IndexHNSWSQ(dimension, codes, settings.neighbours, library.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = settings.construction
    return index


def _cell_of_rows(index: Any) -> Array:
    library = faiss()
    result = np.empty(index.ntotal, np.int32)
    for cell in range(index.nlist):
        size = index.invlists.list_size(cell)
        result[library.rev_swig_ptr(index.invlists.get_ids(cell), size) if size else []] = cell
    return result


def _measure(
    folder: Path, vectors: Array, facts: dict[str, Any], settings: EngineSettings, order: Rows
) -> dict[str, Any]:
    """Choose the effort by some queries and measure recall by others; order: all rows, those trained on last."""
    many = max(1, min(_MEASURED, len(order) // 2))
    parameters = facts["parameters"]
    most = parameters.get("cells", _LARGEST)
    effort = 1 if "cells" in parameters else settings.candidates
    choosing = Questions(vectors, order[:many])
    while True:
        parameters = parameters | {"effort": min(effort, most)}
        engine = open_engine(folder, vectors, facts | {"parameters": parameters})
        of_items, of_sums = choosing.recalls(engine)
        reached = of_items >= settings.recall and of_sums >= settings.recall_of_sums
        if reached or effort >= most:
            break
        effort *= 2
    items, sums = Questions(
        vectors, order[-many:] if len(order) < 2 * many else order[many : 2 * many]
    ).recalls(engine)
    if not reached:
        log.warning(
            "The %s engine finds %.3f of the 10 nearest (%.3f for sums of two items) at its largest effort, less than "
            "the %.3f (%.3f) asked for; search with exact=True, or choose another engine.",
            facts["kind"],
            items,
            sums,
            settings.recall,
            settings.recall_of_sums,
        )
    found = {"recall_at_10": round(items, 4), "recall_at_10_of_sums": round(sums, 4)}
    return {"parameters": parameters, **found, "queries": many, "measured_on": MEASURED_ON}


class Questions:
    """Queries made of stored rows, and their 10 nearest by exact search; the rows themselves do not count.

    Half are the rows, half the sums of two, which stand for what a composed query asks: such lie between the cells,
    and are missed first.
    """

    def __init__(self, vectors: Array, rows: Rows) -> None:
        one = np.asarray(vectors[rows])
        sums = one + np.roll(one, 1, axis=0)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        sums = np.where(lengths > _SAME, sums / np.maximum(lengths, _SAME), one)  # opposite ones have no sum
        self._queries = [one, sums.astype(np.float32)]
        self._itself = [rows[:, None], np.stack([rows, np.roll(rows, 1)], axis=1)]
        self.truth = self._found(Engine(vectors))

    def recalls(self, engine: Engine) -> tuple[float, float]:
        """The share of the 10 nearest that an engine finds, of rows and of sums; as near as the tenth counts."""
        rows, sums = map(_recall, self._found(engine), self.truth)
        return rows, sums

    def _found(self, engine: Engine) -> list[Array]:
        result = []
        for queries, itself in zip(self._queries, self._itself, strict=True):
            found, cosines = engine.search(queries, _K + itself.shape[1])
            own = (found[:, :, None] == itself[:, None, :]).any(axis=2)
            others = np.argsort(own, axis=1, kind="stable")[:, :_K]
            result.append(np.take_along_axis(cosines, others, axis=1))
        return result


def _recall(found: Array, truth: Array) -> float:
    there = np.isfinite(truth)
    if not there.any():
        return 1.0
    last = np.where(there, truth, np.inf).min(axis=1, keepdims=True)
    return float((found >= last - _SAME).sum() / there.sum())
