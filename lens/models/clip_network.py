"""The two towers of CLIP, built: from scratch, from a local copy, or as published."""

from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel

from lens.errors import LensError
from lens.models.tokens import Tokens
from lens.models.weights import HUB, load_or_fall_back, read_saved

PRETRAINED = "openai/clip-vit-base-patch32"
Stem = Literal["patches", "convolutions"]


class ConvolutionalStem(nn.Sequential):
    """Images [B, 3, S, S] to patches [B, width, S/patch, S/patch] by strided 3×3 convolutions.

    Early convolutions help transformers see better (Xiao et al. 2021): for the linear map that ViT has here.
    """

    def __init__(self, width: int, patch_size: int) -> None:
        halvings = patch_size.bit_length() - 1
        if patch_size < 2 or patch_size != 2**halvings:
            raise LensError(
                f"model.patch_size={patch_size}: stem=convolutions needs a power of two, e.g. 16."
            )
        widths = [3, *(max(32, width >> left) for left in range(halvings - 1, -1, -1))]
        layers: list[nn.Module] = []
        for inside, outside in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(inside, outside, 3, 2, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]
        super().__init__(*layers, nn.Conv2d(widths[-1], width, 1))

    @property
    def weight(self) -> Tensor:
        """Transformers asks the layer in this place for the type of its weights."""
        weight: Tensor = self[0].weight  # type: ignore[assignment]
        return weight


def build_network(
    config: CLIPConfig, weights: str, stem: Stem = "patches"
) -> tuple[tuple[CLIPModel, Tokens], str]:
    """Both towers with the vocabulary they were trained on (an empty one for random weights), and their source."""
    if stem == "convolutions" and weights != "random":
        raise LensError(
            f"model.weights={weights}: stem=convolutions starts from scratch; give model.weights=random."
        )

    def from_scratch() -> _Pair:
        network = CLIPModel(config)
        if stem == "convolutions":
            vision: Any = config.vision_config
            network.vision_model.embeddings.patch_embedding = ConvolutionalStem(
                vision.hidden_size, vision.patch_size
            )
        return _Pair(network, Tokens.none())

    def read(place: str | Path, cache_only: bool) -> _Pair:
        tokens = Tokens.read(place, cache_only)
        network = read_saved(CLIPModel, place, local_files_only=cache_only)
        _refuse_other_shape(network.config, config)
        return _Pair(network, tokens)

    pair, source = load_or_fall_back(
        weights,
        random=from_scratch,
        local=lambda path: read(path, True),
        pretrained=lambda cache_only: read(PRETRAINED, cache_only),
        name=PRETRAINED,
        url=HUB,
    )
    return (pair.network, pair.tokens), source


def _refuse_other_shape(found: CLIPConfig, wanted: CLIPConfig) -> None:
    tower = ("hidden_size", "num_hidden_layers", "num_attention_heads")
    for have, want, keys in (
        (found.vision_config, wanted.vision_config, ("image_size", "patch_size", *tower)),
        (found.text_config, wanted.text_config, ("max_position_embeddings", *tower)),
        (found, wanted, ("projection_dim",)),
    ):
        for key in keys:
            there, here = getattr(have, key), getattr(want, key)
            if there != here:
                raise LensError(
                    f"model.weights: they have {key}={there}, the model {key}={here}; make them equal."
                )


class _Pair(nn.Module):
    """A network with its vocabulary, so that both come from one place."""

    def __init__(self, network: CLIPModel, tokens: Tokens) -> None:
        super().__init__()
        self.network, self.tokens = network, tokens
