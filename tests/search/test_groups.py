"""Groups of a few examples: learned, saved, asked for, and refused."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lens.errors import LensError
from lens.search import Group, Query, Term, learn, load_group, save_group
from tests.search.conftest import Shop, unit


def test_a_group_is_saved_found_and_refused_elsewhere(shop: Shop, tmp_path: Path) -> None:
    searcher, table = shop.searchers["resnet"], shop.catalogue.table
    boots = list(table["item_id"][table["category"] == table["category"][0]])
    learned = searcher.group("mine", items=boots[:4])
    read = load_group(save_group(learned, tmp_path / "mine.json"))
    assert read.name == "mine" and read.examples == 4 and read.threshold == learned.threshold
    assert (read.prototype == learned.prototype).all()
    answer = searcher.search(Query.from_dict({"terms": [{"group": str(tmp_path / "mine.json")}], "k": 5}))
    mean = unit(searcher.reader.vectors(searcher.reader.find(boots[:4])).mean(axis=0))
    every = searcher.reader.vectors(np.arange(72)) @ mean
    assert [one.cosine for one in answer.results] == pytest.approx(np.sort(every)[::-1][:5], abs=1e-4)
    with pytest.raises(LensError, match="learned with run run-resnet"):
        shop.searchers["clip"].search(Query((Term(group=read),)))


def test_a_group_needs_1_to_20_examples(shop: Shop) -> None:
    ids = list(shop.catalogue.table["item_id"])
    for many in (0, 21):
        with pytest.raises(LensError, match=f"has {many} examples"):
            shop.searchers["resnet"].group("mine", items=ids[:many])


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": "x"}, {"threshold": None}, {"intercept": None}, {"examples": "x"}, {"examples": 0}, {"name": 3},
        {"run_id": 3}, {"prototype": [[1.0]]}, {"prototype": []}, {"coefficients": [1.0]}, {"more": 1},
    ],
)  # fmt: skip
def test_a_group_with_damaged_values_is_refused(tmp_path: Path, change: dict) -> None:
    path = save_group(
        learn("x", np.eye(1, 4, dtype=np.float32), np.eye(4, dtype=np.float32), run_id="r"), tmp_path / "g"
    )
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(LensError, match="is not a group"):
        load_group(path)


def test_groups_saved_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    group = learn("x", np.eye(1, 4, dtype=np.float32), np.eye(4, dtype=np.float32), run_id="r")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: save_group(group, tmp_path / "g.json"), range(100)))
    assert load_group(tmp_path / "g.json").name == "x" and [path.name for path in tmp_path.iterdir()] == [
        "g.json"
    ]


def test_vectors_of_another_dimension_are_refused_by_a_group() -> None:
    group = learn("x", np.eye(1, 4, dtype=np.float32), np.eye(4, dtype=np.float32), run_id="r")
    for by in ("prototype", "probe"):
        with pytest.raises(LensError, match=r"takes vectors \[N, 4\]"):
            group.contains(np.eye(3, dtype=np.float32), by)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format_version": 9}', '{"format_version": 1, "name": "x"}']
)
def test_a_damaged_group_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "group.json"
    path.write_text(text)
    with pytest.raises(LensError, match=r"group\.json is not a group"):
        load_group(path)


def test_a_probe_and_a_prototype_tell_clusters_apart() -> None:
    random = np.random.default_rng(0)
    middles = np.repeat(unit(random.normal(size=(4, 32))), 50, axis=0)
    vectors, label = unit(middles + 0.08 * random.normal(size=middles.shape)), np.repeat(np.arange(4), 50)
    for shots in (1, 5, 20):
        group: Group = learn("one", vectors[:shots], vectors[20:], run_id=None)
        for by in ("prototype", "probe"):
            told = group.contains(vectors[20:], by)  # type: ignore[arg-type]
            assert told[label[20:] == 0].mean() > 0.9 and told[label[20:] != 0].mean() < 0.05
