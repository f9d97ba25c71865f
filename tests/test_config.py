"""A tiny application with real YAML, run as a person runs it."""

import functools
import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from lens.config import Node, Nodes, build, changed, check, compose_file, entry, plain
from lens.config.resume import literal
from lens.errors import LensError

PARTS = """
from __future__ import annotations
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

@dataclass
class Columns:
    path: str = "path"
    caption: str | None = None

Mining = Literal["batch_all", "batch_hard"]

class Schedule(TypedDict, total=False):
    warmup: int

class Model:
    def __init__(self, learning_rate: float = 1e-4, mining: Mining = "batch_all",
                 layers: tuple[int, ...] = (1,), weights: Path | None = None, margin: float = 0.2,
                 schedule: Schedule | None = None, head: object = None):
        self.__dict__.update({k: v for k, v in locals().items() if k != "self"})

class Trainer:
    def __init__(self, max_epochs: int = 1, fast: bool = False, callbacks: list = ()):
        self.max_epochs, self.callbacks = max_epochs, callbacks

class Stop:
    def __init__(self, patience: int = 3): self.patience = patience

class Data:
    def __init__(self, read, batch_size: int = 4, seed: int = 0):
        self.read, self.batch_size, self.seed = read, batch_size, seed

def read_folder(root: Path, columns: Columns | None = None, seed: int = 0):
    return root, columns, seed
"""

CONF = {
    "app.yaml": """
        defaults: [_self_, {model: vit}, {data: none}, {callbacks: some}, {experiment: null}]
        trainer: {_target_: toy_parts.Trainer, max_epochs: 1}
        seed: 0
        fail: ""
        """,
    "model/vit.yaml": "{_target_: toy_parts.Model, learning_rate: 1e-4, mining: batch_all, layers: [1, 2]}",
    "model/resnet.yaml": "{_target_: toy_parts.Model, learning_rate: 1e-3, mining: batch_hard}",
    "model/broken.yaml": "_target_: toy_parts.Model\nmining: [batch_all\n",
    "model/dangling.yaml": "{_target_: toy_parts.Model, learning_rate: '${trainer.rate}'}",
    "data/none.yaml": "{}",
    "data/folder.yaml": """
        {_target_: toy_parts.Data, _reader_: toy_parts.read_folder, root: "???", batch_size: 2,
         seed: '${seed}', columns: {caption: null}}
        """,
    "callbacks/some.yaml": "{stop: {_target_: toy_parts.Stop, patience: 2}}",
    "experiment/good.yaml": """
        # @package _global_
        defaults: [{override /model: resnet}]
        trainer: {max_epochs: 7}
        """,
    "experiment/typo.yaml": "# @package _global_\nmodel: {lerning_rate: 1}",
    "experiment/top.yaml": "# @package _global_\ntrainr: {max_epochs: 1}",
    "experiment/group.yaml": "# @package _global_\ndefaults: [{override /modle: vit}]",
    "experiment/choice.yaml": "# @package _global_\ndefaults: [{override /model: vitt}]",
}


@dataclass(frozen=True)
class Schema:
    model: Node
    trainer: Node
    callbacks: Nodes
    data: Node | None = None
    seed: int = 0
    fail: str = ""


def task(cfg: DictConfig) -> float:
    if cfg.fail == "told":
        raise LensError("The catalogue is empty.")
    if cfg.fail == "bug":
        raise ValueError("a bug")
    if cfg.fail == "keys":
        raise KeyboardInterrupt
    Path("ran.txt").open("a").write(f"{cfg.model.learning_rate}\n")
    return float(cfg.model.learning_rate)


@pytest.fixture
def app(tmp_path, monkeypatch):
    """A folder with configuration and parts, which is also the working directory."""
    for name, text in CONF.items():
        file = tmp_path / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = textwrap.dedent(text).strip()
        if name == "data/none.yaml":
            lines = "# @package _global_\n{}"
        file.write_text(lines + "\n")
    (tmp_path / "toy_parts.py").write_text(PARTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.delitem(sys.modules, "toy_parts", raising=False)
    return tmp_path


@pytest.fixture
def run(app, monkeypatch, capfd):
    """Run a command line in this process; returns exit status and stderr."""

    def call(*overrides: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["app.py", *overrides])
        capfd.readouterr()
        status = 0
        try:
            entry(task, config_name="app", schema=Schema, config_path=app / "conf")()
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, capfd.readouterr().err

    return call


def composed(app: Path, *overrides: str) -> DictConfig:
    return compose_file(app / "conf", "app", overrides)


MISTAKES = [
    (["model=vitt"], ["model=vitt", "no such choice; nearest is 'vit'", "resnet"]),
    (["modle=vit"], ["modle: no such setting; did you mean model?"]),
    (["model.lerning_rate=1"], ["model.lerning_rate: no such setting; did you mean model.learning_rate?"]),
    (["learning_rate=1"], ["did you mean model.learning_rate?"]),
    (["model.max_epochs=1"], ["did you mean trainer.max_epochs?"]),
    (["+model.lerning_rate=1"], ["did you mean model.learning_rate?"]),
    (["model.margin=1"], ["+model.margin=1"]),
    (["callbacks.stop.patiense=1"], ["did you mean callbacks.stop.patience?"]),
    (["experiment=typo"], ["model.lerning_rate", "did you mean model.learning_rate?"]),
    (["experiment=top"], ["trainr", "did you mean trainer?"]),
    (["experiment=group"], ["experiment/group.yaml", "modle", "did you mean model?"]),
    (["experiment=choice"], ["experiment/choice.yaml", "model=vitt", "nearest is 'vit'"]),
    (["experiment=goood"], ["experiment=goood", "nearest is 'good'"]),
    (["model.mining=batch_hrd"], ["model.mining=batch_hrd", "nearest is 'batch_hard'", "batch_all"]),
    (["model.learning_rate=abc"], ["model.learning_rate=abc: must be a number"]),
    (["model.learning_rate=true"], ["model.learning_rate=True: must be a number"]),
    (["trainer.max_epochs=1.5"], ["trainer.max_epochs=1.5: must be a whole number"]),
    (["model.layers=[1,x]"], ["model.layers", "must be a list", "[1]"]),
    (["+model.schedule={warmpu: 1}"], ["model.schedule.warmpu", "did you mean model.schedule.warmup?"]),
    (["seed=abc"], ["seed=abc: must be a whole number"]),
    (["model=null"], ["model=null: there is no such choice (choices"]),
    (["data=folder"], ["data.root is not set: give data.root=PATH"]),
    (["data=folder", "data.root=x", "data.columns.captoin=t"], ["did you mean data.columns.caption?"]),
    (["data=folder", "data.root=x", "+data.read=1"], ["data.read: no such setting"]),
    (["model.layers=[1"], ["model.layers=[1", "cannot be read"]),
    (["model=broken"], ["broken.yaml, line", "not valid YAML"]),
    (["model=dangling"], ["model.learning_rate", "trainer.rate", "not found"]),
    (["model=vit,resnet"], ["model=vit,resnet", "-m"]),
    (["hydra/launcher=joblb"], ["nearest is 'joblib'"]),
    (["--config-name", "ap"], ["ap"]),
    (["fail=told"], ["The catalogue is empty."]),
    (["-m", "model=vit,resnt"], ["model=resnt", "nearest is 'resnet'"]),
    (["-m", "model.mining=batch_all,batch_hrd"], ["nearest is 'batch_hard'"]),
    (["--cfg", "job", "model=vitt"], ["vitt"]),
]


@pytest.mark.parametrize(("overrides", "parts"), MISTAKES, ids=[" ".join(line) for line, _ in MISTAKES])
def test_a_mistake_is_one_sentence_and_status_2(run, app, overrides, parts):
    status, err = run(*overrides)
    assert status == 2, err
    assert err.count("\n") == 1, err
    assert all(part in err for part in parts), err
    assert not (app / "ran.txt").exists()


def test_right_configurations_run(run, app):
    assert run("experiment=good", "callbacks.stop=null", "+model.margin=0.5") == (0, "")
    assert run("-m", "model=vit,resnet", "model.learning_rate=1,2")[0] == 0
    assert (app / "ran.txt").read_text().split() == ["0.001", "1", "2", "1", "2"]
    assert (app / "multirun").is_dir()
    assert run("--cfg", "job", "data=folder") == (0, "")


def test_a_failing_job_is_told_and_the_others_run(run, app):
    status, err = run("-m", "fail=told,''")
    assert status == 2
    assert err.count("The catalogue is empty.") == 1
    assert "Job 0 (fail=told)" in err
    assert "Traceback" not in err
    assert (app / "ran.txt").read_text().split() == ["0.0001"]


def test_bugs_and_interrupts(run, monkeypatch):
    with pytest.raises(ValueError, match="a bug"):
        run("fail=bug")
    assert run("fail=keys") == (130, "Interrupted.\n")
    assert "HYDRA_FULL_ERROR" not in os.environ
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(LensError, match="no such choice"):
        run("model=vitt")
    with pytest.raises(LensError, match="empty"):
        run("fail=told")


def test_the_value_of_the_task_reaches_the_sweeper(run, monkeypatch):
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    results: list[object] = []
    sweep = BasicSweeper.sweep

    def spy(self, arguments):
        out = sweep(self, arguments)
        results.extend(r.return_value for batch in out for r in batch)
        return out

    monkeypatch.setattr(BasicSweeper, "sweep", spy)
    assert run("-m", "model.learning_rate=1,2")[0] == 0
    assert results == [1.0, 2.0]


def test_two_jobs_at_a_time(app):
    script = textwrap.dedent(f"""
        import sys
        sys.path[:0] = [{str(app)!r}, {str(Path(__file__).parents[1])!r}]
        from dataclasses import dataclass
        from pathlib import Path
        from lens.config import Node, entry
        from lens.errors import LensError

        @dataclass(frozen=True)
        class Schema:
            model: Node
            trainer: Node
            callbacks: dict
            seed: int = 0
            fail: str = ""

        def task(cfg):
            if cfg.seed == 1:
                raise LensError("Seed 1 is unlucky.")
            Path(f"ran{{cfg.seed}}.txt").touch()

        main = entry(task, config_name="app", schema=Schema, config_path=Path({str(app / "conf")!r}))
        if __name__ == "__main__":
            main()
    """)
    (app / "job.py").write_text(script)
    command = [sys.executable, "job.py", "-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=1,2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=app, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("Job 0 (seed=1): Seed 1 is unlucky.") == 1
    assert "Traceback" not in done.stderr
    assert (app / "ran2.txt").exists()
    assert not (app / "ran1.txt").exists()


def test_build_gives_plain_fitting_values(app):
    cfg = composed(app, "+model.weights=w.pt", "+model.head={_target_: toy_parts.Stop, patience: 5}")
    check(cfg, Schema)
    model = build(cfg.model)
    assert model.layers == (1, 2)
    assert model.weights == Path("w.pt")
    assert model.head.patience == 5
    assert type(model.learning_rate) is float
    stop = build(cfg.callbacks.stop)
    assert build(cfg.trainer, callbacks=[stop]).callbacks[0] is stop


def test_build_with_a_reader(app):
    cfg = composed(app, "data=folder", "data.root=shoes", "data.columns.caption=title", "seed=3")
    check(cfg, Schema)
    data = build(cfg.data)
    assert isinstance(data.read, functools.partial)
    root, columns, seed = data.read()
    assert (root, columns.path, columns.caption, seed) == (Path("shoes"), "path", "title", 3)
    assert (data.batch_size, data.seed) == (2, 3)


def test_build_refuses(app):
    with pytest.raises(LensError, match=r"Model\.marign: no such setting; did you mean Model\.margin"):
        build({"_target_": "toy_parts.Model", "marign": 1})
    with pytest.raises(LensError, match="missing a required argument: 'read'"):
        build({"_target_": "toy_parts.Data"})
    with pytest.raises(LensError, match="root"):
        build({"_target_": "toy_parts.Data", "_reader_": "toy_parts.read_folder"})
    with pytest.raises(LensError, match=r"toy_parts\.Modle.*cannot be loaded"):
        build({"_target_": "toy_parts.Modle"})


def test_plain_resolves(app):
    values = plain(composed(app, "data=folder", "data.root=x", "seed=5"))
    assert values["data"]["seed"] == 5
    assert type(values["model"]["layers"]) is list
    with pytest.raises(LensError, match=r"data\.root is not set"):
        plain(composed(app, "data=folder"))


def test_compose_file_leaves_no_global_state(app):
    from hydra.core.global_hydra import GlobalHydra

    assert "hydra" not in composed(app)
    with pytest.raises(LensError, match="nearest is 'vit'"):
        composed(app, "model=vitt")
    with pytest.raises(LensError, match=r"did you mean model\.learning_rate"):
        composed(app, "model.lerning_rate=1")
    assert not GlobalHydra.instance().is_initialized()


def test_check_refuses_what_is_no_part(app):
    cfg = composed(app)
    without = OmegaConf.masked_copy(cfg, ["trainer", "callbacks"])
    with pytest.raises(LensError, match="model is not set"):
        check(without, Schema)
    with pytest.raises(LensError, match="model is not chosen"):
        check(OmegaConf.merge(without, {"model": {"a": 1}}), Schema)
    with pytest.raises(LensError, match=r"callbacks\.stop"):
        check(OmegaConf.merge(cfg, {"callbacks": {"stop": {"_target_": None}}}), Schema)


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
