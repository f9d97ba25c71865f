"""Cosine similarities that come out the same whatever the chunking, the device or the number of threads.

Two equal pictures must tie, or a collapsed model looks better than chance. Ordinary matrix products round
differently for different shapes, so equal pictures would get slightly different cosines. Here every unit
vector is first rounded to multiples of 2^-26. Products of two components are then integers times 2^-52, their
sums stay below 2^53 such steps, and float64 adds them without any rounding: the order of the sum no longer
matters. The rounding moves a cosine by about 1e-8. Last, cosines are rounded to multiples of 2^-20 (about
1e-6): what float32 arithmetic can tell apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Embeddings = Tensor | np.ndarray
Integers = Tensor | np.ndarray

COMPONENT_STEPS = 2**26
COSINE_STEPS = 2**20
DEFAULT_BUDGET = 256 * 2**20


@dataclass(frozen=True)
class Side:
    """One side of a search. Embeddings stay as given; labels (if any) and ids are int64 [N]."""

    name: str
    embeddings: Embeddings
    ids: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def width(self) -> int:
        return int(self.embeddings.shape[1])


def make_side(name: str, embeddings: Embeddings, ids: Integers, labels: Integers | None = None) -> Side:
    """Check one side's shapes and types. Raises ValueError with the side's name."""
    if embeddings.ndim != 2:
        raise ValueError(f"{name} embeddings must have shape [N, D], not {list(embeddings.shape)}")
    rows = int(embeddings.shape[0])
    return Side(
        name,
        embeddings,
        _integers(f"{name} ids", ids, rows),
        None if labels is None else _integers(f"{name} labels", labels, rows),
    )


def _integers(name: str, values: Integers, rows: int) -> np.ndarray:
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.shape != (rows,):
        raise ValueError(f"{name} must have shape [{rows}] like the embeddings, not {list(array.shape)}")
    # An empty list becomes float64 in numpy, which is harmless.
    if rows and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} must be integers, not {array.dtype}: floats mix up large numbers")
    return array.astype(np.int64)


def computing_device(embeddings: Embeddings, device: torch.device | str | None) -> torch.device:
    """The asked device, else the embeddings' own; the CPU for Apple's GPU, which has no float64."""
    chosen = torch.device(device) if device is not None else torch.device("cpu")
    if device is None and isinstance(embeddings, Tensor):
        chosen = embeddings.device
    return torch.device("cpu") if chosen.type == "mps" else chosen


def load_rows(
    side: Side, rows: slice | np.ndarray, device: torch.device, into: Tensor | None = None
) -> Tensor:
    """Rows as float64 [n, D] on the device, always a copy; in the first n rows of `into` where it is given."""
    chosen = side.embeddings[rows]
    if into is None:
        into = torch.empty(chosen.shape, dtype=torch.float64, device=device)
    block = into[: len(chosen)]
    if isinstance(chosen, Tensor):
        # To the device first: not every device has float64.
        block.copy_(chosen.detach().to(device))
    elif device.type == "cpu":
        np.copyto(block.numpy(), chosen)
    else:
        block.copy_(torch.from_numpy(np.array(chosen, dtype=np.float64)))
    return block


def unit_integers(
    side: Side, rows: slice | np.ndarray, device: torch.device, into: Tensor | None = None
) -> Tensor:
    """Unit vectors in steps of 2^-26: float64 [n, D] holding integers; `into` as in `load_rows`."""
    block = load_rows(side, rows, device, into)
    block /= torch.linalg.vector_norm(block, dim=1, keepdim=True)
    return block.mul_(COMPONENT_STEPS).round_()


def cosine_steps(queries: Tensor, gallery: Tensor) -> Tensor:
    """Cosines in steps of 2^-20, float64 [q, g] holding integers, from two blocks of `unit_integers`."""
    return (queries @ gallery.T).mul_(COSINE_STEPS / COMPONENT_STEPS**2).round_()


def check_directions(side: Side, device: torch.device, budget_bytes: int) -> None:
    """Raise ValueError naming the first rows that have no direction: NaN, infinite or all zero."""
    bad: list[int] = []
    for rows in spans(len(side), max(1, budget_bytes // (32 * max(1, side.width)))):
        norms = torch.linalg.vector_norm(load_rows(side, rows, device), dim=1)
        wrong = ~(torch.isfinite(norms) & (norms > 0))
        bad += (wrong.nonzero().flatten() + rows.start).tolist()
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        first = ", ".join(map(str, bad[:5]))
        raise ValueError(f"{side.name} embeddings are NaN, infinite or zero in rows {first}{more}")


def spans(total: int, step: int) -> Iterator[slice]:
    """Consecutive slices of at most `step` that cover range(total)."""
    for start in range(0, total, step):
        yield slice(start, min(start + step, total))


def chunk_sizes(queries: int, gallery: int, width: int, kept: int, budget_bytes: int) -> tuple[int, int]:
    """Rows per query chunk (q) and per gallery chunk (g), so that the working memory stays inside the budget.

    Working memory in bytes, with D = `width` and M = `kept` results per query:
    48·q·M (the running best and its scores) + 64·q·g (cosines, keys, masks) + 24·(q + g)·D (normalised rows).
    About half of 64·q·g is live at once; the rest allows for freed blocks that the allocator has not given
    back. It never goes below one query against one gallery row, 48·M + 48·D + 64 bytes, and larger chunks
    than 512 × 4096 (or 2·M) are not faster.
    """
    per_query = 48 * kept + 24 * width
    q = max(1, min(queries, 512, budget_bytes // (2 * per_query)))
    room = (budget_bytes - q * per_query) // (64 * q + 24 * width)
    return q, max(1, min(gallery, max(4096, 2 * kept), room))
