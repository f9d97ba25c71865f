"""Vision Transformer trained by predicting the pixels of masked patches.

Network: ViT (Dosovitskiy et al. 2021, transformers). Training: masked image modelling with a mask token and a linear
decoder (SimMIM, Xie et al. 2022). The classification token gets no gradient from this loss, so the embedding is the
mean of the patch tokens of the unmasked picture.
"""

from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import ViTConfig, ViTModel

from lens.errors import LensError
from lens.losses.masked_patch import masked_patch_loss, patch_targets, random_mask
from lens.models.exports import Export, several
from lens.models.logs import log_step
from lens.models.optim import Optimization, OptimizerName, Schedule
from lens.models.weights import HUB, load_or_fall_back, read_saved

PRETRAINED = "google/vit-base-patch16-224-in21k"
VALIDATION_MASK_SEED = 1


class MaskedPatchViT(pl.LightningModule):
    """A ViT whose mean patch token, L2-normalised, is the embedding.

    Args:
        image_size, patch_size: in pixels; the first is a multiple of the second.
        hidden_size, layers, heads: of the transformer; ViT-B/16 by default. The embedding has ``hidden_size`` values.
        mask_ratio: the share of patches hidden from the encoder, rounded to whole patches (29 of 196 at 0.15).
        normalise_targets: predict each patch after removing its own mean and variance (He et al. 2022, MAE).
        weights: ``pretrained`` (ImageNet-21k), ``random``, or a folder written by ``save_pretrained``; the position
            embeddings of another image size are interpolated.
        export: ``onnx``, ``pretrained`` or both: a run also writes the embedder in these forms.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        hidden_size: int = 768,
        layers: int = 12,
        heads: int = 12,
        mask_ratio: float = 0.15,
        normalise_targets: bool = False,
        weights: str = "pretrained",
        learning_rate: float = 1e-4,
        optimizer: OptimizerName = "adam",
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        schedule: Schedule = "constant",
        export: list[Export] | Export | None = None,
    ) -> None:
        super().__init__()
        self.export = several(export)
        if image_size % patch_size:
            raise LensError(
                f"model.image_size={image_size} is not a multiple of model.patch_size={patch_size}."
            )
        if hidden_size % heads:
            raise LensError(f"model.hidden_size={hidden_size} is not a multiple of model.heads={heads}.")
        self.image_size, self.patch_size, self.embedding_size = image_size, patch_size, hidden_size
        self.mask_ratio, self.normalise_targets = mask_ratio, normalise_targets
        if not 0 < mask_ratio < 1 or round(mask_ratio * (image_size // patch_size) ** 2) < 1:
            raise LensError(f"model.mask_ratio={mask_ratio} hides no patch; give a share between 0 and 1.")
        self.optimization = Optimization(learning_rate, optimizer, weight_decay, warmup_steps, schedule)
        config = ViTConfig(
            image_size=image_size,
            patch_size=patch_size,
            hidden_size=hidden_size,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * hidden_size,
        )
        self.network, self.weights_source = build_network(config, weights)
        self.decoder = nn.Linear(hidden_size, 3 * patch_size**2)

    def forward(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Patch tokens [B, N, D] of images [B, 3, H, W] in [0, 1]; ``mask`` [B, N] bool hides patches."""
        standardised = images * 2 - 1  # mean and standard deviation 0.5, as the published weights expect
        tokens = self.network(standardised, bool_masked_pos=mask).last_hidden_state
        return tokens[:, 1:]

    def embed_images(self, images: Tensor) -> Tensor:
        """Unit vectors [B, D] of images [B, 3, H, W], float in [0, 1]."""
        return F.normalize(self(images).float().mean(dim=1), dim=1)

    def local_features(self, images: Tensor) -> Tensor:
        """Places [B, h, w, D] of images [B, 3, H, W] whose sum over h and w is their embedding, exactly.

        They are the patch tokens, divided by what pooling and normalising divide by; so the cosine of two images is
        the sum, over all pairs of patches, of inner products (Stylianou, Souvenir and Pless 2019, for convolutions).
        Where a token's content comes from is another question: attention has mixed them.
        """
        places = self(images).float().unflatten(1, (images.shape[-2] // self.patch_size, -1))
        return places / places.sum(dim=(1, 2), keepdim=True).norm(dim=3, keepdim=True).clamp(min=1e-12)

    def save_pretrained(self, folder: Path) -> None:
        """The encoder, for ``ViTModel.from_pretrained`` and for ``weights``; the decoder stays behind."""
        self.network.save_pretrained(folder)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return self._loss(batch, "train", None)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return self._loss(batch, "val", VALIDATION_MASK_SEED + batch_idx)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return self._loss(batch, "test", VALIDATION_MASK_SEED + batch_idx)

    def _loss(self, batch: dict[str, Any], stage: str, mask_seed: int | None) -> Tensor:
        """``mask_seed`` hides the same patches in every epoch, so that evaluation losses can be compared."""
        images = batch["image"]
        target = self._targets(images)
        generator = None if mask_seed is None else torch.Generator().manual_seed(mask_seed)
        mask = random_mask(len(images), target.shape[1], self.mask_ratio, generator=generator).to(
            images.device
        )
        loss = masked_patch_loss(self.decoder(self(images, mask)).float(), target, mask)
        log_step(self, stage, len(images), loss)
        return loss

    def _targets(self, images: Tensor) -> Tensor:
        target = patch_targets(images, self.patch_size)
        if self.normalise_targets:
            target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
        return target

    def masked_patches(self, images: Tensor) -> tuple[Tensor, Tensor] | None:
        """What is hidden of images [B, 3, H, W], bool [B, H, W], and the prediction of all patches, [B, 3, H, W].

        The same patches are hidden each time. None where targets are normalised: their colours are not known then.
        """
        if self.normalise_targets:
            return None
        rows, columns = (side // self.patch_size for side in images.shape[-2:])
        generator = torch.Generator().manual_seed(VALIDATION_MASK_SEED)
        mask = random_mask(len(images), rows * columns, self.mask_ratio, generator=generator).to(
            images.device
        )
        grid = self.decoder(self(images, mask)).float().transpose(1, 2).unflatten(2, (rows, columns))
        hidden = mask.unflatten(1, (rows, columns)).repeat_interleave(self.patch_size, 1)
        return hidden.repeat_interleave(self.patch_size, 2), F.pixel_shuffle(grid, self.patch_size)

    def configure_optimizers(self) -> Any:
        total = int(self.trainer.estimated_stepping_batches)
        return self.optimization.configure(self.parameters(), total)


def build_network(config: ViTConfig, weights: str) -> tuple[ViTModel, str]:
    """The encoder with a mask token and without the pooler, and where its weights come from."""

    def read(place: str | Path, cache_only: bool) -> ViTModel:
        return read_saved(
            ViTModel,
            place,
            without=("embeddings.mask_token",),  # the published weights were trained without one
            add_pooling_layer=False,
            use_mask_token=True,
            local_files_only=cache_only,
            ignore_mismatched_sizes=False,
        )

    return load_or_fall_back(
        weights,
        random=lambda: ViTModel(config, add_pooling_layer=False, use_mask_token=True),
        local=lambda path: _same_shape(read(path, True), config),
        pretrained=lambda cache_only: _same_shape(read(PRETRAINED, cache_only), config),
        name=PRETRAINED,
        url=HUB,
    )


def _same_shape(network: ViTModel, config: ViTConfig) -> ViTModel:
    """The network for pictures of the wanted size: its positions are interpolated, all else has to agree."""
    for key in ("patch_size", "hidden_size", "num_hidden_layers", "num_attention_heads"):
        found, wanted = getattr(network.config, key), getattr(config, key)
        if found != wanted:
            raise LensError(
                f"model.weights: the weights have {key}={found}, the model {key}={wanted}; make them equal."
            )
    if network.config.image_size != config.image_size:
        embeddings: Any = network.embeddings
        size, patch = cast(int, config.image_size), cast(int, config.patch_size)
        tokens = torch.zeros(1, (size // patch) ** 2 + 1, config.hidden_size)
        with torch.no_grad():
            positions = embeddings.interpolate_pos_encoding(tokens, size, size)
        embeddings.position_embeddings = nn.Parameter(positions.clone())
        embeddings.image_size = embeddings.patch_embeddings.image_size = (size, size)
        network.config.image_size = size
    return network
