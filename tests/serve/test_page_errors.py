"""The page in a real Chromium, when something goes wrong: it is said where the person is looking, with a way on."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from playwright.sync_api import expect

from lens.serve.settings import Limits, Settings
from tests.serve.browser import by, choose, results, served_here, settled, upload, visited
from tests.serve.server import serving
from tests.serve.store import Store

KEY = "a long secret"


@pytest.fixture(scope="module")
def strict(store: Store) -> Iterator[str]:
    """The address of a service with a key, six places for requests, and room for pictures of 20,000 bytes."""
    limits = Limits(bytes=20_000, concurrent=6)
    with served_here(
        Settings(runs=(store.runs["resnet_tiny"],), uri=store.uri, key=KEY, decoders=1, limits=limits)
    ) as url:
        yield url


@contextmanager
def let_in(browser: Any, url: str) -> Iterator[Any]:
    """The page of a service that asks for its key, which is given."""
    with visited(browser, url, "#key-field") as page:
        page.fill("#key-field", KEY)
        page.click("#key-send")
        expect(page.locator("#try-list img").first).to_be_visible()
        yield page


@contextmanager
def occupied(url: str) -> Iterator[None]:
    """As many requests that do not end as it takes until no other is let in."""
    head = f"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 99\r\n\r\n"
    open_ones = []
    try:
        while httpx.get(f"{url}/api/models", headers={"Authorization": f"Bearer {KEY}"}).status_code != 429:
            open_ones.append(socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))))
            open_ones[-1].sendall(head.encode())
        yield
    finally:
        for one in open_ones:
            one.close()


def test_a_refused_upload_says_why_beside_the_dropzone(page: Any, tmp_path: Path) -> None:
    bad = tmp_path / "shoe.jpg"
    bad.write_text("no picture at all")
    page.set_input_files("#file-input", str(bad))
    notice = page.locator(f"#upload-notice {by('upload-error')}")
    expect(notice).to_contain_text("no known type")
    assert notice.get_attribute("role") == "alert"
    expect(page.locator(by("term"))).to_have_count(0)
    expect(page.locator("#results")).to_be_hidden()
    page.set_input_files("#file-input", str(bad))  # the same once more is told once more
    expect(notice).to_contain_text("no known type")


def test_a_key_is_asked_for_once(browser: Any, strict: str) -> None:
    with visited(browser, strict, "#key-field") as page:
        page.fill("#key-field", "a wrong secret")
        page.keyboard.press("Enter")
        expect(page.locator("#key-said")).to_have_text("This is not the key of the service.")
        page.keyboard.press("Escape")
        expect(page.locator(by("models-error"))).to_contain_text("asks for a key")
        page.locator(by("notice-action")).click()
        page.fill("#key-field", KEY)
        page.keyboard.press("Enter")
        expect(page.locator("#try-list img").first).to_be_visible()
        page.reload()
        expect(page.locator("#try-list img").first).to_be_visible()
        expect(page.locator("#key-dialog")).to_have_count(0)


def test_what_is_too_large_is_made_smaller_or_refused(
    browser: Any, strict: str, store: Store, tmp_path: Path
) -> None:
    large, broken = tmp_path / "large.bmp", tmp_path / "broken.jpg"
    with Image.open(store.photo(4)) as photo:
        photo.resize((300, 300), Image.Resampling.NEAREST).save(large)
    broken.write_bytes(store.photo(4).read_bytes()[:300] + bytes(30_000))
    assert large.stat().st_size > 200_000
    with let_in(browser, strict) as page:
        upload(page, large)
        assert store.photo(4).name in str(results(page).first.get_attribute("data-item"))
        page.click("#new-search")
        page.evaluate("() => { window.createImageBitmap = async () => { throw new Error('broken'); }; }")
        page.set_input_files("#file-input", str(broken))
        expect(page.locator(by("upload-error"))).to_have_text(
            "broken.jpg has 30 KB; give a file of at most 20 KB."
        )


def test_a_busy_service_is_asked_again_by_itself(browser: Any, strict: str, store: Store) -> None:
    with let_in(browser, strict) as page:
        with occupied(strict):
            page.set_input_files("#file-input", str(store.photo(4)))
            expect(page.locator(by("progress"))).to_have_text(
                re.compile(r"The service is busy\. Trying again in 1 s \(\d of 5\)\.")
            )
        expect(results(page).first).to_be_visible()
        assert page.locator(by("search-error")).count() == 0


@pytest.mark.slow
def test_a_dead_service_is_told_and_asked_again_when_it_is_back(
    browser: Any, store: Store, tmp_path: Path
) -> None:
    run, other = store.runs["resnet_tiny"], store.runs["vit_tiny"]
    with serving(tmp_path / "log", f"uri={store.uri}", f"run=[{run},{other}]", "decoders=1") as server:
        with visited(browser, server.url) as page:
            choose(page, "resnet_tiny", "vit_tiny")
            server.kill()
            page.set_input_files("#file-input", str(store.photo(4)))
            failed = page.locator(by("search-error"))
            expect(failed).to_have_count(2)
            assert "The service does not answer." in failed.first.inner_text()
            page.locator(f'[data-model="vit_tiny"] {by("notice-action")}').click()
            expect(failed).to_have_count(2)  # it is still dead
            with served_here(Settings(runs=(other,), uri=store.uri, decoders=1), server.port):
                page.locator(f'[data-model="vit_tiny"] {by("notice-action")}').click()
                expect(results(page, "vit_tiny").first).to_be_visible()
                page.locator(f'[data-model="resnet_tiny"] {by("notice-action")}').click()
                expect(page.locator(by("models-notice"))).to_have_text(
                    "The service no longer has resnet_tiny."
                )
                settled(page)
                assert page.locator(by("column")).count() == 1 and results(page, "vit_tiny").count() > 0
                assert page.locator("#model-list input").count() == 1


def test_newer_models_are_taken_up_when_the_person_comes_back(page: Any, store: Store) -> None:
    come_back = "document.dispatchEvent(new Event('visibilitychange'))"
    choose(page, "resnet_tiny")
    upload(page, store.photo(4))
    with page.expect_response("**/api/models"):
        page.evaluate(come_back)
    assert page.locator(by("models-notice")).count() == 0
    page.route("**/api/models", lambda route: route.fulfill(json=newer(route.fetch().json())))
    page.evaluate(come_back)
    expect(page.locator(by("models-notice"))).to_have_text("resnet_tiny: a newer index answers from now on.")
    settled(page)
    assert page.locator(by("run-link")).inner_text().startswith("newer")


def newer(told: dict[str, Any]) -> dict[str, Any]:
    """The models, as after another training."""
    for model in told["models"]:
        if model["name"] == "resnet_tiny":
            model.update(run_id="other", run_name="newer", index_written="2030-01-01T00:00:00+00:00")
    return told


def test_an_error_in_a_dialog_is_told_in_the_dialog(page: Any, store: Store) -> None:
    upload(page, store.photo(2))
    page.route("**/api/items?*", lambda route: route.abort())
    page.route("**/api/explain", lambda route: route.abort())
    page.click("#catalogue-button")
    expect(page.locator(f"#picker {by('picker-error')}")).to_contain_text("The service does not answer.")
    page.unroute("**/api/items?*")
    page.locator(f"#picker {by('notice-action')}").click()
    expect(page.locator(f"#picker {by('tile')}").first).to_be_visible()
    page.keyboard.press("Escape")
    results(page).first.locator(by("why")).click()
    expect(page.locator(f"#overlay {by('overlay-error')}")).to_contain_text("The service does not answer.")
    page.unroute("**/api/explain")
    page.locator(f"#overlay {by('notice-action')}").click()
    expect(page.locator(f"#overlay {by('heat')}").first).to_be_visible()


def test_a_picture_that_is_gone_from_the_catalogue_leaves_a_word(page: Any, store: Store) -> None:
    page.route("**/api/thumbnails/**", lambda route: route.fulfill(status=404))
    upload(page, store.photo(2))
    expect(results(page).first.locator(".gone")).to_have_text("The catalogue's picture is gone")


def test_a_service_without_a_model_says_how_to_make_one(browser: Any, strict: str) -> None:
    nothing = '{"models": [], "limits": {}, "needs_key": false, "version": "0"}'
    with visited(browser, f"{strict}/static/favicon.svg", "svg") as page:
        page.route(
            "**/api/models", lambda route: route.fulfill(body=nothing, content_type="application/json")
        )
        page.goto(strict)
        expect(page.locator(by("no-models"))).to_contain_text("train a model, as in python train.py")
