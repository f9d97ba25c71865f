"""The page in a real Chromium, on a real server: the ways in for a query, and what is shown of an answer."""

import base64
import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.serve.browser import (
    SHOWN,
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
from tests.serve.server import Server
from tests.serve.store import MODELS, Store


def asked(server: Server, **query: Any) -> list[str]:
    """Item ids of the service's own answer."""
    answer = httpx.post(f"{server.url}/api/search", json=query, timeout=30).json()
    return [one["item_id"] for one in answer["results"]]


def test_a_photograph_finds_itself_with_score_band_caption_and_time(page: Any, store: Store) -> None:
    upload(page, store.photo(4))
    first = results(page).first
    assert first.get_attribute("data-band") == "high"
    assert re.match(r"100(\.0)?\s*%", first.locator(by("score")).inner_text())
    assert "High" in first.locator(by("band")).inner_text()
    assert store.photo(4).name in str(first.get_attribute("data-item"))
    page.wait_for_function(SHOWN, arg=first.locator("img").element_handle())
    timing = page.locator(by("timing"))
    assert re.search(r"Answered in [\d.]+ m?s", timing.inner_text())
    assert {"decode", "embed", "search", "items"} <= set(timing.locator("dt").all_inner_texts())


def test_a_picture_dropped_anywhere(page: Any, store: Store) -> None:
    photo = base64.b64encode(store.photo(5).read_bytes()).decode()
    data = page.evaluate_handle(
        """(photo) => {
            const bytes = Uint8Array.from(atob(photo), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "shoe.jpg", {type: "image/jpeg"}));
            return data;
        }""",
        photo,
    )
    page.dispatch_event("footer", "dragenter", {"dataTransfer": data})
    expect(page.locator("#drop-cover")).to_be_visible()
    page.dispatch_event("footer", "drop", {"dataTransfer": data})
    results(page).first.wait_for()
    settled(page)
    assert store.photo(5).name in ids(results(page))[0]
    expect(page.locator("#drop-cover")).to_be_hidden()


def test_a_picture_pasted(page: Any, store: Store) -> None:
    photo = base64.b64encode(store.photo(6).read_bytes()).decode()
    page.evaluate(
        """async (photo) => {
            const picture = new Image();
            picture.src = `data:image/jpeg;base64,${photo}`;
            await picture.decode();
            const canvas = new OffscreenCanvas(picture.width, picture.height);
            canvas.getContext("2d").drawImage(picture, 0, 0);
            const blob = await canvas.convertToBlob({type: "image/png"});
            await navigator.clipboard.write([new ClipboardItem({"image/png": blob})]);
        }""",
        photo,
    )
    page.keyboard.press("Control+v")
    results(page).first.wait_for()
    assert store.photo(6).name in ids(results(page))[0]


def test_an_item_picked_from_the_catalogue(page: Any, server: Server) -> None:
    page.click("#catalogue-button")
    tiles = page.locator(f"#picker-grid {by('tile')}")
    tiles.first.wait_for()
    page.click("#picker-next")
    expect(page.locator("#picker-count")).to_have_text("61 to 72 of 72")
    page.fill("#picker-text", "no such shoe")
    page.wait_for_selector(f"#picker-grid {by('picker-empty')}")
    page.fill("#picker-text", "")
    page.select_option("#picker-category", "boot")
    expect(page.locator("#picker-count")).to_have_text("1 to 12 of 12")
    picked = ids(tiles)[3]
    tiles.nth(3).click()
    expect(page.locator("#picker")).to_have_count(0)
    results(page).first.wait_for()
    assert ids(results(page)) == asked(server, terms=[{"item": picked}], models=[page_model(page)], fold=True)


def page_model(page: Any) -> str:
    return str(page.locator("#model-list input:checked").first.get_attribute("value"))


def test_one_of_the_examples(page: Any) -> None:
    assert page.evaluate("document.body.dataset.state") == "start"
    page.locator(f"#try-list {by('tile')}").nth(1).click()
    results(page).first.wait_for()
    assert page.evaluate("document.body.dataset.state") == "asked"
    page.click("#new-search")
    assert page.evaluate("document.body.dataset.state") == "start" and results(page).count() == 0


def test_words_alone_and_with_a_picture(page: Any, server: Server, store: Store) -> None:
    choose(page, "vit_tiny")
    assert page.locator("#words").is_disabled()
    page.locator(by("add-text-model")).click()
    choose(page, "clip_tiny")
    say(page, "a red boot")
    assert ids(results(page)) == asked(
        server, terms=[{"text": "a red boot"}], models=["clip_tiny"], fold=True
    )
    before = answer(page)
    upload(page, store.photo(2))
    wait_for_another_answer(page, before)
    expect(page.locator(by("term"))).to_have_count(2)


def test_two_pictures_and_one_more_added(page: Any, store: Store) -> None:
    upload(page, store.photo(0), store.photo(1))
    expect(page.locator(by("term"))).to_have_count(2)
    upload(page, store.photo(2))
    expect(page.locator(by("term"))).to_have_count(1)  # in place of the others
    page.check("#add-mode")
    before = answer(page)
    page.set_input_files("#file-input", str(store.photo(3)))
    wait_for_another_answer(page, before)
    expect(page.locator(by("term"))).to_have_count(2)


def test_four_models_side_by_side_and_what_they_agree_on(page: Any, server: Server, store: Store) -> None:
    item = asked(server, terms=[{"text": "shoe"}], models=["clip_tiny"])[0]
    choose(page, *MODELS)
    page.click("#catalogue-button")
    page.locator(f'#picker-grid [data-item="{item}"]').click()
    settled(page)
    found = {}
    for model in MODELS:
        found[model] = asked(server, terms=[{"item": item}], models=[model])
        assert ids(results(page, model)) == found[model]
        assert page.locator(f'[data-model="{model}"] {by("timing")}').count() == 1
    everywhere = set.intersection(*map(set, found.values()))
    assert (
        page.locator(by("agreement-words"))
        .inner_text()
        .startswith(f"{len(everywhere)} of 10 found by all 4 models.")
    )
    pairs = dict(one.rsplit(" ", 1) for one in page.locator(by("pair")).all_inner_texts())
    assert len(pairs) == 6
    for pair, both in pairs.items():
        one, other = pair.split(" & ")
        assert both == f"{len(set(found[one]) & set(found[other]))}/10"
    for card in results(page, "vit_tiny").all():
        by_all = card.get_attribute("data-item") in everywhere
        assert ("In all 4 models" in card.inner_text()) == by_all


@pytest.mark.parametrize("fusion", ["rrf", "scores"])
def test_several_models_in_one_list(page: Any, server: Server, fusion: str) -> None:
    choose(page, "resnet_tiny", "vit_tiny")
    page.locator(f"#try-list {by('tile')}").first.click()
    settled(page)
    item = ids(page.locator(f"#try-list {by('tile')}"))[0]
    page.locator("label", has=page.locator("#view-fused")).click()
    page.select_option("#fusion", fusion)
    settled(page)
    assert page.locator(by("column")).count() == 1
    terms = [{"item": item}]
    fused = asked(server, terms=terms, models=["resnet_tiny", "vit_tiny"], fusion=fusion, fold=True)
    assert ids(results(page)) == fused
    assert re.fullmatch(
        r"In (both|1 of 2) models", results(page).first.locator(by("found-fused")).inner_text()
    )


@pytest.mark.parametrize("model", MODELS)
def test_why_two_pictures_are_alike_is_shown(page: Any, store: Store, model: str) -> None:
    choose(page, model)
    upload(page, store.photo(3))
    results(page).nth(1).locator(by("why")).click()
    heats = page.locator(f"#overlay {by('heat')}")
    expect(page.locator(f"#overlay {by('heat')}[aria-label*=Strongest]")).to_have_count(2)
    assert page.locator("#overlay-means").inner_text().endswith(".")
    painted = heats.evaluate_all(
        """all => all.map((one) => one.getContext("2d").getImageData(0, 0, one.width, one.height).data
            .filter((_, place) => place % 4 == 3).some((alpha) => alpha > 100))"""
    )
    assert any(painted)
    assert (page.locator(by("reconstructions")).count() == 1) == (model == "autoencoder_tiny")
    page.uncheck("#overlay-on")
    expect(heats.first).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#overlay")).to_have_count(0)


def test_why_words_fit_a_picture(page: Any) -> None:
    choose(page, "clip_tiny")
    say(page, "a boot")
    results(page).first.locator(by("why")).click()
    page.wait_for_selector(f"#overlay {by('heat')}")
    assert page.locator(f"#overlay {by('heat')}").count() == 1


def test_from_the_runs_description_to_the_page_and_back(browser: Any, server: Server, store: Store) -> None:
    from lens.tracking import run_tags

    run_id = store.runs["vit_tiny"]
    tags = run_tags(store.uri, run_id)
    link = tags["page"]
    assert link == f"http://127.0.0.1:8001/?run={run_id}" and f"({link})" in tags["mlflow.note.content"]
    with visited(browser, server.url + link.removeprefix("http://127.0.0.1:8001")) as page:
        upload(page, store.photo(4))
        assert results(page, "vit_tiny").count() > 0
        back = page.locator(f"{by('column')} {by('run-link')}").first.get_attribute("href")
        assert back == f"http://127.0.0.1:5000/#/experiments/1/runs/{run_id}"
