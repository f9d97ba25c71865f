"""What an update has to do, against a slow comparison of every item with every field."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.bulk.pieces import Look, file_state
from lens.bulk.plan import DIGEST, STATE, items_of, plan, sides_of
from lens.data.catalogue import COLUMNS, Catalogue, FileOpener

COLOURS = ["red", "blue", ""]


def catalogue_of(folder: Path, rows: list[dict]) -> Catalogue:
    table = pd.DataFrame(rows, columns=[*COLUMNS, "colour"])
    return Catalogue(table, FileOpener(folder, tuple(table["path"])), "test", folder)


def item(name: str, category: str = "boot", colour: str = "red", split: str = "", caption: str = "c") -> dict:
    captions = [caption] if caption else []
    return {
        "item_id": name, "path": f"{name}.png", "category": category, "product_id": name,
        "captions": captions, "split": split, "role": "", "colour": colour,
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for number in range(8):
        (folder / f"{number}.png").write_bytes(bytes(number + 1))
    return folder


fields = st.fixed_dictionaries(
    {
        "category": st.sampled_from(["boot", "heel"]),
        "colour": st.sampled_from(COLOURS),
        "split": st.sampled_from(["", "train", "test"]),
        "caption": st.sampled_from(["", "a", "b"]),
    }
)
sides = st.dictionaries(st.sampled_from([str(n) for n in range(8)]), fields)
marks = st.dictionaries(
    st.sampled_from([str(n) for n in range(8)]), st.sampled_from(["same", "touched", "none"])
)


@settings(max_examples=200, deadline=None)
@given(now=sides.filter(bool), before=sides, states=marks)
def test_any_two_sides_are_compared_as_a_slow_comparison_would(folder: Path, now, before, states) -> None:
    catalogue = catalogue_of(folder, [item(name, **given) for name, given in now.items()])
    known_rows = []
    for name, given_fields in before.items():
        row = item(name, **given_fields)
        mark = states.get(name, "same")
        state = file_state(folder / f"{name}.png") if mark == "same" else "9:9"
        row |= {STATE: None, DIGEST: None} if mark == "none" else {STATE: state, DIGEST: f"d{name}"}
        known_rows.append(row)
    known = pd.DataFrame(known_rows, columns=[*COLUMNS, "colour", STATE, DIGEST])
    found = plan(catalogue, known)

    looks, described, kept = [], [], 0
    for row, (name, given_fields) in enumerate(now.items()):
        mark = states.get(name, "same")
        old = before.get(name)
        if old is None or mark == "none":
            looks.append((row, ""))
        elif mark == "touched":
            looks.append((row, f"d{name}"))
        elif any(given_fields[key] != old[key] for key in ("category", "colour", "caption")) or (
            given_fields["split"] not in ("", old["split"])
        ):
            described.append(row)
        else:
            kept += 1
    assert [(look.row, look.known) for look in found.looks] == looks
    assert found.described == described
    assert found.kept == kept
    assert found.new == {row for row, name in enumerate(now) if name not in before}
    assert sorted(found.gone) == sorted(set(before) - set(now))

    items = items_of(catalogue, range(len(catalogue)), sides_of(known))
    expected = [given["split"] or before.get(name, {"split": ""})["split"] for name, given in now.items()]
    assert list(items["split"]) == expected


def test_a_column_that_comes_or_goes_is_a_change_where_it_says_something(folder: Path) -> None:
    catalogue = catalogue_of(folder, [item("0"), item("1", colour="")])
    known = catalogue.table.drop(columns="colour").assign(
        **{STATE: [file_state(folder / f"{n}.png") for n in (0, 1)], DIGEST: "d"}
    )
    assert plan(catalogue, known).described == [0]
    known["colour"] = ["red", None]
    known["season"] = [None, "Fall"]
    assert plan(catalogue, known).described == [1]


def test_items_that_swap_their_files_are_looked_at_though_size_and_time_are_equal(tmp_path: Path) -> None:
    rows = [item("0"), item("1"), item("2")]
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(bytes([number]))
        os.utime(tmp_path / f"{number}.png", ns=(1, 1))
    before = catalogue_of(tmp_path, rows)
    known = before.table.assign(**{STATE: file_state(tmp_path / "0.png"), DIGEST: ["d0", "d1", "d2"]})
    assert plan(before, known).kept == 3
    now = catalogue_of(tmp_path, [rows[0] | {"path": "1.png"}, rows[1] | {"path": "0.png"}, rows[2]])
    found = plan(now, known)
    assert found.looks == [Look(0, "d0"), Look(1, "d1")]
    assert (found.new, found.kept, found.gone) == (frozenset(), 1, [])
    assert plan(now, known.drop(columns="path")).looks == []  # nothing says where it was


def test_lists_of_captions_compare_whatever_holds_them(folder: Path) -> None:
    catalogue = catalogue_of(folder, [item("0")])
    known = catalogue.table.assign(**{STATE: file_state(folder / "0.png"), DIGEST: "d"})
    known["captions"] = pd.Series([np.array(["c"], dtype=object)], dtype=object)
    assert plan(catalogue, known).kept == 1
