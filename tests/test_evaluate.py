"""evaluate.py on vectors, on an index, on mistakes; with the real command line in this process."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lens.index import save

ROOT = Path(__file__).parents[1]


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs evaluate.py with arguments; gives the exit status and what stderr says."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *arguments])
        status = 0
        try:
            runpy.run_path(str(ROOT / "evaluate.py"), run_name="__main__")
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, capsys.readouterr().err

    return run


def write(folder: Path, vectors: np.ndarray, **columns: list[str]) -> tuple[str, str]:
    np.save(folder / "v.npy", vectors.astype(np.float32))
    ids = [f"i{n}" for n in range(len(vectors))]
    pd.DataFrame({"item_id": ids, **columns}).to_csv(folder / "i.csv", index=False)
    return f"vectors={folder / 'v.npy'}", f"items={folder / 'i.csv'}"


def test_vectors_of_any_tool(evaluate, tmp_path: Path) -> None:
    # a1 and a2 find each other; b1 finds a1 first; c is alone, so it is no query
    vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.6, 0.5], [0.0, 1.0], [-1.0, 0.0]])
    given = write(tmp_path, vectors, category=["a", "a", "b", "b", "c"])
    status, _ = evaluate(*given, f"out={tmp_path / 'o.json'}")
    assert status == 0
    result = json.loads((tmp_path / "o.json").read_text())
    assert result["queries"] == 4
    assert result["excluded_queries"] == 1
    assert result["metrics"]["precision_at_1"] == pytest.approx(0.75)
    assert result["metrics"]["recall_at_5"] == 1.0


def test_a_collapsed_model_does_not_score(evaluate, tmp_path: Path) -> None:
    given = write(tmp_path, np.ones((60, 8)), category=[f"c{n % 3}" for n in range(60)])
    evaluate(*given, f"out={tmp_path / 'o.json'}")
    metrics = json.loads((tmp_path / "o.json").read_text())["metrics"]
    assert metrics["precision_at_1"] <= 1 / 3
    assert metrics["map_at_r"] <= 1 / 3


def test_query_and_gallery_roles(evaluate, tmp_path: Path) -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0]])
    given = write(tmp_path, vectors, product_id=["p", "p", "q"], role=["query", "gallery", "gallery"])
    evaluate(*given, f"out={tmp_path / 'o.json'}")
    result = json.loads((tmp_path / "o.json").read_text())
    assert (result["queries"], result["metrics"]["precision_at_1"]) == (1, 1.0)


def test_an_index_is_judged_on_its_test_side(evaluate, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(12, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[6:] = np.eye(4, dtype=np.float32)[
        [0, 0, 1, 1, 2, 2]
    ]  # the test side is solved, the rest is noise
    items = pd.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(12)],
            "path": [f"{n}.jpg" for n in range(12)],
            "category": list("abcabc") + list("aabbcc"),
            "product_id": [f"i{n}" for n in range(12)],
            "captions": [[] for _ in range(12)],
            "split": ["train"] * 6 + ["test"] * 6,
            "role": [""] * 12,
        }
    )
    model = {"name": "m", "target": "t", "config": {}}
    save(tmp_path / "index", vectors, items, model=model, preprocessing={}, run_id=None)
    status, _ = evaluate(f"index={tmp_path / 'index'}", f"out={tmp_path / 'o.json'}")
    result = json.loads((tmp_path / "o.json").read_text())
    assert (status, result["queries"], result["metrics"]["precision_at_1"]) == (0, 6, 1.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give one of"),
        (["vectors=v.npy"], "go together"),
        (["index=nowhere"], "nowhere"),
        (["vectors=none.npy", "items=none.csv"], "none"),
        (["vektors=v.npy"], "vectors"),
        (["index=x", "split=tset"], "test"),
        (["index=x", "data=folder", "data.root=y"], "run="),
        (["run=a", "runs=[b]"], "Give one of"),
        (["index=x", "robustness=true"], "run="),
        (["vectors=v.npy", "items=i.csv", "indicators=true"], "no model"),
        (["runs=[a]", "triplets=t.csv"], "one model"),
        (["run=a", "triplets=t.csv", "robustness=true"], "alone"),
        (["index=x", "out=."], "folder"),
        (["vectors=v.npy", "items=i.csv", "triplets=none.csv"], "none.csv"),
        (["runs=[a]", "uri=sqlite:////nowhere/none.db"], "none.db"),
        (["sweep=last", "uri=sqlite:////nowhere/none.db"], "none.db"),
    ],
)
def test_a_mistake_is_one_sentence(evaluate, arguments: list[str], words: str) -> None:
    status, said = evaluate(*arguments)
    assert status == 2
    assert words in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1
