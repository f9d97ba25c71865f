"""Other forms of a model without a tracking store, and what happens where one cannot be written."""

import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from lens.callbacks import ExportModel, check_export
from lens.errors import LensError
from lens.models.autoencoder import Autoencoder
from lens.training import build_trainer
from tests.callbacks.watched import data_of


class Untraceable(Autoencoder):
    """A network with a step that no graph holds."""

    def embed_images(self, images: Tensor) -> Tensor:
        vectors = super().embed_images(images)
        return vectors if images.sum().item() > 0 else -vectors


def run(kind: type[Autoencoder], shoes: Path, folder: Path) -> Any:
    pl.seed_everything(0, verbose=False)
    model = kind(32, (8, 8, 16, 16), 16, export="onnx")
    about = {"name": "x", "target": "x", "config": {"_target_": "x"}}
    trainer = build_trainer(
        folder, None, [ExportModel(folder, about, None)], None, devices=1, progress=False, max_epochs=1,
        accelerator="cpu", precision="32-true",
    )  # fmt: skip
    data = data_of(shoes)
    data.setup()
    trainer.fit(model, data, weights_only=None)
    trainer.test(model, data, verbose=False, weights_only=None)
    return model


def test_a_form_is_written_where_nothing_is_tracked(shoes: Path, tmp_path: Path) -> None:
    run(Autoencoder, shoes, tmp_path)
    assert [path.name for path in (tmp_path / "onnx").iterdir()] == ["model.onnx"]


def test_what_cannot_be_written_is_said_and_ends_nothing(shoes: Path, tmp_path: Path, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING, "lens.callbacks.export_model"):
        run(Untraceable, shoes, tmp_path)
    (said,) = [r.getMessage() for r in caplog.records if r.name == "lens.callbacks.export_model"]
    assert said.startswith("model.onnx could not be written: ") and said.endswith(
        "The rest of the run is complete."
    )
    assert not (tmp_path / "onnx").exists()


def test_a_package_that_is_missing_is_named_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    check_export(Autoencoder(32))
    check_export(torch.nn.Identity())  # a model that knows no forms
    with pytest.raises(LensError, match="pip install onnxruntime"):
        check_export(Autoencoder(32, export=["onnx"]))
