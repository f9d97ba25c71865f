"""Groups in the terminal: names as people gave them."""

from pathlib import Path

import numpy as np
import pytest

from lens.bulk.groups import _print, _write, images_of
from lens.errors import LensError
from lens.search import load_group, save_group
from lens.search.groups import learn

LINE = {"image": "shoes/IMG [edited] :shoe:.jpg", "in group": "yes", "cosine": 0.9, "probe": 0.8}


def test_brackets_and_colons_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    _print("g [/b]", 0.5, [LINE])
    said = capsys.readouterr().out
    assert "1 of 1 images are of the group 'g [/b]'" in said
    assert "shoes/IMG [edited] :shoe:.jpg" in said


def test_a_file_may_begin_with_a_tilde_that_is_nobodys_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert images_of("~photo.jpg", "images") == [Path("~photo.jpg")]
    group = learn("~g", np.eye(2, 3, dtype=np.float32), np.eye(0, 3, dtype=np.float32), run_id=None)
    assert save_group(group, "~g.json") == Path("~g.json")
    assert (tmp_path / "~g.json").is_file()
    assert load_group("~g.json").name == "~g"


def test_a_table_is_written_whole_or_told(tmp_path: Path) -> None:
    _write(tmp_path / "out.csv", [LINE])
    assert "IMG [edited]" in (tmp_path / "out.csv").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    with pytest.raises(LensError, match="cannot be written: No such file"):
        _write(tmp_path / "none" / "out.csv", [LINE])
