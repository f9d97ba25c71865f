"""Conditions on the items: which rows of a column meet them."""

import difflib
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lens.errors import LensError

Mask = npt.NDArray[np.bool_]
_LONGEST = 1000  # letters that are looked for inside a text
_TESTS = ("not", "min", "max", "contains")


def matches(column: pa.ChunkedArray, condition: Any, name: str) -> Mask:
    """The rows that meet one condition, bool [rows].

    A value: equal to it (in a column of lists: among them); None: missing. A list: any of its values.
    {"not": value or list}: none of them, so missing rows too. {"min": x, "max": y}: numbers from x to y, both
    included, never missing ones; either may be left out. {"contains": "red"}: texts that hold these letters, large or
    small, anywhere (in a column of lists: one of them). All tests of one condition must hold.
    Raises LensError where the column's kind and the condition's do not fit, naming the column.
    """
    if not isinstance(condition, Mapping):
        return _any_of(column, _listed(condition), name)
    unknown = [key for key in condition if key not in _TESTS]
    if unknown or not condition:
        what = f"{unknown[0]!r}" if unknown else "nothing"
        raise LensError(f"The condition on {name!r} says {what}; it may say {', '.join(_TESTS)}.")
    result = np.ones(len(column), bool)
    if "not" in condition:
        result &= ~_any_of(column, _listed(condition["not"]), name)
    if "min" in condition or "max" in condition:
        result &= _between(column, condition.get("min"), condition.get("max"), name)
    if "contains" in condition:
        result &= _containing(column, condition["contains"], name)
    return result


def check_name(name: str, known: Iterable[str]) -> None:
    """Raises LensError for a column that the items lack, naming the nearest that they have."""
    names = list(known)
    if name not in names:
        near = difflib.get_close_matches(str(name), names, 1, 0.5)
        hint = f"did you mean {near[0]!r}? The" if near else "the"
        raise LensError(f"The items have no column {name!r}; {hint} columns are {', '.join(names)}.")


def _listed(values: Any) -> list[Any]:
    several = isinstance(values, list | tuple | set | frozenset | np.ndarray)
    return [
        part.item() if isinstance(part, np.generic) else part for part in (values if several else [values])
    ]


def _any_of(column: pa.ChunkedArray, values: list[Any], name: str) -> Mask:
    result = np.zeros(len(column), bool)
    wanted = [value for value in values if value is not None]
    if len(wanted) < len(values):
        result |= pc.is_null(column, nan_is_null=True).to_numpy()
    if not wanted or pa.types.is_null(column.type):
        return result
    return result | _equal(column, wanted, name)


def _equal(column: pa.ChunkedArray, wanted: list[Any], name: str) -> Mask:
    kind = column.type
    if pa.types.is_list(kind):
        inside = _any_of(pc.list_flatten(column), wanted, name)
        result = np.zeros(len(column), bool)
        result[_owners(column)[inside]] = True
        return result
    if pa.types.is_boolean(kind):
        _all_are(wanted, bool, "true or false", name)
        return pc.fill_null(pc.is_in(column, value_set=pa.array(wanted)), False).to_numpy()
    if _is_number(kind):
        for value in wanted:
            _number(value, name)
        numbers, known = _numbers(column)
        result = np.zeros(len(column), bool)
        with np.errstate(over="ignore"):  # a number that float32 cannot hold equals none
            for value in wanted:
                result |= numbers == value
        return result & known
    _all_are(wanted, str, "text", name)
    return pc.is_in(column, value_set=_texts_as(kind, wanted, name), skip_nulls=True).to_numpy()


def _between(column: pa.ChunkedArray, low: Any, high: Any, name: str) -> Mask:
    if pa.types.is_null(column.type):
        return np.zeros(len(column), bool)
    if not _is_number(column.type):
        raise LensError(
            f"The column {name!r} holds {column.type}, not numbers; min and max cannot be asked of it."
        )
    numbers, known = _numbers(column)
    with np.errstate(over="ignore"):
        if low is not None:
            known = known & (numbers >= _number(low, name))
        if high is not None:
            known = known & (numbers <= _number(high, name))
    return known


def _containing(column: pa.ChunkedArray, part: Any, name: str) -> Mask:
    kind, result = column.type, np.zeros(len(column), bool)
    if pa.types.is_null(kind):
        return result
    if pa.types.is_list(kind):
        result[_owners(column)[_containing(pc.list_flatten(column), part, name)]] = True
        return result
    if not pa.types.is_string(kind) or not isinstance(part, str):
        raise LensError(
            f"contains asks a column of texts for a text; {name!r} holds {kind}, asked is {part!r}."
        )
    if len(part) > _LONGEST:
        raise LensError(
            f"contains asks {name!r} for {len(part):,} letters; at most {_LONGEST:,} are looked for."
        )
    try:
        found = pc.match_substring(column, part, ignore_case=True)
    except UnicodeEncodeError as error:
        raise LensError(f"contains asks {name!r} for {part!r}, which is no text.") from error
    return pc.fill_null(found, False).to_numpy()


def _owners(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """For each value inside the lists, the row of its list."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    return np.repeat(np.arange(len(column)), lengths)


def _numbers(column: pa.ChunkedArray) -> tuple[npt.NDArray[Any], Mask]:
    return pc.fill_null(column, 0).to_numpy(), ~pc.is_null(column, nan_is_null=True).to_numpy()


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _number(value: Any, name: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise LensError(f"The column {name!r} holds numbers; {value!r} is none.")
    try:
        float(value)
    except OverflowError as error:
        raise LensError(f"The column {name!r} is asked for a number that is too large.") from error
    return value.item() if isinstance(value, np.generic) else value


def _all_are(values: list[Any], kind: type, words: str, name: str) -> None:
    for value in values:
        if not isinstance(value, kind):
            raise LensError(f"The column {name!r} holds {words}; {value!r} is not.")


def _texts_as(kind: pa.DataType, texts: list[str], name: str) -> pa.Array:
    try:
        return pa.array(texts, pa.string()).cast(kind)
    except (pa.ArrowException, UnicodeEncodeError) as error:
        raise LensError(f"The column {name!r} holds {kind}, which {texts[0]!r} is not.") from error
