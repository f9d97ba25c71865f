"""The shape of an embedding space: how near relevant pairs are, how evenly vectors spread, how many directions count.

A pair is two different rows; it is relevant where their labels are equal. Every row counts with length 1 here, whatever
its length was. Nothing of size N x N is held.
"""

import math

import numpy as np
import torch
from torch import Tensor

from lens.metrics.similarity import (
    DEFAULT_BUDGET,
    Embeddings,
    Integers,
    Side,
    check_directions,
    computing_device,
    load_rows,
    make_side,
    spans,
)

SPACE_NAMES = (
    "cosine_relevant",
    "cosine_irrelevant",
    "mean_cosine",
    "alignment",
    "uniformity",
    "effective_rank",
    "effective_rank_centred",
)
"""What `embedding_space` measures, in its order."""

_BLOCK = 1024


def embedding_space(
    embeddings: Embeddings,
    labels: Integers,
    *,
    exact_items: int = 4096,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> dict[str, float]:
    """The figures of `SPACE_NAMES` for embeddings float [N, D] with integer labels [N].

    - ``cosine_relevant``, ``cosine_irrelevant``, ``mean_cosine``: mean cosine of the relevant pairs, of the others, of
      all. Exact in O(N·D), from sums of unit vectors.
    - ``alignment``: mean squared distance of the relevant pairs, 0 to 4, lower is nearer (Wang and Isola 2020,
      "Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere", with
      their alpha = 2). For unit vectors it is 2 - 2 · ``cosine_relevant``.
    - ``uniformity``: see `uniformity`.
    - ``effective_rank``, ``effective_rank_centred``: see `effective_rank`.

    NaN where there is no such pair (or no item). Working memory is about 8·(C + min(N, D))·D bytes for C labels, beside
    blocks of 1024 rows. Raises ValueError for wrong shapes or types, and for embeddings that are NaN, infinite or zero,
    naming the rows.
    """
    items, place = _checked(embeddings, labels, device)
    cosines = _mean_cosines(items, place)
    rank, centred_rank = _ranks(items, place)
    return {
        **cosines,
        "alignment": 2 - 2 * cosines["cosine_relevant"],
        "uniformity": _uniformity(items, exact_items, seed, place),
        "effective_rank": rank,
        "effective_rank_centred": centred_rank,
    }


def uniformity(
    embeddings: Embeddings,
    *,
    exact_items: int = 4096,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> float:
    """Log of the mean of exp(-2 d²) over all pairs of rows, d their distance: 0 for one point, falling as they spread.

    Wang and Isola 2020, with their t = 2; for embeddings float [N, D]. Exact, in blocks, up to ``exact_items`` rows;
    of more, a sample of that many rows is taken by ``seed`` and all of its pairs count. NaN below two rows.
    """
    items, place = _checked(embeddings, None, device)
    return _uniformity(items, exact_items, seed, place)


def effective_rank(
    embeddings: Embeddings, *, centred: bool = False, device: torch.device | str | None = None
) -> float:
    """Over how many directions the rows of embeddings float [N, D] spread: 1 to min(N, D); NaN without rows.

    exp of the entropy of the singular values divided by their sum (Roy and Vetterli 2007, "The effective rank"), of the
    unit vectors as they are. So vectors in one narrow cone have a rank near 1, however they differ. With ``centred``
    their mean is taken away first: over how many directions they differ, 0 where all are equal.
    """
    items, place = _checked(embeddings, None, device)
    return _ranks(items, place)[centred]


def _checked(
    embeddings: Embeddings, labels: Integers | None, device: torch.device | str | None
) -> tuple[Side, torch.device]:
    items = make_side("item", embeddings, np.arange(int(embeddings.shape[0])), labels)
    place = computing_device(embeddings, device)
    check_directions(items, place, DEFAULT_BUDGET)
    return items, place


def _unit_rows(items: Side, rows: slice | np.ndarray, device: torch.device) -> Tensor:
    block = load_rows(items, rows, device)
    return block.div_(torch.linalg.vector_norm(block, dim=1, keepdim=True))


def _mean_cosines(items: Side, device: torch.device) -> dict[str, float]:
    """The squared length of a sum of unit vectors is the sum of their cosines, each pair twice and each row once."""
    assert items.labels is not None
    _, labels, counts = np.unique(items.labels, return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), items.width, dtype=torch.float64, device=device)
    for span in spans(len(items), _BLOCK):
        sums.index_add_(0, torch.from_numpy(labels[span]).to(device), _unit_rows(items, span, device))
    n = len(items)
    inside, everything = float(sums.square().sum()), float(sums.sum(0).square().sum())
    pairs_inside, pairs = int((counts**2).sum()) - n, n * n - n
    return {
        "cosine_relevant": _mean(inside - n, pairs_inside),
        "cosine_irrelevant": _mean(everything - inside, pairs - pairs_inside),
        "mean_cosine": _mean(everything - n, pairs),
    }


def _mean(total: float, count: int) -> float:
    return min(1.0, max(-1.0, total / count)) if count else math.nan  # rounding may pass the ends by 1e-16


def _uniformity(items: Side, exact_items: int, seed: int, device: torch.device) -> float:
    if exact_items < 2:
        raise ValueError(f"exact_items must be at least 2, not {exact_items}")
    rows = np.arange(len(items))
    if len(rows) > exact_items:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), exact_items, replace=False))
    if len(rows) < 2:
        return math.nan
    vectors = _unit_rows(items, rows, device)
    total = 0.0
    for span in spans(len(rows), _BLOCK):
        cosines = vectors[span] @ vectors[span.start :].T
        weights = cosines.sub_(1).mul_(4).exp_()  # d² = 2 - 2 cos, so exp(-2 d²) = exp(4 (cos - 1))
        total += float(weights.triu_(1).sum())  # each pair once, no row with itself
    return math.log(total / (len(rows) * (len(rows) - 1) / 2))


def _ranks(items: Side, device: torch.device) -> tuple[float, float]:
    """The effective rank, and that of the rows less their mean."""
    n, width = len(items), items.width
    if n == 0:
        return math.nan, math.nan
    if (
        n < width
    ):  # the products of rows have the same non-zero eigenvalues as those of columns, and are fewer
        vectors = _unit_rows(items, slice(None), device)
        gram = vectors @ vectors.T
        means = gram.mean(0)
        centred = gram - means[:, None] - means[None, :] + means.mean()
    else:
        gram = torch.zeros(width, width, dtype=torch.float64, device=device)
        total = torch.zeros(width, dtype=torch.float64, device=device)
        for span in spans(n, _BLOCK):
            block = _unit_rows(items, span, device)
            gram.addmm_(block.T, block)
            total += block.sum(0)
        centred = gram - total[:, None] * total[None, :] / n
    # Eigenvalues are squares: what rounding leaves of a zero, 1e-16 of their sum n, would count as 1e-8 of it.
    rounding = n * max(n, width) * torch.finfo(torch.float64).eps
    return _spread(gram, rounding), _spread(centred, rounding)


def _spread(gram: Tensor, rounding: float) -> float:
    """exp of the entropy of the roots of the eigenvalues above ``rounding``; 0 where there are none."""
    eigenvalues = torch.linalg.eigvalsh(gram)
    values = eigenvalues[eigenvalues > rounding].sqrt()
    return float(torch.special.entr(values / values.sum()).sum().exp()) if len(values) else 0.0
