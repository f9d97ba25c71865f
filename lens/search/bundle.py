"""An embedder as a folder of two files, which any process opens: it needs no store, no run and no configuration.

``embedder.json`` says how the model is built and what its pictures are prepared like, ``weights.ckpt`` is a checkpoint
of it. The folder travels together with a copy of this package's code, so that both always fit.
"""

import importlib
import json
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lens.errors import LensError
from lens.search.embedder import Embedder

ABOUT, WEIGHTS = "embedder.json", "weights.ckpt"
AUTOCAST = {"bf16-mixed": "bfloat16", "16-mixed": "float16"}
"""Lightning's name of a precision to the type that a model computes in; others compute in float32."""


def pack(
    folder: Path,
    model: dict[str, Any],
    *,
    image_size: int,
    name: str,
    run_id: str | None,
    precision: str = "32-true",
) -> None:
    """Write the first file of the bundle; its weights are to be put beside it.

    Args:
        model: the model's node of the run's configuration: ``_target_`` and plain settings.
        image_size: side of its square pictures, in pixels.
        precision: Lightning's name of it, in which the run computed its index.
    """
    # Nothing is looked for in a store later, and its address may hold a password.
    settings = {key: value for key, value in model.items() if not key.startswith("_") and key != "uri"}
    about = {
        "target": model["_target_"],
        "settings": {**settings, "weights": "random"},  # its own replace them
        "image_size": image_size,
        "name": name,
        "run_id": run_id,
        "autocast": AUTOCAST.get(precision),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT).write_text(json.dumps(about, indent=2), encoding="utf-8")


def unpack(folder: Path) -> Embedder:
    """The embedder of a bundle, on the GPU where there is one. Nothing in it is unpickled but tensors.

    Raises:
        LensError: a file is missing or damaged.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        checkpoint = torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes a loader raise
        raise LensError(f"{folder} is no whole embedder: {' '.join(str(error).split())[:300]}") from error
    module, _, kind = about["target"].rpartition(".")
    model = getattr(importlib.import_module(module), kind)(**about["settings"])
    model.on_load_checkpoint(checkpoint)  # CLIP's vocabulary
    model.load_state_dict(checkpoint["state_dict"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Embedder(
        model.eval().to(device),
        about["image_size"],
        name=about["name"],
        run_id=about["run_id"],
        precision=partial(_autocast, about["autocast"], device.type),
    )


def _autocast(kind: str | None, device: str) -> AbstractContextManager[Any]:
    return torch.autocast(device, getattr(torch, kind)) if kind else nullcontext()
