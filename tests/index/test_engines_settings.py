from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lens.errors import LensError
from lens.index.engines import EngineSettings, build, open_engine
from tests.index.made import unit


def test_settings_come_back_from_the_manifest() -> None:
    settings = EngineSettings(kind="hnsw", threshold=7, recall=0.9, seed=3)
    assert EngineSettings.from_dict(settings.to_dict()) == settings
    assert EngineSettings.from_dict({"kind": "ivf"}) == EngineSettings(kind="ivf")
    with pytest.raises(LensError, match="no setting 'probes'"):
        EngineSettings.from_dict({"probes": 3})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "lsh"}, "it is one of auto, exact, ivf, hnsw"),
        ({"threshold": -1}, "threshold is -1"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"candidates": 9}, "at least 10"),
        ({"neighbours": True}, "neighbours is True"),
        ({"recall": 0}, "recall is 0"),
        ({"recall_of_sums": 2}, "recall_of_sums is 2"),
        ({"recall": 1.01}, "recall is 1.01"),
        ({"recall": float("nan")}, "recall is nan"),
        ({"recall": "high"}, "recall is 'high'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(LensError, match=said):
        EngineSettings(**given)


def test_an_engine_of_other_vectors_or_an_unreadable_one_is_refused(tmp_path: Path) -> None:
    vectors = unit(500, 8)
    facts = build(vectors, tmp_path, EngineSettings(kind="ivf"))
    with pytest.raises(LensError, match="holds 500 vectors of 8 dimensions"):
        open_engine(tmp_path, vectors[:499], facts)
    with pytest.raises(LensError, match="does not know"):
        open_engine(tmp_path, vectors, facts | {"kind": "scann"})
    whole = (tmp_path / "ann.faiss").read_bytes()
    for kept in (0, 3, 50, len(whole) // 2):
        (tmp_path / "ann.faiss").write_bytes(whole[:kept])
        with pytest.raises(LensError, match="build the index anew"):
            open_engine(tmp_path, vectors, facts)
    (tmp_path / "ann.faiss").unlink()
    with pytest.raises(LensError, match="build the index anew"):
        open_engine(tmp_path, vectors, facts)


def test_without_facts_search_is_exact(tmp_path: Path) -> None:
    vectors = unit(30, 8)
    rows, _ = open_engine(tmp_path, vectors, {}).search(vectors, 1)
    np.testing.assert_array_equal(rows[:, 0], np.arange(30))


def test_building_shows_its_progress_where_it_is_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(unit(200, 8), tmp_path, EngineSettings(kind="ivf"))
    assert capsys.readouterr().err == ""
    build(unit(200, 8), tmp_path, EngineSettings(kind="ivf"), "building")
    assert "building: 100%" in capsys.readouterr().err
