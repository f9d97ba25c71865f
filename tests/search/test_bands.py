"""Bands that mean what they say."""

import json

import numpy as np
import pandas as pd

from lens.search import make_bands, read_bands
from tests.search.conftest import Shop, unit


def items(labels: np.ndarray, split: str = "") -> pd.DataFrame:
    names = [f"kind {label}" for label in labels]
    return pd.DataFrame(
        {
            "item_id": [str(row) for row in range(len(labels))],
            "category": names,
            "product_id": [str(row) for row in range(len(labels))],
            "captions": [[f"{name} number {row}"] for row, name in enumerate(names)],
            "split": split,
        }
    )


def clusters(noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    middles, labels = unit(random.normal(size=(20, 16))), np.repeat(np.arange(20), 20)
    return unit(middles[labels] + noise * random.normal(size=(400, 16))), labels, middles


def test_text_bands_lie_where_the_texts_cosines_lie() -> None:
    vectors, labels, middles = clusters(0.05)
    apart = unit(np.eye(17)[16:] * 3)  # texts and images share 1/4 of their direction, as in CLIP
    vectors = np.hstack([vectors, np.zeros((400, 1))]).astype(np.float32)

    def embed_texts(texts: list[str]) -> np.ndarray:
        kinds = [int(text.split()[1]) for text in texts]
        return unit(0.3 * np.hstack([middles[kinds], np.zeros((len(kinds), 1))]) + 0.95 * apart)

    made = make_bands(vectors, items(labels), embed_texts)
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    bands = read_bands({"bands": made})
    fitting = float((embed_texts(["kind 0 number 0"]) @ vectors[0])[0])
    assert fitting < 0.40 and bands.band(fitting, "text") == "high" and bands.band(fitting, "image") == "low"
    assert bands.band(0.0, "text") == "low"
    high = next(line for line in made["text"]["bands"] if line["band"] == "high")
    assert high["precision"] >= 0.7 and high["precision_low"] <= high["precision"] <= high["precision_high"]


def test_texts_that_say_nothing_reach_no_high_band() -> None:
    vectors, labels, _ = clusters(0.05)
    random = np.random.default_rng(1)
    made = make_bands(vectors, items(labels), lambda texts: unit(random.normal(size=(len(texts), 16))))
    assert made["text"]["high"] is None
    assert read_bands({"bands": made}).band(0.99, "text") != "high"


def test_a_model_that_has_collapsed_has_no_bands_of_mixed_queries() -> None:
    vectors = np.full((40, 16), 0.25, np.float32)
    made = make_bands(vectors, items(np.arange(40) % 4), lambda texts: vectors[: len(texts)])
    assert set(made) == {"image", "text"}


def test_image_bands_are_fixed_and_say_what_they_are_worth() -> None:
    vectors, labels, _ = clusters(0.05)
    made = make_bands(vectors, items(labels))
    assert (made["image"]["high"], made["image"]["medium"]) == (0.70, 0.40) and set(made) == {"image"}
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    first = np.argsort(-cosines, axis=1)[:, :10]
    shown = np.take_along_axis(cosines, first, axis=1)
    right = labels[first] == labels[:, None]
    assert made["image"]["bands"][0]["precision"] == right[shown >= 0.7].mean()


def test_bands_are_measured_on_validation_items_where_there_are_any() -> None:
    vectors, labels, _ = clusters(0.05)
    table = items(labels, "train")
    table.loc[::4, "split"] = "val"
    made = make_bands(vectors, table)
    assert made["image"]["queries"] == 100 and "validation" in made["image"]["means"]
    assert "may have been trained" in make_bands(vectors, items(labels, "train"))["image"]["means"]


def test_an_index_without_bands_has_the_fixed_ones() -> None:
    bands = read_bands({})
    named = [bands.band(cosine, "image") for cosine in (0.7, 0.699, 0.4, 0.39, -1)]
    assert named == [
        "high",
        "medium",
        "medium",
        "low",
        "low",
    ]
    assert bands.band(0.9, "text") == "low"
    assert make_bands(np.eye(1, 3, dtype=np.float32), items(np.array([0]))) == {}


def test_a_real_model_s_bands_are_kept_by_its_index(shop: Shop) -> None:
    manifest = shop.reader("clip").manifest
    assert set(manifest["bands"]) == {"image", "text", "mixed"} and set(
        shop.reader("resnet").manifest["bands"]
    ) == {"image"}
