"""The rendered shoes: same seed, same bytes; designs that differ; exact, resumable catalogues."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lens.data.rendered import CATEGORIES, captions, design, render, write_catalogue
from lens.errors import LensError


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.jpg"))}


def _pixels(product: int, view: int = 0, size: int = 64, seed: int = 0) -> np.ndarray:
    return np.asarray(render(design(seed, product), view, seed, size)).astype(float)


@given(seed=st.integers(0, 2**40), product=st.integers(0, 2**40), view=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_every_design_renders_the_same_twice(seed: int, product: int, view: int) -> None:
    shoe = design(seed, product)
    first, second = render(shoe, view, seed, 40), render(design(seed, product), view, seed, 40)
    assert first.mode == "RGB" and first.size == (40, 40)
    assert first.tobytes() == second.tobytes()
    assert np.asarray(first).std() > 2


def test_global_generators_play_no_part() -> None:
    np.random.seed(1)
    first = render(design(3, 5), 2, 3, 48).tobytes()
    before = np.random.get_state()[1].copy()
    assert render(design(3, 5), 2, 3, 48).tobytes() == first
    assert (np.random.get_state()[1] == before).all()


def test_products_differ_in_design_and_pixels() -> None:
    sneakers = [design(0, p) for p in range(0, 40 * len(CATEGORIES), len(CATEGORIES))]
    assert {s.category for s in sneakers} == {"sneaker"}
    assert len({s.colour for s in sneakers}) >= 10
    looks = [{**asdict(s), "product": 0} for s in sneakers]
    assert all(a != b for i, a in enumerate(looks) for b in looks[:i])
    pictures = [_pixels(s.product) for s in sneakers[:12]]
    assert min(np.abs(a - b).mean() for i, a in enumerate(pictures) for b in pictures[:i]) > 1.5


def test_another_seed_is_another_world() -> None:
    assert design(0, 0).rgb != design(1, 0).rgb
    assert not np.array_equal(_pixels(0, 1, seed=0), _pixels(0, 1, seed=1))


def test_colour_does_not_give_the_category_away() -> None:
    shoes = [design(0, p) for p in range(600)]
    colours = [{s.colour for s in shoes if s.category == c} for c in CATEGORIES]
    common = set.intersection(*colours)
    assert len(common) >= 12


def test_first_view_is_a_clean_photo_on_near_white() -> None:
    for product in range(12):
        picture = _pixels(product)
        border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert np.median(border) > 225
        assert (np.abs(picture - 245).max(axis=2) > 40).mean() > 0.05


def test_views_of_a_product_differ() -> None:
    views = [_pixels(3, view) for view in range(8)]
    assert min(np.abs(a - b).mean() for i, a in enumerate(views) for b in views[:i]) > 5


@given(product=st.integers(0, 5000), view=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_every_view_shows_the_colour_of_the_design(product: int, view: int) -> None:
    shoe = design(0, product)
    red, blue = (
        np.asarray(render(replace(shoe, rgb=rgb, second_rgb=rgb), view, 0, 48)).astype(float)
        for rgb in ((220, 30, 30), (30, 30, 220))
    )
    difference = (red - blue).mean(axis=(0, 1))
    assert difference[0] > 0.8 and difference[2] < -0.8
    assert abs(difference[1]) < 0.5 * difference[0]


@pytest.mark.parametrize("product", range(len(CATEGORIES)))
def test_edges_are_smooth(product: int) -> None:
    """Along the outline of a dark shoe on white, many levels lie between the two; a jagged edge has few."""
    picture = _pixels(product, 0, 128).mean(axis=2)
    step = np.abs(np.diff(picture, axis=1))
    beside_edge = step > 40
    between = picture[:, :-1][beside_edge]
    assert len(np.unique(between.round())) > 25


def test_captions_name_the_attributes() -> None:
    for product in range(60):
        shoe = design(0, product)
        texts, noun = captions(shoe), shoe.category.replace("dress-", "dress ")
        assert len(texts) == 3 and all(noun in text for text in texts)
        assert texts[0].startswith(("a photo of a ", "a photo of an ")) and shoe.colour in texts[0]
        assert "from a shopping website" in texts[1] and shoe.pattern.replace("plain", "") in texts[1]
        assert texts[2].startswith("a professional product photo of ") and "footwear" in texts[2]
        assert not any(" a o" in text or " a a" in text or " an b" in text for text in texts)


@pytest.mark.parametrize(("items", "views"), [(8, 3), (38, 3), (41, 5), (9, 1), (10, 20)])
def test_exactly_the_items_asked_for(tmp_path: Path, items: int, views: int) -> None:
    manifest = write_catalogue(tmp_path, items, views, size=16, progress=False)
    table = pd.read_parquet(manifest)
    assert len(table) == items == len(_files(tmp_path))
    assert set(table["path"]) == set(_files(tmp_path))
    per_product = table.groupby("product_id").size().tolist()
    assert per_product == [views] * (items // views) + [items % views] * (items % views > 0)
    products = Counter(table.drop_duplicates("product_id")["category"])
    counts = [products.get(c, 0) for c in CATEGORIES]
    assert max(counts) - min(counts) <= 1
    assert all(path.split("/")[1] == c for path, c in zip(table["path"], table["category"], strict=True))
    assert all(len(texts) == 3 for texts in table["captions"])
    assert (table.groupby("product_id")[["colour", "style", "sole_thickness"]].nunique() == 1).all().all()


def test_workers_do_not_change_a_byte(tmp_path: Path) -> None:
    one = write_catalogue(tmp_path / "one", 60, size=32, workers=1, progress=False)
    two = write_catalogue(tmp_path / "two", 60, size=32, workers=2, progress=False)
    assert _files(tmp_path / "one") == _files(tmp_path / "two")
    assert one.read_bytes() == two.read_bytes()
    sample = next((tmp_path / "two").rglob("*.jpg"))
    with Image.open(sample) as picture:
        assert picture.size == (32, 32) and picture.mode == "RGB"


def test_a_complete_catalogue_is_reused_and_a_partial_one_finished(tmp_path: Path) -> None:
    manifest = write_catalogue(tmp_path, 24, size=16, progress=False)
    whole = _files(tmp_path)
    stamps = {name: (tmp_path / name).stat().st_mtime_ns for name in whole}
    assert write_catalogue(tmp_path, 24, size=16, progress=False) == manifest
    gone = sorted(whole)[::5]
    for name in gone:
        (tmp_path / name).unlink()
    (tmp_path / f"{gone[0]}.77.tmp").write_bytes(b"half a picture")
    manifest.unlink()
    write_catalogue(tmp_path, 24, size=16, progress=False)
    assert _files(tmp_path) == whole
    assert not list(tmp_path.rglob("*.tmp"))
    kept = [name for name in whole if name not in gone]
    assert all((tmp_path / name).stat().st_mtime_ns == stamps[name] for name in kept)


def test_a_killed_rendering_goes_on(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from lens.data.rendered import write_catalogue\n"
        "write_catalogue(Path(sys.argv[1]), 150, size=40, workers=2, progress=False)"
    )
    folder = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", program, str(folder)])
    deadline = time.monotonic() + 60
    while len(_files(folder)) < 12 and time.monotonic() < deadline:
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert psutil.wait_procs(children, timeout=20)[1] == [], "workers outlived their parent"
    done = len(_files(folder))
    assert 12 <= done < 150 and not (folder / "catalogue.parquet").exists()
    write_catalogue(folder, 150, size=40, workers=1, progress=False)
    files = _files(folder)
    assert len(files) == 150 and not list(folder.rglob("*.tmp"))
    for name in list(files)[::23]:
        with Image.open(folder / name) as picture:
            picture.load()
    table = pd.read_parquet(folder / "catalogue.parquet")
    row = table.iloc[[5]].iloc[0]
    again = tmp_path / "again.jpg"
    render(design(0, int(row["product_id"])), int(row["view"]), 0, 40).save(again, quality=90)
    assert again.read_bytes() == files[row["path"]]


@pytest.mark.parametrize("change", [{"items": 9}, {"size": 17}, {"seed": 1}, {"views_per_product": 2}])
def test_other_settings_are_refused(tmp_path: Path, change: dict[str, int]) -> None:
    given_first = {"items": 8, "size": 16, "seed": 0, "views_per_product": 3}
    write_catalogue(tmp_path, **given_first, progress=False)
    before = _files(tmp_path)
    (name,) = change
    with pytest.raises(LensError, match=f"{tmp_path}.*{name} {given_first[name]} instead of {change[name]}"):
        write_catalogue(tmp_path, **{**given_first, **change}, progress=False)
    assert _files(tmp_path) == before


def test_other_renderer_damaged_settings_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "a", 8, size=16, progress=False)
    file = tmp_path / "a" / "settings.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": 0}))
    with pytest.raises(LensError, match="version 0 instead of"):
        write_catalogue(tmp_path / "a", 8, size=16, progress=False)
    file.write_text("{")
    with pytest.raises(LensError, match=r"settings\.json is damaged"):
        write_catalogue(tmp_path / "a", 8, size=16, progress=False)
    (tmp_path / "b" / "images").mkdir(parents=True)
    with pytest.raises(LensError, match="choose another folder"):
        write_catalogue(tmp_path / "b", 8, size=16, progress=False)
    (tmp_path / "c").write_text("a file")
    with pytest.raises(LensError, match="Cannot write"):
        write_catalogue(tmp_path / "c", 8, size=16, progress=False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"items": 7}, "items must be a whole number from 8"),
        ({"items": 8.0}, "items must be"),
        ({"views_per_product": 0}, "views_per_product must be"),
        ({"size": 8}, "size must be"),
        ({"seed": -1}, "seed must be"),
        ({"workers": -1}, "workers must be"),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, arguments: dict[str, int], told: str) -> None:
    with pytest.raises(LensError, match=told):
        write_catalogue(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_unknown_categories_are_named() -> None:
    assert [design(0, p, ["boot", "heel"]).category for p in range(3)] == ["boot", "heel", "boot"]
    with pytest.raises(LensError, match="no shoe category 'clog'"):
        design(0, 0, ["boot", "clog"])
    with pytest.raises(LensError, match="twice"):
        design(0, 0, ["boot", "boot"])
    with pytest.raises(LensError, match="must be a list"):
        design(0, 0, [])
    with pytest.raises(LensError, match="view must be"):
        render(design(0, 0), -1, 0)
