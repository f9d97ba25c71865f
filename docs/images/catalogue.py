"""Draws catalogue.jpg, the contact sheet of the README: python docs/images/catalogue.py"""

from pathlib import Path

from PIL import Image

from lens.data.rendered import CATEGORIES, design, render

SIDE, COLUMNS = 150, 8


def contact_sheet() -> Image.Image:
    """A line for each category; each product once as its catalogue photograph and once in another view."""
    sheet = Image.new("RGB", (COLUMNS * SIDE, len(CATEGORIES) * SIDE))
    for line in range(len(CATEGORIES)):
        for column in range(COLUMNS):
            product = line + len(CATEGORIES) * (20 + column // 2)
            view = (column % 2) * (1 + column // 2)
            sheet.paste(render(design(0, product), view, 0, SIDE), (column * SIDE, line * SIDE))
    return sheet


if __name__ == "__main__":
    contact_sheet().save(Path(__file__).with_name("catalogue.jpg"), quality=85)
