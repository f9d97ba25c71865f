"""Several models' results as one ranking."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

RANK_CONSTANT = 60


def reciprocal_rank(
    rankings: Mapping[str, Sequence[str]], weights: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): the sum over models of ``weight / (60 + rank)``.

    Args:
        rankings: model to item ids, best first; an item that a model did not find gets nothing from it.
        weights: of the models, 1 where not given.

    Returns:
        item id to fused score, best first; equal scores in the order of the ids.
    """
    total: dict[str, float] = {}
    for model, ids in rankings.items():
        weight = (weights or {}).get(model, 1.0)
        for rank, item_id in enumerate(ids, start=1):
            total[item_id] = total.get(item_id, 0.0) + weight / (RANK_CONSTANT + rank)
    return dict(sorted(total.items(), key=lambda entry: (-entry[1], entry[0])))


def normalised(
    cosines: Mapping[str, npt.NDArray[np.floating]],
    background: Mapping[str, npt.NDArray[np.floating]],
    weights: Mapping[str, float] | None = None,
) -> npt.NDArray[np.float64]:
    """Fused scores float64 [N] of N candidates: the weighted mean over models of standardised cosines.

    A cosine is counted in standard deviations from the mean that the same query has with items at random, since one
    model's cosines lie between 0.9 and 1 where another's fill the range.

    Args:
        cosines: model to [N]; NaN where a model lacks the item, which then counts as an item at random (0).
        background: model to the cosines of the query with a sample of that model's items.
        weights: of the models, 1 where not given.
    """
    parts, shares = [], []
    for model, values in cosines.items():
        sample = np.asarray(background[model], np.float64)
        spread = max(float(sample.std()), 1e-6)
        parts.append(np.nan_to_num((np.asarray(values, np.float64) - sample.mean()) / spread, nan=0.0))
        shares.append((weights or {}).get(model, 1.0))
    return np.average(parts, axis=0, weights=shares)
