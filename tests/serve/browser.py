"""A real Chromium on a page of one's own server, and what tests of the page do there."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.serve.server import free_port

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SETTLED = """() => {
    const columns = [...document.querySelectorAll('[data-test=column]')];
    return columns.length > 0 && columns.every((column) => !column.hasAttribute('aria-busy'));
}"""
ANSWER = "() => [...document.querySelectorAll('[data-test=result]')].map((one) => one.textContent).join()"
SHOWN = "image => image.complete && image.naturalWidth > 0"


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=20_000)  # on shared cores
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visited(browser: Any, url: str, wait: str = "#try-list img", **context: Any) -> Iterator[Any]:
    """A page in a context of its own; it may tell the console nothing but of requests that were refused."""
    own = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
    own.set_default_timeout(20_000)
    own.grant_permissions(["clipboard-read", "clipboard-write"])
    page = own.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("filechooser", lambda _: None)  # asked for only when it is awaited, it may come after the key
    page.goto(url)
    page.wait_for_selector(wait)
    yield page
    assert not [one for one in wrong if not one.startswith("Failed to load resource")]
    own.close()


@contextmanager
def served_here(settings: Any, port: int | None = None) -> Iterator[str]:
    """The address of a service in this process, which starts at once since everything is loaded."""
    from lens.serve.app import create_app

    with running(create_app(settings), port) as url:
        yield url


@contextmanager
def running(app: Any, port: int | None = None, silence: float = 60.0) -> Iterator[str]:
    """The address of an ASGI application that is served in this process."""
    import uvicorn

    from lens.serve.connections import Server

    where = port or free_port()
    config = uvicorn.Config(app, http="h11", port=where, log_level="warning", access_log=False)
    server = Server(config, threading.Event(), silence)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline
            time.sleep(0.02)
        yield f"http://127.0.0.1:{where}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def by(name: str) -> str:
    """The selector of what has this name for tests."""
    return f'[data-test="{name}"]'


def results(page: Any, model: str | None = None) -> Any:
    column = by("column") + (f'[data-model="{model}"]' if model else "")
    return page.locator(f"{column} {by('result')}")


def settled(page: Any) -> None:
    """Until every column has answered."""
    page.wait_for_function(SETTLED)


def upload(page: Any, *photos: Path) -> None:
    """Choose these files, and wait for the answers."""
    page.set_input_files("#file-input", [str(photo) for photo in photos])
    page.wait_for_selector("#dropzone:not([aria-busy])")
    settled(page)


def choose(page: Any, *models: str) -> None:
    """Let these models answer, and no others."""
    for box in page.locator("#model-list input").all():
        if box.is_checked() and box.get_attribute("value") not in models:
            box.uncheck()
    for model in models:
        page.check(f'#model-list input[value="{model}"]')


def say(page: Any, words: str) -> None:
    page.fill("#words", words)
    page.click("#words-add")
    page.wait_for_selector(by("term"))
    settled(page)


def ids(found: Any) -> list[str]:
    return found.evaluate_all("all => all.map((one) => one.dataset.item)")  # type: ignore[no-any-return]


def answer(page: Any) -> str:
    """All that the results say, their cosines to four digits included."""
    return page.evaluate(ANSWER)  # type: ignore[no-any-return]


def wait_for_another_answer(page: Any, before: str) -> None:
    page.wait_for_function(f"(before) => ({ANSWER})() !== before", arg=before)
    settled(page)
