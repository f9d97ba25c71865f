"""Agreement with judgements of the form "the anchor is more like this one than like that one"."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lens.metrics.similarity import (
    COMPONENT_STEPS,
    COSINE_STEPS,
    DEFAULT_BUDGET,
    Embeddings,
    Integers,
    Side,
    check_directions,
    computing_device,
    make_side,
    spans,
    unit_integers,
)

_STEP = 8192  # triplets at a time; more are not faster


@dataclass(frozen=True)
class TripletAgreement:
    """agreement: mean of per_triplet, NaN without a triplet. per_triplet: float64 [T], 1, 0.5 (tie) or 0."""

    agreement: float
    per_triplet: np.ndarray
    ties: int
    triplets: int


def triplet_agreement(
    embeddings: Embeddings,
    anchor: Integers,
    closer: Integers,
    farther: Integers,
    *,
    budget_bytes: int = DEFAULT_BUDGET,
    device: torch.device | str | None = None,
) -> TripletAgreement:
    """The share of T triplets in which cos(anchor, closer) is above cos(anchor, farther); equal cosines count half.

    Known as triplet accuracy, or the generalisation error of an ordinal embedding turned round (Agarwal et al. 2007,
    "Generalized non-metric multidimensional scaling").

    Args:
        embeddings: float [N, D] of any length, a tensor or an array, memory-mapped ones too.
        anchor, closer, farther: rows of the embeddings, integers [T]. One triplet may stand several times.
        budget_bytes: of working memory, beside some 40 bytes a triplet. The result does not depend on it.
        device: that computes; by default that of the embeddings.

    Cosines are those of `lens.metrics.similarity`: exact and rounded to 2^-20, so that equal pictures tie.

    Raises:
        ValueError: for wrong shapes or types, rows out of range, and embeddings that are NaN, infinite or zero, named
            by row, whether a triplet uses them or not.
    """
    side = make_side("triplet", embeddings, np.arange(int(embeddings.shape[0])))
    rows = [
        _rows(name, given, len(side))
        for name, given in (("anchor", anchor), ("closer", closer), ("farther", farther))
    ]
    triplets = len(rows[0])
    if {len(each) for each in rows} != {triplets}:
        raise ValueError(f"anchor, closer and farther have {', '.join(str(len(each)) for each in rows)} rows")
    place = computing_device(embeddings, device)
    check_directions(side, place, budget_bytes)
    per_triplet = np.empty(triplets)
    # Live at once for each triplet: three gathered rows, a copy of one as it is loaded, and a product.
    step = min(_STEP, max(1, budget_bytes // (48 * max(1, side.width))))
    for span in spans(triplets, step):
        judged = _judged(side, [each[span] for each in rows], place)
        per_triplet[span] = judged.cpu().numpy()
    mean = float(per_triplet.mean()) if triplets else float("nan")
    return TripletAgreement(mean, per_triplet, int((per_triplet == 0.5).sum()), triplets)


def _rows(name: str, given: Integers, items: int) -> np.ndarray:
    rows = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    if rows.ndim != 1 or (len(rows) and not np.issubdtype(rows.dtype, np.integer)):
        raise ValueError(f"{name} must be integers [T], not {rows.dtype} {list(rows.shape)}")
    if len(rows) and not (0 <= rows.min() and rows.max() < items):
        raise ValueError(f"{name} has rows from {rows.min()} to {rows.max()}, the embeddings {items} rows")
    return rows.astype(np.int64)


def _judged(side: Side, rows: list[np.ndarray], device: torch.device) -> Tensor:
    """1, 0.5 or 0 for each of the triplets whose anchors, closer and farther items are `rows`, float64 [t]."""
    anchor, closer, farther = (unit_integers(side, each, device) for each in rows)
    scale = COSINE_STEPS / COMPONENT_STEPS**2
    lead = torch.linalg.vecdot(anchor, closer).mul_(scale).round_()
    lead -= torch.linalg.vecdot(anchor, farther).mul_(scale).round_()
    return lead.sign_().add_(1).div_(2)
