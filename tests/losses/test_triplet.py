"""Triplet loss against loops over triplets."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from lens.losses import pairwise_distances, triplet_loss

MININGS = ["batch_all", "semi_hard", "batch_hard"]


def distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def slow_terms(mining, anchors, labels, others, other_labels, offset, margin):
    """Every loss term the mining looks at, one Python number each."""
    terms = []
    for a, label in enumerate(labels):
        to = [distance(anchors[a], other) for other in others]
        positives = [j for j, other in enumerate(other_labels) if other == label and j != a + offset]
        negatives = [j for j, other in enumerate(other_labels) if other != label]
        if not positives or not negatives:
            continue
        if mining == "batch_hard":
            terms.append(max(to[p] for p in positives) - min(to[n] for n in negatives) + margin)
        elif mining == "semi_hard":
            for p in positives:
                beyond = [to[n] for n in negatives if to[n] > to[p]]
                chosen = min(beyond) if beyond else max(to[n] for n in negatives)
                terms.append(to[p] - chosen + margin)
        else:
            terms += [to[p] - to[n] + margin for p, n in itertools.product(positives, negatives)]
    return terms


def slow_loss(mining, *arguments):
    terms = slow_terms(mining, *arguments)
    active = [term for term in terms if term > 0]
    divisor = len(active) if mining == "batch_all" else len(terms)
    return sum(active) / max(divisor, 1), len(active) / max(len(terms), 1)


def unit(rows, width=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, width, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize("mining", MININGS)
@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=9),
    margin=st.sampled_from([0.05, 0.2, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_equals_loops(mining, labels, margin, seed):
    x = unit(len(labels), seed=seed)
    result = triplet_loss(x, torch.tensor(labels), margin=margin, mining=mining)
    rows = x.tolist()
    loss, active = slow_loss(mining, rows, labels, rows, labels, 0, margin)
    assert result.loss.item() == pytest.approx(loss, abs=1e-12)
    assert result.active_fraction.item() == pytest.approx(active, abs=1e-6)
    pairs = list(itertools.permutations(range(len(labels)), 2))
    for value, same in [(result.d_pos, True), (result.d_neg, False)]:
        chosen = [distance(rows[i], rows[j]) for i, j in pairs if (labels[i] == labels[j]) == same]
        assert value.item() == pytest.approx(sum(chosen) / max(len(chosen), 1), abs=1e-12)


@pytest.mark.parametrize("mining", MININGS)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), offset=st.integers(0, 5))
def test_candidates_with_offset_equal_loops(mining, seed, offset):
    generator = torch.Generator().manual_seed(seed)
    others, other_labels = unit(9, seed=seed), torch.randint(0, 3, (9,), generator=generator)
    anchors, labels = others[offset : offset + 4], other_labels[offset : offset + 4]
    result = triplet_loss(
        anchors, labels, mining=mining, candidates=others, candidate_labels=other_labels, offset=offset
    )
    loss, active = slow_loss(
        mining, anchors.tolist(), labels.tolist(), others.tolist(), other_labels.tolist(), offset, 0.2
    )
    assert result.loss.item() == pytest.approx(loss, abs=1e-12)
    assert result.active_fraction.item() == pytest.approx(active, abs=1e-6)


@pytest.mark.parametrize("mining", MININGS)
def test_gradient_is_that_of_the_loss(mining):
    labels = torch.tensor([0, 0, 1, 1, 1, 2])
    x = unit(6).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: triplet_loss(normalize(x), labels, margin=0.3, mining=mining).loss, x
    )
    triplet_loss(normalize(x), labels, margin=0.3, mining=mining).loss.backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


@pytest.mark.parametrize("mining", MININGS)
@pytest.mark.parametrize("labels", [[1, 1, 1, 1], [1, 2, 3, 4], [2**53, 2**53 + 1, 7, 8], [5]])
def test_a_batch_without_triplets_gives_zero_and_zero_gradients(mining, labels):
    x = unit(len(labels)).requires_grad_()
    result = triplet_loss(x, torch.tensor(labels), mining=mining)
    assert result.loss.item() == 0 and result.active_fraction.item() == 0
    result.loss.backward()
    assert x.grad is not None and torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("mining", MININGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coinciding_points_give_the_margin_and_finite_gradients(mining, dtype):
    torch.manual_seed(0)
    point = torch.randn(1, 128, dtype=dtype)
    x = point.repeat(6, 1).requires_grad_()
    result = triplet_loss(normalize(x), torch.tensor([0, 0, 0, 1, 1, 1]), mining=mining)
    # In float32 coinciding rows may come out up to a few 1e-4 apart.
    assert result.loss.item() == pytest.approx(0.2, abs=2e-3)
    result.loss.backward()
    assert x.grad is not None and x.grad.isfinite().all()
    assert x.grad.abs().max() < 1e-2


@pytest.mark.parametrize("mining", MININGS)
def test_a_distance_of_exactly_zero_gives_no_nan(mining):
    # Products of axis vectors are exact, so the squared distances of equal rows are exactly 0.
    x = torch.eye(3)[[0, 0, 1, 0, 2]].requires_grad_()
    triplet_loss(x, torch.tensor([0, 0, 0, 1, 1]), mining=mining).loss.backward()
    assert x.grad is not None and x.grad.isfinite().all() and x.grad.any()


def test_semi_hard_negatives_are_strictly_farther_than_the_positive():
    # From the anchor: positive and first negative at √2, second negative at 2.
    others = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]])
    result = triplet_loss(
        others[:1],
        torch.tensor([0]),
        margin=1.0,
        mining="semi_hard",
        candidates=others,
        candidate_labels=torch.tensor([0, 0, 1, 1]),
    )
    assert result.loss.item() == pytest.approx(math.sqrt(2) - 2 + 1)


def test_distances_are_euclidean_and_zero_on_the_diagonal():
    x, y = unit(5), unit(7, seed=1)
    expected = [[distance(a, b) for b in y.tolist()] for a in x.tolist()]
    torch.testing.assert_close(pairwise_distances(x, y), torch.tensor(expected, dtype=torch.float64))
    assert pairwise_distances(x).diagonal().max() < 1.1e-6
    assert torch.autograd.gradcheck(pairwise_distances, (x.requires_grad_(), y.requires_grad_()))


def test_autocast_does_not_coarsen_distances():
    x = normalize(torch.randn(8, 64, generator=torch.Generator().manual_seed(0)))
    labels = torch.arange(8) % 2
    plain = triplet_loss(x, labels)
    with torch.autocast("cpu", torch.bfloat16):
        cast = triplet_loss(x, labels)
    assert torch.equal(plain.loss, cast.loss)
    half = triplet_loss(x.bfloat16(), labels)
    assert half.loss.dtype == torch.float32


def test_diagnostics_carry_no_gradient():
    result = triplet_loss(unit(4).requires_grad_(), torch.tensor([0, 0, 1, 1]))
    assert result.loss.requires_grad
    assert not any(value.requires_grad for value in result[1:])


def test_wrong_arguments_are_refused():
    x, labels = unit(4), torch.tensor([0, 0, 1, 1])
    with pytest.raises(
        ValueError, match="mining must be one of batch_all, semi_hard, batch_hard, not 'hard'"
    ):
        triplet_loss(x, labels, mining="hard")
    with pytest.raises(ValueError, match="go together"):
        triplet_loss(x, labels, candidates=x)
