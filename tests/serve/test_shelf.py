"""Which indices are served, and how new ones are taken up."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from lens.errors import LensError
from lens.index import load, save, write
from lens.search import Query, Term
from lens.serve.problems import Overloaded
from lens.serve.shelf import Shelf
from lens.tracking.store import client as mlflow
from tests.serve.shelves import copied, shelf
from tests.serve.store import Store


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # where fetched indices are kept


@pytest.fixture
def folder(store: Store, tmp_path: Path) -> Path:
    """A copy of an index, to be changed."""
    return Path(shutil.copytree(store.index("resnet_tiny"), tmp_path / "index"))


def test_runs_and_folders_by_name(store: Store, folder: Path) -> None:
    chosen = shelf(store, (store.runs["vit_tiny"][:10], store.runs["resnet_tiny"]), (str(folder),))
    assert list(chosen.models) == [
        "vit_tiny",
        "resnet_tiny",
        f"resnet_tiny@{store.runs['resnet_tiny'][:8]}",
    ]
    assert not any(one.newest for one in chosen.models.values())
    assert not chosen.refresh()


def test_nothing_to_serve_says_how_to_make_something(store: Store, tmp_path: Path) -> None:
    with pytest.raises(LensError, match="There is no tracking store .*train a model first"):
        Shelf((), (), f"sqlite:///{tmp_path / 'none.db'}", "shopping-lens", lambda embedder: embedder)
    mlflow(store.uri).create_experiment("empty")
    with pytest.raises(LensError, match="No run .* has an index to serve; make one with make quickstart"):
        Shelf((), (), store.uri, "empty", lambda embedder: embedder)
    with pytest.raises(LensError, match="There is no run 'nobody'"):
        shelf(store, ("nobody",))
    with pytest.raises(LensError, match="index"):
        shelf(store, (), (str(tmp_path),))


def test_a_change_of_an_index_is_taken_up_and_who_asks_meanwhile_is_not_disturbed(
    store: Store, folder: Path
) -> None:
    chosen = shelf(store, (), (str(folder),))
    before = chosen.models["resnet_tiny"]
    item = before.reader.ids([0])[0]
    query = Query((Term(item=item),), k=5, keep_items=True)
    old = before.searcher.search(query)
    with write(folder) as writer:
        writer.delete([item])
    assert chosen.refresh() and not chosen.refresh()
    after = chosen.models["resnet_tiny"]
    assert len(after.reader) == 71
    with pytest.raises(LensError, match="holds no item"):
        after.searcher.search(query)
    assert [one.item_id for one in before.searcher.search(query).results] == [
        one.item_id for one in old.results
    ]
    index = load(folder)
    replaced = folder.parent / "new"
    manifest = index.manifest
    save(
        replaced, index.vectors[:20], index.items[:20], model=manifest["model"], run_id=manifest["run_id"],
        preprocessing=manifest["preprocessing"],
    )  # fmt: skip
    shutil.rmtree(folder)
    assert not chosen.refresh()  # gone for a moment: what was opened goes on
    assert len(chosen.models["resnet_tiny"].reader) == 71
    replaced.rename(folder)
    assert chosen.refresh() and len(chosen.models["resnet_tiny"].reader) == 20
    assert np.isfinite(before.searcher.search(query).results[0].cosine)


def test_a_newer_run_takes_the_place_of_the_older(store: Store) -> None:
    chosen = shelf(store)
    assert not chosen.refresh()
    names, old = list(chosen.models), chosen.models["vit_tiny"]
    with copied(store) as run:
        assert chosen.refresh()
        assert chosen.models["vit_tiny"].searcher.run_id == run.run_id
        assert list(chosen.models) == names
        older = chosen.open_run(store.runs["vit_tiny"])
        assert older.name == f"vit_tiny@{store.runs['vit_tiny'][:8]}" and older.guest
        assert chosen.open_run(store.runs["vit_tiny"]).searcher is older.searcher
        assert chosen.open_run(store.runs["vit_tiny"][:12]).searcher is older.searcher
        assert not chosen.refresh()
        assert old.searcher.search(Query((Term(item=old.reader.ids([0])[0]),))).results


def test_who_asks_for_a_run_does_not_wait_without_end_for_others(store: Store) -> None:
    chosen = Shelf((store.runs["vit_tiny"],), (), store.uri, "shopping-lens", lambda one: one, seconds=0.1)
    with chosen._lock, pytest.raises(Overloaded, match="try again"):  # as while another one is opened
        chosen.open_run(store.runs["clip_tiny"])
    assert chosen.open_run(store.runs["clip_tiny"]).guest


def test_a_run_without_an_index_is_passed_over(store: Store) -> None:
    store_client = mlflow(store.uri)
    run_id = store_client.create_run("1", tags={"model": "vit_tiny"}).info.run_id
    store_client.set_terminated(run_id)
    try:
        assert shelf(store).models["vit_tiny"].searcher.run_id == store.runs["vit_tiny"]
    finally:
        store_client.delete_run(run_id)


def test_what_breaks_later_is_left_out_at_a_start_that_has_to_succeed(
    store: Store, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "vectors.npy").write_bytes(b"")
    given = (store.runs["vit_tiny"],), (str(folder),), store.uri, "shopping-lens", lambda embedder: embedder
    with pytest.raises(LensError, match="vectors.npy"):
        Shelf(*given)
    assert list(Shelf(*given, strict=False).models) == ["vit_tiny"]
    assert "left out" in caplog.text and "vectors.npy" in caplog.text
