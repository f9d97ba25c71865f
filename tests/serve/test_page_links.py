"""The page in a real Chromium: a query goes into its address, and comes back from there."""

import base64
import json
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.serve.browser import by, choose, ids, results, settled, upload, visited
from tests.serve.server import Server
from tests.serve.store import Store


def test_a_link_restores_all_of_the_query(page: Any, browser: Any, store: Store) -> None:
    choose(page, "clip_tiny", "resnet_tiny")
    upload(page, store.photo(7))
    page.click(by("crop"))
    page.fill("#crop-width", "24")
    page.keyboard.press("Tab")
    page.click("#crop-apply")
    results(page, "resnet_tiny").nth(3).locator(by("less")).click()
    expect(page.locator(by("term"))).to_have_count(2)
    page.locator("label", has=page.locator("#view-fused")).click()
    page.select_option("#fusion", "scores")
    page.click("#filters-button")
    page.uncheck("#fold")
    page.check(f'{by("filter")}[value="sneaker"]')
    page.check(f'{by("filter")}[value="boot"]')
    settled(page)
    page.click("#copy-link")
    expect(page.locator("#link-copied")).to_have_text("Copied.")
    address = page.evaluate("navigator.clipboard.readText()")
    assert address == page.url == page.input_value("#link-field")
    with visited(browser, address, by("result")) as other:
        settled(other)
        assert ids(results(other)) == ids(results(page))
        for name in ("#fusion", "#k"):
            assert other.input_value(name) == page.input_value(name)
        assert not other.is_checked("#fold") and other.is_checked("#view-fused")
        assert (
            other.locator(by("weight-value")).all_inner_texts()
            == page.locator(by("weight-value")).all_inner_texts()
        )
        assert chosen(other) == chosen(page) == {"clip_tiny", "resnet_tiny"}
        expect(other.locator("#filters-button")).to_have_text("Filters (1)")


def chosen(page: Any) -> set[str]:
    return {box.get_attribute("value") for box in page.locator("#model-list input:checked").all()}


def test_back_and_forward_walk_through_the_queries(page: Any, store: Store) -> None:
    upload(page, store.photo(7))
    first = ids(results(page))
    results(page).nth(1).locator(by("only")).click()
    settled(page)
    second = ids(results(page))
    page.go_back()
    expect(page.locator(f'{by("term")}[data-kind="image"]')).to_have_count(1)
    settled(page)
    assert ids(results(page)) == first != second
    page.go_forward()
    expect(page.locator(f'{by("term")}[data-kind="item"]')).to_have_count(1)
    settled(page)
    assert ids(results(page)) == second


def test_links_that_are_broken_or_ask_for_what_is_gone(browser: Any, server: Server) -> None:
    with visited(browser, f"{server.url}/#q=broken", by("link-notice")) as page:
        assert "The link is damaged" in page.locator(by("link-notice")).inner_text()
    gone = {"terms": [{"item": "no such item"}], "models": ["vgg"]}
    address = base64.urlsafe_b64encode(json.dumps(gone).encode()).decode().rstrip("=")
    with visited(browser, f"{server.url}/#q={address}", by("search-error")) as page:
        assert (
            page.locator(by("link-notice"))
            .inner_text()
            .startswith("The link asks vgg, which this service does not")
        )
        assert "holds no item 'no such item'" in page.locator(by("search-error")).inner_text()
    with visited(browser, f"{server.url}/?run=nobody", by("run-error")) as page:
        assert "There is no run 'nobody'" in page.locator(by("run-error")).inner_text()
        expect(page.locator(f"#try-list {by('tile')}").first).to_be_visible()


def test_a_link_without_a_picture_that_the_browser_cannot_read_says_so(
    page: Any, store: Store, tmp_path: Path
) -> None:
    page.evaluate("() => { window.createImageBitmap = async () => { throw new Error('unknown format'); }; }")
    odd_picture = tmp_path / "odd.jpg"
    odd_picture.write_bytes(store.photo(5).read_bytes())
    upload(page, odd_picture)
    assert store.photo(5).name in ids(results(page))[0]  # the service can read it
    page.click("#copy-link")
    expect(page.locator(by("link-lacks"))).to_contain_text("This browser cannot read odd.jpg")
    expect(page.locator("#link-dialog")).to_contain_text("Nothing is left that a link could hold.")
