"""An engine that answers queries; a faiss index is mapped from disk, and its results are rescored exactly."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lens.errors import LensError
from lens.index.engines.exact import Answer, Array, nothing, rescored, search_exactly
from lens.index.engines.library import faiss, plain_search

INDEX = "ann.faiss"
CELLS = "ann.cells.npy"  # int32 [N], the cell of the inverted file that each row is in
_FURTHER = 4  # times as many rows are looked at through a filter: what it leaves may be far, and far apart;
_HARDLY = 0.9  # but not where so many of them are left, as after some deletions
_QUERIES = 256  # searched together
_NUMBERS = 1 << 22  # in the candidates rescored together


def open_engine(folder: Path, vectors: Array, facts: Mapping[str, Any]) -> "Engine":
    """The engine that `build` wrote into a folder, for the vectors it was built from (float32 [N, D]).

    facts: what `build` returned; without a kind, search is exact. Files are mapped, not read.
    Raises LensError where the files are not of these vectors.
    """
    kind = facts.get("kind", "exact")
    if kind == "exact":
        return Engine(vectors)
    if kind not in ("ivf", "hnsw"):
        raise LensError(f"The index {folder} wants the engine {kind!r}, which this version does not know.")
    library = faiss()
    try:
        index = library.read_index(str(folder / INDEX), library.IO_FLAG_MMAP_IFC)
        cells = np.load(folder / CELLS, mmap_mode="r", allow_pickle=False) if kind == "ivf" else None
    except (RuntimeError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise LensError(f"The engine in {folder} cannot be read; build the index anew: {reason}") from error
    if (index.ntotal, index.d) != vectors.shape or (cells is not None and len(cells) != len(vectors)):
        raise LensError(
            f"{folder / INDEX} holds {index.ntotal} vectors of {index.d} dimensions, "
            f"not {list(vectors.shape)}; build the index anew."
        )
    parameters = facts["parameters"]
    threshold = facts["settings"]["threshold"]
    return Engine(vectors, index, cells, parameters["effort"], parameters["candidates"], threshold)


class Engine:
    """Searches vectors (float32 [N, D], unit rows), exactly or by a faiss index over them. Safe for several threads.

    index: a faiss IndexIVF with cells (int32 [N]), or an IndexHNSW without; None searches exactly. effort: how many
    cells, or nodes of the graph, a search looks at; candidates: how many results are at least rescored. Where a filter
    leaves no more rows than `threshold`, they are searched exactly, as an index of so many would be.
    """

    def __init__(
        self,
        vectors: Array,
        index: Any = None,
        cells: Array | None = None,
        effort: int = 1,
        candidates: int = 50,
        threshold: int = 0,
    ) -> None:
        self._vectors = np.asarray(vectors)
        self._index, self._effort, self._candidates, self._threshold = index, effort, candidates, threshold
        self._cells = cells
        if cells is not None:
            sizes = [index.invlists.list_size(cell) for cell in range(index.nlist)]
            self._sizes = np.array(sizes, np.int64)

    def search(self, queries: Array, k: int, allowed: Array | None = None, exact: bool = False) -> Answer:
        """The k rows nearest to each query, and their cosines, computed from the stored vectors.

        queries: float32 [Q, D], unit rows; allowed: bool [N], the rows that may be found, None for all; exact: look at
        every one of them. Returns int64 [Q, k], nearest first, and float32 [Q, k]; -1 and NaN where fewer are allowed.
        Raises LensError for queries with NaN or infinity.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if not np.isfinite(queries).all():
            raise LensError("A query holds NaN or infinity; it has no direction to compare.")
        count = len(self._vectors)
        many = count if allowed is None else int(np.count_nonzero(allowed))
        if many == count:
            allowed = None
        if many == 0:
            return nothing(len(queries), k)
        few = many <= k or (allowed is not None and many <= self._threshold)
        if exact or self._index is None or few:
            return search_exactly(self._vectors, queries, k, allowed)
        rows, cosines = nothing(len(queries), k)
        for start in range(0, len(queries), _QUERIES):
            part = slice(start, start + _QUERIES)
            rows[part], cosines[part] = self._approximate(queries[part], k, allowed, many)
        short = np.flatnonzero(rows[:, -1] < 0)
        if short.size:
            rows[short], cosines[short] = search_exactly(self._vectors, queries[short], k, allowed)
        return rows, cosines

    def _approximate(self, queries: Array, k: int, allowed: Array | None, many: int) -> Answer:
        wanted = min(many, max(self._candidates, 2 * k))
        options = self._options(queries, wanted, allowed, many)
        _, found = plain_search(self._index)(queries, wanted, params=options)
        found.sort(axis=1)  # so that equal cosines come in the order of rows
        cosines = np.empty(found.shape, np.float32)
        step = max(1, _NUMBERS // (wanted * queries.shape[1]))
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            cosines[part] = rescored(self._vectors[found[part]], queries[part])
        cosines[found < 0] = np.nan
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(found, best, axis=1), np.take_along_axis(cosines, best, axis=1)

    def _options(self, queries: Array, wanted: int, allowed: Array | None, many: int) -> Any:
        """What a search may find, and how far it looks: the more is forbidden, the further."""
        library, given = faiss(), {}
        if allowed is not None:
            given["sel"] = library.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        if self._cells is None:
            further = self._effort * len(self._vectors) / many
            return library.SearchParametersHNSW(efSearch=max(wanted, int(np.ceil(further))), **given)
        probes = self._effort if allowed is None else self._probes(queries, allowed, self._cells)
        return library.SearchParametersIVF(nprobe=probes, **given)

    def _probes(self, queries: Array, allowed: Array, cells: Array) -> int:
        """How many cells hold enough allowed rows.

        Each query goes through the cells in its own order, so that a filter that leaves nothing nearby (boots, asked
        with a sandal) is looked for where its rows are. The one that has to go furthest decides.
        """
        count = self._index.nlist
        forbidden = np.flatnonzero(~allowed)
        if 2 * len(forbidden) > len(allowed):
            held = np.bincount(cells[np.flatnonzero(allowed)], minlength=count)
        else:
            held = self._sizes - np.bincount(cells[forbidden], minlength=count)
        further = 1 if len(forbidden) < (1 - _HARDLY) * len(allowed) else _FURTHER
        enough = min(further * self._effort * len(self._vectors) / count, held.sum())
        order = np.argsort(-(queries @ np.asarray(self._index.quantizer.reconstruct_n(0, count)).T), axis=1)
        reached = np.cumsum(held[order], axis=1) >= enough
        return int(reached.argmax(axis=1).max()) + 1
