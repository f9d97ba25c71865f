"""An index brought up to date: only what changed is embedded, and it is then what a new one would be."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lens.bulk.embedding import Changes, How
from lens.bulk.source import remembered
from lens.bulk.update import update_index, waiting_changes
from lens.errors import LensError
from lens.index import Writer, load, open_index, save, write
from tests.bulk.made import Counting, TakingAway, build, embedder, pictures

pytestmark = pytest.mark.usefixtures("quiet_lightning")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """shop, a folder of 40 pictures, and index, what was built of it."""
    folder = tmp_path_factory.mktemp("built")
    build(folder / "index", pictures(folder / "shop", 40), embedder())
    return folder


@pytest.fixture
def place(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "copy")
    return tmp_path / "copy"


def update(
    place: Path, by: Any = None, source: Any = None, said: list[str] | None = None, shard: int = 4
) -> Changes:
    how = How(batch=4, workers=0, shard=shard, progress=False)
    given = source or {"reader": "lens.data.sources.read_folder", "root": str(place / "shop")}
    tell = (said if said is not None else []).append
    return update_index(place / "index", given, by or embedder(), how, tell)


def counts(changes: Changes) -> tuple[int, int, int, int, int]:
    return (changes.new, changes.changed, changes.described, changes.dropped, changes.kept)


def same_as_new(place: Path) -> None:
    """The index equals one that is built now, item by item."""
    build(place / "fresh", place / "shop", embedder())
    fresh, index = load(place / "fresh"), load(place / "index")
    order = index.items.sort_values("item_id").index
    expected = fresh.items.sort_values("item_id")
    pd.testing.assert_frame_equal(
        index.items.loc[order, expected.columns].reset_index(drop=True), expected.reset_index(drop=True)
    )
    assert np.abs(index.vectors[order] - fresh.vectors[expected.index]).max() < 1e-6
    shutil.rmtree(place / "fresh")


def repaint(path: Path) -> None:
    Image.new("RGB", (9, 9), "green").save(path)


def test_what_a_build_left_behind_when_it_was_killed_at_its_end_is_removed(place: Path) -> None:
    (place / ".index.building").mkdir()
    update(place)
    assert not (place / ".index.building").exists()


def test_only_what_is_new_or_changed_is_embedded_and_what_is_gone_is_dropped(place: Path) -> None:
    shop = place / "shop"
    Image.new("RGB", (8, 8), "red").save(shop / "kind0" / "new.png")
    repaint(shop / "kind0" / "0003.png")
    (shop / "kind1" / "0001.png").unlink()
    os.utime(shop / "kind2" / "0002.png")  # touched; its bytes are as they were
    by = Counting(embedder())
    assert counts(update(place, by)) == (1, 1, 0, 1, 38)
    assert by.seen == 2
    same_as_new(place)
    by = Counting(embedder())
    assert counts(update(place, by)) == (0, 0, 0, 0, 40)
    assert by.seen == 0


def test_a_picture_that_moves_to_another_folder_is_a_new_item(place: Path) -> None:
    shop = place / "shop"
    (shop / "kind0" / "0000.png").rename(shop / "kind1" / "0000.png")
    assert counts(update(place)) == (1, 0, 0, 1, 39)
    same_as_new(place)


def manifest(place: Path, colours: dict[str, str], category: str = "boot") -> dict[str, Any]:
    paths = sorted(path.relative_to(place / "shop").as_posix() for path in (place / "shop").rglob("*.png"))
    frame = pd.DataFrame({"path": paths, "item_id": paths, "category": category})
    frame["baseColour"] = [colours.get(path, "Red") for path in paths]
    frame.to_csv(place / "shop.csv", index=False)
    return {
        "reader": "lens.data.sources.read_manifest",
        "path": str(place / "shop.csv"),
        "root": str(place / "shop"),
    }


def test_what_is_only_described_anew_keeps_its_vector(place: Path) -> None:
    source = manifest(place, {}, category="heel")
    by, before = Counting(embedder()), load(place / "index")
    changes = update(place, by, source)
    assert (by.seen, counts(changes)) == (0, (0, 0, 40, 0, 0))
    after = load(place / "index")
    assert set(after.items["category"]) == {"heel"} and set(after.items["baseColour"]) == {"Red"}
    rows = after.items.set_index("item_id").index.get_indexer(before.items["item_id"])
    assert np.array_equal(after.vectors[rows], before.vectors)
    source = manifest(place, {"kind0/0000.png": "Blue"}, category="heel")
    assert counts(update(place, None, source)) == (0, 0, 1, 0, 39)
    with open_index(place / "index") as reader:
        assert reader.ids(np.flatnonzero(reader.select({"baseColour": "Blue"}) & reader.alive)) == [
            "kind0/0000.png"
        ]


@pytest.mark.parametrize("stop_after", [0, 3, 4, 9])
def test_a_stopped_update_goes_on_where_it_was(place: Path, stop_after: int) -> None:
    shop = place / "shop"
    pictures(shop, 12, seed=9)  # the first twelve are other pictures now
    (shop / "kind0" / "0039.png").unlink()
    stopped = Counting(embedder(), stop_after)
    with pytest.raises(KeyboardInterrupt):
        update(place, stopped)
    assert len(load(place / "index", verify=True).items) == 40  # nothing is dropped before the rest is there
    resumed = Counting(embedder())
    assert update(place, resumed).dropped == 1
    assert resumed.seen == 12 - stopped.seen // 4 * 4
    same_as_new(place)


def test_items_that_swap_their_files_swap_their_vectors(tmp_path: Path) -> None:
    for name, colour in (("red.bmp", "red"), ("blue.bmp", "blue")):
        Image.new("RGB", (8, 8), colour).save(tmp_path / name)
        os.utime(tmp_path / name, ns=(1, 1))  # as cp -p leaves it, and of one size
    source = {
        "reader": "lens.data.sources.read_manifest", "path": str(tmp_path / "two.csv"), "root": str(tmp_path),
    }  # fmt: skip
    frame = pd.DataFrame({"path": ["red.bmp", "blue.bmp"], "item_id": ["a", "b"], "category": "boot"})
    frame.to_csv(tmp_path / "two.csv", index=False)
    build(tmp_path / "index", source, embedder())
    with open_index(tmp_path / "index") as reader:
        red, blue = reader.vectors(reader.find(["a", "b"]))
    assert np.abs(red - blue).max() > 1e-3
    frame.assign(item_id=["b", "a"]).to_csv(tmp_path / "two.csv", index=False)
    assert counts(update(tmp_path, None, source)) == (0, 2, 0, 0, 0)
    with open_index(tmp_path / "index") as reader:
        assert np.abs(reader.vectors(reader.find(["a", "b"])) - [blue, red]).max() < 1e-5


def test_what_another_writer_did_just_before_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = "kind0/0000.png"

    def write_after_another(folder: Path) -> Writer:
        with write(folder) as other:
            other.delete([gone])
        return write(folder)

    (place / "shop" / gone).unlink()
    monkeypatch.setattr("lens.bulk.update.write", write_after_another)
    assert counts(update(place)) == (0, 0, 0, 0, 39)


def test_many_changes_are_folded_in(place: Path) -> None:
    said: list[str] = []
    for number in range(5):
        repaint(place / "shop" / "kind0" / f"{number * 3:04d}.png")
    assert update(place, said=said).changed == 5
    assert (waiting_changes(place / "index"), said) == ((5, 5, 40), [])
    repaint(place / "shop" / "kind0" / "0018.png")
    update(place, said=said)
    assert len(said) == 1 and "folded in" in said[0]
    assert waiting_changes(place / "index") == (0, 0, 40)
    same_as_new(place)


def test_unreadable_pictures_are_dropped_and_listed(place: Path) -> None:
    (place / "shop" / "kind0" / "0000.png").write_bytes(b"no image")
    changes = update(place)
    assert (changes.dropped, [path for path, _ in changes.unreadable]) == (1, ["kind0/0000.png"])
    assert "kind0/0000.png" in (place / "index-unreadable.csv").read_text()
    repaint(place / "shop" / "kind0" / "0000.png")
    assert counts(update(place)) == (1, 0, 0, 0, 39)
    assert not (place / "index-unreadable.csv").exists()


def test_nothing_is_dropped_when_the_images_are_away(place: Path) -> None:
    before = load(place / "index").items
    (place / "shop").rename(place / "elsewhere")
    with pytest.raises(LensError, match="does not exist"):
        update(place)
    (place / "shop").mkdir()
    with pytest.raises(LensError, match="no images below"):
        update(place)
    pictures(place / "shop" / "other", 4)
    by = Counting(embedder())
    with pytest.raises(LensError, match="None of the 40 items .* nothing was dropped"):
        update(place, by)
    assert by.seen == 0
    shutil.rmtree(place / "shop")
    shutil.copytree(place / "elsewhere", place / "shop")
    for path in (place / "shop").rglob("*.png"):
        path.write_bytes(b"away")
    with pytest.raises(LensError, match="nothing was dropped"):
        update(place)
    pd.testing.assert_frame_equal(load(place / "index", verify=True).items, before)


def test_nothing_is_dropped_when_the_images_go_away_meanwhile(place: Path) -> None:
    shop = place / "shop"
    for path in shop.rglob("*.png"):
        Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
    with pytest.raises(LensError, match="went away"):
        update(place, TakingAway(embedder(), shop))
    assert len(load(place / "index").items) == 40
    (place / "away").rename(shop)
    assert counts(update(place)) == (0, 32, 0, 0, 8)
    same_as_new(place)


def test_an_exported_index_is_taken_over_with_its_sides(place: Path) -> None:
    index = load(place / "index")
    items = index.items.drop(columns=["file_state", "file_sha256"]).assign(split=["train", "test"] * 20)
    facts = {"name": "folder shop", "root": str(place / "shop")}
    by = embedder()
    save(
        place / "index", np.array(index.vectors), items, model=index.manifest["model"],
        preprocessing=by.preprocessing, catalogue=facts, run_id="r",
    )  # fmt: skip
    counting = Counting(by)
    how = How(batch=4, workers=0, shard=16, progress=False)
    changes = update_index(place / "index", None, counting, how, [].append)
    assert counts(changes) == (0, 40, 0, 0, 0)  # nothing says what its files were
    after = load(place / "index").items.set_index("item_id")["split"]
    assert list(after[items["item_id"]]) == list(items["split"])
    assert counts(update_index(place / "index", None, counting, how, [].append)) == (0, 0, 0, 0, 40)
    save(
        place / "index", np.array(index.vectors), items, model=index.manifest["model"],
        preprocessing=by.preprocessing, run_id="r",
    )  # fmt: skip
    with pytest.raises(LensError, match="give data="):
        update_index(place / "index", None, counting, how)


def test_a_manifest_does_not_say_what_code_to_run(tmp_path: Path) -> None:
    for reader in ("os.system", "lens.data.sources.os.remove", "shutil.rmtree", 3):
        manifest = {"catalogue": {"name": "manifest x", "source": {"reader": reader, "path": str(tmp_path)}}}
        with pytest.raises(LensError, match="give data="):
            remembered(manifest)
