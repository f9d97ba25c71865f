"""Few-shot: what a group of a few examples finds and recognises, over the number of examples."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from lens.compare.lines import Line
from lens.errors import LensError
from lens.metrics import intervals, retrieval_scores
from lens.search import learn
from lens.search.groups import NEGATIVES

SHOTS = (1, 2, 5, 10, 20)
DRAWS = 5


def few_shot(
    vectors: npt.NDArray[np.float32],
    items: pd.DataFrame,
    shots: Sequence[int] = SHOTS,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Line]:
    """A line for each number of examples: how a group of them searches and recognises.

    For every category and draw, examples and random other items come from the training side, and the test side is
    searched and judged (without sides: two random halves). The prototype's search has precision@10 and MAP@R; the two
    classifiers have balanced accuracy, 0.5 by chance: the mean of the shares recognised of the category and of the
    rest. Intervals are over categories; where these are few, they are wide.

    Raises LensError where no category has examples and test items, and others beside it.
    """
    known, judged = _sides(items, np.random.default_rng(seed))
    kinds = np.unique(items["category"].to_numpy(dtype=str), return_inverse=True)[1]
    lines = []
    for count in shots:
        values: dict[str, list[float]] = {}
        clusters: list[int] = []
        for kind in np.unique(kinds[judged]):
            mine, right = known[kinds[known] == kind], kinds[judged] == kind
            if len(mine) < count or right.all():
                continue
            for draw in range(draws):
                random = np.random.default_rng([seed, count, int(kind), draw])
                chosen = random.choice(mine, count, replace=False)
                rest = np.setdiff1d(known, chosen)
                others = random.choice(rest, min(NEGATIVES, len(rest)), replace=False)
                for name, value in _one(vectors, chosen, others, judged, right).items():
                    values.setdefault(name, []).append(value)
                clusters.append(int(kind))
        if clusters:
            found = {name: np.array(one) for name, one in values.items()}
            lines.append(Line(f"{count} examples", len(clusters), intervals(found, np.array(clusters))))
    if not lines:
        raise LensError(
            "No category has examples on one side, and items to find with others beside them on the other."
        )
    return lines


def _one(
    vectors: npt.NDArray[np.float32],
    chosen: npt.NDArray[np.int64],
    others: npt.NDArray[np.int64],
    judged: npt.NDArray[np.int64],
    right: npt.NDArray[np.bool_],
) -> dict[str, float]:
    group = learn("examples", vectors[chosen], vectors[others], run_id=None)
    gallery = vectors[judged]
    query, label = group.prototype[None], np.ones(1, np.int64)
    scores = retrieval_scores(
        query, label, label * -1, gallery, right.astype(np.int64), np.arange(len(gallery)), ks=(10,)
    )
    result = {
        "prototype P@10": scores.metrics["precision_at_10"],
        "prototype MAP@R": scores.metrics["map_at_r"],
    }
    for name, told in (("prototype", group.contains(gallery)), ("probe", group.contains(gallery, "probe"))):
        result[f"{name} balanced accuracy"] = float((told[right].mean() + (~told[~right]).mean()) / 2)
    return result


def _sides(
    items: pd.DataFrame, random: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    side = items["split"].to_numpy(dtype=str) if "split" in items else np.full(len(items), "")
    known, judged = np.flatnonzero(side == "train"), np.flatnonzero(side == "test")
    if not len(known) or not len(judged):
        order = random.permutation(len(items))
        known, judged = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    return known, judged
