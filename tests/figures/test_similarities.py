import io

import numpy as np
import pytest

from lens.figures import similarity_figure
from lens.figures.similarities import higher_share
from lens.figures.style import texts


def test_the_head_says_how_often_the_relevant_pair_wins() -> None:
    random = np.random.default_rng(0)
    relevant, irrelevant = random.normal(0.6, 0.2, 80).round(2), random.normal(0.3, 0.2, 120).round(2)
    slow = np.mean([(a > b) + (a == b) / 2 for a in relevant for b in irrelevant])
    assert higher_share(relevant, irrelevant) == pytest.approx(slow)
    assert higher_share(np.ones(3), np.ones(5)) == 0.5
    figure = similarity_figure(relevant, irrelevant, "test")
    assert f"(test): the relevant pair is the more similar one {100 * slow:.0f} %" in texts(figure)[0]
    assert texts(figure)[1].startswith("Look for two hills")
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names[0].startswith("irrelevant: 120 pairs") and names[1].startswith("relevant: 80 pairs")


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (1.0, 1.0), (0.5, 0.5)])
def test_every_pair_is_in_the_histogram(low: float, high: float) -> None:
    relevant, irrelevant = np.linspace(low, high, 50), np.linspace(low, high, 70)
    figure = similarity_figure(relevant, irrelevant, "validation")
    for steps in figure.axes[0].patches:
        values, _, _ = steps.get_data()  # type: ignore[attr-defined]
        assert values.sum() == pytest.approx(1)
    figure.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize(("relevant", "irrelevant"), [(0, 3), (3, 0)])
def test_pairs_of_one_kind_make_no_figure(relevant: int, irrelevant: int) -> None:
    with pytest.raises(ValueError, match="there is no (ir)?relevant pair"):
        similarity_figure(np.ones(relevant), np.ones(irrelevant), "test")
