"""The first ranks of every query, exact and in bounded memory.

A gallery item becomes one int32 key: -2 · cosine (in steps of 2^-20), plus 1 if it is relevant. Rising keys are
falling cosines with irrelevant items first among equals, and the lowest bit tells relevance. Keys of one *tie
group* (equal cosine) differ in that bit only. The items that carry the query's id get the highest even key: last,
and irrelevant.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lens.metrics.similarity import COMPONENT_STEPS, COSINE_STEPS, Side, spans, unit_integers

EXCLUDED = torch.iinfo(torch.int32).max - 1
# Ranks kept beyond those that count, so that a small tie group at the end is seen whole.
SPARE_RANKS = 32


@dataclass(frozen=True)
class Search:
    """Queries against a gallery. Labels and ids are int32 codes on the device, equal where the originals are.

    relevant: int64 [Q], R of each query: gallery items of its label that do not carry its id.
    available: int64 [Q], gallery items that do not carry the query's id.
    """

    queries: Side
    gallery: Side
    query_labels: Tensor
    gallery_labels: Tensor
    query_ids: Tensor
    gallery_ids: Tensor
    relevant: np.ndarray
    available: np.ndarray
    device: torch.device


@dataclass(frozen=True)
class Ranks:
    """The first ranks of q queries.

    keys: int32 [q, K], rising.
    last: int64 [q, 2], size and relevant items of the whole tie group of the last kept key; -1 where the kept keys
        tell it, or where nothing depends on it.
    first: int64 [q, 3], for the first tie group with a relevant item: how many items come before it, its size, and
        its relevant items; -1 where the kept keys tell it.
    """

    keys: np.ndarray
    last: np.ndarray
    first: np.ndarray


@dataclass(frozen=True)
class Workspace:
    """Memory that every chunk of queries uses again: fresh pages cost more than the sums done in them.

    unit: float64 [g, D]. steps: float64 [q·g]. keys: int32 [q, h]. lines: rankings whose scores are computed at once.
    """

    unit: Tensor
    steps: Tensor
    keys: Tensor
    lines: int

    @property
    def step(self) -> int:
        return len(self.unit)


def make_search(queries: Side, gallery: Side, device: torch.device) -> Search:
    """Both sides need labels."""
    assert queries.labels is not None and gallery.labels is not None
    labels = np.unique(np.concatenate([queries.labels, gallery.labels]), return_inverse=True)[1]
    ids = np.unique(np.concatenate([queries.ids, gallery.ids]), return_inverse=True)[1]
    pairs = labels * np.int64(len(ids)) + ids
    split = len(queries)

    def codes(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.int32)).to(device)

    return Search(
        queries=queries,
        gallery=gallery,
        query_labels=codes(labels[:split]),
        gallery_labels=codes(labels[split:]),
        query_ids=codes(ids[:split]),
        gallery_ids=codes(ids[split:]),
        relevant=_occurrences(labels[:split], labels[split:]) - _occurrences(pairs[:split], pairs[split:]),
        available=len(gallery) - _occurrences(ids[:split], ids[split:]),
        device=device,
    )


def _occurrences(wanted: np.ndarray, among: np.ndarray) -> np.ndarray:
    ordered = np.sort(among)
    first = np.searchsorted(ordered, wanted, "left")
    count: np.ndarray = np.searchsorted(ordered, wanted, "right") - first
    return count


def workspace(search: Search, queries: int, depth: int, budget_bytes: int) -> Workspace:
    """Memory to rank `queries` queries as far as rank `depth`, chunk by chunk."""
    gallery, width = len(search.gallery), search.queries.width
    q, g, held, lines = workspace_sizes(queries, gallery, width, depth, budget_bytes)
    return Workspace(
        torch.empty(g, width, dtype=torch.float64, device=search.device),
        torch.empty(q * g, dtype=torch.float64, device=search.device),
        torch.empty(q, held, dtype=torch.int32, device=search.device),
        lines,
    )


def workspace_sizes(
    queries: int, gallery: int, width: int, depth: int, budget_bytes: int
) -> tuple[int, int, int, int]:
    """Queries per chunk (q), gallery rows per block (g), keys held per query (h), rankings scored at once (s).

    Working memory in bytes, with D = `width` and K = `depth` + 32 kept ranks, at most the gallery's size:
    24·D·(q + g) for normalised rows, 24·q·g for cosines and masks, 4·q·h + 24·q·K for keys, 200·s·K for scores.
    h is the whole gallery where that leaves room for enough queries: what lies beyond rank K is then found
    without computing cosines again. It never goes below one query against one row: 48·D + 240·K + 200 bytes.
    """
    kept = max(1, min(gallery, depth + SPARE_RANKS))
    room = min(3 * budget_bytes // 4, budget_bytes - 200 * kept)
    g = max(1, min(gallery, 4096, room // (8 * (24 * width + 24))))
    most = max(1, min(queries, 1024))
    block, beside = 24 * width * g, 24 * width + 24 * g + 24 * kept
    held = max(1, min(gallery, kept + max(kept, g)))
    if 4 * gallery * min(most, 256) <= min(room // 2, room - block - beside):
        held = max(1, gallery)
    q = max(1, min(most, (room - block) // (beside + 4 * held)))
    # More at a time than a processor's cache holds is not faster.
    left = budget_bytes - block - q * (beside + 4 * held)
    lines = max(1, min(queries, 2**16 // kept, left // (200 * kept)))
    return q, g, held, lines


class Keys:
    """Makes the keys of the queries `rows` (int64 [q]) against any span of the gallery."""

    def __init__(self, search: Search, rows: np.ndarray, space: Workspace) -> None:
        self.search, self.space = search, space
        places = torch.from_numpy(rows).to(search.device)
        self.labels = search.query_labels[places][:, None]
        self.ids = search.query_ids[places][:, None]
        # A power of two: exact. The negative sign makes rising keys falling cosines.
        scale = -COSINE_STEPS / COMPONENT_STEPS**2
        self.vectors = unit_integers(search.queries, rows, search.device).mul_(scale)

    def write(self, span: slice, out: Tensor) -> None:
        """Fill `out`, int32 [q, span]."""
        search, (q, n) = self.search, out.shape
        unit = unit_integers(search.gallery, span, search.device, self.space.unit)
        steps = torch.mm(self.vectors, unit.T, out=self.space.steps[: q * n].view(q, n))
        out.copy_(steps.round_()).mul_(2)
        out += self.labels == search.gallery_labels[span]
        out.masked_fill_(self.ids == search.gallery_ids[span], EXCLUDED)


def first_ranks(search: Search, rows: np.ndarray, depth: int, space: Workspace) -> Ranks:
    """Rank the gallery for the queries `rows`, each with R > 0, as far as rank `depth` and the tie group there."""
    size, kept = len(search.gallery), min(len(search.gallery), depth + SPARE_RANKS)
    held = _gather(search, rows, kept, space)
    keys = np.sort(_smallest(held, kept).cpu().numpy(), axis=1)
    last, first = np.full((len(rows), 2), -1), np.full((len(rows), 3), -1)
    if kept == size:
        return Ranks(keys, last, first)
    whole = held if held.shape[1] == size else None
    hits = (keys & 1).astype(bool)
    found, final = hits.any(axis=1), keys[:, -1] >> 1
    opening = keys[np.arange(len(rows)), hits.argmax(axis=1)] >> 1
    # The last group goes on beyond the kept keys, perhaps, and holds rank `depth` or the first relevant item.
    cut = np.flatnonzero((final == keys[:, depth - 1] >> 1) | (found & (opening == final)))
    if len(cut):
        last[cut] = _count(_blocks(search, rows[cut], cut, space, whole), final[cut])[:, 1:]
    deep = np.flatnonzero(~found)
    if len(deep):
        nearest = _nearest_relevant(_blocks(search, rows[deep], deep, space, whole))
        first[deep] = _count(_blocks(search, rows[deep], deep, space, whole), nearest)
    return Ranks(keys, last, first)


def _gather(search: Search, rows: np.ndarray, kept: int, space: Workspace) -> Tensor:
    """At least the smallest `kept` keys of each query, int32 [q, >= kept]; all of them where `space` has room."""
    keys, held = Keys(search, rows, space), space.keys[: len(rows)]
    filled = 0
    for span in spans(len(search.gallery), space.step):
        more = span.stop - span.start
        if filled + more > held.shape[1]:
            held[:, :kept].copy_(_smallest(held[:, :filled], kept))
            filled = kept
        keys.write(span, held[:, filled : filled + more])
        filled += more
    return held[:, :filled]


def _smallest(keys: Tensor, kept: int) -> Tensor:
    """The smallest `kept` keys of each row in any order. On the CPU the keys of a row change places."""
    if keys.device.type != "cpu":
        return keys.topk(kept, dim=1, largest=False, sorted=False).values
    if kept < keys.shape[1]:
        keys.numpy().partition(kept - 1, axis=1)  # several times faster than topk
    return keys[:, :kept]


def _blocks(
    search: Search, rows: np.ndarray, places: np.ndarray, space: Workspace, whole: Tensor | None
) -> Iterator[np.ndarray]:
    """All keys of the queries `rows`, block after block: lines `places` of `whole`, or computed once more."""
    keys = Keys(search, rows, space) if whole is None else None
    lines = torch.from_numpy(places).to(search.device)
    for span in spans(len(search.gallery), space.step):
        if keys is None:
            assert whole is not None
            block = whole[:, span][lines]
        else:
            block = space.keys[: len(rows), : span.stop - span.start]
            keys.write(span, block)
        yield block.cpu().numpy()


def _nearest_relevant(blocks: Iterator[np.ndarray]) -> np.ndarray:
    """The cosine, as a key without its lowest bit, of each query's first relevant item: int32 [n]."""
    nearest = [np.where(keys & 1, keys, EXCLUDED).min(axis=1) for keys in blocks]
    cosine: np.ndarray = np.min(nearest, axis=0).astype(np.int32) >> 1
    return cosine


def _count(blocks: Iterator[np.ndarray], cosines: np.ndarray) -> np.ndarray:
    """Of each query: items before the tie group of this cosine, its size, its relevant items. int64 [n, 3]."""
    irrelevant, relevant = cosines[:, None] * 2, cosines[:, None] * 2 + 1
    total = np.zeros((len(cosines), 3), np.int64)
    for keys in blocks:
        found = np.count_nonzero(keys == relevant, axis=1)
        total[:, 0] += np.count_nonzero(keys < irrelevant, axis=1)
        total[:, 1] += np.count_nonzero(keys == irrelevant, axis=1) + found
        total[:, 2] += found
    return total
