"""Image-text contrastive loss: an image picks out its captions among those of the batch, and the reverse."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Targets = Literal["label", "diagonal"]

MAX_LOGIT_SCALE = math.log(100)


class ContrastiveResult(NamedTuple):
    """Both scalars. excess (no gradient): the loss less the lowest value these targets allow."""

    loss: Tensor
    excess: Tensor


def contrastive_loss(
    image_embeddings: Tensor,
    text_embeddings: Tensor,
    image_labels: Tensor,
    text_labels: Tensor,
    *,
    logit_scale: Tensor,
    targets: Targets = "label",
    image_index: Tensor | None = None,
    text_index: Tensor | None = None,
) -> ContrastiveResult:
    """Mean of the image-to-text and the text-to-image cross entropy.

    image_embeddings: unit vectors [B, D]; text_embeddings: unit vectors [T, D], any number per image; labels:
    integers [B] and [T]. logit_scale: a scalar, the logarithm of 1 / temperature; see `clamp_logit_scale_`.

    - ``label``: an image and a text belong together when their labels are equal; the target is uniform over
      all that belong (UniCL, Yang et al. 2022; the "out" form of SupCon, Khosla et al. 2020).
    - ``diagonal``: an image and a text belong together when image_index [B] equals text_index [T]: a
      photograph and its own captions only (CLIP, Radford et al. 2021). Other photographs of the class count
      as wrong answers.

    The entropy of a uniform target over n is ln n, so the loss has a floor above 0; `excess` is what is left
    to learn. Images without a text, and texts without an image, are left out of the mean; if all are, the
    loss is 0 with gradients of zero. Computed in float32 at least, also under autocast. On several processes
    gather everything first (`lens.losses.gather`). Raises ValueError for unknown targets, or ``diagonal``
    without the indices.
    """
    belongs = _belongs(targets, image_labels, text_labels, image_index, text_index)
    with torch.autocast(image_embeddings.device.type, enabled=False):
        dtype = torch.promote_types(image_embeddings.dtype, torch.float32)
        logits = logit_scale.to(dtype).exp() * (image_embeddings.to(dtype) @ text_embeddings.to(dtype).T)
        to_text, text_floor = _cross_entropy(logits, belongs)
        to_image, image_floor = _cross_entropy(logits.T, belongs.T)
    loss = (to_text + to_image) / 2
    return ContrastiveResult(loss, loss.detach() - (text_floor + image_floor) / 2)


def clamp_logit_scale_(logit_scale: Tensor) -> None:
    """Clamp the logarithm of 1 / temperature to [0, ln 100], in place: after each step of the optimiser.

    Above ln 100 CLIP's training becomes unstable (Radford et al. 2021). Clamping inside the loss instead
    would leave a value beyond the limits without a gradient, for good.
    """
    with torch.no_grad():
        logit_scale.clamp_(0.0, MAX_LOGIT_SCALE)


def _belongs(
    targets: Targets,
    image_labels: Tensor,
    text_labels: Tensor,
    image_index: Tensor | None,
    text_index: Tensor | None,
) -> Tensor:
    if targets == "label":
        return image_labels[:, None] == text_labels[None, :]
    if targets != "diagonal":
        raise ValueError(f"targets must be label or diagonal, not {targets!r}")
    if image_index is None or text_index is None:
        raise ValueError("diagonal targets need image_index and text_index")
    return image_index[:, None] == text_index[None, :]


def _cross_entropy(logits: Tensor, belongs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the rows that have a target of the cross entropy to it, and of the target's entropy."""
    count = belongs.sum(1)
    rows = (count > 0).sum().clamp(min=1)
    logs = torch.where(belongs, logits.log_softmax(dim=1), 0).sum(1)
    count = count.clamp(min=1).to(logits.dtype)
    return -(logs / count).sum() / rows, count.log().sum() / rows
