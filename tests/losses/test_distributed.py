"""Two real processes give the gradient of one, for every loss that compares the images of a batch."""

import os
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.functional import normalize
from torch.nn.parallel import DistributedDataParallel

from lens.losses import contrastive_loss, gather, triplet_loss

LOSSES = ["batch_all", "semi_hard", "batch_hard", "label", "diagonal"]
ROWS = 12
# Where the first process stops and the second begins: equal shares, and unequal ones.
CUTS = [6, 4]


class Towers(nn.Module):
    """An image tower, a text tower with two texts per image, and a learnable temperature."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.image = nn.Linear(6, 4, dtype=torch.float64)
        self.text = nn.Linear(6, 4, dtype=torch.float64)
        self.scale = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
        with torch.no_grad():
            for layer in (self.image, self.text):
                layer.weight.copy_(torch.randn(4, 6, generator=generator, dtype=torch.float64))
                layer.bias.copy_(torch.randn(4, generator=generator, dtype=torch.float64))

    def forward(self, images, texts):
        return normalize(self.image(images)), normalize(self.text(texts)), self.scale


def batch():
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(ROWS, 6, generator=generator, dtype=torch.float64)
    texts = torch.randn(ROWS, 2, 6, generator=generator, dtype=torch.float64)
    return images, texts, torch.arange(ROWS) * 7 % 4, torch.arange(ROWS) + 2**40


def gradients(model, kind, rows):
    images, texts, labels, index = (part[rows] for part in batch())
    x, y, scale = model(images, texts.flatten(0, 1))
    x, y, labels, index = gather(x), gather(y), gather(labels), gather(index)
    if kind in ("label", "diagonal"):
        twice = [part.repeat_interleave(2) for part in (labels, index)]
        loss = contrastive_loss(
            x, y, labels, twice[0], logit_scale=scale, targets=kind, image_index=index, text_index=twice[1]
        ).loss
    else:
        # The text tower and the temperature take no part in this loss, but DDP wants a gradient for all.
        loss = triplet_loss(x, labels, margin=0.5, mining=kind).loss + 0 * y.sum() + 0 * scale
    model.zero_grad()
    loss.backward()
    return [loss.detach().clone()] + [parameter.grad.clone() for parameter in model.parameters()]


def worker(rank, folder):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    model = DistributedDataParallel(Towers())
    found = {}
    for cut in CUTS:
        rows = slice(0, cut) if rank == 0 else slice(cut, ROWS)
        for kind in LOSSES:
            found[kind, cut] = gradients(model, kind, rows)
    found["labels"] = gather(torch.arange(rank + 1) + 2**53 + rank)
    with torch.no_grad():
        found["no_grad"] = gather(torch.full((2, 3), float(rank), requires_grad=True))
    torch.save(found, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(worker, (str(folder),), nprocs=2)
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("kind", LOSSES)
def test_gradients_equal_those_of_one_process(found, kind, cut):
    alone = gradients(Towers(), kind, slice(0, ROWS))
    assert alone[0] > 0 and any(gradient.abs().max() > 1e-3 for gradient in alone[1:])
    for rank in range(2):
        for one, other in zip(alone, found[rank][kind, cut], strict=True):
            torch.testing.assert_close(other, one, rtol=0, atol=1e-10)


def test_integers_and_tensors_without_gradient_come_in_rank_order(found):
    for rank in range(2):
        assert found[rank]["labels"].tolist() == [2**53, 2**53 + 1, 2**53 + 2]
        assert found[rank]["no_grad"].tolist() == [[0.0] * 3] * 2 + [[1.0] * 3] * 2
        assert not found[rank]["no_grad"].requires_grad


def test_one_process_gets_its_own_tensor():
    x = torch.rand(2, 3)
    assert gather(x) is x
