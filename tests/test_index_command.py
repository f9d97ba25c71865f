"""`python -m lens.index` with the real command line, on a run that was really trained."""

import json
import re
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.bulk.trained import DATA, Trained, train

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(shoes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    run = train(tmp_path_factory.mktemp("trained"), shoes)
    yield run
    run.remove()


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quiet_lightning: None) -> Run:
    """Runs `python -m lens.index` with arguments in this process; gives exit status, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lens.index", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        status = 0
        try:
            runpy.run_module("lens.index", run_name="__main__")
        except SystemExit as stop:
            status = int(stop.code or 0)
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


@pytest.fixture
def built(trained: Trained, index: Run) -> Path:
    """The run's index over its own 72 shoes, by the command; built once."""
    target = trained.folder / "built"
    if not target.exists():
        words = (f"uri={trained.uri}", "run=last", *DATA, f"data.root={trained.shoes}", f"out={target}")
        status, out, err = index(*words)
        assert (status, "72 items, 72 of them embedded now" in out) == (0, True), err
    return target


def test_the_same_images_have_the_vectors_that_the_run_exported(built: Path, trained: Trained) -> None:
    from lens.index import load

    ours, export = load(built, verify=True), load(trained.export, verify=True)
    assert list(ours.items["item_id"]) == list(export.items["item_id"])
    assert np.abs(ours.vectors - export.vectors).max() < 1e-4
    for name in export.items.columns:
        if name != "split":  # the run divided its items; a catalogue alone has no sides
            assert list(ours.items[name]) == list(export.items[name]), name
    for key in ("model", "preprocessing", "run_id", "dimension", "metric", "bands"):
        assert ours.manifest.get(key) == export.manifest.get(key), key
    assert "colour" in export.items.columns  # an attribute of the catalogue's manifest


def test_update_verify_and_compact(built: Path, trained: Trained, index: Run, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    for path in sorted(trained.shoes.rglob("*.jpg"))[:20]:
        (shop / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, shop / path.parent.name / path.name)
    target, uri = tmp_path / "index", f"uri={trained.uri}"
    assert index(uri, "run=last", "data=folder", f"data.root={shop}", f"out={target}")[0] == 0
    first, second = sorted(shop.rglob("*.jpg"))[:2]
    first.unlink()
    second.write_bytes(b"no image")
    status, out, _ = index(uri, f"update={target}")
    assert status == 0 and "0 new, 0 changed, 0 with other data, 2 dropped, 18 as they were" in out
    assert "1 images could not be read" in out and f"{second.relative_to(shop)}: " in out
    status, out, _ = index(f"verify={target}")
    assert status == 0 and re.search(r"items +18, 256 values", out) and "2 replaced or dropped" in out
    assert trained.run_id in out and "resnet_tiny" in out
    assert index(f"compact={target}")[0] == 0
    assert "0 replaced or dropped" in index(f"verify={target}")[1]
    status, _, err = index(uri, "run=last", "data=folder", f"data.root={shop}", f"out={target}")
    assert status == 2 and "update=" in err


def test_a_photograph_finds_itself(built: Path, trained: Trained, index: Run, tmp_path: Path) -> None:
    photo = sorted(trained.shoes.rglob("*.jpg"))[0]
    awkward = tmp_path / "photo, women's (1).jpg"
    shutil.copy(photo, awkward)
    answer = tmp_path / "answer.json"
    status, out, err = index(
        f"uri={trained.uri}", f"index={built}", f"query={awkward}", "k=3", f"out={answer}"
    )
    assert status == 0, err
    assert "100.0 %" in out and "high" in out and "1.0000" in out and photo.name in out
    found = json.loads(answer.read_text())
    assert len(found["results"]) == 3
    assert found["results"][0]["cosine"] == pytest.approx(1, abs=1e-4)
    asked = index(
        f"uri={trained.uri}", "run=last", f"query={awkward}", "k=3"
    )  # the index that the run exported
    assert photo.name in asked[1].splitlines()[4]


def test_items_filters_and_json_are_asked(built: Path, trained: Trained, index: Run, tmp_path: Path) -> None:
    from lens.index import load

    items = load(built).items
    item, answer = items["item_id"][0], tmp_path / "answer.json"
    words = (f"uri={trained.uri}", f"index={built}", f"out={answer}")

    def results(*more: str) -> list[dict]:
        status, _, err = index(*words, *more)
        assert status == 0, err
        return json.loads(answer.read_text())["results"]

    assert item not in [result["item_id"] for result in results(f"item={item}")]
    boots = results(f"item={item}", "where.category=boot", "k=100")
    assert {result["item"]["category"] for result in boots} == {"boot"}
    mine = items["item_id"].isin([item])
    assert len(boots) == int(((items["category"] == "boot") & ~mine).sum())
    either = results(f"item={item}", "where={category: [boot, heel]}", "k=100")
    assert {result["item"]["category"] for result in either} == {"boot", "heel"}
    thick = items["sole_thickness"][5]
    same = results(f"item={item}", f"where.sole_thickness={thick}", "k=100")
    assert {result["item"]["sole_thickness"] for result in same} == {thick}
    query = {"terms": [{"item": item}, {"item": items["item_id"][9], "weight": -0.5}], "k": 4}
    as_words = results(f"query={json.dumps(query)}")
    (tmp_path / "q.json").write_text(json.dumps(query))
    assert as_words == results(f"query={tmp_path / 'q.json'}")
    assert len(as_words) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give one task"),
        (["run=last"], "Give one task"),
        (["out=x"], "needs run="),
        (["run=a", "out=x"], "needs data="),
        (["run=a", "data=folder", "out=x"], "data.root"),
        (["run=a", "data=folder", "data.root=r", "out=."], "exists already"),
        (["update=x", "compact=y"], "Give one task"),
        (["verify=x", "query=a.jpg"], "Give one task"),
        (["query=a.jpg"], "which index"),
        (["query=a.jpg", "run=a", "index=b"], "which index"),
        (["verify=x", "k=3"], "k= does not go with verify="),
        (["compact=x", "engine.kind=exact"], "engine= does not go with compact="),
        (["update=x", "out=y"], "Give one task"),
        (["index=x", "query=a.jpg", "data=folder", "data.root=r"], "data= does not go with query="),
        (["index=x", "text=red", "k=0"], "k"),
        (["engine.kind=fast", "verify=x"], "kind"),
        (["engine.knd=ivf", "verify=x"], "engine.kind"),
        (["queri=a.jpg"], "did you mean query"),
        (["index=nowhere", "item=a"], "nowhere"),
        (["update=nowhere"], "nowhere"),
        (["verify=nowhere"], "nowhere"),
        (["compact=nowhere"], "nowhere"),
        (["index=nowhere", 'query={"terms": ['], "JSON"),
        (["index=nowhere", "query=none.json"], "none.json"),
        (["index=nowhere", "item=a", "out=."], "no place for a file"),
        (["run=a", "query=a.jpg", "uri=sqlite:////nowhere/none.db"], "none.db"),
        (["update=x", "shard=0"], "shard"),
        (["index=nowhere", 'query={"terms": 5}'], '"terms" is a list'),
        (["index=nowhere", 'query={"terms": [{"item": "a"}], "where": [1]}'], '"where" an object'),
    ],
)
def test_a_mistake_is_one_sentence(
    index: Run, arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, said = index(*arguments)
    assert status == 2
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["index=INDEX", "query=none.jpg"], "no such file"),
        (["index=INDEX", "item=none"], "'none'"),
        (["index=INDEX", "text=red shoe"], "text"),
        (["index=INDEX", "item=ITEM", "where.categry=boot"], "did you mean 'category'"),
        (["index=INDEX", 'query={"terms": []}'], "term"),
        (["run=none", "item=ITEM"], "no run 'none'"),
        (["update=INDEX", "run=none"], "no run 'none'"),
    ],
)
def test_a_question_that_cannot_be_answered_is_one_sentence(
    built: Path, trained: Trained, index: Run, arguments: list[str], words: str
) -> None:
    from lens.index import load

    item = str(load(built).items["item_id"][0])
    given = [word.replace("INDEX", str(built)).replace("ITEM", item) for word in arguments]
    status, _, said = index(f"uri={trained.uri}", *given)
    assert (status, len(said.strip().splitlines())) == (2, 1), said
    assert words in said


def test_help_shows_every_setting(index: Run) -> None:
    from dataclasses import fields

    from lens.config import IndexConfig

    _, out, _ = index("--help")
    for field in fields(IndexConfig):
        if field.name not in ("shard", "progress", "experiment", "uri"):
            assert f"{field.name}=" in out or f"{field.name}." in out, field.name


def test_a_group_is_learned_asked_for_and_recognised(
    built: Path, trained: Trained, index: Run, tmp_path: Path
) -> None:
    from lens.search import load_group

    images = sorted(trained.shoes.rglob("*.jpg"))
    examples, others = tmp_path / "examples", tmp_path / "others (2)"
    for folder, some in ((examples, images[:3]), (others, [images[0], *images[-3:]])):
        folder.mkdir()
        for path in some:
            shutil.copy(path, folder / path.name)
    where = (f"uri={trained.uri}", f"index={built}", "progress=false")
    file = tmp_path / "mine.json"
    status, out, err = index(*where, f"examples={examples}", f"group={file}")
    assert status == 0 and "'mine' of 3 examples" in out, err
    assert load_group(file).examples == 3
    status, out, err = index(*where, f"group={file}", "k=4")
    assert status == 0 and "4 of 72 items" in out, err
    status, out, err = index(*where, f"group={file}", f"images={others}", f"out={tmp_path / 'told.csv'}")
    assert status == 0 and "of 4 images are of the group 'mine'" in out, err
    assert "could not be read" not in out
    lines = (tmp_path / "told.csv").read_text().splitlines()
    assert lines[0] == "image,in group,cosine,probe" and len(lines) == 5
    assert any(line.split(",")[1] == "yes" for line in lines if images[0].name in line)
    (others / "broken.jpg").write_bytes(b"no image")
    (others / "folder.jpg").mkdir()
    status, out, err = index(*where, f"group={file}", f"images={others}")
    assert status == 0 and "of 4 images are of the group 'mine'" in out, err
    assert "1 images could not be read" in out and "broken.jpg cannot be read" in out
    status, _, err = index(*where, f"group={file}", f"images={others / 'broken.jpg'}")
    assert status == 2 and "None of the 1 images can be read" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("examples=x.jpg",), "examples= needs group="),
        (("images=x.jpg",), "images= needs group="),
        (("examples=x.jpg", "group=g.json"), "Say which index is asked"),
        (("examples=x.jpg", "group=g.json", "index=x", "k=3"), "k= does not go with examples="),
        (("examples=x.jpg", "images=y.jpg", "group=g.json", "index=x"), "Give one task"),
        (("images=x.jpg", "group=nothing.json", "index=x"), "There is no group"),
    ],
)
def test_a_group_s_mistakes_are_sentences(index: Run, words: tuple[str, ...], said: str) -> None:
    status, _, err = index(*words)
    assert status == 2 and said in err and "Traceback" not in err
