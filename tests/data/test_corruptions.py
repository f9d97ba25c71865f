"""Corruptions: each does what its unit says, grows with severity, and depends on its key alone."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.fft import dctn

from lens.data.corruptions import CORRUPTIONS, SEVERITIES, CorruptedItems, Shot, check_known, corrupted
from lens.data.pictures import Pictures
from lens.data.rendered import design, render
from lens.data.sources import read_rendered
from lens.errors import LensError

NAMES = list(CORRUPTIONS)
RANDOM = ("crop", "rotate", "clutter", "cover")


def _shoe(product: int = 66, size: int = 64, view: int = 0) -> np.ndarray:
    return np.asarray(render(design(0, product), view, 0, size))


def _change(picture: np.ndarray, name: str, severity: int, item: str = "a", seed: int = 0) -> np.ndarray:
    return corrupted(picture, name, severity, seed=seed, item=item)


def _level(name: str, severity: int) -> float:
    return CORRUPTIONS[name].levels[severity - 1]


@pytest.mark.parametrize("name", NAMES)
def test_severity_0_changes_nothing(name: str) -> None:
    picture = _shoe()
    result = _change(picture, name, 0)
    assert (result == picture).all() and not np.shares_memory(result, picture)


@given(
    name=st.sampled_from(NAMES),
    severity=st.sampled_from(SEVERITIES),
    size=st.sampled_from([32, 33, 64, 100, 224]),
    view=st.integers(0, 2),
    item=st.text(max_size=8),
)
@settings(max_examples=30, deadline=None)
def test_any_picture_stays_a_picture_and_the_key_alone_decides(
    name: str, severity: int, size: int, view: int, item: str
) -> None:
    picture = _shoe(9, size, view)
    before = picture.copy()
    result = _change(picture, name, severity, item)
    assert result.shape == (size, size, 3) and result.dtype == np.uint8 and result.flags.writeable
    assert (picture == before).all()
    np.random.seed(severity)
    random.seed(severity)
    drawn = np.random.get_state()[1].copy()  # type: ignore[union-attr, index]
    assert (_change(picture, name, severity, item) == result).all()
    assert (np.random.get_state()[1] == drawn).all()  # type: ignore[index]


@pytest.mark.parametrize("name", RANDOM)
def test_each_part_of_the_key_counts(name: str) -> None:
    picture = _shoe()
    items, seeds = ([_change(picture, name, 3, **{key: value}) for value in values]
                    for key, values in (("item", map(str, range(8))), ("seed", range(8))))  # fmt: skip
    for results in (items, seeds):
        # A rotation has two sides only; the others never repeat.
        different = {result.tobytes() for result in results}
        assert len(different) == (2 if name == "rotate" else 8)


@pytest.mark.parametrize("size", [32, 96])
@pytest.mark.parametrize("name", NAMES)
def test_damage_grows_with_severity(name: str, size: int) -> None:
    shoes = [_shoe(product, size) for product in range(8)]
    damage = [
        np.mean([np.abs(_change(shoe, name, severity, str(place)).astype(float) - shoe).mean()
                 for place, shoe in enumerate(shoes)])
        for severity in (0, *SEVERITIES)
    ]  # fmt: skip
    assert damage[0] == 0
    assert (np.diff(damage) > 0).all(), damage


@pytest.mark.parametrize("name", [name for name in NAMES if name != "jpeg"])
def test_every_image_size_shows_the_same(name: str) -> None:
    large = _shoe(31, 128)
    small = np.asarray(Image.fromarray(large).resize((64, 64), Image.Resampling.BOX))
    for severity in SEVERITIES:
        for item in "abc":
            first = Image.fromarray(_change(large, name, severity, item)).resize(
                (64, 64), Image.Resampling.BOX
            )
            second = _change(small, name, severity, item)
            other = _change(small, name, severity, item + "x")
            gap = np.abs(np.asarray(first, float) - second).mean()
            assert gap < 9
            if name in ("crop", "clutter", "cover"):
                assert gap < np.abs(np.asarray(first, float) - other).mean()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_crop_keeps_its_share_of_the_area(severity: int) -> None:
    size = 200
    across = np.linspace(0, 255, size)
    ramp = np.stack([np.broadcast_to(across, (size, size)), np.broadcast_to(across[:, None], (size, size)),
                     np.zeros((size, size))], axis=2).round().astype(np.uint8)  # fmt: skip
    for item in "abcdef":
        result = _change(ramp, "crop", severity, item).astype(float)
        # Red tells the column, green the row that a pixel comes from.
        width = np.ptp(result[..., 0].mean(axis=0)) / 255
        height = np.ptp(result[..., 1].mean(axis=1)) / 255
        assert width * height == pytest.approx(_level("crop", severity), abs=0.02)
        assert width == pytest.approx(height, abs=0.02)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_rotation_turns_by_its_angle_and_opens_white_corners_without_a_seam(severity: int) -> None:
    picture = np.full((129, 129, 3), 255, np.uint8)
    assert (_change(picture, "rotate", severity) == 255).all()
    picture[60:69, 20:109] = 0
    angles = []
    for item in "abcdefgh":
        turned = 255 - _change(picture, "rotate", severity, item)[..., 0].astype(float)
        y, x = np.mgrid[:129, :129] - 64.0
        mass = turned.sum()
        xx, yy, xy = ((a * b * turned).sum() / mass for a, b in ((x, x), (y, y), (x, y)))
        angles.append(np.degrees(np.arctan2(2 * xy, xx - yy) / 2))
    np.testing.assert_allclose(np.abs(angles), _level("rotate", severity), atol=0.5)
    assert min(angles) < 0 < max(angles)
    dark = np.full((64, 64, 3), 90, np.uint8)
    turned = _change(dark, "rotate", severity)
    assert set(np.unique(turned)) <= {90, 255} and (turned == 255).any()


@pytest.mark.parametrize("size", [64, 224])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_blur_has_its_sigma_at_any_size(severity: int, size: int) -> None:
    edge = np.zeros((size, size, 3), np.uint8)
    edge[:, size // 2 :] = 255
    profile = _change(edge, "blur", severity)[size // 2, :, 0].astype(float) / 255
    # The slope of a blurred edge is the kernel itself.
    kernel = np.diff(profile)
    at = np.arange(len(kernel))
    middle = (kernel * at).sum() / kernel.sum()
    sigma = np.sqrt((kernel * (at - middle) ** 2).sum() / kernel.sum())
    assert sigma == pytest.approx(_level("blur", severity) * size / 64, rel=0.12)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_darkening_scales_every_value(severity: int) -> None:
    picture = _shoe()
    expected = picture * _level("darken", severity)
    np.testing.assert_allclose(_change(picture, "darken", severity), expected, atol=1)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_jpeg_quantises_as_the_standard_says(severity: int) -> None:
    # Smooth grey noise far from black and white, so that decoding clips nothing.
    coarse = np.random.default_rng(0).integers(60, 196, (24, 24)).astype(np.uint8)
    grey = np.asarray(Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC))
    result = _change(np.repeat(grey[..., None], 3, axis=2), "jpeg", severity)[..., 0].astype(float) - 128
    blocks = result.reshape(8, 8, 8, 8).swapaxes(1, 2).reshape(64, 8, 8)
    whole = blocks[(np.abs(blocks) < 126).all(axis=(1, 2))]
    assert len(whole) > 40
    coefficients = dctn(whole, axes=(1, 2), norm="ortho")
    # The first row of the luminance table of ITU-T T.81, Annex K, scaled as libjpeg scales it.
    table = np.array([16, 11, 10, 16, 24, 40, 51, 61])
    step = np.clip((table * int(5000 / _level("jpeg", severity)) + 50) // 100, 1, 255)
    from_multiple = coefficients[:, 0] - np.round(coefficients[:, 0] / step) * step
    assert np.abs(from_multiple).max() < 3, "the coefficients are no multiples of the quantisation steps"


@pytest.mark.parametrize("size", [32, 64, 224])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_cover_hides_its_share_of_the_shoe(severity: int, size: int) -> None:
    picture = np.full((size, size, 3), 255, np.uint8)
    y, x = np.mgrid[:size, :size] / size - 0.5
    shoe = (x / 0.42) ** 2 + (y / 0.2) ** 2 < 1
    picture[shoe] = (255, 0, 255)
    for item in "abcdef":
        hidden = (_change(picture, "cover", severity, item) != picture).any(axis=2)
        assert hidden[shoe].mean() == pytest.approx(_level("cover", severity), abs=1.5 / shoe.sum())


def test_a_blank_picture_can_be_covered_and_cluttered() -> None:
    blank = np.full((64, 64, 3), 255, np.uint8)
    assert (_change(blank, "cover", 5) != blank).any(axis=2).mean() == pytest.approx(0.5, abs=0.02)
    assert (_change(blank, "clutter", 5) != blank).any()


def test_unknown_names_and_severities_are_refused() -> None:
    with pytest.raises(LensError, match="'blurr'; nearest is blur"):
        check_known(["crop", "blurr"], [1])
    for severity in (-1, 6):
        with pytest.raises(LensError, match=f"no severity {severity}"):
            _change(_shoe(), "crop", severity)


def test_the_dataset_hands_out_what_is_asked_for(shoes: Path) -> None:
    catalogue = read_rendered(shoes, items=72, views_per_product=2, render_size=32)
    pictures = Pictures(catalogue, 40, 2**20)
    ids = catalogue.table["item_id"].tolist()
    items = CorruptedItems(pictures, ids, seed=5)
    for row, name, severity in ((3, "blur", 2), (70, "clutter", 5), (3, "cover", 0)):
        image = items[Shot(row, name, severity)]["image"]
        expected = corrupted(pictures[row], name, severity, seed=5, item=ids[row])
        assert image.dtype == torch.float32 and image.shape == (3, 40, 40)
        np.testing.assert_array_equal((image * 255).round().permute(1, 2, 0).numpy(), expected)


def test_the_page_gives_the_levels() -> None:
    page = (Path(__file__).parents[2] / "docs" / "robustness.md").read_text(encoding="utf-8")
    rows = {
        cells[0]: cells[1:]
        for cells in (re.split(r"\s*\|\s*", line.strip("| \n")) for line in page.splitlines())
        if cells[0] in CORRUPTIONS
    }
    assert rows == {
        name: [one.unit, *(f"{level:g}" for level in one.levels)] for name, one in CORRUPTIONS.items()
    }
