from typing import Any

import pytest
import torch
from torch import nn

from lens.errors import LensError
from lens.models.autoencoder import Autoencoder, build_network


@pytest.mark.parametrize("size", [16, 32, 48, 64, 112, 224])
def test_any_multiple_of_16_is_rebuilt_at_its_size(size: int) -> None:
    model = Autoencoder(size, channels=(4, 4, 8, 8), embedding_size=6).eval()
    images = torch.rand(2, 3, size, size)
    with torch.inference_mode():
        rebuilt, vectors = model(images), model.embed_images(images)
    assert rebuilt.shape == images.shape
    assert vectors.shape == (2, 6)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(model.reconstruct(images), rebuilt.clamp(0, 1))


def test_pictures_that_are_mostly_white_do_not_end_the_learning() -> None:
    """With a sigmoid at its end the network gave white for ever after, and one embedding for all."""
    torch.manual_seed(1)
    images = torch.ones(64, 3, 32, 32)
    for place, image in enumerate(images):
        image[:, 8 + place % 12 : 12 + place % 12, 4:28] = torch.rand(3, 1, 1)
    model = Autoencoder(32, channels=(8, 8, 16, 16), embedding_size=8)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(400):
        loss = torch.nn.functional.mse_loss(model(images), images)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    white = torch.nn.functional.mse_loss(torch.ones_like(images), images)
    assert loss < white / 2
    assert model.embed_images(images).std(dim=0).max() > 0.05


@pytest.mark.parametrize("size", [50, 8, 0, 100])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(LensError, match=f"image_size={size}.*16"):
        Autoencoder(size)


def test_the_default_network_is_the_specified_one() -> None:
    model = Autoencoder()
    assert model.embedding_size == 128
    layers = [part for part in model.encoder if isinstance(part, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.stride) for c in layers] == [
        (3, 32, (2, 2)), (32, 64, (2, 2)), (64, 128, (2, 2)), (128, 256, (2, 2)),
    ]  # fmt: skip
    up = [part for part in model.decoder if isinstance(part, nn.ConvTranspose2d)]
    assert [(c.in_channels, c.out_channels) for c in up] == [(256, 128), (128, 64), (64, 32), (32, 3)]
    assert sum(isinstance(part, nn.ReLU) for part in model.encoder) == 4
    dense = [part for part in model.encoder if isinstance(part, nn.Linear)]
    assert [(d.in_features, d.out_features) for d in dense] == [(256 * 14 * 14, 128)]


def test_the_loss_is_the_mean_squared_error_of_pixels() -> None:
    model = Autoencoder(16, channels=(4, 4, 8, 8), embedding_size=6)
    model.log = lambda *_, **__: None  # type: ignore[method-assign]
    images = torch.rand(3, 3, 16, 16)
    loss = model.training_step({"image": images}, 0)
    torch.testing.assert_close(loss, ((model(images) - images) ** 2).mean())
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_weights(tmp_path: Any) -> None:
    small = {"image_size": 16, "channels": (4, 4, 8, 8), "embedding_size": 6}
    network = build_network(16, (4, 4, 8, 8), 6)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    model = Autoencoder(**small, weights=str(tmp_path / "w.pt"))
    assert model.weights_source == "local"
    torch.testing.assert_close(model.encoder.state_dict(), network["encoder"].state_dict())
    with pytest.raises(LensError, match="w.pt.*do not fit"):
        Autoencoder(32, channels=(4, 4, 8, 8), embedding_size=6, weights=str(tmp_path / "w.pt"))
    with pytest.raises(LensError, match="pretrained"):
        Autoencoder(**small, weights="pretrained")
    with pytest.raises(LensError, match="no such file"):
        Autoencoder(**small, weights=str(tmp_path / "none"))
