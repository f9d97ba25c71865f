"""From a loader of pictures to vectors, whatever the model."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm


@torch.no_grad()  # in inference mode autocast converts the weights again for every batch
def embed_all(
    embed_images: Callable[[Tensor], Tensor],
    batches: Iterable[Mapping[str, Any]],
    *,
    device: torch.device | str = "cpu",
    progress: str | None = None,
) -> np.ndarray:
    """Vectors float32 [N, D] of all pictures, in the order of the loader.

    Args:
        embed_images: [B, 3, S, S] float in [0, 1] to [B, D].
        batches: each holds its pictures as ``image``.
        progress: the label of a progress bar; None shows none.
    """
    parts = [
        embed_images(batch["image"].to(device, non_blocking=True)).float().cpu().numpy()
        for batch in tqdm(batches, desc=progress, unit="batch", disable=progress is None, leave=False)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
