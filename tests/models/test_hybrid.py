"""Hybrids: their cosines, their weights, their checkpoints, and a whole training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.config import build
from lens.errors import LensError
from lens.metrics import retrieval_scores
from lens.models.clip import ContrastiveCLIP
from lens.models.hybrid import Hybrid, Member
from lens.models.resnet import TripletResNet
from lens.models.shares import choose_weights
from lens.models.tokens import Tokens

CLIP = {
    "image_size": 32, "patch_size": 8, "vision_size": 16, "vision_layers": 1, "vision_heads": 2, "text_size": 16,
    "text_layers": 1, "text_heads": 2, "context": 16, "projection_size": 8, "weights": "random",
}  # fmt: skip


def members() -> list[Member]:
    torch.manual_seed(0)
    clip, resnet = ContrastiveCLIP(**CLIP), TripletResNet("tiny", "random")  # type: ignore[arg-type]
    clip.tokens = Tokens.train(["a red shoe", "a blue boot"])
    return [
        Member(clip.eval(), "clip", "1" * 32, 32, {"_target_": "lens.models.clip.ContrastiveCLIP", **CLIP}),
        Member(
            resnet.eval(),
            "resnet",
            "2" * 32,
            64,
            {"_target_": "lens.models.resnet.TripletResNet", "architecture": "tiny", "weights": "random"},
        ),
    ]


def hybrid(*weights: float) -> Hybrid:
    made = Hybrid(members(), build).eval()
    with torch.no_grad():
        made.weights.copy_(torch.tensor(weights))
    return made


@settings(max_examples=15, deadline=None)
@given(share=st.floats(0, 1), seed=st.integers(0, 1000))
def test_its_cosine_is_the_weighted_sum_of_its_members_cosines(share: float, seed: int) -> None:
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
    made = hybrid(share, 1 - share)
    clip, resnet = made.members
    small = torch.nn.functional.interpolate(images, (32, 32), mode="bilinear", antialias=True)
    with torch.no_grad():
        together, a, b = made.embed_images(images), clip.embed_images(small), resnet.embed_images(images)
    assert together.shape == (3, made.embedding_size) == (3, 8 + 256)
    assert torch.allclose(together @ together.T, share * (a @ a.T) + (1 - share) * (b @ b.T), atol=1e-5)


def test_a_text_meets_only_the_members_that_read() -> None:
    made = hybrid(0.3, 0.7)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        texts = made.embed_texts(["a red shoe"])
        own = made.members[0].embed_texts(["a red shoe"])
        small = torch.nn.functional.interpolate(images, (32, 32), mode="bilinear", antialias=True)
        expected = 0.3**0.5 * own @ made.members[0].embed_images(small).T
        assert torch.allclose(texts @ made.embed_images(images).T, expected, atol=1e-5)
    assert torch.allclose(texts.norm(dim=1), torch.ones(1)) and made.takes_texts
    deaf = hybrid(0.0, 1.0)
    assert not deaf.takes_texts
    with pytest.raises(ValueError, match="text tower"):
        deaf.embed_texts(["a red shoe"])


def test_a_checkpoint_brings_its_members_along(tmp_path: Path) -> None:
    made = hybrid(0.25, 0.75)
    checkpoint: dict[str, Any] = {"state_dict": made.state_dict()}
    made.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "best.ckpt")
    read = torch.load(tmp_path / "best.ckpt", weights_only=True)
    again = Hybrid([], build)
    again.on_load_checkpoint(read)
    again.load_state_dict(read["state_dict"])
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again.eval().embed_images(images), made.embed_images(images))
        assert torch.equal(again.embed_texts(["a blue boot"]), made.embed_texts(["a blue boot"]))


def noisy(labels: np.ndarray, noise: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    vectors = np.eye(labels.max() + 1, 12)[labels] + noise * random.normal(size=(len(labels), 12))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("normalise", [True, False])
def test_the_weights_are_never_worse_than_a_member_alone(normalise: bool) -> None:
    labels, ids = np.arange(120) % 6, np.arange(120)
    parts = [noisy(labels, 0.5, 0), noisy(labels, 0.55, 1), noisy(labels, 3.0, 2)]
    weights = choose_weights(parts, labels, ids, np.full(120, ""), normalise=normalise, metric="map_at_r")
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all() and weights[2] < 0.3
    joined = np.concatenate([np.sqrt(w) * part for w, part in zip(weights, parts, strict=True)], axis=1)
    alone = max(retrieval_scores(part, labels, ids).metrics["map_at_r"] for part in parts)
    assert retrieval_scores(joined.astype(np.float32), labels, ids).metrics["map_at_r"] > alone + 0.05


def test_a_model_of_close_cosines_is_heard_when_they_are_standardised() -> None:
    labels, ids = np.arange(120) % 6, np.arange(120)
    wide = noisy(labels, 0.5, 0)
    narrow = np.hstack([np.full((120, 1), 3.0), noisy(labels, 0.5, 1)])
    narrow = (narrow / np.linalg.norm(narrow, axis=1, keepdims=True)).astype(np.float32)
    weights = choose_weights([wide, narrow], labels, ids, np.full(120, ""), normalise=True, metric="map_at_r")
    assert weights[1] > 0.8


def test_nothing_to_choose_by_is_said() -> None:
    parts = [noisy(np.arange(6), 0.1, 0)] * 2
    with pytest.raises(LensError, match="no weights can be chosen"):
        choose_weights(parts, np.arange(6), np.arange(6), np.full(6, ""), normalise=True, metric="map_at_r")


def test_other_data_and_other_sizes_are_refused() -> None:
    made = Hybrid(members(), build, fingerprint="a" * 64)
    with pytest.raises(LensError, match="on the data of its members"):
        made.check_data({"fingerprint": "b" * 64}, 64)
    with pytest.raises(LensError, match=r"give data\.image_size=64"):
        made.check_data({"fingerprint": "a" * 64}, 32)
    made.check_data({"fingerprint": "a" * 64}, 64)


def test_members_stay_as_they_were_trained() -> None:
    made = Hybrid(members(), build)
    assert not any(parameter.requires_grad for parameter in made.parameters())


def test_a_member_s_mean_is_taken_away_before_it_is_weighed() -> None:
    made = hybrid(0.0, 1.0)
    images = torch.rand(6, 3, 64, 64)
    with torch.no_grad():
        own = made.members[1].embed_images(images)
        made.means[1].copy_(own.mean(dim=0))
        centred = torch.nn.functional.normalize(own - own.mean(dim=0), dim=1)
        assert torch.allclose(
            made.embed_images(images) @ made.embed_images(images).T, centred @ centred.T, atol=1e-5
        )
