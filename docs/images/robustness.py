"""Draws robustness.jpg, the corruptions of a query picture: python docs/images/robustness.py"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lens.data.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from lens.data.images import fit_square
from lens.data.rendered import design, render

SIDE, MARGIN, HEAD, PRODUCT = 128, 74, 22, 66


def sheet(picture: np.ndarray, item: str) -> Image.Image:
    """A line for each corruption, a column for each severity, of one picture uint8 [SIDE, SIDE, 3]."""
    columns = (0, *SEVERITIES)
    image = Image.new("RGB", (MARGIN + SIDE * len(columns), HEAD + SIDE * len(CORRUPTIONS)), "white")
    draw, font, small = ImageDraw.Draw(image), ImageFont.load_default(15), ImageFont.load_default(12)
    for column, severity in enumerate(columns):
        middle = MARGIN + SIDE * (column + 0.5)
        draw.text((middle, HEAD / 2), f"severity {severity}", "black", font, anchor="mm")
    for line, (name, corruption) in enumerate(CORRUPTIONS.items()):
        top = HEAD + SIDE * line
        draw.text((6, top + SIDE / 2), name, "black", font, anchor="lm")
        for column, severity in enumerate(columns):
            left = MARGIN + SIDE * column
            shot = corrupted(picture, name, severity, seed=0, item=item)
            image.paste(Image.fromarray(shot), (left, top))
            if severity > 0:
                level = f"{corruption.levels[severity - 1]:g}"
                corner = (left + 4, top + SIDE - 4)
                draw.text(corner, level, "black", small, anchor="ls", stroke_width=2, stroke_fill="white")
    return image


if __name__ == "__main__":
    shoe = fit_square(render(design(0, PRODUCT), 0, 0, SIDE), SIDE)
    sheet(shoe, "shoe").save(Path(__file__).with_name("robustness.jpg"), quality=85)
