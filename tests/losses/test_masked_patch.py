"""Masked patches against loops over pixels."""

import pytest
import torch

from lens.losses import masked_patch_loss, patch_targets, random_mask


def test_patches_in_the_documented_order():
    images = torch.rand(2, 3, 6, 9)
    patches = patch_targets(images, 3)
    assert patches.shape == (2, 6, 27)
    for b in range(2):
        for n in range(6):
            top, left = 3 * (n // 3), 3 * (n % 3)
            for c in range(3):
                for y in range(3):
                    for x in range(3):
                        value = patches[b, n, c * 9 + y * 3 + x]
                        assert value == images[b, c, top + y, left + x]


@pytest.mark.parametrize("patch", [4, 0])
def test_patches_must_fit(patch):
    with pytest.raises(ValueError, match="6×9 pixels"):
        patch_targets(torch.rand(1, 3, 6, 9), patch)


@pytest.mark.parametrize(
    ("patches", "ratio", "hidden"), [(196, 0.15, 29), (16, 0.15, 2), (7, 1.0, 7), (49, 0.75, 37)]
)
def test_the_mask_hides_exactly_that_many_in_each_image(patches, ratio, hidden):
    mask = random_mask(64, patches, ratio, torch.Generator().manual_seed(1))
    assert mask.dtype == torch.bool and mask.shape == (64, patches)
    assert mask.sum(1).tolist() == [hidden] * 64
    again = random_mask(64, patches, ratio, torch.Generator().manual_seed(1))
    assert torch.equal(mask, again)


def test_every_patch_is_hidden_equally_often_and_images_differ():
    mask = random_mask(4000, 20, 0.25, torch.Generator().manual_seed(0)).double()
    # Four standard errors of a share of 0.25 among 4000.
    assert (mask.mean(0) - 0.25).abs().max() < 4 * (0.25 * 0.75 / 4000) ** 0.5
    assert len({tuple(row.tolist()) for row in mask[:100]}) > 90


@pytest.mark.parametrize("ratio", [0.0, 0.02, 1.2, -0.5])
def test_a_ratio_that_hides_nothing_or_too_much_is_refused(ratio):
    with pytest.raises(ValueError, match="mask ratio"):
        random_mask(2, 16, ratio)


def test_the_loss_looks_at_hidden_patches_only():
    torch.manual_seed(0)
    prediction, target = torch.rand(3, 5, 4, dtype=torch.float64), torch.rand(3, 5, 4, dtype=torch.float64)
    mask = torch.tensor([[1, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0]], dtype=torch.bool)
    total = [
        (prediction[b, n, i].item() - target[b, n, i].item()) ** 2
        for b in range(3)
        for n in range(5)
        if mask[b, n]
        for i in range(4)
    ]
    prediction.requires_grad_()
    loss = masked_patch_loss(prediction, target, mask)
    assert loss.item() == pytest.approx(sum(total) / len(total), abs=1e-14)
    loss.backward()
    assert prediction.grad is not None
    assert torch.equal(prediction.grad.abs().sum(2) > 0, mask)
    assert torch.autograd.gradcheck(lambda p: masked_patch_loss(p, target, mask), prediction)


def test_an_unpredictable_visible_patch_does_no_harm():
    prediction, target = torch.zeros(1, 2, 3, requires_grad=True), torch.ones(1, 2, 3)
    target[0, 1] = torch.inf
    loss = masked_patch_loss(prediction, target, torch.tensor([[True, False]]))
    assert loss.item() == 1


def test_half_precision_is_averaged_in_float32():
    loss = masked_patch_loss(
        torch.zeros(1, 4, 8, dtype=torch.bfloat16),
        torch.full((1, 4, 8), 0.3),
        torch.ones(1, 4, dtype=torch.bool),
    )
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(0.09)


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="mask is empty"):
        masked_patch_loss(torch.rand(1, 2, 3), torch.rand(1, 2, 3), torch.zeros(1, 2, dtype=torch.bool))
