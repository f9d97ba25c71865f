"""What a real training logs for others: the embedder with the weights that were tested, and files of other forms."""

import base64
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from lens import tracking
from lens.callbacks import ExportIndex, ExportModel, RetrievalEvaluation
from lens.callbacks.onnx_file import session_of
from lens.data import module
from lens.data.module import ShoppingData
from lens.data.sources import read_rendered
from lens.index import load
from lens.models.vit import MaskedPatchViT
from lens.tracking.store import client
from lens.training import build_trainer

SETTINGS: dict[str, Any] = {
    "image_size": 32, "patch_size": 8, "hidden_size": 16, "layers": 1, "heads": 2, "weights": "random",
    "learning_rate": 1e-3,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_lightning: None) -> None:
    monkeypatch.setattr(module, "SCAN_CACHE", tmp_path / "images.parquet")


def trained(shoes: Path, folder: Path, uri: str, **logging: Any) -> tuple[str, ShoppingData]:
    """A training as train.py puts it together; its run, and its data."""
    pl.seed_everything(0, verbose=False)
    read = partial(read_rendered, shoes, items=72, views_per_product=2, render_size=32)
    data = ShoppingData(read, image_size=32, batch_size=8, sampler="shuffled", workers=0, progress=False)
    data.setup()
    settings = {**SETTINGS, "export": logging.pop("export", None)}
    model = MaskedPatchViT(**settings)
    with tracking.RunLogger(uri, "shoes", system_metrics=False, folder=folder, **logging) as logger:
        run_id = str(logger.run_id)
        target = "lens.models.vit.MaskedPatchViT"
        about = {"name": "vit", "target": target, "config": {"_target_": target, **settings}}
        callbacks: list[pl.Callback] = [
            RetrievalEvaluation((1,)),
            ExportIndex(folder / "index", about, run_id),
        ]
        callbacks.append(ExportModel(folder, about, run_id))
        trainer = build_trainer(
            folder, "val/precision_at_1", callbacks, logger, devices=1, progress=False, max_epochs=2,
            accelerator="cpu", precision="32-true",
        )  # fmt: skip
        trainer.fit(model, data, weights_only=None)
        best = trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]
        trainer.test(model, data, ckpt_path=best, verbose=False, weights_only=None)
    return run_id, data


def files(data: ShoppingData, count: int) -> list[bytes]:
    """The first images of a catalogue as files without loss."""
    found = []
    for row in range(count):
        held = io.BytesIO()
        data.catalogue.open_image(row).save(held, "PNG")
        found.append(held.getvalue())
    return found


def test_the_logged_embedder_gives_the_vectors_of_the_index(shoes: Path, tmp_path: Path, uri: str) -> None:
    folder = tmp_path / "run"
    run_id, data = trained(shoes, folder, uri, export=["onnx", "pretrained"], register="shoes@champion")
    index = load(folder / "index")
    before = mlflow.get_tracking_uri()
    try:
        mlflow.set_tracking_uri(uri)
        loaded = mlflow.pyfunc.load_model("models:/shoes@champion")
    finally:
        mlflow.set_tracking_uri(before)
    found = loaded.predict(pd.DataFrame({"image": files(data, 20)}))
    np.testing.assert_allclose(found, index.vectors[:20], atol=1e-4)
    assert tracking.find_run(uri, "shoes", "models:/shoes@champion") == run_id

    run = client(uri).get_run(run_id)
    assert 0 < run.data.metrics["export/onnx_model_difference"] < 1e-5
    assert not [tag for tag in run.data.tags if tag.startswith("warning.")]
    assert set(tracking.artefact_sizes(uri, run_id, "onnx")) == {"model.onnx"}
    pictures = np.stack([np.asarray(data.pictures[row]) for row in range(20)])
    images = (pictures.transpose(0, 3, 1, 2) / 255).astype(np.float32)
    (vectors,) = session_of(tracking.download(uri, run_id, "onnx/model.onnx", tmp_path), 1).run(
        None, {"images": images}
    )
    np.testing.assert_allclose(vectors, index.vectors[:20], atol=1e-4)

    place = tracking.download(uri, run_id, "pretrained", tmp_path)
    again = MaskedPatchViT(**{**SETTINGS, "weights": str(place)}).eval()
    with torch.inference_mode():
        np.testing.assert_allclose(again.embed_images(torch.tensor(images)), index.vectors[:20], atol=1e-5)


def test_embedders_can_be_left_out(shoes: Path, tmp_path: Path, uri: str) -> None:
    run_id, _ = trained(shoes, tmp_path / "run", uri, embedder=False)
    experiment = client(uri).get_run(run_id).info.experiment_id
    assert not client(uri).search_logged_models([experiment])


@contextmanager
def served(uri: str, model: str, folder: Path) -> Iterator[str]:
    """`mlflow models serve`, and its address once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    binaries = str(Path(sys.executable).parent)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "PATH": f"{binaries}:{os.environ['PATH']}"}
    words = ["models", "serve", "-m", model, "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    with (folder / "serve.log").open("w") as log:
        server = subprocess.Popen(
            [f"{binaries}/mlflow", *words], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/ping", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "serve.log").read_text()
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # the group of this server alone
        server.wait(timeout=30)


def ask(address: str, records: list[dict[str, Any]]) -> tuple[int, Any]:
    body = json.dumps({"dataframe_records": records}).encode()
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.slow
def test_mlflow_serves_the_embedder(shoes: Path, tmp_path: Path, uri: str) -> None:
    run_id, data = trained(shoes, tmp_path / "run", uri)
    index = load(tmp_path / "run" / "index")
    images = [base64.b64encode(file).decode() for file in files(data, 3)]
    with served(uri, f"runs:/{run_id}/embedder", tmp_path) as address:
        status, answer = ask(address, [{"image": image} for image in images])
        assert status == 200
        np.testing.assert_allclose(answer["predictions"], index.vectors[:3], atol=1e-4)
        huge = io.BytesIO()
        Image.new("1", (20_000, 20_000)).save(huge, "PNG")
        bad = {
            "a text": ([{"text": "a boot"}], "image"),
            "rubbish": ([{"image": "this is no image"}], "image"),
            "no rows": ([], "missing inputs .'image'"),
            "a bomb": ([{"image": base64.b64encode(huge.getvalue()).decode()}], "Row 0.*pixels"),
        }
        for name, (records, said) in bad.items():
            status, answer = ask(address, records)
            assert status == 400, name
            assert "Traceback" not in answer["message"], name
            assert re.search(said, answer["message"]), (name, answer["message"])
        both = [threading.Thread(target=ask, args=(address, [{"image": image}])) for image in images]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert ask(address, [{"image": images[0]}])[0] == 200  # still there
