"""Scores of trained runs beside two baselines, on the same test items: see README.md in this folder.

Usage: python collect.py PREFIX [OVERRIDE ...]

PREFIX starts the names of the tracked runs (PREFIX-resnet_tiny-0 is model resnet_tiny, seed 0); the overrides are
those the runs were trained with. Writes results.csv beside this file: mean and 95 % bootstrap interval over queries.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lens.compare.score import score_items
from lens.config import build, compose_file
from lens.index import load
from lens.index.embedding import embed_all
from lens.metrics import RetrievalScores
from lens.tracking import named_runs, project_folder, tracking_uri

METRICS = ("precision_at_1", "precision_at_10", "recall_at_10", "map_at_r")
MODELS = ("resnet_tiny", "clip_tiny", "vit_tiny", "autoencoder_tiny")
SEEDS = (0, 1, 2)
RESAMPLES = 2000


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % percentile-bootstrap interval."""
    random = np.random.default_rng(0)
    means = values[random.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def row(model: str, kind: str, seed: int | str, scores: RetrievalScores) -> dict[str, object]:
    cells: dict[str, object] = {"model": model, "kind": kind, "seed": seed, "queries": scores.queries}
    for name in METRICS:
        cells[name], cells[f"{name}_low"], cells[f"{name}_high"] = interval(scores.per_query[name])
    return cells


def main() -> None:
    prefix, overrides = sys.argv[1], sys.argv[2:]
    runs = named_runs(tracking_uri(), "shopping-lens", f"{prefix}-")
    rows: list[dict[str, object]] = []
    for model in MODELS:
        config = compose_file(
            project_folder() / "conf", "train", [f"model={model}", "model_name=baseline", *overrides]
        )
        data = build(config.data)
        data.setup()
        test = data.rows("test")
        items = data.catalogue.table.iloc[test].reset_index(drop=True)
        if model == MODELS[0]:
            data32 = build(config.data, image_size=32)
            data32.setup()
            pixels = embed_all(lambda images: images.flatten(1) - 0.5, data32.evaluation_loader(test))
            rows.append(row("raw 32x32 pixels", "baseline", "-", score_items(pixels, items)))
        for seed in SEEDS:
            torch.manual_seed(seed)
            untrained = build(config.model).eval()
            vectors = embed_all(untrained.embed_images, data.evaluation_loader(test))
            rows.append(row(model, "untrained", seed, score_items(vectors, items)))
            run_id = runs.get(f"{prefix}-{model}-{seed}")
            if run_id is not None:
                index = load(project_folder() / "runs" / run_id / "index")
                rows.append(
                    row(model, "trained", seed, score_items(index.vectors, index.items, split="test"))
                )
    table = pd.DataFrame(rows)
    table.round(4).to_csv(Path(__file__).parent / "results.csv", index=False)
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
