"""The page as a person uses it, in a real Chromium, on a real server."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.browser import CHROMIUM, chromium
from tests.serve.server import Server, serving
from tests.serve.store import Store

pytest.importorskip("playwright")
pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).exists(), reason="there is no Chromium (apt install chromium)"
)


SHOWN = "image => image.complete && image.naturalWidth > 0"


@pytest.fixture(scope="module")
def server(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("page") / "log", f"uri={store.uri}", "decoders=1") as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The page, opened; it may tell the console nothing but of requests that were refused."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    opened.goto(server.url)
    opened.wait_for_selector('#try-list [data-test="tile"]')
    yield opened
    assert not [one for one in wrong if not one.startswith("Failed to load resource")]
    context.close()


def results(page: Any, model: str | None = None) -> Any:
    column = '[data-test="column"]' + (f'[data-model="{model}"]' if model else "")
    return page.locator(f'{column} [data-test="result"]')


def upload(page: Any, photo: Path) -> None:
    page.set_input_files("#file-input", str(photo))
    results(page).first.wait_for()


def ids(found: Any) -> list[str]:
    return [one.get_attribute("data-item") for one in found.all()]


def test_a_photograph_finds_itself_with_score_band_and_caption(page: Any, store: Store) -> None:
    upload(page, store.photo(4))
    first = results(page).first
    assert first.get_attribute("data-band") == "high"
    assert re.match(r"100(\.0)?\s*%", first.locator('[data-test="score"]').inner_text())
    assert "High" in first.locator('[data-test="band"]').inner_text()
    assert store.photo(4).name in str(first.get_attribute("data-item"))
    page.wait_for_function(SHOWN, arg=first.locator("img").element_handle())


def test_words_and_a_picture_together(page: Any, store: Store) -> None:
    page.locator("#model-list").get_by_text("clip_tiny").click()
    upload(page, store.photo(2))
    page.fill("#words", "red")
    page.click("#words-add")
    page.wait_for_function("document.querySelectorAll('[data-test=term]').length == 2")
    results(page, "clip_tiny").first.wait_for()


def test_more_and_less_like_a_result_change_the_query(page: Any, store: Store) -> None:
    upload(page, store.photo(1))
    results(page).nth(2).locator('[data-test="more"]').click()
    page.wait_for_function("document.querySelectorAll('[data-test=term]').length == 2")
    results(page).nth(3).locator('[data-test="less"]').click()
    page.wait_for_function("document.querySelectorAll('[data-test=term]').length == 3")
    results(page).first.wait_for()


def test_a_refused_upload_says_why_beside_the_dropzone(page: Any, tmp_path: Path) -> None:
    bad = tmp_path / "shoe.jpg"
    bad.write_text("no picture at all")
    page.set_input_files("#file-input", str(bad))
    page.wait_for_selector("#upload-notice:not(:empty)")
    assert "no known type" in page.locator("#upload-notice").inner_text()


def test_a_link_restores_the_query(page: Any, browser: Any, store: Store) -> None:
    upload(page, store.photo(7))
    results(page).nth(1).locator('[data-test="only"]').click()
    page.wait_for_function("location.hash.length > 10")
    results(page).first.wait_for()
    page.wait_for_selector('[data-test="column"]:not([aria-busy="true"])')
    there, address = ids(results(page)), page.url
    other = browser.new_page()
    other.goto(address)
    results(other).first.wait_for()
    assert ids(results(other)) == there
    other.close()


def test_why_two_pictures_are_alike_is_shown(page: Any, store: Store) -> None:
    upload(page, store.photo(3))
    results(page).nth(1).locator('[data-test="why"]').click()
    page.wait_for_selector('#overlay [data-test="heat"]')
    assert page.locator("#overlay-means").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("#overlay").is_visible()


def test_no_serious_finding_of_axe(page: Any, store: Store) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for _ in range(2):
        found = Axe().run(page).response["violations"]
        assert not [one["id"] for one in found if one["impact"] in ("serious", "critical")]
        upload(page, store.photo(4))


def test_from_the_runs_description_to_the_page_and_back(browser: Any, server: Server, store: Store) -> None:
    from lens.tracking import run_tags

    run_id = store.runs["vit_tiny"]
    tags = run_tags(store.uri, run_id)
    link = tags["page"]
    assert link == f"http://127.0.0.1:8001/?run={run_id}" and f"({link})" in tags["mlflow.note.content"]
    opened = browser.new_page()
    opened.goto(link.replace("http://127.0.0.1:8001", server.url))
    opened.wait_for_selector('#try-list [data-test="tile"]')
    upload(opened, store.photo(4))
    assert results(opened, "vit_tiny").count() > 0
    back = opened.locator('[data-test="column"] [data-test="run-link"]').first.get_attribute("href")
    assert back == f"http://127.0.0.1:5000/#/experiments/1/runs/{run_id}"
    opened.close()
