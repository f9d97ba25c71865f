"""The whole batch on every process, with the gradient of one process.

Triplet and contrastive losses compare the images of a batch with each other, so each process needs the
embeddings of all. On every rank: gather the embeddings (and labels), then call the loss on the full batch.

Why that is exact. W ranks hold batches x_1..x_W and the same weights w; e_r = f(w, x_r), and every rank
computes the same L(e_1, .., e_W). The backward pass of `gather` adds up the gradients that all ranks send to
e_r: W · dL/de_r. Rank r's weights therefore get W · (dL/de_r)(de_r/dw), and DistributedDataParallel averages
this over the ranks: (1/W) · sum_r W · (dL/de_r)(de_r/dw) = dL/dw, the gradient of one process with the whole
batch. A weight that is used after the gathering (CLIP's temperature) gets dL/dw on each rank, and so on
average. Batches of unequal size change none of this.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather(x: Tensor) -> Tensor:
    """Concatenate x [n_r, ...] of all ranks, in rank order: [sum of n_r, ...]; x itself on one process.

    Ranks may hold different numbers of rows; the other dimensions and the dtype must agree. Gradients flow
    back to each rank, added up over the ranks. A collective call: every rank must make it.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    counts = [torch.zeros(1, dtype=torch.int64, device=x.device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([len(x)], device=x.device))
    rows: list[int] = torch.cat(counts).tolist()
    if x.is_floating_point() and torch.is_grad_enabled() and x.requires_grad:
        gathered: Tensor = _Gather.apply(x, rows)
        return gathered
    return _concatenate(x, rows)


def _concatenate(x: Tensor, rows: list[int]) -> Tensor:
    # all_gather wants equal shapes: pad to the longest, cut the padding off afterwards.
    padded = x.new_zeros(max(rows), *x.shape[1:])
    padded[: len(x)] = x
    parts = [torch.empty_like(padded) for _ in rows]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, rows, strict=True)])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: list[int]) -> Tensor:
        ctx.rows = rows
        return _concatenate(x, rows)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return torch.split(total, ctx.rows)[dist.get_rank()], None
