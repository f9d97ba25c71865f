"""What must hold of vectors and items, whoever made them."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lens.errors import LensError

Array = npt.NDArray[Any]
TEXT_COLUMNS = ("item_id", "path", "category", "product_id", "split", "role")
CHOICES = {"split": ("", "train", "val", "test"), "role": ("", "query", "gallery")}
_ROWS = 16384  # looked at together, so that memory does not grow with the index
_TOLERANCE = 1e-3
_ROUNDING = 1e-6  # how far from 1 the length of a row may be that float32 arithmetic normalised


def open_array(path: Path) -> Array:
    """The array of a .npy file, mapped from disk. Raises LensError for pickled objects and broken files."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise LensError(f"There is no file {path}.") from error
    except (ValueError, OSError, EOFError) as error:
        raise LensError(f"{path} is not a readable .npy file of numbers: {error}.") from error
    if not isinstance(array, np.ndarray):
        raise LensError(f"{path} holds several arrays; save one as .npy.")
    return array


def check_unit(vectors: Array, where: str) -> None:
    """Every row is finite and of length 1 (to 1e-3). Raises LensError naming the first that is not."""
    for start in range(0, len(vectors), _ROWS):
        lengths = np.linalg.norm(np.asarray(vectors[start : start + _ROWS], dtype=np.float64), axis=1)
        wrong = np.flatnonzero(~(np.abs(lengths - 1) <= _TOLERANCE))  # this way round, NaN is wrong too
        if wrong.size:
            row = int(wrong[0])
            raise LensError(
                f"{where}: row {start + row} has length {lengths[row]:.4g}, not 1; normalise the vectors."
            )


def exactly_unit(vectors: Array) -> Array:
    """float32 [N, D] that `check_unit` let pass, with rows of length 1; those that have it but for rounding stay."""
    result = vectors
    for start in range(0, len(vectors), _ROWS):
        block = np.asarray(vectors[start : start + _ROWS], dtype=np.float64)
        lengths = np.linalg.norm(block, axis=1)
        off = np.abs(lengths - 1) > _ROUNDING
        if off.any():
            result = np.array(vectors) if result is vectors else result
            result[start : start + _ROWS][off] = block[off] / lengths[off, None]
    return result


def check_items(items: pd.DataFrame, where: str) -> None:
    """The columns of the catalogue, text in each, item ids unique, known splits and roles. Raises LensError."""
    missing = [name for name in (*TEXT_COLUMNS, "captions") if name not in items.columns]
    if missing:
        raise LensError(f"{where}: the items lack the columns {', '.join(missing)}.")
    for name in TEXT_COLUMNS:
        check_text(items, name, where)
    for position, words in enumerate(items["captions"]):
        if not isinstance(words, list | tuple | np.ndarray) or not all(
            isinstance(word, str) for word in words
        ):
            raise LensError(f"{where}: the captions of row {position} are not a list of texts.")


def check_text(items: pd.DataFrame, name: str, where: str) -> None:
    """One column holds text only, and what its name demands. Raises LensError naming the row."""
    for position, value in enumerate(items[name]):
        if not isinstance(value, str):
            raise LensError(f"{where}: {name} in row {position} is {value!r}, not a text.")
        if name in CHOICES and value not in CHOICES[name]:
            known = ", ".join(repr(choice) for choice in CHOICES[name])
            raise LensError(f"{where}: {name} in row {position} is {value!r}; it is one of {known}.")
    if name == "item_id":
        twice = items[name].duplicated()
        if twice.any():
            raise LensError(f"{where}: item_id {items[name][twice].iloc[0]!r} appears more than once.")
        if (items[name] == "").any():
            raise LensError(
                f"{where}: row {int((items[name] == '').to_numpy().argmax())} has an empty item_id."
            )


def unit_rows(vectors: Array, where: str) -> npt.NDArray[np.float32]:
    """Numbers [N, D] of any kind -> float32 [N, D] with rows of length 1. Raises LensError for NaN or zero rows."""
    result = np.empty(vectors.shape, dtype=np.float32)
    for start in range(0, len(vectors), _ROWS):
        block = np.asarray(vectors[start : start + _ROWS], dtype=np.float64)
        largest = np.abs(block).max(axis=1, keepdims=True)
        wrong = np.flatnonzero(~(np.isfinite(largest[:, 0]) & (largest[:, 0] > 0)))
        if wrong.size:
            row = int(wrong[0])
            what = "is all zeros" if largest[row, 0] == 0 else "holds NaN or infinity"
            raise LensError(f"{where}: row {start + row} {what}; it has no direction to compare.")
        block = block / largest  # first, or the squares of very large or small numbers would overflow
        result[start : start + _ROWS] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return result
