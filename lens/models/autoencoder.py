"""Convolutional autoencoder: the picture is rebuilt from 128 numbers, and these numbers are the embedding."""

from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lens.errors import LensError
from lens.models.exports import Onnx, several
from lens.models.logs import log_step
from lens.models.optim import Optimization, OptimizerName, Schedule
from lens.models.weights import load_or_fall_back


class Autoencoder(pl.LightningModule):
    """Four strided convolutions with ReLU, a dense bottleneck, and a mirrored ConvTranspose decoder; MSE on pixels.

    Args:
        image_size: height and width of the pictures in pixels, divisible by 16.
        channels: feature maps after each of the four convolutions.
        embedding_size: size of the bottleneck.
        weights: ``random``, or the path of a state_dict; none are published for this network.
        export: ``onnx``: a run also writes the embedder in this form.
    """

    def __init__(
        self,
        image_size: int = 224,
        channels: tuple[int, int, int, int] = (32, 64, 128, 256),
        embedding_size: int = 128,
        weights: str = "random",
        learning_rate: float = 1e-4,
        optimizer: OptimizerName = "adam",
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        schedule: Schedule = "constant",
        export: list[Onnx] | Onnx | None = None,
    ) -> None:
        super().__init__()
        self.export = several(export)
        if image_size < 16 or image_size % 16:
            raise LensError(
                f"model.image_size={image_size}: the autoencoder needs a multiple of 16, e.g. 64 or 224."
            )
        self.image_size, self.embedding_size = image_size, embedding_size
        self.optimization = Optimization(learning_rate, optimizer, weight_decay, warmup_steps, schedule)
        if weights == "pretrained":
            raise LensError(
                "model.weights=pretrained: no weights are published for the autoencoder; give random or a path."
            )
        network, self.weights_source = load_or_fall_back(
            weights,
            random=lambda: build_network(image_size, tuple(channels), embedding_size),
            local=lambda path: _with_state(build_network(image_size, tuple(channels), embedding_size), path),
            pretrained=lambda _: build_network(image_size, tuple(channels), embedding_size),
            name="autoencoder",
            url="",
        )
        self.encoder, self.decoder = network["encoder"], network["decoder"]

    def forward(self, images: Tensor) -> Tensor:
        """The reconstruction [B, 3, H, W] of images of the same shape; nearly within [0, 1], as they are."""
        return self.decoder(self._encode(images)).float()

    def _encode(self, images: Tensor) -> Tensor:
        centred = images * 2 - 1
        return self.encoder(centred.contiguous(memory_format=torch.channels_last))

    def embed_images(self, images: Tensor) -> Tensor:
        """Unit vectors [B, D] of images [B, 3, H, W], float in [0, 1]."""
        return F.normalize(self._encode(images).float(), dim=1)

    def local_features(self, images: Tensor) -> Tensor:
        """Places [B, h, w, D] of images [B, 3, H, W] whose sum over h and w is their embedding, exactly.

        The bottleneck is linear in the last feature map, and has weights of its own for each place: a place is its
        features times these, with an equal share of the bias.
        """
        *convolutions, _, dense = self.encoder.children()
        features = (images * 2 - 1).contiguous(memory_format=torch.channels_last)
        for part in convolutions:
            features = part(features)
        channels, rows, columns = features.shape[1:]
        weight = cast(nn.Linear, dense).weight.unflatten(1, (channels, rows, columns))
        places = torch.einsum("bchw,dchw->bhwd", features, weight).float()
        places = places + cast(nn.Linear, dense).bias / (rows * columns)
        return places / places.sum(dim=(1, 2), keepdim=True).norm(dim=3, keepdim=True).clamp(min=1e-12)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] rebuilt, in [0, 1]."""
        return self(images).clamp(0, 1)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return self._loss(batch, "train")

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return self._loss(batch, "val")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return self._loss(batch, "test")

    def _loss(self, batch: dict[str, Any], stage: str) -> Tensor:
        images = batch["image"]
        loss = F.mse_loss(self(images), images)
        log_step(self, stage, len(images), loss)
        return loss

    def configure_optimizers(self) -> Any:
        total = int(self.trainer.estimated_stepping_batches)
        return self.optimization.configure(self.parameters(), total)


def build_network(image_size: int, channels: tuple[int, ...], embedding_size: int) -> nn.ModuleDict:
    """Encoder [B, 3, S, S] → [B, D] and decoder back, as a pair."""
    side = image_size // 16
    widths = (3, *channels)
    encoder: list[nn.Module] = []
    for inside, outside in zip(widths, widths[1:], strict=False):
        encoder += [nn.Conv2d(inside, outside, 3, stride=2, padding=1), nn.ReLU()]
    flat = channels[-1] * side * side
    encoder += [nn.Flatten(), nn.Linear(flat, embedding_size)]
    decoder: list[nn.Module] = [
        nn.Linear(embedding_size, flat),
        nn.ReLU(),
        nn.Unflatten(1, (channels[-1], side, side)),
    ]
    backwards = widths[::-1]
    for inside, outside in zip(backwards, backwards[1:], strict=False):
        decoder += [nn.ConvTranspose2d(inside, outside, 4, stride=2, padding=1), nn.ReLU()]
    decoder.pop()  # pixels as they come: a sigmoid saturates on white backgrounds, and nothing is learned from then on
    network = nn.ModuleDict({"encoder": nn.Sequential(*encoder), "decoder": nn.Sequential(*decoder)})
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _with_state(network: nn.ModuleDict, path: Path) -> nn.ModuleDict:
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network
