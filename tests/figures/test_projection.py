import io

import numpy as np
import pytest

from lens.figures import balanced_sample, project, projection_figure
from lens.figures.projection import COLOURS, spread_out
from lens.figures.style import texts


def islands(each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    centres = np.eye(16)[:4] * 5
    labels = np.repeat(np.arange(4), each)
    return centres[labels] + random.normal(size=(4 * each, 16)), labels


def nearest_share(places: np.ndarray, labels: np.ndarray) -> float:
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    return float((labels[apart.argmin(axis=1)] == labels).mean())


@pytest.mark.parametrize(("each", "method"), [(7, "PCA"), (20, "t-SNE")])
def test_islands_stay_islands_and_a_seed_gives_one_map(each: int, method: str) -> None:
    vectors, labels = islands(each)
    places, used = project(vectors)
    assert used == method and places.shape == (4 * each, 2)
    assert nearest_share(places, labels) > 0.9
    np.testing.assert_array_equal(project(vectors)[0], places)
    np.testing.assert_allclose(project(vectors * np.linspace(1, 9, 4 * each)[:, None])[0], places, atol=1e-3)


def test_pca_is_the_plane_of_the_largest_spread() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(20, 6))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = unit - unit.mean(axis=0)
    left, spread, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(project(vectors)[0]), np.abs(left[:, :2] * spread[:2]))


@pytest.mark.parametrize(
    "vectors", [np.ones((40, 8)), np.ones((5, 1)), np.random.default_rng(0).random((2, 4))]
)
def test_no_map_of_nothing(vectors: np.ndarray) -> None:
    with pytest.raises(ValueError, match="collapsed|too few"):
        project(vectors)


def test_twins_and_one_dimension_do_not_stop_it() -> None:
    signs = np.where(np.arange(40) % 2, 1.0, -1.0)[:, None]
    for vectors in (signs, np.repeat(islands(5)[0], 2, axis=0)):
        assert np.isfinite(project(vectors)[0]).all()


def test_a_sample_is_as_balanced_as_it_can_be() -> None:
    labels = np.repeat([3, 1, 7], [500, 5, 100])
    chosen = balanced_sample(labels, 105)
    assert len(set(chosen)) == 105 and (np.diff(chosen) > 0).all()
    assert [int((labels[chosen] == label).sum()) for label in (3, 1, 7)] == [50, 5, 50]
    np.testing.assert_array_equal(balanced_sample(labels, 105), chosen)
    assert not np.array_equal(balanced_sample(labels, 105, seed=1), chosen)
    np.testing.assert_array_equal(balanced_sample(labels), np.arange(605))


def test_chosen_pictures_do_not_cover_each_other_and_no_more_would_fit() -> None:
    places = np.random.default_rng(0).normal(size=(300, 2)) * [30, 2]
    chosen = spread_out(places, 0.1)
    scaled = (places - places.min(axis=0)) / np.ptp(places, axis=0)
    apart = np.abs(scaled[chosen][:, None] - scaled[chosen][None]).max(axis=2)
    assert apart[~np.eye(len(chosen), dtype=bool)].min() >= 0.1
    for other in np.setdiff1d(np.arange(300), chosen):
        assert np.abs(scaled[chosen] - scaled[other]).max(axis=1).min() < 0.1
    assert spread_out(np.zeros((4, 2))).tolist() == [0]


def test_the_map_names_categories_and_sums_up_the_rare() -> None:
    random = np.random.default_rng(0)
    categories = np.array(
        [f"kind {number}" for number in range(24) for _ in range(30 - number)] + ["_$odd$"] * 40
    )
    places = random.normal(size=(len(categories), 2))
    picture = np.zeros((8, 8, 3), np.uint8)
    figure = projection_figure(places, categories, {0: picture, 5: picture}, "validation", "t-SNE")
    assert f"(validation): {len(categories)} items of 25 categories, t-SNE" in texts(figure)[0]
    assert texts(figure)[1].startswith("Look for islands")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert (
        labels[0] == r" _\$odd\$ (40)" and labels[1] == "kind 0 (30)" and labels[-1] == "5 other categories"
    )
    assert len(labels) == 21
    looks = {
        (tuple(mark.get_facecolor()[0]), mark.get_paths()[0].vertices.tobytes())
        for mark in figure.axes[0].collections
    }
    assert len(looks) == 21, "two categories look alike"
    assert len(figure.axes) == 2 and len(figure.axes[1].artists) == 2
    figure.savefig(io.BytesIO(), format="png")
    assert len(COLOURS) == len(set(COLOURS))
