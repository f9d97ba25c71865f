"""A catalogue becomes batches."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lens.data import module
from lens.data.augment import Augmentation
from lens.data.module import ShoppingData
from lens.data.sampler import Draw
from lens.data.sources import read_folder, read_manifest, read_rendered
from lens.errors import LensError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCAN_CACHE", tmp_path / "cache" / "images.parquet")


@pytest.fixture
def rendered(shoes: Path) -> Callable[..., ShoppingData]:
    read = partial(read_rendered, shoes, items=72, views_per_product=2, render_size=32)

    def make(**how: Any) -> ShoppingData:
        given = {
            "image_size": 32,
            "batch_size": 8,
            "images_per_class": 2,
            "workers": 0,
            "progress": False,
        } | how
        data = ShoppingData(read, **given)
        data.setup()
        return data

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three categories of 12 noise pictures, all different."""
    random = np.random.default_rng(0)
    for category in ("boot", "sandal", "sneaker"):
        (tmp_path / "photos" / category).mkdir(parents=True)
        for place in range(12):
            coarse = Image.fromarray(random.integers(0, 255, (6, 6, 3), np.uint8).astype(np.uint8))
            coarse.resize((40, 30), Image.Resampling.BICUBIC).save(
                tmp_path / "photos" / category / f"{place:02}.png"
            )
    return tmp_path / "photos"


def of_folder(folder: Path, **how: Any) -> ShoppingData:
    given = {"image_size": 32, "batch_size": 8, "images_per_class": 2, "workers": 0, "progress": False} | how
    data = ShoppingData(partial(read_folder, folder), **given)
    data.setup()
    return data


def test_a_batch_is_what_the_models_expect(rendered: Any) -> None:
    data = rendered()
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (8, 3, 32, 32) and batch["image"].dtype == torch.float32
    assert 0 <= batch["image"].min() and batch["image"].max() <= 1
    for name in ("category", "product", "index"):
        assert batch[name].shape == (8,) and batch[name].dtype == torch.int64
    table = data.catalogue.table
    for place, row in enumerate(batch["index"].tolist()):
        assert data.side[row] == "train"
        assert batch["captions"][place] == list(table["captions"][row])
        same = table["category"].to_numpy() == table["category"][row]
        assert (data.labels["category"][same] == int(batch["category"][place])).all()
    _, counts = np.unique(batch["category"], return_counts=True)
    assert counts.tolist() == [2, 2, 2, 2]


def test_no_product_and_no_picture_lies_on_two_sides(rendered: Any) -> None:
    data = rendered()
    sides = {side: set(data.rows(side)) for side in ("train", "val", "test")}
    assert sorted(row for rows in sides.values() for row in rows) == list(range(72)) and all(sides.values())
    products = data.catalogue.table["product_id"].groupby(data.catalogue.table["product_id"]).groups
    for rows in products.values():
        assert len({data.side[row] for row in rows}) == 1
    seen = {row for batch in data.train_dataloader() for row in batch["index"].tolist()}
    assert seen <= sides["train"]
    for name, loader in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
        assert sorted(row for batch in loader for row in batch["index"].tolist()) == sorted(sides[name])


def manifest(folder: Path, rows: list[tuple[str, str, str]]) -> ShoppingData:
    """A table of pictures of `folder` with (category, split, role) of each, in order."""
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    columns = list(zip(*rows, strict=True))
    table = pd.DataFrame(
        {"path": paths[: len(rows)], "category": columns[0], "split": columns[1], "role": columns[2]}
    )
    table.to_csv(folder / "table.csv", index=False)
    data = ShoppingData(
        partial(read_manifest, folder / "table.csv"), image_size=32, workers=0, progress=False
    )
    data.setup()
    return data


def test_a_side_is_judgeable_where_a_query_can_be_right_and_wrong(folder: Path) -> None:
    train = [("a", "train", "gallery"), ("b", "train", "gallery")]
    test = [("a", "test", "query"), ("a", "test", "gallery"), ("b", "test", "gallery")]
    whole = [(category, "val", "") for category in "aab"]
    assert manifest(folder, train + test + whole).judgeable("val")
    for pointless in ("ab", "aa", "a"):  # nothing relevant, nothing irrelevant, nothing at all
        data = manifest(folder, train + test + [(category, "val", "") for category in pointless])
        assert data.judgeable("test") and not data.judgeable("val")
    data = manifest(
        folder, train + test + [("a", "val", "query"), ("a", "val", "query"), ("b", "val", "query")]
    )
    assert not data.judgeable("val"), "there is no gallery"
    with pytest.raises(LensError, match="nothing would be measured"):
        manifest(folder, train + whole + [(category, "test", "query") for category in "aab"])


def test_evaluation_batches_mix_the_categories_always_in_the_same_order(folder: Path) -> None:
    """A catalogue comes sorted by category, and a contrastive loss of one class says nothing."""
    data, again = of_folder(folder, test=0.5), of_folder(folder, test=0.5, seed=7)
    batches = [batch["category"].unique().numel() for batch in data.test_dataloader()]
    assert min(batches[:-1]) >= 2, "a batch of one class"
    rows = [
        [row for batch in one.test_dataloader() for row in batch["index"].tolist()] for one in (data, again)
    ]
    assert rows[0] == rows[1] != sorted(rows[0])


def test_the_fingerprint_is_stable_and_follows_data_and_split(rendered: Any) -> None:
    first = rendered().facts["fingerprint"]
    assert rendered(seed=5).facts["fingerprint"] == first
    assert rendered(split_seed=1).facts["fingerprint"] != first


def test_evaluation_is_without_augmentation_and_training_with_it(rendered: Any) -> None:
    plain, changed = rendered(), rendered(augment=Augmentation())
    rows = changed.rows("train")[:4]
    for given, expected in zip(changed.items(rows, changed.augment), plain.items(rows), strict=False):
        torch.testing.assert_close(given["image"], expected["image"])
    items = changed.items(changed.rows("train"), changed.augment)
    one, again, later = items[Draw(0, 0, 0)], items[Draw(0, 0, 0)], items[Draw(0, 1, 0)]
    assert torch.equal(one["image"], again["image"]) and not torch.equal(one["image"], later["image"])
    assert not torch.equal(one["image"], items[0]["image"])


def test_loading_processes_give_the_same_batches(rendered: Any) -> None:
    here, there = rendered(augment=Augmentation()), rendered(augment=Augmentation(), workers=1)
    state = torch.get_rng_state()
    for one, other in zip(here.train_dataloader(), there.train_dataloader(), strict=True):
        assert one["index"].tolist() == other["index"].tolist()
        assert torch.equal(one["image"], other["image"])
    assert torch.equal(state, torch.get_rng_state()), "loading drew from the training's random numbers"


def test_unreadable_pictures_stop_or_are_counted(folder: Path) -> None:
    (folder / "boot" / "00.png").write_bytes(b"")
    (folder / "sandal" / "01.png").write_bytes(b"no picture")
    with pytest.raises(LensError) as caught:
        of_folder(folder)
    assert "boot/00.png" in str(caught.value) and "sandal/01.png" in str(caught.value)
    data = of_folder(folder, on_bad_image="skip")
    assert data.facts["skipped_images"] == 2 and data.facts["items"] == 34
    assert not {"boot/00.png", "sandal/01.png"} & set(data.catalogue.table["path"])
    assert sum(
        len(batch["index"]) for side in ("val", "test") for batch in data.evaluation_loader(data.rows(side))
    )


def test_pictures_without_a_caption_get_the_three_templates(folder: Path) -> None:
    data = of_folder(folder)
    captions = data.catalogue.table["captions"][0]
    assert list(captions) == [
        "a photo of a boot", "a boot from a shopping website", "a professional product photo of boot footwear",
    ]  # fmt: skip
    assert len(data.train_captions()) == 3 * len(data.rows("train"))


def test_captions_given_are_kept_and_only_gaps_are_filled(folder: Path) -> None:
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    frame = pd.DataFrame({"path": paths, "category": [path.split("/")[0] for path in paths]})
    frame["caption"] = ["worn by a cat" if place % 2 else None for place in range(len(paths))]
    frame.to_csv(folder / "items.csv", index=False)
    data = ShoppingData(
        partial(read_manifest, folder / "items.csv"), 32, 8, images_per_class=2, progress=False
    )
    data.setup()
    captions = list(data.catalogue.table["captions"])
    assert [len(texts) for texts in captions] == [1 if place % 2 else 3 for place in range(len(paths))]


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"batch_size": 4, "images_per_class": 8}, "images_per_class=8.*batch_size=4"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"images_per_class": 0}, "images_per_class=0"),
        ({"image_size": 4}, "image_size=4"),
    ],
)
def test_sizes_that_cannot_be(how: dict[str, int], sentence: str) -> None:
    with pytest.raises(LensError, match=sentence):
        ShoppingData(lambda: None, **how)  # type: ignore[arg-type, return-value]


def test_one_class_a_batch_cannot_be_balanced(rendered: Any) -> None:
    with pytest.raises(LensError, match="at least 2 classes"):
        rendered(batch_size=8, images_per_class=8).train_dataloader()


def test_more_classes_asked_for_than_there_are_is_said(folder: Path, caplog: Any) -> None:
    data = of_folder(folder, batch_size=16, images_per_class=2)
    with caplog.at_level(logging.WARNING):
        loader = data.train_dataloader()
    assert "There are 3 classes for batches of 8" in caplog.text
    _, counts = np.unique(next(iter(loader))["category"], return_counts=True)
    assert counts.tolist() == [5, 5, 5]


def copies(folder: Path) -> None:
    for place in range(8):
        picture = Image.open(folder / "boot" / f"{place:02}.png")
        picture.save(folder / "boot" / f"copy{place}.png")


def test_duplicates_are_reported_or_kept_together(folder: Path) -> None:
    copies(folder)
    apart = of_folder(folder, val=0.25, test=0.25)
    crossing = apart.facts["identical_across_sides"]
    assert crossing > 0 and any("near-duplicate" in note for note in apart.facts["notes"])
    together = of_folder(folder, val=0.25, test=0.25, duplicates="together")
    assert (
        together.facts["identical_across_sides"] == together.facts["near_duplicate_pairs_across_sides"] == 0
    )
    paths = list(together.catalogue.table["path"])
    for place in range(8):
        both = [together.side[paths.index(f"boot/{name}.png")] for name in (f"{place:02}", f"copy{place}")]
        assert both[0] == both[1]
    assert "identical_across_sides" not in of_folder(folder, duplicates="ignore").facts


def test_folds_are_disjoint_and_cover_everything(folder: Path) -> None:
    tests = [set(of_folder(folder, folds=3, fold=fold).rows("test")) for fold in range(3)]
    assert sorted(row for rows in tests for row in rows) == list(range(36))


def test_setting_up_twice_changes_nothing(rendered: Any) -> None:
    data = rendered()
    side = data.side
    data.setup("test")
    assert data.side is side


def test_without_a_trainer_there_is_no_state() -> None:
    data = ShoppingData(lambda: None)  # type: ignore[arg-type, return-value]
    assert data.state_dict() == {}
    data.load_state_dict({})
