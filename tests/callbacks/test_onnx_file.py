"""What onnxruntime computes from a file, beside what the model computes."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from lens.callbacks.onnx_file import OPSET, check_installed, session_of, write_onnx
from lens.config import build, compose_file, plain
from lens.data.images import fit_square
from lens.data.pictures import as_tensor
from lens.data.sources import read_rendered
from lens.errors import LensError
from lens.models.tokens import Tokens

CONF = Path(__file__).parents[2] / "conf"
TINY = ["resnet_tiny", "vit_tiny", "autoencoder_tiny", "clip_tiny"]
ONE_LAYER = ("clip_tiny", "model.vision_layers=1", "model.text_layers=1", "model.stem=patches")
SLOW = {name: pytest.mark.slow for name in ("clip_tiny", "resnet_tiny", "vit_tiny")}  # seconds each to write
CAPTIONS = ["a black leather boot", "a red sandal with straps", "sandal"]


@pytest.fixture(autouse=True)
def _quiet(quiet_lightning: None) -> None:
    pass


def tiny(name: str, *settings: str) -> Any:
    torch.manual_seed(0)
    words = ["model_name=x", f"model={name}", *settings]
    model = build(plain(compose_file(CONF, "train", words))["model"])
    if hasattr(model, "tokens"):
        model.tokens = Tokens.train(CAPTIONS)
    for part in model.modules():  # statistics of a trained network, which a constant fold would have to keep
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    return model


def computed(path: Path, **inputs: Tensor) -> np.ndarray:
    (vectors,) = session_of(path, 1).run(None, {name: value.numpy() for name, value in inputs.items()})
    return vectors  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=SLOW.get(name, ())) for name in [*TINY, "clip_tiny one layer"]]
)
def test_the_file_computes_what_the_model_computes(name: str, tmp_path: Path, capfd: Any) -> None:
    model = tiny(*ONE_LAYER) if "one layer" in name else tiny(name)
    differences = write_onnx(model.train(), 64, tmp_path / "onnx")
    assert model.training and max(differences.values()) < 1e-5
    assert capfd.readouterr().out == ""
    path = tmp_path / "onnx" / "model.onnx"
    written = onnx.load(str(path))
    onnx.checker.check_model(written)
    assert {entry.domain: entry.version for entry in written.opset_import}[""] == OPSET
    assert [part.name for part in written.graph.input] == ["images"]
    model.eval()
    for batch in (1, 7):  # neither was seen when it was written
        pictures = torch.rand(batch, 3, 64, 64, generator=torch.Generator().manual_seed(batch))
        found = computed(path, images=pictures)
        with torch.inference_mode():
            np.testing.assert_allclose(found, model.embed_images(pictures).numpy(), atol=1e-5)
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    if name.startswith("clip"):
        the_text_tower_needs_only_its_own_files(model, tmp_path / "onnx")


def the_text_tower_needs_only_its_own_files(model: Any, folder: Path) -> None:
    words = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for texts in (["red"], [*CAPTIONS, "boot", "a pair of shoes that nobody has described so far"]):
        encoded = words.encode_batch(texts)
        ids, mask = (torch.tensor([getattr(e, key) for e in encoded]) for key in ("ids", "attention_mask"))
        with torch.inference_mode():
            wanted = model.embed_texts(texts).numpy()
        np.testing.assert_allclose(computed(folder / "text.onnx", ids=ids, mask=mask), wanted, atol=1e-5)


class Moody(nn.Module):
    """Computes something else where it is traced, as a network with a hidden state would."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, 4))

    def embed_images(self, images: Tensor) -> Tensor:
        seen = images.mean((2, 3)) if torch.compiler.is_exporting() else images.amax((2, 3))
        return F.normalize(seen @ self.weight, dim=1)


class Fixed(nn.Module):
    """Works for the number of pictures it was written with only."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, 4))

    def embed_images(self, images: Tensor) -> Tensor:
        return F.normalize(images.mean((2, 3)) @ self.weight + torch.rand(len(images), 4) * 0, dim=1)


@pytest.mark.parametrize("kind", [Moody, Fixed])
def test_a_file_that_computes_something_else_is_not_kept(kind: type[nn.Module], tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"of an earlier run")
    with pytest.raises(LensError, match="model.onnx"):
        write_onnx(kind(), 16, tmp_path / "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["onnx"]
    assert (tmp_path / "onnx" / "model.onnx").read_bytes() == b"of an earlier run"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(LensError, match="onnxscript.*pip install onnxscript"):
        check_installed()


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_the_file_finds_the_same_neighbours(name: str, tmp_path: Path) -> None:
    """Cosines may agree while neighbours differ: what counts is whom a search finds."""
    catalogue = read_rendered(tmp_path / "shoes", items=300, views_per_product=2, render_size=64)
    pictures = torch.stack(
        [as_tensor(fit_square(catalogue.open_image(row), 64)) for row in range(len(catalogue))]
    )
    model = tiny(name).eval()
    write_onnx(model, 64, tmp_path / "onnx")
    with torch.inference_mode():
        ours = model.embed_images(pictures).numpy()
    theirs = computed(tmp_path / "onnx" / "model.onnx", images=pictures)

    def nearest(vectors: np.ndarray) -> list[set[int]]:
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -2)
        return [set(row) for row in np.argsort(-cosines, axis=1, kind="stable")[:, :10].tolist()]

    shared = [len(a & b) / 10 for a, b in zip(nearest(ours), nearest(theirs), strict=True)]
    assert np.mean(shared) > 0.995
