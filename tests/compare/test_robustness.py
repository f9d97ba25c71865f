"""A search with corrupted queries against brute force, and what must not depend on the model."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from lens.compare.robustness import CLEAN, METRICS, RobustnessReport, corrupted_search, robustness
from lens.compare.robustness import stratified_sample as sample
from lens.compare.sources import OpenedRun
from lens.data import module
from lens.data.corruptions import CORRUPTIONS, corrupted
from lens.data.module import ShoppingData
from lens.data.pictures import as_tensor
from lens.data.sources import read_rendered
from lens.errors import LensError
from lens.index.embedding import embed_all
from lens.models.autoencoder import Autoencoder

CELLS = [CLEAN, ("crop", 2), ("crop", 5), ("jpeg", 2), ("jpeg", 5), ("cover", 2), ("cover", 5)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCAN_CACHE", tmp_path / "cache" / "images.parquet")


@pytest.fixture
def rendered(shoes: Path) -> Callable[..., ShoppingData]:
    """72 shoes at 32 px, two views of 36 products; ``roles`` [72] are written into the catalogue."""

    def make(roles: list[str] | None = None, order: np.ndarray | None = None, **how: Any) -> ShoppingData:
        def read() -> Any:
            catalogue = read_rendered(shoes, items=72, views_per_product=2, render_size=32)
            if roles is not None:
                catalogue.table["role"] = roles
            return catalogue if order is None else catalogue.subset(order)

        given = {"image_size": 32, "batch_size": 10, "images_per_class": 2, "workers": 0, "progress": False}
        data = ShoppingData(read, **(given | how))  # type: ignore[arg-type]
        data.setup()
        return data

    return make


def _raw(images: Tensor) -> Tensor:
    """Pixels, their own mean taken away: a picture's embedding that knows nothing."""
    flat = images.flatten(1).double()
    return flat - flat.mean(dim=1, keepdim=True)


def _embed(batches: Any) -> np.ndarray:
    return embed_all(_raw, batches)


def _search(data: ShoppingData, rows: np.ndarray | None = None, **how: Any) -> RobustnessReport:
    given: dict[str, Any] = {
        "corruptions": ("crop", "jpeg", "cover"),
        "severities": (2, 5),
        "progress": False,
    }
    return corrupted_search(_embed, data, np.arange(72) if rows is None else rows, **(given | how))


def _by_hand(data: ShoppingData, query: int, cell: tuple[str, int], gallery: list[int]) -> dict[str, float]:
    """Precision@1, precision@10 and MAP@R of one query, one comparison after the other."""
    picture = data.pictures[query]
    if cell != CLEAN:
        item = data.catalogue.table["item_id"][query]
        picture = corrupted(picture, *cell, seed=0, item=item)
    asked = _raw(as_tensor(picture)[None])[0].numpy()
    found = []
    for row in gallery:
        if row != query:
            other = _raw(as_tensor(data.pictures[row])[None])[0].numpy()
            cosine = asked @ other / np.linalg.norm(asked) / np.linalg.norm(other)
            found.append((-cosine, data.labels["category"][row] == data.labels["category"][query]))
    hits = [hit for _, hit in sorted(found)]
    total = sum(hits)
    at_r = sum(sum(hits[: i + 1]) / (i + 1) for i in range(total) if hits[i]) / total
    return {"precision_at_1": float(hits[0]), "precision_at_10": sum(hits[:10]) / 10, "map_at_r": at_r}


def _check_by_hand(data: ShoppingData, report: RobustnessReport, gallery: list[int]) -> None:
    rows = pd.Index(data.catalogue.table["item_id"]).get_indexer(pd.Index(report.query_ids))
    assert list(report.per_query) == CELLS
    for cell, values in report.per_query.items():
        expected = pd.DataFrame([_by_hand(data, int(row), cell, gallery) for row in rows])
        for name in METRICS:
            np.testing.assert_allclose(values[name], expected[name], atol=1e-6, err_msg=f"{cell} {name}")


def test_leave_one_out_equals_brute_force(rendered: Callable[..., ShoppingData]) -> None:
    data = rendered()
    report = _search(data, most_queries=14)
    assert len(report.query_ids) == 14 and report.available == 72
    _check_by_hand(data, report, list(range(72)))
    # An item that found itself would be right in every clean search.
    assert report.per_query[CLEAN]["precision_at_1"].mean() < 1


def test_roles_equal_brute_force(rendered: Callable[..., ShoppingData]) -> None:
    roles = ["query", "gallery", ""] * 24
    data = rendered(roles)
    report = _search(data, most_queries=12)
    _check_by_hand(data, report, [row for row in range(72) if roles[row] != "query"])
    assert report.available == 48
    asked = data.catalogue.table.set_index("item_id").loc[report.query_ids]["role"]
    assert "gallery" not in set(asked)


def test_the_table_says_what_the_queries_say(rendered: Callable[..., ShoppingData]) -> None:
    report = _search(rendered())
    table = report.table
    assert list(zip(table["corruption"], table["severity"], strict=True)) == CELLS
    assert (table["queries"] == 72).all() and len(report.query_ids) == 72
    for place, values in enumerate(report.per_query.values()):
        for name in METRICS:
            line = table.iloc[place]
            assert line[name] == pytest.approx(values[name].mean())
            assert line[f"{name}_low"] <= line[name] <= line[f"{name}_high"]
    clean = table["precision_at_1"][0]
    np.testing.assert_allclose(table["relative"], table["precision_at_1"] / clean)
    assert report.chance["precision_at_1"] == pytest.approx(11 / 71)
    assert len(set(report.products)) == 36


def test_intervals_are_over_products(rendered: Callable[..., ShoppingData]) -> None:
    from lens.metrics.uncertainty import interval

    report = _search(rendered())
    values = report.per_query["cover", 5]["precision_at_10"]
    clusters = np.unique(report.products, return_inverse=True)[1]
    expected, alone = interval(values, clusters), interval(values)
    line = report.table.iloc[-1]
    assert (line["precision_at_10_low"], line["precision_at_10_high"]) == (expected.low, expected.high)
    assert (expected.low, expected.high) != (alone.low, alone.high)


def test_every_model_sees_the_same_pictures_whatever_its_batches(
    rendered: Callable[..., ShoppingData],
) -> None:
    def pictures(rows: np.ndarray, **how: Any) -> tuple[list[str], np.ndarray]:
        seen: list[Tensor] = []

        def embed(batches: Any) -> np.ndarray:
            held = [batch["image"] for batch in batches]
            seen.extend(held)
            return _embed([{"image": image} for image in held])

        report = corrupted_search(
            embed, rendered(**how), rows, corruptions=("clutter", "rotate"), severities=(3,), most_queries=25,
            progress=False,
        )  # fmt: skip
        shown = torch.cat(seen).numpy()[len(rows) :]
        # In the order of the ids, since that of the rows is a matter of the catalogue.
        order = np.argsort(report.query_ids)
        return sorted(report.query_ids), shown.reshape(3, 25, 3, 32, 32)[:, order]

    ids, first = pictures(np.arange(72))
    other_ids, second = pictures(np.arange(72)[::-1], batch_size=7, workers=2)
    moved_ids, third = pictures(np.arange(72), order=np.random.default_rng(0).permutation(72))
    assert ids == other_ids == moved_ids
    assert (first == second).all() and (first == third).all()


def test_a_sample_gives_each_label_its_share() -> None:
    labels = np.repeat([0, 1, 2], [500, 300, 37])
    ids = np.array([f"item {n}" for n in range(837)])
    rows = np.arange(837) * 3
    chosen = sample(rows, labels, ids, 100, seed=1)
    assert len(set(chosen)) == 100 and set(chosen) <= set(rows) and (np.diff(chosen) > 0).all()
    counts = np.bincount(labels[chosen // 3], minlength=3)
    np.testing.assert_allclose(counts, 100 * np.array([500, 300, 37]) / 837, atol=1)
    order = np.random.default_rng(0).permutation(837)
    assert (sample(rows[order], labels[order], ids[order], 100, seed=1) == chosen).all()
    assert set(sample(rows, labels, ids, 100, seed=2)) != set(chosen)
    assert (sample(rows, labels, ids, None, seed=1) == rows).all()
    # Products of two: half of a thousand, one of each.
    pairs = np.arange(1000) // 2
    half = sample(np.arange(1000), pairs, np.arange(1000).astype(str), 500, seed=0)
    assert (np.bincount(pairs[half]) == 1).all()


def test_a_run_is_judged_on_its_test_side(rendered: Callable[..., ShoppingData]) -> None:
    torch.manual_seed(0)
    model = Autoencoder(32, (4, 8, 8, 8), 8).eval()
    data = rendered(val=0.2, test=0.4)
    config = {"data": {"relevance": "category"}, "trainer": {"precision": "32-true"}}
    opened = OpenedRun("run", model, data, config, own=True)
    how: dict[str, Any] = {"corruptions": ("darken",), "severities": (5,), "progress": False}
    report = robustness(opened, **how)
    assert set(report.query_ids) == set(data.catalogue.table["item_id"][data.rows("test")])
    embed = partial(embed_all, model.embed_images)
    direct = corrupted_search(embed, data, data.rows("test"), **how)
    pd.testing.assert_frame_equal(report.table, direct.table)
    by_product = robustness(opened, "train", relevance="product", **how)
    assert set(by_product.query_ids) <= set(data.catalogue.table["item_id"][data.rows("train")])
    assert by_product.chance["precision_at_1"] < report.chance["precision_at_1"]


def test_mistakes_are_told_in_a_sentence(rendered: Callable[..., ShoppingData]) -> None:
    data = rendered()
    with pytest.raises(LensError, match="no corruption 'fog'"):
        _search(data, corruptions=("fog",))
    with pytest.raises(LensError, match="no severity 9"):
        _search(data, severities=(9,))
    with pytest.raises(LensError, match="most_queries=0"):
        _search(data, most_queries=0)
    alone = np.unique(data.labels["product"], return_index=True)[1]
    with pytest.raises(LensError, match="36 items .* no|None of the 36 items"):
        _search(data, alone, relevance="product")


def test_all_corruptions_are_the_default() -> None:
    import inspect

    assert inspect.signature(corrupted_search).parameters["corruptions"].default == tuple(CORRUPTIONS)
