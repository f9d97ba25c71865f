"""Triplet loss: an anchor is to lie nearer to its own class than to any other, by a margin.

Everything happens on the matrix of distances: no features are gathered per triplet, nothing waits for the
device.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Mining = Literal["batch_all", "semi_hard", "batch_hard"]


class TripletResult(NamedTuple):
    """All scalars; only the loss has a gradient.

    active_fraction: of the triplets the mining looked at, the share that violates the margin.
    d_pos, d_neg: mean distance over all pairs of equal and of different label, whatever the mining.
    """

    loss: Tensor
    active_fraction: Tensor
    d_pos: Tensor
    d_neg: Tensor


def pairwise_distances(x: Tensor, y: Tensor | None = None) -> Tensor:
    """Euclidean distances [B, C] between the rows of x [B, D] and y [C, D] (default x), 0 to 2 for unit ones.

    float32 at least, also under autocast: in bfloat16 the distance of close neighbours drowns in rounding.
    Rounding can also make a square slightly negative, and the root has an infinite slope at 0: squares are
    clamped to 1e-12, so coinciding rows are 1e-6 apart and get a gradient of zero.
    """
    y = x if y is None else y
    with torch.autocast(x.device.type, enabled=False):
        dtype = torch.promote_types(x.dtype, torch.float32)
        x, y = x.to(dtype), y.to(dtype)
        squares = x.square().sum(1)[:, None] + y.square().sum(1)[None, :] - 2 * (x @ y.T)
        return squares.clamp(min=1e-12).sqrt()


def triplet_loss(
    anchors: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.2,
    mining: Mining = "batch_all",
    candidates: Tensor | None = None,
    candidate_labels: Tensor | None = None,
    offset: int = 0,
) -> TripletResult:
    """Mean of max(0, d(anchor, positive) - d(anchor, negative) + margin) over the triplets chosen.

    anchors: unit vectors [B, D], labels: integers [B]. Positives and negatives are drawn from the candidates
    [C, D] with candidate_labels [C]; by default these are the anchors. Anchor i is candidate i + offset and
    never its own positive. On several processes gather embeddings and labels first (`lens.losses.gather`) and
    leave the candidates at their default: the loss is then exactly that of one process.

    - ``batch_all``: every triplet; the mean is over those with a loss above zero (Hermans, Beyer and Leibe
      2017). Needs B·C·C bytes for a few moments.
    - ``semi_hard``: for each anchor and positive, the nearest negative that is farther than the positive; if
      there is none, the farthest negative. The mean is over all such pairs (Schroff, Kalenichenko and Philbin
      2015, FaceNet).
    - ``batch_hard``: for each anchor the farthest positive and the nearest negative; the mean is over the
      anchors that have both (Hermans et al. 2017).

    A batch without any triplet gives loss 0 with gradients of zero. Raises ValueError for an unknown mining,
    or candidates without labels or the reverse.
    """
    if (candidates is None) != (candidate_labels is None):
        raise ValueError("candidates and candidate_labels go together: give both or none")
    if mining not in _MINERS:
        raise ValueError(f"mining must be one of {', '.join(_MINERS)}, not {mining!r}")
    distances = pairwise_distances(anchors, candidates)
    others = labels if candidate_labels is None else candidate_labels
    same = labels[:, None] == others[None, :]
    itself = torch.arange(len(labels), device=labels.device)[:, None] + offset
    positive = same & (torch.arange(len(others), device=labels.device) != itself)
    loss, active = _MINERS[mining](distances, positive, ~same, margin)
    fixed = distances.detach()
    return TripletResult(loss, active.detach(), _mean(fixed, positive), _mean(fixed, ~same))


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen values; 0, still tied to the graph, when none is chosen."""
    return torch.where(chosen, values, 0).sum() / chosen.sum().clamp(min=1)


def _batch_all(distances: Tensor, positive: Tensor, negative: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    # Which triplets are active is a matter of comparison only. The sum over them is then a weighted sum of
    # distances: each distance counts once for every active triplet it is the positive of, less those it is
    # the negative of.
    fixed = distances.detach()
    active = fixed[:, :, None] + margin > fixed[:, None, :]
    active &= positive[:, :, None]
    active &= negative[:, None, :]
    as_positive, as_negative = active.sum(2), active.sum(1)
    count = as_positive.sum().to(distances.dtype)
    loss = ((as_positive - as_negative) * distances).sum() / count.clamp(min=1) + margin * count.clamp(max=1)
    triplets = (positive.sum(1) * negative.sum(1)).sum()
    return loss, count / triplets.clamp(min=1)


def _semi_hard(distances: Tensor, positive: Tensor, negative: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    fixed = distances.detach()
    # Sorted by distance, the nearest negative beyond a positive is a binary search away.
    ordered, order = fixed.masked_fill(~negative, torch.inf).sort(dim=1)
    count = negative.sum(1, keepdim=True)
    place = torch.searchsorted(ordered, fixed, right=True)
    chosen = order.gather(1, torch.minimum(place, (count - 1).clamp(min=0)))
    terms = (distances - distances.gather(1, chosen) + margin).clamp(min=0)
    valid = positive & (count > 0)
    return _mean(terms, valid), _mean((terms > 0).to(terms.dtype), valid)


def _batch_hard(
    distances: Tensor, positive: Tensor, negative: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    fixed = distances.detach()
    farthest = fixed.masked_fill(~positive, -1).argmax(dim=1, keepdim=True)
    nearest = fixed.masked_fill(~negative, torch.inf).argmin(dim=1, keepdim=True)
    terms = (distances.gather(1, farthest) - distances.gather(1, nearest) + margin).clamp(min=0)[:, 0]
    valid = positive.any(1) & negative.any(1)
    return _mean(terms, valid), _mean((terms > 0).to(terms.dtype), valid)


_MINERS = {"batch_all": _batch_all, "semi_hard": _semi_hard, "batch_hard": _batch_hard}
