"""A small CLIP as a run would log it."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lens import tracking
from lens.models.clip import ContrastiveCLIP
from lens.models.tokens import Tokens
from lens.search import bundle
from lens.tracking.store import client

SETTINGS = {
    "image_size": 32, "patch_size": 16, "vision_size": 16, "vision_layers": 1, "vision_heads": 2, "text_size": 16,
    "text_layers": 1, "text_heads": 2, "context": 16, "projection_size": 8, "weights": "random",
}  # fmt: skip


def photograph(seed: int = 0) -> bytes:
    held = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(held, "PNG")
    return held.getvalue()


def portable(folder: Path, seed: int = 0) -> tracking.Portable:
    torch.manual_seed(seed)
    model = ContrastiveCLIP(**SETTINGS)  # type: ignore[arg-type]
    model.tokens = Tokens.train(["a red boot", "a sandal"])
    node: dict[str, Any] = {"_target_": "lens.models.clip.ContrastiveCLIP", **SETTINGS}
    bundle.pack(folder / "embedder", node, image_size=32, name="clip_small", run_id="r")
    checkpoint: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, folder / "best.ckpt")
    return tracking.Portable(
        folder / "embedder", folder / "best.ckpt", bundle.WEIGHTS, "lens.search.bundle.unpack", 8, True, photograph()
    )  # fmt: skip


def own_vectors(
    given: tracking.Portable, images: list[bytes], texts: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """What the embedder says before it is logged."""
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        whole = Path(place) / "whole"
        shutil.copytree(given.folder, whole)
        shutil.copy(given.weights, whole / given.weights_name)
        embedder = bundle.unpack(whole)
    return embedder.images([embedder.open(image) for image in images]), embedder.texts(texts)


def new_run(uri: str, name: str = "clip_small") -> str:
    experiment = tracking.prepare_store(uri, "shoes")
    run_id = str(client(uri).create_run(experiment, run_name=name).info.run_id)
    client(uri).log_param(run_id, "model.patch_size", 16)
    return run_id
