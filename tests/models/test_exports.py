"""Folders for transformers: it reads them, and so does `model.weights`."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoTokenizer, CLIPModel, ViTModel

from lens.config import TrainConfig, check, compose_file, plain
from lens.errors import LensError
from lens.models.clip import ContrastiveCLIP
from lens.models.exports import several
from lens.models.tokens import Tokens
from lens.models.vit import MaskedPatchViT

TEXTS = ["a red boot", "boot", "a sandal with three straps and a very long description of each of them"]
CLIP = {
    "image_size": 32, "patch_size": 16, "vision_size": 16, "vision_layers": 1, "vision_heads": 2, "text_size": 16,
    "text_layers": 2, "text_heads": 2, "context": 12, "projection_size": 8,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quiet(quiet_lightning: None) -> None:
    pass


def images() -> torch.Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def clip() -> ContrastiveCLIP:
    torch.manual_seed(0)
    model = ContrastiveCLIP(**CLIP, weights="random", export="pretrained")  # type: ignore[arg-type]
    model.tokens = Tokens.train(TEXTS * 3)
    return model.eval()


@torch.inference_mode()
def test_a_vit_comes_back_from_its_folder_and_transformers_reads_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MaskedPatchViT(32, 8, 16, layers=2, heads=2, weights="random").eval()
    model.save_pretrained(tmp_path)
    again = MaskedPatchViT(32, 8, 16, layers=2, heads=2, weights=str(tmp_path)).eval()
    assert again.weights_source == "local"
    assert torch.equal(again.embed_images(images()), model.embed_images(images()))
    theirs = ViTModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
    tokens = theirs(pixel_values=images() * 2 - 1).last_hidden_state[:, 1:]
    torch.testing.assert_close(F.normalize(tokens.mean(1), dim=1), model.embed_images(images()))


@torch.inference_mode()
def test_a_clip_comes_back_with_its_vocabulary(tmp_path: Path) -> None:
    model = clip()
    model.save_pretrained(tmp_path)
    again = ContrastiveCLIP(**CLIP, weights=str(tmp_path)).eval()  # type: ignore[arg-type]
    assert torch.equal(again.embed_images(images()), model.embed_images(images()))
    assert torch.equal(again.embed_texts(TEXTS), model.embed_texts(TEXTS))


@torch.inference_mode()
def test_transformers_reads_a_clip_and_gives_the_same_vectors(tmp_path: Path) -> None:
    model = clip()
    model.save_pretrained(tmp_path)
    theirs, words = CLIPModel.from_pretrained(tmp_path).eval(), AutoTokenizer.from_pretrained(tmp_path)
    pixels = (images() - model.mean) / model.std  # type: ignore[operator]
    found = F.normalize(theirs.get_image_features(pixel_values=pixels).pooler_output, dim=1)
    torch.testing.assert_close(found, model.embed_images(images()))
    for text in TEXTS:  # alone and, below, padded beside longer ones
        given = words([text], truncation=True, return_tensors="pt")
        alone = F.normalize(theirs.get_text_features(**given).pooler_output, dim=1)
        torch.testing.assert_close(alone, model.embed_texts([text]), atol=1e-5, rtol=0)
    given = words(TEXTS, truncation=True, padding=True, return_tensors="pt")
    padded = F.normalize(theirs.get_text_features(**given).pooler_output, dim=1)
    torch.testing.assert_close(padded, model.embed_texts(TEXTS), atol=1e-5, rtol=0)


def test_a_clip_without_a_vocabulary_is_not_saved(tmp_path: Path) -> None:
    model = ContrastiveCLIP(**CLIP, weights="random")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="vocabulary"):
        model.save_pretrained(tmp_path / "clip")
    assert not (tmp_path / "clip").exists()


def test_what_transformers_cannot_hold_is_said_before_anything_is_trained() -> None:
    with pytest.raises(LensError, match="stem=convolutions.*model.export=onnx"):
        ContrastiveCLIP(**CLIP, stem="convolutions", weights="random", export=["onnx", "pretrained"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "meant"),
    [(None, ()), ("onnx", ("onnx",)), ([], ()), (["pretrained", "onnx", "onnx"], ("pretrained", "onnx"))],
)
def test_the_setting_is_none_one_or_several(given: Any, meant: tuple[str, ...]) -> None:
    assert several(given) == meant


FORMS = {
    "resnet": {"onnx"},
    "autoencoder": {"onnx"},
    "vit": {"onnx", "pretrained"},
    "clip": {"onnx", "pretrained"},
}


@pytest.mark.parametrize("size", ["", "_tiny"])
@pytest.mark.parametrize("model", list(FORMS))
@pytest.mark.parametrize("form", ["onnx", "pretrained", "[onnx,pretrained]", "tensorrt"])
def test_each_model_takes_the_forms_it_has(model: str, size: str, form: str) -> None:
    conf = Path(__file__).parents[2] / "conf"
    cfg = compose_file(conf, "train", ["model_name=x", f"model={model}{size}", f"model.export={form}"])
    if set(form.strip("[]").split(",")) <= FORMS[model]:
        check(cfg, TrainConfig)
        assert plain(cfg)["model"]["export"] in (form, form.strip("[]").split(","))
    else:
        with pytest.raises(LensError, match="model.export"):
            check(cfg, TrainConfig)
