"""ResNet trained with the triplet loss.

Networks: ResNet (He et al. 2016, torchvision). Loss: triplets with online mining (Schroff et al. 2015, Hermans et al.
2017). By option a small decoder rebuilds the picture from the embedding, as an auxiliary loss.
"""

from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from lens.errors import LensError
from lens.losses.distributed import gather
from lens.losses.triplet import Mining, triplet_loss
from lens.models.exports import Onnx, several
from lens.models.logs import log_step
from lens.models.optim import Optimization, OptimizerName, Schedule
from lens.models.weights import load_or_fall_back

Architecture = Literal["tiny", "resnet18", "resnet34", "resnet50"]


class TripletResNet(pl.LightningModule):
    """A ResNet without its classifier; the embedding is the pooled feature map, L2-normalised.

    Args:
        architecture: ``resnet50`` embeds into 2048 values, ``tiny`` (width 32, one block a stage) into 256.
        weights: ``pretrained`` (ImageNet, torchvision), ``random``, or the path of a state_dict.
        margin: by how much a negative must be farther than a positive, as a Euclidean distance of unit vectors.
        mining: one strategy, or several in order: each then rules an equal share of the training steps.
        relevance: whether images of one ``category`` or of one ``product`` are positives.
        reconstruction_weight: the share of the auxiliary reconstruction loss; 0 leaves the decoder out.
        export: ``onnx``: a run also writes the embedder in this form.
    """

    def __init__(
        self,
        architecture: Architecture = "resnet50",
        weights: str = "pretrained",
        margin: float = 0.2,
        mining: list[Mining] | Mining = "batch_all",
        relevance: Literal["category", "product"] = "category",
        reconstruction_weight: float = 0.0,
        learning_rate: float = 1e-4,
        optimizer: OptimizerName = "adam",
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        schedule: Schedule = "constant",
        export: list[Onnx] | Onnx | None = None,
    ) -> None:
        super().__init__()
        self.export = several(export)
        self.margin, self.relevance, self.reconstruction_weight = margin, relevance, reconstruction_weight
        self.mining = [mining] if isinstance(mining, str) else list(mining)
        if not self.mining:
            raise LensError(
                "model.mining=[] is empty; give batch_all, semi_hard or batch_hard, or several in order."
            )
        if not 0 <= margin < 2:
            raise LensError(
                f"model.margin={margin}: a margin between distances of unit vectors lies from 0 to 2."
            )
        self.optimization = Optimization(learning_rate, optimizer, weight_decay, warmup_steps, schedule)
        self.network, self.weights_source = build_network(architecture, weights)
        self.embedding_size: int = 256 if architecture == "tiny" else int(self.network.inplanes)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.decoder = Decoder(self.embedding_size) if reconstruction_weight > 0 else None
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def features(self, images: Tensor) -> Tensor:
        """Pooled features [B, D] of images [B, 3, H, W] in [0, 1], not normalised."""
        standardised = (images - self.mean) / self.std  # type: ignore[operator]
        return self.network(standardised.contiguous(memory_format=torch.channels_last))

    def embed_images(self, images: Tensor) -> Tensor:
        """Unit vectors [B, D] of images [B, 3, H, W], float in [0, 1]."""
        return F.normalize(self.features(images).float(), dim=1)

    def local_features(self, images: Tensor) -> Tensor:
        """Places [B, h, w, D] of images [B, 3, H, W] whose sum over h and w is their embedding, exactly.

        They are the feature map before its pooling, divided by what pooling and normalising divide by. So the cosine of
        two images is the sum, over all pairs of places, of inner products (Stylianou, Souvenir and Pless 2019,
        "Visualizing Deep Similarity Networks"). A place of a late map has seen more of the image than its own square.
        """
        net, standardised = self.network, (images - self.mean) / self.std  # type: ignore[operator]
        stem = net.maxpool(
            net.relu(net.bn1(net.conv1(standardised.contiguous(memory_format=torch.channels_last))))
        )
        places = net.layer4(net.layer3(net.layer2(net.layer1(stem)))).float().permute(0, 2, 3, 1)
        return places / places.sum(dim=(1, 2), keepdim=True).norm(dim=3, keepdim=True).clamp(min=1e-12)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return self._loss(batch, "train", self._mining_now())

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return self._loss(batch, "val", self.mining[-1])

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return self._loss(batch, "test", self.mining[-1])

    def _loss(self, batch: dict[str, Any], stage: str, mining: Mining) -> Tensor:
        images = batch["image"]
        features = self.features(images)
        # The loss sees the whole batch of all processes; evaluation batches may differ in size and stay local.
        share = gather if stage == "train" else (lambda tensor: tensor)
        result = triplet_loss(
            share(F.normalize(features.float(), dim=1)),
            share(batch[self.relevance]),
            margin=self.margin,
            mining=mining,
        )
        loss, more = result.loss, {}
        if self.decoder is not None:
            reconstruction = F.mse_loss(self.decoder(features, images.shape[-2:]).float(), images)
            more = {"reconstruction_loss": reconstruction}
            loss = loss + self.reconstruction_weight * reconstruction
        more |= {name: getattr(result, name) for name in ("active_fraction", "d_pos", "d_neg")}
        log_step(self, stage, len(images), loss, **more)
        return loss

    def _mining_now(self) -> Mining:
        """The strategy of this step: the list is walked once over the whole training."""
        total = max(1, int(self.trainer.estimated_stepping_batches))
        position = self.global_step * len(self.mining) // total
        return self.mining[min(position, len(self.mining) - 1)]

    def reconstruct(self, images: Tensor) -> Tensor | None:
        """Images [B, 3, H, W] rebuilt from their embeddings, or None without the decoder."""
        return None if self.decoder is None else self.decoder(self.features(images), images.shape[-2:])

    def configure_optimizers(self) -> Any:
        total = int(self.trainer.estimated_stepping_batches)
        return self.optimization.configure(self.parameters(), total)


class Decoder(nn.Module):
    """Features [B, D] to pictures [B, 3, H, W] in [0, 1]: a dense 4×4 map, doubled up to 64×64, then resized."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.dense = nn.Linear(features, 128 * 4 * 4)
        widths = [128, 64, 32, 16]
        stages = [
            nn.Sequential(nn.ConvTranspose2d(a, b, 4, stride=2, padding=1), nn.ReLU())
            for a, b in zip(widths, widths[1:], strict=False)
        ]
        self.up = nn.Sequential(*stages, nn.ConvTranspose2d(16, 3, 4, stride=2, padding=1), nn.Sigmoid())

    def forward(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        picture = self.up(self.dense(features).view(-1, 128, 4, 4))
        return F.interpolate(picture, size=tuple(size), mode="bilinear", antialias=True)


def build_network(architecture: Architecture, weights: str) -> tuple[Any, str]:
    """The network without its classifier, and where its weights come from."""
    if architecture == "tiny":
        return load_or_fall_back(
            "random" if weights == "pretrained" else weights,  # none are published for it
            random=tiny_resnet,
            local=lambda path: _with_state(tiny_resnet(), path),
            pretrained=lambda _: tiny_resnet(),
            name="tiny",
            url="",
        )
    constructor = getattr(torchvision.models, architecture)
    published = torchvision.models.get_model_weights(architecture).DEFAULT  # type: ignore[attr-defined]
    if architecture == "resnet50":
        published = torchvision.models.ResNet50_Weights.IMAGENET1K_V2

    def pretrained(cache_only: bool) -> nn.Module:
        cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(published.url).name
        if cache_only and not cached.is_file():
            raise OSError(f"{cached} does not exist")
        return _headless(constructor(weights=published))

    return load_or_fall_back(
        weights,
        random=lambda: _headless(constructor(weights=None)),
        local=lambda path: _with_state(_headless(constructor(weights=None)), path),
        pretrained=pretrained,
        name=f"the ImageNet weights of {architecture}",
        url=published.url,
    )


def tiny_resnet() -> nn.Module:
    """A ResNet for 64 px pictures: width 32, one basic block in each of four stages, a 3×3 stem."""
    network = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])
    network = _headless(network)
    stem = nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False)
    network.conv1, network.bn1, network.maxpool = stem, nn.BatchNorm2d(32), nn.Identity()
    widths, inside = (32, 64, 128, 256), 32
    for stage, width in enumerate(widths):
        stride = 1 if stage == 0 else 2
        shortcut = None
        if stride != 1 or inside != width:
            shortcut = nn.Sequential(nn.Conv2d(inside, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        block = torchvision.models.resnet.BasicBlock(inside, width, stride, shortcut)
        setattr(network, f"layer{stage + 1}", nn.Sequential(block))
        inside = width
    return network


def _headless(network: Any) -> Any:
    network.fc = nn.Identity()
    return network


def _with_state(network: nn.Module, path: Path) -> nn.Module:
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = {key: value for key, value in state.items() if not key.startswith("fc.")}
    network.load_state_dict(state)
    return network
