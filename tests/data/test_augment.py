import numpy as np
import pytest
import torch

from lens.data.augment import Augmentation

PICTURE = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
STILL = {"smallest_crop": 1.0, "flip": 0.0, "rotation": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0,
         "hue": 0.0, "grey": 0.0, "blur": 0.0}  # fmt: skip


def test_the_key_alone_decides() -> None:
    augment = Augmentation(grey=0.3, blur=0.5)
    first = augment(PICTURE, 1.5, (0, 1, 2, 0))
    torch.manual_seed(5)
    np.random.seed(5)
    torch.rand(3)
    augment(PICTURE, 1.0, (9, 9, 9, 9))
    before = torch.get_rng_state()
    torch.testing.assert_close(augment(PICTURE, 1.5, (0, 1, 2, 0)), first, rtol=0, atol=0)
    assert torch.equal(before, torch.get_rng_state()), "the global generator was used"


@pytest.mark.parametrize("other", [(1, 1, 2, 0), (0, 2, 2, 0), (0, 1, 3, 0), (0, 1, 2, 1), (1, 0, 2, 0)])
def test_each_part_of_the_key_counts(other: tuple[int, ...]) -> None:
    augment = Augmentation()
    assert not torch.equal(augment(PICTURE, 1.0, (0, 1, 2, 0)), augment(PICTURE, 1.0, other))


def test_the_picture_given_is_left_alone() -> None:
    before = PICTURE.clone()
    for place in range(10):
        Augmentation()(PICTURE, 2.0, (place,))
    assert torch.equal(before, PICTURE)


@pytest.mark.parametrize("size", [16, 32, 65, 224])
def test_the_result_is_a_picture_of_the_same_size(size: int) -> None:
    augment = Augmentation(
        brightness=1.0, contrast=1.0, saturation=1.0, hue=0.5, grey=0.2, blur=0.5, rotation=45
    )
    for place in range(15):
        result = augment(torch.rand(3, size, size), 2.0, (0, place))
        assert result.shape == (3, size, size) and result.dtype == torch.float32
        assert result.min() >= 0 and result.max() <= 1 and torch.isfinite(result).all()


def test_with_everything_off_nothing_changes() -> None:
    for place in range(5):
        still = Augmentation(**STILL)(PICTURE, 1.0, (0, place))
        # The crop is the whole picture but for its ratio; squeezed by up to a fifth it is nearly the same.
        assert still.shape == PICTURE.shape
    flipped = Augmentation(**STILL | {"flip": 1.0})
    plain = Augmentation(**STILL)
    torch.testing.assert_close(
        flipped(PICTURE, 1.0, (0, 1)), plain(PICTURE, 1.0, (0, 1)).flip(-1), atol=1e-5, rtol=0
    )


def test_corners_that_a_rotation_opens_are_white() -> None:
    black = torch.zeros(3, 32, 32)
    turned = [Augmentation(**STILL | {"rotation": 45.0})(black, 1.0, (0, place)) for place in range(20)]
    assert max(float(picture[:, 0, 0].min()) for picture in turned) == 1.0


def test_rare_classes_are_changed_more() -> None:
    labels = np.array([7] * 64 + [3] * 16 + [5])
    strengths = Augmentation(rarity=0.25, strongest=2.0).strengths(labels)
    np.testing.assert_allclose(strengths[[0, 64, 80]], [1.0, 4**0.25, 2.0])
    assert (Augmentation(rarity=0.0).strengths(labels) == 1).all()
    assert strengths.shape == labels.shape

    def distance(strength: float) -> float:
        augment = Augmentation(flip=0.0, blur=0.0)
        smooth = torch.nn.functional.interpolate(PICTURE[None, :, :8, :8], size=32, mode="bilinear")[0]
        return float(np.mean([(augment(smooth, strength, (0, n)) - smooth).abs().mean() for n in range(60)]))

    assert distance(2.0) > 1.2 * distance(1.0)


def test_the_probabilities_are_kept() -> None:
    grey = Augmentation(**STILL | {"grey": 0.3})
    results = [grey(PICTURE, 1.0, (0, n)) for n in range(300)]
    share = np.mean([torch.allclose(r[0], r[1]) for r in results])
    assert 0.2 < share < 0.4
