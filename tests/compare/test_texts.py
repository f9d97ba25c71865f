"""Texts, mixed queries and few shots, on vectors whose answers are known."""

import numpy as np
import pandas as pd
import pytest

from lens.compare.again import searched_again
from lens.compare.lines import Line, means, plain_lines
from lens.compare.shots import few_shot
from lens.compare.texts import by_caption, like_this_but, zero_shot
from lens.compare.words import telling_words, without
from lens.errors import LensError

KINDS, COLOURS = ("boot", "sandal", "heel"), ("red", "blue", "green", "black")


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def axes(texts: list[str]) -> np.ndarray:
    """A model that reads and nothing else: a value for each word it knows."""
    words = [*KINDS, *COLOURS, *(f"number{n}" for n in range(60))]
    rows = np.array([[2.0 * (word in text.split()) for word in words] for text in texts])
    return unit(rows + 0.001)


def shoes(count: int = 60, split: str = "test") -> tuple[np.ndarray, pd.DataFrame]:
    kinds = [KINDS[row % 3] for row in range(count)]
    colours = [COLOURS[row // 3 % 4] for row in range(count)]
    captions = [
        f"a {colour} {kind} number{row}"
        for row, (kind, colour) in enumerate(zip(kinds, colours, strict=True))
    ]
    table = pd.DataFrame(
        {
            "item_id": [str(row) for row in range(count)],
            "category": kinds,
            "colour": colours,
            "captions": [[text] for text in captions],
            "split": split,
        }
    )
    return axes(captions), table


def figures(line: Line) -> dict[str, float]:
    return {name: one.mean for name, one in line.figures.items()}


def test_categories_are_recognised_by_their_names() -> None:
    vectors, table = shoes()
    (line,) = zero_shot(vectors, list(table["category"]), axes)
    assert figures(line) == {"accuracy": 1.0, "macro accuracy": 1.0} and line.chance[
        "accuracy"
    ] == pytest.approx(1 / 3)
    turned = table["category"].map({"boot": "sandal", "sandal": "heel", "heel": "boot"})
    assert figures(zero_shot(vectors, list(turned), axes)[0])["accuracy"] == 0.0


def test_macro_accuracy_is_the_mean_over_categories() -> None:
    vectors, table = shoes()
    said = table["category"].to_numpy(dtype=str)
    truth = said.copy()
    truth[:15] = "boot"  # some of these are no boots: the large category gets worse
    (line,) = zero_shot(vectors, list(truth), axes)
    shares = [np.mean(said[truth == kind] == kind) for kind in KINDS]
    assert line.figures["macro accuracy"].mean == pytest.approx(np.mean(shares))
    assert line.figures["accuracy"].mean == pytest.approx(np.mean(said == truth))


def test_a_model_that_reads_finds_the_very_image_also_without_the_telling_words() -> None:
    vectors, table = shoes()
    written, bare = by_caption(vectors, table, axes)
    assert figures(written)["own hit@1"] == 1.0 and figures(bare)["own hit@1"] == 1.0
    assert figures(written)["category P@10"] > 0.7


def test_without_the_telling_words_a_model_that_knows_only_these_is_left_with_chance() -> None:
    vectors, table = shoes()

    def only_kinds(texts: list[str]) -> np.ndarray:
        known = axes(texts).copy()
        known[:, 3:] = 0.01
        return unit(known)

    written, bare = by_caption(vectors[:, :], table, only_kinds)
    assert figures(written)["category P@10"] == 1.0
    assert figures(bare)["category P@10"] == pytest.approx(bare.chance["category P@10"], abs=0.15)


def test_like_this_but_needs_both_the_image_and_the_word() -> None:
    vectors, table = shoes()
    lines = {line.name: figures(line) for line in like_this_but(vectors, table, "colour", axes)}
    assert lines["image + 2 x text"]["P@1"] > 0.95
    assert lines["image alone"]["P@1"] < 0.3 and lines["text alone"]["P@1"] < 0.7
    assert set(lines) >= {"centred, image + 1 x text"}


def test_a_collapsed_model_scores_what_chance_scores() -> None:
    _, table = shoes()
    vectors = unit(np.ones((60, 5)))

    def blind(texts: list[str]) -> np.ndarray:
        return unit(np.ones((len(texts), 5)))

    lines = [*by_caption(vectors, table, blind), *like_this_but(vectors, table, "colour", blind)]
    for line in lines:
        if line.name.startswith("centred"):
            continue  # nothing is left of a query
        for name, chance in line.chance.items():
            assert line.figures[name].mean == pytest.approx(chance, abs=1e-6), (line.name, name)
    (recognised,) = zero_shot(vectors, list(table["category"]), blind)
    assert recognised.figures["macro accuracy"].mean == pytest.approx(1 / 3)


@pytest.mark.parametrize(("attribute", "words"), [("nothing", "no such column"), ("split", "two values")])
def test_an_attribute_that_cannot_be_asked_is_said(attribute: str, words: str) -> None:
    vectors, table = shoes()
    with pytest.raises(LensError, match=words):
        like_this_but(vectors, table, attribute, axes)


def test_items_without_captions_are_said() -> None:
    vectors, table = shoes()
    with pytest.raises(LensError, match="no captions"):
        by_caption(vectors, table.assign(captions=[[] for _ in range(60)]), axes)


def test_telling_words_go_in_every_form_and_the_rest_stays() -> None:
    words = telling_words(["casual-shoes", "Heels", "sports sandals"], ["Navy Blue"])
    texts = [
        "Nike Men's Navy-Blue Casual Shoe",
        "RED HEEL, heeled, size 7",
        "Catwalk Sandal / Sandals",
        "Redwood heelless",
    ]
    assert without(texts, words) == ["Nike Men's", "size 7", "Catwalk", "Redwood heelless"]


def test_a_telling_word_of_any_alphabet_goes_whole() -> None:
    words = telling_words(["Stövlar", "Сапоги"])
    assert without(["Röda stövlar, vinter", "чёрные сапоги 42"], words) == ["Röda vinter", "чёрные 42"]
    assert without(["a tané boot"], telling_words(["boot"])) == ["a tané"]  # tan is a colour, tané a word


def noisy(noise: float, count: int = 240) -> tuple[np.ndarray, pd.DataFrame]:
    random = np.random.default_rng(0)
    kinds = np.arange(count) % 6
    vectors = unit(np.eye(6, 16)[kinds] + noise * random.normal(size=(count, 16)))
    side = np.where(np.arange(count) % 4 < 2, "train", "test")
    return vectors, pd.DataFrame({"category": [f"kind {kind}" for kind in kinds], "split": side})


def test_more_examples_say_more() -> None:
    vectors, table = noisy(0.5)
    lines = few_shot(vectors, table, shots=(1, 10))
    first, last = (figures(line) for line in lines)
    assert lines[0].queries == 6 * 5
    for name in ("prototype MAP@R", "prototype balanced accuracy", "probe balanced accuracy"):
        assert last[name] > first[name]
    assert 0.5 < last["probe balanced accuracy"] <= 1


def test_examples_of_noise_recognise_nothing() -> None:
    vectors, table = noisy(0.5)
    random = unit(np.random.default_rng(3).normal(size=vectors.shape))
    line = few_shot(random, table, shots=(5,))[0]
    for name in ("prototype balanced accuracy", "probe balanced accuracy"):
        assert figures(line)[name] == pytest.approx(0.5, abs=0.08)


def test_too_few_examples_leave_the_line_out() -> None:
    vectors, table = noisy(0.5, 48)  # four training items a category
    assert [line.name for line in few_shot(vectors, table)] == ["1 examples", "2 examples"]
    with pytest.raises(LensError, match="No category"):
        few_shot(vectors, table.assign(category="one"))


def test_searching_again_counts_as_a_slow_search_does() -> None:
    vectors, table = noisy(0.8, 60)
    labels = np.unique(table["category"], return_inverse=True)[1]
    lines = {line.name: line for line in searched_again(vectors, labels, np.full(60, ""))}
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    order = np.argsort(-cosines, axis=1)[:, :10]
    right = labels[order] == labels[:, None]
    assert figures(lines["plain"])["P@1"] == pytest.approx(right[:, 0].mean())
    assert figures(lines["plain"])["P@10"] == pytest.approx(right.mean())
    near = np.take_along_axis(cosines, order[:, :5], axis=1)
    wider = unit(vectors + np.einsum("qn,qnd->qd", np.clip(near, 0, None) ** 3, vectors[order[:, :5]]))
    again = wider @ vectors.T
    np.fill_diagonal(again, -2)
    right = labels[np.argsort(-again, axis=1)[:, :10]] == labels[:, None]
    assert figures(lines["expanded by 5, alpha 3"])["P@10"] == pytest.approx(right.mean())
    gap = lines["expanded by 5, alpha 3"].figures["P@10 less plain"].mean
    assert gap == pytest.approx(right.mean() - figures(lines["plain"])["P@10"])


def test_queries_and_gallery_by_role() -> None:
    vectors, table = noisy(0.5, 60)
    labels = np.unique(table["category"], return_inverse=True)[1]
    roles = np.where(np.arange(60) < 12, "query", "gallery")
    plain = searched_again(vectors, labels, roles)[0]
    order = np.argsort(-(vectors[:12] @ vectors[12:].T), axis=1)[:, :10]
    assert plain.queries == 12
    assert figures(plain)["P@10"] == pytest.approx((labels[12:][order] == labels[:12, None]).mean())
    with pytest.raises(LensError, match="No query"):
        searched_again(vectors[:3], np.arange(3), np.full(3, ""))


def test_lines_become_plain_values() -> None:
    vectors, table = shoes()
    lines = zero_shot(vectors, list(table["category"]), axes)
    plain = plain_lines(lines)[0]
    assert plain["figures"]["accuracy"]["mean"] == 1.0 and plain["queries"] == 60
    assert means("zero_shot", lines)[f"zero_shot/{lines[0].name}/accuracy"] == 1.0
