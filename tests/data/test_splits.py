import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.data.splits import assert_disjoint, split
from lens.errors import LensError


def _table(
    categories: list[str], products: list[str] | None = None, sides: list[str] | None = None
) -> pd.DataFrame:
    ids = [f"{category}/{number:04d}" for number, category in enumerate(categories)]
    return pd.DataFrame(
        {
            "item_id": ids,
            "path": ids,
            "category": categories,
            "product_id": products or ids,
            "captions": [[] for _ in ids],
            "split": sides or [""] * len(ids),
            "role": [""] * len(ids),
        }
    )


def _sized(*counts: int) -> pd.DataFrame:
    return _table([f"c{number:02d}" for number, count in enumerate(counts) for _ in range(count)])


counts = st.lists(st.integers(1, 40), min_size=1, max_size=12).filter(lambda sizes: sum(sizes) >= 30)


@settings(max_examples=60, deadline=None)
@given(counts, st.sampled_from([0.1, 0.15, 0.25]), st.sampled_from([0.1, 0.2, 0.3]), st.integers(0, 9))
def test_stratified_shares(sizes: list[int], val: float, test: float, seed: int) -> None:
    # One large category, so that what small ones cannot give is made up for.
    table = _sized(*sizes, 200)
    side = split(table, val=val, test=test, seed=seed).side
    total = len(table)
    assert abs((side == "test").sum() - total * test) <= 1
    assert abs((side == "val").sum() - total * val) <= 2
    for _, rows in table.groupby("category"):
        assert (side[rows.index] == "train").any()
        if len(rows) >= 10 and len(rows) < 100:
            assert abs((side[rows.index] == "test").sum() - len(rows) * test) <= 12 * test + 1


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_products_and_groups_stay_whole_whatever_the_order_of_rows(data: st.DataObject) -> None:
    n = 120
    categories = data.draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n))
    products = [f"p{number}" for number in data.draw(st.lists(st.integers(0, 50), min_size=n, max_size=n))]
    groups = np.array(data.draw(st.lists(st.integers(0, 200), min_size=n, max_size=n)))
    table = _table(categories, products)
    try:
        side = split(table, val=0.2, test=0.2, groups=groups).side
    except LensError:  # all may hang together
        return
    assert pd.Series(side).groupby(table["product_id"]).nunique().max() == 1
    assert pd.Series(side).groupby(groups).nunique().max() == 1
    order = np.array(data.draw(st.permutations(range(n))))
    again = split(table.iloc[order].reset_index(drop=True), val=0.2, test=0.2, groups=groups[order]).side
    assert (again == side[order]).all()


@settings(max_examples=40, deadline=None)
@given(counts, st.integers(2, 6), st.integers(0, 5))
def test_each_image_is_tested_once_over_the_folds(sizes: list[int], folds: int, seed: int) -> None:
    table = _sized(*sizes)
    sides = [split(table, val=0, folds=folds, fold=fold, seed=seed).side for fold in range(folds)]
    tested = np.stack(sides) == "test"
    assert (tested.sum(0) == 1).all()
    assert np.ptp(tested.sum(1)) <= 1
    for _, rows in table.groupby("category"):
        assert np.ptp(tested[:, rows.index].sum(1)) <= 1


def test_38_images_in_three_folds() -> None:
    table = _sized(10, 10, 9, 9)
    for fold in range(3):
        side = split(table, val=0.15, folds=3, fold=fold).side
        assert (side == "test").sum() in (12, 13)
        assert (side == "val").sum() == 4
        assert set(table["category"][side == "train"]) == set(table["category"])


def test_the_seed_decides() -> None:
    table = _sized(50, 50)
    first = split(table, seed=1).side
    assert (first == split(table, seed=1).side).all()
    assert (first != split(table, seed=2).side).any()


def test_a_further_category_leaves_the_order_of_the_others() -> None:
    small, large = split(_sized(100, 100), seed=0).side, split(_sized(100, 100, 100), seed=0).side
    assert (small == large[:200]).all()


def test_single_images_stay_in_training_and_are_named() -> None:
    table = _sized(40, 40, 1)
    result = split(table)
    assert result.side[-1] == "train"
    assert any("c02" in note and "stay in training" in note for note in result.notes)


def test_auto_takes_products_where_they_have_several_images() -> None:
    products = [f"p{number // 3}" for number in range(60)]
    table = _table(["a"] * 30 + ["b"] * 30, products)
    result = split(table)
    assert pd.Series(result.side).groupby(table["product_id"]).nunique().max() == 1
    assert any("Split by product: 20 products have 60 images" in note for note in result.notes)
    with pytest.raises(LensError, match="use data.split_by=product"):
        split(table, by="item")


def test_whole_categories() -> None:
    table = _sized(30, 3, 20, 10)
    side = split(table, by="category", val=0.1, test=0.1).side
    assert pd.Series(side).groupby(table["category"]).nunique().max() == 1
    assert set(side) == {"train", "val", "test"}
    tested = [
        set(table["category"][split(table, by="category", val=0, folds=4, fold=k).side == "test"])
        for k in range(4)
    ]
    assert set().union(*tested) == set(table["category"])
    with pytest.raises(LensError, match="at least 3 separate categories; there are 2"):
        split(_sized(10, 10), by="category")


def test_whole_categories_never_tear_a_product() -> None:
    products = [f"p{number}" for number in range(40)]
    products[9] = products[10]  # one product in two categories
    table = _table(["a"] * 10 + ["b"] * 10 + ["c"] * 10 + ["d"] * 10, products)
    result = split(table, by="category", val=0.1, test=0.1)
    assert len(set(result.side[:20])) == 1
    assert any("4 categories became 3 units" in note for note in result.notes)


def test_a_split_column_is_kept_and_completed() -> None:
    sides = (["train"] * 40 + ["test"] * 10) * 2
    table = _table(["a"] * 50 + ["b"] * 50, sides=sides)
    result = split(table, val=0.1)
    assert ((result.side == "test") == (np.array(sides) == "test")).all()
    assert (result.side == "val").sum() == 8
    assert any("no val side: 8 of its 80 training images" in note for note in result.notes)
    full = _table(["a"] * 9, sides=["train", "val", "test"] * 3)
    assert (split(full).side == np.array(["train", "val", "test"] * 3)).all()


def test_split_columns_that_cannot_be_used() -> None:
    with pytest.raises(LensError, match="empty in 1 of 3 rows"):
        split(_table(["a"] * 3, sides=["train", "", "test"]))
    with pytest.raises(LensError, match="folds"):
        split(_table(["a"] * 3, sides=["train", "val", "test"]), folds=2, fold=0)
    with pytest.raises(LensError, match=r"products would have images on two sides.*'p' \(test and train\)"):
        split(_table(["a"] * 3, ["p", "q", "p"], ["train", "val", "test"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val": -0.1}, "val share.*-0.1"),
        ({"test": 1.0}, "test share"),
        ({"val": 0.5, "test": 0.5}, "below 1"),
        ({"fold": 0}, "without folds"),
        ({"folds": 3}, "choose 0 to 2"),
        ({"folds": 3, "fold": 3}, "choose 0 to 2"),
        ({"folds": 1, "fold": 0}, "at least 2"),
        ({"by": "shop"}, "choose auto, item, product or category"),
    ],
)
def test_wrong_arguments(options: dict[str, object], message: str) -> None:
    with pytest.raises(LensError, match=message):
        split(_sized(20, 20), **options)  # type: ignore[arg-type]


def test_too_few_images_are_counted() -> None:
    with pytest.raises(
        LensError, match="4 images in 2 categories give 4 for train, 0 for val and 0 for test"
    ):
        split(_sized(2, 2), val=0.1, test=0.1)
    with pytest.raises(LensError, match="no images"):
        split(_sized())


def test_assert_disjoint_sees_a_torn_product() -> None:
    table = _table(["a"] * 4, ["p", "p", "q", "r"])
    assert_disjoint(table, np.array(["train", "train", "val", "test"]))
    with pytest.raises(LensError, match="'p'"):
        assert_disjoint(table, np.array(["train", "test", "val", "test"]))
