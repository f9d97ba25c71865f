"""Where an index may be written: nothing but an older index is ever replaced."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lens.errors import LensError
from lens.index import create, load, open_index, write
from tests.index.made import FACTS, as_format_1, saved, unit


@pytest.mark.parametrize("only_new", [False, True])
def test_other_files_are_not_replaced(tmp_path: Path, only_new: bool) -> None:
    place = tmp_path / "photos"
    place.mkdir()
    (place / "mine.jpg").write_text("precious")
    with pytest.raises(LensError, match=f"{re.escape(str(place))}.* another place"):
        saved(place, only_new=only_new)
    assert [path.name for path in place.iterdir()] == ["mine.jpg"]
    assert (place / "mine.jpg").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["photos"]


def test_an_index_is_replaced_whatever_its_state_but_not_by_one_that_has_to_be_new(tmp_path: Path) -> None:
    place = tmp_path / "index"
    place.mkdir()
    saved(place, only_new=True)  # an empty folder is nothing
    with pytest.raises(LensError, match="already something at"):
        saved(place, seed=1, only_new=True)
    np.testing.assert_array_equal(load(place).vectors, unit(6, 8))
    as_format_1(place)
    saved(place, seed=1)
    (place / "vectors.npy").unlink()
    (place / "manifest.json").write_text("broken")
    saved(place, seed=2)
    np.testing.assert_array_equal(load(place).vectors, unit(6, 8, 2))
    place.rename(tmp_path / ".index.old")  # a kill between two moves
    with pytest.raises(LensError, match="already something at"):
        saved(place, seed=3, only_new=True)
    saved(place, seed=3)
    np.testing.assert_array_equal(load(place).vectors, unit(6, 8, 3))


@pytest.mark.parametrize("only_new", [False, True])
def test_a_file_is_not_replaced(tmp_path: Path, only_new: bool) -> None:
    (tmp_path / "index").write_text("mine")
    with pytest.raises(LensError, match="give the .*index another place"):
        saved(tmp_path / "index", only_new=only_new)
    assert (tmp_path / "index").read_text() == "mine"


def made_new(place: Any) -> Path:
    return create(place, dimension=8, **FACTS)


@pytest.mark.parametrize("call", [open_index, load, write, saved, made_new])
@pytest.mark.parametrize("name", ["a\0b", "a" * 300, "a\ud800b", "round"])
def test_a_name_that_no_folder_can_have_is_one_sentence(
    tmp_path: Path, call: Callable[[Any], Any], name: str
) -> None:
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(LensError, match="There can be no index at") as caught:
        call(tmp_path / name)
    str(caught.value).encode()
    assert [path.name for path in tmp_path.iterdir()] == ["round"]


@pytest.mark.parametrize("call", [open_index, load, write, saved])
@pytest.mark.parametrize("length", range(247, 256))
def test_a_name_too_long_for_what_lies_beside_the_folder_is_one_sentence(
    tmp_path: Path, call: Callable[[Any], Any], length: int
) -> None:
    try:
        call(tmp_path / ("a" * length))
    except LensError as error:
        assert "a" * length in str(error)
