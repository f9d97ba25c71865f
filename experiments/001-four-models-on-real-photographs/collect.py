"""Scores of trained runs beside two baselines, on the same test items: see README.md in this folder.

Usage: python collect.py PREFIX [OVERRIDE ...]

PREFIX starts the names of the tracked runs (PREFIX-resnet_tiny-0 is model resnet_tiny, seed 0); the overrides are those
of the data that the runs were trained on. Writes results.csv beside this file: each metric with its 95 % bootstrap
interval over queries, and precision@1 less that of each baseline, query by query, with the interval of the difference.
The rows "mean" are of each query's mean over the seeds, so that their intervals too are over queries.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lens.compare.judge import judge
from lens.config import build, compose_file
from lens.index import load
from lens.index.embedding import embed_all
from lens.metrics import RetrievalScores, interval, paired_difference
from lens.tracking import named_runs, project_folder, tracking_uri

METRICS = ("precision_at_1", "precision_at_10", "recall_at_10", "map_at_r")
MODELS = ("resnet_tiny", "clip_tiny", "vit_tiny", "autoencoder_tiny")
SEEDS = (0, 1, 2)


def row(
    model: str, kind: str, seed: int | str, scores: RetrievalScores, **baselines: RetrievalScores
) -> dict[str, object]:
    cells: dict[str, object] = {"model": model, "kind": kind, "seed": seed, "queries": scores.queries}
    for name in METRICS:
        at = interval(scores.per_query[name])
        cells[name], cells[f"{name}_low"], cells[f"{name}_high"] = at.mean, at.low, at.high
    for name, other in baselines.items():
        gain = paired_difference(scores.per_query["precision_at_1"], other.per_query["precision_at_1"])
        key = f"gain_over_{name}"
        cells[key], cells[f"{key}_low"], cells[f"{key}_high"] = gain.mean, gain.low, gain.high
    return cells


def mean_of(scores: list[RetrievalScores]) -> RetrievalScores:
    """Each query's mean over several trainings on the same items."""
    names = scores[0].per_query
    return replace(
        scores[0],
        per_query={name: np.mean([one.per_query[name] for one in scores], axis=0) for name in names},
    )


def main() -> None:
    prefix, overrides = sys.argv[1], sys.argv[2:]
    runs = named_runs(tracking_uri(), "shopping-lens", f"{prefix}-")
    rows: list[dict[str, object]] = []
    pixels: RetrievalScores | None = None
    for model in MODELS:
        words = [f"model={model}", f"model_name={model}", *overrides]
        config = compose_file(project_folder() / "conf", "train", words)
        data = build(config.data)
        data.setup()
        test = data.rows("test")
        items = data.catalogue.table.iloc[test].reset_index(drop=True)
        if pixels is None:
            small = build(config.data, image_size=32)
            small.setup()
            vectors = embed_all(lambda images: images.flatten(1) - 0.5, small.evaluation_loader(test))
            pixels = judge(vectors, items).scores
            rows.append(row("raw 32x32 pixels", "baseline", "-", pixels))
        both: dict[str, list[RetrievalScores]] = {"trained": [], "untrained": []}
        for seed in SEEDS:
            torch.manual_seed(seed)
            network = build(config.model).eval()
            vectors = embed_all(network.embed_images, data.evaluation_loader(test))
            untrained = judge(vectors, items).scores
            rows.append(row(model, "untrained", seed, untrained))
            both["untrained"].append(untrained)
            run_id = runs.get(f"{prefix}-{model}-{seed}")
            if run_id is None:
                print(f"There is no finished run {prefix}-{model}-{seed}.", file=sys.stderr)
                continue
            index = load(project_folder() / "runs" / run_id / "index")
            trained = judge(index.vectors, index.items, split="test").scores
            rows.append(row(model, "trained", seed, trained, pixels=pixels, untrained=untrained))
            both["trained"].append(trained)
        if len(both["trained"]) == len(SEEDS):
            untrained, trained = mean_of(both["untrained"]), mean_of(both["trained"])
            rows.append(row(model, "untrained", "mean", untrained))
            rows.append(row(model, "trained", "mean", trained, pixels=pixels, untrained=untrained))
    table = pd.DataFrame(rows)
    table.round(4).to_csv(Path(__file__).parent / "results.csv", index=False)
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
