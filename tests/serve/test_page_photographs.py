"""The page asked with real photographs, on an index of real photographs, by a model trained with rendered shoes."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from lens.serve.settings import Settings
from tests.bulk.trained import Trained
from tests.serve.browser import (
    answer,
    by,
    choose,
    ids,
    results,
    served_here,
    settled,
    upload,
    visited,
    wait_for_another_answer,
)  # fmt: skip
from tests.serve.store import Store

IMAGES = Path(os.environ.get("LENS_TEST_DATA", "")) / "shoes" / "images"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("LENS_TEST_DATA") or not IMAGES.is_dir(),
        reason="LENS_TEST_DATA has no shoes/images",
    ),
]
TYPES, EACH = ("heels", "sports-shoes", "flip-flops", "formal-shoes"), 10


@pytest.fixture(scope="module")
def photographs(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service of 40 photographs, in two models."""
    folder = tmp_path_factory.mktemp("photographs")
    for name in TYPES:
        (folder / "pictures" / name).mkdir(parents=True)
        for photo in sorted((IMAGES / name).glob("*.jpg"))[:EACH]:
            (folder / "pictures" / name / photo.name).symlink_to(photo)
    made = []
    for model in ("resnet_tiny", "vit_tiny"):
        made.append(str(folder / model))
        words = ("data=folder", f"data.root={folder / 'pictures'}", f"out={made[-1]}", "data.workers=0")
        embedding = Trained(store.folder, store.uri, store.runs[model], store.shoes).start(
            f"run={store.runs[model]}", *words
        )
        told = embedding.communicate(timeout=200)[0]
        assert embedding.returncode == 0, told
    settings = Settings(indices=tuple(made), uri=store.uri, decoders=1, roots=(str(IMAGES),))
    with served_here(settings) as url:
        yield url


def test_from_a_photograph_to_why(browser: Any, photographs: str) -> None:
    photo = sorted((IMAGES / "heels").glob("*.jpg"))[3]
    with visited(browser, photographs) as page:
        choose(page, "resnet_tiny", "vit_tiny")
        upload(page, photo)
        for model in ("resnet_tiny", "vit_tiny"):
            assert ids(results(page, model))[0].endswith(photo.name)
        pictures = page.locator(f"{by('result')} .plate img")
        for place in range(3):
            expect(pictures.nth(place)).to_have_js_property("naturalHeight", 160)
        expect(page.locator(by("agreement-words"))).to_contain_text("found by both models")
        before, liked = answer(page), ids(results(page, "resnet_tiny"))[1]
        results(page, "resnet_tiny").nth(1).locator(by("more")).click()
        wait_for_another_answer(page, before)
        assert liked not in ids(results(page, "resnet_tiny"))
        before = answer(page)
        page.click(by("crop"))
        page.fill("#crop-top", "60")
        page.keyboard.press("Tab")
        page.click("#crop-apply")
        wait_for_another_answer(page, before)
        results(page, "resnet_tiny").first.locator(by("why")).click()
        heats = page.locator(f"#overlay {by('heat')}[aria-label*=Strongest]")
        expect(heats).to_have_count(2)
        for place in range(2):  # the heat lies on its picture, which is no square
            picture = page.locator("#overlay .stacked img").nth(place).bounding_box()
            heat = heats.nth(place).bounding_box()
            assert all(abs(heat[side] - picture[side]) < 2 for side in ("x", "y", "width", "height"))
            assert picture["height"] != pytest.approx(picture["width"], abs=20)


def test_a_photograph_not_in_the_catalogue(browser: Any, photographs: str) -> None:
    unknown = sorted((IMAGES / "heels").glob("*.jpg"))[EACH + 5]
    with visited(browser, photographs) as page:
        upload(page, unknown)
        assert results(page).count() > 0
        page.click("#copy-link")
        address = page.input_value("#link-field")
        with visited(browser, address, by("result")) as other:
            settled(other)
            assert ids(results(other)) == ids(results(page))
