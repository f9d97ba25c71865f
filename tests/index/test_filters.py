from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.errors import LensError
from lens.index.filters import check_name, matches
from tests.index.made import meets

words = st.sampled_from(["", "a", "b", "ünï", "A"])
whole = st.integers(-3, 3) | st.sampled_from([2**40, -(2**62)])
halves = st.integers(-6, 6).map(lambda number: number / 2)
KINDS: dict[str, tuple[Any, Any]] = {
    "text": (pa.string(), words),
    "whole": (pa.int64(), whole),
    "fraction": (pa.float64(), halves),
    "float32": (pa.float32(), halves),
    "truth": (pa.bool_(), st.booleans()),
    "texts": (pa.list_(pa.string()), st.lists(words, max_size=3)),
    "numbers": (pa.list_(pa.int64()), st.lists(whole, max_size=3)),
}


@st.composite
def asked(draw: st.DrawFn) -> tuple[pa.ChunkedArray, list[Any], Any]:
    """A column in several chunks, its values, and a condition on it."""
    name = draw(st.sampled_from(sorted(KINDS)))
    kind, values = KINDS[name]
    column = draw(st.lists(st.none() | values, max_size=12))
    cut = draw(st.integers(0, len(column)))
    single = {"texts": words, "numbers": whole}.get(name, values)
    if name == "whole":
        single = single | halves
    any_of = st.none() | single | st.lists(st.none() | single, max_size=3)
    conditions: dict[str, Any] = {"not": any_of}
    if name in ("whole", "fraction", "float32"):
        conditions |= {"min": single, "max": single}
    condition = draw(any_of | st.fixed_dictionaries({}, optional=conditions).filter(bool))
    return (
        pa.chunked_array([pa.array(column[:cut], kind), pa.array(column[cut:], kind)], kind),
        column,
        condition,
    )


@settings(max_examples=400, deadline=None)
@given(asked())
def test_conditions_mean_what_they_say(case: tuple[pa.ChunkedArray, list[Any], Any]) -> None:
    column, values, condition = case
    found = matches(column, condition, "name")
    assert found.dtype == bool and found.tolist() == [meets(value, condition) for value in values]


@pytest.mark.parametrize(
    ("values", "condition", "reason"),
    [
        (["a"], 5, "'size' holds text; 5 is not"),
        (["a"], {"min": 1}, "'size' holds string, not numbers"),
        ([["a"]], {"max": 1}, "not numbers"),
        ([["a"]], 5, "'size' holds text; 5 is not"),
        ([1], "5", "'size' holds numbers; '5' is none"),
        ([1], True, "'size' holds numbers; True is none"),
        ([1.5], {"min": "5"}, "'size' holds numbers; '5' is none"),
        ([True], 1, "'size' holds true or false; 1 is not"),
        ([1], {"contains": "a"}, "contains asks a column of texts"),
        ([1.5], 10**400, "a number that is too large"),
        ([1], {"min": 10**400}, "a number that is too large"),
        (["a"], {"contains": "a" * 1001}, "at most 1,000"),
        (["a"], {"contains": 1}, "asked is 1"),
        ([1], {}, "says nothing; it may say not, min, max"),
        ([1], {"above": 1}, "says 'above'; it may say"),
        ([{"a": 1}], "a", "'size' holds struct"),
    ],
)
def test_conditions_that_do_not_fit_the_column_are_refused(
    values: list[Any], condition: Any, reason: str
) -> None:
    with pytest.raises(LensError, match=reason):
        matches(pa.chunked_array([values]), condition, "size")


def test_an_unknown_column_is_refused_and_the_nearest_named() -> None:
    check_name("colour", ["colour"])
    with pytest.raises(LensError, match="no column 'color'; did you mean 'colour'"):
        check_name("color", ["size", "colour"])
    with pytest.raises(LensError, match="no column 'x'; the columns are size, colour"):
        check_name("x", ["size", "colour"])


def test_dates_numpy_values_and_numbers_beyond_the_type() -> None:
    days = pa.chunked_array([pa.array(["2024-01-02", None, "2024-03-04"]).cast(pa.date32())])
    assert matches(days, "2024-03-04", "day").tolist() == [False, False, True]
    with pytest.raises(LensError, match="'day' holds date32"):
        matches(days, "soon", "day")
    small = pa.chunked_array([pa.array([0.1, None, np.nan], pa.float32())])
    assert (
        matches(small, 0.1, "price").tolist()
        == matches(small, np.float64(0.1), "price").tolist()
        == [True, False, False]
    )
    assert matches(small, None, "price").tolist() == [False, True, True]  # NaN is missing too
    assert matches(small, {"max": 1e300}, "price").tolist() == [True, False, False]
    assert matches(pa.chunked_array([[1, 2]]), [2**70, 2], "n").tolist() == [False, True]
    assert matches(pa.chunked_array([pa.nulls(2)]), ["x", 5], "n").tolist() == [False, False]
    assert matches(pa.chunked_array([pa.nulls(2)]), {"min": 5}, "n").tolist() == [False, False]


def test_letters_anywhere_in_a_text_or_in_one_of_a_list() -> None:
    words = pa.chunked_array([["Red boot", None, "scarred", "blue"], ["RED"]])
    assert matches(words, {"contains": "red"}, "title").tolist() == [True, False, True, False, True]
    assert matches(words, {"contains": ".*"}, "title").tolist() == [False] * 5
    lists = pa.chunked_array([pa.array([["a red", "b"], [], None, ["c"]], pa.list_(pa.string()))])
    assert matches(lists, {"contains": "RED"}, "captions").tolist() == [True, False, False, False]
    assert matches(words, {"contains": "red", "not": "RED"}, "title").tolist() == [
        True,
        False,
        True,
        False,
        False,
    ]
