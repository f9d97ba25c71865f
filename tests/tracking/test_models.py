"""Embedders as MLflow's models, on a real store: loaded elsewhere, registered, found again."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from lens import tracking
from lens.errors import LensError
from lens.tracking.models import read_registration
from lens.tracking.served import DECODED, Served
from lens.tracking.store import client
from tests.tracking.portables import new_run, own_vectors, photograph, portable

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _quiet(quiet_lightning: None) -> None:
    pass


def artefacts(uri: str, model_id: str) -> Path:
    return Path(client(uri).get_logged_model(model_id).artifact_location.removeprefix("file://"))


def test_another_process_in_another_folder_gets_the_same_vectors(uri: str, tmp_path: Path) -> None:
    given, run_id = portable(tmp_path), new_run(uri)
    model_id = tracking.log_embedder(uri, run_id, given)
    tracking.register(uri, run_id, "shoes", "champion")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    images = [photograph(seed) for seed in range(2)]
    for seed, image in enumerate(images):
        (elsewhere / f"{seed}.png").write_bytes(image)
    models = [f"runs:/{run_id}/embedder", f"models:/{model_id}", "models:/shoes@champion"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    loads = [sys.executable, str(ROOT / "tests" / "tracking" / "loads.py"), uri, ".", "out.npz", *models]
    done = subprocess.run(loads, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = np.load(elsewhere / "out.npz")
    assert not Path(str(found["code"])).is_relative_to(ROOT)  # the code that travelled along
    own_images, own_texts = own_vectors(given, images, ["boot", "a red sandal"])
    for place in range(len(models)):
        np.testing.assert_allclose(found[f"images{place}"], own_images, atol=1e-6)
        np.testing.assert_allclose(found[f"texts{place}"], own_texts, atol=1e-6)


def test_the_model_says_what_it_takes_and_what_it_needs(uri: str, tmp_path: Path) -> None:
    run_id = new_run(uri)
    model_id = tracking.log_embedder(uri, run_id, portable(tmp_path))
    held = client(uri).get_logged_model(model_id)
    assert (held.name, held.source_run_id, str(held.status)) == ("embedder", run_id, "READY")
    assert held.params == {"model.patch_size": "16"}
    assert [out.model_id for out in client(uri).get_run(run_id).outputs.model_outputs] == [model_id]
    place = artefacts(uri, model_id)
    about = mlflow.models.Model.load(str(place))
    columns = {column.name: str(column.type) for column in about.signature.inputs.inputs}
    assert columns == {"image": "DataType.binary", "text": "DataType.string"}
    assert about.signature.outputs.inputs[0].shape == (-1, 8)
    assert about.load_input_example(str(place))["image"][0] == photograph()
    wanted = (place / "requirements.txt").read_text().split()
    assert f"torch=={version('torch').partition('+')[0]}" in wanted and all("==" in line for line in wanted)
    assert not [path for path in place.rglob("*") if path.name == "__pycache__"]
    assert about.model_size_bytes >= (tmp_path / "best.ckpt").stat().st_size


def test_the_weights_take_no_second_place_on_the_disk(uri: str, tmp_path: Path) -> None:
    given = portable(tmp_path)
    place = artefacts(uri, tracking.log_embedder(uri, new_run(uri), given))
    weights = place / "data" / "embedder" / given.weights_name
    assert weights.samefile(given.weights)
    given.weights.rename(tmp_path / "away.ckpt")  # a tidied run folder leaves the model whole
    assert weights.stat().st_size == (tmp_path / "away.ckpt").stat().st_size


def test_weights_on_another_disk_are_copied(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    given = portable(tmp_path)
    place = artefacts(uri, tracking.log_embedder(uri, new_run(uri), given))
    copied = place / "data" / "embedder" / given.weights_name
    assert copied.read_bytes() == given.weights.read_bytes() and not copied.is_symlink()
    assert not copied.samefile(given.weights)


def test_nothing_global_of_mlflow_changes(uri: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    run_id = new_run(uri)
    tracking.log_embedder(uri, run_id, portable(tmp_path))
    tracking.register(uri, run_id, "shoes")
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == before
    assert mlflow.active_run() is None and mlflow.get_active_model_id() is None
    assert not [w for w in recwarn if "lens" in str(w.filename)]


def test_a_later_embedder_of_a_run_comes_first(uri: str, tmp_path: Path) -> None:
    run_id = new_run(uri)
    (tmp_path / "b").mkdir()
    first = tracking.log_embedder(uri, run_id, portable(tmp_path))
    assert tracking.register(uri, run_id, "shoes", "champion") == 1
    assert tracking.register(uri, run_id, "shoes", "champion") == 1  # registered once
    second = tracking.log_embedder(uri, run_id, portable(tmp_path / "b", seed=1))
    assert tracking.register(uri, run_id, "shoes", "champion") == 2
    assert first != second
    held = client(uri).get_model_version_by_alias("shoes", "champion")
    assert int(held.version) == 2 and second in held.source


def test_a_registered_embedder_leads_to_its_run(uri: str, tmp_path: Path) -> None:
    run_id, other = new_run(uri), new_run(uri)
    for run, folder in ((run_id, "a"), (other, "b")):
        (tmp_path / folder).mkdir()
        tracking.log_embedder(uri, run, portable(tmp_path / folder))
    tracking.register(uri, run_id, "shoes", "champion")
    tracking.register(uri, other, "shoes")
    assert tracking.find_run(uri, "shoes", "models:/shoes@champion") == run_id
    assert tracking.find_run(uri, "shoes", "models:/shoes/2") == other
    assert tracking.find_run(uri, "an experiment that is not there", "models:/shoes/1") == run_id
    for wrong in (
        "models:/shoes@nobody",
        "models:/shoes/9",
        "models:/boots/1",
        "models:/shoes",
        "models:shoes/1",
    ):
        with pytest.raises(LensError, match=wrong):
            tracking.find_run(uri, "shoes", wrong)


def test_no_store_is_made_to_look_for_a_registered_model(tmp_path: Path) -> None:
    with pytest.raises(LensError, match="is not there"):
        tracking.find_run(f"sqlite:///{tmp_path / 'none.db'}", "shoes", "models:/shoes/1")
    assert not list(tmp_path.iterdir())


def test_a_run_without_an_embedder_cannot_be_registered(uri: str) -> None:
    run_id = new_run(uri)
    with pytest.raises(LensError, match=f"Run {run_id} logged no embedder"):
        tracking.register(uri, run_id, "shoes")
    assert not client(uri).search_registered_models()


def test_what_fails_halfway_leaves_no_model(uri: str, tmp_path: Path) -> None:
    run_id, given = new_run(uri), portable(tmp_path)
    given.weights.unlink()
    with pytest.raises(LensError, match=f"embedder of run {run_id} could not be logged"):
        tracking.log_embedder(uri, run_id, given)
    experiment = client(uri).get_run(run_id).info.experiment_id
    assert not client(uri).search_logged_models([experiment])


@pytest.mark.parametrize(
    ("text", "meant"), [("shoes", ("shoes", None)), ("my shoes@champion", ("my shoes", "champion"))]
)
def test_a_registration_is_a_name_and_maybe_an_alias(text: str, meant: tuple[str, str | None]) -> None:
    assert read_registration(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "@champion",
        "a/b",
        "a:b",
        "women's",
        'the "best"',
        "shoes@",
        "shoes@a b",
        "shoes@v1",
        "shoes@latest",
    ],
)
def test_what_mlflow_would_refuse_is_refused_before_a_training(text: str, uri: str) -> None:
    with pytest.raises(LensError, match="NAME or NAME@ALIAS"):
        read_registration(text)
    if text:
        with pytest.raises(LensError, match="NAME or NAME@ALIAS"):
            tracking.RunLogger(uri, register=text)


def test_registering_needs_the_embedder(uri: str) -> None:
    with pytest.raises(LensError, match="logger.embedder=true"):
        tracking.RunLogger(uri, embedder=False, register="shoes")


def test_the_command_registers_and_says_how_it_is_loaded(uri: str, tmp_path: Path) -> None:
    run_id = new_run(uri)
    tracking.log_embedder(uri, run_id, portable(tmp_path))

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
        program = [sys.executable, "-m", "lens.tracking", "register", "--experiment", "shoes", *words]
        return subprocess.run(program, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)

    done = command(run_id[:10], "shoes@champion")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"runs:/{run_id}/embedder is models:/shoes/1 and models:/shoes@champion.\n"
    wrong = command("last", "shoes@v1")
    assert wrong.returncode == 1 and "NAME@ALIAS" in wrong.stderr and "Traceback" not in wrong.stderr


class Counting:
    """An embedder that remembers how many images it was given at a time."""

    takes_texts = False

    def __init__(self) -> None:
        self.batches: list[int] = []

    def open(self, source: bytes) -> bytes:
        if source == b"rubbish":
            raise LensError("the image cannot be read: it is damaged")
        return source

    def images(self, images: list[bytes]) -> np.ndarray:
        self.batches.append(len(images))
        return np.array([[len(image), 0] for image in images], np.float32)


def test_a_long_table_is_decoded_in_parts_and_keeps_its_order() -> None:
    embedder = Counting()
    rows = [b"x" * (1 + row) for row in range(2 * DECODED + 3)]
    found = Served(embedder).predict(pd.DataFrame({"image": rows}))
    assert embedder.batches == [DECODED, DECODED, 3] and found[:, 0].tolist() == [len(row) for row in rows]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"image": [b"ok", b"rubbish"]}, "Row 1: the image cannot be read"),
        ({"image": [b"ok", None]}, "Row 1: the image is missing"),
        ({"image": []}, "one or more rows with one column: image"),
        ({"foto": [b"ok"]}, "one column: image"),
        ({"text": ["a boot"]}, "one column: image"),
    ],
)
def test_a_table_that_cannot_be_embedded_is_one_sentence(table: dict[str, Any], said: str) -> None:
    with pytest.raises(MlflowException, match=said) as caught:
        Served(Counting()).predict(pd.DataFrame(table))
    assert "\n" not in caught.value.message and caught.value.get_http_status_code() == 400
