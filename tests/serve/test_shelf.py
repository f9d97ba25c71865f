"""Which indices are served, and how new ones are taken up."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from lens.errors import LensError
from lens.index import load, save, write
from lens.search import Query, Term
from lens.serve.shelf import Shelf
from lens.tracking import add_to_run
from lens.tracking.store import client as mlflow
from tests.serve.store import Store


def shelf(store: Store, runs: tuple[str, ...] = (), indices: tuple[str, ...] = ()) -> Shelf:
    return Shelf(runs, indices, store.uri, "shopping-lens", lambda embedder: embedder)


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
    old = chosen.models["vit_tiny"]
    run_id = _copied_run(store, "vit_tiny")
    try:
        assert chosen.refresh()
        assert chosen.models["vit_tiny"].searcher.run_id == run_id
        assert list(chosen.models) == list(shelf(store).models) or set(chosen.models) == set(store.runs)
        older = chosen.open_run(store.runs["vit_tiny"])
        assert older.name == f"vit_tiny@{store.runs['vit_tiny'][:8]}" and older.guest
        assert chosen.open_run(store.runs["vit_tiny"]).searcher is older.searcher
        assert not chosen.refresh()
        assert old.searcher.search(Query((Term(item=old.reader.ids([0])[0]),))).results
    finally:
        mlflow(store.uri).delete_run(run_id)


def test_a_run_without_an_index_is_passed_over(store: Store) -> None:
    store_client = mlflow(store.uri)
    run_id = store_client.create_run("1", tags={"model": "vit_tiny"}).info.run_id
    store_client.set_terminated(run_id)
    try:
        assert shelf(store).models["vit_tiny"].searcher.run_id == store.runs["vit_tiny"]
    finally:
        store_client.delete_run(run_id)


def _copied_run(store: Store, model: str) -> str:
    """A finished run that exported what another did, as one of its own."""
    import json

    from lens.index.manifest import read_manifest
    from lens.tracking import download

    store_client = mlflow(store.uri)
    run_id = store_client.create_run("1", tags={"model": model}, run_name="again").info.run_id
    place = store.folder / "again"
    for part in ("config.yaml", "checkpoints", "index"):
        download(store.uri, store.runs[model], part, place)
    index = load(place / "index")
    manifest = read_manifest(place / "index")[0]
    shutil.rmtree(place / "index")
    save(
        place / "index", index.vectors, index.items, model=manifest["model"], run_id=run_id,
        preprocessing=manifest["preprocessing"], catalogue=manifest["catalogue"], bands=manifest["bands"],
    )  # fmt: skip
    assert json.loads((place / "index" / "manifest.json").read_text())["run_id"] == run_id
    add_to_run(store.uri, run_id, files=[place])
    store_client.set_terminated(run_id)
    shutil.rmtree(place)
    return str(run_id)
