"""CLIP: an image tower and a text tower trained so that a picture picks out its captions (Radford et al. 2021).

Balanced batches hold several pictures of a class, so by default every caption of the same label is a right answer
(UniCL, Yang et al. 2022); the plain diagonal loss is one setting away.
"""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel

from lens.errors import LensError
from lens.losses.contrastive import Targets, clamp_logit_scale_, contrastive_loss
from lens.losses.distributed import gather
from lens.models.clip_network import Stem, build_network
from lens.models.exports import Export, save_clip, several
from lens.models.logs import log_step
from lens.models.optim import Optimization, OptimizerName, Schedule
from lens.models.tokens import Tokens

log = logging.getLogger(__name__)

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
Part = Literal["vision", "text", "vision_projection", "text_projection"]


class ContrastiveCLIP(pl.LightningModule):
    """Two towers into one space of ``projection_size`` values.

    Args:
        image_size, patch_size: of the image tower, in pixels.
        vision_size, vision_layers, vision_heads: the image tower; ViT-B/32 by default.
        stem: how the image tower makes its patches: ``patches``: one linear map each, as published;
            ``convolutions``: strided convolutions, with which a small tower learns from few pictures.
        text_size, text_layers, text_heads, context: the text tower and its longest input in tokens.
        temperature: the logits are cosines divided by it; ``learn_temperature`` makes it a parameter.
        targets: ``label``: captions of the same label are right answers; ``diagonal``: the picture's own captions only.
        relevance: the label that ``targets=label`` goes by, ``category`` or ``product``.
        freeze: parts that are not trained.
        vision_learning_rate, text_learning_rate: of the two towers; ``learning_rate`` where not given. These and
            ``freeze`` protect what was learned before: from random weights everything is trained at one rate.
        weights: ``pretrained`` (OpenAI), ``random``, or a folder written by ``save_pretrained`` with its tokenizer.
        export: ``onnx``, ``pretrained`` (with ``stem=patches``) or both: a run also writes the embedder in these forms.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 32,
        vision_size: int = 768,
        vision_layers: int = 12,
        vision_heads: int = 12,
        stem: Stem = "patches",
        text_size: int = 512,
        text_layers: int = 12,
        text_heads: int = 8,
        context: int = 77,
        projection_size: int = 512,
        temperature: float = 0.07,
        learn_temperature: bool = True,
        targets: Targets = "label",
        relevance: Literal["category", "product"] = "category",
        freeze: list[Part] | None = None,
        weights: str = "pretrained",
        learning_rate: float = 1e-4,
        vision_learning_rate: float | None = None,
        text_learning_rate: float | None = None,
        optimizer: OptimizerName = "adam",
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        schedule: Schedule = "constant",
        export: list[Export] | Export | None = None,
    ) -> None:
        super().__init__()
        self.export = several(export)
        if "pretrained" in self.export and stem == "convolutions":
            raise LensError(
                "model.export=pretrained: the CLIP of transformers has no place for stem=convolutions; "
                "give model.stem=patches, or model.export=onnx."
            )
        self.embedding_size, self.context = projection_size, context
        self.targets: Targets = targets
        self.relevance = relevance
        self.rates = {"vision": vision_learning_rate, "text": text_learning_rate}
        self.optimization = Optimization(learning_rate, optimizer, weight_decay, warmup_steps, schedule)
        config = CLIPConfig(
            vision_config=_tower(
                vision_size, vision_layers, vision_heads, image_size=image_size, patch_size=patch_size
            ),
            text_config=_tower(text_size, text_layers, text_heads, max_position_embeddings=context),
            projection_dim=projection_size,
        )
        (self.network, self.tokens), self.weights_source = build_network(config, weights, stem)
        logit_scale = torch.tensor(math.log(1 / temperature))
        self.network.logit_scale = nn.Parameter(logit_scale, requires_grad=learn_temperature)
        self._unprotected = self.weights_source == "random" and bool(freeze or any(self.rates.values()))
        if self._unprotected:
            self.rates = {}
        else:
            self._freeze(freeze or [])
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def _freeze(self, parts: Sequence[str]) -> None:
        modules = {
            "vision": self.network.vision_model,
            "text": self.network.text_model,
            "vision_projection": self.network.visual_projection,
            "text_projection": self.network.text_projection,
        }
        for part in parts:
            modules[part].requires_grad_(False)

    def embed_images(self, images: Tensor) -> Tensor:
        """Unit vectors [B, D] of images [B, 3, H, W], float in [0, 1]."""
        standardised = (images - self.mean) / self.std  # type: ignore[operator]
        pooled = self.network.vision_model(pixel_values=standardised).pooler_output
        return F.normalize(self.network.visual_projection(pooled).float(), dim=1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors [T, D] of T texts, cut at ``context`` tokens."""
        ids, mask = self.tokens.encode(texts, self.context)
        return self.embed_tokens(ids.to(self.device), mask.to(self.device))

    def embed_tokens(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors [T, D] of texts as ids and mask, int64 [T, L], see `Tokens.encode`."""
        hidden = self.network.text_model(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = hidden[torch.arange(ids.shape[0], device=ids.device), mask.sum(1) - 1]  # the end token
        return F.normalize(self.network.text_projection(pooled).float(), dim=1)

    def save_pretrained(self, folder: Path) -> None:
        """Both towers and the vocabulary, for ``CLIPModel.from_pretrained`` and for ``weights``."""
        save_clip(self.network, self.tokens, folder)

    def setup(self, stage: str) -> None:
        """Without the published vocabulary, the captions at hand make one."""
        if self.tokens.empty:
            self.tokens = Tokens.train(self.trainer.datamodule.train_captions())  # type: ignore[attr-defined]

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return self._loss(batch, "train")

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return self._loss(batch, "val")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return self._loss(batch, "test")

    def _loss(self, batch: dict[str, Any], stage: str) -> Tensor:
        captions: list[list[str]] = batch["captions"]
        owner = torch.tensor([row for row, texts in enumerate(captions) for _ in texts], device=self.device)
        images = self.embed_images(batch["image"])
        written = [text for item in captions for text in item]
        distinct = {text: place for place, text in enumerate(dict.fromkeys(written))}  # each is encoded once
        texts = self.embed_texts(list(distinct))[[distinct[text] for text in written]]
        labels, index = batch[self.relevance], batch["index"]
        share = gather if stage == "train" else (lambda tensor: tensor)
        result = contrastive_loss(
            share(images),
            share(texts),
            share(labels),
            share(labels[owner]),
            logit_scale=self.network.logit_scale,
            targets=self.targets,
            image_index=share(index),
            text_index=share(index[owner]),
        )
        log_step(self, stage, len(images), result.loss, excess_loss=result.excess)
        if stage == "train":
            self.log("train/temperature", (-self.network.logit_scale.detach()).exp(), on_step=True)
        return result.loss

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # At the start, not the end: a checkpoint is written before the module's own end of the batch.
        clamp_logit_scale_(self.network.logit_scale)

    def configure_optimizers(self) -> Any:
        if (
            self._unprotected
        ):  # said here, where a training begins: an evaluation builds the network at random too
            log.warning("CLIP starts from random weights: no part is frozen, and all train at learning_rate.")
        groups: dict[str, list[nn.Parameter]] = {"vision": [], "text": [], "rest": []}
        for name, parameter in self.network.named_parameters():
            tower = name.split("_model.")[0] if "_model." in name else "rest"
            if parameter.requires_grad:
                groups[tower].append(parameter)
        rated = [
            {"params": held, **({"lr": rate} if (rate := self.rates.get(name)) is not None else {})}
            for name, held in groups.items()
            if held
        ]
        total = int(self.trainer.estimated_stepping_batches)
        return self.optimization.configure(rated, total)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["tokens"] = self.tokens.to_json()
        checkpoint["network"] = self.network.config.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.tokens = Tokens.from_json(checkpoint["tokens"])
        saved, own = CLIPConfig.from_dict(checkpoint["network"]), self.network.config
        if _kind(saved) != _kind(own):  # local weights may have brought another vocabulary or activation
            self.network = CLIPModel(saved)


def _kind(config: Any) -> tuple[Any, ...]:
    return config.text_config.vocab_size, config.text_config.hidden_act, config.vision_config.hidden_act


def _tower(size: int, layers: int, heads: int, **more: int) -> dict[str, int]:
    return {
        "hidden_size": size,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * size,
        **more,
    }
