"""An embedder as ONNX files: networks that any ONNX runtime computes, without PyTorch and without this project.

Pictures enter as they leave the preprocessing, in [0, 1]; the model's own standardisation is inside, and unit vectors
come out. Each file is computed by onnxruntime and compared with the model before it is kept.
"""

import contextlib
import importlib.util
import io
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lens.errors import LensError

OPSET = 18
TOLERANCE = 1e-4
"""The largest difference in any component of a unit vector that float32 explains, with room."""
NEEDED = ("onnx", "onnxscript", "onnxruntime")
IMAGES, TEXTS, TOKENIZER = "model.onnx", "text.onnx", "tokenizer.json"
WORDS = ("boot", "a black leather boot with a zip", "red")


class _Part(nn.Module):
    """One method of a model as a module of its own; the model's parameters are its own."""

    def __init__(self, model: nn.Module, method: str) -> None:
        super().__init__()
        self.model, self.method = model, method

    def forward(self, *inputs: Tensor) -> Tensor:
        return getattr(self.model, self.method)(*inputs)  # type: ignore[no-any-return]


def check_installed() -> None:
    """Raises LensError where a package is missing that writes or checks ONNX files."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise LensError(
            f"model.export=onnx needs {' and '.join(missing)}, not installed: pip install {' '.join(missing)}."
        )


def write_onnx(model: Any, image_size: int, folder: Path) -> dict[str, float]:
    """Write ``model.onnx``: ``images`` float32 [B, 3, S, S] in [0, 1] to ``vectors`` float32 [B, D], unit length.

    A model with ``embed_tokens`` also gets ``text.onnx``, ``ids`` and ``mask`` int64 [B, L] to ``vectors``, and its
    ``tokenizer.json``. B and L are free. The model computes on the CPU in float32 meanwhile.

    Returns:
        File name to the largest difference from the model, in any component, over pictures of several kinds.

    Raises:
        LensError: the network cannot be written, or what was written computes something else; nothing is left then.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as place:
        fresh = Path(place) / folder.name
        fresh.mkdir()
        with _on_cpu(model):
            images = {"images": _pictures(image_size)}
            differences = {IMAGES: _write(model, "embed_images", images, {0: "batch"}, fresh / IMAGES)}
            if hasattr(model, "embed_tokens"):
                words = dict(zip(("ids", "mask"), model.tokens.encode(WORDS, model.context), strict=True))
                axes = {0: "batch", 1: "length"}
                differences[TEXTS] = _write(model, "embed_tokens", words, axes, fresh / TEXTS)
                (fresh / TOKENIZER).write_text(model.tokens.to_json(), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(fresh, folder)
    return differences


def _write(model: Any, method: str, inputs: dict[str, Tensor], axes: dict[int, str], path: Path) -> float:
    part = _Part(model, method).eval()
    try:
        with _silence():
            torch.onnx.export(
                part,
                tuple(inputs.values()),
                str(path),
                input_names=list(inputs),
                output_names=["vectors"],
                dynamic_shapes=(tuple({k: torch.export.Dim(v) for k, v in axes.items()} for _ in inputs),),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        difference = _difference(part, inputs, path)
        if not difference <= TOLERANCE:  # NaN too
            raise LensError(
                f"{path.name} was not kept: its vectors differ from the model's by {difference:.2g}, more than "
                f"{TOLERANCE:g}."
            )
    except LensError:
        raise
    except Exception as error:  # whatever a network makes the exporter raise
        raise LensError(f"{path.name} could not be written: {_reason(error)}.") from error
    return difference


def _difference(part: nn.Module, inputs: dict[str, Tensor], path: Path) -> float:
    """Over the whole batch, a part of it, and one row alone: a batch size baked in would show."""
    session, gaps = session_of(path), []
    for rows in (slice(None), slice(0, 2), slice(1, 2)):
        given = {name: value[rows] for name, value in inputs.items()}
        with torch.inference_mode():
            wanted = part(*given.values()).numpy()
        (found,) = session.run(None, {name: value.numpy() for name, value in given.items()})
        gaps.append(np.abs(found - wanted).max() if found.shape == wanted.shape else np.inf)
    return float(np.max(gaps))


def session_of(path: Path, threads: int = 0) -> Any:
    """onnxruntime's session of a file, on the CPU; 0 threads: as many as it likes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _pictures(size: int) -> Tensor:
    """Noise, white, black, a grey ramp and a dark object on white: float32 [5, 3, S, S] in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(3, size, size, generator=generator)
    ramp = torch.linspace(0, 1, size).expand(3, size, size)
    shape = torch.ones(3, size, size)
    shape[:, size // 4 : size // 2, size // 8 : -size // 8] = 0.2
    return torch.stack([noise, torch.ones_like(noise), torch.zeros_like(noise), ramp, shape])


@contextlib.contextmanager
def _on_cpu(model: nn.Module) -> Iterator[None]:
    device, training = next(model.parameters()).device, model.training
    model.eval().to("cpu")
    try:
        with torch.autocast("cpu", enabled=False):
            yield
    finally:
        model.to(device).train(training)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Hold back what the exporter prints about itself; what goes wrong is raised."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(". ") or type(error).__name__
