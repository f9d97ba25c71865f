"""A hybrid of two real runs, as a person makes it: trained, judged, compared, searched, refused."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lens.tracking import find_run, run_metrics
from tests.test_commands import ROOT, command

pytestmark = pytest.mark.slow

QUICK = (
    "trainer.progress=false",
    "data.progress=false",
    "logger.system_metrics=false",
    "callbacks.pictures=null",
)


@pytest.fixture(scope="module")
def shop(
    shoes: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    folder = tmp_path_factory.mktemp("hybrid")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    data = (
        f"data.root={shoes}", "data.items=72", "data.views_per_product=2", "data.render_size=32", "data.image_size=32",
        "data.batch_size=8", "data.images_per_class=2",
    )  # fmt: skip
    for model in ("clip_tiny", "resnet_tiny"):
        command(folder, uri, str(ROOT / "train.py"), f"model={model}", *data, "trainer.max_epochs=1", *QUICK)
    hybrid = ("model=hybrid", "model.runs=[clip_tiny,resnet_tiny]")
    command(folder, uri, str(ROOT / "train.py"), *hybrid, *data, *QUICK)
    yield folder, uri, data
    for name in ("clip_tiny", "resnet_tiny", "hybrid"):
        shutil.rmtree(ROOT / "runs" / find_run(uri, which=name), ignore_errors=True)


def test_a_hybrid_is_a_run_like_any_other(shop: tuple[Path, str, tuple[str, ...]], shoes: Path) -> None:
    folder, uri, _ = shop
    metrics = {
        name: run_metrics(uri, find_run(uri, which=name)) for name in ("clip_tiny", "resnet_tiny", "hybrid")
    }
    weights = [value for key, value in metrics["hybrid"].items() if key.startswith("weight/")]
    assert sum(weights) == pytest.approx(1) and len(weights) == 2
    best = max(metrics[name]["val/precision_at_1"] for name in ("clip_tiny", "resnet_tiny"))
    assert metrics["hybrid"]["val/precision_at_1"] >= best - 1e-6
    command(folder, uri, str(ROOT / "evaluate.py"), "run=hybrid", "out=scores.json")
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["metrics"]["precision_at_1"] == pytest.approx(
        metrics["hybrid"]["test/precision_at_1"], abs=1e-3
    )
    command(
        folder, uri, str(ROOT / "evaluate.py"), "runs=[hybrid,clip_tiny]", "out=compared", "indicators=false"
    )
    assert "hybrid" in (folder / "compared" / "comparison.html").read_text()
    photograph = next(path for path in shoes.rglob("*.jpg"))
    answer = command(folder, uri, "-m", "lens.index", "run=hybrid", f"query={photograph}", "k=3")
    assert "3 of 72 items" in answer


def test_what_cannot_be_joined_is_one_sentence(shop: tuple[Path, str, tuple[str, ...]]) -> None:
    folder, uri, data = shop
    train = (str(ROOT / "train.py"), "model=hybrid", *QUICK)
    for words, said in (
        (("model.runs=[clip_tiny]", *data), "needs two runs or more"),
        (("model.runs=[clip_tiny,nothing]", *data), "no run 'nothing'"),
        (("model.runs=[clip_tiny,hybrid]", *data), "is a hybrid itself"),
        (("model.runs=[clip_tiny,resnet_tiny]", *data, "data.split_seed=5"), "on the data of its members"),
        (("model.runs=[clip_tiny,resnet_tiny]", *data, "data.image_size=64"), "give data.image_size=32"),
        (data, "model.runs is not set"),
    ):
        output = command(folder, uri, *train, *words, status=2)
        assert said in output and "Traceback" not in output
