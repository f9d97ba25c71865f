"""A trained model, rebuilt from its run."""

import tempfile
from pathlib import Path
from typing import Any

import torch

from lens.config import build
from lens.errors import LensError
from lens.tracking import download


def load_model(uri: str, run_id: str, config: dict[str, Any]) -> Any:
    """The run's model with its best checkpoint, in evaluation mode; nothing is downloaded from a hub.

    Raises:
        LensError: the run kept no checkpoint, or one of another version of the model.
    """
    model = build({**config["model"], "weights": "random"})
    with tempfile.TemporaryDirectory() as folder:
        path: Path = download(uri, run_id, "checkpoints/best.ckpt", folder)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    model.on_load_checkpoint(checkpoint)  # CLIP's vocabulary
    try:
        model.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        raise LensError(
            f"The checkpoint of run {run_id} does not fit the model as this version of the program builds it."
        ) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return model.eval().to(device)
