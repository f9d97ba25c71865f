"""What a run left behind: its checkpoint, whole or broken, and its index, fetched once for each export."""

import os
import random
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import torch

from lens.config import build
from lens.errors import LensError
from lens.index import load, open_index, save
from lens.tracking import add_to_run, prepare_store
from lens.tracking.runs import start_run
from lens.tracking.store import client
from lens.trained import embedder_of, index_of, load_model
from tests.bulk.trained import ROOT

TINY = {"image_size": 32, "patch_size": 16, "hidden_size": 16, "layers": 1, "heads": 1}
CONFIG: dict[str, Any] = {
    "model": {"_target_": "lens.models.vit.MaskedPatchViT", "weights": "random", **TINY}
}


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = f"sqlite:///{tmp_path_factory.mktemp('trained') / 'mlflow.db'}"
    prepare_store(made, "shoes")
    return made


@pytest.fixture
def run_id(uri: str) -> str:
    return start_run(uri, prepare_store(uri, "shoes"), "run", {"model": "m"})


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # where fetched indices are kept
    return tmp_path / "home"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small model's checkpoint."""
    file = tmp_path_factory.mktemp("checkpoint") / "best.ckpt"
    torch.save({"state_dict": build(CONFIG["model"]).state_dict(), "epoch": 1}, file)
    return file.read_bytes()


def hand_over(uri: str, run_id: str, checkpoint: bytes, tmp_path: Path) -> None:
    file = tmp_path / "best.ckpt"
    file.write_bytes(checkpoint)
    add_to_run(uri, run_id, files=[file], folder="checkpoints")


def artefacts(uri: str, run_id: str) -> Path:
    return Path(client(uri).get_run(run_id).info.artifact_uri.removeprefix("file://"))


def test_a_broken_checkpoint_is_one_sentence(
    uri: str, run_id: str, checkpoint: bytes, tmp_path: Path
) -> None:
    hand_over(uri, run_id, checkpoint, tmp_path)
    whole = load_model(uri, run_id, CONFIG)
    assert not whole.training
    file = artefacts(uri, run_id) / "checkpoints" / "best.ckpt"
    chosen = random.Random(0)
    broken = [checkpoint[: chosen.randrange(len(checkpoint))] for _ in range(8)]
    broken += [
        b"",
        b"\n",
        b"<html>",
        b"hello\n",
        bytes(4000),
        chosen.randbytes(1000),
        b"\x80\x02" + chosen.randbytes(50),
    ]
    for _ in range(20):
        flipped = bytearray(checkpoint)
        flipped[chosen.randrange(2000)] ^= 0xFF
        broken.append(bytes(flipped))
    told = 0
    for content in broken:
        file.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of pickles
            try:
                load_model(uri, run_id, CONFIG)
            except LensError as error:
                told += 1
                assert run_id in str(error) and "checkpoint" in str(error) and "\n" not in str(error)
    assert told >= 20  # a byte of a name or a weight may be another one and nothing shows
    for saved, words in (
        ([1, 2], "cannot be read"),
        ({"epoch": 1}, "cannot be read"),
        ({"state_dict": 3}, "not fit"),
    ):
        torch.save(saved, file)
        with pytest.raises(LensError, match=words):
            load_model(uri, run_id, CONFIG)


def test_a_broken_configuration_is_one_sentence(uri: str, run_id: str) -> None:
    for content in (b"model: [", b"\xff\xfe\x00"):
        folder = artefacts(uri, run_id)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_bytes(content)
        with pytest.raises(LensError, match=f"The config.yaml of run {run_id} is broken") as told:
            embedder_of(uri, run_id)
        assert "\n" not in str(told.value)


def export(uri: str, run_id: str, tmp_path: Path, seed: int) -> str:
    """What a training does with its index; returns the index's id."""
    import pandas as pd

    vectors = np.random.default_rng(seed).normal(size=(20, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [f"i{number:02}" for number in range(20)]
    columns = {name: texts for name in ("item_id", "product_id", "category", "path", "split", "role")}
    items = pd.DataFrame({**columns, "split": "train", "role": "", "captions": [[text] for text in texts]})
    about: dict[str, Any] = {"model": {"name": "m", "target": "t", "config": {}}, "preprocessing": {}}
    save(tmp_path / "index", vectors, items, **about, run_id=run_id)
    add_to_run(uri, run_id, files=[tmp_path / "index"], folder="index")
    return str(load(tmp_path / "index").manifest["id"])


def test_a_resumed_runs_index_is_fetched_anew_and_the_older_stays(
    uri: str, run_id: str, tmp_path: Path, home: Path
) -> None:
    first = export(uri, run_id, tmp_path, 1)
    folder = index_of(uri, run_id)
    assert index_of(uri, run_id) == folder and home in folder.parents
    with open_index(folder) as reader:
        assert reader.manifest["id"] == first
        second = export(uri, run_id, tmp_path, 2)
        newer = index_of(uri, run_id)
        assert newer != folder and load(newer).manifest["id"] == second
        assert load(folder).manifest["id"] == first and len(reader.vectors([0, 19])) == 2
    os.rename(newer, newer.with_name(run_id))  # as it was called once
    assert index_of(uri, run_id) == newer.with_name(run_id)
    export(uri, run_id, tmp_path, 3)
    assert index_of(uri, run_id) != newer.with_name(run_id)


def test_what_was_changed_in_a_fetched_index_stays(uri: str, run_id: str, tmp_path: Path) -> None:
    export(uri, run_id, tmp_path, 1)
    folder = index_of(uri, run_id)
    index = load(folder)
    about = {key: index.manifest[key] for key in ("model", "preprocessing")}
    save(folder, index.vectors[:5], index.items[:5], **about, run_id=run_id)  # another id
    assert index_of(uri, run_id) == folder and len(open_index(folder)) == 5


FETCH = "import sys; from lens.trained import index_of; print(index_of(*sys.argv[1:]))"


@pytest.mark.slow
def test_processes_that_fetch_the_same_index_at_once_get_the_same_folder(
    uri: str, run_id: str, tmp_path: Path, home: Path
) -> None:
    export(uri, run_id, tmp_path, 1)
    command = [sys.executable, "-c", FETCH, uri, run_id]
    jobs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = {job.communicate(timeout=120)[0].splitlines()[-1] for job in jobs}
    assert [job.returncode for job in jobs] == [0, 0] and said == {str(index_of(uri, run_id))}
    assert len(list((home / ".cache" / "shopping-lens" / "indices").iterdir())) == 1


def test_threads_that_fetch_the_same_index_at_once_get_the_same_folder(
    uri: str, run_id: str, tmp_path: Path, home: Path
) -> None:
    for seed in range(4):
        export(uri, run_id, tmp_path, seed)
        together = Barrier(4)
        with ThreadPoolExecutor(4) as pool:
            said = set(pool.map(lambda _: together.wait() >= 0 and index_of(uri, run_id), range(4)))  # noqa: B023
        assert len(said) == 1
    assert len(list((home / ".cache" / "shopping-lens" / "indices").iterdir())) == 4


def test_the_folder_that_another_process_just_made_is_taken(uri: str, run_id: str, tmp_path: Path) -> None:
    from lens.index.manifest import read_manifest
    from lens.trained import _kept

    export(uri, run_id, tmp_path, 1)
    there = index_of(uri, run_id)
    fetched = Path(shutil.copytree(there, tmp_path / "fetched"))
    assert _kept(fetched, read_manifest(there)[0], there) == there
    (there / "manifest.json").unlink()  # half of a folder
    with pytest.raises(LensError, match=f"The index of run {run_id} cannot be kept in .*: .*not empty"):
        index_of(uri, run_id)


def test_an_index_that_is_handed_over_meanwhile_is_not_kept(
    uri: str, run_id: str, tmp_path: Path, home: Path
) -> None:
    export(uri, run_id, tmp_path, 1)
    vectors = (tmp_path / "index" / "vectors.npy").read_bytes()
    export(uri, run_id, tmp_path, 2)
    file = artefacts(uri, run_id) / "index" / "vectors.npy"
    whole = file.read_bytes()
    file.write_bytes(vectors)  # as long as the new ones
    with pytest.raises(LensError, match="sha256"):
        index_of(uri, run_id)
    assert not list((home / ".cache" / "shopping-lens" / "indices").iterdir())
    file.write_bytes(whole)
    assert len(open_index(index_of(uri, run_id), verify=True)) == 20


def test_a_run_without_an_index_says_so(uri: str, run_id: str) -> None:
    with pytest.raises(LensError, match=f"Run {run_id} has no artefact 'index/manifest.json'"):
        index_of(uri, run_id)
    note = start_run(uri, prepare_store(uri, "shoes"), "note", {})
    with pytest.raises(LensError, match=f"Run {note} trained no model, so it has no index"):
        index_of(uri, note)
