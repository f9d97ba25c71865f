"""A run's model for others: its embedder as an MLflow model, and the forms that ``model.export`` asks for."""

import io
import logging
import tempfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from PIL import Image

from lens.callbacks.export import ExportIndex
from lens.callbacks.onnx_file import check_installed, write_onnx
from lens.data.images import fit_square
from lens.errors import LensError
from lens.index import EngineSettings
from lens.search import bundle
from lens.search.embedder import takes_texts
from lens.tracking import Portable, log_embedder, register
from lens.tracking.logger import RunLogger

log = logging.getLogger(__name__)

BEST = "best.ckpt"


def check_export(model: Any) -> None:
    """Refuse a form that cannot be written here, before a training begins. Raises LensError."""
    if "onnx" in getattr(model, "export", ()):
        check_installed()


def exports(config: dict[str, Any], folder: Path, run_id: str | None) -> list[pl.Callback]:
    """What a run leaves behind when it is tested: its index and its model.

    Args:
        config: the whole run's, plain values; folder: the run's.
    """
    # A store's address may hold a password, and what is written here is handed on.
    part = {key: value for key, value in config["model"].items() if key != "uri"}
    about = {"name": config["model_name"], "target": part["_target_"], "config": part}
    engine = EngineSettings(**config.get("engine", {}))
    return [ExportIndex(folder / "index", about, run_id, engine), ExportModel(folder, about, run_id)]


class ExportModel(pl.Callback):
    """Writes the tested weights in other forms when the test is done, and logs them with the run.

    What goes wrong here is said in one sentence and ends nothing: the run itself is complete.

    Args:
        folder: the run's; forms go to ``onnx/`` and ``pretrained/`` in it.
        model: name, target and config, plain values, as the index has them.
        run_id: of the tracked run, if there is one.
    """

    def __init__(self, folder: Path, model: dict[str, Any], run_id: str | None) -> None:
        self.folder, self.model, self.run_id = folder, model, run_id

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        logger = trainer.logger if isinstance(trainer.logger, RunLogger) else None
        for form in getattr(pl_module, "export", ()):
            self._try(self._write_form, trainer, pl_module, logger, form)
        if logger is not None and logger.embedder and self.run_id is not None:
            self._try(self._log_embedder, trainer, pl_module, logger)

    def _try(self, do: Any, trainer: pl.Trainer, model: pl.LightningModule, logger: Any, *more: Any) -> None:
        try:
            do(trainer, model, logger, *more)
        except LensError as error:
            log.warning("%s The rest of the run is complete.", error)
            if logger is not None:
                logger.set_tags({"warning.export": str(error)})

    def _write_form(self, trainer: Any, model: Any, logger: RunLogger | None, form: str) -> None:
        folder = self.folder / form
        if form == "onnx":
            differences = write_onnx(model, trainer.datamodule.image_size, folder)
            if logger is not None:
                named = {
                    f"export/onnx_{name.split('.')[0]}_difference": gap for name, gap in differences.items()
                }
                logger.log_metrics(named, trainer.global_step)
        else:
            model.save_pretrained(folder)
        if logger is not None:
            logger.log_artifact(folder, form)

    def _log_embedder(self, trainer: Any, model: Any, logger: RunLogger) -> None:
        run_id = str(self.run_id)
        with tempfile.TemporaryDirectory() as place:
            data, folder = trainer.datamodule, Path(place) / "embedder"
            bundle.pack(
                folder,
                self.model["config"],
                image_size=data.image_size,
                name=self.model["name"],
                run_id=run_id,
                precision=str(trainer.precision),
            )
            portable = Portable(
                folder=folder,
                weights=_weights(trainer, model, Path(place)),
                weights_name=bundle.WEIGHTS,
                opener="lens.search.bundle.unpack",
                dimension=model.embedding_size,
                takes_texts=takes_texts(model),
                example=_example(data),
            )
            logger.flush()  # the model takes the run's parameters
            log_embedder(logger.uri, run_id, portable)
        if logger.register is not None:
            register(logger.uri, run_id, *logger.register)


def _weights(trainer: pl.Trainer, model: pl.LightningModule, folder: Path) -> Path:
    """The checkpoint that was tested, where it holds weights only; else these alone in a new file."""
    tested = Path(str(trainer.ckpt_path or ""))
    if tested.name == BEST and tested.is_file():
        return tested
    checkpoint: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, folder / BEST)
    return folder / BEST


def _example(data: Any) -> bytes:
    """The first picture of the catalogue as a small JPEG file."""
    held = io.BytesIO()
    Image.fromarray(fit_square(data.catalogue.open_image(0), data.image_size)).save(held, "JPEG")
    return held.getvalue()
