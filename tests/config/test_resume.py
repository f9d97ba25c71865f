"""Settings beside `resume=`, which change those of a stored configuration."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from lens.config import Node, changed, entry, plain
from lens.config.resume import literal
from tests.config.toy import PARTS, Schema


@dataclass(frozen=True)
class Resumable(Schema):
    resume: str | None = None
    logger: Node | None = None
    changes: list[str] = field(default_factory=list)


@pytest.fixture
def resume(app, monkeypatch, capfd):
    """Run a command line of an application with `resume`; returns exit status, stderr, and what the task was given."""
    (app / "toy_parts.py").write_text(PARTS + "\ndef log(uri=None, experiment='x', tags=None): pass\n")
    with (app / "conf" / "app.yaml").open("a") as file:
        file.write("resume: null\nlogger: {_target_: toy_parts.log, uri: null, experiment: shop}\n")

    def seen(cfg: DictConfig) -> None:
        Path("seen.json").write_text(json.dumps(plain(cfg)))

    def call(*words: str) -> tuple[int, str, dict]:
        monkeypatch.setattr(sys, "argv", ["app.py", *words])
        capfd.readouterr()
        Path("seen.json").unlink(missing_ok=True)
        status = 0
        try:
            entry(seen, config_name="app", schema=Resumable, config_path=app / "conf")()
        except SystemExit as stop:
            status = int(stop.code or 0)
        assert sys.argv == ["app.py", *words]
        given = json.loads(Path("seen.json").read_text()) if Path("seen.json").exists() else {}
        return status, capfd.readouterr().err, given

    return call


def test_settings_beside_resume_reach_the_task_untouched(resume):
    words = [
        "modle.size=3",
        "data.path='a, b.csv'",
        "+seed=${fail}",
        r"fail='it\'s ${x} \\${y}'",
        "data.root=",
    ]
    status, err, given = resume(*words, "resume=last", "logger.uri=sqlite:///b.db", "hydra.verbose=false")
    assert (status, err) == (0, "")
    assert given["changes"] == words
    assert (given["resume"], given["logger"]["uri"]) == ("last", "sqlite:///b.db")
    assert given["model"]["learning_rate"] == 1e-4


def test_the_id_of_a_run_is_no_number(resume):
    assert resume("resume=12e45678")[2]["resume"] == "12e45678"
    assert resume("resume=12345678")[2]["resume"] == "12345678"


def test_without_resume_everything_is_composed(resume):
    status, _, given = resume("resume=null", "model=resnet", "seed=3")
    assert (status, given["seed"], given["model"]["learning_rate"]) == (0, 3, 1e-3)
    assert "changes" not in given
    assert "did you mean seed" in resume("sed=3")[1]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["-m", "resume=last", "seed=1,2"], "leave out -m"),
        (["resume=a,b"], "leave out -m"),
        (["resume=last", "hydra.mode=MULTIRUN"], "leave out -m"),
        (["resume=last", "seed=1,2"], "seed=1,2: several values"),
        (["resume=last", "~seed"], "~seed: a resumed run keeps its settings"),
        (["resume=last", "model=resnet"], "model=resnet: a resumed run keeps its choices"),
        (["resume=last", "experiment=good"], "experiment=good: a resumed run keeps its choices"),
        (["resume=last", "seed=[1"], "seed=[1"),
        (["resume=last", "changes=['seed=1']"], "changes cannot be set"),
        (["+changes=[seed]"], "changes cannot be set"),
    ],
    ids=str,
)
def test_what_a_resumed_run_cannot_be_given(resume, words, part):
    status, err, given = resume(*words)
    assert (status, given) == (2, {}), err
    assert err.count("\n") == 1 and part in err


def test_help_and_cfg_work_beside_resume(resume, capfd):
    assert resume("--help", "resume=last", "data.path=x")[0] == 0
    assert resume("--cfg", "job", "resume=last", "data.path=x") == (0, "", {})
    assert resume("resume=last", "data.path=x", "--info", "all")[0] == 0


@given(st.text("a$%{}\\'\", \n", max_size=8))
def test_a_text_is_kept_as_it_is(text):
    assert OmegaConf.to_container(OmegaConf.create(literal({"a": [text]})), resolve=True) == {"a": [text]}


def test_changed_reads_values_as_hydra_does(app):
    stored = {"model": {"_target_": "toy_parts.Model", "learning_rate": 1.0, "head": None}, "callbacks": {}}
    stored |= {"trainer": {"_target_": "toy_parts.Trainer"}, "fail": "${no} interpolation"}
    changes = ["model.layers=[3,4]", "model.weights='a, b=c.pt'", "+model.schedule={warmup: 2}", "seed=5"]
    made = changed(stored, [*changes, "trainer.max_epochs=${seed}", "model.learning_rate=1e-3"], Resumable)
    assert made["model"]["layers"] == [3, 4] and made["model"]["weights"] == "a, b=c.pt"
    assert made["model"]["schedule"] == {"warmup": 2} and made["trainer"]["max_epochs"] == 5
    assert made["fail"] == stored["fail"]
    assert made["resume"] is None and made["data"] is None and "changes" not in made  # the defaults
    assert stored["model"]["learning_rate"] == 1.0
    assert changed(made, ["model.weights=null", "fail="], Resumable)["model"]["weights"] is None
