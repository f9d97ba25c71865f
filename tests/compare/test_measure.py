"""Operations, parameters, times and memory: counted against hand counts."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lens.compare.measure import call_times, count_flops, forget_peak, peak_memory, used_parameters
from tests.compare.costs import CHANNELS, EMBEDDING, SIZE, small


def test_flops_of_the_convolutions_by_hand() -> None:
    expected, side = 0, SIZE
    for inside, outside in zip((3, *CHANNELS), CHANNELS, strict=False):
        side //= 2
        expected += 2 * side * side * outside * inside * 3 * 3
    expected += 2 * (CHANNELS[-1] * side * side) * EMBEDDING
    one = torch.rand(1, 3, SIZE, SIZE)
    assert count_flops(small().embed_images, one) == expected
    assert count_flops(small().embed_images, one.expand(5, -1, -1, -1)) == 5 * expected


def test_flops_of_attention_by_hand() -> None:
    heads, tokens, width = 3, 10, 8
    inside = torch.rand(1, heads, tokens, width)
    products = 2 * (2 * heads * tokens * tokens * width)  # queries by keys, then weights by values
    assert count_flops(lambda x: F.scaled_dot_product_attention(x, x, x), inside) == products
    assert count_flops(lambda x: x + 1, inside) is None


def test_used_parameters_are_the_encoders() -> None:
    model, one = small(), torch.rand(1, 3, SIZE, SIZE)
    encoder = sum(part.numel() for part in model.encoder.parameters())
    assert encoder < sum(part.numel() for part in model.parameters())
    assert used_parameters(model, one) == encoder
    model.encoder.requires_grad_(False)  # a frozen part is computed with all the same
    assert used_parameters(model, one) == encoder


def test_used_parameters_leave_the_text_tower_out() -> None:
    from lens.models.clip import ContrastiveCLIP

    model = ContrastiveCLIP(
        image_size=32, patch_size=16, vision_size=16, vision_layers=1, vision_heads=2, text_size=8, text_layers=1,
        text_heads=2, context=8, projection_size=12, weights="random",
    ).eval()  # fmt: skip
    parts = (model.network.vision_model, model.network.visual_projection)
    expected = sum(part.numel() for module in parts for part in module.parameters())
    assert used_parameters(model, torch.rand(1, 3, 32, 32)) == expected


def test_where_no_graph_is_kept_it_cannot_be_told() -> None:
    class Closed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        @torch.no_grad()
        def embed_images(self, images: Tensor) -> Tensor:
            return self.layer(images.mean((2, 3)))

    assert used_parameters(Closed(), torch.rand(1, 3, 4, 4)) is None


def test_calls_are_repeated_often_and_long_enough() -> None:
    calls: list[int] = []
    cpu = torch.device("cpu")
    times = call_times(lambda: calls.append(1), cpu, least=7, seconds=0.0)
    assert len(times) == 7 and len(calls) > 7  # the warm-up is not counted
    assert len(call_times(lambda: None, cpu, least=1, seconds=60.0, most=20)) == 20
    long = call_times(lambda: time.sleep(0.01), cpu, least=1, seconds=0.1)
    assert 1 <= len(long) <= 10 and min(long) >= 0.01


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak can be set back on Linux only"
)
def test_a_peak_is_forgotten() -> None:
    np.ones(300 * 2**20, np.uint8)  # gone at once
    high = peak_memory()
    assert forget_peak()
    low = peak_memory()
    assert low < high - 250 * 2**20
    np.ones(100 * 2**20, np.uint8)
    assert peak_memory() > low + 90 * 2**20
