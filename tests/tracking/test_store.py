"""Addresses, names and the first creation of a store."""

import subprocess
import sys
from pathlib import Path

import pytest

from lens import tracking
from lens.errors import LensError
from lens.tracking.names import flatten, metric_name


def test_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking.tracking_uri() == f"sqlite:///{Path(__file__).parents[2] / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somewhere:5000")
    assert tracking.tracking_uri() == "http://somewhere:5000"
    monkeypatch.chdir(tmp_path)
    assert tracking.tracking_uri("sqlite:///a.db") == f"sqlite:///{tmp_path / 'a.db'}"
    with pytest.raises(LensError, match="sqlite:///FILE"):
        tracking.tracking_uri("./mlruns")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("val/precision@10", "val/precision_at_10"),
        ("a b", "a b"),
        ("/x//y/../z", "x/y/z"),
        ("ü%", "__"),
        ("", "unnamed"),
    ],
)
def test_metric_names(given: str, kept: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    assert metric_name(given) == kept
    _validate_metric_name(kept)


def test_flatten() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": None}}, "e": {}}) == {"a.b": 1, "a.c.d": None, "e": {}}


def test_git_state(tmp_path: Path) -> None:
    assert tracking.git_state(tmp_path) == {"git.commit": "unknown", "git.dirty": "unknown"}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    state = tracking.git_state(tmp_path)
    assert len(state["git.commit"]) == 40 and state["git.dirty"] == "false"
    (tmp_path / "new.py").touch()
    assert tracking.git_state(tmp_path)["git.dirty"] == "true"
    (tmp_path / "below").mkdir()
    assert tracking.git_state(tmp_path / "below")["git.commit"] == "unknown"


def test_importing_is_quick() -> None:
    code = "import sys, lens.tracking; assert not {'mlflow', 'pytorch_lightning', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


@pytest.mark.slow
def test_two_processes_on_a_fresh_store(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'new folder' / 'mlflow.db'}"
    code = "import sys; from lens.tracking import prepare_store; print(prepare_store(sys.argv[1], 'shoes'))"
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", code, uri], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    answers = [job.communicate(timeout=120) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], answers
    assert answers[0] == answers[1] == ("1\n", "")
