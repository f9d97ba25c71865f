"""What is compared: how each library builds an index into files, and how it opens and answers.

A build takes vectors float32 [N, D], a path to write to, and the arguments of bench.py, and returns its parameters. An
open takes the path and the vectors' file, and returns a search: a query float32 [D] and an effort (HNSW's ef, or cells
looked at; ours was chosen when it was built) -> rows and cosines of the 10 nearest.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SEED, K = 0, 10
Answer = tuple[Any, Any]
Search = Callable[[Any, int], Answer]


def ours(kind: str) -> tuple[Callable[..., Any], Callable[..., Search]]:
    def build(vectors: Any, path: Path, given: argparse.Namespace) -> dict[str, Any]:
        import pandas as pd

        from lens.index import EngineSettings, save

        count = len(vectors)
        text: dict[str, Any] = {
            name: [""] * count for name in ("path", "category", "product_id", "split", "role")
        }
        items = pd.DataFrame(
            {"item_id": [f"i{row}" for row in range(count)], **text, "captions": [[]] * count}
        )
        settings = EngineSettings(kind=kind, neighbours=given.neighbours, construction=given.construction)
        model = {"name": "bench", "target": "", "config": {}}
        save(path, vectors, items, model=model, preprocessing={}, run_id=None, engine=settings)
        facts = json.loads((path / "manifest.json").read_text())["engine"]
        return {name: facts[name] for name in facts if name not in ("settings", "files", "measured_on")}

    def opened(path: Path, _: Path) -> Search:
        from lens.index import open_index

        reader = open_index(path)

        def search(query: Any, effort: int) -> Answer:
            found = reader.search(query[None], K)
            return found.rows[0], found.cosines[0]

        return search

    return build, opened


def numpy_opened(_: Path, vectors: Path) -> Search:
    every = np.load(vectors)

    def search(query: Any, effort: int) -> Answer:
        cosines = every @ query
        best = np.argpartition(-cosines, K)[:K]
        best = best[np.argsort(-cosines[best])]
        return best, cosines[best]

    return search


def faiss_kind(kind: str) -> tuple[Callable[..., Any], Callable[..., Search]]:
    def build(vectors: Any, path: Path, given: argparse.Namespace) -> dict[str, Any]:
        import faiss

        cells = 2 ** round(np.log2(2 * np.sqrt(len(vectors))))
        recipe = {"flat": "Flat", "hnsw": f"HNSW{given.neighbours}", "ivfpq": f"IVF{cells},PQ64"}[kind]
        index = faiss.index_factory(vectors.shape[1], recipe, faiss.METRIC_INNER_PRODUCT)
        if kind == "hnsw":
            index.hnsw.efConstruction = given.construction
        if kind == "ivfpq":
            index.do_polysemous_training = False  # minutes, for a search that is not used here
            index.train(vectors[np.random.default_rng(SEED).permutation(len(vectors))[: 64 * cells]])
        for start in range(0, len(vectors), 50_000):
            index.add(vectors[start : start + 50_000])
        faiss.write_index(index, str(path))
        return {"recipe": recipe, **({"construction": given.construction} if kind == "hnsw" else {})}

    def opened(path: Path, _: Path) -> Search:
        import faiss

        index = faiss.read_index(str(path))

        def search(query: Any, effort: int) -> Answer:
            options = None
            if kind == "hnsw":
                options = faiss.SearchParametersHNSW(efSearch=effort)
            if kind == "ivfpq":
                options = faiss.SearchParametersIVF(nprobe=effort)
            cosines, rows = index.search(query[None], K, params=options)
            return rows[0], cosines[0]

        return search

    return build, opened


def hnswlib_build(vectors: Any, path: Path, given: argparse.Namespace) -> dict[str, Any]:
    import hnswlib

    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(len(vectors), M=given.neighbours, ef_construction=given.construction, random_seed=SEED)
    for start in range(0, len(vectors), 50_000):
        index.add_items(vectors[start : start + 50_000], num_threads=1)
    index.save_index(str(path))
    return {"M": given.neighbours, "construction": given.construction}


def hnswlib_opened(path: Path, vectors: Path) -> Search:
    import hnswlib

    index = hnswlib.Index(space="ip", dim=np.load(vectors, mmap_mode="r").shape[1])
    index.load_index(str(path))

    def search(query: Any, effort: int) -> Answer:
        index.set_ef(effort)
        rows, distances = index.knn_query(query, K, num_threads=1)
        return rows[0], 1 - distances[0]

    return search


def usearch_build(vectors: Any, path: Path, given: argparse.Namespace) -> dict[str, Any]:
    from usearch.index import Index

    made: dict[str, Any] = {
        "connectivity": given.neighbours,
        "expansion_add": given.construction,
        "dtype": "f32",
    }
    index = Index(ndim=vectors.shape[1], metric="ip", **made)
    for start in range(0, len(vectors), 50_000):
        block = vectors[start : start + 50_000]
        index.add(np.arange(start, start + len(block)), block, threads=1)
    index.save(str(path))
    return made


def usearch_opened(path: Path, _: Path) -> Search:
    from usearch.index import Index

    index = Index.restore(str(path))
    assert index is not None

    def search(query: Any, effort: int) -> Answer:
        index.expansion_search = effort
        found = index.search(query, K, threads=1)
        return found.keys.astype(np.int64), 1 - found.distances

    return search


CONTENDERS: dict[
    str, tuple[str, Any, Callable[..., Search], int, int]
] = {  # library, build, open, efforts tried
    "ours-exact": ("faiss-cpu", *ours("exact"), 0, 0),
    "ours-ivf": ("faiss-cpu", *ours("ivf"), 0, 0),
    "ours-hnsw": ("faiss-cpu", *ours("hnsw"), 0, 0),
    "numpy": ("numpy", None, numpy_opened, 0, 0),
    "faiss-flat": ("faiss-cpu", *faiss_kind("flat"), 0, 0),
    "faiss-ivfpq": ("faiss-cpu", *faiss_kind("ivfpq"), 1, 256),
    "faiss-hnsw": ("faiss-cpu", *faiss_kind("hnsw"), 16, 1024),
    "hnswlib": ("hnswlib", hnswlib_build, hnswlib_opened, 16, 1024),
    "usearch": ("usearch", usearch_build, usearch_opened, 16, 1024),
}
