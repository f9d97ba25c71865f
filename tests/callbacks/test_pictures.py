"""What a run's end leaves: every picture, the calibration's figures, and no crash where something cannot be drawn."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from lens.callbacks import Pictures, RetrievalEvaluation
from lens.callbacks.pictures import PICTURES
from lens.callbacks.space import search_side
from lens.data import module
from lens.data.module import ShoppingData
from lens.data.sources import read_manifest, read_rendered
from lens.errors import LensError
from lens.figures.style import texts
from lens.metrics.calibration import Calibration, band_table
from lens.models.vit import MaskedPatchViT


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_lightning: None) -> None:
    monkeypatch.setattr(module, "SCAN_CACHE", tmp_path / "images.parquet")


def made(shoes: Path, folder: Path, table: pd.DataFrame | None = None, **more: Any) -> ShoppingData:
    """The rendered shoes, or those of a table with other columns."""
    read: Any = partial(read_rendered, shoes, items=72, views_per_product=2, render_size=32)
    if table is not None:
        table.to_csv(folder / "m.csv", index=False)
        read = partial(read_manifest, folder / "m.csv")
    given = {"images_per_class": 2, "workers": 0, "progress": False, "split_seed": 3} | more
    data = ShoppingData(read, 32, 8, **given)
    data.setup()
    return data


def listed(shoes: Path, items: int = 72) -> pd.DataFrame:
    table = read_rendered(shoes, items=72, views_per_product=2, render_size=32).table.iloc[:items]
    paths = [str(shoes / path) for path in table["path"]]
    return pd.DataFrame({"path": paths, "category": table["category"].to_numpy()})


class Flat(pl.LightningModule):
    """Its pixels are its embedding; it rebuilds pictures mirrored."""

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(images.flatten(1), dim=1)

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor | None:
        return images.flip(-1)


class Collapsed(Flat):
    """Every picture is the same to it."""

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(torch.ones(len(images), 4), dim=1)


class Album:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.values: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}

    def log_figure(self, figure: Any, name: str) -> None:
        self.figures[name.removeprefix("pictures/").removesuffix(".png")] = figure

    def log_dict(self, values: dict[str, Any], name: str) -> None:
        self.values[name] = json.loads(json.dumps(values, allow_nan=False))

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.metrics |= metrics


def trainer_of(data: ShoppingData, logger: Any = None) -> Any:
    plugin = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False).precision_plugin
    return SimpleNamespace(
        datamodule=data, precision_plugin=plugin, logger=logger, is_global_zero=True, global_step=7
    )


def album(data: ShoppingData, model: Any = None, **settings: Any) -> Album:
    kept = Album()
    Pictures(**({"queries": 3, "k": 3} | settings)).on_test_end(trainer_of(data, kept), model or Flat())
    return kept


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "lens.callbacks.pictures"]


def test_all_pictures_name_their_side_and_say_what_to_look_for(shoes: Path, tmp_path: Path) -> None:
    data = made(shoes, tmp_path)
    kept = album(data, queries=4, k=3)
    assert set(kept.figures) == set(PICTURES) - {"masked_patches"}
    for name, figure in kept.figures.items():
        side = "test" if name == "calibration" else "validation"
        assert f"({side})" in texts(figure)[0] and "ook " in texts(figure)[1], name
    assert len(kept.figures["neighbours"].axes) == len(kept.figures["worst_queries"].axes) == 4 * 4
    assert texts(kept.figures["worst_queries"])[0].startswith("Worst queries (validation): the 4 of ")


def test_the_bands_are_judged_on_test_with_the_calibration_of_validation(shoes: Path, tmp_path: Path) -> None:
    data = made(shoes, tmp_path)
    kept = album(data, which=("calibration",))
    values = kept.values["calibration.json"]
    assert (values["fitted_on"], values["judged_on"]) == ("validation", "test")
    sides = {side: search_side(trainer_of(data), Flat(), side, 10) for side in ("val", "test")}
    table = band_table(*sides["test"].results(10))
    assert kept.metrics["test/high_precision"] == table["precision"][0]
    assert kept.metrics["test/high_share"] == table["share"][0]
    calibration = Calibration.from_dict(values["calibration"])
    assert calibration.queries == len(data.rows("val")) and calibration.results == len(
        sides["val"].results(10)[0]
    )


def test_without_a_validation_side_test_serves_and_is_marked(shoes: Path, tmp_path: Path) -> None:
    kept = album(made(shoes, tmp_path, val=0.0))
    assert kept.values["calibration.json"]["fitted_on"] == "test"
    assert "FITTED AND JUDGED ON THE SAME RESULTS" in texts(kept.figures["calibration"])[1]
    assert set(kept.figures) == set(PICTURES) - {"masked_patches"}
    assert all("(test)" in texts(figure)[0] for figure in kept.figures.values())


def test_queries_search_the_gallery_where_there_are_roles(shoes: Path, tmp_path: Path) -> None:
    table = listed(shoes)
    random = np.random.default_rng(0)
    table["split"] = random.permutation(["train", "val", "test"] * 24)
    table["role"] = random.permutation(["query", "gallery"] * 36)
    data = made(shoes, tmp_path, table, duplicates="ignore")
    side = search_side(trainer_of(data), Flat(), "val", 4)
    roles = data.catalogue.table["role"].to_numpy()
    assert set(roles[side.rows[side.queries]]) == {"query"} and set(roles[side.rows[side.found.ravel()]]) == {
        "gallery"
    }
    assert set(album(data).figures) == set(PICTURES) - {"masked_patches"}


def test_a_small_catalogue_gets_what_can_be_drawn(
    shoes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = listed(shoes, 38)
    table["split"] = ["train"] * 30 + ["val"] * 2 + ["test"] * 6
    table["category"] = ["a", "b"] * 19
    data = made(shoes, tmp_path, table, duplicates="ignore")
    assert not data.judgeable("val")
    kept = album(data)
    assert set(kept.figures) == set(PICTURES) - {"masked_patches"} and not told(caplog)
    assert "6 items of 2 categories, PCA" in texts(kept.figures["projection"])[0]
    for figure in kept.figures.values():
        figure.savefig(tmp_path / "any.png")


def test_one_category_and_a_collapse_leave_pictures_out_and_say_why(
    shoes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = listed(shoes)
    table["category"], table["product_id"] = "shoe", [f"p{place // 4}" for place in range(72)]
    data = made(shoes, tmp_path, table, relevance="product", duplicates="ignore")
    kept = album(data, Collapsed())
    first, second = told(caplog)
    assert first.startswith("pictures/projection.png is left out: all vectors are the same")
    assert second == "pictures/confusion.png is left out: one category cannot be taken for another."
    assert set(kept.figures) == set(PICTURES) - {"masked_patches", "projection", "confusion"}


def test_a_picture_that_fails_takes_no_other_with_it(
    shoes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Flat):
        def reconstruct(self, images: torch.Tensor) -> torch.Tensor | None:
            raise RuntimeError("out of memory")

    kept = album(made(shoes, tmp_path), Broken(), which=("reconstructions", "confusion"))
    assert set(kept.figures) == {"confusion"}
    assert told(caplog) == ["pictures/reconstructions.png is left out: RuntimeError: out of memory."]


def test_a_model_that_paints_nothing_has_no_such_picture(
    shoes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Silent(Flat):
        def reconstruct(self, images: torch.Tensor) -> torch.Tensor | None:
            return None

    assert not album(made(shoes, tmp_path), Silent(), which=("reconstructions", "masked_patches")).figures
    assert not told(caplog)


def test_nothing_is_computed_without_a_logger_or_a_picture() -> None:
    nothing: Any = None
    Pictures().on_test_end(trainer_of(nothing), nothing)
    Pictures(which=()).on_test_end(trainer_of(nothing, Album()), nothing)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"which": ("neighbors",)}, "no picture neighbors; nearest is neighbours"),
        ({"queries": 0}, "callbacks.pictures.queries=0"),
        ({"k": 0}, "callbacks.pictures.k=0"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LensError, match=sentence):
        Pictures(**settings)


def test_a_run_ends_with_every_picture_in_its_store(shoes: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    from lens.tracking import RunLogger

    uri, data = f"sqlite:///{tmp_path / 'mlflow.db'}", made(shoes, tmp_path)
    vit = MaskedPatchViT(32, 8, 16, 2, 2, weights="random")
    logger = RunLogger(uri, "shoes", system_metrics=False, folder=tmp_path / "spool")
    with logger:
        trainer = pl.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=logger,
            callbacks=[RetrievalEvaluation(), Pictures(queries=3, k=2)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
        trainer.fit(vit, data)
        trainer.test(vit, data, verbose=False)
    client, run_id = MlflowClient(uri), str(logger.run_id)
    names = {Path(item.path).stem for item in client.list_artifacts(run_id, "pictures")}
    assert names == set(PICTURES) - {"reconstructions"}
    folder = Path(client.download_artifacts(run_id, "pictures", str(tmp_path)))
    for name in names:
        picture = matplotlib.image.imread(folder / f"{name}.png")
        assert min(picture.shape[:2]) > 200 and np.ptp(picture[..., :3]) > 0.9, name
    path = client.download_artifacts(run_id, "calibration.json", str(tmp_path))
    values = json.loads(Path(path).read_text())
    metrics = client.get_run(run_id).data.metrics
    assert metrics["test/high_share"] == pytest.approx(values["bands"][0]["share"])
    assert metrics["test/high_precision"] == pytest.approx(values["bands"][0]["precision"])
