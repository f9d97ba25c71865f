"""The page in a real Chromium: how a query is changed, filtered."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.serve.browser import (
    answer,
    by,
    choose,
    ids,
    results,
    say,
    settled,
    upload,
    visited,
    wait_for_another_answer,
)  # fmt: skip
from tests.serve.odd import odd_indices
from tests.serve.store import Store


@pytest.fixture(scope="module")
def odd(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service whose catalogues are twins, unmeasured, and empty."""
    with odd_indices(store, tmp_path_factory.mktemp("odd")) as url:
        yield url


def test_weights_change_the_order_and_may_be_negative(page: Any, store: Store) -> None:
    choose(page, "resnet_tiny")
    upload(page, store.photo(1), store.photo(9))
    before = answer(page)
    slider = page.locator(by("weight")).nth(1)
    slider.focus()
    page.keyboard.press("Home")
    wait_for_another_answer(page, before)
    expect(page.locator(by("weight-value")).nth(1)).to_have_text("−2.0 · less like this")
    assert page.evaluate("document.activeElement.dataset.test") == "weight"  # where it was
    before = answer(page)
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    wait_for_another_answer(page, before)
    expect(page.locator(by("weight-value")).nth(1)).to_have_text("0.0 · switched off")
    assert store.photo(1).name in ids(results(page))[0]
    page.locator(by("weight")).first.fill("0")
    expect(page.locator(by("no-weight"))).to_be_visible()


def test_more_less_and_only_like_a_result(page: Any, store: Store) -> None:
    choose(page, "resnet_tiny")
    upload(page, store.photo(1))
    terms = page.locator(by("term"))
    for place, (action, weight) in enumerate((("more", "+1.0"), ("less", "−0.5")), 2):
        before, liked = answer(page), ids(results(page))[place]
        results(page).nth(place).locator(by(action)).click()
        wait_for_another_answer(page, before)
        expect(terms).to_have_count(place)
        assert weight in terms.last.inner_text()
        assert liked not in ids(results(page))  # an item that is asked for is not found
    page.locator(by("remove-term")).first.click()
    expect(terms).to_have_count(2)
    results(page).nth(2).locator(by("only")).click()
    expect(terms).to_have_count(1)


def test_a_part_of_the_picture_chosen_by_mouse_and_by_keyboard(page: Any, store: Store) -> None:
    choose(page, "resnet_tiny")
    upload(page, store.photo(2))
    before = answer(page)
    page.click(by("crop"))
    handle = page.locator(by("handle-se")).bounding_box()
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    page.mouse.move(handle["x"] - 60, handle["y"] - 40, steps=4)
    page.mouse.up()
    assert int(page.input_value("#crop-width")) < 32 and int(page.input_value("#crop-height")) < 32
    page.click("#crop-apply")
    wait_for_another_answer(page, before)
    expect(page.locator("#crop-dialog")).to_have_count(0)

    before = answer(page)
    page.click(by("crop"))  # which begins with the part chosen before
    page.click("#crop-whole")
    page.focus(by("handle-nw"))
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    assert page.input_value("#crop-left") == "16"  # what is left has 16 pixels
    page.focus("#crop-box")
    page.keyboard.press("Enter")
    wait_for_another_answer(page, before)
    before = answer(page)
    page.click(by("crop"))
    page.click("#crop-whole")
    page.click("#crop-apply")
    wait_for_another_answer(page, before)
    assert store.photo(2).name in ids(results(page))[0]


def test_filters_by_category(page: Any, store: Store) -> None:
    upload(page, store.photo(3))
    page.click("#filters-button")
    for category in ("boot", "sandal"):
        page.check(f'{by("filter")}[data-column="category"][value="{category}"]')
    settled(page)
    page.select_option("#k", "50")
    settled(page)
    subtitles = page.locator(f"{by('result')} .subtitle").all_inner_texts()
    assert {one.split(" · ")[0] for one in subtitles} == {"boot", "sandal"} and len(subtitles) > 10
    page.click("#clear-filters")
    settled(page)
    assert results(page).count() > 20


def test_filters_by_a_column_of_many_values(browser: Any, odd: str, store: Store) -> None:
    with visited(browser, odd) as page:
        choose(page, "resnet_tiny")
        upload(page, store.photo(3))
        page.click("#filters-button")
        page.locator("#filters summary").click()
        field = page.locator(f'{by("filter-text")}[data-column="title"]')
        field.fill("nowhere")
        field.press("Enter")
        expect(page.locator(by("no-results"))).to_contain_text("No item passes the filters.")
        expect(page.locator("#filters-button")).to_have_text("Filters (1)")
        field.fill(f"b {store.photo(5).stem}")
        field.press("Enter")
        settled(page)
        assert [one.rsplit("/", 1)[-1] for one in ids(results(page))] == [f"b{store.photo(5).name}"]
        field.fill("nowhere")
        field.press("Enter")
        page.locator(by("notice-action")).click()  # Clear filters
        settled(page)
        assert results(page).count() > 1 and field.input_value() == ""
        price = page.locator(f'{by("filter-text")}[data-column="price"]')
        expect(price).to_have_attribute("placeholder", "0..71.5")
        price.fill("3..4.5")
        price.press("Enter")
        settled(page)
        assert results(page).count() == 2  # 3 and 3.5, which look alike, and 4 and 4.5
        price.fill("cheap")
        price.press("Enter")
        expect(page.locator(by("search-error"))).to_contain_text("cheap")


def test_how_many_results(page: Any, store: Store) -> None:
    upload(page, store.photo(3))
    page.uncheck("#fold")
    settled(page)
    assert results(page).count() == 10
    page.select_option("#k", "20")
    settled(page)
    assert results(page).count() == 20


def test_pictures_that_are_almost_the_same_are_folded(browser: Any, odd: str, store: Store) -> None:
    with visited(browser, odd) as page:
        choose(page, "resnet_tiny")
        upload(page, store.photo(0))
        twins = {f"a{store.photo(0).name}", f"b{store.photo(0).name}"}
        found = {one.rsplit("/", 1)[-1] for one in ids(results(page))}
        assert len(found & twins) == 1
        alike = results(page).first.locator(by("alike")).first
        assert "alike" in alike.inner_text()
        folded = page.locator(".alike li").first
        assert folded.is_hidden()
        alike.click()
        assert (
            folded.is_visible() and str(folded.get_attribute("data-item")).rsplit("/", 1)[-1] in twins - found
        )
        page.uncheck("#fold")
        settled(page)
        assert {one.rsplit("/", 1)[-1] for one in ids(results(page))[:2]} == twins


def test_scores_that_nobody_measured_have_no_band(browser: Any, odd: str) -> None:
    with visited(browser, odd) as page:
        choose(page, "clip_tiny")
        say(page, "a boot")
        assert set(page.locator(by("band")).all_inner_texts()) == {"Not calibrated"}
        results(page).first.locator(by("only")).click()
        settled(page)
        assert "Not calibrated" not in page.locator(by("band")).all_inner_texts()


def test_an_empty_catalogue_says_so(browser: Any, odd: str) -> None:
    with visited(browser, odd) as page:
        choose(page, "vit_tiny")
        page.click("#catalogue-button")
        expect(page.locator(by("picker-empty"))).to_contain_text("The catalogue of this model is empty")
