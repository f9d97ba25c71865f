import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lens.data.catalogue import Catalogue, fingerprint
from lens.data.scan import check_readable, scan
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


def test_long_lists_are_cut_and_nothing_left_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "boots").mkdir()
    for number in range(25):
        (tmp_path / "boots" / f"{number:02d}.jpg").touch()
    catalogue = read_folder(tmp_path)
    with pytest.raises(LensError) as error:
        check_readable(scan(catalogue, progress=False), catalogue, "skip")
    lines = str(error.value).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "  ... and 5 more"
    assert "on_bad_image" not in lines[0]


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
    assert [path.name for path in cache.parent.iterdir()] == ["images.parquet"]


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
