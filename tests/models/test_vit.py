from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize
from transformers import CLIPConfig, CLIPModel, ViTConfig, ViTModel

from lens.errors import LensError
from lens.losses.masked_patch import patch_targets
from lens.models.vit import MaskedPatchViT

IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def small(**more: Any) -> MaskedPatchViT:
    torch.manual_seed(0)
    model = MaskedPatchViT(**({"image_size": 32, "patch_size": 8, "hidden_size": 16, "layers": 2, "heads": 2,
                               "weights": "random"} | more))  # fmt: skip
    model.log = lambda *_, **__: None  # type: ignore[method-assign]
    return model


def test_the_embedding_is_the_mean_patch_of_the_unmasked_picture() -> None:
    model = small().eval()
    with torch.inference_mode():
        vectors = model.embed_images(IMAGES)
        tokens = model.network(IMAGES * 2 - 1).last_hidden_state
    assert vectors.shape == (4, 16) and tokens.shape == (4, 17, 16)
    torch.testing.assert_close(vectors, normalize(tokens[:, 1:].mean(1), dim=1))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(vectors, model.embed_images(IMAGES)), "nothing random in it"


def test_the_classification_token_gets_no_gradient_from_the_last_layer_and_patches_do() -> None:
    model = small()
    kept: list[torch.Tensor] = []

    def keep(_: Any, __: Any, output: Any) -> None:
        output.last_hidden_state.retain_grad()
        kept.append(output.last_hidden_state)

    model.network.register_forward_hook(keep)
    model.training_step({"image": IMAGES}, 0).backward()
    gradient = kept[0].grad
    assert torch.count_nonzero(gradient[:, 0]) == 0 and torch.count_nonzero(gradient[:, 1:]) > 0
    assert model.network.embeddings.mask_token.grad.abs().sum() > 0
    assert model.network.pooler is None


def test_29_of_196_patches_are_hidden_and_only_these_are_judged() -> None:
    model = small(image_size=224, patch_size=16)
    seen: dict[str, Any] = {}
    model.network.register_forward_pre_hook(lambda _, __, given: seen.update(given), with_kwargs=True)
    images = torch.rand(2, 3, 224, 224)
    model.training_step({"image": images}, 0)
    assert seen["bool_masked_pos"].shape == (2, 196) and seen["bool_masked_pos"].sum(1).tolist() == [29, 29]


def test_training_hides_other_patches_each_time_and_evaluation_the_same() -> None:
    model = small().eval()
    batch = {"image": IMAGES}
    assert model.validation_step(batch, 0) == model.validation_step(batch, 0)
    assert model.training_step(batch, 0) != model.training_step(batch, 0)
    state = torch.get_rng_state()
    model.validation_step(batch, 0)
    assert torch.equal(state, torch.get_rng_state()), "evaluation draws from the training's numbers"


def test_the_hidden_patches_are_the_ones_that_were_not_seen_and_the_prediction_is_the_decoders() -> None:
    model = small(mask_ratio=0.25).eval()
    hidden, predicted = model.masked_patches(IMAGES)
    assert hidden.dtype == torch.bool and hidden.shape == (4, 32, 32) and predicted.shape == IMAGES.shape
    patches = hidden.unfold(1, 8, 8).unfold(2, 8, 8).flatten(3)
    assert (
        torch.equal(patches.any(3), patches.all(3)) and patches.all(3).flatten(1).sum(1).tolist() == [4] * 4
    )
    mask = patches.all(3).flatten(1)
    torch.testing.assert_close(patch_targets(predicted, 8), model.decoder(model(IMAGES, mask)))
    changed = torch.where(hidden[:, None], 1 - IMAGES, IMAGES)
    torch.testing.assert_close(model.masked_patches(changed)[1], predicted), "it saw what is called hidden"
    assert small(normalise_targets=True).masked_patches(IMAGES) is None


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"image_size": 30}, "image_size=30.*patch_size=8"),
        ({"heads": 3}, "hidden_size=16.*heads=3"),
        ({"mask_ratio": 0.0}, "mask_ratio"),
        ({"mask_ratio": 0.01}, "mask_ratio"),
        ({"mask_ratio": 1.0}, "mask_ratio"),
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LensError, match=sentence):
        small(**wrong)


def saved(folder: Path, **more: Any) -> ViTModel:
    config = ViTConfig(image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                       intermediate_size=64, **more)  # fmt: skip
    network = ViTModel(config)  # as published: with a pooler, without a mask token
    network.save_pretrained(folder)
    return network


def test_local_weights_are_read(tmp_path: Path) -> None:
    source = saved(tmp_path)
    model = small(weights=str(tmp_path))
    assert model.weights_source == "local"
    mine = model.network.state_dict()
    wanted = {name: value for name, value in source.state_dict().items() if not name.startswith("pooler")}
    assert set(mine) - set(wanted) == {"embeddings.mask_token"}
    assert all(torch.equal(mine[name], value) for name, value in wanted.items())


def test_positions_of_another_image_size_are_interpolated(tmp_path: Path) -> None:
    source = saved(tmp_path).eval()
    model = small(weights=str(tmp_path), image_size=48).eval()
    assert model.weights_source == "local"
    images = torch.rand(2, 3, 48, 48)
    with torch.inference_mode():
        expected = source(images * 2 - 1, interpolate_pos_encoding=True).last_hidden_state[:, 1:]
        torch.testing.assert_close(model(images), expected)
    rebuilt = small(image_size=48)  # as an evaluation builds it
    rebuilt.load_state_dict(model.state_dict())


def test_weights_of_another_shape_or_kind_are_a_sentence(tmp_path: Path) -> None:
    saved(tmp_path / "vit")
    with pytest.raises(LensError, match="hidden_size=16.*hidden_size=32"):
        small(weights=str(tmp_path / "vit"), hidden_size=32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LensError, match="empty.*do not fit"):
        small(weights=str(tmp_path / "empty"))
    with pytest.raises(LensError, match="no such file"):
        small(weights=str(tmp_path / "none"))


def test_weights_of_another_network_with_the_same_sizes_are_not_taken_for_a_vit(tmp_path: Path) -> None:
    tower = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    network = CLIPModel(
        CLIPConfig(vision_config=tower | {"image_size": 32, "patch_size": 8}, text_config=tower)
    )
    network.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(ViTConfig(image_size=32, patch_size=8, **tower).to_json_string())
    with pytest.raises(LensError, match="do not fit"):
        small(weights=str(tmp_path))
