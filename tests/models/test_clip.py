import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from lens.errors import LensError
from lens.models.clip import ContrastiveCLIP
from lens.models.tokens import Tokens

TEXTS = ["a red shoe", "a long and rather winding description of one blue boot", "a boot"]
CAPTIONS = [[*TEXTS], ["a photo of a boot", "boot", "blue boot"], ["sandal"], ["a sandal", "red"]]
SMALL = {
    "image_size": 32, "patch_size": 16, "vision_size": 16, "vision_layers": 1, "vision_heads": 2, "text_size": 16,
    "text_layers": 2, "text_heads": 2, "context": 16, "projection_size": 8, "weights": "random",
}  # fmt: skip


def small(tokens: bool = True, **more: Any) -> ContrastiveCLIP:
    torch.manual_seed(0)
    model = ContrastiveCLIP(**(SMALL | more))
    if tokens:
        model.tokens = Tokens.train([text for item in CAPTIONS for text in item])
    model.log = lambda *_, **__: None  # type: ignore[method-assign]
    return model


def batch() -> dict[str, Any]:
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 1, 1])
    return {"image": images, "category": labels, "product": torch.arange(4), "index": torch.tensor([7, 3, 9, 1]),
            "captions": CAPTIONS}  # fmt: skip


def test_both_towers_give_unit_vectors_of_one_size() -> None:
    model = small().eval()
    with torch.inference_mode():
        images, texts = model.embed_images(batch()["image"]), model.embed_texts(TEXTS)
    assert images.shape == (4, 8) and texts.shape == (3, 8) and model.embedding_size == 8
    torch.testing.assert_close(images.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(3))


def test_a_text_means_the_same_alone_and_beside_longer_ones() -> None:
    model = small().eval()
    together = model.embed_texts(TEXTS)
    for place, text in enumerate(TEXTS):
        torch.testing.assert_close(model.embed_texts([text])[0], together[place], atol=1e-6, rtol=0)
    assert not torch.allclose(together[0], together[2], atol=1e-3)


def test_a_text_longer_than_the_context_is_cut_and_keeps_its_end_token() -> None:
    model = small().eval()
    long = "boot " * 200
    ids, mask = model.tokens.encode([long], model.context)
    assert ids.shape == (1, 16) and mask.all()
    assert int(ids[0, -1]) == model.tokens.tokenizer.token_to_id("<|endoftext|>")
    torch.testing.assert_close(model.embed_texts([long]), model.embed_texts([long + "sandal"]))


def reference(model: ContrastiveCLIP, data: dict[str, Any], targets: str) -> float:
    """Every picture with every caption, in loops."""
    images = model.embed_images(data["image"])
    texts = [(row, text) for row, item in enumerate(data["captions"]) for text in item]
    vectors = torch.stack([model.embed_texts([text])[0] for _, text in texts])
    logits = images @ vectors.T * model.network.logit_scale.exp()

    def belongs(image: int, text: int) -> bool:
        owner = texts[text][0]
        return (
            owner == image
            if targets == "diagonal"
            else bool(data["category"][owner] == data["category"][image])
        )

    def one_way(scores: torch.Tensor, swap: bool) -> float:
        total = 0.0
        for row in range(len(scores)):
            right = [c for c in range(scores.shape[1]) if (belongs(c, row) if swap else belongs(row, c))]
            total -= float(torch.log_softmax(scores[row], 0)[right].mean())
        return total / len(scores)

    return (one_way(logits, False) + one_way(logits.T, True)) / 2


@pytest.mark.parametrize("targets", ["label", "diagonal"])
def test_all_captions_take_part_in_the_loss(targets: str) -> None:
    model = small(targets=targets).eval()
    data = batch()
    loss = model._loss(data, "val")
    assert float(loss) == pytest.approx(reference(model, data, targets), abs=1e-5)
    fewer = data | {"captions": [item[:1] for item in CAPTIONS]}
    assert float(model._loss(fewer, "val")) != pytest.approx(float(loss), abs=1e-4)


def test_relevance_chooses_the_label() -> None:
    by_product = small(relevance="product").eval()._loss(batch(), "val")
    assert float(by_product) == pytest.approx(
        float(small(targets="diagonal").eval()._loss(batch(), "val")), abs=1e-6
    )


def test_frozen_parts_get_no_gradient_and_stand_in_no_group(tmp_path: Path) -> None:
    saved(tmp_path)
    model = small(freeze=["text", "vision_projection"], weights=str(tmp_path))
    model._loss(batch(), "train").backward()
    for name, parameter in model.network.named_parameters():
        frozen = name.startswith(("text_model", "visual_projection"))
        assert parameter.requires_grad != frozen and (parameter.grad is None) == frozen, name


def test_from_random_weights_nothing_is_frozen_or_slowed_and_that_is_said(caplog: Any) -> None:
    model = small(freeze=["text"], vision_learning_rate=1e-5, learning_rate=1e-3)
    assert not caplog.text
    assert all(parameter.requires_grad for parameter in model.network.parameters())
    model._trainer = SimpleNamespace(estimated_stepping_batches=10)  # type: ignore[assignment]
    with caplog.at_level(logging.WARNING):
        groups = model.configure_optimizers()["optimizer"].param_groups
    assert {group["lr"] for group in groups} == {1e-3} and "random weights" in caplog.text


def test_a_convolutional_stem_makes_the_same_patches_and_is_kept_in_a_checkpoint() -> None:
    model = small(stem="convolutions").eval()
    patches = model.network.vision_model.embeddings.patch_embedding(batch()["image"])
    assert patches.shape == (4, 16, 2, 2)
    again = small(stem="convolutions").eval()
    checkpoint: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(checkpoint)
    again.on_load_checkpoint(checkpoint)
    again.load_state_dict(checkpoint["state_dict"])
    with torch.inference_mode():
        torch.testing.assert_close(again.embed_images(batch()["image"]), model.embed_images(batch()["image"]))
    with pytest.raises(LensError, match="power of two"):
        small(stem="convolutions", image_size=36, patch_size=12)
    with pytest.raises(LensError, match="from scratch"):
        small(stem="convolutions", weights="pretrained")


def test_a_checkpoint_brings_the_vocabulary_and_activation_of_local_weights(tmp_path: Path) -> None:
    saved(tmp_path, vocab_size=600, hidden_act="gelu")
    trained = small(tokens=False, weights=str(tmp_path)).eval()
    checkpoint: dict[str, Any] = {"state_dict": trained.state_dict()}
    trained.on_save_checkpoint(checkpoint)
    rebuilt = small(
        tokens=False
    ).eval()  # as an evaluation builds it: sizes from the configuration, no weights
    rebuilt.on_load_checkpoint(checkpoint)
    rebuilt.load_state_dict(checkpoint["state_dict"])
    with torch.inference_mode():
        assert torch.equal(rebuilt.eval().embed_texts(TEXTS), trained.embed_texts(TEXTS))


def test_towers_have_their_own_rates(tmp_path: Path) -> None:
    saved(tmp_path)
    model = small(
        learning_rate=1e-3, vision_learning_rate=1e-5, text_learning_rate=1e-4, freeze=["text_projection"],
        weights=str(tmp_path),
    )  # fmt: skip
    model._trainer = SimpleNamespace(estimated_stepping_batches=10)  # type: ignore[assignment]
    groups = model.configure_optimizers()["optimizer"].param_groups
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    for name, parameter in model.network.named_parameters():
        wanted = (
            1e-5 if name.startswith("vision_model.") else 1e-4 if name.startswith("text_model.") else 1e-3
        )
        assert rate.get(id(parameter)) == (None if name.startswith("text_projection") else wanted), name


@pytest.mark.parametrize("learnt", [True, False])
def test_the_temperature_is_learnt_or_fixed(learnt: bool) -> None:
    model = small(temperature=0.05, learn_temperature=learnt)
    assert model.network.logit_scale.exp().item() == pytest.approx(20)
    model._trainer = SimpleNamespace(estimated_stepping_batches=10)  # type: ignore[assignment]
    held = [
        id(p) for group in model.configure_optimizers()["optimizer"].param_groups for p in group["params"]
    ]
    assert (id(model.network.logit_scale) in held) == learnt
    model._loss(batch(), "train").backward()
    assert (model.network.logit_scale.grad is not None) == learnt


def test_the_temperature_is_kept_in_its_limits() -> None:
    model = small()
    for value, wanted in ((9.0, math.log(100)), (-1.0, 0.0)):
        model.network.logit_scale.data.fill_(value)
        model.on_train_batch_start(None, 0)
        assert model.network.logit_scale.item() == pytest.approx(wanted)


def test_the_vocabulary_comes_from_the_training_captions_and_lives_in_the_checkpoint() -> None:
    model = small(tokens=False)
    with pytest.raises(ValueError, match="vocabulary"):
        model.embed_texts(TEXTS)
    datamodule = SimpleNamespace(train_captions=lambda: [text for item in CAPTIONS for text in item])
    model._trainer = SimpleNamespace(datamodule=datamodule)  # type: ignore[assignment]
    model.setup("fit")
    checkpoint: dict[str, Any] = {}
    model.on_save_checkpoint(checkpoint)
    other = small(tokens=False)
    other.load_state_dict(model.state_dict())
    other.on_load_checkpoint(checkpoint)
    torch.testing.assert_close(other.eval().embed_texts(TEXTS), model.eval().embed_texts(TEXTS))


def test_no_token_lies_beyond_the_embedding_table() -> None:
    model = small()
    words = [
        f"{a}{b}{c}{d} "
        for a in "abcdefghk"
        for b in "lmnopqrstu"
        for c in "vwxyzaeiou"
        for d in "bcdfghjklm"
    ]
    tokens = Tokens.train([word for word in words for _ in range(3)])
    rows = model.network.text_model.embeddings.token_embedding.num_embeddings
    assert tokens.tokenizer.get_vocab_size() <= rows


def test_unknown_letters_and_empty_texts_are_texts_too() -> None:
    vectors = small().eval().embed_texts(["", "ボート", "🥾 Übergröße"])
    assert torch.isfinite(vectors).all()


def saved(folder: Path, **more: Any) -> tuple[CLIPModel, PreTrainedTokenizerFast]:
    tower = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 64}
    config = CLIPConfig(
        vision_config=tower | {"num_hidden_layers": 1, "image_size": 32, "patch_size": 16},
        text_config=tower | {"num_hidden_layers": 2, "max_position_embeddings": 16} | more,
        projection_dim=8,
    )
    network = CLIPModel(config)
    network.save_pretrained(folder)
    bpe = Tokens.train([text for item in CAPTIONS for text in item]).tokenizer
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|endoftext|>", bos_token="<|startoftext|>"
    )
    tokenizer.save_pretrained(folder)
    return network, tokenizer


def test_local_weights_come_with_their_vocabulary(tmp_path: Path) -> None:
    network, tokenizer = saved(tmp_path)
    model = small(tokens=False, weights=str(tmp_path)).eval()
    assert model.weights_source == "local" and not model.tokens.empty
    ids, _ = model.tokens.encode(TEXTS, 16)
    assert ids[0].tolist()[: len(tokenizer(TEXTS[0])["input_ids"])] == tokenizer(TEXTS[0])["input_ids"]
    mine, theirs = model.network.state_dict(), network.state_dict()
    assert all(torch.equal(mine[name], value) for name, value in theirs.items() if name != "logit_scale")
    assert model.network.logit_scale.exp().item() == pytest.approx(1 / 0.07)


@pytest.mark.parametrize(
    "wrong",
    [{"vision_size": 32}, {"projection_size": 12}, {"text_layers": 1}, {"context": 20}, {"text_heads": 4}],
)
def test_weights_of_another_shape_are_a_sentence(wrong: dict[str, int], tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(LensError, match="model.weights"):
        small(tokens=False, weights=str(tmp_path), **wrong)


def test_a_folder_without_a_vocabulary_is_a_sentence(tmp_path: Path) -> None:
    saved(tmp_path)
    for file in tmp_path.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(LensError, match="model.weights"):
        small(tokens=False, weights=str(tmp_path))
    with pytest.raises(LensError, match="no such file"):
        small(tokens=False, weights=str(tmp_path / "none"))
