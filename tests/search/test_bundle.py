"""An embedder that travels as a folder is the same embedder at the other end."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lens.config import build, compose_file, plain
from lens.errors import LensError
from lens.models.hybrid import Hybrid, Member
from lens.models.tokens import Tokens
from lens.search.bundle import ABOUT, WEIGHTS, pack, unpack
from lens.search.embedder import Embedder

CONF = Path(__file__).parents[2] / "conf"
TINY = ["resnet_tiny", "vit_tiny", "autoencoder_tiny", "clip_tiny"]


@pytest.fixture(autouse=True)
def _quiet(quiet_lightning: None) -> None:
    pass


def packed(name: str, folder: Path, precision: str = "32-true") -> Any:
    torch.manual_seed(0)
    node = plain(compose_file(CONF, "train", ["model_name=x", f"model={name}"]))["model"]
    model = build(node)
    if name == "clip_tiny":
        model.tokens = Tokens.train(["a red boot", "a sandal"])
    # As a run of published weights would have it: what is packed must not be looked for anywhere.
    pack(folder, {**node, "weights": "pretrained"}, image_size=64, name=name, run_id="r", precision=precision)
    checkpoint: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, folder / WEIGHTS)
    return model.eval()


def photographs() -> list[Image.Image]:
    draw = np.random.default_rng(0)
    return [
        Image.fromarray(draw.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in ((80, 60), (30, 90))
    ]


@pytest.mark.parametrize("name", TINY)
def test_the_unpacked_embedder_gives_the_same_vectors(name: str, tmp_path: Path) -> None:
    model = packed(name, tmp_path)
    embedder = unpack(tmp_path)
    assert (embedder.name, embedder.run_id, embedder.image_size) == (name, "r", 64)
    own = Embedder(model, 64, name=name)
    assert np.array_equal(embedder.images(photographs()), own.images(photographs()))
    assert embedder.takes_texts == (name == "clip_tiny")
    if embedder.takes_texts:
        assert np.array_equal(embedder.texts(["boot", "a red one"]), own.texts(["boot", "a red one"]))


def test_it_computes_in_the_precision_of_its_run(tmp_path: Path) -> None:
    model = packed("vit_tiny", tmp_path, precision="bf16-mixed")
    half = Embedder(model, 64, name="x", precision=lambda: torch.autocast("cpu", torch.bfloat16))
    full = Embedder(model, 64, name="x").images(photographs())
    found = unpack(tmp_path).images(photographs())
    assert np.array_equal(found, half.images(photographs())) and np.abs(found - full).max() > 1e-4


def test_a_hybrid_brings_its_members(tmp_path: Path) -> None:
    for name in ("vit_tiny", "clip_tiny"):
        packed(name, tmp_path / name)
    members = []
    for name in ("vit_tiny", "clip_tiny"):
        about = json.loads((tmp_path / name / ABOUT).read_text())
        node = {"_target_": about["target"], **about["settings"]}
        members.append(Member(unpack(tmp_path / name).model.cpu(), name, "r", 64, node))
    model = Hybrid(members, build)
    model.weights.copy_(torch.tensor([0.3, 0.7]))
    model.means[0].normal_(0, 0.1)
    checkpoint: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(checkpoint)
    node = {"_target_": "lens.trained.hybrid", "runs": ["gone", "away"], "uri": "sqlite:////nowhere/none.db"}
    pack(tmp_path / "both", node, image_size=64, name="hybrid", run_id="r")
    torch.save(checkpoint, tmp_path / "both" / WEIGHTS)
    embedder, own = unpack(tmp_path / "both"), Embedder(model.eval(), 64, name="hybrid")
    assert np.array_equal(embedder.images(photographs()), own.images(photographs()))
    assert np.array_equal(embedder.texts(["a red boot"]), own.texts(["a red boot"]))
    assert "nowhere" not in (tmp_path / "both" / ABOUT).read_text()  # an address may hold a password


@pytest.mark.parametrize("file", [ABOUT, WEIGHTS])
@pytest.mark.parametrize("fault", ["missing", "cut"])
def test_a_folder_that_is_not_whole_is_a_sentence(file: str, fault: str, tmp_path: Path) -> None:
    packed("autoencoder_tiny", tmp_path)
    if fault == "missing":
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:-50])
    with pytest.raises(LensError, match="no whole embedder"):
        unpack(tmp_path)


def test_nothing_that_a_checkpoint_pickles_is_executed(tmp_path: Path) -> None:
    packed("autoencoder_tiny", tmp_path)

    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    held = torch.load(tmp_path / WEIGHTS, weights_only=True)
    torch.save({**held, "trap": Trap()}, tmp_path / WEIGHTS)
    with pytest.raises(LensError):
        unpack(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_what_describes_it_is_plain_to_read(tmp_path: Path) -> None:
    packed("resnet_tiny", tmp_path)
    about = json.loads((tmp_path / ABOUT).read_text())
    assert about["target"] == "lens.models.resnet.TripletResNet" and about["settings"]["weights"] == "random"
