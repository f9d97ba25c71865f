"""Maps of what two pictures, or a picture and a text, have in common; all models are random or built for the test."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lens.config import build
from lens.data.images import fit_square, load_rgb
from lens.errors import LensError
from lens.models.autoencoder import Autoencoder
from lens.models.clip import ContrastiveCLIP
from lens.models.hybrid import Hybrid, Member
from lens.models.resnet import TripletResNet
from lens.models.tokens import Tokens
from lens.models.vit import MaskedPatchViT
from lens.search import Embedder
from lens.search.agreement import GRID, agreement

SIDE = 64


def resnet(**more: Any) -> TripletResNet:
    torch.manual_seed(0)
    return TripletResNet("tiny", "random", **more).eval()


def vit(patch_size: int = 8) -> MaskedPatchViT:
    torch.manual_seed(0)
    return MaskedPatchViT(SIDE, patch_size, hidden_size=64, layers=2, heads=2, weights="random").eval()


def clip() -> ContrastiveCLIP:
    torch.manual_seed(0)
    made = ContrastiveCLIP(
        image_size=SIDE, patch_size=8, vision_size=32, vision_layers=2, vision_heads=2, text_size=16, text_layers=1,
        text_heads=2, context=16, projection_size=16, weights="random",
    )  # fmt: skip
    made.tokens = Tokens.train(["a red shoe", "a blue boot"])
    return made.eval()


def autoencoder() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(SIDE, channels=(4, 8, 8, 16), embedding_size=12).eval()


def hybrid() -> Hybrid:
    members = [
        Member(made, name, name * 8, SIDE, {}) for made, name in ((clip(), "clip"), (resnet(), "rest"))
    ]
    made = Hybrid(members, build).eval()
    with torch.no_grad():
        made.weights.copy_(torch.tensor([0.3, 0.7]))
    return made


def embedder(model: Any, **more: Any) -> Embedder:
    return Embedder(model, SIDE, name="one", **more)


def picture(seed: int, width: int = SIDE, height: int = SIDE, darkest: int = 150) -> Image.Image:
    """Light blocks of 8×8 pixels."""
    blocks = np.random.default_rng(seed).integers(darkest, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(np.kron(blocks, np.ones((8, 8, 1), np.uint8)))


def pasted(seed: int, place: tuple[int, int]) -> Image.Image:
    """A pale picture of its own with the one patch of 16×16 pixels that all share, at a row and column."""
    patch = np.random.default_rng(7).integers(0, 2, (4, 4, 3), dtype=np.uint8) * 255
    square = np.asarray(picture(seed, darkest=205)).copy()
    square[place[0] : place[0] + 16, place[1] : place[1] + 16] = np.kron(patch, np.ones((4, 4, 1), np.uint8))
    return Image.fromarray(square)


def ready(image: Image.Image) -> Tensor:
    return torch.from_numpy(fit_square(image, SIDE)).permute(2, 0, 1).float() / 255


def vector(model: Any, tensor: Tensor) -> Tensor:
    with torch.no_grad():
        return model.embed_images(tensor[None])[0]  # type: ignore[no-any-return]


def slow_covering(model: Any, image: Image.Image, other: Tensor) -> np.ndarray:
    """How far each cosine with a vector falls, one square after another."""
    tensor, values = ready(image), np.zeros((8, 8))
    for row in range(8):
        for column in range(8):
            painted = tensor.clone()
            painted[:, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = 1
            values[row, column] = float(vector(model, tensor) @ other) - float(vector(model, painted) @ other)
    return values


def slow_contributions(model: Any, image: Image.Image, other: Image.Image) -> np.ndarray:
    """For each place, the sum over all places of the other picture."""
    with torch.no_grad():
        mine, its, blank = model.local_features(
            torch.stack([ready(image), ready(other), torch.ones(3, SIDE, SIDE)])
        )
    values = np.zeros(mine.shape[:2])
    for row, column in np.ndindex(*values.shape):
        for there, across in np.ndindex(*values.shape):
            beyond = its[there, across] - blank[there, across]
            values[row, column] += float((mine[row, column] - blank[row, column]) @ beyond)
    return values


def scaled(*maps: np.ndarray) -> list[np.ndarray]:
    top = max(values.max() for values in maps)
    return [np.maximum(values, 0) / top for values in maps]


def test_contributions_are_sums_over_pairs_of_places_less_a_blank_picture() -> None:
    one, other, model = picture(1), picture(2), vit()
    raw = slow_contributions(model, one, other), slow_contributions(model, other, one)
    found = agreement(embedder(model), one, other)
    assert found.kind == "contributions" and found.query is not None
    for values, expected in zip((found.query, found.item), scaled(*raw), strict=True):
        assert values.dtype == np.float32 and np.allclose(values, expected, atol=1e-4)
    a, b, blank = (vector(model, tensor) for tensor in (ready(one), ready(other), torch.ones(3, SIDE, SIDE)))
    for values in raw:
        assert values.sum() == pytest.approx(float(a @ b - a @ blank - b @ blank + 1), abs=1e-5)


@pytest.mark.parametrize("make", [resnet, clip, autoencoder])
def test_covering_is_what_the_cosine_loses_square_by_square(make: Any) -> None:
    one, other, model = picture(1), picture(2), make()
    blank = vector(model, torch.ones(3, SIDE, SIDE))
    query = slow_covering(model, one, vector(model, ready(other)) - blank)
    item = slow_covering(model, other, vector(model, ready(one)) - blank)
    found = agreement(embedder(model), one, other, kind="covering")
    assert found.query is not None and found.query.shape == found.item.shape == (GRID, GRID)
    for values, expected in zip((found.query, found.item), scaled(query, item), strict=True):
        assert np.allclose(
            values, expected, atol=2e-3
        )  # in shares of a difference that may be as small as 1e-4


def test_the_map_of_a_hybrid_is_the_weighted_sum_of_its_members_maps() -> None:
    one, other, model = picture(1), picture(2), hybrid()
    query, item = np.zeros((8, 8)), np.zeros((8, 8))
    for member, weight in zip(model.members, (0.3, 0.7), strict=True):
        blank = vector(member, torch.ones(3, SIDE, SIDE))
        query += weight * slow_covering(member, one, vector(member, ready(other)) - blank)
        item += weight * slow_covering(member, other, vector(member, ready(one)) - blank)
    found = agreement(embedder(model), one, other)
    assert found.kind == "covering" and found.query is not None
    for values, expected in zip((found.query, found.item), scaled(query, item), strict=True):
        assert np.allclose(values, expected, atol=2e-3)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (vit, "contributions"),
        (vit, "covering"),
        (resnet, "covering"),
        (clip, "covering"),
        (hybrid, "covering"),
    ],
)
def test_a_patch_that_both_pictures_have_lights_up_in_both(make: Any, kind: Any) -> None:
    """On a pale ground, with random weights; not for the autoencoder, which knows a patch only at its place."""
    for seed, (here, there) in enumerate([((0, 0), (48, 48)), ((16, 32), (32, 16)), ((48, 16), (0, 32))]):
        found = agreement(embedder(make()), pasted(seed, here), pasted(seed + 100, there), kind=kind)
        assert found.query is not None
        for values, (row, column) in ((found.query, here), (found.item, there)):
            shared = np.zeros((8, 8), dtype=bool)
            shared[row // 8 : row // 8 + 2, column // 8 : column // 8 + 2] = True
            assert shared[np.unravel_index(values.argmax(), values.shape)]
            assert values[shared].mean() > 2 * values[~shared].mean()


@pytest.mark.parametrize(
    ("make", "kind"), [(vit, "contributions"), (resnet, "covering"), (resnet, "contributions")]
)
def test_the_border_of_a_picture_that_is_no_square_stays_dark(make: Any, kind: Any) -> None:
    found = agreement(embedder(make()), picture(1, 128, 64), picture(2, 32, 64), kind=kind)
    assert found.query is not None
    places = len(found.query)
    assert found.query.shape == found.item.shape == (places, places)
    quarter = places // 4
    assert not found.query[:quarter].any() and not found.query[-quarter:].any()
    assert not found.item[:, :quarter].any() and not found.item[:, -quarter:].any()
    assert found.query.any() and found.item.any()


def test_both_maps_have_one_scale() -> None:
    for made in (vit(), resnet()):
        found = agreement(embedder(made), picture(1), picture(2))
        assert found.query is not None
        highest = sorted([float(found.query.max()), float(found.item.max())])
        assert highest[1] == 1 and highest[0] < 1 and min(found.query.min(), found.item.min()) >= 0


@pytest.mark.parametrize("kind", ["contributions", "covering"])
def test_what_is_only_rounding_is_not_stretched_into_a_map(kind: Any) -> None:
    white = Image.new("RGB", (50, 40), "white")
    found = agreement(embedder(vit()), white, white, kind=kind)
    assert found.query is not None and not found.query.any() and not found.item.any()


def test_coarse_maps_of_contributions_give_way_to_covering() -> None:
    for made, kind in (
        (vit(8), "contributions"),
        (vit(16), "covering"),
        (resnet(), "covering"),
        (clip(), "covering"),
    ):
        assert agreement(embedder(made), picture(1), picture(2)).kind == kind


@pytest.mark.parametrize("make", [clip, hybrid])
def test_words_light_the_parts_of_the_item_that_make_it_like_them(make: Any) -> None:
    model, item = make(), picture(3)
    found = agreement(embedder(model), None, item, "a red shoe")
    with torch.no_grad():
        words = model.embed_texts(["a red shoe"])[0]
    assert found.query is None and found.rebuilt_query is None and "words" in found.means
    assert np.allclose(found.item, scaled(slow_covering(model, item, words))[0], atol=2e-3)


def test_an_autoencoder_also_shows_what_it_kept() -> None:
    for model in (autoencoder(), resnet(reconstruction_weight=0.1)):
        one, other = picture(1, 64, 32), picture(2)
        found = agreement(embedder(model), one, other)
        for rebuilt, image in ((found.rebuilt_query, one), (found.rebuilt_item, other)):
            with torch.no_grad():
                expected = model.reconstruct(ready(image)[None])
            assert rebuilt is not None and rebuilt.dtype == np.uint8 and rebuilt.shape == (SIDE, SIDE, 3)
            assert np.abs(rebuilt / 255 - expected[0].permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-5
        assert "rebuilds" in found.means
    plain = agreement(embedder(resnet()), picture(1), picture(2))
    assert plain.rebuilt_query is plain.rebuilt_item is None and "rebuilds" not in plain.means


def test_maps_are_computed_in_float32_whatever_the_run_did() -> None:
    def half() -> Any:
        return torch.autocast("cpu", torch.bfloat16)

    model = resnet()
    exact, mixed = (
        agreement(made, picture(1), picture(2)) for made in (embedder(model), embedder(model, precision=half))
    )
    assert np.array_equal(exact.item, mixed.item)


class Foreign(nn.Module):
    """A model of another make: it embeds pictures, and offers nothing else."""

    embedding_size = 3

    def embed_images(self, images: Tensor) -> Tensor:
        return nn.functional.normalize(1.1 - images.mean(dim=(2, 3)), dim=1)


def test_a_foreign_model_is_explained_by_covering() -> None:
    found = agreement(embedder(Foreign()), picture(1), picture(2))
    assert found.kind == "covering" and found.item.max() > 0 and embedder(Foreign()).explains


def test_what_cannot_be_explained_is_refused_in_one_sentence() -> None:
    one, other = picture(1), picture(2)
    for refused, said in (
        (lambda: agreement(embedder(clip()), one, other, kind="contributions"), "no sum over places"),
        (lambda: agreement(embedder(resnet()), None, other, "a red shoe"), "has no text tower"),
        (lambda: agreement(embedder(clip()), one, other, "a red shoe"), "exactly one"),
        (lambda: agreement(embedder(clip()), None, other), "exactly one"),
    ):
        with pytest.raises(LensError, match=said) as caught:
            refused()
        assert "\n" not in str(caught.value) and str(caught.value).count(". ") == 0


def test_real_shoes_are_lit_rather_than_the_ground_they_stand_on() -> None:
    folder = Path(os.environ.get("LENS_TEST_DATA", "")) / "shoes" / "images"
    if not os.environ.get("LENS_TEST_DATA") or not folder.is_dir():
        pytest.skip("LENS_TEST_DATA has no shoes/images")
    paths = sorted(folder.glob("*/*.jpg"))[:: max(1, len(list(folder.glob("*/*.jpg"))) // 6)][:6]
    for model in (vit(), resnet(), clip()):
        for here, there in zip(paths[::2], paths[1::2], strict=True):
            photo = load_rgb(here, at_least=SIDE)
            found = agreement(embedder(model), photo, load_rgb(there, at_least=SIDE))
            assert found.query is not None
            lit = np.kron(found.query, np.ones((SIDE // 8, SIDE // 8)))
            shoe = fit_square(photo, SIDE).min(axis=2) < 235
            assert lit[shoe].mean() > 1.5 * lit.mean()
