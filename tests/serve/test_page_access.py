"""The page in a real Chromium for everybody: by keyboard, by screen reader, on a phone, in light and in dark."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.serve.browser import by, choose, results, settled, upload, visited
from tests.serve.server import Server
from tests.serve.store import Store

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
SMALL = """() => [...document.querySelectorAll('button, select, input, summary, a, [role=radiogroup] label')]
    .filter((one) => one.checkVisibility({visibilityProperty: true}) && !one.closest('.hidden, .skip'))
    .map((one) => [one.closest('label') ?? one, one]).map(([area, one]) => [area.getBoundingClientRect(), one])
    .filter(([area]) => Math.min(area.width, area.height) < 24)
    .map(([area, one]) => `${one.outerHTML.slice(0, 80)} ${area.width}x${area.height}`)"""
FOCUSED = "document.activeElement.id || document.activeElement.dataset.test"


def check(page: Any) -> None:
    """No serious finding of axe, contrast included."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not [(one["id"], one["nodes"][0]["html"][:200]) for one in serious]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_finding_of_axe(browser: Any, server: Server, store: Store, theme: str) -> None:
    with visited(browser, server.url, color_scheme=theme, reduced_motion="reduce") as page:
        check(page)
        choose(page, "resnet_tiny", "clip_tiny")
        upload(page, store.photo(4))
        page.fill("#words", "red")
        page.click("#words-add")  # resnet_tiny cannot answer now
        settled(page)
        results(page, "clip_tiny").nth(1).locator(by("less")).click()
        settled(page)
        page.click("#filters-button")
        page.click("#filters summary")
        check(page)
        for opener in (by("crop"), "#copy-link", "#catalogue-button", by("why")):
            page.locator(opener).first.click()
            expect(page.locator("dialog[open] h2")).to_be_visible()
            page.wait_for_load_state("networkidle")
            check(page)
            page.keyboard.press("Escape")


def test_the_theme_is_chosen_and_kept(browser: Any, server: Server) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    with visited(browser, server.url, color_scheme="light") as page:
        light = page.evaluate(paper)
        page.click("#theme-toggle")
        dark = page.evaluate(paper)
        assert dark != light and page.get_attribute("#theme-toggle", "aria-pressed") == "true"
        page.reload()
        assert page.evaluate(paper) == dark
        page.click("#theme-toggle")
        assert page.evaluate(paper) == light


def test_on_a_phone(browser: Any, server: Server, store: Store) -> None:
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    with visited(browser, server.url, **PHONE) as page:
        assert page.evaluate(wider) == 0 and not page.evaluate(SMALL)
        assert page.get_attribute("#photo-input", "capture") == "environment"
        assert page.get_attribute("#photo-input", "accept") == "image/*"
        with page.expect_file_chooser() as chooser:
            page.tap("#photo-button")
        chooser.value.set_files(str(store.photo(4)))
        expect(results(page).first).to_be_visible()
        page.check('#model-list input[value="clip_tiny"]')
        page.check('#model-list input[value="vit_tiny"]')
        settled(page)
        page.tap("#filters-button")
        assert page.evaluate(wider) == 0 and not page.evaluate(SMALL)
        page.locator("#column-jump button").last.tap()
        last = page.locator(by("column")).last
        expect(last).to_be_in_viewport(ratio=0.1)
        last.locator(by("why")).first.tap()
        expect(page.locator(f"#overlay {by('heat')}").first).to_be_visible()
        box = page.locator("#overlay").bounding_box()
        assert (box["x"], box["width"]) == (0, 390) and page.evaluate(wider) == 0


def test_by_keyboard_alone(page: Any, store: Store) -> None:
    def tab_to(what: str, most: int = 60) -> None:
        for _ in range(most):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({what!r})"):
                return
        raise AssertionError(f"Tab does not lead to {what}")

    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "skip"
    choose(page, "clip_tiny")
    page.focus("#home")
    tab_to("#choose-button")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(str(store.photo(2)))
    expect(results(page).first).to_be_visible()
    tab_to("#words")
    page.keyboard.type("red")
    page.keyboard.press("Enter")
    expect(page.locator(by("term"))).to_have_count(2)
    settled(page)
    tab_to(by("why"))
    page.keyboard.press("Enter")
    expect(page.locator(f"#overlay {by('heat')}").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#overlay")).to_have_count(0)
    expect(page.locator(f"{by('why')}:focus")).to_have_count(1)
    page.focus("#catalogue-button")
    page.keyboard.press("Enter")
    expect(page.locator(f"#picker-grid {by('tile')}").first).to_be_visible()
    assert page.evaluate(FOCUSED) == "picker-text"
    tab_to(f"#picker-grid {by('tile')}")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(FOCUSED) == "tile"
    page.keyboard.press("Enter")
    expect(page.locator("#picker")).to_have_count(0)
    settled(page)
    page.locator(by("remove-term")).first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(FOCUSED) in ("remove-term", "choose-button")  # never lost


def test_what_a_screen_reader_is_told(page: Any, store: Store) -> None:
    choose(page, "clip_tiny")
    for name in ("Choose a picture", "Take a photo", "From the catalogue", "Dark colours"):
        expect(page.get_by_role("button", name=name)).to_be_visible()
    expect(page.get_by_role("textbox", name="Or say it in words")).to_be_visible()
    expect(page.get_by_role("checkbox", name="clip_tiny words")).to_be_checked()
    expect(page.get_by_role("heading", level=1)).to_have_text("Find the shoe in your picture")
    upload(page, store.photo(4))
    assert page.locator("#status").get_attribute("aria-live") == "polite"
    expect(page.locator("#status")).to_contain_text("clip_tiny: 10 results in")
    expect(page.get_by_role("region", name="clip_tiny")).to_be_visible()
    slider = page.get_by_role("slider", name="Weight of")
    assert slider.get_attribute("aria-valuetext") == "+1.0, more like this"
    first = results(page).first
    name = first.locator("h4").inner_text()
    for action in ("More like this", "Less like this", "Only this", "Why?"):
        expect(first.get_by_role("button", name=f"{action} {name}", exact=True)).to_be_visible()
    assert name in str(first.get_by_role("img").first.get_attribute("alt"))
    first.locator(by("why")).click()
    expect(page.get_by_role("dialog", name="Why is this similar?")).to_be_visible()
    expect(page.get_by_role("img", name="Heat over").first).to_have_accessible_name(
        re.compile(r"Heat over .+\. Strongest .+\.")
    )
