import logging
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from PIL import Image

from lens.data import scan as scanning
from lens.data.catalogue import Catalogue, fingerprint
from lens.data.scan import check_readable, scan, unreadable
from lens.data.sources import read_folder, read_manifest
from lens.errors import LensError


def _folder(root: Path, count: int, start: int = 0) -> Catalogue:
    (root / "boots").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(start)
    for number in range(start, start + count):
        Image.fromarray(rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(
            root / "boots" / f"{number:04d}.png"
        )
    return read_folder(root)


def _spoil(root: Path) -> None:
    (root / "boots" / "a-empty.png").touch()
    (root / "boots" / "b-text.png").write_text("no picture")
    whole = (root / "boots" / "0000.png").read_bytes()
    (root / "boots" / "c-cut.png").write_bytes(whole[: len(whole) // 2])


def test_every_bad_file_is_reported_at_once(tmp_path: Path) -> None:
    _folder(tmp_path, 5)
    _spoil(tmp_path)
    catalogue = read_folder(tmp_path)
    found = scan(catalogue, progress=False)
    assert list(found.columns) == ["error", "digest", "phash"]
    assert [len(digest) for digest in found["digest"]] == [64] * 5 + [0] * 3
    assert [len(phash) for phash in found["phash"]] == [32] * 5 + [0] * 3
    with pytest.raises(LensError) as error:
        check_readable(found, catalogue, "error")
    lines = str(error.value).splitlines()
    assert lines[0].startswith("3 of 8 images of folder")
    assert "data.on_bad_image=skip" in lines[0]
    assert lines[1] == "  boots/a-empty.png: it is empty (0 bytes)"
    assert lines[2].startswith("  boots/b-text.png: it is damaged or no JPEG")
    assert lines[3].startswith("  boots/c-cut.png: it is damaged")
    assert check_readable(found, catalogue, "skip").tolist() == [0, 1, 2, 3, 4]
    reasons = unreadable(found, catalogue)
    assert list(reasons) == ["boots/a-empty.png", "boots/b-text.png", "boots/c-cut.png"]
    assert [f"  {path}: {reason}" for path, reason in reasons.items()] == lines[1:]
    assert unreadable(found.iloc[:5], catalogue.subset(np.arange(5))) == {}


def test_long_lists_are_cut_and_nothing_left_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "boots").mkdir()
    for number in range(105):
        (tmp_path / "boots" / f"{number:03d}.jpg").touch()
    catalogue = read_folder(tmp_path)
    found = scan(catalogue, progress=False)
    with pytest.raises(LensError) as error:
        check_readable(found, catalogue, "skip")
    lines = str(error.value).splitlines()
    assert len(lines) == 102
    assert lines[-1] == "  ... and 5 more"
    assert "on_bad_image" not in lines[0]
    assert len(unreadable(found, catalogue)) == 105


def test_the_digest_is_of_the_pixels_not_of_the_file(tmp_path: Path) -> None:
    _folder(tmp_path, 2)
    with Image.open(tmp_path / "boots" / "0000.png") as image:
        image.save(tmp_path / "boots" / "copy.bmp")
        image.rotate(90, expand=True).save(tmp_path / "boots" / "turned.png")
    found = scan(read_folder(tmp_path), progress=False)
    assert found["digest"][0] == found["digest"][2]
    assert found["digest"].nunique() == 3


def test_processes_find_the_same_as_one(tmp_path: Path) -> None:
    _folder(tmp_path, 520)
    _spoil(tmp_path)
    catalogue = read_folder(tmp_path)
    assert scan(catalogue, workers=2, progress=False).equals(scan(catalogue, progress=False))


def test_the_cache_is_used_and_kept_true(tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "images.parquet"
    _folder(tmp_path / "shop", 4)
    _spoil(tmp_path / "shop")
    first = scan(read_folder(tmp_path / "shop"), cache=cache, progress=False)

    # A picture changed behind the back of size and time shows that the file is not opened again.
    file = tmp_path / "shop" / "boots" / "0001.png"
    state, data = file.stat(), bytearray(file.read_bytes())
    file.write_bytes(bytes(len(data)))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert scan(read_folder(tmp_path / "shop"), cache=cache, progress=False).equals(first)

    # A new time: opened again, and seen to be broken.
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert "0001.png" in scan(read_folder(tmp_path / "shop"), cache=cache, progress=False)["error"][1]

    # A mended file and a new one are found; a second catalogue may share the cache.
    file.write_bytes(data)
    scan(_folder(tmp_path / "other", 2, start=50), cache=cache, progress=False)
    grown = scan(_folder(tmp_path / "shop", 1, start=9), cache=cache, progress=False)
    assert grown.drop(index=4).reset_index(drop=True).equals(first)
    assert {path.name for path in cache.parent.iterdir()} <= {"images.parquet", ".images.parquet.lock"}


def test_scans_at_one_time_do_not_lose_what_the_others_remember(tmp_path: Path) -> None:
    cache = tmp_path / "images.parquet"
    shops = [_folder(tmp_path / f"shop{number}", 3, start=number) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(scan, cache=cache, progress=False), shops))
    assert pd.read_parquet(cache)["file"].nunique() == 24


def test_a_cache_that_another_holds_is_not_waited_for_without_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "_PATIENCE", 0.1)
    catalogue = _folder(tmp_path / "shop", 3)
    with FileLock(tmp_path / ".images.parquet.lock"), caplog.at_level(logging.WARNING):
        found = scan(catalogue, cache=tmp_path / "images.parquet", progress=False)
    assert (found["error"] == "").all()
    assert "could not be written" in caplog.text


def test_what_another_version_remembers_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue, cache = _folder(tmp_path / "shop", 3), tmp_path / "images.parquet"
    expected = scan(catalogue, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(scanning, "VERSION", scanning.VERSION - 1)
        scan(catalogue, cache=cache, progress=False)
    for without in ([], ["version"]):  # the first caches had no version
        stored = pd.read_parquet(cache).assign(digest="of old", phash=b"of old").drop(columns=without)
        stored.to_parquet(cache)
        assert scan(catalogue, cache=cache, progress=False).equals(expected)
        assert set(pd.read_parquet(cache)["version"]) == {scanning.VERSION}
        assert bool(without) == ("damaged or old" in caplog.text)


def test_another_hash_or_digest_needs_another_version(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (90, 70, 3), dtype=np.uint8)).save(tmp_path / "noise.png")
    (tmp_path / "items.csv").write_text("path,category\nnoise.png,boots\n")
    found = scan(read_manifest(tmp_path / "items.csv"), progress=False)
    assert (scanning.VERSION, found["digest"][0], found["phash"][0].hex()) == (
        1,
        "3827b25d8775b32db7f337dbfeef009c64a9dc0bca6ea7c58f2a9d939114d487",
        "ccc28d9d516de4e4e752492e3ae273c9a29f4f0e395c7cc2e8516b74b105663c",
    )


def test_a_damaged_or_unwritable_cache_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalogue = _folder(tmp_path / "shop", 3)
    expected = scan(catalogue, progress=False)
    cache = tmp_path / "images.parquet"
    cache.write_bytes(b"PAR1 nonsense")
    with caplog.at_level(logging.WARNING):
        assert scan(catalogue, cache=cache, progress=False).equals(expected)
        assert "damaged" in caplog.text
        assert scan(catalogue, cache=cache / "below a file" / "x.parquet", progress=False).equals(expected)
        assert "could not be written" in caplog.text


def test_the_fingerprint_does_not_depend_on_the_place(tmp_path: Path) -> None:
    here, there = (_folder(tmp_path / name / "shop", 3) for name in ("here", "there"))
    prints = [fingerprint(item.table, list(scan(item, progress=False)["digest"])) for item in (here, there)]
    assert prints[0] == prints[1]


def test_single_missing_files_of_a_manifest_are_listed_too(tmp_path: Path) -> None:
    _folder(tmp_path, 2)
    (tmp_path / "items.csv").write_text("path\nboots/0000.png\nboots/gone.png\nboots/0001.png\n")
    catalogue = read_manifest(tmp_path / "items.csv")
    found = scan(catalogue, cache=tmp_path / "cache.parquet", progress=False)
    assert check_readable(found, catalogue, "skip").tolist() == [0, 2]
    with pytest.raises(LensError, match="boots/gone.png: there is no such file"):
        check_readable(found, catalogue, "error")


def test_errors_are_not_remembered(tmp_path: Path) -> None:
    _folder(tmp_path / "shop", 2)
    file, cache = tmp_path / "shop" / "boots" / "0001.png", tmp_path / "cache.parquet"
    state, data = file.stat(), file.read_bytes()
    file.write_bytes(bytes(len(data)))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert scan(read_folder(tmp_path / "shop"), cache=cache, progress=False)["error"][1] != ""
    file.write_bytes(data)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert scan(read_folder(tmp_path / "shop"), cache=cache, progress=False)["error"][1] == ""
