"""Masked patches: predict the pixels that were hidden (MAE, He et al. 2022; SimMIM, Xie et al. 2022)."""

import torch
from torch import Tensor
from torch.nn.functional import pixel_unshuffle


def patch_targets(images: Tensor, patch: int) -> Tensor:
    """Cut images [B, C, H, W] into patches [B, N, C·patch·patch], N = (H / patch)·(W / patch).

    Patches run row by row from the top left. Within a patch the order is channel, row, column: value
    c·patch² + y·patch + x is pixel (y, x) of channel c. Raises ValueError if patch does not divide H and W.
    """
    height, width = images.shape[-2:]
    if patch < 1 or height % patch or width % patch:
        raise ValueError(f"an image of {height}×{width} pixels cannot be cut into patches of {patch}×{patch}")
    return pixel_unshuffle(images, patch).flatten(2).transpose(1, 2)


def random_mask(
    batch: int,
    patches: int,
    ratio: float,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Hide exactly round(ratio · patches) patches of each image, drawn independently: bool [batch, patches].

    15 % of 196 patches is 29. A generator must be of the same device. Raises ValueError if that hides none.
    """
    hidden = round(ratio * patches)
    if not 0 < hidden <= patches:
        raise ValueError(
            f"a mask ratio of {ratio} hides {hidden} of {patches} patches; it must hide 1 to {patches}"
        )
    chosen = torch.rand(batch, patches, generator=generator, device=device).topk(hidden, dim=1).indices
    mask = torch.zeros(batch, patches, dtype=torch.bool, device=chosen.device)
    return mask.scatter_(1, chosen, True)


def masked_patch_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error over the pixels of masked patches only: a scalar, float32 at least.

    prediction and target [B, N, P], mask bool [B, N], True where hidden. With the same number hidden in each
    image and equal batches, the average over processes is the loss of one process. Raises ValueError if the
    mask is empty: its mean would be NaN. (This looks at the mask, so a GPU is waited for once.)
    """
    if not mask.any():
        raise ValueError("the mask is empty: there is no hidden patch to predict")
    dtype = torch.promote_types(prediction.dtype, torch.float32)
    per_patch = (prediction.to(dtype) - target.to(dtype)).square().mean(dim=-1)
    return torch.where(mask, per_patch, 0).sum() / mask.sum()
