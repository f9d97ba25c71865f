"""Places of a picture that add up to its embedding."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lens.models.autoencoder import Autoencoder
from lens.models.clip import ContrastiveCLIP
from lens.models.resnet import TripletResNet
from lens.models.vit import MaskedPatchViT

SIDE, LARGER = 32, 64


def made(name: str) -> Any:
    torch.manual_seed(0)
    models: dict[str, Any] = {
        "resnet": lambda: TripletResNet("tiny", "random"),
        "resnet18": lambda: TripletResNet("resnet18", "random"),
        "vit": lambda: MaskedPatchViT(SIDE, 8, hidden_size=32, layers=2, heads=2, weights="random"),
        "autoencoder": lambda: Autoencoder(SIDE, channels=(4, 8, 8, 16), embedding_size=12),
    }
    return models[name]().eval()


def sides(name: str) -> tuple[int, int]:
    return (LARGER, LARGER) if name == "resnet18" else (SIDE, SIDE)


def pictures(count: int, *sides: int) -> Tensor:
    return torch.rand(count, 3, *sides, generator=torch.Generator().manual_seed(1))


def cosine_by_pairs_of_places(one: Tensor, other: Tensor) -> float:
    """The sum over every place of one and every place of the other, one product at a time."""
    total = 0.0
    for row in range(one.shape[0]):
        for column in range(one.shape[1]):
            for there in range(other.shape[0]):
                for across in range(other.shape[1]):
                    total += sum((one[row, column].double() * other[there, across].double()).tolist())
    return total


@pytest.mark.parametrize("name", ["resnet", "resnet18", "vit", "autoencoder"])
def test_the_cosine_is_the_sum_over_pairs_of_places(name: str) -> None:
    model, images = made(name), pictures(2, *sides(name))
    with torch.no_grad():
        places, vectors = model.local_features(images), model.embed_images(images)
    assert places.dtype == torch.float32
    assert cosine_by_pairs_of_places(*places) == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "grid"), [("resnet", (2, 2)), ("resnet18", (2, 2)), ("vit", (4, 4)), ("autoencoder", (2, 2))]
)
def test_places_add_up_to_the_embedding(name: str, grid: tuple[int, int]) -> None:
    model, images = made(name), pictures(5, *sides(name))
    with torch.no_grad():
        places = model.local_features(images)
        assert places.shape == (5, *grid, model.embedding_size)
        assert torch.allclose(places.sum(dim=(1, 2)), model.embed_images(images), atol=1e-6)


def test_a_convolutional_network_takes_any_proportions() -> None:
    model, images = made("resnet"), pictures(2, 48, 80)
    with torch.no_grad():
        places = model.local_features(images)
        assert places.shape[:3] == (2, 3, 5)
        assert torch.allclose(places.sum(dim=(1, 2)), model.embed_images(images), atol=1e-6)


def test_a_vit_lays_its_patches_out_as_the_picture_has_them() -> None:
    """Without layers that mix them, a change of one patch changes the place at its row and column, and no other."""
    torch.manual_seed(0)
    model = MaskedPatchViT(SIDE, 8, hidden_size=16, layers=0, heads=2, weights="random").eval()
    images = pictures(1, SIDE, SIDE)
    changed = images.clone()
    changed[..., 8:16, 24:32] = 0
    with torch.no_grad():
        before, after = (model.local_features(one)[0] for one in (images, changed))
    before, after = (
        before / before[0, 0].norm(),
        after / after[0, 0].norm(),
    )  # the embedding's length changed as well
    moved = (before - after).norm(dim=-1) > 1e-4
    assert moved.nonzero().tolist() == [[1, 3]]


def test_the_embedding_of_clip_is_no_such_sum() -> None:
    assert not hasattr(ContrastiveCLIP, "local_features")
