import io

import numpy as np
import pytest

from lens.figures import masked_patch_figure, reconstruction_figure
from lens.figures.style import texts

PICTURES = np.random.default_rng(0).random((3, 8, 8, 3)).astype(np.float32)


def shown(figure: object, row: int) -> list[np.ndarray]:
    axes = figure.axes[3 * row : 3 * row + 3]  # type: ignore[attr-defined]
    return [np.asarray(axis.images[0].get_array()) for axis in axes]


def test_pictures_stand_above_what_was_made_of_them_with_the_error_between() -> None:
    rebuilt = PICTURES + 1.0
    rebuilt[0] = PICTURES[0] + 0.1 * (PICTURES[0] < 0.5)
    figure = reconstruction_figure(PICTURES, rebuilt, "validation")
    errors = [np.square(np.clip(rebuilt[n], 0, 1) - PICTURES[n]).mean() for n in range(3)]
    assert (
        texts(figure)[0]
        == f"Reconstructions (validation): mean squared error {np.mean(errors):.4f} over 3 pictures"
    )
    assert texts(figure)[1].startswith("Look at shape and colour")
    assert texts(figure)[2:] == ["", "", "", *(f"MSE {error:.4f}" for error in errors)]
    np.testing.assert_array_equal(shown(figure, 0), PICTURES)
    np.testing.assert_array_equal(shown(figure, 1), np.clip(rebuilt, 0, 1))
    figure.savefig(io.BytesIO(), format="png")


def test_masked_patches_are_grey_then_predicted_and_only_they_are_judged() -> None:
    hidden = np.zeros((3, 8, 8), bool)
    hidden[0, :4, :4] = hidden[1, 4:, :4] = hidden[2, :4, 4:] = True
    predicted = np.where(hidden[..., None], PICTURES * 0.5, 7.0)
    figure = masked_patch_figure(PICTURES, hidden, predicted, "test")
    errors, plain = [], []
    for picture, mask in zip(PICTURES, hidden, strict=True):
        pixels = [picture[y, x] for y in range(8) for x in range(8) if mask[y, x]]
        colour = np.mean([picture[y, x] for y in range(8) for x in range(8) if not mask[y, x]], axis=0)
        errors.append(np.mean([np.square(pixel * 0.5) for pixel in pixels]))
        plain.append(np.mean([np.square(pixel - colour) for pixel in pixels]))
    assert (
        f"error {np.mean(errors):.4f}; the mean colour of each picture would give {np.mean(plain):.4f}"
        in texts(figure)[0]
    )
    assert texts(figure)[-3:] == [f"MSE {error:.4f}" for error in errors]
    assert [figure.axes[3 * row].get_ylabel() for row in range(3)] == ["original", "seen", "predicted"]
    for number, (seen, filled) in enumerate(zip(shown(figure, 1), shown(figure, 2), strict=True)):
        mask = hidden[number]
        assert (seen[mask] == 0.5).all() and (seen[~mask] == PICTURES[number][~mask]).all()
        np.testing.assert_allclose(filled[mask], PICTURES[number][mask] * 0.5)
        np.testing.assert_array_equal(filled[~mask], PICTURES[number][~mask])
    figure.savefig(io.BytesIO(), format="png")


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(ValueError, match="no picture"):
        reconstruction_figure(PICTURES[:0], PICTURES[:0], "test")
    with pytest.raises(ValueError, match="one shape"):
        reconstruction_figure(PICTURES, PICTURES[:, :4], "test")
    with pytest.raises(ValueError, match="hides something"):
        masked_patch_figure(PICTURES, np.zeros((3, 8, 8), bool), PICTURES, "test")
    with pytest.raises(ValueError, match="hides something"):
        masked_patch_figure(PICTURES, np.ones((3, 4, 4), bool), PICTURES, "test")
