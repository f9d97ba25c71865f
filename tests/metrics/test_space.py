"""Every pair by hand, torch.pdist and NumPy's SVD as references."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.metrics.space import SPACE_NAMES, effective_rank, embedding_space, uniformity


def by_hand(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The definitions, one pair after the other."""
    unit = [row / math.sqrt(sum(value * value for value in row)) for row in embeddings.astype(float)]
    relevant, irrelevant, squares, weights = [], [], [], []
    for i, j in combinations(range(len(unit)), 2):
        cosine = float(sum(a * b for a, b in zip(unit[i], unit[j], strict=True)))
        square = float(sum((a - b) ** 2 for a, b in zip(unit[i], unit[j], strict=True)))
        (relevant if labels[i] == labels[j] else irrelevant).append(cosine)
        if labels[i] == labels[j]:
            squares.append(square)
        weights.append(math.exp(-2 * square))
    mean = np.mean(unit, axis=0)
    return {
        "cosine_relevant": float(np.mean(relevant)) if relevant else math.nan,
        "cosine_irrelevant": float(np.mean(irrelevant)) if irrelevant else math.nan,
        "mean_cosine": float(np.mean(relevant + irrelevant)),
        "alignment": float(np.mean(squares)) if squares else math.nan,
        "uniformity": math.log(np.mean(weights)),
        "effective_rank": roy_and_vetterli(np.array(unit)),
        "effective_rank_centred": roy_and_vetterli(np.array(unit) - mean),
    }


def roy_and_vetterli(matrix: np.ndarray) -> float:
    """exp of the entropy of the singular values; those that are rounding alone are none."""
    values = np.linalg.svd(matrix, compute_uv=False)
    shares = [value / values.sum() for value in values if value > 1e-6]
    return math.exp(-sum(share * math.log(share) for share in shares)) if shares else 0.0


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 25), st.integers(1, 12), st.integers(1, 6), st.integers(0, 10_000), st.floats(0, 5))
def test_all_figures_are_those_of_all_pairs(n: int, d: int, classes: int, seed: int, shift: float) -> None:
    random = np.random.default_rng(seed)
    embeddings = random.normal(size=(n, d)) * random.uniform(0.1, 10, size=(n, 1)) + shift
    labels = random.integers(0, classes, n) * 1_000_003
    found = embedding_space(embeddings, labels)
    assert tuple(found) == SPACE_NAMES
    assert found == pytest.approx(by_hand(embeddings, labels), abs=1e-7, nan_ok=True)
    assert embedding_space(torch.from_numpy(embeddings), torch.from_numpy(labels)) == pytest.approx(
        found, nan_ok=True
    )


def test_uniformity_and_alignment_are_wang_and_isolas_over_more_than_one_block() -> None:
    points = torch.nn.functional.normalize(torch.randn(2500, 8, generator=torch.Generator().manual_seed(0)))
    theirs = torch.pdist(points.double()).pow(2).mul(-2).exp().mean().log()
    assert uniformity(points) == pytest.approx(float(theirs), abs=1e-6)
    labels = np.arange(2500) // 2  # rows 2i and 2i + 1 are a positive pair
    theirs = (points[::2].double() - points[1::2].double()).norm(dim=1).pow(2).mean()
    assert embedding_space(points, labels)["alignment"] == pytest.approx(float(theirs), abs=1e-6)


def test_uniformity_of_many_items_is_that_of_a_seeded_sample() -> None:
    points = np.random.default_rng(1).normal(size=(3000, 6)) + 0.5
    exact = uniformity(points)
    sampled = [uniformity(points, exact_items=600, seed=seed) for seed in (0, 0, 1)]
    assert sampled[0] == sampled[1] != sampled[2]
    assert sampled == pytest.approx([exact] * 3, abs=0.05) and sampled[0] != exact
    assert uniformity(points, exact_items=3000) == exact
    with pytest.raises(ValueError, match="exact_items"):
        uniformity(points, exact_items=1)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(("n", "d"), [(7, 40), (40, 7), (12, 12), (1, 5), (2000, 30)])
def test_the_effective_rank_is_that_of_the_singular_values(n: int, d: int, centred: bool) -> None:
    points = np.random.default_rng(n).normal(size=(n, d)) * np.linspace(0.01, 3, d) + 0.3
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    expected = roy_and_vetterli(unit - unit.mean(0) if centred else unit)
    assert effective_rank(points, centred=centred) == pytest.approx(expected)


def test_a_narrow_cone_has_a_rank_near_one_and_the_centred_rank_of_what_varies() -> None:
    random = np.random.default_rng(0)
    cone = np.ones((500, 20)) + 1e-3 * random.normal(size=(500, 5)) @ random.normal(size=(5, 20))
    found = embedding_space(cone, np.zeros(500, int))
    assert found["effective_rank"] < 1.05 and 4 < found["effective_rank_centred"] <= 5


@pytest.mark.parametrize("n", [50, 3000])
def test_one_point_is_told_as_one_point(n: int) -> None:
    point = np.random.default_rng(0).normal(size=512).astype(np.float32)
    found = embedding_space(np.tile(point, (n, 1)), np.arange(n) % 4)
    expected = dict.fromkeys(SPACE_NAMES[:3], 1.0) | {
        "alignment": 0.0,
        "uniformity": 0.0,
        "effective_rank": 1.0,
        "effective_rank_centred": 0.0,
    }
    assert found == pytest.approx(expected, abs=1e-7)
    assert max(found[name] for name in SPACE_NAMES[:3]) <= 1 and found["alignment"] >= 0


def test_a_line_through_the_origin_has_rank_one_and_a_plane_two() -> None:
    line = np.array([[1.0, 2.0, 3.0]]) * np.array([[1], [-2], [3], [-4]])
    assert effective_rank(line) == pytest.approx(1)
    assert embedding_space(line, np.zeros(4, int))["mean_cosine"] == pytest.approx(
        -1 / 3
    )  # 2 pairs +1, 4 of -1
    circle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    assert effective_rank(np.stack([np.cos(circle), np.sin(circle)], 1)) == pytest.approx(2)


def test_orthonormal_rows_use_every_direction() -> None:
    found = embedding_space(np.eye(30), np.arange(30) % 5)
    expected = dict.fromkeys(SPACE_NAMES[:3], 0.0) | {
        "alignment": 2.0,
        "uniformity": -4.0,
        "effective_rank": 30.0,
        "effective_rank_centred": 29.0,
    }
    assert found == pytest.approx(expected, abs=1e-9)


def test_an_isotropic_cloud_has_nearly_full_rank_and_the_uniformity_of_the_sphere() -> None:
    d = 16
    found = embedding_space(np.random.default_rng(0).normal(size=(4000, d)), np.arange(4000) % 7)
    assert 0.995 * d < found["effective_rank"] <= d
    assert found["mean_cosine"] == pytest.approx(0, abs=1e-3)
    # E exp(-4 (1 - t)) with t the cosine of two random directions, of density ~ (1 - t²)^((d - 3) / 2)
    t = np.linspace(-1, 1, 200_001)
    density = (1 - t**2) ** ((d - 3) / 2)
    assert found["uniformity"] == pytest.approx(
        math.log((np.exp(4 * (t - 1)) * density).sum() / density.sum()), abs=0.01
    )


def test_what_does_not_exist_is_nan() -> None:
    random = np.random.default_rng(0).normal(size=(4, 3))
    alone = embedding_space(random, np.arange(4))
    assert math.isnan(alone["cosine_relevant"]) and math.isnan(alone["alignment"])
    assert math.isfinite(alone["cosine_irrelevant"])
    same = embedding_space(random, np.zeros(4, int))
    assert math.isnan(same["cosine_irrelevant"]) and same["mean_cosine"] == same["cosine_relevant"]
    one = embedding_space(random[:1], np.zeros(1, int))
    assert (one.pop("effective_rank"), one.pop("effective_rank_centred")) == pytest.approx((1, 0))
    assert all(map(math.isnan, one.values()))
    assert all(map(math.isnan, embedding_space(np.zeros((0, 3)), np.zeros(0, int)).values()))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_rows_without_a_direction_are_refused_by_number(bad: float) -> None:
    embeddings = np.ones((5, 3))
    embeddings[3] = bad
    for measure in (uniformity, effective_rank, lambda rows: embedding_space(rows, np.zeros(5, int))):
        with pytest.raises(ValueError, match="rows 3"):
            measure(embeddings)


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        embedding_space(np.ones((5, 3)), np.zeros(4, int))
    with pytest.raises(ValueError, match="integers"):
        embedding_space(np.ones((5, 3)), np.zeros(5))
    with pytest.raises(ValueError, match=r"\[N, D\]"):
        embedding_space(np.ones(5), np.zeros(5, int))


def test_the_given_rows_stay_as_they_are() -> None:
    embeddings = torch.full((6, 3), 2.0, dtype=torch.float64)
    embedding_space(embeddings, torch.zeros(6, dtype=torch.int64))
    assert (embeddings == 2).all()
