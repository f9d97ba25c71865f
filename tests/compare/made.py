"""Runs made of noise around their items' categories, for the tests of comparisons."""

from dataclasses import replace

import numpy as np
import pandas as pd

from lens.compare.candidates import Trained
from lens.compare.judge import judge
from lens.compare.sources import Embedded
from lens.tracking import RunFacts

CATEGORIES = 4


def items(count: int, sides: list[str] | None = None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "item_id": [f"i{n:03d}" for n in range(count)],
            "category": [f"c{n % CATEGORIES}" for n in range(count)],
            "product_id": [f"i{n:03d}" for n in range(count)],
            "split": sides or ["test"] * count,
            "role": "",
        }
    )


def trained(
    noise: float,
    seed: int = 0,
    *,
    model: str = "m",
    table: pd.DataFrame | None = None,
    fingerprint: str = "f",
    metrics: dict[str, float] | None = None,
    fold: str = "None",
    folds: str = "None",
    params: dict[str, str] | None = None,
) -> Trained:
    """A run whose vectors are its items' categories with noise on top: the more noise, the worse."""
    table = items(80) if table is None else table
    random = np.random.default_rng([seed, int(noise * 1000)])
    place = table["category"].str[1:].astype(int).to_numpy()
    vectors = np.eye(CATEGORIES, 16)[place] + noise * random.normal(size=(len(table), 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    run_id = f"{model}-{noise}-{seed}-{fold if fold != 'None' else ''}"
    settings = {
        "model_name": model,
        "seed": str(seed),
        "name": run_id,
        "data.fold": fold,
        "data.folds": folds,
        "model.noise": str(noise),
    }
    facts = RunFacts(
        run_id,
        model,
        "FINISHED",
        metrics or {},
        settings | (params or {}),
        {"weights": "random"},
    )
    embedded = Embedded(vectors, table, f"run {run_id}", "own", "test", "category", run_id, fingerprint)
    return Trained(facts, embedded, judge(vectors, table, split="test"))


def folded(noise: float, folds: int = 4, count: int = 40) -> list[Trained]:
    runs = []
    for fold in range(folds):
        sides = ["test" if (n // CATEGORIES) % folds == fold else "train" for n in range(count)]
        table = items(count, sides)
        runs.append(
            trained(noise, fold, table=table, fingerprint=f"f{fold}", fold=str(fold), folds=str(folds))
        )
    # All folds of one training have its seed.
    return [replace(run, facts=replace(run.facts, params=run.facts.params | {"seed": "0"})) for run in runs]
