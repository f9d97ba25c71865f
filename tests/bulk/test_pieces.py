"""Decoding many images in order: what is seen, what is skipped, what cannot be read."""

import hashlib
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lens.bulk.pieces import Look, Piece, file_state, pieces
from lens.data.catalogue import Catalogue, FileOpener
from lens.data.images import fit_square
from lens.data.sources import ArrayOpener, _table, read_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    (tmp_path / "boot").mkdir()
    for number in range(11):
        pixels = random.integers(0, 256, (20 + number, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "boot" / f"{number:02d}.png")
    return tmp_path


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # where there is one core
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_pictures_come_in_order_as_the_decoder_gives_them(folder: Path, workers: int) -> None:
    catalogue = read_folder(folder)
    looks = [Look(row) for row in range(len(catalogue))]
    found = list(pieces(catalogue, looks, 16, batch=4, workers=workers))
    assert [piece.rows for piece in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    for piece in found:
        for row, picture in zip(piece.rows, piece.pictures, strict=True):
            assert np.array_equal(picture, fit_square(catalogue.open_image(row), 16))
            path = folder / str(catalogue.table["path"][row])
            assert piece.seen[row].digest == hashlib.sha256(path.read_bytes()).hexdigest()
            assert piece.seen[row].state == file_state(path)


def test_known_bytes_are_not_decoded(folder: Path) -> None:
    catalogue = read_folder(folder)
    known = hashlib.sha256((folder / "boot" / "03.png").read_bytes()).hexdigest()
    (piece,) = pieces(catalogue, [Look(2, known), Look(3, known)], 16, batch=8)
    assert (piece.rows, piece.same, len(piece)) == ([2], [3], 2)
    assert piece.pictures.shape == (1, 16, 16, 3)


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(folder: Path) -> None:
    (folder / "boot" / "01.png").write_bytes(b"no image")
    (folder / "boot" / "02.png").write_bytes(b"")
    whole = (folder / "boot" / "04.png").read_bytes()
    (folder / "boot" / "04.png").write_bytes(whole[: len(whole) // 2])
    catalogue = read_folder(folder)
    (folder / "boot" / "05.png").unlink()
    (piece,) = pieces(catalogue, [Look(row) for row in range(7)], 16, batch=8)
    assert piece.rows == [0, 3, 6]
    assert sorted(piece.errors) == [1, 2, 4, 5]
    assert "no such file" in piece.errors[5]
    assert all(str(folder) not in reason for reason in piece.errors.values())


def test_a_pipe_is_no_image_and_nobody_waits_for_it(folder: Path) -> None:
    catalogue = read_folder(folder)
    (folder / "boot" / "01.png").unlink()
    os.mkfifo(folder / "boot" / "01.png")
    worker = threading.Thread(target=_looked_at, args=(catalogue, found := []), daemon=True)
    worker.start()
    worker.join(20)
    assert not worker.is_alive(), "it waits for somebody to write"
    assert found[0].rows == [0, 2]
    assert "no file" in found[0].errors[1]


@pytest.mark.parametrize("name", ["a" * 300 + ".png", "b\0.png"])
def test_what_is_no_name_of_a_file_is_told(tmp_path: Path, name: str) -> None:
    opener = FileOpener(tmp_path, (name,))
    catalogue = Catalogue(_table({"path": [name], "category": ["x"]}), opener, "odd", tmp_path)
    (piece,) = pieces(catalogue, [Look(0)], 16, batch=8)
    assert (piece.rows, list(piece.errors)) == ([], [0])


def _looked_at(catalogue: Catalogue, found: list[Piece]) -> None:
    found += pieces(catalogue, [Look(row) for row in range(3)], 16, batch=8)


def test_images_that_are_no_files_are_known_by_their_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    images[2] = images[0]
    table = _table({"path": ["a", "b", "c"], "category": ["x", "x", "x"]})
    catalogue = Catalogue(table, ArrayOpener(images), "arrays")
    (piece,) = pieces(catalogue, [Look(row) for row in range(3)], 8, batch=8)
    digests = [piece.seen[row].digest for row in range(3)]
    assert digests[0] == digests[2] != digests[1]
    assert {piece.seen[row].state for row in range(3)} == {""}
    (again,) = pieces(catalogue.subset([2]), [Look(0, digests[0])], 8, batch=8)
    assert again.same == [0]


def test_a_state_tells_size_and_time(folder: Path) -> None:
    path = folder / "boot" / "00.png"
    before = file_state(path)
    os.utime(path, ns=(1, 123_456_789_012_345_678))
    assert file_state(path) == f"{path.stat().st_size}:123456789012345678" != before
    assert file_state(folder / "none") == ""
