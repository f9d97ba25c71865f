"""Contrastive loss against loops over pairs."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, normalize

from lens.losses import clamp_logit_scale_, contrastive_loss


def slow_loss(images, texts, belongs, scale):
    """Loss and floor by loops; belongs[i][j] is a bool."""

    def one_way(queries, answers, fits):
        losses, floors = [], []
        for i, query in enumerate(queries):
            logits = [
                math.exp(scale) * sum(a * b for a, b in zip(query, answer, strict=True)) for answer in answers
            ]
            total = math.log(sum(math.exp(logit) for logit in logits))
            right = [j for j in range(len(answers)) if fits(i, j)]
            if right:
                losses.append(-sum((logits[j] - total) / len(right) for j in right))
                floors.append(math.log(len(right)))
        count = max(len(losses), 1)
        return sum(losses) / count, sum(floors) / count

    to_text = one_way(images, texts, lambda i, j: belongs[i][j])
    to_image = one_way(texts, images, lambda j, i: belongs[i][j])
    return (to_text[0] + to_image[0]) / 2, (to_text[1] + to_image[1]) / 2


def unit(rows, seed):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, 5, generator=generator, dtype=torch.float64))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=6),
    st.lists(st.integers(0, 3), min_size=1, max_size=9),
    st.sampled_from([0.0, 1.0, math.log(1 / 0.07)]),
    st.integers(0, 10**6),
)
def test_label_targets_equal_loops(image_labels, text_labels, scale, seed):
    images, texts = unit(len(image_labels), seed), unit(len(text_labels), seed + 1)
    result = contrastive_loss(
        images,
        texts,
        torch.tensor(image_labels),
        torch.tensor(text_labels),
        logit_scale=torch.tensor(scale, dtype=torch.float64),
    )
    belongs = [[a == b for b in text_labels] for a in image_labels]
    loss, floor = slow_loss(images.tolist(), texts.tolist(), belongs, scale)
    assert result.loss.item() == pytest.approx(loss, abs=1e-10)
    assert result.excess.item() == pytest.approx(loss - floor, abs=1e-10)


def test_three_own_captions_per_image_equal_loops():
    index, text_index = torch.tensor([7, 2**53, 2**53 + 1]), torch.tensor([7, 2**53, 2**53 + 1] * 3)
    images, texts, same = unit(3, 0), unit(9, 1), torch.zeros(9, dtype=torch.int64)
    scale = torch.tensor(2.0, dtype=torch.float64)
    result = contrastive_loss(
        images,
        texts,
        same[:3],
        same,
        logit_scale=scale,
        targets="diagonal",
        image_index=index,
        text_index=text_index,
    )
    belongs = [[i == j % 3 for j in range(9)] for i in range(3)]
    loss, floor = slow_loss(images.tolist(), texts.tolist(), belongs, 2.0)
    assert floor == pytest.approx(math.log(3) / 2)
    assert result.loss.item() == pytest.approx(loss, abs=1e-10)
    assert result.excess.item() == pytest.approx(loss - floor, abs=1e-10)


def test_the_diagonal_is_plain_clip():
    images, texts, numbers = unit(6, 0), unit(6, 1), torch.arange(6)
    scale = torch.tensor(math.log(1 / 0.07), dtype=torch.float64)
    logits = images @ texts.T / 0.07
    expected = (cross_entropy(logits, numbers) + cross_entropy(logits.T, numbers)) / 2
    result = contrastive_loss(
        images,
        texts,
        numbers % 2,
        numbers % 2,
        logit_scale=scale,
        targets="diagonal",
        image_index=numbers,
        text_index=numbers,
    )
    torch.testing.assert_close(result.loss, expected)
    torch.testing.assert_close(result.excess, expected)


def test_perfect_class_embeddings_reach_the_floor():
    labels = torch.arange(12) % 3
    corners = torch.eye(3, dtype=torch.float64)[labels]
    scale = torch.tensor(math.log(100), dtype=torch.float64)
    result = contrastive_loss(corners, corners, labels, labels, logit_scale=scale)
    assert result.loss.item() == pytest.approx(math.log(4))
    assert result.excess.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("targets", ["label", "diagonal"])
def test_gradient_is_that_of_the_loss(targets):
    labels, text_labels = torch.tensor([0, 0, 1]), torch.tensor([0, 0, 1, 0, 1])
    index, text_index = torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2, 0, 2])

    def loss(images, texts, scale):
        return contrastive_loss(
            normalize(images),
            normalize(texts),
            labels,
            text_labels,
            logit_scale=scale,
            targets=targets,
            image_index=index,
            text_index=text_index,
        ).loss

    scale = torch.tensor(1.3, dtype=torch.float64)
    arguments = [unit(3, 0).requires_grad_(), unit(5, 1).requires_grad_(), scale.requires_grad_()]
    assert torch.autograd.gradcheck(loss, arguments)


def test_nothing_that_belongs_together_gives_zero_and_zero_gradients():
    images, texts = unit(2, 0).requires_grad_(), unit(3, 1).requires_grad_()
    scale = torch.tensor(1.0, requires_grad=True)
    result = contrastive_loss(images, texts, torch.tensor([1, 1]), torch.tensor([2, 2, 3]), logit_scale=scale)
    assert result.loss.item() == 0 and result.excess.item() == 0
    result.loss.backward()
    for leaf in (images, texts, scale):
        assert leaf.grad is not None and not leaf.grad.any()


def test_autocast_does_not_coarsen_the_logits():
    images, texts, labels = unit(6, 0).float(), unit(6, 1).float(), torch.arange(6) % 3
    scale = torch.tensor(math.log(100))
    plain = contrastive_loss(images, texts, labels, labels, logit_scale=scale)
    with torch.autocast("cpu", torch.bfloat16):
        cast = contrastive_loss(images, texts, labels, labels, logit_scale=scale)
    assert torch.equal(plain.loss, cast.loss)


@pytest.mark.parametrize(("before", "after"), [(-1.0, 0.0), (2.0, 2.0), (9.0, math.log(100))])
def test_the_scale_is_clamped_in_place(before, after):
    scale = torch.nn.Parameter(torch.tensor(before))
    clamp_logit_scale_(scale)
    assert scale.item() == pytest.approx(after) and scale.requires_grad


def test_wrong_arguments_are_refused():
    x, labels, scale = unit(3, 0), torch.arange(3), torch.tensor(1.0)
    with pytest.raises(ValueError, match="label or diagonal, not 'both'"):
        contrastive_loss(x, x, labels, labels, logit_scale=scale, targets="both")
    with pytest.raises(ValueError, match="need image_index and text_index"):
        contrastive_loss(x, x, labels, labels, logit_scale=scale, targets="diagonal")
