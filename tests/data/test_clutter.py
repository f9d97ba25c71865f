"""Shoes that leave their white background, and pictures that have none."""

import os
from pathlib import Path

import numpy as np
import pytest

from lens.data.clutter import cluttered, is_catalogue_photograph, light_background
from lens.data.images import fit_square
from lens.data.rendered import design, render
from lens.data.sources import read_folder

DATA = os.environ.get("LENS_TEST_DATA")
RED, WHITE = (200, 30, 40), (255, 255, 255)


def _ring(size: int) -> np.ndarray:
    """A red square with a white hole, on white."""
    picture = np.full((size, size, 3), 255, np.uint8)
    a, b = size // 4, size - size // 4
    picture[a:b, a:b] = RED
    c, d = size * 3 // 8, size - size * 3 // 8
    picture[c:d, c:d] = WHITE
    return picture


def _random() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize("size", [32, 64, 224])
def test_only_what_hangs_together_with_the_border_is_background(size: int) -> None:
    background = light_background(_ring(size))
    expected = np.ones((size, size), bool)
    expected[size // 4 : size - size // 4, size // 4 : size - size // 4] = False
    assert (background == expected).all()
    assert is_catalogue_photograph(background)


@pytest.mark.parametrize("size", [32, 64, 224])
def test_the_shoe_and_the_white_inside_it_stay(size: int) -> None:
    picture = _ring(size)
    result = cluttered(picture, 1.0, _random())
    background = light_background(picture)
    assert (result[~background] == picture[~background]).all()
    assert np.abs(result[background].astype(int) - 255).mean() > 40


def test_soft_edges_take_the_colour_of_the_new_floor() -> None:
    picture = _ring(64)
    picture[16:48, 15] = (np.array(RED) + 255) // 2  # half shoe, half white
    mixed = cluttered(picture, 1.0, _random())[20:44, 15]
    floor = cluttered(_ring(64), 1.0, _random())[20:44, 15].astype(float)
    np.testing.assert_allclose(mixed, (np.array(RED) + floor) / 2, atol=2)


def test_a_shadow_below_the_shoe_falls_on_the_new_floor() -> None:
    picture = np.full((64, 64, 3), 250, np.uint8)
    picture[20:40, 10:54] = RED
    for row in range(12):
        picture[40 + row, 10:54] = 180 + 6 * row
    background = light_background(picture)
    assert background[42:, 12:52].all() and not background[20:40, 10:54].any()
    lit = picture.copy()
    lit[40:52, 10:54] = 250
    with_shadow, without = (cluttered(one, 1.0, _random()).astype(int) for one in (picture, lit))
    assert (with_shadow[43, 12:52] <= without[43, 12:52]).all()
    assert (with_shadow[43, 12:52] < without[43, 12:52]).mean() > 0.5


def test_a_grey_shoe_is_no_shadow() -> None:
    picture = np.full((64, 64, 3), 250, np.uint8)
    picture[20:36, 10:54] = 190
    picture[36:40, 10:54] = 40  # its sole
    assert not light_background(picture)[20:40, 10:54].any()


def test_a_picture_without_a_light_border_is_shrunk_whole() -> None:
    picture = np.full((80, 80, 3), (10, 200, 30), np.uint8)
    background = light_background(picture)
    assert not background.any() and not is_catalogue_photograph(background)
    for strength, side in ((0.25, 72), (0.5, 64), (1.0, 48)):
        kept = (cluttered(picture, strength, _random()) == picture).all(axis=2)
        assert kept.sum() == side * side
        rows, columns = kept.any(axis=1).sum(), kept.any(axis=0).sum()
        assert (rows, columns) == (side, side)


def test_the_white_bars_of_a_snapshot_are_replaced() -> None:
    picture = np.full((80, 80, 3), 255, np.uint8)
    picture[:, 10:70] = (10, 200, 30)
    assert not is_catalogue_photograph(light_background(picture))
    result = cluttered(picture, 1.0, _random())
    kept = (result == (10, 200, 30)).all(axis=2)
    assert (kept.any(axis=1).sum(), kept.any(axis=0).sum()) == (48, 36)
    assert not (result == 255).all(axis=2).any()


def test_drawn_catalogue_photographs_are_known_from_snapshots() -> None:
    def light(view: int) -> list[bool]:
        shots = [np.asarray(render(design(0, product), view, 0, 64)) for product in range(24)]
        return [is_catalogue_photograph(light_background(shot)) for shot in shots]

    assert all(light(0))
    assert np.mean(light(1)) < 0.2


@pytest.mark.skipif(DATA is None, reason="LENS_TEST_DATA does not name the folder of real photographs")
def test_real_shoes_leave_their_background_whole() -> None:
    images = read_folder(Path(str(DATA)) / "shoes" / "images")
    shares = []
    for row in np.linspace(0, len(images) - 1, 150).astype(int):
        background = light_background(fit_square(images.open_image(int(row)), 64))
        assert is_catalogue_photograph(background)
        shares.append(background.mean())
    # A shoe fills between a twentieth and half of the square; a flood that entered it would leave less.
    assert 0.4 < min(shares) and max(shares) < 0.97
