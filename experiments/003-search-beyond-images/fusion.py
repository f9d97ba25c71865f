"""Several models fused at search time, without a training: python fusion.py RUN RUN ...; adds to results.csv.

The first image queries of the test side, among that side, as evaluate.py asks them; each model's own index.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from lens.index import load
from lens.metrics import intervals
from lens.search.fusion import normalised, reciprocal_rank
from lens.tracking import find_run, tracking_uri
from lens.trained import index_of

DEPTH, BACKGROUND = 100, 1000

uri = tracking_uri(None)
indices = {name: load(index_of(uri, find_run(uri, which=name))) for name in sys.argv[1:]}
items = next(iter(indices.values())).items
rows = np.flatnonzero(items["split"] == "test")
labels = items["category"].to_numpy(dtype=str)[rows]
vectors = {name: np.asarray(index.vectors)[rows] for name, index in indices.items()}
random = np.random.default_rng(0)
samples = {name: random.choice(len(rows), min(BACKGROUND, len(rows)), replace=False) for name in vectors}
right: dict[str, list[np.ndarray]] = {"reciprocal rank": [], "standardised scores": []}
for query in range(len(rows)):
    cosines = {name: one @ one[query] for name, one in vectors.items()}
    for one in cosines.values():
        one[query] = -2  # an item never finds itself
    ranked = {name: np.argsort(-one, kind="stable")[:DEPTH] for name, one in cosines.items()}
    by_rank = reciprocal_rank({name: [str(row) for row in found] for name, found in ranked.items()})
    right["reciprocal rank"].append(labels[[int(row) for row in list(by_rank)[:10]]] == labels[query])
    others = np.setdiff1d(np.arange(len(rows)), [query])
    behind = {name: cosines[name][np.intersect1d(samples[name], others)] for name in cosines}
    scores = normalised({name: one[others] for name, one in cosines.items()}, behind)
    found = others[np.argsort(-scores, kind="stable")[:10]]
    right["standardised scores"].append(labels[found] == labels[query])
lines = []
for how, hits in right.items():
    table = np.array(hits, float)
    for figure, one in intervals({"P@1": table[:, 0], "P@10": table.mean(axis=1)}).items():
        about = {
            "run": "+".join(sys.argv[1:]),
            "asked": "image",
            "how": how,
            "figure": figure,
            "queries": len(rows),
        }
        lines.append(
            {**about, **{key: round(getattr(one, key), 4) for key in ("mean", "low", "high")}, "chance": ""}
        )
        print(how, figure, f"{one.mean:.3f} ({one.low:.3f} to {one.high:.3f})")
with Path(__file__).with_name("results.csv").open("a", newline="", encoding="utf-8") as file:
    csv.DictWriter(file, list(lines[0])).writerows(lines)
