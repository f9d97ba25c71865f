from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lens.errors import LensError
from lens.models.resnet import TripletResNet, tiny_resnet

IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def batch(labels: list[int]) -> dict[str, Any]:
    images = torch.rand(len(labels), 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return {"image": images, "category": torch.tensor(labels), "product": torch.arange(len(labels)) // 2}


def silent(model: Any) -> dict[str, Any]:
    """Without a trainer; returns what the model logs."""
    logged: dict[str, Any] = {}
    model.log = lambda name, value, **_: logged.update({name: float(value)})
    return logged


@pytest.mark.parametrize(("architecture", "size"), [("tiny", 256), ("resnet18", 512), ("resnet50", 2048)])
def test_embeddings_are_unit_vectors(architecture: Any, size: int) -> None:
    model = TripletResNet(architecture, "random").eval()
    with torch.inference_mode():
        vectors = model.embed_images(IMAGES)
    assert vectors.shape == (4, size) == (4, model.embedding_size)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))
    assert model.weights_source == "random" and model.reconstruct(IMAGES) is None


def test_an_embedding_does_not_depend_on_the_batch_mates() -> None:
    model = TripletResNet("tiny", "random").eval()
    torch.testing.assert_close(
        model.embed_images(IMAGES)[2:3], model.embed_images(IMAGES[2:3]), atol=1e-6, rtol=0
    )


def test_the_mining_schedule_is_walked_through_once() -> None:
    model = TripletResNet("tiny", "random", mining=["batch_all", "semi_hard", "batch_hard"])
    seen = []
    for step in range(10):
        model._trainer = SimpleNamespace(estimated_stepping_batches=9, global_step=step)  # type: ignore[assignment]
        seen.append(model._mining_now())
    assert seen == ["batch_all"] * 3 + ["semi_hard"] * 3 + ["batch_hard"] * 4
    assert model.mining[-1] == "batch_hard"


def test_relevance_chooses_the_label() -> None:
    logs = []
    for relevance in ("category", "product"):
        torch.manual_seed(0)
        model = TripletResNet("tiny", "random", relevance=relevance).eval()  # type: ignore[arg-type]
        logs.append(silent(model))
        model.validation_step(batch([0, 1, 0, 1]), 0)
    assert {"val/loss", "val/active_fraction", "val/d_pos", "val/d_neg"} <= set(logs[0])
    assert logs[0]["val/d_pos"] != logs[1]["val/d_pos"]


def test_the_loss_trains_the_whole_network() -> None:
    model = TripletResNet("tiny", "random")
    silent(model)
    model._loss(batch([0, 0, 1, 1]), "train", "batch_all").backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_the_decoder_is_an_option_that_adds_a_loss() -> None:
    torch.manual_seed(0)
    model = TripletResNet("tiny", "random", reconstruction_weight=0.5)
    logged = silent(model)
    loss = model._loss(batch([0, 0, 1, 1]), "train", "batch_all")
    loss.backward()
    assert logged["train/reconstruction_loss"] > 0
    assert all(p.grad is not None for p in model.decoder.parameters())
    for size in (32, 64, 96):
        rebuilt = model.reconstruct(torch.rand(2, 3, size, size))
        assert rebuilt.shape == (2, 3, size, size) and 0 <= rebuilt.min() and rebuilt.max() <= 1


def test_local_weights_are_read_and_a_classifier_in_them_is_left_out(tmp_path: Any) -> None:
    torch.manual_seed(3)
    source = tiny_resnet()
    state = source.state_dict() | {"fc.weight": torch.zeros(3, 256), "fc.bias": torch.zeros(3)}
    torch.save(state, tmp_path / "w.pt")
    model = TripletResNet("tiny", str(tmp_path / "w.pt"))
    assert model.weights_source == "local"
    torch.testing.assert_close(model.network.state_dict(), source.state_dict())


def test_weights_that_do_not_fit_are_a_sentence(tmp_path: Any) -> None:
    with pytest.raises(LensError, match="no such file"):
        TripletResNet("tiny", str(tmp_path / "none.pt"))
    torch.save({"layer9.weight": torch.zeros(1)}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no weights")
    for name in ("other.pt", "text.pt"):
        with pytest.raises(LensError, match=f"model.weights=.*{name}.*do not fit"):
            TripletResNet("tiny", str(tmp_path / name))
