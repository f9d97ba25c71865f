"""Takes the pictures of the page, page-*.jpg, from a running service: python -m docs.images.page http://127.0.0.1:8001

The service has to have the models of `make quickstart`, whose shoes are rendered. What it is asked with is rendered
too: a shoe that is not in the catalogue, on a ground of its own.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from lens.data.rendered import design, render
from tests.serve.browser import by, choose, chromium, results, say, settled, visited

HERE = Path(__file__).parent
NEW_PRODUCT, VIEW, SIDE = 100_008, 1, 512
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
WIDE = {"viewport": {"width": 1400, "height": 900}}


def photo(folder: Path) -> Path:
    """A shoe nobody has trained with."""
    path = folder / "my shoe.png"
    render(design(0, NEW_PRODUCT), VIEW, 0, SIDE).save(path)
    return path


def ask(page: Any, shoe: Path, *models: str) -> None:
    """Put the shoe to these models, and wait for all that is to be seen."""
    choose(page, *models)
    page.set_input_files("#file-input", str(shoe))
    page.wait_for_selector(by("result"))
    shown(page)


def shown(page: Any) -> None:
    settled(page)
    page.wait_for_load_state("networkidle")
    page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
    page.mouse.move(0, 0)


def take(page: Any, name: str) -> None:
    page.screenshot(path=HERE / f"page-{name}.jpg", type="jpeg", quality=85, animations="disabled")


def pictures(browser: Any, url: str, shoe: Path) -> None:
    """All four of them."""
    with visited(browser, url, color_scheme="light", **WIDE) as page:
        ask(page, shoe, "resnet_tiny", "clip_tiny")
        take(page, "desktop")
        results(page, "resnet_tiny").first.locator(by("why")).click()
        page.wait_for_selector(f"#overlay {by('heat')}[aria-label*=Strongest] >> nth=1")
        page.wait_for_load_state("networkidle")
        take(page, "why")
    with visited(browser, url, color_scheme="dark", **WIDE) as page:
        choose(page, "clip_tiny")
        say(page, "yellow boot")
        shown(page)
        take(page, "dark")
    with visited(browser, url, color_scheme="light", **PHONE) as page:
        ask(page, shoe, "clip_tiny")
        take(page, "phone")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, chromium() as opened:
        pictures(opened, sys.argv[1], photo(Path(folder)))
