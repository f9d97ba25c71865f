"""Conditions as the columns hold their values, and an answer's file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lens.bulk.ask import _print, _write, fitting, question_of
from lens.bulk.tasks import verify
from lens.errors import LensError
from lens.files import at_home
from lens.index import Reader, open_index, save
from lens.search import Query, Searcher


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    names = [f"item {row}" for row in range(3)]
    items = pd.DataFrame({name: names for name in ("item_id", "path", "category", "product_id")})
    items = items.assign(split="", role="", captions=[[]] * 3)
    items = items.assign(said=["49.90", "true", "007"], price=[49.9, 5.0, 7.0], new=[True, False, True])
    model = {"name": "none", "target": "", "config": {}}
    save(tmp_path / "index", np.eye(3, dtype=np.float32), items, model=model, preprocessing={}, run_id=None)
    with open_index(tmp_path / "index") as opened:
        yield opened


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ({"said": "49.90"}, [0]),
        ({"said": "true"}, [1]),
        ({"said": ["007", "49.90"]}, [0, 2]),
        ({"price": "49.90"}, [0]),
        ({"price": "5"}, [1]),
        ({"price": ["5", 7]}, [1, 2]),
        ({"price": {"min": "5", "max": 7}}, [1, 2]),
        ({"price": {"not": "5"}}, [0, 2]),
        ({"new": "True"}, [0, 2]),
        ({"new": "false"}, [1]),
    ],
)
def test_a_condition_written_as_text_finds_texts_numbers_and_truths(
    reader: Reader, where: dict[str, Any], rows: list[int]
) -> None:
    found = reader.search(np.ones((1, 3), np.float32), k=3, where=fitting(where, reader))
    assert sorted(row for row in found.rows[0] if row >= 0) == rows


def test_a_word_asked_of_numbers_is_still_refused(reader: Reader) -> None:
    with pytest.raises(LensError, match="price"):
        reader.search(np.ones((1, 3), np.float32), k=1, where=fitting({"price": "cheap"}, reader))


def test_a_file_may_begin_with_a_tilde_that_is_nobodys_home() -> None:
    nothing = dict.fromkeys(("text", "item", "group", "where"))
    question = question_of({**nothing, "query": "~photo.jpg", "k": 10})
    assert question["terms"] == [{"image": "~photo.jpg"}]
    assert at_home("~/photo.jpg") == Path.home() / "photo.jpg"


def test_brackets_and_colons_are_shown_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "IMG [edited] :shoe: [/b].jpg"
    items = pd.DataFrame({key: [name] for key in ("item_id", "path", "category", "product_id")})
    items = items.assign(split="", role="", captions=[[]])
    facts = {"name": "folder", "root": "/shop [/old]"}
    save(
        tmp_path / "index [/b]", np.eye(1, 3, dtype=np.float32), items, preprocessing={"mode [x]": "[/y]"},
        model={"name": "none", "target": "", "config": {}}, run_id=None, catalogue=facts,
    )  # fmt: skip
    with open_index(tmp_path / "index [/b]") as reader:
        query = Query.from_dict({"terms": [{"item": name}], "keep_items": True})
        _print(Searcher(None, reader).search(query), reader)
    said = capsys.readouterr().out
    assert name in said and "Paths start at /shop [/old]." in said
    verify({"verify": str(tmp_path / "index [/b]")})
    said = " ".join(capsys.readouterr().out.split())
    assert "index [/b] is whole" in said and "mode [x] [/y]" in said and "/shop [/old]" in said


def test_an_answer_that_cannot_be_written_is_one_sentence(reader: Reader, tmp_path: Path) -> None:
    answer = Searcher(None, reader).search(Query.from_dict({"terms": [{"item": "item 0"}]}))
    taken = tmp_path / ".answer.json.partial"
    taken.mkdir()  # what is written beside it has no place
    with pytest.raises(LensError, match=r"out=.*answer\.json cannot be written"):
        _write(tmp_path / "answer.json", answer)
